package simulate

import (
	"net"
	"net/netip"
	"time"

	"nvr/internal/simulate/mark"
)

// viewer is one PLAY: it belongs to the sender from camera.join on.
type viewer struct {
	camera     *camera
	conn       *conn // nil: multicast
	server     *Server
	connection int    // of the camera, from 1
	from       uint64 // the first sample
	video      *flow  // nil: not set up
	audio      *flow

	atSync  bool // goes on at a sync sample: it was frozen
	skipped bool // the same, for it was too slow: what is passed over counts as dropped
}

// flow is one track on its way to one client.
type flow struct {
	transport
	rtpTo, rtcpTo netip.AddrPort // UDP

	sequence   uint16
	timestamp  uint32 // at the first sample's instant
	ssrc       uint32
	packets    uint32 // RFC 3550 §6.4.1
	octets     uint32
	nextReport time.Time
}

// sendPicture sends sample n, which is due at due, and reports whether it was
// taken. t is the camera's template for it.
func (v *viewer) sendPicture(n uint64, t *template, sync, silent bool, due time.Time) bool {
	f := v.video
	if f == nil || n < v.from {
		return false
	}
	if silent {
		v.atSync = true
		return false
	}
	if v.atSync && !sync {
		return false
	}
	v.atSync = false
	if v.skipped && !sync {
		v.camera.dropped.Add(1)
		return false
	}
	timestamp := f.timestamp + uint32(v.camera.videoTicks(n)-v.camera.videoTicks(v.from))
	t.patch(byte(f.rtp), f.sequence, timestamp, f.ssrc)
	mark.Set(t.wire[t.text:], v.camera.number, v.connection, n)
	if v.skipped = !v.sendTemplate(f, t); v.skipped {
		v.camera.dropped.Add(1)
		return false
	}
	f.sequence += uint16(len(t.packets))
	f.packets += uint32(len(t.packets))
	f.octets += uint32(t.octets)
	v.camera.samples.Add(1)
	v.camera.bytes.Add(int64(t.sample))
	v.report(f, due, timestamp)
	return true
}

func (v *viewer) sendTemplate(f *flow, t *template) bool {
	if !f.udp {
		return v.conn.media(t.wire)
	}
	for i := range t.packets {
		if !sendDatagram(v.server.udpRTP, t.rtp(i), f.rtpTo) {
			return false
		}
	}
	return true
}

// sendSound sends packet n of the camera's sound.
func (v *viewer) sendSound(n uint64, s *sound, p *soundPacket, silent bool, due time.Time) {
	f := v.audio
	at := n * uint64(s.perPacket)                                      // of the camera's timeline, in samples of sound
	from := v.from * uint64(s.rate) / uint64(v.camera.fps)             // the first picture's instant
	if f == nil || at < from || silent || v.video != nil && v.atSync { // sound waits for the picture
		return
	}
	timestamp := f.timestamp + uint32(at-from)
	frame := p.wire
	patchPacket(frame, byte(f.rtp), f.sequence, timestamp, f.ssrc)
	ok := false
	if f.udp {
		ok = sendDatagram(v.server.udpRTP, frame[frameHeader:], f.rtpTo)
	} else {
		ok = v.conn.media(frame)
	}
	if !ok {
		v.camera.audioLost.Add(1)
		return
	}
	f.sequence++
	f.packets++
	f.octets += uint32(len(frame) - frameHeader - rtpHeader)
	v.camera.audioSent.Add(1)
	v.camera.audioES.Add(int64(p.media))
	v.report(f, due, timestamp)
}

// report sends a sender report with the first packet and every 5 s from then on.
func (v *viewer) report(f *flow, wall time.Time, timestamp uint32) {
	if wall.Before(f.nextReport) {
		return
	}
	f.nextReport = wall.Add(reportInterval)
	b := &v.server.report
	putReport(b, byte(f.rtcp), f.ssrc, wall, timestamp, f.packets, f.octets)
	if f.udp {
		sendDatagram(v.server.udpRTCP, b[frameHeader:], f.rtcpTo)
	} else {
		v.conn.media(b[:])
	}
}

func sendDatagram(from *net.UDPConn, b []byte, to netip.AddrPort) bool {
	_, err := from.WriteToUDPAddrPort(b, to)
	return err == nil
}
