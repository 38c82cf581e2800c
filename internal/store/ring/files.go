package ring

import (
	"errors"
	"io/fs"
	"sync"

	"nvr/internal/disk"
)

// maxOpenFiles is how many pool files are open at a time, besides those that are
// being read from or written to at this moment and the one that the writer is at:
// a process has 1024 descriptors by default, a pool file that is written takes two.
const maxOpenFiles = 64

// files keeps the pool files open that were used last.
type files struct {
	open func(n int) (disk.File, error)

	mu     sync.Mutex
	list   map[int]*openFile
	clock  uint64 // counts uses
	pinned int    // is never closed; -1: none
	closed bool
}

// openFile is a pool file that is open. The mutex of files guards it.
type openFile struct {
	disk.File
	users   int
	used    uint64 // when last
	written bool   // and not synced since: what a sync tells belongs to this descriptor
	dropped bool   // not in the list any more: its last user closes it
}

func newFiles(open func(n int) (disk.File, error)) *files {
	return &files{open: open, list: map[int]*openFile{}, pinned: -1}
}

// acquire returns pool n's file, which stays open until release.
func (l *files) acquire(n int) (*openFile, error) {
	if f, err := l.take(n); f != nil || err != nil {
		return f, err
	}
	opened, err := l.open(n)
	if err != nil {
		return nil, err
	}
	return l.insert(n, opened)
}

// take returns pool n's file if it is open.
func (l *files) take(n int) (*openFile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	f := l.list[n]
	if f != nil {
		l.clock++
		f.users, f.used = f.users+1, l.clock
	}
	return f, nil
}

// insert takes a file in that was opened for its caller, unless another one was
// in the meantime, and closes what is too much.
func (l *files) insert(n int, opened disk.File) (*openFile, error) {
	f, idle, err := l.keep(n, opened)
	closeAll(idle) // nothing was written to them that is not synced
	return f, err
}

func (l *files) keep(n int, opened disk.File) (f *openFile, idle []disk.File, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, []disk.File{opened}, errClosed
	}
	if f = l.list[n]; f != nil {
		idle = append(idle, opened)
	} else {
		f = &openFile{File: opened}
		l.list[n] = f
	}
	l.clock++
	f.users, f.used = f.users+1, l.clock
	for len(l.list) > maxOpenFiles {
		oldest := -1
		for m, o := range l.list {
			if o.users == 0 && !o.written && m != l.pinned && (oldest < 0 || o.used < l.list[oldest].used) {
				oldest = m
			}
		}
		if oldest < 0 {
			break // all are in use
		}
		idle = append(idle, l.list[oldest].File)
		delete(l.list, oldest)
	}
	return f, idle, nil
}

var errClosed = &fs.PathError{Op: "use", Path: "the ring", Err: fs.ErrClosed}

func closeAll(list []disk.File) error {
	var errs []error
	for _, f := range list {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// release ends a use. wrote: a sync is due. synced: none is any more.
func (l *files) release(f *openFile, wrote, synced bool) {
	l.mu.Lock()
	f.users--
	f.written = (f.written || wrote) && !synced
	last := f.dropped && f.users == 0
	l.mu.Unlock()
	if last {
		f.Close() // it was read only, or what it was written is not trusted any more
	}
}

// pin keeps pool n's file open from its next use on, and no other.
func (l *files) pin(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pinned = n
}

// drop has pool n's file opened anew when it is used next.
func (l *files) drop(n int) error {
	l.mu.Lock()
	f := l.list[n]
	delete(l.list, n)
	idle := f != nil && f.users == 0
	if f != nil {
		f.dropped = true
	}
	l.mu.Unlock()
	if idle {
		return f.Close()
	}
	return nil
}

// close closes all files; one that is in use, when that ends.
func (l *files) close() error {
	l.mu.Lock()
	l.closed = true
	var idle []disk.File
	for n, f := range l.list {
		if f.dropped = true; f.users == 0 {
			idle = append(idle, f.File)
		}
		delete(l.list, n)
	}
	l.mu.Unlock()
	return closeAll(idle)
}

// poolFile is pool n's file, opened whenever it is used and is not open.
type poolFile struct {
	files *files
	n     int
}

func (p poolFile) ReadAt(b []byte, off int64) (int, error) {
	f, err := p.files.acquire(p.n)
	if err != nil {
		return 0, err
	}
	defer p.files.release(f, false, false)
	return f.ReadAt(b, off)
}

func (p poolFile) WriteAt(b []byte, off int64) (int, error) {
	f, err := p.files.acquire(p.n)
	if err != nil {
		return 0, err
	}
	n, err := f.WriteAt(b, off)
	p.files.release(f, err == nil, false) // what failed is not synced in its place: see Errors in docs/format.md
	return n, err
}

func (p poolFile) Sync() error {
	f, err := p.files.acquire(p.n)
	if err != nil {
		return err
	}
	defer p.files.release(f, false, true)
	return f.Sync()
}

func (p poolFile) Size() (int64, error) {
	f, err := p.files.acquire(p.n)
	if err != nil {
		return 0, err
	}
	defer p.files.release(f, false, false)
	return f.Size()
}

// Close does nothing: the ring closes its files.
func (p poolFile) Close() error { return nil }
