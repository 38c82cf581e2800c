package opus

import (
	"testing"

	"nvr/internal/media"
)

// A table of contents byte is the configuration in 5 bits, stereo, and how many
// frames there are (RFC 6716 §3.1).
var cases = []struct {
	name   string
	packet []byte
	want   media.Ticks
}{
	{"CELT, 20 ms", []byte{0xf8, 0xff, 0xfe}, 960},
	{"CELT, 2.5 ms", []byte{0xe0, 0}, 120},
	{"SILK, 60 ms", []byte{0x18, 0}, 2880},
	{"two of 20 ms", []byte{0xf9, 0, 0}, 1920},
	{"two of different size", []byte{0xfa, 1, 0, 0}, 1920},
	{"three of 20 ms", []byte{0xfb, 3, 0, 0, 0}, 2880},
	{"two of 60 ms", []byte{0x19, 0}, 5760},
	{"three of 60 ms: longer than allowed", []byte{0x1b, 3, 0}, 0},
	{"no frames", []byte{0xfb, 0}, 0},
	{"how many is missing", []byte{0xfb}, 0},
	{"nothing", nil, 0},
}

func TestDuration(t *testing.T) {
	for _, c := range cases {
		if got := Duration(c.packet); got != c.want {
			t.Errorf("%s: %d ticks, want %d", c.name, got, c.want)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, c := range cases {
		f.Add(c.packet)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if d := Duration(b); d < 0 || d > maxTicks {
			t.Fatalf("%x lasts %d", b, d)
		}
	})
}
