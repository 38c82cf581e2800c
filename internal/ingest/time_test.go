package ingest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nvr/internal/media"
)

// These tests are the rules of docs/time.md, one after the other. A film knows when
// each of its pictures was really taken, and holds the records to it.

// film is a camera of which the truth is known: the n-th access unit of a track was
// taken at taken[n], by the recorder's clock, and carries n.
type film struct {
	*rig
	begun time.Time
	taken [2][]int64
	sent  [2]time.Time // arrival of the last one
}

// shots is what a track does for a while.
type shots struct {
	track int
	n     int
	step  time.Duration                            // between access units, truly
	gop   int                                      // pictures; 0: 50
	stamp func(taken time.Duration) float64        // seconds of media time; nil: the truth
	delay func(n int) time.Duration                // from being taken to arrival; nil: none
	then  func(n int, taken time.Time) (stop bool) // after each; may be nil
}

func newFilm(t testing.TB, encodings ...string) *film {
	r := newRig(t, 800*time.Millisecond, encodings...)
	return &film{rig: r, begun: r.now}
}

// roll sends all shots in the order of their arrival.
func (f *film) roll(all ...shots) {
	f.t.Helper()
	start := f.now
	done := make([]int, len(all))
	due := func(i int) (arrival time.Time, taken time.Time) {
		s := &all[i]
		taken = start.Add(time.Duration(done[i]) * s.step)
		arrival = taken
		if s.delay != nil {
			arrival = taken.Add(s.delay(done[i]))
		}
		if before := f.sent[s.track]; arrival.Before(before) {
			arrival = before
		}
		return arrival, taken
	}
	for {
		next := -1
		for i := range all {
			if done[i] == all[i].n {
				continue
			}
			if a, _ := due(i); next < 0 {
				next = i
			} else if b, _ := due(next); a.Before(b) {
				next = i
			}
		}
		if next < 0 {
			f.wait(start.Add(time.Duration(all[0].n) * all[0].step).Sub(f.now)) // when the next one is due
			return
		}
		s := &all[next]
		arrival, taken := due(next)
		f.wait(arrival.Sub(f.now))
		f.sent[s.track] = f.now
		f.shoot(s, done[next], taken)
		done[next]++
		if s.then != nil && s.then(done[next], taken) {
			return
		}
	}
}

// shoot sends one access unit.
func (f *film) shoot(s *shots, n int, taken time.Time) {
	since := taken.Sub(f.begun)
	seconds := since.Seconds()
	if s.stamp != nil {
		seconds = s.stamp(since)
	}
	rate := float64(f.rec.tracks[s.track].rate)
	f.stamp[s.track] = uint32(int64(seconds*rate + 0.5))
	number := len(f.taken[s.track])
	f.taken[s.track] = append(f.taken[s.track], f.clock(taken))
	if f.rec.tracks[s.track].kind == media.Audio {
		f.send(s.track, label(number)+strings.Repeat("d5", int(s.step.Seconds()*rate+0.5)-8), true)
		return
	}
	gop := s.gop
	if gop == 0 {
		gop = 50
	}
	head := "419a"
	if n%gop == 0 {
		head = "6588"
	}
	f.send(s.track, head+label(number), true)
}

// label is a number as eight bytes of which none is zero.
func label(n int) string {
	var b strings.Builder
	for _, digit := range fmt.Sprintf("%08x", n) {
		fmt.Fprintf(&b, "a%c", digit)
	}
	return b.String()
}

func unlabel(b []byte) (n int) {
	for _, x := range b[:8] {
		n = n<<4 | int(x&15)
	}
	return n
}

// figures are what came of a film's track.
type figures struct {
	missing     int           // access units
	early, late time.Duration // wall time off the truth, at worst
	runs        int
	overlap     time.Duration // of runs, at worst
	last        time.Duration // how far off the last one is
}

