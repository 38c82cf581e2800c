package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Alloc returns size bytes that O_DIRECT accepts: page-aligned memory outside
// the Go heap. It lives as long as the process, so ask once per writer.
func Alloc(size int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("allocate a write buffer of %d bytes: %w", size, err)
	}
	return b, nil
}

// Free gives memory of Alloc back. Nothing may refer to it any more.
func Free(b []byte) {
	if len(b) > 0 {
		unix.Munmap(b)
	}
}
