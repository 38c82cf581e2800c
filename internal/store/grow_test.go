package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/disk/faultdisk"
	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

// A ring that grows keeps what it has, and uses the new pools in their turn.
func TestGrow(t *testing.T) {
	o := testOptions(t.TempDir())
	const size = 1 * mib
	r := record(t, o)
	s := camera(1)
	for n := range 10 {
		r.Offer(gop(s, 1, n, size))
		r.committed(t)
	}
	if _, err := Grow(t.Context(), o); !errors.As(err, new(*InUseError)) {
		t.Errorf("while it is recorded into: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	grown := o
	grown.Pools = 5
	if had, err := Grow(t.Context(), grown); had != 3 || err != nil {
		t.Fatal(had, err)
	}
	var mismatch *MismatchError
	if _, err := Open(t.Context(), o); !errors.As(err, &mismatch) || !strings.Contains(err.Error(), "set max_pools = 5: a ring that has grown cannot shrink again") {
		t.Errorf("with the old shape: %v", err)
	}
	if _, err := Grow(t.Context(), o); !errors.As(err, &mismatch) || !strings.Contains(err.Error(), "cannot shrink to 3") {
		t.Errorf("shrinking: %v", err)
	}
	other := grown
	other.PoolBytes *= 2
	if _, err := Grow(t.Context(), other); !errors.As(err, &mismatch) {
		t.Errorf("pools of another size: %v", err)
	}
	r = record(t, grown)
	eventually(t, "older pools are indexed", func() bool { return r.Status().Indexed })
	wantRange(t, numbers(t, r.Volume, s, media.Always, size), 0, 10)
	for n := 10; n < 26; n++ { // into the new pools, not yet round to the first
		r.Offer(gop(s, 1, n, size))
		r.committed(t)
	}
	wantRange(t, numbers(t, r.Volume, s, media.Always, size), 0, 26)
	if used := r.Status().UsedPools; used != 5 {
		t.Errorf("%d pools are used", used)
	}
}

// A growth that is cut anywhere leaves the ring as it was, and can be done again.
func TestGrowCut(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		o := testOptions(t.TempDir())
		r := record(t, o)
		s := camera(1)
		r.Offer(gop(s, 1, 0, 1000))
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		d := direct.New(o.Dir, slog.New(slog.DiscardHandler))
		from := o
		if foreign { // a file of another ring is in the way
			from = testOptions(t.TempDir())
			from.Pools = 5
			x := record(t, from)
			if err := x.stop(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(from.Dir, ring.Name(4)))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(o.Dir, ring.Name(4)), b, 0o600); err != nil {
				t.Fatal(err)
			}
		} else { // it was cut after one pool, and in the middle of the next
			if err := d.Allocate(t.Context(), ring.Name(3), o.PoolBytes); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(o.Dir, ring.Name(4)), make([]byte, 4096), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r = record(t, o)
		wantRange(t, numbers(t, r.Volume, s, media.Always, 1000), 0, 1)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		o.Pools = 5
		_, err := Grow(t.Context(), o)
		if foreign {
			if err == nil || !strings.Contains(err.Error(), "pool_004.bin is there already, and does not belong to this ring") {
				t.Errorf("%v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r = record(t, o)
		wantRange(t, numbers(t, r.Volume, s, media.Always, 1000), 0, 1)
	}
}

// growing is an archive of one volume that is being recorded into.
type growing struct {
	*Archive
	o    VolumeOptions
	stop func() error
}

func growingArchive(t *testing.T, o Options) *growing {
	t.Helper()
	g := &growing{o: VolumeOptions{Name: "main", Options: o}}
	a, err := OpenArchive(t.Context(), ArchiveOptions{Volumes: []VolumeOptions{g.o}})
	if err != nil {
		t.Fatal(err)
	}
	g.Archive = a
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	g.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, a.Close())
	})
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "it runs", func() bool { _, running := a.members[0].at(); return running != nil })
	return g
}

// to grows the ring while it is recorded into.
func (g *growing) to(ctx context.Context, pools int) (had int, err error) {
	o := g.o
	o.Pools = pools
	return g.Grow(ctx, o)
}

func (g *growing) volume() *Volume { return g.members[0].volume.Load() }

