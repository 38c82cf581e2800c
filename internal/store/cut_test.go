package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/disk/faultdisk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

// What the power cuts of rigs/faults found, each as small as it gets.

// tear makes what a cut leaves behind the last group of pool 0 when a commit of
// one record was under way: its header and directory, and nothing else of it.
// starts is how many writers began since the last group that counts.
func tear(t *testing.T, o Options, record media.Record, starts uint32) pool.Group {
	t.Helper()
	v, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	groups, behind, err := v.headGroups(0)
	if err != nil || len(groups) == 0 {
		t.Fatalf("%d groups: %v", len(groups), err)
	}
	end := behind.end
	last := groups[len(groups)-1]
	h := pool.Header{Identity: last.Identity, Offset: end, Seq: last.Seq + uint64(starts)*openJump + 1, OpenID: last.OpenID + starts, DurableSeq: last.Seq + uint64(starts)*openJump}
	var b pool.Builder
	b.Add(pool.Item{Entry: pool.SamplesEntry(&record, record.Stream.ID(), pool.TrackEntry(videoTrack).Params), Payload: record.Buffer.Data})
	image := make([]byte, pool.MaxGroup)
	b.Encode(image, &h)
	overwrite(t, o, 0, image[:pool.BlockSize], end)
	return pool.Group{Header: h, Dir: image[pool.HeaderSize : pool.HeaderSize+h.DirLen]}
}

func overwrite(t *testing.T, o Options, n int, b []byte, off int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(o.Dir, ring.Name(n)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// A torn group reaches over several MiB, and its header says so. What is written
// after the restart must not lie in there: the next start would hop over it. Nor
// may it have the torn one's number: it would be taken for a leftover.
func TestNothingIsWrittenIntoATornGroup(t *testing.T) {
	t.Run("of the last writer", func(t *testing.T) { testTorn(t, 0) })
	t.Run("the first of a writer", func(t *testing.T) { testTorn(t, 1) })
}

func testTorn(t *testing.T, starts uint32) {
	o := testOptions(t.TempDir())
	s := camera(1)
	first := record(t, o)
	first.Offer(gop(s, 1, 0, 1000))
	first.committed(t)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	tear(t, o, gop(s, 1, 1, 3*mib), starts)

	second := record(t, o)
	second.Offer(gop(s, 2, 0, 1000))
	second.committed(t)
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	third := record(t, o)
	if got := numbers(t, third.Volume, s, media.Always, 1000); len(got) != 2 {
		t.Errorf("records %v are there, two were committed", got)
	}
}

// A footer may reach the disk before the groups that it lists. It counts when
// the superblock says that the pool is sealed.
func TestFooterOfAPoolThatIsNotSealed(t *testing.T) {
	o := testOptions(t.TempDir())
	s := camera(1)
	r := record(t, o)
	r.Offer(gop(s, 1, 0, 1000))
	r.committed(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	torn := tear(t, o, gop(s, 1, 1, 100_000), 0)

	v, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	groups, _, err := v.headGroups(0)
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	image, err := disk.Alloc(mib)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Free(image)
	trailer := pool.Trailer{Identity: torn.Identity}
	overwrite(t, o, 0, pool.EncodeFooter(image, &trailer, append(groups, torn), o.PoolBytes), trailer.FooterOffset)

	if v, err = OpenReadOnly(o); err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	wantRange(t, numbers(t, v, s, media.Always, 1000), 0, 1)
}

// Creation may be cut between a pool file's name and its room.
func TestCreationCutBeforeAllocation(t *testing.T) {
	for _, size := range []int64{0, 100, 1 << 20} {
		o := testOptions(t.TempDir())
		name := filepath.Join(o.Dir, ring.Name(0))
		if err := os.WriteFile(name, nil, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
		v, err := Open(t.Context(), o)
		if err != nil {
			t.Errorf("a first pool file of %d bytes: %v", size, err)
			continue
		}
		v.Close()
	}
}

// A commit of several groups fails at its sync, and the disk keeps a later group
// and loses an earlier one. All of it was written again elsewhere, in the same
// pool or in the next, and all of it must be there, in its order.
func TestHalfOfWhatFailed(t *testing.T) {
	for _, failures := range []int{1, 2} {
		o := testOptions(t.TempDir())
		o.Pools = 4
		o.PoolBytes = 16 * mib
		o.CommitInterval = 200 * time.Millisecond
		d := faultdisk.New(direct.New(o.Dir, newVolume(o).o.Log))
		o.Disk = d
		const size = 2 * mib // two do not fit into a group
		r := record(t, o)
		s := camera(1)
		r.Offer(gop(s, 1, 0, size))
		r.committed(t)
		// The writer is held in a sync until all three wait, so that they are one
		// commit.
		syncs, release := 0, make(chan bool)
		d.Fail(func(op faultdisk.Op, name string, _ int) error {
			if op != faultdisk.Sync {
				return nil
			}
			switch syncs++; {
			case syncs == 1:
				<-release
			case syncs <= 1+failures:
				return syscall.EIO
			}
			return nil
		})
		other := camera(2)
		r.Offer(gop(other, 1, 0, 1000))
		for n, _ := r.queue.len(); n > 0; n, _ = r.queue.len() {
			time.Sleep(time.Millisecond)
		}
		for n := range 3 {
			if !r.Offer(gop(s, 1, 1+n, size)) {
				t.Fatal("refused")
			}
		}
		close(release)
		r.committed(t)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		o.Disk = nil
		lost := 0
		for _, g := range everyGroup(t, o, 0) {
			first := false // of those that failed
			g.Entries(func(e *pool.Entry) bool {
				first = e.Kind == pool.KindSamples && e.Stream == s.ID() && e.Start > 0
				return !first
			})
			if first && lost == 0 {
				overwrite(t, o, 0, make([]byte, g.TotalLen), g.Offset)
				lost++
			}
		}
		if lost == 0 {
			t.Fatal("no group failed: the test proves nothing")
		}
		ro, err := OpenReadOnly(o)
		if err != nil {
			t.Fatal(err)
		}
		defer ro.Close()
		wantRange(t, numbers(t, ro, s, media.Always, size), 0, 4)
	}
}

// everyGroup lists the groups of a pool that have a header, whether they count
// or not.
func everyGroup(t *testing.T, o Options, n int) []pool.Group {
	t.Helper()
	ro, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	f, err := ro.ring.File(n)
	if err != nil {
		t.Fatal(err)
	}
	var groups []pool.Group
	err = pool.Scan(f, ro.ring.Identity(n), pool.FirstGroup, o.PoolBytes, maxHole, func(g pool.Group) bool {
		groups = append(groups, g)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return groups
}