func (x figures) String() string {
	return fmt.Sprintf("%d missing, wall time %v … +%v, at the end %v, %d runs, overlap %v", x.missing, x.early.Round(time.Millisecond), x.late.Round(time.Millisecond), x.last.Round(time.Millisecond), x.runs, x.overlap.Round(time.Millisecond))
}

// measure looks at the records as readers do: the first seconds of a run are dated
// by the earliest beginning that any of them knows (docs/format.md).
func (f *film) measure(track int) figures {
	f.t.Helper()
	f.rec.close()
	return f.figures(track)
}

func (f *film) figures(track int) figures {
	f.t.Helper()
	type key = media.RunID
	base := map[key]int64{}
	start := func(r *media.Record) time.Duration { return r.Start.Duration(r.Params.ClockRate) }
	for i := range f.shelf.records {
		r := &f.shelf.records[i]
		if b, ok := base[r.Run]; start(r) < 10*time.Second && (!ok || r.Wall-int64(start(r)) < b) {
			base[r.Run] = r.Wall - int64(start(r))
		}
	}
	x := figures{}
	seen := map[int]bool{}
	kind := f.rec.tracks[track].kind
	last, end := map[key]media.Ticks{}, int64(0)
	for i := range f.shelf.records {
		r := &f.shelf.records[i]
		if r.Params.Kind != kind {
			continue
		}
		wall := r.Wall
		if b, ok := base[r.Run]; ok && start(r) < 10*time.Second {
			wall = b + int64(start(r))
		}
		before, same := last[r.Run]
		if !same {
			x.runs++
			if x.runs > 1 {
				x.overlap = max(x.overlap, time.Duration(end-wall))
			}
		} else if r.Start <= before {
			f.t.Errorf("record %d begins at %d, after %d", i, r.Start, before)
		}
		last[r.Run] = r.Start
		at, offset := media.Ticks(0), 0
		for _, s := range r.Buffer.Samples {
			data := r.Buffer.Data[offset : offset+int(s.Size)]
			if kind == media.Video {
				data = data[6:] // length and two bytes of slice
			}
			n := unlabel(data)
			seen[n] = true
			off := time.Duration(wall + int64((at + media.Ticks(s.Composition)).Duration(r.Params.ClockRate)) - f.taken[track][n])
			x.last = off
			x.early, x.late = min(x.early, off), max(x.late, off)
			at += media.Ticks(s.Duration)
			offset += int(s.Size)
		}
		end = wall + int64(at.Duration(r.Params.ClockRate))
	}
	x.missing = len(f.taken[track]) - len(seen)
	return x
}

// holds checks figures: nothing missing, wall time within limits.
func (x figures) holds(t testing.TB, early, late time.Duration, runs int) {
	t.Helper()
	t.Log(x)
	if x.missing > 0 || x.early < -early || x.late > late || x.runs > runs {
		t.Errorf("want nothing missing, −%v … +%v, %d runs", early, late, runs)
	}
}

// jitter is a network's, the same each time.
func jitter(most time.Duration) func(int) time.Duration {
	random := rand.New(rand.NewPCG(4, 8))
	return func(int) time.Duration { return time.Duration(random.Int64N(int64(most))) }
}

const half = 500 * time.Millisecond

