package rtp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// ring is a Sink that does what a record builder does, and no more.
type ring struct {
	b    []byte
	unit int
	n    int
}

func (r *ring) Append(p []byte) bool {
	r.b = append(r.b, p...)
	return true
}
func (r *ring) Patch(at int, n uint32) { r.b[r.unit+at+3] = byte(n) }
func (r *ring) Head(Head)              { r.n++ }
func (r *ring) Abort()                 { r.b = r.b[:r.unit] }
func (r *ring) Split(keep int) {
	r.Commit()
	r.unit = max(0, r.unit-keep)
}
func (r *ring) Commit() {
	if r.unit = len(r.b); r.unit > 1<<20 {
		r.b, r.unit = r.b[:0], 0
	}
}

// hot is a stream as it comes all day: units of so many packets, of which make
// makes the payloads, behind a first packet.
type hot struct {
	name    string
	make    func(Sink) Depacketizer
	first   string
	packets int
	payload func(i int) []byte
}

// Pictures of 24 packets of 1400 bytes: a camera of 4 Mbit/s.
const ofPicture = 24

func fill(n int, head ...byte) []byte {
	return append(head, bytes.Repeat([]byte{0xa5}, n-len(head))...)
}

// edge is one of three: for the first packet of a unit, the last, and those between.
func edge(i int, first, last, other byte) byte {
	switch i {
	case 0:
		return first
	case ofPicture - 1:
		return last
	}
	return other
}

var hotStreams = []hot{
	{"H264", newH264, "", ofPicture, func(i int) []byte { return fill(1388, 0x5c, edge(i, 0x81, 0x41, 0x01), 0x9a) }},
	{"H264Interleaved", newInterleavedH264, "", 1, func(int) []byte { return fill(1388, 0x79, 0, 0, 0x05, 0x67, 0x41, 0x9a) }},
	{"H265", newH265, "", ofPicture, func(i int) []byte { return fill(1388, 0x62, 0x01, edge(i, 0x81, 0x41, 0x01), 0xd0) }},
	{"AV1", newAV1, "28" + seqOBU + "301001", ofPicture, func(i int) []byte {
		if i == 0 {
			return fill(1388, 0x50, 0x30, 0x30)
		}
		return fill(1388, edge(i, 0, 0x90, 0xd0))
	}},
	{"MJPEG", newMJPEG, "", ofPicture, func(i int) []byte {
		at := i * (1388 - 8)
		h := []byte{0, byte(at >> 16), byte(at >> 8), byte(at), 1, 200, 80, 60}
		if i == 0 {
			h = append(h, 0, 0, 0, 128)
			h = append(h, bytes.Repeat([]byte{9}, 128)...)
			return append(h, bytes.Repeat([]byte{0x5a}, 1388-8)...)
		}
		return fill(1388, h...)
	}},
	{"AAC", newAAC, "", 1, func(int) []byte { return fill(4+200, 0, 16, 200>>5, 200<<3&0xff) }},
	{"LATM", newLATM, "", 1, func(int) []byte {
		b, _ := hex.DecodeString(latmElement(latmMux, 44, "c8"+strings.Repeat("a5", 200)))
		return b
	}},
	{"Opus", newOpus, "", 1, func(int) []byte { return fill(200, 0xf8) }},
	{"L16", newL16, "", 1, func(int) []byte { return fill(960) }},
}

// feed returns what sends the stream's next packet.
func (h *hot) feed(t testing.TB, r *ring) (send func(), sent *int) {
	rc := NewReceiver(h.make(r), 96)
	pkts := make([][]byte, h.packets)
	for i := range pkts {
		marker := byte(0)
		if i == h.packets-1 {
			marker = 0x80
		}
		pkts[i] = packet(96, marker, 0, 0, h.payload(i))
	}
	now, n := time.Now(), 0
	if h.first != "" {
		b, err := hex.DecodeString(h.first)
		if err != nil {
			t.Fatal(err)
		}
		rc.Packet(packet(96, 0x80, 0xffff, 0xffffffff, b), now)
	}
	return func() {
		p := pkts[n%h.packets]
		binary.BigEndian.PutUint16(p[2:], uint16(n))
		binary.BigEndian.PutUint32(p[4:], uint32(n/h.packets*3000))
		if p[12] == 0x79 { // STAP-B
			binary.BigEndian.PutUint16(p[13:], uint16(n))
		}
		rc.Packet(p, now)
		n++
	}, &n
}

func Benchmark(b *testing.B) {
	for _, h := range hotStreams {
		b.Run(h.name, func(b *testing.B) {
			r := &ring{b: make([]byte, 0, 2<<20)}
			send, sent := h.feed(b, r)
			b.SetBytes(int64(len(h.payload(0))))
			b.ReportAllocs()
			for b.Loop() {
				send()
			}
			if units := *sent / h.packets; *sent > 10*h.packets && r.n < units-4 {
				b.Fatalf("%d units of %d", r.n, units)
			}
		})
	}
}

// Nothing is allocated for a packet, whatever the codec.
func TestPacketsCostNoAllocation(t *testing.T) {
	for _, h := range hotStreams {
		r := &ring{b: make([]byte, 0, 2<<20)}
		send, sent := h.feed(t, r)
		for range 200 {
			send()
		}
		if n := testing.AllocsPerRun(1000, send); n != 0 {
			t.Errorf("%s: %v allocations for a packet", h.name, n)
		}
		if units := *sent / h.packets; r.n < units-4 {
			t.Errorf("%s: %d units of %d", h.name, r.n, units)
		}
	}
}
