// Package jpeg makes the headers that JPEG pictures lose on their way over RTP
// (ISO/IEC 10918-1, RFC 2435).
package jpeg

import (
	"encoding/binary"
	"errors"

	"nvr/internal/media"
)

// ClockRate of JPEG in RTP, RFC 2435 §3.
const ClockRate = 90000

// Markers of ISO/IEC 10918-1, table B.1, the second byte of each.
const (
	SOF0 = 0xC0
	SOI  = 0xD8
	EOI  = 0xD9
	sof1 = 0xC1
	dht  = 0xC4
	sos  = 0xDA
	dqt  = 0xDB
	dri  = 0xDD
	app0 = 0xE0
)

// Subsampling is how the chroma components are sampled: the types of RFC 2435 §4.1.
type Subsampling byte

// The kinds there are.
const (
	YUV422 Subsampling = 0
	YUV420 Subsampling = 1
)

// MaxQuantBytes is the size of four tables of 16 bits, the most that a picture can have.
const MaxQuantBytes = 4 * 2 * QuantBytes

// Picture is what the header of a picture says.
type Picture struct {
	Width, Height   uint16
	Subsampling     Subsampling
	RestartInterval uint16 // MCUs; 0: none
	Quant           []byte // tables, one behind the other, in zigzag order
	Wide            byte   // bit n: table n has 16 bits instead of 8 (RFC 2435 §3.1.8)
}

var errQuant = errors.New("jpeg: quantisation tables of no known size")

// tables counts the tables in Quant.
func (p *Picture) tables() (n int, err error) {
	for rest := len(p.Quant); rest > 0; n++ {
		if rest -= quantBytes(p.Wide, n); rest < 0 || n == 4 {
			return 0, errQuant
		}
	}
	if n == 0 {
		return 0, errQuant
	}
	return n, nil
}

func quantBytes(wide byte, n int) int {
	if wide>>n&1 != 0 {
		return 2 * QuantBytes
	}
	return QuantBytes
}

// AppendHeader appends all that stands before the entropy-coded data: a JFIF
// picture (ITU-T T.871) with the Huffman tables of RFC 2435. The first table is
// for luma, the second for chroma; with one it is for all; where there are
// three, as some cameras send, the third is for Cr.
func AppendHeader(b []byte, p *Picture) ([]byte, error) {
	n, err := p.tables()
	if err != nil {
		return b, err
	}
	b = append(b, 0xff, SOI,
		0xff, app0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0)
	frame := byte(SOF0)
	for i, q := 0, p.Quant; i < n; i++ {
		size := quantBytes(p.Wide, i)
		b = append(b, 0xff, dqt, 0, byte(3+size), p.Wide>>i&1<<4|byte(i))
		b = append(b, q[:size]...)
		q = q[size:]
		if p.Wide>>i&1 != 0 {
			frame = sof1 // §B.2.2: baseline has 8 bits only
		}
	}
	if p.RestartInterval > 0 {
		b = append(b, 0xff, dri, 0, 4)
		b = binary.BigEndian.AppendUint16(b, p.RestartInterval)
	}
	b = append(b, 0xff, frame, 0, 17, 8)
	b = binary.BigEndian.AppendUint16(b, p.Height)
	b = binary.BigEndian.AppendUint16(b, p.Width)
	sampling := byte(0x21)
	if p.Subsampling == YUV420 {
		sampling = 0x22
	}
	b = append(b, 3, 1, sampling, 0, 2, 0x11, byte(min(1, n-1)), 3, 0x11, byte(min(2, n-1)))
	if n == 4 { // nobody says what a fourth is for
		b[len(b)-1] = 1
	}
	for i := range huffmanTables {
		h := &huffmanTables[i]
		b = append(b, 0xff, dht, 0, byte(3+len(h.counts)+len(h.values)), h.class)
		b = append(b, h.counts[:]...)
		b = append(b, h.values...)
	}
	return append(b, 0xff, sos, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0), nil
}

// Track makes a track of pictures of this size.
func Track(width, height uint16) *media.Track {
	return &media.Track{Kind: media.Video, Codec: media.MJPEG, ClockRate: ClockRate, Width: width, Height: height}
}

// FrameSize looks for the frame header among the marker segments that b begins
// with (after SOI or without one) and returns the picture's size.
func FrameSize(b []byte) (width, height uint16, ok bool) {
	for len(b) >= 2 {
		if b[0] != 0xff {
			return 0, 0, false
		}
		marker := b[1]
		if marker == 0xff { // fill byte, §B.1.1.2
			b = b[1:]
			continue
		}
		if marker == SOI {
			b = b[2:]
			continue
		}
		if len(b) < 4 || marker == sos || marker == EOI {
			return 0, 0, false
		}
		size := int(binary.BigEndian.Uint16(b[2:]))
		if size < 2 || 2+size > len(b) {
			return 0, 0, false
		}
		// SOF0 to SOF15; three numbers among them are other things.
		if marker >= SOF0 && marker <= 0xCF && marker != dht && marker != 0xC8 && marker != 0xCC && size >= 7 {
			return binary.BigEndian.Uint16(b[7:]), binary.BigEndian.Uint16(b[5:]), true
		}
		b = b[2+size:]
	}
	return 0, 0, false
}
