package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/direct"
	"nvr/internal/disk/faultdisk"
	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
)

// count is how many records of s the pools hold, those that stand twice twice.
func count(t *testing.T, v *Volume, s *media.Stream) (n int) {
	t.Helper()
	l, err := v.List(t.Context(), Query{Camera: s.Camera.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, segment := range l.Segments {
		n += int(segment.Samples) / 10
	}
	return n
}

// A disk that is gone for a minute and comes back as another mount: what was open
// is dead for good. Nothing is held open meanwhile and nothing is made in the empty
// mount point; recording goes on within five seconds of the return. What was written
// before and never acknowledged, of which the mount may have kept all, nothing or a
// part, is there once.
func TestDiskRemounted(t *testing.T) {
	for i, failure := range []error{syscall.EIO, syscall.EROFS, syscall.ENODEV, syscall.ENOTCONN} {
		for model := range memdisk.Models {
			if i > 0 && int(model)%3 != i-1 { // all of them with EIO
				continue
			}
			t.Run(fmt.Sprintf("%s %s", failure, model), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rng := rand.New(rand.NewPCG(uint64(model), 7))
					var d *faultdisk.Dir
					var left *memdisk.Dir
					ill := func(got *faultdisk.Dir) {
						d = got
						syncing := atomic.Bool{}
						d.Fail(func(op faultdisk.Op, _ string, _ int) error {
							if op == faultdisk.Sync { // what was written before it may be whole
								syncing.Store(true)
							}
							if syncing.Load() {
								return failure
							}
							return nil
						})
					}
					well := func(*faultdisk.Dir) { d.Mount(left) }
					v := outage(t, ill, well, func(second int, v *Volume) {
						s := v.Status()
						switch {
						case second == 11:
							left = d.Dir.(*memdisk.Dir).Crash(rng, model)
							d.Vanish(failure)
							d.Fail(nil)
						case second > 11 && second < 70:
							if d.Busy() != 0 {
								t.Fatalf("second %d: %d files and locks are open: the mount is busy", second, d.Busy())
							}
							if made := d.Made(); len(made) > 0 {
								t.Fatalf("second %d: made in the empty mount point: %v", second, made)
							}
							if second > 15 && (!s.Down || !strings.Contains(s.Away, "is its disk mounted?")) {
								t.Errorf("second %d: %+v", second, s)
							}
						case second > 75 && (s.Down || s.Away != ""):
							t.Errorf("second %d: still down: %s", second, s.Away)
						}
					})
					s := camera(1)
					while, stood := numbers(t, v, s, media.Always, 600_000), count(t, v, s)
					afterOutage(t, v)
					if len(while) != stood {
						t.Errorf("%d records are listed and %d are there", stood, len(while))
					}
					ro, err := OpenReadOnly(v.o)
					if err != nil {
						t.Fatal(err)
					}
					defer ro.Close()
					if after := numbers(t, ro, s, media.Always, 600_000); !slices.Equal(while, after) || count(t, ro, s) != stood {
						t.Errorf("after a restart %v (%d in the pools), before %v (%d)", after, count(t, ro, s), while, stood)
					}
				})
			})
		}
	}
}

// remountable is a volume on a disk in memory that can vanish.
func remountable(t *testing.T) (*recording, *faultdisk.Dir, *memdisk.Dir) {
	t.Helper()
	m := memdisk.New("memory")
	d := faultdisk.New(m)
	o := testOptions("")
	o.Disk, o.Pools = d, 6
	return record(t, o), d, m
}

// Readers that are at work while the disk goes and comes get an error that calls
// nothing damaged, and what they hold is good afterwards.
func TestReadersInAnOutage(t *testing.T) {
	for _, failure := range []error{syscall.ENODEV, syscall.EIO} {
		readInAnOutage(t, failure)
	}
}

func readInAnOutage(t *testing.T, failure error) {
	r, d, m := remountable(t)
	s := camera(1)
	const size = 300_000
	for n := range 60 { // into the third pool
		r.Offer(gop(s, 1, n, size))
		if n%5 == 4 {
			r.committed(t)
		}
	}
	var held []*media.Entry
	for e, err := range r.Entries(t.Context(), s.ID(), media.Always) {
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, e)
	}
	r.cache.clear() // the directories of sealed pools are to be read again
	read := func() error {
		for _, e := range held {
			b, err := r.Payload(t.Context(), e.Ref, nil)
			var damaged *media.DamagedError
			switch {
			case errors.As(err, &damaged) || errors.Is(err, media.ErrOverwritten):
				t.Fatal(err)
			case err != nil:
				return err
			case !slices.Equal(b, payloadOf(s, e.Run, int(e.Start/90000), size)):
				t.Fatal("wrong bytes")
			}
		}
		return nil
	}
	list := func() {
		for range r.Entries(t.Context(), s.ID(), media.Always) { // errors, or less than there is
		}
	}
	d.Vanish(failure)
	list()
	if failure != syscall.EIO && read() == nil { // that may be a bad sector, as long as nothing else is known
		t.Error("read from a disk that is not there")
	}
	r.Offer(gop(s, 1, 60, size))
	eventually(t, "down", func() bool { return r.letGo() })
	if read() == nil {
		t.Error("read from a disk that was let go of")
	}
	list()
	d.Mount(m)
	r.committed(t)
	if err := read(); err != nil {
		t.Error(err)
	}
	wantRange(t, numbers(t, r.Volume, s, media.Always, size), 0, 61)
}

