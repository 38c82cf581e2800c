package simulate

import (
	"strings"
	"testing"
)

func TestG711(t *testing.T) {
	cases := []struct {
		sample   int16
		mu, alaw byte
	}{
		// Code words of ITU-T G.711 tables 1a, 2a: zero, the ends, and one inside.
		{0, 0xff, 0xd5},
		{-1, 0x7f, 0x55},
		{32767, 0x80, 0xaa},
		{-32768, 0x00, 0x2a},
		{1000, 0xce, 0xfa},
		{-1000, 0x4e, 0x7a},
	}
	for _, c := range cases {
		if got := mulaw(c.sample); got != c.mu {
			t.Errorf("µ-law of %d: %#02x, want %#02x", c.sample, got, c.mu)
		}
		if got := alaw(c.sample); got != c.alaw {
			t.Errorf("A-law of %d: %#02x, want %#02x", c.sample, got, c.alaw)
		}
	}
}

func TestAACSound(t *testing.T) {
	s, err := newSound(AudioAAC)
	if err != nil {
		t.Fatal(err)
	}
	if s.rate != 16000 || len(s.packets) < 60 || !strings.Contains(s.media, "config=1408") {
		t.Errorf("%d Hz, %d packets, %s", s.rate, len(s.packets), s.media)
	}
	payload := 0
	for i, p := range s.packets {
		au := p.wire[frameHeader+rtpHeader:]
		size := int(au[2])<<5 | int(au[3])>>3 // AU-header: 13 bits of size, 3 of index
		if au[0] != 0 || au[1] != 16 || au[3]&7 != 0 || size != len(au)-4 || p.wire[frameHeader+1] != 97|0x80 || p.media != size {
			t.Errorf("packet %d: AU header %x of %d bytes", i, au[:4], len(au)-4)
		}
		payload += size
	}
	if payload != s.payload {
		t.Errorf("%d bytes of payload, said to be %d", payload, s.payload)
	}
	for _, b := range []string{"", "\x00\x00", "\xff\xf1", "\xff\xf1\x60\x40\x00\x00\x00", "\xff\xf1\x60\x40\x7f\xff\xff"} {
		if _, err := aacSound([]byte(b)); err == nil {
			t.Errorf("% x was accepted", b)
		}
	}
}
