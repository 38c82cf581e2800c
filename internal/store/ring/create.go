package ring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"nvr/internal/disk"
	"nvr/internal/store/pool"
)

// Create makes a ring: allocates every pool file, writes the superblocks, and
// ring.id last of all, so that a creation that was cut short, by ctx or the
// power, is begun again. Before anything is allocated it makes sure that there is
// room for all. progress (may be nil) hears of bytes allocated so far and in all.
func Create(ctx context.Context, d disk.Dir, pools int, size int64, progress func(done, total int64)) error {
	if err := Possible(d, pools, size); err != nil {
		return err
	}
	total := int64(pools) * size
	s := Spec{Pools: pools, Size: size}
	if _, err := rand.Read(s.UUID[:]); err != nil {
		return err
	}
	s.UUID[6], s.UUID[8] = s.UUID[6]&0x0f|0x40, s.UUID[8]&0x3f|0x80 // RFC 9562 §5.4

	block, err := disk.Alloc(pool.BlockSize)
	if err != nil {
		return err
	}
	defer disk.Free(block)
	for n := range pools {
		if err := allocate(ctx, d, s, n, block); err != nil {
			return err
		}
		if progress != nil {
			progress(int64(n+1)*size, total)
		}
	}
	if err := d.Sync(); err != nil {
		return err
	}
	return writeID(d, s)
}

// allocate makes the file of pool n, with its first superblock, both durable but
// for the file's name.
func allocate(ctx context.Context, d disk.Dir, s Spec, n int, block []byte) error {
	if err := d.Allocate(ctx, Name(n), s.Size); err != nil {
		return err
	}
	if err := writeFirstSuper(d, s, n, block); err != nil {
		return fmt.Errorf("pool %03d: %w", n, err)
	}
	return nil
}

// Possible reports why no ring of this shape can be made in d; nil also when
// there is one already. It changes nothing.
func Possible(d disk.Dir, pools int, size int64) error {
	if _, err := readID(d); !errors.Is(err, ErrNoRing) {
		return nil // Open has the word
	}
	if pools < MinPools || pools > MaxPools || size < pool.MinSize || size%pool.BlockSize != 0 {
		return fmt.Errorf("a ring of %d pools of %d bytes: %d to %d pools of at least %d MiB", pools, size, MinPools, MaxPools, pool.MinSize>>20)
	}
	if err := refuseForeign(d); err != nil {
		return err
	}
	free, err := d.Free()
	if err != nil {
		return err
	}
	// What a creation that was cut short has taken is taken again.
	if total := int64(pools) * size; free+taken(d) < total {
		return fmt.Errorf("%s: %w: %d pools of %d MiB need %d MiB, %d MiB are free: lower max_pools or chunk_size_mb, or free space",
			d.Path(), disk.ErrNoSpace, pools, size>>20, total>>20, free>>20)
	}
	return nil
}

// taken is what pool files take that are there already.
func taken(d disk.Dir) (bytes int64) {
	names, err := d.Names()
	if err != nil {
		return 0
	}
	for _, name := range names {
		if !isPoolName(name) {
			continue
		}
		if f, err := d.Open(name, false); err == nil {
			if size, err := f.Size(); err == nil {
				bytes += size
			}
			f.Close()
		}
	}
	return bytes
}

func isPoolName(name string) bool {
	return strings.HasPrefix(name, "pool_") && strings.HasSuffix(name, ".bin")
}

func writeFirstSuper(d disk.Dir, s Spec, n int, block []byte) error {
	f, err := d.Open(Name(n), true)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, err := newestSuper(f, uint32(n)); !errors.Is(err, pool.ErrEmpty) {
		return fmt.Errorf("%s is not what was just allocated: was another disk mounted? (%v)", Name(n), err)
	}
	sb := firstSuper(s, n)
	sb.Encode(block)
	if _, err := f.WriteAt(block, pool.SuperOffset(sb.Counter)); err != nil {
		return err
	}
	return f.Sync()
}

func firstSuper(s Spec, n int) pool.Super {
	return pool.Super{Ring: s.UUID, Pool: uint32(n), Pools: uint32(s.Pools), Size: s.Size, State: pool.Free, Counter: 1}
}

// refuseForeign lets a creation that was cut short begin again, and nothing
// else: pool files that hold a generation belong to somebody.
func refuseForeign(d disk.Dir) error {
	names, err := d.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !isPoolName(name) {
			continue
		}
		s, err := readSuper(d, name)
		var version *pool.VersionError
		switch {
		case errors.As(err, &version), err == nil && s.Generation > 0:
			return &MismatchError{d.Path(), fmt.Sprintf("%s holds footage, but there is no %s that says of which ring", name, idName),
				"nothing was changed; move the pool files away, or restore " + idName}
		case err != nil && !errors.Is(err, pool.ErrEmpty):
			return &MismatchError{d.Path(), fmt.Sprintf("%s is there and is no pool of ours (%v)", name, err),
				"nothing was changed; choose another base_path or move the file away"}
		}
	}
	return nil
}
