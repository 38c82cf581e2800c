package av1

import (
	"bytes"
	"errors"

	"nvr/internal/codec/bits"
	"nvr/internal/media"
)

// ClockRate of AV1 in RTP (RTP Payload Format for AV1 §7.1).
const ClockRate = 90000

// MaxSequenceBytes bounds a sequence header (SEC-01). With 32 operating points
// and all that can be said of each it has less than 300 bytes.
const MaxSequenceBytes = 1 << 10

// Sequence is what we need of a sequence header (§5.5.1). It is read by
// ourselves: mediacommon refuses those with a decoder model or a display delay.
// Two that are equal mean the same to a decoder.
type Sequence struct {
	profile, level, tier byte // of operating point 0
	delay                byte // initial display delay minus 1 of it,
	hasDelay             bool // if it is said
	Reduced              bool // reduced_still_picture_header
	width, height        uint32
	frameIDs             uint32 // the bits that say how long they are
	tools                uint64 // the bits from use_128x128_superblock to enable_restoration
	color                color
	filmGrain            bool
}

// color is color_config, §5.5.2.
type color struct {
	high, twelve, mono, full bool
	described                uint32 // primaries, transfer, matrix
	subX, subY               bool
	position                 byte
}

// ParseSequence reads the content of a sequence header OBU.
func ParseSequence(content []byte) (s Sequence, err error) {
	if len(content) > MaxSequenceBytes {
		return s, errors.New("av1: sequence header too long")
	}
	r := bits.Reader{Data: content}
	s.profile = byte(r.U(3))
	still := r.Flag()
	s.Reduced = r.Flag()
	if s.Reduced {
		s.level = byte(r.U(5))
	} else {
		s.operatingPoints(&r)
	}
	w, h := int(r.U(4))+1, int(r.U(4))+1
	s.width, s.height = r.U(w)+1, r.U(h)+1
	if !s.Reduced && r.Flag() { // frame_id_numbers_present_flag
		s.frameIDs = 1<<7 | r.U(7)
	}
	s.readTools(&r)
	s.color.read(&r, s.profile)
	s.filmGrain = r.Flag()
	switch {
	case r.Short:
		return s, errors.New("av1: sequence header cut short")
	case s.profile > 2, s.Reduced && !still:
		return s, errors.New("av1: sequence header makes no sense")
	}
	return s, nil
}

// operatingPoints reads timing, decoder model and operating points. Of those
// only the first matters: it is what a decoder that is not told else decodes.
func (s *Sequence) operatingPoints(r *bits.Reader) {
	model, delayBits := false, 0
	if r.Flag() { // timing_info, §5.5.3
		r.Skip(64)
		if r.Flag() { // equal_picture_interval: num_ticks_per_picture_minus_1, uvlc
			zeros := 0
			for !r.Flag() && zeros < 32 && !r.Short {
				zeros++
			}
			if zeros < 32 {
				r.Skip(zeros)
			}
		}
		if model = r.Flag(); model { // decoder_model_info, §5.5.4
			delayBits = int(r.U(5)) + 1
			r.Skip(32 + 5 + 5)
		}
	}
	delays := r.Flag()
	for i := range int(r.U(5)) + 1 {
		r.Skip(12) // operating_point_idc
		level, tier := byte(r.U(5)), byte(0)
		if level > 7 {
			tier = byte(r.U(1))
		}
		if model && r.Flag() { // operating_parameters_info, §5.5.5
			r.Skip(2*delayBits + 1)
		}
		if i == 0 {
			s.level, s.tier = level, tier
		}
		if delays && r.Flag() {
			delay := byte(r.U(4))
			if i == 0 {
				s.delay, s.hasDelay = delay, true
			}
		}
	}
}

// readTools keeps the bits of the coding tools as they come.
func (s *Sequence) readTools(r *bits.Reader) {
	keep := func(n int) uint32 {
		v := r.U(n)
		s.tools = s.tools<<n | uint64(v)
		return v
	}
	keep(3) // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
	if !s.Reduced {
		keep(4)             // interintra_compound, masked_compound, warped_motion, dual_filter
		hint := keep(1) > 0 // enable_order_hint
		if hint {
			keep(2) // jnt_comp, ref_frame_mvs
		}
		screen := keep(1) > 0 // seq_choose_screen_content_tools
		if !screen {
			screen = keep(1) > 0
		}
		if screen && keep(1) == 0 { // seq_choose_integer_mv
			keep(1)
		}
		if hint {
			keep(3) // order_hint_bits_minus_1
		}
	}
	keep(3) // superres, cdef, restoration
}

func (c *color) read(r *bits.Reader, profile byte) {
	c.high = r.Flag()
	if profile == 2 && c.high {
		c.twelve = r.Flag()
	}
	if profile != 1 {
		c.mono = r.Flag()
	}
	c.described = 2<<16 | 2<<8 | 2 // unspecified
	if r.Flag() {
		c.described = r.U(24)
	}
	const sRGB = 1<<16 | 13<<8 // CP_BT_709, TC_SRGB, MC_IDENTITY (0)
	switch {
	case c.mono:
		c.full, c.subX, c.subY = r.Flag(), true, true
		return // no separate_uv_delta_q
	case c.described == sRGB:
		c.full = true
	default:
		c.full = r.Flag()
		switch {
		case profile == 0:
			c.subX, c.subY = true, true
		case profile == 1:
		case !c.twelve:
			c.subX = true
		default:
			if c.subX = r.Flag(); c.subX {
				c.subY = r.Flag()
			}
		}
		if c.subX && c.subY {
			c.position = byte(r.U(2))
		}
	}
	r.Skip(1) // separate_uv_delta_q
}

// Track makes a track from the content of a sequence header OBU.
func Track(content []byte) (*media.Track, error) {
	s, err := ParseSequence(content)
	if err != nil {
		return nil, err
	}
	t := &media.Track{Kind: media.Video, Codec: media.AV1, ClockRate: ClockRate, Config: s.config(content)}
	if s.width < 1<<16 && s.height < 1<<16 {
		t.Width, t.Height = uint16(s.width), uint16(s.height)
	}
	return t, nil
}

// config builds an AV1CodecConfigurationRecord (AV1 Codec ISO Media File Format
// Binding §2.3.3) with the sequence header in it.
func (s *Sequence) config(content []byte) []byte {
	c := []byte{
		0x81, // marker, version 1
		s.profile<<5 | s.level,
		s.tier<<7 | bit(s.color.high)<<6 | bit(s.color.twelve)<<5 | bit(s.color.mono)<<4 | bit(s.color.subX)<<3 | bit(s.color.subY)<<2 | s.color.position,
		0,
	}
	if s.hasDelay {
		c[3] = 1<<4 | s.delay
	}
	return AppendSequence(c, content)
}

// AppendSequence appends a sequence header OBU with this content.
func AppendSequence(b, content []byte) []byte {
	b = append(b, WithSize(SequenceHeader<<3))
	b = AppendLEB128(b, uint32(len(content)))
	return append(b, content...)
}

// Same reports whether two sequence headers mean the same to a decoder: they
// differ in nothing but timing.
func Same(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := ParseSequence(a)
	y, errY := ParseSequence(b)
	return errX == nil && errY == nil && x == y
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
