package timeline

import (
	"time"

	"nvr/internal/media"
)

const (
	// A step that is so much too long is a jump, if with it wall time would be
	// so far ahead of the clock.
	maxLeap   = 200 * time.Millisecond
	maxFuture = 450 * time.Millisecond
	// So many jumps of one direction in a row are a new epoch of RTP time.
	jumpsToBelieve = 3
	// So many jumps in a row of any direction are no time at all.
	jumpsToGiveUp = 10
	// A stamp that stands still that long means nothing.
	maxFrozen = time.Second
	// The rates of media time and arrival may differ by a tenth; two spans of
	// this length beyond it, in the same direction, and the stamps are lies
	// (one long stall makes one slow span and one fast).
	ratioSpan = 5 * time.Second
	minRatio  = 0.9
	maxRatio  = 1.1
	// B pictures come no more steps behind the picture they are shown before:
	// as encoders do it, and as they may where they say that they do.
	maxDepth, maxDeclaredDepth = 8, 17
	// The burst with which a camera begins is no measure.
	ratioAfter = time.Second
	// The usual step is the mean of so many samples.
	usualBlock = 16
)

// track places the samples of one track.
type track struct {
	kind      media.Kind
	rate      uint32
	reorder   Reorder
	byArrival bool // for the rest of the session

	begun  bool
	rtp    uint32        // of the last sample whose stamp was believed,
	pos    media.Ticks   // its position by its stamp
	at     time.Duration // and its arrival
	last   media.Ticks   // position given to the last sample
	lastAt time.Duration // arrival of it
	top    media.Ticks   // highest position given
	usual  media.Ticks

	block    media.Ticks // top when the block began; of the first one the lowest position
	inBlock  int
	stepped  bool // the first block is complete
	jumps    int  // in a row
	forward  bool
	sameWay  int // jumps in the same direction in a row
	frozen   time.Duration
	isFrozen bool

	spanTop media.Ticks // ratio: where the span began
	spanAt  time.Duration
	spanN   int
	bias    int // last span was too slow (-1), too fast (1)

	delays delays

	fixed   bool
	origin  time.Duration // Mono of position 0
	pending time.Duration // error of origin that is still to be slewed
	ahead   time.Duration // of the least delayed arrivals: what the run's wall time is, at the last look
	reports reports
	wall    int64 // the last one given in this run

	period media.Ticks // by arrival: smoothed step
}

// when is the moment of a position.
func (t *track) when(pos media.Ticks) time.Duration { return t.origin + pos.Duration(t.rate) }

// reset begins anew, and keeps what was learned of the camera.
func (t *track) reset() {
	*t = track{kind: t.kind, rate: t.rate, reorder: t.reorder, byArrival: t.byArrival, usual: t.usual, period: t.period}
}

func (t *track) place(rtp uint32, duration media.Ticks, at time.Duration) Placement {
	if !t.begun {
		t.begun = true
		t.rtp, t.at, t.lastAt = rtp, at, at
		if t.reorder == OutOfOrder {
			t.pos = media.FromDuration(reorderLead, t.rate)
		}
		t.last, t.top, t.block, t.spanTop = t.pos, t.pos, t.pos, t.pos
		t.spanAt = at + ratioAfter
		if duration > 0 {
			t.usual = duration
		}
		return Placement{Time: t.pos}
	}
	p := t.next(rtp, at)
	hole := max(media.FromDuration(minHole, t.rate), 2*t.usual)
	if t.usual > 0 {
		p.Hole = p.Time-t.top > hole
	}
	t.learn(p, duration, at)
	t.last, t.lastAt, t.top = p.Time, at, max(t.top, p.Time)
	return p
}

// next decides on the position of a sample.
func (t *track) next(rtp uint32, at time.Duration) Placement {
	if t.byArrival {
		return Placement{Time: t.smooth(at)}
	}
	step := media.Ticks(int32(rtp - t.rtp))
	if step == 0 {
		return t.standstill(at)
	}
	t.isFrozen = false
	pos := t.pos + step
	since := at - t.at
	delta := step.Duration(t.rate) - since
	// After a stall samples come in a burst: their steps do not fit their
	// arrivals, but none is from the future.
	future := pos.Duration(t.rate) - (at - t.delays.least)
	leap := delta > maxLeap && future+t.ahead > maxFuture && t.delays.full()
	depth := media.Ticks(maxDepth)
	if t.reorder == OutOfOrder {
		depth = maxDeclaredDepth
	}
	// A picture that is shown before one that was sent before it, be it the first
	// behind a stall.
	behind := t.reorder != InOrder && t.usual > 0 && t.top-pos < depth*t.usual
	inOrder := pos > t.last || behind && delta <= maxJump || t.reorder != InOrder && t.usual == 0 && delta.Abs() <= maxJump
	if inOrder && !leap && (delta.Abs() <= maxJump || (step > 0 || behind) && future <= maxJump) {
		t.rtp, t.pos, t.at = rtp, pos, at
		t.jumps, t.sameWay = 0, 0
		return Placement{Time: pos}
	}
	return t.jump(rtp, step > 0, since, at)
}

