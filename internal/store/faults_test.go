package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/disk/faultdisk"
	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

const bigRecord = 700_000 // nine or ten to a pool of 8 MiB

// bigGop is gop with a payload that is quickly made.
func bigGop(run media.RunID, n int) media.Record {
	r := gop(camera(1), run, n, 1000)
	b := media.NewBuffer(bigRecord)
	b.Data = append(b.Data, bytes.Repeat(r.Buffer.Data, bigRecord/1000)...)
	for _, sample := range r.Buffer.Samples {
		sample.Size *= bigRecord / 1000
		b.Samples = append(b.Samples, sample)
	}
	r.Buffer.Release()
	r.Buffer = b
	return r
}

// full is a ring that filled made, to be copied.
var full struct {
	once   sync.Once
	files  map[string][]byte
	poolOf []int
}

// filled makes a ring of five pools, three of them sealed and one begun, and
// tells in which pool each record lies.
func filled(t *testing.T, o *Options) (poolOf []int) {
	t.Helper()
	o.Pools = 5
	full.once.Do(func() {
		made := testOptions(t.TempDir())
		made.Pools = o.Pools
		r := record(t, made)
		for n := range 34 {
			for !r.Offer(bigGop(1, n)) {
				t.Fatal("refused")
			}
			if n%4 == 3 {
				r.committed(t)
			}
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		for e, err := range openForReading(t, made).Entries(t.Context(), camera(1).ID(), media.Always) {
			if err != nil {
				t.Fatal(err)
			}
			full.poolOf = append(full.poolOf, int(e.Ref.Pool))
		}
		full.files = map[string][]byte{}
		entries, err := os.ReadDir(made.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			full.files[e.Name()], _ = os.ReadFile(filepath.Join(made.Dir, e.Name()))
		}
	})
	if len(full.poolOf) != 34 || full.poolOf[0] != 0 || full.poolOf[33] != 3 {
		t.Fatalf("pools %v", full.poolOf)
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, b := range full.files {
		if err := os.WriteFile(filepath.Join(o.Dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return slices.Clone(full.poolOf)
}

func openForReading(t *testing.T, o Options) *Volume {
	t.Helper()
	v, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// readable reads what can be read: the numbers of the records whose payload is
// what was written.
func readable(t *testing.T, v *Volume, run media.RunID) (got []int) {
	t.Helper()
	s := camera(1)
	for e, err := range v.Entries(t.Context(), s.ID(), media.Always) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Run != run {
			continue
		}
		n := int(e.Start / 90000)
		b, err := v.Payload(t.Context(), e.Ref, nil)
		if err != nil {
			continue
		}
		if !bytes.Equal(b, bytes.Repeat(payloadOf(s, e.Run, n, 1000), bigRecord/1000)) {
			t.Fatalf("record %d: not the bytes that were written", n)
		}
		got = append(got, n)
	}
	return got
}

// without lists the records that do not lie in these pools.
func without(poolOf []int, pools ...int) (want []int) {
	for n, p := range poolOf {
		if !slices.Contains(pools, p) {
			want = append(want, n)
		}
	}
	return want
}

// logged is a log that tests read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func poolPath(o Options, n int) string { return filepath.Join(o.Dir, ring.Name(n)) }

var loseSlots = func(slots ...int64) func(*testing.T, Options, int) {
	return func(t *testing.T, o Options, n int) {
		for _, off := range slots {
			patch(t, poolPath(o, n), off+20, []byte("rotten"))
		}
	}
}

// One pool file that is not what it should be: the rest is served and recorded
// into, what can be read of it is read, and not a byte of it is changed.
func TestPassedOver(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(t *testing.T, o Options, n int)
		reason string
		keeps  bool // all of its footage can be read
	}{
		{"deleted", func(t *testing.T, o Options, n int) { os.Remove(poolPath(o, n)) }, "is missing", false},
		{"cut off", func(t *testing.T, o Options, n int) {
			if err := os.Truncate(poolPath(o, n), 512<<10); err != nil {
				t.Fatal(err)
			}
		}, "has 524288 bytes where the ring's pools have 8388608", false},
		{"of another ring", func(t *testing.T, o Options, n int) {
			other := o
			other.Dir, other.Log = t.TempDir(), nil
			r := record(t, other)
			r.stop()
			copyFile(t, poolPath(other, n), poolPath(o, n))
		}, "belongs to another ring", false},
		{"another pool's copy", func(t *testing.T, o Options, n int) {
			copyFile(t, poolPath(o, (n+1)%o.Pools), poolPath(o, n))
		}, "under another name", false},
		{"of a newer version", func(t *testing.T, o Options, n int) {
			patch(t, poolPath(o, n), 8, []byte{pool.Version + 1})
			patch(t, poolPath(o, n), pool.SuperSlot1+8, []byte{pool.Version + 1})
		}, "use a newer nvr", false},
		{"something else", func(t *testing.T, o Options, n int) {
			if err := os.WriteFile(poolPath(o, n), bytes.Repeat([]byte("not ours"), 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "has no readable superblock", false},
		{"both superblocks lost", loseSlots(0, pool.SuperSlot1), "has no readable superblock", true},
	}
	for _, test := range tests {
		for _, n := range []int{1, 3} { // one that is sealed; the one that was being written
			if n == 3 && test.reason != "is missing" && !test.keeps {
				continue
			}
			t.Run(test.name+" "+ring.Name(n), func(t *testing.T) {
				log := &logged{}
				o := testOptions(t.TempDir())
				o.Log = slog.New(slog.NewTextHandler(log, nil))
				poolOf := filled(t, &o)
				test.spoil(t, o, n)
				want := without(poolOf, n)
				if test.keeps {
					want = without(poolOf)
				}
				before, _ := os.ReadFile(poolPath(o, n))

				if got := readable(t, openForReading(t, o), 1); !slices.Equal(got, want) {
					t.Errorf("to be read: %v, want %v", got, want)
				}
				r := record(t, o)
				if faults := r.Faults(); len(faults) != 1 || faults[0].Pool != n || !strings.Contains(faults[0].Reason, test.reason) || faults[0].Readable != test.keeps {
					t.Errorf("faults %v", faults)
				}
				if !strings.Contains(log.String(), "level=ERROR msg=\"a pool file is passed over\"") || !strings.Contains(log.String(), ring.Name(n)) {
					t.Errorf("the log says nothing of it:\n%s", log)
				}
				const more = 45 // more than once round what is left of the ring
				for i := range more {
					for !r.Offer(bigGop(2, i)) {
						r.committed(t)
					}
					if i == 2 {
						r.committed(t)
						for !r.indexed.Load() {
						}
						if got := readable(t, r.Volume, 1); !slices.Equal(got, want) {
							t.Errorf("while recording: %v, want %v", got, want)
						}
					}
				}
				r.committed(t)
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				if after, _ := os.ReadFile(poolPath(o, n)); !bytes.Equal(before, after) {
					t.Error("the file that is passed over was changed")
				}
				got := readable(t, openForReading(t, o), 2)
				if len(got) < 25 || got[len(got)-1] != more-1 || got[0] != more-len(got) {
					t.Errorf("recorded beside it: %v", got)
				}
			})
		}
	}
}

// A file that was cut off is read as far as it goes.
func TestCutOff(t *testing.T) {
	o := testOptions(t.TempDir())
	poolOf := filled(t, &o)
	if err := os.Truncate(poolPath(o, 1), 5*mib); err != nil {
		t.Fatal(err)
	}
	got := readable(t, openForReading(t, o), 1)
	lost := 0
	for n, p := range poolOf {
		if !slices.Contains(got, n) {
			lost++
			if p != 1 {
				t.Errorf("record %d in pool %d is lost", n, p)
			}
		}
	}
	if in := len(poolOf) - len(without(poolOf, 1)); lost == 0 || lost > in/2+1 {
		t.Errorf("%d of %d records lost with the last three of eight MiB", lost, in)
	}
}

// Names that were mixed up: the superblocks know better.
func TestSwappedNames(t *testing.T) {
	o := testOptions(t.TempDir())
	poolOf := filled(t, &o)
	for _, move := range [][2]string{{poolPath(o, 1), poolPath(o, 9)}, {poolPath(o, 2), poolPath(o, 1)}, {poolPath(o, 9), poolPath(o, 2)}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	one, _ := os.ReadFile(poolPath(o, 1))
	v := openForReading(t, o)
	if got := readable(t, v, 1); !slices.Equal(got, without(poolOf)) {
		t.Errorf("%v", got)
	}
	if f := v.Faults(); len(f) != 2 || f[0].Reason != "has the name pool_002.bin" || !f[0].Readable {
		t.Errorf("faults %v", f)
	}
	r := record(t, o)
	for n := range 40 {
		for !r.Offer(bigGop(2, n)) {
			r.committed(t)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(poolPath(o, 1)); !bytes.Equal(one, after) {
		t.Error("it was changed")
	}
}

// A superblock slot that rots costs nothing, be it the newer or the older one,
// of a pool that is sealed, free, or being written: least of all may the pool's
// last generation be taken for what it holds, and be overwritten.
func TestOneSuperblockLost(t *testing.T) {
	for _, slot := range []int64{0, pool.SuperSlot1} {
		for n := range 5 {
			o := testOptions(t.TempDir())
			poolOf := filled(t, &o)
			loseSlots(slot)(t, o, n)
			if n == 4 && slot == pool.SuperSlot1 {
				continue // free: that slot was its only one
			}
			r := record(t, o)
			r.Offer(bigGop(2, 0))
			r.committed(t)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			v := openForReading(t, o)
			if got := readable(t, v, 1); !slices.Equal(got, without(poolOf)) || len(readable(t, v, 2)) != 1 || len(v.Faults()) != 0 {
				t.Errorf("slot at %d of pool %d: %v, %v, %v", slot, n, got, readable(t, v, 2), v.Faults())
			}
		}
	}
}

// Footers that are gone are made up for by walking, and a group header that is
// gone by the footer. Where both are damaged, what the footer has left counts.
func TestLostFootersAndHeaders(t *testing.T) {
	o := testOptions(t.TempDir())
	poolOf := filled(t, &o)
	v := openForReading(t, o)
	for n := range 3 {
		groups, err := v.readDirectory(n)
		if err != nil {
			t.Fatal(err)
		}
		block := make([]byte, pool.TrailerSize)
		f, _ := v.ring.File(n)
		if _, err := f.ReadAt(block, o.PoolBytes-pool.TrailerSize); err != nil {
			t.Fatal(err)
		}
		trailer, err := pool.DecodeTrailer(block, v.ring.Identity(n), o.PoolBytes)
		if err != nil {
			t.Fatal(err)
		}
		middle := groups[len(groups)/2]
		switch n {
		case 0: // no trailer
			patch(t, poolPath(o, n), o.PoolBytes-pool.TrailerSize, make([]byte, pool.TrailerSize))
		case 1: // no header, no directory
			patch(t, poolPath(o, n), middle.Offset, make([]byte, pool.HeaderSize))
			patch(t, poolPath(o, n), groups[0].Offset+pool.HeaderSize, make([]byte, 8))
		case 2: // no header, no trailer, and the footer's first group damaged
			patch(t, poolPath(o, n), middle.Offset, make([]byte, pool.HeaderSize))
			patch(t, poolPath(o, n), trailer.FooterOffset+40, []byte{99})
			patch(t, poolPath(o, n), o.PoolBytes-pool.TrailerSize, make([]byte, pool.TrailerSize))
		}
	}
	if got := readable(t, openForReading(t, o), 1); !slices.Equal(got, without(poolOf)) {
		t.Errorf("%v", got)
	}
}

// A sector that cannot be read costs its record, and a recorder does not stop at
// it, wherever it lies.
func TestBadSectors(t *testing.T) {
	for _, where := range []string{"payload", "header", "footer", "superblock"} {
		for _, n := range []int{1, 3} {
			t.Run(where+" "+ring.Name(n), func(t *testing.T) {
				o := testOptions(t.TempDir())
				poolOf := filled(t, &o)
				groups, err := openForReading(t, o).readDirectory(n)
				if err != nil {
					t.Fatal(err)
				}
				group := groups[(len(groups)-1)/2]
				bad := map[string]int64{"payload": group.Offset + 300_000, "header": group.Offset, "footer": o.PoolBytes - 4096, "superblock": 0}[where]
				o.Disk = badSectors{direct.New(o.Dir, newVolume(o).o.Log), ring.Name(n), bad &^ 4095}
				v := openForReading(t, o)
				got := readable(t, v, 1)
				lost := len(poolOf) - len(got)
				perGroup := 0
				group.Entries(func(e *pool.Entry) bool {
					if e.Kind == pool.KindSamples {
						perGroup++
					}
					return true
				})
				switch {
				case where == "payload" && lost != 1,
					where == "header" && n == 1 && lost != 1, // the footer has it, but for what else lies in that block
					where == "header" && n == 3 && lost > perGroup,
					where == "footer" && lost != 0, where == "superblock" && lost != 0:
					t.Errorf("%d records lost of %d in the group at %d of %d", lost, perGroup, group.Offset, len(groups))
				}
				r := record(t, o)
				r.Offer(bigGop(2, 0))
				r.committed(t)
				for !r.indexed.Load() {
				}
				if got2 := readable(t, r.Volume, 1); !slices.Equal(got, got2) || len(readable(t, r.Volume, 2)) != 1 {
					t.Errorf("while recording %v, before %v", got2, got)
				}
			})
		}
	}
}

// badSectors is a disk that does not give one block back.
type badSectors struct {
	disk.Dir
	name string
	off  int64
}

func (d badSectors) Open(name string, write bool) (disk.File, error) {
	f, err := d.Dir.Open(name, write)
	if err != nil || name != d.name {
		return f, err
	}
	return badFile{f, d.off}, nil
}

type badFile struct {
	disk.File
	off int64
}

func (f badFile) ReadAt(p []byte, off int64) (int, error) {
	if off < f.off+4096 && f.off < off+int64(len(p)) {
		return 0, &os.PathError{Op: "read", Path: "pool", Err: syscall.EIO}
	}
	return f.File.ReadAt(p, off)
}

// The directory may be moved: nothing refers to where it is.
func TestMoved(t *testing.T) {
	o := testOptions(filepath.Join(t.TempDir(), "a"))
	poolOf := filled(t, &o)
	to := filepath.Join(t.TempDir(), "b")
	if err := os.Rename(o.Dir, to); err != nil {
		t.Fatal(err)
	}
	o.Dir = to
	r := record(t, o)
	r.Offer(bigGop(2, 0))
	r.committed(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := readable(t, openForReading(t, o), 1); !slices.Equal(got, without(poolOf)) {
		t.Errorf("%v", got)
	}
}

// Where nothing can be written all can be read, and who wants to record is told.
func TestReadOnlyDirectory(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EROFS, syscall.EACCES} {
		o := testOptions(t.TempDir())
		poolOf := filled(t, &o)
		o.Disk = readOnly{faultdisk.New(direct.New(o.Dir, newVolume(o).o.Log)), errno}
		if got := readable(t, openForReading(t, o), 1); !slices.Equal(got, without(poolOf)) {
			t.Errorf("%v", got)
		}
		_, err := Open(t.Context(), o)
		if !errors.Is(err, errno) || !strings.Contains(err.Error(), "nothing can be recorded there") {
			t.Errorf("recording into it: %v", err)
		}
	}
}

// readOnly is a disk that is mounted read-only, or somebody else's.
type readOnly struct {
	disk.Dir
	errno syscall.Errno
}

func (d readOnly) Lock() (func(), error) {
	return nil, &os.PathError{Op: "open", Path: "ring.lock", Err: d.errno}
}

func (d readOnly) Open(name string, write bool) (disk.File, error) {
	if write {
		return nil, &os.PathError{Op: "open", Path: name, Err: d.errno}
	}
	return d.Dir.Open(name, false)
}

// With many pools the catalogue is followed; a pool that is gone does not end
// the way, be it the newest that the catalogue knows or the newest of all.
func TestCatalogueAndMissingPool(t *testing.T) {
	for _, gone := range []int{1, 3, 4} {
		m := memdisk.New("memory")
		o := testOptions("")
		o.Disk, o.Pools = m, 70
		r := record(t, o)
		poolOf := map[int]int{}
		for n := range 42 {
			for !r.Offer(bigGop(1, n)) {
				t.Fatal("refused")
			}
			r.committed(t)
		}
		for e, err := range r.Entries(t.Context(), camera(1).ID(), media.Always) {
			if err != nil {
				t.Fatal(err)
			}
			poolOf[int(e.Start/90000)] = int(e.Ref.Pool)
		}
		if err := r.stop(); err != nil || poolOf[41] != 4 {
			t.Fatal(err, poolOf)
		}
		m.Vanish(ring.Name(gone))
		r = record(t, o)
		for !r.Offer(bigGop(2, 0)) {
			t.Fatal("refused")
		}
		r.committed(t)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		v := openForReading(t, o)
		var want []int
		for n := range 42 {
			if poolOf[n] != gone {
				want = append(want, n)
			}
		}
		if got := readable(t, v, 1); !slices.Equal(got, want) || len(readable(t, v, 2)) != 1 {
			t.Errorf("without pool %d: %v, want %v", gone, got, want)
		}
	}
}
