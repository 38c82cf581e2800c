package ring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"nvr/internal/disk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// idName is the file that says that a ring is complete. It is written last.
const idName = "ring.id"

// Spec is a ring's shape. In service only the number of pools changes: see Grow.
type Spec struct {
	UUID  media.UUID
	Pools int
	Size  int64 // of each pool file, bytes
}

type idText struct {
	Format    int        `json:"format"`
	UUID      media.UUID `json:"uuid"`
	Pools     int        `json:"pools"`
	PoolBytes int64      `json:"pool_bytes"`
}

// ErrNoRing says that there is no ring in the directory (or one whose creation
// was cut short, which is the same).
var ErrNoRing = errors.New("no ring here")

// Limits of a ring's shape.
const (
	MinPools = 2     // one is written while the other holds footage
	MaxPools = 65536 // 64 TB of 1 GiB pools
)

// Shape reads what the ring in d is: ErrNoRing when there is none.
func Shape(d disk.Dir) (Spec, error) { return readID(d) }

func readID(d disk.Dir) (Spec, error) {
	b, err := d.ReadFile(idName)
	if errors.Is(err, fs.ErrNotExist) {
		return Spec{}, fmt.Errorf("%s: %w", d.Path(), ErrNoRing)
	}
	if err != nil {
		return Spec{}, err
	}
	var t idText
	if err := json.Unmarshal(b, &t); err != nil {
		return Spec{}, fmt.Errorf("%s/%s: not readable: %w", d.Path(), idName, err)
	}
	if t.Format > pool.Version {
		return Spec{}, fmt.Errorf("%s/%s: %w", d.Path(), idName, &pool.VersionError{Version: uint32(t.Format)})
	}
	if t.Pools < MinPools || t.Pools > MaxPools || t.PoolBytes < pool.MinSize || t.PoolBytes%pool.BlockSize != 0 {
		return Spec{}, fmt.Errorf("%s/%s: impossible shape: %d pools of %d bytes", d.Path(), idName, t.Pools, t.PoolBytes)
	}
	return Spec{UUID: t.UUID, Pools: t.Pools, Size: t.PoolBytes}, nil
}

func writeID(d disk.Dir, s Spec) error {
	b, err := json.MarshalIndent(idText{pool.Version, s.UUID, s.Pools, s.Size}, "", "  ")
	if err != nil {
		return err
	}
	return d.Replace(idName, append(b, '\n'))
}

// Name is the file name of pool n.
func Name(n int) string { return fmt.Sprintf("pool_%03d.bin", n) }
