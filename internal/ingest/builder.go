package ingest

import (
	"encoding/binary"
	"math"
	"time"

	"nvr/internal/ingest/rtp"
	"nvr/internal/media"
)

const (
	firstVideoBytes = 256 << 10 // capacity of the first buffer: a key picture of 1080p
	firstAudioBytes = 16 << 10
	maxRecordBytes  = 4 << 20 // what media.NewBuffer gives at most
	maxSamples      = 2048    // in a record: what a group's directory has room for
	syncCutAfter    = time.Second
)

// builder makes records of a track's access units. It is the rtp.Sink: units
// are written into the record's buffer where they stay.
//
// The duration of a sample is known when the next one comes, but no sample may
// wait for that: a record that is cut because it is time gives its last sample
// the usual step, and the next record's Start says the truth. Readers believe
// the Start of the next record of the run before the sum of durations.
//
// A stream is recorded from the first sync sample of a run on, as nobody can
// decode what is before it.
type builder struct {
	rec    *recording
	index  int
	kind   media.Kind
	number uint8
	rate   uint32
	name   string
	leads  bool // its records end gaps: the video, or the audio where there is none

	params *media.Track
	order  order // of decoding, where it is not that of showing
	buf    *media.Buffer
	unit   int         // where the access unit in work begins in buf.Data
	start  media.Ticks // position of the record's first sample
	runAt  media.Ticks // the same in the run's time,
	fixed  bool        // if the record before has decided it,
	runPos media.Ticks // for a sample at this position
	last   media.Ticks // decode position of the last sample,
	top    media.Ticks // and the highest position at which one is shown,
	begun  bool        // if there is one
	ended  media.Ticks // run's time at which the last record began
	synced media.Ticks // position of the last cut at a sync sample
	recent int         // bytes of recent records
	loss   loss

	head    rtp.Head // of the unit in work
	headed  bool
	pts     media.Ticks
	waiting bool // for a sync sample
	opens   bool // the unit in work is that; if it comes whole, nobody waits any more
	entered bool // since the run's first one nothing came but what needs what was before it
	ignore  bool // the unit in work
}

// capacity is the room for the next record: a little more than recent ones had.
func (b *builder) capacity() int {
	if b.recent == 0 {
		b.recent = firstVideoBytes
		if b.kind == media.Audio {
			b.recent = firstAudioBytes
		}
	}
	return min(b.recent+b.recent/16, maxRecordBytes)
}

func (b *builder) newRun() {
	b.waiting = b.kind == media.Video
	b.begun, b.fixed, b.ended, b.synced = false, false, 0, 0
	b.entered = false
	b.order.begin()
	b.loss = loss{packets: b.rec.receivers[b.index].Stats().Lost}
	if b.params != nil {
		b.reorder()
	}
}

// reorder finds out how the track's pictures are ordered.
func (b *builder) reorder() { b.rec.line.SetReorder(b.index, b.order.learn(b.params)) }

// Append adds bytes to the unit in work.
func (b *builder) Append(p []byte) bool {
	if len(b.buf.Data)+len(p) > min(cap(b.buf.Data), media.MaxSampleBytes) && !b.grow(len(p)) {
		return false
	}
	b.buf.Data = append(b.buf.Data, p...)
	return true
}

// grow makes room for n more bytes of the unit in work: the samples before it
// become a record, and what is there of it moves to a new buffer.
func (b *builder) grow(n int) bool {
	size := len(b.buf.Data) - b.unit + n
	if size > media.MaxSampleBytes {
		return false
	}
	b.recent = min(max(2*cap(b.buf.Data), 2*size), maxRecordBytes)
	if len(b.buf.Samples) > 0 {
		b.cutBefore()
	} else {
		b.move(b.recent)
	}
	return cap(b.buf.Data)-len(b.buf.Data) >= n
}

// Patch overwrites four bytes of the unit in work.
func (b *builder) Patch(offset int, length uint32) {
	binary.BigEndian.PutUint32(b.buf.Data[b.unit+offset:], length)
}

