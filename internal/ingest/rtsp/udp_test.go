package rtsp

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sender is the UDP side of a scripted camera: the ports that SETUP asked for,
// and two of its own.
type sender struct {
	rtp, rtcp *net.UDPConn
	to        []*net.UDPAddr // of each track: RTP
}

// udpCamera is a camera that answers SETUP with UDP. ports false: it does not say
// from which ports it sends.
func udpCamera(t *testing.T, host string, ports bool) (*camera, *sender) {
	t.Helper()
	c := newCameraAt(t, host)
	u := &sender{}
	for _, conn := range []**net.UDPConn{&u.rtp, &u.rtcp} {
		var err error
		if *conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*conn).Close() })
	}
	c.on["SETUP"] = func(p *peer, r *request) bool {
		v := r.get("Transport")
		_, client, ok := strings.Cut(v, "client_port=")
		if !ok {
			p.answer(r, 461, "")
			return true
		}
		first, _, _ := strings.Cut(client, "-")
		n, err := strconv.Atoi(first)
		if err != nil || n%2 != 0 {
			t.Errorf("SETUP for %q", v)
		}
		u.to = append(u.to, &net.UDPAddr{IP: net.ParseIP(host), Port: n})
		answer := "Transport: " + v
		if ports {
			answer += fmt.Sprintf(";server_port=%d-%d", u.rtp.LocalAddr().(*net.UDPAddr).Port, u.rtcp.LocalAddr().(*net.UDPAddr).Port)
		}
		p.answer(r, 200, "", "Session: 1234;timeout=60", answer)
		return true
	}
	return c, u
}

// send sends packets of a track.
func (u *sender) send(track int, packets ...string) {
	for _, p := range packets {
		u.rtp.WriteToUDP([]byte(p), u.to[track])
	}
}

// video makes packets with these sequence numbers.
func video(ssrc uint32, numbers ...uint16) (all []string) {
	for _, n := range numbers {
		all = append(all, rtp(96, n, uint32(n)*3600, ssrc, strings.Repeat("x", 500)))
	}
	return all
}

// afterPlay has the camera answer PLAY and then send.
func afterPlay(c *camera, send func(p *peer)) {
	c.on["PLAY"] = func(p *peer, r *request) bool {
		p.answer(r, 200, "")
		send(p)
		return true
	}
}

func TestUDP(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			c, u := udpCamera(t, host, true)
			punched := make(chan string, 4)
			afterPlay(c, func(*peer) {
				b := make([]byte, 100)
				for _, conn := range []*net.UDPConn{u.rtp, u.rtcp} {
					conn.SetReadDeadline(time.Now().Add(10 * time.Second))
					n, from, err := conn.ReadFromUDP(b)
					if err != nil {
						t.Error(err)
						return
					}
					punched <- fmt.Sprint(n, " ", from.Port-u.to[0].Port)
				}
				u.send(0, video(7, seqs(1, 50)...)...)
				u.send(1, rtp(8, 1, 0, 9, "a"), rtp(8, 2, 80, 9, "a"))
				rtcp := &net.UDPAddr{IP: u.to[0].IP, Port: u.to[0].Port + 1}
				u.rtcp.WriteToUDP([]byte(senderReport(7, 1<<63, 5)), rtcp)
				u.rtcp.WriteToUDP([]byte(senderReport(99, 1<<63, 5)), rtcp) // of nobody we know
			})
			s := c.play(Options{Transport: TransportUDP})
			if got := s.Transport(); got != TransportUDP {
				t.Errorf("transport %q", got)
			}
			raw, err := s.conn.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			raw.Control(func(fd uintptr) {
				if ms, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || ms != 30_000 {
					t.Errorf("the connection is given up after %d ms, %v", ms, err)
				}
			})
			k := &sink{}
			k.tick = func() error {
				if k.packets < 52 || len(k.reports) == 0 {
					return nil
				}
				return errEnough
			}
			k.receive(t, s)
			if !slices.Equal(k.seqs[0], seqs(1, 50)) || !slices.Equal(k.seqs[1], seqs(1, 2)) || len(k.reports) != 1 {
				t.Errorf("video %v, audio %v, reports %q", k.seqs[0], k.seqs[1], k.reports)
			}
			got := s.Stats()
			if got.Packets != 52 || got.Lost+got.Ignored+got.Late+got.Twice+got.Foreign != 0 || got.Bytes < 50*512 {
				t.Errorf("stats %+v", got)
			}
			if a, b := <-punched, <-punched; a != "12 0" || b != "8 1" {
				t.Errorf("punched with %q and %q", a, b)
			}
			s.Close()
			if n := c.count("TEARDOWN"); n != 1 {
				t.Errorf("%d TEARDOWN", n)
			}
		})
	}
}

