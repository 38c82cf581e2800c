package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/faultdisk"
	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
)

// Disks that fail, vanish, come back half dead, and vanish again while they come
// back, at random operations; mounts that have kept any part of what was not synced.
// Every record that was offered is there once, live and after a start; one that was
// acknowledged is there after a power cut at any of these moments. NVR_OUTAGE_SEEDS
// says how many there are.
func TestOutageSimulation(t *testing.T) {
	seeds := defaultCrashStates / 15
	if n, err := strconv.Atoi(os.Getenv("NVR_OUTAGE_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		if t.Failed() {
			return
		}
		synctest.Test(t, func(t *testing.T) { simulateOutages(t, uint64(seed)) })
	}
}

type outageSim struct {
	t    *testing.T
	rng  *rand.Rand
	d    *faultdisk.Dir
	m    *memdisk.Dir
	v    *Volume
	next int // record

	mu    sync.Mutex
	acked map[int]bool
}

const simRecord = 250_000

func simulateOutages(t *testing.T, seed uint64) {
	s := &outageSim{t: t, rng: rand.New(rand.NewPCG(seed, 11)), m: memdisk.New("memory"), acked: map[int]bool{}}
	s.m.Seed(seed)
	s.d = faultdisk.New(s.m)
	o := testOptions("")
	o.Disk, o.Pools, o.PoolBytes, o.CommitInterval, o.QueueRecords, o.Epoch = s.d, 24, 8*mib, time.Second, 4096, time.Now()
	o.OnCommit = func(entries []*media.Entry) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range entries {
			s.acked[int(e.Start/90000)] = true
		}
	}
	var err error
	if s.v, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.v.Run(ctx) }()
	for range 4 {
		s.record(1 + s.rng.IntN(20))
		s.outage()
	}
	s.record(5)
	time.Sleep(30 * time.Second)
	s.all("live", s.v)
	cancel()
	if err := errors.Join(<-done, s.v.Close()); err != nil {
		t.Fatal(err)
	}
	s.all("after a start", s.open(s.d.Dir.(*memdisk.Dir)))
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

// record offers for so many seconds.
func (s *outageSim) record(seconds int) {
	for range seconds {
		for range 1 + s.rng.IntN(4) {
			s.v.Offer(gop(camera(1), 1, s.next, simRecord))
			s.next++
		}
		time.Sleep(time.Second)
	}
}

// open opens a disk as a start does, and closes it at the end.
func (s *outageSim) open(m *memdisk.Dir) *Volume {
	o := s.v.o
	o.Disk, o.OnCommit = m, nil
	v, err := Open(context.Background(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { v.Close() })
	for range 2 { // footers, and what could not be read of them
		if err := v.indexAll(s.t.Context()); err != nil {
			s.t.Error(err)
		}
	}
	return v
}

// all wants everything that was offered, once.
func (s *outageSim) all(when string, v *Volume) {
	got := numbers(s.t, v, camera(1), media.Always, simRecord)
	if len(got) != s.next || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != s.next {
		s.t.Errorf("%s: %d records of %d: %v", when, len(got), s.next, got)
	}
	if n := count(s.t, v, camera(1)); n != s.next {
		s.t.Errorf("%s: %d records are listed, of %d", when, n, s.next)
	}
}

// cut pulls the plug here and now, and wants what was acknowledged.
func (s *outageSim) cut() {
	s.mu.Lock()
	var acked []int
	for n := range s.acked {
		acked = append(acked, n)
	}
	left := s.d.Dir.(*memdisk.Dir).Crash(s.rng, memdisk.Model(s.rng.IntN(int(memdisk.Models))))
	s.mu.Unlock()
	got := numbers(s.t, s.open(left), camera(1), media.Always, simRecord)
	for _, n := range acked {
		if !slices.Contains(got, n) {
			s.t.Errorf("record %d was acknowledged and is gone after a power cut", n)
		}
	}
}

// failing is a rule by which some operations fail from the n-th on.
func (s *outageSim) failing() func(faultdisk.Op, string, int) error {
	errno := []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.ENODEV}[s.rng.IntN(3)]
	first, only, name := 1+s.rng.IntN(6), s.rng.IntN(4), "pool_00"+strconv.Itoa(s.rng.IntN(8))+".bin"
	begun := false
	return func(op faultdisk.Op, file string, n int) error {
		switch {
		case only == 0 && op == faultdisk.Read: // all but reads
			return nil
		case only == 1 && op == faultdisk.Read && file != name: // half dead: one pool cannot be read either
			return nil
		case only == 2 && op != faultdisk.Sync && !begun: // what was written before the first sync that fails may be whole
			return nil
		}
		if begun = begun || n >= first && op != faultdisk.Read; begun {
			return errno
		}
		return nil
	}
}

// outage is one time without a disk.
func (s *outageSim) outage() {
	s.d.Fail(s.failing())
	s.record(s.rng.IntN(12))
	if s.rng.IntN(3) == 0 {
		s.cut()
	}
	if s.rng.IntN(4) > 0 {
		dead := []error{syscall.EIO, syscall.ENOTCONN, syscall.ENODEV}[s.rng.IntN(3)]
		left := s.d.Dir.(*memdisk.Dir)
		if s.rng.IntN(2) == 0 {
			s.d.Vanish(dead)
			left = left.Crash(s.rng, memdisk.Model(s.rng.IntN(int(memdisk.Models))))
		} else {
			s.d.Vanish(dead)
		}
		left.Seed(s.rng.Uint64())
		s.d.Fail(nil)
		s.record(s.rng.IntN(12))
		if made := s.d.Made(); len(made) > 0 {
			s.t.Errorf("made in the empty mount point: %v", made)
		}
		if s.rng.IntN(2) == 0 { // and it fails while it comes back
			s.d.Fail(s.failing())
		}
		s.d.Mount(left)
		time.Sleep(time.Duration(s.rng.IntN(5000)) * time.Millisecond)
		if s.rng.IntN(3) == 0 {
			s.cut()
		}
	}
	s.d.Fail(nil)
}
