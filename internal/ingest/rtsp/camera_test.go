package rtsp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const simpleSDP = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" +
	"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:trackID=0\r\n" +
	"m=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n"

// camera is a scripted RTSP server. What on does not handle is answered as a
// well-behaved camera would.
type camera struct {
	t   *testing.T
	ln  net.Listener
	sdp string
	// on handles a request and says so by returning true.
	on map[string]func(p *peer, r *request) bool
	// wrap makes a connection another one (TLS).
	wrap func(net.Conn) net.Conn
	// begin runs for each new connection.
	begin func(p *peer)

	mu       sync.Mutex
	requests []*request
	conns    int
	wg       sync.WaitGroup
}

// peer is one connection to the camera.
type peer struct {
	net.Conn
	c  *camera
	n  int // which connection it is, from 0
	br *bufio.Reader
}

type request struct {
	*message
	uri  string
	conn int
}

func (r *request) String() string { return r.method + " " + r.uri }

func newCamera(t *testing.T) *camera {
	t.Helper()
	return newCameraAt(t, "127.0.0.1")
}

func newCameraAt(t *testing.T, host string) *camera {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	c := &camera{t: t, ln: ln, sdp: simpleSDP, on: map[string]func(*peer, *request) bool{}}
	c.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			if c.wrap != nil {
				conn = c.wrap(conn)
			}
			p := &peer{Conn: conn, c: c, n: c.conns, br: bufio.NewReader(conn)}
			c.conns++
			c.mu.Unlock()
			c.wg.Go(func() { defer conn.Close(); c.serve(p) })
		}
	})
	t.Cleanup(func() { ln.Close(); c.wg.Wait() })
	return c
}

func (c *camera) url(path string) string { return "rtsp://" + c.ln.Addr().String() + path }

func (c *camera) serve(p *peer) {
	p.SetDeadline(time.Now().Add(30 * time.Second)) // no test may hang
	if c.begin != nil {
		c.begin(p)
	}
	for {
		r, err := p.read()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.requests = append(c.requests, r)
		c.mu.Unlock()
		if f := c.on[r.method]; f != nil && f(p, r) {
			continue
		}
		switch r.method {
		case "OPTIONS":
			p.answer(r, 200, "", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
		case "DESCRIBE":
			p.answer(r, 200, c.sdp, "Content-Type: application/sdp")
		case "SETUP":
			p.answer(r, 200, "", "Session: 1234;timeout=60", "Transport: "+r.get("Transport"))
		default:
			p.answer(r, 200, "", "Session: 1234")
		}
	}
}

// read returns the next request; interleaved frames of the client go to on["$"].
func (p *peer) read() (*request, error) {
	var raw []byte
	for {
		b, err := p.br.ReadByte()
		if err != nil {
			return nil, err
		}
		if b == '$' && len(raw) == 0 {
			var h [3]byte
			if _, err := io.ReadFull(p.br, h[:]); err != nil {
				return nil, err
			}
			body := make([]byte, binary.BigEndian.Uint16(h[1:]))
			if _, err := io.ReadFull(p.br, body); err != nil {
				return nil, err
			}
			if f := p.c.on["$"]; f != nil {
				f(p, &request{message: &message{code: int(h[0]), body: body}})
			}
			continue
		}
		raw = append(raw, b)
		if strings.HasSuffix(string(raw), "\r\n\r\n") {
			m, _, err := parseMessage(raw)
			if err != nil || m == nil {
				p.c.t.Errorf("the camera cannot read %q: %v", raw, err)
				return nil, errors.New("bad request")
			}
			return &request{message: m, uri: strings.Fields(string(raw))[1], conn: p.n}, nil
		}
	}
}

func (p *peer) answer(r *request, code int, body string, headers ...string) {
	reason := map[int]string{200: "OK", 401: "Unauthorized", 404: "Not Found", 302: "Found"}[code]
	if body != "" {
		headers = append(headers, "Content-Length: "+strconv.Itoa(len(body)))
	}
	headers = append([]string{"CSeq: " + r.get("CSeq")}, headers...)
	p.send(fmt.Sprintf("RTSP/1.0 %d %s\r\n%s\r\n\r\n%s", code, reason, strings.Join(headers, "\r\n"), body))
}

func (p *peer) send(parts ...string) { io.WriteString(p, strings.Join(parts, "")) }

// asked are the requests so far as "METHOD uri", without the server's address.
func (c *camera) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var s []string
	for _, r := range c.requests {
		s = append(s, r.method+" "+strings.TrimPrefix(r.uri, c.url("")))
	}
	return s
}

