package direct

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"nvr/internal/disk"
)

// OpenUncached opens a pool file for reading around the page cache; where
// O_DIRECT is refused, what was read is dropped from the cache again.
func (d *Dir) OpenUncached(name string) (disk.File, error) {
	r, err := os.OpenFile(d.file(name), os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		if r, err = os.Open(d.file(name)); err == nil {
			return dropping{&file{r: r}}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &file{r: r}, nil
}

// dropping is a file that leaves nothing in the page cache.
type dropping struct{ *file }

func (f dropping) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, off)
	_ = unix.Fadvise(int(f.r.Fd()), off, int64(len(p)), unix.FADV_DONTNEED) // advice
	return n, err
}
