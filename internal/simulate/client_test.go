package simulate

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

const patience = 20 * time.Second // for anything that a test waits for

// serve runs a server until the test ends, and checks that Run returns.
func serve(t *testing.T, o Options) *Server {
	t.Helper()
	if o.FPS == 0 {
		o.FPS = 120 // a GOP is a quarter of a second
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// client is as little RTSP client as the tests need.
type client struct {
	t       *testing.T
	url     string
	tcp     net.Conn
	r       *bufio.Reader
	cseq    int
	session string
}

func dial(t *testing.T, url string) *client {
	t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "rtsp://"), "/")
	tcp, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	tcp.SetDeadline(time.Now().Add(patience))
	return &client{t: t, url: url, tcp: tcp, r: bufio.NewReader(tcp)}
}

// answer is a response as it came.
type answer struct {
	status int
	header map[string]string
	body   string
}

func (c *client) send(method, url string, header ...string) error {
	c.cseq++
	lines := append([]string{method + " " + url + " RTSP/1.0", "CSeq: " + strconv.Itoa(c.cseq)}, header...)
	if c.session != "" {
		lines = append(lines, "Session: "+c.session)
	}
	_, err := io.WriteString(c.tcp, strings.Join(lines, "\r\n")+"\r\n\r\n")
	return err
}

// do sends a request and reads the answer, passing over media.
func (c *client) do(method, url string, header ...string) answer {
	c.t.Helper()
	a, err := c.try(method, url, header...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

func (c *client) try(method, url string, header ...string) (answer, error) {
	if err := c.send(method, url, header...); err != nil {
		return answer{}, err
	}
	for {
		b, err := c.r.Peek(1)
		if err != nil {
			return answer{}, err
		}
		if b[0] != '$' {
			return c.readAnswer()
		}
		if _, _, err := c.frame(); err != nil {
			return answer{}, err
		}
	}
}

func (c *client) readAnswer() (a answer, err error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return a, err
	}
	if _, err := fmt.Sscanf(line, "RTSP/1.0 %d ", &a.status); err != nil {
		return a, fmt.Errorf("%q: %w", line, err)
	}
	a.header = map[string]string{}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return a, err
		}
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		k, v, _ := strings.Cut(line, ": ")
		a.header[strings.ToLower(k)] = v
	}
	if a.header["cseq"] != strconv.Itoa(c.cseq) && a.status != 400 {
		return a, fmt.Errorf("CSeq %s, want %d", a.header["cseq"], c.cseq)
	}
	n, _ := strconv.Atoi(a.header["content-length"])
	body := make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	a.body = string(body)
	return a, err
}

// frame reads the next interleaved frame.
func (c *client) frame() (channel byte, b []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0] != '$' {
		return 0, nil, fmt.Errorf("%q is no frame", head)
	}
	b = make([]byte, binary.BigEndian.Uint16(head[2:]))
	_, err = io.ReadFull(c.r, b)
	return head[1], b, err
}

// setup sets the video up, and the sound with two transports.
func (c *client) setup(transports ...string) []answer {
	c.t.Helper()
	var all []answer
	for i, tr := range transports {
		a := c.do("SETUP", fmt.Sprintf("%s/trackID=%d", c.url, i), "Transport: "+tr)
		if a.status != 200 {
			c.t.Fatalf("SETUP: %d", a.status)
		}
		c.session, _, _ = strings.Cut(a.header["session"], ";")
		all = append(all, a)
	}
	return all
}

const tcpVideo, tcpSound = "RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP/TCP;unicast;interleaved=2-3"

// play sets the video up over TCP and plays.
func (c *client) play() answer {
	c.t.Helper()
	c.setup(tcpVideo)
	a := c.do("PLAY", c.url)
	if a.status != 200 {
		c.t.Fatalf("PLAY: %d", a.status)
	}
	return a
}

// received is an access unit as it came in.
type received struct {
	sequence         uint16 // of its first packet
	timestamp, ssrc  uint32
	mark             mark.Mark
	bytes            int
	reports, packets int // before it
}

// assembler makes access units of RTP packets.
type assembler struct {
	t       *testing.T
	d       depacketizer
	next    uint16
	started bool
	current received
}

func newAssembler(t *testing.T, codec media.Codec) *assembler {
	return &assembler{t: t, d: depacketizer{codec: codec}}
}

// push takes an RTP packet; done: it was an access unit's last.
func (a *assembler) push(p []byte) (au received, done bool) {
	a.t.Helper()
	seq, ts, ssrc := binary.BigEndian.Uint16(p[2:]), binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:])
	if a.started && seq != a.next {
		a.t.Errorf("sequence number %d, want %d", seq, a.next)
	}
	if a.current.packets == 0 {
		a.current.sequence, a.current.timestamp, a.current.ssrc = seq, ts, ssrc
	}
	if ts != a.current.timestamp || ssrc != a.current.ssrc {
		a.t.Errorf("timestamp %d SSRC %x in an access unit of %d, %x", ts, ssrc, a.current.timestamp, a.current.ssrc)
	}
	a.started, a.next = true, seq+1
	a.current.packets++
	if err := a.d.push(p[12:]); err != nil {
		a.t.Errorf("packet %d: %v", seq, err)
	}
	if p[1]&0x80 == 0 {
		return au, false
	}
	b := a.d.accessUnit(a.t)
	marks := 0
	mark.Find(b, func(m mark.Mark) { a.current.mark, marks = m, marks+1 })
	if marks != 1 || a.current.mark.Damaged {
		a.t.Errorf("%d marks, %+v", marks, a.current.mark)
	}
	a.current.bytes = len(b)
	au, a.current = a.current, received{}
	return au, true
}

// pictures reads n access units of channel 0.
func (c *client) pictures(a *assembler, n int) (all []received) {
	c.t.Helper()
	for len(all) < n {
		channel, b, err := c.frame()
		if err != nil {
			c.t.Fatalf("after %d access units: %v", len(all), err)
		}
		if channel != 0 {
			a.current.reports++
			continue
		}
		if au, done := a.push(b); done {
			all = append(all, au)
		}
	}
	return all
}
