package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nvr/internal/simulate"
)

// write is one pwrite64 to a pool file as strace saw it.
type write struct {
	pool     string
	off, len int64
}

// What the recorder asks of the disk while it records: each pool file is
// written from its beginning to its end but for superblocks and footers, each
// commit is one fdatasync, and no other file is written.
func TestSyscalls(t *testing.T) {
	need(t, "strace")
	server := cameras(t, simulate.Options{Cameras: 16, Bitrate: 1_000_000, Audio: simulate.AudioPCMU})
	s := newSite(t, 6, 16, urls(server)...)
	made := s.record(t)
	waitFor(t, 20*time.Second, "ring", func() bool { return s.samples(t, "cam1") > 0 })
	made.stop(t) // creation is another matter
	trace := filepath.Join(s.dir, "trace")
	r := start(t, "strace", "-f", "-y", "-s", "0", "-o", trace, "-e", "trace=openat,write,writev,pwrite64,pwritev,fdatasync,fsync,sync_file_range,ftruncate,fallocate,rename,renameat,unlink,unlinkat",
		program, "--config", s.config, "record")
	time.Sleep(pick(8*time.Second, 30*time.Second)) // the length of the trace is the test's input
	// To the recorder, which strace ends with.
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGTERM)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(trace); err != nil {
		t.Fatal(err)
	}

	var (
		call    = regexp.MustCompile(`^\d+ +(\w+)\((.*)$`)
		file    = regexp.MustCompile(`<([^>]*)>`)
		pwrite  = regexp.MustCompile(`, (\d+), (\d+)\) += (\d+)`)
		unended = map[string]string{}
		writes  []write
		syncs   int
		size    = int64(16 << 20)
	)
	for sc := bufio.NewScanner(strings.NewReader(string(text))); sc.Scan(); {
		line := sc.Text()
		pid, _, _ := strings.Cut(line, " ")
		if before, ok := strings.CutSuffix(line, " <unfinished ...>"); ok {
			unended[pid] = before
			continue
		}
		if i := strings.Index(line, " resumed>"); i >= 0 {
			line = unended[pid] + line[i+len(" resumed>"):]
		}
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := ""
		if f := file.FindStringSubmatch(m[2]); f != nil {
			name = f[1]
		}
		inRing := strings.HasPrefix(name, s.ring())
		isPool := inRing && strings.HasPrefix(filepath.Base(name), "pool_")
		switch m[1] {
		case "pwrite64":
			p := pwrite.FindStringSubmatch(m[2])
			if p == nil || !isPool {
				t.Errorf("a write that is none to a pool: %s", line)
				continue
			}
			n, _ := strconv.ParseInt(p[1], 10, 64)
			off, _ := strconv.ParseInt(p[2], 10, 64)
			writes = append(writes, write{filepath.Base(name), off, n})
		case "fdatasync":
			if !isPool {
				t.Errorf("a sync of no pool: %s", line)
			}
			syncs++
		case "fsync": // of the names that the start found, before anything relies on them
			if !strings.HasPrefix(s.ring(), name) || len(writes) > 0 {
				t.Errorf("a sync of what is no name of the ring, or too late: %s", line)
			}
		case "openat":
			if strings.Contains(m[2], "O_CREAT") && !strings.Contains(m[2], "ring.lock") {
				t.Errorf("a file is made: %s", line)
			}
		case "write":
			if inRing || strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "/dev/") && !strings.HasPrefix(name, "/proc/") && !strings.HasPrefix(name, "/sys/") {
				t.Errorf("a write to another file: %s", line)
			}
		default:
			if !strings.Contains(m[2], "nvr.sock") { // the control socket comes and goes
				t.Errorf("%s", line)
			}
		}
	}
	var supers, footers, groups, bytes, jumps int64
	next := map[string]int64{}
	commits := map[string]int64{}
	for i, w := range writes {
		switch {
		case w.off < 1<<20:
			supers++
		case w.off+w.len == size:
			footers++
		default:
			groups++
			bytes += w.len
			if want, seen := next[w.pool]; seen && w.off != want {
				jumps++
				t.Errorf("write %d to %s at %d, the one before it ended at %d", i, w.pool, w.off, want)
			}
			next[w.pool] = w.off + w.len
			commits[fmt.Sprint(w.pool, w.off)]++
		}
	}
	t.Logf("%d writes of groups (%d bytes), %d of superblocks, %d of footers, %d jumps, %d fdatasync", groups, bytes, supers, footers, jumps, syncs)
	if groups < 4 || bytes == 0 {
		t.Fatal("next to nothing was written: the test proves nothing")
	}
	// At this rate a commit is one group, three at the most; a superblock has its own
	// sync, and so may a footer. One more is that of what the start found.
	if own := int64(syncs) - supers - 1; own > groups+footers || own*3 < groups {
		t.Errorf("%d syncs for %d groups, %d superblocks and %d footers", syncs, groups, supers, footers)
	}
}
