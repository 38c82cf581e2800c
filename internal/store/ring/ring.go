// Package ring knows which pool is next: it creates the pool files of a disk,
// activates and seals them in turn, and finds the newest after a restart.
package ring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"nvr/internal/disk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// MismatchError says that the files of a directory are not those of the ring
// that was asked for. Nothing was changed.
type MismatchError struct {
	Path   string
	Reason string
	Remedy string
}

func (e *MismatchError) Error() string { return e.Path + ": " + e.Reason + ": " + e.Remedy }

// Ring is the pools of one disk. Its methods may be called concurrently, but
// Activate, Resume, Seal and MarkBad belong to the one writer, and one goroutine
// at a time calls Grow.
type Ring struct {
	UUID media.UUID
	Size int64 // of each pool file, bytes

	dir   disk.Dir
	write bool

	files *files

	catalogue atomic.Bool // it is being written

	mu     sync.Mutex
	supers []pool.Super // the newest known of each pool
	unread map[int]bool // pools of which nothing is known yet: see lookAround
	hinted uint64       // the highest generation that the catalogue knew of
	halved bool         // see Halved
	faults []*PoolFault // why a pool is passed over; nil: it is not
	names  []string     // of the files, but for mix-ups those of Name
	away   bool         // see Leave
}

func newRing(d disk.Dir, spec Spec, write bool) *Ring {
	r := &Ring{UUID: spec.UUID, Size: spec.Size, dir: d, write: write, supers: make([]pool.Super, spec.Pools), unread: map[int]bool{},
		faults: make([]*PoolFault, spec.Pools), names: make([]string, spec.Pools)}
	r.files = newFiles(r.openFile)
	for n := range r.names {
		r.names[n] = Name(n)
	}
	return r
}

// Pools is how many there are. It only grows: who knows a pool's number knows
// it for good.
func (r *Ring) Pools() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.supers)
}

func readSuper(d disk.Dir, name string) (pool.Super, error) {
	f, err := d.Open(name, false)
	if err != nil {
		return pool.Super{}, err
	}
	defer f.Close()
	var n uint32
	if _, err := fmt.Sscanf(name, "pool_%03d.bin", &n); err != nil {
		return pool.Super{}, err
	}
	s, _, err := newestSuper(f, n)
	return s, err
}

// supersSize is what lies from the first superblock to the end of the second.
const supersSize = pool.SuperSlot1 + pool.BlockSize

var supersMemory = sync.Pool{New: func() any { return new([supersSize]byte) }}

// newestSuper reads both slots, with what lies between them in one read, and
// returns the one with the higher counter, and whether the other one, which may
// have been newer, is damaged. When neither is good it tells why the
// worse-looking one is not.
func newestSuper(f disk.File, n uint32) (best pool.Super, damaged bool, err error) {
	var failure error
	memory := supersMemory.Get().(*[supersSize]byte)
	defer supersMemory.Put(memory)
	got, whole := f.ReadAt(memory[:], 0)
	for _, off := range []int64{0, pool.SuperSlot1} {
		b := memory[off : off+pool.BlockSize]
		err := whole
		if err != nil && !errors.Is(err, io.EOF) { // at one of them, perhaps
			var again int
			again, err = f.ReadAt(b, off)
			got = int(off) + again
		}
		if errors.Is(err, io.EOF) { // a power cut before its room was allocated
			clear(b[min(max(0, got-int(off)), len(b)):])
		} else if err != nil {
			failure = fmt.Errorf("superblock at %d: %w", off, err)
			continue
		}
		s, err := pool.DecodeSuper(b, n, off)
		var version *pool.VersionError
		switch {
		case errors.As(err, &version):
			return pool.Super{}, false, err
		case err == nil && s.Counter > best.Counter:
			best = s
		case err != nil && (failure == nil || errors.Is(failure, pool.ErrEmpty)):
			failure = err
		}
	}
	if best.Counter > 0 {
		return best, failure != nil && (best.Counter > 1 || !errors.Is(failure, pool.ErrEmpty)), nil
	}
	return best, false, failure
}

// Open opens the ring in d and reads every superblock, or, when there are very
// many, those about the newest pool (see Unread for the others). A pool file that
// is missing, cut off, of another ring or of a newer version is passed over: see
// Faults. A ring most of which cannot be written is refused; nothing is changed.
func Open(d disk.Dir, write bool) (*Ring, error) {
	spec, err := readID(d)
	if err != nil {
		return nil, err
	}
	r := newRing(d, spec, write)
	if err := r.lookAround(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Ring) lookAround() error {
	for n := range r.Pools() {
		r.unread[n] = true
	}
	if r.Pools() > eagerPools {
		if found, err := r.findNewest(); found || err != nil {
			return err
		}
	}
	if err := r.ReadAll(); err != nil {
		return err
	}
	if r.write {
		return r.usable()
	}
	return nil
}

// Unread lists the pools that nobody has looked at yet: Used, Super, Next and
// Faults know nothing of them. Whoever needs all calls Check for each, or ReadAll.
func (r *Ring) Unread() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.unread))
}

