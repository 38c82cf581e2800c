package rtsp

import (
	"context"
	"net"
	"net/netip"
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
	s := &Session{o: o, log: o.Log, to: to, conn: conn, auth: authenticator{memory: o.Memory}, buf: make([]byte, receiveBytes), turn: make(chan struct{}, 1)}
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

// overUDP is a session whose only track comes in datagrams, and the socket that
// sends them.
func overUDP(b *testing.B) (*Session, *net.UDPConn) {
	b.Helper()
	s := playing(nil)
	s.closed = make(chan struct{})
	local := netip.MustParseAddr("127.0.0.1")
	p, err := openPorts(local, local)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.close)
	s.tracks[0].ports, s.transport = p, TransportUDP
	u, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(p.number)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { u.Close() })
	return s, u
}

// BenchmarkReadPorts: an op is a packet of 1400 bytes from the socket's buffer to
// the Handler, in beats of 1 and of 8 Mbit/s, in order and with each fourth pair
// swapped.
func BenchmarkReadPorts(b *testing.B) {
	for _, bm := range []struct {
		name    string
		beat    int
		swapped bool
	}{{"1Mbps", 9, false}, {"8Mbps", 72, false}, {"8Mbps-swapped", 72, true}} {
		b.Run(bm.name, func(b *testing.B) {
			s, u := overUDP(b)
			packets := make([][]byte, bm.beat)
			h := &counter{}
			seq := uint16(0)
			var n batch
			b.SetBytes(1400)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += bm.beat {
				b.StopTimer()
				for i := range packets {
					packets[i] = []byte(rtp(96, seq, uint32(seq)*360, 1, strings.Repeat("x", 1388)))
					seq++
				}
				for i := 0; bm.swapped && i+1 < len(packets); i += 8 {
					packets[i], packets[i+1] = packets[i+1], packets[i]
				}
				for _, p := range packets {
					if _, err := u.Write(p); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				if err := s.readPorts(h, &n); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if got := int(n.packets); got < b.N-bm.beat || n.late+n.twice+n.ignored > 1 { // the very first two may be swapped
				b.Fatalf("%d packets handed on, %+v", got, n)
			}
		})
	}
}

// BenchmarkInOrder: an op is a packet without the kernel's part of it.
func BenchmarkInOrder(b *testing.B) {
	for _, bm := range []struct {
		name string
		by   int // so far apart are those that are swapped
	}{{"in-order", 0}, {"swapped", 1}, {"far", 40}} {
		b.Run(bm.name, func(b *testing.B) {
			s := playing(nil)
			s.tracks[0].ports = &ports{}
			p := []byte(rtp(96, 0, 0, 1, strings.Repeat("x", 1388)))
			now := time.Now()
			h := &counter{}
			var n batch
			b.SetBytes(1400)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				seq := i
				if bm.by > 0 && i%64 == 1 {
					seq += bm.by
				} else if bm.by > 0 && i%64 == 1+bm.by {
					seq -= bm.by
				}
				p[2], p[3] = byte(seq>>8), byte(seq)
				s.rtp(s.tracks[0], 0, p, now, h, &n)
			}
		})
	}
}

// BenchmarkPacedUDP is BenchmarkPaced in datagrams.
func BenchmarkPacedUDP(b *testing.B) {
	for _, bm := range []struct {
		name     string
		lowDelay bool
	}{{"paced", false}, {"low-delay", true}} {
		b.Run(bm.name, func(b *testing.B) {
			s, u := overUDP(b)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			if s.conn, err = net.Dial("tcp", ln.Addr().String()); err != nil {
				b.Fatal(err)
			}
			defer s.conn.Close()
			s.playing.Store(true)
			s.SetLowDelay(bm.lowDelay)
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(b.N)*time.Second)
			defer cancel()
			go func() {
				const perSecond = 90 // × 1400 bytes: 1 Mbit/s
				tick := time.NewTicker(time.Second / perSecond)
				defer tick.Stop()
				for n := uint16(0); ctx.Err() == nil; n++ {
					<-tick.C
					u.Write([]byte(rtp(96, n, uint32(n)*1000, 1, strings.Repeat("x", 1388))))
				}
			}()
			b.ResetTimer()
			if err := s.Receive(ctx, &counter{1 << 40}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(s.Stats().Reads)/float64(b.N), "reads/op")
			b.ReportMetric(float64(s.Stats().Packets)/float64(b.N), "packets/op")
		})
	}
}
