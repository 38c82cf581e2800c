package timeline

import (
	"testing"
	"time"

	"nvr/internal/media"
)

const (
	rate = 90000
	wall = int64(1_800_000_000) * int64(time.Second)
)

// camera is what a track of a camera does, sample after sample.
type camera struct {
	t     *testing.T
	line  *Line
	track int
	rate  uint32
	now   time.Duration // monotonic
	ahead time.Duration // of the wall clock: steps of it
	rtp   uint32

	last  media.Ticks
	first bool
	given []Placement
}

func newCamera(t *testing.T) *camera {
	c := &camera{t: t, line: New(Track{media.Video, rate}), rate: rate, now: time.Hour, rtp: 4_294_900_000, first: true}
	c.line.Begin(c.at())
	return c
}

func (c *camera) at() Instant {
	return Instant{Mono: c.now, Wall: wall + int64(c.now-time.Hour) + int64(c.ahead)}
}

// send places a sample that arrives step later, with a stamp rtp later.
func (c *camera) send(arrival, rtp time.Duration) Placement {
	c.t.Helper()
	c.now += arrival
	c.rtp += uint32(media.FromDuration(rtp, c.rate))
	p := c.line.Place(c.track, c.rtp, 0, c.at())
	if !c.first && p.Time <= c.last && c.line.tracks[c.track].reorder == InOrder {
		c.t.Errorf("position %d after %d", p.Time, c.last)
	}
	c.first, c.last = false, p.Time
	c.given = append(c.given, p)
	return p
}

const step = 40 * time.Millisecond

func (c *camera) steady(n int) {
	c.t.Helper()
	for range n {
		c.send(step, step)
	}
}

// near fails if two durations differ by more than a millisecond.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if (got - want).Abs() > time.Millisecond {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (c *camera) pos() time.Duration { return c.last.Duration(c.rate) }

func TestSpacing(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(c *camera)
		want time.Duration // position after it, from the 26th sample on
		holes,
		restamped int
		due       Cause
		byArrival bool
	}{
		{"steady, across the wrap of 32 bits", func(c *camera) { c.steady(100) }, 4 * time.Second, 0, 0, None, false},
		{"jitter stays out", func(c *camera) {
			for i := range 50 {
				d := time.Duration(i%2*2-1) * 15 * time.Millisecond
				c.send(step+d, step)
			}
		}, 2 * time.Second, 0, 0, None, false},
		{"15 → 3 pictures a second", func(c *camera) {
			for range 10 {
				c.send(333*time.Millisecond, 333*time.Millisecond)
			}
		}, 3330 * time.Millisecond, 0, 0, None, false},
		{"a stall of the network, and the burst after it", func(c *camera) {
			c.send(3*time.Second, step)
			for range 74 {
				c.send(0, step)
			}
		}, 3 * time.Second, 0, 0, None, false},
		{"pictures skipped inside such a burst", func(c *camera) {
			c.send(3*time.Second, step)
			c.send(0, 2*time.Second)
			c.send(0, step)
		}, 2080 * time.Millisecond, 1, 0, Hole, false},
		{"one stamp hours off (Intelbras)", func(c *camera) {
			c.send(step, 10*time.Hour)
			c.send(step, step-10*time.Hour+step)
			c.steady(3)
		}, 5*step + step - step, 0, 1, None, false},
		{"+10 h for good", func(c *camera) {
			c.send(step, 10*time.Hour)
			c.steady(9)
		}, 10 * step, 0, 2, None, false},
		{"starts again at 0 (Tapo)", func(c *camera) {
			c.rtp = 0
			c.send(step, 0)
			c.steady(9)
		}, 10 * step, 0, 2, None, false},
		{"starts again behind 5 s of silence", func(c *camera) {
			c.rtp = 0
			c.send(5*time.Second, 0)
			c.steady(1)
		}, 5*time.Second + step, 1, 0, Hole, false},
		{"half a second back for good (Wyze)", func(c *camera) {
			c.send(step, -500*time.Millisecond)
			c.steady(9)
		}, 10 * step, 0, 2, None, false},
		{"5 s of nothing", func(c *camera) { c.send(5*time.Second, 5*time.Second) }, 5 * time.Second, 1, 0, Hole, false},
		{"0.9 s of nothing", func(c *camera) { c.send(900*time.Millisecond, 900*time.Millisecond) }, 900 * time.Millisecond, 0, 0, None, false},
		{"each stamp twice (Vstarcam)", func(c *camera) {
			for range 5 {
				c.send(step, 0)
				c.send(step, 2*step)
			}
		}, 10 * step, 0, 5, None, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cam := newCamera(t)
			cam.steady(26)
			from := cam.pos()
			cam.given = nil
			c.do(cam)
			near(t, "position", cam.pos()-from, c.want)
			holes, restamped := 0, 0
			for _, p := range cam.given {
				if p.Hole {
					holes++
				}
				if p.Restamped {
					restamped++
				}
			}
			if holes != c.holes || restamped != c.restamped || cam.line.Due() != c.due || cam.line.ByArrival(0) != c.byArrival {
				t.Errorf("%d holes, %d restamped, due %d, by arrival %v; want %d, %d, %d, %v",
					holes, restamped, cam.line.Due(), cam.line.ByArrival(0), c.holes, c.restamped, c.due, c.byArrival)
			}
		})
	}
}

