package mp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

func box(typ string, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(b))), typ...), b...)
}

// odd has files that nobody should have made, and what Dump says of each.
var odd = []struct {
	name string
	file []byte
	want string
}{
	{"empty", nil, ""},
	{"zeros", make([]byte, 20), "???? up to the end of the file\n"},
	{"cut in a header", box("free")[:5], "the file ends here, at byte 5\n"},
	{"cut in a box", box("moov", box("free", make([]byte, 50)))[:30], "moov 66\nthe file ends here, at byte 30\n"},
	{"smaller than its header", []byte{0, 0, 0, 7, 'm', 'o', 'o', 'v'}, "moov with an impossible size of 7 bytes at 0\n"},
	{"child too long", box("moov", []byte{0, 0, 1, 0, 't', 'r', 'a', 'k'}), "moov 16\n  trak with an impossible size of 256 bytes at 8\n"},
	{"negative size", []byte{0, 0, 0, 1, 'm', 'd', 'a', 't', 0xff, 0, 0, 0, 0, 0, 0, 0}, "mdat with an impossible size of -72057594037927936 bytes at 0\n"},
	{"table without entries", box("stts", []byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}), "stts 16: 4294967295:  … 4294967295 more, but no room for them\n"},
	{"fields missing", box("mvhd", []byte{1}), "mvhd 9: created never, duration 0/0 s\n"},
	{"control characters", box("\n\x1b[m", nil), "??[m 8\n"},
}

func TestDumpOdd(t *testing.T) {
	for _, tt := range odd {
		var text strings.Builder
		if err := Dump(&text, bytes.NewReader(tt.file)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if text.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, &text, tt.want)
		}
	}
}

func TestDumpDeep(t *testing.T) {
	file := box("free")
	for range 1000 {
		file = box("moov", file) // deeper than any real one
	}
	var text strings.Builder
	if err := Dump(&text, bytes.NewReader(file)); err != nil || strings.Count(text.String(), "\n") != maxDumpDepth+1 {
		t.Errorf("%v\n%s", err, &text)
	}
}

type failing struct{}

var errBroken = errors.New("broken")

func (failing) Read([]byte) (int, error)  { return 0, errBroken }
func (failing) Write([]byte) (int, error) { return 0, errBroken }

func TestDumpErrors(t *testing.T) {
	if err := Dump(io.Discard, failing{}); !errors.Is(err, errBroken) {
		t.Errorf("reader: %v", err)
	}
	if err := Dump(failing{}, bytes.NewReader(box("free"))); !errors.Is(err, errBroken) {
		t.Errorf("writer: %v", err)
	}
}

func FuzzDump(f *testing.F) {
	for _, tt := range odd {
		f.Add(tt.file)
	}
	b := NewBuilder(nil)
	v, err := b.AddTrack(avc.Kind, avc.ClockRate)
	if err != nil {
		f.Fatal(err)
	}
	if err := v.Chunk(avc); err != nil {
		f.Fatal(err)
	}
	v.Add(Sample{Size: 10, Composition: 5})
	v.End(3600)
	v.SetEdit(Edit{Delay: 1e9, Start: 5, End: 3605})
	if err := b.Finish(Movie{Title: "x"}); err != nil {
		f.Fatal(err)
	}
	var file bytes.Buffer
	if err := b.WriteHeader(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		var text bytes.Buffer
		if err := Dump(&text, bytes.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		if most := 1000 + 400*len(file); text.Len() > most {
			t.Errorf("%d bytes of text for %d bytes", text.Len(), len(file))
		}
	})
}
