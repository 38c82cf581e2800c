package rtsp

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeConn is a camera that always has more to say: it repeats data for ever,
// in reads of a size. Nothing of it allocates.
type fakeConn struct {
	net.Conn
	data string
	size int
	pos  int
}

func (c *fakeConn) Read(b []byte) (int, error) {
	b = b[:min(len(b), c.size)]
	n := 0
	for n < len(b) {
		m := copy(b[n:], c.data[c.pos:])
		n += m
		c.pos = (c.pos + m) % len(c.data)
	}
	return n, nil
}

func (c *fakeConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *fakeConn) SetReadDeadline(time.Time) error  { return nil }
func (c *fakeConn) SetWriteDeadline(time.Time) error { return nil }

// counter ends Receive after n packets.
type counter struct{ n int }

func (c *counter) Packet(int, []byte, time.Time)                  { c.n-- }
func (c *counter) SenderReport(int, time.Time, uint32, time.Time) {}
func (c *counter) Tick(time.Time) error {
	if c.n <= 0 {
		return errEnough
	}
	return nil
}

// playing is a session after PLAY on conn.
func playing(conn net.Conn) *Session {
	o, to, _ := Options{URL: "rtsp://camera/"}.complete()
	s := &Session{o: o, log: o.Log, to: to, conn: conn, buf: make([]byte, receiveBytes), turn: make(chan struct{}, 1)}
	s.keepalive = keepalive{method: "OPTIONS", period: time.Minute, due: time.Now().Add(time.Minute)}
	t := newTrack(0, Media{Formats: []Format{{PayloadType: 96, ClockRate: 90000}}})
	if err := s.addTrack(t, [2]uint8{0, 1}, transportAnswer{}); err != nil {
		panic(err)
	}
	return s
}

// BenchmarkReceive: an op is a packet of 1400 bytes from the parser to the
// Handler, read in batches as a 1 Mbit/s stream comes (12 KiB a beat) and as a
// fast one does (64 KiB).
func BenchmarkReceive(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"12KiB", 12 << 10}, {"64KiB", 64 << 10}, {"packet", 1404}} {
		b.Run(bm.name, func(b *testing.B) {
			var data strings.Builder
			for n := range 1 << 16 {
				data.WriteString(frame(0, rtp(96, uint16(n), uint32(n)*360, 1, strings.Repeat("x", 1388))))
				if n == 1<<12-1 {
					break
				}
			}
			s := playing(&fakeConn{data: data.String(), size: bm.size})
			b.SetBytes(1404)
			b.ReportAllocs()
			b.ResetTimer()
			if err := s.Receive(context.Background(), &counter{b.N}); err != errEnough {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkPaced is a stream of 1 Mbit/s over loopback, sent packet by packet
// in real time: an op is a second of it. Run it with -benchtime=10x.
func BenchmarkPaced(b *testing.B) {
	for _, bm := range []struct {
		name     string
		lowDelay bool
	}{{"paced", false}, {"low-delay", true}} {
		b.Run(bm.name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			var stop atomic.Bool
			defer stop.Store(true)
			go func() {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				const perSecond = 90 // × 1400 bytes: 1 Mbit/s
				tick := time.NewTicker(time.Second / perSecond)
				defer tick.Stop()
				for n := 0; !stop.Load(); n++ {
					<-tick.C
					if _, err := c.Write([]byte(frame(0, rtp(96, uint16(n), uint32(n)*1000, 1, strings.Repeat("x", 1388))))); err != nil {
						return
					}
				}
			}()
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			s := playing(conn)
			s.playing.Store(true)
			s.SetLowDelay(bm.lowDelay)
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(b.N)*time.Second)
			defer cancel()
			b.ResetTimer()
			if err := s.Receive(ctx, &counter{1 << 40}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(s.Stats().Reads)/float64(b.N), "reads/op")
			b.ReportMetric(float64(s.Stats().Packets)/float64(b.N), "packets/op")
			conn.Close()
		})
	}
}
