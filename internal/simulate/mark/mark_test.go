package mark

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nvr/internal/media"
)

// A slice of each codec: what stands behind the header does not matter to a mark.
var (
	sliceH264 = append([]byte{0x65}, bytes.Repeat([]byte{1, 2, 3, 0, 0, 3, 1}, 50)...)
	sliceH265 = append([]byte{19 << 1, 1}, bytes.Repeat([]byte{9, 8, 7}, 50)...)
)

func frameAnnexB(long bool, nals ...[]byte) (b []byte) {
	for _, n := range nals {
		if long {
			b = append(b, 0)
		}
		b = append(append(b, 0, 0, 1), n...)
	}
	return b
}

func frameLength(nals ...[]byte) (b []byte) {
	for _, n := range nals {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
	}
	return b
}

// accessUnit is a marked access unit: mark, filler, slices.
func accessUnit(t testing.TB, codec media.Codec, fillerBytes, camera, connection int, sequence uint64) [][]byte {
	t.Helper()
	var units [][]byte
	if fillerBytes > 0 {
		units = append(units, Filler(codec, fillerBytes, sequence))
	}
	if codec == media.H265 {
		units = append(units, sliceH265)
	} else {
		units = append(units, sliceH264, sliceH264[:38])
	}
	nal, text, err := New(codec, units)
	if err != nil {
		t.Fatal(err)
	}
	Set(nal[text:], camera, connection, sequence)
	return append([][]byte{nal}, units...)
}

func findAll(b []byte) (all []Mark) {
	Find(b, func(m Mark) { all = append(all, m) })
	return all
}

func TestFindReadsWhatNewAndSetWrite(t *testing.T) {
	foreign := []byte{6, 5, 17, 'a', 'n', 'o', 't', 'h', 'e', 'r', ' ', 'u', 'u', 'i', 'd', '-', '1', '2', '3', 'x', 0x80}
	for _, codec := range []media.Codec{media.H264, media.H265} {
		for _, filler := range []int{0, 30, 5000} {
			nals := accessUnit(t, codec, filler, 7, 3, 123456)
			withForeign := append([][]byte{nals[0], foreign}, nals[1:]...)
			if codec == media.H265 {
				withForeign[1] = append([]byte{seiH265 << 1, 1}, foreign[1:]...)
			}
			padded := append([][]byte(nil), nals...)
			last := len(padded) - 1
			padded[last] = append(bytes.Clone(padded[last]), 0, 0)
			cases := []struct {
				name string
				b    []byte
				at   int
			}{
				{"annex B, 3 byte start codes", frameAnnexB(false, nals...), 3},
				{"annex B, 4 byte start codes", frameAnnexB(true, nals...), 4},
				{"annex B, trailing zeros", append(frameAnnexB(true, padded...), 0, 0, 1, 9, 16), 4},
				{"length prefixed", frameLength(nals...), 4},
				{"length prefixed, zeros inside the length", frameLength(padded...), 4},
				{"length prefixed, in the middle of a file", append(append([]byte("moof"), frameLength(nals...)...), 0xff, 0xff), 8},
				{"another SEI behind the mark", frameLength(withForeign...), 4},
			}
			for _, c := range cases {
				want := []Mark{{Camera: 7, Connection: 3, Sequence: 123456, Offset: c.at}}
				if d := cmp.Diff(want, findAll(c.b)); d != "" {
					t.Errorf("%s, filler %d, %s:\n%s", codec, filler, c.name, d)
				}
			}
		}
	}
}

