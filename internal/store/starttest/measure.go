package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nvr/internal/control"
	"nvr/internal/store/pool"
)

// measuring starts the recorder and looks on.
type measuring struct {
	nvr, scratch string
	recorded     int
}

// patience is how long anything may take that is waited for.
const patience = 20 * time.Minute

func (m *measuring) run(small, large shape) error {
	for _, tool := range []string{"strace", m.nvr} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	cameras, urls, err := m.simulate()
	if err != nil {
		return err
	}
	defer end(cameras)

	catalogue := filepath.Join(large.dir, "catalogue")
	good, err := os.ReadFile(catalogue)
	if err != nil {
		return err
	}
	fmt.Printf("%-42s %7s %9s %14s %14s\n", "start", "reads", "of pools", "first write", "first commit")
	var base starting
	for _, c := range []struct {
		name    string
		s       shape
		prepare func() error
	}{
		{fmt.Sprintf("%d pools", small.pools), small, func() error { return nil }},
		{fmt.Sprintf("%d pools", large.pools), large, func() error { return nil }},
		{fmt.Sprintf("%d pools, no catalogue", large.pools), large, func() error { return os.Remove(catalogue) }},
		{fmt.Sprintf("%d pools, a damaged catalogue", large.pools), large, func() error {
			b := bytes.Clone(good)
			b[len(b)/2] ^= 1
			return os.WriteFile(catalogue, b, 0o640)
		}},
	} {
		if err := c.prepare(); err != nil {
			return err
		}
		got, err := m.start(c.s, urls)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.s.pools == small.pools {
			base = got
		}
		fmt.Printf("%-42s %7d %9d %6.2f s ×%4.2f %6.2f s ×%4.2f\n", c.name, got.reads, got.poolReads, got.write.Seconds(), float64(got.write)/float64(base.write),
			got.commit.Seconds(), float64(got.commit)/float64(base.commit))
	}

	fmt.Printf("\n%-42s %10s %14s %10s %10s %12s %12s\n", "index", "indexed in", "bytes", "RSS then", "RSS peak", "open files", "catalogue")
	for _, s := range []shape{small, large} {
		if s.pools == large.pools {
			if err := os.Remove(catalogue); err != nil {
				return err
			}
		}
		got, err := m.index(s, urls)
		if err != nil {
			return fmt.Errorf("%d pools: %w", s.pools, err)
		}
		_, err = os.Stat(filepath.Join(s.dir, "catalogue"))
		fmt.Printf("%-42s %8.1f s %11.1f MB %7.1f MB %7.1f MB %12d %12t\n", fmt.Sprintf("%d pools", s.pools), got.took.Seconds(), float64(got.bytes)/1e6, float64(got.rss)/1e6, float64(got.peak)/1e6,
			got.files, err == nil)
	}
	return nil
}

// simulate starts the cameras that are recorded.
func (m *measuring) simulate() (*exec.Cmd, []string, error) {
	c := exec.Command(m.nvr, "simulate", "--cameras", strconv.Itoa(m.recorded), "--port", "0")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := c.Start(); err != nil {
		return nil, nil, err
	}
	var urls []string
	for lines := bufio.NewScanner(out); len(urls) < m.recorded; {
		if !lines.Scan() {
			end(c)
			return nil, nil, errors.New("the simulated cameras did not start")
		}
		if at := strings.Index(lines.Text(), "rtsp://"); at >= 0 {
			urls = append(urls, strings.Fields(lines.Text()[at:])[0])
		}
	}
	return c, urls, nil
}

func end(c *exec.Cmd) error {
	c.Process.Signal(syscall.SIGINT)
	return c.Wait()
}

// configure writes the recorder's configuration, and has the ring read from the
// disk, not from memory.
func (m *measuring) configure(s shape, urls []string) (path string, err error) {
	var b strings.Builder
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "[storage]\nbase_path = %q\nchunk_size_mb = %d\nmax_pools = %d\n", dir, s.size>>20, s.pools)
	for i, url := range urls {
		fmt.Fprintf(&b, "[[cameras]]\nid = \"cam%d\"\nname = \"cam%d\"\nurl = %q\n", i, i, url)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return "", err
	}
	for _, name := range files {
		if err := forget(name); err != nil {
			return "", err
		}
	}
	path = filepath.Join(filepath.Dir(dir), "nvr.toml")
	return path, os.WriteFile(path, []byte(b.String()), 0o640)
}