// What the network does to datagrams on their way.
func TestUDPOrder(t *testing.T) {
	shuffled := func(from, to uint16, by int) (all []uint16) {
		all = seqs(from, to)
		for i := 0; i+by < len(all); i += by + 1 {
			all[i], all[i+by] = all[i+by], all[i]
		}
		return all
	}
	for _, tt := range []struct {
		name  string
		sent  []uint16
		want  []uint16
		stats Stats // Packets is filled in
	}{
		{name: "in order", sent: seqs(1, 100), want: seqs(1, 100)},
		{name: "pairs swapped", sent: shuffled(1, 100, 1), want: seqs(1, 100)[1:], stats: Stats{Late: 1}}, // nobody knows that 1 was to come before 2
		{name: "far apart", sent: append([]uint16{0}, shuffled(1, 300, 60)...), want: seqs(0, 300)},
		{name: "further than the window", sent: []uint16{1, 80, 3, 2, 81}, want: []uint16{1, 80, 81}, stats: Stats{Lost: 78, Late: 2}},
		{name: "over the end of the numbers", sent: []uint16{65533, 65535, 1, 65534, 0, 2}, want: []uint16{65533, 65534, 65535, 0, 1, 2}},
		{name: "twice", sent: []uint16{1, 2, 2, 4, 4, 3, 1, 5}, want: seqs(1, 5), stats: Stats{Twice: 3}},
		{name: "lost", sent: append(seqs(1, 10), seqs(13, 100)...), want: append(seqs(1, 10), seqs(13, 100)...), stats: Stats{Lost: 2}},
		{name: "the last one before the end is lost", sent: []uint16{1, 2, 4}, want: []uint16{1, 2, 4}, stats: Stats{Lost: 1}},
		{name: "many lost at once", sent: append(seqs(1, 10), seqs(1001, 1010)...), want: append(seqs(1, 10), seqs(1001, 1010)...), stats: Stats{Lost: 990}},
		{name: "the count begins again", sent: append(seqs(40000, 40010), seqs(10, 20)...), want: append(seqs(40000, 40010), seqs(10, 20)...)},
		{name: "the count begins again a little further back", sent: append(seqs(500, 510), seqs(300, 400)...), want: append(seqs(500, 510), seqs(332, 400)...), stats: Stats{Late: 32}},
		{name: "one number from nowhere", sent: append(append(seqs(1, 10), 30000), seqs(11, 20)...), want: seqs(1, 20)},
		{name: "two numbers from nowhere", sent: append(append(append(append(seqs(1, 10), 30000), seqs(11, 20)...), 50000), seqs(21, 30)...), want: seqs(1, 30), stats: Stats{Ignored: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, u := udpCamera(t, "127.0.0.1", true)
			afterPlay(c, func(*peer) { u.send(0, video(7, tt.sent...)...) })
			s := c.play(Options{Transport: TransportUDP})
			k := &sink{enough: len(tt.want)}
			k.receive(t, s)
			if !slices.Equal(k.seqs[0], tt.want) {
				t.Errorf("got %v", k.seqs[0])
			}
			got := s.Stats()
			got.Reads, got.Bytes = 0, 0
			tt.stats.Packets = uint64(len(tt.want))
			if got != tt.stats {
				t.Errorf("stats %+v, want %+v", got, tt.stats)
			}
		})
	}
}