func TestSlowStreamHasNoHoles(t *testing.T) {
	c := newCamera(t)
	for range 20 {
		if p := c.send(2*time.Second, 2*time.Second); p.Hole {
			t.Fatal("a picture every two seconds is no hole")
		}
	}
}

func TestUselessStamps(t *testing.T) {
	for _, c := range []struct {
		name string
		rtp  func(i int) time.Duration // step of the stamp
	}{
		{"0 for ever", func(int) time.Duration { return 0 }},
		{"25 pictures a second, 15 arrive", func(int) time.Duration { return step * 15 / 25 }},
		{"twice as fast", func(int) time.Duration { return 2 * step }},
		{"random", func(i int) time.Duration { return time.Duration(i%7-3) * time.Hour }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cam := newCamera(t)
			cam.steady(1)
			for i := range 700 {
				cam.send(step, c.rtp(i))
			}
			if !cam.line.ByArrival(0) {
				t.Fatal("the stamps are still believed")
			}
			from, at := cam.pos(), cam.now
			for i := range 250 { // by arrival now: batches of five
				if i%5 == 0 {
					cam.send(5*step, c.rtp(i))
				} else {
					cam.send(0, c.rtp(i))
				}
			}
			if d := (cam.pos() - from) - (cam.now - at); d.Abs() > 300*time.Millisecond {
				t.Errorf("in 10 s off by %v", d)
			}
			cam.line.Begin(cam.at()) // what was learned stays
			cam.first = true
			if cam.steady(10); !cam.line.ByArrival(0) {
				t.Error("forgotten with the run")
			}
		})
	}
}

func TestStallIsNoLie(t *testing.T) {
	c := newCamera(t)
	for range 20 { // every 5 s the network stands still for 2 s
		c.steady(75)
		c.send(2*time.Second, step)
		for range 49 {
			c.send(0, step)
		}
	}
	if c.line.ByArrival(0) || c.line.Due() != None {
		t.Errorf("by arrival %v, due %d", c.line.ByArrival(0), c.line.Due())
	}
}

func TestReorder(t *testing.T) {
	c := newCamera(t)
	c.line.SetReorder(0, OutOfOrder)
	c.send(step, step)
	first := c.pos()
	if first < 100*time.Millisecond {
		t.Errorf("no room for decode times before %v", first)
	}
	for _, s := range []time.Duration{3, -2, 1, 4, -2, 1} {
		c.send(step, s*step)
	}
	near(t, "position", c.pos()-first, 5*step)
}