// forget has the kernel drop what it holds of a file in memory.
func forget(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// status is what the recorder tells of itself.
type status struct {
	PID    int `json:"pid"`
	Volume struct {
		Indexed    bool  `json:"indexed"`
		IndexBytes int64 `json:"index_bytes"`
		Commits    int64 `json:"commits"`
	} `json:"volume"`
}

// await asks the recorder for its status until it is as wanted.
func await(look time.Duration, config string, recorder <-chan error, wanted func(status) bool) (s status, err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(look) {
		select {
		case err := <-recorder:
			return s, fmt.Errorf("the recorder has ended: %w", err)
		default:
		}
		answer, err := control.Ask(context.Background(), filepath.Join(filepath.Dir(config), "ring"), "status", nil, nil)
		if err != nil || json.Unmarshal(answer, &s) != nil {
			continue
		}
		if s.PID > 0 && wanted(s) {
			return s, nil
		}
	}
	return s, errors.New("nothing has come of it")
}

// starting is what a start cost, from exec on.
type starting struct {
	reads, poolReads int           // before the first write to a pool file
	write            time.Duration // until then
	commit           time.Duration // until the first group's sync has returned
}

func (m *measuring) start(s shape, urls []string) (starting, error) {
	config, err := m.configure(s, urls)
	if err != nil {
		return starting{}, err
	}
	trace := filepath.Join(filepath.Dir(config), "strace")
	c := exec.Command("strace", "-f", "--seccomp-bpf", "-ttt", "-T", "-y", "-s", "0", "-e", "trace=execve,read,pread64,pwrite64,fdatasync", "-o", trace, m.nvr, "--config", config, "record")
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return starting{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	st, err := await(time.Second/5, config, ended, func(s status) bool { return s.Volume.Commits > 0 })
	if err != nil {
		return starting{}, err
	}
	syscall.Kill(st.PID, syscall.SIGINT)
	if err := <-ended; err != nil {
		return starting{}, err
	}
	dir, _ := filepath.Abs(s.dir)
	return parse(trace, dir)
}

// call is a line of strace -f -ttt -T -y: who, when, what, on which file, the rest.
var call = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (?:<\.\.\. )?(\w+)(?:\(\d+<([^>]*)>)?(.*)$`)

func parse(trace, dir string) (s starting, err error) {
	f, err := os.Open(trace)
	if err != nil {
		return s, err
	}
	defer f.Close()
	began, wrote, group := 0.0, false, false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		w := call.FindStringSubmatch(lines.Text())
		if w == nil {
			continue
		}
		at, _ := strconv.ParseFloat(w[2], 64)
		since := time.Duration((at - began) * float64(time.Second))
		pools := strings.HasPrefix(w[4], filepath.Join(dir, "pool_"))
		switch name := w[3]; {
		case name == "execve" && began == 0:
			began = at
		case (name == "read" || name == "pread64") && strings.HasPrefix(w[4], dir+"/") && !wrote:
			s.reads++
			if pools {
				s.poolReads++
			}
		case name == "pwrite64" && pools:
			if !wrote {
				wrote, s.write = true, since
			}
			args := strings.Split(strings.SplitN(w[5], ")", 2)[0], ", ")
			if off, err := strconv.ParseInt(strings.Fields(args[len(args)-1])[0], 10, 64); err == nil && off >= pool.FirstGroup {
				group = true
			}
		case name == "fdatasync" && group && strings.Contains(w[5], "= 0"):
			if took := regexp.MustCompile(`<(\d+\.\d+)>$`).FindStringSubmatch(w[5]); took != nil && !strings.Contains(lines.Text(), "resumed") {
				d, _ := strconv.ParseFloat(took[1], 64)
				since += time.Duration(d * float64(time.Second))
			}
			s.commit = since
			return s, nil
		}
	}
	return s, errors.Join(lines.Err(), fmt.Errorf("%s tells of no commit", trace))
}

// indexing is what the index cost.
type indexing struct {
	took             time.Duration // from exec on
	bytes, rss, peak int64
	files            int // descriptors when it was done
}

func (m *measuring) index(s shape, urls []string) (indexing, error) {
	config, err := m.configure(s, urls)
	if err != nil {
		return indexing{}, err
	}
	c := exec.Command(m.nvr, "--config", config, "record")
	c.Stderr = os.Stderr
	began := time.Now()
	if err := c.Start(); err != nil {
		return indexing{}, err
	}
	look := time.Duration(s.pools) * time.Millisecond / 5 // a status has to go through the index, too
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	st, err := await(look, config, ended, func(s status) bool { return s.Volume.Indexed })
	if err != nil {
		return indexing{}, err
	}
	got := indexing{took: time.Since(began)}
	time.Sleep(5 * time.Second) // until what the indexer needed has been given back
	if st, err = await(look, config, ended, func(status) bool { return true }); err != nil {
		return indexing{}, err
	}
	got.bytes = st.Volume.IndexBytes
	proc := filepath.Join("/proc", strconv.Itoa(st.PID))
	b, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return indexing{}, err
	}
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) >= 2 && (w[0] == "VmRSS:" || w[0] == "VmHWM:") {
			kib, _ := strconv.ParseInt(w[1], 10, 64)
			if w[0] == "VmRSS:" {
				got.rss = kib << 10
			} else {
				got.peak = kib << 10
			}
		}
	}
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return indexing{}, err
	}
	got.files = len(open)
	syscall.Kill(st.PID, syscall.SIGINT)
	return got, <-ended
}
