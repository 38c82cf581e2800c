package store

import (
	"cmp"
	"math"
	"slices"
	"time"

	"nvr/internal/media"
)

func intersection(a, b media.Span) media.Span {
	return media.Span{From: max(a.From, b.From), To: min(a.To, b.To)}
}

func overlapsAny(list []media.Span, span media.Span) bool {
	return slices.ContainsFunc(list, span.Overlaps)
}

// union puts spans in order and those together that touch.
func union(list []media.Span) (out []media.Span) {
	slices.SortFunc(list, func(a, b media.Span) int { return cmp.Compare(a.From, b.From) })
	for _, s := range list {
		if n := len(out); n > 0 && s.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, s.To)
		} else if !s.Empty() {
			out = append(out, s)
		}
	}
	return out
}

// lessSpans is what is left of spans, which are as union makes them.
func lessSpans(list []media.Span, gone []media.Span) []media.Span {
	for _, g := range gone {
		var left []media.Span
		for _, s := range list {
			for _, piece := range []media.Span{{From: s.From, To: min(s.To, g.From)}, {From: max(s.From, g.To), To: s.To}} {
				if !piece.Empty() {
					left = append(left, piece)
				}
			}
		}
		list = left
	}
	return list
}

// lockedSpans are the spans of a stream that locks keep, on any of the volumes.
func lockedSpans(views []view, s *media.Stream) (spans []media.Span) {
	for _, w := range views {
		spans = append(spans, w.volume.locked(s.Camera.ID)...)
	}
	return union(spans)
}

// shownSpans are the spans of a stream that are shown: what is not older than
// oldest, and what is locked.
func shownSpans(views []view, s *media.Stream, oldest int64) []media.Span {
	recent := media.Span{From: oldest, To: math.MaxInt64}
	if oldest <= media.Always.From {
		return []media.Span{recent}
	}
	return union(append(lockedSpans(views, s), recent))
}

// sliver is up to what length a piece of a gap belongs to its neighbour.
const sliver = 100 * time.Millisecond

// besideKept corrects the reason of gaps beside footage that is kept in the vault:
// before the ring's oldest footage nobody knows what there was, it was written
// over, but for what locks cover.
func besideKept(views []view, s *media.Stream, gaps []media.Gap) []media.Gap {
	id, begins, kept := s.ID(), int64(math.MinInt64), false
	var lost []media.Span
	for _, w := range views {
		has, ring := false, int64(math.MaxInt64)
		for _, p := range w.snapshot {
			part, there := p.First(id)
			switch {
			case !there:
			case p.Kept > 0:
				has = true
			default:
				ring = min(ring, part.Span.From)
			}
		}
		if has {
			kept, begins = true, max(begins, ring)
			lost = append(lost, w.volume.lostOf(s.Camera.ID)...)
		}
	}
	if !kept {
		return gaps
	}
	known := lessSpans(lockedSpans(views, s), union(lost))
	var out []media.Gap
	for _, g := range gaps {
		if g.Reason != media.ReasonStopped || g.Span.To == 0 || g.Span.From >= begins {
			out = append(out, g)
			continue
		}
		gone := lessSpans([]media.Span{g.Span}, known)
		stopped := lessSpans([]media.Span{g.Span}, gone)
		stopped = slices.DeleteFunc(stopped, func(s media.Span) bool { return s.Duration() < sliver })
		gone = lessSpans([]media.Span{g.Span}, stopped)
		from := len(out)
		for _, piece := range gone {
			out = append(out, media.Gap{Stream: g.Stream, Span: piece, Reason: media.ReasonOverwritten})
		}
		for _, piece := range stopped {
			out = append(out, media.Gap{Stream: g.Stream, Span: piece, Reason: media.ReasonStopped, Detail: g.Detail})
		}
		slices.SortFunc(out[from:], func(a, b media.Gap) int { return cmp.Compare(a.Span.From, b.Span.From) })
	}
	return out
}

// lostOf lists the spans of a camera that locks could not keep.
func (v *Volume) lostOf(camera string) (spans []media.Span) {
	k := v.kept()
	for i := range k.register.Locks {
		l := &k.register.Locks[i]
		if l.Camera != camera {
			continue
		}
		for _, x := range v.lockStatus(k, l).Lost {
			spans = append(spans, x.Span)
		}
	}
	return spans
}
