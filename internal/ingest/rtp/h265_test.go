package rtp

import "testing"

const (
	vps265 = "40010c01ffff01600000030090000003000003001e959009"
	sps265 = "42010101600000030090000003000003001ea020831659592e4caf0168080000030008000003007840"
	pps265 = "4401c173d089"
)

func newH265(s Sink) Depacketizer { return NewH265(s, sets(vps265, sps265, pps265), false, 0) }

// An IDR begins 2601af (first slice) or 260141, a CRA 2a01, a P picture 0201d0
// or 020150.
var h265Cases = []videoCase{
	{"single units, several slices",
		[]string{"@1 2601af01", "m 26014102", "m @2 0201d003", "m @3 0201d004"},
		[]string{"@1 sync gap: 2601af01 26014102", "@2: 0201d003", "@3: 0201d004"}, Stats{}},
	{"AP with the parameter sets",
		[]string{"@1 6001 0018" + vps265 + "0029" + sps265 + "0006" + pps265, "m 2601af01", "m @2 0201d002"},
		[]string{"@1 sync gap: 2601af01", "@2: 0201d002"}, Stats{}},
	{"AP cut short",
		[]string{"m @1 6001 0004 2601af01 0100 02", "m @2 0201d002"},
		[]string{"@1 sync gap: 2601af01", "@2: 0201d002"}, Stats{Malformed: 1}},
	{"FU",
		[]string{"@1 6201 93 af01", "6201 13 02", "m 6201 53 03", "m @2 6201 c1 d004"},
		[]string{"@1 sync gap: 2601af010203", "@2: 0201d004"}, Stats{}},
	{"CRA is a place to begin, RASL is not",
		[]string{"m @3 2a01af01", "m @1 1201d002", "m @2 1001d003", "m @4 0201d004", "m @7 2a01af05", "m @5 1201d006", "m @6 0e01d007"},
		[]string{"@3 sync gap: 2a01af01", "@1 leading damaged: 1201d002", "@2 leading damaged: 1001d003", "@4: 0201d004",
			"@7 sync: 2a01af05", "@5 leading: 1201d006", "@6: 0e01d007"}, Stats{}},
	{"behind an IDR nothing is to be skipped",
		[]string{"m @3 2601af01", "m @2 1201d002"},
		[]string{"@3 sync gap: 2601af01", "@2: 1201d002"}, Stats{}},
	{"BLA",
		[]string{"m @3 2001af01", "m @2 1201d002", "m @6 2401af03"},
		[]string{"@3 sync gap: 2001af01", "@2 leading damaged: 1201d002", "@6 sync: 2401af03"}, Stats{}},
	{"what a lost picture damaged is damaged behind the next CRA too",
		[]string{"m @1 2601af01", "+1 m @5 2a01af02", "m @4 1201d003", "m @6 0201d004"},
		[]string{"@1 sync gap: 2601af01", "@5 sync gap: 2a01af02", "@4 leading damaged: 1201d003", "@6: 0201d004"}, Stats{Lost: 1}},
	{"delimiter, filler and end stay out, SEI stays",
		[]string{"@1 460150", "4e0105aa80", "2601af01", "500105bb80", "m 4c01ff80", "4a01", "m @2 0201d002"},
		[]string{"@1 sync gap: 4e0105aa80 2601af01 500105bb80", "@2: 0201d002"}, Stats{}},
	{"an SEI unit with marker (Tapo C260)",
		[]string{"m @1 4e0105aa80", "m @1 2601af01", "m @2 4e0105bb80", "m @2 0201d002"},
		[]string{"@1 sync gap: 4e0105aa80 2601af01", "@2: 4e0105bb80 0201d002"}, Stats{}},
	{"a second layer belongs to the picture",
		[]string{"@1 2601af01", "m 2609af02", "m @2 0201d002"},
		[]string{"@1 sync gap: 2601af01 2609af02", "@2: 0201d002"}, Stats{}},
	{"PACI",
		[]string{"m @1 6401 2600 af01", "m @2 6401 0230 aabbcc d002", "m @3 6401 6400 64010200"},
		[]string{"@1 sync gap: 2601af01", "@2: 0201d002"}, Stats{Refused: 1, Malformed: 1}},
	{"PACI around fragments",
		[]string{"@1 6401 6200 93 af01", "m 6401 6200 53 02", "m @2 0201d002"},
		[]string{"@1 sync gap: 2601af0102", "@2: 0201d002"}, Stats{}},
	{"a hole in a picture",
		[]string{"m @1 2601af01", "@2 6201 81 d004", "+1 m 6201 41 05", "m @3 0201d003", "m @4 2601af04"},
		[]string{"@1 sync gap: 2601af01", "@3 damaged gap: 0201d003", "@4 sync: 2601af04"}, Stats{Lost: 1, DroppedUnits: 1}},
	{"nothing but headers",
		[]string{"@1 26", "2601", "62", "6201", "620193", "6001", "600100", "6401", "m @2 2601af01"},
		[]string{"@2 sync gap: 2601af01"}, Stats{Malformed: 4, DroppedUnits: 1}},
}

