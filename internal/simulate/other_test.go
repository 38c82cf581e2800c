package simulate

import (
	"bytes"
	"encoding/binary"
	"image/jpeg"
	"testing"

	"nvr/internal/media"
	"nvr/internal/simulate/clips"
	"nvr/internal/simulate/mark"
)

func TestTheOtherClips(t *testing.T) {
	for _, c := range []struct {
		codec         media.Codec
		pictures, gop int
	}{{media.AV1, 60, 30}, {media.MJPEG, 15, 1}} {
		clip, err := loadClipOf(c.codec)
		if err != nil {
			t.Fatal(err)
		}
		if len(clip.pictures) != c.pictures || clip.gop != c.gop {
			t.Errorf("%s: %d pictures in GOPs of %d", c.codec, len(clip.pictures), clip.gop)
		}
	}
	for _, b := range []string{"\x12", "\x08\x00", "\x12\x00", "\x0a\x01\x00", "\x12\x00\x0a\x05\x00"} {
		if _, err := parseOBUs([]byte(b)); err == nil {
			t.Errorf("OBUs % x were accepted", b)
		}
	}
	for i := range 700 {
		if _, err := parseJPEGs(clips.MJPEG[:i]); err == nil && i > 0 {
			t.Errorf("a picture of %d bytes was accepted", i)
		}
	}
}

// depacketizeAV1 puts a temporal unit together as it is recorded: RTP Payload
// Format for AV1 §4.4, each OBU with its size in as few bytes as will do.
func depacketizeAV1(t *testing.T, payloads [][]byte) (unit []byte) {
	t.Helper()
	var part []byte
	end := func(obu []byte) {
		unit = append(unit, obu[0]|obuHasSize)
		unit = appendLEB128(unit, len(obu)-1)
		unit = append(unit, obu[1:]...)
	}
	for i, p := range payloads {
		z, y, w := p[0]&av1GoesOn != 0, p[0]&av1More != 0, int(p[0]>>4&3)
		if z != (part != nil) || y && i == len(payloads)-1 {
			t.Fatalf("packet %d: Z %v, Y %v, a fragment is open: %v", i, z, y, part != nil)
		}
		b := p[1:]
		for k := 0; len(b) > 0; k++ {
			size, n := len(b), 0
			if w == 0 || k < w-1 {
				if size, n = leb128(b); n == 0 || size > len(b)-n {
					t.Fatalf("packet %d: element of %d bytes in %d", i, size, len(b)-n)
				}
			}
			part = append(part, b[n:n+size]...)
			if b = b[n+size:]; len(b) > 0 || !y {
				end(part)
				part = nil
			}
		}
	}
	return unit
}

// depacketizeJPEG is what the first packet says and all behind it: RFC 2435 §3.1.
func depacketizeJPEG(t *testing.T, payloads [][]byte) (h jpegHeader, scan []byte) {
	t.Helper()
	for i, p := range payloads {
		if at := int(binary.BigEndian.Uint32(p)); at != len(scan) || p[5] != 255 {
			t.Fatalf("packet %d: offset %d of %d, Q %d", i, at, len(scan), p[5])
		}
		h.kind, h.width, h.height = p[4], int(p[6])*8, int(p[7])*8
		p = p[8:]
		if i == 0 {
			n := int(binary.BigEndian.Uint16(p[2:]))
			h.quant, p = p[4:4+n], p[4+n:]
		}
		scan = append(scan, p...)
	}
	return h, scan
}

// payloads are a template's packets as one camera sends them, without headers.
func payloads(t *testing.T, tp *template, n uint64) (all [][]byte) {
	t.Helper()
	tp.patch(4, 65530, 77, 0xabcdef01)
	mark.Set(tp.wire[tp.text:], 12, 3, n)
	for k := range tp.packets {
		p := tp.rtp(k)
		if last := k == len(tp.packets)-1; len(p) > mtu || p[0] != 0x80 || p[1]&0x7f != videoPayloadType || (p[1]&0x80 != 0) != last {
			t.Fatalf("packet %d: %d bytes, header %x", k, len(p), p[:12])
		}
		all = append(all, p[12:])
	}
	return all
}

