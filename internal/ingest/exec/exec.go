// Package exec runs a program whose standard output is a camera.
//
// The program is a guest: it has a process group and a session of its own, none
// of our descriptors, few of our environment variables, limits, and dies with us.
// What it writes is left in the pipe until somebody reads: one that is too fast
// waits there. What it says on standard error is logged, line by line, bounded and
// without what looks like a password. Its arguments, which may hold passwords, are
// neither logged nor part of an error.
//
// A process has no goroutine of its own. Start, Read, Tick and Close belong to one
// goroutine, which keeps its thread meanwhile: the kernel ends the child when the
// thread that started it ends (prctl(2), PR_SET_PDEATHSIG).
package exec

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pipeBytes is how much may wait for us: a second at 8 Mbit/s. The kernel may give
	// less to who is not root.
	pipeBytes = 1 << 20
	// termPatience is what SIGTERM is given; SIGKILL follows. It fits into the 1.5 s in
	// which all cameras end.
	termPatience = 700 * time.Millisecond
	// killPatience is how long a killed child may take: one that hangs in the kernel is
	// left behind.
	killPatience = 500 * time.Millisecond

	maxFiles       = 256
	maxMemoryBytes = 4 << 30 // of address space: threads of encoders reserve a lot
)

// inherited are the variables that the child gets of our environment: what programs
// need to find themselves, their language and their caches.
var inherited = []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"}

// packages are the Debian packages of programs that people forget.
var packages = map[string]string{
	"gst-launch-1.0": "gstreamer1.0-tools",
	"ffmpeg":         "ffmpeg",
	"rpicam-vid":     "rpicam-apps",
	"libcamera-vid":  "libcamera-apps",
	"streamlink":     "streamlink",
	"curl":           "curl",
	"socat":          "socat",
}

// Options say what to run.
type Options struct {
	Command []string // the program and its arguments; no shell reads them
	Env     []string // NAME=value, beside what is inherited
	Secrets []string // masked in what the program says
	Log     *slog.Logger
}

// Process is a program that runs.
type Process struct {
	name    string
	process *os.Process
	out     int // read end of its standard output
	says    says
	state   *os.ProcessState // once it is reaped
}

// Start runs the program. The goroutine keeps its thread until Close.
func Start(o Options) (*Process, error) {
	path, err := find(o.Command[0])
	if err != nil {
		return nil, err
	}
	out, outEnd, err := pipe()
	if err != nil {
		return nil, fmt.Errorf("a pipe: %w", err)
	}
	defer outEnd.Close()
	errs, errEnd, err := pipe()
	if err != nil {
		unix.Close(out)
		return nil, fmt.Errorf("a pipe: %w", err)
	}
	defer errEnd.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		unix.Close(out)
		unix.Close(errs)
		return nil, err
	}
	defer null.Close()
	// What we open closes itself; what we were started with may not. Kernels before
	// 5.11 cannot, and then it is whoever started us who must.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	runtime.LockOSThread()
	// Of this thread and what it starts: no sudo, no set-user-ID. It stays so, and we
	// have no use for either.
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	p, err := os.StartProcess(path, o.Command, &os.ProcAttr{
		Dir:   "/",
		Env:   environment(o.Env),
		Files: []*os.File{null, outEnd, errEnd},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	})
	name := filepath.Base(path)
	if err != nil {
		runtime.UnlockOSThread()
		unix.Close(out)
		unix.Close(errs)
		var inPath *os.PathError
		if errors.As(err, &inPath) { // its text has the path alone, but who knows
			err = inPath.Err
		}
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	limit(p.Pid)
	return &Process{name: name, process: p, out: out, says: newSays(errs, name, o.Secrets, o.Log)}, nil
}

// Name is the program's, without directory and arguments.
func (p *Process) Name() string { return p.name }

