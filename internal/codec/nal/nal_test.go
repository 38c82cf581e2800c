package nal

import (
	"bytes"
	"encoding/base64"
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

func TestTrimSet(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"clean", "6764", "6764"},
		{"start code before it", "000000016764", "6764"},
		{"short start code before it", "0000016764", "6764"},
		{"zeros behind it", "67640000", "6764"},
		{"start code behind it", "676400000001", "6764"},
		{"both", "00000001676400000001", "6764"},
		{"two start codes", "0000000100000167", "67"},
		{"another unit behind it", "6764000000016868", "6764"},
		{"nothing", "", ""},
		{"zeros only", "000000", ""},
	} {
		if got := TrimSet(unhex(t, c.in)); !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %x, want %s", c.name, got, c.want)
		}
	}
}

func TestSets(t *testing.T) {
	sps, pps := "Z2QACqzZR7ARAAADAAEAAAMAHg8SJZY", "aOvjyyLA"
	long := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x67}, MaxSetBytes+1))
	for _, c := range []struct {
		name, in string
		want     int
	}{
		{"two", sps + "," + pps, 2},
		{"with padding and blanks", " " + sps + "=, " + pps, 2},
		{"SPS and nothing", sps + ",", 1},
		{"empty", "", 0},
		{"rubbish", "%%%," + pps, 1},
		{"too long", long + "," + pps, 1},
		{"too many", string(bytes.Repeat([]byte(pps+","), MaxSets+4)), MaxSets},
	} {
		if got := Sets(c.in); len(got) != c.want {
			t.Errorf("%s: %d sets, want %d", c.name, len(got), c.want)
		}
	}
}

func TestBits(t *testing.T) {
	// u(8)=0 u(8)=0 [03] u(8)=1, then ue: 1 → 0, 010 → 1, 00101 → 4
	r := Bits{Data: unhex(t, "0000030115a5")}
	for i, want := range []uint32{0, 0, 1} {
		if got := r.U(8); got != want {
			t.Errorf("byte %d: %d, want %d", i, got, want)
		}
	}
	r = Bits{Data: []byte{0b1_010_0010, 0b1_1_000000}}
	for i, want := range []uint32{0, 1, 4, 0} {
		if got := r.UE(); got != want || r.Short {
			t.Errorf("ue %d: %d, want %d", i, got, want)
		}
	}
	if r.UE(); !r.Short {
		t.Error("read past the end")
	}
}

func TestRecoveryPoint(t *testing.T) {
	for _, c := range []struct {
		name, in string
		h265     bool
		after    int
		found    bool
	}{
		{"at once", "0601c480", false, 0, true},
		{"after 7 pictures", "06011080", false, 7, true},
		{"behind pic_timing", "01 0411223344 0601c480", false, 0, true},
		{"h265, at once", "0601d080", true, 0, true},
		{"user data", "0504aabbccdd80", false, 0, false},
		{"cut short", "06", false, 0, false},
		{"nothing", "", false, 0, false},
	} {
		in := unhex(t, string(bytes.ReplaceAll([]byte(c.in), []byte(" "), nil)))
		after, found := RecoveryPoint(in, c.h265)
		if after != c.after || found != c.found {
			t.Errorf("%s: %d %v, want %d %v", c.name, after, found, c.after, c.found)
		}
	}
}

func TestNext(t *testing.T) {
	au := unhex(t, "00000002aabb00000001cc")
	var got []string
	for {
		unit, rest, ok := Next(au)
		if !ok {
			break
		}
		got, au = append(got, hex.EncodeToString(unit)), rest
	}
	if len(got) != 2 || got[0] != "aabb" || got[1] != "cc" {
		t.Errorf("%v", got)
	}
	if _, _, ok := Next(unhex(t, "ffffffffaa")); ok {
		t.Error("a length that does not fit")
	}
}
