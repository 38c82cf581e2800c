package main

import (
	"math"
	"math/rand"
	"sync"
	"time"
)

// hddSim: minimal live service-time model (the offline model is rigs/hdd).
type hddSim struct {
	mu    sync.Mutex
	scale float64
	full  float64
	pos   float64
	busy  time.Duration
	n     int
	free  time.Time
	rng   *rand.Rand
}

func newHDD(full, size int64) *hddSim {
	return &hddSim{scale: float64(full) / float64(size), full: float64(full), rng: rand.New(rand.NewSource(1))}
}
func (h *hddSim) do(off, n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := float64(off) * h.scale // spread the small image over the whole disk
	ms := 0.0
	if d := (at - h.pos) / h.scale; d < -4<<20 || d > 4<<20 { // nearer than that the drive's own cache puts in order
		f := d * h.scale / h.full
		if f < 0 {
			f = -f
		}
		ms = seekMS(f) + h.rng.Float64()*8.33
	}
	rate := 250e6 - 130e6*at/h.full
	ms += float64(n) / rate * 1e3
	h.pos = float64(off+n) * h.scale
	h.n++
	h.busy += time.Duration(ms * 1e6)
	time.Sleep(time.Duration(ms * 1e6))
}
func seekMS(f float64) float64 { // 0.5 ms track to track, ~8 ms at a third, 15 ms full stroke
	if f <= 0 {
		return 0.5
	}
	return 0.5 + 11*math.Sqrt(f) + 3.5*f
}
