package rtp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// An ADTS frame of AAC-LC, 48 kHz, stereo, with n bytes of sound.
func adts(n int, fill byte) []byte {
	size := 7 + n
	b := []byte{0xff, 0xf1, 0x4c, 0x80 | byte(size>>11), byte(size >> 3), byte(size<<5) | 0x1f, 0xfc}
	return append(b, slices.Repeat([]byte{fill}, n)...)
}

// loas is an AudioMuxElement behind its AudioSyncStream header.
func loas(element string) []byte {
	b := hexed(element)
	return append([]byte{0x56, 0xe0 | byte(len(b)>>8), byte(len(b))}, b...)
}

func opusFrame(control []byte, payload ...byte) []byte {
	b := []byte{0x7f, 0xe0, byte(len(payload))}
	if control != nil {
		b = append([]byte{0x7f, control[0], byte(len(payload))}, control[1:]...)
	}
	return append(b, payload...)
}

func cat(bs ...[]byte) []byte { return slices.Concat(bs...) }

type pesPacket struct {
	time uint32
	gap  bool
	data []byte
}

var pesCases = []struct {
	name    string
	of      func(Sink) Depacketizer
	packets []pesPacket
	want    []string
	stats   Stats
}{
	{"H.264, with what stands around it",
		func(s Sink) Depacketizer { return NewByteStream(NewH264(s, nil, 0)) },
		[]pesPacket{
			{1, false, hexed("ffff 00000001 09f0 000001 " + sps264 + " 000001 " + pps264 + " 000001 658801 000001 654102 0000")},
			{2, false, hexed("00000001 09f0 00000001 419a02")},
			{3, true, hexed("00000001 419a03")},
			{4, false, hexed("00000001 06052000")}, // SEI alone
			{5, false, hexed("1234")},              // no byte stream
			{6, false, hexed("000001 658806")},
		},
		[]string{"@1 sync gap: 658801 654102", "@2: 419a02", "@3 damaged gap: 419a03", "@6 sync: 060520 658806"}, Stats{Malformed: 1}},
	{"AAC: several frames, one cut in two, one in three",
		func(s Sink) Depacketizer { return NewADTS(s) },
		[]pesPacket{
			{9000, false, cat(adts(4, 1), adts(5, 2), adts(6, 3)[:3])},
			{14760, false, cat(adts(6, 3)[3:], adts(7, 4)[:8])},
			{18600, false, adts(7, 4)[8:10]},
			{18600, false, cat(adts(7, 4)[10:], adts(8, 5))},
		},
		[]string{"@9000 sync gap: 01010101", "@10920 sync: 0202020202", "@12840 sync: 030303030303", "@14760 sync: 04040404040404", "@18600 sync: 0505050505050505"}, Stats{}},
	{"AAC: junk between frames, a loss",
		func(s Sink) Depacketizer { return NewADTS(s) },
		[]pesPacket{
			{9000, false, cat([]byte{1, 2, 0xff}, adts(4, 1), []byte{0xff, 0x00}, adts(4, 2), adts(6, 3)[:9])},
			{20000, true, adts(4, 4)},
		},
		[]string{"@9000 sync gap: 01010101", "@10920 sync gap: 02020202", "@20000 sync gap: 04040404"}, Stats{Malformed: 2}},
	{"LATM: two elements of 16 kHz in a packet, one cut in two",
		func(s Sink) Depacketizer { return NewLOAS(s) },
		[]pesPacket{
			{9000, false, cat(loas(latmElement(latmMux, 44, "02aabb")), loas(latmElement("", 0, "01cc")), loas(latmElement("", 0, "02ddee"))[:4])},
			{26280, false, cat(loas(latmElement("", 0, "02ddee"))[4:])},
		},
		[]string{"@9000 sync gap: aabb", "@14760 sync: cc", "@20520 sync: ddee"}, Stats{}},
	{"Opus: its clock is 48 kHz",
		func(s Sink) Depacketizer { return NewOpusTS(s) },
		[]pesPacket{
			{0xffffff00, false, opusFrame(nil, 0xf8, 1, 2)},
			{1544, false, cat(opusFrame([]byte{0xf8, 0, 0, 0, 0}, 0xf8, 3), opusFrame([]byte{0xe4, 2, 9, 9}, 0xf8, 4))},
			{5144, false, []byte{1, 2, 3}},
			{5144, false, opusFrame(nil, 0xf8, 5)},
		},
		[]string{"@0 sync gap: f80102", "@960 sync: f803", "@1920 sync: f804", "@2880 sync gap: f805"}, Stats{Malformed: 1}},
}

