package ingest

import (
	"time"

	"nvr/internal/media"
)

// maxGapsKept bounds the gaps that the recorder would not take yet.
const maxGapsKept = 64

// maxAhead is how far the end of what is recorded may be in the future: the
// last sample's length is a guess.
const maxAhead = 2 * time.Second

// renewEvery is how often a gap that lasts is ended and begun anew: when the recorder
// is killed meanwhile, it is known until when it was at work.
const renewEvery = 10 * time.Minute

// gaps keeps account of the time without samples. There is at most one gap at
// a time; the next record of the leading track ends it.
type gaps struct {
	stream   *media.Stream
	recorder Recorder

	end       int64       // wall time at which what is recorded ends
	run       media.RunID // of what is recorded last
	current   media.Gap
	isOpen    bool
	announced bool // the current gap was offered, with its end open
	refused   []media.Gap

	step     time.Duration // of samples, where current is a loss
	losses   media.Gap     // that were not told yet; Run 0: none
	lossTold int64         // wall time up to which they were
}

// open begins a gap at the end of what is recorded and tells at once: nobody
// knows how long it will be. A gap that is open already ends now if its reason
// was another.
func (g *gaps) open(why media.Reason, detail string, now int64) {
	from := g.end
	if time.Duration(from-now) > maxAhead { // the clock went back
		from = now
	}
	if g.isOpen {
		if g.current.Reason == why && g.announced && (time.Duration(now-g.current.Span.From)).Abs() < renewEvery {
			return
		}
		if g.announced {
			from = max(now, g.current.Span.From)
			g.close(from)
		}
		g.isOpen = false
	}
	g.note(why, detail, from)
	g.announced = true
	g.offer(g.current)
}

// note begins a gap that is told when it ends: a hole inside a session.
func (g *gaps) note(why media.Reason, detail string, from int64) {
	if g.isOpen {
		return
	}
	g.tellLosses() // they do not reach over another gap
	g.isOpen, g.announced = true, false
	g.current = media.Gap{Stream: g.stream, Span: media.Span{From: from}, Reason: why, Detail: detail}
}

// mark says something of a moment: a gap of no length.
func (g *gaps) mark(why media.Reason, detail string, at int64) {
	g.offer(media.Gap{Stream: g.stream, Span: media.Span{From: at, To: at}, Reason: why, Detail: detail})
}

// recorded tells that a record of the leading track was offered: what gap there
// was ends with it, and where it was refused the next one begins.
func (g *gaps) recorded(run media.RunID, wall, end int64, accepted bool) {
	if g.isOpen && (accepted || g.current.Reason != media.ReasonOverload) {
		if accepted && run == g.run {
			g.current.Run = run
		}
		g.close(wall)
	}
	if accepted {
		g.end, g.run = end, run
	} else {
		g.note(media.ReasonOverload, "the writer's queue is full", wall)
	}
}

// close ends the gap at a time. One that was told of must be ended even if it
// has no length, and so is a clock that was set back: the record of it says so.
func (g *gaps) close(to int64) {
	g.isOpen = false
	g.current.Span.To = max(to, g.current.Span.From)
	g.missed()
	if g.announced || !g.current.Span.Empty() || g.current.Reason == media.ReasonClock {
		g.offer(g.current)
	}
}

func (g *gaps) offer(gap media.Gap) {
	if len(g.refused) == 0 && g.recorder.OfferGap(gap) {
		return
	}
	if len(g.refused) == maxGapsKept {
		g.refused = g.refused[1:]
	}
	g.refused = append(g.refused, gap)
}

// retry offers again what was refused, and losses for which it is time.
func (g *gaps) retry(now int64) {
	if (time.Duration(now - g.lossTold)).Abs() >= lossEvery {
		g.tellLosses()
	}
	for len(g.refused) > 0 && g.recorder.OfferGap(g.refused[0]) {
		g.refused = g.refused[1:]
	}
}
