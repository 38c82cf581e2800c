package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"nvr/internal/disk"
)

// Host is the machine that this process runs on.
type Host struct{}

// ReadFile is os.ReadFile.
func (Host) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Names lists a directory.
func (Host) Names(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// Resolve is filepath.EvalSymlinks.
func (Host) Resolve(path string) (string, error) { return filepath.EvalSymlinks(path) }

// Stat is stat(2).
func (Host) Stat(path string) (Info, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Info{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return Info{Mode: info.Mode(), UserID: int(st.Uid), Size: st.Size, Allocated: st.Blocks * 512}, nil
}

// Writable is faccessat(2) with the effective user.
func (Host) Writable(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// Space is statfs(2).
func (Host) Space(path string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Space{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	block := st.Bsize
	return Space{Total: int64(st.Blocks) * block, Free: int64(st.Bfree) * block, Available: int64(st.Bavail) * block, Files: st.Files, FreeFiles: st.Ffree}, nil
}

// DirectIO is statx(2) with STATX_DIOALIGN.
func (Host) DirectIO(file string) (DirectIO, error) { return directIO(unix.AT_FDCWD, file, 0) }

func directIO(dir int, file string, flags int) (DirectIO, error) {
	var st unix.Statx_t
	if err := unix.Statx(dir, file, flags, unix.STATX_DIOALIGN, &st); err != nil {
		return DirectIO{}, &fs.PathError{Op: "statx", Path: file, Err: err}
	}
	return DirectIO{Known: st.Mask&unix.STATX_DIOALIGN != 0, OffsetAlign: int(st.Dio_offset_align), MemoryAlign: int(st.Dio_mem_align)}, nil
}

// Clock is adjtimex(2) that sets nothing.
func (Host) Clock() (Clock, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}, fmt.Errorf("adjtimex: %w", err)
	}
	return Clock{Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, MaxError: time.Duration(t.Maxerror) * time.Microsecond}, nil
}

// OpenFiles is the hard limit: the Go runtime raises the soft one to it.
func (Host) OpenFiles() (uint64, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Max, err
}

// UserID is geteuid(2).
func (Host) UserID() int { return os.Geteuid() }

// WriteTest does to a file without a name what the recorder does to its pools.
func (Host) WriteTest(dir string) (WriteTest, error) {
	var t WriteTest
	open := func(flags int) (int, error) {
		return unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|flags, 0o600)
	}
	fd, err := open(unix.O_DIRECT)
	t.Direct = err == nil
	if errors.Is(err, unix.EINVAL) {
		fd, err = open(0)
	}
	if err != nil {
		return t, &fs.PathError{Op: "open a file without a name in", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	t.Allocate = unix.Fallocate(fd, 0, 0, testSyncs*testPiece)
	if t.DirectIO, err = directIO(fd, "", unix.AT_EMPTY_PATH); err != nil {
		return t, err
	}
	piece, err := disk.Alloc(testPiece)
	if err != nil {
		return t, err
	}
	defer disk.Free(piece)
	for i := range piece {
		piece[i] = byte(i) // not zero: nothing below may save itself the work
	}
	for n := range testSyncs {
		began := time.Now()
		if _, err := unix.Pwrite(fd, piece, int64(n)*testPiece); err != nil {
			return t, &fs.PathError{Op: "write", Path: dir, Err: err}
		}
		if err := unix.Fdatasync(fd); err != nil {
			return t, &fs.PathError{Op: "fdatasync", Path: dir, Err: err}
		}
		t.Syncs = append(t.Syncs, time.Since(began))
	}
	return t, nil
}
