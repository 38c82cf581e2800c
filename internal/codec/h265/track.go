package h265

import (
	"bytes"
	"encoding/binary"
	"errors"

	mch265 "github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"reflect"

	"nvr/internal/media"
)

// ClockRate of H.265 in RTP, RFC 7798 §7.1.
const ClockRate = 90000

// Track makes a track from parameter sets, each a NAL unit without start code.
// It fails only without an SPS that names a profile, or without a PPS; a
// missing VPS is left missing.
func Track(vps, sps, pps [][]byte) (*media.Track, error) {
	if len(sps) == 0 || len(sps[0]) < HeaderSize+13 {
		return nil, errors.New("h265: no sequence parameter set")
	}
	if len(pps) == 0 {
		return nil, errors.New("h265: no picture parameter set")
	}
	s := parse(sps[0])
	return &media.Track{
		Kind:      media.Video,
		Codec:     media.H265,
		ClockRate: ClockRate,
		Config:    config(&s, vps, sps, pps),
		Width:     s.width,
		Height:    s.height,
	}, nil
}

// config builds an HEVCDecoderConfigurationRecord, ISO/IEC 14496-15 §8.3.3.1.
func config(s *sequence, vps, sps, pps [][]byte) []byte {
	c := append(make([]byte, 0, 64), 1)
	c = append(c, s.general[:]...)
	c = binary.BigEndian.AppendUint16(c, 0xf000) // min_spatial_segmentation_idc: unknown
	c = append(c,
		0xfc, // parallelismType: unknown
		0xfc|byte(s.chroma),
		0xf8|byte(s.lumaBits),
		0xf8|byte(s.chromaBits),
		0, 0, // avgFrameRate: unknown
		byte(s.subLayers)<<3|bit(s.nested)<<2|3, // constantFrameRate 0, lengthSizeMinusOne 3
	)
	arrays := [...]struct {
		typ  byte
		sets [][]byte
	}{{VPS, vps}, {SPS, sps}, {PPS, pps}}
	count := len(c)
	c = append(c, 0)
	for _, a := range arrays {
		if len(a.sets) == 0 {
			continue
		}
		c[count]++
		c = append(c, 0x80|a.typ) // array_completeness: no sets in the samples
		c = binary.BigEndian.AppendUint16(c, uint16(len(a.sets)))
		for _, set := range a.sets {
			c = binary.BigEndian.AppendUint16(c, uint16(len(set)))
			c = append(c, set...)
		}
	}
	return c
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// First is the first parameter set of a type in a configuration record, nil if
// there is none.
func First(config []byte, typ byte) []byte {
	if len(config) < 23 {
		return nil
	}
	b := config[23:]
	for range config[22] {
		if len(b) < 3 {
			return nil
		}
		kind, n := b[0]&0x3f, binary.BigEndian.Uint16(b[1:])
		b = b[3:]
		for range n {
			if len(b) < 2 {
				return nil
			}
			size := int(binary.BigEndian.Uint16(b))
			if size > len(b)-2 {
				return nil
			}
			if kind == typ {
				return b[2 : 2+size]
			}
			b = b[2+size:]
		}
	}
	return nil
}

// SameSPS reports whether two sequence parameter sets mean the same to a
// decoder: they differ in nothing but hints for display and timing (VUI).
func SameSPS(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y mch265.SPS
	if x.Unmarshal(a) != nil || y.Unmarshal(b) != nil {
		return false
	}
	x.VUI, y.VUI = nil, nil
	return reflect.DeepEqual(x, y)
}