func TestFindReportsDamage(t *testing.T) {
	nals := accessUnit(t, media.H264, 300, 1, 1, 9)
	framed := frameLength(nals...)
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 0x10
		return b
	}
	cases := []struct {
		name  string
		b     []byte
		marks int // all of them damaged
	}{
		{"nothing", nil, 0},
		{"zeros", make([]byte, 4096), 0},
		{"the UUID alone", []byte(uuid), 0},
		{"the UUID and zeros", append([]byte(uuid), make([]byte, 100)...), 0},
		{"a digit of the sequence", flip(framed, 4+3+offSequence+3), 0},
		{"a digit of the text's sum", flip(framed, 4+3+offTextSum), 0},
		{"a byte of the filler", flip(framed, 4+len(nals[0])+4+100), 1},
		{"the last byte", flip(framed, len(framed)-1), 1},
		{"the last byte is gone", framed[:len(framed)-1], 1},
		{"everything behind the mark is gone", framed[:4+len(nals[0])], 1},
		{"the filler is gone", frameLength(nals[0], nals[2], nals[3]), 1},
		{"a slice is gone", append(frameLength(nals[0], nals[1], nals[2]), frameLength(accessUnit(t, media.H264, 0, 2, 1, 1)...)...), 1},
		{"slices exchanged", frameLength(nals[0], nals[1], nals[3], nals[2]), 1},
		{"no framing", bytes.Join(nals, nil), 1},
		{"a mark without a NAL header", nals[0][3:], 1},
	}
	for _, c := range cases {
		damaged := 0
		for _, m := range findAll(c.b) {
			if m.Damaged {
				damaged++
			}
		}
		if damaged != c.marks {
			t.Errorf("%s: %d damaged marks, want %d", c.name, damaged, c.marks)
		}
	}
}

func TestFillerHasTheSizeAskedAndNoStartCode(t *testing.T) {
	for _, codec := range []media.Codec{media.H264, media.H265} {
		refused := 0
		for size := range 3000 {
			nal := Filler(codec, size, uint64(size))
			if nal == nil {
				if size >= FillerMin(codec) {
					refused++
				}
				continue
			}
			if len(nal) != size || bytes.Contains(nal, []byte{0, 0}) || !isFiller(codec, nal) || isSlice(codec, nal) {
				t.Fatalf("%s: filler of %d bytes: %d bytes, filler %v", codec, size, len(nal), isFiller(codec, nal))
			}
			// The payload's size, read as H.264 §7.3.2.3.1 says.
			at, payload := headerSize(codec)+1, 0
			for ; nal[at] == 255; at++ {
				payload += 255
			}
			payload += int(nal[at])
			if at+1+payload != size-1 {
				t.Fatalf("%s: filler of %d bytes says %d bytes of payload at %d", codec, size, payload, at+1)
			}
		}
		if refused != 11 {
			t.Errorf("%s: %d sizes below 3000 have no filler, want 11", codec, refused)
		}
	}
}

func TestNewRefusesWhatItCannotCount(t *testing.T) {
	for _, n := range []int{0, MaxUnits + 1} {
		if _, _, err := New(media.H264, make([][]byte, n)); err == nil {
			t.Errorf("%d units were marked", n)
		}
	}
}

func TestSetDoesNotAllocate(t *testing.T) {
	nal, text, err := New(media.H264, [][]byte{sliceH264})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { Set(nal[text:], 1, 2, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFind(f *testing.F) {
	for _, codec := range []media.Codec{media.H264, media.H265} {
		nals := accessUnit(f, codec, 40, 1, 2, 3)
		f.Add(frameAnnexB(false, nals...))
		f.Add(frameAnnexB(true, nals...))
		f.Add(frameLength(nals...))
		f.Add(nals[0])
	}
	for _, codec := range []media.Codec{media.AV1, media.MJPEG} {
		units := [][]byte{{0x30, 1, 2, 3}}
		m, _, err := New(codec, units)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{0xff, 0xda, 0, 2, 0x30, 1, 2, 3}, append(m, 0xff, 0xd9)...))
		f.Add(append(append([]byte{0x2a, byte(len(m) - 1)}, m[1:]...), 0x32, 3, 1, 2, 3))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		last := -1
		Find(b, func(m Mark) {
			if m.Offset <= last || m.Offset >= len(b) {
				t.Fatalf("offset %d behind %d in %d bytes", m.Offset, last, len(b))
			}
			last = m.Offset
			if m.Camera > MaxCamera || m.Connection > MaxConnection || m.Sequence > MaxSequence {
				t.Fatalf("numbers out of range: %+v", m)
			}
		})
	})
}

func BenchmarkFind(b *testing.B) {
	var file []byte
	for n := range 2000 {
		file = append(file, frameLength(accessUnit(b, media.H264, 8000, 1, 1, uint64(n))...)...)
	}
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		n := 0
		Find(file, func(Mark) { n++ })
		if n != 2000 {
			b.Fatal(n)
		}
	}
}
