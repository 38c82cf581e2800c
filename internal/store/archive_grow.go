package store

import (
	"fmt"

	"nvr/internal/store/ring"
)

// Grow adds pools to the ring in o.Dir until it has o.Pools of them. Nobody may
// record into it meanwhile: the error is an *InUseError then. A ring that would
// have to shrink, or that has pools of another size, is a *MismatchError. It
// returns how many pools there were.
func Grow(o Options) (had int, err error) {
	v := newVolume(o)
	if !ring.Exists(v.dir) {
		return 0, fmt.Errorf("%s: %w", v.dir.Path(), ErrNotFound)
	}
	unlock, err := v.dir.Lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	r, err := ring.Open(v.dir, false)
	if err != nil {
		return 0, err
	}
	had, size := r.Pools, r.Size
	if err := r.Close(); err != nil {
		return had, err
	}
	if size != o.PoolBytes {
		return had, &MismatchError{Path: v.dir.Path(), Reason: fmt.Sprintf("the ring here has pools of %d MiB, and the configuration says %d", size>>20, o.PoolBytes>>20),
			Remedy: fmt.Sprintf("nothing was changed; pools keep their size: set chunk_size_mb = %d again, or add a volume for a ring of another shape", size>>20)}
	}
	return had, ring.Grow(v.dir, o.Pools, o.Progress)
}

// Exists reports whether there is a ring in o.Dir, be it readable or not.
func Exists(o Options) bool { return ring.Exists(newVolume(o).dir) }