// Recording, reading, checking and other processes go on while the ring grows,
// and the new pools are used when the ring comes to them.
func TestGrowWhileRecording(t *testing.T) {
	o := testOptions(t.TempDir())
	o.ScrubRate = 1 << 30
	g := growingArchive(t, o)
	s, size := camera(1), 300_000
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	offered := 0
	busy.Go(func() {
		for ; ctx.Err() == nil; offered++ {
			if !g.Offer(gop(s, 1, offered, size)) {
				t.Error("refused")
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	read := func(a interface {
		Payload(context.Context, media.Ref, []byte) ([]byte, error)
	}, list []*media.Entry) {
		for _, e := range list {
			b, err := a.Payload(ctx, e.Ref, nil)
			if errors.Is(err, media.ErrOverwritten) || ctx.Err() != nil {
				continue
			}
			if n := int(e.Start / 90000); err != nil || string(b) != string(payloadOf(s, 1, n, size)) {
				t.Errorf("record %d: %d bytes, %v", n, len(b), err)
			}
		}
	}
	for _, look := range []func(){
		func() {
			list, err := entries(g.volume(), s)
			if err != nil {
				t.Error(err)
			}
			read(g, list)
		},
		func() {
			st := g.Status().Volumes[0]
			if st.Pools < 3 || st.UsedPools > st.Pools || len(st.PassedOver) > 0 {
				t.Errorf("status: %+v", st)
			}
			if _, err := g.List(ctx, Query{}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		},
		func() {
			report, err := g.volume().Verify(ctx, VerifyOptions{})
			if err != nil && ctx.Err() == nil || !report.OK() {
				t.Errorf("verify: %+v %v", report, err)
			}
		},
		func() { // another process
			ro, err := OpenReadOnly(o)
			if err != nil {
				t.Error(err)
				return
			}
			defer ro.Close()
			list, err := entries(ro, s)
			if err != nil || len(ro.Faults()) > 0 {
				t.Errorf("read-only: %v, %v", err, ro.Faults())
			}
			read(ro, list)
		},
	} {
		busy.Go(func() {
			for ctx.Err() == nil {
				look()
			}
		})
	}
	for _, pools := range []int{4, 4, 6, 9} {
		before := g.volume().ring.Pools()
		if had, err := g.to(ctx, pools); had != before || err != nil {
			t.Fatalf("from %d to %d: had %d, %v", before, pools, had, err)
		}
		eventually(t, "all pools are used", func() bool { return g.Status().Volumes[0].UsedPools == pools })
	}
	for pools, want := range map[int]string{8: "cannot shrink to 8", ring.MaxPools + 1: "is the limit"} {
		if _, err := g.to(ctx, pools); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("to %d: %v", pools, err)
		}
	}
	other := g.o
	other.Pools, other.PoolBytes = 12, 16*mib
	if _, err := g.Grow(ctx, other); !errors.As(err, new(*MismatchError)) {
		t.Errorf("pools of another size: %v", err)
	}
	elsewhere := g.o
	elsewhere.Dir = t.TempDir()
	if _, err := g.Grow(ctx, elsewhere); err == nil || !strings.Contains(err.Error(), "has no volume main in "+elsewhere.Dir) {
		t.Errorf("the same name in another place: %v", err)
	}
	cancel()
	busy.Wait()
	if f := g.Status().Volumes[0].Failures; f != 0 {
		t.Errorf("%d failures of the writer", f)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	for n := range 9 { // the ring has come round: every pool knows how many they are
		f, err := os.Open(filepath.Join(o.Dir, ring.Name(n)))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, pool.SuperSlot1+pool.BlockSize)
		f.ReadAt(b, 0)
		f.Close()
		pools := uint32(0)
		for _, off := range []int64{0, pool.SuperSlot1} {
			if s, err := pool.DecodeSuper(b[off:], uint32(n), off); err == nil {
				pools = max(pools, s.Pools)
			}
		}
		if n > 2 && pools < 4 || n > 5 && pools != 9 {
			t.Errorf("pool %d says that they are %d", n, pools)
		}
	}
	o.Pools = 9
	r := record(t, o)
	eventually(t, "older pools are indexed", func() bool { return r.Status().Indexed })
	got := numbers(t, r.Volume, s, media.Always, size)
	wantRange(t, got, got[0], offered)
}

// onDisk lists the pool files that are there.
func onDisk(d disk.Dir) (n int) {
	names, _ := d.Names()
	for _, name := range names {
		if strings.HasPrefix(name, "pool_") {
			n++
		}
	}
	return n
}

// ofGrowth reports whether an operation of the disk is one of a growth beyond had pools.
func ofGrowth(op memdisk.Op, had int) bool {
	if strings.HasPrefix(op.Name, "ring.id") || op.Kind == memdisk.SyncDir {
		return op.Changes()
	}
	for n := range had {
		if op.Name == ring.Name(n) {
			return false
		}
	}
	return op.Changes() && strings.HasPrefix(op.Name, "pool_")
}

// growthSteps is how many operations a growth by two pools consists of that change
// the disk: each file is created, gets its size and is synced, gets its superblock
// and is synced; the directory is synced; ring.id is replaced.
const growthSteps = 2*5 + 1 + 5

// Whatever operation of a growth fails, recording notices nothing, the ring is
// what it was, its room is given back, and it can grow again.
func TestGrowFails(t *testing.T) {
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, context.Canceled} {
		for step := 1; step <= growthSteps; step++ {
			d := memdisk.New("/archive")
			o := testOptions("/archive")
			o.Disk = d
			g := growingArchive(t, o)
			s := camera(1)
			ctx, cancel := context.WithCancel(t.Context())
			steps := 0
			d.Hook(func(op memdisk.Op) error {
				if !ofGrowth(op, 3) || op.Kind == memdisk.Remove {
					return nil
				}
				if steps++; steps != step {
					return nil
				}
				if failure == context.Canceled {
					cancel()
					return nil
				}
				return failure
			})
			when := fmt.Sprintf("%v at step %d", failure, step)
			_, err := g.to(ctx, 5)
			d.Hook(nil)
			// From the superblock of the last new pool on, or with ring.id, it is too late to stop.
			late := failure == context.Canceled && step > 2*5+1
			switch pools := g.volume().ring.Pools(); {
			case late && (err != nil || pools != 5):
				t.Errorf("%s: %d pools, %v", when, pools, err)
			case !late && (!errors.Is(err, failure) || pools != 3):
				t.Errorf("%s: %d pools, %v", when, pools, err)
			case !late && step <= 2*5+1 && onDisk(d) != 3:
				t.Errorf("%s: %d pool files are left", when, onDisk(d))
			}
			if had, err := g.to(t.Context(), 5); err != nil || had != g.volume().ring.Pools() && had != 3 {
				t.Errorf("%s: then again: had %d, %v", when, had, err)
			}
			for n := range 12 {
				if step%4 == 0 && !g.Offer(gop(s, 1, n, 3*mib)) {
					t.Fatal("refused")
				}
			}
			eventually(t, "the new pools are used", func() bool { return step%4 > 0 || g.Status().Volumes[0].UsedPools == 5 })
			if f := g.Status().Volumes[0].Failures; f != 0 {
				t.Errorf("%s: %d failures of the writer", when, f)
			}
			if err := g.stop(); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			cancel()
		}
	}
}

// A growth that needs more room than there is begins nothing.
func TestGrowWithoutRoom(t *testing.T) {
	d := memdisk.New("/archive")
	d.Capacity(40 * mib)
	o := testOptions("/archive")
	o.Disk = d
	g := growingArchive(t, o)
	began := false
	d.Hook(func(op memdisk.Op) error {
		began = began || ofGrowth(op, 3)
		return nil
	})
	if _, err := g.to(t.Context(), 5); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "2 more pools of 8 MiB need 16 MiB, 15 MiB are free") {
		t.Errorf("%v", err)
	}
	if began {
		t.Error("something was done all the same")
	}
	if had, err := g.to(t.Context(), 4); had != 3 || err != nil {
		t.Errorf("one more: %v", err)
	}
}

// A growth that hangs in the disk, as all is to end, is left behind; while it hangs
// there is no other, and when it comes back it does nothing more.
func TestGrowHangs(t *testing.T) {
	for step := 1; step <= growthSteps; step++ {
		synctest.Test(t, func(t *testing.T) {
			d := memdisk.New("/archive")
			o := testOptions("/archive")
			o.Disk = d
			g := growingArchive(t, o)
			release, steps, after := make(chan bool), 0, 0
			d.Hook(func(op memdisk.Op) error {
				if !ofGrowth(op, 3) || op.Kind == memdisk.Remove {
					return nil
				}
				if steps++; steps == step {
					<-release
				} else if steps > step {
					after++
				}
				return nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			_, err := g.to(ctx, 5)
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > time.Minute+2*time.Second || g.volume().ring.Pools() != 3 {
				t.Errorf("step %d: %d pools, after %v: %v", step, g.volume().ring.Pools(), took, err)
			}
			if _, err := g.to(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "is growing already") {
				t.Errorf("step %d: a second one: %v", step, err)
			}
			close(release)
			synctest.Wait()
			d.Hook(nil)
			if pools := g.volume().ring.Pools(); step <= 2*5+1 && (pools != 3 || onDisk(d) != 3 || after > 4) {
				t.Errorf("step %d: %d pools, %d files, %d more steps, when the disk is back", step, pools, onDisk(d), after)
			}
			if _, err := g.to(t.Context(), 5); err != nil || g.volume().ring.Pools() != 5 {
				t.Errorf("step %d: when the disk is back: %v", step, err)
			}
			if st := g.Status().Volumes[0]; st.MaxPools != 5 {
				t.Errorf("step %d: it would be opened again with %d pools", step, st.MaxPools)
			}
			if err := g.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The disk vanishes at any step of a growth, and comes back as another mount: nothing
// is made in the empty mount point, recording goes on, and the ring can grow again.
func TestGrowInAnOutage(t *testing.T) {
	for _, failure := range []error{nil, syscall.ENODEV} { // of the step itself: a call that had begun may still be done
		for step := 1; step <= growthSteps; step++ {
			synctest.Test(t, func(t *testing.T) {
				m := memdisk.New("/archive")
				d := faultdisk.New(m)
				o := testOptions("/archive")
				o.Disk = d
				g := growingArchive(t, o)
				s, n := camera(1), 0
				feed := func() {
					for range 3 {
						g.Offer(gop(s, 1, n, 300_000))
						n++
						time.Sleep(time.Second)
					}
				}
				feed()
				steps := 0
				m.Hook(func(op memdisk.Op) error {
					if !ofGrowth(op, 3) {
						return nil
					}
					if steps++; steps == step {
						d.Vanish(syscall.ENODEV)
						return failure
					}
					return nil
				})
				_, err := g.to(t.Context(), 5)
				m.Hook(nil)
				feed()
				if st := g.Status().Volumes[0]; !st.Down {
					t.Errorf("step %d: it is not down", step)
				}
				if _, err := g.to(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "is not there at present") {
					t.Errorf("step %d: a growth without a disk: %v", step, err)
				}
				if made := d.Made(); len(made) > 0 {
					t.Errorf("step %d: made in the empty mount point: %v", step, made)
				}
				d.Mount(m)
				time.Sleep(10 * time.Second)
				feed()
				if st := g.Status().Volumes[0]; st.Down || len(st.PassedOver) > 0 {
					t.Errorf("step %d: %+v (%v)", step, st, err)
				}
				if _, err := g.to(t.Context(), 5); err != nil || g.volume().ring.Pools() != 5 {
					t.Errorf("step %d: then again: %v", step, err)
				}
				wantRange(t, numbers(t, g.volume(), s, media.Always, 300_000), 0, n)
				if err := g.stop(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// At any step of a growth another disk takes the place of the one that grows: not a
// byte of it is changed.
func TestGrowOntoAnotherDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for step := 1; step <= growthSteps; step++ {
			other := memdisk.New("/other")
			foreign := newRig(t, 6, 8)
			foreign.on(other)
			if err := foreign.open(); err != nil {
				t.Fatal(err)
			}
			for n := range 30 {
				f := footage{camera(1), 1, n, 2 * mib, videoTrack}
				foreign.v.Offer(f.record())
				foreign.beat()
			}
			if err := foreign.close(); err != nil {
				t.Fatal(err)
			}
			other.Hook(func(op memdisk.Op) error {
				if op.Changes() && op.Kind != memdisk.SyncDir {
					t.Errorf("step %d: %v", step, op)
				}
				return nil
			})
			m := memdisk.New("/archive")
			d := faultdisk.New(m)
			o := testOptions("/archive")
			o.Disk = d
			g := growingArchive(t, o)
			steps := 0
			m.Hook(func(op memdisk.Op) error {
				if !ofGrowth(op, 3) {
					return nil
				}
				if steps++; steps == step {
					d.Vanish(syscall.ENODEV)
					d.Mount(other)
				}
				return nil
			})
			_, err := g.to(t.Context(), 5)
			if done := g.volume().ring.Pools() == 5; done != (err == nil) || done != (step > growthSteps-5) {
				t.Errorf("step %d: %d pools, %v", step, g.volume().ring.Pools(), err)
			}
			g.stop() // its error is that the disk is another one
		}
	})
}

// A volume that is let go of ends its growth: its directory may soon be another's.
func TestGrowEndsWithTheVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memdisk.New("/archive")
		o := testOptions("/archive")
		o.Disk = d
		g := growingArchive(t, o)
		once := sync.OnceFunc(func() { go g.stop() })
		d.Hook(func(op memdisk.Op) error {
			if ofGrowth(op, 3) && op.Kind != memdisk.Remove {
				once()
				time.Sleep(time.Second)
			}
			return nil
		})
		if _, err := g.to(t.Context(), 9); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "growing was cut short, the ring is what it was") {
			t.Errorf("%v", err)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if onDisk(d) != 3 {
			t.Errorf("%d pool files", onDisk(d))
		}
	})
}

// The power goes before each step of a growth, and of the commits in between, in
// every model: nothing that was acknowledged is lost, no pool is spoilt, the ring is
// what it was or has grown, and grows again.
func TestCrashWhileTheRingGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const had, wanted = 2, 5
		rng := rand.New(rand.NewPCG(2, 9))
		s := newSimulation(newRig(t, had, 8), 2, rng)
		s.fatal = t.Fatalf
		s.opened()
		feed := func() {
			for _, stream := range s.streams {
				s.offer(stream, 1_000_000+rng.IntN(2_000_000))
			}
			s.commit()
		}
		for range 6 { // the ring has come round
			feed()
		}
		type state struct {
			at    string
			model memdisk.Model
			disk  *memdisk.Dir
			*account
		}
		var states []state
		collect := func(at string, models ...memdisk.Model) {
			then := s.account.clone()
			s.must(then.settle(s.v, false, false), "before "+at)
			for _, model := range models {
				states = append(states, state{at, model, s.disk.Crash(rng, model), then})
			}
		}
		all := []memdisk.Model{memdisk.Kept, memdisk.Lost, memdisk.Ordered, memdisk.Prefix, memdisk.Torn}
		arrived, goOn := make(chan memdisk.Op), make(chan bool)
		s.disk.Hook(func(op memdisk.Op) error {
			if ofGrowth(op, had) && s.v.ring.Pools() == had {
				arrived <- op
				<-goOn
				return nil
			}
			err := s.hook(op)
			if op.Changes() && rng.IntN(3) == 0 {
				collect(op.String(), all[rng.IntN(len(all))])
			}
			return err
		})
		grown := make(chan error, 1)
		go func() { grown <- s.v.ring.Grow(t.Context(), wanted, nil) }()
		for done := false; !done; {
			select {
			case op := <-arrived:
				if n := s.v.ring.Pools(); n != had {
					t.Fatalf("before %v the ring has %d pools already", op, n)
				}
				if len(states)%3 == 0 {
					feed() // the writer goes on meanwhile
				}
				collect(op.String(), all...)
				goOn <- true
				synctest.Wait()
			case err := <-grown:
				if err != nil || s.v.ring.Pools() != wanted {
					t.Fatalf("%d pools, %v", s.v.ring.Pools(), err)
				}
				done = true
			}
		}
		for range 2 * wanted { // into the new pools
			feed()
		}
		s.disk.Hook(nil)
		s.must(s.close(), "close")
		shapes := map[int]int{}
		s.o.Pools = wanted
		for i, st := range states {
			s.story = []string{fmt.Sprintf("cut before %s, %v", st.at, st.model)}
			s.account = st.account
			s.examine(st.disk, i)
			again := &rig{t: t, o: s.o}
			again.on(st.disk)
			if err := again.open(); err != nil {
				t.Fatal(s.story, err)
			}
			shapes[again.v.ring.Pools()]++
			if err := again.v.ring.Grow(t.Context(), wanted, nil); err != nil {
				t.Fatal(s.story, "grow again:", err)
			}
			before, err := entries(again.v, s.streams[0])
			if err := errors.Join(err, again.close(), again.open()); err != nil {
				t.Fatal(s.story, err)
			}
			after, err := entries(again.v, s.streams[0])
			if err != nil || len(after) != len(before) || again.v.ring.Pools() != wanted || len(again.v.Faults()) > 0 {
				t.Fatal(s.story, "grown again:", err, len(before), len(after), again.v.ring.Pools(), again.v.Faults())
			}
			if err := again.close(); err != nil {
				t.Fatal(err)
			}
		}
		if len(states) < 120 || shapes[had] < 50 || shapes[wanted] < 20 || len(shapes) != 2 {
			t.Errorf("%d states, pools %v: the test proves too little", len(states), shapes)
		}
	})
}

// A growth that was killed when ring.id had its new name, which was not durable: the
// next recorder makes it durable before there is footage in the new pools.
func TestGrowKilledBeforeItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 8)
		if err := errors.Join(r.open(), r.close()); err != nil {
			t.Fatal(err)
		}
		var left *memdisk.Dir
		syncs := 0
		r.disk.Hook(func(op memdisk.Op) error {
			if op.Kind == memdisk.SyncDir {
				if syncs++; syncs == 2 {
					left = r.disk.Killed()
				}
			}
			return nil
		})
		r.o.Pools = 4
		if _, err := Grow(t.Context(), r.o); err != nil || left == nil {
			t.Fatal(err, left)
		}
		r.on(left)
		if err := r.open(); err != nil {
			t.Fatal(err)
		}
		s, want := camera(1), 0
		for ; r.v.Status().UsedPools < 4; want++ {
			f := footage{s, 1, want, 3 * mib, videoTrack}
			r.v.Offer(f.record())
			r.beat()
		}
		crashed := r.disk.Crash(rand.New(rand.NewPCG(1, 1)), memdisk.Lost)
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
		r.on(crashed)
		if err := r.open(); err != nil {
			t.Fatal(err)
		}
		defer r.close()
		if list, err := entries(r.v, s); err != nil || len(list) != want || r.v.ring.Pools() != 4 {
			t.Errorf("%d of %d records in %d pools, %v", len(list), want, r.v.ring.Pools(), err)
		}
	})
}

// With so many pools that there is a catalogue, the old one does not count, and the
// newest pool is found wherever it is among the old and the new ones.
func TestGrowWithCatalogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 66, 8)
		if err := r.open(); err != nil {
			t.Fatal(err)
		}
		s, n := camera(1), 0
		feed := func(pools int) {
			for g := r.v.Status().Generation; r.v.Status().Generation < g+uint64(pools); n++ {
				f := footage{s, 1, n, 4_000_000, videoTrack}
				r.v.Offer(f.record())
				r.beat()
			}
		}
		feed(66 + 10)
		r.o.Pools = 69
		if err := r.v.ring.Grow(t.Context(), r.o.Pools, nil); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, pools := range []int{0, 1, 30, 25, 2, 1, 3} { // up to the end, into the new ones, and round
			feed(pools)
			at := r.v.Status()
			for n, last := 0, uint64(0); n < r.v.ring.Pools(); n++ { // docs/format.md, Grow
				g := r.v.ring.Super(n).Generation
				if n <= at.ActivePool && g <= last || n > at.ActivePool && g >= r.v.ring.Super(0).Generation {
					t.Errorf("the newest is pool %d; pool %d has generation %d, the one before it %d", at.ActivePool, n, g, last)
				}
				last = g
			}
			before, err := entries(r.v, s)
			if err := errors.Join(err, r.close(), r.open()); err != nil {
				t.Fatal(err)
			}
			after, err := entries(r.v, s)
			if now := r.v.Status(); err != nil || now.Generation != at.Generation || now.ActivePool != at.ActivePool || len(after) != len(before) {
				t.Errorf("pool %d, generation %d, %d records; opened again %d, %d, %d: %v", at.ActivePool, at.Generation, len(before), now.ActivePool, now.Generation, len(after), err)
			}
			seen = max(seen, at.ActivePool)
		}
		if seen < 66 {
			t.Errorf("the newest pool was %d at most", seen)
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A ring whose making is cut short says so, and is made by the next start.
func TestMakingIsCutShort(t *testing.T) {
	o := testOptions("/archive")
	for step := 1; ; step++ {
		d := memdisk.New("/archive")
		o.Disk = d
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		d.Hook(func(op memdisk.Op) error {
			if op.Changes() {
				if steps++; steps == step {
					cancel()
				}
			}
			return nil
		})
		a, err := OpenArchive(ctx, ArchiveOptions{Volumes: []VolumeOptions{{Name: "main", Options: o}}})
		d.Hook(nil)
		cancel()
		if err == nil { // all files were there already
			if step < 2*5+2 { // the last file is created
				t.Errorf("at step %d: it was not cut short", step)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			break
		}
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "making the ring was cut short; it is begun again at the next start") {
			t.Errorf("at step %d: %v", step, err)
		}
		if _, err := d.ReadFile("ring.id"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("at step %d: ring.id is there: %v", step, err)
		}
		v, err := Open(t.Context(), o)
		if err != nil {
			t.Fatalf("at step %d: then: %v", step, err)
		}
		v.Close()
	}
}

// hanging is a disk whose reads do not come back.
func hanging(t *testing.T, release chan bool) *memdisk.Dir {
	d := memdisk.New("/hangs")
	d.Hook(func(memdisk.Op) error { <-release; return syscall.EIO })
	return d
}

// Volumes that do not answer are not waited for: not when another one is ready, be
// they several, and not when all is to end.
func TestOpenDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan bool)
		volume := func(name string, d *memdisk.Dir) VolumeOptions {
			o := testOptions("/" + name)
			o.Disk = d
			return VolumeOptions{Name: name, Options: o}
		}
		o := ArchiveOptions{Volumes: []VolumeOptions{volume("a", hanging(t, release)), volume("b", memdisk.New("/b")), volume("c", hanging(t, release))}}
		began := time.Now()
		a, err := OpenArchive(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*rosterPatience+openPatience+time.Second {
			t.Errorf("after %v", took)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o.Volumes = o.Volumes[:1]
		began = time.Now()
		if _, err := OpenArchive(ctx, o); !errors.Is(err, context.Canceled) || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(release)
	})
}

