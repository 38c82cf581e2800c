package rtp

import (
	"encoding/binary"

	"nvr/internal/codec/h265"
	"nvr/internal/codec/nal"
	"nvr/internal/media"
)

// Packet types of RFC 7798 §4.4.
const (
	ap   = 48
	fu   = 49
	paci = 50
)

// H265 is the depacketizer of RFC 7798: single NAL units, AP, FU and what is
// inside a PACI.
type H265 struct {
	pictures
	donl   int // bytes of decoding order number: 2 if the SDP announced them
	inFU   bool
	header [h265.HeaderSize]byte
	order  *interleaver // nil: units are sent in decoding order
}

// NewH265 writes to sink. sets are the SDP's sprop-vps, -sps and -pps, if any;
// donl tells that sprop-max-don-diff is above 0, and depth is its
// sprop-depack-buf-nalus: so many units may be sent before one that is decoded
// earlier.
func NewH265(sink Sink, sets [][]byte, donl bool, depth int) *H265 {
	d := &H265{pictures: newPictures(sink, h265Syntax{}, paramSets{
		same: func(typ byte, a, b []byte) bool { return typ == h265.SPS && h265.SameSPS(a, b) },
		build: func(of func(byte) [][]byte) (*media.Track, error) {
			return h265.Track(of(h265.VPS), of(h265.SPS), of(h265.PPS))
		},
	})}
	if donl {
		d.donl = 2
	}
	if donl && depth > 0 {
		d.order = newInterleaver(&d.pictures, depth, func(byte) bool { return true })
	}
	d.announce(sets)
	return d
}

// Packet takes the next packet.
func (d *H265) Packet(k Packet) {
	if d.order != nil {
		d.order.packet(&k)
	} else {
		d.packet(&k)
	}
	if len(k.Payload) >= h265.HeaderSize && h265.Type(k.Payload[0]) == paci {
		k.Payload = d.unwrap(k.Payload)
	}
	b := k.Payload
	if len(b) < h265.HeaderSize {
		d.stats.Malformed++
		return
	}
	switch typ := h265.Type(b[0]); {
	case typ == fu && d.order != nil:
		d.interleavedFU(&k)
	case typ == fu:
		d.fragment(&k)
	case typ == ap:
		d.inFU = false
		d.aggregate(&k)
	case typ > fu:
		d.inFU = false
		d.stats.Refused++
	default:
		d.inFU = false
		if d.donl > 0 {
			if len(b) <= h265.HeaderSize+d.donl {
				d.stats.Malformed++
				return
			}
			// The number stands between header and payload: move the header.
			don := binary.BigEndian.Uint16(b[h265.HeaderSize:])
			copy(b[d.donl:], b[:h265.HeaderSize])
			b = b[d.donl:]
			if d.order != nil {
				d.order.put(&k, don, b, true)
				return
			}
		}
		d.whole(&k, b)
	}
	if k.Marker && d.order == nil {
		d.mark()
	}
}

// unwrap takes the payload out of a PACI packet, RFC 7798 §4.4.4, in place: its
// header is made of the PACI's with the type inside.
func (d *H265) unwrap(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	fields := binary.BigEndian.Uint16(b[2:])
	inner, extension := byte(fields>>9&0x3f), int(fields>>4&0x1f)
	at := 4 + extension
	if inner == paci || at >= len(b) {
		d.stats.Refused++
		return nil
	}
	h0 := b[0]&0x81 | inner<<1
	if fields&0x8000 != 0 { // A: the F bit of the unit inside
		h0 |= 0x80
	}
	h1 := b[1]
	b = b[at-h265.HeaderSize:]
	b[0], b[1] = h0, h1
	return b
}

