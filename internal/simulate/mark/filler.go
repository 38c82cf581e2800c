package mark

import (
	"bytes"

	"nvr/internal/media"
)

// Filler makes a SEI NAL unit of exactly size bytes that a decoder ignores, to
// bring a stream up to a bit rate. Its content follows from seed and has no two
// zero bytes in a row: no start code can appear. It returns nil for sizes that
// no such NAL unit has: below FillerMin, and one in 256 above it, where the
// payload's size takes another byte to write.
func Filler(codec media.Codec, size int, seed uint64) []byte {
	payload := fillerPayload(codec, size)
	if payload < 0 {
		return nil
	}
	nal := make([]byte, 0, size)
	nal = append(nal, seiHeader(codec)...)
	nal = append(nal, payloadUserData)
	for n := payload; ; n -= 255 { // ff_byte … last_payload_size_byte: H.264 §7.3.2.3.1
		if n < 255 {
			nal = append(nal, byte(n))
			break
		}
		nal = append(nal, 255)
	}
	nal = append(nal, fillerUUID...)
	for len(nal) < size-1 {
		seed = seed*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
		nal = append(nal, byte(seed>>56)%255+1)
	}
	return append(nal, rbspStop)
}

// Fillable reports whether there is a filler of exactly size bytes.
func Fillable(codec media.Codec, size int) bool { return fillerPayload(codec, size) >= 0 }

// FillerMin is the size of the smallest filler.
func FillerMin(codec media.Codec) int { return headerSize(codec) + 1 + 1 + len(fillerUUID) + 1 }

// fillerPayload is the SEI payload size of a filler NAL unit of size bytes,
// -1 where there is none.
func fillerPayload(codec media.Codec, size int) int {
	if size < FillerMin(codec) {
		return -1
	}
	rest := size - headerSize(codec) - 1 - 1 // payload and the bytes that write its size
	payload := rest - 1 - (rest-1)/256
	if payload+payload/255+1 != rest {
		return -1
	}
	return payload
}

// isFiller reports whether a NAL unit is one that Filler made.
func isFiller(codec media.Codec, nal []byte) bool {
	header := seiHeader(codec)
	if !bytes.HasPrefix(nal, header) || len(nal) < FillerMin(codec) || nal[len(header)] != payloadUserData {
		return false
	}
	at := len(header) + 1
	for at < len(nal) && nal[at] == 255 {
		at++
	}
	return at < len(nal) && bytes.HasPrefix(nal[at+1:], []byte(fillerUUID))
}
