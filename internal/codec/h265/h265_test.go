package h265

import (
	"encoding/hex"
	"testing"

	"nvr/internal/media"
)

// Parameter sets of x265 -bf 2, 64x48.
const (
	bVPS = "40010c01ffff01600000030090000003000003001e959009"
	bSPS = "42010101600000030090000003000003001ea020831659592e4caf0168080000030008000003007840"
	bPPS = "4401c173d089"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func trackOf(t testing.TB, vps, sps, pps string) *media.Track {
	t.Helper()
	var v [][]byte
	if vps != "" {
		v = [][]byte{unhex(t, vps)}
	}
	track, err := Track(v, [][]byte{unhex(t, sps)}, [][]byte{unhex(t, pps)})
	if err != nil {
		t.Fatal(err)
	}
	return track
}

func TestTrack(t *testing.T) {
	head := "0101600000009000000000001ef000fcfdf8f800000f"
	for _, c := range []struct {
		name, vps, sps string
		width, height  uint16
		config         string
	}{
		{"x265", bVPS, bSPS, 64, 48, head + "03" + "a000010018" + bVPS + "a100010029" + bSPS + "a200010006" + bPPS},
		{"no VPS", "", bSPS, 64, 48, head + "02" + "a100010029" + bSPS + "a200010006" + bPPS},
		{"bytes behind the SPS", "", bSPS + "0102", 64, 48, head + "02" + "a10001002b" + bSPS + "0102" + "a200010006" + bPPS},
	} {
		track := trackOf(t, c.vps, c.sps, bPPS)
		if track.Width != c.width || track.Height != c.height {
			t.Errorf("%s: %dx%d, want %dx%d", c.name, track.Width, track.Height, c.width, c.height)
		}
		if got := hex.EncodeToString(track.Config); got != c.config {
			t.Errorf("%s: config\n%s, want\n%s", c.name, got, c.config)
		}
		if got := hex.EncodeToString(First(track.Config, SPS)); got != c.sps {
			t.Errorf("%s: SPS comes back as %s", c.name, got)
		}
	}
	for i := range 2 * HeaderSize {
		if _, err := Track(nil, [][]byte{unhex(t, bSPS)[:i]}, [][]byte{{0x44, 1}}); err == nil {
			t.Errorf("an SPS of %d bytes is a track", i)
		}
	}
}

// Sub-layers with profiles of their own: mediacommon refuses them.
func TestSubLayers(t *testing.T) {
	var w bits
	w.u(16, 0x4201)         // header
	w.u(4, 0)               // vps id
	w.u(3, 2)               // sub-layers - 1
	w.u(1, 1)               // nesting
	w.u(8, 1)               // profile
	w.u(32, 0x60000000)     // compatibility
	w.u(48, 0x900000000000) // constraints
	w.u(8, 93)              // level
	w.u(4, 0b1111)          // both sub-layers have profile and level
	w.u(12, 0)              // reserved
	for range 2 {
		w.u(32, 0x01600000)
		w.u(32, 0x11111111)
		w.u(24, 0x222222)
		w.u(8, 90)
	}
	w.ue(0)    // id
	w.ue(1)    // 4:2:0
	w.ue(1920) // width
	w.ue(1088)
	w.u(1, 1) // cropped
	w.ue(0)
	w.ue(0)
	w.ue(0)
	w.ue(4)
	w.ue(2) // 10 bits
	w.ue(2)
	w.ue(4)
	w.u(1, 0) // one ordering for all
	w.ue(4)
	w.ue(2) // reorder
	w.ue(0)
	w.u(8, 0xff)
	s := parse(w.b)
	if s.width != 1920 || s.height != 1080 || s.lumaBits != 2 || s.subLayers != 3 || s.reorderPics != 2 || s.general[11] != 93 {
		t.Errorf("%+v", s)
	}
	if id := SetID(w.b); id != 0 {
		t.Errorf("id %d", id)
	}
}

// bits writes bit syntax.
type bits struct {
	b []byte
	n int
}

func (w *bits) u(n int, v uint64) {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			if l := len(w.b); l >= 2 && w.b[l-1] == 0 && w.b[l-2] == 0 {
				w.b = append(w.b, 3) // always allowed for what follows here
			}
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

func (w *bits) ue(v uint64) {
	n := 0
	for (v+1)>>n > 1 {
		n++
	}
	w.u(n, 0)
	w.u(n+1, v+1)
}

func TestSameSPS(t *testing.T) {
	a := unhex(t, bSPS)
	hint := unhex(t, "42010101600000030090000003000003001ea020831659592e4caf0168080000030008000003007c40")
	if !SameSPS(a, a) || !SameSPS(a, hint) || SameSPS(a, a[:20]) {
		t.Error("SameSPS")
	}
}

func TestReorder(t *testing.T) {
	for _, c := range []struct {
		name, sps string
		depth     int
		may       bool
	}{
		{"x265", bSPS, 2, true},
		{"cut short: nothing is said", bSPS[:44], 0, true},
	} {
		depth, may := Reorder(trackOf(t, bVPS, c.sps, bPPS))
		if depth != c.depth || may != c.may {
			t.Errorf("%s: %d %v, want %d %v", c.name, depth, may, c.depth, c.may)
		}
	}
}

func FuzzTrack(f *testing.F) {
	f.Add(unhex(f, bVPS), unhex(f, bSPS), unhex(f, bPPS))
	f.Fuzz(func(t *testing.T, vps, sps, pps []byte) {
		track, err := Track([][]byte{vps}, [][]byte{sps}, [][]byte{pps})
		if err != nil {
			return
		}
		SameSPS(sps, vps)
		First(track.Config, VPS)
		First(sps, VPS)
		SetID(sps)
		if depth, may := Reorder(track); depth < 0 || depth > 16 || depth > 0 && !may {
			t.Fatalf("%d %v", depth, may)
		}
	})
}
