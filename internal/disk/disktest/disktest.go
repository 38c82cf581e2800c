// Package disktest is the test that every disk.Dir must pass, in the spirit of
// testing/fstest: the interface's comments, as a program.
package disktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"testing"

	"nvr/internal/disk"
)

const block = disk.BlockSize

// Run tests what open returns: an empty directory, each time a new one.
func Run(t *testing.T, open func(t *testing.T) disk.Dir) {
	tests := []struct {
		name string
		test func(*testing.T, disk.Dir)
	}{
		{"Allocate", testAllocate},
		{"AllocateReplaces", testAllocateReplaces},
		{"AllocateEnds", testAllocateEnds},
		{"ReadSeesWrite", testReadSeesWrite},
		{"EndOfFile", testEndOfFile},
		{"ReadOnly", testReadOnly},
		{"Replace", testReplace},
		{"Names", testNames},
		{"Remove", testRemove},
		{"Sub", testSub},
		{"NotThere", testNotThere},
		{"Lock", testLock},
		{"Concurrent", testConcurrent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.test(t, open(t)) })
	}
}

// memory is aligned as WriteAt wants it, filled with b.
func memory(t *testing.T, size int, b byte) []byte {
	t.Helper()
	m, err := disk.Alloc(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Free(m) })
	for i := range m {
		m[i] = b
	}
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, d disk.Dir, name string, size int64) disk.File {
	t.Helper()
	must(t, d.Allocate(t.Context(), name, size))
	f, err := d.Open(name, true)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func testAllocate(t *testing.T, d disk.Dir) {
	const size = 1<<20 + block
	before, err := d.Free()
	must(t, err)
	f := file(t, d, "a", size)
	if n, err := f.Size(); err != nil || n != size {
		t.Errorf("Size: %d %v, want %d", n, err, size)
	}
	b := bytes.Repeat([]byte{1}, size)
	if n, err := f.ReadAt(b, 0); n != size || err != nil && err != io.EOF {
		t.Fatalf("ReadAt: %d %v", n, err)
	}
	if !bytes.Equal(b, make([]byte, size)) {
		t.Error("a new file has bytes that are not zero")
	}
	// Others may free room on the same disk meanwhile, but not each time.
	after, err := d.Free()
	for tries := 0; err == nil && after > before && tries < 5; tries++ {
		before = after
		file(t, d, "more"+strconv.Itoa(tries), size)
		after, err = d.Free()
	}
	if err != nil || after > before {
		t.Errorf("Free: %d before, %d %v after", before, after, err)
	}
	must(t, d.Sync())
}

func testAllocateReplaces(t *testing.T, d disk.Dir) {
	f := file(t, d, "a", 4*block)
	_, err := f.WriteAt(memory(t, block, 7), block)
	must(t, err)
	must(t, f.Sync())
	f = file(t, d, "a", 2*block)
	b := make([]byte, 2*block)
	f.ReadAt(b, 0)
	if n, _ := f.Size(); n != 2*block || !bytes.Equal(b, make([]byte, 2*block)) {
		t.Errorf("%d bytes, or some of the file that was there", n)
	}
}

// When ctx has ended nothing is allocated, and what was there before stays.
func testAllocateEnds(t *testing.T, d disk.Dir) {
	file(t, d, "a", 2*block)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"a", "b"} {
		if err := d.Allocate(ctx, name, 4*block); !errors.Is(err, context.Canceled) {
			t.Errorf("Allocate %s: %v", name, err)
		}
	}
	f, err := d.Open("a", false)
	must(t, err)
	defer f.Close()
	if n, _ := f.Size(); n != 2*block {
		t.Errorf("the file that was there has %d bytes now", n)
	}
	if _, err := d.Open("b", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
}

func testReadSeesWrite(t *testing.T, d disk.Dir) {
	const size = 256 * block
	f := file(t, d, "a", size)
	want := make([]byte, size)
	check := func(when string) {
		t.Helper()
		for _, open := range []bool{true, false} {
			g, err := d.Open("a", open)
			must(t, err)
			got := make([]byte, size)
			if n, err := g.ReadAt(got, 0); n != size || err != nil && err != io.EOF {
				t.Fatalf("%s: ReadAt: %d %v", when, n, err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: not what was written", when)
			}
			must(t, g.Close())
		}
	}
	for i, at := range []int{0, 3, 15, 16, 200, 3, 255} {
		n := 1 + i%3
		if at+n > 256 {
			n = 256 - at
		}
		p := memory(t, n*block, byte(i+1))
		if n, err := f.WriteAt(p, int64(at)*block); n != len(p) || err != nil {
			t.Fatalf("WriteAt: %d %v", n, err)
		}
		copy(want[at*block:], p)
		check(fmt.Sprintf("write %d", i))
		clear(p) // the file has its own copy
		if i%2 == 0 {
			must(t, f.Sync())
			check(fmt.Sprintf("sync %d", i))
		}
	}
	odd := make([]byte, 1000) // reads need no alignment
	if _, err := f.ReadAt(odd, 3*block+77); err != nil || !bytes.Equal(odd, want[3*block+77:][:1000]) {
		t.Errorf("a read that is not aligned: %v", err)
	}
}

func testEndOfFile(t *testing.T, d disk.Dir) {
	f := file(t, d, "a", 2*block)
	b := make([]byte, 2*block)
	if n, err := f.ReadAt(b, block); n != block || err != io.EOF {
		t.Errorf("across the end: %d %v, want %d EOF", n, err, block)
	}
	if n, err := f.ReadAt(b, 2*block); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d %v, want 0 EOF", n, err)
	}
}

func testReadOnly(t *testing.T, d disk.Dir) {
	file(t, d, "a", block)
	f, err := d.Open("a", false)
	must(t, err)
	defer f.Close()
	if _, err := f.WriteAt(memory(t, block, 1), 0); err == nil {
		t.Error("a file that was opened for reading was written")
	}
	if err := f.Sync(); err == nil {
		t.Error("a file that was opened for reading was synced")
	}
}

func testReplace(t *testing.T, d disk.Dir) {
	for _, want := range []string{"first", "a longer second one", "", "3"} {
		must(t, d.Replace("small", []byte(want)))
		got, err := d.ReadFile("small")
		if err != nil || string(got) != want {
			t.Errorf("ReadFile: %q %v, want %q", got, err, want)
		}
	}
	names, err := d.Names()
	if err != nil || len(names) != 1 || names[0] != "small" {
		t.Errorf("left behind: %q %v", names, err)
	}
}

func testNames(t *testing.T, d disk.Dir) {
	if names, err := d.Names(); err != nil || len(names) != 0 {
		t.Fatalf("a new directory has %q %v", names, err)
	}
	want := []string{"a", "b", "c"}
	for _, name := range want {
		must(t, d.Allocate(t.Context(), name, block))
	}
	must(t, d.Sync())
	names, err := d.Names()
	slices.Sort(names)
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("Names: %q %v, want %q", names, err, want)
	}
	if d.Path() == "" {
		t.Error("no path for messages")
	}
}

