package testkit

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Net is a network of cameras in memory. Its Dial goes where net.Dialer's
// would, and is fit for testing/synctest: an hour costs no time.
type Net struct {
	mu      sync.Mutex
	cameras map[string]*Camera
	dials   []Dial
	open    int
	most    int
	ports   uint16
	wg      sync.WaitGroup
}

// Dial is one attempt to connect.
type Dial struct {
	Addr string
	At   time.Time
}

// NewNet connects cameras. Each is at the address it has.
func NewNet(cameras ...*Camera) *Net {
	n := &Net{cameras: map[string]*Camera{}, ports: 40000}
	for _, c := range cameras {
		n.cameras[c.Addr] = c
		for _, also := range c.Also {
			n.cameras[also] = c
		}
	}
	return n
}

// Dial connects to a camera, or is refused.
func (n *Net) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	c := n.cameras[addr]
	if c == nil || !c.Lean {
		n.dials = append(n.dials, Dial{addr, time.Now()})
	}
	n.ports++
	port := n.ports
	n.mu.Unlock()
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%w: no such host", err)}
	}
	refused := &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: syscall.ECONNREFUSED}
	if c == nil {
		return nil, refused
	}
	number, how := c.dialled()
	switch how {
	case Refuse:
		return nil, refused
	case Swallow:
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: ctx.Err()}
	}
	client, server := newPipe(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 250), Port: int(port)}, net.TCPAddrFromAddrPort(to))
	n.count(1)
	client.closed = func() { n.count(-1) }
	n.wg.Go(func() { c.serve(server, number) })
	return client, nil
}

func (n *Net) count(d int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open += d
	n.most = max(n.most, n.open)
}

// Dials lists all attempts so far.
func (n *Net) Dials() []Dial {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Dial(nil), n.dials...)
}

// Open is how many connections the clients have not closed, and the most there
// have been.
func (n *Net) Open() (now, most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open, n.most
}

// Close ends all cameras and waits for what they started.
func (n *Net) Close() {
	n.mu.Lock()
	cameras := make([]*Camera, 0, len(n.cameras))
	for _, c := range n.cameras {
		cameras = append(cameras, c)
	}
	n.mu.Unlock()
	for _, c := range cameras {
		c.Close()
	}
	n.wg.Wait()
}
