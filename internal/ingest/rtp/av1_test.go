package rtp

import (
	"strings"
	"testing"

	"nvr/internal/codec/av1"
)

// An aggregation header is Z (80), Y (40), W (30) and N (08). OBU headers are
// without size: 08 a sequence header, 30 a frame, 18 a frame header, 20 a tile
// group, 28 metadata, 10 a temporal delimiter. A frame that begins with 10 is a
// key frame, with 30 it is not. In the sample they have sizes: 0a, 32, 1a, 22, 2a.
const (
	seqAV1 = "000000043d06d4daf90040" // libaom, 322x182
	// Elements with their lengths (LEB128), and what they become.
	seqOBU    = "0c08" + seqAV1
	seqSample = "0a0b" + seqAV1
)

var av1Cases = []videoCase{
	{"one packet a temporal unit",
		[]string{"m @1 28" + seqOBU + "301001", "m @2 10 303002", "m @3 10 303003"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@2: 32023002", "@3: 32023003"}, Stats{}},
	{"W is 0: each element has its length",
		[]string{"m @1 08" + seqOBU + "03 301001", "m @2 00 03 303002"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@2: 32023002"}, Stats{}},
	{"fragments: the size is filled in at the end, in four bytes",
		[]string{"@1 68" + seqOBU + "3010", "@1 d0 01", "m @1 90 02", "m @2 10 303002"},
		[]string{"@1 sync gap: " + seqSample + "32 83808000 100102", "@2: 32023002"}, Stats{}},
	{"a fragment that is not the last element",
		[]string{"@1 50 1810", "m @1 a0 01 01 2002", "m @2 10 303002"},
		nil, Stats{NoParameters: 2}},
	{"header and first byte of a frame in different packets",
		[]string{"@1 68" + seqOBU + "30", "@1 d0 10", "m @1 90 01", "m @2 10 303002"},
		[]string{"@1 sync gap: " + seqSample + "32 82808000 1001", "@2: 32023002"}, Stats{}},
	{"OBUs with a size, and an extension",
		[]string{"m @1 38 0d 0a0b" + seqAV1 + "04 32021001 2c0055", "m @2 10 32023002", "m @3 10 3601023003"},
		[]string{"@1 sync gap: " + seqSample + "32021001 2e000155", "@2: 32023002", "@3: 3601023003"}, Stats{}},
	{"a size that does not fit",
		[]string{"m @1 28" + seqOBU + "301001", "m @2 10 32033002", "m @3 10 32013003", "m @4 10 303004"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@4 damaged gap: 32023004"}, Stats{Malformed: 2, DroppedUnits: 2}},
	{"delimiters, padding and tile lists stay out, metadata stay",
		[]string{"m @1 08 0110" + seqOBU + "02 2855 03 301001 03 78ffff 0240 00", "m @2 10 303002"},
		[]string{"@1 sync gap: " + seqSample + "2a0155 32021001", "@2: 32023002"}, Stats{}},
	{"the sequence header once only: it goes in front of each key frame",
		[]string{"m @1 28" + seqOBU + "301001", "m @2 10 303002", "m @3 18 301003"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@2: 32023002", "@3 sync: " + seqSample + "32021003"}, Stats{}},
	{"the sequence header alone, in a unit of its own",
		[]string{"m @1 10 08" + seqAV1, "m @2 18 301001"},
		[]string{"@2 sync gap: " + seqSample + "32021001"}, Stats{}},
	{"frame header and tile groups; frames that are not shown, then one that is",
		[]string{"@1 28" + seqOBU + "181001", "m @1 10 2002", "m @2 30 02 3020 03 303001 1890"},
		[]string{"@1 sync gap: " + seqSample + "1a021001 220102", "@2: 320120 32023001 1a0190"}, Stats{}},
	{"a key frame that is not shown is no place to begin, nor is one shown later",
		[]string{"m @1 28" + seqOBU + "301001", "m @2 10 300002", "m @3 10 188003"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@2: 32020002", "@3: 1a028003"}, Stats{}},
	{"no marker",
		[]string{"@1 28" + seqOBU + "301001", "@2 10 303002", "@3 10 303003"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@2: 32023002", "@3: 32023003"}, Stats{}},
	{"flush commits what has its marker",
		[]string{"m @1 28" + seqOBU + "301001", "flush", "@2 10 303002", "flush", "m @2 10 2003", "flush"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@2: 32023002 220103"}, Stats{}},
	{"a hole in a temporal unit",
		[]string{"m @1 28" + seqOBU + "301001", "@2 50 303002", "+1 m @2 90 04", "m @3 10 303005", "m @4 18 301006", "m @5 10 303007"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@3 damaged gap: 32023005", "@4 sync: " + seqSample + "32021006", "@5: 32023007"},
		Stats{Lost: 1, DroppedUnits: 1}},
	{"a hole between temporal units",
		[]string{"m @1 28" + seqOBU + "301001", "+2 m @3 10 303003", "m @4 10 303004"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@3 damaged gap: 32023003", "@4 damaged: 32023004"}, Stats{Lost: 2}},
	{"the beginning of a frame is lost",
		[]string{"m @1 28" + seqOBU + "301001", "+1 m @2 90 05", "m @3 10 303003"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@3 damaged gap: 32023003"}, Stats{Lost: 1, DroppedUnits: 1}},
	{"the end of a frame never comes",
		[]string{"m @1 28" + seqOBU + "301001", "@2 50 303002", "m @3 10 303003", "@4 50 303004"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@3 damaged gap: 32023003"}, Stats{DroppedUnits: 2}},
	{"tile groups whose frame header is lost",
		[]string{"m @1 28" + seqOBU + "301001", "+1 m @2 10 2002", "m @3 10 303003"},
		[]string{"@1 sync gap: " + seqSample + "32021001", "@3 damaged gap: 32023003"}, Stats{Lost: 1, DroppedUnits: 1}},
	{"nothing but headers, lengths that do not fit",
		[]string{"00", "40", "80", "m @1 10 30", "@2 00 ff 30", "@3 00 8080808080808080", "@4 20 05 30", "m @5 28" + seqOBU + "301001"},
		[]string{"@5 sync gap: " + seqSample + "32021001"}, Stats{Malformed: 4, DroppedUnits: 4}},
}

func newAV1(s Sink) Depacketizer { return NewAV1(s) }

// Blanks in what is wanted are for people.
func TestAV1(t *testing.T) {
	cases := make([]videoCase, len(av1Cases))
	for i, c := range av1Cases {
		cases[i] = c
		cases[i].want = nil
		for _, w := range c.want {
			head, body, _ := strings.Cut(w, ": ")
			cases[i].want = append(cases[i].want, head+": "+strings.ReplaceAll(body, " ", ""))
		}
	}
	runCases(t, cases, newAV1, true)
}

func TestAV1Parameters(t *testing.T) {
	p := &page{raw: true}
	play(t, NewAV1(p), []string{
		"m @1 28" + seqOBU + "301001",
		"m @2 28 1408 04000000040000002ac0000021e836a6d7c802 301001", // the same with timing
		"m @3 28 0b08 00000002aff79b5f2540 301001",                   // another size
		"m @4 28" + seqOBU + "301001",                                // and back
	})
	if len(p.params) != 4 || p.params[0].Width != 322 || p.params[1] != p.params[0] || p.params[2].Width != 64 || p.params[3] != p.params[0] {
		t.Errorf("%v", p.params)
	}
}

func TestAV1IsBounded(t *testing.T) {
	p := &page{raw: true}
	steps := []string{"m @1 28" + seqOBU + "301001", "@2 10 303002"}
	for range maxUnits {
		steps = append(steps, "@2 10 2003")
	}
	steps = append(steps, "m @2 10 2003", "m @3 10 303003")
	if stats := play(t, NewAV1(p), steps); stats.DroppedUnits != 1 || len(p.lines) != 2 {
		t.Errorf("%+v %v", stats, p.lines)
	}
	d := NewAV1(p)
	d.Packet(Packet{Payload: []byte{0x50, 0x08}})
	for range 100 { // a sequence header without end
		d.Packet(Packet{Payload: append([]byte{0xd0}, make([]byte, 1000)...)})
	}
	if cap(d.sequence) > 2*av1.MaxSequenceBytes {
		t.Errorf("%d bytes are kept", cap(d.sequence))
	}
	p = &page{raw: true, limit: 40}
	if stats := play(t, NewAV1(p), []string{"@1 68" + seqOBU + "3010", "@1 d0" + strings.Repeat("55", 50), "m @1 90 02", "m @2 18 301002"}); stats.DroppedUnits != 1 || len(p.lines) != 1 {
		t.Errorf("%+v %v", stats, p.lines)
	}
}

func FuzzAV1(f *testing.F) { fuzz(f, av1Cases, newAV1) }
