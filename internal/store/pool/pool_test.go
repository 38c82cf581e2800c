package pool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nvr/internal/media"
)

var testID = Identity{Ring: media.UUID{1, 2, 3, 15: 16}, Pool: 7, Generation: 42}

func TestSuperblock(t *testing.T) {
	for _, voids := range [][]Void{nil, {{Pool: 1, Generation: 40, Above: 90}}, make([]Void, MaxVoids)} {
		testSuperblock(t, voids)
	}
}

func testSuperblock(t *testing.T, voids []Void) {
	want := Super{Ring: testID.Ring, Pool: 7, Pools: 20, Size: MinSize, Generation: 42, State: Active, OpenID: 3, FirstSeq: 99, Counter: 5, Voids: voids}
	good := make([]byte, BlockSize)
	want.Encode(good)
	got, err := DecodeSuper(good, 7, SuperSlot1)
	if err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%+v %v, want %+v", got, err, want)
	}
	newer := bytes.Clone(good)
	newer[8]++
	var version *VersionError
	var corrupt *CorruptError
	if _, err := DecodeSuper(make([]byte, BlockSize), 7, 0); !errors.Is(err, ErrEmpty) {
		t.Errorf("zeros: %v", err)
	}
	if _, err := DecodeSuper(newer, 7, SuperSlot1); !errors.As(err, &version) {
		t.Errorf("next version: %v", err)
	}
	if _, err := DecodeSuper(good, 7, 0); !errors.As(err, &corrupt) {
		t.Errorf("in the other slot: %v", err)
	}
	for i := range want.EncodedLen() {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := DecodeSuper(bad, 7, SuperSlot1); err == nil {
			t.Errorf("byte %d flipped and nobody saw it", i)
		}
	}
}

// items are one of each kind, among them samples with every feature of a table.
func items() []Item {
	stream := &media.Stream{Camera: media.Camera{UUID: media.CameraUUID("cam1"), ID: "cam1", Name: "Front Door"}, Name: "main"}
	track := &media.Track{Kind: media.Video, Codec: media.H265, ClockRate: 90000, Config: []byte{9, 8, 7}, Width: 640, Height: 360}
	record := &media.Record{Stream: stream, Track: media.VideoTrack, Params: track, Run: 12345, Start: 900000, Wall: 1_771_509_600_000_000_000, Buffer: media.NewBuffer(100)}
	record.Buffer.Samples = append(record.Buffer.Samples,
		media.Sample{Size: 60, Duration: 3600, Composition: 7200, Flags: media.SampleSync},
		media.Sample{Size: 30, Duration: 3599, Composition: -3600},
		media.Sample{Size: 10, Duration: 90000, Flags: media.SampleDamaged})
	record.Buffer.Data = append(record.Buffer.Data, bytes.Repeat([]byte{5}, 100)...)
	desc := TrackEntry(track)
	return []Item{
		{Entry: StreamEntry(stream)}, {Entry: desc},
		{Entry: SamplesEntry(record, stream.ID(), desc.Params), Payload: record.Buffer.Data},
		{Entry: GapEntry(media.Gap{Stream: stream, Span: media.Span{From: 1, To: 2}, Reason: media.ReasonNoMedia, Detail: "x"})},
	}
}

func encoded(t testing.TB) ([]byte, Header) {
	var b Builder
	b.Add(items()...)
	h := Header{Identity: testID, Offset: FirstGroup, Seq: 100, OpenID: 3, DurableSeq: 99}
	buf := make([]byte, MaxGroup)
	n := b.Encode(buf, &h)
	if want, _, ok := b.SizeWith(); !ok || int64(n) != want {
		t.Fatalf("%d bytes, planned %d", n, want)
	}
	return buf[:n], h
}