// Rule 3: the run's start is the least delayed sample's.
func TestRule3RunStart(t *testing.T) {
	t.Run("a burst at the start", func(t *testing.T) {
		f := newFilm(t, "H264")
		f.roll(shots{n: 1500, step: step, delay: func(n int) time.Duration {
			return max(0, 2*time.Second-time.Duration(n)*step) // the GOP of the last two seconds at once
		}})
		f.measure(0).holds(t, 10*time.Millisecond, 10*time.Millisecond, 1)
	})
	t.Run("a slow encoder at the start", func(t *testing.T) {
		f := newFilm(t, "H264")
		f.roll(shots{n: 1500, step: step, delay: func(n int) time.Duration {
			return max(0, 400*time.Millisecond-time.Duration(n)*5*time.Millisecond)
		}})
		f.measure(0).holds(t, 10*time.Millisecond, 10*time.Millisecond, 1)
	})
	t.Run("an encoder that is late for ever", func(t *testing.T) { // no recorder can know
		f := newFilm(t, "H264")
		f.roll(shots{n: 1500, step: step, delay: func(int) time.Duration { return 300 * time.Millisecond }})
		f.measure(0).holds(t, 0, 310*time.Millisecond, 1)
	})
	t.Run("jitter", func(t *testing.T) {
		f := newFilm(t, "H264")
		f.roll(shots{n: 7500, step: step, delay: jitter(150 * time.Millisecond)})
		f.measure(0).holds(t, 10*time.Millisecond, 30*time.Millisecond, 1)
	})
}

// Rules 2 and 4: inside a run samples keep RTP spacing; wall time follows the clock.
func TestRule4Drift(t *testing.T) {
	for _, c := range []struct {
		rate float64
		runs int
	}{{1.02, 50}, {0.98, 50}, {1.0002, 1}, {0.9998, 1}} {
		t.Run(fmt.Sprint(c.rate), func(t *testing.T) {
			f := newFilm(t, "H264")
			f.roll(shots{n: 25 * 900, gop: 100, step: step, stamp: func(taken time.Duration) float64 { return taken.Seconds() * c.rate }, delay: jitter(40 * time.Millisecond)})
			f.measure(0).holds(t, half, half, c.runs)
			if len(f.shelf.gaps) > 0 {
				t.Errorf("gaps: %+v", f.shelf.gaps)
			}
		})
	}
}

// Rules 5 and 6: whatever the stamps do, no sample is dropped, and time goes on.
func TestRule5Stamps(t *testing.T) {
	for _, c := range []struct {
		name        string
		step        time.Duration
		stamp       func(s float64) float64
		early, late time.Duration
		byArrival   bool
	}{
		{"+10 h, modulo 2^32", step, func(s float64) float64 { return s + 36000*float64(int(s)/60) }, 100 * time.Millisecond, 100 * time.Millisecond, false},
		{"10 h back", step, func(s float64) float64 { return s + 360000 - 36000*float64(int(s)/60) }, 100 * time.Millisecond, 100 * time.Millisecond, false},
		{"from 0 again each minute", step, func(s float64) float64 { return s - 60*float64(int(s)/60) }, 100 * time.Millisecond, 100 * time.Millisecond, false},
		{"0.8 s forward each minute", step, func(s float64) float64 { return s + 0.8*float64(int(s)/60) }, half, half, false},
		{"0.8 s back each minute", step, func(s float64) float64 { return s - 0.8*float64(int(s)/60) }, half, half, false},
		{"0.3 s forward each minute", step, func(s float64) float64 { return s + 0.3*float64(int(s)/60) }, half, half, false},
		{"a glitch every 2 s", step, func(s float64) float64 {
			if n := int(s*25 + 0.5); n%50 == 25 {
				return s + 7200
			}
			return s
		}, 100 * time.Millisecond, 100 * time.Millisecond, false},
		{"each stamp twice", step, func(s float64) float64 { return float64(int(s*25+0.5)/2) / 12.5 }, 100 * time.Millisecond, 100 * time.Millisecond, false},
		{"frozen after a minute", step, func(s float64) float64 { return min(s, 60) }, 2 * time.Second, half, true},
		{"0 from the beginning", step, func(float64) float64 { return 0 }, 2 * time.Second, half, true},
		{"stamps of 25 fps at 15 fps", time.Second / 15, func(s float64) float64 { return s * 15 / 25 }, 3500 * time.Millisecond, half, true},
		{"twice as fast", step, func(s float64) float64 { return s * 2 }, 5 * time.Second, 2 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFilm(t, "H264")
			f.roll(shots{n: int(5 * time.Minute / c.step), step: c.step, stamp: func(taken time.Duration) float64 { return c.stamp(taken.Seconds()) }, delay: jitter(30 * time.Millisecond)})
			by := f.rec.line.ByArrival(0)
			f.measure(0).holds(t, c.early, c.late, 100)
			if by != c.byArrival {
				t.Errorf("by arrival: %v", by)
			}
		})
	}
}

