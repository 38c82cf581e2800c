package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// middle is what wire is for servers that send datagrams: it passes on RTSP,
// makes the ports in it its own, and counts what the server sends to them. It
// can be a bad network, too.
type middle struct {
	t        *testing.T
	listener net.Listener
	server   string                                        // host:port
	listen   func() (*net.UDPConn, error)                  // a socket on the recorder's side
	fate     func(audio bool) (drop bool, late, again int) // of a packet, in packets; nil: all arrive

	mu       sync.Mutex
	sessions []*carried
	work     sync.WaitGroup
}

// carried is what one RTSP connection brought.
type carried struct {
	sent
	tracks []*trackSent
	audio  []string // control URLs, by the SDP
	open   []io.Closer
}

// trackSent is one track: what the server sent, and what the network took.
type trackSent struct {
	order            []uint32               // RTP times, as they came first
	hit              map[uint32]bool        // by RTP time: there if a packet of it was dropped; true if one of its slices was
	sounds           map[string][]time.Time // by payload, of audio
	audio            bool
	packets, dropped int
	passed           int                  // of packets, up to the last that was passed on
	droppedBefore    int                  // of them dropped, before that one
	first            uint32               // RTP time of the first one
	when             map[uint32]time.Time // by RTP time: the first packet of it came
	ended            map[uint32]bool      // by RTP time: a packet of it had the marker
}

var portPair = regexp.MustCompile(`(client_port|server_port)=(\d+)(-\d+)?`)

var controlLine = regexp.MustCompile(`a=control:(\S+)`)

// newMiddle stands before a server at 127.0.0.1.
func newMiddle(t *testing.T, server string) *middle {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startMiddle(t, server, l, func() (*net.UDPConn, error) { return net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) })
}

func startMiddle(t *testing.T, server string, l net.Listener, listen func() (*net.UDPConn, error)) *middle {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	r := &middle{t: t, listener: l, server: u.Host, listen: listen}
	r.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.work.Go(func() { r.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for _, s := range r.sessions {
			for _, c := range s.open {
				c.Close()
			}
		}
		r.mu.Unlock()
		r.work.Wait()
	})
	return r
}

func (r *middle) url() string { return "rtsp://" + r.listener.Addr().String() }

// first is what the first session that carried pictures got so far.
func (r *middle) first() sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		if s.pictures > 0 {
			return s.sent
		}
	}
	return sent{}
}

// carry passes on one RTSP connection.
func (r *middle) carry(client net.Conn) {
	server, err := net.Dial("tcp", r.server)
	if err != nil {
		client.Close()
		return
	}
	s := &carried{open: []io.Closer{client, server}}
	r.mu.Lock()
	r.sessions = append(r.sessions, s)
	r.mu.Unlock()
	answers := make(chan func(string) string, 64) // what to make of the ports in them, in the order of the requests
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		in := bufio.NewReader(client)
		for {
			head, err := message(in)
			if err != nil {
				return
			}
			change := func(answer string) string { return answer }
			if m := portPair.FindStringSubmatch(head); m != nil && strings.HasPrefix(head, "SETUP ") {
				var ours string
				if ours, change, err = r.track(s, strings.Fields(head)[1], m[2]); err != nil {
					r.t.Error(err)
					return
				}
				head = portPair.ReplaceAllString(head, "client_port="+ours)
			}
			answers <- change
			if _, err := io.WriteString(server, head); err != nil {
				return
			}
		}
	})
	out := bufio.NewReader(server)
	for {
		head, err := message(out)
		if err != nil {
			break
		}
		for _, section := range strings.Split(head, "\nm=")[1:] {
			if m := controlLine.FindStringSubmatch(section); m != nil && strings.HasPrefix(section, "audio") {
				r.mu.Lock()
				s.audio = append(s.audio, m[1])
				r.mu.Unlock()
			}
		}
		select {
		case change := <-answers:
			head = change(head)
		default: // nobody asked
		}
		if _, err := io.WriteString(client, head); err != nil {
			break
		}
	}
	client.Close()
	server.Close()
	both.Wait()
}

// message reads an RTSP message with its body.
func message(r *bufio.Reader) (string, error) {
	var b strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if v, ok := strings.CutPrefix(strings.ToLower(line), "content-length:"); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
		b.WriteString(line)
		if strings.TrimSpace(line) == "" && b.Len() > 2 {
			break
		}
	}
	_, err := io.CopyN(&b, r, int64(length))
	return b.String(), err
}

