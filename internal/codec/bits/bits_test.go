package bits

import (
	"bytes"
	"testing"
)

func TestReader(t *testing.T) {
	r := Reader{Data: []byte{0b1010_0110, 0xff, 0x00, 0x12, 0x34}}
	for i, c := range []struct {
		n    int
		want uint32
	}{{1, 1}, {2, 1}, {0, 0}, {7, 0b0011011}, {16, 0xfc00}, {6, 0x12}, {8, 0x34}} {
		if got := r.U(c.n); got != c.want || r.Short {
			t.Errorf("read %d of %d bits: %b, want %b", i, c.n, got, c.want)
		}
	}
	if r.Left() != 0 || r.Flag() || !r.Short {
		t.Error("there is more than there is")
	}
	r = Reader{Data: []byte{1}}
	if r.Skip(9); !r.Short || r.Left() != 0 {
		t.Error("skipped past the end in silence")
	}
}

func TestAppend(t *testing.T) {
	data := []byte{0xab, 0xcd, 0xef}
	for _, c := range []struct {
		pos, n int
		want   []byte
	}{
		{0, 16, []byte{0xab, 0xcd}},
		{0, 12, []byte{0xab, 0xc0}},
		{4, 16, []byte{0xbc, 0xde}},
		{4, 20, []byte{0xbc, 0xde, 0xf0}},
		{3, 5, []byte{0b01011_000}},
		{8, 0, nil},
		{24, 0, nil},
	} {
		r := Reader{Data: data, Pos: c.pos}
		if got := r.Append(nil, c.n); !bytes.Equal(got, c.want) || r.Short || r.Pos != c.pos+c.n {
			t.Errorf("%d bits from %d: %x, want %x", c.n, c.pos, got, c.want)
		}
	}
	r := Reader{Data: data, Pos: 1}
	if got := r.Append(nil, 24); got != nil || !r.Short {
		t.Errorf("%x of what is not there", got)
	}
}
