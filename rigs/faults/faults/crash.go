package main

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
)

// Crash-state model at the file-system interface (in the spirit of ALICE): at crash point k
//   - every data op covered by a completed fsync/fdatasync (or made with O_DSYNC) is on disk;
//   - every other data op is on disk whole, not at all, or sector by sector (torn);
//   - directory ops: meta=ordered  a prefix, at least up to the last fsync of anything (journalling fs);
//                    meta=weak     per directory a prefix, at least up to the last fsync of THAT directory.

type init0 struct {
	files map[uint64][]byte
	names map[string]uint64 // path -> id
	dirs  map[string]bool
	links map[string]string
}

func snapshot(dir string) *init0 {
	s := &init0{map[uint64][]byte{}, map[string]uint64{}, map[string]bool{}, map[string]string{}}
	filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err != nil || p == dir {
			return nil
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case fi.IsDir():
			s.dirs[rel] = true
		case fi.Mode()&os.ModeSymlink != 0:
			s.links[rel], _ = os.Readlink(p)
		default:
			b, err := os.ReadFile(p)
			if err != nil {
				die("%v", err)
			}
			id := idOf(p)
			s.files[id], s.names[rel] = b, id
		}
		return nil
	})
	return s
}

func isData(k string) bool { return k == "write" || k == "trunc" || k == "alloc" || k == "punch" }
func isDir(k string) bool {
	switch k {
	case "create", "mkdir", "unlink", "rmdir", "rename", "symlink":
		return true
	}
	return false
}

var strategies = []string{"none", "all", "rand", "last", "notfirst", "tornlast", "torn"}

// buildState writes the crash state into dir and returns the acks given before the crash and a description.
func buildState(s *init0, ops []Op, k int, strat, meta string, sector int64, rng *rand.Rand, dir string) ([]string, string) {
	durable := make([]bool, k)
	lost := make([]bool, k)
	lastCommit := 0
	dirCommit := map[string]int{}
	var acks []string
	for j := 0; j < k; j++ {
		o := &ops[j]
		switch o.Kind {
		case "ack":
			acks = append(acks, o.Ack)
		case "fsync":
			for i := 0; i < o.Cover; i++ {
				if isData(ops[i].Kind) && ops[i].ID == o.ID && !durable[i] {
					if o.Drop > 0 { // the same writes in every state: it is history
						lost[i] = lost[i] || rand.New(rand.NewSource(int64(j)<<32+int64(i))).Float64() < o.Drop
					} else if !lost[i] {
						durable[i] = true
					}
				}
			}
			if o.Drop == 0 {
				lastCommit = o.Cover
			}
		case "dirsync":
			lastCommit = o.Cover
			dirCommit[o.Path] = o.Cover
		case "write":
			durable[j] = o.Sync
		}
	}
	// directory
	keepMeta := make([]bool, k)
	if meta == "weak" {
		cut := map[string]int{}
		for j := 0; j < k; j++ {
			if !isDir(ops[j].Kind) {
				continue
			}
			p := ops[j].Path
			if ops[j].Kind == "rename" {
				p = ops[j].Path2
			}
			d := filepath.Dir(p)
			if d == "." {
				d = ""
			}
			c, ok := cut[d]
			if !ok {
				c = dirCommit[d]
				switch strat {
				case "all":
					c = k
				case "none":
				default:
					c += rng.Intn(k - c + 1)
				}
				cut[d] = c
			}
			keepMeta[j] = j < c
		}
	} else {
		m := lastCommit
		switch strat {
		case "none":
		case "all":
			m = k
		default:
			m += rng.Intn(k - m + 1)
		}
		for j := 0; j < m && j < k; j++ {
			keepMeta[j] = isDir(ops[j].Kind)
		}
	}
	var pend []int
	for j := 0; j < k; j++ {
		if isData(ops[j].Kind) && !durable[j] && !lost[j] {
			pend = append(pend, j)
		}
	}
	files := map[uint64][]byte{}
	for id, b := range s.files {
		files[id] = append([]byte(nil), b...)
	}
	names, dirs, links := map[string]uint64{}, map[string]bool{}, map[string]string{}
	for p, id := range s.names {
		names[p] = id
	}
	for p := range s.dirs {
		dirs[p] = true
	}
	for p, t := range s.links {
		links[p] = t
	}
	first, last := -1, -1
	if len(pend) > 0 {
		first, last = pend[0], pend[len(pend)-1]
	}
	nk, nt := 0, 0
	apply := func(o *Op, torn bool) {
		b := files[o.ID]
		need := o.Off + o.Len
		grow := func(n int64) {
			if int64(len(b)) < n {
				b = append(b, make([]byte, n-int64(len(b)))...)
			}
		}
		switch o.Kind {
		case "write":
			if !torn {
				grow(need)
				copy(b[o.Off:], o.Data)
				break
			}
			for at := o.Off; at < need; {
				end := (at/sector + 1) * sector
				if end > need {
					end = need
				}
				if rng.Intn(2) == 0 {
					grow(end)
					copy(b[at:end], o.Data[at-o.Off:end-o.Off])
				}
				at = end
			}
		case "trunc":
			if int64(len(b)) > o.Off {
				b = b[:o.Off:o.Off]
			} else {
				grow(o.Off)
			}
		case "alloc":
			grow(need)
		case "punch":
			for i := o.Off; i < need && i < int64(len(b)); i++ {
				b[i] = 0
			}
		}
		files[o.ID] = b
	}
	for j := 0; j < k; j++ {
		o := &ops[j]
		switch {
		case keepMeta[j]:
			switch o.Kind {
			case "create":
				names[o.Path] = o.ID
			case "mkdir":
				dirs[o.Path] = true
			case "rmdir":
				delete(dirs, o.Path)
			case "unlink":
				delete(names, o.Path)
				delete(links, o.Path)
			case "symlink":
				links[o.Path] = o.Path2
			case "rename":
				if id, ok := names[o.Path]; ok {
					names[o.Path2] = id
					delete(names, o.Path)
				} else if dirs[o.Path] {
					moveDir(names, dirs, links, o.Path, o.Path2)
				}
			}
		case !isData(o.Kind) || lost[j]:
		case durable[j]:
			apply(o, false)
		default:
			keep, torn := false, false
			switch strat {
			case "all":
				keep = true
			case "rand":
				keep = rng.Intn(2) == 0
			case "last":
				keep = j == last
			case "notfirst":
				keep = j != first
			case "tornlast":
				keep, torn = true, j == last
			case "torn":
				keep, torn = rng.Intn(4) != 0, true
			}
			if keep {
				nk++
				if torn {
					nt++
				}
				apply(o, torn)
			}
		}
	}
	for d := range dirs {
		if reachable(dirs, d) {
			os.MkdirAll(filepath.Join(dir, d), 0755)
		}
	}
	for p, id := range names {
		if !reachable(dirs, filepath.Dir(p)) {
			continue // a directory on the way to it is lost, and it with that
		}
		fp := filepath.Join(dir, p)
		f, err := os.Create(fp)
		if err != nil {
			die("%v", err)
		}
		writeSparse(f, files[id])
		f.Close()
	}
	for p, t := range links {
		os.Symlink(t, filepath.Join(dir, p))
	}
	return acks, fmt.Sprintf("crash after op %d/%d, strategy %s, %d un-synced data ops of which %d kept (%d torn), %d acks", k, len(ops), strat, len(pend), nk, nt, len(acks))
}

