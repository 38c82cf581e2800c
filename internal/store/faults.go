package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"nvr/internal/store/ring"
)

// PoolFault says why a pool file is passed over: see docs/damage.md.
type PoolFault = ring.PoolFault

// Faults lists the pool files that are passed over.
func (v *Volume) Faults() []*PoolFault { return v.ring.Faults() }

func (v *Volume) tellFaults() {
	for _, f := range v.ring.Faults() {
		v.tell(f)
	}
}

// tell says once that a pool file is passed over: an error for who records, for
// who reads a warning.
func (v *Volume) tell(f *PoolFault) {
	if _, known := v.told.LoadOrStore(f.Pool, true); known {
		return
	}
	log := v.o.Log.Warn
	if v.recording {
		log = v.o.Log.Error
	}
	file := f.File
	if d, ok := v.dir.(looseDir); ok {
		file = d.paths[file]
	}
	log("a pool file is passed over", "dir", v.dir.Path(), "file", file, "reason", f.Reason, "footage_served", f.Readable, "remedy", f.Remedy)
}

// cannotWrite says what to do about a directory that takes no lock.
func cannotWrite(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s is mounted read-only, so nothing can be recorded there: mount it for writing (what is there can be listed, exported and verified): %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s cannot be written by this user, so nothing can be recorded there: give it the directory and the files in it (what is there can be listed, exported and verified): %w", path, err)
	}
	return err
}
