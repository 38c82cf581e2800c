package store

import (
	"sync/atomic"
	"testing"

	"nvr/internal/disk"
	"nvr/internal/disk/faultdisk"
	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// bytesAt is a file of which only what was put somewhere is not zero.
type bytesAt struct {
	size  int64
	at    map[int64][]byte
	reads int
}

func (b *bytesAt) ReadAt(p []byte, off int64) (int, error) {
	b.reads++
	clear(p)
	for at, data := range b.at {
		if at >= off && at+int64(len(data)) <= off+int64(len(p)) {
			copy(p[at-off:], data)
		}
	}
	return len(p), nil
}

// The last group is found wherever it is, behind every hole there can be, with
// few reads.
func TestFindLast(t *testing.T) {
	id := pool.Identity{Ring: media.UUID{1}, Pool: 3, Generation: 9}
	for _, test := range []struct {
		name  string
		holes []int64 // after so many groups of 1 to 4 MiB each
		n     int
	}{
		{"none", nil, 0}, {"one", nil, 1}, {"two", nil, 2}, {"half full", nil, 200}, {"full", nil, 400},
		{"a hole", []int64{100}, 300}, {"holes", []int64{5, 6, 150, 290}, 300}, {"a hole before the last", []int64{299}, 300}, {"after the first", []int64{1}, 2},
	} {
		f := &bytesAt{size: 1 << 30, at: map[int64][]byte{}}
		off, want := int64(pool.FirstGroup), int64(pool.FirstGroup)
		for i := range test.n {
			h := pool.Header{Identity: id, Offset: off, Seq: uint64(i + 1), OpenID: 1, TotalLen: uint32(1+i%4) << 20}
			if i%7 == 0 {
				h.TotalLen = pool.BlockSize
			}
			b := make([]byte, pool.BlockSize)
			h.Encode(b)
			f.at[off] = b
			want = off
			off += int64(h.TotalLen)
			for _, after := range test.holes {
				if after == int64(i+1) {
					off += 11 << 20
				}
			}
		}
		got, err := findLast(f, id, f.size)
		if err != nil || got != want {
			t.Errorf("%s: %d %v, want %d", test.name, got, err, want)
		}
		if most := 18 * (1 + len(test.holes)); f.reads > most {
			t.Errorf("%s: %d reads, want %d at most", test.name, f.reads, most)
		}
	}
}

// A writer that goes on in a large pool begins before it has read all of it; the
// rest is listed and is in the footer all the same.
func TestGoOnInALargePool(t *testing.T) {
	d := memdisk.New("memory")
	o := testOptions("")
	o.Disk, o.PoolBytes, o.Pools = d, 128*mib, 2
	s := camera(1)
	const size = 600_000
	written := 0
	for start := range 4 { // the last one fills the pool
		r := record(t, o)
		for range []int{60, 40, 30, 90}[start] {
			r.Offer(gop(s, 1, written, size))
			written++
			if written%10 == 0 {
				r.committed(t)
			}
		}
		r.committed(t)
		for !r.indexed.Load() { // and with it the pool's beginning
			r.committed(t)
		}
		r.committed(t)
		wantRange(t, numbers(t, r.Volume, s, media.Always, size), 0, written)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	ro, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	if ro.ring.Super(0).State != pool.Sealed {
		t.Errorf("pool 0 is %v", ro.ring.Super(0).State)
	}
	wantRange(t, numbers(t, ro, s, media.Always, size), 0, written)
}

// Whatever the size of the pool, a start takes few reads before it can record.
func TestReadsOfAStart(t *testing.T) {
	m := memdisk.New("memory")
	o := testOptions("")
	o.Disk, o.PoolBytes, o.Pools = m, 64*mib, 70
	s := camera(1)
	r := record(t, o)
	for n := range 300 {
		r.Offer(gop(s, 1, n, 500_000))
		if n%10 == 0 {
			r.committed(t)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int64
	f := faultdisk.New(m)
	f.Fail(func(op faultdisk.Op, _ string, _ int) error {
		if op == faultdisk.Read {
			reads.Add(1)
		}
		return nil
	})
	o.Disk = disk.Dir(f)
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	t.Logf("%d reads", reads.Load())
	if n := reads.Load(); n > 40 {
		t.Errorf("%d reads before the first write, want 40 at most", n)
	}
}