// Abort forgets the unit in work.
func (b *builder) Abort() {
	b.buf.Data = b.buf.Data[:b.unit]
	b.headed, b.opens = false, false
}

// Head places the unit in work, and cuts the record before it where one ends.
func (b *builder) Head(h rtp.Head) {
	b.head, b.headed = h, true
	r := b.rec
	if h.Params != b.params {
		b.cut(cutForced, 0)
		b.params = h.Params
		b.reorder()
	}
	usual := r.line.Usual(b.index)
	p := r.line.Place(b.index, h.Time, h.Duration, r.instant(h.Arrival))
	b.pts = p.Time
	if b.leads {
		r.heard = h.Arrival
		if r.first.IsZero() {
			r.first = h.Arrival
		}
	}
	if h.Gap || h.Damaged {
		b.lose(usual, p.Time)
	}
	hole := 2 * usual
	if b.order.depth > 0 { // pictures that others are shown before are further apart
		hole = max(hole, media.FromDuration(minGap, b.rate))
	}
	if lost := h.Gap && b.begun && usual > 0 && p.Time-b.top > hole; p.Hole || lost {
		b.hole(&h, p.Time)
	}
	if cause := r.line.Due(); cause != 0 && b.leads && h.Sync && b.begun {
		r.rotate(cause, h.Arrival)
	}
	switch {
	case b.waiting && h.Sync:
		b.opens, b.entered = true, true
	case !h.Leading:
		b.entered = false
	}
	// Of an open GOP that a run begins with, the pictures that are shown before
	// its first are not to be decoded.
	if b.ignore = b.waiting && !b.opens || b.entered && h.Leading; b.ignore {
		return
	}
	if h.Sync && b.kind == media.Video && (!b.begun || b.pts-b.synced >= media.FromDuration(syncCutAfter, b.rate)) {
		b.cutBefore()
		b.synced = b.pts
	}
}

// hole ends the record before time without samples: never is a sample
// stretched over it.
func (b *builder) hole(h *rtp.Head, pos media.Ticks) {
	b.cut(cutForced, 0)
	b.order.begin()
	if !b.leads || !b.begun || (pos-b.top).Duration(b.rate) < minGap {
		return
	}
	if !h.Gap { // else it is a loss
		b.rec.c.gaps.note(media.ReasonNoMedia, "the camera paused", b.rec.c.gaps.end)
	}
}

// minGap is the shortest pause inside a run that is told as a gap.
const minGap = 500 * time.Millisecond

// Commit makes the unit in work a sample.
func (b *builder) Commit() { b.Split(0) }

// Split does so with all of it but the last keep bytes, which begin the next.
func (b *builder) Split(keep int) {
	size := len(b.buf.Data) - b.unit - keep
	if b.ignore || !b.headed || size == 0 {
		b.ignore, b.headed = false, false
		b.buf.Data = append(b.buf.Data[:b.unit], b.buf.Data[b.unit+size:]...)
		return
	}
	b.headed = false
	if b.opens {
		b.waiting, b.opens = false, false
	}
	dts := b.order.decode(b.pts, b.rec.line.Usual(b.index), b.rate)
	if b.begun {
		dts = max(dts, b.last+1)
		b.top = max(b.top, b.pts)
	} else {
		b.top = b.pts
	}
	if len(b.buf.Samples) == maxSamples {
		b.cut(cutForced, 0)
	}
	if n := len(b.buf.Samples); n > 0 {
		b.buf.Samples[n-1].Duration = duration(dts - b.last)
	} else {
		b.start = dts
	}
	s := media.Sample{Size: uint32(size), Composition: composition(b.pts - dts)}
	if b.head.Sync {
		s.Flags |= media.SampleSync
	}
	if b.head.Damaged {
		s.Flags |= media.SampleDamaged
	}
	b.found(s, dts)
	s.Duration = duration(b.usual())
	b.buf.Samples = append(b.buf.Samples, s)
	b.last, b.begun = dts, true
	b.unit = len(b.buf.Data) - keep
}

