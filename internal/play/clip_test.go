package play

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

func TestNoFootage(t *testing.T) {
	a := &archive{}
	a.record(0, 4, loadClip(t, "h264"))
	for _, span := range []media.Span{at(-10, 0), at(4, 10), at(2, 2), at(3, 2)} {
		if _, err := Export(t.Context(), a, io.Discard, ExportOptions{Span: span}); !errors.Is(err, ErrNoFootage) {
			t.Errorf("%v: %v", span, err)
		}
	}
}

// TestUnfitCodec: what MP4 cannot carry is left out and counted.
func TestUnfitCodec(t *testing.T) {
	odd := g711("g726")
	a := &archive{}
	a.record(0, 4, loadClip(t, "h264"), odd)
	result, err := Export(t.Context(), a, io.Discard, ExportOptions{})
	if err != nil || result.Unfit != 5 || result.Video != 100 || result.Audio != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestRanges: any range of a clip is that range of the whole file.
func TestRanges(t *testing.T) {
	a := &archive{}
	a.record(0, 6, loadClip(t, "h264"), g711(media.PCMA))
	a.record(20, 6, loadClip(t, "h264"), g711(media.PCMA))
	var last int64
	c, err := Plan(t.Context(), a, ExportOptions{Span: at(1.37, 23.3), Progress: func(done, total int64) {
		if done < last || done > total {
			t.Errorf("progress %d after %d of %d", done, last, total)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var whole bytes.Buffer
	if err := c.WriteTo(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	if int64(whole.Len()) != c.Size() || last != c.Size() {
		t.Fatalf("%d bytes, progress %d, promised %d", whole.Len(), last, c.Size())
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		offset := rnd.Int64N(c.Size() + 1)
		size := rnd.Int64N(c.Size() - offset + 1)
		var part bytes.Buffer
		last = 0
		if err := c.WriteRange(t.Context(), &part, offset, size); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(part.Bytes(), whole.Bytes()[offset:][:size]) {
			t.Fatalf("range %d+%d differs", offset, size)
		}
	}
	if err := c.WriteRange(t.Context(), io.Discard, c.Size(), 1); err == nil {
		t.Error("a range behind the end was written")
	}
}

func TestReadsInOrder(t *testing.T) {
	a := &archive{}
	a.record(0, 6, loadClip(t, "h264"), g711(media.PCMA))
	if _, err := Export(t.Context(), a, io.Discard, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(a.reads) || len(slices.Compact(a.reads)) != len(a.entries) {
		t.Errorf("reads %v", a.reads)
	}
}

func TestOverwrittenMeanwhile(t *testing.T) {
	a := &archive{}
	a.record(0, 6, loadClip(t, "h264"), g711(media.PCMA))
	a.fail = map[int]error{3: media.ErrOverwritten}
	if _, err := Export(t.Context(), a, io.Discard, ExportOptions{}); !errors.Is(err, media.ErrOverwritten) {
		t.Errorf("error %v", err)
	}
}

// TestGrowsMeanwhile: what is recorded after the plan was made is not in the clip.
func TestGrowsMeanwhile(t *testing.T) {
	a := &archive{}
	a.record(0, 6, loadClip(t, "h264"), g711(media.PCMA))
	c, err := Plan(t.Context(), a, ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a.record(6, 6, loadClip(t, "h264"), g711(media.PCMA))
	var out bytes.Buffer
	if err := c.WriteTo(t.Context(), &out); err != nil || int64(out.Len()) != c.Size() {
		t.Errorf("%d bytes of %d, %v", out.Len(), c.Size(), err)
	}
}

func TestDamagedRecord(t *testing.T) {
	a := &archive{}
	a.record(0, 6, loadClip(t, "h264"), g711(media.PCMA))
	var good, bad bytes.Buffer
	if _, err := Export(t.Context(), a, &good, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	a.fail = map[int]error{4: &media.DamagedError{Reason: "checksum"}, 5: &media.DamagedError{Reason: "checksum"}}
	result, err := Export(t.Context(), a, &bad, ExportOptions{})
	if err != nil || result.Damaged != 2 || good.Len() != bad.Len() {
		t.Fatalf("%d bytes of %d, %+v, %v", bad.Len(), good.Len(), result, err)
	}
	if !bytes.Contains(bad.Bytes(), append(make([]byte, 500), bytes.Repeat([]byte{0xD5}, 6400)...)) {
		t.Error("no zeros and silence in place of the damaged records")
	}
	differ := 0
	for i, b := range good.Bytes() {
		if b != bad.Bytes()[i] {
			differ++
		}
	}
	if most := len(a.payloads[4]) + len(a.payloads[5]); differ > most {
		t.Errorf("%d bytes differ, the damaged records have %d", differ, most)
	}
}

func TestCancel(t *testing.T) {
	a := &archive{}
	a.record(0, 6, loadClip(t, "h264"))
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Plan(ctx, a, ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if err := c.WriteTo(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	if _, err := Plan(ctx, a, ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("plan: %v", err)
	}
}

// TestAnyFootage plans and writes footage that no sane recorder would make:
// whatever the times say, nothing panics, nothing decodable is lost, and the
// file has the promised size.
func TestAnyFootage(t *testing.T) {
	tracks := []*media.Track{&loadClip(t, "h264").track, &loadClip(t, "h264wide").track, &loadClip(t, "h265").track,
		&loadClip(t, "aac").track, &g711(media.PCMU).track, &g711(media.PCMA).track}
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		odd := func(usual, n int64) int64 { // rarely anything
			if rnd.IntN(20) > 0 {
				return usual
			}
			return rnd.Int64N(n)
		}
		a := &archive{}
		wall := noon
		for run := range 1 + rnd.IntN(4) {
			var start [3]media.Ticks
			wall += odd(int64(rnd.IntN(20e9)), 1e15) - odd(0, 1e14)
			for range 1 + rnd.IntN(30) {
				params := tracks[rnd.IntN(len(tracks))]
				track := media.VideoTrack
				if params.Kind == media.Audio {
					track = media.AudioTrack
				}
				e := &media.Entry{Stream: testStream, Track: track, Params: params, Run: media.RunID(run), Start: start[track], Wall: wall}
				var data []byte
				for range 1 + rnd.IntN(20) {
					usual := int64(params.ClockRate / 25)
					s := media.Sample{Size: uint32(rnd.IntN(400)), Duration: uint32(odd(usual, 1<<32)), Composition: int32(odd(0, 1<<20) - odd(0, 1<<19))}
					if rnd.IntN(8) == 0 {
						s.Flags = media.SampleSync
					}
					data = append(data, make([]byte, s.Size)...)
					e.Samples = append(e.Samples, s)
					e.Duration += media.Ticks(s.Duration)
				}
				a.add(e, data)
				start[track] += e.Duration + media.Ticks(odd(0, 1<<34)-odd(0, 1<<33))
				wall += odd(4e8, 1e14) - odd(0, 1e13)
			}
		}
		span := media.Always
		if seed%2 == 1 {
			span.From = noon + rnd.Int64N(20e9)
			span.To = span.From + rnd.Int64N(40e9) + 1
		}
		var out counter
		result, err := Export(t.Context(), a, &out, ExportOptions{Span: span, Gaps: GapMode(seed / 2 % 2), TempDir: t.TempDir()})
		if errors.Is(err, ErrNoFootage) || errors.Is(err, mp4.ErrTooLong) {
			continue
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if result.Bytes != out.n || result.Duration <= 0 || result.Span.To < result.Span.From {
			t.Fatalf("seed %d: wrote %d, %+v", seed, out.n, result)
		}
	}
}

// counter counts what is written.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