// A session that begins in the middle of a GOP: with a picture that others are
// shown before. None of their stamps is odd.
func TestReorderFromTheMiddle(t *testing.T) {
	gop := []time.Duration{6, -2, -2, 1, 2} // shown at 5, 3, 1, 2, 4 behind the last P
	for begin := range gop {
		for _, order := range []Reorder{MaybeOutOfOrder, OutOfOrder} {
			c := newCamera(t)
			c.line.SetReorder(0, order)
			c.send(step, step)
			first := c.pos()
			var want time.Duration
			for i := range 100 {
				s := gop[(begin+i)%len(gop)]
				want += s
				if p := c.send(step, s*step); p.Restamped || p.Hole {
					t.Fatalf("begun at %d, picture %d: %+v", begin, i, p)
				}
				near(t, "position", c.pos()-first, want*step)
			}
			if u := c.line.Usual(0).Duration(rate); u < step*3/4 || u > step*4/3 {
				t.Errorf("begun at %d: a usual step of %v", begin, u)
			}
		}
	}
}

func TestWallTime(t *testing.T) {
	t.Run("a burst at the start", func(t *testing.T) {
		c := newCamera(t)
		for range 50 { // 2 s of pictures at once
			c.send(0, step)
		}
		c.steady(10)
		// The first picture was taken 2 s before it came, less a step.
		got := c.line.Wall(0, c.line.Start(0, 0)) - wall
		near(t, "wall", time.Duration(got), -49*step)
	})
	t.Run("a slow first packet", func(t *testing.T) {
		c := newCamera(t)
		c.now += 300 * time.Millisecond
		c.send(0, 0)
		c.line.Wall(0, c.line.Start(0, 0)) // the first record is dated 300 ms too late
		c.now -= 300 * time.Millisecond
		c.steady(100)
		got := c.line.Wall(0, c.line.Start(0, c.last)) - wall
		near(t, "wall", time.Duration(got), 100*step)
	})
	t.Run("drift of 200 ppm is slewed", func(t *testing.T) {
		c := newCamera(t)
		for i := range 25 * 3600 {
			c.send(step, step+step*200/1e6)
			if i%25 == 0 {
				got := c.line.Wall(0, c.line.Start(0, c.last))
				if d := time.Duration(got - c.at().Wall); d.Abs() > 20*time.Millisecond {
					t.Fatalf("after %v wall time is off by %v", c.now-time.Hour, d)
				}
			}
		}
		if c.line.Due() != None {
			t.Errorf("due %d", c.line.Due())
		}
	})
	t.Run("2 % fast: a new run every half second of error", func(t *testing.T) {
		c := newCamera(t)
		var end int64
		runs := 0
		for i := range 25 * 300 {
			c.send(step, step+step/50)
			if i%25 == 24 {
				start := c.line.Start(0, c.last)
				w := c.line.Wall(0, start)
				if w <= end {
					t.Fatalf("wall time %d after %d", w, end)
				}
				if end = w; time.Duration(w-c.at().Wall).Abs() > 500*time.Millisecond {
					t.Fatalf("off by %v", time.Duration(w-c.at().Wall))
				}
				if c.line.Due() == Drift {
					runs++
					c.line.Next(c.at())
					end = 0
				}
			}
		}
		if runs < 5 || runs > 25 {
			t.Errorf("%d runs in 300 s", runs)
		}
	})
	t.Run("the recorder's clock is set", func(t *testing.T) {
		for _, by := range []time.Duration{time.Hour, -time.Hour, 600 * time.Millisecond} {
			c := newCamera(t)
			c.steady(100)
			before := c.line.Wall(0, c.line.Start(0, c.last))
			c.ahead = by
			c.steady(50)
			if c.line.Due() != Step {
				t.Fatalf("%v: due %d", by, c.line.Due())
			}
			after := c.line.Wall(0, c.line.Start(0, c.last))
			near(t, "the run keeps its time", time.Duration(after-before), 50*step)
			c.line.Next(c.at())
			c.send(step, step)
			near(t, "the next has the new", time.Duration(c.line.Wall(0, c.line.Start(0, c.last))-c.at().Wall), 0)
		}
	})
	t.Run("a small step is slewed", func(t *testing.T) {
		c := newCamera(t)
		c.steady(300)
		c.line.Start(0, 0)
		c.ahead = 100 * time.Millisecond
		c.steady(25 * 400)
		if c.line.Due() != None {
			t.Fatalf("due %d", c.line.Due())
		}
		w := c.line.Wall(0, c.line.Start(0, c.last))
		near(t, "wall", time.Duration(w-c.at().Wall), 0)
	})
}