// usual is the step that a last sample is given: its own length, where known.
func (b *builder) usual() media.Ticks {
	if b.head.Duration > 0 {
		return b.head.Duration
	}
	if u := b.rec.line.Usual(b.index); u > 0 {
		return u
	}
	return media.FromDuration(time.Second/15, b.rate) // a run's only sample so far
}

func duration(t media.Ticks) uint32   { return uint32(max(1, min(t, math.MaxUint32))) }
func composition(t media.Ticks) int32 { return int32(max(math.MinInt32, min(t, math.MaxInt32))) }

// cutBefore ends the record before the unit in work, whose decode time is known
// if pictures are sent in order: then it is where the last sample ends.
func (b *builder) cutBefore() {
	if b.headed && b.order.depth == 0 && b.begun && b.pts > b.last {
		b.cut(cutExact, b.pts)
	} else {
		b.cut(cutForced, 0)
	}
}

type cutKind bool

const (
	cutForced cutKind = false // the end of the last sample is a guess
	cutExact  cutKind = true  // it is where the next one begins
)

// cut offers the record in work and goes on in a new buffer. What is there of
// an access unit moves.
func (b *builder) cut(kind cutKind, next media.Ticks) {
	samples := b.buf.Samples
	if len(samples) == 0 {
		return
	}
	line := b.rec.line
	start := b.runAt
	if !b.fixed || b.start != b.runPos {
		start = line.Start(b.index, b.start)
		if b.ended > 0 || start > 0 {
			start = max(start, b.ended+1)
		}
	}
	b.fixed = false
	r := media.Record{Stream: b.rec.c.o.Stream, Track: b.number, Params: b.params, Run: b.rec.run, Start: start}
	if kind == cutExact {
		// The next Start may be slewed a little: this sample takes it up.
		b.runAt, b.runPos, b.fixed = line.Start(b.index, next), next, true
		length := b.runAt - start - (b.last - b.start)
		if length < 1 {
			length = 1
			b.runAt = start + (b.last - b.start) + 1
		}
		samples[len(samples)-1].Duration = duration(length)
	}
	r.Wall = line.Wall(b.index, start)
	b.ended = start
	if b.leads {
		b.loss.anchored, b.loss.at, b.loss.wall = true, b.start, r.Wall
		b.tellLoss()
	}

	full, unit := b.buf, b.unit
	b.recent = max(unit, b.recent-b.recent/8)
	b.buf = media.NewBuffer(max(b.capacity(), len(full.Data)-unit))
	b.buf.Data = append(b.buf.Data, full.Data[unit:]...)
	b.unit = 0
	full.Data = full.Data[:unit]
	r.Buffer = full
	b.offer(r)
}

// move puts the unit in work into a buffer of another size.
func (b *builder) move(size int) {
	old := b.buf
	b.buf = media.NewBuffer(size)
	b.buf.Data = append(b.buf.Data, old.Data[b.unit:]...)
	b.unit = 0
	old.Release()
}

// offer hands a record over. If it is refused, what depends on it is not worth
// keeping: everything up to the next sync sample is dropped with it.
func (b *builder) offer(r media.Record) {
	c := b.rec.c
	run, wall, end := r.Run, r.Wall, r.End()
	samples, bytes, params := len(r.Buffer.Samples), len(r.Buffer.Data), r.Params
	accepted := c.recorder.Offer(r) // r.Buffer is not ours any more
	if b.leads {
		c.gaps.recorded(run, wall, end, accepted)
	}
	if accepted {
		if c.status.recorded(bytes, samples) {
			c.well(params)
		}
		return
	}
	c.status.dropped(samples)
	if b.kind == media.Video && !(b.headed && b.head.Sync) {
		b.waiting, b.ignore = true, b.headed
	}
}
