package rtp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"nvr/internal/codec/aac"
	"nvr/internal/codec/bits"
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

// The headers of three units of 0, 24 and 1 bytes: bytes that look like an
// emulation prevention of H.264 are none here.
func TestAACHeaders(t *testing.T) {
	runCases(t, []videoCase{{"00 00 03",
		[]string{"m @1000 0030 0000 0300 0008 " + strings.Repeat("ab", 96) + "cd"},
		[]string{"@2024 sync gap: " + strings.Repeat("ab", 96), "@3048 sync: cd"}, Stats{}}}, newAAC, true)
}

func TestAACTrustsADTS(t *testing.T) {
	p := &page{raw: true}
	// 48 kHz stereo inside, while the SDP says 16 kHz mono.
	play(t, newAAC(p), []string{"m @0 0010 0048 fff14c80013ffcaabb", "m @1024 0010 0048 fff14c80013ffcccdd"})
	if len(p.params) != 2 || p.params[0].SampleRate != 48000 || p.params[0].Channels != 2 || p.params[1] != p.params[0] {
		t.Errorf("%v", p.params)
	}
}

func FuzzAAC(f *testing.F) { fuzz(f, aacCases, newAAC) }

func newPCM(s Sink) Depacketizer {
	return NewPCM(s, &media.Track{Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 2, SampleRate: 8000}, 1)
}

var pcmCases = []videoCase{
	{"stereo", []string{"m @0 aabbccdd", "@2 eeff"}, []string{"@0 sync gap: aabbccdd", "@2 sync: eeff"}, Stats{}},
	{"half a sample", []string{"m @0 aabbcc", "@2 ee", "@2 eeff"}, []string{"@0 sync gap: aabb", "@2 sync: eeff"}, Stats{Malformed: 1}},
}

func TestPCM(t *testing.T) {
	runCases(t, pcmCases, newPCM, true)
	p := &page{raw: true}
	d := newPCM(p)
	d.Packet(Packet{Payload: make([]byte, maxAudioBytes)})
	if p.h.Duration != maxAudioBytes/2 || len(p.lines) != 1 {
		t.Errorf("duration %d", p.h.Duration)
	}
	if d.Packet(Packet{Payload: make([]byte, maxAudioBytes+2)}); len(p.lines) != 1 {
		t.Error("too long a unit was taken")
	}
}

func newL16(s Sink) Depacketizer {
	return NewPCM(s, &media.Track{Kind: media.Audio, Codec: media.L16, ClockRate: 48000, Channels: 2, SampleRate: 48000}, 2)
}

func TestL16(t *testing.T) {
	runCases(t, []videoCase{
		{"stereo", []string{"m @0 0001000200030004", "@2 00050006 0007"}, []string{"@0 sync gap: 0001000200030004", "@2 sync: 00050006"}, Stats{}},
		{"half a sample", []string{"m @0 000100"}, nil, Stats{Malformed: 1}},
	}, newL16, true)
	p := &page{raw: true}
	newL16(p).Packet(Packet{Payload: make([]byte, 960)})
	if p.lines == nil || p.durations[0] != 240 {
		t.Errorf("%v", p.durations)
	}
}

func FuzzPCM(f *testing.F) { fuzz(f, pcmCases, newPCM) }

func newOpus(s Sink) Depacketizer { return NewOpus(s) }

var opusCases = []videoCase{
	{"packets of 20 and 60 ms", []string{"m @0 f8fffe", "@960 1800"}, []string{"@0 sync gap: f8fffe", "@960 sync: 1800"}, Stats{}},
	{"one is lost", []string{"m @0 f8fffe", "+1 @1920 f8fffe"}, []string{"@0 sync gap: f8fffe", "@1920 sync gap: f8fffe"}, Stats{Lost: 1}},
	{"no packets of Opus", []string{"m @0 fb", "fb00", "fb3f00"}, nil, Stats{Malformed: 3}},
}

func TestOpus(t *testing.T) {
	runCases(t, opusCases, newOpus, true)
	p := &page{raw: true}
	play(t, NewOpus(p), opusCases[0].in)
	if p.durations[0] != 960 || p.durations[1] != 2880 {
		t.Errorf("%v", p.durations)
	}
}

func FuzzOpus(f *testing.F) { fuzz(f, opusCases, newOpus) }

// latmMux is 16 kHz mono, one access unit in an element.
const latmMux = "400028103fc0"

func newLATMWith(config string) func(Sink) Depacketizer {
	return func(s Sink) Depacketizer {
		b, err := hex.DecodeString(config)
		if err != nil {
			panic(err)
		}
		mux, err := aac.ReadMux(&bits.Reader{Data: b})
		if err != nil {
			panic(err)
		}
		t, err := aac.Track(mux.Config(), 16000)
		if err != nil {
			panic(err)
		}
		return NewLATMWith(s, t, mux)
	}
}

func newLATM(s Sink) Depacketizer { return NewLATM(s, 16000) }