// find looks a program up in PATH.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil && !filepath.IsAbs(path) {
		return "", fmt.Errorf("the program %q is neither in PATH nor an absolute path", name)
	}
	switch base := filepath.Base(name); {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrNotFound) && packages[base] != "":
		return "", fmt.Errorf("the program %s is not installed: on Debian it is in the package %s", base, packages[base])
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("there is no program %q: install it, or write its absolute path", name)
	case errors.Is(err, os.ErrPermission):
		return "", fmt.Errorf("the program %q may not be run by the recorder's user", name)
	default:
		return "", fmt.Errorf("find the program %q: %w", base, errors.Unwrap(err))
	}
}

// environment is what the child sees. Where a name is twice, the last one counts.
func environment(more []string) []string {
	env := []string{}
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, more...)
}

// pipe makes one whose read end does not block and is unknown to the runtime's
// poller, which would wake up for every write.
func pipe() (read int, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return -1, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return -1, nil, err
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeBytes)
	return fds[0], os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// limit bounds what the child may take. It has begun already, and a process that
// is gone has no limits: errors are of no use.
func limit(pid int) {
	for what, most := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: maxFiles, unix.RLIMIT_AS: maxMemoryBytes} {
		_ = unix.Prlimit(pid, what, &unix.Rlimit{Cur: most, Max: most}, nil)
	}
}

// ErrEnded is what Read returns when nothing comes any more: it has closed its
// standard output, or has ended and all is read.
var ErrEnded = errors.New("the program has ended")

// Read reads what is there, and returns 0 if that is nothing. It never waits.
func (p *Process) Read(b []byte) (int, error) {
	// Asked first: what it wrote before its end is read before that is told. A
	// grandchild may keep the pipe open.
	ended := p.hasEnded()
	n, err := read(p.out, b)
	switch {
	case n > 0:
		return n, nil
	case ended && (err == nil || err == io.EOF):
		p.reap()
		return 0, fmt.Errorf("%w: %s, %v", ErrEnded, p.name, p.state)
	case err == io.EOF:
		return 0, fmt.Errorf("%w: %s closed its standard output", ErrEnded, p.name)
	}
	return 0, err
}

// read reads from a pipe that does not block.
func read(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Tick is to be called several times a second: what the program says is read.
func (p *Process) Tick(now time.Time) { p.says.drain(now) }

// hasEnded tells whether the program has ended. It is not reaped, so that its number,
// which is its group's, stays its own.
func (p *Process) hasEnded() bool {
	if p.state != nil {
		return true
	}
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

// reap ends what the program has left behind in its group, and then lets go of it.
func (p *Process) reap() {
	if p.state == nil {
		_ = unix.Kill(-p.process.Pid, unix.SIGKILL)
		p.state, _ = p.process.Wait()
	}
}

// Close ends the program and all of its group, and waits for it: SIGTERM, then SIGKILL.
func (p *Process) Close() {
	defer runtime.UnlockOSThread()
	if p.state == nil {
		_ = unix.Kill(-p.process.Pid, unix.SIGTERM)
		if !p.await(termPatience) {
			p.says.log.Debug("the program does not end and is killed", "program", p.name)
			_ = unix.Kill(-p.process.Pid, unix.SIGKILL)
		}
		if p.await(killPatience) {
			p.reap()
		} else {
			p.says.log.Error("the program cannot be killed: it hangs in the kernel", "program", p.name, "pid", p.process.Pid)
			_ = p.process.Release()
		}
	}
	unix.Close(p.out)
	p.says.drain(time.Now())
	p.says.close()
}

// await waits until the program has ended.
func (p *Process) await(d time.Duration) bool {
	scrap := make([]byte, 64<<10)
	for until := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		if p.hasEnded() {
			return true
		}
		if time.Now().After(until) {
			return false
		}
		// It may wait for us to listen, and says goodbye in peace.
		_, _ = read(p.out, scrap)
		p.says.drain(time.Now())
	}
}

// clean makes foreign text harmless for a log.
func clean(b []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(b), " ")))
}
