package store

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"nvr/internal/disk/memdisk"
)

// The power goes before each step of the ring's creation, in every model: the
// next start makes a whole ring, or finds one.
func TestCrashWhileTheRingIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, 8)
		rng := rand.New(rand.NewPCG(1, 4))
		type state struct {
			at    string
			model memdisk.Model
			disk  *memdisk.Dir
		}
		var states []state
		whole := 0
		r.disk.Hook(func(op memdisk.Op) error {
			if !op.Changes() {
				return nil
			}
			for model := range memdisk.Models {
				for range 6 {
					left := r.disk.Crash(rng, model)
					if _, err := left.ReadFile("ring.id"); !errors.Is(err, fs.ErrNotExist) {
						whole++
					}
					states = append(states, state{op.String(), model, left})
				}
			}
			return nil
		})
		if err := r.open(); err != nil {
			t.Fatal(err)
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
		if len(states) < 600 || whole == 0 {
			t.Fatalf("%d states, %d of them with a ring.id: the test proves too little", len(states), whole)
		}
		for _, s := range states {
			r.on(s.disk)
			if err := r.open(); err != nil {
				t.Fatalf("cut before %s, %v: %v", s.at, s.model, err)
			}
			for _, fault := range r.v.ring.Faults() {
				t.Errorf("cut before %s, %v: %v", s.at, s.model, fault)
			}
			f := &footage{camera(1), 1, 0, 1000, videoTrack}
			if !r.v.Offer(f.record()) {
				t.Fatal("refused")
			}
			r.beat()
			if list, err := entries(r.v, f.stream); err != nil || len(list) != 1 || f.check(r.v, list[0]) != nil {
				t.Errorf("cut before %s, %v: %d records %v", s.at, s.model, len(list), err)
			}
			if err := r.close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
