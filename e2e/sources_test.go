package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nvr/internal/simulate"
)

// example is a camera of docs/sources.md.
var example = regexp.MustCompile("(?s)<!-- (run|run: password|not run: [^>]*) -->\n```toml\n(.*?)```")

// What docs/sources.md shows is a configuration, and where no device is needed it
// is recorded, exported and decoded.
func TestSources(t *testing.T) {
	need(t, "ffmpeg", "ffprobe", "gst-launch-1.0")
	page, err := os.ReadFile("../docs/sources.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := example.FindAllSubmatch(page, -1)
	if blocks := strings.Count(string(page), "```toml"); blocks != len(examples) || blocks < 10 {
		t.Fatalf("%d examples in %d blocks: each wants a line that says whether it is run", len(examples), blocks)
	}
	s := newSite(t, 4, pick(16, 64))
	film := filepath.Join(s.dir, "film.mp4")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-f", "lavfi", "-i", "sine", "-t", "5",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "25", "-c:a", "aac", film).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "cam.password"), []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := cameras(t, simulate.Options{FPS: 25})
	locked := cameras(t, simulate.Options{FPS: 25, Auth: simulate.AuthDigest, User: "admin", Password: "geheim"})
	const address = "rtsp://192.168.1.10:554/stream1"
	var b strings.Builder
	fmt.Fprintf(&b, "[storage]\nbase_path = %q\nchunk_size_mb = 16\nmax_pools = %d\n", s.ring(), pick(8, 32))
	var ids []string
	for _, e := range examples {
		how, text := string(e[1]), string(e[2])
		text = strings.ReplaceAll(text, "/srv/film.mp4", film)
		id := regexp.MustCompile(`id = "(.*)"`).FindStringSubmatch(text)[1]
		switch how {
		case "run":
			text = strings.ReplaceAll(text, address, open.URL(1))
			ids = append(ids, id)
		case "run: password":
			text = strings.ReplaceAll(text, strings.TrimPrefix(address, "rtsp://"), strings.TrimPrefix(locked.URL(1), "rtsp://"))
			ids = append(ids, id)
		default:
			text += "enabled = false\n"
			if !strings.Contains(string(page), "`"+id+"`") {
				t.Errorf("%s is not run, and the page does not say so", id)
			}
		}
		b.WriteString(text)
	}
	if err := os.WriteFile(s.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := s.run(t, "check-config"); code != 0 {
		t.Fatalf("check-config: exit %d: %s", code, out)
	}
	r := s.record(t)
	for _, id := range ids {
		waitFor(t, 2*time.Minute, "footage of "+id, func() bool { return s.samples(t, id) >= int64(pick(30, 600)) })
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatal("no list of processes", err)
	}
	for _, line := range lines { // some end meanwhile
		if b, _ := os.ReadFile(line); strings.Contains(string(b), "geheim") {
			t.Errorf("%s shows the password", line)
		}
	}
	r.stop(t)
	for _, id := range ids {
		file := filepath.Join(s.dir, id+".mp4")
		if _, code := s.run(t, "export", "--camera", id, "-o", file); code != 0 {
			t.Errorf("export %s: exit %d", id, code)
			continue
		}
		if out, err := exec.Command("ffmpeg", "-v", "warning", "-i", file, "-f", "null", "-").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", id, err, out)
		}
	}
}

// A recorder that is killed leaves no program behind: the kernel ends it.
func TestProgramDiesWithTheRecorder(t *testing.T) {
	s := newSite(t, 2, 8)
	file := filepath.Join(s.dir, "number")
	config := fmt.Sprintf("[storage]\nbase_path = %q\nchunk_size_mb = 8\nmax_pools = 2\n[[cameras]]\nid = \"cam1\"\nsource = \"exec\"\ncommand = [\"sh\", \"-c\", \"echo $$ > %s; exec sleep 600\"]\n", s.ring(), file)
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.record(t)
	number := func() string {
		b, _ := os.ReadFile(file)
		return strings.TrimSpace(string(b))
	}
	waitFor(t, time.Minute, "the program", func() bool { return number() != "" })
	command := "/proc/" + number() + "/cmdline"
	runs := func() bool {
		b, err := os.ReadFile(command)
		return err == nil && strings.HasPrefix(string(b), "sleep")
	}
	waitFor(t, time.Minute, "sleep", runs)
	r.cmd.Process.Kill()
	r.wait()
	waitFor(t, 30*time.Second, "its end", func() bool { return !runs() })
}