func TestH265(t *testing.T) { runCases(t, h265Cases, newH265, false) }

// With DONL, and units that are sent in the order of their numbers.
var h265NumberedCases = []videoCase{
	{"DONL",
		[]string{"m @1 2601 0000 af01", "m @2 6201 c1 0001 d002", "m @3 6001 0002 0004 0201d003 00 0004 02015004"},
		[]string{"@1 sync gap: 2601af01", "@2: 0201d002", "@3: 0201d003 02015004"}, Stats{}},
	{"too short for a number",
		[]string{"m @1 2601 0000 af01", "m @2 0201 0001", "m @3 0201 0002 d003"},
		[]string{"@1 sync gap: 2601af01", "@3: 0201d003"}, Stats{Malformed: 1}},
}

// The same where the units are sent in another order.
var h265ReorderedCases = []videoCase{
	{"single units",
		[]string{"m @1 2601 fffe af01", "m @3 0201 0000 d003", "m @2 0201 ffff d002", "m @5 0201 0002 d005", "m @4 0201 0001 d004"},
		[]string{"@1 sync gap: 2601af01", "@2: 0201d002", "@3: 0201d003", "@4: 0201d004", "@5: 0201d005"}, Stats{}},
	{"AP and FU",
		[]string{"@1 6001 0000 0004 2601af01 00 0004 26014102", "@3 6201 81 0003 d0", "m @3 6201 41 05", "m @2 0201 0002 d002"},
		[]string{"@1 sync gap: 2601af01 26014102", "@2: 0201d002", "@3: 0201d005"}, Stats{}},
	{"a fragment is lost",
		[]string{"@1 2601 0000 af01", "@3 6201 81 0002 d0", "+1 @3 6201 41 05", "m @2 0201 0001 d002", "m @4 2601 0003 af04", "m @5 0201 0004 d005", "m @6 0201 0005 d006"},
		[]string{"@1 sync gap: 2601af01", "@2: 0201d002", "@4 sync gap: 2601af04", "@5: 0201d005", "@6: 0201d006"}, Stats{Lost: 1, DroppedUnits: 1}},
	{"headers only",
		[]string{"62", "6201", "620193", "62019300", "6001", "600100", "6001000000", "26010000"},
		nil, Stats{Malformed: 5}},
}

func newH265Numbered(s Sink) Depacketizer {
	return NewH265(s, sets(vps265, sps265, pps265), true, 0)
}

func newH265Reordered(s Sink) Depacketizer {
	return NewH265(s, sets(vps265, sps265, pps265), true, 2)
}

func TestH265WithOrderNumbers(t *testing.T) {
	runCases(t, h265NumberedCases, newH265Numbered, false)
	runCases(t, h265ReorderedCases, newH265Reordered, false)
}

func FuzzH265(f *testing.F) {
	fuzz(f, h265Cases, newH265)
}

func FuzzH265WithOrderNumbers(f *testing.F) { fuzz(f, h265NumberedCases, newH265Numbered) }

func FuzzH265Reordered(f *testing.F) { fuzz(f, h265ReorderedCases, newH265Reordered) }
