package aac

import (
	"bytes"
	"testing"

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
	for _, bad := range [][]byte{nil, {0}, {0x0c, 0x08}, {0x17, 0xff}} { // object type 1, no such rate
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
