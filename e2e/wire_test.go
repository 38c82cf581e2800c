package e2e

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// wire stands between a recorder and a server and counts what the server puts
// on it: the truth that a recording is compared with.
type wire struct {
	listener net.Listener
	server   string

	mu       sync.Mutex
	sessions []*sent
}

// sent is what one connection carried to the client on its even channels.
type sent struct {
	mount    string
	pictures int // RTP packets with the marker bit on channel 0
	lead     int // of them before the first sync sample: nobody can decode those
	aac      int // access units on channel 2 (RFC 3640: a header of 16 bits each)
	sounds   int // RTP packets on channel 2
	bytes    int // of RTP payload on channel 2
	synced   bool
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, server: u.Host}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return w
}

func (w *wire) url() string { return "rtsp://" + w.listener.Addr().String() }

// first is what the first session of a mount point that carried pictures got.
func (w *wire) first(mount string) sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		if s.mount == mount && s.pictures > 0 {
			return *s
		}
	}
	return sent{}
}

func (w *wire) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	s := &sent{}
	w.mu.Lock()
	w.sessions = append(w.sessions, s)
	w.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		r := bufio.NewReader(client)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if words := strings.Fields(line); len(words) == 3 && words[0] == "DESCRIBE" {
				if u, err := url.Parse(words[1]); err == nil {
					w.mu.Lock()
					s.mount = u.Path
					w.mu.Unlock()
				}
			}
			if _, err := server.Write([]byte(line)); err != nil {
				return
			}
			if words := strings.Fields(line); len(words) == 3 && words[0] == "PLAY" {
				break // from here on there may be RTCP between the requests
			}
		}
		io.Copy(server, r)
	})
	w.count(bufio.NewReader(server), client, s)
	client.Close()
	server.Close()
	both.Wait()
}

// count passes on what the server sends, frame by frame and answer by answer.
func (w *wire) count(r *bufio.Reader, to io.Writer, s *sent) {
	for {
		first, err := r.Peek(1)
		if err != nil {
			return
		}
		if first[0] == '$' {
			h, err := r.Peek(4)
			if err != nil {
				return
			}
			frame := make([]byte, 4+int(binary.BigEndian.Uint16(h[2:])))
			if _, err := io.ReadFull(r, frame); err != nil {
				return
			}
			if _, err := to.Write(frame); err != nil {
				return
			}
			w.frame(frame, s)
			continue
		}
		length := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if v, ok := strings.CutPrefix(strings.ToLower(line), "content-length:"); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(v))
			}
			if _, err := io.WriteString(to, line); err != nil {
				return
			}
			if strings.TrimSpace(line) == "" {
				break
			}
		}
		if _, err := io.CopyN(to, r, int64(length)); err != nil {
			return
		}
	}
}

func (w *wire) frame(f []byte, s *sent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch rtp := f[4:]; {
	case len(rtp) < 14:
	case f[1] == 0:
		s.synced = s.synced || startsSync(rtp[12:])
		if rtp[1]&0x80 != 0 {
			s.pictures++
			if !s.synced {
				s.lead++
			}
		}
	case f[1] == 2:
		s.sounds++
		s.aac += int(binary.BigEndian.Uint16(rtp[12:])) / 16
		s.bytes += len(rtp) - 12
	}
}

// startsSync reports whether an RTP payload is of an IDR picture, or an H.265
// one that decoding can begin with: alone or as a fragment (RFC 6184 §5.6, §5.8;
// RFC 7798 §4.4.1, §4.4.3). The two cannot be mistaken for each other: in H.265
// the first byte of such NAL units is 0x26 or more and even, which is H.264's
// SEI of a forbidden importance, and a fragment is 0x62.
func startsSync(p []byte) bool {
	switch h264, h265 := p[0]&0x1f, p[0]>>1&0x3f; {
	case p[0] == 0x62 && p[1] == 1: // H.265, FU
		return p[2]&0x3f >= 16 && p[2]&0x3f <= 21
	case p[1] == 1 && h265 >= 16 && h265 <= 21:
		return true
	case h264 == 28: // H.264, FU-A
		return p[1]&0x1f == 5
	default:
		return h264 == 5
	}
}
