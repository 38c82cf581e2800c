package simulate

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a client's TCP connection. Its reader and the sender both write;
// neither ever waits for the client.
type conn struct {
	tcp     *net.TCPConn
	tls     *tls.Conn // nil: none
	raw     syscall.RawConn
	backlog int // bytes
	began   time.Time
	silence time.Duration // after which the client is taken for gone
	heard   atomic.Int64  // since began: when the client last gave a sign of life

	mu      sync.Mutex // orders what goes into the socket; the writes under it do not block
	pending []byte     // what the socket has not taken yet, from head on
	head    int
	dead    bool
	attempt func(fd uintptr) bool // one write of bytes; a closure per write would allocate
	bytes   []byte
	wrote   int
	err     error
}

func newConn(tcp *net.TCPConn, backlog int, silence time.Duration) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	k := &conn{tcp: tcp, raw: raw, backlog: backlog, began: time.Now(), silence: silence}
	k.attempt = func(fd uintptr) bool {
		k.wrote, k.err = syscall.Write(int(fd), k.bytes)
		return true // never wait for room
	}
	return k, nil
}

// media hands b to the socket. What the socket does not take is copied and
// waits; false: the client is further behind than its backlog, or gone, and b
// was not taken at all.
func (k *conn) media(b []byte) bool { return k.offer(b, k.backlog) }

// reply is media for an answer to the client, which is only refused when the
// client leaves its answers unread.
func (k *conn) reply(b []byte) bool { return k.offer(b, k.backlog+maxReplyBacklog) }

func (k *conn) offer(b []byte, limit int) bool {
	if k.tls != nil {
		return k.offerSecured(b, limit)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.push()
	behind := len(k.pending) - k.head
	switch {
	case k.dead:
		return false
	case behind > 0 && behind+len(b) > limit:
		return false
	case behind == 0:
		b = b[k.write(b):]
	}
	k.queue(b)
	return !k.dead
}

// enqueue takes b without touching the socket: for callers that hold a lock.
func (k *conn) enqueue(b []byte) {
	if k.tls != nil { // its writes do not wait either
		k.tls.Write(b)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queue(b)
}

// flush offers the socket what it did not take before, and reports whether
// that is all gone.
func (k *conn) flush() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.push()
	return len(k.pending) == k.head
}

// queue appends to what waits, moving it to the front where half is used up.
func (k *conn) queue(b []byte) {
	if len(b) == 0 || k.dead {
		return
	}
	if k.head > len(k.pending)/2 {
		k.pending = k.pending[:copy(k.pending, k.pending[k.head:])]
		k.head = 0
	}
	k.pending = append(k.pending, b...)
}

func (k *conn) push() {
	if k.head < len(k.pending) {
		k.head += k.write(k.pending[k.head:])
		if k.head == len(k.pending) {
			k.pending, k.head = k.pending[:0], 0
		}
	}
}

// write is how much of b the socket took at once.
func (k *conn) write(b []byte) int {
	if k.dead || len(b) == 0 {
		return 0
	}
	k.bytes = b
	err := k.raw.Write(k.attempt)
	k.bytes = nil
	if err == nil {
		err = k.err
	}
	switch {
	case err == nil:
		return k.wrote
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0
	}
	k.dead, k.pending, k.head = true, nil, 0
	k.tcp.Close() // its reader sees that and ends the session
	return 0
}

// close cuts the connection. It may be called more than once.
func (k *conn) close() {
	k.mu.Lock()
	k.dead, k.pending, k.head = true, nil, 0
	k.mu.Unlock()
	k.tcp.Close()
}

// alive notes a sign of life: a whole request, or a receiver report.
func (k *conn) alive() { k.heard.Store(int64(time.Since(k.began))) }

var errSilent = errors.New("no request and no receiver report within the session time-out")

// Read reads what the client says, until it ends or is silent for too long.
func (k *conn) Read(b []byte) (int, error) {
	if k.tls != nil {
		return k.tls.Read(b)
	}
	return k.readSocket(b)
}

// readSocket reads from the socket until the client is silent for too long. Part of
// a request is no sign of life.
func (k *conn) readSocket(b []byte) (int, error) {
	for {
		limit := time.Duration(k.heard.Load()) + k.silence
		if err := k.tcp.SetReadDeadline(k.began.Add(limit)); err != nil {
			return 0, err
		}
		n, err := k.tcp.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if time.Duration(k.heard.Load())+k.silence == limit {
			return 0, errSilent
		}
	}
}
