package rtp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"nvr/internal/codec/nal"
)

const (
	sps264 = "6764000aacd9447b0110000003001000000301e0f1225960"
	pps264 = "68ebe3cb22c0"
)

func sets(hexes ...string) [][]byte {
	var l [][]byte
	for _, h := range hexes {
		b, err := hex.DecodeString(h)
		if err != nil {
			panic(err)
		}
		l = append(l, b)
	}
	return l
}

func newH264(s Sink) Depacketizer { return NewH264(s, sets(sps264, pps264), 0) }

// An IDR begins 6588 (first slice) or 6541 (another), a P picture 419a or 4141.
var h264Cases = []videoCase{
	{"single units",
		[]string{"m @1 658801", "m @2 419a02", "m @3 419a03"},
		[]string{"@1 sync gap: 658801", "@2: 419a02", "@3: 419a03"}, Stats{}},
	{"parameter sets, delimiter and filler stay out",
		[]string{"@1 09f0", sps264, pps264, "658801", "m 0cffff80", "m @2 419a02"},
		[]string{"@1 sync gap: 658801", "@2: 419a02"}, Stats{}},
	{"STAP-A",
		[]string{"@1 78 0018 " + sps264 + " 0006 " + pps264 + " 0003 658801", "m 654102", "m @2 419a02"},
		[]string{"@1 sync gap: 658801 654102", "@2: 419a02"}, Stats{}},
	{"STAP-A cut short",
		[]string{"m @1 78 0003 658801 00ff 41", "m @2 419a02"},
		[]string{"@1 sync gap: 658801", "@2: 419a02"}, Stats{Malformed: 1}},
	{"FU-A",
		[]string{"@1 7c85 8801", "7c05 02", "m 7c45 03", "m @2 5c81 9a04", "m 5c41 05"},
		[]string{"@1 sync gap: 6588010203", "@2: 419a0405"}, Stats{}},
	{"fragments without E: the next unit ends them",
		[]string{"@1 7c85 8801", "m 7c05 02", "@2 5c81 9a04", "m 5c01 05", "@3 419a06", "@4 5c81 9a07", "m 5c01 08"},
		[]string{"@1 sync gap: 65880102", "@2: 419a0405", "@3: 419a06", "@4: 419a0708"}, Stats{}},
	{"the marker on each fragment, and a flush between them",
		[]string{"m @1 7c85 8801", "flush", "m 7c05 02", "flush", "m 7c45 03", "flush", "m @2 419a02"},
		[]string{"@1 sync gap: 6588010203", "@2: 419a02"}, Stats{}},
	{"an SEI unit behind a picture, and the next one at the same time",
		[]string{"@0 658801", "m 060501aa80", "419a02", "060501bb80", "m 419a03"},
		[]string{"@0 sync gap: 658801", "@0: 060501aa80 419a02", "@0: 060501bb80 419a03"}, Stats{}},
	{"an SEI unit between the slices of a picture",
		[]string{"@1 658801", "060501aa80", "m 654102", "m @2 419a02"},
		[]string{"@1 sync gap: 658801 060501aa80 654102", "@2: 419a02"}, Stats{}},
	{"an SEI unit whose picture is lost",
		[]string{"m @1 658801", "@2 060501aa80", "+1 @3 060501bb80", "m 419a03"},
		[]string{"@1 sync gap: 658801", "@3 damaged gap: 060501bb80 419a03"}, Stats{Lost: 1}},
	{"empty fragments, fragments with S and E",
		[]string{"@1 7c85 8801", "7c05", "m 7c45", "m @2 5cc1 9a04", "m @3 419a05"},
		[]string{"@1 sync gap: 658801", "@2: 419a04", "@3: 419a05"}, Stats{}},
	{"a wrong type after the first fragment (Tiandy)",
		[]string{"@1 7c85 8801", "7c01 02", "m 7c41 03", "m @2 419a02"},
		[]string{"@1 sync gap: 6588010203", "@2: 419a02"}, Stats{}},
	{"STAP-B and FU-B though the SDP says nothing of them: in the order in which they come",
		[]string{"m @1 79 0001 0003 658801", "@2 5d81 0002 9a02", "m @2 5c41 03", "m @3 79 0003 0003 419a04"},
		[]string{"@1 sync gap: 658801", "@2: 419a0203", "@3: 419a04"}, Stats{}},
	{"MTAP16 and MTAP24 are refused, the rest goes on",
		[]string{"m @1 658801", "m @1 7a000100", "m @1 7b000100", "m @2 419a02"},
		[]string{"@1 sync gap: 658801", "@2: 419a02"}, Stats{Refused: 2}},
	{"open GOP: pictures shown before the recovery point need what was before it",
		[]string{"@5 060601c480", "m @5 61888405", "m @3 419a03", "m @4 419a04", "m @6 419a06"},
		[]string{"@5 sync gap: 060601c480 61888405", "@3 leading damaged: 419a03", "@4 leading damaged: 419a04", "@6: 419a06"}, Stats{}},
	{"marker on each unit, several slices (ustreamer, uvgRTP)",
		[]string{"m @1 " + sps264, "m " + pps264, "m 658801", "m 654102", "m @2 419a02", "m 414103"},
		[]string{"@1 sync gap: 658801 654102", "@2: 419a02 414103"}, Stats{}},
	{"no marker (FLIR)",
		[]string{"@1 658801", "654102", "@2 419a02", "414103", "@3 419a"},
		[]string{"@1 sync gap: 658801 654102", "@2: 419a02 414103", "@3: 419a"}, Stats{}},
	{"time stands still: the first slice cuts",
		[]string{"m @0 658801", "m 419a02", "m 419a03", "414104"},
		[]string{"@0 sync gap: 658801", "@0: 419a02", "@0: 419a03 414104"}, Stats{}},
	{"sets at the time of the picture before (Reolink RLC-822A)",
		[]string{"m @1 658801", "m @1 " + sps264, "@2 " + pps264, "m @2 658802"},
		[]string{"@1 sync gap: 658801", "@2 sync: 658802"}, Stats{}},
	{"an SEI unit with marker behind the picture (Tapo)",
		[]string{"m @1 658801", "m @1 060501aa80", "m @2 419a02", "m @2 060501bb80", "m @3 419a03"},
		[]string{"@1 sync gap: 658801", "@2: 060501aa80 419a02", "@3: 060501bb80 419a03"}, Stats{}},
	{"an SEI unit with marker before the picture (Ivel)",
		[]string{"m @1 060501aa80", "m @2 658801", "m @3 060501bb80", "m @3 419a02"},
		[]string{"@2 sync gap: 060501aa80 658801", "@3: 060501bb80 419a02"}, Stats{}},
	{"Annex B in a single unit (V380)",
		[]string{"m @1 00000001" + sps264 + "00000001" + pps264 + "000001658801", "m @2 00000001419a02"},
		[]string{"@1 sync gap: 658801", "@2: 419a02"}, Stats{}},
	{"Annex B in fragments, a start code across them (V380)",
		[]string{"@1 7c87 " + sps264[2:] + "0000", "7c07 0001" + pps264 + "000001 6588", "7c07 01 000001 654102", "m 7c47 03", "m @2 419a02"},
		[]string{"@1 sync gap: 658801 65410203", "@2: 419a02"}, Stats{}},
	{"a hole in a picture",
		[]string{"m @1 658801", "@2 5c81 9a04", "+1 m 5c41 05", "m @3 419a03", "m @4 658804", "m @5 419a05"},
		[]string{"@1 sync gap: 658801", "@3 damaged gap: 419a03", "@4 sync: 658804", "@5: 419a05"},
		Stats{Lost: 1, DroppedUnits: 1}},
	{"a hole between pictures",
		[]string{"m @1 658801", "+2 m @3 419a03", "m @4 419a04"},
		[]string{"@1 sync gap: 658801", "@3 damaged gap: 419a03", "@4 damaged: 419a04"}, Stats{Lost: 2}},
	{"a picture's end and the next one's beginning lost",
		[]string{"m @1 658801", "@2 5c81 9a04", "+2 m @3 5c41 05", "m @4 419a06"},
		[]string{"@1 sync gap: 658801", "@4 damaged gap: 419a06"}, Stats{Lost: 2, DroppedUnits: 2}},
	{"the last slice lost, no marker seen",
		[]string{"m @1 658801", "@2 419a02", "+1 m @3 419a03"},
		[]string{"@1 sync gap: 658801", "@3 damaged gap: 419a03"}, Stats{Lost: 1, DroppedUnits: 1}},
	{"a hole in an SEI before a picture",
		[]string{"m @1 658801", "@2 1c86 05aa", "+1 1c06 bb", "1c46 cc", "m 419a02"},
		[]string{"@1 sync gap: 658801", "@2 damaged gap: 419a02"}, Stats{Lost: 1}},
	{"the end of an SEI lost",
		[]string{"m @1 658801", "@2 1c86 05aa", "+1 m 419a02"},
		[]string{"@1 sync gap: 658801", "@2 damaged gap: 419a02"}, Stats{Lost: 1}},
	{"an SEI of a picture that is lost",
		[]string{"m @1 658801", "@2 0605aa", "+1 m @3 419a03"},
		[]string{"@1 sync gap: 658801", "@3 damaged gap: 419a03"}, Stats{Lost: 1}},
	{"a hole between an SEI and its picture",
		[]string{"m @1 658801", "@2 0605aa", "+1 m 419a02"},
		[]string{"@1 sync gap: 658801", "@2 damaged gap: 0605aa 419a02"}, Stats{Lost: 1}},
	{"the middle of a picture first",
		[]string{"@1 5c01 77", "m 5c41 78", "m @2 414102", "m @3 658803"},
		[]string{"@3 sync gap: 658803"}, Stats{DroppedUnits: 2}},
	{"flush commits what has its marker",
		[]string{"m @1 658801", "flush", "@2 419a02", "flush", "m 414103", "flush"},
		[]string{"@1 sync gap: 658801", "@2: 419a02 414103"}, Stats{}},
	{"the last picture waits for its marker in vain",
		[]string{"m @1 658801", "@2 419a02"},
		[]string{"@1 sync gap: 658801"}, Stats{DroppedUnits: 1}},
	{"recovery points without IDR (intra refresh)",
		[]string{"@1 0606011080", "m 419a01", "m @2 419a02"},
		[]string{"@1 sync gap: 0606011080 419a01", "@2: 419a02"}, Stats{}},
	{"nothing but headers",
		[]string{"@1 65", "7c", "7c85", "78", "7800", "780000", "41", "m @2 658801"},
		[]string{"@2 sync gap: 658801"}, Stats{Malformed: 1, DroppedUnits: 1}},
}

