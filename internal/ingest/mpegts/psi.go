package mpegts

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	maxSection = 1024 // PAT and PMT, §2.4.4.1: 1021 bytes behind the length
	maxStreams = 32   // of a program

	tablePAT = 0x00
	tablePMT = 0x02
)

// section collects a table's section, which may lie in several packets (§2.4.4).
type section struct {
	buf     [maxSection]byte
	n       int
	open    bool
	counter uint8
}

// packet takes a packet's payload and returns the section that is complete, or nil.
func (s *section) packet(p []byte, starts bool, counter uint8) []byte {
	if s.open && counter == s.counter {
		return nil // sent twice
	}
	if s.open && !starts && counter != (s.counter+1)&0xf {
		s.open = false
	}
	s.counter = counter
	if starts {
		// pointer_field: the rest of the section before, which is not needed where
		// a table is one section that is sent over and over.
		skip := 1 + int(p[0])
		if skip >= len(p) {
			s.open = false
			return nil
		}
		s.open, s.n = true, 0
		p = p[skip:]
	}
	if !s.open {
		return nil
	}
	s.n += copy(s.buf[s.n:], p)
	if s.n < 3 {
		return nil
	}
	length := 3 + int(binary.BigEndian.Uint16(s.buf[1:])&0xfff)
	if length > maxSection {
		s.open = false
		return nil
	}
	if s.n < length {
		return nil
	}
	s.open = false
	return s.buf[:length]
}

// table checks a section and returns what is behind its header (§2.4.4.3): a
// table that is in force, whole.
func table(s []byte, id byte) (body []byte, ok bool) {
	if len(s) < 12 || s[0] != id || s[1]&0x80 == 0 || s[5]&1 == 0 || crc(s) != 0 {
		return nil, false
	}
	return s[8 : len(s)-4], true
}

// readPAT finds the first program (§2.4.4.3).
func (d *Demuxer) readPAT(s []byte) {
	b, ok := table(s, tablePAT)
	if !ok {
		d.stats.Malformed++
		return
	}
	for ; len(b) >= 4; b = b[4:] {
		if binary.BigEndian.Uint16(b) == 0 { // the network's table
			continue
		}
		if pid := binary.BigEndian.Uint16(b[2:]) & 0x1fff; pid != d.pmtPID && pid != 0 && pid != nullPID {
			d.pmtPID = pid
			d.pmt.open = false
		}
		return
	}
}

// readPMT takes the streams of the program (§2.4.4.8).
func (d *Demuxer) readPMT(s []byte, h Handler) {
	b, ok := table(s, tablePMT)
	if !ok || len(b) < 4 {
		d.stats.Malformed++
		return
	}
	info := 4 + int(binary.BigEndian.Uint16(b[2:])&0xfff)
	if info > len(b) {
		d.stats.Malformed++
		return
	}
	if b = b[info:]; d.known && bytes.Equal(b, d.version) {
		return
	}
	var program []Stream
	for rest := b; len(rest) >= 5 && len(program) < maxStreams; {
		end := 5 + int(binary.BigEndian.Uint16(rest[3:])&0xfff)
		if end > len(rest) {
			d.stats.Malformed++
			return
		}
		st := Stream{PID: binary.BigEndian.Uint16(rest[1:]) & 0x1fff}
		st.Encoding, st.Name = encoding(rest[0], rest[5:end])
		program = append(program, st)
		rest = rest[end:]
	}
	d.version = append(d.version[:0], b...)
	// A stream that goes on keeps what is in work.
	streams := make([]assembly, len(program))
	for i, st := range program {
		streams[i] = assembly{pid: st.PID, gap: true}
		for j, old := range d.program {
			if old == st {
				streams[i] = d.streams[j]
			}
		}
	}
	d.program, d.streams, d.known = program, streams, true
	h.Program(program)
}

// encoding names a stream by its stream_type (§2.4.4.9, table 2-34) and, of private
// data, by its registration descriptor (§2.6.8).
func encoding(streamType byte, descriptors []byte) (Encoding, string) {
	switch streamType {
	case 0x1b:
		return H264, "H.264"
	case 0x24:
		return H265, "H.265"
	case 0x0f:
		return ADTS, "AAC"
	case 0x11:
		return LOAS, "AAC in LATM"
	case 0x01, 0x02:
		return "", "MPEG video"
	case 0x03, 0x04:
		return "", "MPEG audio"
	case 0x06:
		switch format := registration(descriptors); format {
		case "Opus":
			return Opus, "Opus"
		case "HEVC":
			return H265, "H.265"
		case "":
		default:
			return "", fmt.Sprintf("private data %q", format)
		}
	}
	return "", fmt.Sprintf("stream type %#02x", streamType)
}

func registration(b []byte) string {
	for len(b) >= 2 {
		tag, n := b[0], int(b[1])
		if b = b[2:]; n > len(b) {
			break
		}
		if tag == 0x05 && n >= 4 {
			return string(b[:4])
		}
		b = b[n:]
	}
	return ""
}

// crc is that of annex A; over a section with its CRC it is 0.
func crc(b []byte) uint32 {
	c := uint32(0xffffffff)
	for _, x := range b {
		c = c<<8 ^ crcTable[byte(c>>24)^x]
	}
	return c
}

var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&0x80000000 != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()
