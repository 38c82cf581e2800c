package index

import (
	"cmp"
	"iter"
	"slices"
	"sort"
	"time"
	"unsafe"

	"nvr/internal/media"
)

// Part is what one pool holds of a segment.
type Part struct {
	Stream  media.StreamID
	Run     media.RunID
	Span    media.Span
	Bytes   int64
	Samples int64
	Params  uint32 // of the video track; of the audio track where there is none
	Pool    uint32
	Sync    bool // begins with a sync sample: a continuation from the pool before does not
	Kept    bool // in the vault

	video  bool
	offset time.Duration // of its beginning from the run's; unprovisional where it is no longer of interest
	until  time.Duration // of its end,
	early  bool          // if that is the end of a record that begins provisionally
}

// Base is the wall time at which the part's run began, as it is known by all
// records of the run's first seconds; ok is false when the part has none of
// them. Such records carry what was known when they were written, which may be
// a little late.
func (p *Part) Base() (wall int64, ok bool) {
	return p.Span.From - int64(p.offset), Provisional(p.offset)
}

// Settle corrects the part's span by what is known of its run by now.
func (p *Part) Settle(base int64) {
	if Provisional(p.offset) {
		p.Span.From = base + int64(p.offset)
	}
	if p.early {
		p.Span.To = base + int64(p.until)
	}
}

// Provisional reports whether a record that begins so long after its run may
// have a wall time that Base knows better.
func Provisional(offset time.Duration) bool { return offset < baseSettles }

// unprovisional is any offset that is not Provisional.
const unprovisional = baseSettles

// packed is a Part in 20 bytes: a ring of 10 TB and 150 cameras has three million
// of them, two for each camera-minute, because most segments lie in two pools.
// There are no pointers in it, so that the collector passes over them, and no
// eight-byte words, which would make it 24.
type packed struct {
	beginLow, beginHigh   uint32 // lane << 48 | ns behind Pool.begin
	lengthLow, lengthHigh uint32 // flags | samples << 42 | length in ns
	bytes                 uint32 // with flagLarge: which of Pool.large
}

const (
	beginBits   = 48 // 78 hours
	lengthBits  = 42 // 73 minutes
	samplesBits = 18 // as many at 60 pictures a second

	flagSync  = 1 << 60
	flagLarge = 1 << 61 // it does not fit, and stands in Pool.large but for its flags
	flagEarly = 1 << 62 // Pool.early has its offset
)

func (t *packed) begin() uint64  { return uint64(t.beginHigh)<<32 | uint64(t.beginLow) }
func (t *packed) length() uint64 { return uint64(t.lengthHigh)<<32 | uint64(t.lengthLow) }

func newPacked(begin, length uint64, bytes uint32) packed {
	return packed{uint32(begin), uint32(begin >> 32), uint32(length), uint32(length >> 32), bytes}
}

// lane is what the parts of a run have in common. Pools share them.
type lane struct {
	stream media.StreamID
	run    media.RunID
	params uint32
	video  bool
}

// large is a part that does not fit into packed.
type large struct {
	span           media.Span
	samples, bytes int64
	lane           uint32
}

// early is where a part begins and ends in its run, while that is provisional: few
// have one.
type early struct {
	part   uint32
	ends   bool // until holds
	offset time.Duration
	until  time.Duration
}

func laneOf(p *Part) lane { return lane{p.Stream, p.Run, p.Params, p.video} }

func compareLanes(a, b *lane) int {
	video := func(l *lane) int {
		if l.video {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.run, b.run), cmp.Compare(a.params, b.params), cmp.Compare(video(a), video(b)))
}

// pack sets the pool's parts, and puts those of each stream together. Nothing of
// what it makes has room to spare. lanes are those of earlier calls, which it adds
// to.
func (p *Pool) pack(parts []Part, lanes map[lane]*lane) {
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(a.Stream, b.Stream) })
	known := make(map[lane]uint32, len(lanes))
	for i := range parts {
		l := laneOf(&parts[i])
		if known[l] = 0; lanes[l] == nil {
			lanes[l] = &l
		}
		if i == 0 || parts[i].Span.From < p.begin {
			p.begin = parts[i].Span.From
		}
	}
	p.lanes = make([]*lane, 0, len(known))
	for l := range known {
		p.lanes = append(p.lanes, lanes[l])
	}
	slices.SortFunc(p.lanes, compareLanes)
	for i, l := range p.lanes {
		known[*l] = uint32(i)
	}
	p.parts = make([]packed, len(parts))
	for i := range parts {
		q := &parts[i]
		flags := uint64(0)
		if q.Sync {
			flags |= flagSync
		}
		if Provisional(q.offset) {
			flags |= flagEarly
			p.early = append(p.early, early{uint32(i), q.early, q.offset, q.until})
		}
		lane, begin, length := known[laneOf(q)], q.Span.From-p.begin, q.Span.To-q.Span.From
		if begin >= 0 && begin < 1<<beginBits && lane < 1<<(64-beginBits) && length >= 0 && length < 1<<lengthBits && q.Samples < 1<<samplesBits && q.Bytes < 1<<32 {
			p.parts[i] = newPacked(uint64(lane)<<beginBits|uint64(begin), flags|uint64(q.Samples)<<lengthBits|uint64(length), uint32(q.Bytes))
		} else {
			p.parts[i] = newPacked(0, flags|flagLarge, uint32(len(p.large)))
			p.large = append(p.large, large{q.Span, q.Samples, q.Bytes, lane})
		}
	}
	p.large, p.early = slices.Clone(p.large), slices.Clone(p.early)
}

