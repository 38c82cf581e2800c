// Package h265 knows what is inside an H.265 elementary stream (ITU-T H.265,
// ISO/IEC 23008-2) as far as recording needs it.
package h265

import "nvr/internal/codec/nal"

// Types of NAL unit, H.265 table 7-1.
const (
	TrailN      = 0
	raslN       = 8
	raslR       = 9
	BLAWLP      = 16
	IDRWRADL    = 19
	IDRNLP      = 20
	CRA         = 21
	lastIRAP    = 23
	lastVCL     = 31
	VPS         = 32
	SPS         = 33
	PPS         = 34
	AUD         = 35
	EndOfSeq    = 36
	EndOfStream = 37
	Filler      = 38
	PrefixSEI   = 39
	SuffixSEI   = 40
)

// HeaderSize is the length of a NAL unit's header (§7.3.1.2).
const HeaderSize = 2

// Type is the type of the unit whose header begins with b.
func Type(b byte) byte { return b >> 1 & 0x3f }

// Layer is the unit's nuh_layer_id: 0 is the base layer.
func Layer(header []byte) byte { return header[0]&1<<5 | header[1]>>3 }

// IsVCL reports whether units of the type carry picture data.
func IsVCL(typ byte) bool { return typ <= lastVCL }

// IsSync reports whether decoding can begin with a unit of the type: IRAP
// pictures, that is BLA, IDR and CRA (§3.69).
func IsSync(typ byte) bool { return typ >= BLAWLP && typ <= CRA }

// IsRASL reports whether the picture may refer to what is before the IRAP
// picture that it is sent after, so that it cannot be decoded if decoding began
// with that one (random access skipped leading, §3.126).
func IsRASL(typ byte) bool { return typ == raslN || typ == raslR }

// IsIDR reports whether the type is an instantaneous decoding refresh.
func IsIDR(typ byte) bool { return typ == IDRWRADL || typ == IDRNLP }

// FirstSlice reports whether a VCL unit begins a picture: its
// first_slice_segment_in_pic_flag is set (§7.3.6.1). body follows the header.
func FirstSlice(body []byte) bool { return len(body) > 0 && body[0]&0x80 != 0 }

// SetID is the id of a parameter set, by which a later one replaces it.
func SetID(set []byte) uint32 {
	r := nal.Bits{Data: set[HeaderSize:]}
	switch Type(set[0]) {
	case VPS:
		return r.U(4)
	case SPS:
		skipToSPSID(&r)
	}
	return r.UE()
}
