package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/pool"
)

const mib = 1 << 20

func testOptions(dir string) Options {
	return Options{Dir: dir, Pools: 3, PoolBytes: 8 * mib, QueueRecords: 256, CommitInterval: 20 * time.Millisecond, SegmentDuration: 2 * time.Second}
}

// recording is a volume with its Run going.
type recording struct {
	*Volume
	stop  func() error
	marks int64
}

func record(t *testing.T, o Options) *recording {
	t.Helper()
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	stopped := false
	r := &recording{Volume: v, marks: time.Now().UnixNano()} // unlike those of an earlier start
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return errors.Join(<-done, v.Close())
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func camera(n int) *media.Stream {
	id := fmt.Sprintf("cam%d", n)
	return &media.Stream{Camera: media.Camera{UUID: media.CameraUUID(id), ID: id, Name: "Camera " + id}, Name: "main"}
}

var (
	videoTrack = &media.Track{Kind: media.Video, Codec: media.H264, ClockRate: 90000, Config: []byte{1, 2, 3}, Width: 640, Height: 360}
)

const second = int64(time.Second)

// epoch is when the tests' footage begins: 2026-02-19T14:00:00Z.
var epoch = time.Date(2026, 2, 19, 14, 0, 0, 0, time.UTC).UnixNano()

// payloadOf is a function of its number alone: what is read back is compared
// with it, not with what the code under test kept.
func payloadOf(stream *media.Stream, run media.RunID, n int, size int) []byte {
	r := rand.New(rand.NewPCG(uint64(stream.ID()), uint64(run)<<32|uint64(n)))
	b := make([]byte, 0, size+8)
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:size]
}

// gop makes record n of a run: one second, 10 samples, a sync sample first.
func gop(s *media.Stream, run media.RunID, n, size int) media.Record {
	buf := media.NewBuffer(size)
	buf.Data = append(buf.Data, payloadOf(s, run, n, size)...)
	for i := range 10 {
		part := uint32(size / 10)
		if i == 9 {
			part = uint32(size - 9*(size/10))
		}
		sample := media.Sample{Size: part, Duration: 9000}
		if i == 0 {
			sample.Flags = media.SampleSync
		}
		buf.Samples = append(buf.Samples, sample)
	}
	return media.Record{Stream: s, Track: media.VideoTrack, Params: videoTrack, Run: run, Start: media.Ticks(n) * 90000, Wall: epoch + int64(run)*1000*second + int64(n)*second, Buffer: buf}
}

// committed waits until what was offered so far can be read: a gap that is
// offered behind it is on record.
func (r *recording) committed(t *testing.T) {
	t.Helper()
	r.marks++
	mark := media.Gap{Stream: camera(99), Span: media.Span{From: r.marks, To: r.marks + 1}, Reason: media.ReasonDisabled}
	if !r.OfferGap(mark) {
		t.Fatal("a gap was refused")
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		snapshot := r.index.Load()
		for i := len(snapshot) - 1; i >= 0; i-- {
			for _, g := range snapshot[i].Gaps {
				if g.Stream == mark.Stream.ID() && g.Span == mark.Span {
					return
				}
			}
		}
	}
	t.Fatal("the writer does not commit")
}

// numbers reads the records of a run back and checks every payload; it returns
// their numbers.
func numbers(t *testing.T, v *Volume, s *media.Stream, span media.Span, size int) []int {
	t.Helper()
	var got []int
	for e, err := range v.Entries(t.Context(), s.ID(), span) {
		if err != nil {
			t.Fatal(err)
		}
		n := int(e.Start / 90000)
		b, err := v.Payload(t.Context(), e.Ref, nil)
		if err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
		if !bytes.Equal(b, payloadOf(s, e.Run, n, size)) {
			t.Fatalf("record %d of run %d: not the bytes that were written", n, e.Run)
		}
		if !e.Params.Equal(videoTrack) || *e.Stream != *s || len(e.Samples) != 10 || e.Duration != 90000 {
			t.Fatalf("record %d: %+v", n, e)
		}
		got = append(got, n)
	}
	return got
}

func wantRange(t *testing.T, got []int, from, to int) {
	t.Helper()
	if len(got) != to-from {
		t.Fatalf("got %d records %v, want %d to %d", len(got), got, from, to-1)
	}
	for i, n := range got {
		if n != from+i {
			t.Fatalf("got %v, want %d to %d", got, from, to-1)
		}
	}
}

