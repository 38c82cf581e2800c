package index

import (
	"cmp"
	"slices"
	"time"

	"nvr/internal/media"
)

// Account is what was expected of a stream in a span of wall time, and what of it
// is missing. What is expected and not missing is recorded, to the nanosecond:
// wall time is counted once, also where a clock that was set back showed it twice.
type Account struct {
	Span     media.Span // from the first instant at which anything was expected to the last
	Expected time.Duration
	Missing  time.Duration
	Gaps     []media.Gap // in the order of time, cut to the span; none is open
}

// Recorded is what is not missing.
func (a *Account) Recorded() time.Duration { return a.Expected - a.Missing }

// Extent is what the ledger has to know of a part.
type Extent struct {
	Run  media.RunID
	Span media.Span
}

// Ledger makes up the account of one stream over a span from all that an archive
// has of it. Nothing is expected before the first thing that is known of it.
//
// ends is when the account ends: of a recorder that is running, now. Footage on its
// way to the disk is not missing, so unless a gap is open it ends with the last
// sample. Where nobody records (recording is false), what is behind the last
// sample is missing too; alive is the last sign of life of that recorder.
func Ledger(parts []Extent, known []media.Gap, span media.Span, ends, alive int64, recording bool) Account {
	first, last := int64(1<<62), int64(0)
	for i := range parts {
		first, last = min(first, parts[i].Span.From), max(last, parts[i].Span.To)
	}
	for i := range known {
		first = min(first, known[i].Span.From)
	}
	open := StillOpen(known, last)
	switch {
	case recording && open == nil:
		ends = last
	case !recording && open != nil && alive > open.Span.From && open.Reason != media.ReasonStopped && open.Reason != media.ReasonDisabled && open.Reason != media.ReasonUnwanted:
		known = append(known[:len(known):len(known)], media.Gap{Span: media.Span{From: alive}, Reason: media.ReasonStopped})
	}
	a := Account{Span: media.Span{From: max(span.From, first), To: min(span.To, ends)}}
	if a.Span.Empty() {
		a.Span.To = a.Span.From
		return a
	}
	a.Expected = a.Span.Duration()
	inside, between := split(known, a.Span)
	for _, g := range inside.gaps {
		a.add(g)
	}
	for _, hole := range holes(parts, a.Span, first, ends) {
		if !hole.Overlaps(a.Span) {
			continue
		}
		for _, g := range explain(hole, inside.without(hole), between.in(hole)) {
			a.add(g)
		}
	}
	slices.SortStableFunc(a.Gaps, func(x, y media.Gap) int { return cmp.Compare(x.Span.From, y.Span.From) })
	a.Gaps = joinGaps(a.Gaps)
	for i := range a.Gaps {
		a.Missing += a.Gaps[i].Missing()
	}
	return a
}

// add takes what lies in the span of a gap. What nobody asked for is not expected.
func (a *Account) add(g media.Gap) {
	piece := media.Span{From: max(g.Span.From, a.Span.From), To: min(g.Span.To, a.Span.To)}
	if piece.Empty() {
		return
	}
	if g.Reason == media.ReasonUnwanted {
		a.Expected -= piece.Duration()
		return
	}
	if piece != g.Span && g.Loss.Time > 0 { // where in its span it lies is not known: evenly
		g.Loss.Time = time.Duration(float64(g.Loss.Time) * float64(piece.Duration()) / float64(g.Span.Duration()))
	}
	if piece.From != g.Span.From { // it was counted where it began
		g.Loss.Packets, g.Loss.Missing, g.Loss.Damaged = 0, 0, 0
	}
	g.Span = piece
	a.Gaps = append(a.Gaps, g)
}

// Forget takes out of the account what was overwritten: gaps without a reason that
// end where a ring begins, or before it.
func (a *Account) Forget(oldest int64) {
	a.Gaps = slices.DeleteFunc(a.Gaps, func(g media.Gap) bool {
		if g.Reason != media.ReasonStopped || g.Detail != "" || g.Span.To > oldest {
			return false
		}
		a.Expected -= g.Missing()
		a.Missing -= g.Missing()
		return true
	})
}

// joinGaps makes one gap of two that touch and have the same reason.
func joinGaps(gaps []media.Gap) []media.Gap {
	joined := gaps[:0]
	for _, g := range gaps {
		if n := len(joined); n > 0 && joined[n-1].Span.To == g.Span.From && joined[n-1].Reason == g.Reason && g.Run == 0 && joined[n-1].Run == 0 {
			joined[n-1].Span.To = g.Span.To
			joined[n-1].Detail = cmp.Or(joined[n-1].Detail, g.Detail)
			continue
		}
		joined = append(joined, g)
	}
	return joined
}