// Rule 7: sound and picture by their arrival, and by sender reports where these can
// be believed.
func TestRule7SoundAndPicture(t *testing.T) {
	const late = 300 * time.Millisecond // the sound's encoder
	for _, c := range []struct {
		name   string
		rate   float64 // of the sound's stamps
		report func(track int, taken time.Time) (ntp time.Time, ok bool)
		sound  time.Duration // where it should be at the end, beside the picture
		within time.Duration
		arrive bool
	}{
		{"no reports", 1, nil, late, 5 * time.Millisecond, false},
		{"reports", 1, func(_ int, taken time.Time) (time.Time, bool) { return taken, true }, 0, 10 * time.Millisecond, false},
		{"reports five hours off", 1, func(_ int, taken time.Time) (time.Time, bool) { return taken.Add(5 * time.Hour), true }, 0, 10 * time.Millisecond, false},
		{"reports of the picture alone", 1, func(track int, taken time.Time) (time.Time, bool) { return taken, track == 0 }, late, 5 * time.Millisecond, false},
		{"reports that are apart by hours", 1, func(track int, taken time.Time) (time.Time, bool) {
			return taken.Add(time.Duration(track) * time.Hour), true
		}, late, 5 * time.Millisecond, false},
		{"reports of a clock that runs 1 % fast", 1, func(_ int, taken time.Time) (time.Time, bool) {
			return taken.Add(taken.Sub(time.Unix(0, 0)) % (1000 * time.Second) / 100), true
		}, late, 5 * time.Millisecond, false},
		{"reports that jump", 1, func(_ int, taken time.Time) (time.Time, bool) {
			return taken.Add(time.Duration(taken.Unix()/5%7) * 300 * time.Millisecond), true
		}, late, 5 * time.Millisecond, false},
		{"44.1 kHz said to be 44", 44.1 / 44, nil, late, 60 * time.Millisecond, false},
		{"half the clock rate", 0.5, nil, late, 150 * time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFilm(t, "H264", "PCMA")
			report := func(track int) func(int, time.Time) bool {
				return func(n int, taken time.Time) bool {
					if n%125 == 1 && c.report != nil {
						if ntp, ok := c.report(track, taken); ok {
							f.rec.SenderReport(track, ntp, f.stamp[track], f.now)
						}
					}
					return false
				}
			}
			f.roll(
				shots{n: 25 * 240, step: step, then: report(0)},
				shots{track: 1, n: 25 * 240, step: step, delay: func(int) time.Duration { return late }, then: report(1),
					stamp: func(taken time.Duration) float64 { return taken.Seconds() * c.rate }},
			)
			if f.rec.line.ByArrival(1) != c.arrive {
				t.Errorf("by arrival: %v", !c.arrive)
			}
			f.rec.close()
			video, audio := f.figures(0), f.figures(1)
			t.Logf("picture: %v", video)
			t.Logf("sound: %v", audio)
			if video.early < -time.Millisecond || video.late > time.Millisecond || video.missing > 0 {
				t.Errorf("the picture was moved: %v", video)
			}
			if d := audio.last - c.sound; d.Abs() > c.within || audio.missing > 0 {
				t.Errorf("the sound is %v beside the picture at the end, want %v: %v", audio.last, c.sound, audio)
			}
		})
	}
}