func testRemove(t *testing.T, d disk.Dir) {
	f := file(t, d, "a", block)
	must(t, d.Allocate(t.Context(), "b", block))
	must(t, d.Remove("a"))
	must(t, d.Sync())
	if names, err := d.Names(); err != nil || !slices.Equal(names, []string{"b"}) {
		t.Errorf("left: %q %v", names, err)
	}
	if _, err := f.ReadAt(make([]byte, block), 0); err != nil {
		t.Errorf("a file that was open when it was removed: %v", err)
	}
	if err := d.Remove("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("again: %v", err)
	}
}

func testSub(t *testing.T, d disk.Dir) {
	if _, err := d.Sub("inner", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not there: %v", err)
	}
	for range 2 {
		s, err := d.Sub("inner", true)
		must(t, err)
		must(t, s.Allocate(t.Context(), "a", block))
		must(t, s.Replace("text", []byte("hello")))
		must(t, s.Sync())
	}
	s, err := d.Sub("inner", false)
	must(t, err)
	names, err := s.Names()
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"a", "text"}) {
		t.Errorf("inside: %q %v", names, err)
	}
	if b, err := s.ReadFile("text"); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
	if _, err := d.Open("a", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its file is found outside: %v", err)
	}
	if s.Path() == d.Path() {
		t.Errorf("both are %s", s.Path())
	}
	must(t, s.Remove("a"))
	must(t, s.Sync())
}

func testNotThere(t *testing.T, d disk.Dir) {
	for _, write := range []bool{false, true} {
		if _, err := d.Open("nothing", write); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open: %v, want not exist", err)
		}
	}
	if _, err := d.ReadFile("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadFile: %v, want not exist", err)
	}
}

func testLock(t *testing.T, d disk.Dir) {
	unlock, err := d.Lock()
	must(t, err)
	var inUse *disk.InUseError
	if _, err := d.Lock(); !errors.As(err, &inUse) || inUse.Path != d.Path() {
		t.Errorf("second Lock: %v, want in use", err)
	}
	if _, err := d.Relock(); !errors.As(err, &inUse) {
		t.Errorf("Relock: %v, want in use", err)
	}
	unlock()
	unlock, err = d.Lock()
	must(t, err)
	unlock()
	unlock, err = d.Relock()
	must(t, err)
	if _, err := d.Lock(); !errors.As(err, &inUse) {
		t.Errorf("Lock behind Relock: %v, want in use", err)
	}
	unlock()
}

// Writers and readers of places of their own do not see each other.
func testConcurrent(t *testing.T, d disk.Dir) {
	const writers, size = 4, 16 * block
	f := file(t, d, "a", writers*size)
	var all sync.WaitGroup
	for w := range writers {
		p := memory(t, size, byte(w+1))
		all.Go(func() {
			got := make([]byte, size)
			for range 20 {
				if _, err := f.WriteAt(p, int64(w*size)); err != nil {
					t.Error(err)
				}
				if err := f.Sync(); err != nil {
					t.Error(err)
				}
				if _, err := f.ReadAt(got, int64(w*size)); err != nil && err != io.EOF || !bytes.Equal(got, p) {
					t.Errorf("writer %d reads what it did not write: %v", w, err)
				}
			}
		})
	}
	all.Wait()
}
