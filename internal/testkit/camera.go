// Package testkit is cameras that misbehave, each in one way that was met in
// the wild, and what a recorder must make of them. It is for tests only.
//
//	Camera   a scripted RTSP server: a good one, until a hook makes it bad
//	Net      cameras in memory, for testing/synctest
//	Quirk    one entry of the table: a camera, and what must come of it
//	Verify   holds what was recorded against what was sent
//
// It shares no code with package ingest, so that a mistake does not cancel
// itself. Pictures carry the marks of package mark and sounds their number:
// so each is known again, and one that lost a bit is told.
package testkit

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"nvr/internal/media"
)

// Answer to a connection.
type Accept int

// What becomes of a connection.
const (
	Serve   Accept = iota
	Refuse         // RST to SYN
	Swallow        // no answer at all
)

// Camera is a good camera with one H.264 track. The hooks run on the
// goroutines of its connections, one at a time for each.
type Camera struct {
	Addr           string   // host:port that it is dialled at
	Also           []string // other addresses at which it answers
	Path           string   // of its URL
	User, Password string   // what the recorder is given
	Auth           *Auth    // nil: anybody may

	Tracks      []*Track
	Public      string        // of the answer to OPTIONS
	ContentBase string        // "": the URL with a slash; "-": no header
	Aggregate   string        // a=control of the session; "-": none
	Timeout     time.Duration // of a session; 0: 60 s
	Early       int           // so many units are sent before PLAY is answered
	Past        time.Duration // it begins with what was taken so long ago, at once
	Piece       int           // so many bytes at a time; 0: as they come
	Spread      time.Duration // between the packets of a unit
	Slow        time.Duration // a client that lets us wait so long is thrown out; 0: never
	NoReports   bool          // no sender reports
	Lean        bool          // keeps no account of what was asked and sent: for long runs
	ReportAfter time.Duration // the first one

	// Dialled decides about connection n (1, 2, …) at a time of its life.
	Dialled func(n int, life time.Duration) Accept
	// SDP edits the description.
	SDP func(sdp string) string
	// On answers a request by itself, and says so with true.
	On func(p *Peer, r *Request) bool
	// Edit changes the answer that a good camera would give.
	Edit func(p *Peer, r *Request, a *Reply)
	// Counts says which requests keep a session alive; nil: all.
	Counts func(r *Request) bool
	// ReportsCount: receiver reports keep it alive, too.
	ReportsCount bool
	// Unit changes a picture or a sound before it is packetized.
	Unit func(p *Peer, u *Unit)
	// Packetize makes the packets of a unit; nil: as most cameras do.
	Packetize func(u *Unit) []*Packet
	// Packets changes the packets of a unit.
	Packets func(p *Peer, u *Unit, ks []*Packet) []*Packet
	// Frame changes the bytes of a packet's interleaved frame.
	Frame func(p *Peer, k *Packet, frame []byte) []byte
	// Report changes what a sender report says; false: it is not sent.
	Report func(t *Track, r *Report) bool

	mu       sync.Mutex
	made     time.Time
	began    time.Time // of the first PLAY: unit 0
	dials    int
	requests []Request
	count    map[string]int
	sent     []Sent
	reports  int // received
	wrong    []time.Time
	expired  int      // sessions that timed out
	faults   []string // what the client did wrong
	peers    map[*Peer]bool
	closed   bool
}

// NewCamera is a camera that does nothing wrong.
func NewCamera() *Camera {
	return &Camera{
		Addr: "192.0.2.1:554", Path: "/live",
		Tracks: []*Track{H264()},
		Public: "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER",
		count:  map[string]int{}, peers: map[*Peer]bool{}, made: time.Now(),
	}
}

// URL is what the recorder is given.
func (c *Camera) URL() string { return "rtsp://" + strings.TrimSuffix(c.Addr, ":554") + c.Path }

func (c *Camera) dialled() (int, Accept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dials++
	if c.closed {
		return c.dials, Refuse
	}
	if c.Dialled != nil {
		return c.dials, c.Dialled(c.dials, time.Since(c.made))
	}
	return c.dials, Serve
}

// Close ends all connections.
func (c *Camera) Close() {
	c.mu.Lock()
	c.closed = true
	var all []*Peer
	for p := range c.peers {
		all = append(all, p)
	}
	c.mu.Unlock()
	for _, p := range all {
		p.HangUp()
	}
}

// Sent is a unit that was sent.
type Sent struct {
	Track int // in Camera.Tracks
	Conn  int
	N     int
	At    time.Time // when it was taken
	Size  int       // bytes, of a sound
	Clip  *Clip     // of a picture
	Wrote time.Time // when it was
}

// fault notes what no client may do.
func (c *Camera) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Lean {
		return
	}
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// ServeConn serves one connection until it ends.
func (c *Camera) ServeConn(conn net.Conn) {
	if n, how := c.dialled(); how == Serve {
		c.serve(conn, n)
	} else {
		conn.Close()
	}
}

// Base is the URL that controls are relative to, at the address dialled.
func (c *Camera) Base() string { return c.URL() + "/" }

// control is the URL at which a track is set up.
func (c *Camera) control(t *Track) string {
	if t.URL != "" {
		return t.URL
	}
	return c.Base() + t.Control
}

// Description is the SDP of a good camera.
func (c *Camera) Description() string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=Media Presentation\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n")
	if c.Aggregate != "-" {
		if c.Aggregate == "" {
			b.WriteString("a=control:*\r\n")
		} else {
			b.WriteString("a=control:" + c.Aggregate + "\r\n")
		}
	}
	for _, t := range c.Tracks {
		b.WriteString(t.section())
	}
	return b.String()
}

// kindName is the word of an m= line.
func kindName(k media.Kind) string {
	if k == media.Video {
		return "video"
	}
	return "audio"
}
