package exec

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell runs a script; what it logs is in the returned buffer.
func shell(t *testing.T, script string, o Options) (*Process, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	o.Command = []string{"sh", "-c", script}
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	return p, log
}

// all reads until the program has ended.
func all(t *testing.T, p *Process) (string, error) {
	t.Helper()
	var out strings.Builder
	b := make([]byte, 1<<16)
	for until := time.Now().Add(time.Minute); ; {
		n, err := p.Read(b)
		out.Write(b[:n])
		if err != nil {
			return out.String(), err
		}
		p.Tick(time.Now())
		if n == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		if time.Now().After(until) {
			t.Fatalf("it does not end; so far %q", out.String())
		}
	}
}

// gone reports whether a process is no more, not even as a zombie.
func gone(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestReadsAllThenTellsOfTheEnd(t *testing.T) {
	before := descriptors(t)
	for _, c := range []struct{ script, out, end string }{
		{"echo a; echo b; exit 3", "a\nb\n", "the program has ended: sh, exit status 3"},
		{"printf x; kill -9 $$", "x", "the program has ended: sh, signal: killed"},
		{"exec >&-; sleep 60", "", "the program has ended: sh closed its standard output"},
		{"sleep 60 & echo a", "a\n", "the program has ended: sh, exit status 0"}, // a grandchild keeps the pipe
	} {
		p, _ := shell(t, c.script, Options{})
		out, err := all(t, p)
		p.Close()
		if out != c.out || err == nil || err.Error() != c.end || !errors.Is(err, ErrEnded) {
			t.Errorf("%s: %q, %v", c.script, out, err)
		}
		if !gone(p.process.Pid) {
			t.Errorf("%s: process %d is left", c.script, p.process.Pid)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, were %d", after, before)
	}
}

func TestCloseEndsTheGroup(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"good", "echo $$; sleep 60"},
		{"ignores SIGTERM", "trap '' TERM; echo $$; while :; do sleep 1; done"},
		{"has a grandchild that ignores it", "(trap '' TERM; while :; do sleep 1; done) & echo $!; wait"},
		{"its pipe is full", "echo $$; cat /dev/zero"},
		{"talks all the time", "echo $$; while :; do echo hello hello hello hello >&2; done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := shell(t, c.script, Options{})
			b := make([]byte, 1<<16)
			n := 0
			for n == 0 {
				n, _ = p.Read(b)
			}
			line, _, _ := bytes.Cut(b[:n], []byte("\n"))
			pid, err := strconv.Atoi(string(line))
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
			for until := time.Now().Add(10 * time.Second); !gone(pid) && !zombie(pid); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(until) {
					t.Fatalf("process %d lives on", pid)
				}
			}
			if !gone(p.process.Pid) {
				t.Errorf("process %d was not reaped", p.process.Pid)
			}
		})
	}
}

// zombie: a grandchild is the init process's to reap, which a container may lack.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

func TestIsolated(t *testing.T) {
	t.Setenv("CANARY", "of the recorder")
	t.Setenv("TZ", "Europe/Berlin")
	extra, err := os.Open("/etc/passwd") // a descriptor that must not be inherited
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	p, _ := shell(t, `env | sort | sed 's/=.*//' | tr '\n' ' '; echo; ls /proc/self/fd | tr '\n' ' '; echo
		echo $(ulimit -c) $(ulimit -n) $(grep NoNewPrivs /proc/self/status); echo $TZ $NVR_PASSWORD; pwd; ps -o pgid=,sid= -p $$ 2>/dev/null || cut -d' ' -f5,6 /proc/$$/stat; echo $$; cat`, Options{Env: []string{"NVR_PASSWORD=geheim"}})
	out, err := all(t, p)
	p.Close()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err == nil || len(lines) != 7 {
		t.Fatalf("%q, %v", out, err)
	}
	for _, name := range strings.Fields(lines[0]) {
		switch name {
		case "NVR_PASSWORD", "PWD", "SHLVL", "_", "OLDPWD": // the last ones are the shell's own
		default:
			if !strings.Contains(" "+strings.Join(inherited, " ")+" ", " "+name+" ") {
				t.Errorf("it sees %s", name)
			}
		}
	}
	if lines[1] != "0 1 2 3 " { // 3 is ls's own
		t.Errorf("descriptors %q", lines[1])
	}
	if lines[2] != "0 256 NoNewPrivs: 1" {
		t.Errorf("limits %q", lines[2])
	}
	if lines[3] != "Europe/Berlin geheim" || lines[4] != "/" {
		t.Errorf("%q, in %s", lines[3], lines[4])
	}
	if ids := strings.Fields(lines[5]); len(ids) != 2 || ids[0] != lines[6] || ids[1] != lines[6] {
		t.Errorf("group and session %q of process %s", lines[5], lines[6])
	}
}

func TestSays(t *testing.T) {
	t.Run("passwords and control characters", func(t *testing.T) {
		p, log := shell(t, `printf 'rtsp://admin:geheim@10.0.0.1/x: \033[31mrefused\007\n' >&2
			printf 'user-pw=geheim location="x" Password: "geheim" token=geheim\n' >&2
			printf 'Authorization: Basic geheim geheim\rthe word tresor alone\n' >&2
			printf '\377\376\n\n\nno end' >&2`, Options{Secrets: []string{"tresor", ""}})
		_, _ = all(t, p)
		p.Close()
		got := log.String()
		if strings.Contains(got, "geheim") || strings.Contains(got, "tresor") || strings.ContainsAny(got, "\x1b\x07") || !utf8.ValidString(got) {
			t.Errorf("it logs\n%s", got)
		}
		for _, want := range []string{"rtsp://***@10.0.0.1/x", "refused", "the word *** alone", "no end"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	})
	t.Run("a flood", func(t *testing.T) {
		p, log := shell(t, `i=0; while [ $i -lt 20000 ]; do echo "line $i of very many, all of them alike" >&2; i=$((i+1)); done; echo done`, Options{})
		out, _ := all(t, p)
		p.Close()
		if out != "done\n" {
			t.Errorf("it came to %q", out)
		}
		if n := log.Len(); n > 1<<20/4 || !strings.Contains(log.String(), "lines are left out") {
			t.Errorf("%d bytes logged", n)
		}
	})
	t.Run("a line without end", func(t *testing.T) {
		p, log := shell(t, `head -c 3000000 /dev/zero | tr '\0' x >&2`, Options{})
		_, _ = all(t, p)
		p.Close()
		if n := log.Len(); n > 2*maxShown || n < maxShown || len(p.says.line) > maxLine || cap(p.says.line) > 2*maxLine {
			t.Errorf("%d bytes logged", n)
		}
	})
}

func TestNotThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := os.WriteFile(filepath.Join(os.Getenv("PATH"), "broken"), []byte("\x7fELF geheim"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for name, want := range map[string]string{
		"gst-launch-1.0": "the program gst-launch-1.0 is not installed: on Debian it is in the package gstreamer1.0-tools",
		"ffmpeg":         "the program ffmpeg is not installed: on Debian it is in the package ffmpeg",
		"rpicam-vid":     "the program rpicam-vid is not installed: on Debian it is in the package rpicam-apps",
		"mycam":          `there is no program "mycam": install it, or write its absolute path`,
		"/etc/passwd":    `the program "/etc/passwd" may not be run by the recorder's user`,
		"/nowhere/x":     `there is no program "/nowhere/x": install it, or write its absolute path`,
		"broken":         "start broken: exec format error",
	} {
		if _, err := Start(Options{Command: []string{name, "geheim"}}); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, were %d", after, before)
	}
}
