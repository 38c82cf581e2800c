package vault

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNames(t *testing.T) {
	for _, n := range []Name{{7, 12, 1}, {0, 1, 1}, {65535, 1 << 40, 3}} {
		if got, ok := ParseName(n.String()); !ok || got != n {
			t.Errorf("%s: %+v %t", n, got, ok)
		}
	}
	for _, s := range []string{"", "locks.json", "kept_7_12_1.bin", "kept_007_12_1.bin.tmp", "kept_007_0_1.bin", "kept_007_12_0.bin", "kept_007_12.bin", "pool_007.bin", "kept_007_-1_1.bin"} {
		if n, ok := ParseName(s); ok {
			t.Errorf("%q: %+v", s, n)
		}
	}
}

var whole = Register{Format: 1, Locks: []Lock{{ID: "abc234", Camera: "cam1", From: 2e18, To: 2e18 + 5, Start: 2e18 - 7, Reason: "x", By: "me", Made: 1, Until: 3e18, Next: 5, Rate: 9, Complete: true,
	Parts: []Part{{Pool: 3, Generation: 8, From: 2e18, To: 2e18 + 5, Bytes: 10, Size: 20, Done: true, File: true, Lost: []Loss{{2e18, 2e18 + 1, 3, "why"}}}}}},
	Removed: []Removed{{"gone22", 4}}}

func TestRegister(t *testing.T) {
	got, err := Decode(whole.Encode())
	if err != nil || cmp.Diff(whole, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(whole, got))
	}
	// What is misread may cost footage: it is refused whole.
	for _, s := range []string{"", "{}", "null", `{"format":2}`, `{"format":1,"locks":[{}]}`, `{"format":1,"locks":[{"id":"a","camera":"c","from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z","start":"2026-01-01T00:00:00Z"}]}`,
		`{"format":1,"locks":[{"id":"a","camera":"c","from":"yesterday","to":"2026-01-01T00:00:00Z"}]}`, `{"format":1,"locks":[{"id":"a","camera":"c","from":"9999-01-01T00:00:00Z","to":"9999-01-02T00:00:00Z"}]}`} {
		if r, err := Decode([]byte(s)); err == nil {
			t.Errorf("%q: %+v", s, r)
		}
	}
	r := whole.Clone()
	r.Locks[0].Parts[0].Done = false
	for i := range maxRemoved + 5 {
		r.Remove(string(rune('a'+i%26))+string(rune('0'+i)), Instant(i))
	}
	if !whole.Locks[0].Parts[0].Done || len(whole.Removed) != 1 || len(r.Removed) != maxRemoved {
		t.Errorf("%+v, %d remembered", whole, len(r.Removed))
	}
}

// Whatever lies on a disk: no panic, and what is taken is written as it was read.
func FuzzRegister(f *testing.F) {
	f.Add(whole.Encode())
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(r.Encode())
		if err != nil {
			t.Fatalf("%v: %s", err, r.Encode())
		}
		if string(again.Encode()) != string(r.Encode()) {
			t.Fatalf("%s\nthen\n%s", r.Encode(), again.Encode())
		}
	})
}
