// Package e2e tests the program as a user has it: the binary, a configuration
// file, cameras on loopback, a directory. The judges are programs written by
// others (ffprobe, ffmpeg, strace) and readers written here that share nothing
// with the recorder's own.
//
// The short form runs with every go test; NVR_E2E=long takes the lengths that
// docs/perf.md and the README speak of.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nvr/internal/simulate"
)

// program is the binary under test.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "nvr-e2e-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "nvr")
	build := exec.Command("go", "build", "-o", program, "nvr/cmd/nvr")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// long is whether the full lengths were asked for.
func long() bool { return os.Getenv("NVR_E2E") == "long" }

// pick is the short or the long form of a length.
func pick[T any](short, full T) T {
	if long() {
		return full
	}
	return short
}

// need makes sure that programs are installed: where CI is set, a test fails
// for the lack of one; elsewhere it says what to install.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is not installed")
		}
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what + ": .ci/run installs what the tests need")
	}
	t.Skip(what + ": apt-get install mount e2fsprogs xfsprogs fuse3 ffmpeg strace vlc-bin vlc-plugin-base librtsp-server-perl glib-networking python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav")
}

// site is a directory with a configuration and a ring.
type site struct {
	dir    string
	config string
}

// newSite writes the configuration of a recorder with these cameras: cam1 has
// the first URL, and so on.
func newSite(t *testing.T, pools, poolMB int, urls ...string) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	s.config = filepath.Join(s.dir, "config.toml")
	var b strings.Builder
	fmt.Fprintf(&b, "[storage]\nbase_path = %q\nchunk_size_mb = %d\nmax_pools = %d\nsegment_duration_secs = 5\n", s.ring(), poolMB, pools)
	for i, u := range urls {
		fmt.Fprintf(&b, "\n[[cameras]]\nid = \"cam%d\"\nname = \"Camera %d\"\nurl = %q\n", i+1, i+1, u)
	}
	if err := os.WriteFile(s.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// with adds lines to each camera of the configuration.
func (s *site) with(t *testing.T, lines string) *site {
	t.Helper()
	b, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "\nurl = ", "\n"+lines+"\nurl = ")
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) ring() string { return filepath.Join(s.dir, "ring") }

// run is one nvr command that ends by itself.
func (s *site) run(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program, append([]string{"--config", s.config}, args...)...)
	c.Dir = s.dir
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("nvr %v: %v", args, err)
	}
	if errs.Len() > 0 {
		t.Logf("nvr %s: %s", strings.Join(args, " "), strings.TrimSpace(errs.String()))
	}
	return out.String(), c.ProcessState.ExitCode()
}

// process is a program that runs until it is told to end.
type process struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan error
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), p.log.String())
		}
	})
	return p
}

func (s *site) record(t *testing.T) *process {
	t.Helper()
	return start(t, program, "--config", s.config, "record")
}

func (p *process) wait() error {
	err := <-p.done
	p.done <- err
	return err
}

// stop ends a recorder as a service manager does, and fails if it does not end
// well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	begin := time.Now()
	if err := p.wait(); err != nil {
		t.Fatalf("nvr record: %v", err)
	}
	t.Logf("stopped in %v", time.Since(begin).Round(time.Millisecond))
}

// listing is what nvr list --json prints.
type listing struct {
	Segments []struct {
		Camera, Stream, Codec string
		Run                   uint64
		Start, End            time.Time
		Bytes, Samples        int64
		Pool                  int
	}
	Gaps []listedGap
}

type listedGap struct {
	Camera, Stream, Reason, Detail string
	From                           time.Time
	To                             *time.Time
}

// list is what nvr list tells, but for the gap that is open since the recorder
// was stopped.
func (s *site) list(t *testing.T, camera string) listing {
	t.Helper()
	args := []string{"list", "--json"}
	if camera != "" {
		args = append(args, "--camera", camera)
	}
	out, code := s.run(t, args...)
	if code == 3 { // nothing yet
		return listing{}
	}
	if code != 0 {
		t.Fatalf("nvr list: exit %d", code)
	}
	var l listing
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatalf("nvr list: %v in %s", err, out)
	}
	l.Gaps = slices.DeleteFunc(l.Gaps, func(g listedGap) bool { return g.To == nil && g.Detail == "the recorder was stopped" })
	return l
}

// waitFor polls until ok, which is how a user would find out too.
func waitFor(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("after %v: no %s", limit, what)
}

// samples is how many of a camera's samples are listed.
func (s *site) samples(t *testing.T, camera string) (n int64) {
	t.Helper()
	for _, seg := range s.list(t, camera).Segments {
		n += seg.Samples
	}
	return n
}

// cameras starts simulated ones in this process.
func cameras(t *testing.T, o simulate.Options) *simulate.Server {
	t.Helper()
	server, err := simulate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server
}

func urls(s *simulate.Server) (list []string) {
	for n := range s.Cameras() {
		list = append(list, s.URL(n+1))
	}
	return list
}

// output is what a judge says.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// judge lets ffprobe and ffmpeg read a file whole: not a word of warning.
func judge(t *testing.T, file string) {
	t.Helper()
	if said := output(t, "ffprobe", "-v", "warning", file); said != "" {
		t.Errorf("ffprobe %s: %s", filepath.Base(file), said)
	}
	if said := output(t, "ffmpeg", "-nostdin", "-v", "warning", "-i", file, "-f", "null", "-"); said != "" {
		t.Errorf("ffmpeg %s: %s", filepath.Base(file), said)
	}
}

// packet is one sample as ffprobe sees it in a file.
type packet struct {
	PTS     float64
	Pos     int64
	Size    int64
	Discard bool // before the edit list's beginning
}

func packets(t *testing.T, file, stream string) (list []packet) {
	t.Helper()
	var out struct {
		Packets []struct {
			PTSTime string `json:"pts_time"`
			Pos     string `json:"pos"`
			Size    string `json:"size"`
			Flags   string `json:"flags"`
		} `json:"packets"`
	}
	text := output(t, "ffprobe", "-v", "error", "-select_streams", stream, "-show_packets", "-show_entries", "packet=pts_time,pos,size,flags", "-of", "json", file)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	for _, p := range out.Packets {
		pts, _ := strconv.ParseFloat(p.PTSTime, 64)
		pos, _ := strconv.ParseInt(p.Pos, 10, 64)
		size, _ := strconv.ParseInt(p.Size, 10, 64)
		list = append(list, packet{pts, pos, size, strings.Contains(p.Flags, "D")})
	}
	return list
}
