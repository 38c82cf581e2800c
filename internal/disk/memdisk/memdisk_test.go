package memdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nvr/internal/disk"
)

const block = disk.BlockSize

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

// pool returns a disk with one durable file.
func pool(t *testing.T, size int64) (*Dir, disk.File) {
	t.Helper()
	d := New("memory")
	if err := errors.Join(d.Allocate(t.Context(), "a", size), d.Sync()); err != nil {
		t.Fatal(err)
	}
	return d, open(t, d)
}

func open(t *testing.T, d *Dir) disk.File {
	t.Helper()
	f, err := d.Open("a", true)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, f disk.File, off int64, size int, b byte) {
	t.Helper()
	if _, err := f.WriteAt(memory(t, size, b), off); err != nil {
		t.Fatal(err)
	}
}

// sectors is the first byte of each of the file's sectors; a sector that is not
// of one piece is '?'.
func sectors(t *testing.T, f disk.File) string {
	t.Helper()
	size, _ := f.Size()
	b := make([]byte, size)
	f.ReadAt(b, 0)
	var out strings.Builder
	for ; len(b) > 0; b = b[sectorBytes:] {
		if !bytes.Equal(b[:sectorBytes], bytes.Repeat(b[:1], sectorBytes)) {
			out.WriteByte('?')
		} else {
			out.WriteByte("."[0] + b[0])
		}
	}
	return out.String()
}

// A power cut takes nothing that was synced, whatever the model, and of the
// rest leaves what the model says.
func TestCrash(t *testing.T) {
	for model := range Models {
		t.Run(model.String(), func(t *testing.T) {
			d, f := pool(t, 4*block)
			write(t, f, 0, block, 1)
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			write(t, f, block, 2*block, 2)
			write(t, f, 3*block, block, 3)
			seen := map[string]bool{}
			whole, torn, reordered := 0, 0, 0
			for seed := range uint64(300) {
				rng := rand.New(rand.NewPCG(seed, 0))
				got := sectors(t, open(t, d.Crash(rng, model)))
				if got[:8] != "////////" || strings.Contains(got, "?") {
					t.Fatalf("seed %d: %s", seed, got)
				}
				seen[got] = true
				second, third := got[8:24], got[24:]
				if strings.Count(second, "0")%16 == 0 && strings.Count(third, "1")%8 == 0 {
					whole++
				} else {
					torn++
				}
				if strings.Contains(third, "1") && strings.Contains(second, ".") {
					reordered++
				}
			}
			switch {
			case (model == Kept || model == Lost) && len(seen) != 1:
				t.Errorf("%d outcomes", len(seen))
			case model > Lost && (whole == 0 || torn == 0):
				t.Errorf("%d whole and %d torn", whole, torn)
			case model <= Ordered && reordered > 0 || model > Ordered && reordered == 0:
				t.Errorf("%d times a later write without the earlier", reordered)
			}
			if got := sectors(t, f); got != "////////0000000000000000"+"11111111" {
				t.Errorf("the disk itself: %s", got)
			}
		})
	}
}

// The same seed leaves the same disk, and what is left is durable.
func TestCrashOfACrash(t *testing.T) {
	d, f := pool(t, 64*block)
	for i := range 60 {
		write(t, f, int64(i)*block, block, byte(i+1))
	}
	left := d.Crash(rand.New(rand.NewPCG(7, 7)), Torn)
	want := sectors(t, open(t, left))
	if got := sectors(t, open(t, d.Crash(rand.New(rand.NewPCG(7, 7)), Torn))); got != want {
		t.Errorf("the same seed left\n%s\nand then\n%s", want, got)
	}
	if got := sectors(t, open(t, left.Crash(rand.New(rand.NewPCG(1, 1)), Lost))); got != want {
		t.Errorf("what a crash left went with the next")
	}
	write(t, open(t, left), 0, block, 99)
	if got := sectors(t, f); !strings.HasPrefix(got, "////////") {
		t.Errorf("a write to what a crash left is seen on the disk before it: %s", got)
	}
}

