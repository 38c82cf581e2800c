package rtsp

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// seqs counts from..to.
func seqs(from, to uint16) []uint16 {
	var s []uint16
	for ; from <= to; from++ {
		s = append(s, from)
	}
	return s
}

func videos(from, to uint16, ssrc uint32) string {
	var b strings.Builder
	for _, n := range seqs(from, to) {
		b.WriteString(frame(0, rtp(96, n, uint32(n)*3600, ssrc, strings.Repeat("x", 500))))
	}
	return b.String()
}

func TestReceive(t *testing.T) {
	const a, b = 0xaaaa, 0xbbbb
	junk := strings.Repeat("\x00\x17$\x00\x05noise$$\xff", 40)
	mixed := func(from, to uint16) string {
		var s strings.Builder
		for n := from; n <= to; n++ {
			s.WriteString(frame(0, rtp(96, n, 0, a, "new")) + frame(0, rtp(96, 20000+n, 0, b, "old")))
		}
		return s.String()
	}
	for _, tt := range []struct {
		name  string
		sent  string
		video []uint16
		audio []uint16
		stats Stats // Packets, Lost, Ignored, Junk
	}{
		{name: "frames of two tracks", sent: videos(1, 3, a) + frame(2, rtp(8, 9, 0, b, "a")) + videos(4, 5, a), video: seqs(1, 5), audio: seqs(9, 9)},
		{name: "line ends between frames", sent: videos(1, 1, a) + "\r\n" + videos(2, 2, a) + "\r\n\r\n" + videos(3, 3, a), video: seqs(1, 3)},
		{name: "Canon VB-H47: random bytes between frames", sent: videos(1, 2, a) + junk + videos(3, 4, a) + junk + videos(5, 6, a),
			video: seqs(1, 6), stats: Stats{Junk: uint64(2 * len(junk))}},
		{name: "channels nobody set up", sent: videos(1, 1, a) + frame(7, rtp(96, 1, 0, a, "x")) + videos(2, 2, a) + frame(9, "") + videos(3, 3, a), video: seqs(1, 3)},
		{name: "empty frames on a channel that is set up", sent: videos(1, 1, a) + frame(0, "") + frame(1, "") + videos(2, 2, a), video: seqs(1, 2)},
		{name: "an overloaded server cuts a frame short", sent: videos(1, 2, a) + videos(3, 3, a)[:200] + videos(4, 6, a),
			video: append(seqs(1, 2), seqs(4, 6)...), stats: Stats{Junk: 200, Lost: 1}},
		{name: "it loses packets before TCP", sent: videos(1, 2, a) + videos(51, 52, a), video: append(seqs(1, 2), 51, 52), stats: Stats{Lost: 48}},
		{name: "sequence numbers wrap", sent: videos(65534, 65534, a) + frame(0, rtp(96, 65535, 0, a, "")) + frame(0, rtp(96, 0, 0, a, "")) + videos(1, 2, a), video: []uint16{65534, 65535, 0, 1, 2}},
		{name: "sequence numbers begin again", sent: videos(40000, 40002, a) + videos(10, 13, a), video: append(seqs(40000, 40002), seqs(10, 13)...)},
		{name: "Uniview: a new source with every GOP", sent: videos(1, 3, 1) + videos(900, 903, 2) + videos(4, 6, 3), video: append(append(seqs(1, 3), seqs(900, 903)...), 4, 5, 6)},
		{name: "old live555: two streams mixed", sent: videos(1, 3, a) + mixed(4, 30), video: append(append(seqs(1, 3), 4, 20004), seqs(5, 30)...), stats: Stats{Ignored: 26}},
		{name: "Geovision: an unknown payload type shares sequence numbers", sent: videos(1, 2, a) + frame(0, rtp(50, 3, 0, a, "?")) + videos(3, 4, a),
			video: seqs(1, 4), stats: Stats{Ignored: 1}},
		{name: "the SDP is wrong about the payload type", sent: frame(0, rtp(97, 1, 0, a, "x")) + frame(0, rtp(97, 2, 0, a, "x")), video: seqs(1, 2)},
		{name: "RTCP on the RTP channel", sent: videos(1, 1, a) + frame(0, senderReport(a, 1<<63, 5)) + videos(2, 2, a), video: seqs(1, 2)},
		{name: "answers and requests between frames", sent: videos(1, 1, a) + "RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-Length: 3\r\n\r\n$$$" +
			"ANNOUNCE rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\nv=0\n" + videos(2, 2, a), video: seqs(1, 2)},
		{name: "the largest frame", sent: videos(1, 1, a) + frame(0, rtp(96, 2, 0, a, strings.Repeat("y", 65535-12))) + videos(3, 3, a), video: seqs(1, 3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			c.on["PLAY"] = func(p *peer, r *request) bool {
				p.answer(r, 200, "")
				p.send(tt.sent)
				return true
			}
			s := c.play(Options{})
			k := &sink{enough: len(tt.video) + len(tt.audio)}
			k.receive(t, s)
			if !slices.Equal(k.seqs[0], tt.video) || !slices.Equal(k.seqs[1], tt.audio) {
				t.Errorf("video %v, audio %v", k.seqs[0], k.seqs[1])
			}
			tt.stats.Packets = uint64(k.enough)
			got := s.Stats()
			got.Reads, got.Bytes = 0, 0
			if got != tt.stats {
				t.Errorf("stats %+v, want %+v", got, tt.stats)
			}
		})
	}
}

