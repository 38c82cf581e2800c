package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// The crash tests drive the writer on a disk in memory and in a bubble of
// testing/synctest: beats and back-off cost no time, and between two steps of a
// test the writer is always at rest, so that a test is a function of its seed.

// rig is a volume on a memory disk, with its Run going.
type rig struct {
	t    *testing.T
	o    Options
	disk *memdisk.Dir
	v    *Volume // nil: not open

	cancel context.CancelFunc
	done   chan error
}

func newRig(t *testing.T, pools int, mb int64) *rig {
	d := memdisk.New("/archive")
	return &rig{t: t, disk: d, o: Options{Dir: "/archive", Disk: d, Pools: pools, PoolBytes: mb * mib, CommitInterval: time.Second, SegmentDuration: 10 * time.Second}}
}

// on goes over to another disk.
func (r *rig) on(d *memdisk.Dir) { r.disk, r.o.Disk = d, d }

// open opens the volume and waits until it has indexed all.
func (r *rig) open() error {
	r.o.Epoch = time.Now()
	v, err := Open(r.t.Context(), r.o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	r.v, r.cancel, r.done = v, cancel, make(chan error, 1)
	go func() { r.done <- v.Run(ctx) }()
	synctest.Wait()
	return nil
}

// close ends Run, which commits what is left, and closes the volume.
func (r *rig) close() error {
	if r.v == nil {
		return nil
	}
	r.cancel()
	err := errors.Join(<-r.done, r.v.Close())
	r.v = nil
	return err
}

// idle reports whether all that was offered is committed.
func (r *rig) idle() bool {
	synctest.Wait()
	n, _ := r.v.queue.len()
	return n == 0 && !r.v.counters.down.Load()
}

// sleep lets time pass until all is at rest again. The disk's lock, which every
// operation takes before it asks the hook, orders what the test wrote before
// and what the hook reads.
func (r *rig) sleep(d time.Duration) {
	r.disk.Free()
	time.Sleep(d)
	synctest.Wait()
}

// beat lets time pass until the writer has committed once.
func (r *rig) beat() { r.sleep(r.o.CommitInterval) }

// footage is what is known of one record that was offered. Its payload is a
// function of stream, run and number (payloadOf).
type footage struct {
	stream *media.Stream
	run    media.RunID
	n      int
	size   int
	params *media.Track
}

type footageKey struct {
	run media.RunID // of all streams: never used twice
	n   int
}

func (f *footage) key() footageKey { return footageKey{f.run, f.n} }

func (f *footage) String() string {
	return fmt.Sprintf("%s run %d record %d (%d bytes)", f.stream.Camera.ID, f.run, f.n, f.size)
}

// words are the payload, eight bytes at a time: a function of the record's
// identity and their place, cheap enough for gigabytes.
func (f *footage) words() func(i int) uint64 {
	seed := (uint64(f.stream.ID()) ^ uint64(f.run)<<40 ^ uint64(f.n)<<20) * 0x9e3779b97f4a7c15
	return func(i int) uint64 { return seed + uint64(i)*0xd6e8feb86659fd93 }
}

// record makes the record: a second, 10 samples, a sync sample first.
func (f *footage) record() media.Record {
	buf := media.NewBuffer(f.size)
	buf.Data = buf.Data[:f.size]
	word, i := f.words(), 0
	for ; i+8 <= f.size; i += 8 {
		binary.LittleEndian.PutUint64(buf.Data[i:], word(i))
	}
	copy(buf.Data[i:], binary.LittleEndian.AppendUint64(nil, word(i)))
	for i := range 10 {
		sample := media.Sample{Size: uint32(f.size / 10), Duration: 9000}
		if i == 0 {
			sample.Size, sample.Flags = uint32(f.size-9*(f.size/10)), media.SampleSync
		}
		buf.Samples = append(buf.Samples, sample)
	}
	return media.Record{Stream: f.stream, Track: media.VideoTrack, Params: f.params, Run: f.run, Start: media.Ticks(f.n) * 90000, Wall: f.wall(), Buffer: buf}
}

// wall is the record's beginning: runs begin a thousand seconds apart.
func (f *footage) wall() int64 { return epoch + int64(f.run)*1000*second + int64(f.n)*second }

// check compares what the archive has with what was offered.
func (f *footage) check(v *Volume, e *media.Entry) error {
	buf := media.NewBuffer(f.size)
	defer buf.Release()
	b, err := v.Payload(context.Background(), e.Ref, buf.Data[:0])
	if err != nil {
		return err
	}
	if len(b) != f.size || !f.wrote(b) {
		return errors.New("not the bytes that were written")
	}
	if !e.Params.Equal(f.params) || *e.Stream != *f.stream || len(e.Samples) != 10 || e.Duration != 90000 || e.Wall != f.wall() {
		return fmt.Errorf("entry %+v", e)
	}
	return nil
}

// wrote reports whether b is the payload.
func (f *footage) wrote(b []byte) bool {
	word, i := f.words(), 0
	for ; i+8 <= len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:]) != word(i) {
			return false
		}
	}
	last := binary.LittleEndian.AppendUint64(nil, word(i))
	return bytes.Equal(b[i:], last[:len(b)-i])
}

