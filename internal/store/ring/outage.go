package ring

import (
	"errors"
	"fmt"

	"nvr/internal/disk"
	"nvr/internal/media"
)

// A disk that went away and came back is, more often than not, mounted anew: what
// was open on it is dead for good, and what is open keeps the old mount busy. So
// the ring lets go of every file, keeps none open meanwhile, and finds them again by
// their names.

// ErrAway says that the ring has let go of its disk, and what was asked for needs
// it back: see Leave.
var ErrAway = errors.New("the disk is away")

// ErrAbsent says that a ring is not where it was: the directory is there, or is
// not, but there is no ring.id in it. Most likely its disk is not mounted.
var ErrAbsent = errors.New("the ring is not here")

// OtherRingError says that another ring lies where this one was.
type OtherRingError struct {
	Path      string
	Was, Here media.UUID
}

func (e *OtherRingError) Error() string {
	return fmt.Sprintf("%s: the ring %s was here, and now it is %s", e.Path, e.Was, e.Here)
}

// Leave closes all files. From now on, until Return, File gives some that are open
// only while they are read, and that cannot be written: a disk that became
// read-only can be read. Reads that are under way come to their end, or fail.
func (r *Ring) Leave() error {
	r.mu.Lock()
	r.away = true
	r.mu.Unlock()
	return r.Close()
}

// Present makes sure that this ring lies in its directory at present, by the
// directory's name. It changes nothing. The error is ErrAbsent, an *OtherRingError,
// a *MismatchError, or that of reading.
func (r *Ring) Present() error {
	spec, err := readID(r.dir)
	switch {
	case errors.Is(err, ErrNoRing):
		return fmt.Errorf("%s: %w", r.dir.Path(), ErrAbsent)
	case err != nil:
		return err
	case spec.UUID != r.UUID:
		return &OtherRingError{r.dir.Path(), r.UUID, spec.UUID}
	case spec.Pools < r.Pools() || spec.Size != r.Size: // that it has grown meanwhile is welcome
		return &MismatchError{r.dir.Path(), fmt.Sprintf("the ring had %d pools of %d MiB, and now has %d of %d", r.Pools(), r.Size>>20, spec.Pools, spec.Size>>20),
			"start the recorder again with the new shape"}
	}
	return nil
}

// Reopen opens the ring afresh, as Open does, beside r, which does not change. It
// is what Return takes.
func (r *Ring) Reopen() (*Ring, error) {
	if err := r.Present(); err != nil {
		return nil, err
	}
	fresh, err := Open(r.dir, r.write)
	if err != nil {
		return nil, err
	}
	if fresh.UUID != r.UUID || fresh.Size != r.Size { // between the two looks
		fresh.Close()
		return nil, &OtherRingError{r.dir.Path(), r.UUID, fresh.UUID}
	}
	if fresh.Pools() > r.Pools() { // who wrote that may not have come to the sync of its name
		if err := r.dir.Sync(); err != nil {
			fresh.Close()
			return nil, err
		}
	}
	return fresh, nil
}

// NewFaults lists the pools that are passed over in fresh, from Reopen, and were not
// before. A disk that is half dead gives what is in memory, and errors for the rest.
func (r *Ring) NewFaults(fresh *Ring) (list []*PoolFault) {
	for _, f := range fresh.Faults() {
		if r.Fault(f.Pool) == nil {
			list = append(list, f)
		}
	}
	return list
}

// Return takes over what Reopen found, files and all: r is there again. fresh is
// not to be used after it. Where nobody else wrote meanwhile (mine), a superblock
// that is newer than r knows is of an update that failed, and does not count; the
// next update takes its place. Nor does fresh where a pool cannot be read any more.
// Return lists the pools that hold another generation than r thought.
func (r *Ring) Return(fresh *Ring, mine bool) (changed []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh.mu.Lock()
	defer fresh.mu.Unlock()
	for n := len(fresh.supers); n < len(r.supers); n++ { // it has grown since fresh was opened
		fresh.supers = append(fresh.supers, r.supers[n])
		fresh.faults, fresh.names = append(fresh.faults, nil), append(fresh.names, Name(n))
	}
	for n, known := range r.supers {
		found := &fresh.supers[n]
		switch {
		case known.Counter > 0 && (mine || fresh.faults[n] != nil):
			*found = known
			delete(fresh.unread, n)
		case known.Generation != found.Generation:
			changed = append(changed, n)
		}
	}
	r.supers, r.files, r.faults, r.names, r.away = fresh.supers, fresh.files, fresh.faults, fresh.names, false
	r.unread, r.hinted, r.halved = fresh.unread, fresh.hinted, fresh.halved
	r.files.open = r.openFile
	fresh.files = newFiles(fresh.openFile)
	return changed
}

// passing is a pool file of a disk that was let go of. Whose bytes it reads, their
// checksums tell, as always. Whatever goes wrong is the disk's, never damage.
type passing struct {
	dir  disk.Dir
	name string
}

func (p passing) open(do func(disk.File) error) error {
	f, err := p.dir.Open(p.name, false)
	if err == nil {
		err = do(f)
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrAway, err)
	}
	return nil
}

func (p passing) ReadAt(b []byte, off int64) (n int, err error) {
	err = p.open(func(f disk.File) (err error) {
		n, err = f.ReadAt(b, off)
		return err
	})
	return n, err
}

func (p passing) Size() (size int64, err error) {
	err = p.open(func(f disk.File) (err error) {
		size, err = f.Size()
		return err
	})
	return size, err
}

func (passing) WriteAt([]byte, int64) (int, error) { return 0, ErrAway }
func (passing) Sync() error                        { return ErrAway }
func (passing) Close() error                       { return nil }
