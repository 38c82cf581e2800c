package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nvr/internal/simulate/mark"
)

// What a disk that goes away costs: the recorder, its cameras in a process of their
// own, and real mounts below which rigs/faults takes the disk away and brings it
// back. `make away` is the long form, whose table is in docs/reliability.md.

const (
	awayFPS = 15
	awayGOP = 30 // pictures, of the simulated cameras
	alarmIn = 5 * time.Second
	backIn  = 5 * time.Second
)

// The short form has few cameras that send a lot, so that memory is full in its
// outage too.
var (
	awayCameras = pick(4, 16)
	awayBitrate = pick("12M", "2M")
	awayFor     = pick(8*time.Second, 60*time.Second)
	awayQueue   = pick(16, 256) // writer_queue_size
)

// awayCap is how much memory the recorder may take: what it takes with no outage
// (32 MiB, 1 MiB a camera), and for what waits: a batch, and the queue behind it, each
// 24 MiB or more; records lie in buffers of a power of two, and the collector may
// leave a quarter of it about.
func awayCap(recordBytes int) int64 {
	queue := max(24<<20, awayQueue*recordBytes)
	return int64(32+awayCameras)<<20 + int64(24<<20+queue)*2*5/4
}

// sick is a disk that goes away.
type sick struct {
	base string // base_path on it
	ill  func()
	half func() // what is done in the middle of the outage; nil: nothing
	well func()
}

func TestDiskGoesAway(t *testing.T) {
	if os.Geteuid() != 0 {
		missing(t, "root is needed for mounts")
	}
	need(t, "mount", "umount", "losetup", "mkfs.ext4", "mkfs.xfs")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, err.Error())
	}
	faults := filepath.Join(t.TempDir(), "faults")
	build := exec.Command("go", "build", "-o", faults, "./faults")
	build.Dir, build.Env = filepath.Join("..", "rigs", "faults"), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var table []string
	for _, test := range []struct {
		name   string
		second bool // a second volume, on another directory
		long   bool // in the long form only
		disk   func(*testing.T, string) sick
	}{
		{"ext4, every block EIO, mounted anew", false, false, func(t *testing.T, faults string) sick { return sickBlock(t, faults, "ext4", "any err=EIO", true) }},
		{"xfs, every block EIO, mounted anew", false, true, func(t *testing.T, faults string) sick { return sickBlock(t, faults, "xfs", "any err=EIO", true) }},
		{"FUSE connection gone, mounted anew", false, true, sickConnection},
		{"ENODEV, the same mount again", false, true, func(t *testing.T, faults string) sick { return sickDir(t, faults, "ENODEV", false) }},
		{"EROFS, then remount,ro and remount,rw", false, true, func(t *testing.T, faults string) sick { return sickDir(t, faults, "EROFS", true) }},
		{"ext4, every block hangs", false, true, func(t *testing.T, faults string) sick { return sickBlock(t, faults, "ext4", "any delay=10m", false) }},
		{"ext4, EIO, beside a second volume", true, false, func(t *testing.T, faults string) sick { return sickBlock(t, faults, "ext4", "any err=EIO", true) }},
		{"ext4, hangs, beside a second volume", true, true, func(t *testing.T, faults string) sick { return sickBlock(t, faults, "ext4", "any delay=10m", false) }},
	} {
		if test.long && !long() {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			table = append(table, goAway(t, test.name, test.disk(t, faults), test.second))
		})
	}
	fmt.Printf("%d cameras, %s each, %v away\n%s\n%s\n", awayCameras, awayBitrate, awayFor,
		"| the disk | connections lost | alarm: log, status (s) | recording after its return (s) | most memory (cap), MiB | CPU of a core, before / away | pictures sent, lost | gaps | their ends are off by at most (s) | lost elsewhere |",
		strings.Join(append([]string{"|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"}, table...), "\n"))
}

// sickBlock is a file system on a block device that fails by a rule.
func sickBlock(t *testing.T, faults, fs, rule string, anew bool) sick {
	dir := t.TempDir()
	dev, mnt, ctl := filepath.Join(dir, "dev"), filepath.Join(dir, "mnt"), filepath.Join(dir, "ctl")
	mkdirs(t, dev, mnt)
	p := background(t, faults, "blk", "-size", "1G", "-dir", dev, "-fs", fs, "-mnt", mnt, "-ctl", ctl)
	waitFor(t, time.Minute, "device", func() bool { return len(p.lines("/dev/loop")) > 0 })
	device := strings.TrimSpace(p.lines("/dev/loop")[0].text)
	s := sick{base: filepath.Join(mnt, "ring")}
	s.ill = func() { output(t, faults, "ctl", ctl, rule) }
	s.well = func() { output(t, faults, "ctl", ctl, "clear") }
	if anew {
		s.half = func() { unmount(t, mnt) }
		s.well = func() {
			emptyBelow(t, mnt)
			output(t, faults, "ctl", ctl, "clear")
			output(t, "mount", device, mnt)
		}
	}
	return s
}