// Known reports whether pool n is not among those that are unread.
func (r *Ring) Known(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.unread[n]
}

// ReadAll reads the superblocks of the pools that are unread. An error is not one
// pool's alone.
func (r *Ring) ReadAll() error {
	for _, n := range r.Unread() {
		if err := r.look(n); err != nil {
			return err
		}
	}
	return r.findMisnamed()
}

// Check reads pool n's superblocks and makes sure that it is the ring's. The
// error is a *PoolFault when the pool is passed over, from now on and until the
// next start.
func (r *Ring) Check(n int) (pool.Super, error) {
	if fault := r.Fault(n); fault != nil {
		return r.Super(n), fault
	}
	s, err := r.readAndCheck(n)
	r.mu.Lock()
	defer r.mu.Unlock()
	if fault := (*PoolFault)(nil); errors.As(err, &fault) && r.away {
		return r.supers[n], ErrAway // an empty mount point has no pools
	} else if fault != nil {
		if s.Generation > r.supers[n].Generation {
			r.supers[n] = s
		}
		r.faults[n] = fault
		delete(r.unread, n)
	}
	if err != nil {
		return r.supers[n], err
	}
	if r.away {
		if r.unread[n] {
			return r.supers[n], ErrAway // it counts when the disk is back
		}
		return r.supers[n], nil
	}
	if s.Counter > r.supers[n].Counter {
		r.supers[n] = s
	}
	delete(r.unread, n)
	return r.supers[n], nil
}

// readAndCheck reads pool n's superblocks, and where those are damaged asks its
// groups. A *PoolFault comes with what can be read all the same.
func (r *Ring) readAndCheck(n int) (s pool.Super, err error) {
	size := int64(0)
	defer func() {
		if fault := (*PoolFault)(nil); errors.As(err, &fault) {
			fault.Readable = s.Generation > 0 && size > pool.FirstGroup
		}
	}()
	fault := func(reason, remedy string) *PoolFault {
		return &PoolFault{Pool: n, File: Name(n), Reason: reason, Remedy: remedy}
	}
	f, openErr := r.openPool(n)
	switch {
	case errors.Is(openErr, fs.ErrNotExist):
		return pool.Super{}, fault("is missing", remedyMissing)
	case errors.Is(openErr, fs.ErrPermission) && f == nil:
		return pool.Super{}, fault(fmt.Sprintf("cannot be opened (%v)", openErr), remedyAccess)
	case f == nil:
		return pool.Super{}, openErr
	}
	if size, err = f.Size(); err != nil {
		return pool.Super{}, err
	}
	s, damaged, err := newestSuper(f, uint32(n))
	var version *pool.VersionError
	var corrupt *pool.CorruptError
	switch {
	case errors.As(err, &version):
		return pool.Super{}, fault(fmt.Sprintf("is of a newer version (%v)", err), remedyVersion)
	case errors.Is(err, pool.ErrEmpty) || errors.As(err, &corrupt):
		known, _ := r.surveyed(f, n)
		if size != r.Size {
			return known, fault(fmt.Sprintf("has %d bytes where the ring's pools have %d, and no readable superblock (%v)", size, r.Size, err), remedyDamaged)
		}
		return known, fault(fmt.Sprintf("has no readable superblock (%v)", err), remedyDamaged)
	case err != nil:
		if known, ok := r.surveyed(f, n); ok {
			return known, fault(fmt.Sprintf("has no readable superblock (%v)", err), remedyDisk)
		}
		return pool.Super{}, err
	case s.Ring != r.UUID:
		return pool.Super{}, fault("belongs to another ring ("+s.Ring.String()+")", remedyForeign)
	case int(s.Pool) != n:
		return pool.Super{}, fault(fmt.Sprintf("is pool %03d under another name", s.Pool), remedyRename)
	}
	if damaged {
		// The slot that is lost may have been the newer one: an older generation
		// must never be taken for what the pool holds.
		if known, ok := r.surveyed(f, n); ok && known.Generation > s.Generation {
			known.Counter = s.Counter
			s = known
		}
	}
	switch {
	case size != r.Size:
		return s, fault(fmt.Sprintf("has %d bytes where the ring's pools have %d", size, r.Size), remedyDamaged)
	case openErr != nil:
		return s, fault(fmt.Sprintf("cannot be opened for writing (%v)", openErr), remedyAccess)
	}
	return s, nil
}

