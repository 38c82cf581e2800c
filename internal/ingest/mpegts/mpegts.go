// Package mpegts takes an MPEG transport stream apart (ISO/IEC 13818-1): packets,
// the tables that say what is in it, and the PES packets of its streams. It is
// made for what programs write to a pipe: a program is expected to be killed
// in the middle of a packet, to write a word to the wrong place, to begin again.
//
// Nothing is allocated for a packet. A PES packet is collected in a buffer of its
// stream, which grows to the largest one so far and to maxPES at most.
package mpegts

import (
	"bytes"
	"encoding/binary"
)

const (
	packetSize = 188 // §2.4.3.2
	syncByte   = 0x47
	// So many packets in a row must begin with the sync byte before they are
	// believed, after bytes that were none.
	packetsToBelieve = 3

	nullPID = 0x1fff
	maxPES  = 4<<20 - 1<<16 + 1<<10 // media.MaxSampleBytes and the headers
	// A stream's first buffer: a packet of sound, or a picture of low quality.
	firstPES = 16 << 10

	// ClockRate is that of all time stamps, §2.4.3.7.
	ClockRate = 90000
)

// Encoding is what a stream consists of; the names are those of RTP's registry.
type Encoding string

// The encodings that can be stored. A stream of another one has its Name only.
const (
	H264 Encoding = "H264"
	H265 Encoding = "H265"
	ADTS Encoding = "AAC"       // AAC behind ADTS headers (ISO/IEC 13818-7)
	LOAS Encoding = "MP4A-LATM" // AAC in LATM in LOAS (ISO/IEC 14496-3 §1.7.2)
	Opus Encoding = "OPUS"
)

// Stream is an elementary stream of the program.
type Stream struct {
	PID      uint16
	Encoding Encoding // empty: cannot be stored
	Name     string   // for people
}

// PES is a complete PES packet (§2.4.3.6) without its header.
type PES struct {
	Stream int    // index in the program's streams
	Data   []byte // valid during the call only
	// PTS is when it is presented, in ticks of ClockRate; its 33 bits are cut to
	// 32, so that it wraps as RTP's time stamps do. A packet without one has that
	// of the packet before.
	//
	// The decode time (DTS) is left alone: the builder of records finds it out of
	// the order of pictures, as it has to for RTP.
	PTS uint32
	Gap bool // packets are missing before it
}

// Handler takes what is found.
type Handler interface {
	// Program gets the streams of the program: once, and again when they change. It
	// may keep streams.
	Program(streams []Stream)
	// PES gets the next PES packet.
	PES(p PES)
	// Full tells that enough was given for the moment: Write then stops.
	Full() bool
}

// Demuxer takes a transport stream apart. Its zero value is ready.
type Demuxer struct {
	synced  bool
	pat     section
	pmt     section
	pmtPID  uint16 // 0: not known yet
	program []Stream
	known   bool
	version []byte // the program map in use, as it came
	streams []assembly
	stats   Stats
}

// Stats counts since the beginning.
type Stats struct {
	Packets   uint64
	Lost      uint64 // by the continuity counter, which has four bits
	Junk      uint64 // bytes that were no packet
	Malformed uint64 // tables and PES packets that make no sense
	InARow    uint64 // bytes of junk since the last packet
}

// Stats counts since the beginning.
func (d *Demuxer) Stats() Stats { return d.stats }

// Write takes the next bytes and returns how many it has used: all but those
// of a packet that is not complete. The caller gives the others again, with more
// behind them. It stops early when h is full.
func (d *Demuxer) Write(b []byte, h Handler) (n int) {
	for !h.Full() {
		skip, ok := d.sync(b[n:])
		n += skip
		d.stats.Junk += uint64(skip)
		d.stats.InARow += uint64(skip)
		if !ok {
			return n
		}
		d.stats.InARow = 0
		d.stats.Packets++
		d.packet(b[n:n+packetSize], h)
		n += packetSize
	}
	return n
}

// sync finds the next packet: skip bytes of b are none. ok is false when there
// is not enough of it.
func (d *Demuxer) sync(b []byte) (skip int, ok bool) {
	if d.synced && len(b) > 0 && b[0] == syncByte {
		return 0, len(b) >= packetSize
	}
	if len(b) == 0 {
		return 0, false
	}
	d.synced = false
	for {
		at := bytes.IndexByte(b[skip:], syncByte)
		if at < 0 {
			return len(b), false
		}
		skip += at
		believed := true
		for k := 1; k < packetsToBelieve && believed; k++ {
			if skip+k*packetSize >= len(b) {
				return skip, false
			}
			believed = b[skip+k*packetSize] == syncByte
		}
		if believed {
			d.synced = true
			return skip, true
		}
		skip++
	}
}

// packet takes one packet, §2.4.3.2.
func (d *Demuxer) packet(p []byte, h Handler) {
	if p[1]&0x80 != 0 || p[3]&0xc0 != 0 { // damaged on its way, or scrambled
		return
	}
	pid := binary.BigEndian.Uint16(p[1:]) & 0x1fff
	if pid == nullPID {
		return
	}
	starts, counter := p[1]&0x40 != 0, p[3]&0xf
	payload := p[4:]
	jump := false
	if p[3]&0x20 != 0 { // adaptation field, §2.4.3.4
		length := int(payload[0])
		if length >= len(payload) {
			return
		}
		jump = length > 0 && payload[1]&0x80 != 0 // discontinuity_indicator
		payload = payload[1+length:]
	}
	if p[3]&0x10 == 0 || len(payload) == 0 { // no payload: the counter stands still
		return
	}
	switch {
	case pid == 0:
		if s := d.pat.packet(payload, starts, counter); s != nil {
			d.readPAT(s)
		}
	case pid == d.pmtPID:
		if s := d.pmt.packet(payload, starts, counter); s != nil {
			d.readPMT(s, h)
		}
	default:
		for i := range d.streams {
			if a := &d.streams[i]; a.pid == pid && d.program[i].Encoding != "" {
				a.packet(d, i, payload, starts, counter, jump, h)
				return
			}
		}
	}
}

// Flush gives what is there of the packets in work, at the end of the stream. A
// packet that says its length and has not reached it is given up.
func (d *Demuxer) Flush(h Handler) {
	for i := range d.streams {
		if a := &d.streams[i]; a.open && a.want == 0 {
			a.give(d, i, h)
		}
	}
}
