package rtp

import (
	"bytes"
	"time"

	"nvr/internal/codec/aac"
	"nvr/internal/codec/nal"
	"nvr/internal/codec/opus"
	"nvr/internal/media"
)

// What MPEG-2 transport streams carry is not packed for RTP. A Packet here is the
// data of a PES packet (ISO/IEC 13818-1 §2.4.3.6): whole pictures, or frames of
// sound one behind the other; its Time is the PTS, and all of it is at 90 kHz.
const pesClock = 90000

// Unit takes a packet that came by another way than RTP: in order, and
// with what is lost counted by whoever brings it.
func (r *Receiver) Unit(p Packet) {
	r.stats.Packets++
	r.out.Packet(p)
}

// Missing counts packets that are lost on such a way.
func (r *Receiver) Missing(n uint64) { r.stats.Lost += n }

// ByteStream is H.264 or H.265 as a byte stream (Annex B of both): its
// depacketizer takes start codes, as there are cameras that send them in RTP.
type ByteStream struct {
	Depacketizer
	malformed uint64
}

// NewByteStream passes on to the depacketizer of RTP.
func NewByteStream(d Depacketizer) *ByteStream { return &ByteStream{Depacketizer: d} }

// Packet takes the next PES packet's data.
func (d *ByteStream) Packet(k Packet) {
	at, _ := nal.StartCode(k.Payload)
	if at < 0 {
		d.malformed++
		return
	}
	k.Payload = bytes.TrimRight(k.Payload[at:], "\x00") // trailing_zero_8bits
	k.Marker = true
	d.Depacketizer.Packet(k)
}

// Stats counts since the beginning.
func (d *ByteStream) Stats() Stats {
	s := d.Depacketizer.Stats()
	s.Malformed += d.malformed
	return s
}

// frames cuts frames of sound out of PES packets. A frame may go over from one
// to the next; the first that begins in a packet has the packet's time.
type frames struct {
	rest  []byte
	next  uint32 // time of the frame that rest begins with
	gap   bool
	stats Stats

	// cut says how long the frame at the beginning of b is with its header: 0: not
	// enough of it to say, below 0: b begins with none.
	cut func(b []byte) int
	// take takes a frame and returns its length in ticks.
	take func(b []byte, at uint32, arrival time.Time, gap bool) media.Ticks
}

// Packet takes the next PES packet's data.
func (f *frames) Packet(k Packet) {
	if k.Gap {
		f.rest, f.gap = f.rest[:0], true
	}
	carried := len(f.rest)
	if carried+len(k.Payload) > 2*maxAudioBytes {
		f.stats.Malformed++
		f.rest, f.gap = f.rest[:0], true
		return
	}
	f.rest = append(f.rest, k.Payload...)
	if carried == 0 {
		f.next = k.Time
	}
	b, lost := f.rest, false
	for at := 0; len(b) > 0; {
		n := f.cut(b)
		if n == 0 || n > len(b) {
			break
		}
		if n < 0 { // look for the next one
			if !lost {
				f.stats.Malformed++
			}
			lost, f.gap = true, true
			n = 1
		} else {
			f.next += uint32(f.take(b[:n], f.next, k.Arrival, f.gap))
			lost, f.gap = false, false
		}
		if at += n; carried > 0 && at >= carried { // here the packet begins
			f.next, carried = k.Time, 0
		}
		b = b[n:]
	}
	f.rest = f.rest[:copy(f.rest, b)]
}

// Flush has nothing to do.
func (f *frames) Flush() {}

// Close drops a frame that is not complete.
func (f *frames) Close() { f.rest = nil }

// ADTS is AAC behind ADTS headers (ISO/IEC 13818-7 §6.2).
type ADTS struct {
	frames
	sink   Sink
	header [4]byte // params were made of
	params *media.Track
	length media.Ticks
}

// NewADTS writes to sink.
func NewADTS(sink Sink) *ADTS {
	d := &ADTS{sink: sink}
	d.gap, d.cut, d.take = true, cutADTS, d.frame
	return d
}

func cutADTS(b []byte) int {
	switch {
	case b[0] != 0xff:
		return -1
	case len(b) < 7:
		return 0
	case b[1]&0xf6 != 0xf0:
		return -1
	}
	if n := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5; n > 9 {
		return n
	}
	return -1
}

