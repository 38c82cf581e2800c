package rtsp

import (
	"encoding/binary"
	"time"
)

const (
	rtpHeaderBytes = 12 // RFC 3550 §5.1
	minRTCPBytes   = 8  // header and one SSRC

	rtcpSR   = 200 // RFC 3550 §12.1
	rtcpRR   = 201
	rtcpSDES = 202
	rtcpBYE  = 203
)

// isRTCP tells by the second byte whether a packet on an RTP channel is RTCP:
// as RTP it would be payload type 72 to 76 with the marker (RFC 5761 §4).
func isRTCP(b byte) bool { return b >= 200 && b <= 204 }

// receiver is what receiver reports need of one source: RFC 3550 §A.1, §A.3, §A.8.
type receiver struct {
	ssrc     uint32
	started  bool
	base     uint16
	highest  uint16
	cycles   uint32 // wraps of the sequence number, × 65536
	jump     uint32 // the sequence number that would prove a jump; > 65535: none
	received uint32
	before   uint64 // lost before base

	expectedPrior, receivedPrior uint32

	transit uint32
	jitter  uint32 // × 16, in ticks

	report   uint32 // middle of the last sender report's NTP time; 0: none yet
	reportAt time.Time
}

const (
	maxDropout  = 3000 // RFC 3550 §A.1: a larger step is a jump, not a loss
	maxMisorder = 100
	noJump      = 1 << 16
)

// packet takes in a packet. rate is the clock rate of its payload type. Since
// packets are read in batches, jitter has the grain of a batch: it tells the
// camera little, but RFC 3550 has a field for it.
func (r *receiver) packet(ssrc uint32, seq uint16, rtp, rate uint32, arrival time.Time) {
	if !r.started || r.ssrc != ssrc {
		*r = receiver{ssrc: ssrc, before: r.totalLost()}
		r.restart(seq)
		r.started = true
	} else {
		r.advance(seq)
	}
	r.received++
	// Arrival in ticks modulo 2^32: only differences count.
	now := uint32(uint64(arrival.Unix())*uint64(rate) + uint64(arrival.Nanosecond())*uint64(rate)/uint64(time.Second))
	transit := now - rtp
	if r.received > 1 {
		d := int32(transit - r.transit)
		if d < 0 {
			d = -d
		}
		r.jitter += uint32(d) - (r.jitter+8)>>4
	}
	r.transit = transit
}

// restart counts from seq on; what was lost until now stays lost.
func (r *receiver) restart(seq uint16) {
	r.before = r.totalLost()
	r.base, r.highest, r.cycles, r.jump = seq, seq, 0, noJump
	r.received, r.expectedPrior, r.receivedPrior = 0, 0, 0
}

func (r *receiver) advance(seq uint16) {
	switch step := seq - r.highest; {
	case step < maxDropout:
		if seq < r.highest {
			r.cycles += 1 << 16
		}
		r.highest = seq
	case step <= 1<<16-maxMisorder:
		if uint32(seq) == r.jump { // two in a row: the camera began again
			r.restart(seq)
			return
		}
		r.jump = uint32(seq + 1)
	}
}

func (r *receiver) expected() uint32 {
	if !r.started {
		return 0
	}
	return r.cycles + uint32(r.highest) - uint32(r.base) + 1
}

// lost is negative when packets came twice.
func (r *receiver) lost() int32 { return int32(r.expected() - r.received) }

// totalLost counts on over changes of the source and jumps of the sequence.
func (r *receiver) totalLost() uint64 { return r.before + uint64(max(0, r.lost())) }

// senderReport takes in a sender report of this source.
func (r *receiver) senderReport(ntp uint64, arrival time.Time) {
	r.report, r.reportAt = uint32(ntp>>16), arrival
}

// appendReport writes a receiver report with SDES CNAME (RFC 3550 §6.4.2, §6.5).
func (r *receiver) appendReport(b []byte, own uint32, cname string, now time.Time) []byte {
	expected := r.expected()
	interval, got := expected-r.expectedPrior, r.received-r.receivedPrior
	r.expectedPrior, r.receivedPrior = expected, r.received
	var fraction uint32
	if missing := int32(interval - got); missing > 0 && interval > 0 {
		fraction = min(uint32(missing)<<8/interval, 255)
	}
	lost := max(-1<<23, min(r.lost(), 1<<23-1))
	var delay uint32
	if r.report != 0 {
		delay = uint32(now.Sub(r.reportAt) * (1 << 16) / time.Second)
	}
	b = append(b, 0x81, rtcpRR, 0, 7)
	b = binary.BigEndian.AppendUint32(b, own)
	b = binary.BigEndian.AppendUint32(b, r.ssrc)
	b = binary.BigEndian.AppendUint32(b, fraction<<24|uint32(lost)&0xffffff)
	b = binary.BigEndian.AppendUint32(b, r.cycles+uint32(r.highest))
	b = binary.BigEndian.AppendUint32(b, r.jitter>>4)
	b = binary.BigEndian.AppendUint32(b, r.report)
	b = binary.BigEndian.AppendUint32(b, delay)

	// The chunk: SSRC, item type 1 (CNAME), length, text, at least one zero, to a multiple of four.
	chunk := (4 + 2 + len(cname) + 1 + 3) / 4
	b = append(b, 0x81, rtcpSDES, 0, byte(chunk))
	b = binary.BigEndian.AppendUint32(b, own)
	b = append(b, 1, byte(len(cname)))
	b = append(b, cname...)
	for pad := chunk*4 - 6 - len(cname); pad > 0; pad-- {
		b = append(b, 0)
	}
	return b
}

// eachRTCP walks a compound packet. body begins with the header and has at
// least an SSRC: what is shorter (a BYE of nobody) is passed over.
func eachRTCP(b []byte, f func(kind uint8, body []byte)) {
	for len(b) >= minRTCPBytes && b[0]>>6 == 2 {
		n := (int(b[2])<<8 + int(b[3]) + 1) * 4
		n = min(n, len(b)) // a length that lies costs what follows, not this one
		if n >= minRTCPBytes {
			f(b[1], b[:n])
		}
		b = b[n:]
	}
}

// ntpTime reads an NTP timestamp (RFC 3550 §4). One whose first bit is 0 lies
// after 2036 (RFC 4330 §3).
func ntpTime(ntp uint64) time.Time {
	const unixEpoch = 2208988800 // seconds from 1900 to 1970
	sec := int64(ntp >> 32)
	if sec < 1<<31 {
		sec += 1 << 32
	}
	nsec := int64((ntp & (1<<32 - 1)) * uint64(time.Second) >> 32)
	return time.Unix(sec-unixEpoch, nsec).UTC()
}
