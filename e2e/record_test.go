package e2e

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nvr/internal/media"
	"nvr/internal/simulate"
	"nvr/internal/simulate/mark"
)

// Sixteen cameras, a ring that wraps at least twice: every sample that is left
// is there once, in order, undamaged, up to the last one that was sent.
func TestSixteenCameras(t *testing.T) {
	server := cameras(t, simulate.Options{Cameras: 16, Bitrate: 4_000_000, Audio: simulate.AudioPCMU})
	s := newSite(t, pick(4, 10), 8, urls(server)...)
	r := s.record(t)
	began := time.Now()
	waitFor(t, pick(60*time.Second, 120*time.Second), "third pass of the ring", func() bool {
		return readGenerations(t, s) > uint64(pick(3*4, 3*10)) && time.Since(began) >= pick(0, 60*time.Second)
	})
	r.stop(t)
	reports := marksIn(t, s.ring())
	if len(reports) != 16 {
		t.Fatalf("%d cameras in the ring", len(reports))
	}
	total := uint64(0)
	stats := server.Stats()
	for _, c := range reports {
		if !c.Clean() {
			t.Error(c)
		}
		total += c.Count
		// The last one recorded is the last one that the recorder was given,
		// but for what was under way when it hung up.
		sent := stats[c.Camera-1].Sent
		if last := sent[len(sent)-1].To - 1; last-c.Last > 15 {
			t.Errorf("camera %d: recorded up to %d, sent up to %d", c.Camera, c.Last, last)
		}
	}
	t.Logf("%d samples of 16 cameras left in the ring; generation %d", total, readGenerations(t, s))
	if l := s.list(t, ""); len(l.Gaps) != 0 {
		t.Errorf("gaps: %+v", l.Gaps)
	}
}

func readGenerations(t *testing.T, s *site) uint64 {
	t.Helper()
	if _, err := os.Stat(filepath.Join(s.ring(), "ring.id")); err != nil {
		return 0
	}
	ring := readRing(t, s.ring())
	if len(ring) == 0 {
		return 0
	}
	return ring[len(ring)-1].generation
}

// A cut begins and ends on the right sample: ffprobe says where each sample of
// the file lies and when it is shown, its mark says which one it is.
func TestCut(t *testing.T) {
	need(t, "ffprobe", "ffmpeg")
	for _, codec := range []media.Codec{media.H264, media.H265} {
		t.Run(string(codec), func(t *testing.T) {
			t.Parallel()
			server := cameras(t, simulate.Options{Codec: codec, Audio: simulate.AudioAAC})
			s := newSite(t, 2, 8, server.URL(1))
			r := s.record(t)
			waitFor(t, 60*time.Second, "twelve seconds of footage", func() bool { return s.samples(t, "cam1") > 12*15 })
			r.stop(t)

			begin := s.list(t, "cam1").Segments[0].Start
			whole := filepath.Join(s.dir, "whole.mp4")
			s.export(t, "-o", whole)
			all := numbersIn(t, whole)
			// The first sample's wall time, from the whole file: sample n is
			// shown at begin + (n − first)/15 s.
			first := all[0].number

			const step = 1.0 / 15
			from, to := 1.37, 7.91
			file := filepath.Join(s.dir, "cut.mp4")
			s.export(t, "--from", stamp(begin, from), "--to", stamp(begin, to), "-o", file)
			judge(t, file)
			var shown []numbered
			for _, n := range numbersIn(t, file) {
				if n.PTS+step > 1e-4 {
					shown = append(shown, n)
				}
			}
			wantFirst, wantLast := first+uint64(math.Floor(from/step)), first+uint64(math.Ceil(to/step))-1
			if got := shown[0].number; got != wantFirst {
				t.Errorf("begins with sample %d, want %d", got-first, wantFirst-first)
			}
			if got := shown[len(shown)-1].number; got != wantLast {
				t.Errorf("ends with sample %d, want %d", got-first, wantLast-first)
			}
			for i, n := range shown {
				if n.number != wantFirst+uint64(i) {
					t.Fatalf("sample %d shows number %d, want %d", i, n.number-first, wantFirst+uint64(i)-first)
				}
				// Shown when it happened: at its time since the cut's beginning,
				// which lies in the middle of the first one.
				if want := max(0, float64(n.number-first)*step-from); math.Abs(n.PTS-want) > 0.012 {
					t.Errorf("sample %d is shown at %.4f s, want %.4f", n.number-first, n.PTS, want)
				}
			}
			audio := packets(t, file, "a:0")
			if len(audio) == 0 || audio[len(audio)-1].PTS < to-from-0.2 {
				t.Errorf("audio ends at %+v", audio)
			}
		})
	}
}

type numbered struct {
	packet
	number uint64
}

// numbersIn reads which sample each one of a file's video track is.
func numbersIn(t *testing.T, file string) (list []numbered) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range packets(t, file, "v:0") {
		b := make([]byte, p.Size)
		if _, err := f.ReadAt(b, p.Pos); err != nil {
			t.Fatal(err)
		}
		found := 0
		mark.Find(b, func(m mark.Mark) {
			if m.Damaged {
				t.Errorf("sample %d is damaged", m.Sequence)
			}
			list = append(list, numbered{p, m.Sequence})
			found++
		})
		if found != 1 {
			t.Fatalf("%d marks in the sample at %.3f s", found, p.PTS)
		}
	}
	if len(list) == 0 {
		t.Fatal("no samples")
	}
	return list
}