// Rule 8: the camera's clock is told and dates nothing.
func TestRule8CameraClock(t *testing.T) {
	for off, want := range map[time.Duration]string{
		time.Second: "", -1500 * time.Millisecond: "",
		5*time.Hour + time.Second:  "5h0m1s ahead",
		-3 * time.Second:           "3s behind",
		-31 * 365 * 24 * time.Hour: "11315 days behind",
	} {
		f := newFilm(t, "H264")
		f.roll(shots{n: 500, step: step, then: func(n int, taken time.Time) bool {
			if n%125 == 1 {
				f.rec.SenderReport(0, taken.Add(off), f.stamp[0], f.now)
			}
			return false
		}})
		notes := strings.Join(f.rec.c.Status().Notes, "; ")
		if want == "" && notes != "" || !strings.Contains(notes, want) {
			t.Errorf("%v: notes %q, want %q", off, notes, want)
		}
		if got := f.rec.c.Status().CameraClock; got != off {
			t.Errorf("camera_clock %v, want %v", got, off)
		}
		f.measure(0).holds(t, time.Millisecond, time.Millisecond, 1)
	}
}

// Rules 9, 10 and 11: the recorder's clock is set, smeared, or was never right. A
// new run has the new time, the old one keeps its own; order is that of the runs.
func TestRule9RecorderClock(t *testing.T) {
	since2000 := 26 * 365 * 24 * time.Hour
	for _, c := range []struct {
		name   string
		by     time.Duration
		detail string
	}{
		{"an hour forward", time.Hour, "the recorder's clock was set forward by 1h0m0s"},
		{"an hour back", -time.Hour, "the recorder's clock was set back by 1h0m0s"},
		{"a day back", -24 * time.Hour, "the recorder's clock was set back by 24h0m0s"},
		{"a day forward", 24 * time.Hour, "the recorder's clock was set forward by 24h0m0s"},
		{"a leap second, stepped", -time.Second, "the recorder's clock was set back by 1s"},
		{"no battery: 2000, then the time", since2000, "the recorder's clock was set forward by 227760h0m0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFilm(t, "H264")
			f.roll(shots{n: 500, step: step})
			f.ahead += c.by
			set := f.now
			f.roll(shots{n: 1000, step: step})
			// Up to the first sync sample behind it the old time is kept.
			for i := range f.taken[0] {
				if i >= 500 && i < 550 {
					f.taken[0][i] -= int64(c.by)
				}
			}
			x := f.measure(0)
			x.holds(t, time.Millisecond, time.Millisecond, 2)
			if len(f.shelf.gaps) != 1 {
				t.Fatalf("gaps: %+v", f.shelf.gaps)
			}
			g := f.shelf.gaps[0]
			if g.Reason != media.ReasonClock || g.Detail != c.detail || g.Span.To == 0 {
				t.Errorf("%+v", g)
			}
			if c.by > 0 && (g.Span.Duration()-c.by).Abs() > time.Second || c.by < 0 && !g.Span.Empty() {
				t.Errorf("the gap lasts %v", g.Span.Duration())
			}
			if at := time.Duration(g.Span.From - set.UnixNano()); at < 0 || at > 3*time.Second {
				t.Errorf("it begins %v behind the step", at)
			}
		})
	}
	t.Run("no battery, and the runs say so", func(t *testing.T) {
		f := newFilm(t, "H264")
		f.rec.c.o.NotBefore = f.now.UnixNano()
		f.ahead = -since2000
		f.rec.c.gaps.end = f.clock(f.now)
		f.rec.begin(f.now)
		f.roll(shots{n: 100, step: step})
		f.ahead = 0
		f.roll(shots{n: 100, step: step})
		f.rec.close()
		g := f.shelf.gaps
		if len(g) != 2 || g[0].Detail != clockUnsure || !g[0].Span.Empty() || g[0].Span.From != f.begun.Add(-since2000).UnixNano() || g[1].Reason != media.ReasonClock || g[1].Span.Empty() {
			t.Errorf("%+v", g)
		}
	})
	t.Run("a leap second, smeared over a day", func(t *testing.T) {
		f := newFilm(t, "H264")
		for range 24 * 60 {
			f.ahead -= time.Second / (24 * 60)
			f.roll(shots{n: 300, step: step * 5})
		}
		f.measure(0).holds(t, 10*time.Millisecond, 10*time.Millisecond, 1)
	})
}