// reachable says whether all of a directory's names, up to the top, are there.
func reachable(dirs map[string]bool, d string) bool {
	for ; d != "." && d != ""; d = filepath.Dir(d) {
		if !dirs[d] {
			return false
		}
	}
	return true
}

func moveDir(names map[string]uint64, dirs map[string]bool, links map[string]string, a, b string) {
	for p := range dirs {
		if p == a || strings.HasPrefix(p, a+"/") {
			delete(dirs, p)
			dirs[b+p[len(a):]] = true
		}
	}
	for p, id := range names {
		if strings.HasPrefix(p, a+"/") {
			delete(names, p)
			names[b+p[len(a):]] = id
		}
	}
}

var zero [4096]byte

func writeSparse(f *os.File, b []byte) {
	f.Truncate(int64(len(b)))
	const blk = 64 << 10
	for o := 0; o < len(b); o += blk {
		e := min(o+blk, len(b))
		if !allZero(b[o:e]) {
			f.WriteAt(b[o:e], int64(o))
		}
	}
}
func allZero(b []byte) bool {
	for len(b) >= 4096 {
		if string(b[:4096]) != string(zero[:]) {
			return false
		}
		b = b[4096:]
	}
	return string(b) == string(zero[:len(b)])
}

// crashPoints picks n crash points: half just after an ack, half anywhere.
func crashPoints(n, total int, isAck func(int) bool, rng *rand.Rand) []int {
	var ack []int
	for i := 0; i < total; i++ {
		if isAck(i) {
			ack = append(ack, i+1)
		}
	}
	var out []int
	for i := 0; i < n; i++ {
		if i%2 == 0 && len(ack) > 0 {
			out = append(out, ack[rng.Intn(len(ack))])
		} else {
			out = append(out, rng.Intn(total+1))
		}
	}
	return out
}
