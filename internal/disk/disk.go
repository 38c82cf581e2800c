// Package disk is the few things the archive asks of a disk. Package direct is
// the real one; the tests bring disks that fail and lose power.
package disk

import (
	"context"
	"errors"
	"fmt"
)

// BlockSize is what every offset, length and buffer of a write is a multiple of.
const BlockSize = 4096

// Dir is one directory on one disk. Its methods may be called concurrently.
type Dir interface {
	// Path is for messages.
	Path() string
	// Names lists the files, in no order.
	Names() ([]string, error)
	// Free is the number of bytes that a new file could take.
	Free() (int64, error)
	// Allocate creates a file of size bytes that read as zero, with its room
	// reserved on the disk, and makes it durable but for its name (see Sync).
	// A file of that name is replaced. When ctx ends it returns early, with
	// its error: at once where the file system has to write all of it, else when
	// it has reserved this file's room. What is there then is of no use.
	Allocate(ctx context.Context, name string, size int64) error
	// Open opens an existing file; without write it is never changed.
	Open(name string, write bool) (File, error)
	// ReadFile reads a small file whole.
	ReadFile(name string) ([]byte, error)
	// Replace writes a small file so that after a power cut either the old or
	// the new contents are there, whole. Durable when it returns.
	Replace(name string, data []byte) error
	// Remove takes a file away. Before Sync a power cut may bring it back.
	Remove(name string) error
	// Sync makes the names in the directory durable.
	Sync() error
	// Sub is a directory inside this one. With create it is made, durably, when it
	// is not there; without, the error is fs.ErrNotExist then.
	Sub(name string, create bool) (Dir, error)
	// Lock takes the directory for this process until unlock is called. When
	// another one has it, the error is an *InUseError.
	Lock() (unlock func(), err error)
	// Relock is Lock where the directory has been locked before. It makes no
	// file: where there is none, the disk is not mounted, and the error is
	// fs.ErrNotExist.
	Relock() (unlock func(), err error)
}

// File is a preallocated file.
type File interface {
	// ReadAt is io.ReaderAt. It sees every WriteAt that returned before.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes all of p or fails. p, its length and off are aligned to
	// BlockSize (p from Alloc). Nothing is durable before Sync returns; after
	// an error of either, any subset of the blocks since the last good Sync
	// may be there, and the same place must not be trusted again.
	WriteAt(p []byte, off int64) (int, error)
	// Sync makes all writes that returned before durable (fdatasync).
	Sync() error
	Size() (int64, error)
	Close() error
}

// InUseError says that another process has the directory.
type InUseError struct {
	Path string
	PID  int // 0 when it cannot be told (another container, another machine)
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return e.Path + ": in use by another process"
	}
	return fmt.Sprintf("%s: in use by pid %d", e.Path, e.PID)
}

// ErrNoSpace says that a file system has less room than was asked for.
var ErrNoSpace = errors.New("not enough space")
