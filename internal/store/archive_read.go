package store

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
)

// latestCorrection is by how much the time of a run's first records may be
// corrected, at most: by what a camera sends at once when it is connected to.
const latestCorrection = 10 * time.Second

// view is a volume as a reader sees it at one moment. A reader of several
// volumes merges their views; one volume is the same with nothing to merge.
//
// What a stream has on one volume stays in the order in which it was written
// there. Between volumes the run decides, and inside a run media time: neither
// depends on a clock that may be set.
type view struct {
	number   int // of the volume in the archive
	volume   *Volume
	snapshot index.Snapshot
}

func (v *Volume) view(number int) view { return view{number, v, v.withKept(v.index.Load())} }

// ring is the view without what is kept of pools that the ring has not any more.
func (w view) ring() view {
	w.snapshot = slices.DeleteFunc(slices.Clone(w.snapshot), func(p *index.Pool) bool { return p.Kept > 0 })
	return w
}

// merge puts lists together, the order of each unchanged.
func merge[T any](lists [][]T, before func(a, b T) bool) []T {
	if len(lists) == 1 {
		return lists[0]
	}
	var all []T
	for {
		next := -1
		for i, l := range lists {
			if len(l) > 0 && (next < 0 || before(l[0], lists[next][0])) {
				next = i
			}
		}
		if next < 0 {
			return all
		}
		all = append(all, lists[next][0])
		lists[next] = lists[next][1:]
	}
}

// mergedEntries is Volume.Entries of all views as one.
func mergedEntries(ctx context.Context, views []view, id media.StreamID, span media.Span) iter.Seq2[*media.Entry, error] {
	return func(yield func(*media.Entry, error) bool) {
		bases := runBases(views, id)
		views := reach(views, id, span, bases)
		walks := make([]iter.Seq2[found, error], len(views))
		for i := range views {
			walks[i] = views[i].walk(ctx, id, span, bases)
		}
		l := leadIn{span: span, yield: yield}
		for f, err := range inOrder(walks) {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if !l.add(f.track, f.entry, f.load) || l.stopped {
				return
			}
		}
	}
}

// found is a record in its directory.
type found struct {
	view  *view
	kept  uint32 // index.Pool.Kept
	group *pool.Group
	entry *pool.Entry
	track *media.Track
}

func (f *found) load() (*media.Entry, error) {
	e, err := f.view.volume.entry(f.group, f.entry, f.track)
	if e != nil {
		e.Ref.Volume, e.Ref.Kept = f.view.number, f.kept
	}
	return e, err
}

func (f *found) before(o *found) bool {
	if f.entry.Run != o.entry.Run {
		return f.entry.Run < o.entry.Run
	}
	return f.entry.Start.Duration(f.track.ClockRate) < o.entry.Start.Duration(o.track.ClockRate)
}

// walk yields the records of a stream in the view's pools, in the order in which
// they were written. After an error it goes on where that makes sense.
func (w *view) walk(ctx context.Context, id media.StreamID, span media.Span, bases map[media.RunID]int64) iter.Seq2[found, error] {
	return func(yield func(found, error) bool) {
		for _, p := range w.snapshot {
			if !p.Holds(id) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(found{}, err)
				return
			}
			groups, err := w.volume.directory(p)
			if err != nil {
				yield(found{}, err)
				return
			}
			for i := range groups {
				g := &groups[i]
				if g.First-int64(latestCorrection) >= span.To {
					continue
				}
				stopped := false
				err := g.Entries(func(e *pool.Entry) bool {
					if e.Kind != pool.KindSamples || e.Stream != id {
						return true
					}
					t := w.volume.names.Track(e.Params)
					if t == nil {
						return true // its description is damaged, and nowhere else
					}
					if base, ok := bases[e.Run]; ok {
						if offset := e.Start.Duration(t.ClockRate); index.Provisional(offset) {
							late := e.Wall - (base + int64(offset))
							e.Wall, e.WallEnd = e.Wall-late, e.WallEnd-late
						}
					}
					stopped = !yield(found{w, p.Kept, g, e, t}, nil)
					return !stopped
				})
				if stopped || err != nil && !yield(found{}, err) {
					return
				}
			}
		}
	}
}

