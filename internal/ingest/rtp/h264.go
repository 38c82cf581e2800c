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
	fuB   = 29
	fuA   = 28
)

// H264 is the depacketizer of RFC 6184: single NAL units, STAP-A and FU-A.
// Interleaved mode (STAP-B, MTAP, FU-B) is counted and refused: no camera met
// uses it.
type H264 struct {
	pictures
	inFU   bool
	header [1]byte
}

// NewH264 writes to sink. sets are the SDP's sprop-parameter-sets, if any.
func NewH264(sink Sink, sets [][]byte) *H264 {
	d := &H264{pictures: newPictures(sink, h264Syntax{}, paramSets{
		same: func(typ byte, a, b []byte) bool { return typ == h264.SPS && h264.SameSPS(a, b) },
		build: func(of func(byte) [][]byte) (*media.Track, error) {
			return h264.Track(of(h264.SPS), of(h264.PPS))
		},
	})}
	d.announce(sets)
	return d
}

// Packet takes the next packet.
func (d *H264) Packet(k Packet) {
	d.packet(&k)
	b := k.Payload
	if len(b) == 0 {
		return
	}
	switch typ := h264.Type(b[0]); {
	case typ == fuA:
		d.fragment(&k)
	case typ == stapA:
		d.inFU = false
		d.aggregate(&k)
	case typ >= stapB && typ <= fuB:
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

// aggregate unpacks a STAP-A, RFC 6184 §5.7.1.
func (d *H264) aggregate(k *Packet) {
	b := k.Payload[1:]
	for len(b) >= 2 {
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > len(b) {
			d.stats.Malformed++
			return
		}
		if n > 0 {
			d.whole(k, b[:n])
		}
		b = b[n:]
	}
}

// fragment takes an FU-A, RFC 6184 §5.8. The type of the first fragment counts
// (Tiandy sends a wrong one after it), empty ones do not (CostarHD), and a unit
// may begin and end in one, though it must not.
func (d *H264) fragment(k *Packet) {
	b := k.Payload
	if len(b) < 2 {
		d.stats.Malformed++
		return
	}
	begins, ends, body := b[1]&0x80 != 0, b[1]&0x40 != 0, b[2:]
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

func (h264Syntax) interlaced(t *media.Track) bool {
	return h264.Interlaced(h264.FirstSPS(t.Config))
}
