// Package mark is how a simulated camera signs its pictures, and how a
// verifier finds the signatures in whatever was recorded of them.
//
// A mark is a SEI NAL unit (user_data_unregistered, ITU-T H.264 §D.1.7, H.265
// §D.2.7) in front of an access unit's filler and slices. It says which camera
// sent the access unit on which connection, its number in the camera's life,
// and the checksum of the NAL units that follow. It is ASCII: it needs no
// emulation prevention and survives any container that keeps NAL units
// contiguous (Annex B, MP4, Matroska, our pool files; not MPEG-TS).
//
// In AV1 it is a metadata OBU in front of the frames, in JPEG a comment behind the
// scan, where RTP leaves it; the sum is of the OBUs behind it, or of the scan.
//
//	offset  bytes  is
//	     0     16  UUID, "nvr-simulate-mk1"
//	    16      5  camera, decimal, from 1
//	    21      5  connection of that camera, decimal, from 1
//	    26     12  sequence: the sample's number in the camera's life, decimal, from 0
//	    38      2  units: how many NAL units (filler and slices) the next sum covers
//	    40      8  CRC-32 (IEEE) of those units without their framing, hexadecimal
//	    48      8  CRC-32 of bytes 16…47, hexadecimal
//
// The last sum makes the numbers trustworthy: bytes that fail it are no mark.
// The one before it makes the picture trustworthy: a mark that fails it is
// reported as damaged.
package mark

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"

	"nvr/internal/media"
)

// Mark is one signature as Find reports it.
type Mark struct {
	Camera     int
	Connection int
	Sequence   uint64 // of the sample in the camera's life
	Offset     int    // of the mark's NAL unit in the searched bytes
	Damaged    bool   // the NAL units behind it are not the ones that were sent
}

// The largest numbers that a mark has room for.
const (
	MaxCamera     = 99_999
	MaxConnection = 99_999
	MaxSequence   = 999_999_999_999 // 2000 years at 15 pictures a second
	MaxUnits      = 99
)

const (
	uuid       = "nvr-simulate-mk1"
	fillerUUID = "nvr-simulate-pad"

	offCamera     = 16
	offConnection = 21
	offSequence   = 26
	offUnits      = 38
	offSum        = 40
	offTextSum    = 48

	// TextSize is the size of a mark's text, UUID included.
	TextSize = 56
)

// New makes the mark's NAL unit for an access unit whose filler and slices
// are units, and returns it with the offset of its text, which Set fills in.
// OBUs are without a size, and the mark is; a scan is without what is behind it.
// The numbers are all zero until then.
func New(codec media.Codec, units [][]byte) (nal []byte, text int, err error) {
	if len(units) == 0 || len(units) > MaxUnits {
		return nil, 0, fmt.Errorf("an access unit of %d NAL units cannot be marked: 1 to %d can", len(units), MaxUnits)
	}
	var sum uint32
	for _, u := range units {
		sum = crc32.Update(sum, crc32.IEEETable, u)
	}
	nal = append(nal, textPrefix(codec)...)
	text = len(nal)
	nal = append(nal, uuid...)
	nal = append(nal, make([]byte, TextSize-len(uuid))...)
	if codec != media.MJPEG {
		nal = append(nal, rbspStop) // and trailing_bits of AV1, §5.3.4
	}
	t := nal[text:]
	putDecimal(t[offUnits:offSum], uint64(len(units)))
	putHex(t[offSum:offTextSum], sum)
	Set(t, 0, 0, 0)
	return nal, text, nil
}

// Set writes the numbers into a mark's text, in place and without allocating:
// it runs once for every access unit that is sent. Numbers above the largest
// lose their leading digits.
func Set(text []byte, camera, connection int, sequence uint64) {
	_ = text[TextSize-1]
	putDecimal(text[offCamera:offConnection], uint64(camera))
	putDecimal(text[offConnection:offSequence], uint64(connection))
	putDecimal(text[offSequence:offUnits], sequence)
	putHex(text[offTextSum:TextSize], crc32.ChecksumIEEE(text[offCamera:offTextSum]))
}

// parse reads a mark's text; ok is false where the text's own sum is wrong.
func parse(text []byte) (m Mark, units int, sum uint32, ok bool) {
	textSum, ok0 := getHex(text[offTextSum:TextSize])
	if !ok0 || textSum != crc32.ChecksumIEEE(text[offCamera:offTextSum]) {
		return m, 0, 0, false
	}
	camera, ok1 := getDecimal(text[offCamera:offConnection])
	connection, ok2 := getDecimal(text[offConnection:offSequence])
	sequence, ok3 := getDecimal(text[offSequence:offUnits])
	n, ok4 := getDecimal(text[offUnits:offSum])
	sum, ok5 := getHex(text[offSum:offTextSum])
	m = Mark{Camera: int(camera), Connection: int(connection), Sequence: sequence}
	return m, int(n), sum, ok1 && ok2 && ok3 && ok4 && ok5 && n > 0
}

func putDecimal(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(v%10)
		v /= 10
	}
}

func getDecimal(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}

func putHex(b []byte, v uint32) {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], v)
	hex.Encode(b, raw[:])
}

func getHex(b []byte) (uint32, bool) {
	var raw [4]byte
	if _, err := hex.Decode(raw[:], b); err != nil {
		return 0, false
	}
	return binary.BigEndian.Uint32(raw[:]), true
}
