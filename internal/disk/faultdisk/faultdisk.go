// Package faultdisk is a disk.Dir that fails when told to, for tests. What it
// loses it loses as Linux does: after a Sync that failed, the writes it should
// have made durable may be gone for good.
package faultdisk

import (
	"sync"

	"nvr/internal/disk"
)

// Op is what can fail.
type Op string

// The operations of open files, and the creation of one. Others of the directory
// are passed through.
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

// Allocate fails as a write.
func (d *Dir) Allocate(name string, size int64) error {
	if err := d.ask(Allocate, name); err != nil {
		return err
	}
	return d.Dir.Allocate(name, size)
}

// Sub is a directory inside this one; its files are asked for with its name before
// theirs.
func (d *Dir) Sub(name string, create bool) (disk.Dir, error) {
	sub, err := d.Dir.Sub(name, create)
	if err != nil {
		return nil, err
	}
	return &Dir{Dir: sub, above: d, name: name + "/"}, nil
}

// Open opens a file that fails with its directory.
func (d *Dir) Open(name string, write bool) (disk.File, error) {
	f, err := d.Dir.Open(name, write)
	if err != nil {
		return nil, err
	}
	return &file{File: f, dir: d, name: name}, nil
}

type file struct {
	disk.File
	dir  *Dir
	name string
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.dir.ask(Read, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.dir.ask(Write, f.name); err != nil {
		n := len(p) / 2 &^ (disk.BlockSize - 1)
		if n > 0 {
			n, _ = f.File.WriteAt(p[:n], off)
		}
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *file) Sync() error {
	if err := f.dir.ask(Sync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}
