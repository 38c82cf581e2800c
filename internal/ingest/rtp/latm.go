package rtp

import (
	"nvr/internal/codec/aac"
	"nvr/internal/codec/bits"
	"nvr/internal/media"
)

// LATM is the depacketizer of MP4A-LATM, RFC 6416 §5: an AudioMuxElement in a
// packet, or in several. Its access units are recorded as AAC.
type LATM struct {
	sink   Sink
	clock  uint32
	inBand bool // cpresent: the StreamMuxConfig is in the stream
	known  bool // mux holds
	mux    aac.Mux
	news   aac.Mux // scratch: one that may be news
	params *media.Track
	frame  media.Ticks // length of an access unit
	stats  Stats

	element []byte // fragments of the one in work
	at      Packet // its first packet, without payload
	broken  bool   // a part of it is lost
	marked  bool   // markers are seen
	shifted []byte // scratch: an access unit that does not begin on a byte
	gap     bool
}

// NewLATM writes to sink; the StreamMuxConfig is in the stream.
func NewLATM(sink Sink, clock uint32) *LATM {
	return &LATM{sink: sink, clock: clock, inBand: true, gap: true}
}

// NewLATMWith writes to sink units that need params; mux is the SDP's config.
func NewLATMWith(sink Sink, params *media.Track, mux aac.Mux) *LATM {
	return &LATM{sink: sink, clock: params.ClockRate, known: true, mux: mux, params: params, frame: aac.FrameTicks(params), gap: true}
}

// configure takes a StreamMuxConfig. Most senders repeat it in each element.
func (d *LATM) configure(mux *aac.Mux) error {
	if d.known && d.mux.Equal(mux) {
		return nil
	}
	t, err := aac.Track(mux.Config(), d.clock)
	if err != nil {
		return err
	}
	d.known, d.mux, d.frame = true, *mux, aac.FrameTicks(t)
	if !t.Equal(d.params) {
		d.params = t
	}
	return nil
}

// Packet takes the next packet. The marker ends an element.
func (d *LATM) Packet(k Packet) {
	d.gap = d.gap || k.Gap
	if k.Gap || len(d.element) > 0 && k.Time != d.at.Time {
		// Where markers are sent, an element without one is not complete.
		if k.Gap || d.marked {
			d.drop()
		} else {
			d.take(d.element)
		}
		d.element, d.broken = d.element[:0], false
	}
	if len(d.element) == 0 {
		d.at = Packet{Time: k.Time, Arrival: k.Arrival}
		if k.Marker {
			d.marked = true
			if d.broken { // its beginning is lost
				d.stats.DroppedUnits++
				d.broken = false
				return
			}
			d.take(k.Payload)
			return
		}
	}
	if len(d.element)+len(k.Payload) > maxAudioBytes {
		d.stats.Malformed++
		d.element, d.broken, d.gap = d.element[:0], true, true
	}
	if !d.broken {
		d.element = append(d.element, k.Payload...)
	}
	if k.Marker {
		d.marked = true
		d.take(d.element)
		d.element, d.broken = d.element[:0], false
	}
}

// take unpacks an AudioMuxElement (ISO/IEC 14496-3 §1.7.3): it begins with its
// configuration where that is in band, and each access unit with its length.
func (d *LATM) take(b []byte) {
	r := bits.Reader{Data: b}
	if d.inBand && !r.Flag() { // useSameStreamMux
		var err error
		if d.news, err = aac.ReadMux(&r); err == nil {
			err = d.configure(&d.news)
		}
		if err != nil {
			d.stats.Refused++
			d.known, d.gap = false, true
			return
		}
	}
	if !d.known {
		d.stats.NoParameters++
		d.gap = true
		return
	}
	for i := range d.mux.SubFrames {
		n := aac.SlotLength(&r)
		if r.Short || n == 0 || 8*n > r.Left() {
			d.stats.Malformed++
			d.gap = true
			return
		}
		var unit []byte
		if r.Pos&7 == 0 {
			unit = b[r.Pos>>3:][:n]
			r.Skip(8 * n)
		} else {
			d.shifted = r.Append(d.shifted[:0], 8*n)
			unit = d.shifted
		}
		d.sink.Head(Head{
			Params: d.params, Time: d.at.Time + uint32(i)*uint32(d.frame), Duration: d.frame,
			Arrival: d.at.Arrival, Sync: true, Gap: d.gap,
		})
		d.gap = false
		d.sink.Append(unit)
		d.sink.Commit()
	}
}

func (d *LATM) drop() {
	if len(d.element) > 0 {
		d.stats.DroppedUnits++
		d.gap = true
	}
}

// Flush has nothing to do: an element ends with its marker.
func (d *LATM) Flush() {}

// Close takes the last element of a sender without markers.
func (d *LATM) Close() {
	if len(d.element) == 0 {
		return
	}
	if d.marked {
		d.drop()
	} else {
		d.take(d.element)
	}
	d.element = d.element[:0]
}

// Stats counts since the beginning.
func (d *LATM) Stats() Stats { return d.stats }
