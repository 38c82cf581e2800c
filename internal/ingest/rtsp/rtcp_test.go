package rtsp

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

var epoch = time.Unix(1700000000, 0)

func TestReceiver(t *testing.T) {
	var r receiver
	at := epoch
	for _, tt := range []struct {
		name              string
		ssrc              uint32
		seqs              []uint16
		expected, highest uint32
		lost              int32
		total             uint64
	}{
		{"in order", 1, []uint16{65533, 65534}, 2, 65534, 0, 0},
		{"over the wrap", 1, []uint16{65535, 0, 1}, 5, 1<<16 + 1, 0, 0},
		{"two lost", 1, []uint16{4}, 8, 1<<16 + 4, 2, 2},
		{"one came late", 1, []uint16{2}, 8, 1<<16 + 4, 1, 1},
		{"one came twice", 1, []uint16{4}, 8, 1<<16 + 4, 0, 0},
		{"three lost, and a jump that is none", 1, []uint16{40000, 8}, 12, 1<<16 + 8, 2, 2},
		{"the camera began again", 1, []uint16{30000, 30001, 30002}, 2, 30002, 0, 1},
		{"another source", 2, []uint16{7, 9}, 3, 9, 1, 2},
	} {
		for _, seq := range tt.seqs {
			r.packet(tt.ssrc, seq, 0, 90000, at)
		}
		if r.expected() != tt.expected || r.cycles+uint32(r.highest) != tt.highest || r.lost() != tt.lost || r.totalLost() != tt.total {
			t.Errorf("%s: expected %d, highest %d, lost %d, in all %d", tt.name, r.expected(), r.cycles+uint32(r.highest), r.lost(), r.totalLost())
		}
	}
}

func TestReceiverReport(t *testing.T) {
	var r receiver
	for i := range 100 {
		if i%4 == 1 {
			continue
		}
		// Every other packet is 10 ms late: jitter tends to 10 ms.
		r.packet(0x11223344, uint16(i), uint32(i)*3600, 90000, epoch.Add(time.Duration(i)*40*time.Millisecond+time.Duration(i/2%2)*10*time.Millisecond))
	}
	r.senderReport(0x1111_2222_3333_4444, epoch)
	b := r.appendReport(nil, 0xaabbccdd, "abcdefgh", epoch.Add(1500*time.Millisecond))
	if len(b) != 32+20 || binary.BigEndian.Uint16(b[2:]) != 7 || binary.BigEndian.Uint16(b[34:]) != 4 {
		t.Fatalf("% x", b)
	}
	want := []uint32{0x81c90007, 0xaabbccdd, 0x11223344, 64<<24 | 25, 99}
	for i, w := range want {
		if got := binary.BigEndian.Uint32(b[4*i:]); got != w {
			t.Errorf("word %d is %#x, want %#x", i, got, w)
		}
	}
	if jitter := binary.BigEndian.Uint32(b[20:]); jitter < 400 || jitter > 900 {
		t.Errorf("jitter %d", jitter)
	}
	if lsr, dlsr := binary.BigEndian.Uint32(b[24:]), binary.BigEndian.Uint32(b[28:]); lsr != 0x2222_3333 || dlsr != 3<<15 {
		t.Errorf("LSR %#x, DLSR %#x", lsr, dlsr)
	}
	if !bytes.Equal(b[32:], []byte("\x81\xca\x00\x04\xaa\xbb\xcc\xdd\x01\x08abcdefgh\x00\x00")) {
		t.Errorf("SDES % x", b[32:])
	}
	// Nothing was lost since.
	r.packet(0x11223344, 100, 0, 90000, epoch)
	if b := r.appendReport(nil, 1, "", epoch); b[12] != 0 || b[15] != 25 {
		t.Errorf("second report % x", b)
	}
}

func TestNTPTime(t *testing.T) {
	for ntp, want := range map[uint64]string{
		2208988800 << 32:       "1970-01-01T00:00:00Z",
		3908988800<<32 | 1<<31: "2023-11-14T22:13:20.5Z",
		1 << 32:                "2036-02-07T06:28:17Z", // the second era
	} {
		if got := ntpTime(ntp).Format(time.RFC3339Nano); got != want {
			t.Errorf("%#x: %s", ntp, got)
		}
	}
}

func TestSource(t *testing.T) {
	const a, b, c = 1, 2, 3
	type step struct {
		ssrc uint32
		n    int           // packets
		wait time.Duration // before
		ok   bool          // accepted, all of them
	}
	for _, tt := range []struct {
		name  string
		s     source
		steps []step
	}{
		{"one", source{}, []step{{a, 100, 0, true}}},
		{"a new one with every GOP", source{}, []step{{a, 30, 0, true}, {b, 30, 0, true}, {c, 30, 0, true}, {4, 5, 0, true}}},
		{"two by turns, a GOP each", source{}, []step{{a, 100, 0, true}, {b, 100, 0, true}, {a, 100, 0, true}, {b, 100, 0, true}}},
		{"mixed: the first is kept", source{}, []step{{a, 30, 0, true}, {b, 3, 0, true}, {a, 5, 0, true}, {b, 9, 0, false}, {a, 200, 0, true}, {b, 100, 0, false}}},
		{"mixed: the announced one is kept", source{announced: b, hasAnnounced: true}, []step{{a, 30, 0, true}, {b, 3, 0, true}, {a, 5, 0, false}, {b, 9, 0, true}, {a, 1, 0, false}}},
		{"the announcement alone decides nothing", source{announced: b, hasAnnounced: true}, []step{{a, 300, 0, true}}},
		{"mixed, and the kept one ends", source{}, []step{{a, 3, 0, true}, {b, 3, 0, true}, {a, 5, 0, true}, {b, 1, time.Second, false}, {b, 5, sourceSilence, true}}},
	} {
		at := epoch
		for i, s := range tt.steps {
			at = at.Add(s.wait)
			for range s.n {
				if got := tt.s.accept(s.ssrc, at); got != s.ok {
					t.Errorf("%s: step %d: accepted %v", tt.name, i, got)
					break
				}
			}
		}
	}
}