// Two tracks share one zero; each is placed by its least delayed sample.
func TestTwoTracks(t *testing.T) {
	line := New(Track{media.Video, rate}, Track{media.Audio, 8000})
	v := &camera{t: t, line: line, rate: rate, now: time.Hour, rtp: 77, first: true}
	a := &camera{t: t, line: line, track: 1, rate: 8000, now: time.Hour, rtp: 4_000_000_000, first: true}
	line.Begin(v.at())
	for range 50 { // the camera sends the GOP it is in
		v.send(0, step)
	}
	a.now = time.Hour
	for range 10 {
		v.steady(1)
		a.send(step, step)
	}
	near(t, "video", line.Start(0, 0).Duration(rate), 0)
	near(t, "audio", line.Start(1, 0).Duration(8000), 49*step+step)

	// The audio's clock is 0.2 % slow (44.1 kHz sold as 44): it follows the video.
	for range 25 * 600 {
		v.steady(1)
		a.send(step, step-step/500)
	}
	d := line.Start(0, v.last).Duration(rate) - line.Start(1, a.last).Duration(8000)
	if d.Abs() > 100*time.Millisecond || line.Due() != None {
		t.Errorf("after 10 min apart by %v, due %d", d, line.Due())
	}
}

func TestAudioWithoutVideoYet(t *testing.T) {
	line := New(Track{media.Video, rate}, Track{media.Audio, 8000})
	at := Instant{Mono: time.Hour, Wall: wall}
	line.Begin(at)
	p := line.Place(1, 5, 160, at)
	start := line.Start(1, p.Time)
	if got := line.Wall(1, start); got != wall {
		t.Errorf("wall off by %v", time.Duration(got-wall))
	}
	at.Mono += time.Second
	at.Wall += int64(time.Second)
	p = line.Place(0, 5, 0, at)
	if got := line.Wall(0, line.Start(0, p.Time)); got != at.Wall {
		t.Errorf("video's wall off by %v", time.Duration(got-at.Wall))
	}
}

func BenchmarkPlace(b *testing.B) {
	line := New(Track{media.Video, rate})
	at := Instant{Mono: time.Hour, Wall: wall}
	line.Begin(at)
	b.ReportAllocs()
	var rtp uint32
	for b.Loop() {
		at.Mono += step
		at.Wall += int64(step)
		rtp += 3600
		line.Place(0, rtp, 0, at)
	}
}

// A stall may end with a picture that is shown before the one in front of it: it
// goes where its stamp says, and nothing is a hole.
func TestStallBeforeBPicture(t *testing.T) {
	for _, order := range []Reorder{MaybeOutOfOrder, OutOfOrder} {
		l := New(Track{media.Video, 90000})
		l.Begin(Instant{})
		l.SetReorder(0, order)
		shown := [...]uint32{0, 3, 1, 2} // of four pictures, in the order in which they are sent
		at := time.Duration(0)
		var first media.Ticks
		for i := range uint32(100) {
			at += 40 * time.Millisecond
			if i == 50 { // sent third, shown second
				at += 1500 * time.Millisecond
			}
			n := i/4*4 + shown[i%4]
			p := l.Place(0, n*3600, 0, Instant{Mono: at, Wall: int64(at)})
			if i == 0 {
				first = p.Time
			}
			if want := first + media.Ticks(n)*3600; p.Time != want || p.Hole || p.Restamped {
				t.Fatalf("order %d, picture %d: %+v, want %d", order, i, p, want)
			}
		}
	}
}