// sickConnection is a FUSE directory whose server is gone: all that was open fails
// with ENOTCONN for ever.
func sickConnection(t *testing.T, faults string) sick {
	dir := t.TempDir()
	back, mnt := filepath.Join(dir, "back"), filepath.Join(dir, "mnt")
	mkdirs(t, back, mnt)
	serve := func() *watched {
		p := background(t, faults, "fs", "-back", back, "-mnt", mnt)
		waitFor(t, 10*time.Second, "mount", func() bool { return mounted(mnt) })
		return p
	}
	t.Cleanup(func() { exec.Command("umount", "-l", mnt).Run() })
	p := serve()
	return sick{
		base: filepath.Join(mnt, "ring"),
		ill:  func() { p.cmd.Process.Kill() },
		half: func() { unmount(t, mnt) },
		well: func() { emptyBelow(t, mnt); serve() },
	}
}

// sickDir is a FUSE directory each of whose calls fails; readOnly: it is mounted
// read-only in the middle, which is possible only where nobody writes.
func sickDir(t *testing.T, faults, errno string, readOnly bool) sick {
	dir := t.TempDir()
	back, mnt, ctl := filepath.Join(dir, "back"), filepath.Join(dir, "mnt"), filepath.Join(dir, "ctl")
	mkdirs(t, back, mnt)
	background(t, faults, "fs", "-back", back, "-mnt", mnt, "-ctl", ctl)
	waitFor(t, 10*time.Second, "mount", func() bool { return mounted(mnt) })
	s := sick{base: filepath.Join(mnt, "ring")}
	s.ill = func() { output(t, faults, "ctl", ctl, "any err="+errno) }
	s.well = func() { output(t, faults, "ctl", ctl, "clear") }
	if readOnly {
		s.half = func() {
			waitFor(t, 5*time.Second, "moment at which nothing is open for writing", func() bool { return exec.Command("mount", "-o", "remount,bind,ro", mnt).Run() == nil })
			output(t, faults, "ctl", ctl, "clear")
		}
		s.well = func() { output(t, "mount", "-o", "remount,bind,rw", mnt) }
	}
	return s
}

func mkdirs(t *testing.T, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o750); err != nil {
			t.Fatal(err)
		}
	}
}

func mounted(dir string) bool {
	var at, above syscall.Stat_t
	return syscall.Stat(dir, &at) == nil && syscall.Stat(filepath.Dir(dir), &above) == nil && at.Dev != above.Dev
}

// unmount is what a person types: no force. A look for the ring may be under way at
// the first try.
func unmount(t *testing.T, mnt string) {
	t.Helper()
	waitFor(t, 5*time.Second, "moment at which "+mnt+" is not busy", func() bool { return exec.Command("umount", mnt).Run() == nil })
}

// emptyBelow wants nothing to have been made in a mount point without its mount.
func emptyBelow(t *testing.T, mnt string) {
	t.Helper()
	if names, err := os.ReadDir(mnt); err != nil || len(names) > 0 {
		t.Errorf("in the empty mount point: %v, %v", names, err)
	}
}

// watched is a process whose lines are stamped as they come.
type watched struct {
	cmd  *exec.Cmd
	done chan error

	mu  sync.Mutex
	all []line
}

type line struct {
	at   time.Time
	text string
}

func background(t *testing.T, name string, args ...string) *watched {
	t.Helper()
	p := &watched{cmd: exec.Command(name, args...), done: make(chan error, 1)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		for sc := bufio.NewScanner(r); sc.Scan(); {
			p.mu.Lock()
			p.all = append(p.all, line{time.Now(), sc.Text()})
			p.mu.Unlock()
		}
		r.Close()
		p.done <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			p.cmd.Process.Kill()
		}
		if t.Failed() {
			var b strings.Builder
			for _, l := range p.lines("") {
				if !strings.Contains(l.text, "method=") {
					fmt.Fprintln(&b, l.at.Format("05.000"), l.text)
				}
			}
			t.Logf("%s said:\n%s", filepath.Base(name), b.String())
		}
	})
	return p
}

