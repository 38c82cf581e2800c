package simulate

import (
	"bytes"
	"errors"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

// Markers of ISO/IEC 10918-1, table B.1.
const (
	jpegSOF0 = 0xc0
	jpegSOI  = 0xd8
	jpegEOI  = 0xd9
	jpegSOS  = 0xda
	jpegDQT  = 0xdb
)

// jpegHeader is what RFC 2435 keeps of a picture's header.
type jpegHeader struct {
	kind          byte // 0: 4:2:2, 1: 4:2:0
	width, height int
	quant         []byte // tables of 64 bytes, luma first
}

// parseJPEGs cuts JPEG pictures that lie one behind the other. They have one
// header, and the Huffman tables of annex K.
func parseJPEGs(b []byte) (*clip, error) {
	c := &clip{codec: media.MJPEG}
	for len(b) > 0 {
		header, scan, rest, err := parseJPEG(b)
		if err != nil {
			return nil, err
		}
		if len(c.pictures) > 0 && (header.kind != c.jpeg.kind || header.width != c.jpeg.width || header.height != c.jpeg.height || !bytes.HasPrefix(c.jpeg.quant, header.quant)) {
			return nil, errors.New("clip: the pictures' headers differ")
		}
		c.jpeg = header
		if len(header.quant) == 64 { // for all components; in RTP there are two
			c.jpeg.quant = append(header.quant[:64:64], header.quant...)
		}
		c.pictures = append(c.pictures, picture{slices: [][]byte{scan}, sync: true})
		b = rest
	}
	return c, c.check()
}

// parseJPEG reads a picture up to its end.
func parseJPEG(b []byte) (h jpegHeader, scan, rest []byte, err error) {
	bad := errors.New("clip: not a JPEG picture of the usual kind")
	if !bytes.HasPrefix(b, []byte{0xff, jpegSOI}) {
		return h, nil, nil, bad
	}
	for b = b[2:]; ; {
		if len(b) < 4 || b[0] != 0xff {
			return h, nil, nil, bad
		}
		size := int(b[2])<<8 | int(b[3])
		if size < 2 || 2+size > len(b) {
			return h, nil, nil, bad
		}
		marker, segment := b[1], b[4:2+size]
		b = b[2+size:]
		switch marker {
		case jpegDQT:
			for ; len(segment) >= 65 && segment[0]>>4 == 0; segment = segment[65:] {
				h.quant = append(h.quant, segment[1:65]...)
			}
		case jpegSOF0:
			if len(segment) < 15 || segment[7] != 0x21 && segment[7] != 0x22 {
				return h, nil, nil, bad
			}
			h.height, h.width = int(segment[1])<<8|int(segment[2]), int(segment[3])<<8|int(segment[4])
			h.kind = segment[7] & 0xf >> 1
			if h.width%8 != 0 || h.width > 2040 || h.height > 2040 {
				return h, nil, nil, bad
			}
		case jpegSOS:
			end := bytes.Index(b, []byte{0xff, jpegEOI})
			if end < 0 || h.width == 0 || len(h.quant) == 0 {
				return h, nil, nil, bad
			}
			return h, b[:end], b[end+2:], nil
		}
	}
}

// fileHeader is the size of what a recorder puts before the scan: SOI, a JFIF
// segment, the quantisation tables, SOF0, four Huffman tables, SOS.
func (h *jpegHeader) fileHeader() int {
	const fixed = 2 + 18 + 19 + 33 + 183 + 33 + 183 + 14
	return fixed + len(h.quant)/64*69
}

// templatesMJPEG packetizes the clip: RFC 2435. The comment with the mark stands
// behind the scan, with the end of the image in a packet of its own.
func (c *clip) templatesMJPEG() ([]template, error) {
	const room = mtu - rtpHeader - 8
	h := &c.jpeg
	all := make([]template, len(c.pictures))
	for i, p := range c.pictures {
		comment, text, err := mark.New(c.codec, p.slices)
		if err != nil {
			return nil, err
		}
		t := &all[i]
		at := 0
		main := func() []byte { // §3.1; Q 255: the tables are in every picture
			return []byte{0, byte(at >> 16), byte(at >> 8), byte(at), h.kind, 255, byte(h.width / 8), byte((h.height + 7) / 8)}
		}
		tables := append([]byte{0, 0, byte(len(h.quant) >> 8), byte(len(h.quant))}, h.quant...)
		for scan := p.slices[0]; len(scan) > 0; tables = nil {
			n := min(len(scan), room-len(tables))
			t.packet(main(), tables, scan[:n])
			at += n
			scan = scan[n:]
		}
		t.text = len(t.wire) + frameHeader + rtpHeader + 8 + text
		t.packet(main(), comment, []byte{0xff, jpegEOI})
		t.sample = h.fileHeader() + at + len(comment) + 2
		t.wire[t.packets[len(t.packets)-1]+frameHeader+1] |= rtpMarker
	}
	return all, nil
}