func TestGroup(t *testing.T) {
	b, want := encoded(t)
	got, err := DecodeHeader(b, testID, FirstGroup)
	if err != nil || got != want {
		t.Fatalf("%+v %v\nwant %+v", got, err, want)
	}
	if got.First != 1_771_509_600_000_000_000 || got.Last <= got.First {
		t.Errorf("times %d to %d", got.First, got.Last)
	}
	var entries []Entry
	err = Directory(&got, b[HeaderSize:HeaderSize+got.DirLen], func(e *Entry) bool {
		if e.Kind == KindSamples {
			if err := e.Decode(); err != nil {
				t.Error(err)
			}
			if PayloadCRC(testID, FirstGroup, b[e.Offset:e.Offset+e.Length]) != e.CRC {
				t.Error("payload does not fit its checksum")
			}
		}
		entries = append(entries, *e)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range items() {
		e := entries[i]
		if diff := cmp.Diff(it.Entry, e, cmpopts.IgnoreUnexported(Entry{}), cmpopts.IgnoreFields(Entry{}, "Offset", "Length", "CRC"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("entry %d: %s", i, diff)
		}
	}
	if s, err := entries[0].DecodeStream(); err != nil || s.Camera.Name != "Front Door" || s.ID() != entries[0].Stream {
		t.Errorf("stream %+v %v", s, err)
	}
	if tr, err := entries[1].DecodeTrack(); err != nil || tr.Codec != media.H265 || !bytes.Equal(tr.Config, []byte{9, 8, 7}) {
		t.Errorf("track %+v %v", tr, err)
	}
	if g, err := entries[3].DecodeGap(); err != nil || g.Reason != media.ReasonNoMedia || g.Span != (media.Span{From: 1, To: 2}) {
		t.Errorf("gap %+v %v", g, err)
	}
}

// What does not belong here does not count, whatever its checksums say.
func TestGroupMisfits(t *testing.T) {
	b, _ := encoded(t)
	tests := []struct {
		name string
		b    []byte
		id   Identity
		off  int64
	}{
		{"zeros", make([]byte, BlockSize), testID, FirstGroup},
		{"the last pass's", b, Identity{testID.Ring, 7, 43}, FirstGroup},
		{"another pool's", b, Identity{testID.Ring, 8, 42}, FirstGroup},
		{"another ring's", b, Identity{media.UUID{9}, 7, 42}, FirstGroup},
		{"misdirected", b, testID, FirstGroup + BlockSize},
		{"too short", b[:HeaderSize-1], testID, FirstGroup},
	}
	for _, test := range tests {
		if _, err := DecodeHeader(test.b, test.id, test.off); err == nil {
			t.Errorf("%s: counted", test.name)
		}
	}
	for i := range HeaderSize {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := DecodeHeader(bad, testID, FirstGroup); err == nil {
			t.Errorf("header byte %d flipped and nobody saw it", i)
		}
	}
	payload := []byte("pictures")
	if PayloadCRC(testID, FirstGroup, payload) == PayloadCRC(Identity{testID.Ring, 7, 43}, FirstGroup, payload) ||
		PayloadCRC(testID, FirstGroup, payload) == PayloadCRC(testID, FirstGroup+BlockSize, payload) {
		t.Error("a payload's checksum does not depend on its place")
	}
}

func TestFooter(t *testing.T) {
	b, h := encoded(t)
	g := Group{h, b[HeaderSize : HeaderSize+h.DirLen]}
	second := g
	second.Offset, second.Seq = h.Offset+int64(h.TotalLen), 101
	trailer := Trailer{Identity: testID}
	image := EncodeFooter(make([]byte, 1<<20), &trailer, []Group{g, second}, MinSize)
	if int64(len(image)) != MinSize-trailer.FooterOffset {
		t.Fatalf("%d bytes at %d", len(image), trailer.FooterOffset)
	}
	got, err := DecodeTrailer(image[len(image)-TrailerSize:], testID, MinSize)
	if err != nil || got != trailer {
		t.Fatalf("%+v %v, want %+v", got, err, trailer)
	}
	groups, err := DecodeFooter(image[:got.FooterLen], &got)
	if err != nil || len(groups) != 2 || groups[1].Header != second.Header || !bytes.Equal(groups[1].Dir, g.Dir) {
		t.Fatalf("%+v %v", groups, err)
	}
	image[5] ^= 1
	if _, err := DecodeFooter(image[:got.FooterLen], &got); err == nil {
		t.Error("a flipped bit and nobody saw it")
	}
	if _, err := DecodeTrailer(make([]byte, TrailerSize), testID, MinSize); !errors.Is(err, ErrEmpty) {
		t.Errorf("zeros: %v", err)
	}
}

// A walk finds every group behind torn ones, holes and leftovers, and takes
// none that does not belong.
func TestScan(t *testing.T) {
	image := make([]byte, MinSize)
	at := int64(FirstGroup)
	put := func(seq uint64, open uint32, generation uint64) int64 {
		var b Builder
		b.Add(items()...)
		h := Header{Identity: Identity{testID.Ring, 7, generation}, Offset: at, Seq: seq, OpenID: open}
		off := at
		at += int64(b.Encode(image[at:], &h))
		return off
	}
	put(1, 1, 42)
	torn := put(2, 1, 42)
	image[torn+HeaderSize+3] ^= 1 // its directory
	put(3, 1, 42)
	at += 3 << 20 // a skip
	put(10, 2, 42)
	put(9, 2, 42)  // older than the one before it
	put(11, 1, 42) // of an earlier writer
	put(12, 2, 41) // of the last pass
	put(13, 2, 42)
	scan := func(maxHole int64) (seqs []uint64) {
		err := Scan(bytes.NewReader(image), testID, FirstGroup, MinSize, maxHole, func(g Group) bool {
			seqs = append(seqs, g.Seq)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return seqs
	}
	if got := fmt.Sprint(scan(MinSize)); got != "[1 3 10 13]" {
		t.Errorf("found %s", got)
	}
	if got := fmt.Sprint(scan(1 << 20)); got != "[1 3]" {
		t.Errorf("with holes of 1 MiB at most: %s", got)
	}
}

// docs/format.md is the contract: its numbers are the program's.
func TestFormatDocument(t *testing.T) {
	text, err := os.ReadFile("../../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"Version": Version, "BlockSize": BlockSize, "SuperSlot1": SuperSlot1, "FirstGroup": FirstGroup, "MaxGroup": MaxGroup,
		"HeaderSize": HeaderSize, "EntrySize": EntrySize, "TrailerSize": TrailerSize, "MinSize": MinSize, "MaxSamples": MaxSamples, "MaxVoids": MaxVoids} {
		m := regexp.MustCompile("(?m)^\\| `" + name + "` \\| (\\d+) \\|").FindSubmatch(text)
		if m == nil || string(m[1]) != strconv.Itoa(want) {
			t.Errorf("%s is %d; the document says %s", name, want, m)
		}
	}
	// Each table's offsets: a field set in the structure changes just the bytes
	// that the document gives it.
	base := map[string][]byte{}
	b := make([]byte, BlockSize)
	(&Super{}).Encode(b)
	base["Superblock"] = bytes.Clone(b)
	(&Header{}).Encode(b)
	base["Group header"] = bytes.Clone(b[:HeaderSize])
	(&Trailer{}).Encode(b)
	base["Footer and trailer"] = bytes.Clone(b)
	base["Directory entry"] = (&Entry{}).append(nil)
	for table, zero := range base {
		section := regexp.MustCompile(`(?s)### ` + table + `\n.*?(\n### |\n## )`).Find(text)
		rows := regexp.MustCompile(`(?m)^\| (\d+) \| (\d+) \| (.*?) \|$`).FindAllSubmatch(section, -1)
		if len(rows) < 10 {
			t.Fatalf("%s: %d rows in the document", table, len(rows))
		}
		covered := make([]bool, len(zero))
		end := 0
		for _, r := range rows {
			at, _ := strconv.Atoi(string(r[1]))
			n, _ := strconv.Atoi(string(r[2]))
			if at < end {
				t.Errorf("%s: %q at %d lies in the field before it", table, r[3], at)
			}
			end = at + n
			for i := at; i < end; i++ {
				covered[i] = true
			}
		}
		for i, c := range filled(table)[:len(zero)] {
			if c != zero[i] && !covered[i] {
				t.Errorf("%s: byte %d is written and not in the document", table, i)
			}
		}
	}
}

// filled is a structure with every field set.
func filled(table string) []byte {
	const all = 0x0101010101010101
	id := Identity{Ring: media.UUID{0: 1, 15: 1}, Pool: 0x01010101, Generation: all}
	b := make([]byte, BlockSize)
	switch table {
	case "Superblock":
		(&Super{id.Ring, id.Pool, 0x01010101, all, all, 0x01010101, 0x01010101, all, all, all, []Void{{0x01010101, all, all}}}).Encode(b)
	case "Group header":
		(&Header{id, all, all, 0x01010101, 0x01010101, 0x01010101, 0x01010101, all, all, all, 0x01010101}).Encode(b)
	case "Footer and trailer":
		(&Trailer{id, all, all, 0x01010101, 0x01010101, all, all, all, all}).Encode(b)
	case "Directory entry":
		return (&Entry{Kind: 1, Track: 1, Stream: all, Run: all, Params: 0x01010101, Start: all, Wall: all, WallEnd: all, Offset: 0x01010101, Length: 0x01010101, CRC: 0x01010101, flags: 0x0101}).append(nil)
	}
	return b
}

// Whatever lies on a disk: no panic, no endless walk, no memory beyond the
// file's own size.
func FuzzScan(f *testing.F) {
	group, _ := encoded(f)
	f.Add(group[:3*BlockSize])
	f.Add(make([]byte, BlockSize))
	buf := make([]byte, MaxGroup)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 64<<10 {
			return
		}
		image := behind(append(b, make([]byte, BlockSize)...))
		err := Scan(image, testID, FirstGroup, FirstGroup+int64(len(image)), MinSize, func(g Group) bool {
			g.Entries(func(e *Entry) bool {
				switch e.Kind {
				case KindSamples:
					e.Decode()
				case KindStream:
					e.DecodeStream()
				case KindTrack:
					e.DecodeTrack()
				case KindGap:
					e.DecodeGap()
				}
				return true
			})
			VerifyGroup(image, &g, buf)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// behind is bytes that lie at FirstGroup, without the megabyte before them.
type behind []byte

func (b behind) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(b).ReadAt(p, off-FirstGroup)
}

// The directory behind valid checksums is foreign bytes still: FuzzScan cannot
// get past them, so the fuzzer is given the checksums.
func FuzzDirectory(f *testing.F) {
	b, h := encoded(f)
	f.Add(b[HeaderSize:HeaderSize+h.DirLen], h.Records)
	f.Fuzz(func(t *testing.T, dir []byte, records uint32) {
		h := Header{Identity: testID, Offset: FirstGroup, TotalLen: MaxGroup, DirLen: uint32(len(dir)), DirCRC: CRC(dir), Records: records % 100_000}
		Directory(&h, dir, func(e *Entry) bool {
			if e.Kind == KindSamples && e.Decode() == nil && len(e.Samples) != e.SampleCount() {
				t.Fatal("a decoded table of another length")
			}
			return true
		})
	})
}

func FuzzFooter(f *testing.F) {
	b, h := encoded(f)
	trailer := Trailer{Identity: testID}
	image := EncodeFooter(make([]byte, 1<<20), &trailer, []Group{{h, b[HeaderSize : HeaderSize+h.DirLen]}}, MinSize)
	f.Add(image[:trailer.FooterLen], image[len(image)-TrailerSize:])
	f.Fuzz(func(t *testing.T, footer, block []byte) {
		trailer, err := DecodeTrailer(block, testID, MinSize)
		if err != nil {
			trailer = Trailer{Identity: testID, FooterLen: int64(len(footer)), FooterCRC: CRC(footer), Groups: uint32(len(footer) / HeaderSize)}
		}
		DecodeFooter(footer, &trailer)
	})
}

func BenchmarkEncodeGroup(b *testing.B) {
	buf := make([]byte, MaxGroup)
	r := &media.Record{Stream: &media.Stream{}, Track: 1, Params: &media.Track{ClockRate: 90000}, Buffer: media.NewBuffer(400_000)}
	r.Buffer.Data = r.Buffer.Data[:400_000]
	for range 20 {
		r.Buffer.Samples = append(r.Buffer.Samples, media.Sample{Size: 20_000, Duration: 3600})
	}
	var builder Builder
	b.SetBytes(8 * 400_000)
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset()
		for range 8 {
			builder.Add(Item{Entry: SamplesEntry(r, 1, 2), Payload: r.Buffer.Data})
		}
		h := Header{Identity: testID, Offset: FirstGroup}
		builder.Encode(buf, &h)
	}
}