// track opens the sockets of a track: a pair on the server's side, two on the
// recorder's. It returns the server's idea of the client's ports.
func (r *middle) track(s *carried, uri, clientPort string) (ours string, change func(string) string, err error) {
	var inner, outer [2]*net.UDPConn
	for range 100 {
		if inner[0], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			return "", nil, err
		}
		port := inner[0].LocalAddr().(*net.UDPAddr).Port
		if inner[1], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port + 1}); err == nil && port%2 == 0 {
			break
		}
		inner[0].Close()
		if err == nil {
			inner[1].Close()
		}
		inner[0] = nil
	}
	if inner[0] == nil {
		return "", nil, fmt.Errorf("no pair of ports: %w", err)
	}
	port := inner[0].LocalAddr().(*net.UDPAddr).Port
	for i := range outer {
		if outer[i], err = r.listen(); err != nil {
			return "", nil, err
		}
		inner[i].SetReadBuffer(4 << 20)
		outer[i].SetReadBuffer(4 << 20)
	}
	first, _ := strconv.Atoi(clientPort)
	t := &trackSent{when: map[uint32]time.Time{}, ended: map[uint32]bool{}, hit: map[uint32]bool{}, sounds: map[string][]time.Time{}}
	r.mu.Lock()
	for _, control := range s.audio {
		t.audio = t.audio || path.Base(uri) == path.Base(control) // VLC writes whole URLs, with its own port
	}
	s.tracks = append(s.tracks, t)
	for i := range inner {
		s.open = append(s.open, inner[i], outer[i])
	}
	host := s.open[0].(net.Conn).RemoteAddr().(*net.TCPAddr).IP
	r.mu.Unlock()
	var servers [2]*net.UDPAddr
	for i := range inner {
		to := &net.UDPAddr{IP: host, Port: first + i}
		r.work.Go(func() { r.forward(s, t, i == 1, inner[i], outer[i], to) })
	}
	return fmt.Sprintf("%d-%d", port, port+1), func(answer string) string {
		return portPair.ReplaceAllStringFunc(answer, func(p string) string {
			m := portPair.FindStringSubmatch(p)
			if m[1] == "client_port" {
				return fmt.Sprintf("client_port=%d-%d", first, first+1)
			}
			n, _ := strconv.Atoi(m[2])
			for i := range servers {
				servers[i] = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n + i}
				r.work.Go(func() { backward(outer[i], inner[i], servers[i]) })
			}
			return fmt.Sprintf("server_port=%d-%d", outer[0].LocalAddr().(*net.UDPAddr).Port, outer[1].LocalAddr().(*net.UDPAddr).Port)
		})
	}, nil
}

// backward passes on what the recorder sends to the server's ports.
func backward(from, by *net.UDPConn, to *net.UDPAddr) {
	b := make([]byte, 2048)
	for {
		n, _, err := from.ReadFromUDP(b)
		if err != nil {
			return
		}
		by.WriteToUDP(b[:n], to)
	}
}

// delayed is a packet that is sent when so many others have been: in packets and
// not in time, so that a busy machine changes nothing.
type delayed struct {
	packet []byte
	after  int
}

// forward passes on what the server sends, as the network lets it.
func (r *middle) forward(s *carried, t *trackSent, rtcp bool, from, by *net.UDPConn, to *net.UDPAddr) {
	b := make([]byte, 64<<10)
	var waiting []delayed
	release := func(all bool) {
		kept := waiting[:0]
		for _, d := range waiting {
			if d.after--; d.after > 0 && !all {
				kept = append(kept, d)
			} else {
				by.WriteToUDP(d.packet, to)
			}
		}
		waiting = kept
	}
	for {
		from.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := from.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) { // there are no others
			release(true)
			continue
		}
		if err != nil {
			return
		}
		p := b[:n]
		if rtcp || r.fate == nil {
			if !rtcp && n > 12 {
				r.count(s, t, p, false)
			}
			by.WriteToUDP(p, to)
			continue
		}
		drop, late, again := r.fate(t.audio)
		r.count(s, t, p, drop)
		if !drop && late == 0 {
			by.WriteToUDP(p, to)
		}
		release(false)
		for _, after := range []int{late, again} {
			if after > 0 && !drop {
				waiting = append(waiting, delayed{bytes.Clone(p), after})
			}
		}
	}
}

func (r *middle) count(s *carried, t *trackSent, rtp []byte, drop bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := binary.BigEndian.Uint32(rtp[4:])
	if t.packets == 0 {
		t.first = at
	}
	if _, seen := t.when[at]; !seen {
		t.when[at] = time.Now()
		t.order = append(t.order, at)
	}
	if drop {
		t.hit[at] = t.hit[at] || !t.audio && isSlice(rtp[12:])
	}
	t.packets++
	if drop {
		t.dropped++
	} else {
		t.passed, t.droppedBefore = t.packets, t.dropped
	}
	if !t.audio {
		s.synced = s.synced || startsSync(rtp[12:])
		if rtp[1]&0x80 != 0 && !t.ended[at] { // VLC marks each slice
			t.ended[at] = true
			s.pictures++
			if !s.synced {
				s.lead++
			}
		}
	} else {
		t.sounds[string(rtp[12:])] = append(t.sounds[string(rtp[12:])], time.Now())
		s.sounds++
		s.aac += int(binary.BigEndian.Uint16(rtp[12:])) / 16
		s.bytes += len(rtp) - 12
	}
}

// isSlice reports whether an H.264 payload is a slice, or a fragment of one.
func isSlice(p []byte) bool {
	kind := p[0] & 0x1f
	if kind == 28 { // FU-A, RFC 6184 §5.8
		kind = p[1] & 0x1f
	}
	return kind >= 1 && kind <= 5
}
