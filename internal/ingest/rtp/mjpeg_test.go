package rtp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"image/jpeg"
	"strings"
	"testing"

	codec "nvr/internal/codec/jpeg"
)

func newMJPEG(s Sink) Depacketizer { return NewMJPEG(s, 0, 0) }

// A main header is the offset in 4 bytes, type, Q, width and height in 8 pixels.
const (
	jpegQ50   = " 01 32 08 06 "       // 4:2:0, Q 50, 64x48
	jpeg3     = " 01 ff 08 06 "       // Q 255
	jpegQ200  = " 01 c8 08 06 "       // Q 200
	restarts  = " 41 32 08 06 "       // type 65
	interval  = " 0010 ffff "         // and what it brings
	quantHead = "00 00 0080"          // tables: 8 bits, 128 bytes
	start     = "00000000" + jpegQ50  // a picture begins
	piece2    = "00000002" + jpegQ50  // and goes on behind two bytes
	piece4    = "00000004" + jpegQ50  //
	pieceQ    = "00000002" + jpegQ200 //
)

// What is wanted says of a unit only the segments that matter and its scan.
var mjpegCases = []videoCase{
	{"a picture in one packet, and in three",
		[]string{"m @1 " + start + "aabb", "@2 " + start + "aabb", "@2 " + piece2 + "ccdd", "m @2 " + piece4 + "eeffd9"},
		[]string{"@1 sync gap: 64x48 dqt dqt scan aabb", "@2 sync: 64x48 dqt dqt scan aabbccddee"}, Stats{}},
	{"an end of the image that is torn",
		[]string{"@1 " + start + "aaff", "m @1 " + piece2 + "d9"},
		[]string{"@1 sync gap: 64x48 dqt dqt scan aa"}, Stats{}},
	{"restart markers",
		[]string{"@1 00000000" + restarts + interval + "aabb", "m @1 00000002" + restarts + interval + "cc"},
		[]string{"@1 sync gap: 64x48 dqt dqt dri=16 scan aabbcc"}, Stats{}},
	{"tables in band, then cached",
		[]string{"@1 00000000" + jpegQ200 + quantHead + tables(2) + "aabb", "m @1 " + pieceQ + "cc", "m @2 00000000" + jpegQ200 + "00000000 dd"},
		[]string{"@1 sync gap: 64x48 dqt dqt scan aabbcc", "@2 sync: 64x48 dqt dqt scan dd"}, Stats{}},
	{"tables that never came",
		[]string{"@1 00000000" + jpegQ200 + "00000000 aabb", "m @1 " + pieceQ + "cc", "m @2 00000000" + jpegQ200 + quantHead + tables(2) + "dd"},
		[]string{"@2 sync gap: 64x48 dqt dqt scan dd"}, Stats{NoParameters: 1}},
	{"three tables (192 bytes), one, and 16 bits",
		[]string{"m @1 00000000" + jpeg3 + "00 00 00c0" + tables(3) + "aa", "m @2 00000000" + jpeg3 + "00 00 0040" + tables(1) + "bb", "m @3 00000000" + jpeg3 + "00 03 0100" + tables(4) + "cc",
			"m @4 00000000" + jpeg3 + "00000000 dd"},
		[]string{"@1 sync gap: 64x48 dqt dqt dqt scan aa", "@2 sync: 64x48 dqt scan bb", "@3 sync: 64x48 dqt dqt scan cc", "@4 sync: 64x48 dqt dqt scan dd"}, Stats{}},
	{"tables of no size, longer than the packet",
		[]string{"m @1 00000000" + jpeg3 + "00 00 0041" + tables(1) + "00 aa", "m @2 00000000" + jpeg3 + "00 00 0080 aa", "m @3 00000000" + jpeg3 + "0000"},
		nil, Stats{Malformed: 3}},
	{"Q 0 and Q 100 are reserved",
		[]string{"m @1 00000000 01 00 08 06 aa", "m @2 00000000 01 64 08 06 aa", "m @3 00000000 01 63 08 06 aa"},
		[]string{"@3 sync gap: 64x48 dqt dqt scan aa"}, Stats{Refused: 2}},
	{"types nobody knows",
		[]string{"m @1 00000000 02 32 08 06 aa", "m @2 00000000 42 32 08 06 00000000 aa", "m @3 00000000 81 32 08 06 aa", "m @4 " + start + "bb"},
		[]string{"@4 sync gap: 64x48 dqt dqt scan bb"}, Stats{Refused: 3, DroppedUnits: 3}},
	{"no size",
		[]string{"@1 00000000 01 32 00 06 aabb", "m @1 " + piece2 + "cc", "m @2 " + start + "dd"},
		[]string{"@2 sync gap: 64x48 dqt dqt scan dd"}, Stats{NoParameters: 1}},
	{"a header inside", // of which the size is not looked at
		[]string{"m @1 " + start + "ffd8 ffda0002 aabb"},
		[]string{"@1 sync gap: scan aabb"}, Stats{}},
	{"no marker",
		[]string{"@1 " + start + "aabb", "@1 " + piece2 + "cc", "@2 " + start + "dd", "@2 " + start + "ee"},
		[]string{"@1 sync gap: 64x48 dqt dqt scan aabbcc", "@2 sync: 64x48 dqt dqt scan dd", "@2 sync: 64x48 dqt dqt scan ee"}, Stats{}},
	{"a hole in a picture",
		[]string{"m @1 " + start + "aa", "@2 " + start + "aabb", "+1 @2 " + piece4 + "cc", "m @2 " + piece4 + "cc", "m @3 " + start + "dd"},
		[]string{"@1 sync gap: 64x48 dqt dqt scan aa", "@3 sync gap: 64x48 dqt dqt scan dd"}, Stats{Lost: 1, DroppedUnits: 1}},
	{"the beginning is lost, the end is lost",
		[]string{"m @1 " + start + "aa", "+1 @2 " + piece2 + "bb", "m @2 " + piece4 + "cc", "@3 " + start + "dd", "+1 m @4 " + start + "ee"},
		[]string{"@1 sync gap: 64x48 dqt dqt scan aa", "@4 sync gap: 64x48 dqt dqt scan ee"}, Stats{Lost: 2, DroppedUnits: 2}},
	{"a piece is missing though the sequence has no hole",
		[]string{"@1 " + start + "aabb", "m @1 " + piece4 + "cc", "m @2 " + start + "dd"},
		[]string{"@2 sync gap: 64x48 dqt dqt scan dd"}, Stats{DroppedUnits: 1}},
	{"the last picture waits for its marker in vain",
		[]string{"m @1 " + start + "aa", "@2 " + start + "aabb"},
		[]string{"@1 sync gap: 64x48 dqt dqt scan aa"}, Stats{DroppedUnits: 1}},
	{"nothing but headers",
		[]string{"00", "m @1 00000000010101", "m @2 " + start, "m @3 00000000" + restarts + "00", "m @4 00000000" + jpeg3},
		nil, Stats{Malformed: 4, DroppedUnits: 3}},
}

