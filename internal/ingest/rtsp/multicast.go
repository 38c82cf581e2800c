package rtsp

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Multicast: the camera says which group and ports its media go to, in the
// answer to SETUP or in the SDP, and sends whether or not we listen.

const multicastOffer = "RTP/AVP;multicast"

// lowestGroupPort keeps a camera from naming ports of the system.
const lowestGroupPort = 1024

// groupOf is where a media is sent to: by the answer, else by the SDP.
func groupOf(a transportAnswer, m Media) (group netip.Addr, ports [2]uint16, ttl int, err error) {
	group, ports, ttl = a.destination, a.groupPorts, cmp.Or(a.ttl, m.ttl, 1)
	if !group.IsValid() || !group.IsMulticast() {
		group = m.group
	}
	if ports[0] == 0 {
		if ports = a.serverPorts; ports[0] == 0 && m.port != 0 {
			ports = [2]uint16{m.port, m.port + 1}
		}
	}
	switch {
	case !group.IsValid():
		err = errors.New("the camera names no multicast group, neither in the answer nor in the SDP")
	case group.IsLinkLocalMulticast() && (group.Is4() || group.As16()[1]>>4&1 == 0), group.IsInterfaceLocalMulticast():
		err = fmt.Errorf("the group %s belongs to the network itself (SEC-06)", group)
	case ports[0] < lowestGroupPort || ports[1] < lowestGroupPort:
		err = fmt.Errorf("the camera names no port from %d up for its group %s", lowestGroupPort, group)
	}
	return group, ports, ttl, err
}

// joinGroup listens to a group on the interface whose address is local: the one
// that reaches the camera, which need not be where the default route leads.
func joinGroup(local, peer, group netip.Addr, numbers [2]uint16, ttl int) (*ports, error) {
	index := 0
	if local.Is6() { // in IPv4 the address itself names the interface
		var err error
		if index, err = interfaceOf(local); err != nil {
			return nil, fmt.Errorf("multicast: %w", err)
		}
	}
	join := func(fd int) error { return join(fd, local, group, index, ttl) }
	p := &ports{rtp: -1, rtcp: -1, number: numbers[0], peer: peer.WithZone(""), group: netip.AddrPortFrom(group, numbers[0])}
	p.toRTCP = netip.AddrPortFrom(group, numbers[1])
	if group.Is6() {
		group = group.WithZone(fmt.Sprint(index))
	}
	// Bound to the group: what is sent to other groups on the same port stays away.
	var err error
	if p.rtp, err = openUDP(netip.AddrPortFrom(group, numbers[0]), reuse, join); err != nil {
		return nil, fmt.Errorf("multicast group %s: %w", p.group, err)
	}
	if p.rtcp, err = openUDP(netip.AddrPortFrom(group, numbers[1]), reuse, join); err != nil {
		unix.Close(p.rtp)
		return nil, fmt.Errorf("multicast group %s: %w", p.toRTCP, err)
	}
	p.buffer = askForBuffer(p.rtp, udpBufferBytes)
	return p, nil
}

// reuse lets several cameras use one port, each with a group of its own.
func reuse(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
}

// join joins a group; closing the socket leaves it. What is sent from here (our
// reports) goes the same way, and is not heard by ourselves.
func join(fd int, local, group netip.Addr, index, ttl int) error {
	set := func(err error, what string) error {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	if group.Is6() {
		return errors.Join(
			set(unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)}), "join"),
			set(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index), "interface"),
			set(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, ttl), "hops"),
			set(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0), "loop"))
	}
	m := &unix.IPMreqn{Multiaddr: group.As4(), Address: local.As4()}
	return errors.Join(
		set(unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, m), "join"),
		set(unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, m), "interface"),
		set(unix.SetsockoptByte(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, byte(ttl)), "TTL"),
		set(unix.SetsockoptByte(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0), "loop"))
}

// interfaceOf is the number of the interface with this address.
func interfaceOf(local netip.Addr) (int, error) {
	if zone := local.Zone(); zone != "" {
		n, err := zoneIndex(zone)
		return int(n), err
	}
	all, err := net.Interfaces()
	if err != nil {
		return 0, err
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			at, _ := netip.AddrFromSlice(n.IP)
			if at == local {
				return i.Index, nil
			}
		}
	}
	return 0, fmt.Errorf("no interface has the address %s", local)
}

// setupGroup joins the group of a track.
func (s *Session) setupGroup(a transportAnswer, m Media) (*ports, error) {
	local, err := addrPort(s.conn.LocalAddr())
	if err != nil {
		return nil, err
	}
	peer, err := addrPort(s.conn.RemoteAddr())
	if err != nil {
		return nil, err
	}
	group, numbers, ttl, err := groupOf(a, m)
	if err != nil {
		return nil, err
	}
	if group.Is4() != local.Addr().Is4() {
		return nil, fmt.Errorf("the group %s and the address %s are of different IP versions", group, local.Addr())
	}
	return joinGroup(local.Addr(), peer.Addr(), group, numbers, ttl)
}
