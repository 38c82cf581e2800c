package rtp

import "encoding/binary"

// Framed is a stream of RTP packets behind their lengths (RFC 4571 §2), as
// GStreamer's rtpstreampay writes it. Nothing in it says where a frame begins:
// after what cannot be one, the next place is looked for at which two frames
// follow one another. The zero value is ready.
type Framed struct {
	lost   bool
	Junk   uint64 // bytes that were no frame
	InARow uint64 // of them, since the last frame
}

// Next finds the first frame in b: pkt is a packet, aliasing b, and n bytes of b
// are used with it. Without a packet, n bytes are none and more must be read.
func (f *Framed) Next(b []byte) (pkt []byte, n int) {
	for ; ; n++ {
		size, ok := frameSize(b[n:])
		if !ok {
			f.skip()
			continue
		}
		if size == 0 || size > len(b)-n {
			return nil, n
		}
		if f.lost { // believe it when another one follows
			next, ok := frameSize(b[n+size:])
			if !ok {
				f.skip()
				continue
			}
			if next == 0 {
				return nil, n
			}
		}
		f.lost, f.InARow = false, 0
		return b[n+2 : n+size], n + size
	}
}

func (f *Framed) skip() {
	f.lost = true
	f.Junk++
	f.InARow++
}

// frameSize is the size of the frame at the beginning of b with its length, 0 if
// b is too short to say. ok is false where there can be no frame.
func frameSize(b []byte) (size int, ok bool) {
	if len(b) < 4 {
		return 0, true
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < 12 || b[2]>>6 != 2 { // version, RFC 3550 §5.1
		return 0, false
	}
	return 2 + n, true
}

// IsControl tells RTCP packets from RTP (RFC 5761 §4).
func IsControl(pkt []byte) bool { return len(pkt) > 1 && pkt[1] >= 192 && pkt[1] <= 223 }

// PayloadType is that of a packet of at least two bytes.
func PayloadType(pkt []byte) uint8 { return pkt[1] & 0x7f }

// Time is the time stamp of a packet of at least eight bytes.
func Time(pkt []byte) uint32 { return binary.BigEndian.Uint32(pkt[4:]) }
