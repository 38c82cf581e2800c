// Package timeline gives samples their place in time: RTP time stamps and
// arrivals become media time, counted from the beginning of a run, and wall
// time. It follows docs/time.md (the twelve rules), owns no clock and starts
// nothing: all it knows of time is what it is told.
//
// Positions are per track, in ticks from the track's own first sample. Start
// moves a position to the zero that all tracks of a run share, and Wall dates
// it. Both are asked once per record, so that what is learned of a camera in
// the meantime (a burst at the start, drift) costs no sample its spacing.
package timeline

import (
	"time"

	"nvr/internal/media"
)

// The rules' numbers. A camera whose clock is 2 % slow is found out maxError and
// 5 s of lag (leastOver) behind the truth, and goes on for the rest of a GOP: with
// GOPs of up to 4 s no wall time is off by more than half a second.
const (
	settle      = 10 * time.Second       // a run's start is the least delayed sample's of that time
	maxJump     = time.Second            // between RTP's step and the arrival's
	maxError    = 300 * time.Millisecond // of wall time, before a new run begins
	maxStep     = 500 * time.Millisecond // of the recorder's clock, before a new run begins
	maxApart    = 500 * time.Millisecond // of sound and picture, before a new run begins
	minHole     = time.Second
	checkEvery  = time.Second            // wall clock against monotonic clock
	videoSlew   = 500e-6                 // of wall time, per second of it
	audioSlew   = 5e-3                   // of the audio's place beside the video
	reorderLead = 500 * time.Millisecond // room before the first picture for the decode times of streams with B pictures
	lateComer   = 2 * time.Second        // room before the first track's first sample for a track not heard yet
)

// Instant is a moment on both of the recorder's clocks.
type Instant struct {
	Mono time.Duration // since any fixed moment; never jumps
	Wall int64         // ns of the Unix epoch; jumps when somebody sets the clock
}

// Cause says why the run should end at the next sync sample.
type Cause uint8

// The causes.
const (
	None  Cause = iota
	Hole        // nothing was sent for a while
	Drift       // the camera's clock and ours differ too much
	Step        // the recorder's clock was set
)

// Track is what a Line has to know of a track.
type Track struct {
	Kind      media.Kind
	ClockRate uint32
}

// Placement is a sample's place.
type Placement struct {
	Time      media.Ticks // when it is presented, from the track's first sample on
	Hole      bool        // the time before it was empty, not just slow
	Restamped bool        // its RTP time stamp made no sense
}

// Line is the time line of one RTSP session: one run after the other. Positions
// go on from run to run; what a run has of its own is its zero and its wall time.
type Line struct {
	tracks []track
	due    Cause
	drift  bool // the camera's clock and ours differ too much at present

	begun    Instant
	settling bool          // base may become earlier
	fixed    bool          // zero is
	zero     time.Duration // Mono of the run's beginning
	base     int64         // wall time of zero
	pending  time.Duration // error of base that is still to be slewed
	checked  Instant
	stepped  time.Duration // of the recorder's clock, since the run began
}

// New makes the time line of a session. It begins with Begin.
func New(tracks ...Track) *Line {
	l := &Line{tracks: make([]track, len(tracks))}
	for i, t := range tracks {
		l.tracks[i] = track{rate: t.ClockRate, kind: t.Kind}
	}
	return l
}

// Begin begins the first run.
func (l *Line) Begin(at Instant) {
	l.begin(at)
	l.settling, l.fixed = true, false
	for i := range l.tracks {
		l.tracks[i].reset()
	}
}

func (l *Line) begin(at Instant) {
	l.due, l.drift, l.pending, l.stepped = None, false, 0, 0
	l.begun, l.checked = at, at
	for i := range l.tracks {
		l.tracks[i].wall = 0
	}
}

// Next begins another run, with the sample that was placed last. It is dated by
// what the least delayed samples said lately, not by its own arrival.
func (l *Line) Next(at Instant) {
	for i := range l.tracks {
		l.fix(&l.tracks[i])
	}
	m := l.master()
	if m == nil {
		l.Begin(at)
		return
	}
	l.begin(at)
	if l.settling = !m.delays.full(); l.settling { // what was before the hole says nothing of what is behind it
		m.delays.forget()
	}
	moved := m.delays.least - m.origin
	for i := range l.tracks {
		t := &l.tracks[i]
		t.origin += moved + t.pending
		t.pending, t.ahead = 0, 0
	}
	l.zero = m.when(m.last)
	earliest := l.zero - lateComer
	for i := range l.tracks {
		if t := &l.tracks[i]; !t.begun {
			l.zero = earliest
		} else {
			l.zero = max(earliest, min(l.zero, t.when(t.last)))
		}
	}
	if m.reorder == OutOfOrder {
		l.zero = min(l.zero, m.when(m.last)-reorderLead)
	}
	l.base = at.Wall - int64(at.Mono-l.zero)
}

// Due says whether the run should end at the next sync sample, and why.
func (l *Line) Due() Cause {
	if l.due < Drift && l.drift {
		return Drift
	}
	return l.due
}

// Stepped is by how much the recorder's clock was set forward since the run began;
// negative: back.
func (l *Line) Stepped() time.Duration { return l.stepped }

