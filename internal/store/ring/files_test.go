package ring

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"nvr/internal/disk"
)

// fakeFile tells when it is used after it was closed.
type fakeFile struct {
	disk.File
	open   *atomic.Int64
	closed atomic.Bool
	after  *atomic.Int64
}

func (f *fakeFile) use() {
	if f.closed.Load() {
		f.after.Add(1)
	}
}
func (f *fakeFile) ReadAt(b []byte, _ int64) (int, error)  { f.use(); return len(b), nil }
func (f *fakeFile) WriteAt(b []byte, _ int64) (int, error) { f.use(); return len(b), nil }
func (f *fakeFile) Sync() error                            { f.use(); return nil }
func (f *fakeFile) Close() error {
	f.use()
	f.closed.Store(true)
	f.open.Add(-1)
	return nil
}

// fakeFiles opens any pool, and keeps account.
func fakeFiles() (l *files, open, opened, after *atomic.Int64) {
	open, opened, after = new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)
	return newFiles(func(n int) (disk.File, error) {
		if n < 0 {
			return nil, fs.ErrNotExist
		}
		open.Add(1)
		opened.Add(1)
		return &fakeFile{open: open, after: after}, nil
	}), open, opened, after
}

func TestOpenFilesAreBounded(t *testing.T) {
	l, open, opened, after := fakeFiles()
	l.pin(3)
	b := make([]byte, 8)
	for n := range 1000 {
		f := poolFile{l, n}
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if n > 0 && n%100 == 0 { // written, and not synced: as important as the pinned one
			if _, err := f.WriteAt(b, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if open.Load() != maxOpenFiles || opened.Load() != 1000 {
		t.Errorf("%d files are open, %d were opened", open.Load(), opened.Load())
	}
	for _, n := range []int{3, 100, 500, 900, 999} {
		if l.list[n] == nil {
			t.Errorf("pool %d was closed", n)
		}
	}
	poolFile{l, 100}.Sync()
	for n := range 200 {
		poolFile{l, 2000 + n}.ReadAt(b, 0)
	}
	if l.list[100] != nil || l.list[500] == nil || l.list[3] == nil || open.Load() != maxOpenFiles {
		t.Errorf("what is synced is closed: %t; what is not: %t; %d are open", l.list[100] == nil, l.list[500] == nil, open.Load())
	}
	if _, err := (poolFile{l, -1}).ReadAt(b, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := l.close(); err != nil || open.Load() != 0 || after.Load() != 0 {
		t.Errorf("%v; %d are open; %d uses after the end", err, open.Load(), after.Load())
	}
	if _, err := (poolFile{l, 3}).ReadAt(b, 0); !errors.Is(err, fs.ErrClosed) {
		t.Error("a ring that was closed opens a file again:", err)
	}
}

// A file stays open while it is in use, whoever opens, drops and closes others.
func TestFilesInUse(t *testing.T) {
	l, open, _, after := fakeFiles()
	held := map[*openFile]bool{}
	for n := range 2 * maxOpenFiles {
		f, err := l.acquire(n)
		if err != nil {
			t.Fatal(err)
		}
		held[f] = true
	}
	if open.Load() != 2*maxOpenFiles {
		t.Errorf("%d of %d files in use are open", open.Load(), 2*maxOpenFiles)
	}
	l.drop(0)
	again, err := l.acquire(0)
	if err != nil || held[again] {
		t.Error("what was dropped was not opened anew:", err)
	}
	held[again] = true
	for f := range held {
		f.ReadAt(nil, 0)
		l.release(f, false, false)
	}
	poolFile{l, 5000}.ReadAt(nil, 0)
	if open.Load() != maxOpenFiles || after.Load() != 0 {
		t.Errorf("%d are open, %d uses after the end", open.Load(), after.Load())
	}

	var all sync.WaitGroup
	for seed := range uint64(8) {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			for range 5000 {
				f := poolFile{l, rng.IntN(3 * maxOpenFiles)}
				switch rng.IntN(10) {
				case 0:
					l.drop(f.n)
				case 1:
					f.WriteAt(nil, 0)
					f.Sync()
				default:
					f.ReadAt(nil, 0)
				}
			}
		})
	}
	all.Wait()
	poolFile{l, 5000}.ReadAt(nil, 0)
	if open.Load() > maxOpenFiles || after.Load() != 0 {
		t.Errorf("%d are open, %d uses after the end", open.Load(), after.Load())
	}
	if err := l.close(); err != nil || open.Load() != 0 {
		t.Error(fmt.Sprint(err, open.Load()))
	}
}
