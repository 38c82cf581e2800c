package h264

import (
	"encoding/hex"
	"testing"

	"nvr/internal/codec/nal"
	"nvr/internal/media"
)

// x264 -bf 2 -g 12, 64x48: parameter sets and the beginnings of its slices, in
// the order in which they are decoded.
const (
	bSPS = "6764000aacd9447b0110000003001000000301e0f1225960"
	bPPS = "68ebe3cb22c0"
)

var bSlices = []string{
	"658884009fd9674c47d777a0b4dc9b07599d810e76066ca6",
	"419a236c4dffc61ad3081ee2dfc34204c98634c6cd4efd8f",
	"419e417884bff814d5",
	"019e626a425feee218",
	"419a6649a84168994c09bfd303601f14e995e8eb7139e475",
	"419e8445112c77fee4020beff94fd96df4fd76b1",
	"019ea56a425ff7ad0d",
	"419aa949a8416c994c093fb27d75c5b5ce1332f848214cb4",
	"419ec745152c21fff5eb0e",
	"019ee86a425f7340",
	"419aeb49a8416c994c144c25ffcdd0447a58b5577d5d081d",
	"019f0a6a425fbad59babb4d215f0f0edf8",
	"658882007f5de7947d603539509be7efe846b7a7243cd2ed",
	"419a236c4dffc71c80e40fcfccddfba21411202b184bbfa9",
	"419e417884bfe4186249",
	"019e626a425feef08acd",
	"419a6649a84168994c088fb3958508aba0bbba4882ec1d77",
	"419e8445112c21ffecc7f324be11ee819599e2e1b4c283cc",
	"019ea56a425fb607ec21",
	"419aa949a8416c994c08cf3009e558da6b827ff3f6416c1d",
	"419ec745152c21ffa212b0",
	"019ee86a425fa59221",
	"419aea49a8416c994c08ef3dd1c7c1a3dafe631ddc694921",
	"419b0b49e10a526530212f45a76144b62a4c3c4dee1bdf",
}

// When each of bSlices is shown.
var bShown = []media.Ticks{0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 11, 10, 12, 15, 13, 14, 18, 16, 17, 21, 19, 20, 22, 23}

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

// prefixed is an access unit of one NAL unit.
func prefixed(b []byte) []byte {
	return append([]byte{0, 0, byte(len(b) >> 8), byte(len(b))}, b...)
}

func TestOrder(t *testing.T) {
	o, declared := NewOrder(trackOf(t, bSPS, bPPS))
	if o == nil || !declared {
		t.Fatal("the stream has B pictures")
	}
	last := media.Ticks(-1)
	for i, s := range bSlices {
		pts := 6000*bShown[i] + 90000
		dts := o.DTS(prefixed(unhex(t, s)), pts)
		if dts <= last || dts > pts {
			t.Errorf("picture %d: decoded at %d, shown at %d, the one before decoded at %d", i, dts, pts, last)
		}
		if i > 4 && dts != 6000*media.Ticks(i-1)+90000 {
			t.Errorf("picture %d: decoded at %d, want a step behind", i, dts)
		}
		last = dts
	}
}

func TestOrderGoesOn(t *testing.T) {
	o, _ := NewOrder(trackOf(t, bSPS, bPPS))
	o.DTS(prefixed(unhex(t, bSlices[0])), 0)
	// A slice that cannot be read: decode time is presentation time...
	if got := o.DTS(prefixed([]byte{0x41}), 5); got != 5 {
		t.Errorf("%d", got)
	}
	if got := o.DTS(prefixed(unhex(t, bSlices[2])), 7); got != 7 {
		t.Errorf("%d", got)
	}
	// ...until the next IDR.
	if o.DTS(prefixed(unhex(t, bSlices[12])), 90000); o.lost {
		t.Error("lost after an IDR")
	}
	for _, au := range [][]byte{nil, {0, 0, 0, 9, 1}, {0, 0, 0, 0}, {0, 0, 0, 1, 0x41}} {
		o.DTS(au, 100000)
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
	f.Add(unhex(f, bSPS), unhex(f, bPPS), unhex(f, bSlices[1]))
	f.Add(unhex(f, "6742c01ee9408080f0"), unhex(f, "68ce3c80"), []byte{0x41})
	f.Fuzz(func(t *testing.T, sps, pps, slice []byte) {
		nal.RecoveryPoint(slice, len(slice)%2 == 0)
		nal.TrimSet(sps)
		SameSPS(sps, pps)
		track, err := Track([][]byte{sps}, [][]byte{pps})
		if err != nil {
			return
		}
		Interlaced(FirstSPS(track.Config))
		SetID(sps)
		if o, _ := NewOrder(track); o != nil && len(slice) < 1<<16 {
			o.DTS(append(prefixed(unhex(t, bSlices[0])), prefixed(slice)...), 0)
			o.DTS(prefixed(slice), 3000)
			o.DTS(prefixed(slice), 6000)
		}
	})
}
