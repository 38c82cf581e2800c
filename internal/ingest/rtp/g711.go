package rtp

import "nvr/internal/media"

// G711 is the depacketizer of G.711, RFC 3551 §4.5.14: a packet is a unit, a
// byte is a sample of one channel.
type G711 struct {
	sink   Sink
	params *media.Track
	stats  Stats
}

// NewG711 writes to sink units that need params, A-law or µ-law.
func NewG711(sink Sink, params *media.Track) *G711 { return &G711{sink: sink, params: params} }

// Packet takes the next packet.
func (d *G711) Packet(k Packet) {
	channels := max(1, int(d.params.Channels))
	n := len(k.Payload) / channels * channels
	if n == 0 || n > maxAudioBytes {
		d.stats.Malformed++
		return
	}
	d.sink.Head(Head{Params: d.params, Time: k.Time, Duration: media.Ticks(n / channels), Arrival: k.Arrival, Sync: true, Gap: k.Gap})
	d.sink.Append(k.Payload[:n])
	d.sink.Commit()
}

// Flush has nothing to do.
func (d *G711) Flush() {}

// Close has nothing to do.
func (d *G711) Close() {}

// Stats counts since the beginning.
func (d *G711) Stats() Stats { return d.stats }