// Len is how many parts the pool has.
func (p *Pool) Len() int { return len(p.parts) }

// Part returns the i-th part: by stream, and of each in the order in which they began.
func (p *Pool) Part(i int) Part {
	t := &p.parts[i]
	l, bits := p.lanes[p.laneAt(i)], t.length()
	part := Part{Stream: l.stream, Run: l.run, Params: l.params, video: l.video, Pool: p.Pool, Kept: p.Kept > 0, Sync: bits&flagSync != 0, offset: unprovisional}
	if bits&flagLarge != 0 {
		q := &p.large[t.bytes]
		part.Span, part.Samples, part.Bytes = q.span, q.samples, q.bytes
	} else {
		part.Span.From = p.begin + int64(t.begin()&(1<<beginBits-1))
		part.Span.To = part.Span.From + int64(bits&(1<<lengthBits-1))
		part.Samples, part.Bytes = int64(bits>>lengthBits&(1<<samplesBits-1)), int64(t.bytes)
	}
	if bits&flagEarly != 0 {
		at, _ := slices.BinarySearchFunc(p.early, uint32(i), func(e early, i uint32) int { return cmp.Compare(e.part, i) })
		part.offset = p.early[at].offset
		if p.early[at].ends {
			part.until, part.early = p.early[at].until, true
		}
	}
	return part
}

// laneAt is which of lanes the i-th part belongs to.
func (p *Pool) laneAt(i int) uint32 {
	t := &p.parts[i]
	if t.length()&flagLarge != 0 {
		return p.large[t.bytes].lane
	}
	return uint32(t.begin() >> beginBits)
}

// Memory is about what the pool takes, in bytes; lanes that others share count for
// each of them.
func (p *Pool) Memory() int64 {
	n := unsafe.Sizeof(*p) + unsafe.Sizeof(packed{})*uintptr(len(p.parts)) + unsafe.Sizeof(p)*uintptr(1+len(p.lanes)) +
		unsafe.Sizeof(large{})*uintptr(len(p.large)) + unsafe.Sizeof(early{})*uintptr(len(p.early)) + unsafe.Sizeof(Gap{})*uintptr(len(p.Gaps))
	for i := range p.Directory {
		n += unsafe.Sizeof(p.Directory[i]) + uintptr(len(p.Directory[i].Dir))
	}
	return int64(n)
}

// lanesOf is where in lanes those of a stream lie.
func (p *Pool) lanesOf(id media.StreamID) (from, to uint32) {
	at, _ := slices.BinarySearchFunc(p.lanes, id, func(l *lane, id media.StreamID) int { return cmp.Compare(l.stream, id) })
	end := at
	for end < len(p.lanes) && p.lanes[end].stream == id {
		end++
	}
	return uint32(at), uint32(end)
}

// Holds reports whether there are parts of a stream.
func (p *Pool) Holds(id media.StreamID) bool {
	from, to := p.lanesOf(id)
	return from < to
}

// Of yields the parts of a stream in the order in which they began.
func (p *Pool) Of(id media.StreamID) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		from, to := p.lanesOf(id)
		if from == to {
			return
		}
		first := sort.Search(len(p.parts), func(i int) bool { return p.laneAt(i) >= from })
		for i := first; i < len(p.parts) && p.laneAt(i) < to && yield(p.Part(i)); i++ {
		}
	}
}

// First is the first part of a stream; ok is false when there is none.
func (p *Pool) First(id media.StreamID) (first Part, ok bool) {
	for first = range p.Of(id) {
		return first, true
	}
	return first, false
}

// Streams yields the streams that have parts, each once.
func (p *Pool) Streams() iter.Seq[media.StreamID] {
	return func(yield func(media.StreamID) bool) {
		for i, l := range p.lanes {
			if (i == 0 || p.lanes[i-1].stream != l.stream) && !yield(l.stream) {
				return
			}
		}
	}
}

// share takes those lanes from a pool that is published that are the same: what
// one pool holds are mostly the runs of the one before. It reports whether all are.
func (p *Pool) share(with *Pool) (all bool) {
	at, same := 0, 0
	for i, l := range p.lanes {
		for at < len(with.lanes) && compareLanes(with.lanes[at], l) < 0 {
			at++
		}
		if at < len(with.lanes) && *with.lanes[at] == *l {
			p.lanes[i] = with.lanes[at]
			same++
		}
	}
	if all = same == len(p.lanes) && same == len(with.lanes); all {
		p.lanes = with.lanes
	}
	return all
}