func (d *ADTS) frame(b []byte, at uint32, arrival time.Time, gap bool) media.Ticks {
	raw, ok := aac.ADTS(b)
	if !ok {
		d.stats.Malformed++
		return 0
	}
	if h := [4]byte{b[0], b[1], b[2], b[3] & 0xc0}; d.params == nil || h != d.header {
		t, err := aac.ADTSTrack(b, pesClock)
		if err != nil {
			d.stats.Refused++
			return 0
		}
		d.header = h
		if !t.Equal(d.params) {
			d.params, d.length = t, aac.FrameTicks(t)
		}
	}
	d.sink.Head(Head{Params: d.params, Time: at, Duration: d.length, Arrival: arrival, Sync: true, Gap: gap})
	d.sink.Append(raw)
	d.sink.Commit()
	return d.length
}

// Stats counts since the beginning.
func (d *ADTS) Stats() Stats { return d.stats }

// LOAS is AAC in LATM behind the headers of an AudioSyncStream (ISO/IEC 14496-3
// §1.7.2).
type LOAS struct {
	frames
	latm *LATM
}

// NewLOAS writes to sink.
func NewLOAS(sink Sink) *LOAS {
	d := &LOAS{latm: NewLATM(sink, pesClock)}
	d.gap, d.take = true, d.frame
	d.cut = func(b []byte) int {
		switch {
		case b[0] != 0x56:
			return -1
		case len(b) < 3:
			return 0
		case b[1]&0xe0 != 0xe0:
			return -1
		}
		return 3 + int(b[1]&0x1f)<<8 + int(b[2])
	}
	return d
}

func (d *LOAS) frame(b []byte, at uint32, arrival time.Time, gap bool) media.Ticks {
	if len(b) == 3 {
		return 0
	}
	d.latm.Packet(Packet{Payload: b[3:], Time: at, Arrival: arrival, Marker: true, Gap: gap})
	return d.latm.frame * media.Ticks(max(1, d.latm.mux.SubFrames))
}

// Stats counts since the beginning.
func (d *LOAS) Stats() Stats {
	s := d.latm.Stats()
	s.Malformed += d.stats.Malformed
	return s
}

// OpusTS is Opus behind the control headers that Xiph's mapping to transport streams
// has (opus_control_header), as ffmpeg and GStreamer write it.
type OpusTS struct {
	frames
	opus *Opus

	begun bool
	last  uint32 // the last time, at 90 kHz,
	at    int64  // and without wrapping
}

// NewOpusTS writes to sink, at 48 kHz.
func NewOpusTS(sink Sink) *OpusTS {
	d := &OpusTS{opus: NewOpus(sink)}
	d.gap, d.take = true, d.frame
	d.cut = func(b []byte) int {
		header, size, ok := opusControl(b)
		if !ok {
			return -1
		}
		if header == 0 {
			return 0
		}
		return header + size
	}
	return d
}

// opusControl reads an opus_control_header: how long it is, 0 where b is too short
// to say, and how many bytes of Opus follow. ok is false where b begins with none.
func opusControl(b []byte) (header, size int, ok bool) {
	if b[0] != 0x7f || len(b) > 1 && b[1]&0xe0 != 0xe0 { // control_header_prefix, 0x3ff
		return 0, 0, false
	}
	at := 2
	for { // au_size: bytes of 255 go on
		if at >= len(b) {
			return 0, 0, true
		}
		size += int(b[at])
		at++
		if b[at-1] != 255 {
			break
		}
		if size > maxAudioBytes {
			return 0, 0, false
		}
	}
	if b[1]&0x10 != 0 { // start_trim
		at += 2
	}
	if b[1]&0x08 != 0 { // end_trim
		at += 2
	}
	if b[1]&0x04 != 0 { // control_extension
		if at >= len(b) {
			return 0, 0, true
		}
		at += 1 + int(b[at])
	}
	return at, size, true
}

func (d *OpusTS) frame(b []byte, at uint32, arrival time.Time, gap bool) media.Ticks {
	header, _, _ := opusControl(b)
	payload := b[header:]
	if !d.begun {
		d.begun, d.last = true, at
	}
	d.at += int64(int32(at - d.last))
	d.last = at
	d.opus.Packet(Packet{Payload: payload, Time: uint32(d.at * opus.Rate / pesClock), Arrival: arrival, Gap: gap})
	return opus.Duration(payload) * pesClock / opus.Rate
}

// Stats counts since the beginning.
func (d *OpusTS) Stats() Stats {
	s := d.opus.Stats()
	s.Malformed += d.stats.Malformed
	return s
}
