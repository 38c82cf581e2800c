package mark

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"nvr/internal/media"
)

const (
	maxUnitBytes = 16 << 20 // a length above this is not one: the stream is damaged
	maxSkipped   = 64       // NAL units between a mark and its last slice that are neither filler nor slice
)

// framing is how NAL units lie behind each other.
type framing int

const (
	unknownFraming framing = iota
	annexB                 // start codes: ITU-T H.264 Annex B
	lengthPrefixed         // 4 bytes of length, big-endian: ISO/IEC 14496-15 §4.3
)

// Find calls found for every mark in b, in the order of their offsets. b may be
// any bytes: a file of any container, part of a disk. A mark whose NAL units
// are cut off by the end of b is damaged.
func Find(b []byte, found func(Mark)) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(uuid))
		if i < 0 {
			return
		}
		at := from + i
		from = at + len(uuid)
		if at+TextSize > len(b) {
			return
		}
		m, units, sum, ok := parse(b[at : at+TextSize])
		if !ok {
			continue // the UUID in another text, or a mark torn in itself
		}
		from = at + TextSize
		codec, nal, ok := markStart(b, at)
		m.Offset = nal
		switch end := at + TextSize; {
		case !ok:
			m.Damaged = true
		case codec == media.AV1:
			m.Damaged = !obusMatch(b, end, units, sum)
		case codec == media.MJPEG:
			m.Damaged = !scanMatches(b, nal, end, sum)
		default:
			m.Damaged = !unitsMatch(b, codec, nal, end, units, sum)
		}
		found(m)
	}
}

// markStart is the codec and the offset of the NAL unit whose text is at text.
// ok is false where the bytes before the text are no SEI header.
func markStart(b []byte, text int) (codec media.Codec, nal int, ok bool) {
	before := []byte{payloadUserData, TextSize}
	for _, codec := range []media.Codec{media.H265, media.H264} {
		if bytes.HasSuffix(b[:text], append(seiHeader(codec), before...)) {
			return codec, text - len(before) - headerSize(codec), true
		}
	}
	return markStartOther(b, text)
}

// unitsMatch reports whether the filler and slices behind the mark at nal,
// whose text ends at end, are the ones that sum was made of.
func unitsMatch(b []byte, codec media.Codec, nal, end, units int, want uint32) bool {
	if end >= len(b) || b[end] != rbspStop {
		return false
	}
	end++
	f := framingOf(b, nal, end-nal)
	if f == unknownFraming {
		return false
	}
	sum := uint32(0)
	for skipped := 0; units > 0; {
		var unit []byte
		var ok bool
		if f == annexB {
			unit, end, ok = nextAnnexB(b, end)
		} else {
			unit, end, ok = nextLengthPrefixed(b, end)
		}
		if !ok {
			return false
		}
		if isSlice(codec, unit) || isFiller(codec, unit) {
			sum = crc32.Update(sum, crc32.IEEETable, unit)
			units--
			continue
		}
		if skipped++; skipped > maxSkipped {
			return false
		}
	}
	return sum == want
}

// framingOf tells by what stands in front of the mark, a NAL unit of size bytes.
func framingOf(b []byte, nal, size int) framing {
	switch {
	case nal >= 4 && binary.BigEndian.Uint32(b[nal-4:]) == uint32(size):
		return lengthPrefixed
	case nal >= 3 && bytes.Equal(b[nal-3:nal], startCode):
		return annexB
	}
	return unknownFraming
}

var startCode = []byte{0, 0, 1}

// nextAnnexB cuts the NAL unit that begins with the start code at from.
func nextAnnexB(b []byte, from int) (unit []byte, end int, ok bool) {
	const maxZeros = 64 // trailing_zero_8bits and leading_zero_8bits that are believed
	for limit := from + maxZeros; from < limit && from+3 < len(b) && b[from] == 0 && b[from+1] == 0 && b[from+2] == 0; {
		from++
	}
	if !bytes.HasPrefix(b[from:], startCode) {
		return nil, from, false
	}
	from += len(startCode)
	window := b[from:min(len(b), from+maxUnitBytes)]
	if i := bytes.Index(window, startCode); i >= 0 {
		window = window[:i]
	}
	unit = trimZeros(window)
	return unit, from + len(unit), len(unit) > 0
}

// nextLengthPrefixed cuts the NAL unit whose length is at from.
func nextLengthPrefixed(b []byte, from int) (unit []byte, end int, ok bool) {
	if from+4 > len(b) {
		return nil, from, false
	}
	n := int(binary.BigEndian.Uint32(b[from:]))
	from += 4
	if n == 0 || n > maxUnitBytes || from+n > len(b) {
		return nil, from, false
	}
	unit = trimZeros(b[from : from+n]) // ffmpeg leaves trailing_zero_8bits inside the length for H.265
	return unit, from + n, len(unit) > 0
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}