func TestH264(t *testing.T) {
	runCases(t, h264Cases, newH264, false)
}

func TestH264Parameters(t *testing.T) {
	p := &page{}
	other := "6764000aacd9547b0110000003001000000301e0f1225960"
	hint := "6764000aacd9447b0110000003001000000301f0f1225960"
	stats := play(t, NewH264(p, nil, 0), []string{
		"m @1 658801", // no sets yet
		"@2 " + sps264, pps264, "m 658802",
		"@3 " + hint, pps264, "m 658803", // flaps by a hint
		"@4 " + other, pps264, "m 658804",
		"@5 " + sps264, "m 658805", // and back
		"m @6 " + "00000001" + sps264 + "00000001", "m 658806",
	})
	if len(p.params) != 5 || stats.NoParameters != 1 {
		t.Fatalf("%d units, %+v: %v", len(p.params), stats, p.lines)
	}
	a, b := p.params[0], p.params[2]
	if p.params[1] != a || b == a || p.params[3] != a || p.params[4] != a {
		t.Errorf("tracks are not shared: %p", p.params)
	}
}

// An encoder that counts its ids on with each change means the newest one.
func TestNewestSetCounts(t *testing.T) {
	p := &page{}
	play(t, NewH264(p, nil, 0), []string{
		"@1 6742001eda11e4", pps264, "m 658801", // id 0, 64x48
		"@2 6742001e56820d90", "m 658802", // id 1, 128x96
		"@3 6742001eda11e4", "m 658803", // nothing new
	})
	if len(p.params) != 3 || p.params[0].Width != 64 || p.params[1].Width != 128 || p.params[1].Height != 96 || p.params[2] != p.params[1] {
		t.Errorf("%v", p.params)
	}
}

