package faultdisk

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"nvr/internal/disk"
)

// Vanish takes the disk away, as an unmount by force, a cable or a file system
// that shut down does: what is open fails with err for ever, also after Mount.
// By its name the directory is what a mount point is without its mount: empty.
func (d *Dir) Vanish(err error) {
	d.mountMu.Lock()
	defer d.mountMu.Unlock()
	d.vanished, d.dead = true, err
	d.mounts++
}

// Mount puts a disk where the last one vanished: the same one, or what is left of it.
func (d *Dir) Mount(below disk.Dir) {
	d.mountMu.Lock()
	defer d.mountMu.Unlock()
	d.Dir, d.vanished = below, false
}

// Busy is how many files and locks are open, those that are dead included: what
// keeps a mount from being unmounted.
func (d *Dir) Busy() int {
	d.mountMu.Lock()
	defer d.mountMu.Unlock()
	return d.open
}

// Made lists what was made, or tried to be, in the empty directory.
func (d *Dir) Made() []string {
	d.mountMu.Lock()
	defer d.mountMu.Unlock()
	return slices.Clone(d.made)
}

// below is the disk that is there; ok is false when there is none.
func (d *Dir) below() (below disk.Dir, ok bool) {
	if d.above != nil {
		outer, ok := d.above.below()
		if !ok {
			return d.Dir, false
		}
		if inner, err := outer.Sub(strings.TrimSuffix(d.name, "/"), false); err == nil {
			return inner, true
		}
		return d.Dir, true
	}
	d.mountMu.Lock()
	defer d.mountMu.Unlock()
	return d.Dir, !d.vanished
}

// Path is for messages.
func (d *Dir) Path() string {
	below, _ := d.below()
	return below.Path()
}

func (d *Dir) make(name string) error {
	d.mountMu.Lock()
	defer d.mountMu.Unlock()
	d.made = append(d.made, name)
	return fmt.Errorf("%s was made where no disk is mounted", name)
}

func missing(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }

// Names lists the files.
func (d *Dir) Names() ([]string, error) {
	if below, ok := d.below(); ok {
		return below.Names()
	}
	return nil, nil
}

// Free is what the disk has left.
func (d *Dir) Free() (int64, error) {
	below, _ := d.below()
	return below.Free()
}

// Allocate makes a file. It fails as a write does.
func (d *Dir) Allocate(ctx context.Context, name string, size int64) error {
	if err := d.ask(Allocate, name); err != nil {
		return err
	}
	if below, ok := d.below(); ok {
		return below.Allocate(ctx, name, size)
	}
	return d.make(name)
}

// ReadFile reads a small file.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	if below, ok := d.below(); ok {
		return below.ReadFile(name)
	}
	return nil, missing(name)
}

// Replace writes a small file.
func (d *Dir) Replace(name string, data []byte) error {
	if below, ok := d.below(); ok {
		return below.Replace(name, data)
	}
	return d.make(name)
}

// Remove takes a file away.
func (d *Dir) Remove(name string) error {
	if below, ok := d.below(); ok {
		return below.Remove(name)
	}
	return missing(name)
}

// Sync makes names durable.
func (d *Dir) Sync() error {
	below, _ := d.below()
	return below.Sync()
}

// Lock takes the directory.
func (d *Dir) Lock() (func(), error) {
	below, ok := d.below()
	if !ok {
		return nil, d.make("ring.lock")
	}
	return d.held(below.Lock())
}

// Relock takes it again.
func (d *Dir) Relock() (func(), error) {
	below, ok := d.below()
	if !ok {
		return nil, missing("ring.lock")
	}
	return d.held(below.Relock())
}

func (d *Dir) held(unlock func(), err error) (func(), error) {
	if err != nil {
		return nil, err
	}
	d.count(1)
	return func() {
		unlock()
		d.count(-1)
	}, nil
}

func (d *Dir) count(n int) {
	d.mountMu.Lock()
	defer d.mountMu.Unlock()
	d.open += n
}