// entries lists a stream.
func entries(v *Volume, s *media.Stream) ([]*media.Entry, error) {
	var list []*media.Entry
	for e, err := range v.Entries(context.Background(), s.ID(), media.Always) {
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func entryKey(e *media.Entry) footageKey { return footageKey{e.Run, int(e.Start / 90000)} }

// totals compares what List sums up of a stream with its entries.
func totals(v *Volume, s *media.Stream, list []*media.Entry) error {
	l, err := v.List(context.Background(), Query{Camera: s.Camera.ID})
	if err != nil {
		return err
	}
	var samples, size, wantSamples, wantSize int64
	for i := range l.Segments {
		samples, size = samples+l.Segments[i].Samples, size+l.Segments[i].Bytes
	}
	for _, e := range list {
		wantSamples, wantSize = wantSamples+int64(len(e.Samples)), wantSize+int64(e.Ref.Length)
	}
	if samples != wantSamples || size != wantSize {
		return fmt.Errorf("%s: the segments have %d samples and %d bytes, the entries %d and %d", s.Camera.ID, samples, size, wantSamples, wantSize)
	}
	return nil
}

// gapMarks lists the gaps on record, by pool.
func gapMarks(v *Volume) map[int64]place {
	marks := map[int64]place{}
	for _, p := range v.index.Load() {
		for _, g := range p.Gaps {
			marks[g.Span.From] = place{p.Pool, p.Generation}
		}
	}
	return marks
}

// place is one life of one pool.
type place struct {
	pool       uint32
	generation uint64
}

// activation tells whether an operation writes a superblock, and of which life
// of the pool.
func activation(op memdisk.Op) (place, bool) {
	if op.Kind != memdisk.Write || len(op.Data) != pool.BlockSize || op.Off != 0 && op.Off != pool.SuperSlot1 {
		return place{}, false
	}
	s, err := pool.DecodeSuper(op.Data, 0, op.Off)
	return place{s.Pool, s.Generation}, err == nil
}

// writtenBy tells which records and gaps an operation writes, when it writes a
// group; of gaps, their beginnings.
func writtenBy(op memdisk.Op) (keys []footageKey, gaps []int64, at place) {
	if op.Kind != memdisk.Write || len(op.Data) < pool.HeaderSize || op.Off < pool.FirstGroup {
		return nil, nil, at
	}
	id := pool.Identity{Ring: media.UUID(op.Data[16:32]), Pool: binary.LittleEndian.Uint32(op.Data[12:]), Generation: binary.LittleEndian.Uint64(op.Data[32:])}
	h, err := pool.DecodeHeader(op.Data, id, op.Off)
	if err != nil {
		return nil, nil, at // a footer
	}
	pool.Directory(&h, op.Data[pool.HeaderSize:pool.HeaderSize+h.DirLen], func(e *pool.Entry) bool {
		switch e.Kind {
		case pool.KindSamples:
			keys = append(keys, footageKey{e.Run, int(e.Start / 90000)})
		case pool.KindGap:
			gaps = append(gaps, e.Wall)
		}
		return true
	})
	return keys, gaps, place{h.Pool, h.Generation}
}

func streams(n int) []*media.Stream {
	var list []*media.Stream
	for i := range n {
		list = append(list, camera(i+1))
	}
	return list
}

// twin tells what a pool file holds, in a line per superblock and group: every
// header that fits its place, whether its group counts or not.
func twin(d *memdisk.Dir, name string) string {
	var b strings.Builder
	f, err := d.Open(name, false)
	if err != nil {
		return err.Error() + "\n"
	}
	size, _ := f.Size()
	block := make([]byte, pool.BlockSize)
	var super pool.Super
	for slot, off := range []int64{0, pool.SuperSlot1} {
		f.ReadAt(block, off)
		s, err := pool.DecodeSuper(block, super.Pool, off)
		if err != nil {
			fmt.Fprintf(&b, "super slot=%d %v\n", slot, err)
			continue
		}
		fmt.Fprintf(&b, "super slot=%d pool=%d generation=%d state=%v open=%d counter=%d\n", slot, s.Pool, s.Generation, s.State, s.OpenID, s.Counter)
		for _, v := range s.Voids {
			fmt.Fprintf(&b, "  void pool=%d generation=%d above=%d+%d\n", v.Pool, v.Generation, v.Above/openJump, v.Above%openJump)
		}
		if s.Counter > super.Counter {
			super = s
		}
	}
	id := pool.Identity{Ring: super.Ring, Pool: super.Pool, Generation: super.Generation}
	buf := make([]byte, pool.MaxGroup)
	for off := int64(pool.FirstGroup); off < size; off += pool.BlockSize {
		f.ReadAt(block, off)
		h, err := pool.DecodeHeader(block, id, off)
		if err != nil {
			continue
		}
		g := pool.Group{Header: h, Dir: make([]byte, h.DirLen)}
		f.ReadAt(g.Dir, off+pool.HeaderSize)
		state := "whole"
		if whole, err := pool.VerifyGroup(f, &g, buf); err != nil || !whole {
			state = "torn"
		}
		fmt.Fprintf(&b, "group offset=%d len=%d seq=%d+%d open=%d durable=%d+%d entries=%d %s\n", off, h.TotalLen,
			h.Seq/openJump, h.Seq%openJump, h.OpenID, h.DurableSeq/openJump, h.DurableSeq%openJump, h.Records, state)
	}
	if t, err := dumpFooter(f, id, size); err != nil {
		fmt.Fprintf(&b, "footer %v\n", err)
	} else {
		fmt.Fprintf(&b, "footer offset=%d groups=%d\n", t.FooterOffset, t.Groups)
	}
	return b.String()
}
