package av1

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Sequence headers of libaom, SVT-AV1 and rav1e, 64x48 and 322x182, and the
// beginning of the configuration record that ffmpeg makes of each.
var sequences = []struct {
	name, content, config string
	width, height         uint16
}{
	{"libaom", "000000043d06d4daf90040", "81000c00", 322, 182},
	{"SVT-AV1", "000000043d06d402f80040", "81000c00", 322, 182},
	{"rav1e, with colours", "000000fa1e836a210ac8101010a0", "811f0c00", 322, 182},
	{"4:4:4, 10 bits", "20000002aff79b5f2840", "81204000", 64, 48},
	{"grey", "00000002aff79b5f2540", "81001c00", 64, 48},
	{"4:2:2, 12 bits", "40000002aff79b5f2c44", "81406800", 64, 48},
	{"libaom, with timing", "04000000040000002ac0000021e836a6d7c802", "81000c00", 322, 182},
}

func TestTrack(t *testing.T) {
	for _, c := range sequences {
		content := unhex(t, c.content)
		track, err := Track(content)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := AppendSequence(unhex(t, c.config), content)
		if !bytes.Equal(track.Config, want) || track.Width != c.width || track.Height != c.height {
			t.Errorf("%s: %dx%d %x, want %dx%d %x", c.name, track.Width, track.Height, track.Config, c.width, c.height, want)
		}
	}
	good := unhex(t, sequences[0].content)
	for name, bad := range map[string][]byte{
		"nothing": nil, "cut short": good[:7], "too long": make([]byte, MaxSequenceBytes+1),
		"profile 3": append([]byte{0x60}, good[1:]...), "reduced, but no still picture": {0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, err := Track(bad); err == nil {
			t.Errorf("%s is a track", name)
		}
	}
}

// writer writes bits, to make headers that no encoder at hand makes.
type writer struct {
	b []byte
	n int
}

func (w *writer) u(n int, v uint32) *writer {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
	return w
}

// Everything that may stand before the size of the picture.
func TestOperatingPoints(t *testing.T) {
	header := func(delay uint32, bitrate uint32) []byte {
		w := new(writer)
		w.u(3, 0).u(1, 0).u(1, 0)
		w.u(1, 1).u(32, 1).u(32, bitrate).u(1, 1).u(1, 0).u(1, 0).u(1, 1).u(2, 3) // timing, uvlc of 2 zeros
		w.u(1, 1).u(5, 9).u(32, 1).u(5, 9).u(5, 9)                                // decoder model, delays of 10 bits
		w.u(1, 1).u(5, 1)                                                         // display delays, two points
		w.u(12, 0x101).u(5, 8).u(1, 1).u(1, 1).u(10, 5).u(10, 6).u(1, 0).u(1, 1).u(4, delay)
		w.u(12, 0x100).u(5, 7).u(1, 0).u(1, 0)
		w.u(4, 5).u(4, 5).u(6, 63).u(6, 47)
		w.u(1, 0).u(3, 0).u(4, 0).u(1, 0).u(1, 1).u(1, 1).u(3, 0)
		w.u(1, 0).u(1, 0).u(1, 0).u(1, 0).u(2, 0).u(1, 0).u(1, 0)
		return w.b
	}
	track, err := Track(header(4, 30))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(track.Config[:4]); got != "81088c14" || track.Width != 64 || track.Height != 48 {
		t.Errorf("%s %v", got, track)
	}
	if !Same(header(4, 30), header(4, 60)) || Same(header(4, 30), header(5, 30)) || Same(header(4, 30), nil) || Same(nil, header(4, 30)) {
		t.Error("what is the same to a decoder, and what is not")
	}
}

func TestLEB128(t *testing.T) {
	for _, c := range []struct {
		in string
		v  uint32
		n  int
		ok bool
	}{
		{"00", 0, 1, true}, {"7f", 127, 1, true}, {"8001", 128, 2, true}, {"ffffffff0f", 1<<32 - 1, 5, true},
		{"8080808000", 0, 5, true}, {"ffffffff1f", 1<<32 - 1, 5, false},
		{"", 0, 0, true}, {"80", 0, 0, true}, {"8080808080808080", 0, 0, false}, {"808080808080808000", 0, 8, false},
	} {
		if v, n, ok := LEB128(unhex(t, c.in)); n != c.n || ok != c.ok || ok && v != c.v {
			t.Errorf("%s: %d in %d bytes, %v", c.in, v, n, ok)
		}
	}
	for _, v := range []uint32{0, 1, 127, 128, 300, 1 << 20, MaxPaddedSize} {
		padded := binary.BigEndian.AppendUint32(nil, PaddedLEB128(v))
		for _, b := range [][]byte{AppendLEB128(nil, v), padded} {
			if got, n, ok := LEB128(b); got != v || n != len(b) || !ok {
				t.Errorf("%d is written %x and read %d", v, b, got)
			}
		}
	}
}

func TestIsKey(t *testing.T) {
	for _, c := range []struct {
		first   byte
		reduced bool
		want    bool
	}{
		{0x10, false, true}, {0x14, false, true}, // a key frame, shown
		{0x00, false, false}, // not shown
		{0x30, false, false}, // inter
		{0x50, false, false}, // intra only
		{0x90, false, false}, // shows an existing one
		{0x00, true, true},
	} {
		if got := IsKey(c.first, c.reduced); got != c.want {
			t.Errorf("%02x: %v", c.first, got)
		}
	}
}

func FuzzTrack(f *testing.F) {
	for _, c := range sequences {
		f.Add(unhex(f, c.content))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		LEB128(b)
		Same(b, b[:len(b)/2])
		track, err := Track(b)
		if err != nil {
			return
		}
		if track.Config[0] != 0x81 || !Same(b, b) {
			t.Fatalf("%x", track.Config)
		}
	})
}
