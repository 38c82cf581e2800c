package store

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
)

// cacheBytes bounds the directories of sealed pools that are kept in memory for
// readers: a pool of 16 cameras of 4 Mbit/s has one of about 150 KB.
const cacheBytes = 8 << 20

// Streams lists every stream that has footage, or a gap on record.
func (v *Volume) Streams() []*media.Stream {
	seen := map[media.StreamID]bool{}
	var list []*media.Stream
	add := func(id media.StreamID) {
		if !seen[id] {
			seen[id] = true
			if s := v.names.stream(id); s != nil {
				list = append(list, s)
			}
		}
	}
	for _, p := range v.index.Load() {
		for i := range p.Parts {
			add(p.Parts[i].Stream)
		}
		for i := range p.Gaps {
			add(p.Gaps[i].Stream)
		}
	}
	return list
}

// Entries yields the records of a stream that overlap span in the order in
// which they were written, all tracks. It begins, when there is one, with the
// latest record of the same run that starts with a sync sample at or before
// span.From, so that decoding can begin. What the index does not have yet
// (see Status.Indexed) is not found.
func (v *Volume) Entries(ctx context.Context, id media.StreamID, span media.Span) iter.Seq2[*media.Entry, error] {
	return func(yield func(*media.Entry, error) bool) {
		snapshot := v.index.Load()
		first, last := reach(snapshot, id, span)
		bases := runBases(snapshot[first:last], id)
		l := leadIn{span: span, yield: yield}
		for _, p := range snapshot[first:last] {
			if !holds(p, id) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			groups, err := v.directory(p)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range groups {
				g := &groups[i]
				if g.First >= span.To {
					continue
				}
				err := g.Entries(func(e *pool.Entry) bool {
					if e.Kind != pool.KindSamples || e.Stream != id {
						return true
					}
					t := v.names.Track(e.Params)
					if t == nil {
						return true // its description is damaged, and nowhere else
					}
					if base, ok := bases[e.Run]; ok {
						if offset := e.Start.Duration(t.ClockRate); index.Provisional(offset) {
							late := e.Wall - (base + int64(offset))
							e.Wall, e.WallEnd = e.Wall-late, e.WallEnd-late
						}
					}
					return l.add(t, e, func() (*media.Entry, error) { return v.entry(g, e, t) })
				})
				if err != nil && !yield(nil, err) || l.stopped {
					return
				}
			}
		}
	}
}

// reach is the range of pools that can hold what Entries must yield: those
// whose parts overlap span, and before them those with which the first of them
// began its run's sync sample.
func reach(s index.Snapshot, id media.StreamID, span media.Span) (first, last int) {
	first = -1
	for i, p := range s {
		for k := range p.Parts {
			if part := &p.Parts[k]; part.Stream == id && part.Span.Overlaps(span) {
				if first < 0 {
					first = i
				}
				last = i + 1
			}
		}
	}
	if first < 0 {
		return 0, 0
	}
	for ; first > 0; first-- {
		part := firstPart(s[first], id)
		if part == nil || part.Sync && part.Span.From <= span.From || !holdsRun(s[first-1], id, part.Run) {
			break
		}
	}
	return first, last
}

