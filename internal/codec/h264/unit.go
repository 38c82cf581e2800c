// Package h264 knows what is inside an H.264 elementary stream (ITU-T H.264,
// ISO/IEC 14496-10) as far as recording needs it.
package h264

import "nvr/internal/codec/nal"

// Types of NAL unit, H.264 table 7-1.
const (
	Slice       = 1
	PartitionA  = 2
	PartitionC  = 4
	IDR         = 5
	SEI         = 6
	SPS         = 7
	PPS         = 8
	AUD         = 9
	EndOfSeq    = 10
	EndOfStream = 11
	Filler      = 12
	SPSExt      = 13
	Prefix      = 14
	SubsetSPS   = 15
)

// Type is the type of the unit that begins with header.
func Type(header byte) byte { return header & 0x1f }

// IsVCL reports whether units of the type carry picture data of the base layer.
func IsVCL(typ byte) bool { return typ >= Slice && typ <= IDR }

// FirstSlice reports whether a VCL unit begins a picture: its
// first_mb_in_slice is 0 (§7.3.3). body is what follows the header byte.
// Partitions B and C begin with slice_id and never begin a picture.
func FirstSlice(typ byte, body []byte) bool {
	return (typ == Slice || typ == IDR || typ == PartitionA) && len(body) > 0 && body[0]&0x80 != 0
}

// IsIntra reports whether the slice says that all of its picture is intra
// coded: slice_type 7 or 9, or 2 and 4, which say it of this slice (§7.4.3).
func IsIntra(typ byte, body []byte) bool {
	if typ == IDR {
		return true
	}
	if typ != Slice {
		return false
	}
	r := nal.Bits{Data: body}
	r.UE() // first_mb_in_slice
	switch r.UE() {
	case 2, 4, 7, 9:
		return !r.Short
	}
	return false
}

// SetID is the id of a parameter set, by which a later one replaces it.
func SetID(set []byte) uint32 {
	r := nal.Bits{Data: set[1:]}
	if Type(set[0]) == SPS {
		r.Skip(24) // profile_idc, constraint flags, level_idc
	}
	return r.UE()
}