// What is missing is waited for until a later one is 200 ms old, and no longer.
func TestReorderWaits(t *testing.T) {
	c, u := udpCamera(t, "127.0.0.1", true)
	afterPlay(c, func(*peer) { u.send(0, video(7, 1, 3)...) })
	s := c.play(Options{Transport: TransportUDP})
	k := &sink{}
	held := 0
	k.tick = func() error {
		if s.tracks[0].order.held == 1 {
			if held++; held == 1 {
				u.send(0, video(7, 2, 5)...)
			}
		}
		if k.packets == 4 {
			return errEnough
		}
		return nil
	}
	k.receive(t, s)
	if !slices.Equal(k.seqs[0], []uint16{1, 2, 3, 5}) {
		t.Errorf("got %v", k.seqs[0])
	}
	if q := (&reorder{}); q.overdue(time.Now()) {
		t.Error("nothing is overdue")
	}
	var q reorder
	now := time.Now()
	q.judge(1)
	q.keep(3, []byte("x"), now)
	if q.overdue(now.Add(reorderWait - pace)) {
		t.Error("overdue a beat before its time")
	}
	if !q.overdue(now.Add(reorderWait)) {
		t.Error("not overdue when it is time")
	}
}

// Sources: the camera's own and others'.
func TestUDPSources(t *testing.T) {
	t.Run("another address", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		afterPlay(c, func(*peer) {
			for _, p := range video(7, 1, 2, 3) {
				other.WriteToUDP([]byte(p), u.to[0])
			}
			u.send(0, video(7, 4, 5)...)
		})
		k := &sink{enough: 2}
		s := c.play(Options{Transport: TransportUDP})
		k.receive(t, s)
		if st := s.Stats(); !slices.Equal(k.seqs[0], seqs(4, 5)) || st.Foreign != 3 || st.Ignored != 3 {
			t.Errorf("got %v, %+v", k.seqs[0], st)
		}
	})
	t.Run("other ports than it said", func(t *testing.T) {
		for _, said := range []bool{true, false} {
			c, u := udpCamera(t, "127.0.0.1", said)
			got := make(chan int, 1)
			other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			afterPlay(c, func(*peer) {
				for _, p := range video(7, 1, 2) {
					other.WriteToUDP([]byte(p), u.to[0])
				}
				other.WriteToUDP([]byte(senderReport(7, 1<<63, 5)), &net.UDPAddr{IP: u.to[0].IP, Port: u.to[0].Port + 1})
				other.SetReadDeadline(time.Now().Add(10 * time.Second))
				n, _, _ := other.ReadFromUDP(make([]byte, 1000))
				got <- n
			})
			s := c.play(Options{Transport: TransportUDP})
			k := &sink{}
			k.tick = func() error {
				if k.packets == 2 && len(k.reports) == 1 {
					s.reportDue = time.Time{}
				}
				select {
				case n := <-got:
					if n < 32 {
						t.Errorf("a report of %d bytes", n)
					}
					return errEnough
				default:
					return nil
				}
			}
			k.receive(t, s)
		}
	})
	t.Run("Uniview: a new source with every GOP, and the network swaps two", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		afterPlay(c, func(*peer) {
			u.send(0, video(1, 1, 2)...)
			u.send(0, video(2, 100)...)
			u.send(0, video(1, 3)...) // late
			u.send(0, video(2, 102, 101, 103)...)
		})
		s := c.play(Options{Transport: TransportUDP})
		k := &sink{enough: 6}
		k.receive(t, s)
		if st := s.Stats(); !slices.Equal(k.seqs[0], append(seqs(1, 2), seqs(100, 103)...)) || st.Late != 1 {
			t.Errorf("got %v, %+v", k.seqs[0], st)
		}
	})
	t.Run("rubbish", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		afterPlay(c, func(*peer) {
			u.send(0, "", "x", strings.Repeat("\x00", 100), "\x80\x60\x00\x01\x00\x00\x00\x00", strings.Repeat("\xff", 2000))
			u.send(0, video(7, 1)...)
			u.send(0, rtp(50, 2, 0, 7, "another type"), senderReport(7, 1<<63, 5)) // RTCP on the RTP port
			u.send(0, video(7, 2)...)
		})
		s := c.play(Options{Transport: TransportUDP})
		k := &sink{enough: 2}
		k.receive(t, s)
		if st := s.Stats(); !slices.Equal(k.seqs[0], seqs(1, 2)) || st.Ignored != 6 || len(k.reports) != 1 {
			t.Errorf("got %v, %q, %+v", k.seqs[0], k.reports, st)
		}
	})
	t.Run("the largest datagram", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		big := func(n uint16) string { return rtp(96, n, 0, 7, strings.Repeat("y", 65507-12)) }
		afterPlay(c, func(*peer) { u.send(0, big(1), big(3), big(2), big(4)) })
		s := c.play(Options{Transport: TransportUDP})
		k := &sink{enough: 4}
		k.receive(t, s)
		if st := s.Stats(); !slices.Equal(k.seqs[0], seqs(1, 4)) || st.Bytes < 4*65507 {
			t.Errorf("got %v, %+v", k.seqs[0], st)
		}
	})
}

