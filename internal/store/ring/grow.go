package ring

import (
	"errors"
	"fmt"
	"io/fs"

	"nvr/internal/disk"
	"nvr/internal/store/pool"
)

// Exists reports whether there is a ring in d, be it readable or not.
func Exists(d disk.Dir) bool {
	_, err := readID(d)
	return !errors.Is(err, ErrNoRing)
}

// Grow adds pools to the ring in d, which nobody uses meanwhile, until it has as
// many as are asked for. The new ones are allocated, their superblocks written
// (free) and all of it made durable before ring.id says that there are more: cut
// before that, the ring is what it was, and the next Grow begins again. The
// catalogue of the old shape does not count any more; it is a hint.
//
// The ring goes on in its order: what it holds is overwritten up to its end,
// and then the new pools come.
func Grow(d disk.Dir, pools int, progress func(done, total int64)) error {
	s, err := readID(d)
	if err != nil {
		return err
	}
	switch {
	case pools < s.Pools:
		return &MismatchError{d.Path(), fmt.Sprintf("the ring here has %d pools and cannot shrink to %d: pools that hold footage cannot be taken out", s.Pools, pools),
			"nothing was changed; add a volume of the size that you want, set retired = true for this one, and remove it when its footage is old enough"}
	case pools == s.Pools:
		return nil
	case pools > MaxPools:
		return fmt.Errorf("a ring of %d pools: %d is the limit", pools, MaxPools)
	}
	if err := ours(d, s, pools); err != nil {
		return err
	}
	total := int64(pools-s.Pools) * s.Size
	free, err := d.Free()
	if err != nil {
		return err
	}
	if free += taken(d) - int64(s.Pools)*s.Size; free < total { // taken: by a growth that was cut short
		return fmt.Errorf("%s: %w: %d more pools of %d MiB need %d MiB, %d MiB are free: lower max_pools, or free space",
			d.Path(), disk.ErrNoSpace, pools-s.Pools, s.Size>>20, total>>20, max(0, free)>>20)
	}
	block, err := disk.Alloc(pool.BlockSize)
	if err != nil {
		return err
	}
	defer disk.Free(block)
	grown := s
	grown.Pools = pools
	for n := s.Pools; n < pools; n++ {
		if err := d.Allocate(Name(n), s.Size); err != nil {
			return err
		}
		if err := writeFirstSuper(d, grown, n, block); err != nil {
			return fmt.Errorf("pool %03d: %w", n, err)
		}
		if progress != nil {
			progress(int64(n+1-s.Pools)*s.Size, total)
		}
	}
	if err := d.Sync(); err != nil {
		return err
	}
	return writeID(d, grown)
}

// ours makes sure that files with the names of the new pools, if there are any,
// are what a growth of this ring left behind that was cut short, and nothing else.
func ours(d disk.Dir, s Spec, pools int) error {
	for n := s.Pools; n < pools; n++ {
		sb, err := readSuper(d, Name(n))
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, pool.ErrEmpty):
		case err == nil && sb.Ring == s.UUID && sb.Generation == 0:
		default:
			return &MismatchError{d.Path(), Name(n) + " is there already, and does not belong to this ring", "nothing was changed; move the file away"}
		}
	}
	return nil
}