// What comes in pieces is the same as what comes at once.
func TestReceiveTrickle(t *testing.T) {
	c := newCamera(t)
	c.on["PLAY"] = func(p *peer, r *request) bool {
		p.answer(r, 200, "")
		all := videos(1, 3, 1) + "noise" + videos(4, 6, 1)
		for i := 0; i < len(all); i += 97 {
			p.send(all[i:min(i+97, len(all))])
		}
		return true
	}
	s := c.play(Options{})
	s.SetLowDelay(true)
	k := &sink{enough: 6}
	k.receive(t, s)
	if !slices.Equal(k.seqs[0], seqs(1, 6)) {
		t.Errorf("got %v", k.seqs[0])
	}
}

func TestReceiveEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent string
		want string
	}{
		{"the camera hangs up", videos(1, 2, 1), "closed the connection"},
		{"junk without end", videos(1, 2, 1) + strings.Repeat("junk", maxJunk/4+1), "junk in a row"},
		{"line ends without end", strings.Repeat("\r\n", maxJunk), "junk in a row"},
		{"a body over the limit", "RTSP/1.0 200 OK\r\nContent-Length: 262145\r\n\r\n", "message body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			c.on["PLAY"] = func(p *peer, r *request) bool {
				p.answer(r, 200, "")
				p.send(tt.sent)
				p.Conn.(*net.TCPConn).CloseWrite()
				return true
			}
			s := c.play(Options{})
			err := s.Receive(t.Context(), &sink{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), c.ln.Addr().String()) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReceiveEndsWithContextAndClose(t *testing.T) {
	c := newCamera(t)
	s := c.play(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Receive(ctx, &sink{tick: func() error { cancel(); return nil }}); err != nil {
		t.Errorf("ctx ended: %v", err)
	}
	// It can go on, and Close ends it from beside.
	ticked := make(chan struct{}, 100)
	done := make(chan error, 1)
	go func() {
		done <- s.Receive(t.Context(), &sink{tick: func() error {
			select {
			case ticked <- struct{}{}:
			default:
			}
			return nil
		}})
	}()
	<-ticked
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if c.count("TEARDOWN") != 1 {
		t.Errorf("the camera got %q", c.asked())
	}
}

// Packets before the answer to PLAY, and even before the password, fail nothing;
// those of this session are kept.
func TestMediaBeforeAnswers(t *testing.T) {
	c := newCamera(t)
	c.begin = func(p *peer) { p.send(videos(900, 902, 1)) }
	c.on["SETUP"] = func(p *peer, r *request) bool { p.send(videos(903, 904, 1)); return false }
	c.on["PLAY"] = func(p *peer, r *request) bool {
		p.send(videos(1, 3, 1), "\r\n")
		p.answer(r, 200, "")
		p.send(videos(4, 5, 1))
		return true
	}
	s := c.play(Options{})
	k := &sink{enough: 5}
	k.receive(t, s)
	if !slices.Equal(k.seqs[0], seqs(1, 5)) {
		t.Errorf("got %v", k.seqs[0])
	}
}

func TestSenderReports(t *testing.T) {
	c := newCamera(t)
	const ntp = (2208988800 + 1700000000) << 32 // 2023-11-14T22:13:20Z
	c.on["PLAY"] = func(p *peer, r *request) bool {
		p.answer(r, 200, "")
		p.send(videos(1, 1, 7), frame(1, senderReport(7, ntp+1<<31, 1234)),
			frame(1, senderReport(8, ntp, 99)), // another source
			frame(1, senderReport(7, 0, 99)),   // no clock
			frame(0, senderReport(7, ntp, 4711)), videos(2, 2, 7))
		return true
	}
	k := &sink{enough: 2}
	k.receive(t, c.play(Options{}))
	want := []string{"0 2023-11-14T22:13:20.5Z 1234", "0 2023-11-14T22:13:20Z 4711"}
	if !slices.Equal(k.reports, want) {
		t.Errorf("got %q", k.reports)
	}
}

// lowWater reads back what the kernel was told.
func lowWater(t *testing.T, conn net.Conn) int {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLowWater(t *testing.T) {
	c := newCamera(t)
	s := c.play(Options{})
	if n := lowWater(t, s.conn); n != lowWaterBytes {
		t.Errorf("after PLAY %d", n)
	}
	s.SetLowDelay(true)
	if n := lowWater(t, s.conn); n != 1 {
		t.Errorf("with low delay %d", n)
	}
	s.SetLowDelay(false)
	if n := lowWater(t, s.conn); n != lowWaterBytes {
		t.Errorf("without low delay %d", n)
	}
}

// Data below the low-water mark comes with the next beat, many packets a read.
// The camera sends the next packet when it is told that the last one came, so
// that no clock but the session's own is involved.
func TestPacedReading(t *testing.T) {
	c := newCamera(t)
	next := make(chan int, 1)
	c.on["PLAY"] = func(p *peer, r *request) bool {
		p.answer(r, 200, "")
		for n := range next {
			for i := range 10 {
				p.send(videos(uint16(10*n+i), uint16(10*n+i), 1))
			}
		}
		return true
	}
	s := c.play(Options{})
	if reads := receiveBursts(t, s, next, 10); reads > 10*bursts/2 {
		t.Errorf("%d reads for %d bursts of 10 packets", reads, bursts)
	}
}

func TestBye(t *testing.T) {
	c := newCamera(t)
	c.on["PLAY"] = func(p *peer, r *request) bool {
		p.answer(r, 200, "")
		p.send(videos(1, 1, 7), frame(1, "\x81\xcb\x00\x01\x00\x00\x00\x07"))
		return true
	}
	s := c.play(Options{})
	k := &sink{}
	k.tick = func() error {
		if !s.byeAt.IsZero() { // turn the clock
			s.byeAt = s.byeAt.Add(-byePatience)
		}
		return nil
	}
	if err := s.Receive(t.Context(), k); !errors.Is(err, errBye) {
		t.Errorf("got %v", err)
	}
}

func TestReceiverReports(t *testing.T) {
	c := newCamera(t)
	got := make(chan *request, 10)
	c.on["$"] = func(p *peer, r *request) bool { got <- r; return true }
	c.on["PLAY"] = func(p *peer, r *request) bool {
		p.answer(r, 200, "")
		p.send(videos(1, 2, 7), videos(4, 4, 7), frame(2, rtp(8, 1, 0, 9, "")))
		return true
	}
	s := c.play(Options{})
	var reports []*request
	k := &sink{}
	k.tick = func() error {
		if k.packets == 4 {
			s.reportDue = time.Time{}
		}
		select {
		case r := <-got:
			if reports = append(reports, r); len(reports) == 2 {
				return errEnough
			}
		default:
		}
		return nil
	}
	k.receive(t, s)
	video := reports[0].body
	if reports[0].code != 1 || reports[1].code != 3 {
		t.Errorf("on channels %d and %d", reports[0].code, reports[1].code)
	}
	if string(video[8:12]) != "\x00\x00\x00\x07" || string(video[12:16]) != "\x40\x00\x00\x01" || string(video[16:20]) != "\x00\x00\x00\x04" {
		t.Errorf("report % x", video)
	}
}
