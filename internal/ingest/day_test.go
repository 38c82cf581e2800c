package ingest

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
	"nvr/internal/store"
)

// A day of a camera whose clock is 2 % fast, then 2 % slow, and whose stamps jump
// every minute or two, through the store: no picture is missing, none is dated more
// than half a second wrong, no segment reaches into the next, and there is no gap.
func TestSimulatedDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const fps = 10
		d := memdisk.New("/archive")
		v, err := store.Open(t.Context(), store.Options{Dir: "/archive", Disk: d, Pools: 6, PoolBytes: 32 << 20, CommitInterval: 10 * time.Second, SegmentDuration: time.Minute, Epoch: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()

		f := newFilm(t, "H264")
		f.rec.c.recorder, f.rec.c.gaps.recorder = v, v
		random := rand.New(rand.NewPCG(24, 2))
		offset, jumps, next := 0.0, 0, time.Minute
		f.roll(shots{n: int(simulatedDay / (time.Second / fps)), step: time.Second / fps, gop: 2 * fps, delay: jitter(50 * time.Millisecond),
			stamp: func(taken time.Duration) float64 {
				camera := taken.Seconds() * 1.02
				if half := simulatedDay / 2; taken > half {
					camera = half.Seconds()*1.02 + (taken-half).Seconds()*0.98
				}
				if taken >= next {
					jumps++
					next = taken + time.Duration(60+random.IntN(60))*time.Second
					switch random.IntN(4) {
					case 0:
						offset = -camera // begins again at 0
					case 1:
						offset += 10 * 3600
					case 2:
						offset += (random.Float64() - 0.5) * 2 * 13 * 3600
					default:
						offset += (random.Float64() - 0.5) * 4
					}
				}
				return camera + offset
			},
			then: func(n int, _ time.Time) bool {
				if n%fps == 0 {
					time.Sleep(time.Second)
				}
				return false
			}})
		f.rec.close()
		time.Sleep(time.Minute)
		synctest.Wait()

		l, err := v.List(t.Context(), store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		samples, overlaps, runs := int64(0), 0, map[media.RunID]bool{}
		for i, s := range l.Segments {
			samples += s.Samples
			runs[s.Run] = true
			if i > 0 && s.Span.From < l.Segments[i-1].Span.To {
				overlaps++
			}
		}
		n, early, late, wrong := 0, time.Duration(0), time.Duration(0), 0
		for e, err := range v.Entries(t.Context(), testStream.ID(), media.Always) {
			if err != nil {
				t.Fatal(err)
			}
			at := media.Ticks(0)
			for _, s := range e.Samples {
				off := time.Duration(e.Wall + int64(at.Duration(e.Params.ClockRate)) - f.taken[0][n])
				early, late = min(early, off), max(late, off)
				if off.Abs() > half {
					wrong++
				}
				at += media.Ticks(s.Duration)
				n++
			}
		}
		t.Logf("%v, %d pictures, %d jumps: %d runs, %d segments, %d recorded, %d listed, wall time %v … +%v, %d overlaps, %d gaps", simulatedDay, len(f.taken[0]), jumps,
			len(runs), len(l.Segments), n, samples, early.Round(time.Millisecond), late.Round(time.Millisecond), overlaps, len(l.Gaps))
		if n != len(f.taken[0]) || samples != int64(n) || wrong > 0 || overlaps > 0 || len(l.Gaps) > 0 {
			t.Errorf("%d pictures are dated wrong; gaps %+v", wrong, l.Gaps)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		v.Close()
	})
}
