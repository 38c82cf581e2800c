// Package index knows where each stream's footage is: which segments lie in
// which pools, and what is said about the gaps between them. It holds times and
// counts; the records' directories stay on disk.
package index

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// baseSettles is how long a run's wall time may still be corrected downwards
// (cameras.md rule: the least delayed of the first ten seconds' samples).
const baseSettles = 10 * time.Second

// Pool is what the index knows of one generation of one pool. It is immutable
// once published; the writer's Builder makes new ones.
type Pool struct {
	Pool       uint32
	Generation uint64
	Kept       uint32     // 0: the pool itself; else what is kept of it in the vault, in that copy
	Span       media.Span // of all samples; empty when there are none
	Groups     int
	Bytes      int64 // up to the end of the last group
	Unknown    int   // records of which the track is not known: its description is damaged here
	Gaps       []Gap
	Directory  []pool.Group // only of the pool that is being written; the others' lie in their footers

	parts []packed
	begin int64   // ns UTC: no part begins before
	lanes []*lane // sorted
	large []large
	early []early // by part
}

// Gap is what a gap record says.
type Gap struct {
	Stream media.StreamID
	media.Gap
}

// Builder makes a Pool from its groups.
type Builder struct {
	p       Pool // but for its parts
	parts   []Part
	lanes   map[lane]*lane
	open    map[media.StreamID]int // index of the stream's newest part
	segment time.Duration
}

// Descriptions is where the streams and tracks that entries describe are kept.
type Descriptions interface {
	// Describe takes a KindStream or KindTrack entry in.
	Describe(*pool.Entry)
	// Track is what a record's Params number means; nil when it is not known.
	Track(params uint32) *media.Track
}

// NewBuilder begins a pool. segment is the length of a segment.
func NewBuilder(id pool.Identity, segment time.Duration, keepDirectory bool) *Builder {
	b := &Builder{p: Pool{Pool: id.Pool, Generation: id.Generation, Bytes: pool.FirstGroup}, lanes: map[lane]*lane{}, open: map[media.StreamID]int{}, segment: segment}
	if keepDirectory {
		b.p.Directory = []pool.Group{}
	}
	return b
}

// Add takes a group in. The error is that of a directory that makes no sense.
func (b *Builder) Add(g pool.Group, d Descriptions) error {
	if b.p.Directory != nil {
		b.p.Directory = append(b.p.Directory, g)
	}
	b.p.Groups++
	b.p.Bytes = g.Offset + int64(g.TotalLen)
	return g.Entries(func(e *pool.Entry) bool {
		switch e.Kind {
		case pool.KindStream, pool.KindTrack:
			d.Describe(e)
		case pool.KindGap:
			if gap, err := e.DecodeGap(); err == nil {
				b.p.Gaps = append(b.p.Gaps, Gap{e.Stream, gap})
			}
		case pool.KindSamples:
			if t := d.Track(e.Params); t != nil {
				b.samples(e, t)
			} else {
				b.p.Unknown++
			}
		}
		return true
	})
}

func (b *Builder) samples(e *pool.Entry, t *media.Track) {
	span := media.Span{From: e.Wall, To: e.WallEnd}
	if b.p.Span.Empty() {
		b.p.Span = span
	}
	b.p.Span.From, b.p.Span.To = min(b.p.Span.From, span.From), max(b.p.Span.To, span.To)

	video := t.Kind == media.Video
	offset := e.Start.Duration(t.ClockRate)
	until := offset + span.Duration()
	i, known := b.open[e.Stream]
	fresh := !known || b.parts[i].Run != e.Run
	if !fresh {
		p := &b.parts[i]
		due := e.StartsSync() && time.Duration(e.Wall-p.Span.From) >= b.segment
		hole := e.StartsSync() && time.Duration(e.Wall-p.Span.To) >= holeInsideRun
		fresh = (due || hole) && (video || !p.video)
	}
	if fresh {
		b.open[e.Stream] = len(b.parts)
		b.parts = append(b.parts, Part{Stream: e.Stream, Run: e.Run, Span: span, Bytes: int64(e.Length), Samples: int64(e.SampleCount()),
			Params: e.Params, Pool: b.p.Pool, Sync: e.StartsSync(), video: video, offset: offset, until: until, early: Provisional(offset)})
		return
	}
	p := &b.parts[i]
	p.Bytes += int64(e.Length)
	switch {
	case video && !p.video: // audio came first: the segment begins with the sync sample all the same
		p.video, p.Params, p.Samples, p.Sync = true, e.Params, int64(e.SampleCount()), e.StartsSync()
		p.Span, p.offset, p.until, p.early = span, offset, until, Provisional(offset)
	case video == p.video:
		p.Samples += int64(e.SampleCount())
	}
	if Provisional(offset) {
		// The run's beginning is known better with every sample of its first
		// seconds; only ever earlier.
		p.Span.From = min(p.Span.From, e.Wall-int64(offset-p.offset))
	}
	if video == p.video && until > p.until {
		p.Span.To, p.until, p.early = span.To, until, Provisional(offset)
	}
}

// Pool is what was built so far. It shares nothing that a later Add changes.
func (b *Builder) Pool() *Pool {
	p := b.p
	p.pack(b.parts, b.lanes)
	p.Gaps = p.Gaps[:len(p.Gaps):len(p.Gaps)]
	p.Directory = p.Directory[:len(p.Directory):len(p.Directory)]
	return &p
}

// Whole is the pool when nothing will be added: it has no room to spare, and no
// directory.
func (b *Builder) Whole() *Pool {
	p := b.Pool()
	p.Gaps, p.Directory = slices.Clone(p.Gaps), nil
	return p
}

// Directory is what the groups so far say. Later ones are appended behind it.
func (b *Builder) Directory() []pool.Group {
	return b.p.Directory[:len(b.p.Directory):len(b.p.Directory)]
}

// Unknown is Pool.Unknown, so far.
func (b *Builder) Unknown() int { return b.p.Unknown }

// DirectoryBytes is what the groups so far take in the footer.
func DirectoryBytes(groups []pool.Group) int64 {
	n := int64(0)
	for i := range groups {
		n += pool.HeaderSize + int64(len(groups[i].Dir))
	}
	return n
}

// Snapshot is the index at one moment: the pools by generation, oldest first.
// It never changes.
type Snapshot []*Pool

// Index is the published snapshot. The zero value is an empty index. Readers
// load it without a lock and can never make the writer wait.
type Index struct {
	snapshot atomic.Pointer[Snapshot]
}

// Load returns the snapshot of this moment.
func (ix *Index) Load() Snapshot {
	if s := ix.snapshot.Load(); s != nil {
		return *s
	}
	return nil
}

// Put publishes p in place of what was known of its pool (any generation). It
// owns p from here on.
// Not to be called concurrently with Put or Drop.
func (ix *Index) Put(p *Pool) { ix.change(p.Pool, p) }

// Drop forgets a pool that is about to be written again.
func (ix *Index) Drop(n uint32) { ix.change(n, nil) }

func (ix *Index) change(n uint32, p *Pool) {
	old := ix.Load()
	s := make(Snapshot, 0, len(old)+1)
	for _, q := range old {
		if q.Pool != n {
			s = append(s, q)
		}
	}
	if p != nil {
		at, _ := slices.BinarySearchFunc(s, p.Generation, func(q *Pool, g uint64) int { return cmp.Compare(q.Generation, g) })
		for _, i := range []int{at - 1, at} {
			if i >= 0 && i < len(s) && p.share(s[i]) {
				break
			}
		}
		s = slices.Insert(s, at, p)
	}
	ix.snapshot.Store(&s)
}