// Two fields of one picture: each has a first slice, both have one time.
func TestFields(t *testing.T) {
	p := &page{}
	play(t, NewH264(p, sets("6764000cacb302933f3e0220000003002000000303c1e2854d", pps264), 0),
		[]string{"@1 658801", "m 419a02", "@2 419a03", "m 419a04"})
	if got := strings.Join(p.lines, ", "); got != "@1 sync gap: 658801 419a02, @2: 419a03 419a04" {
		t.Error(got)
	}
}

func TestParameterSetsAreBounded(t *testing.T) {
	d := NewH264(&page{}, nil, 0)
	for i := range 300 {
		d.takeSet(append([]byte{0x68}, byte(i), byte(i>>8)|1, 0x80))
		d.takeSet(bytes.Repeat([]byte{0x67}, nal.MaxSetBytes+1))
	}
	if n := len(d.sets.list); n != nal.MaxSets {
		t.Errorf("%d sets are kept", n)
	}
}

func TestUnitsAreBounded(t *testing.T) {
	p := &page{}
	steps := []string{"m @1 658801", "@2 419a02"}
	for range maxUnits {
		steps = append(steps, "414103")
	}
	steps = append(steps, "m 414104", "m @3 658803")
	if stats := play(t, newH264(p), steps); stats.DroppedUnits != 1 || len(p.lines) != 2 {
		t.Errorf("%+v %v", stats, p.lines)
	}
	p = &page{limit: 10}
	if stats := play(t, newH264(p), []string{"m @1 658801", "@2 5c81 9a04", "5c01 050607080910", "m 5c41 05", "m @3 658803"}); stats.DroppedUnits != 1 || len(p.lines) != 2 {
		t.Errorf("%+v %v", stats, p.lines)
	}
	p = &page{}
	steps = nil
	for range 3 * maxUnits {
		steps = append(steps, "m @1 060501aa80")
	}
	if stats := play(t, newH264(p), append(steps, "m @3 658803")); stats.DroppedUnits == 0 || len(p.lines) != 1 {
		t.Errorf("SEI for ever: %+v, %d units", stats, len(p.lines))
	}
}