// request returns the last request of that method.
func (c *camera) request(method string) *request {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range slices.Backward(c.requests) {
		if r.method == method {
			return r
		}
	}
	c.t.Fatalf("the camera got no %s", method)
	return nil
}

func (c *camera) count(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, r := range c.requests {
		if r.method == method {
			n++
		}
	}
	return n
}

// open opens a session that is closed when the test ends.
func (c *camera) open(o Options) (*Session, error) {
	c.mu.Lock() // what the test put into c is seen by who serves
	if o.URL == "" {
		o.URL = c.url("/live")
	}
	c.mu.Unlock()
	s, err := Open(c.t.Context(), o)
	if err == nil {
		c.t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// play goes all the way to PLAY with every media.
func (c *camera) play(o Options) *Session {
	c.t.Helper()
	s, err := c.open(o)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range s.Medias() {
		if err := s.Setup(c.t.Context(), i); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := s.Play(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// rtp makes a packet; frame dresses it, or anything, for a channel.
func rtp(pt uint8, seq uint16, ts, ssrc uint32, payload string) string {
	b := []byte{0x80, pt}
	b = binary.BigEndian.AppendUint16(b, seq)
	b = binary.BigEndian.AppendUint32(b, ts)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	return string(b) + payload
}

func frame(channel uint8, data string) string {
	return string(binary.BigEndian.AppendUint16([]byte{'$', channel}, uint16(len(data)))) + data
}

func senderReport(ssrc uint32, ntp uint64, ts uint32) string {
	b := []byte{0x80, rtcpSR, 0, 6}
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = binary.BigEndian.AppendUint64(b, ntp)
	b = binary.BigEndian.AppendUint32(b, ts)
	return string(append(b, make([]byte, 8)...))
}

var errEnough = errors.New("enough")

// sink keeps what Receive hands on, and ends it after enough packets.
type sink struct {
	enough  int // packets; 0: never
	seqs    [4][]uint16
	packets int
	reports []string
	ticks   int
	tick    func() error
}

func (k *sink) Packet(track int, pkt []byte, _ time.Time) {
	k.seqs[track] = append(k.seqs[track], binary.BigEndian.Uint16(pkt[2:]))
	k.packets++
}

func (k *sink) SenderReport(track int, ntp time.Time, rtp uint32, _ time.Time) {
	k.reports = append(k.reports, fmt.Sprintf("%d %s %d", track, ntp.Format(time.RFC3339Nano), rtp))
}

func (k *sink) Tick(time.Time) error {
	k.ticks++
	if k.tick != nil {
		if err := k.tick(); err != nil {
			return err
		}
	}
	if k.enough > 0 && k.packets >= k.enough {
		return errEnough
	}
	return nil
}

// receive runs until the sink has enough.
func (k *sink) receive(t *testing.T, s *Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Receive(ctx, k); err != errEnough {
		t.Fatalf("Receive: %v, with %d packets", err, k.packets)
	}
}

// bursts is how many receiveBursts asks for.
const bursts = 5

// receiveBursts receives bursts of n video packets, numbered from 0 on, each when
// the one before it is there: next tells the camera which. It returns how many reads
// that took.
func receiveBursts(t *testing.T, s *Session, next chan<- int, n int) (reads uint64) {
	t.Helper()
	before := s.Stats().Reads
	round := 0
	next <- 0
	k := &sink{}
	k.tick = func() error {
		if k.packets == n*(round+1) {
			if round++; round == bursts {
				return errEnough
			}
			next <- round
		}
		return nil
	}
	k.receive(t, s)
	close(next)
	if !slices.Equal(k.seqs[0], seqs(0, uint16(n*bursts-1))) {
		t.Errorf("got %v", k.seqs[0])
	}
	return s.Stats().Reads - before
}
