package rtp

import "nvr/internal/media"

// PCM is the depacketizer of sound that is stored as it comes: G.711, a byte
// for each sample of a channel, and L16, two bytes big-endian (RFC 3551 §4.5.14,
// §4.5.11). A packet is a unit.
type PCM struct {
	sink   Sink
	params *media.Track
	frame  int // bytes of a sample of every channel
	stats  Stats
}

// NewPCM writes to sink units that need params, with samples of width bytes.
func NewPCM(sink Sink, params *media.Track, width int) *PCM {
	return &PCM{sink: sink, params: params, frame: width * max(1, int(params.Channels))}
}

// Packet takes the next packet.
func (d *PCM) Packet(k Packet) {
	n := len(k.Payload) / d.frame * d.frame
	if n == 0 || n > maxAudioBytes {
		d.stats.Malformed++
		return
	}
	d.sink.Head(Head{Params: d.params, Time: k.Time, Duration: media.Ticks(n / d.frame), Arrival: k.Arrival, Sync: true, Gap: k.Gap})
	d.sink.Append(k.Payload[:n])
	d.sink.Commit()
}

// Flush has nothing to do.
func (d *PCM) Flush() {}

// Close has nothing to do.
func (d *PCM) Close() {}

// Stats counts since the beginning.
func (d *PCM) Stats() Stats { return d.stats }