func tables(n int) string { return strings.Repeat("11", 64*n) + " " }

// segments describes a JPEG: its segments that matter, and its scan. What cannot
// be read is shown as it is.
func segments(t testing.TB, h string) string {
	b, err := hex.DecodeString(h)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte{0xff, 0xd8}) || !bytes.HasSuffix(b, []byte{0xff, 0xd9}) {
		return h
	}
	var words []string
	for b = b[2 : len(b)-2]; len(b) > 4; {
		n := int(b[2])<<8 | int(b[3])
		segment := b[4 : 2+n]
		switch b[1] {
		case 0xdb:
			words = append(words, "dqt")
		case 0xdd:
			words = append(words, fmt.Sprintf("dri=%d", int(segment[0])<<8|int(segment[1])))
		case 0xc0, 0xc1:
			words = append([]string{fmt.Sprintf("%dx%d", int(segment[3])<<8|int(segment[4]), int(segment[1])<<8|int(segment[2]))}, words...)
		case 0xda:
			return strings.Join(append(words, "scan "+hex.EncodeToString(b[2+n:])), " ")
		}
		b = b[2+n:]
	}
	return h
}

func TestMJPEG(t *testing.T) {
	for _, c := range mjpegCases {
		t.Run(c.name, func(t *testing.T) {
			p := &page{raw: true}
			stats := play(t, newMJPEG(p), c.in)
			for i, line := range p.lines {
				head, body, _ := strings.Cut(line, ": ")
				p.lines[i] = head + ": " + segments(t, body)
			}
			if got, want := strings.Join(p.lines, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if stats.Packets = 0; stats != c.stats {
				t.Errorf("stats %+v, want %+v", stats, c.stats)
			}
		})
	}
}

// Pictures over 2040 have their size in the SDP, or in ONVIF's header extension.
func TestMJPEGSizes(t *testing.T) {
	onvif := []byte{0xff, 0xc0, 0, 8, 8, 0x0c, 0xc0, 0x10, 0xf0, 0xff}
	for _, c := range []struct {
		name          string
		sdp           [2]int
		said          [2]byte
		extension     []byte
		width, height uint16
	}{
		{"as the packet says", [2]int{}, [2]byte{80, 60}, nil, 640, 480},
		{"0 in the packet", [2]int{2592, 1944}, [2]byte{0, 243}, nil, 2592, 1944},
		{"what is left of the number", [2]int{2592, 1944}, [2]byte{2592 / 8 % 256, 243}, nil, 2592, 1944},
		{"to the pixel", [2]int{1366, 766}, [2]byte{171, 96}, nil, 1366, 766},
		{"an SDP that says something else", [2]int{1920, 1080}, [2]byte{80, 60}, nil, 640, 480},
		{"ONVIF", [2]int{}, [2]byte{0, 0}, onvif, 4336, 3264},
		{"an extension without a size", [2]int{}, [2]byte{80, 60}, []byte{0xff, 0xff, 0xff, 0xff}, 640, 480},
	} {
		p := &page{raw: true}
		d := NewMJPEG(p, c.sdp[0], c.sdp[1])
		k := Packet{Payload: []byte{0, 0, 0, 0, 1, 50, c.said[0], c.said[1], 0xaa}, Marker: true, Extension: c.extension}
		if c.extension != nil {
			k.ExtensionID = jpegExtension
		}
		d.Packet(k)
		if len(p.params) != 1 || p.params[0].Width != c.width || p.params[0].Height != c.height {
			t.Errorf("%s: %v, want %dx%d", c.name, p.params, c.width, c.height)
			continue
		}
		if d.Packet(k); p.params[1] != p.params[0] {
			t.Errorf("%s: a track for each picture", c.name)
		}
	}
}

// Go's decoder takes a picture with our header: Q 50, and a grey scan. (64x48 in
// 4:2:0 are 12 MCUs of 6 blocks, each "no difference, end of block": 00 1010 for
// luma, 00 00 for chroma.)
func TestMJPEGDecodes(t *testing.T) {
	p := &page{raw: true}
	var bits string
	for range 12 {
		bits += strings.Repeat("001010", 4) + strings.Repeat("0000", 2)
	}
	var scan []byte
	for i := 0; i < len(bits); i += 8 {
		var b byte
		fmt.Sscanf(bits[i:i+8], "%b", &b)
		scan = append(scan, b)
	}
	play(t, newMJPEG(p), []string{"m @1 " + start + hex.EncodeToString(scan)})
	_, body, _ := strings.Cut(p.lines[0], ": ")
	b, err := hex.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil || m.Bounds().Dx() != 64 || m.Bounds().Dy() != 48 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestMJPEGIsBounded(t *testing.T) {
	p := &page{raw: true, limit: 700}
	stats := play(t, newMJPEG(p), []string{"@1 " + start + "aabb", "@1 " + piece2 + strings.Repeat("cc", 200), "m @1 000000ca" + jpegQ50 + "dd", "m @2 " + start + "ee"})
	if stats.DroppedUnits != 1 || len(p.lines) != 1 {
		t.Errorf("%+v %d pictures", stats, len(p.lines))
	}
	d := NewMJPEG(&page{raw: true}, 0, 0)
	for q := range 256 {
		for n := range 9 {
			d.Packet(Packet{Payload: append([]byte{0, 0, 0, 0, 1, byte(q), 8, 6, 0, 0xf, byte(n * 64 >> 8), byte(n * 64)}, make([]byte, 9*64)...)})
		}
		if n := cap(d.tables[q]); n > 2*codec.MaxQuantBytes {
			t.Errorf("tables of %d bytes", n)
		}
	}
}

func FuzzMJPEG(f *testing.F) { fuzz(f, mjpegCases, newMJPEG) }
