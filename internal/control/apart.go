package control

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// diskPatience is how long the socket beside the pool files is waited for, on a disk
// that may hang.
const diskPatience = 250 * time.Millisecond

// apart is the address of the socket that is on no disk: a name in the abstract
// namespace (unix(7)), which is gone with its process. dir is absolute.
func apart(dir string) *net.UnixAddr {
	sum := sha256.Sum256([]byte(dir))
	return &net.UnixAddr{Name: fmt.Sprintf("@nvr-%x", sum[:16]), Net: "unix"}
}

// ListenApart makes the socket by which the recorder of dir is found while its
// disk is away. It keeps nothing open there.
func ListenApart(dir string, handle Handler) (*Server, error) {
	l, err := net.ListenUnix("unix", apart(dir))
	if err != nil {
		return nil, fmt.Errorf("control socket for when %s is away: %w", dir, err)
	}
	return &Server{listener: l, handle: handle}, nil
}

// leave removes the socket, so that nothing is left of us in its directory.
func (s *Server) leave() {
	if s.dir != nil {
		_ = os.Remove(address(s.dir)) // the disk may be gone
		s.dir.Close()
	}
}

// dial connects to the recorder that uses dir, which is absolute: by the socket in
// it, or, where that is not there or hangs, by the one that is on no disk.
func dial(ctx context.Context, dir string) (*net.UnixConn, error) {
	type dialled struct {
		conn *net.UnixConn
		err  error
	}
	beside := make(chan dialled) // who comes too late closes it
	ctx, done := context.WithCancel(ctx)
	defer done()
	go func() { // a call that hangs in the kernel cannot be ended
		conn, err := dialBeside(ctx, dir)
		select {
		case beside <- dialled{conn, err}:
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
		}
	}()
	var first *dialled
	select {
	case d := <-beside:
		if d.err == nil {
			return d.conn, nil
		}
		first = &d
	case <-time.After(diskPatience):
	}
	// Who listens must be of our user, or root: anybody can take a name that is on no
	// disk.
	conn, err := dialUnix(ctx, apart(dir).Name)
	if err == nil && allowed(conn) {
		return conn, nil
	}
	if err == nil {
		conn.Close()
	}
	if first == nil {
		select {
		case d := <-beside:
			first = &d
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return first.conn, first.err
}

func dialBeside(ctx context.Context, dir string) (*net.UnixConn, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return dialUnix(ctx, address(d))
}

func dialUnix(ctx context.Context, name string) (*net.UnixConn, error) {
	dialer := net.Dialer{Timeout: answerTimeout}
	conn, err := dialer.DialContext(ctx, "unix", name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("ask the recorder: %w", err)
	}
	return conn.(*net.UnixConn), nil
}
