package testkit

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Request is what a client asked.
type Request struct {
	Method, URI string
	Headers     [][2]string
	Conn        int // the connection's number, from 1
	N           int // how many of this method there were, from 1
	At          time.Duration
	Nonce       string // signed with it
	Basic       bool   // or with Basic
}

// Get returns a header.
func (r *Request) Get(name string) string {
	for _, h := range r.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// Reply is an answer to a request.
type Reply struct {
	Code          int
	Reason        string
	Headers       [][2]string
	Body          string
	Before, After string // bytes around it
	Drop, HangUp  bool   // is not sent; ends the connection
}

// Set replaces a header, or adds it; "" takes it away.
func (a *Reply) Set(name, value string) {
	for i, h := range a.Headers {
		if strings.EqualFold(h[0], name) {
			if value == "" {
				a.Headers = append(a.Headers[:i], a.Headers[i+1:]...)
			} else {
				a.Headers[i][1] = value
			}
			return
		}
	}
	if value != "" {
		a.Headers = append(a.Headers, [2]string{name, value})
	}
}

// Get returns a header of the answer.
func (a *Reply) Get(name string) string {
	for _, h := range a.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// Peer is one connection.
type Peer struct {
	C    *Camera
	Conn net.Conn
	N    int // its number, from 1

	writing  sync.Mutex
	gone     chan struct{}
	once     sync.Once
	player   sync.WaitGroup
	id       string
	setup    []int            // tracks, in order
	channels map[int][2]uint8 // of a track
	nonce    string
	heard    time.Time
	playing  *player
	let      bool // was authenticated
}

// HangUp closes the connection.
func (p *Peer) HangUp() {
	p.once.Do(func() { close(p.gone); p.Conn.Close() })
}

// Reset ends the connection as a camera that is switched off and on does.
func (p *Peer) Reset() {
	if r, ok := p.Conn.(interface{ Reset() }); ok {
		r.Reset()
	}
	p.HangUp()
}

// Write sends bytes as they are.
func (p *Peer) Write(b []byte) bool {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.C.Slow > 0 {
		p.Conn.SetWriteDeadline(time.Now().Add(p.C.Slow))
	}
	for len(b) > 0 {
		n := len(b)
		if p.C.Piece > 0 && n > p.C.Piece {
			n = p.C.Piece
			runtime.Gosched() // the reader may look
		}
		if _, err := p.Conn.Write(b[:n]); err != nil {
			if p.C.Slow > 0 {
				p.C.fault("it read too slowly")
			}
			return false
		}
		b = b[n:]
	}
	return true
}

// Wait lets time pass; false: the connection has ended.
func (p *Peer) Wait(d time.Duration) bool {
	if d <= 0 {
		select {
		case <-p.gone:
			return false
		default:
			return true
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.gone:
		return false
	case <-t.C:
		return true
	}
}

func (c *Camera) serve(conn net.Conn, n int) {
	p := &Peer{C: c, Conn: conn, N: n, gone: make(chan struct{}), channels: map[int][2]uint8{}, heard: time.Now()}
	c.mu.Lock()
	c.peers[p] = true
	closed := c.closed
	c.mu.Unlock()
	if closed {
		p.HangUp()
	}
	defer func() {
		p.HangUp()
		p.player.Wait()
		c.mu.Lock()
		delete(c.peers, p)
		c.mu.Unlock()
	}()
	in := bufio.NewReader(conn)
	for {
		r, err := p.read(in)
		if err != nil {
			return
		}
		c.log(r)
		if c.Counts == nil || c.Counts(r) {
			p.touch()
		}
		if c.On != nil && c.On(p, r) {
			continue
		}
		if !p.reply(r) {
			return
		}
	}
}

func (p *Peer) touch() {
	p.C.mu.Lock()
	defer p.C.mu.Unlock()
	p.heard = time.Now()
}

func (c *Camera) log(r *Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[r.Method]++
	r.N, r.At = c.count[r.Method], time.Since(c.made)
	if a := r.Get("Authorization"); a != "" {
		scheme, params := authorization(a)
		r.Basic, r.Nonce = scheme == "basic", params["nonce"]
	}
	if !c.Lean {
		c.requests = append(c.requests, *r)
	}
}

// read returns the next request. Interleaved frames of the client are its
// receiver reports.
func (p *Peer) read(in *bufio.Reader) (*Request, error) {
	for {
		b, err := in.Peek(1)
		if err != nil {
			return nil, err
		}
		if b[0] != '$' {
			break
		}
		var h [4]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return nil, err
		}
		body := make([]byte, binary.BigEndian.Uint16(h[2:]))
		if _, err := io.ReadFull(in, body); err != nil {
			return nil, err
		}
		p.report(h[1], body)
	}
	r := &Request{Conn: p.N}
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok {
			p.C.fault("a line that does not end in CRLF: %q", line)
			return nil, io.ErrUnexpectedEOF
		}
		if text == "" && !first {
			break
		}
		if first {
			f := strings.Split(text, " ")
			if len(f) != 3 || f[2] != "RTSP/1.0" {
				if strings.HasPrefix(text, "RTSP/1.0 ") { // an answer to a request of ours
					r.Method, r.URI = "ANSWER", text
					continue
				}
				p.C.fault("a request line that is none: %q", text)
				return nil, io.ErrUnexpectedEOF
			}
			r.Method, r.URI = f[0], f[1]
			continue
		}
		name, value, ok := strings.Cut(text, ": ")
		if !ok {
			p.C.fault("a header that is none: %q", text)
		}
		r.Headers = append(r.Headers, [2]string{name, value})
	}
	return r, nil
}

// report takes in a receiver report.
func (p *Peer) report(channel uint8, b []byte) {
	if len(b) < 32 || b[1] != 201 || b[0]>>6 != 2 {
		p.C.fault("on channel %d a report that is none: % x", channel, b)
		return
	}
	p.C.mu.Lock()
	p.C.reports++
	p.C.mu.Unlock()
	if p.C.ReportsCount {
		p.touch()
	}
}

// reply answers as a good camera does.
func (p *Peer) reply(r *Request) bool {
	c := p.C
	if r.Method == "ANSWER" {
		return true
	}
	a := &Reply{Code: 200, Reason: "OK", Headers: [][2]string{{"CSeq", r.Get("CSeq")}}}
	if c.Auth != nil && r.Method != "OPTIONS" && !c.Auth.check(p, r, a) {
		if c.Edit != nil {
			c.Edit(p, r, a)
		}
		return p.Send(a)
	}
	p.let = true
	play := false
	switch r.Method {
	case "OPTIONS":
		a.Set("Public", c.Public)
	case "DESCRIBE":
		a.Set("Content-Type", "application/sdp")
		switch c.ContentBase {
		case "":
			a.Set("Content-Base", r.URI+"/")
		case "-":
		default:
			a.Set("Content-Base", c.ContentBase)
		}
		a.Body = c.Description()
		if c.SDP != nil {
			a.Body = c.SDP(a.Body)
		}
	case "SETUP":
		p.doSetup(r, a)
	case "PLAY":
		if len(p.setup) == 0 {
			a.Code, a.Reason = 455, "Method Not Valid in This State"
			break
		}
		play = true
		a.Set("Session", p.id)
		a.Set("Range", "npt=0.000-")
		p.playing = newPlayer(p)
		a.Set("RTP-Info", p.playing.info(r.URI))
	case "TEARDOWN":
		a.Set("Session", p.id)
		a.HangUp = true
	case "GET_PARAMETER", "SET_PARAMETER":
		if !strings.Contains(c.Public, r.Method) {
			a.Code, a.Reason = 501, "Not Implemented"
		}
		if p.id != "" {
			a.Set("Session", p.id)
		}
	default:
		a.Code, a.Reason = 501, "Not Implemented"
	}
	if p.id != "" && r.Method != "OPTIONS" && r.Method != "SETUP" && r.Method != "DESCRIBE" && r.Get("Session") != p.id {
		c.fault("%s with Session %q, not %q", r.Method, r.Get("Session"), p.id)
	}
	if c.Edit != nil {
		c.Edit(p, r, a)
	}
	if play && a.Code == 200 {
		p.playing.early(c.Early)
		if !p.Send(a) {
			return false
		}
		p.player.Go(p.playing.run)
		return true
	}
	return p.Send(a)
}

// Send writes an answer.
func (p *Peer) Send(a *Reply) bool {
	var b strings.Builder
	b.WriteString(a.Before)
	if !a.Drop {
		fmt.Fprintf(&b, "RTSP/1.0 %d %s\r\n", a.Code, a.Reason)
		for _, h := range a.Headers {
			fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		}
		if a.Body != "" && a.Get("Content-Length") == "" {
			fmt.Fprintf(&b, "Content-Length: %d\r\n", len(a.Body))
		}
		b.WriteString("\r\n" + a.Body)
	}
	b.WriteString(a.After)
	ok := b.Len() == 0 || p.Write([]byte(b.String()))
	if a.HangUp {
		p.HangUp()
	}
	return ok && !a.HangUp
}

// doSetup finds the track by the end of the URL.
func (p *Peer) doSetup(r *Request, a *Reply) {
	c := p.C
	track := -1
	for i, t := range c.Tracks {
		if r.URI == c.control(t) {
			track = i
		}
	}
	if track < 0 {
		a.Code, a.Reason = 404, "Not Found"
		return
	}
	t := c.Tracks[track]
	if t.BackChannel {
		c.fault("SETUP of the back channel")
	}
	transport := r.Get("Transport")
	_, channels, ok := strings.Cut(transport, "interleaved=")
	if !ok {
		a.Code, a.Reason = 461, "Unsupported Transport"
		return
	}
	first, _, _ := strings.Cut(channels, "-")
	n, _ := strconv.Atoi(first)
	p.channels[track] = [2]uint8{uint8(n), uint8(n + 1)}
	p.setup = append(p.setup, track)
	if p.id == "" {
		p.id = fmt.Sprintf("%08X", 0x5e550000+p.N)
	} else if r.Get("Session") != p.id {
		c.fault("a second SETUP with Session %q", r.Get("Session"))
	}
	session := p.id
	if c.Timeout > 0 {
		session += ";timeout=" + strconv.Itoa(int(c.Timeout/time.Second))
	}
	a.Set("Session", session)
	a.Set("Transport", fmt.Sprintf("RTP/AVP/TCP;unicast;interleaved=%d-%d;ssrc=%08X", n, n+1, t.SSRC))
}
