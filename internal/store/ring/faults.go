package ring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"nvr/internal/disk"
	"nvr/internal/store/pool"
)

// PoolFault says why a pool file is passed over: nothing is written to it, and
// what can be read of it is read. The ring goes on without it.
type PoolFault struct {
	Pool     int    `json:"pool"`
	File     string `json:"file"`
	Reason   string `json:"reason"`
	Remedy   string `json:"remedy"`
	Readable bool   `json:"readable"` // the footage in it is served
}

func (e *PoolFault) Error() string {
	served := "nothing of it is served"
	if e.Readable {
		served = "its footage is served"
	}
	return fmt.Sprintf("%s %s: it is passed over, %s: %s", e.File, e.Reason, served, e.Remedy)
}

// What to do about a pool file that is passed over.
const (
	remedyMissing = "put the file back if there is a copy, and start again"
	remedyForeign = "nvr list --pool FILE shows what is in it; put the ring's own file back if there is a copy"
	remedyRename  = "give the files their own names again while no recorder runs"
	remedyDamaged = "save what you need with nvr export; see docs/damage.md"
	remedyDisk    = "look at the kernel's log and the disk's health; save what you need with nvr export"
	remedyVersion = "use a newer nvr for this ring"
	remedyAccess  = "give the recorder's user access to the file"
)

// Faults lists the pools that are passed over.
func (r *Ring) Faults() []*PoolFault {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*PoolFault
	for _, f := range r.faults {
		if f != nil {
			list = append(list, f)
		}
	}
	return list
}

// Fault is why pool n is passed over; nil when it is not.
func (r *Ring) Fault(n int) *PoolFault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.faults[n]
}

// short is a file that was cut off: behind its end nothing was ever written.
type short struct {
	disk.File
	size int64 // that it should have
}

func (f short) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if errors.Is(err, io.EOF) && off+int64(len(b)) <= f.size {
		clear(b[n:])
		return len(b), nil
	}
	return n, err
}

// Loose makes a ring, for reading, of the pool files that d has, be they all or
// not: those of a rescued disk, without ring.id.
func Loose(d disk.Dir, spec Spec) (*Ring, error) {
	r := newRing(d, spec, false)
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(name, "pool_%03d.bin", &n); err != nil || n >= spec.Pools {
			continue
		}
		if err := r.look(n); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil // what is not there is no fault of these
}

// look reads pool n's superblocks for the first time. An error is not the pool's
// alone.
func (r *Ring) look(n int) error {
	s, err := r.readAndCheck(n)
	var fault *PoolFault
	switch {
	case err == nil:
	case errors.As(err, &fault):
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM):
		return err
	default:
		fault = &PoolFault{Pool: n, File: Name(n), Reason: fmt.Sprintf("cannot be read (%v)", err), Remedy: remedyDisk}
	}
	r.mu.Lock()
	if r.away {
		r.mu.Unlock()
		return ErrAway
	}
	r.supers[n], r.faults[n] = s, fault
	delete(r.unread, n)
	r.mu.Unlock()
	if files, err := r.present(); err == nil && fault != nil && r.write {
		return files.drop(n) // from here on it is opened for reading only
	}
	return nil
}