// While the disk is away somebody else may take the ring. Then that is said, and
// nothing is written; when it is free again the ring is read anew, and what
// both have recorded is there, once.
func TestTakenInAnOutage(t *testing.T) {
	for _, records := range []int{0, 1, 50} { // of 300 kB: none, in the same pool, all round the ring but one
		t.Run(fmt.Sprint(records), func(t *testing.T) {
			r, d, m := remountable(t)
			s, other := camera(1), camera(2)
			const size = 300_000
			for n := range 5 {
				r.Offer(gop(s, 1, n, size))
			}
			r.committed(t)
			var syncing atomic.Bool
			d.Fail(func(op faultdisk.Op, _ string, _ int) error {
				if syncing.Load() || op == faultdisk.Sync && !syncing.Swap(true) {
					return syscall.EIO
				}
				return nil
			})
			r.Offer(gop(s, 1, 5, size)) // whole on the disk, and never acknowledged
			eventually(t, "down", func() bool { return r.letGo() })
			d.Vanish(syscall.EIO)
			d.Fail(nil)

			o := r.o
			o.Disk = m
			another, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- another.Run(ctx) }()
			d.Mount(m)
			r.Offer(gop(s, 1, 6, size))
			eventually(t, "it is said", func() bool { return strings.Contains(r.Status().Away, "somebody else has taken the ring") })
			for n := range records {
				another.Offer(gop(other, 2, n, size))
				eventually(t, "it is committed", func() bool { items, _ := another.queue.len(); return items == 0 && another.counters.busy.Load() == 0 })
			}
			if !r.Status().Down {
				t.Error("not down")
			}
			cancel()
			if err := errors.Join(<-done, another.Close()); err != nil {
				t.Fatal(err)
			}
			r.committed(t)
			if r.Status().Down {
				t.Error("still down")
			}
			eventually(t, "it is indexed again", func() bool { return len(numbers(t, r.Volume, other, media.Always, size)) == records })
			wantRange(t, numbers(t, r.Volume, s, media.Always, size), 0, 7)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			ro := openForReading(t, o)
			wantRange(t, numbers(t, ro, s, media.Always, size), 0, 7)
			wantRange(t, numbers(t, ro, other, media.Always, size), 0, records)
		})
	}
}

// What is not the ring is not written to, however well the disk is.
func TestAnotherRingInItsPlace(t *testing.T) {
	r, d, m := remountable(t)
	s := camera(1)
	r.Offer(gop(s, 1, 0, 1000))
	r.committed(t)
	d.Vanish(syscall.ENODEV)
	r.Offer(gop(s, 1, 1, 1000))
	eventually(t, "down", func() bool { return r.letGo() })
	wrong := memdisk.New("memory")
	o := r.o
	o.Disk = wrong
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	changes := atomic.Int64{}
	wrong.Hook(func(op memdisk.Op) error {
		if op.Changes() {
			changes.Add(1)
		}
		return nil
	})
	d.Mount(wrong)
	eventually(t, "it is told", func() bool { return strings.Contains(r.Status().Away, "was here, and now it is") })
	d.Vanish(syscall.ENODEV)
	if changes.Load() > 0 {
		t.Errorf("%d changes of a ring that is not ours", changes.Load())
	}
	d.Mount(m)
	r.committed(t)
	wantRange(t, numbers(t, r.Volume, s, media.Always, 1000), 0, 2)
}

