package testkit

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// socketBytes is what a connection holds for a reader that is late: what the
// two buffers of a small camera's TCP hold.
const socketBytes = 256 << 10

// newPipe makes the two ends of a connection that behaves like TCP: what is
// written waits in a buffer, a full buffer holds the writer back, deadlines
// count, and an end can be closed or reset. Both ends wait durably, so that it
// works in a bubble of testing/synctest.
func newPipe(client, server net.Addr) (*end, *end) {
	up, down := newHalf(), newHalf()
	return &end{in: down, out: up, local: client, remote: server}, &end{in: up, out: down, local: server, remote: client}
}

// half is one direction.
type half struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	ended   bool // no more is written
	broken  bool // reset, or the reader is gone

	read, write deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func newHalf() *half {
	h := new(half)
	h.changed.L = &h.mu
	return h
}

func (h *half) set(d *deadline, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.at = at
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if !at.IsZero() {
		if wait := time.Until(at); wait > 0 {
			d.timer = time.AfterFunc(wait, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.changed.Broadcast()
			})
		}
	}
	h.changed.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// end is one end of a pipe.
type end struct {
	in, out       *half
	local, remote net.Addr
	once          sync.Once
	closed        func() // tells the network, once
}

func (e *end) Read(b []byte) (int, error) {
	h := e.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.read.passed():
			return 0, os.ErrDeadlineExceeded
		case h.broken:
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		case len(h.buf) > 0:
			n := copy(b, h.buf)
			h.buf = h.buf[n:]
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (e *end) Write(b []byte) (n int, err error) {
	h := e.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		room := socketBytes - len(h.buf)
		switch {
		case h.write.passed():
			return n, os.ErrDeadlineExceeded
		case h.broken, h.ended:
			return n, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
		case room > 0 || len(b) == 0:
			k := min(room, len(b))
			h.buf = append(h.buf, b[:k]...)
			b, n = b[k:], n+k
			h.changed.Broadcast()
			if len(b) == 0 {
				return n, nil
			}
			continue
		}
		h.changed.Wait()
	}
}

// Close ends both directions: what was written can still be read, and what the
// other end writes from now on breaks.
func (e *end) Close() error {
	e.once.Do(func() {
		finish(e.out, false)
		finish(e.in, true)
		if e.closed != nil {
			e.closed()
		}
	})
	return nil
}

// Reset ends both directions as RST does: what was not read yet is lost.
func (e *end) Reset() {
	finish(e.out, true)
	finish(e.in, true)
	e.Close()
}

func finish(h *half, broken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if broken {
		h.broken, h.buf = true, nil
	}
	for _, d := range []*deadline{&h.read, &h.write} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	h.changed.Broadcast()
}

func (e *end) LocalAddr() net.Addr                { return e.local }
func (e *end) RemoteAddr() net.Addr               { return e.remote }
func (e *end) SetReadDeadline(t time.Time) error  { e.in.set(&e.in.read, t); return nil }
func (e *end) SetWriteDeadline(t time.Time) error { e.out.set(&e.out.write, t); return nil }
func (e *end) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}
