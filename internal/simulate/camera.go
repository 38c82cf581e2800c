package simulate

import (
	"sync"
	"sync/atomic"
	"time"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

// Stats are one camera's counters. Samples are access units, and count once
// for each connection that gets them.
type Stats struct {
	Connections int64 // that ever played
	Playing     int64 // connections now
	Next        uint64
	Samples     int64 // given to a socket, or to its backlog
	Dropped     int64 // the client was too slow for them
	Bytes       int64 // of the samples as a recorder keeps them
	AudioSent   int64 // packets
	AudioLost   int64 // packets the client was too slow for
	AudioBytes  int64 // without payload headers
	Late        int64 // samples sent 100 ms or more after they were due: this machine is too slow

	// Sent are the numbers that went to at least one connection, the newest
	// ranges: what a recording of the camera should have.
	Sent []mark.Range
}

const maxSentRanges = 1024 // of a camera; the oldest are forgotten

// power is what a camera does.
type power int

const (
	on       power = iota
	frozen         // connected and silent
	notFound       // DESCRIBE and SETUP get 404
	hungUp         // DESCRIBE and SETUP get their connection closed
)

// camera is one timeline and those who watch it.
type camera struct {
	number int
	fps    uint32
	gop    uint64

	mu        sync.Mutex
	epoch     time.Time // sample 0 was due
	next      uint64    // the sample that is due next
	power     power
	plays     int // ever
	viewers   []*viewer
	group     *viewer // of multicast, while there are listeners
	listeners int
	attached  map[*conn]struct{} // those with a session
	sent      []mark.Range

	nextPacket uint64 // of sound; only the sender touches it

	samples, dropped, bytes       atomic.Int64
	audioSent, audioLost, audioES atomic.Int64
	late                          atomic.Int64
}

// start sets the timeline so that now lies inside a GOP, elsewhere for each
// camera, and the next sample is due within a picture's time.
func (c *camera) start(now time.Time, s *sound) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const spread = 0.6180339887 // golden ratio: any number of cameras is spread evenly
	at := float64(c.number) * spread
	at -= float64(int(at))
	into := time.Duration(at * float64(media.Ticks(c.gop).Duration(c.fps)))
	c.epoch = now.Add(-into)
	c.next = uint64(media.FromDuration(into, c.fps))
	for c.due(c.next).Before(now) {
		c.next++
	}
	if s != nil {
		c.nextPacket = (c.next*uint64(s.rate)/uint64(c.fps) + uint64(s.perPacket) - 1) / uint64(s.perPacket)
	}
}

// due is when sample n is sent.
func (c *camera) due(n uint64) time.Time { return c.epoch.Add(media.Ticks(n).Duration(c.fps)) }

// soundDue is when the next packet of sound is sent.
func (c *camera) soundDue(s *sound) time.Time {
	return c.epoch.Add(media.Ticks(c.nextPacket * uint64(s.perPacket)).Duration(s.rate))
}

// videoTicks is sample n's time at 90 kHz.
func (c *camera) videoTicks(n uint64) uint64 { return n * videoClock / uint64(c.fps) }

// join adds a viewer from the next sync sample on and calls ready, which must
// not block, before any sample can be sent. It returns false where the camera
// was stopped in the meantime.
func (c *camera) join(v *viewer, ready func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.power == notFound || c.power == hungUp {
		return false
	}
	c.plays++
	v.connection = c.plays
	v.from = (c.next + c.gop - 1) / c.gop * c.gop
	ready()
	c.viewers = append(append([]*viewer(nil), c.viewers...), v) // the sender reads the old list
	return true
}

// leave removes a viewer. The sender may be at its last sample for it.
func (c *camera) leave(v *viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rest []*viewer
	for _, o := range c.viewers {
		if o != v {
			rest = append(rest, o)
		}
	}
	c.viewers = rest
}

// attach notes that k has a session with the camera, so that it ends with it.
func (c *camera) attach(k *conn) power {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.power == on || c.power == frozen {
		c.attached[k] = struct{}{}
	}
	return c.power
}

func (c *camera) detach(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.attached, k)
}

// state is what DESCRIBE needs to know.
func (c *camera) state() power {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.power
}

// turn changes what the camera does. Stopping cuts its connections.
func (c *camera) turn(p power) {
	c.mu.Lock()
	c.power = p
	var cut []*conn
	if p == notFound || p == hungUp {
		for k := range c.attached {
			cut = append(cut, k)
		}
	}
	c.mu.Unlock()
	for _, k := range cut {
		k.close()
	}
}

// advance takes the next sample off the timeline if it is due.
func (c *camera) advance(now time.Time) (n uint64, viewers []*viewer, silent, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.due(c.next).After(now) {
		return 0, nil, false, false
	}
	n = c.next
	c.next++
	return n, c.viewers, c.power != on, true
}

// watchers are the viewers now.
func (c *camera) watchers() (viewers []*viewer, silent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.viewers, c.power != on
}

// wasSent notes that somebody got sample n.
func (c *camera) wasSent(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.sent) - 1; last >= 0 && c.sent[last].To == n {
		c.sent[last].To++
		return
	}
	if len(c.sent) == maxSentRanges {
		copy(c.sent, c.sent[1:])
		c.sent = c.sent[:maxSentRanges-1]
	}
	c.sent = append(c.sent, mark.Range{From: n, To: n + 1})
}

func (c *camera) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Connections: int64(c.plays),
		Playing:     int64(len(c.viewers)),
		Next:        c.next,
		Samples:     c.samples.Load(),
		Dropped:     c.dropped.Load(),
		Bytes:       c.bytes.Load(),
		AudioSent:   c.audioSent.Load(),
		AudioLost:   c.audioLost.Load(),
		AudioBytes:  c.audioES.Load(),
		Late:        c.late.Load(),
		Sent:        append([]mark.Range(nil), c.sent...),
	}
}
