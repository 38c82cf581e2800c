package ring

import (
	"errors"
	"slices"
	"testing"

	"nvr/internal/disk"
	"nvr/internal/disk/memdisk"
	"nvr/internal/store/pool"
)

// What is said of a pool that failed is said again at each activation, also when
// nobody has looked at that pool since the start.
func TestUnreadPoolsStayVoided(t *testing.T) {
	d := memdisk.New("memory")
	if err := Create(t.Context(), d, 100, pool.MinSize, nil); err != nil {
		t.Fatal(err)
	}
	block, err := disk.Alloc(pool.BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Free(block)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(d, true)
	must(err)
	const above = 1234
	must(r.Activate(0, 1, 1, 1000, 0, block))
	must(r.Activate(1, 2, 1, 2000, above, block)) // pool 0 failed
	for n := 2; n < 12; n++ {
		must(r.Seal(n-1, 1, block))
		must(r.Activate(n, uint64(n+1), 1, uint64(n+1)*1000, uint64(n+1)*1000-1, block))
	}
	must(r.WriteCatalogue())
	must(r.Close())

	for range 2 { // with a catalogue, and without
		r, err = Open(d, true)
		must(err)
		newest, ok := r.Newest()
		if unread := r.Unread(); !ok || len(unread) < 80 || slices.Contains(unread, int(newest.Pool)) {
			t.Fatalf("newest %d of %v, unread %v", newest.Pool, r.Used(), unread)
		}
		n := int(newest.Pool)
		must(r.Leave()) // the disk goes away, and comes back
		if r.Activate(n+1, 1<<20, 9, 1, 1, block) == nil {
			t.Error("a pool of a disk that is away was activated")
		}
		if _, err := r.Check(77); !errors.Is(err, ErrAway) || r.Known(77) {
			t.Errorf("what is read while the disk is away counts: %v", err)
		}
		if err := r.ReadAll(); !errors.Is(err, ErrAway) || r.Known(77) || len(r.Faults()) > 0 {
			t.Errorf("what is read while the disk is away counts: %v", err)
		}
		fresh, err := r.Reopen()
		must(err)
		if changed := r.Return(fresh, true); slices.Contains(changed, n) {
			t.Errorf("the newest pool has changed: %v", changed)
		}
		must(fresh.Close())
		if again, _ := r.Newest(); again.Generation != newest.Generation || len(r.Unread()) < 70 || slices.Contains(r.Unread(), n) {
			t.Fatalf("back again: newest %+v, unread %v", again, r.Unread())
		}
		must(r.Seal(n, 2, block))
		must(r.Activate(n+1, r.Highest()+1, 2, newest.FirstSeq+1000, newest.FirstSeq+999, block))
		if _, err := r.Check(0); err != nil || r.Voided(0) != above {
			t.Errorf("pool 0 is voided above %d, %v", r.Voided(0), err)
		}
		must(r.ReadAll())
		if len(r.Unread()) > 0 || r.Voided(0) != above || r.Super(0).Generation != 1 {
			t.Errorf("%v unread; pool 0: %+v, voided above %d", r.Unread(), r.Super(0), r.Voided(0))
		}
		must(r.Close())
		d.Remove(catalogueName)
	}
}