// A recorder that is to end while its disk is away ends, and says what is lost.
func TestEndInAnOutage(t *testing.T) {
	r, d, _ := remountable(t)
	d.Vanish(syscall.ENODEV)
	r.Offer(gop(camera(1), 1, 0, 1000))
	eventually(t, "down", func() bool { return r.letGo() })
	begin := time.Now()
	if err := r.stop(); err == nil || !strings.Contains(err.Error(), "1 records could not be committed") {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// Of several volumes, one that vanishes comes back with what waited; its list of
// volumes is not written into the empty mount point.
func TestArchiveDiskRemounted(t *testing.T) {
	o := rackOptions(t.TempDir(), 2)
	o.Cameras = map[media.UUID]CameraRule{media.CameraUUID("cam1"): {Volume: "b"}}
	r := rackUp(t, o)
	s := camera(1)
	r.Offer(gop(s, 1, 0, 1000))
	eventually(t, "the first", func() bool { return len(read(t, r.Archive, s, media.Always, 1000)) == 1 })
	r.disks[1].Vanish(syscall.EIO)
	r.Offer(gop(s, 1, 1, 1000))
	eventually(t, "b is let go of", func() bool { return !r.There(1) })
	r.Offer(gop(s, 1, 2, 1000))
	r.Offer(gop(camera(2), 2, 0, 1000)) // new: its home is to be remembered
	eventually(t, "a has them", func() bool {
		return slices.Equal(read(t, r.Archive, s, media.Always, 1000), []int{2}) && len(read(t, r.Archive, camera(2), media.Always, 1000)) == 1
	})
	r.remember()
	if made, busy := r.disks[1].Made(), r.disks[1].Busy(); len(made) > 0 || busy > 0 {
		t.Errorf("made in the empty mount point: %v; %d files open", made, busy)
	}
	r.disks[1].Mount(direct.New(o.Volumes[1].Dir, newVolume(o.Volumes[1].Options).o.Log))
	eventually(t, "b is back", func() bool { return r.There(1) && !r.Status().Volumes[1].Down })
	r.Offer(gop(s, 1, 3, 1000))
	eventually(t, "all of them", func() bool { return slices.Equal(read(t, r.Archive, s, media.Always, 1000), []int{0, 1, 2, 3}) })
	if l, err := r.List(t.Context(), Query{Camera: "cam1"}); err != nil || len(l.Gaps) != 0 {
		t.Errorf("%+v %v", l.Gaps, err)
	}
}

// A disk that was replaced, and has a new ring, is taken in while recording.
func TestArchiveDiskReplaced(t *testing.T) {
	o := rackOptions(t.TempDir(), 2)
	o.Cameras = map[media.UUID]CameraRule{media.CameraUUID("cam1"): {Volume: "b"}}
	r := rackUp(t, o)
	s := camera(1)
	r.Offer(gop(s, 1, 0, 1000))
	eventually(t, "the first", func() bool { return len(read(t, r.Archive, s, media.Always, 1000)) == 1 })
	r.disks[1].Vanish(syscall.EIO)
	r.Offer(gop(s, 1, 1, 1000))
	eventually(t, "b is let go of", func() bool { return !r.There(1) })
	r.Offer(gop(s, 1, 2, 1000))
	eventually(t, "it is on a", func() bool { return slices.Equal(read(t, r.Archive, s, media.Always, 1000), []int{2}) })
	if l, err := r.List(t.Context(), Query{Camera: "cam1"}); err != nil || len(l.Gaps) != 1 || l.Gaps[0].Reason != media.ReasonDisk || l.Gaps[0].Span.Duration() != time.Second {
		t.Errorf("%+v %v", l.Gaps, err)
	}
	fresh := o.Volumes[1].Options
	fresh.Dir = t.TempDir()
	v, err := Open(t.Context(), fresh)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	r.disks[1].Mount(direct.New(fresh.Dir, v.o.Log))
	eventually(t, "b is there", func() bool { return r.There(1) && !r.Status().Volumes[1].Down })
	r.Offer(gop(s, 1, 3, 1000))
	eventually(t, "what came since", func() bool { return slices.Equal(read(t, r.Archive, s, media.Always, 1000), []int{2, 3}) })
}

// A disk that is half dead gives what the system has in memory, ring.id and some
// superblocks among it, and errors for the rest. It is not taken for one that is
// back, and the pool whose superblocks it does not give is not taken for a free one.
func TestHalfDeadDisk(t *testing.T) {
	for _, well := range []bool{true, false} { // in the end, or that pool never again
		synctest.Test(t, func(t *testing.T) {
			r, d, _ := remountable(t)
			s := camera(1)
			const size = 300_000
			for n := range 10 {
				r.Offer(gop(s, 1, n, size))
			}
			r.committed(t)
			bad := func(op faultdisk.Op, name string, _ int) error {
				if op == faultdisk.Read && name == "pool_000.bin" {
					return syscall.EIO
				}
				return nil
			}
			d.Fail(func(op faultdisk.Op, name string, n int) error {
				if op != faultdisk.Read {
					return syscall.EIO
				}
				return bad(op, name, n)
			})
			r.Offer(gop(s, 1, 10, size))
			time.Sleep(40 * time.Second)
			if !r.Status().Down || len(r.index.Load()) == 0 {
				t.Errorf("down %v, %d pools in the index", r.Status().Down, len(r.index.Load()))
			}
			d.Fail(bad)
			if well {
				d.Fail(nil)
			}
			r.committed(t)
			if faults := r.Faults(); well != (len(faults) == 0) {
				t.Errorf("passed over: %v", faults)
			}
			d.Fail(nil)
			wantRange(t, numbers(t, r.Volume, s, media.Always, size), 0, 11)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			ro, err := OpenReadOnly(r.o)
			if err != nil {
				t.Fatal(err)
			}
			defer ro.Close()
			wantRange(t, numbers(t, ro, s, media.Always, size), 0, 11)
		})
	}
}