func TestWriteReadBack(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	s := camera(1)
	for n := range 20 {
		if !r.Offer(gop(s, 1, n, 40_000)) {
			t.Fatal("refused")
		}
	}
	r.committed(t)
	wantRange(t, numbers(t, r.Volume, s, media.Always, 40_000), 0, 20)

	// A range in the middle begins with the sync sample at or before it.
	at := epoch + 1000*second
	wantRange(t, numbers(t, r.Volume, s, media.Span{From: at + 5*second + second/2, To: at + 7*second}, 40_000), 5, 7)

	l, err := r.List(t.Context(), Query{Camera: "cam1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Segments) != 10 || len(l.Gaps) != 0 {
		t.Fatalf("%d segments and %d gaps, want 10 of 2 s and none", len(l.Segments), len(l.Gaps))
	}
	for i, seg := range l.Segments {
		if seg.Span.Duration() != 2*time.Second || seg.Samples != 20 || seg.Bytes != 80_000 || seg.Codec != media.H264 {
			t.Errorf("segment %d: %+v", i, seg)
		}
	}

	// Another process reads what is committed while this one records.
	ro, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	wantRange(t, numbers(t, ro, s, media.Always, 40_000), 0, 20)
}

// What is offered before the end is committed before Run returns, and is there
// after a restart; the ring goes on where it was.
func TestRestart(t *testing.T) {
	o := testOptions(t.TempDir())
	s := camera(1)
	for start := range 4 {
		r := record(t, o)
		for n := range 5 {
			r.Offer(gop(s, media.RunID(start+1), n, 100_000))
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		ro, err := OpenReadOnly(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := numbers(t, ro, s, media.Always, 100_000); len(got) != 5*(start+1) {
			t.Fatalf("after start %d: %d records, want %d", start, len(got), 5*(start+1))
		}
		l, _ := ro.List(t.Context(), Query{})
		if len(l.Gaps) != start {
			t.Fatalf("after start %d: gaps %+v", start, l.Gaps)
		}
		for _, g := range l.Gaps {
			if g.Reason != media.ReasonStopped {
				t.Errorf("gap %+v, want recorder_stopped", g)
			}
		}
		ro.Close()
	}
}

// The ring wraps: its space never grows, old footage goes pool by pool, what is
// left is whole, and a reader of what went is told.
func TestWrap(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	s := camera(1)
	const size = 700_000
	var stale media.Ref
	const records = 60
	for n := range records {
		for !r.Offer(gop(s, 1, n, size)) {
			t.Fatal("refused")
		}
		r.committed(t)
		if n == 0 {
			for e, err := range r.Entries(t.Context(), s.ID(), media.Always) {
				if err != nil {
					t.Fatal(err)
				}
				stale = e.Ref
			}
		}
	}
	got := numbers(t, r.Volume, s, media.Always, size)
	if len(got) < 15 || got[len(got)-1] != records-1 {
		t.Fatalf("after three passes: %v", got)
	}
	wantRange(t, got, got[0], records)
	if _, err := r.Payload(t.Context(), stale, nil); !errors.Is(err, media.ErrOverwritten) {
		t.Errorf("reading overwritten footage: %v, want ErrOverwritten", err)
	}
	if r.Status().Generation < 6 {
		t.Errorf("generation %d: the ring did not wrap twice", r.Status().Generation)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	ro, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	wantRange(t, numbers(t, ro, s, media.Always, size), got[0], records)
	for n := range o.Pools {
		st, err := os.Stat(filepath.Join(o.Dir, fmt.Sprintf("pool_%03d.bin", n)))
		if err != nil || st.Size() != o.PoolBytes {
			t.Errorf("pool %d: %v %v", n, st, err)
		}
	}
}

// With many pools the newest is found through the catalogue, also through one
// that is old, damaged or gone.
func TestCatalogue(t *testing.T) {
	o := testOptions(t.TempDir())
	o.Pools = 70
	path := filepath.Join(o.Dir, "catalogue")
	s := camera(1)
	const size = 1_500_000
	written, old := 0, []byte(nil)
	for start, spoil := range []func(){
		func() {}, func() { os.Remove(path) }, func() { patch(t, path, 200, []byte{1, 2, 3}) }, func() { os.WriteFile(path, old, 0o600) },
	} {
		spoil()
		r := record(t, o)
		for range 15 { // three pools, and a little
			r.Offer(gop(s, 1, written, size))
			written++
			r.committed(t)
		}
		wantRange(t, numbers(t, r.Volume, s, media.Always, size), 0, written)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if start == 0 {
			old = b
		}
	}
	ro, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	wantRange(t, numbers(t, ro, s, media.Always, size), 0, written)
}

// A segment that goes on in the next pool is one segment.
func TestSegmentAcrossPools(t *testing.T) {
	o := testOptions(t.TempDir())
	o.SegmentDuration = 30 * time.Second
	r := record(t, o)
	s := camera(1)
	for n := range 12 {
		r.Offer(gop(s, 1, n, 900_000))
		r.committed(t)
	}
	if r.Status().Generation < 2 {
		t.Fatal("one pool was enough: the test proves nothing")
	}
	l, err := r.List(t.Context(), Query{Camera: "cam1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Segments) != 1 || l.Segments[0].Samples != 120 || l.Segments[0].Span.Duration() != 12*time.Second {
		t.Fatalf("%+v, want one segment of 12 s", l.Segments)
	}
}

func TestGaps(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	s := camera(1)
	at := epoch + 1000*second
	r.Offer(gop(s, 1, 0, 1000))
	r.OfferGap(media.Gap{Stream: s, Span: media.Span{From: at + second}, Reason: media.ReasonUnreachable})
	r.committed(t)
	l, _ := r.List(t.Context(), Query{Camera: "cam1"})
	if len(l.Gaps) != 1 || l.Gaps[0].Span != (media.Span{From: at + second}) || l.Gaps[0].Reason != media.ReasonUnreachable {
		t.Fatalf("while the camera is away: %+v", l.Gaps)
	}
	r.OfferGap(media.Gap{Stream: s, Span: media.Span{From: at + second, To: at + 21*second}, Reason: media.ReasonUnreachable, Detail: "connection refused"})
	next := gop(s, 2, 0, 1000)
	next.Wall = at + 21*second
	r.Offer(next)
	r.committed(t)
	l, _ = r.List(t.Context(), Query{Camera: "cam1"})
	want := media.Gap{Stream: l.Gaps[0].Stream, Span: media.Span{From: at + second, To: at + 21*second}, Reason: media.ReasonUnreachable, Detail: "connection refused"}
	if len(l.Gaps) != 1 || l.Gaps[0] != want {
		t.Fatalf("after it came back: %+v, want %+v", l.Gaps, want)
	}
}

// A segment begins with its first picture, whichever track was written first.
func TestSegmentBeginsWithPicture(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	s := camera(1)
	picture := gop(s, 1, 1, 1000)
	sound := media.Record{Stream: s, Track: media.AudioTrack, Params: &media.Track{Kind: media.Audio, Codec: media.PCMU, ClockRate: 8000, Channels: 1, SampleRate: 8000},
		Run: 1, Start: 2000, Wall: picture.Wall - 750*int64(time.Millisecond), Buffer: media.NewBuffer(6000)}
	sound.Buffer.Data = sound.Buffer.Data[:6000]
	sound.Buffer.Samples = append(sound.Buffer.Samples, media.Sample{Size: 6000, Duration: 6000, Flags: media.SampleSync})
	r.Offer(sound)
	r.Offer(picture)
	r.committed(t)
	l, _ := r.List(t.Context(), Query{Camera: "cam1"})
	want := media.Span{From: epoch + 1001*second, To: epoch + 1002*second}
	if len(l.Segments) != 1 || l.Segments[0].Span != want || l.Segments[0].Codec != media.H264 || l.Segments[0].Samples != 10 {
		t.Errorf("%+v, want %+v", l.Segments, want)
	}
}

// A run's beginning is known better after some seconds: what was written before
// is told with the wall time that is known by now.
func TestRunBase(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	s := camera(1)
	late := []int64{300, 120, 0, 0} // ms by which each record's wall time is late
	for n, ms := range late {
		rec := gop(s, 1, n, 1000)
		rec.Wall += ms * int64(time.Millisecond)
		r.Offer(rec)
	}
	r.committed(t)
	n := int64(0)
	for e, err := range r.Entries(t.Context(), s.ID(), media.Always) {
		if want := epoch + 1000*second + n*second; err != nil || e.Wall != want {
			t.Errorf("record %d: %v, %d ms late", n, err, (e.Wall-want)/int64(time.Millisecond))
		}
		n++
	}
	l, _ := r.List(t.Context(), Query{Camera: "cam1"})
	if got := l.Segments[0].Span.From; n != 4 || got != epoch+1000*second {
		t.Errorf("%d records; the segment begins %d ms late", n, (got-epoch-1000*second)/int64(time.Millisecond))
	}
}

// Segments of a run's first seconds are corrected like its records, each of them.
func TestRunBaseAcrossSegments(t *testing.T) {
	o := testOptions(t.TempDir())
	o.SegmentDuration = time.Second / 2
	r := record(t, o)
	s := camera(1)
	for n, ms := range []int64{300, 120, 0, 0} {
		rec := gop(s, 1, n, 1000)
		rec.Wall += ms * int64(time.Millisecond)
		r.Offer(rec)
	}
	r.committed(t)
	l, _ := r.List(t.Context(), Query{Camera: "cam1"})
	if len(l.Segments) != 4 || len(l.Gaps) != 0 {
		t.Fatalf("%+v", l)
	}
	n := int64(0)
	for e, err := range r.Entries(t.Context(), s.ID(), media.Span{From: epoch, To: epoch + 1002*second + 1}) {
		want := media.Span{From: epoch + (1000+n)*second, To: epoch + (1001+n)*second}
		if got := l.Segments[n].Span; err != nil || got != want || e.Wall != want.From {
			t.Errorf("segment %d: %v, listed %v, read at %v; want %v", n, err, got, e.Wall, want)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d records before the third second's first moment", n)
	}
}

// One run behind the other, a little early or a little late: a camera's clock that
// is too fast or too slow makes neither overlaps nor gaps.
func TestRunsJoin(t *testing.T) {
	for _, c := range []struct {
		name    string
		by      time.Duration // from the end of the first run to the second
		gap     *media.Gap    // on record
		gaps    int
		clipped bool // the second run's beginning ends the first
	}{
		{"the camera's clock is fast", -400 * time.Millisecond, nil, 0, true},
		{"the camera's clock is slow", 400 * time.Millisecond, nil, 0, false},
		{"a gap of half a second that is on record", 400 * time.Millisecond, &media.Gap{Reason: media.ReasonUnreachable}, 1, false},
		{"nobody says why", time.Second, nil, 1, false},
		{"the clock was set back", -time.Hour, &media.Gap{Reason: media.ReasonClock}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions(t.TempDir())
			r := record(t, o)
			s := camera(1)
			first, second := gop(s, 1, 0, 1000), gop(s, 2, 0, 1000)
			end := first.End()
			second.Wall = end + int64(c.by)
			want := []media.Span{{From: first.Wall, To: end}, {From: second.Wall, To: second.End()}}
			if c.clipped {
				want[0].To = second.Wall
			}
			r.Offer(first)
			if c.gap != nil {
				g := *c.gap
				g.Stream, g.Span = s, media.Span{From: end, To: max(end, second.Wall)}
				r.OfferGap(g)
			}
			r.Offer(second)
			r.committed(t)
			l, err := r.List(t.Context(), Query{Camera: "cam1"})
			if err != nil || len(l.Segments) != 2 || l.Segments[0].Span != want[0] || l.Segments[1].Span != want[1] {
				t.Errorf("%v, %+v, want %v", err, l.Segments, want)
			}
			if len(l.Gaps) != c.gaps || c.gap != nil && l.Gaps[0].Reason != c.gap.Reason {
				t.Errorf("gaps: %+v", l.Gaps)
			}
		})
	}
}

func TestInUse(t *testing.T) {
	o := testOptions(t.TempDir())
	record(t, o)
	_, err := Open(t.Context(), o)
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Fatalf("second Open: %v, want in use by pid %d", err, os.Getpid())
	}
}

// What lies in the directory and is not the ring that was asked for is refused
// with words that help, and stays as it was.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, o *Options)
		want  string
	}{
		{"fewer max_pools", func(t *testing.T, o *Options) { o.Pools = 2 }, "set max_pools = 3: a ring that has grown cannot shrink again"},
		{"other chunk_size_mb", func(t *testing.T, o *Options) { o.PoolBytes = 16 * mib }, "set max_pools = 3 and chunk_size_mb = 8 again"},
		{"most pool files gone", func(t *testing.T, o *Options) {
			os.Remove(filepath.Join(o.Dir, "pool_001.bin"))
			os.Remove(filepath.Join(o.Dir, "pool_002.bin"))
		}, "2 of the ring's 3 pool files cannot be written: pool_001.bin is missing; pool_002.bin is missing"},
		{"damaged ring.id", func(t *testing.T, o *Options) { patch(t, filepath.Join(o.Dir, "ring.id"), 0, []byte("#")) }, "ring.id: not readable"},
		{"newer format in ring.id", func(t *testing.T, o *Options) {
			b, _ := os.ReadFile(filepath.Join(o.Dir, "ring.id"))
			os.WriteFile(filepath.Join(o.Dir, "ring.id"), bytes.Replace(b, []byte(`"format": 1`), []byte(`"format": 2`), 1), 0o600)
		}, "use a newer nvr"},
		{"footage without ring.id", func(t *testing.T, o *Options) { os.Remove(filepath.Join(o.Dir, "ring.id")) }, "pool_000.bin holds footage"},
		{"foreign file of a pool's name", func(t *testing.T, o *Options) {
			o.Dir = t.TempDir()
			os.WriteFile(filepath.Join(o.Dir, "pool_000.bin"), bytes.Repeat([]byte("not ours "), 20000), 0o600)
		}, "is no pool of ours"},
		{"more than the disk has", func(t *testing.T, o *Options) {
			o.Dir, o.Pools, o.PoolBytes = t.TempDir(), 60000, 1<<40
		}, "lower max_pools or chunk_size_mb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions(t.TempDir())
			r := record(t, o)
			r.Offer(gop(camera(1), 1, 0, 1000))
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			test.spoil(t, &o)
			before := listing(t, o.Dir)
			v, err := Open(t.Context(), o)
			if err == nil {
				v.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v\nwant …%s…", err, test.want)
			}
			if after := listing(t, o.Dir); after != before {
				t.Errorf("files before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func patch(t *testing.T, path string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// listing is names, sizes and checksums, of all but the lock.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		data, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		fmt.Fprintf(&b, "%s %d %08x\n", e.Name(), len(data), pool.CRC(data))
	}
	return b.String()
}

// A bit that flipped costs its record, and no other.
func TestDamage(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	s := camera(1)
	for n := range 6 {
		r.Offer(gop(s, 1, n, 50_000))
		r.committed(t)
	}
	r.stop()
	ro, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	i := 0
	for e := range ro.Entries(t.Context(), s.ID(), media.Always) {
		if i == 3 {
			path := filepath.Join(o.Dir, "pool_000.bin")
			b, _ := os.ReadFile(path)
			off := e.Ref.Group + int64(e.Ref.Offset) + 1234
			patch(t, path, off, []byte{b[off] ^ 4})
		}
		i++
	}
	i = 0
	for e := range ro.Entries(t.Context(), s.ID(), media.Always) {
		_, err := ro.Payload(t.Context(), e.Ref, nil)
		var damaged *media.DamagedError
		if i == 3 != errors.As(err, &damaged) || i != 3 && err != nil {
			t.Errorf("record %d: %v", i, err)
		}
		i++
	}
	if i != 6 {
		t.Errorf("%d records listed, want 6", i)
	}
}

// A commit that was cut: the torn group is not served, what was committed
// before is, and recording goes on.
func TestTornTail(t *testing.T) {
	for _, cut := range []string{"header", "directory", "payload"} {
		t.Run(cut, func(t *testing.T) {
			o := testOptions(t.TempDir())
			r := record(t, o)
			s := camera(1)
			for n := range 4 {
				r.Offer(gop(s, 1, n, 50_000))
				r.committed(t)
			}
			r.stop()
			groups := groupsOf(t, o)
			last := groups[len(groups)-1]
			for i := len(groups) - 1; last.TotalLen < 50_000; i-- { // the one with record 3, and all behind it
				last = groups[i]
			}
			path := filepath.Join(o.Dir, "pool_000.bin")
			zeros := make([]byte, pool.BlockSize)
			switch cut {
			case "header":
				patch(t, path, last.Offset, zeros)
			case "directory":
				patch(t, path, last.Offset+pool.HeaderSize+4, zeros[:16])
			case "payload":
				patch(t, path, last.Offset+int64(last.TotalLen)-2*pool.BlockSize, zeros)
			}
			// Nothing behind it had been written.
			end := last.Offset + int64(last.TotalLen)
			for off := end; off < end+64<<10; off += pool.BlockSize {
				patch(t, path, off, zeros)
			}
			r = record(t, o)
			wantRange(t, numbers(t, r.Volume, s, media.Always, 50_000), 0, 3)
			for n := range 3 {
				r.Offer(gop(s, 2, n, 50_000))
			}
			r.committed(t)
			if got := numbers(t, r.Volume, s, media.Always, 50_000); len(got) != 6 {
				t.Fatalf("after going on: %v", got)
			}
		})
	}
}

func groupsOf(t *testing.T, o Options) []pool.Group {
	t.Helper()
	ro, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	groups, _, err := ro.headGroups(0)
	if err != nil || len(groups) == 0 {
		t.Fatal(len(groups), err)
	}
	return groups
}

// When there is too much, the camera with the most of it loses its oldest GOPs,
// whole, and they become gaps.
func TestQueueDropsFairly(t *testing.T) {
	q := newQueue(10, func() media.Reason { return media.ReasonDisk })
	heavy, light := camera(1), camera(2)
	offer := func(s *media.Stream, n, size int, sync bool) {
		r := gop(s, 1, n, 1000)
		if !sync {
			r.Buffer.Samples[0].Flags = 0
		}
		if !q.offer(queued{record: r, size: size}) {
			t.Fatal("refused")
		}
	}
	const size = batchBytes / 8
	for n := range 12 { // GOPs of three records
		offer(heavy, n, size, n%3 == 0)
		if n%3 == 0 {
			offer(light, n, 1000, true)
		}
	}
	left := map[*media.Stream][]int{}
	lost := map[*media.Stream]media.Gap{}
	for batch := q.take(nil); len(batch) > 0; batch = q.take(nil) {
		for _, it := range batch {
			if it.gap != nil {
				lost[it.gap.Stream] = *it.gap
				continue
			}
			left[it.record.Stream] = append(left[it.record.Stream], int(it.record.Start/90000))
		}
	}
	if got := fmt.Sprint(left[heavy], left[light]); got != "[6 7 8 9 10 11] [0 3 6 9]" {
		t.Errorf("left: %s", got)
	}
	at := epoch + 1000*second
	if g := lost[heavy]; g.Span != (media.Span{From: at, To: at + 6*second}) || g.Reason != media.ReasonDisk || len(lost) != 1 {
		t.Errorf("lost: %+v", lost)
	}
	if n, bytes := q.len(); n != 0 || bytes != 0 || q.losses() != 6 {
		t.Errorf("%d items, %d bytes, %d losses", n, bytes, q.losses())
	}
}

// A GOP whose beginning was lost is lost to its end.
func TestQueueDropsWholeGOPs(t *testing.T) {
	q := newQueue(2, func() media.Reason { return media.ReasonOverload })
	s := camera(1)
	for n := range 8 {
		r := gop(s, 1, n, 1000)
		if n != 0 && n != 6 {
			r.Buffer.Samples[0].Flags = 0
		}
		q.offer(queued{record: r, size: batchBytes / 2})
	}
	var got []string
	for _, it := range q.take(nil) {
		if it.gap != nil {
			got = append(got, fmt.Sprint("gap of ", it.gap.Span.Duration()))
		} else {
			got = append(got, fmt.Sprint(int(it.record.Start/90000)))
		}
	}
	if fmt.Sprint(got) != "[gap of 6s 6 7]" {
		t.Errorf("%v", got)
	}
}

func TestQueueTakesBursts(t *testing.T) {
	q := newQueue(4, func() media.Reason { return media.ReasonOverload })
	for n := range 1000 {
		q.offer(queued{record: gop(camera(1), 1, n, 100), size: 100})
	}
	if got := len(q.take(nil)); got != 1000 {
		t.Errorf("took %d of a burst that fits into one commit", got)
	}
	v := newVolume(testOptions(t.TempDir()))
	v.OfferGap(media.Gap{Stream: camera(1), Detail: strings.Repeat("é", 100_000)})
	if got := v.queue.take(nil); len(got) != 1 || len(got[0].gap.Detail) > maxGapDetail {
		t.Errorf("a gap with a line of %d bytes", len(got[0].gap.Detail))
	}
	for range maxQueuedGaps {
		if !q.offer(queued{gap: &media.Gap{Stream: camera(1)}}) {
			t.Fatal("a gap was refused")
		}
	}
	if q.offer(queued{gap: &media.Gap{Stream: camera(1)}}) {
		t.Error("gaps without end were taken")
	}
}

func TestDump(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	r.Offer(gop(camera(1), 1, 0, 5000))
	r.stop()
	var b strings.Builder
	if err := Dump(&b, filepath.Join(o.Dir, "pool_000.bin")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"state=active", "group offset=1048576", `"id":"cam1"`, `"codec":"h264"`, "wall=2026-02-19T14:16:40.000Z", "n=10 S......... ok", "footer none"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if err := Dump(&b, os.Args[0]); err == nil {
		t.Error("a program passed for a pool file")
	}
}
