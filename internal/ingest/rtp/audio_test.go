package rtp

import (
	"bytes"
	"encoding/hex"
	"testing"

	"nvr/internal/codec/aac"
	"nvr/internal/media"
)

func newAAC(s Sink) Depacketizer {
	t, err := aac.Track([]byte{0x14, 0x08}, 16000) // 16 kHz mono
	if err != nil {
		panic(err)
	}
	return NewAAC(s, t, HighBitRate)
}

// An AU header of AAC-hbr is the size in 13 bits and 3 bits of index.
var aacCases = []videoCase{
	{"one unit", []string{"m @1000 0010 0018 aabbcc"}, []string{"@1000 sync gap: aabbcc"}, Stats{}},
	{"three units",
		[]string{"m @1000 0030 0010 0010 0018 aabb ccdd eeff00", "m @4072 0010 0008 11"},
		[]string{"@1000 sync gap: aabb", "@2024 sync: ccdd", "@3048 sync: eeff00", "@4072 sync: 11"}, Stats{}},
	{"a unit in three packets",
		[]string{"@1000 0010 0028 aabb", "@1000 0010 0028 ccdd", "m @1000 0010 0028 ee", "m @2024 0010 0008 11"},
		[]string{"@1000 sync gap: aabbccddee", "@2024 sync: 11"}, Stats{}},
	{"a fragment is lost",
		[]string{"@1000 0010 0028 aabb", "+1 m @1000 0010 0028 ee", "m @2024 0010 0008 11"},
		[]string{"@2024 sync gap: 11"}, Stats{Lost: 1, DroppedUnits: 2}},
	{"ADTS inside",
		[]string{"m @1000 0010 0048 fff16040013ffcaabb"},
		[]string{"@1000 sync gap: aabb"}, Stats{}},
	{"empty units, rubbish, a unit that never ends",
		[]string{"m @1000 0020 0000 0008 aa", "0000", "00", "0010", "ffff0000", "@3000 0010 fff8 aa"},
		[]string{"@2024 sync gap: aa"}, Stats{Malformed: 4, DroppedUnits: 1}},
}

func TestAAC(t *testing.T) { runCases(t, aacCases, newAAC, true) }

func TestAACTrustsADTS(t *testing.T) {
	p := &page{raw: true}
	// 48 kHz stereo inside, while the SDP says 16 kHz mono.
	play(t, newAAC(p), []string{"m @0 0010 0048 fff14c80013ffcaabb", "m @1024 0010 0048 fff14c80013ffcccdd"})
	if len(p.params) != 2 || p.params[0].SampleRate != 48000 || p.params[0].Channels != 2 || p.params[1] != p.params[0] {
		t.Errorf("%v", p.params)
	}
}

func FuzzAAC(f *testing.F) { fuzz(f, aacCases, newAAC) }

func newG711(s Sink) Depacketizer {
	return NewG711(s, &media.Track{Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 2, SampleRate: 8000})
}

var g711Cases = []videoCase{
	{"stereo", []string{"m @0 aabbccdd", "@2 eeff"}, []string{"@0 sync gap: aabbccdd", "@2 sync: eeff"}, Stats{}},
	{"half a sample", []string{"m @0 aabbcc", "@2 ee", "@2 eeff"}, []string{"@0 sync gap: aabb", "@2 sync: eeff"}, Stats{Malformed: 1}},
}

func TestG711(t *testing.T) {
	runCases(t, g711Cases, newG711, true)
	p := &page{raw: true}
	d := newG711(p)
	d.Packet(Packet{Payload: make([]byte, maxAudioBytes)})
	if p.h.Duration != maxAudioBytes/2 || len(p.lines) != 1 {
		t.Errorf("duration %d", p.h.Duration)
	}
	if d.Packet(Packet{Payload: make([]byte, maxAudioBytes+2)}); len(p.lines) != 1 {
		t.Error("too long a unit was taken")
	}
}

func FuzzG711(f *testing.F) { fuzz(f, g711Cases, newG711) }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		ok             bool
	}{
		{"plain", "80600001000000020000000 3aabb", "aabb", true},
		{"two CSRCs", "826000010000000200000003 11111111 22222222 aabb", "aabb", true},
		{"extension 0xABAC (ONVIF replay)", "906000010000000200000003 abac0003 111111112222222233333333 aabb", "aabb", true},
		{"padding", "a06000010000000200000003 aabb 000303", "aabb", true},
		{"all padding", "a06000010000000200000003 000003", "", true},
		{"padding longer than the packet", "a06000010000000200000003 aabbff", "", false},
		{"padding that eats the header", "b06000010000000200000003 abac0001 11111111 0a", "", false},
		{"extension longer than the packet", "906000010000000200000003 abacffff 11111111", "", false},
		{"extension header cut short", "906000010000000200000003 abac", "", false},
		{"CSRCs longer than the packet", "8f6000010000000200000003 11111111", "", false},
		{"version 1", "406000010000000200000003 aabb", "", false},
		{"short", "8060000100000002000000", "", false},
	} {
		in, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(c.in), []byte(" "), nil)))
		if err != nil {
			t.Fatal(c.name, err)
		}
		h, payload, ok := parse(in)
		if ok != c.ok || ok && (hex.EncodeToString(payload) != c.want || h.sequence != 1 || h.time != 2 || h.ssrc != 3 || h.payloadType != 96) {
			t.Errorf("%s: %+v %x %v", c.name, h, payload, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\xb0\x60\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\xab\xac\x00\x01\x11\x11\x11\x11\xaa\x02"))
	f.Fuzz(func(t *testing.T, b []byte) { parse(b) })
}
