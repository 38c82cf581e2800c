package index

import (
	"cmp"
	"slices"
	"time"

	"nvr/internal/media"
)

// Holes shorter than these are how media is, not gaps: a run's last sample has
// an estimated duration, a run may begin again to correct its clock.
const (
	holeBetweenRuns = 100 * time.Millisecond
	holeInsideRun   = time.Second
)

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
	a.Span.To = max(a.Span.To, b.Span.To)
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

// Gaps lists the spans without samples between a stream's segments, and behind
// them when a gap is open still (its To is 0), each with the reason on record;
// where there is none, nobody was recording. Segments of one run may overlap:
// those of two volumes.
func Gaps(known []media.Gap, segments []Part) []media.Gap {
	var gaps []media.Gap
	end := int64(0)
	for i := range segments {
		s := &segments[i]
		least := holeBetweenRuns
		sameRun := i > 0 && segments[i-1].Run == s.Run
		if sameRun {
			least = holeInsideRun
		}
		if hole := (media.Span{From: end, To: s.Span.From}); i > 0 && hole.Duration() >= least {
			gaps = append(gaps, explain(hole, known)...)
		}
		if sameRun {
			end = max(end, s.Span.To)
		} else {
			end = s.Span.To
		}
	}
	// What is on record behind the last segment: closed gaps, then an open one.
	if n := len(known); n > 0 {
		if g := known[n-1]; g.Span.To == 0 && g.Span.From >= end-int64(holeInsideRun) {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// explain cuts a hole into the pieces that the records give a reason for. A
// later record knows better than an earlier one, and a closed gap better than
// the open one that announced it.
func explain(hole media.Span, known []media.Gap) []media.Gap {
	free := []media.Span{hole}
	var out []media.Gap
	take := func(g media.Gap, span media.Span) {
		var rest []media.Span
		for _, f := range free {
			piece := media.Span{From: max(f.From, span.From), To: min(f.To, span.To)}
			if piece.Empty() {
				rest = append(rest, f)
				continue
			}
			out = append(out, media.Gap{Span: piece, Reason: g.Reason, Detail: g.Detail})
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
	for _, closed := range []bool{true, false} {
		for i := len(known) - 1; i >= 0; i-- {
			g := known[i]
			if (g.Span.To != 0) != closed {
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
		out = append(out, media.Gap{Span: f, Reason: media.ReasonStopped})
	}
	slices.SortFunc(out, func(a, b media.Gap) int { return cmp.Compare(a.Span.From, b.Span.From) })
	return out
}
