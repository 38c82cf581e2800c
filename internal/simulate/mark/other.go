package mark

import (
	"bytes"
	"hash/crc32"

	"nvr/internal/media"
)

const (
	obuMetadata = 5 << 3 // obu_type 5, no extension, no size: AV1 §5.3.2
	obuHasSize  = 2      // of the same byte
	metadataT35 = 4      // metadata_type METADATA_TYPE_ITUT_T35: AV1 §6.7.1
	countryCode = 0x60   // of a country that has no decoder look into the rest

	jpegComment = 0xfe // COM: ISO/IEC 10918-1 table B.1
	jpegScan    = 0xda // SOS
)

// obuWithSize is a mark's OBU as it is recorded, up to its text: with its size.
var obuWithSize = []byte{obuMetadata | obuHasSize, 2 + TextSize + 1, metadataT35, countryCode}

// markStartOther is markStart for what has no NAL units.
func markStartOther(b []byte, text int) (codec media.Codec, at int, ok bool) {
	if comment := textPrefix(media.MJPEG); bytes.HasSuffix(b[:text], comment) {
		return media.MJPEG, text - len(comment), true
	}
	if bytes.HasSuffix(b[:text], obuWithSize) {
		return media.AV1, text - len(obuWithSize), true
	}
	return "", text, false
}

// obusMatch reports whether the OBUs behind the mark that ends at end are the
// ones that want was made of.
func obusMatch(b []byte, end, units int, want uint32) bool {
	if end >= len(b) || b[end] != rbspStop {
		return false
	}
	end++
	sum := uint32(0)
	for range units {
		if end+2 > len(b) || b[end]&obuHasSize == 0 || b[end]&4 != 0 {
			return false
		}
		header := b[end] &^ obuHasSize
		size, shift := 0, 0
		for end++; end < len(b) && shift < 28; end++ { // leb128: AV1 §4.10.5
			size |= int(b[end]&0x7f) << shift
			if shift += 7; b[end] < 0x80 {
				break
			}
		}
		if end++; end+size > len(b) {
			return false
		}
		sum = crc32.Update(sum, crc32.IEEETable, []byte{header})
		sum = crc32.Update(sum, crc32.IEEETable, b[end:end+size])
		end += size
	}
	return sum == want
}

// scanMatches reports whether the scan before the comment at is the one that
// want was made of, and the image ends behind the comment's text at end.
func scanMatches(b []byte, at, end int, want uint32) bool {
	window := b[max(0, at-maxUnitBytes):at]
	i := bytes.LastIndex(window, []byte{0xff, jpegScan})
	if i < 0 || i+4 > len(window) || !bytes.HasPrefix(b[end:], []byte{0xff, 0xd9}) {
		return false
	}
	header := 2 + int(window[i+2])<<8 + int(window[i+3])
	return i+header <= len(window) && crc32.ChecksumIEEE(window[i+header:]) == want
}
