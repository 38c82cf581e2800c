package mp4

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

func TestSpool(t *testing.T) {
	for _, size := range []int{0, 1, maxSpoolMemory - 1, maxSpoolMemory, maxSpoolMemory + 1, 3*maxSpoolMemory + 77} {
		s := NewSpool(func() (TempFile, error) { return os.CreateTemp(t.TempDir(), "") })
		want := make([]byte, size)
		rnd := rand.New(rand.NewPCG(uint64(size), 0))
		for i := range want {
			want[i] = byte(rnd.Uint32())
		}
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(5000))
			if _, err := s.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			if len(s.tail) > maxSpoolMemory {
				t.Fatalf("%d bytes in memory", len(s.tail))
			}
		}
		for range 2 {
			got, err := io.ReadAll(s.Reader())
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: read %d, %v", size, len(got), err)
			}
		}
		for range 50 {
			off := rnd.IntN(size + 1)
			p := make([]byte, rnd.IntN(size-off+1))
			if _, err := s.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, want[off:][:len(p)]) {
				t.Fatalf("%d+%d of %d: %v", off, len(p), size, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// brokenFile is a disk that is full.
type brokenFile struct{ *os.File }

var errFull = errors.New("no space left")

func (brokenFile) WriteAt([]byte, int64) (int, error) { return 0, errFull }
func (brokenFile) Close() error                       { return nil }

// TestFullDisk: a table that cannot be spooled ends the file, in bounded memory.
func TestFullDisk(t *testing.T) {
	b := NewBuilder(func() (TempFile, error) { return brokenFile{}, nil })
	defer b.Close()
	v := addTrack(t, b, avc)
	var err error
	for i := int64(0); err == nil && i < 1_000_000; i++ {
		if i%100 == 0 {
			err = v.Chunk(avc)
		}
		v.Add(Sample{Decode: i, Size: uint32(i)})
	}
	if !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	v.End(1_000_000)
	if err := b.Finish(Movie{}); !errors.Is(err, errFull) {
		t.Errorf("finish: %v", err)
	}
}
