package rtp

import (
	"bytes"
	"encoding/binary"

	"nvr/internal/codec/jpeg"
	"nvr/internal/media"
)

// Types of RFC 2435 §3.1.3: 0 and 1, and the same with restart markers from 64 on.
const (
	restartTypes = 64
	dynamicTypes = 128
)

// Values of Q, RFC 2435 §4.2.
const (
	maxStaticQ = 99
	inBandQ    = 128
	changingQ  = 255 // tables in every picture
)

// ONVIF's header extension with what RFC 2435 has no room for (Streaming
// Specification, "JPEG over RTP"): the picture's own marker segments.
const jpegExtension = 0xffd8

// MJPEG is the depacketizer of RFC 2435: pictures get back the headers that
// they were sent without.
type MJPEG struct {
	sink  Sink
	stats Stats
	sizes [2]int // width and height as the SDP has them, 0: not said

	params *media.Track
	tables [256][]byte // quantisation tables in band, by Q; the first byte is their precision
	header []byte      // scratch

	time   uint32 // of the picture
	begun  bool   // in work
	marked bool   // markers are seen
	broken bool   // the picture of that time is ignored
	offset int    // bytes of it so far
	tail   [2]byte
	gap    bool
}

// NewMJPEG writes to sink. width and height are the SDP's x-dimensions or
// framesize: pictures over 2040 have no room for theirs in a packet.
func NewMJPEG(sink Sink, width, height int) *MJPEG {
	return &MJPEG{sink: sink, sizes: [2]int{width, height}, gap: true}
}

// Packet takes the next packet: a main header, a restart header, quantisation
// tables, and a piece of the scan (RFC 2435 §3.1).
func (d *MJPEG) Packet(k Packet) {
	d.gap = d.gap || k.Gap
	if d.begun && (k.Gap || k.Time != d.time) {
		d.endWithoutMarker(k.Gap)
	}
	b := k.Payload
	if len(b) < 8 {
		d.stats.Malformed++
		d.lose(d.time)
		return
	}
	h := mainHeader{
		offset: int(binary.BigEndian.Uint32(b) & 0xffffff),
		kind:   b[4], q: b[5], width: b[6], height: b[7],
	}
	b = b[8:]
	switch {
	case h.kind >= dynamicTypes, h.kind%restartTypes > 1:
		d.stats.Refused++
		d.lose(k.Time)
		return
	case h.kind < restartTypes:
	case len(b) < 4: // §3.1.7
		d.stats.Malformed++
		d.lose(k.Time)
		return
	default:
		h.restart = binary.BigEndian.Uint16(b)
		b = b[4:]
	}
	switch {
	case h.offset == 0:
		if d.begun {
			d.endWithoutMarker(false)
		}
		b = d.begin(&k, &h, b)
	case !d.begun || h.offset != d.offset: // a piece is missing though the sequence has no hole
		d.lose(k.Time)
	}
	d.scan(b)
	if k.Marker {
		d.marked = true
		d.commit()
	}
}

// endWithoutMarker ends the picture in work. Where markers are sent, what has
// none is not complete.
func (d *MJPEG) endWithoutMarker(gap bool) {
	if gap || d.marked {
		d.lose(d.time)
	} else {
		d.commit()
	}
}

// mainHeader is what RFC 2435 §3.1 says in each packet.
type mainHeader struct {
	offset        int
	kind, q       byte
	width, height byte // in 8 pixels
	restart       uint16
}

// begin begins a picture, and returns what is behind its headers.
func (d *MJPEG) begin(k *Packet, h *mainHeader, b []byte) []byte {
	d.broken, d.time = true, k.Time
	p := jpeg.Picture{Subsampling: jpeg.Subsampling(h.kind % restartTypes), RestartInterval: h.restart}
	var ok bool
	if b, ok = d.quant(h, b, &p); !ok {
		return nil
	}
	if p.Width, p.Height, ok = d.size(k, h); !ok {
		d.stats.NoParameters++
		return nil
	}
	d.header = d.header[:0]
	if !bytes.HasPrefix(b, []byte{0xff, jpeg.SOI}) { // some send their own header too
		var err error
		if d.header, err = jpeg.AppendHeader(d.header, &p); err != nil {
			d.stats.Malformed++
			return nil
		}
	}
	d.begun, d.broken, d.offset, d.tail = true, false, 0, [2]byte{}
	if !d.sink.Append(d.header) {
		d.lose(k.Time)
		return nil
	}
	if d.params == nil || d.params.Width != p.Width || d.params.Height != p.Height {
		d.params = jpeg.Track(p.Width, p.Height)
	}
	d.sink.Head(Head{Params: d.params, Time: k.Time, Arrival: k.Arrival, Sync: true, Gap: d.gap})
	d.gap = false
	return b
}

