package jpeg

import (
	"bytes"
	"encoding/hex"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"testing"
)

// encoded is a picture of the standard library's encoder, whose Huffman tables
// are those of annex K too, cut into its tables and what is behind its header.
func encoded(t testing.TB, quality int) (whole, quant, scan []byte) {
	t.Helper()
	m := image.NewYCbCr(image.Rect(0, 0, 64, 48), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = byte(i * 7)
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = byte(i*3), byte(i*5)
	}
	var b bytes.Buffer
	if err := stdjpeg.Encode(&b, m, &stdjpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	whole = b.Bytes()
	for rest := whole[2:]; ; {
		marker, size := rest[1], int(rest[2])<<8|int(rest[3])
		body := rest[4 : 2+size]
		rest = rest[2+size:]
		switch marker {
		case dqt:
			for len(body) > 0 {
				quant = append(quant, body[1:1+QuantBytes]...)
				body = body[1+QuantBytes:]
			}
		case sos:
			return whole, quant, rest
		}
	}
}

// A header of ours before the scan of another encoder is the same picture.
func TestHeader(t *testing.T) {
	whole, quant, scan := encoded(t, 60)
	want, err := stdjpeg.Decode(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	wide := make([]byte, 0, 2*len(quant))
	for _, q := range quant {
		wide = append(wide, 0, q)
	}
	for _, c := range []struct {
		name string
		p    Picture
	}{
		{"two tables", Picture{Quant: quant}},
		{"three tables", Picture{Quant: append(bytes.Clone(quant), quant[QuantBytes:]...)}},
		{"four tables", Picture{Quant: append(bytes.Clone(quant), make([]byte, 2*QuantBytes)...)}},
		{"16 bits", Picture{Quant: wide, Wide: 3}},
		{"8 and 16 bits", Picture{Quant: append(bytes.Clone(quant[:QuantBytes]), wide[2*QuantBytes:]...), Wide: 2}},
	} {
		c.p.Width, c.p.Height, c.p.Subsampling = 64, 48, YUV420
		b, err := AppendHeader(nil, &c.p)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if w, h, ok := FrameSize(b); !ok || w != 64 || h != 48 {
			t.Errorf("%s: the header says %dx%d", c.name, w, h)
		}
		got, err := stdjpeg.Decode(bytes.NewReader(append(b, scan...)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for y := range 48 {
			for x := range 64 {
				if a, b := got.At(x, y).(color.YCbCr), want.At(x, y).(color.YCbCr); a != b {
					t.Fatalf("%s: at %d,%d: %v, want %v", c.name, x, y, a, b)
				}
			}
		}
	}
	for _, q := range [][]byte{nil, quant[:63], append(bytes.Clone(quant), 1), make([]byte, 5*QuantBytes)} {
		if _, err := AppendHeader(nil, &Picture{Quant: q}); err == nil {
			t.Errorf("%d bytes are tables", len(q))
		}
	}
}

func TestRestartAndSubsampling(t *testing.T) {
	b, err := AppendHeader(nil, &Picture{Width: 64, Height: 48, Subsampling: YUV422, RestartInterval: 0x1234, Quant: make([]byte, QuantBytes)})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ffdd00041234", "ffc00011080030004003" + "012100" + "021100" + "031100"} {
		if !bytes.Contains(b, unhex(t, want)) {
			t.Errorf("no %s in %x", want, b)
		}
	}
}

// The standard library scales the same tables in the same way.
func TestQuant(t *testing.T) {
	for _, q := range []int{1, 10, 49, 50, 75, 99} {
		_, want, _ := encoded(t, q)
		if got := AppendQuant(nil, q); !bytes.Equal(got, want) {
			t.Errorf("quality %d:\n%d\nwant\n%d", q, got, want)
		}
	}
	if !bytes.Equal(AppendQuant(nil, -5), AppendQuant(nil, 1)) || !bytes.Equal(AppendQuant(nil, 200), AppendQuant(nil, 99)) {
		t.Error("qualities beyond the ends")
	}
}

var frameSizes = []struct {
	name, in string
	w, h     uint16
	ok       bool
}{
	{"a frame header", "ffc0000b08 0438 0780 00000000", 1920, 1080, true},
	{"behind SOI, fill bytes and another segment", "ffd8 ffffff db0003aa ffc10008 08 0030 0040 00", 64, 48, true},
	{"a Huffman table first", "ffc40003aa ffc00008 08 0030 0040 00", 64, 48, true},
	{"scan data", "1234", 0, 0, false},
	{"the scan begins", "ffda0002", 0, 0, false},
	{"cut short", "ffc0000b080438", 0, 0, false},
	{"too short a segment", "ffc0000208", 0, 0, false},
	{"size 0", "ffdb0000", 0, 0, false},
	{"nothing", "", 0, 0, false},
}

func TestFrameSize(t *testing.T) {
	for _, c := range frameSizes {
		if w, h, ok := FrameSize(unhex(t, c.in)); w != c.w || h != c.h || ok != c.ok {
			t.Errorf("%s: %dx%d %v", c.name, w, h, ok)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, c := range frameSizes {
		f.Add(unhex(f, c.in), byte(0))
	}
	f.Add(make([]byte, 3*QuantBytes), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, wide byte) {
		FrameSize(b)
		h, err := AppendHeader(nil, &Picture{Width: 8, Height: 8, Quant: b, Wide: wide})
		if err != nil {
			return
		}
		if w, _, ok := FrameSize(h); !ok || w != 8 || len(h) > 2*MaxQuantBytes+700 {
			t.Fatalf("header of %d bytes, width %d", len(h), w)
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
