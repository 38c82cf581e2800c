package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"nvr/internal/media"
)

const (
	slot      = 500 * time.Millisecond // of one picture
	gopSlots  = 4
	gop       = gopSlots * slot
	bigBytes  = 4_000_000
	maxPacket = 60_000
)

// event is what happened to the world: from then on this is why nothing is recorded.
type event struct {
	at     time.Time
	reason media.Reason
}

// scriptedCamera is a camera on pipes, in the time of a synctest bubble, with faults
// that a script sets. Its picture n is due at start + n × slot, a sync sample each
// gopSlots. It has no clock but the bubble's, and knows nothing of the recorder.
type scriptedCamera struct {
	start time.Time

	mu     sync.Mutex
	conns  map[net.Conn]bool
	away   bool
	answer int // instead of 200
	frozen bool
	big    bool
	lose   map[int]bool // pictures that are lost on the way
	lost   map[int]bool // that were, while somebody watched: packets
	events []event
}

func newScriptedCamera() *scriptedCamera {
	return &scriptedCamera{start: time.Now(), conns: map[net.Conn]bool{}, lose: map[int]bool{}, lost: map[int]bool{}}
}

// now is the number of the next picture.
func (c *scriptedCamera) now() int { return int(time.Since(c.start)/slot) + 1 }

func (c *scriptedCamera) happened(r media.Reason) { c.events = append(c.events, event{time.Now(), r}) }

// change changes the camera, with c.mu held.
func (c *scriptedCamera) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

// cut ends all connections.
func (c *scriptedCamera) cut() {
	c.happened(media.ReasonUnreachable)
	for conn := range c.conns {
		conn.Close()
	}
}

func (c *scriptedCamera) Dial(context.Context, string, string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs := net.Pipe()
	c.conns[ours] = true
	go c.serve(ours)
	return pipeEnd{theirs}, nil
}

// pipeEnd has the errors of a socket.
type pipeEnd struct{ net.Conn }

func (w pipeEnd) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = syscall.EPIPE
	}
	return n, err
}

// serve is one connection. Only this goroutine writes.
func (c *scriptedCamera) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		c.change(func() { delete(c.conns, conn) })
	}()
	requests := make(chan string)
	go func() {
		defer close(requests)
		r := bufio.NewReader(conn)
		for {
			q, err := readRequest(r)
			if err != nil {
				return
			}
			requests <- q
		}
	}()
	defer func() {
		conn.Close()
		for range requests {
		}
	}()
	var due <-chan time.Time
	next, sequence := 0, uint16(1)
	arm := func() { due = time.After(time.Until(c.start.Add(time.Duration(next) * slot))) }
	for {
		var out []byte
		select {
		case q, ok := <-requests:
			if !ok {
				return
			}
			out = []byte(c.respond(q))
			if strings.HasPrefix(q, "PLAY") && strings.HasPrefix(string(out), "RTSP/1.0 200") {
				next = c.now()
				arm()
			}
		case <-due:
			out = c.picture(next, &sequence)
			next++
			arm()
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// readRequest reads a request, past what is interleaved.
func readRequest(r *bufio.Reader) (string, error) {
	for {
		b, err := r.Peek(4)
		if err != nil {
			return "", err
		}
		if b[0] != '$' {
			break
		}
		if _, err := r.Discard(4 + int(binary.BigEndian.Uint16(b[2:]))); err != nil {
			return "", err
		}
	}
	var q strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		q.WriteString(line)
		if line == "\r\n" {
			return q.String(), nil
		}
	}
}

func (c *scriptedCamera) respond(q string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seq := ""
	for _, line := range strings.Split(q, "\r\n") {
		if n, ok := strings.CutPrefix(line, "CSeq: "); ok {
			seq = n
		}
	}
	method, _, _ := strings.Cut(q, " ")
	extra, body := "", ""
	switch {
	case c.answer == 401:
		c.happened(media.ReasonAuth)
		return "RTSP/1.0 401 Unauthorized\r\nCSeq: " + seq + "\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n"
	case c.answer != 0:
		c.happened(media.ReasonCamera)
		return fmt.Sprintf("RTSP/1.0 %d No\r\nCSeq: %s\r\n\r\n", c.answer, seq)
	case method == "OPTIONS":
		extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
	case method == "DESCRIBE":
		body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" +
			"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z2QADKyzAoM/PgIgAAADACAAAAMDweKFTQ==,aOlzLIs=\r\na=control:track1\r\n"
		extra = "Content-Type: application/sdp\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	case method == "SETUP" && !strings.Contains(q, "RTP/AVP/TCP"):
		return "RTSP/1.0 461 Unsupported Transport\r\nCSeq: " + seq + "\r\n\r\n"
	case method == "SETUP":
		extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1;timeout=60\r\n"
	default:
		extra = "Session: 1\r\n"
	}
	return "RTSP/1.0 200 OK\r\nCSeq: " + seq + "\r\n" + extra + "\r\n" + body
}

// picture is the n-th picture in its packets; what is lost leaves a hole in their
// sequence. A frozen camera sends nothing.
func (c *scriptedCamera) picture(n int, sequence *uint16) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen {
		return nil
	}
	unit := []byte(fmt.Sprintf("\x41\x9a%08d", n))
	if n%gopSlots == 0 {
		unit = []byte(fmt.Sprintf("\x65\x88%08d", n))
	}
	if c.big {
		unit = append(unit, strings.Repeat("\xa5", bigBytes-len(unit))...)
	}
	var out []byte
	packet := func(payload []byte, last bool) {
		h := make([]byte, 16)
		h[0], h[4], h[5] = '$', 0x80, 96
		binary.BigEndian.PutUint16(h[2:], uint16(12+len(payload)))
		if last {
			h[5] |= 0x80
		}
		binary.BigEndian.PutUint16(h[6:], *sequence)
		binary.BigEndian.PutUint32(h[8:], uint32(n)*uint32(90000*slot/time.Second)+77)
		h[15] = 9
		*sequence++
		out = append(append(out, h...), payload...)
	}
	if len(unit) <= maxPacket {
		packet(unit, true)
	} else {
		for rest, first := unit[1:], true; len(rest) > 0; first = false {
			piece := rest[:min(len(rest), maxPacket)]
			rest = rest[len(piece):]
			fu := unit[0] & 0x1f
			if first {
				fu |= 0x80
			}
			if len(rest) == 0 {
				fu |= 0x40
			}
			packet(append([]byte{unit[0]&0xe0 | 28, fu}, piece...), len(rest) == 0)
		}
	}
	if c.lose[n] {
		c.lost[n] = true
		c.happened(media.ReasonLoss)
		return nil
	}
	return out
}

// number is which picture a sample is.
func number(sample []byte) (int, error) {
	if len(sample) < 14 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := strconv.Atoi(string(sample[6:14]))
	return n, errors.Join(err)
}