// jump deals with a stamp that makes no sense. One is restamped (an Intelbras
// DVR sends one every two seconds); several in one direction, or one behind a
// silence, are a new epoch (Tapo restarts at 0): it is joined at the distance
// of the arrivals.
func (t *track) jump(rtp uint32, forward bool, since, at time.Duration) Placement {
	if t.sameWay == 0 || forward != t.forward {
		t.sameWay, t.forward = 0, forward
	}
	t.jumps++
	t.sameWay++
	step := max(1, t.usual)
	if t.jumps >= jumpsToGiveUp {
		t.giveUp(at)
		return Placement{Time: t.smooth(at), Restamped: true}
	}
	silent := at-t.lastAt > max(maxJump, 2*t.usual.Duration(t.rate))
	if t.sameWay < jumpsToBelieve && !silent {
		return Placement{Time: t.last + step, Restamped: true}
	}
	pos := max(t.last+1, t.pos+media.FromDuration(since, t.rate))
	t.rtp, t.pos, t.at = rtp, pos, at
	if silent {
		t.jumps = 0
	}
	t.sameWay = 0
	t.spanAt = at // the ratio begins anew
	t.spanTop, t.spanN = pos, 0
	return Placement{Time: pos}
}

// standstill deals with a stamp that is the last one's (Vstarcam; some send 0
// for ever).
func (t *track) standstill(at time.Duration) Placement {
	if !t.isFrozen {
		t.isFrozen, t.frozen = true, t.lastAt
	}
	if at-t.frozen > maxFrozen {
		t.giveUp(at)
		return Placement{Time: t.smooth(at), Restamped: true}
	}
	if t.usual == 0 { // it stood still from the beginning: the arrivals are all there is
		return Placement{Time: t.last + max(1, media.FromDuration(at-t.lastAt, t.rate)), Restamped: true}
	}
	// Half a step: the next one may be only that far away.
	return Placement{Time: t.last + max(1, t.usual/2), Restamped: true}
}

// giveUp places by arrival from here on.
func (t *track) giveUp(at time.Duration) {
	t.byArrival = true
	t.period = t.usual
	t.pos, t.at = t.last, t.lastAt
}

// smooth is a position by arrival: a step of the usual length, drawn towards
// the arrival, as packets come in batches.
func (t *track) smooth(at time.Duration) media.Ticks {
	arrived := t.pos + media.FromDuration(at-t.at, t.rate)
	if t.period <= 0 { // a run of a camera that was given up begins, or its step was never known
		t.period = max(1, arrived-t.last)
	}
	pos := t.last + t.period
	off := arrived - pos
	if limit := media.FromDuration(maxJump, t.rate); off > limit || off < -limit {
		if off > 0 {
			return arrived
		}
		return t.last + 1
	}
	t.period = max(1, min(t.period+off/64, media.Ticks(t.rate)*10))
	return max(t.last+1, pos+off/8)
}

// learn keeps the usual step, and compares media time with arrival.
func (t *track) learn(p Placement, duration media.Ticks, at time.Duration) {
	if p.Hole {
		t.block, t.inBlock = p.Time, 0
		t.spanAt, t.spanTop, t.spanN = at, p.Time, 0
		return
	}
	top := max(t.top, p.Time)
	switch {
	case duration > 0:
		t.usual = duration
	case p.Restamped:
		t.block, t.inBlock = top, 0
	default:
		// A session may begin with a picture that others are shown before: then
		// the first block reaches from the lowest position on.
		if t.inBlock++; !t.stepped {
			t.block = min(t.block, p.Time)
		}
		switch {
		case t.inBlock == usualBlock:
			t.usual = max(1, (top-t.block)/media.Ticks(t.inBlock))
			t.block, t.inBlock, t.stepped = top, 0, true
		case t.usual == 0:
			t.usual = max(1, (top-t.block)/media.Ticks(t.inBlock))
		case !t.stepped && t.reorder != InOrder:
			// The second picture sent may be the fourth one shown: no two are
			// closer to each other than the usual step.
			for _, d := range [...]media.Ticks{p.Time - t.last, p.Time - t.block} {
				if d = max(d, -d); d > 0 {
					t.usual = min(t.usual, d)
				}
			}
		}
	}
	if t.byArrival || at < t.spanAt {
		t.spanTop = top
		return
	}
	t.spanN++
	if span := at - t.spanAt; span >= ratioSpan {
		ratio := float64((top - t.spanTop).Duration(t.rate)) / float64(span)
		bias := 0
		if t.spanN >= 5 && ratio < minRatio {
			bias = -1
		} else if t.spanN >= 5 && ratio > maxRatio {
			bias = 1
		}
		if bias != 0 && bias == t.bias {
			n := media.Ticks(t.spanN)
			t.giveUp(at)
			t.period = max(1, media.FromDuration(span, t.rate)/n)
			t.pos, t.at = p.Time, at
		}
		t.bias, t.spanAt, t.spanTop, t.spanN = bias, at, top, 0
	}
}