// A burst of a key picture fits into the receive buffer, and is read in few calls.
func TestUDPBurst(t *testing.T) {
	c, u := udpCamera(t, "127.0.0.1", true)
	const burst = 700 // 900 KB
	afterPlay(c, func(*peer) {
		for n := range uint16(burst) {
			u.send(0, rtp(96, n, 0, 7, strings.Repeat("x", 1300)))
		}
	})
	s := c.play(Options{Transport: TransportUDP})
	if bytes, asked := s.ShortBuffer(); bytes != 0 {
		t.Skipf("net.core.rmem_max gives %d of %d bytes here", bytes, asked)
	}
	k := &sink{enough: burst}
	k.receive(t, s)
	if st := s.Stats(); st.Lost != 0 || st.Reads > burst/4 {
		t.Errorf("stats %+v", st)
	}
}

func TestAutoTransport(t *testing.T) {
	refuse := func(code int, these ...string) func(p *peer, r *request) bool {
		return func(p *peer, r *request) bool {
			for _, t := range these {
				if strings.HasPrefix(r.get("Transport"), t) {
					p.answer(r, cmp.Or(code, 461), "")
					return true
				}
			}
			return false
		}
	}
	for _, tt := range []struct {
		name   string
		o      Options
		sdp    string
		refuse []string
		code   int // 0: 461
		want   Transport
		asked  int // SETUP
		err    string
	}{
		{name: "TCP first", want: TransportTCP, asked: 2},
		{name: "UDP where TCP is refused", refuse: []string{"RTP/AVP/TCP"}, want: TransportUDP, asked: 3},
		{name: "what was good the last time", o: Options{First: TransportUDP}, want: TransportUDP, asked: 2},
		{name: "TCP where that is refused now", o: Options{First: TransportUDP}, refuse: []string{"RTP/AVP;unicast"}, want: TransportTCP, asked: 3},
		{name: "a group where the SDP has one and nothing else goes", refuse: []string{"RTP/AVP/TCP", "RTP/AVP;unicast"}, sdp: groupSDP, want: TransportMulticast, asked: 4},
		{name: "Perl's RTSP::Server says 400", code: 400, refuse: []string{"RTP/AVP/TCP"}, want: TransportUDP, asked: 3},
		{name: "no room is no matter of transport", code: 453, refuse: []string{"RTP/AVP"}, asked: 1, err: "453"},
		{name: "400 where the choice is not ours", o: Options{Transport: TransportTCP}, code: 400, refuse: []string{"RTP/AVP"}, asked: 1, err: "400"},
		{name: "nothing goes", refuse: []string{"RTP/AVP"}, asked: 2, err: "461"},
		{name: "TCP alone", o: Options{Transport: TransportTCP}, refuse: []string{"RTP/AVP/TCP"}, asked: 1, err: "461"},
		{name: "UDP alone", o: Options{Transport: TransportUDP}, refuse: []string{"RTP/AVP;unicast"}, asked: 1, err: "461"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			if tt.sdp != "" {
				c.sdp = tt.sdp
			}
			c.on["SETUP"] = refuse(tt.code, tt.refuse...)
			s, err := c.open(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.Medias() {
				if err = s.Setup(t.Context(), i); err != nil {
					break
				}
			}
			if n := c.count("SETUP"); n != tt.asked {
				t.Errorf("%d SETUP", n)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || tt.code == 0 && !errors.Is(err, ErrTransport) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || s.Transport() != tt.want {
				t.Errorf("%q, %v", s.Transport(), err)
			}
		})
	}
}

// A camera that was asked for TCP and answers with UDP means it.
func TestAutoTakesTheAnswer(t *testing.T) {
	c, u := udpCamera(t, "127.0.0.1", true)
	udp := c.on["SETUP"]
	c.on["SETUP"] = func(p *peer, r *request) bool {
		if strings.Contains(r.get("Transport"), "TCP") {
			p.answer(r, 200, "", "Session: 1", "Transport: RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001")
			return true
		}
		return udp(p, r)
	}
	afterPlay(c, func(*peer) { u.send(0, video(7, 1)...) })
	s := c.play(Options{})
	k := &sink{enough: 1}
	k.receive(t, s)
	if s.Transport() != TransportUDP {
		t.Errorf("transport %q", s.Transport())
	}
}

func TestNothingComes(t *testing.T) {
	for _, by := range []Transport{TransportTCP, TransportUDP} {
		c, _ := udpCamera(t, "127.0.0.1", true)
		if by == TransportTCP {
			delete(c.on, "SETUP")
		}
		s := c.play(Options{First: by, FirstPacket: 5 * time.Second})
		k := &sink{tick: func() error { s.played = s.played.Add(-time.Second); return nil }} // turn the clock
		if err := s.Receive(t.Context(), k); !errors.Is(err, ErrSilent) {
			t.Errorf("%s: %v", by, err)
		}
	}
}

// The camera closes its RTSP connection; the media go on.
func TestControlConnection(t *testing.T) {
	t.Run("it is made anew, and TEARDOWN goes there", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		afterPlay(c, func(p *peer) {
			u.send(0, video(7, 1, 2)...)
			p.Close()
		})
		s := c.play(Options{Transport: TransportUDP})
		n := uint16(3)
		k := &sink{}
		k.tick = func() error {
			u.send(0, video(7, n)...)
			if n++; !s.control.lost && !s.control.orphaned && c.count("GET_PARAMETER") > 0 {
				return errEnough
			}
			return nil
		}
		k.receive(t, s)
		if r := c.request("GET_PARAMETER"); r.conn != 1 || r.get("Session") != "1234" {
			t.Errorf("keepalive on connection %d with session %q", r.conn, r.get("Session"))
		}
		s.Close()
		if r := c.request("TEARDOWN"); r.conn != 1 {
			t.Errorf("TEARDOWN on connection %d", r.conn)
		}
	})
	t.Run("it cannot be made anew, and then the media end", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		afterPlay(c, func(p *peer) {
			u.send(0, video(7, 1, 2)...)
			c.ln.Close()
			p.Close()
		})
		s := c.play(Options{Transport: TransportUDP})
		k := &sink{}
		k.tick = func() error {
			if s.control.orphaned {
				s.heard = s.heard.Add(-time.Second) // turn the clock
			}
			return nil
		}
		if err := s.Receive(t.Context(), k); !errors.Is(err, errOrphaned) || !errors.Is(err, ErrHungUp) || k.packets != 2 {
			t.Errorf("%v, %d packets", err, k.packets)
		}
	})
	t.Run("it is made anew and the session is forgotten", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		afterPlay(c, func(p *peer) { u.send(0, video(7, 1, 2)...) })
		c.on["GET_PARAMETER"] = func(p *peer, r *request) bool { p.answer(r, 454, ""); return true }
		s := c.play(Options{Transport: TransportUDP})
		s.keepalive.due = time.Now()
		k := &sink{}
		k.tick = func() error {
			if s.control.orphaned {
				s.heard = s.heard.Add(-time.Second)
			}
			return nil
		}
		if err := s.Receive(t.Context(), k); !errors.Is(err, errOrphaned) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no answers: another method, and no end", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		afterPlay(c, func(p *peer) { u.send(0, video(7, 1)...) })
		c.on["GET_PARAMETER"] = func(p *peer, r *request) bool { return true }
		s := c.play(Options{Transport: TransportUDP})
		k := &sink{}
		k.tick = func() error {
			s.keepalive.due = time.Time{}
			if c.count("OPTIONS") > 1 {
				return errEnough
			}
			return nil
		}
		k.receive(t, s)
		if n := c.count("GET_PARAMETER"); n != unansweredKeepalives {
			t.Errorf("%d GET_PARAMETER", n)
		}
	})
	t.Run("Close ends a dial that is under way", func(t *testing.T) {
		c, u := udpCamera(t, "127.0.0.1", true)
		afterPlay(c, func(p *peer) { u.send(0, video(7, 1)...); p.Close() })
		dials := 0
		s := c.play(Options{Transport: TransportUDP, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials++; dials > 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}})
		k := &sink{}
		k.tick = func() error {
			if s.control.redial != nil {
				return errEnough
			}
			return nil
		}
		k.receive(t, s)
		s.Close()
	})
}

