// Package direct is a disk.Dir on the real file system. Pool files are written
// with O_DIRECT: the page cache would only hold footage back from the disk and
// push out what others need, and ext4 has lost bytes that were written twice
// through it after an error (docs/decisions/001-one-writer-direct-io.md).
package direct

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"nvr/internal/disk"
)

// lockName is the file whose lock says that a recorder is at work here. It
// stays empty: who holds the lock is asked of the kernel.
const lockName = "ring.lock"

// zeroPiece is what is written and synced at a time where fallocate is not
// supported: a second or less of a slow disk. Whoever wants it to end waits no
// longer, and nobody's sync has to wait for more than that.
const zeroPiece = 8 << 20

// Dir is a directory of the real file system.
type Dir struct {
	path string
	log  *slog.Logger

	warnOnce sync.Once
}

// New returns the directory at path, which must exist when it is used.
func New(path string, log *slog.Logger) *Dir { return &Dir{path: path, log: log} }

// Path is where it is.
func (d *Dir) Path() string { return d.path }

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// Names lists the files.
func (d *Dir) Names() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Free is what an unprivileged process may still allocate.
func (d *Dir) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: d.path, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Allocate creates the file with fallocate(2), or, where the file system has
// none, by writing zeros.
func (d *Dir) Allocate(ctx context.Context, name string, size int64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("allocate %s: %w", d.file(name), err)
	}
	f, err := os.OpenFile(d.file(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.EINTR
	for errors.Is(err, unix.EINTR) && ctx.Err() == nil { // tmpfs gives up for any signal of the runtime's
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = writeZeros(ctx, f, size)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("allocate %s: %w", f.Name(), disk.ErrNoSpace)
	}
	if err != nil {
		return &os.PathError{Op: "allocate", Path: f.Name(), Err: err}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func writeZeros(ctx context.Context, f *os.File, size int64) error {
	zeros := make([]byte, zeroPiece)
	for size > 0 && ctx.Err() == nil {
		n, err := f.Write(zeros[:min(size, zeroPiece)])
		if err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		size -= int64(n)
	}
	return ctx.Err()
}

// Open opens a pool file.
func (d *Dir) Open(name string, write bool) (disk.File, error) {
	r, err := os.Open(d.file(name))
	if err != nil {
		return nil, err
	}
	if !write {
		return &file{r: r}, nil
	}
	w, err := os.OpenFile(d.file(name), os.O_RDWR|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		d.warnOnce.Do(func() {
			d.log.Warn("this file system refuses O_DIRECT: footage goes through the page cache, at more cost in CPU and memory", "dir", d.path)
		})
		w, err = os.OpenFile(d.file(name), os.O_RDWR, 0)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return &file{r: r, w: w}, nil
}

// ReadFile reads a small file.
func (d *Dir) ReadFile(name string) ([]byte, error) { return os.ReadFile(d.file(name)) }

// Replace writes a temporary file, syncs it, renames it, syncs the directory.
func (d *Dir) Replace(name string, data []byte) error {
	tmp := d.file(name + ".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, d.file(name)); err != nil {
		return err
	}
	return d.Sync()
}

// Remove takes a file away.
func (d *Dir) Remove(name string) error { return os.Remove(d.file(name)) }

// Sub is a directory inside this one.
func (d *Dir) Sub(name string, create bool) (disk.Dir, error) {
	path := d.file(name)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		if err := os.Mkdir(path, 0o750); err != nil {
			return nil, err
		}
		if err := d.Sync(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, &os.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	}
	return New(path, d.log), nil
}

// Sync makes the directory's entries durable, and the names on the way to it,
// up to where its file system is mounted: some may have been made just now.
func (d *Dir) Sync() error {
	path, err := filepath.Abs(d.path)
	if err != nil {
		return err
	}
	var device uint64
	for p := path; ; p = filepath.Dir(p) {
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil {
			return &os.PathError{Op: "stat", Path: p, Err: err}
		}
		if p == path {
			device = uint64(st.Dev)
		} else if uint64(st.Dev) != device {
			return nil // another file system's
		}
		switch err := syncDirectory(p); {
		case errors.Is(err, fs.ErrPermission) && p != path: // not ours to sync; it was there before us
		case err != nil:
			return err
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

func syncDirectory(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Lock takes a flock(2): it is gone with the process, however that ends.
func (d *Dir) Lock() (func(), error) { return d.lock(os.O_RDWR | os.O_CREATE) }

// Relock takes it where its file is there.
func (d *Dir) Relock() (func(), error) { return d.lock(os.O_RDWR) }

func (d *Dir) lock(flags int) (func(), error) {
	f, err := os.OpenFile(d.file(lockName), flags, 0o640)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		pid := lockHolder(f)
		f.Close()
		return nil, &disk.InUseError{Path: d.path, PID: pid}
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return func() { f.Close() }, nil
}

// lockHolder looks in /proc/locks for the process that holds a flock on f:
// "1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF" (proc(5)).
func lockHolder(f *os.File) int {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return 0
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer locks.Close()
	inode := ":" + strconv.FormatUint(st.Ino, 10)
	for sc := bufio.NewScanner(locks); sc.Scan(); {
		w := strings.Fields(sc.Text())
		if len(w) >= 6 && w[1] == "FLOCK" && strings.HasSuffix(w[5], inode) {
			pid, _ := strconv.Atoi(w[4])
			return max(pid, 0)
		}
	}
	return 0
}

// file reads through the page cache, where readers of the same footage meet,
// and writes around it.
type file struct {
	r, w *os.File
}

func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.r.ReadAt(p, off) }

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if f.w == nil {
		return 0, fs.ErrPermission
	}
	n, err := f.w.WriteAt(p, off)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

func (f *file) Sync() error {
	if f.w == nil {
		return fs.ErrPermission
	}
	for {
		err := unix.Fdatasync(int(f.w.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) { // fdatasync(2) did not begin
			return &os.PathError{Op: "fdatasync", Path: f.w.Name(), Err: err}
		}
	}
}

func (f *file) Size() (int64, error) {
	st, err := f.r.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *file) Close() error {
	err := f.r.Close()
	if f.w != nil {
		err = errors.Join(err, f.w.Close())
	}
	return err
}