func (p *watched) lines(with string) (found []line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.all {
		if strings.Contains(l.text, with) {
			found = append(found, l)
		}
	}
	return found
}

func (p *watched) end(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	err := <-p.done
	p.done <- err
	if err != nil {
		t.Errorf("%s: %v", p.cmd.Args, err)
	}
}

var residentLine = regexp.MustCompile(`VmRSS:\s*(\d+) kB`)

func (p *watched) resident() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if m := residentLine.FindSubmatch(b); m != nil {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n << 10
	}
	return 0
}

// cpu is what the process has used of it.
func (p *watched) cpu() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// state is what the test reads of nvr status --json.
type state struct {
	Volumes []struct {
		Down       bool
		Away       string
		Queued     int64     `json:"queued_bytes"`
		LastCommit time.Time `json:"last_commit"`
	}
	Cameras []struct {
		Session *struct{ State string }
	}
}

func (s *site) status() (st state, err error) {
	out, err := exec.Command(program, "--config", s.config, "status", "--json").Output()
	if err != nil {
		return st, err
	}
	err = json.Unmarshal(out, &st)
	return st, err
}

// goAway takes a disk away under cameras that are recorded, brings it back, and
// compares what is there with what was sent.
func goAway(t *testing.T, name string, disk sick, second bool) string {
	const before, after = 8 * time.Second, 10 * time.Second
	s := &site{dir: t.TempDir()}
	s.config = filepath.Join(s.dir, "config.toml")
	cameras := background(t, program, "--verbose", "simulate", "--cameras", strconv.Itoa(awayCameras), "--bitrate", awayBitrate, "--port", "0", "--fps", strconv.Itoa(awayFPS))
	waitFor(t, 10*time.Second, "cameras", func() bool { return len(cameras.lines("rtsp://")) >= awayCameras })
	var b strings.Builder
	fmt.Fprintf(&b, "[storage]\nbase_path = %q\nchunk_size_mb = 64\nmax_pools = 12\nsegment_duration_secs = 5\nwriter_queue_size = %d\n", disk.base, awayQueue)
	rings := []string{disk.base}
	if second {
		rings = append(rings, filepath.Join(s.dir, "second"))
		fmt.Fprintf(&b, "\n[[storage.volumes]]\nname = \"second\"\nbase_path = %q\nchunk_size_mb = 64\nmax_pools = 12\n", rings[1])
	}
	for i, l := range cameras.lines("rtsp://")[:awayCameras] {
		fmt.Fprintf(&b, "\n[[cameras]]\nid = \"cam%d\"\nname = \"Camera %d\"\nurl = %q\n", i+1, i+1, strings.TrimSpace(l.text))
		if second && i%2 == 1 {
			fmt.Fprintf(&b, "volume = \"second\"\n")
		} else if second {
			fmt.Fprintf(&b, "volume = \"main\"\n")
		}
	}
	if err := os.WriteFile(s.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	recorder := background(t, program, "--config", s.config, "record")
	waitFor(t, 60*time.Second, "recording", func() bool {
		st, err := s.status()
		return err == nil && len(st.Cameras) == awayCameras && !slices.ContainsFunc(st.Cameras, func(c struct{ Session *struct{ State string } }) bool {
			return c.Session == nil || c.Session.State != "recording"
		}) && !st.Volumes[0].LastCommit.IsZero()
	})
	cpu := recorder.cpu()
	time.Sleep(before)
	usual := recorder.cpu() - cpu

	gone := time.Now()
	disk.ill()
	var alarm, back time.Duration // until status says so; from the return to the first commit
	var most int64
	var returned time.Time
	halfway := disk.half == nil
	cpu = recorder.cpu()
	var sickCPU time.Duration
	for returned.IsZero() || time.Since(returned) < after {
		time.Sleep(200 * time.Millisecond)
		most = max(most, recorder.resident())
		st, err := s.status()
		switch {
		case err != nil:
			t.Fatalf("%v after the disk went: nvr status: %v", time.Since(gone), err)
		case alarm == 0 && st.Volumes[0].Down:
			alarm = time.Since(gone)
		case back == 0 && !returned.IsZero() && st.Volumes[0].LastCommit.After(returned):
			back = st.Volumes[0].LastCommit.Sub(returned)
		}
		if !halfway && time.Since(gone) > awayFor/2 {
			halfway = true
			disk.half()
		}
		if returned.IsZero() && time.Since(gone) >= awayFor {
			sickCPU = recorder.cpu() - cpu
			disk.well()
			returned = time.Now()
		}
	}
	if st, err := s.status(); err != nil || st.Volumes[0].Down || st.Volumes[0].Away != "" {
		t.Errorf("at the end: %+v, %v", st.Volumes, err)
	}
	logged := time.Duration(math.MaxInt64)
	for _, l := range recorder.lines("") {
		if l.at.After(gone) && (strings.Contains(l.text, "writing to disk failed") || strings.Contains(l.text, "the disk stalls")) {
			logged = min(logged, l.at.Sub(gone))
		}
	}
	lost := len(cameras.lines("connection ends")) + len(cameras.lines("method=PLAY")) - awayCameras
	recorder.end(t)

	// The judgement. What a session has sent is numbered from its first picture on;
	// every picture that is in no pool must be in a gap, and no other.
	var c mark.Checker
	recordBytes := 0
	for _, ring := range rings {
		for _, p := range readRing(t, ring) {
			for _, g := range p.groups {
				if whole(g) {
					mark.Find(g, c.Add)
				}
			}
		}
	}
	var sent, pictures, elsewhere uint64
	gaps, off := 0, 0.0
	for _, r := range c.Reports() {
		sent += r.Last + 1 - r.First
		l := s.list(t, fmt.Sprintf("cam%d", r.Camera))
		samples, bytes := int64(0), int64(0)
		for _, seg := range l.Segments {
			samples += seg.Samples
			bytes += seg.Bytes
		}
		recordBytes = max(recordBytes, int(bytes/max(1, samples)*awayFPS))
		switch {
		case r.Connections != 1:
			t.Errorf("camera %d: %d connections", r.Camera, r.Connections)
		case r.Damaged > 0:
			t.Errorf("camera %d: %d pictures are not what was sent", r.Camera, r.Damaged)
		case samples != int64(r.Count):
			t.Errorf("camera %d: %d pictures are in the pools, %d are listed: some twice, or not", r.Camera, r.Count, samples)
		}
		pictures += r.Lost()
		if second && r.Camera%2 == 0 {
			elsewhere += r.Lost()
		}
		gaps += len(l.Gaps)
		if len(l.Gaps) != len(r.Missing) || len(r.Missing) > 0 && len(l.Segments) == 0 {
			t.Errorf("camera %d: pictures %v are missing, and the gaps are %+v", r.Camera, r.Missing, l.Gaps)
			continue
		}
		first := l.Segments[0].Start
		if late := first.Sub(gone.Add(-before)); late > 0 {
			t.Errorf("camera %d: the first %v before the outage are gone", r.Camera, late)
		}
		at := func(n uint64) time.Time { // when a picture was
			return first.Add(time.Duration(n-r.First) * time.Second / awayFPS)
		}
		for i, m := range r.Missing {
			g := l.Gaps[i]
			if m.To%awayGOP != 0 {
				t.Errorf("camera %d: pictures go on with %d, which no GOP begins with", r.Camera, m.To)
			}
			if g.Reason != "disk_down" || g.To == nil {
				t.Errorf("camera %d: gap %+v", r.Camera, g)
				continue
			}
			off = max(off, math.Abs(g.From.Sub(at(m.From)).Seconds()), math.Abs(g.To.Sub(at(m.To)).Seconds()))
		}
	}
	if said, code := s.run(t, "verify"); code != 0 {
		t.Errorf("nvr verify: exit %d\n%s", code, said)
	}
	limit := awayCap(recordBytes)
	for _, want := range []struct {
		what string
		ok   bool
	}{
		{"connections were lost", lost == 0},
		{"no alarm in the log within 5 s", logged <= alarmIn},
		{"no alarm in nvr status within 5 s", alarm > 0 && alarm <= alarmIn},
		{"not recording within 5 s of the return", back > 0 && back <= backIn},
		{"too much memory", most <= limit},
		{"a gap's end is off by a GOP", off < awayGOP/awayFPS},
		{"a camera of the other volume lost pictures", elsewhere == 0},
		{"a camera that another volume took over lost pictures", !second || pictures == 0},
	} {
		if !want.ok {
			t.Error(want.what)
		}
	}
	other := "–"
	if second {
		other = strconv.FormatUint(elsewhere, 10)
	}
	row := fmt.Sprintf("| %s | %d | %.1f, %.1f | %.1f | %d (%d) | %.2f / %.2f | %d, %d | %d | %.2f | %s |", name, lost, logged.Seconds(), alarm.Seconds(), back.Seconds(),
		most>>20, limit>>20, usual.Seconds()/before.Seconds(), sickCPU.Seconds()/awayFor.Seconds(), sent, pictures, gaps, off, other)
	t.Log(row)
	return row
}