// Reorder says whether pictures may be sent in another order than that in which
// they are shown, so that a time stamp may be a little before the last.
type Reorder uint8

// The orders. OutOfOrder leaves room before the first picture for decode times.
const (
	InOrder Reorder = iota
	MaybeOutOfOrder
	OutOfOrder
)

// SetReorder tells a track's order.
func (l *Line) SetReorder(track int, r Reorder) { l.tracks[track].reorder = r }

// ByArrival reports whether a track's time stamps proved useless.
func (l *Line) ByArrival(track int) bool { return l.tracks[track].byArrival }

// Usual is the usual distance between a track's samples, 0 before it is known.
func (l *Line) Usual(track int) media.Ticks { return l.tracks[track].usual }

// Place places the next sample of a track. duration is that of an audio sample
// that is known to be so long, else 0.
func (l *Line) Place(track int, rtp uint32, duration media.Ticks, at Instant) Placement {
	t := &l.tracks[track]
	p := t.place(rtp, duration, at.Mono)
	if p.Hole && l.master() == t {
		l.due = max(l.due, Hole)
	}
	if !p.Restamped {
		t.delays.saw(at.Mono-p.Time.Duration(t.rate), at.Mono, max(minHole, 2*t.usual.Duration(t.rate)))
	}
	l.Check(at)
	return p
}

// Check is to be called about once a second, also when nothing arrives: it
// notices that the recorder's clock was set, and slews.
func (l *Line) Check(at Instant) {
	elapsed := at.Mono - l.checked.Mono
	if elapsed < checkEvery {
		return
	}
	if step := time.Duration(at.Wall-l.checked.Wall) - elapsed; step.Abs() > maxStep {
		l.due = Step
		l.stepped += step
	}
	l.checked = at
	if l.due == Step || !l.fixed {
		return
	}
	l.measure(at)
	slew := clamp(l.pending, time.Duration(float64(elapsed)*videoSlew))
	l.base += int64(slew)
	l.pending -= slew
	for i := range l.tracks {
		t := &l.tracks[i]
		slew := clamp(t.pending, time.Duration(float64(elapsed)*audioSlew))
		t.origin += slew
		t.pending -= slew
	}
}

// measure compares what the line says with the least delayed arrivals: the
// master's with the wall clock, the others' with the master's. Nothing arrives
// before it was taken, so a sample that came early proves its point at once; that
// all of them come late is believed when it has lasted.
func (l *Line) measure(at Instant) {
	m := l.master()
	if m == nil || !m.fixed {
		return
	}
	full := m.delays.full()
	off := time.Duration(at.Wall - int64(at.Mono-l.zero-m.delays.least+m.origin) - l.base)
	switch {
	case l.settling && at.Mono-l.begun.Mono <= settle:
		// The least delayed sample up to now. Bursts at the start and slow
		// first packets end here.
		l.base += int64(min(off, 0))
		l.drift = full && off > maxError
		return
	case full || off < 0:
		l.settling = false
		l.pending, m.ahead = off, -off
		l.drift = off.Abs() > maxError
	}
	for i := range l.tracks {
		t := &l.tracks[i]
		if t == m || !t.fixed || !full || !t.delays.full() {
			continue
		}
		apart := t.delays.least - m.delays.least
		if by, ok := reported(m, t); ok && (by-apart).Abs() <= maxJump {
			apart = by
		}
		t.pending = apart - (t.origin - m.origin)
		l.drift = l.drift || t.pending.Abs() > maxApart
	}
}

// Start is the run's time of a position of the track.
func (l *Line) Start(track int, pos media.Ticks) media.Ticks {
	t := &l.tracks[track]
	l.fix(t)
	return max(0, pos+media.FromDuration(t.origin-l.zero, t.rate))
}

// Wall dates a run's time of the track: the same zero for all tracks, slewed
// to the recorder's clock. It increases from call to call.
func (l *Line) Wall(track int, start media.Ticks) int64 {
	t := &l.tracks[track]
	l.fix(t)
	t.wall = max(l.base+int64(start.Duration(t.rate)), t.wall+1)
	return t.wall
}

// fix decides where the first run and the track begin, when that is asked for the
// first time: by then the burst with which a camera may begin has come.
func (l *Line) fix(t *track) {
	if !l.fixed {
		l.fixed = true
		heard := 0
		for i := range l.tracks {
			if o := &l.tracks[i]; o.begun {
				if heard == 0 || o.delays.least < l.zero {
					l.zero = o.delays.least
				}
				heard++
			}
		}
		if heard == 0 {
			l.zero = l.begun.Mono
		}
		if heard < len(l.tracks) {
			l.zero -= lateComer
		}
		l.base = l.begun.Wall + int64(l.zero-l.begun.Mono)
	}
	if !t.fixed && t.begun {
		t.fixed = true
		t.origin = t.delays.least
	}
}

// master is the track that wall time follows: the video, once it is heard.
func (l *Line) master() *track {
	var m *track
	for i := range l.tracks {
		t := &l.tracks[i]
		if t.begun && (m == nil || t.kind == media.Video) {
			m = t
		}
	}
	return m
}

func clamp(d, limit time.Duration) time.Duration { return max(-limit, min(d, limit)) }