func stamp(t time.Time, seconds float64) string {
	return t.Add(time.Duration(seconds * float64(time.Second))).UTC().Format(time.RFC3339Nano)
}

func (s *site) export(t *testing.T, args ...string) {
	t.Helper()
	if _, code := s.run(t, append([]string{"export", "--camera", "cam1"}, args...)...); code != 0 {
		t.Fatalf("nvr export %v: exit %d", args, code)
	}
}

// kill -9 at random moments: all that was listed before is listed and exported
// after, and recording goes on.
func TestKill(t *testing.T) {
	// At 60 pictures a second a camera's GOP is half a second: what is measured
	// is the recorder's start, not the wait for a sync sample.
	server := cameras(t, simulate.Options{Cameras: 2, FPS: 60})
	s := newSite(t, 6, pick(16, 64), urls(server)...)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var before listing
	for i := range pick(6, 50) {
		began := time.Now()
		r := s.record(t)
		waitFor(t, 20*time.Second, "recording after kill -9", func() bool {
			return newest(s.list(t, "cam1")).After(began) && newest(s.list(t, "cam2")).After(began)
		})
		again := s.list(t, "cam1")
		for _, seg := range again.Segments {
			if seg.Start.After(began) {
				t.Logf("kill %d: footage from %v after the start of the program", i, seg.Start.Sub(began).Round(time.Millisecond))
				break
			}
		}
		time.Sleep(time.Duration(rnd.IntN(2000)) * time.Millisecond) // the moment of the kill is the test's input
		after := s.list(t, "")
		sameFootage(t, before, after)
		before = s.list(t, "")
		killed := time.Now()
		r.cmd.Process.Kill()
		r.wait()
		t.Logf("kill %d: the newest footage that was written ends %v before it", i, killed.Sub(newest(s.list(t, "cam1"))).Round(time.Millisecond))
	}
	l := s.list(t, "")
	sameFootage(t, before, l)
	for _, c := range marksIn(t, s.ring()) {
		if c.Damaged+c.Duplicates+c.OutOfOrder > 0 {
			t.Error(c)
		}
	}
	file := filepath.Join(s.dir, "all.mp4")
	s.export(t, "--gaps", "skip", "-o", file)
	exported := int64(len(numbersIn(t, file)))
	if listed := s.samples(t, "cam1"); exported != listed {
		t.Errorf("%d samples exported, %d listed", exported, listed)
	}
	for _, g := range l.Gaps {
		if g.Reason != string(media.ReasonStopped) {
			t.Errorf("gap %+v, want recorder_stopped", g)
		}
	}
}

func newest(l listing) (at time.Time) {
	for _, seg := range l.Segments {
		if seg.End.After(at) {
			at = seg.End
		}
	}
	return at
}

// sameFootage fails when a run lost samples. Pools that were overwritten are
// not the matter here: the ring is large enough.
func sameFootage(t *testing.T, before, after listing) {
	t.Helper()
	count := func(l listing) map[string]int64 {
		m := map[string]int64{}
		for _, s := range l.Segments {
			m[fmt.Sprint(s.Camera, " run ", s.Run)] += s.Samples // a run's beginning may become known better
		}
		return m
	}
	had, has := count(before), count(after)
	for seg, n := range had {
		if has[seg] < n {
			t.Errorf("%s: %d samples, there were %d", seg, has[seg], n)
		}
	}
}

// A camera that goes away and comes back: the gap is listed with its reason.
func TestCameraAway(t *testing.T) {
	server := cameras(t, simulate.Options{Cameras: 2})
	s := newSite(t, 2, 8, urls(server)...)
	r := s.record(t)
	waitFor(t, 30*time.Second, "footage", func() bool { return s.samples(t, "cam1") > 30 && s.samples(t, "cam2") > 30 })
	gone := time.Now()
	server.StopCamera(1, simulate.StopHangUp)
	waitFor(t, 10*time.Second, "open gap", func() bool {
		l := s.list(t, "cam1")
		return len(l.Gaps) == 1 && l.Gaps[0].To == nil
	})
	time.Sleep(pick(3*time.Second, 20*time.Second) - time.Since(gone)) // how long it is away is the test's input
	back := time.Now()
	server.StartCamera(1)
	waitFor(t, 30*time.Second, "footage after the gap", func() bool { return newest(s.list(t, "cam1")).After(back) })
	r.stop(t)
	l := s.list(t, "cam1")
	if len(l.Gaps) != 1 || l.Gaps[0].To == nil || l.Gaps[0].Reason != string(media.ReasonUnreachable) {
		t.Fatalf("gaps %+v, want one closed camera_unreachable", l.Gaps)
	}
	g := l.Gaps[0]
	t.Logf("away from %v to %v; gap %v to %v: %s, %s", gone.UTC(), back.UTC(), g.From, *g.To, g.Reason, g.Detail)
	if d := g.From.Sub(gone).Abs(); d > time.Second {
		t.Errorf("the gap begins %v off", d)
	}
	if g.To.Before(back) {
		t.Errorf("the gap ends at %v, before the camera was back", g.To)
	}
	if l := s.list(t, "cam2"); len(l.Gaps) != 0 {
		t.Errorf("the other camera has gaps: %+v", l.Gaps)
	}
}
