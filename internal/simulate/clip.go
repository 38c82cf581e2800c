package simulate

import (
	"bytes"
	"errors"
	"fmt"

	"nvr/internal/media"
	"nvr/internal/simulate/clips"
)

// loadClipOf reads the clip of a codec.
func loadClipOf(codec media.Codec) (*clip, error) {
	switch codec {
	case media.H265:
		return parseClip(codec, clips.H265)
	case media.AV1:
		return parseOBUs(clips.AV1)
	case media.MJPEG:
		return parseJPEGs(clips.MJPEG)
	}
	return parseClip(codec, clips.H264)
}

// clip is a piece of video that a camera shows again and again.
type clip struct {
	codec    media.Codec
	sets     [][]byte // parameter sets: SPS, PPS; VPS, SPS, PPS; sequence header
	jpeg     jpegHeader
	pictures []picture
	gop      int // pictures from one sync sample to the next
}

// picture is an access unit without parameter sets, delimiter and SEI.
type picture struct {
	slices [][]byte // NAL units; OBUs without their size; the scan of a JPEG
	sync   bool
}

// naturalBytes is the size of the clip's samples as they are recorded, without
// marks and filler.
func (c *clip) naturalBytes() int {
	n := 0
	for _, p := range c.pictures {
		for _, s := range p.slices {
			n += nalLengthSize + len(s)
		}
	}
	return n
}

// nalLengthSize is what stands in front of a NAL unit in a recorded sample
// (ISO/IEC 14496-15 §4.3).
const nalLengthSize = 4

// nalKind is what a NAL unit is to this package: ITU-T H.264 table 7-1, H.265
// table 7-1.
type nalKind int

const (
	otherNAL nalKind = iota
	delimiterNAL
	parameterSetNAL
	sliceNAL
	syncSliceNAL // of an IDR picture, in H.265 of any IRAP picture
)

func kindOf(codec media.Codec, nal []byte) nalKind {
	if codec == media.H265 {
		switch t := nal[0] >> 1 & 0x3f; {
		case t >= 16 && t <= 21:
			return syncSliceNAL
		case t < 32:
			return sliceNAL
		case t <= 34: // VPS, SPS, PPS
			return parameterSetNAL
		case t == 35:
			return delimiterNAL
		}
		return otherNAL
	}
	switch nal[0] & 0x1f {
	case 1:
		return sliceNAL
	case 5:
		return syncSliceNAL
	case 7, 8:
		return parameterSetNAL
	case 9:
		return delimiterNAL
	}
	return otherNAL
}

// parseClip cuts an Annex B stream with access unit delimiters, one kind of
// parameter sets and GOPs of one length.
func parseClip(codec media.Codec, b []byte) (*clip, error) {
	c := &clip{codec: codec}
	var current *picture
	for _, nal := range splitAnnexB(b) {
		kind := kindOf(codec, nal)
		switch kind {
		case delimiterNAL:
			c.pictures = append(c.pictures, picture{})
			current = &c.pictures[len(c.pictures)-1]
		case parameterSetNAL:
			if err := c.addSet(nal); err != nil {
				return nil, err
			}
		case sliceNAL, syncSliceNAL:
			if current == nil {
				return nil, errors.New("clip: it does not begin with an access unit delimiter")
			}
			current.slices = append(current.slices, nal)
			current.sync = kind == syncSliceNAL
		}
	}
	return c, c.check()
}

// addSet keeps the first parameter set of each type; repetitions must equal it.
func (c *clip) addSet(nal []byte) error {
	for _, s := range c.sets {
		if s[0] == nal[0] {
			if !bytes.Equal(s, nal) {
				return errors.New("clip: parameter sets change on the way")
			}
			return nil
		}
	}
	c.sets = append(c.sets, nal)
	return nil
}

func (c *clip) check() error {
	want := map[media.Codec]int{media.H264: 2, media.H265: 3, media.AV1: 1}[c.codec]
	if len(c.sets) != want {
		return fmt.Errorf("clip: %d parameter sets, want %d", len(c.sets), want)
	}
	if len(c.pictures) == 0 {
		return errors.New("clip: no pictures")
	}
	c.gop = len(c.pictures)
	for i, p := range c.pictures {
		if i > 0 && p.sync {
			c.gop = i
			break
		}
	}
	for i, p := range c.pictures {
		if len(p.slices) == 0 {
			return fmt.Errorf("clip: picture %d has no slices", i)
		}
		if p.sync != (i%c.gop == 0) {
			return fmt.Errorf("clip: picture %d breaks the GOP of %d pictures", i, c.gop)
		}
	}
	if len(c.pictures)%c.gop != 0 {
		return fmt.Errorf("clip: %d pictures are not whole GOPs of %d", len(c.pictures), c.gop)
	}
	return nil
}

// splitAnnexB cuts a byte stream at its start codes (ITU-T H.264 Annex B) and
// takes the zeros off the ends.
func splitAnnexB(b []byte) (nals [][]byte) {
	startCode := []byte{0, 0, 1}
	i := bytes.Index(b, startCode)
	for i >= 0 {
		b = b[i+len(startCode):]
		nal := b
		if i = bytes.Index(b, startCode); i >= 0 {
			nal = b[:i]
		}
		if nal = bytes.TrimRight(nal, "\x00"); len(nal) >= 2 {
			nals = append(nals, nal)
		}
	}
	return nals
}
