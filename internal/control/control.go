// Package control lets a second process of the same user talk to the running
// recorder. The recorder listens on a Unix socket beside its pool files, and on one
// that is on no disk, for when that is away (ListenApart). Whoever connects sends one line, a Request as JSON, and gets lines back: any number
// that tell of progress, then one with the result or the error, and the end of the
// stream.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// SocketName is the socket's name in the directory of the pool files.
const SocketName = "nvr.sock"

const (
	maxPeers        = 8        // connections served at the same time; more wait in the kernel
	maxRequestBytes = 64 << 10 // a verb and its arguments
	maxAnswerBytes  = 4 << 20  // 4096 cameras at 1 KiB each
	answerTimeout   = 2 * time.Second
)

// ErrNotRunning is what Ask returns when nobody listens.
var ErrNotRunning = errors.New("no recorder is running")

// A directory's path may be longer than a socket's address (108 bytes,
// unix(7)); the path through an open descriptor of it never is.
func address(dir *os.File) string { return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), SocketName) }

// Request is what a peer wants: a verb that the recorder knows, and what belongs
// to it.
type Request struct {
	Do   string          `json:"do"`
	Args json.RawMessage `json:"args,omitempty"`
}

// Error is a refusal, or a failure, as the peer is to tell it.
type Error struct {
	Text string `json:"text"`
	Exit int    `json:"exit"` // the code with which the peer's command ends
}

func (e *Error) Error() string { return e.Text }

// Handler does what a peer asks for; its result is encoded as JSON. It is called
// concurrently. ctx ends with the server, and when the peer goes away. progress,
// which may be called at any rate, tells the peer how far it is. An error that is
// an *Error comes to the peer as it is, any other with Exit 1.
type Handler func(ctx context.Context, r Request, progress func(done, total int64)) (any, error)

// line is what the recorder sends.
type line struct {
	Progress *[2]int64       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// Server answers those who ask.
type Server struct {
	dir      *os.File // nil: the socket is on no disk
	listener *net.UnixListener
	handle   Handler
}

// Listen makes the socket in dir. The caller holds the lock of the pool files,
// so a socket that is already there belongs to nobody.
func Listen(dir string, handle Handler) (*Server, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s := &Server{dir: d, handle: handle}
	if err := s.listen(); err != nil {
		d.Close()
		return nil, fmt.Errorf("control socket in %s: %w", dir, err)
	}
	return s, nil
}

func (s *Server) listen() error {
	name := address(s.dir)
	if info, err := os.Lstat(name); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(name, 0o600); err != nil {
		l.Close()
		return err
	}
	s.listener = l
	return nil
}

// Run serves until ctx ends, then removes the socket.
func (s *Server) Run(ctx context.Context) error {
	var peers sync.WaitGroup
	defer s.leave()
	defer peers.Wait()
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer func() {
		stop()
		s.listener.Close()
	}()
	seats := make(chan struct{}, maxPeers)
	for {
		seats <- struct{}{}
		conn, err := s.listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if conn != nil {
				conn.Close()
			}
			return nil
		case err != nil:
			return fmt.Errorf("control socket: %w", err)
		}
		peers.Go(func() {
			defer func() { <-seats }()
			defer conn.Close()
			s.answer(ctx, conn)
		})
	}
}

// answer does what a peer asks for that may. One that goes away or reads too
// slowly has only itself to blame.
func (s *Server) answer(ctx context.Context, conn *net.UnixConn) {
	if !allowed(conn) || conn.SetReadDeadline(time.Now().Add(answerTimeout)) != nil {
		return
	}
	in := bufio.NewReaderSize(conn, maxRequestBytes)
	text, err := in.ReadSlice('\n')
	if err != nil {
		return
	}
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	var sending sync.Mutex
	send := func(l line) {
		b, err := json.Marshal(l)
		if err != nil {
			panic(fmt.Sprintf("control: an answer is no JSON: %v", err))
		}
		sending.Lock()
		defer sending.Unlock()
		_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout)) // if it fails, so does what follows
		if _, err := conn.Write(append(b, '\n')); err != nil {
			gone()
		}
	}
	var r Request
	if err := json.Unmarshal(text, &r); err != nil {
		send(line{Error: &Error{Text: "the request is not understood: " + err.Error(), Exit: 2}})
		return
	}
	if conn.SetReadDeadline(time.Time{}) != nil {
		return
	}
	var listening sync.WaitGroup
	defer listening.Wait()
	defer conn.Close()
	listening.Go(func() {
		_, _ = in.ReadByte() // returns when the peer goes away, or conn is closed
		gone()
	})
	send(s.do(ctx, r, send))
}

// do lets the handler do it and makes a line of what comes of it.
func (s *Server) do(ctx context.Context, r Request, send func(line)) line {
	percent := int64(-1)
	result, err := s.handle(ctx, r, func(done, total int64) {
		if total <= 0 || done*100/total == percent {
			return
		}
		percent = done * 100 / total
		send(line{Progress: &[2]int64{done, total}})
	})
	if err != nil {
		refusal := &Error{Text: err.Error(), Exit: 1}
		errors.As(err, &refusal)
		return line{Error: refusal}
	}
	b, err := json.Marshal(result)
	if err != nil {
		panic(fmt.Sprintf("control: the result of %q is no JSON: %v", r.Do, err))
	}
	return line{Result: b}
}

// allowed reports whether the peer is of our user or root; the socket's mode
// says the same, but not on every file system, and one that is on none has no mode.
func allowed(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var peer *syscall.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) {
		peer, peerErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return err == nil && peerErr == nil && (peer.Uid == 0 || int(peer.Uid) == os.Geteuid())
}

// Ask lets the recorder that uses dir, which is absolute, do something and returns its result;
// ErrNotRunning when there is none, an *Error when it refuses or fails. args (may be
// nil) are encoded as JSON. progress (may be nil) hears how far it is; then there
// is no limit to how long it may take but ctx, else it must answer at once.
func Ask(ctx context.Context, dir, do string, args any, progress func(done, total int64)) (json.RawMessage, error) {
	conn, err := dial(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	result, err := converse(conn, do, args, progress)
	if refusal := (*Error)(nil); err != nil && !errors.As(err, &refusal) {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("ask the recorder: %w", err)
	}
	return result, err
}

func converse(conn net.Conn, do string, args any, progress func(done, total int64)) (json.RawMessage, error) {
	r := Request{Do: do}
	var err error
	if args != nil {
		if r.Args, err = json.Marshal(args); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * answerTimeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(b, '\n')); err != nil {
		return nil, err
	}
	if progress != nil {
		if err := conn.SetDeadline(time.Time{}); err != nil {
			return nil, err
		}
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxAnswerBytes)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("its answer is not understood: %w", err)
		}
		switch {
		case l.Error != nil:
			return nil, l.Error
		case l.Progress != nil && progress != nil:
			progress(l.Progress[0], l.Progress[1])
		case l.Result != nil:
			return l.Result, nil
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return nil, errors.New("it does not answer: it runs as another user, or has just ended")
}