// inOrder merges walks.
func inOrder(walks []iter.Seq2[found, error]) iter.Seq2[found, error] {
	if len(walks) == 1 {
		return walks[0]
	}
	return func(yield func(found, error) bool) {
		type head struct {
			f    found
			err  error
			next func() (found, error, bool)
		}
		var heads []*head
		for _, walk := range walks {
			next, stop := iter.Pull2(walk)
			defer stop()
			heads = append(heads, &head{next: next})
		}
		step := func(h *head) bool {
			var ok bool
			h.f, h.err, ok = h.next()
			return !ok
		}
		heads = slices.DeleteFunc(heads, step)
		for len(heads) > 0 {
			first := 0
			for i, h := range heads {
				if h.err != nil || heads[first].err == nil && h.f.before(&heads[first].f) {
					first = i
				}
			}
			h := heads[first]
			if !yield(h.f, h.err) {
				return
			}
			if step(h) {
				heads = slices.Delete(heads, first, first+1)
			}
		}
	}
}

// part is what one pool holds of a segment.
type part struct {
	index.Part
	view int // which of the views
	pool int // which of its pools
}

func (p part) before(o part) bool {
	return cmp.Or(cmp.Compare(p.Run, o.Run), cmp.Compare(p.Span.From, o.Span.From)) < 0
}

// reach returns the views cut to the pools that can hold what Entries must
// yield: those whose parts overlap span, and before them those with which the
// first of them began its run's sync sample, on whatever volume.
func reach(views []view, id media.StreamID, span media.Span, bases map[media.RunID]int64) []view {
	lists := make([][]part, len(views))
	for v := range views {
		for i, p := range views[v].snapshot {
			for q := range p.Of(id) {
				if base, ok := bases[q.Run]; ok {
					q.Settle(base)
				}
				lists[v] = append(lists[v], part{q, v, i})
			}
		}
	}
	parts := merge(lists, part.before)
	overlaps := slices.IndexFunc(parts, func(p part) bool { return p.Span.Overlaps(span) })
	if overlaps < 0 {
		return nil
	}
	first := overlaps
	for ; first > 0; first-- {
		if p := parts[first]; p.Sync && p.Span.From <= span.From || parts[first-1].Run != p.Run {
			break
		}
	}
	from, to := make([]int, len(views)), make([]int, len(views))
	for i, p := range parts[first:] {
		if first+i > overlaps && !p.Span.Overlaps(span) {
			continue
		}
		if to[p.view] == 0 {
			from[p.view] = p.pool
		}
		from[p.view], to[p.view] = min(from[p.view], p.pool), max(to[p.view], p.pool+1)
	}
	var cut []view
	for i, v := range views {
		if to[i] > 0 {
			v.snapshot = v.snapshot[from[i]:to[i]]
			cut = append(cut, v)
		}
	}
	return cut
}

// runBases is when the runs of a stream really began, where that is known better
// than by their first records.
func runBases(views []view, id media.StreamID) map[media.RunID]int64 {
	bases := map[media.RunID]int64{}
	for _, v := range views {
		for _, p := range v.snapshot {
			for part := range p.Of(id) {
				if base, ok := part.Base(); ok {
					if known, ok := bases[part.Run]; !ok || base < known {
						bases[part.Run] = base
					}
				}
			}
		}
	}
	return bases
}

