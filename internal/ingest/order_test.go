package ingest

import (
	"testing"

	"nvr/internal/ingest/timeline"
	"nvr/internal/media"
)

// Orders of showing, in the order of decoding, as encoders make them.
var orders = []struct {
	name  string
	depth int // declared; -1: nothing is said
	shown []media.Ticks
	worst int // pictures at the beginning whose decode time may be no step behind
}{
	{"x264 -bf 2", 1, []media.Ticks{0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 11, 10, 12, 15, 13, 14, 18, 16, 17, 21, 19, 20, 22, 23}, 0},
	{"x265, with a pyramid", 2, []media.Ticks{0, 3, 2, 1, 6, 5, 4, 8, 7, 9, 12, 11, 10, 13, 16, 15, 14, 19, 18, 17, 22, 21, 20, 23}, 0},
	{"open GOP: pictures before the intra picture", 2, []media.Ticks{0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11}, 0},
	{"in order though it says that it may not be", 2, []media.Ticks{0, 1, 2, 3, 4, 5, 6, 7, 8}, 0},
	{"two pictures are lost", 2, []media.Ticks{0, 4, 2, 1, 3, 8, 5, 7, 12, 10, 9, 11, 16, 14, 13, 15}, 0},
	{"nothing is said, one out of order", -1, []media.Ticks{0, 1, 2, 5, 3, 4, 8, 6, 7, 11, 9, 10, 14, 12, 13}, 8},
	{"nothing is said, a pyramid", -1, []media.Ticks{0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11, 16, 14, 13, 15}, 8},
	{"less is said than is true", 1, []media.Ticks{0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11, 16, 14, 13, 15}, 8},
	{"nothing is said, in order", -1, []media.Ticks{0, 1, 2, 3, 4, 5, 6, 7, 8}, 0},
}

func TestOrder(t *testing.T) {
	const step, lead = 3600, 45000
	for _, c := range orders {
		o := order{depth: max(c.depth, 0), may: true}
		for run := range 2 { // the second knows what the first has taught
			o.begin()
			last := media.Ticks(-1 << 40)
			for i, n := range c.shown {
				pts := lead + n*step
				dts := o.decode(pts, step, 90000)
				if dts <= last {
					t.Errorf("%s: picture %d is decoded at %d, the one before at %d", c.name, i, dts, last)
				}
				if dts > pts && (run > 0 || i >= c.worst) {
					t.Errorf("%s: picture %d is shown at %d and decoded at %d", c.name, i, pts, dts)
				}
				if dts < 0 {
					t.Errorf("%s: picture %d is decoded at %d, before the run", c.name, i, dts)
				}
				last = dts
			}
			if c.depth < 0 && c.worst == 0 && o.depth > 0 {
				t.Errorf("%s: depth %d was seen", c.name, o.depth)
			}
		}
	}
}

// Decode times are as far apart as the pictures, not just in order.
func TestOrderIsEven(t *testing.T) {
	const step = 3600
	o := order{depth: 1, may: true}
	for i, n := range orders[0].shown {
		if got, want := o.decode(45000+n*step, step, 90000), 45000+media.Ticks(i-1)*step; got != want {
			t.Errorf("picture %d: %d, want %d", i, got, want)
		}
	}
}

// However slow the pictures and deep the order, a run's room before it does.
func TestOrderFitsIntoTheLead(t *testing.T) {
	for depth := range maxReorder + 1 {
		o := order{depth: depth, may: true}
		last := media.Ticks(-1)
		for i := range media.Ticks(40) {
			dts := o.decode(45000+i*90000, 90000, 90000)
			if dts <= last {
				t.Fatalf("depth %d, picture %d: %d after %d", depth, i, dts, last)
			}
			last = dts
		}
	}
	o := order{may: true}
	for i := range media.Ticks(100) { // backwards for ever
		o.decode(1<<20-i, 1, 90000)
	}
	if o.depth != maxReorder {
		t.Errorf("depth %d", o.depth)
	}
}

func TestOrderLearns(t *testing.T) {
	var o order
	if r := o.learn(&media.Track{Codec: media.MJPEG}); r != timeline.InOrder {
		t.Errorf("MJPEG: %v", r)
	}
	if r := o.learn(&media.Track{Codec: media.H264}); r != timeline.MaybeOutOfOrder {
		t.Errorf("H.264 that says nothing: %v", r)
	}
	for _, n := range []media.Ticks{0, 2, 1, 4, 3} {
		o.decode(45000+n*3600, 3600, 90000)
	}
	if r := o.learn(&media.Track{Codec: media.H264}); r != timeline.OutOfOrder || o.depth != 1 {
		t.Errorf("after a picture out of order: %v, depth %d", r, o.depth)
	}
}

func FuzzOrder(f *testing.F) {
	for _, c := range orders {
		var b []byte
		for _, n := range c.shown {
			b = append(b, byte(n))
		}
		f.Add(b, uint8(max(c.depth, 0)))
	}
	f.Fuzz(func(t *testing.T, b []byte, depth uint8) {
		o := order{depth: int(depth) % (maxReorder + 1), may: depth%2 == 0}
		var last media.Ticks
		for i, n := range b {
			dts := o.decode(media.Ticks(n)*1000, 1000, 90000)
			if i > 0 && dts <= last {
				t.Fatalf("%d after %d", dts, last)
			}
			last = dts
		}
	})
}
