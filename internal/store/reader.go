package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sync"

	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/vault"
)

// cacheBytes bounds the directories of sealed pools that are kept in memory for
// readers: a pool of 16 cameras of 4 Mbit/s has one of about 150 KB.
const cacheBytes = 8 << 20

// Streams lists every stream that has footage, or a gap on record.
func (v *Volume) Streams() []*media.Stream { return mergedStreams([]view{v.view(0)}) }

// Entries yields the records of a stream that overlap span in the order in
// which they were written, all tracks. It begins, when there is one, with the
// latest record of the same run that starts with a sync sample at or before
// span.From, so that decoding can begin. What the index does not have yet
// (see Status.Indexed) is not found.
func (v *Volume) Entries(ctx context.Context, id media.StreamID, span media.Span) iter.Seq2[*media.Entry, error] {
	return func(yield func(*media.Entry, error) bool) {
		mergedEntries(ctx, []view{v.view(0)}, id, span)(yield)
	}
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
// those that were written. While the disk is down it is neither: nobody can say.
func (v *Volume) Payload(ctx context.Context, ref media.Ref, dst []byte) ([]byte, error) {
	n := int(ref.Pool)
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	if ref.Kept > 0 {
		return v.keptPayload(ref, dst)
	}
	if n >= v.ring.Pools() || ref.Length > pool.MaxGroup {
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
	if errors.Is(readErr, fs.ErrClosed) { // by an outage that may be over
		if f, readErr = v.ring.File(n); readErr == nil {
			_, readErr = f.ReadAt(dst[at:], ref.Group+int64(ref.Offset))
		}
	}
	id := pool.Identity{Ring: v.ring.UUID, Pool: ref.Pool, Generation: ref.Generation}
	if readErr == nil && pool.PayloadCRC(id, ref.Group, dst[at:]) == ref.CRC {
		return dst, nil
	}
	if readErr != nil && (v.counters.down.Load() || isGone(readErr) || errors.Is(readErr, fs.ErrClosed)) {
		return dst[:at], fmt.Errorf("%s: the disk is down: %w", v.dir.Path(), readErr)
	}
	// Wrong bytes: was the pool reused, by us or by another process?
	if s, err := v.check(n); err == nil && s.Generation != ref.Generation {
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
	key := directoryKey{p.Pool, p.Generation, p.Kept}
	groups, ok, round := v.cache.get(key)
	if ok {
		return groups, nil
	}
	if p.Kept > 0 {
		return v.keptGroups(p, key, round)
	}
	groups, err := v.readDirectory(int(p.Pool))
	if err != nil {
		return nil, err
	}
	if len(groups) > 0 && groups[0].Generation != p.Generation {
		return nil, nil
	}
	v.cache.put(key, groups, round)
	return groups, nil
}

// keptGroups is directory for a file in the vault.
func (v *Volume) keptGroups(p *index.Pool, key directoryKey, round int) ([]pool.Group, error) {
	d, err := v.dir.Sub(vault.DirName, false)
	if err != nil {
		return nil, err
	}
	groups, _, err := v.keptDirectory(d, vault.Name{Pool: p.Pool, Generation: p.Generation, Copy: p.Kept})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // given up since
	}
	if err == nil {
		v.cache.put(key, groups, round)
	}
	return groups, err
}

type directoryKey struct {
	pool       uint32
	generation uint64
	kept       uint32
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
	round int // counts clear
}

// clear forgets all, and what is being read at this moment: of a disk that was
// away, only a part may have been found.
func (c *directoryCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list, c.bytes = nil, 0
	c.round++
}

func (c *directoryCache) get(key directoryKey) (groups []pool.Group, ok bool, round int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.list {
		if d := c.list[i]; d.key == key {
			c.list = append(append(c.list[:i:i], c.list[i+1:]...), d)
			return d.groups, true, c.round
		}
	}
	return nil, false, c.round
}

func (c *directoryCache) put(key directoryKey, groups []pool.Group, round int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if round != c.round {
		return
	}
	d := cachedDirectory{key, groups, index.DirectoryBytes(groups)}
	c.list = append(c.list, d)
	c.bytes += d.bytes
	for len(c.list) > 1 && c.bytes > cacheBytes {
		c.bytes -= c.list[0].bytes
		c.list = append(c.list[:0:0], c.list[1:]...)
	}
}
