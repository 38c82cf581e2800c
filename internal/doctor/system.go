package doctor

import (
	"io/fs"
	"time"
)

// System is what the doctor asks of a machine. Host is the real one. Its methods
// change nothing, but for WriteTest.
type System interface {
	// ReadFile reads a small file whole, as those of /proc and /sys are.
	ReadFile(path string) ([]byte, error)
	// Names lists a directory, in no order.
	Names(dir string) ([]string, error)
	// Resolve follows symbolic links.
	Resolve(path string) (string, error)
	// Stat follows symbolic links.
	Stat(path string) (Info, error)
	// Writable says whether this process may make files in dir: access(2).
	Writable(dir string) error
	// Space asks the file system of path: statfs(2).
	Space(path string) (Space, error)
	// DirectIO asks what O_DIRECT needs on a regular file: statx(2).
	DirectIO(file string) (DirectIO, error)
	// Clock asks whether the clock is kept right: adjtimex(2).
	Clock() (Clock, error)
	// OpenFiles is how many files this process could have open.
	OpenFiles() (uint64, error)
	// UserID is the effective one.
	UserID() int
	// WriteTest makes a file without a name in dir, allocates room for it,
	// writes and syncs it piece by piece, and lets go of it.
	WriteTest(dir string) (WriteTest, error)
}

// Info is of a file or directory.
type Info struct {
	Mode      fs.FileMode
	UserID    int
	Size      int64
	Allocated int64 // bytes on the disk
}

// Space is how full a file system is.
type Space struct {
	Total     int64
	Free      int64 // for root
	Available int64 // for everybody
	Files     uint64
	FreeFiles uint64 // counts only if Files > 0: some file systems make inodes as they go
}

// DirectIO is what the kernel knows about O_DIRECT on a file.
type DirectIO struct {
	Known       bool // before Linux 6.1, and on some file systems, it does not tell
	OffsetAlign int  // of offsets and lengths; 0: refused
	MemoryAlign int
}

// Clock is the kernel's view of its own clock.
type Clock struct {
	Synchronised bool
	MaxError     time.Duration
}

// WriteTest is what came of writing.
type WriteTest struct {
	Direct   bool  // O_DIRECT was accepted
	Allocate error // of fallocate(2)
	DirectIO DirectIO
	Syncs    []time.Duration // of writing testPiece and fdatasync, one after another
}

const (
	testPiece = 1 << 20
	testSyncs = 8
)