// A file's contents are durable with its Sync, its name with that of the directory.
func TestCrashOfNames(t *testing.T) {
	d := New("memory")
	if err := d.Allocate(t.Context(), "a", block); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	if names, _ := d.Crash(rng, Lost).Names(); len(names) != 0 {
		t.Errorf("without Sync: %q", names)
	}
	if err := d.Replace("id", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if names, _ := d.Crash(rng, Lost).Names(); !slices.Equal(names, []string{"a", "id"}) {
		t.Errorf("after a Replace, which syncs the directory: %q", names)
	}
	steps, seen := 0, map[string]bool{}
	d.Hook(func(op Op) error {
		steps++
		for model := range Models {
			for range 20 {
				left := d.Crash(rng, model)
				b, err := left.ReadFile("id")
				if err != nil || string(b) != "old" && string(b) != "new" {
					t.Fatalf("before %v: %q %v", op, b, err)
				}
				seen[string(b)] = true
			}
		}
		return nil
	})
	if err := d.Replace("id", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if steps != 5 || len(seen) != 2 {
		t.Errorf("%d steps, seen %v", steps, seen)
	}
}

// An allocation that was cut leaves no file, an empty one, or a whole one.
func TestCrashOfAllocate(t *testing.T) {
	d, sizes := New("memory"), map[string]bool{}
	rng := rand.New(rand.NewPCG(1, 1))
	d.Hook(func(Op) error {
		for range 50 {
			f, err := d.Crash(rng, Torn).Open("a", false)
			if errors.Is(err, fs.ErrNotExist) {
				sizes["none"] = true
				continue
			}
			n, _ := f.Size()
			sizes[fmt.Sprint(n)] = true
		}
		return nil
	})
	if err := d.Allocate(t.Context(), "a", 8*block); err != nil {
		t.Fatal(err)
	}
	if !sizes["none"] || !sizes["0"] || !sizes["32768"] || len(sizes) != 3 {
		t.Errorf("left: %v", sizes)
	}
}

// What a failed sync lost is seen until the power goes, also when a later sync
// succeeds.
func TestFailedSync(t *testing.T) {
	d, f := pool(t, 64*block)
	for i := range 32 {
		write(t, f, int64(i)*block, block, 1)
	}
	d.Hook(func(op Op) error {
		if op.Kind == Sync {
			return syscall.EIO
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	d.Hook(nil)
	write(t, f, 40*block, block, 2)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(sectors(t, f), "/"); got != 32*8 {
		t.Errorf("reads see %d sectors of 256", got)
	}
	got := sectors(t, open(t, d.Crash(rand.New(rand.NewPCG(1, 1)), Kept)))
	if n := strings.Count(got, "/"); n == 0 || n == 32*8 {
		t.Errorf("%d sectors are there of the 256 that the sync failed on: the test proves nothing, or nothing was lost", n)
	}
	if strings.Count(got, "0") != 8 {
		t.Error("what was synced later is not there")
	}
}

// A process that is killed loses nothing, and makes nothing durable.
func TestKilled(t *testing.T) {
	d, f := pool(t, 4*block)
	unlock, _ := d.Lock()
	defer unlock()
	write(t, f, 0, block, 1)
	next := d.Killed()
	if _, err := next.Lock(); err != nil {
		t.Error(err)
	}
	if got := sectors(t, open(t, next)); !strings.HasPrefix(got, "////////.") {
		t.Errorf("after a kill: %s", got)
	}
	if got := sectors(t, open(t, next.Crash(rand.New(rand.NewPCG(1, 1)), Lost))); strings.Contains(got, "/") {
		t.Errorf("after a kill and a power cut: %s", got)
	}
}

func TestForbidden(t *testing.T) {
	_, f := pool(t, 4*block)
	m := memory(t, 2*block, 1)
	for name, write := range map[string]func(){
		"length":     func() { f.WriteAt(m[:100], 0) },
		"offset":     func() { f.WriteAt(m[:block], 512) },
		"memory":     func() { f.WriteAt(m[512:512+block], 0) },
		"past end":   func() { f.WriteAt(m, 3*block) },
		"no bytes":   func() { f.WriteAt(nil, 0) },
		"before all": func() { f.WriteAt(m, -block) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("taken")
				}
			}()
			write()
		})
	}
}

// A clone of a large disk that is mostly empty costs next to nothing.
func TestSparse(t *testing.T) {
	d, f := pool(t, 1<<36)
	write(t, f, 1<<35, block, 1)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, block)
	if _, err := open(t, d.Crash(rand.New(rand.NewPCG(1, 1)), Torn)).ReadAt(b, 1<<35); err != nil || b[0] != 1 {
		t.Error(b[0], err)
	}
}

func BenchmarkCrash(b *testing.B) {
	d := New("memory")
	d.Allocate(b.Context(), "a", 1<<30)
	for b.Loop() {
		d.Crash(rand.New(rand.NewPCG(1, 1)), Torn)
	}
}