// mergedStreams lists every stream that has footage in a view, or a gap on record.
func mergedStreams(views []view) []*media.Stream {
	seen := map[media.StreamID]bool{}
	var list []*media.Stream
	for _, v := range views {
		add := func(id media.StreamID) {
			if !seen[id] {
				if s := v.volume.names.stream(id); s != nil {
					seen[id] = true
					list = append(list, s)
				}
			}
		}
		for _, p := range v.snapshot {
			for id := range p.Streams() {
				add(id)
			}
			for i := range p.Gaps {
				add(p.Gaps[i].Stream)
			}
		}
	}
	slices.SortFunc(list, func(a, b *media.Stream) int {
		return cmp.Or(cmp.Compare(a.Camera.ID, b.Camera.ID), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// trackOf is what a Params number means on any of the volumes.
func trackOf(views []view, params uint32) *media.Track {
	for _, v := range views {
		if t := v.volume.names.Track(params); t != nil {
			return t
		}
	}
	return nil
}

// mergedSegments lists a stream's segments in the order in which they were recorded.
func mergedSegments(views []view, id media.StreamID) []part {
	lists := make([][]part, len(views))
	for v := range views {
		parts := views[v].snapshot.Segments(id, views[v].volume.o.SegmentDuration)
		for i := range parts {
			lists[v] = append(lists[v], part{parts[i], v, int(parts[i].Pool)})
		}
	}
	parts := merge(lists, part.before)
	settled := make([]*index.Part, len(parts))
	for i := range parts {
		settled[i] = &parts[i].Part
	}
	index.Settle(settled, runBases(views, id))
	return parts
}

// mergedKnown is what is on record of a stream's gaps.
func mergedKnown(views []view, id media.StreamID) []media.Gap {
	var known []media.Gap
	told := 0
	for _, v := range views {
		n := len(known)
		if known = append(known, v.snapshot.KnownGaps(id)...); len(known) > n {
			told++
		}
	}
	if told > 1 {
		sortKnown(known)
	}
	return known
}

// sortKnown puts what several volumes tell of gaps in order: one may have been
// opened on one volume and closed on another.
func sortKnown(known []media.Gap) {
	slices.SortStableFunc(known, func(a, b media.Gap) int {
		return cmp.Or(cmp.Compare(a.Span.From, b.Span.From), cmp.Compare(min(a.Span.To, 1), min(b.Span.To, 1)))
	})
}

// mergedGaps lists a stream's gaps. parts are its segments.
func mergedGaps(views []view, s *media.Stream, parts []part) []media.Gap {
	known := mergedKnown(views, s.ID())
	plain := make([]index.Part, len(parts))
	for i, p := range parts {
		plain[i] = p.Part
	}
	return besideKept(views, s, overwritten(views, parts, index.Gaps(known, plain)))
}

// overwritten corrects the reason of gaps that end where a volume's oldest footage
// of the stream begins, if that volume's ring has come round: another one, which
// is deeper, has what was before.
func overwritten(views []view, parts []part, gaps []media.Gap) []media.Gap {
	if len(views) == 1 {
		return gaps
	}
	seen := map[int]bool{}
	for _, p := range parts {
		if seen[p.view] {
			continue
		}
		seen[p.view] = true
		// Each generation is a pool taken into use. A ring that has grown may have
		// come round although it has pools that were never used.
		if used := views[p.view].volume.ring.Used(); used[len(used)-1].Generation <= uint64(len(used)) {
			continue
		}
		for i := range gaps {
			if g := &gaps[i]; g.Reason == media.ReasonStopped && g.Span.To == p.Span.From {
				g.Reason = media.ReasonOverwritten
			}
		}
	}
	return gaps
}

// mergedList is List of all views as one. since (may be nil) says before when nothing
// of a camera is shown.
func mergedList(ctx context.Context, views []view, q Query, since func(*media.Stream) int64) (Listing, error) {
	if q.Span == (media.Span{}) {
		q.Span = media.Always
	}
	var l Listing
	for _, s := range mergedStreams(views) {
		if err := ctx.Err(); err != nil {
			return l, err
		}
		if !q.takes(s) {
			continue
		}
		oldest := media.Always.From
		if since != nil {
			oldest = since(s)
		}
		shown := shownSpans(views, s, oldest)
		parts := mergedSegments(views, s.ID())
		for _, p := range parts {
			for _, at := range shown {
				if at = intersection(p.Span, at); at.Empty() || !at.Overlaps(q.Span) {
					continue
				}
				seg := media.Segment{Stream: s, Run: p.Run, Span: at, Bytes: p.Bytes, Samples: p.Samples, Volume: views[p.view].number, Pool: p.Pool, Kept: p.Kept}
				if t := trackOf(views, p.Params); t != nil {
					seg.Codec = t.Codec
				}
				l.Segments = append(l.Segments, seg)
			}
		}
		for _, g := range mergedGaps(views, s, parts) {
			lasts := g.Span
			if lasts.To == 0 {
				lasts.To = media.Always.To
			}
			for _, at := range shown {
				moment := lasts.Empty() && lasts.From >= max(at.From, q.Span.From) && lasts.From < min(at.To, q.Span.To)
				if at = intersection(lasts, at); !moment && (at.Empty() || !at.Overlaps(q.Span)) {
					continue
				}
				seen := g
				seen.Stream, seen.Span.From = s, at.From
				if g.Span.To != 0 {
					seen.Span.To = at.To
				}
				l.Gaps = append(l.Gaps, seen)
			}
		}
	}
	return l, nil
}

// streamStatuses tells what the views have of each stream.
func streamStatuses(views []view, since func(*media.Stream) int64) []StreamStatus {
	var all []StreamStatus
	for _, s := range mergedStreams(views) {
		parts := mergedSegments(views, s.ID())
		if since != nil {
			oldest := since(s)
			parts = slices.DeleteFunc(parts, func(p part) bool { return p.Span.To <= oldest })
			for i := range parts {
				parts[i].Span.From = max(parts[i].Span.From, oldest)
			}
		}
		if len(parts) == 0 {
			continue
		}
		plain := make([]index.Part, len(parts))
		for i, p := range parts {
			plain[i] = p.Part
		}
		st := streamStatus(s, plain)
		if t := trackOf(views, plain[len(plain)-1].Params); t != nil {
			st.Codec = t.Codec
		}
		st.Volume = views[parts[len(parts)-1].view].number
		all = append(all, st)
	}
	return all
}
