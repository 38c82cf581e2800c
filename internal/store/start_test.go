package store

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/disk/memdisk"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
	"nvr/internal/store/vault"
)

// manyPools is a ring of very many pools, a few of which hold footage.
func manyPools(t *testing.T, pools int) (o Options, d *memdisk.Dir, written int) {
	t.Helper()
	d = memdisk.New("memory")
	o = testOptions("")
	o.Disk, o.Pools = d, pools
	r := record(t, o)
	for ; written < 30; written++ {
		r.Offer(bigGop(1, written))
		r.committed(t)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return o, d, written
}

func waitIndexed(t *testing.T, v *Volume) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !v.indexed.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the older pools are not indexed")
		}
	}
}

// A start reads few superblocks whatever became of the catalogue; the others are
// read while it records, and then there is a catalogue again.
func TestStartReads(t *testing.T) {
	o, d, written := manyPools(t, 3000)
	for name, spoil := range map[string]func(){
		"as it was": func() {},
		"lost":      func() { d.Remove("catalogue") },
		"damaged":   func() { d.Rot("catalogue", 200, []byte{1, 2, 3}) },
	} {
		spoil()
		reads, writing := atomic.Int64{}, atomic.Bool{}
		d.Hook(func(op memdisk.Op) error {
			if writing.Store(writing.Load() || op.Changes()); !writing.Load() {
				reads.Add(1)
			}
			return nil
		})
		r := record(t, o)
		if n := reads.Load(); n > 40 {
			t.Errorf("%s: %d reads before the first write", name, n)
		}
		r.Offer(bigGop(1, written))
		written++
		r.committed(t)
		waitIndexed(t, r.Volume)
		if left := r.ring.Unread(); len(left) > 0 {
			t.Errorf("%s: pools %v are unread when it is indexed", name, left)
		}
		if _, err := d.ReadFile("catalogue"); err != nil {
			t.Errorf("%s: no catalogue afterwards: %v", name, err)
		}
		if got := readable(t, r.Volume, 1); len(got) != written {
			t.Errorf("%s: %d of %d records", name, len(got), written)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		d.Hook(nil)
	}
}

// Who reads a ring misses nothing of it, and so does who verifies it or repairs it.
func TestReadersReadAll(t *testing.T) {
	o, d, written := manyPools(t, 100)
	d.Remove("catalogue")
	ro := openForReading(t, o)
	if got := readable(t, ro, 1); len(got) != written || len(ro.ring.Unread()) > 0 {
		t.Errorf("%d of %d records, unread: %v", len(got), written, ro.ring.Unread())
	}
	for n := range 2 {
		d.Rot(ring.Name(n), o.PoolBytes-pool.TrailerSize, make([]byte, 200))
	}
	repaired, err := RepairFooters(t.Context(), o)
	if err != nil || len(repaired) != 2 {
		t.Errorf("repaired %v: %v", repaired, err)
	}
}

// What a lock wants of a pool that nobody has looked at yet is there, also where
// only its superblock tells of it.
func TestSelectFromAnUnreadPool(t *testing.T) {
	o, d, _ := manyPools(t, 100)
	d.Rot(ring.Name(0), o.PoolBytes-pool.TrailerSize, make([]byte, 200))
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if v.ring.Known(0) {
		t.Fatal("the start has looked at pool 0")
	}
	s, err := v.selectFrom(vault.Name{Pool: 0, Generation: 1}, nil)
	if err != nil || len(s.groups) == 0 {
		t.Errorf("%d groups, %v", len(s.groups), err)
	}
}

// Should a start take an older pool for the newest (files of pools in between were
// away for long, and the catalogue is lost, too), nothing is lost: what is written
// from then on is newer than all that is there, all of it is listed, and the log
// says so.
func TestStartInAnOlderPool(t *testing.T) {
	o, d, written := manyPools(t, 80)
	v := openForReading(t, o)
	newest, _ := v.ring.Newest()
	// The writer went on far behind, and wrote a group there.
	const far = 50 // halving does not come by
	super := newest
	super.Pool, super.Generation, super.FirstSeq, super.Counter, super.State = far, newest.Generation+1, newest.FirstSeq+1<<30, 2, pool.Active
	super.DurableSeq = super.FirstSeq - 1
	id := pool.Identity{Ring: super.Ring, Pool: far, Generation: super.Generation}
	var b pool.Builder
	lost := bigGop(2, 0)
	b.Add(pool.Item{Entry: pool.StreamEntry(lost.Stream)}, pool.Item{Entry: pool.TrackEntry(lost.Params)},
		pool.Item{Entry: pool.SamplesEntry(&lost, lost.Stream.ID(), pool.TrackEntry(lost.Params).Params), Payload: lost.Buffer.Data})
	group := make([]byte, pool.MaxGroup)
	n := b.Encode(group, &pool.Header{Identity: id, Offset: pool.FirstGroup, Seq: super.FirstSeq, OpenID: super.OpenID, DurableSeq: super.FirstSeq - 1})
	d.Rot(ring.Name(far), pool.FirstGroup, group[:n])
	block := make([]byte, pool.BlockSize)
	super.Encode(block)
	d.Rot(ring.Name(far), 0, block)
	d.Remove("catalogue")

	var log lockedBuffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	r := record(t, o)
	waitIndexed(t, r.Volume)
	if !strings.Contains(log.String(), "took an older pool for the newest") {
		t.Error("the log does not say it:", log.String())
	}
	for range 20 {
		r.Offer(bigGop(1, written))
		written++
		r.committed(t)
	}
	generations, seqs := map[uint64]bool{}, uint64(0)
	for _, s := range r.ring.Used() {
		if generations[s.Generation] || s.FirstSeq < seqs {
			t.Errorf("pool %d has generation %d, first group %d", s.Pool, s.Generation, s.FirstSeq)
		}
		generations[s.Generation], seqs = true, s.FirstSeq
	}
	if got := readable(t, r.Volume, 1); len(got) != written || len(readable(t, r.Volume, 2)) != 1 {
		t.Errorf("%d of %d records, %d of the pool that was not found", len(got), written, len(readable(t, r.Volume, 2)))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	o.Log = nil
	ro := openForReading(t, o)
	if got := readable(t, ro, 1); len(got) != written || len(readable(t, ro, 2)) != 1 {
		t.Errorf("later: %d of %d records, %d", len(got), written, len(readable(t, ro, 2)))
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// sparseDir is a directory whose pool files take no room until they are written.
type sparseDir struct{ *direct.Dir }

func (sparseDir) Free() (int64, error) { return math.MaxInt64, nil }

func (d sparseDir) Allocate(_ context.Context, name string, size int64) error {
	f, err := os.Create(filepath.Join(d.Path(), name))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

var _ disk.Dir = sparseDir{}

// A ring of many pools is recorded into and read with few open files.
func TestFewOpenFiles(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	o.Disk, o.Pools = sparseDir{direct.New(dir, slog.New(slog.DiscardHandler))}, 400
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(open()) + 240 // for a recorder and a reader; the ring has 400
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	r := record(t, o)
	for n := range 30 {
		r.Offer(bigGop(1, n))
		r.committed(t)
	}
	waitIndexed(t, r.Volume)
	ro := openForReading(t, o)
	for _, v := range []*Volume{r.Volume, ro} {
		if got := readable(t, v, 1); len(got) != 30 {
			t.Errorf("%d of 30 records", len(got))
		}
		if report, err := v.Verify(t.Context(), VerifyOptions{}); err != nil || report.Pools == 0 || len(report.Unusable) > 0 {
			t.Errorf("verify: %v, %+v", err, report)
		}
	}
	os.Remove(filepath.Join(dir, "catalogue")) // so that all is read again
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = record(t, o)
	waitIndexed(t, r.Volume)
	if got := readable(t, r.Volume, 1); len(got) != 30 {
		t.Errorf("%d of 30 records", len(got))
	}
	if faults := fmt.Sprint(r.Faults()); faults != "[]" {
		t.Error(faults)
	}
}
