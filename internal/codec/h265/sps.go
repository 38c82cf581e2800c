package h265

import "nvr/internal/codec/nal"

// maxSide bounds a picture's sides (SEC-01): more is a broken parameter set.
const maxSide = 16384

// sequence is what we need of a sequence parameter set, §7.3.2.2.1. It is read
// by ourselves: mediacommon refuses sub-layer profiles (Reolink, Tenda) before
// it comes to the picture's size.
type sequence struct {
	subLayers   int // sps_max_sub_layers_minus1 + 1
	nested      bool
	general     [12]byte // profile space, tier, profile, compatibility, constraints, level
	chroma      uint32
	lumaBits    uint32 // minus 8
	chromaBits  uint32 // minus 8
	width       uint16 // after cropping; 0: unknown
	height      uint16
	reorderPics uint32 // sps_max_num_reorder_pics of the highest sub-layer

	reorderKnown bool // it could be read
}

// skipToSPSID reads up to sps_seq_parameter_set_id and returns the number of
// sub-layers beyond the first. r stands behind the unit's header.
func skipToSPSID(r *nal.Bits) (more int, nested bool, general [12]byte) {
	r.Skip(4)
	more = int(r.U(3))
	nested = r.Flag()
	for i := range general { // profile_tier_level, §7.3.3: general_*
		general[i] = byte(r.U(8))
	}
	if more == 0 {
		return
	}
	var profile, level [8]bool
	for i := range more {
		profile[i], level[i] = r.Flag(), r.Flag()
	}
	r.Skip(2 * (8 - more))
	for i := range more {
		if profile[i] {
			r.Skip(88)
		}
		if level[i] {
			r.Skip(8)
		}
	}
	return
}

// parse reads as much as it can; what it cannot read stays zero.
func parse(sps []byte) (s sequence) {
	if len(sps) < HeaderSize+13 {
		return s
	}
	r := nal.Bits{Data: sps[HeaderSize:]}
	more, nested, general := skipToSPSID(&r)
	s.subLayers, s.nested, s.general = more+1, nested, general
	s.chroma = 1 // what nearly all have, should the rest not parse
	r.UE()       // sps_seq_parameter_set_id
	chroma := r.UE()
	if chroma == 3 {
		r.Skip(1) // separate_colour_plane_flag
	}
	w, h := int64(r.UE()), int64(r.UE())
	if r.Flag() { // conformance_window_flag, offsets in chroma units (table 6-1)
		unitX, unitY := int64(1), int64(1)
		if chroma == 1 || chroma == 2 {
			unitX = 2
		}
		if chroma == 1 {
			unitY = 2
		}
		w -= unitX * (int64(r.UE()) + int64(r.UE()))
		h -= unitY * (int64(r.UE()) + int64(r.UE()))
	}
	luma, chromaBits := r.UE(), r.UE()
	if r.Short || chroma > 3 || luma > 8 || chromaBits > 8 {
		return s
	}
	s.chroma, s.lumaBits, s.chromaBits = chroma, luma, chromaBits
	if w > 0 && h > 0 && w <= maxSide && h <= maxSide {
		s.width, s.height = uint16(w), uint16(h)
	}
	r.UE() // log2_max_pic_order_cnt_lsb_minus4
	first := more
	if r.Flag() { // sps_sub_layer_ordering_info_present_flag
		first = 0
	}
	var reorder uint32
	for i := first; i <= more; i++ {
		r.UE() // sps_max_dec_pic_buffering_minus1
		reorder = r.UE()
		r.UE() // sps_max_latency_increase_plus1
	}
	if !r.Short && reorder <= 16 {
		s.reorderPics, s.reorderKnown = reorder, true
	}
	return s
}
