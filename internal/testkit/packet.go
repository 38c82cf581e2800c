package testkit

import (
	"encoding/binary"

	"nvr/internal/media"
)

// room is the payload of most packets.
const room = 1200

// Packet is an RTP packet on its way out.
type Packet struct {
	Payload   []byte
	PT        uint8
	Marker    bool
	Time      uint32
	SSRC      uint32
	Extension []byte // its words, with ONVIF's profile 0xABAC
	Padding   int
	Lost      bool   // it has a number and is not sent
	Same      bool   // it has the number of the packet after it
	Skip      uint16 // so many numbers are left out before it
	Cut       bool   // half of its frame is missing
	Sequence  *uint16
	Channel   *uint8
	Raw       []byte // is sent instead, as it is
	Before    []byte // is sent in front of the frame
	After     []byte
}

// frame is bytes on a channel, RFC 2326 §10.12.
func frame(channel uint8, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{'$', channel}, uint16(len(b))), b...)
}

// bytes is the packet, RFC 3550 §5.1.
func (k *Packet) bytes(sequence uint16) []byte {
	b := []byte{0x80, k.PT & 0x7f}
	if k.Marker {
		b[1] |= 0x80
	}
	b = binary.BigEndian.AppendUint16(b, sequence)
	b = binary.BigEndian.AppendUint32(b, k.Time)
	b = binary.BigEndian.AppendUint32(b, k.SSRC)
	if k.Extension != nil {
		b[0] |= 0x10
		b = append(b, 0xab, 0xac)
		b = binary.BigEndian.AppendUint16(b, uint16(len(k.Extension)/4))
		b = append(b, k.Extension...)
	}
	b = append(b, k.Payload...)
	if k.Padding > 0 {
		b[0] |= 0x20
		b = append(b, make([]byte, k.Padding-1)...)
		b = append(b, byte(k.Padding))
	}
	return b
}

// packets makes the packets of a unit as most cameras do.
func (u *Unit) packets() []*Packet {
	if u.Track.Payload != nil {
		return u.Track.Payload(u)
	}
	if u.Track.Clip == nil {
		if u.Track.Encoding == "MPEG4-GENERIC" {
			return []*Packet{u.packet(hbr(u.Sound))}
		}
		return []*Packet{u.packet(u.Sound)}
	}
	var ks []*Packet
	for _, n := range u.Sets {
		ks = append(ks, u.packet(n))
	}
	for _, n := range u.NALs {
		ks = append(ks, u.Fragments(n, room)...)
	}
	return ks
}

func (u *Unit) packet(payload []byte) *Packet {
	return &Packet{Payload: payload, PT: u.Track.PT, Time: u.Time, SSRC: u.Track.SSRC}
}

// hbr puts units behind their headers, RFC 3640 §3.3.6.
func hbr(units ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(16*len(units)))
	for _, u := range units {
		b = binary.BigEndian.AppendUint16(b, uint16(len(u)<<3))
	}
	for _, u := range units {
		b = append(b, u...)
	}
	return b
}

// Fragments is a NAL unit as one packet, or as FU-A (RFC 6184 §5.8) or FU (RFC
// 7798 §4.4.3) where it is too long.
func (u *Unit) Fragments(n []byte, room int) []*Packet {
	if len(n) <= room {
		return []*Packet{u.packet(n)}
	}
	var ks []*Packet
	h265 := u.Clip.Codec == media.H265
	header, body := []byte{n[0]&0xe0 | 28, n[0] & 0x1f}, n[1:]
	if h265 {
		header, body = []byte{n[0]&0x81 | 49<<1, n[1], n[0] >> 1 & 0x3f}, n[2:]
	}
	flags := len(header) - 1
	header[flags] |= 0x80
	for len(body) > 0 {
		k := min(room-len(header), len(body))
		if k == len(body) {
			header[flags] |= 0x40
		}
		ks = append(ks, u.packet(append(append([]byte(nil), header...), body[:k]...)))
		header[flags] &^= 0x80
		body = body[k:]
	}
	return ks
}

// Aggregate is NAL units in one packet: STAP-A (RFC 6184 §5.7.1) or AP (RFC 7798
// §4.4.2).
func (u *Unit) Aggregate(nals ...[]byte) *Packet {
	b := []byte{0x60 | 24}
	if u.Clip.Codec == media.H265 {
		b = []byte{48 << 1, 1}
	}
	for _, n := range nals {
		b = binary.BigEndian.AppendUint16(b, uint16(len(n)))
		b = append(b, n...)
	}
	return u.packet(b)
}
