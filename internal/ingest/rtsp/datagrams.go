package rtsp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The sockets here are not Go's: a descriptor that the runtime knows wakes the
// process for each datagram, also while nobody reads it. They are looked at once
// a beat, and recvmmsg(2) takes what has come in few calls.
const (
	batchDatagrams = 32
	maxDatagram    = 64 << 10 // the largest an IP packet can carry
	maxBatches     = 256      // of one socket in one beat: at 1400 bytes, 900 Mbit/s

	// udpBufferBytes is asked of the kernel for each RTP socket, which doubles it
	// for its own bookkeeping. It holds two beats of 60 Mbit/s; what
	// net.core.rmem_max has by default (208 KiB), a key picture can overflow.
	udpBufferBytes = 2 << 20
)

// datagrams is the memory of one recvmmsg: used by whoever reads, for as long
// as it reads, and then by the next one.
type datagrams struct {
	headers [batchDatagrams]mmsghdr
	vectors [batchDatagrams]unix.Iovec
	names   [batchDatagrams]unix.RawSockaddrInet6
	memory  []byte
}

// mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// batches keeps that memory, of which the first page of each datagram is touched
// as a rule. There is as much of it as there are processors at work, not as there
// are cameras; what is more than keptBatches is forgotten.
var batches = make(chan *datagrams, keptBatches)

const keptBatches = 4

func takeBatch() *datagrams {
	select {
	case b := <-batches:
		return b
	default:
		return newDatagrams()
	}
}

func (b *datagrams) release() {
	select {
	case batches <- b:
	default:
	}
}

func newDatagrams() *datagrams {
	b := &datagrams{memory: make([]byte, batchDatagrams*maxDatagram)}
	for i := range b.headers {
		b.vectors[i].Base = &b.memory[i*maxDatagram]
		b.vectors[i].SetLen(maxDatagram)
		h := &b.headers[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
	}
	return b
}

// read takes what has come, at most batchDatagrams. It never waits.
func (b *datagrams) read(fd int) (int, error) {
	for i := range b.headers {
		b.headers[i].header.Namelen = unix.SizeofSockaddrInet6
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), batchDatagrams, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("recvmmsg", errno)
		}
	}
}

// data is the n-th datagram of the last read.
func (b *datagrams) data(n int) []byte {
	at := n * maxDatagram
	return b.memory[at : at+int(b.headers[n].length) : at+int(b.headers[n].length)]
}

// from is where it came from. The zone of a link-local address is left out: it is
// that of the socket.
func (b *datagrams) from(n int) netip.AddrPort {
	name := &b.names[n]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), port)
}

// openUDP binds a socket. It is not waited for, only looked at.
func openUDP(local netip.AddrPort, options ...func(fd int) error) (fd int, err error) {
	family := unix.AF_INET
	if local.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	for _, set := range options {
		if err := set(fd); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	name, err := sockaddr(local)
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, name))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	}
	zone, err := zoneIndex(a.Addr().Zone())
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zone}, err
}

// zoneIndex is the number of an interface that a link-local address belongs to.
func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 31); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

// askForBuffer sets the receive buffer and returns how large it is now, as it
// was asked for.
func askForBuffer(fd, bytes int) int {
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0
	}
	return got / 2
}

// addrPort is a connection's end.
func addrPort(a net.Addr) (netip.AddrPort, error) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, errors.New("the connection to the camera has no IP address")
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
}
