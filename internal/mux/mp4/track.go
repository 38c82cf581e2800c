package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"nvr/internal/media"
)

// MaxHold is the longest duration of a sample in ticks: players read the
// 32 bits as signed. At 90 kHz it is 6.6 hours.
const MaxHold = math.MaxInt32

// Track is one track of a file under construction. Its errors stick: Chunk
// returns the first one, so that it need not be asked for at every sample.
type Track struct {
	b     *Builder
	id    uint32
	kind  media.Kind
	clock uint32
	err   error

	params []*media.Track // the sample entries (stsd)
	edit   Edit

	// The tables of §8.6 and §8.7, as they go to disk; offsets are relative to
	// the payload's beginning, 64 bits.
	stts, ctts, stss, stsz, stsc, offsets *Spool

	samples  uint32 // all so far, the pending one included
	syncs    uint32
	bytes    int64
	size     uint32 // of every sample, while uniform
	uniform  bool
	negative bool  // a composition offset is negative: ctts version 1
	shifted  bool  // a composition offset is not 0: ctts is needed
	decode   int64 // decode time of the last sample
	duration int64 // of the media, once the last sample has its end
	pending  bool  // the last sample has no duration yet
	deltas   run   // stts
	shifts   run   // ctts
	chunk    chunk // the open one
	chunks   uint32
	lastInfo chunkInfo // what stsc said last
}

// run is a run-length encoded entry that may still grow.
type run struct {
	count uint32
	value uint32
}

type chunk struct {
	offset int64
	first  uint32 // samples before it
	entry  uint32 // sample_description_index
}

type chunkInfo struct{ samples, entry uint32 }

// Sample is a sample's metadata.
type Sample struct {
	Decode      int64 // ticks since the track's first sample, which has 0
	Composition int32 // presentation minus decode time
	Size        uint32
	Sync        bool
}

// Edit is where a track's presentation begins and ends (edit list, §8.6.6).
type Edit struct {
	Delay      int64 // ns from the movie's beginning; an empty edit
	Start, End int64 // ticks of composition time, half-open
}

// Chunk begins a chunk: the samples that follow, until any track begins
// another one, lie behind one another in the payload and need params.
func (t *Track) Chunk(params *media.Track) error {
	if t.err != nil {
		return t.err
	}
	for _, s := range t.spools() {
		if s.Err() != nil {
			return s.Err()
		}
	}
	entry, err := t.entry(params)
	if err != nil {
		return err
	}
	t.endChunk()
	t.b.current = t
	t.chunk = chunk{offset: t.b.payload, first: t.samples, entry: entry}
	return nil
}

// entry finds or adds the sample entry for params; the first one is 1.
func (t *Track) entry(params *media.Track) (uint32, error) {
	for i, p := range t.params {
		if p.Equal(params) {
			return uint32(i + 1), nil
		}
	}
	if err := Supports(params); err != nil {
		return 0, err
	}
	if len(t.params) == maxEntries {
		return 0, fmt.Errorf("more than %d different parameter sets: %w", maxEntries, ErrTooLong)
	}
	t.params = append(t.params, params)
	return uint32(len(t.params)), nil
}

// Add appends a sample to the open chunk. Decode times strictly increase by
// at most MaxHold. The sample lasts until the next one or End.
func (t *Track) Add(s Sample) {
	switch {
	case t.samples == math.MaxUint32:
		t.fail(ErrTooLong)
		return
	case t.samples == 0 && s.Decode != 0:
		panic(fmt.Sprintf("mp4: the first sample has decode time %d", s.Decode))
	case t.pending:
		t.closePending(s.Decode)
	}
	t.addSize(s.Size, 1)
	t.stsz.u32(s.Size)
	t.addShift(s.Composition)
	if s.Sync {
		t.syncs++
		t.stss.u32(t.samples)
	}
	t.decode, t.pending = s.Decode, true
}

// AddFrames appends n PCM frames of size bytes each to the open chunk: samples
// of one tick. A track has either samples or frames.
func (t *Track) AddFrames(n int64, size uint32) {
	if n > math.MaxUint32-int64(t.samples) {
		t.fail(ErrTooLong)
		return
	}
	t.addSize(size, uint32(n))
	t.syncs += uint32(n)
	t.deltas.add(t.stts, 1, uint32(n))
	t.duration += n
}

// End says when the last sample ends. Not needed for frames.
func (t *Track) End(decode int64) {
	if t.pending {
		t.closePending(decode)
	}
}

// SetEdit says which part of the track is shown, and when.
func (t *Track) SetEdit(e Edit) { t.edit = e }

// Duration of the media up to the last sample whose end is known, in ticks.
func (t *Track) Duration() int64 { return t.duration }

func (t *Track) closePending(until int64) {
	d := until - t.decode
	if d <= 0 || d > MaxHold {
		panic(fmt.Sprintf("mp4: track %d: a sample of %d ticks", t.id, d))
	}
	t.deltas.add(t.stts, uint32(d), 1)
	t.duration += d
	t.pending = false
}

func (t *Track) addSize(size, n uint32) {
	if t.b.current != t {
		panic(fmt.Sprintf("mp4: track %d: a sample outside of a chunk", t.id))
	}
	if t.samples == 0 {
		t.size, t.uniform = size, true
	}
	t.uniform = t.uniform && size == t.size
	t.samples += n
	t.bytes += int64(size) * int64(n)
	t.b.payload += int64(size) * int64(n)
}

func (t *Track) addShift(c int32) {
	t.negative = t.negative || c < 0
	t.shifted = t.shifted || c != 0
	t.shifts.add(t.ctts, uint32(c), 1)
}

// add counts n more of value; a run that ends goes to the spool.
func (r *run) add(s *Spool, value, n uint32) {
	if r.value != value {
		r.flush(s)
	}
	r.value = value
	r.count += n
}

func (r *run) flush(s *Spool) {
	if r.count > 0 {
		s.u32(r.count)
		s.u32(r.value)
	}
	r.count = 0
}

// endChunk writes down the open chunk, unless nothing was added to it.
func (t *Track) endChunk() {
	n := t.samples - t.chunk.first
	if n == 0 {
		return
	}
	t.chunks++
	t.offsets.u64(uint64(t.chunk.offset))
	if info := (chunkInfo{n, t.chunk.entry}); info != t.lastInfo {
		t.stsc.u32(t.chunks)
		t.stsc.u32(info.samples)
		t.stsc.u32(info.entry)
		t.lastInfo = info
	}
}

// finish closes what is open.
func (t *Track) finish() error {
	if t.pending {
		t.fail(errors.New("the last sample has no end"))
	}
	t.endChunk()
	t.deltas.flush(t.stts)
	t.shifts.flush(t.ctts)
	for _, s := range t.spools() {
		t.fail(s.Err())
	}
	if t.err != nil {
		return fmt.Errorf("track %d: %w", t.id, t.err)
	}
	return nil
}

func (t *Track) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *Track) spools() [6]*Spool {
	return [...]*Spool{t.stts, t.ctts, t.stss, t.stsz, t.stsc, t.offsets}
}

func (s *Spool) u32(v uint32) {
	s.room(4)
	s.tail = binary.BigEndian.AppendUint32(s.tail, v)
}

func (s *Spool) u64(v uint64) {
	s.room(8)
	s.tail = binary.BigEndian.AppendUint64(s.tail, v)
}
