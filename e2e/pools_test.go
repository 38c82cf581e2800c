package e2e

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"nvr/internal/simulate/mark"
)

// poolFile is a pool as docs/format.md describes it, read without the
// recorder's code.
type poolFile struct {
	generation uint64
	groups     [][]byte // of this generation, in the order of their offsets
}

// readRing reads every pool file of a ring, oldest generation first.
func readRing(t *testing.T, dir string) []poolFile {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "pool_*.bin"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no pool files in %s", dir)
	}
	var ring []poolFile
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if p := readPool(b); p.generation > 0 {
			ring = append(ring, p)
		}
	}
	slices.SortFunc(ring, func(a, b poolFile) int { return cmp.Compare(a.generation, b.generation) })
	return ring
}

func readPool(b []byte) (p poolFile) {
	le := binary.LittleEndian
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	counter := uint64(0)
	for _, slot := range []int{0, 64 << 10} {
		s := b[slot:]
		if string(s[:8]) == "NVSUPER1" && crc32.Checksum(s[:84], castagnoli) == le.Uint32(s[84:]) && le.Uint64(s[48:]) > counter {
			counter, p.generation = le.Uint64(s[48:]), le.Uint64(s[32:])
		}
	}
	for at := 1 << 20; at+4096 <= len(b); {
		g := b[at:]
		if string(g[:8]) != "NVGROUP1" || crc32.Checksum(g[:124], castagnoli) != le.Uint32(g[124:]) || le.Uint64(g[32:]) != p.generation || le.Uint64(g[48:]) != uint64(at) {
			at += 4096
			continue
		}
		length := int(le.Uint32(g[60:]))
		p.groups = append(p.groups, g[:length])
		at += length
	}
	return p
}

// whole reports whether a group's payloads are what its directory says. One that was
// cut off, or failed in the middle, is not, and does not count.
func whole(g []byte) bool {
	le := binary.LittleEndian
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	seed := crc32.Update(0, castagnoli, g[16:40]) // ring UUID, generation
	seed = crc32.Update(seed, castagnoli, g[48:56])
	dir := g[128 : 128+le.Uint32(g[64:])]
	if crc32.Checksum(dir, castagnoli) != le.Uint32(g[96:]) {
		return false
	}
	for len(dir) > 0 {
		at, length := le.Uint32(dir[56:]), le.Uint32(dir[60:])
		if crc32.Update(seed, castagnoli, g[at:at+length]) != le.Uint32(dir[64:]) {
			return false
		}
		dir = dir[le.Uint32(dir[4:]):]
	}
	return true
}

// marksIn judges the signatures of all pictures in a ring.
func marksIn(t *testing.T, dir string) []mark.Report {
	t.Helper()
	var c mark.Checker
	for _, p := range readRing(t, dir) {
		for _, g := range p.groups {
			mark.Find(g, c.Add)
		}
	}
	return c.Reports()
}