// runBases is when the runs of a stream really began, where that is known better
// than by their first records.
func runBases(s index.Snapshot, id media.StreamID) map[media.RunID]int64 {
	bases := map[media.RunID]int64{}
	for _, p := range s {
		for k := range p.Parts {
			if part := &p.Parts[k]; part.Stream == id {
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

func firstPart(p *index.Pool, id media.StreamID) *index.Part {
	for k := range p.Parts {
		if p.Parts[k].Stream == id {
			return &p.Parts[k]
		}
	}
	return nil
}

func holds(p *index.Pool, id media.StreamID) bool { return firstPart(p, id) != nil }

func holdsRun(p *index.Pool, id media.StreamID, run media.RunID) bool {
	for k := range p.Parts {
		if p.Parts[k].Stream == id && p.Parts[k].Run == run {
			return true
		}
	}
	return false
}

// leadIn holds back entries from the newest sync sample on until one reaches
// into the span, passes over duplicates (a batch that was written again after
// an error may stand twice), and stops when nobody listens any more.
type leadIn struct {
	span    media.Span
	yield   func(*media.Entry, error) bool
	stopped bool

	run    media.RunID
	starts [3]media.Ticks // by track: the newest start in this run
	held   []func() (*media.Entry, error)
}

func (l *leadIn) add(t *media.Track, e *pool.Entry, load func() (*media.Entry, error)) bool {
	if e.Track > media.AudioTrack || e.Wall >= l.span.To {
		return true
	}
	if e.Run != l.run {
		l.run, l.held, l.starts = e.Run, nil, [3]media.Ticks{-1, -1, -1}
	}
	if e.Start <= l.starts[e.Track] {
		return true
	}
	l.starts[e.Track] = e.Start
	video := t.Kind == media.Video
	if e.WallEnd <= l.span.From {
		if video {
			if e.StartsSync() {
				l.held = l.held[:0]
			}
			l.held = append(l.held, load)
		}
		return true
	}
	if video {
		if !e.StartsSync() || e.Wall > l.span.From {
			for _, load := range l.held {
				if !l.emit(load()) {
					return false
				}
			}
		}
		l.held = nil
	}
	return l.emit(load())
}

func (l *leadIn) emit(e *media.Entry, err error) bool {
	l.stopped = !l.yield(e, err)
	return !l.stopped
}

// entry turns what stands in a directory into what readers work with.
func (v *Volume) entry(g *pool.Group, e *pool.Entry, t *media.Track) (*media.Entry, error) {
	if err := e.Decode(); err != nil {
		return nil, err
	}
	out := &media.Entry{
		Stream: v.names.stream(e.Stream), Track: e.Track, Params: t, Run: e.Run, Start: e.Start, Wall: e.Wall, Samples: e.Samples,
		Ref: media.Ref{Pool: g.Pool, Generation: g.Generation, Group: g.Offset, Offset: e.Offset, Length: e.Length, CRC: e.CRC},
	}
	for _, s := range e.Samples {
		out.Duration += media.Ticks(s.Duration)
	}
	return out, nil
}

// committed is what OnCommit hears of groups that are durable now.
func (v *Volume) committed(groups []pool.Group) []*media.Entry {
	var list []*media.Entry
	for i := range groups {
		g := &groups[i]
		err := g.Entries(func(e *pool.Entry) bool {
			if e.Kind == pool.KindSamples {
				entry, err := v.entry(g, e, v.names.Track(e.Params))
				if err != nil {
					panic("store: a record of ours cannot be read: " + err.Error())
				}
				list = append(list, entry)
			}
			return true
		})
		if err != nil {
			panic("store: a group of ours cannot be read: " + err.Error())
		}
	}
	return list
}

// Payload appends a record's payload to dst. The error is media.ErrOverwritten
// when its pool was reused since, a *media.DamagedError when the bytes are not
// those that were written.
func (v *Volume) Payload(ctx context.Context, ref media.Ref, dst []byte) ([]byte, error) {
	n := int(ref.Pool)
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	if n >= v.ring.Pools || ref.Length > pool.MaxGroup {
		return dst, fmt.Errorf("a reference to pool %03d, %d bytes: not of this ring", ref.Pool, ref.Length)
	}
	if v.ring.Super(n).Generation != ref.Generation {
		return dst, media.ErrOverwritten
	}
	f, err := v.ring.File(n)
	if err != nil {
		return dst, err
	}
	at := len(dst)
	dst = append(dst, make([]byte, ref.Length)...)
	_, readErr := f.ReadAt(dst[at:], ref.Group+int64(ref.Offset))
	id := pool.Identity{Ring: v.ring.UUID, Pool: ref.Pool, Generation: ref.Generation}
	if readErr == nil && pool.PayloadCRC(id, ref.Group, dst[at:]) == ref.CRC {
		return dst, nil
	}
	// Wrong bytes: was the pool reused, by us or by another process?
	if s, err := v.ring.Check(n); err == nil && s.Generation != ref.Generation {
		return dst[:at], media.ErrOverwritten
	}
	if readErr != nil {
		return dst[:at], &media.DamagedError{Ref: ref, Reason: readErr.Error()}
	}
	return dst[:at], &media.DamagedError{Ref: ref, Reason: "wrong checksum"}
}

// directory returns the groups of a pool that the index knows. When the pool
// was reused since, there are none: its footage is gone.
func (v *Volume) directory(p *index.Pool) ([]pool.Group, error) {
	if p.Directory != nil {
		return p.Directory, nil
	}
	key := directoryKey{p.Pool, p.Generation}
	if groups, ok := v.cache.get(key); ok {
		return groups, nil
	}
	groups, err := v.readDirectory(int(p.Pool))
	if err != nil {
		return nil, err
	}
	if len(groups) > 0 && groups[0].Generation != p.Generation {
		return nil, nil
	}
	v.cache.put(key, groups)
	return groups, nil
}

type directoryKey struct {
	pool       uint32
	generation uint64
}

type cachedDirectory struct {
	key    directoryKey
	groups []pool.Group
	bytes  int64
}

// directoryCache keeps the directories that were used last. The newest stays
// whatever its size.
type directoryCache struct {
	mu    sync.Mutex
	list  []cachedDirectory // least recently used first
	bytes int64
}

func (c *directoryCache) get(key directoryKey) ([]pool.Group, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.list {
		if d := c.list[i]; d.key == key {
			c.list = append(append(c.list[:i:i], c.list[i+1:]...), d)
			return d.groups, true
		}
	}
	return nil, false
}

func (c *directoryCache) put(key directoryKey, groups []pool.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := cachedDirectory{key, groups, index.DirectoryBytes(groups)}
	c.list = append(c.list, d)
	c.bytes += d.bytes
	for len(c.list) > 1 && c.bytes > cacheBytes {
		c.bytes -= c.list[0].bytes
		c.list = append(c.list[:0:0], c.list[1:]...)
	}
}
