package simulate

import (
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"syscall"
)

// Multicast: a camera sends each track to a group of its own, once, for as long
// as anybody plays it. Groups are of the range that an organization gives out
// itself (RFC 2365 §6.2), and what is sent stays on loopback.

// firstGroupPort and the next are the first camera's.
const firstGroupPort = 20002

// groupOf is where a camera's track goes. The group has the number of the RTSP
// port in it, so that two servers on one machine do not mix.
func (s *Server) groupOf(camera, track int) netip.AddrPort {
	rtsp := s.addr().Port()
	a := netip.AddrFrom4([4]byte{239, byte(192 + track), byte(rtsp >> 8), byte(rtsp)})
	return netip.AddrPortFrom(a, uint16(firstGroupPort+2*(camera-1)))
}

// stayOnLoopback has groups sent to on loopback alone.
func stayOnLoopback(u *net.UDPConn) error {
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInet4Addr(int(fd), syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, [4]byte{127, 0, 0, 1})
	})
	if err == nil {
		err = failed
	}
	return err
}

// groupFlow is a track on its way to its group.
func (s *Server) groupFlow(camera, track int) *flow {
	group := s.groupOf(camera, track)
	f := &flow{transport: transport{udp: true, multicast: true, rtp: group.Port(), rtcp: group.Port() + 1},
		sequence: uint16(mathrand.Uint32()), timestamp: mathrand.Uint32(), ssrc: mathrand.Uint32()}
	f.rtpTo, f.rtcpTo = group, netip.AddrPortFrom(group.Addr(), f.rtcp)
	return f
}

// joinGroup is join for one more who listens to the camera's groups.
func (c *camera) joinGroup(s *Server, ready func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.power == notFound || c.power == hungUp {
		return false
	}
	ready()
	c.plays++
	if c.listeners++; c.listeners > 1 {
		return true
	}
	c.group = &viewer{camera: c, server: s, connection: c.plays, from: (c.next + c.gop - 1) / c.gop * c.gop, video: s.groupFlow(c.number, 0)}
	if s.sound != nil {
		c.group.audio = s.groupFlow(c.number, 1)
	}
	c.viewers = append(append([]*viewer(nil), c.viewers...), c.group)
	return true
}

// leaveGroup ends it; after the last one nothing is sent.
func (c *camera) leaveGroup() {
	c.mu.Lock()
	c.listeners--
	last := c.group
	if c.listeners > 0 {
		last = nil
	}
	c.mu.Unlock()
	if last != nil {
		c.leave(last)
	}
}
