package mpegts

import (
	"bytes"
	"encoding/binary"
)

// mux writes transport streams for the tests, by hand.
type mux struct {
	bytes.Buffer
	counters map[uint16]uint8
}

func newMux() *mux { return &mux{counters: map[uint16]uint8{}} }

// packet writes one packet; the room that payload leaves is adaptation field.
func (m *mux) packet(pid uint16, starts bool, payload []byte) {
	p := make([]byte, 4, packetSize)
	p[0] = syncByte
	binary.BigEndian.PutUint16(p[1:], pid)
	if starts {
		p[1] |= 0x40
	}
	p[3] = 0x10 | m.counters[pid]
	m.counters[pid] = (m.counters[pid] + 1) & 0xf
	if room := packetSize - 4 - len(payload); room > 0 {
		p[3] |= 0x20
		p = append(p, byte(room-1))
		if room > 1 {
			p = append(p, 0)
			p = append(p, bytes.Repeat([]byte{0xff}, room-2)...)
		}
	}
	m.Write(append(p, payload...))
}

func (m *mux) payload(pid uint16, b []byte) {
	for starts := true; len(b) > 0; starts = false {
		n := min(len(b), packetSize-4)
		m.packet(pid, starts, b[:n])
		b = b[n:]
	}
}

func newSection(id byte, body []byte) []byte {
	s := []byte{id, 0xb0, 0, 0, 1, 0xc1, 0, 0}
	s = append(s, body...)
	binary.BigEndian.PutUint16(s[1:], 0xb000|uint16(len(s)-3+4))
	return binary.BigEndian.AppendUint32(s, crc(s))
}

// program writes PAT and PMT; streams are PID, type and descriptors.
func (m *mux) program(streams ...[]byte) {
	m.payload(0, append([]byte{0}, newSection(tablePAT, []byte{0, 0, 0xe0, 0x10, 0, 1, 0xf0, 0x00})...))
	pmt := []byte{0xe1, 0x00, 0xf0, 0x00}
	for _, s := range streams {
		pmt = append(pmt, s...)
	}
	m.payload(0x1000, append([]byte{0}, newSection(tablePMT, pmt)...))
}

func stream(pid uint16, streamType byte, descriptors ...byte) []byte {
	s := []byte{streamType, byte(pid>>8) | 0xe0, byte(pid), 0xf0, byte(len(descriptors))}
	return append(s, descriptors...)
}

// pes writes a PES packet; pts below 0 is none, and bounded says its length.
func (m *mux) pes(pid uint16, pts int64, bounded bool, data []byte) {
	m.payload(pid, pes(pts, bounded, data))
}

func pes(pts int64, bounded bool, data []byte) []byte {
	h := []byte{0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0}
	if pts >= 0 {
		h[7], h[8] = 0x80, 5
		h = append(h, 0x21|byte(pts>>29)&0x0e, byte(pts>>22), byte(pts>>14)|1, byte(pts>>7), byte(pts<<1)|1)
	}
	if bounded {
		binary.BigEndian.PutUint16(h[4:], uint16(len(h)-6+len(data)))
	}
	return append(h, data...)
}
