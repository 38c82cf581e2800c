package aac

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"nvr/internal/codec/bits"
	"nvr/internal/media"
)

func TestTrack(t *testing.T) {
	for _, c := range []struct {
		name     string
		config   []byte
		rate     uint32
		channels uint8
		frame    media.Ticks
	}{
		{"AAC-LC 16 kHz mono", []byte{0x14, 0x08}, 16000, 1, 1024},
		{"AAC-LC 48 kHz stereo", []byte{0x11, 0x90}, 48000, 2, 1024},
		{"an explicit rate, and a hint at SBR behind it", []byte{0x17, 0x80, 0x1f, 0x40, 0x08, 0x56, 0xe5, 0xa0}, 16000, 1, 1024},
		{"HE-AAC 24 → 48 kHz", []byte{0x2b, 0x11, 0x88, 0x00}, 48000, 2, 2048},
	} {
		track, err := Track(c.config, c.rate)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if track.SampleRate != c.rate || track.Channels != c.channels || FrameTicks(track) != c.frame || !bytes.Equal(track.Config, c.config) {
			t.Errorf("%s: %+v, frame %d", c.name, track, FrameTicks(track))
		}
	}
	// Object types 1, 23 (LD) and 39 (ELD), no such rate, no channels, too long.
	for _, bad := range [][]byte{nil, {0}, {0x0c, 0x08}, {0xbc, 0x08}, {0xf8, 0xe8, 0x50}, {0x17, 0xff}, {0x16, 0x88}, {0x14, 0x00}, make([]byte, MaxConfigBytes+1)} {
		if _, err := Track(bad, 16000); err == nil {
			t.Errorf("%x is a track", bad)
		}
	}
	track, err := Derive(8000, 0)
	if err != nil || track.SampleRate != 8000 || track.Channels != 1 || !bytes.Equal(track.Config, []byte{0x15, 0x88}) {
		t.Errorf("derived: %+v, %v", track, err)
	}
}

func TestADTS(t *testing.T) {
	frame := []byte{0xff, 0xf1, 0x60, 0x40, 0x01, 0x3f, 0xfc, 0xaa, 0xbb} // AAC-LC, 16 kHz, mono, 9 bytes
	raw, ok := ADTS(frame)
	if !ok || !bytes.Equal(raw, []byte{0xaa, 0xbb}) {
		t.Fatalf("%x %v", raw, ok)
	}
	track, err := ADTSTrack(frame, 8000)
	if err != nil || track.SampleRate != 16000 || track.Channels != 1 || track.ClockRate != 8000 {
		t.Errorf("%+v, %v", track, err)
	}
	for _, bad := range [][]byte{nil, frame[:8], frame[1:], append(bytes.Clone(frame), 1), {0xff, 0xf0, 0x60, 0x40, 0x01, 0x1f, 0xfc, 0xaa}} {
		if _, ok := ADTS(bad); ok {
			t.Errorf("%x is ADTS", bad)
		}
	}
}

// A StreamMuxConfig of one program and layer: version 0, same framing, no
// further subframes, no further program and layer (15 bits), then the
// AudioSpecificConfig (16 kHz mono, 0x1408), frameLengthType 0, buffer
// fullness 0xff, no other data, no CRC.
var muxes = []struct {
	name, in  string
	config    string
	subFrames int
	bits      int
}{
	{"16 kHz mono", "400028103fc0", "1408", 1, 44},
	{"with two subframes", "410028103fc0", "1408", 2, 44},
	{"HE-AAC", "40005623101fe0", "2b118800", 1, 53},
	{"other data and a CRC", "400028103ff0101554", "1408", 1, 70},
	{"GStreamer: with a hint at SBR, and no more", "40002410adca00", "120856e500", 1, 56},
	{"a hint at SBR and PS", "40002810adcb3a911fe0", "140856e59d4880", 1, 77},
	{"version 1", "8ff80002814080381c01fe00", "14080381c0", 1, 89},
	{"two programs", "401028103fc0", "", 0, 0},
	{"two layers", "400228103fc0", "", 0, 0},
	{"times of their own", "000028103fc0", "", 0, 0},
	{"frameLengthType 1", "400028107fc0", "", 0, 0},
	{"another audio object type", "400018103fc0", "", 0, 0},
	{"version 1A", "c0000000", "", 0, 0},
	{"cut short in the AudioSpecificConfig", "400028", "", 0, 0},
	{"cut short in the AudioSpecificConfig of version 1", "8ff8000281", "", 0, 0},
	{"nothing", "", "", 0, 0},
}

func TestReadMux(t *testing.T) {
	for _, c := range muxes {
		r := bits.Reader{Data: unhex(t, c.in)}
		m, err := ReadMux(&r)
		if c.subFrames == 0 {
			if err == nil {
				t.Errorf("%s: %x", c.name, m.Config())
			}
			continue
		}
		if err != nil || hex.EncodeToString(m.Config()) != c.config || m.SubFrames != c.subFrames || r.Pos != c.bits {
			t.Errorf("%s: %x, %d subframes, %d bits, %v", c.name, m.Config(), m.SubFrames, r.Pos, err)
		}
		if !m.Equal(&m) || m.Equal(&Mux{SubFrames: m.SubFrames}) {
			t.Errorf("%s: not equal to itself", c.name)
		}
	}
	r := bits.Reader{Data: unhex(t, "ffff03")}
	if n := SlotLength(&r); n != 513 {
		t.Errorf("a slot of %d bytes", n)
	}
	r = bits.Reader{Data: unhex(t, "ff")}
	if SlotLength(&r); !r.Short {
		t.Error("a slot that goes on past the end")
	}
}

func FuzzReadMux(f *testing.F) {
	for _, c := range muxes {
		f.Add(unhex(f, c.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bits.Reader{Data: b}
		m, err := ReadMux(&r)
		if err == nil && (r.Pos > 8*len(b) || m.SubFrames > 64) {
			t.Fatalf("%d bits of %d, %d subframes", r.Pos, 8*len(b), m.SubFrames)
		}
		if err == nil {
			Track(m.Config(), 16000)
		}
		SlotLength(&r)
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzTrack(f *testing.F) {
	f.Add([]byte{0x14, 0x08}, uint32(16000))
	f.Add([]byte{0xff, 0xf1, 0x60, 0x40, 0x01, 0x3f, 0xfc, 0xaa, 0xbb}, uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, rate uint32) {
		if track, err := Track(b, rate); err == nil && FrameTicks(track) < 1 {
			t.Errorf("%x: frame of %d", b, FrameTicks(track))
		}
		if _, ok := ADTS(b); ok {
			ADTSTrack(b, rate)
		}
	})
}
