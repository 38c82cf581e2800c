package ring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"nvr/internal/disk"
	"nvr/internal/store/pool"
)

// tidyUp is for how long a growth that was cut short gives its room back: by then
// thousands of files are gone.
const tidyUp = time.Second

// ErrUncertain says that ring.id could not be written as it should: what it says
// after the next power cut, the old number of pools or the new one, is not known.
var ErrUncertain = errors.New("whether the ring has grown is not certain")

// Exists reports whether there is a ring in d, be it readable or not.
func Exists(d disk.Dir) bool {
	_, err := readID(d)
	return !errors.Is(err, ErrNoRing)
}

// Grow adds pools to the ring in d, which nobody has open meanwhile, until it has
// as many as are asked for: see Ring.Grow.
func Grow(ctx context.Context, d disk.Dir, pools int, progress func(done, total int64)) error {
	s, err := readID(d)
	if err != nil {
		return err
	}
	return grow(ctx, d, s, pools, progress, func() error { return still(d, s) })
}

// Grow adds pools to the ring until it has as many as are asked for, while it is
// written and read. The new ones are allocated, their superblocks written (free)
// and all of it made durable before ring.id says that there are more, and only
// when that is durable do they join. Cut before, the ring is what it was. An error
// changes nothing in the ring, and the room is given back. When ctx ends, the error
// is its. progress (may be nil) hears of bytes allocated so far and in all.
//
// The ring goes on in its order: what it holds is overwritten up to its end,
// and then the new pools come. The catalogue of the old shape does not count any
// more; it is a hint.
func (r *Ring) Grow(ctx context.Context, pools int, progress func(done, total int64)) error {
	s, err := readID(r.dir) // it may say more than this ring has: a growth whose end was not certain
	if err != nil {
		return err
	}
	if s.UUID != r.UUID || s.Size != r.Size || s.Pools < r.Pools() {
		return &MismatchError{r.dir.Path(), idName + " is not what it was when the ring was opened", "nothing was changed; put it back"}
	}
	here := func() error {
		if r.isAway() {
			return ErrAway
		}
		return still(r.dir, s)
	}
	if err := grow(ctx, r.dir, s, pools, progress, here); err != nil {
		return err
	}
	grown := Spec{UUID: r.UUID, Pools: pools, Size: r.Size}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := len(r.supers); n < pools; n++ {
		r.supers = append(r.supers, firstSuper(grown, n))
		r.faults, r.names = append(r.faults, nil), append(r.names, Name(n))
	}
	return nil
}

func (r *Ring) isAway() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.away
}

// still makes sure that it is this ring that lies in d, by its name: a disk may have
// been unmounted, and another one mounted in its place, while its ring grew.
func still(d disk.Dir, s Spec) error {
	now, err := readID(d)
	if err == nil && now != s {
		err = &MismatchError{d.Path(), idName + " is not what it was when the ring began to grow", "see what was mounted or copied there"}
	}
	return err
}

// grow does what is to be done on the disk, where the ring is s. here is asked
// before anything is made or removed, whether it still is.
func grow(ctx context.Context, d disk.Dir, s Spec, pools int, progress func(done, total int64), here func() error) error {
	if err := here(); err != nil {
		return err
	}
	switch {
	case pools < s.Pools:
		return &MismatchError{d.Path(), fmt.Sprintf("the ring here has %d pools and cannot shrink to %d: pools that hold footage cannot be taken out", s.Pools, pools),
			"nothing was changed; add a volume of the size that you want, set retired = true for this one, and remove it when its footage is old enough"}
	case pools == s.Pools:
		return d.Sync() // whoever wrote that may have been killed before it was durable
	case pools > MaxPools:
		return fmt.Errorf("a ring of %d pools: %d is the limit", pools, MaxPools)
	}
	again, err := leftovers(d, s, pools)
	if err != nil {
		return err
	}
	total := int64(pools-s.Pools) * s.Size
	free, err := d.Free()
	if err != nil {
		return err
	}
	if free += again; free < total {
		return fmt.Errorf("%s: %w: %d more pools of %d MiB need %d MiB, %d MiB are free: lower max_pools, or free space",
			d.Path(), disk.ErrNoSpace, pools-s.Pools, s.Size>>20, total>>20, free>>20)
	}
	block, err := disk.Alloc(pool.BlockSize)
	if err != nil {
		return err
	}
	defer disk.Free(block)
	grown := s
	grown.Pools = pools
	for n := s.Pools; n < pools; n++ {
		err := here()
		if err == nil {
			err = allocate(ctx, d, grown, n, block)
		}
		if err != nil {
			return giveBack(d, s.Pools, n, here, err)
		}
		if progress != nil {
			progress(int64(n+1-s.Pools)*s.Size, total)
		}
	}
	err = d.Sync()
	if err == nil {
		err = cmp.Or(ctx.Err(), here())
	}
	if err != nil {
		return giveBack(d, s.Pools, pools-1, here, err)
	}
	if err := writeID(d, grown); err != nil {
		// What it says after the next power cut is not known, so the files stay.
		return fmt.Errorf("%s: %w: grow it again: %w", d.Path(), ErrUncertain, err)
	}
	return nil
}

// giveBack removes the files of the pools from first to last, which are nobody's,
// after err has ended a growth.
func giveBack(d disk.Dir, first, last int, here func() error, err error) error {
	until := time.Now().Add(tidyUp)
	for n := last; n >= first; n-- {
		left := here()
		if left == nil {
			left = d.Remove(Name(n))
		}
		if left != nil && !errors.Is(left, fs.ErrNotExist) || n > first && time.Now().After(until) {
			return fmt.Errorf("%w (%s to %s may be left, and are no part of the ring: grow it again, or remove them)", err, Name(first), Name(n))
		}
	}
	return err
}

// leftovers makes sure that files with the names of the new pools, if there are
// any, are what a growth of this ring left behind that was cut short, and nothing
// else. It returns the room that they take.
func leftovers(d disk.Dir, s Spec, pools int) (bytes int64, err error) {
	for n := s.Pools; n < pools; n++ {
		f, err := d.Open(Name(n), false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		sb, _, superErr := newestSuper(f, uint32(n))
		size, err := f.Size()
		f.Close()
		switch {
		case err != nil:
			return 0, err
		case errors.Is(superErr, pool.ErrEmpty):
		case superErr == nil && sb.Ring == s.UUID && sb.Generation == 0:
		default:
			return 0, &MismatchError{d.Path(), Name(n) + " is there already, and does not belong to this ring", "nothing was changed; move the file away"}
		}
		bytes += size
	}
	return bytes, nil
}