// aggregate unpacks an AP, RFC 7798 §4.4.2.
func (d *H265) aggregate(k *Packet) {
	b := k.Payload[h265.HeaderSize:]
	skip := d.donl // DONL in the first unit, one byte of DOND in the others
	var don uint16
	for len(b) >= skip+2 {
		switch skip {
		case 2:
			don = binary.BigEndian.Uint16(b)
		case 1:
			don += uint16(b[0]) + 1
		}
		n := int(binary.BigEndian.Uint16(b[skip:]))
		if b = b[skip+2:]; n > len(b) {
			d.stats.Malformed++
			return
		}
		switch {
		case n < h265.HeaderSize:
		case d.order != nil:
			d.order.put(k, don, b[:n], len(b) < n+3)
		default:
			d.whole(k, b[:n])
		}
		b = b[n:]
		skip = d.donl / 2
	}
}

// fragment takes an FU, RFC 7798 §4.4.3; lenient as with H.264.
func (d *H265) fragment(k *Packet) {
	b := k.Payload
	if len(b) < h265.HeaderSize+1 {
		d.stats.Malformed++
		return
	}
	begins, ends, typ, body := b[2]&0x80 != 0, b[2]&0x40 != 0, b[2]&0x3f, b[3:]
	if k.Gap {
		d.inFU = false
	}
	switch {
	case begins:
		d.end()
		if len(body) < d.donl {
			d.stats.Malformed++
			return
		}
		d.header = [h265.HeaderSize]byte{b[0]&0x81 | typ<<1, b[1]}
		d.inFU = true
		d.start(k, d.header[:], body[d.donl:])
	case len(body) == 0 && !ends:
	case d.inFU:
		d.more(k, body)
	case h265.IsVCL(typ):
		d.missing(k)
	}
	if ends && d.inFU {
		d.inFU = false
		d.end()
	}
}

// interleavedFU takes an FU of a stream that is sent in another order.
func (d *H265) interleavedFU(k *Packet) {
	b := k.Payload
	if len(b) < h265.HeaderSize+1 || b[2]&0x80 != 0 && len(b) < h265.HeaderSize+1+d.donl {
		d.stats.Malformed++
		return
	}
	if b[2]&0x80 != 0 {
		d.header = [h265.HeaderSize]byte{b[0]&0x81 | b[2]&0x3f<<1, b[1]}
		d.order.start(k, binary.BigEndian.Uint16(b[3:]), d.header[:], b[3+d.donl:])
	} else {
		d.order.more(b[3:])
	}
	if b[2]&0x40 != 0 {
		d.order.end(k)
	}
}

// Close ends the stream.
func (d *H265) Close() {
	if d.order != nil {
		d.order.close()
	}
	d.pictures.Close()
}

type h265Syntax struct{}

func (h265Syntax) headerSize() int { return h265.HeaderSize }

func (h265Syntax) classify(header, body []byte) unit {
	u := unit{typ: h265.Type(header[0])}
	base := h265.Layer(header) == 0
	switch typ := u.typ; {
	case h265.IsVCL(typ) && !base:
		u.class = tail
	case !base:
	case h265.IsVCL(typ):
		u.class = picture
		u.first = h265.FirstSlice(body)
		u.idr = h265.IsIDR(typ)
		u.sync = h265.IsSync(typ)
		u.leading = h265.IsRASL(typ)
	case typ == h265.VPS, typ == h265.SPS, typ == h265.PPS:
		u.class = set
	case typ == h265.PrefixSEI:
		u.class = side
		u.after, u.recovery = recoveryPoint(body, true)
	case typ == h265.SuffixSEI:
		u.class = tail
	}
	return u
}

func (h265Syntax) setID(b []byte) (uint32, bool) {
	if len(b) < h265.HeaderSize+1 || h265.Type(b[0]) == h265.SPS && len(b) < h265.HeaderSize+13 {
		return 0, false
	}
	return h265.SetID(b), true
}

func (h265Syntax) leadsByTime() bool { return false }

func (h265Syntax) interlaced(*media.Track) bool { return false } // a field is a picture

func recoveryPoint(body []byte, h265 bool) (int, bool) { return nal.RecoveryPoint(body, h265) }