var latmCases = []videoCase{
	{"an element in one packet, and in three",
		[]string{"m @0 03 aabbcc", "@1024 05 aa", "@1024 bbcc", "m @1024 ddee", "m @2048 01 ff"},
		[]string{"@0 sync gap: aabbcc", "@1024 sync: aabbccddee", "@2048 sync: ff"}, Stats{}},
	{"a unit of 255 bytes",
		[]string{"m @0 ff00" + strings.Repeat("a5", 255)},
		[]string{"@0 sync gap: " + strings.Repeat("a5", 255)}, Stats{}},
	{"no marker",
		[]string{"@0 02 aa", "@0 bb", "@1024 01 cc", "@2048 01 dd"},
		[]string{"@0 sync gap: aabb", "@1024 sync: cc", "@2048 sync: dd"}, Stats{}},
	{"a fragment is lost",
		[]string{"m @0 01 aa", "@1024 03 aa", "+1 m @1024 cc", "m @2048 01 dd"},
		[]string{"@0 sync gap: aa", "@2048 sync gap: dd"}, Stats{Lost: 1, DroppedUnits: 1, Malformed: 1}},
	{"the end of an element is lost",
		[]string{"m @0 01 aa", "@1024 03 aa", "m @2048 01 dd"},
		[]string{"@0 sync gap: aa", "@2048 sync gap: dd"}, Stats{DroppedUnits: 1}},
	{"the last element waits for its marker in vain",
		[]string{"m @0 01 aa", "@1024 03 aa"},
		[]string{"@0 sync gap: aa"}, Stats{DroppedUnits: 1}},
	{"empty units, lengths that do not fit",
		[]string{"m @0 00", "m @1 02 aa", "m @2 ff", "m @3 01 aa"},
		[]string{"@3 sync gap: aa"}, Stats{Malformed: 3}},
}

// In band an element begins with a bit that says whether the configuration is the
// last one, and if not with that: all behind it lies between the bytes.
var latmInBandCases = []videoCase{
	{"the configuration in each element, then in none",
		// 0, 44 bits of configuration, length 2, aabb; 1, length 1, cc.
		[]string{"m @0 " + latmElement(latmMux, 44, "02aabb"), "m @1024 " + latmElement(latmMux, 44, "01cc"), "m @2048 " + latmElement("", 0, "01dd")},
		[]string{"@0 sync gap: aabb", "@1024 sync: cc", "@2048 sync: dd"}, Stats{}},
	{"two access units in an element",
		[]string{"m @0 " + latmElement("410028103fc0", 44, "02aabb01cc"), "m @2048 " + latmElement("", 0, "01dd01ee")},
		[]string{"@0 sync gap: aabb", "@1024 sync: cc", "@2048 sync: dd", "@3072 sync: ee"}, Stats{}},
	{"no configuration yet, and one that is not supported",
		[]string{"m @0 " + latmElement("", 0, "01dd"), "m @1024 " + latmElement("401028103fc0", 44, "01cc"), "m @2048 " + latmElement("", 0, "01dd"), "m @3072 " + latmElement(latmMux, 44, "01ee")},
		[]string{"@3072 sync gap: ee"}, Stats{NoParameters: 2, Refused: 1}},
	{"cut short", []string{"m @0 00", "m @0 2000"}, nil, Stats{Refused: 2}},
}

// latmElement is an AudioMuxElement with muxConfigPresent: n bits of config,
// or "the same as before".
func latmElement(config string, n int, payload string) string {
	text := "1"
	if n > 0 {
		b, _ := hex.DecodeString(config)
		text = "0" + fmt.Sprintf("%0*b", 8*len(b), new(big.Int).SetBytes(b))[:n]
	}
	b, err := hex.DecodeString(payload)
	if err != nil {
		panic(err)
	}
	text += fmt.Sprintf("%0*b", 8*len(b), new(big.Int).SetBytes(b))
	for len(text)%8 != 0 {
		text += "0"
	}
	v, _ := new(big.Int).SetString(text, 2)
	return hex.EncodeToString(v.FillBytes(make([]byte, len(text)/8)))
}

func TestLATM(t *testing.T) {
	runCases(t, latmCases, newLATMWith(latmMux), true)
	runCases(t, latmInBandCases, newLATM, true)
	p := &page{raw: true}
	play(t, newLATM(p), append(latmInBandCases[0].in, "m @3072 "+latmElement("400023103fc0", 44, "01ff"))) // 48 kHz stereo
	if len(p.params) != 4 || p.params[0].SampleRate != 16000 || p.params[1] != p.params[0] || p.params[2] != p.params[0] || p.params[3].SampleRate != 48000 {
		t.Errorf("%v", p.params)
	}
	if p.durations[0] != 1024 {
		t.Errorf("%v", p.durations)
	}
	d := NewLATM(p, 16000)
	for range 100 { // an element without end
		d.Packet(Packet{Payload: make([]byte, 1400)})
	}
	if cap(d.element) > 2*maxAudioBytes || d.stats.Malformed == 0 {
		t.Errorf("%d bytes are kept, %+v", cap(d.element), d.stats)
	}
}

func FuzzLATM(f *testing.F) { fuzz(f, latmCases, newLATMWith("410028103fc0")) }

func FuzzLATMInBand(f *testing.F) { fuzz(f, latmInBandCases, newLATM) }

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