// What counts as a place to begin where a stream has no IDR.
func TestPatience(t *testing.T) {
	run := func(head []string, n int, picture string, tail ...string) (syncs []int) {
		p := &page{}
		steps := append([]string(nil), head...)
		for i := range n {
			steps = append(steps, fmt.Sprintf("m @%d %s", 10+i, picture))
		}
		play(t, newH264(p), append(steps, tail...))
		for i, line := range p.lines {
			if strings.Contains(line, "sync") {
				syncs = append(syncs, i)
			}
		}
		return syncs
	}
	const intra, inter = "6188843f", "419a02"
	for _, c := range []struct {
		name string
		got  []int
		want []int
	}{
		{"intra pictures that say nothing", run(nil, 3*patience, intra), []int{patience, 2*patience + 1}},
		{"not a single intra picture", run(nil, 5*patience, inter), []int{2 * patience, 4*patience + 1}},
		{"a very long GOP", run([]string{"m @1 658801"}, 5*patience, inter), []int{0}},
		{"and an intra picture in it", run([]string{"m @1 658801"}, 5*patience, inter, "m @9000 "+intra), []int{0, 5*patience + 1}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

// packetization-mode 2 with sprop-interleaving-depth 2: STAP-B is 79, its number
// and units with their lengths; FU-B is 5d or 7d, the FU header and its number.
var h264InterleavedCases = []videoCase{
	{"pictures in another order, the number wraps",
		[]string{"@1 79 fffe 0003 658801", "@3 79 0000 0003 419a03", "@2 79 ffff 0003 419a02", "@5 79 0002 0003 419a05", "@4 79 0001 0003 419a04"},
		[]string{"@1 sync gap: 658801", "@2: 419a02", "@3: 419a03", "@4: 419a04", "@5: 419a05"}, Stats{}},
	{"fragments, parameter sets and a second slice",
		[]string{"@1 79 0000 0018 " + sps264 + " 0006 " + pps264 + " 0003 658801 0003 654102", "@3 5d81 0005 9a03", "m @3 5c41 04", "m @2 79 0004 0003 419a02", "m @4 79 0006 0003 419a05"},
		[]string{"@1 sync gap: 658801 654102", "@2: 419a02", "@3: 419a0304", "@4: 419a05"}, Stats{}},
	{"a fragment is lost",
		[]string{"@1 79 0000 0003 658801", "@3 5d81 0002 9a03", "+1 @3 5c41 04", "m @2 79 0001 0003 419a02", "m @4 79 0003 0003 419a04", "m @5 79 0004 0003 658805"},
		[]string{"@1 sync gap: 658801", "@2: 419a02", "@4 damaged gap: 419a04", "@5 sync: 658805"}, Stats{Lost: 1, DroppedUnits: 1}},
	{"kinds without a number follow the one before; MTAPs are refused",
		[]string{"@1 658801", "@2 5c81 9a02", "@2 5c41 03", "@3 78 0003 419a04", "@3 7a0000", "@4 419a05", "@5 7c85 88", "@5 7c45 06"},
		[]string{"@1 sync gap: 658801", "@2: 419a0203", "@3: 419a04", "@4: 419a05", "@5 sync: 658806"}, Stats{Refused: 1}},
	{"headers only",
		[]string{"79", "7900", "790001", "79000100", "5d", "5d81", "5d8100", "5d810001", "5c01", "5c41", "65"},
		nil, Stats{Malformed: 5}},
}

func newInterleavedH264(s Sink) Depacketizer { return NewH264(s, sets(sps264, pps264), 2) }

func TestH264Interleaved(t *testing.T) {
	runCases(t, h264InterleavedCases, newInterleavedH264, false)
}

// What waits for its turn has limits, however wild the numbers.
func TestInterleaverIsBounded(t *testing.T) {
	d := NewH264(&page{}, sets(sps264, pps264), 1<<30)
	big := make([]byte, 60000)
	for i := range 3000 {
		k := Packet{Payload: append([]byte{0x79, byte(i * 7), byte(i), 0xea, 0x60, 0x41}, big[1:]...), Time: uint32(i)}
		if i%2 == 0 {
			k.Payload = []byte{0x79, byte(i * 7), byte(i), 0, 3, 0x41, 0x9a, byte(i)}
		}
		d.Packet(k)
		if n := len(d.order.held); n > maxHeldUnits || d.order.bytes > maxHeldBytes {
			t.Fatalf("%d units, %d bytes wait", n, d.order.bytes)
		}
	}
	for range 200 { // fragments without end
		d.Packet(Packet{Payload: append([]byte{0x5c, 0x01}, big...)})
	}
	if n := cap(d.order.unit.bytes); n > 2*maxHeldBytes {
		t.Errorf("a unit of %d bytes", n)
	}
	d.Close()
	if len(d.order.held) > 0 {
		t.Error("units are left behind")
	}
}

func FuzzH264(f *testing.F) { fuzz(f, h264Cases, newH264) }

func FuzzH264Interleaved(f *testing.F) { fuzz(f, h264InterleavedCases, newInterleavedH264) }