// theMark wants one mark in a sample, which a flipped bit anywhere behind or
// before it makes a damaged one.
func theMark(t *testing.T, sample []byte, flip int, n uint64) {
	t.Helper()
	for _, damaged := range []bool{false, true} {
		if damaged {
			sample[flip] ^= 4
		}
		marks := 0
		mark.Find(sample, func(m mark.Mark) {
			marks++
			if m.Damaged != damaged || m.Camera != 12 || m.Connection != 3 || m.Sequence != n {
				t.Errorf("sample %d, flipped %v: %+v", n, damaged, m)
			}
		})
		if marks != 1 {
			t.Errorf("sample %d: %d marks", n, marks)
		}
	}
}

func TestTemplatesAV1(t *testing.T) {
	c, err := loadClipOf(media.AV1)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.templates(defaultFPS, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		unit := depacketizeAV1(t, payloads(t, &all[i], uint64(i)))
		if hasHeader := unit[0]>>3 == obuSequenceHeader; hasHeader != c.pictures[i].sync {
			t.Errorf("picture %d: a sequence header: %v", i, hasHeader)
		}
		if n := len(unit); n > all[i].sample || n < all[i].sample-2*len(c.pictures[i].slices) {
			t.Errorf("picture %d: %d bytes, said to be %d", i, n, all[i].sample)
		}
		last := c.pictures[i].slices[len(c.pictures[i].slices)-1]
		if !bytes.HasSuffix(unit, last[1:]) {
			t.Errorf("picture %d: another frame", i)
		}
		theMark(t, unit, len(unit)-1, uint64(i))
	}
}

func TestTemplatesMJPEG(t *testing.T) {
	c, err := loadClipOf(media.MJPEG)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.templates(defaultFPS, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		h, scan := depacketizeJPEG(t, payloads(t, &all[i], uint64(i)))
		if h.kind != 1 || h.width != 320 || h.height != 184 || !bytes.Equal(h.quant, c.jpeg.quant) || !bytes.HasPrefix(scan, c.pictures[i].slices[0]) {
			t.Fatalf("picture %d: type %d, %dx%d, %d bytes of tables, %d of scan", i, h.kind, h.width, h.height, len(h.quant), len(scan))
		}
		if n := h.fileHeader() + len(scan); n != all[i].sample {
			t.Errorf("picture %d: %d bytes, said to be %d", i, n, all[i].sample)
		}
		// A header as RFC 2435's appendix B makes it ends with this.
		theMark(t, append([]byte{0xff, jpegSOS, 0, 4, 1, 2}, scan...), 10, uint64(i))
	}
	if _, err := jpeg.Decode(bytes.NewReader(clips.MJPEG)); err != nil {
		t.Error(err)
	}
}

func TestOtherSounds(t *testing.T) {
	for _, c := range []struct {
		a        Audio
		rate     uint32
		each     uint32
		packets  int
		describe string
	}{
		{AudioL16, 16000, 640, 25, "L16/16000"},
		{AudioLATM, 16000, 1024, 63, "config=400028103FC0"},
		{AudioOpus, 48000, 960, 200, "opus/48000/2"},
	} {
		s, err := newSound(c.a)
		if err != nil {
			t.Errorf("%s: %v", c.a, err)
			continue
		}
		if s.rate != c.rate || s.perPacket != c.each || len(s.packets) < c.packets-1 || len(s.packets) > c.packets+2 || !bytes.Contains([]byte(s.media), []byte(c.describe)) {
			t.Errorf("%s: %d Hz, %d packets of %d, %s", c.a, s.rate, len(s.packets), s.perPacket, s.media)
		}
		sum := 0
		for _, p := range s.packets {
			sum += p.media
			if extra := len(p.wire) - frameHeader - rtpHeader - p.media; extra < 0 || extra > 5 {
				t.Errorf("%s: %d bytes more than media", c.a, extra)
			}
		}
		if sum != s.payload {
			t.Errorf("%s: %d bytes, said to be %d", c.a, sum, s.payload)
		}
	}
	for _, b := range []string{"", "OggS", "OggX" + string(make([]byte, 30))} {
		if _, err := opusSound([]byte(b)); err == nil {
			t.Errorf("%q is Opus", b)
		}
	}
}

func TestOptionsOfOtherCodecs(t *testing.T) {
	for _, o := range []Options{
		{Codec: media.AV1, Bitrate: 1_000_000}, {Codec: media.MJPEG, OutOfBand: true}, {Codec: "vp9"}, {Audio: "speex"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