// quant finds the picture's quantisation tables: computed from Q, in the packet,
// or in an earlier one of the same Q (§3.1.8). Cameras met send three tables of
// 64 bytes, and no tables with Q 255 after the first picture.
func (d *MJPEG) quant(h *mainHeader, b []byte, p *jpeg.Picture) (rest []byte, ok bool) {
	if h.q < inBandQ {
		if h.q == 0 || h.q > maxStaticQ {
			d.stats.Refused++
			return nil, false
		}
		if d.tables[h.q] == nil {
			d.tables[h.q] = jpeg.AppendQuant(make([]byte, 1, 1+2*jpeg.QuantBytes), int(h.q))
		}
		p.Quant = d.tables[h.q][1:]
		return b, true
	}
	if len(b) < 4 {
		d.stats.Malformed++
		return nil, false
	}
	wide, n := b[1], int(binary.BigEndian.Uint16(b[2:]))
	if b = b[4:]; n > len(b) || n > jpeg.MaxQuantBytes {
		d.stats.Malformed++
		return nil, false
	}
	cached := d.tables[h.q]
	if n > 0 && (len(cached) != 1+n || cached[0] != wide || !bytes.Equal(cached[1:], b[:n])) {
		cached = append(append(cached[:0], wide), b[:n]...)
		d.tables[h.q] = cached
	}
	if len(cached) == 0 {
		d.stats.NoParameters++
		return nil, false
	}
	p.Wide, p.Quant = cached[0], cached[1:]
	return b[n:], true
}

// size finds the picture's: the header has it in 8 pixels up to 2040, and more
// is said by the SDP or by ONVIF's header extension. Cameras with larger
// pictures send 0, or what is left of the number. The SDP is also right where
// it says the same to the pixel.
func (d *MJPEG) size(k *Packet, h *mainHeader) (width, height uint16, ok bool) {
	if k.ExtensionID == jpegExtension {
		if w, h, ok := jpeg.FrameSize(k.Extension); ok && w > 0 && h > 0 {
			return w, h, true
		}
	}
	side := func(said byte, sdp int) uint16 {
		if sdp > 0 && sdp <= 0xffff && (said == 0 || byte((sdp+7)/8) == said) {
			return uint16(sdp)
		}
		return 8 * uint16(said)
	}
	width, height = side(h.width, d.sizes[0]), side(h.height, d.sizes[1])
	return width, height, width > 0 && height > 0
}

// scan takes a piece of the entropy-coded data.
func (d *MJPEG) scan(b []byte) {
	if !d.begun || len(b) == 0 {
		return
	}
	if !d.sink.Append(b) {
		d.lose(d.time)
		return
	}
	d.offset += len(b)
	if len(b) == 1 {
		d.tail[0], d.tail[1] = d.tail[1], b[0]
	} else {
		copy(d.tail[:], b[len(b)-2:])
	}
}

var endOfImage = [2]byte{0xff, jpeg.EOI}

// commit ends the picture.
func (d *MJPEG) commit() {
	switch {
	case !d.begun:
	case d.offset == 0, d.tail != endOfImage && !d.sink.Append(endOfImage[:]):
		d.lose(d.time)
	default:
		d.sink.Commit()
	}
	d.begun, d.broken = false, false
}

// lose gives up the picture of that time, once, and ignores the rest of it.
func (d *MJPEG) lose(time uint32) {
	if d.begun {
		d.sink.Abort()
	}
	if d.begun || !d.broken || d.time != time {
		d.stats.DroppedUnits++
	}
	d.begun, d.broken, d.time, d.gap = false, true, time, true
}

// Flush has nothing to do: a picture is committed with its marker.
func (d *MJPEG) Flush() {}

// Close commits the last picture of a sender without markers.
func (d *MJPEG) Close() {
	if d.begun {
		d.endWithoutMarker(false)
	}
}

// Stats counts since the beginning.
func (d *MJPEG) Stats() Stats { return d.stats }