// Close closes the pool files.
func (r *Ring) Close() error {
	r.mu.Lock()
	files := r.files
	r.mu.Unlock()
	return files.close()
}

// File returns the file of pool n. It needs no Close, and is open while it is
// used: see maxOpenFiles.
func (r *Ring) File(n int) (disk.File, error) {
	r.mu.Lock()
	files, away := r.files, r.away
	r.mu.Unlock()
	if away && n >= 0 && n < r.Pools() {
		return passing{r.dir, r.FileName(n)}, nil
	}
	f, err := files.acquire(n)
	if err != nil {
		return nil, err
	}
	files.release(f, false, false)
	return poolFile{files, n}, nil
}

// present returns the files while the ring has not been left.
func (r *Ring) present() (*files, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return nil, ErrAway
	}
	return r.files, nil
}

// openFile opens pool n's file.
func (r *Ring) openFile(n int) (disk.File, error) {
	r.mu.Lock()
	if n < 0 || n >= len(r.names) {
		defer r.mu.Unlock()
		return nil, fmt.Errorf("pool %03d: the ring has %d", n, len(r.names))
	}
	name, write := r.names[n], r.write && r.faults[n] == nil
	r.mu.Unlock()
	f, err := r.dir.Open(name, write)
	if err != nil {
		return nil, err
	}
	if size, err := f.Size(); err == nil && size < r.Size {
		f = short{f, r.Size}
	}
	return f, nil
}

// Super returns the newest known superblock of pool n.
func (r *Ring) Super(n int) pool.Super {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.supers[n]
}

// Identity is what pool n's groups must carry now.
func (r *Ring) Identity(n int) pool.Identity {
	return pool.Identity{Ring: r.UUID, Pool: uint32(n), Generation: r.Super(n).Generation}
}

// update writes pool n's superblock to the slot that does not hold the newest,
// and makes it durable. buf is one aligned block. In a ring that has grown,
// each pool says so from the next time on that its superblock is written.
func (r *Ring) update(n int, buf []byte, change func(*pool.Super)) error {
	if fault := r.Fault(n); fault != nil {
		return fault // never written, whoever asks
	}
	files, err := r.present()
	if err != nil {
		return err
	}
	f, err := files.acquire(n)
	if err != nil {
		return err
	}
	defer files.release(f, false, true)
	s := r.Super(n)
	change(&s)
	s.Pools = uint32(r.Pools())
	s.Counter++
	s.Encode(buf)
	if _, err := f.WriteAt(buf[:pool.BlockSize], pool.SuperOffset(s.Counter)); err != nil {
		return fmt.Errorf("write superblock of pool %03d: %w", n, err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	r.mu.Lock()
	r.supers[n] = s
	delete(r.unread, n)
	r.mu.Unlock()
	return nil
}

// Activate gives pool n a new generation. It is durable before the first group
// of that generation is written, so groups never stand under an old superblock.
// From then on readers of the old generation are told that it was overwritten.
// After an error the pool is what it was, as far as anybody here knows. durable
// is the highest group_seq known durable: see Voided.
func (r *Ring) Activate(n int, generation uint64, openID uint32, firstSeq, durable uint64, buf []byte) error {
	voids := r.voids(n, durable)
	err := r.update(n, buf, func(s *pool.Super) {
		s.Generation, s.State, s.OpenID, s.FirstSeq, s.DurableSeq, s.Voids = generation, pool.Active, openID, firstSeq, durable, voids
	})
	return r.pinned(n, err)
}

// pinned keeps the file of pool n open where there is no error: the writer is there.
func (r *Ring) pinned(n int, err error) error {
	if files, away := r.present(); err == nil && away == nil {
		files.pin(n)
	}
	return err
}

// Resume makes a new writer start known in the pool that it goes on with.
func (r *Ring) Resume(n int, openID uint32, buf []byte) error {
	err := r.update(n, buf, func(s *pool.Super) { s.State, s.OpenID = pool.Active, openID })
	return r.pinned(n, err)
}

// Seal says that pool n is full: all that the writer start openID wrote to it is
// durable, and of what was there before it, what that start found to count. The
// footer, which is durable, lists both.
func (r *Ring) Seal(n int, openID uint32, buf []byte) error {
	return r.update(n, buf, func(s *pool.Super) { s.State, s.OpenID = pool.Sealed, openID })
}

// MarkBad says that writes to pool n failed.
func (r *Ring) MarkBad(n int, buf []byte) error {
	return r.update(n, buf, func(s *pool.Super) { s.State = pool.Bad })
}
