package timeline

import (
	"math"
	"slices"
	"time"
)

// leastOver is how many seconds the least delay is looked for in: long enough for
// the jitter of a radio link, short enough for a clock that is 2 % slow.
const leastOver = 5

// delays knows when position 0 of a track would have arrived, had it been delayed
// as little as the least delayed of the samples of the last seconds. A silence
// hides how the delay goes on: for the first seconds behind it, what was before
// counts too.
type delays struct {
	least time.Duration // Mono

	begun   bool
	from    time.Duration // the first arrival since the last silence
	last    time.Duration // and the last one
	before  time.Duration // least before the silence
	second  int64         // of the last arrival
	seconds [leastOver]time.Duration
}

// saw takes note of the moment at which position 0 would have arrived, had it been
// delayed like the sample that arrives at at.
func (d *delays) saw(moment, at, silence time.Duration) {
	second := int64(at / time.Second)
	switch {
	case !d.begun || at-d.last > silence:
		d.before = math.MaxInt64
		if d.begun {
			d.before = d.least
		}
		d.begun, d.from = true, at
		for i := range d.seconds {
			d.seconds[i] = math.MaxInt64
		}
	case second > d.second:
		for s := max(d.second+1, second-leastOver+1); s <= second; s++ {
			d.seconds[s%leastOver] = math.MaxInt64
		}
	}
	d.last, d.second = at, second
	now := &d.seconds[second%leastOver]
	*now = min(*now, moment)
	d.least = d.lately()
	if !d.full() {
		d.least = min(d.least, d.before)
	}
}

func (d *delays) lately() time.Duration { return slices.Min(d.seconds[:]) }

// forget forgets what was before the last silence.
func (d *delays) forget() { d.before, d.least = math.MaxInt64, d.lately() }

// full reports whether arrivals have come for long enough without a silence.
func (d *delays) full() bool { return d.last-d.from >= leastOver*time.Second }