// split tells gaps inside runs, which do not overlap each other, from the others.
// Those are left out that have nothing to do with the span, and what was told of a
// gap while it was open, where it is known when it ended.
func split(known []media.Gap, span media.Span) (inside, between gapSet) {
	type beginning struct {
		at     int64
		reason media.Reason
	}
	ended := map[beginning]bool{}
	for i := range known {
		if g := &known[i]; g.Run == 0 && g.Span.To != 0 {
			ended[beginning{g.Span.From, g.Reason}] = true
		}
	}
	var whole, parts, others []media.Gap
	for _, g := range known {
		switch {
		case g.Run == 0 && g.Span.To == 0 && ended[beginning{g.Span.From, g.Reason}]:
		case g.Run == 0 && (g.Span.To == 0 || g.Span.To > span.From) && g.Span.From < span.To:
			others = append(others, g)
		case g.Run == 0 || !g.Span.Overlaps(span):
		case g.Loss.Time == 0:
			whole = append(whole, g)
		default:
			parts = append(parts, g)
		}
	}
	byTime := func(a, b media.Gap) int { return cmp.Compare(a.Span.From, b.Span.From) }
	slices.SortStableFunc(whole, byTime)
	var apart []media.Gap
	end := int64(0)
	for i, g := range whole {
		if i > 0 && g.Span.From < end {
			g.Span.From = min(end, g.Span.To)
		}
		if end = max(end, g.Span.To); !g.Span.Empty() {
			apart = append(apart, g)
		}
	}
	// One that stands for several losses has good time in its span, in which others
	// may lie: they are not told twice.
	told := newGapSet(apart)
	slices.SortStableFunc(parts, byTime)
	for i, g := range parts {
		if i > 0 && g.Span.From < parts[i-1].Span.To {
			g.Span.From = min(parts[i-1].Span.To, g.Span.To)
		}
		free := time.Duration(0)
		for _, s := range told.without(g.Span) {
			free += s.Duration()
		}
		if g.Loss.Time = min(g.Loss.Time, free); free > 0 {
			apart = append(apart, g)
		}
	}
	return newGapSet(apart), newGapSet(others)
}

// gapSet finds gaps by time.
type gapSet struct {
	gaps  []media.Gap
	order []int   // by beginning
	reach []int64 // the latest end of the gaps up to there in order
}

// end is up to where a gap may matter. An open one explains the hole in which it
// began and no other.
func end(g *media.Gap) int64 {
	if g.Span.To == 0 {
		return g.Span.From + 2*int64(holeInsideRun)
	}
	return g.Span.To
}

func newGapSet(gaps []media.Gap) gapSet {
	s := gapSet{gaps: gaps, order: make([]int, len(gaps)), reach: make([]int64, len(gaps))}
	for i := range gaps {
		s.order[i] = i
	}
	slices.SortStableFunc(s.order, func(a, b int) int { return cmp.Compare(gaps[a].Span.From, gaps[b].Span.From) })
	for i, n := range s.order {
		s.reach[i] = end(&gaps[n])
		if i > 0 {
			s.reach[i] = max(s.reach[i], s.reach[i-1])
		}
	}
	return s
}

// in lists the gaps that may overlap a span, in their own order.
func (s *gapSet) in(span media.Span) []media.Gap {
	last, _ := slices.BinarySearchFunc(s.order, span.To, func(n int, to int64) int { return cmp.Compare(s.gaps[n].Span.From, to) })
	var found []int
	for i := last - 1; i >= 0 && s.reach[i] > span.From; i-- {
		if n := s.order[i]; end(&s.gaps[n]) > span.From {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	gaps := make([]media.Gap, len(found))
	for i, n := range found {
		gaps[i] = s.gaps[n]
	}
	return gaps
}

// without is what is left of a span outside of the gaps, all of which have ended.
func (s *gapSet) without(span media.Span) []media.Span {
	left := []media.Span{span}
	for _, g := range s.in(span) {
		var rest []media.Span
		for _, l := range left {
			for _, r := range []media.Span{{From: l.From, To: min(l.To, g.Span.From)}, {From: max(l.From, g.Span.To), To: l.To}} {
				if !r.Empty() {
					rest = append(rest, r)
				}
			}
		}
		left = rest
	}
	return left
}

// holes are the spans of wall time without footage that reach into span, whole,
// in order, between first and ends.
func holes(parts []Extent, span media.Span, first, ends int64) []media.Span {
	end, run, next := first, media.RunID(0), ends
	var within []*Extent
	for i := range parts {
		switch p := &parts[i]; {
		case p.Span.From < span.From:
			if p.Span.To > end {
				end, run = p.Span.To, p.Run
			}
		case p.Span.From >= span.To:
			next = min(next, p.Span.From)
		default:
			within = append(within, p)
		}
	}
	slices.SortFunc(within, func(a, b *Extent) int { return cmp.Compare(a.Span.From, b.Span.From) })
	var list []media.Span
	for _, p := range within {
		if s := (media.Span{From: end, To: p.Span.From}); s.Duration() >= leastHole(run, p.Run) {
			list = append(list, s)
		}
		if p.Span.To > end {
			end, run = p.Span.To, p.Run
		}
	}
	if s := (media.Span{From: end, To: next}); s.Duration() >= holeBetweenRuns && s.Overlaps(span) {
		list = append(list, s)
	}
	return list
}

// leastHole is the shortest hole between two runs.
func leastHole(a, b media.RunID) time.Duration {
	if a == b {
		return holeInsideRun
	}
	return holeBetweenRuns
}

// StillOpen is the gap that is open behind the last footage, or nil.
func StillOpen(known []media.Gap, last int64) *media.Gap {
	var open *media.Gap
	for i := range known {
		switch g := &known[i]; {
		case g.Span.To == 0 && g.Span.From >= last-int64(holeInsideRun):
			if open == nil || g.Span.From >= open.Span.From {
				open = g
			}
		case open != nil && g.Span.To != 0 && g.Span.From == open.Span.From && g.Reason == open.Reason:
			open = nil
		}
	}
	return open
}
