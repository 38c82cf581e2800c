package rtsp

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Media in datagrams (RFC 2326 §10.4, §12.39): two sockets for each track, RTP
// on an even port and RTCP on the next (RFC 3550 §11).
const (
	lowestPort, highestPort = 20000, 59998 // even: chosen by chance (SEC-06)
	maxPortTries            = 100

	// lowDelayPace is how often the sockets are looked at while somebody watches
	// live: a fourth of a picture at 25 a second.
	lowDelayPace = 10 * time.Millisecond

	// punchEvery is how often a firewall between us and the camera is shown that
	// packets are expected, until there are some.
	punchEvery = time.Second
)

// ports are a track's two sockets.
type ports struct {
	rtp, rtcp int
	number    uint16         // of RTP; RTCP has the next
	peer      netip.Addr     // packets of anybody else are not taken
	group     netip.AddrPort // of multicast; RTCP has its own port
	toRTP     netip.AddrPort // of the camera; not valid: it did not say
	toRTCP    netip.AddrPort
	buffer    int // bytes that the kernel keeps of RTP
}

// openPorts takes two neighbouring ports of the address that reaches the camera.
func openPorts(local, peer netip.Addr) (*ports, error) {
	var err error
	for range maxPortTries {
		p := &ports{rtp: -1, rtcp: -1, peer: peer.WithZone("")}
		p.number = uint16(lowestPort + 2*rand.IntN((highestPort-lowestPort)/2+1))
		if p.rtp, err = openUDP(netip.AddrPortFrom(local, p.number)); err == nil {
			if p.rtcp, err = openUDP(netip.AddrPortFrom(local, p.number+1)); err == nil {
				p.buffer = askForBuffer(p.rtp, udpBufferBytes)
				return p, nil
			}
			unix.Close(p.rtp)
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("no pair of UDP ports: %w", err)
}

func (p *ports) close() {
	if p != nil {
		unix.Close(p.rtp)
		unix.Close(p.rtcp)
	}
}

// offer is the Transport header of SETUP.
func (p *ports) offer() string {
	return fmt.Sprintf("RTP/AVP;unicast;client_port=%d-%d", p.number, p.number+1)
}

// answered takes in what the camera says of its own ports. It need not say
// anything, and need not keep to it.
func (p *ports) answered(a transportAnswer, zone string) {
	at := p.peer.WithZone(zone)
	if a.serverPorts[0] != 0 {
		p.toRTP = netip.AddrPortFrom(at, a.serverPorts[0])
		p.toRTCP = netip.AddrPortFrom(at, a.serverPorts[1])
	}
}

// send sends a datagram; what becomes of it nobody knows.
func send(fd int, b []byte, to netip.AddrPort) {
	if !to.IsValid() || to.Port() == 0 {
		return
	}
	if name, err := sockaddr(to); err == nil {
		unix.Sendto(fd, b, unix.MSG_DONTWAIT, name)
	}
}

// punch opens the way for packets through a firewall or address translation in
// front of us, which lets in what looks like an answer: an RTP packet without
// payload, and a receiver report of nobody.
func (p *ports) punch(ssrc uint32) {
	if p.group.IsValid() {
		return
	}
	var b [rtpHeaderBytes]byte
	b[0], b[1] = 2<<6, 127 // a payload type that no camera announces to us
	b[8], b[9], b[10], b[11] = byte(ssrc>>24), byte(ssrc>>16), byte(ssrc>>8), byte(ssrc)
	send(p.rtp, b[:], p.toRTP)
	send(p.rtcp, []byte{2 << 6, rtcpRR, 0, 1, b[8], b[9], b[10], b[11]}, p.toRTCP)
}

// datagramsUsed reports whether the media come in datagrams.
func (s *Session) datagramsUsed() bool {
	return s.transport == TransportUDP || s.transport == TransportMulticast
}

// nextRead is when the sockets are looked at next.
func (s *Session) nextRead(now time.Time) time.Time {
	if s.lowDelay.Load() {
		return now.Add(lowDelayPace)
	}
	return nextBeat(now)
}

// readPorts takes everything that has come.
func (s *Session) readPorts(h Handler, n *batch) error {
	b := takeBatch()
	defer b.release()
	for i, t := range s.tracks {
		// RTP first: what a report says of it (BYE) comes after it.
		if err := s.readPort(b, t, i, t.ports.rtp, false, h, n); err != nil {
			return err
		}
		if err := s.readPort(b, t, i, t.ports.rtcp, true, h, n); err != nil {
			return err
		}
	}
	now := time.Now()
	for i, t := range s.tracks {
		for t.order.overdue(now) {
			for {
				if p := t.order.skip(); p != nil {
					s.deliver(t, i, p.data, p.arrival, h, n)
					break
				}
			}
			s.deliverReady(t, i, h, n)
		}
	}
	return nil
}

func (s *Session) readPort(b *datagrams, t *track, index, fd int, rtcp bool, h Handler, n *batch) error {
	for range maxBatches {
		got, err := b.read(fd)
		arrival := time.Now()
		if err != nil || got == 0 {
			return err
		}
		s.stats.reads.Add(1)
		bytes := 0
		for i := range got {
			data, from := b.data(i), b.from(i)
			bytes += len(data)
			switch {
			case from.Addr() != t.ports.peer:
				n.foreign++
				n.ignored++
			case len(data) < minRTCPBytes || data[0]>>6 != 2:
				n.ignored++
			case rtcp || isRTCP(data[1]):
				if rtcp && t.ports.toRTCP.Port() != from.Port() && !t.ports.group.IsValid() {
					t.ports.toRTCP = netip.AddrPortFrom(from.Addr().WithZone(s.zone), from.Port()) // RFC 4961: it listens where it sends from
				}
				s.heard = arrival
				s.report(t, index, data, arrival, h)
			case len(data) < rtpHeaderBytes:
				n.ignored++
			default:
				s.heard = arrival
				s.rtp(t, index, data, arrival, h, n)
			}
		}
		s.stats.bytes.Add(uint64(bytes))
		if got < batchDatagrams {
			return nil
		}
	}
	return nil
}

// inOrder hands on a packet when those before it are there, or are given up.
func (s *Session) inOrder(t *track, index int, ssrc uint32, seq uint16, pkt []byte, arrival time.Time, h Handler, n *batch) {
	q := &t.order
	if q.begun && ssrc != t.orderSSRC { // Uniview has a new source with every GOP
		s.deliverHeld(t, index, h, n)
		q.restart(seq)
	}
	t.orderSSRC = ssrc
	switch q.judge(seq) {
	case seqFits:
	case seqStrange:
		if q.keepStrange(seq, pkt, arrival) {
			n.ignored++ // the one that was kept before
		}
		return
	case seqRestart:
		s.deliverHeld(t, index, h, n)
		q.restart(seq - 1)
		s.deliver(t, index, q.far.data, q.far.arrival, h, n)
		q.step()
	case seqLate:
		n.late++
		return
	case seqTwice:
		n.twice++
		return
	}
	for !q.fits(seq) {
		if p := q.skip(); p != nil {
			s.deliver(t, index, p.data, p.arrival, h, n)
		}
	}
	if seq == q.next {
		s.deliver(t, index, pkt, arrival, h, n)
		q.step()
	} else {
		q.keep(seq, pkt, arrival)
	}
	s.deliverReady(t, index, h, n)
}

func (s *Session) deliverReady(t *track, index int, h Handler, n *batch) {
	for p := t.order.ready(); p != nil; p = t.order.ready() {
		s.deliver(t, index, p.data, p.arrival, h, n)
	}
}

// deliverHeld gives up what is missing and hands on what there is.
func (s *Session) deliverHeld(t *track, index int, h Handler, n *batch) {
	for t.order.held > 0 {
		if p := t.order.skip(); p != nil {
			s.deliver(t, index, p.data, p.arrival, h, n)
		}
	}
}

// reportDatagrams sends each track's receiver report; one of nobody where there
// is nothing to report keeps the way open.
func (s *Session) reportDatagrams(now time.Time) {
	for _, t := range s.tracks {
		if t.receiver.started {
			s.out = t.receiver.appendReport(s.out[:0], s.ownSSRC, s.cname, now)
			send(t.ports.rtcp, s.out, t.ports.toRTCP)
		} else {
			t.ports.punch(s.ownSSRC)
		}
	}
}

func (s *Session) closePorts() {
	for _, t := range s.tracks {
		t.ports.close()
		t.ports = nil
	}
}

// setupPorts opens the sockets of a track.
func (s *Session) setupPorts() (*ports, error) {
	local, err := addrPort(s.conn.LocalAddr())
	if err != nil {
		return nil, err
	}
	peer, err := addrPort(s.conn.RemoteAddr())
	if err != nil {
		return nil, err
	}
	s.zone = cmp.Or(peer.Addr().Zone(), local.Addr().Zone())
	return openPorts(local.Addr(), peer.Addr())
}
