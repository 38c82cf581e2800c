package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"nvr/internal/disk"
	"nvr/internal/store/pool"
)

// Name is a kept file's: of which life of which pool it holds what is kept. Each
// time that more is to be kept of it a new copy is made, and then the old one goes.
type Name struct {
	Pool       uint32
	Generation uint64
	Copy       uint32 // from 1 on
}

func (n Name) String() string {
	return fmt.Sprintf("kept_%03d_%d_%d.bin", n.Pool, n.Generation, n.Copy)
}

// ParseName is the inverse of String.
func ParseName(s string) (n Name, ok bool) {
	_, err := fmt.Sscanf(s, "kept_%d_%d_%d.bin", &n.Pool, &n.Generation, &n.Copy)
	return n, err == nil && n.String() == s && n.Copy > 0 && n.Generation > 0
}

// Sealed reads a kept file's superblocks and reports whether one says that all of
// it is there: a file that was not made to its end has none.
func Sealed(f disk.File, n Name) (pool.Super, bool) {
	var best pool.Super
	b := make([]byte, pool.BlockSize)
	for _, off := range []int64{0, pool.SuperSlot1} {
		if _, err := f.ReadAt(b, off); err != nil {
			continue
		}
		if s, err := pool.DecodeSuper(b, n.Pool, off); err == nil && s.Pool == n.Pool && s.Generation == n.Generation && s.Counter > best.Counter {
			best = s
		}
	}
	return best, best.State == pool.Sealed
}

// Writer makes a kept file: a pool file like those of the ring, with the same
// ring, number and generation as the pool from which it is copied, as long as it
// needs to be.
type Writer struct {
	dir    disk.Dir
	name   Name
	f      disk.File
	buf    []byte // one group
	super  pool.Super
	off    int64
	groups []pool.Group
}

// Create allocates the file. of is the superblock of the pool, size what Size
// says; ctx ends that early. The writer must be ended with Seal or Discard.
func Create(ctx context.Context, dir disk.Dir, name Name, of pool.Super, size int64) (*Writer, error) {
	w := &Writer{dir: dir, name: name, off: pool.FirstGroup,
		super: pool.Super{Ring: of.Ring, Pool: name.Pool, Pools: of.Pools, Size: size, Generation: name.Generation, State: pool.Active, OpenID: 1, FirstSeq: 1}}
	err := dir.Allocate(ctx, name.String(), size)
	if err == nil {
		w.f, err = dir.Open(name.String(), true)
	}
	if err == nil {
		w.buf, err = disk.Alloc(pool.MaxGroup)
	}
	if err == nil {
		err = w.writeSuper()
	}
	if err != nil {
		return nil, errors.Join(err, w.Discard())
	}
	return w, nil
}

// Size is what a file takes whose groups take so many bytes, and their headers and
// directories so many of those.
func Size(groups, directories int64) int64 {
	return pool.FirstGroup + groups + pool.FooterSize(directories)
}

func (w *Writer) writeSuper() error {
	w.super.Counter++
	block := w.buf[:pool.BlockSize]
	w.super.Encode(block)
	_, err := w.f.WriteAt(block, pool.SuperOffset(w.super.Counter))
	return err
}

// Append writes a group of what b holds, and empties it.
func (w *Writer) Append(b *pool.Builder) error {
	h := pool.Header{Identity: pool.Identity{Ring: w.super.Ring, Pool: w.super.Pool, Generation: w.super.Generation}, Offset: w.off, Seq: uint64(len(w.groups) + 1), OpenID: w.super.OpenID}
	n := b.Encode(w.buf, &h)
	b.Reset()
	if _, err := w.f.WriteAt(w.buf[:n], w.off); err != nil {
		return err
	}
	w.off += int64(n)
	dir := make([]byte, h.DirLen)
	copy(dir, w.buf[pool.HeaderSize:])
	w.groups = append(w.groups, pool.Group{Header: h, Dir: dir})
	return nil
}

// Groups is how many there are so far.
func (w *Writer) Groups() int { return len(w.groups) }

// Seal writes the footer, makes all of it durable, and only then says in the
// superblocks, in both, that the file counts. When it returns without an error
// the file is there whatever happens.
func (w *Writer) Seal() ([]pool.Group, error) {
	err := w.seal()
	if err != nil {
		return nil, errors.Join(err, w.Discard())
	}
	disk.Free(w.buf)
	return w.groups, w.f.Close()
}

func (w *Writer) seal() error {
	length := int64(0)
	for i := range w.groups {
		length += pool.HeaderSize + int64(len(w.groups[i].Dir))
	}
	footer, err := disk.Alloc(int(pool.FooterSize(length)))
	if err != nil {
		return err
	}
	defer disk.Free(footer)
	t := pool.Trailer{Identity: pool.Identity{Ring: w.super.Ring, Pool: w.super.Pool, Generation: w.super.Generation}}
	image := pool.EncodeFooter(footer, &t, w.groups, w.super.Size)
	if _, err := w.f.WriteAt(image, t.FooterOffset); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	w.super.State = pool.Sealed
	for range 2 {
		if err := w.writeSuper(); err != nil {
			return err
		}
		if err := w.f.Sync(); err != nil {
			return err
		}
	}
	return w.dir.Sync()
}

// Discard takes the file away again.
func (w *Writer) Discard() error {
	var err error
	if w.f != nil {
		err = w.f.Close()
	}
	disk.Free(w.buf)
	if gone := w.dir.Remove(w.name.String()); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}
