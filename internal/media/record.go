package media

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Sample is one access unit of a track (ISO/IEC 14496-12 §3.1.12), without its
// bytes: those lie in the record's payload, one sample behind the other.
type Sample struct {
	Size        uint32 // bytes
	Duration    uint32 // ticks until the next sample's decode time
	Composition int32  // presentation minus decode time, ticks
	Flags       SampleFlags
}

// SampleFlags is a set of SampleSync and so on.
type SampleFlags uint8

// Flags of a sample. They are written to disk.
const (
	SampleSync    SampleFlags = 1 << 0 // decoding can begin here
	SampleDamaged SampleFlags = 1 << 1 // something it depends on is missing since the last sync sample
)

// Sync reports whether decoding can begin at the sample.
func (s Sample) Sync() bool { return s.Flags&SampleSync != 0 }

// Record is the unit of writing: consecutive samples of one track of one run,
// at most about a second of them. It may begin in the middle of a GOP.
//
// Whoever holds a Record owns its Buffer and passes ownership on with it; the
// last owner calls Buffer.Release.
type Record struct {
	Stream *Stream
	Track  uint8  // VideoTrack or AudioTrack
	Params *Track // what the samples need to be decoded
	Run    RunID
	Start  Ticks // decode time of the first sample since the run's beginning
	Wall   int64 // the same instant in wall time, ns of the Unix epoch, UTC
	Buffer *Buffer
}

// Duration is the sum of the samples' durations in ticks.
func (r *Record) Duration() Ticks {
	var d Ticks
	for _, s := range r.Buffer.Samples {
		d += Ticks(s.Duration)
	}
	return d
}

// End is the wall time at which the last sample ends.
func (r *Record) End() int64 {
	return r.Wall + int64(r.Duration().Duration(r.Params.ClockRate))
}

// Buffer holds a record's sample table and payload. Buffers are recycled: take
// one with NewBuffer, give it back with Release, touch it no more after that.
type Buffer struct {
	Samples []Sample
	Data    []byte // the payload; its capacity is fixed while a record is built

	refs atomic.Int32
}

const (
	minBufferBits = 12 // 4 KiB: a second of G.711 at 8 kHz and its table
	maxBufferBits = 22 // 4 MiB: MaxSampleBytes and a bit

	// MaxSampleBytes bounds one sample, so that its record fits into one group
	// (store/pool). The largest pictures met are JPEGs of 3 MB from 8K cameras.
	MaxSampleBytes = 1<<maxBufferBits - 1<<16
)

var bufferPools [maxBufferBits + 1]sync.Pool

// NewBuffer returns an empty buffer whose Data has room for at least size bytes.
// One reference is held: by the caller. size is at most 4 MiB.
func NewBuffer(size int) *Buffer {
	class := max(minBufferBits, bits.Len(uint(max(size, 1)-1)))
	if class > maxBufferBits {
		panic("media: a record's buffer is at most 4 MiB")
	}
	b, _ := bufferPools[class].Get().(*Buffer)
	if b == nil {
		b = &Buffer{Data: make([]byte, 0, 1<<class)}
	}
	b.Samples, b.Data = b.Samples[:0], b.Data[:0]
	b.refs.Store(1)
	return b
}

// Retain adds an owner (a live viewer, say).
func (b *Buffer) Retain() { b.refs.Add(1) }

// Release gives up one reference; the last one recycles the buffer.
func (b *Buffer) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		bufferPools[bits.Len(uint(cap(b.Data)-1))].Put(b)
	case n < 0:
		panic("media: a buffer was released twice")
	}
}

// Entry is what the archive knows of a record without reading its payload.
// Entries are immutable; any number of readers share one.
type Entry struct {
	Stream   *Stream
	Track    uint8
	Params   *Track
	Run      RunID
	Start    Ticks // as in Record
	Wall     int64 // as in Record
	Duration Ticks
	Samples  []Sample
	Ref      Ref
}

// End is the wall time at which the last sample ends.
func (e *Entry) End() int64 {
	return e.Wall + int64(e.Duration.Duration(e.Params.ClockRate))
}

// StartsSync reports whether decoding can begin with the entry's first sample.
func (e *Entry) StartsSync() bool { return len(e.Samples) > 0 && e.Samples[0].Sync() }

// Ref says where a record's payload lies. It stays readable until its pool is
// reused, or what is kept of it given up: the generation and the CRC then tell.
type Ref struct {
	Volume     int
	Pool       uint32
	Generation uint64
	Kept       uint32 // 0: in the ring; else in the volume's vault, in that copy of what is kept of the pool
	Group      int64  // offset of its group in the pool file; seeds the CRC
	Offset     uint32 // of the payload in the group
	Length     uint32
	CRC        uint32
}

// Segment is the unit of listing: consecutive records of one stream of one run
// that begin with a sync sample, about segment_duration_secs long.
type Segment struct {
	Stream  *Stream
	Run     RunID
	Span    Span
	Bytes   int64 // payload of all tracks
	Samples int64 // of the video track (of the audio track where there is no video)
	Codec   Codec
	Volume  int    // of the archive
	Pool    uint32 // where it begins
	Kept    bool   // in the volume's vault: the ring has written over it
}

// Clock tells wall time; tests bring their own.
type Clock func() time.Time
