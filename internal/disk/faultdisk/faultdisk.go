// Package faultdisk is a disk.Dir that fails when told to, for tests. What it
// loses it loses as Linux does: after a Sync that failed, the writes it should
// have made durable may be gone for good.
package faultdisk

import (
	"io/fs"
	"sync"
	"sync/atomic"

	"nvr/internal/disk"
)

// Op is what can fail.
type Op string

// The operations of open files, and the creation of one. Others of the directory
// are passed through, but see Vanish.
const (
	Read     Op = "read"
	Write    Op = "write"
	Sync     Op = "sync"
	Allocate Op = "allocate"
)

// Dir passes everything to the disk below but what Fail says otherwise of.
type Dir struct {
	disk.Dir
	above *Dir   // of a directory inside another: whose rule counts
	name  string // in it, with a slash behind it

	mu   sync.Mutex
	fail func(op Op, name string, n int) error
	n    map[Op]int

	mountMu  sync.Mutex // of what follows, and of Dir: a rule may hold mu for long
	vanished bool
	dead     error    // what files say that were open when a disk vanished
	mounts   int      // that have vanished
	open     int      // files and locks
	made     []string // where no disk was
}

// New wraps d.
func New(d disk.Dir) *Dir { return &Dir{Dir: d, n: map[Op]int{}} }

// Fail sets the rule: it is asked before each operation, with how many of its
// kind there were since Fail, this one included; an error of its is the
// operation's. A failed write leaves half of what it was given on the disk.
// Nil: nothing fails.
func (d *Dir) Fail(rule func(op Op, name string, n int) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail, d.n = rule, map[Op]int{}
}

func (d *Dir) ask(op Op, name string) error {
	if d.above != nil {
		return d.above.ask(op, d.name+name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n[op]++
	if d.fail == nil {
		return nil
	}
	return d.fail(op, name, d.n[op])
}

// Sub is a directory inside this one; its files are asked for with its name before
// theirs.
func (d *Dir) Sub(name string, create bool) (disk.Dir, error) {
	below, ok := d.below()
	switch {
	case !ok && create:
		return nil, d.make(name)
	case !ok:
		return nil, missing(name)
	}
	sub, err := below.Sub(name, create)
	if err != nil {
		return nil, err
	}
	return &Dir{Dir: sub, above: d, name: name + "/"}, nil
}

// Open opens a file that fails with its directory.
func (d *Dir) Open(name string, write bool) (disk.File, error) {
	below, ok := d.below()
	if !ok {
		return nil, missing(name)
	}
	f, err := below.Open(name, write)
	if err != nil {
		return nil, err
	}
	d.mountMu.Lock()
	defer d.mountMu.Unlock()
	d.open++
	return &file{File: f, dir: d, name: name, mount: d.mounts}, nil
}

type file struct {
	disk.File
	dir    *Dir
	name   string
	mount  int // that it is of
	closed atomic.Bool
}

func (f *file) ask(op Op) error {
	if f.closed.Load() {
		return fs.ErrClosed
	}
	if f.dead() {
		f.dir.mountMu.Lock()
		defer f.dir.mountMu.Unlock()
		return f.dir.dead
	}
	return f.dir.ask(op, f.name)
}

// dead reports whether the disk that the file is on has vanished, or the file
// was closed.
func (f *file) dead() bool {
	f.dir.mountMu.Lock()
	defer f.dir.mountMu.Unlock()
	return f.closed.Load() || f.mount < f.dir.mounts
}

func (f *file) Close() error {
	if f.closed.Swap(true) {
		return fs.ErrClosed
	}
	f.dir.count(-1)
	return f.File.Close()
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.ask(Read); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.ask(Write); err != nil {
		n := len(p) / 2 &^ (disk.BlockSize - 1)
		if n > 0 && !f.dead() {
			n, _ = f.File.WriteAt(p[:n], off)
		}
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *file) Sync() error {
	if err := f.ask(Sync); err != nil {
		return err
	}
	return f.File.Sync()
}
