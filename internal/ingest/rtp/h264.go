package rtp

import (
	"encoding/binary"

	"nvr/internal/codec/h264"
	"nvr/internal/media"
)

// Packet types of RFC 6184, table 1.
const (
	stapA = 24
	stapB = 25
	fuA   = 28
	fuB   = 29
)

// H264 is the depacketizer of RFC 6184: single NAL units, STAP-A and FU-A, and
// STAP-B and FU-B, put into decoding order where the SDP says packetization-mode
// 2. MTAPs, which no camera met sends, are counted and refused.
type H264 struct {
	pictures
	inFU   bool
	header [1]byte
	order  *interleaver // nil: units are sent in decoding order
}

// NewH264 writes to sink. sets are the SDP's sprop-parameter-sets, if any; depth
// is its sprop-interleaving-depth, 0 where units are sent in decoding order.
func NewH264(sink Sink, sets [][]byte, depth int) *H264 {
	d := &H264{pictures: newPictures(sink, h264Syntax{}, paramSets{
		same: func(typ byte, a, b []byte) bool { return typ == h264.SPS && h264.SameSPS(a, b) },
		build: func(of func(byte) [][]byte) (*media.Track, error) {
			return h264.Track(of(h264.SPS), of(h264.PPS))
		},
	})}
	if depth > 0 {
		d.order = newInterleaver(&d.pictures, depth, func(header byte) bool { return h264.IsVCL(h264.Type(header)) })
	}
	d.announce(sets)
	return d
}

// Packet takes the next packet.
func (d *H264) Packet(k Packet) {
	if d.order != nil {
		d.interleaved(&k)
		return
	}
	d.packet(&k)
	b := k.Payload
	if len(b) == 0 {
		return
	}
	switch typ := h264.Type(b[0]); {
	case typ == fuA, typ == fuB:
		d.fragment(&k)
	case typ == stapA, typ == stapB:
		d.inFU = false
		d.aggregate(&k)
	case typ > stapB && typ < fuA: // MTAP16, MTAP24
		d.inFU = false
		d.stats.Refused++
	default: // 0 may be an Annex B stream in a packet (V380)
		d.inFU = false
		d.whole(&k, b)
	}
	if k.Marker {
		d.mark()
	}
}

// interleaved takes a packet of a stream in interleaved mode, RFC 6184 §5.5:
// STAP-B and FU-B say the decoding order number. Units in other packets, which
// must not be there, follow the one before.
func (d *H264) interleaved(k *Packet) {
	d.order.packet(k)
	b := k.Payload
	switch typ := h264.Type(b[0]); {
	case typ == fuA, typ == fuB:
		begins, ends, body, don, ok := d.readFU(b)
		switch {
		case !ok:
			return
		case begins:
			if typ == fuA {
				don = d.order.don + 1
			}
			d.header[0] = b[0]&0xe0 | b[1]&0x1f
			d.order.start(k, don, d.header[:], body)
		default:
			d.order.more(body)
		}
		if ends {
			d.order.end(k)
		}
	case typ == stapA, typ == stapB:
		d.aggregate(k)
	case typ > stapB && typ < fuA:
		d.stats.Refused++
	default:
		d.order.put(k, d.order.don+1, b, true)
	}
}

// aggregate unpacks a STAP-A or STAP-B, RFC 6184 §5.7.1.
func (d *H264) aggregate(k *Packet) {
	b := k.Payload[1:]
	var don uint16
	switch {
	case h264.Type(k.Payload[0]) != stapB:
		if d.order != nil {
			don = d.order.don + 1
		}
	case len(b) < 2:
		d.stats.Malformed++
		return
	default:
		don, b = binary.BigEndian.Uint16(b), b[2:]
	}
	for len(b) >= 2 {
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > len(b) {
			d.stats.Malformed++
			return
		}
		switch {
		case n == 0:
		case d.order != nil:
			d.order.put(k, don, b[:n], len(b) < n+2)
			don++
		default:
			d.whole(k, b[:n])
		}
		b = b[n:]
	}
}

// readFU reads the header of an FU-A or FU-B, RFC 6184 §5.8.
func (d *H264) readFU(b []byte) (begins, ends bool, body []byte, don uint16, ok bool) {
	at := 2
	if h264.Type(b[0]) == fuB {
		at = 4
	}
	if len(b) < at {
		d.stats.Malformed++
		return
	}
	if at == 4 {
		don = binary.BigEndian.Uint16(b[2:])
	}
	return b[1]&0x80 != 0, b[1]&0x40 != 0, b[at:], don, true
}

// fragment takes an FU-A or FU-B. The type of the first fragment counts (Tiandy
// sends a wrong one after it), empty ones do not (CostarHD), and a unit may
// begin and end in one, though it must not.
func (d *H264) fragment(k *Packet) {
	b := k.Payload
	begins, ends, body, _, ok := d.readFU(b)
	if !ok {
		return
	}
	if k.Gap {
		d.inFU = false
	}
	switch {
	case begins:
		d.end() // the one before never ended
		d.header[0] = b[0]&0xe0 | b[1]&0x1f
		d.inFU = true
		d.start(k, d.header[:], body)
	case len(body) == 0 && !ends:
	case d.inFU:
		d.more(k, body)
	case h264.IsVCL(b[1] & 0x1f):
		d.missing(k)
	}
	if ends && d.inFU {
		d.inFU = false
		d.end()
	}
}

// Close ends the stream.
func (d *H264) Close() {
	if d.order != nil {
		d.order.close()
	}
	d.pictures.Close()
}

type h264Syntax struct{}

func (h264Syntax) headerSize() int { return 1 }

func (h264Syntax) classify(header, body []byte) unit {
	u := unit{typ: h264.Type(header[0])}
	switch typ := u.typ; {
	case h264.IsVCL(typ):
		u.class = picture
		u.first = h264.FirstSlice(typ, body)
		u.idr = typ == h264.IDR
		u.sync = u.idr
		u.intra = u.first && h264.IsIntra(typ, body)
	case typ == h264.SEI:
		u.class = side
		u.after, u.recovery = recoveryPoint(body, false)
	case typ == h264.SPS, typ == h264.PPS:
		u.class = set
	case typ == h264.Prefix, typ >= 19 && typ <= 21: // auxiliary, scalable and 3D slices
		u.class = tail
	}
	return u
}

func (h264Syntax) setID(b []byte) (uint32, bool) {
	if h264.Type(b[0]) == h264.SPS && len(b) < 4 {
		return 0, false
	}
	return h264.SetID(b), true
}

// In H.264 nothing but its time tells that a picture belongs before the intra
// picture in front of it.
func (h264Syntax) leadsByTime() bool { return true }

func (h264Syntax) interlaced(t *media.Track) bool {
	return h264.Interlaced(h264.FirstSPS(t.Config))
}