// Rule 12: no sample is stretched over a hole, and the hole is told.
func TestRule12Holes(t *testing.T) {
	f := newFilm(t, "H264")
	f.roll(shots{n: 500, step: step})
	f.wait(8 * time.Second)
	f.roll(shots{n: 500, step: step})
	for _, r := range f.shelf.records {
		for _, s := range r.Buffer.Samples {
			if d := media.Ticks(s.Duration).Duration(90000); d > 2*step {
				t.Errorf("a sample of %v", d)
			}
		}
	}
	f.measure(0).holds(t, time.Millisecond, time.Millisecond, 2)
	if g := f.shelf.gaps; len(g) != 1 || g[0].Reason != media.ReasonNoMedia || (g[0].Span.Duration()-8*time.Second).Abs() > 2*step {
		t.Errorf("%+v", g)
	}
}

// Rule 12, with B pictures: a record that ends anywhere, also before the usual step
// was to be learned, lasts no more than a picture longer or shorter than it has
// pictures for.
func TestRule12LastPicture(t *testing.T) {
	order := []uint32{3, 1, 2, 6, 4, 5}
	for n := uint32(3); n < 40; n++ {
		r := newRig(t, time.Hour, "H264")
		r.send(0, "6764000aacd9447b0110000003001000000301e0f1225960", false) // says two out of order
		for i := range n {
			shown, unit := uint32(0), "658801"
			if i > 0 {
				shown, unit = (i-1)/6*6+order[(i-1)%6], "419a01"
			}
			r.stamp[0] = shown * 3600
			r.send(0, unit, true)
			r.wait(step)
		}
		r.rec.close()
		x := r.shelf.records[0]
		if d := x.Duration().Duration(90000) - time.Duration(n)*step; d.Abs() > step {
			t.Errorf("%d pictures: %v too long", n, d)
		}
		if last := time.Duration(x.Buffer.Samples[n-1].Duration) * time.Second / 90000; last > step*3/2 {
			t.Errorf("%d pictures: the last one lasts %v", n, last)
		}
	}
}

// Drift with B pictures, and sound beside them: a run that begins anew has room for
// its decode times, and nothing is shown before it is decoded.
func TestRule4DriftWithBPictures(t *testing.T) {
	for _, rate := range []float64{1.02, 0.98} {
		r := newRig(t, 800*time.Millisecond, "H264", "PCMA")
		r.send(0, "6764000aacd9447b0110000003001000000301e0f1225960", false) // says two out of order
		order := []uint32{0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11, 15, 13, 14, 18, 16, 17, 21, 19, 20, 24, 22, 23}
		const gops = 120
		for gop := range uint32(gops) {
			for i, shown := range order {
				unit := "419a01"
				if i == 0 {
					unit = "658801"
				}
				r.stamp[0] = uint32(float64(gop*25+shown) * 3600 * rate)
				r.send(0, unit, true)
				r.send(1, strings.Repeat("d5", 320), true)
				r.stamp[1] += 320
				r.wait(step)
			}
		}
		r.rec.close()
		check(t, r.shelf.records)
		runs := map[media.RunID]bool{}
		for i, x := range r.shelf.records {
			runs[x.Run] = true
			for _, s := range x.Buffer.Samples {
				if s.Composition < 0 || media.Ticks(s.Composition).Duration(90000) > 500*time.Millisecond {
					t.Errorf("record %d: composition %d", i, s.Composition)
				}
			}
		}
		if n := samples(r.shelf.records); n != 2*25*gops || len(runs) < 3 || len(r.shelf.gaps) > 0 {
			t.Errorf("%v: %d samples, %d runs, gaps %+v", rate, n, len(runs), r.shelf.gaps)
		}
	}
}
