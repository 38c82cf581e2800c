// Package rtp turns RTP packets (RFC 3550) into access units, in place: a
// packet's bytes are copied once, into the record that is being built.
//
//	Receiver   header, payload type, losses          → Packet
//	H264, …    a depacketizer, a file per codec      → bytes of access units
//	Sink       whoever builds records from them
//
// A depacketizer believes as little of a camera as it can: see docs/cameras.md.
package rtp

import (
	"encoding/binary"
	"time"

	"nvr/internal/media"
)

// Sink takes access units piece by piece. The calls for one unit are any
// number of Append and Patch, one Head before the unit's picture or sound is
// appended, and Commit, Split or Abort; then the next unit begins.
//
// Nothing that is passed may be kept after a call returns, except Head.Params.
type Sink interface {
	// Append adds bytes to the unit. It reports false if the unit is now too
	// long; the depacketizer then calls Abort.
	Append(p []byte) bool
	// Patch overwrites four bytes at offset of the unit.
	Patch(offset int, length uint32)
	// Head says what the unit is.
	Head(h Head)
	// Commit ends the unit: it is complete.
	Commit()
	// Split ends the unit but for its last keep bytes, which begin the next one.
	Split(keep int)
	// Abort forgets what was appended since the last Commit, Split or Abort.
	Abort()
}

// Head is what is known of an access unit when its picture or sound begins.
type Head struct {
	Params   *media.Track
	Time     uint32      // RTP time stamp: when it is presented
	Duration media.Ticks // audio; 0: unknown
	Arrival  time.Time   // of its first packet
	Sync     bool
	Leading  bool // needs what was before the last sync sample, and is shown before it
	Damaged  bool // something between it and the last sync sample is missing
	Gap      bool // packets were lost since the unit before
}

// Packet is what a depacketizer sees of an RTP packet.
type Packet struct {
	Payload []byte
	Time    uint32
	Arrival time.Time
	Marker  bool
	Gap     bool // packets are missing before this one

	Extension   []byte // of the RTP header (RFC 3550 §5.3.1), if it has one
	ExtensionID uint16 // what kind it is, "defined by profile"
}

// Depacketizer turns the packets of one track into calls of a Sink.
type Depacketizer interface {
	// Packet takes the next packet, in order.
	Packet(p Packet)
	// Flush commits the unit in work if it is known to be complete.
	Flush()
	// Close ends the stream: the last unit is committed or aborted.
	Close()
	// Stats counts since the beginning.
	Stats() Stats
}

// Stats counts what went wrong.
type Stats struct {
	Packets      uint64 // of the track's payload types
	Lost         uint64 // missing sequence numbers
	Late         uint64 // came twice, or after they had been given up
	UnknownType  uint64 // of payload types nobody announced
	Malformed    uint64 // packets that make no sense
	Refused      uint64 // of kinds we do not take (MTAP, PACI inside PACI, unknown types of JPEG)
	DroppedUnits uint64 // access units of which a part is missing, or too long
	NoParameters uint64 // pictures before the first parameter sets
}

// Limits (SEC-01).
const (
	maxUnits      = 512      // NAL units in an access unit
	maxAudioBytes = 64 << 10 // an audio access unit
)

// header is the fixed part of an RTP packet, RFC 3550 §5.1.
type header struct {
	payloadType uint8
	marker      bool
	sequence    uint16
	time        uint32
	ssrc        uint32
	extension   []byte
	extensionID uint16
}

// parse takes header extension (§5.3.1; ONVIF replay sends 0xABAC) and padding
// off. ok is false for what is no RTP packet.
func parse(pkt []byte) (h header, payload []byte, ok bool) {
	if len(pkt) < 12 || pkt[0]>>6 != 2 {
		return h, nil, false
	}
	h = header{
		payloadType: pkt[1] & 0x7f,
		marker:      pkt[1]&0x80 != 0,
		sequence:    binary.BigEndian.Uint16(pkt[2:]),
		time:        binary.BigEndian.Uint32(pkt[4:]),
		ssrc:        binary.BigEndian.Uint32(pkt[8:]),
	}
	at := 12 + 4*int(pkt[0]&0xf)
	if pkt[0]&0x10 != 0 {
		if len(pkt) < at+4 {
			return h, nil, false
		}
		begin := at + 4
		h.extensionID = binary.BigEndian.Uint16(pkt[at:])
		if at = begin + 4*int(binary.BigEndian.Uint16(pkt[at+2:])); at <= len(pkt) {
			h.extension = pkt[begin:at]
		}
	}
	end := len(pkt)
	if pkt[0]&0x20 != 0 {
		end -= int(pkt[end-1])
	}
	if at > end {
		return h, nil, false
	}
	return h, pkt[at:end], true
}