// Close ends Receive also where no RTSP connection is left to interrupt.
func TestUDPClose(t *testing.T) {
	for _, hangUp := range []bool{false, true} {
		c, u := udpCamera(t, "127.0.0.1", true)
		afterPlay(c, func(p *peer) {
			u.send(0, video(7, 1)...)
			if hangUp {
				c.ln.Close()
				p.Close()
			}
		})
		s := c.play(Options{Transport: TransportUDP})
		done := make(chan error, 1)
		ready := make(chan bool, 1)
		k := &sink{}
		k.tick = func() error {
			if k.packets == 1 && s.control.lost == hangUp {
				select {
				case ready <- true:
				default:
				}
			}
			return nil
		}
		go func() { done <- s.Receive(t.Context(), k) }()
		<-ready
		s.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		if err := s.Receive(t.Context(), k); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Receive after Close: %v", err)
		}
		s.SetLowDelay(true)
	}
}

func TestOpenPorts(t *testing.T) {
	a := netip.MustParseAddr("127.0.0.1")
	p, err := openPorts(a, a)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if p.number%2 != 0 || p.number < lowestPort || p.number > highestPort {
		t.Errorf("port %d", p.number)
	}
	if got, err := unix.GetsockoptInt(p.rtp, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil || p.buffer != got/2 {
		t.Errorf("buffer %d, kernel %d, %v", p.buffer, got, err)
	}
	if _, err := openPorts(netip.MustParseAddr("192.0.2.1"), a); err == nil || !strings.Contains(err.Error(), "no pair of UDP ports") {
		t.Errorf("an address that is not ours: %v", err)
	}
}

const groupSDP = "v=0\r\nc=IN IP4 239.255.77.1/3\r\nm=video 40010 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n" +
	"m=audio 40012 RTP/AVP 8\r\nc=IN IP4 239.255.77.2\r\na=control:trackID=1\r\n"

func TestMulticast(t *testing.T) {
	for _, tt := range []struct {
		name, sdp, answer string
		group             string // that video is sent to
		err               string
	}{
		{name: "by the answer", sdp: simpleSDP, answer: "RTP/AVP;multicast;destination=239.255.77.9;port=41000-41001;ttl=1", group: "239.255.77.9:41000"},
		{name: "by the SDP", sdp: groupSDP, answer: "RTP/AVP;multicast", group: "239.255.77.1:40010"},
		{name: "the port by the SDP", sdp: groupSDP, answer: "RTP/AVP;multicast;destination=239.255.77.7", group: "239.255.77.7:40010"},
		{name: "no answer to speak of", sdp: groupSDP, answer: "", group: "239.255.77.1:40010"},
		{name: "neither", sdp: simpleSDP, answer: "RTP/AVP;multicast", err: "names no multicast group"},
		{name: "no port", sdp: simpleSDP, answer: "RTP/AVP;multicast;destination=239.255.77.9", err: "no port from 1024 up"},
		{name: "a port of the system", sdp: simpleSDP, answer: "RTP/AVP;multicast;destination=239.255.77.9;port=520", err: "no port from 1024 up"},
		{name: "a group of the network itself", sdp: simpleSDP, answer: "RTP/AVP;multicast;destination=224.0.0.251;port=5353", err: "belongs to the network itself"},
		{name: "no group", sdp: simpleSDP, answer: "RTP/AVP;multicast;destination=10.0.0.1;port=5000", err: "names no multicast group"},
		{name: "the other IP version", sdp: simpleSDP, answer: "RTP/AVP;multicast;destination=ff15::77;port=5000", err: "different IP versions"},
		{name: "TCP", sdp: simpleSDP, answer: "RTP/AVP/TCP;interleaved=0-1", err: "answered with TCP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			c.sdp = tt.sdp
			c.on["SETUP"] = func(p *peer, r *request) bool {
				if v := r.get("Transport"); v != multicastOffer {
					t.Errorf("SETUP for %q", v)
				}
				p.answer(r, 200, "", "Session: 1", "Transport: "+tt.answer)
				return true
			}
			s, err := c.open(Options{Transport: TransportMulticast})
			if err != nil {
				t.Fatal(err)
			}
			err = s.Setup(t.Context(), 0)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			camera, stranger := groupSender(t, "127.0.0.1"), groupSender(t, "127.0.0.2")
			to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(tt.group))
			c.on["PLAY"] = func(p *peer, r *request) bool {
				p.answer(r, 200, "")
				for n := range uint16(20) {
					stranger.WriteToUDP([]byte(rtp(96, 1000+n, 0, 8, "x")), to)
					camera.WriteToUDP([]byte(rtp(96, n, 0, 7, "x")), to)
				}
				return true
			}
			if _, err := s.Play(t.Context()); err != nil {
				t.Fatal(err)
			}
			k := &sink{enough: 20}
			k.receive(t, s)
			if st := s.Stats(); !slices.Equal(k.seqs[0], seqs(0, 19)) || st.Foreign != 20 {
				t.Errorf("got %v, %+v", k.seqs[0], st)
			}
			if got := len(memberships(t, to.IP)); got == 0 {
				t.Error("the group was not joined")
			}
			s.Close()
			if got := memberships(t, to.IP); len(got) != 0 {
				t.Errorf("after Close: %q", got)
			}
		})
	}
}

// memberships are the lines of the kernel's list that are about a group.
func memberships(t *testing.T, group net.IP) (lines []string) {
	t.Helper()
	list, err := os.ReadFile("/proc/net/igmp")
	if err != nil {
		t.Fatal(err)
	}
	hex := fmt.Sprintf("%08X", binary.NativeEndian.Uint32(group.To4()))
	for line := range strings.Lines(string(list)) {
		if strings.Contains(line, hex) {
			lines = append(lines, line)
		}
	}
	return lines
}

// groupSender sends to groups on loopback from an address.
func groupSender(t *testing.T, from string) *net.UDPConn {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	raw, err := u.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInet4Addr(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, [4]byte{127, 0, 0, 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}