// A ring that was to grow and has not is recorded into, and the log says what to do.
func TestNotYetGrown(t *testing.T) {
	o := testOptions(t.TempDir())
	if err := record(t, o).stop(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	o.Pools, o.Log = 5, slog.New(slog.NewTextHandler(&log, nil))
	g := growingArchive(t, o)
	st := g.Status().Volumes[0]
	if st.Pools != 3 || st.MaxPools != 5 || !strings.Contains(log.String(), "level=ERROR msg=\"the ring has fewer pools than the configuration says; it is recorded into as it is\"") || !strings.Contains(log.String(), "nvr volume grow adds the others") {
		t.Errorf("%d of %d pools; the log:\n%s", st.Pools, st.MaxPools, log.String())
	}
	if had, err := g.to(t.Context(), 5); had != 3 || err != nil {
		t.Error(had, err)
	}
	if st := g.Status().Volumes[0]; st.Pools != 5 {
		t.Errorf("%d pools", st.Pools)
	}
}

// What a volume's ring overwrote is told as such also after it has grown and has
// pools that were never used.
func TestOverwrittenAfterGrowth(t *testing.T) {
	d := memdisk.New("/archive")
	o := testOptions("/archive")
	o.Disk = d
	r := record(t, o)
	s := camera(1)
	for n := range 12 {
		r.Offer(gop(s, 1, n, 3*mib))
		r.committed(t)
	}
	for _, pools := range []int{3, 6} {
		if err := r.ring.Grow(t.Context(), pools, nil); err != nil {
			t.Fatal(err)
		}
		parts := mergedSegments([]view{r.view(0)}, s.ID())
		from := parts[0].Span.From
		gaps := overwritten([]view{r.view(0), r.view(1)}, parts, []media.Gap{{Span: media.Span{From: from - second, To: from}, Reason: media.ReasonStopped}})
		if gaps[0].Reason != media.ReasonOverwritten {
			t.Errorf("with %d pools: %v", pools, gaps[0].Reason)
		}
	}
}
