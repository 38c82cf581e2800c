// Package control lets a second process of the same user ask the running
// recorder how it is. The recorder listens on a Unix socket beside its pool
// files; whoever connects gets one JSON document and the end of the stream.
// Nothing is read from the peer.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	maxPeers         = 8       // connections served at the same time; more wait in the kernel
	maxDocumentBytes = 4 << 20 // 4096 cameras at 1 KiB each
	answerTimeout    = 2 * time.Second
)

// ErrNotRunning is what Ask returns when nobody listens.
var ErrNotRunning = errors.New("no recorder is running")

// A directory's path may be longer than a socket's address (108 bytes,
// unix(7)); the path through an open descriptor of it never is.
func address(dir *os.File) string { return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), SocketName) }

// Server answers those who ask.
type Server struct {
	dir      *os.File
	listener *net.UnixListener
	status   func() any
}

// Listen makes the socket in dir. The caller holds the lock of the pool files,
// so a socket that is already there belongs to nobody. status is called for each
// peer, concurrently; its result is encoded as JSON.
func Listen(dir string, status func() any) (*Server, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s := &Server{dir: d, status: status}
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
	defer s.dir.Close()
	defer peers.Wait()
	defer os.Remove(address(s.dir))
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
			s.answer(conn)
		})
	}
}

// answer writes the document to a peer that may have it. A peer that goes away
// or reads too slowly has only itself to blame.
func (s *Server) answer(conn *net.UnixConn) {
	if !allowed(conn) {
		return
	}
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return
	}
	document, err := json.Marshal(s.status())
	if err != nil {
		panic(fmt.Sprintf("control: the status is no JSON: %v", err))
	}
	_, _ = conn.Write(append(document, '\n'))
}

// allowed reports whether the peer is of our user or root; the socket's mode
// says the same, but not on every file system.
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

// Ask returns the document of the recorder that uses dir, or ErrNotRunning.
func Ask(ctx context.Context, dir string) (json.RawMessage, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	dialer := net.Dialer{Timeout: answerTimeout}
	conn, err := dialer.DialContext(ctx, "unix", address(d))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("ask the recorder: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * answerTimeout)); err != nil {
		return nil, fmt.Errorf("ask the recorder: %w", err)
	}
	document, err := io.ReadAll(io.LimitReader(conn, maxDocumentBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask the recorder: %w", err)
	case len(document) == 0:
		return nil, errors.New("the recorder does not answer: it runs as another user")
	case len(document) > maxDocumentBytes || !json.Valid(document):
		return nil, errors.New("the recorder's answer is not a status document")
	}
	return document, nil
}
