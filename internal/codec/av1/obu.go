// Package av1 knows what is inside an AV1 elementary stream (AV1 Bitstream &
// Decoding Process Specification) as far as recording needs it.
package av1

// Types of OBU, §6.2.2.
const (
	SequenceHeader       = 1
	TemporalDelimiter    = 2
	FrameHeader          = 3
	TileGroup            = 4
	Metadata             = 5
	Frame                = 6
	RedundantFrameHeader = 7
	TileList             = 8
	Padding              = 15
)

// Type is the type of the OBU that begins with header (§5.3.2).
func Type(header byte) byte { return header >> 3 & 0xf }

// HasExtension reports whether a second header byte follows.
func HasExtension(header byte) bool { return header&4 != 0 }

// HasSize reports whether the size of the content follows the header.
func HasSize(header byte) bool { return header&2 != 0 }

// WithSize is the header byte of the same OBU with a size behind it.
func WithSize(header byte) byte { return header | 2 }

const maxLEB128 = 8 // bytes, §4.10.5

// LEB128 reads a size (§4.10.5) of n bytes. ok is false where the value does
// not fit into 32 bits, which the specification forbids; n is 0 where b ends too early.
func LEB128(b []byte) (v uint32, n int, ok bool) {
	var wide uint64
	for i, c := range b {
		if i == maxLEB128 {
			return 0, i, false
		}
		wide |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return uint32(wide), i + 1, wide < 1<<32
		}
	}
	return 0, 0, len(b) < maxLEB128
}

// AppendLEB128 writes a size in as few bytes as will do.
func AppendLEB128(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// MaxPaddedSize is the largest size that PaddedLEB128 can say.
const MaxPaddedSize = 1<<28 - 1

// PaddedLEB128 is a size in exactly four bytes, as a big-endian number: for an
// OBU whose size is known only when its end has come.
func PaddedLEB128(v uint32) uint32 {
	return (v&0x7f|0x80)<<24 | (v>>7&0x7f|0x80)<<16 | (v>>14&0x7f|0x80)<<8 | v>>21&0x7f
}

// IsKey reports whether decoding can begin with the frame whose header begins
// with first: a key frame that is shown at once (§5.9.2). reduced says that the
// sequence has nothing but those.
func IsKey(first byte, reduced bool) bool {
	const existing, kind, shown = 0x80, 0x60, 0x10 // show_existing_frame, frame_type (0: key), show_frame
	return reduced || first&(existing|kind|shown) == shown
}
