package simulate

import (
	"encoding/binary"
	"time"
)

const (
	rtcpSR   = 200
	rtcpRR   = 201
	rtcpSDES = 202

	cname      = "nvr-simulate"
	srSize     = 28
	sdesSize   = 4 + 4 + 2 + len(cname) + 2 // header, SSRC, item, text, end padded to 32 bits
	reportSize = srSize + sdesSize
)

// putReport writes an interleaved frame with a compound packet: sender report
// and CNAME, RFC 3550 §6.4.1, §6.5.1. wall is the instant of timestamp.
func putReport(b *[frameHeader + reportSize]byte, channel byte, ssrc uint32, wall time.Time, timestamp, packets, octets uint32) {
	const ntpEpoch = 2208988800 // seconds from 1900 to 1970
	be := binary.BigEndian
	b[0], b[1] = '$', channel
	be.PutUint16(b[2:], uint16(reportSize))

	sr := b[frameHeader:]
	sr[0], sr[1] = rtpVersion, rtcpSR
	be.PutUint16(sr[2:], srSize/4-1)
	be.PutUint32(sr[4:], ssrc)
	be.PutUint32(sr[8:], uint32(wall.Unix()+ntpEpoch))
	be.PutUint32(sr[12:], uint32(uint64(wall.Nanosecond())<<32/uint64(time.Second)))
	be.PutUint32(sr[16:], timestamp)
	be.PutUint32(sr[20:], packets)
	be.PutUint32(sr[24:], octets)

	sdes := sr[srSize:]
	sdes[0], sdes[1] = rtpVersion|1, rtcpSDES
	be.PutUint16(sdes[2:], uint16(sdesSize/4-1))
	be.PutUint32(sdes[4:], ssrc)
	sdes[8], sdes[9] = 1, byte(len(cname))
	copy(sdes[10:], cname)
}

// isReport reports whether a datagram that begins with b is a receiver's
// compound packet: it begins with a report, RFC 3550 §6.1.
func isReport(b []byte) bool {
	return len(b) >= 8 && b[0]>>6 == 2 && (b[1] == rtcpRR || b[1] == rtcpSR)
}