func hexed(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func TestElementaryStreams(t *testing.T) {
	for _, c := range pesCases {
		t.Run(c.name, func(t *testing.T) {
			p := &page{raw: !strings.HasPrefix(c.name, "H.264")}
			r := NewReceiver(c.of(p))
			for _, k := range c.packets {
				r.Unit(Packet{Payload: k.data, Time: k.time, Gap: k.gap, Arrival: time.Unix(0, 0)})
			}
			r.Close()
			if !slices.Equal(p.lines, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(p.lines, "\n"), strings.Join(c.want, "\n"))
			}
			s := r.Stats()
			s.Packets = 0
			if s != c.stats {
				t.Errorf("%+v, want %+v", s, c.stats)
			}
		})
	}
}

// What comes in a transport stream may be anything.
func FuzzElementaryStreams(f *testing.F) {
	for i, c := range pesCases {
		for _, p := range c.packets {
			f.Add(uint8(i), p.data, uint16(7))
		}
	}
	f.Add(uint8(4), pesCases[3].packets[0].data, uint16(3))
	f.Fuzz(func(t *testing.T, which uint8, b []byte, cut uint16) {
		p := &page{raw: true}
		var d Depacketizer
		switch which % 5 {
		case 0:
			d = NewByteStream(NewH264(p, nil, 0))
		case 1:
			d = NewByteStream(NewH265(p, nil, false, 0))
		case 2:
			d = NewADTS(p)
		case 3:
			d = NewOpusTS(p)
		default:
			d = NewLOAS(p)
		}
		r := NewReceiver(d)
		for at := uint32(0); len(b) > 0; at += 3600 {
			n := min(int(cut)+1, len(b))
			r.Unit(Packet{Payload: b[:n], Time: at})
			b = b[n:]
			if at%5 == 0 {
				r.Flush()
			}
		}
		r.Close()
	})
}

func framed(pkts ...[]byte) []byte {
	var b []byte
	for _, p := range pkts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
		b = append(b, p...)
	}
	return b
}

func readFramed(b []byte, size int) (got []string, f Framed) {
	var pending []byte
	for len(b) > 0 {
		n := min(size, len(b))
		pending = append(pending, b[:n]...)
		b = b[n:]
		for {
			pkt, used := f.Next(pending)
			if pkt != nil {
				got = append(got, fmt.Sprintf("%d:%x", len(pkt), pkt[12:]))
			}
			pending = pending[used:]
			if pkt == nil {
				break
			}
		}
	}
	return got, f
}

func TestFramed(t *testing.T) {
	a, b, c := packet(96, 0, 1, 1, []byte{1}), packet(96, 0, 2, 1, []byte{2}), packet(96, 0, 3, 1, []byte{3})
	for _, test := range []struct {
		name string
		in   []byte
		want []string
		junk uint64
	}{
		{"three", framed(a, b, c), []string{"13:01", "13:02", "13:03"}, 0},
		{"a word before them", cat([]byte("Pipeline is PREROLLING\n"), framed(a, b, c)), []string{"13:01", "13:02", "13:03"}, 23},
		{"none", []byte{0, 1, 2, 3, 4, 5}, nil, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range []int{1000, 3, 1} {
				got, f := readFramed(test.in, size)
				if !slices.Equal(got, test.want) || f.Junk != test.junk {
					t.Errorf("pieces of %d: %v and %d bytes of junk, want %v and %d", size, got, f.Junk, test.want, test.junk)
				}
			}
		})
	}
}

// A packet cut short takes the beginning of the next one with it, and no more.
func TestFramedCut(t *testing.T) {
	a, b, c := packet(96, 0, 1, 1, []byte{1}), packet(96, 0, 2, 1, []byte{2}), packet(96, 0, 3, 1, []byte{3})
	got, f := readFramed(cat(framed(a)[:9], framed(b, c, a, b, c)), 1)
	if len(got) != 5 || !slices.Equal(got[1:], []string{"13:03", "13:01", "13:02", "13:03"}) || f.InARow > 0 {
		t.Errorf("%v, %+v", got, f)
	}
}

func FuzzFramed(f *testing.F) {
	f.Add(framed(packet(96, 0, 1, 1, []byte{1}), packet(96, 0, 2, 1, nil)), 3)
	f.Add([]byte("junk and more junk"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		if size < 1 {
			size = 1
		}
		whole, one := readFramed(b, 1<<30)
		parts, two := readFramed(b, size)
		if !slices.Equal(whole, parts) || one != two {
			t.Fatalf("pieces of %d make a difference: %v %+v, %v %+v", size, whole, one, parts, two)
		}
	})
}
