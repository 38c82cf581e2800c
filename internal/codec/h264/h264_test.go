package h264

import (
	"encoding/hex"
	"testing"

	"nvr/internal/codec/nal"
	"nvr/internal/media"
)

// Parameter sets of x264 -bf 2, 64x48.
const (
	bSPS = "6764000aacd9447b0110000003001000000301e0f1225960"
	bPPS = "68ebe3cb22c0"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func trackOf(t testing.TB, sps, pps string) *media.Track {
	t.Helper()
	track, err := Track([][]byte{unhex(t, sps)}, [][]byte{unhex(t, pps)})
	if err != nil {
		t.Fatal(err)
	}
	return track
}

func TestTrack(t *testing.T) {
	for _, c := range []struct {
		name, sps, pps string
		width, height  uint16
		config         string
	}{
		{"high, x264", bSPS, bPPS, 64, 48, "0164000affe10018" + bSPS + "010006" + bPPS + "fdf8f800"},
		{"bytes behind the SPS (Reolink doorbell)", bSPS + "010203", bPPS, 64, 48, "0164000affe1001b" + bSPS + "010203" + "010006" + bPPS + "fdf8f800"},
		{"VUI cut short", bSPS[:28], bPPS, 64, 48, "0164000affe1000e" + bSPS[:28] + "010006" + bPPS + "fdf8f800"},
		{"baseline", "6742c01ee9408080f0", "68ce3c80", 0, 0, "0142c01effe100096742c01ee9408080f001000468ce3c80"},
		{"an SPS that ends after its header", "6742001e", "68", 0, 0, "0142001effe100046742001e01000168"},
	} {
		track := trackOf(t, c.sps, c.pps)
		if c.width != 0 && (track.Width != c.width || track.Height != c.height) {
			t.Errorf("%s: %dx%d, want %dx%d", c.name, track.Width, track.Height, c.width, c.height)
		}
		if got := hex.EncodeToString(track.Config); got != c.config {
			t.Errorf("%s: config\n%s, want\n%s", c.name, got, c.config)
		}
		if got := hex.EncodeToString(FirstSPS(track.Config)); got != c.sps {
			t.Errorf("%s: SPS %s comes back as %s", c.name, c.sps, got)
		}
	}
	for _, bad := range [][2]string{{"", bPPS}, {"67", bPPS}, {bSPS, ""}} {
		var sps, pps [][]byte
		if bad[0] != "" {
			sps = [][]byte{unhex(t, bad[0])}
		}
		if bad[1] != "" {
			pps = [][]byte{unhex(t, bad[1])}
		}
		if _, err := Track(sps, pps); err == nil {
			t.Errorf("%v is a track", bad)
		}
	}
}

func TestSameSPS(t *testing.T) {
	a := unhex(t, bSPS)
	hint := unhex(t, "6764000aacd9447b0110000003001000000301f0f1225960") // another time_scale
	larger := unhex(t, "6764000aacd9547b0110000003001000000301e0f1225960")
	if !SameSPS(a, a) || !SameSPS(a, hint) {
		t.Error("a hint makes another SPS")
	}
	if SameSPS(a, larger) || SameSPS(a, a[:4]) || SameSPS(a[:4], a[:4]) {
		t.Error("different ones are the same")
	}
}

func TestReorder(t *testing.T) {
	for _, c := range []struct {
		name, sps string
		depth     int
		may       bool
	}{
		{"x264 says two", bSPS, 2, true},
		{"a VUI cut short: nothing is said", bSPS[:28], 0, true},
		{"baseline", "6742c01ee9408080f0", 0, false},
		{"Main, nothing said", "674d0029e5409604b2", 0, true},
		{"an SPS that ends after its header", "674d001e", 0, true},
	} {
		depth, may := Reorder(trackOf(t, c.sps, bPPS))
		if depth != c.depth || may != c.may {
			t.Errorf("%s: %d %v, want %d %v", c.name, depth, may, c.depth, c.may)
		}
	}
}

func TestSlices(t *testing.T) {
	for _, c := range []struct {
		in           string
		first, intra bool
	}{
		{"658884009fd9", true, true}, // IDR
		{"419a236c4dff", true, false},
		{"4188843f", true, true}, // slice_type 7
		{"41479a236c", false, false},
		{"42e0", true, false}, // partition A
		{"43e0", false, false},
		{"41", false, false},
	} {
		b := unhex(t, c.in)
		if got := FirstSlice(Type(b[0]), b[1:]); got != c.first {
			t.Errorf("%s: first slice %v", c.in, got)
		}
		if got := IsIntra(Type(b[0]), b[1:]); got != c.intra {
			t.Errorf("%s: intra %v", c.in, got)
		}
	}
}

func FuzzTrack(f *testing.F) {
	f.Add(unhex(f, bSPS), unhex(f, bPPS), unhex(f, "419a236c4dffc61ad3"))
	f.Add(unhex(f, "6742c01ee9408080f0"), unhex(f, "68ce3c80"), []byte{0x41})
	f.Fuzz(func(t *testing.T, sps, pps, slice []byte) {
		nal.RecoveryPoint(slice, len(slice)%2 == 0)
		nal.TrimSet(sps)
		SameSPS(sps, pps)
		if len(slice) > 1 {
			FirstSlice(Type(slice[0]), slice[1:])
			IsIntra(Type(slice[0]), slice[1:])
		}
		track, err := Track([][]byte{sps}, [][]byte{pps})
		if err != nil {
			return
		}
		Interlaced(FirstSPS(track.Config))
		SetID(sps)
		if depth, may := Reorder(track); depth < 0 || depth > MaxReorder || depth > 0 && !may {
			t.Fatalf("%d %v", depth, may)
		}
	})
}
