package index

import (
	"cmp"
	"slices"
	"time"

	"nvr/internal/media"
)

// Holes shorter than these are how media is, not gaps: a run's last sample has
// an estimated duration, a run may begin again because a camera's clock is slow.
// Where a gap is on record, shorter ones count.
const (
	holeBetweenRuns = 100 * time.Millisecond
	holeUnexplained = 600 * time.Millisecond
	holeInsideRun   = time.Second
)

// overlapBetweenRuns is by how much a run may begin before the one before it ends:
// because a camera's clock is fast, or because a camera that is connected to again
// begins with what it has kept. More is a clock that was set back.
const overlapBetweenRuns = 10 * time.Second

// Settle corrects what the first seconds of a run say of their time, each run's as
// bases has it, and lets no segment reach into the one behind it: there the later
// one knows better what time it was.
func Settle(segments []*Part, bases map[media.RunID]int64) {
	for i, p := range segments {
		if base, ok := bases[p.Run]; ok {
			p.Settle(base)
		}
		if i == 0 || segments[i-1].Run == p.Run {
			continue
		}
		for k := i - 1; k >= 0; k-- { // GOPs as short as a segment
			before := segments[k]
			if over := time.Duration(before.Span.To - p.Span.From); over <= 0 || over > overlapBetweenRuns {
				break
			}
			before.Span.To = max(before.Span.From+1, p.Span.From) // not nothing: its samples are there
		}
	}
}

// Segments lists the segments of a stream in the order in which they were
// recorded, parts of one segment in successive pools joined.
func (s Snapshot) Segments(id media.StreamID, length time.Duration) []Part {
	var list []Part
	for _, p := range s {
		first := true
		for part := range p.Of(id) {
			if n := len(list); first && n > 0 && continues(&list[n-1], &part, length) {
				join(&list[n-1], &part)
			} else {
				list = append(list, part)
			}
			first = false
		}
	}
	return list
}

func continues(a, b *Part, length time.Duration) bool {
	return a.Run == b.Run && (!b.Sync || time.Duration(b.Span.From-a.Span.From) < length) && time.Duration(b.Span.From-a.Span.To) < holeInsideRun
}

func join(a, b *Part) {
	if b.Span.To >= a.Span.To {
		a.Span.To, a.until, a.early = b.Span.To, b.until, b.early
	}
	a.Bytes += b.Bytes
	if !a.video && b.video {
		a.video, a.Params, a.Samples = true, b.Params, b.Samples
	} else if a.video == b.video {
		a.Samples += b.Samples
	}
}

// KnownGaps lists what is on record of a stream's gaps, in the order in which it
// was told.
func (s Snapshot) KnownGaps(id media.StreamID) []media.Gap {
	var known []media.Gap
	for _, p := range s {
		for _, g := range p.Gaps {
			if g.Stream == id {
				known = append(known, g.Gap)
			}
		}
	}
	return known
}

// Gaps lists the spans without samples between a stream's segments and inside
// them, and behind them when a gap is open still (its To is 0), each with the
// reason on record; where there is none, nobody was recording. Segments of one run
// may overlap: those of two volumes.
func Gaps(known []media.Gap, segments []Part) []media.Gap {
	inside, between := split(known, media.Always)
	var gaps []media.Gap
	runs := map[media.RunID]bool{}
	end := int64(0)
	for i := range segments {
		s := &segments[i]
		runs[s.Run] = true
		sameRun := i > 0 && segments[i-1].Run == s.Run
		least := holeBetweenRuns
		if sameRun {
			least = holeInsideRun
		}
		if hole := (media.Span{From: end, To: s.Span.From}); i > 0 && hole.Duration() >= least {
			gaps = append(gaps, explain(hole, inside.without(hole), between.in(hole))...)
		}
		if sameRun {
			end = max(end, s.Span.To)
		} else {
			end = s.Span.To
		}
	}
	for _, g := range known { // marks: what is to be known of a moment
		if g.Span.To != 0 && g.Span.Empty() && g.Reason == media.ReasonClock && len(segments) > 0 {
			gaps = append(gaps, g)
		}
	}
	if n := len(gaps); len(inside.gaps) > 0 {
		for _, g := range inside.gaps {
			if runs[g.Run] {
				gaps = append(gaps, g)
			}
		}
		if len(gaps) > n {
			slices.SortStableFunc(gaps, func(a, b media.Gap) int { return cmp.Compare(a.Span.From, b.Span.From) })
		}
	}
	if open := StillOpen(known, end); open != nil {
		if hole := (media.Span{From: end, To: open.Span.From}); end > 0 && hole.Duration() >= holeBetweenRuns {
			gaps = append(gaps, explain(hole, []media.Span{hole}, between.in(hole))...)
		}
		gaps = append(gaps, *open)
		if n := len(gaps); n > 1 && gaps[n-2].Span.To == open.Span.From && gaps[n-2].Reason == open.Reason {
			gaps[n-2].Span.To, gaps = 0, gaps[:n-1]
		}
	}
	return gaps
}

// rankOf is how much a gap is worth as an explanation, 0 the most. That a clock was
// set forward explains what nothing else does: it may have been set back since.
func rankOf(g *media.Gap) int {
	switch {
	case g.Reason == media.ReasonClock:
		return 2
	case g.Span.To == 0:
		return 1
	}
	return 0
}

// explain cuts a hole into the pieces that the records give a reason for. A
// later record knows better than an earlier one, and a closed gap better than
// the open one that announced it. One that nobody closed, because the recorder
// was killed, ended with the hole in which it began.
// Only the free parts of the hole are told of.
func explain(hole media.Span, free []media.Span, known []media.Gap) []media.Gap {
	var out []media.Gap
	take := func(g media.Gap, span media.Span) {
		var rest []media.Span
		for _, f := range free {
			piece := media.Span{From: max(f.From, span.From), To: min(f.To, span.To)}
			if piece.Empty() {
				rest = append(rest, f)
				continue
			}
			out = append(out, media.Gap{Span: piece, Reason: g.Reason, Detail: g.Detail, Loss: g.Loss})
			for _, r := range []media.Span{{From: f.From, To: piece.From}, {From: piece.To, To: f.To}} {
				if r.Duration() >= holeBetweenRuns {
					rest = append(rest, r)
				} else if !r.Empty() { // a sliver belongs to its neighbour
					o := &out[len(out)-1].Span
					o.From, o.To = min(o.From, r.From), max(o.To, r.To)
				}
			}
		}
		free = rest
	}
	for _, rank := range []int{0, 1, 2} {
		for i := len(known) - 1; i >= 0; i-- {
			g := known[i]
			closed := g.Span.To != 0
			if rankOf(&g) != rank || !closed && g.Span.From < hole.From-int64(holeInsideRun) {
				continue
			}
			span := g.Span
			if !closed {
				span.To = hole.To
			}
			take(g, span)
		}
	}
	for _, f := range free {
		if f.Duration() >= holeUnexplained {
			out = append(out, media.Gap{Span: f, Reason: media.ReasonStopped})
		}
	}
	slices.SortFunc(out, func(a, b media.Gap) int { return cmp.Compare(a.Span.From, b.Span.From) })
	return joinGaps(out)
}