// findMisnamed serves pools whose file has the name of another: the superblocks
// know better. They are read, not written: whoever mixed them up may not be
// done yet.
func (r *Ring) findMisnamed() error {
	found := map[int]pool.Super{} // by the pool whose name the file has
	for _, fault := range r.Faults() {
		n := fault.Pool
		if r.Super(n).Generation > 0 {
			continue
		}
		f, err := r.dir.Open(Name(n), false)
		if err != nil {
			continue
		}
		s, _, err := newestSuper(f, uint32(n))
		size, sizeErr := f.Size()
		f.Close()
		if m := int(s.Pool); err == nil && sizeErr == nil && size == r.Size && s.Ring == r.UUID && m != n && m < r.Pools() && s.Generation > 0 {
			found[n] = s
		}
	}
	for n, s := range found {
		m := int(s.Pool)
		r.mu.Lock()
		lost := r.faults[m] != nil && r.supers[m].Generation == 0
		if lost {
			r.names[m], r.supers[m] = Name(n), s
			r.faults[m] = &PoolFault{Pool: m, File: Name(m), Reason: "has the name " + Name(n), Remedy: remedyRename, Readable: true}
		}
		r.mu.Unlock()
		if files, err := r.present(); err == nil && lost {
			if err := files.drop(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// usable refuses a ring most of which cannot be written: something else is wrong
// with it than a file.
func (r *Ring) usable() error {
	faults := r.Faults()
	if 2*len(faults) <= r.Pools() {
		return nil
	}
	var reasons []string
	for _, f := range faults {
		if len(reasons) == 3 {
			reasons = append(reasons, "…")
			break
		}
		reasons = append(reasons, f.File+" "+f.Reason)
	}
	return &MismatchError{r.dir.Path(), fmt.Sprintf("%d of the ring's %d pool files cannot be written: %s", len(faults), r.Pools(), strings.Join(reasons, "; ")),
		"nothing was changed; put back what belongs here, or move this directory away and let nvr create a new ring"}
}

// openPool opens pool n's file for the first time; when it cannot be written, for
// reading, and the fault says why.
func (r *Ring) openPool(n int) (disk.File, error) {
	f, err := r.File(n)
	if err == nil || !r.write || !errors.Is(err, fs.ErrPermission) {
		return f, err
	}
	if f, readErr := r.dir.Open(r.FileName(n), false); readErr == nil {
		files, useErr := r.present()
		if useErr != nil {
			f.Close()
			return nil, useErr
		}
		o, useErr := files.insert(n, f)
		if useErr != nil {
			return nil, useErr
		}
		files.release(o, false, false)
		return poolFile{files, n}, err
	}
	return nil, err
}

// surveyed is what pool n's groups say of it.
func (r *Ring) surveyed(f disk.File, n int) (s pool.Super, ok bool) {
	size, err := f.Size()
	if err != nil {
		return s, false
	}
	first, ok, err := pool.Survey(f, min(size, r.Size), func(id pool.Identity) bool { return id.Ring == r.UUID && id.Pool == uint32(n) })
	if err != nil || !ok {
		return s, false
	}
	return pool.Super{Ring: r.UUID, Pool: uint32(n), Pools: uint32(r.Pools()), Size: r.Size, Generation: first.Generation, State: pool.Active,
		OpenID: first.OpenID, FirstSeq: first.Seq}, true
}

// FileName is the name of pool n's file: Name(n), unless names were mixed up.
func (r *Ring) FileName(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[n]
}

// Slots tells what is wrong with the two superblocks of a pool file, by offset:
// one that rotted is made up for by the other, until that rots too. block is
// aligned memory for one block.
func Slots(f disk.File, n int, block []byte) map[int64]error {
	bad := map[int64]error{}
	var counters [2]uint64
	for i, off := range []int64{0, pool.SuperSlot1} {
		if _, err := f.ReadAt(block[:pool.BlockSize], off); err != nil {
			bad[off] = err
			continue
		}
		s, err := pool.DecodeSuper(block, uint32(n), off)
		counters[i] = s.Counter
		switch {
		case errors.Is(err, pool.ErrEmpty) && pool.Zero(block[:pool.BlockSize]): // never written, or not any more: see below
		case err != nil:
			bad[off] = err
		case !pool.Zero(block[s.EncodedLen():pool.BlockSize]):
			bad[off] = &pool.CorruptError{Pool: uint32(n), Offset: off + int64(s.EncodedLen()), Reason: "superblock: bytes behind it are not zero"}
		}
	}
	for i, off := range []int64{0, pool.SuperSlot1} {
		if other := counters[1-i]; counters[i] == 0 && other > 1 && bad[off] == nil {
			bad[off] = &pool.CorruptError{Pool: uint32(n), Offset: off, Reason: "superblock: gone"}
		}
	}
	return bad
}

// Identify tells which pool of which ring a file is, and which generation it
// holds, by its superblocks or else by its groups.
func Identify(f disk.File) (pool.Super, error) {
	size, err := f.Size()
	if err != nil {
		return pool.Super{}, err
	}
	s, damaged, superErr := newestSuper(f, 0)
	var version *pool.VersionError
	if errors.As(superErr, &version) || superErr == nil && !damaged {
		return s, superErr
	}
	var of *pool.Identity // the first group's ring and pool
	first, ok, err := pool.Survey(f, size, func(id pool.Identity) bool {
		if of == nil && superErr == nil {
			of = &pool.Identity{Ring: s.Ring, Pool: s.Pool}
		}
		if of == nil {
			of = &id
		}
		return id.Ring == of.Ring && id.Pool == of.Pool
	})
	switch {
	case err != nil:
		return pool.Super{}, err
	case ok && first.Generation > s.Generation:
		s.Ring, s.Pool, s.Generation, s.State, s.FirstSeq, s.OpenID = first.Ring, first.Pool, first.Generation, pool.Active, first.Seq, first.OpenID
		return s, nil
	case superErr != nil:
		return pool.Super{}, superErr
	}
	return s, nil
}
