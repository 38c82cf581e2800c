package h264

import (
	"encoding/binary"
	"errors"
	"reflect"

	mch264 "github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"nvr/internal/media"
)

// ClockRate of H.264 in RTP, RFC 6184 §8.1.
const ClockRate = 90000

// maxSide bounds a picture's sides (SEC-01): more is a broken parameter set.
const maxSide = 16384

// sequence is what we need of a sequence parameter set.
type sequence struct {
	mch264.SPS
	width, height uint16 // 0: unknown
}

// parse reads as much of an SPS as it can. Cameras append bytes (Reolink's
// doorbell) or send a VUI no parser accepts: that is no reason not to record,
// and what was read up to there stands.
func parse(sps []byte) (s sequence, whole bool) {
	err := s.SPS.Unmarshal(sps)
	cropped := err == nil || s.FrameCropping != nil || s.VUI != nil
	if s.PicWidthInMbsMinus1 < maxSide/16 && s.PicHeightInMapUnitsMinus1 < maxSide/16 && s.ChromaFormatIdc <= 3 &&
		(s.PicWidthInMbsMinus1 > 0 && s.PicHeightInMapUnitsMinus1 > 0 || cropped) {
		if w, h := s.Width(), s.Height(); w > 0 && h > 0 && w <= maxSide && h <= maxSide {
			s.width, s.height = uint16(w), uint16(h)
		}
	}
	return s, err == nil
}

// Track makes a track from parameter sets, each a NAL unit without start code.
// It fails only without an SPS that names a profile, or without a PPS.
func Track(sps, pps [][]byte) (*media.Track, error) {
	if len(sps) == 0 || len(sps[0]) < 4 {
		return nil, errors.New("h264: no sequence parameter set")
	}
	if len(pps) == 0 {
		return nil, errors.New("h264: no picture parameter set")
	}
	s, _ := parse(sps[0])
	return &media.Track{
		Kind:      media.Video,
		Codec:     media.H264,
		ClockRate: ClockRate,
		Config:    config(&s, sps, pps),
		Width:     s.width,
		Height:    s.height,
	}, nil
}

// config builds an AVCDecoderConfigurationRecord, ISO/IEC 14496-15 §5.3.3.1.
func config(s *sequence, sps, pps [][]byte) []byte {
	sps, pps = sps[:min(len(sps), 31)], pps[:min(len(pps), 255)]
	c := []byte{
		1,                     // configurationVersion
		sps[0][1],             // AVCProfileIndication
		sps[0][2],             // profile_compatibility
		sps[0][3],             // AVCLevelIndication
		0xfc | 3,              // lengthSizeMinusOne
		0xe0 | byte(len(sps)), // numOfSequenceParameterSets
	}
	c = appendSets(c, sps)
	c = append(c, byte(len(pps)))
	c = appendSets(c, pps)
	switch sps[0][1] {
	case 100, 110, 122, 144, 244, 44, 83, 86, 118, 128, 134, 135, 138, 139:
		c = append(c,
			0xfc|byte(s.ChromaFormatIdc&3),
			0xf8|byte(s.BitDepthLumaMinus8&7),
			0xf8|byte(s.BitDepthChromaMinus8&7),
			0) // numOfSequenceParameterSetExt
	}
	return c
}

func appendSets(c []byte, sets [][]byte) []byte {
	for _, set := range sets {
		c = binary.BigEndian.AppendUint16(c, uint16(len(set)))
		c = append(c, set...)
	}
	return c
}

// FirstSPS is the first sequence parameter set of a configuration record, nil
// if there is none.
func FirstSPS(config []byte) []byte {
	if len(config) < 8 || config[5]&0x1f == 0 {
		return nil
	}
	n := int(binary.BigEndian.Uint16(config[6:]))
	if n == 0 || n > len(config)-8 {
		return nil
	}
	return config[8 : 8+n]
}

// SameSPS reports whether two sequence parameter sets mean the same to a
// decoder: they differ in nothing but hints for display and timing (VUI). One
// camera met changes such bytes with every GOP.
func SameSPS(a, b []byte) bool {
	x, okX := parse(a)
	y, okY := parse(b)
	x.VUI, y.VUI = nil, nil
	return okX && okY && reflect.DeepEqual(x, y)
}

// Interlaced reports whether pictures may be coded as two fields, each of
// which begins with a first slice.
func Interlaced(sps []byte) bool {
	s, whole := parse(sps)
	return whole && !s.FrameMbsOnlyFlag
}
