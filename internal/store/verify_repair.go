package store

import (
	"context"
	"errors"
	"fmt"

	"nvr/internal/disk"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

// RepairFooters writes the footers of older pools that have none or a damaged
// one, so that they are found again without walking them. It takes the ring as a
// recorder does, changes no group, and leaves alone what is passed over, what
// writes failed on, and the pool that recording goes on with. It returns the
// pools that were repaired. Only Dir, Disk and Log of o count.
func RepairFooters(ctx context.Context, o Options) (repaired []int, err error) {
	v := newVolume(o)
	if _, err := ring.Open(v.dir, false); err != nil { // before a lock file is made where no ring is
		return nil, err
	}
	unlock, err := v.dir.Lock()
	if err != nil {
		return nil, cannotWrite(v.dir.Path(), err)
	}
	v.unlock, v.recording = unlock, true
	defer v.Close()
	if v.ring, err = ring.Open(v.dir, true); err != nil {
		return nil, err
	}
	if err := v.ring.ReadAll(); err != nil {
		return nil, err
	}
	v.tellFaults()
	used := v.ring.Used()
	for i, s := range used {
		if ctx.Err() != nil {
			return repaired, ctx.Err()
		}
		n := int(s.Pool)
		resumes := i == len(used)-1 && s.State == pool.Active
		if s, err = v.ring.Check(n); err != nil || resumes || s.State == pool.Bad {
			continue // told of by verify
		}
		f, err := v.ring.File(n)
		if err != nil {
			return repaired, err
		}
		if s.State == pool.Sealed {
			if _, err := readFooter(f, v.ring.Identity(n), v.ring.Size); err == nil {
				continue
			} else if !isDamage(err) {
				return repaired, err
			}
		}
		switch ok, err := v.repairFooter(n, f); {
		case err != nil:
			return repaired, fmt.Errorf("repair the footer of pool %03d: %w", n, err)
		case ok:
			repaired = append(repaired, n)
		}
	}
	return repaired, nil
}

// repairFooter writes the footer of pool n and marks it sealed. ok is false where
// there is no room for one, or nothing to put into it.
func (v *Volume) repairFooter(n int, f disk.File) (ok bool, err error) {
	_, last, err := v.headGroups(n)
	if err != nil {
		return false, err
	}
	groups, err := v.readDirectory(n)
	if err != nil || len(groups) == 0 {
		return false, err
	}
	end := last.end
	if g := &groups[len(groups)-1]; g.Offset+int64(g.TotalLen) > end {
		end = g.Offset + int64(g.TotalLen)
	}
	size := pool.FooterSize(index.DirectoryBytes(groups))
	if end+size > v.ring.Size {
		v.o.Log.Warn("a pool has no room for a footer; it is walked at each start", "pool", n)
		return false, nil
	}
	buf, err := disk.Alloc(int(size))
	if err != nil {
		return false, err
	}
	defer disk.Free(buf)
	t := pool.Trailer{Identity: v.ring.Identity(n)}
	image := pool.EncodeFooter(buf, &t, groups, v.ring.Size)
	if _, err := f.WriteAt(image, t.FooterOffset); err != nil {
		return false, err
	}
	if err := f.Sync(); err != nil {
		return false, err
	}
	if again, err := readFooter(f, t.Identity, v.ring.Size); err != nil {
		return false, err
	} else if len(again) != len(groups) {
		return false, errors.New("it does not read back as it was written")
	}
	if v.ring.Super(n).State == pool.Sealed {
		return true, nil
	}
	block, err := disk.Alloc(pool.BlockSize)
	if err != nil {
		return false, err
	}
	defer disk.Free(block)
	return true, v.ring.Seal(n, v.ring.Super(n).OpenID+1, block) // a start that wrote nothing
}
