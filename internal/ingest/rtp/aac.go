package rtp

import (
	"encoding/binary"

	"nvr/internal/codec/aac"
	"nvr/internal/codec/bits"
	"nvr/internal/media"
)

// AAC is the depacketizer of RFC 3640, mode AAC-hbr: several access units in a
// packet, or one in several packets.
type AAC struct {
	sink   Sink
	params *media.Track
	sizes  AACSizes
	frame  media.Ticks // length of an access unit
	stats  Stats

	adts    [4]byte // the ADTS header params were made of
	missing int     // bytes of the fragmented unit in work
	open    bool
	time    uint32
	gap     bool
}

// AACSizes are the widths in bits of the fields of an AU header (RFC 3640
// §4.1), from the SDP's sizelength, indexlength and indexdeltalength.
type AACSizes struct{ Size, Index, IndexDelta int }

// HighBitRate are the widths of AAC-hbr, RFC 3640 §3.3.6.
var HighBitRate = AACSizes{13, 3, 3}

// NewAAC writes to sink units that need params.
func NewAAC(sink Sink, params *media.Track, sizes AACSizes) *AAC {
	if sizes.Size < 1 || sizes.Size > 16 || sizes.Index < 0 || sizes.Index > 16 || sizes.IndexDelta < 0 || sizes.IndexDelta > 16 {
		sizes = HighBitRate
	}
	return &AAC{sink: sink, params: params, sizes: sizes, frame: aac.FrameTicks(params)}
}

// Packet takes the next packet: AU-headers-length, AU headers, access units
// (RFC 3640 §3.2).
func (d *AAC) Packet(k Packet) {
	d.gap = d.gap || k.Gap
	if d.open && (k.Gap || k.Time != d.time) {
		d.drop()
	}
	b := k.Payload
	if len(b) < 2 {
		d.stats.Malformed++
		return
	}
	left := int(binary.BigEndian.Uint16(b))
	headers := (left + 7) / 8
	if left == 0 || len(b) < 2+headers {
		d.stats.Malformed++
		return
	}
	r := bits.Reader{Data: b[2 : 2+headers]}
	b = b[2+headers:]
	if d.open { // another fragment, with the header repeated
		d.more(b)
		return
	}
	index := d.sizes.Index
	for at := k.Time; left >= d.sizes.Size+index; at += uint32(d.frame) {
		n := int(r.U(d.sizes.Size))
		r.Skip(index)
		left -= d.sizes.Size + index
		index = d.sizes.IndexDelta
		switch {
		case n == 0:
		case n <= len(b):
			d.unit(&k, at, b[:n])
			b = b[n:]
		case len(b) > 0 && n <= maxAudioBytes:
			d.begin(&k, at, n)
			d.more(b)
			return
		default:
			d.stats.Malformed++
			return
		}
	}
}

// unit takes a whole access unit. Some cameras leave the ADTS header on it: it
// is stripped, and where it says another thing than the SDP it is right.
func (d *AAC) unit(k *Packet, at uint32, b []byte) {
	if raw, ok := aac.ADTS(b); ok {
		if d.adts != [4]byte{b[0], b[1], b[2], b[3] & 0xc0} {
			d.adts = [4]byte{b[0], b[1], b[2], b[3] & 0xc0}
			if t, err := aac.ADTSTrack(b, d.params.ClockRate); err == nil && !t.Equal(d.params) {
				d.params, d.frame = t, aac.FrameTicks(t)
			}
		}
		b = raw
	}
	d.head(k, at)
	d.sink.Append(b)
	d.sink.Commit()
}

func (d *AAC) head(k *Packet, at uint32) {
	d.sink.Head(Head{Params: d.params, Time: at, Duration: d.frame, Arrival: k.Arrival, Sync: true, Gap: d.gap})
	d.gap = false
}

func (d *AAC) begin(k *Packet, at uint32, size int) {
	d.head(k, at)
	d.open, d.missing, d.time = true, size, k.Time
}

func (d *AAC) more(b []byte) {
	n := min(len(b), d.missing)
	d.sink.Append(b[:n])
	if d.missing -= n; d.missing == 0 {
		d.open = false
		d.sink.Commit()
	}
}

func (d *AAC) drop() {
	d.stats.DroppedUnits++
	d.open, d.gap = false, true
	d.sink.Abort()
}

// Flush has nothing to do: a unit is committed with its last byte.
func (d *AAC) Flush() {}

// Close drops a unit that is not complete.
func (d *AAC) Close() {
	if d.open {
		d.drop()
	}
}

// Stats counts since the beginning.
func (d *AAC) Stats() Stats { return d.stats }
