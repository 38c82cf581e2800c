package rtp

import (
	"nvr/internal/codec/opus"
	"nvr/internal/media"
)

// Opus is the depacketizer of RFC 7587: a packet is a packet.
type Opus struct {
	sink   Sink
	params *media.Track
	stats  Stats
}

// NewOpus writes to sink.
func NewOpus(sink Sink) *Opus { return &Opus{sink: sink, params: opus.Track()} }

// Packet takes the next packet.
func (d *Opus) Packet(k Packet) {
	length := opus.Duration(k.Payload)
	if length == 0 || len(k.Payload) > maxAudioBytes {
		d.stats.Malformed++
		return
	}
	d.sink.Head(Head{Params: d.params, Time: k.Time, Duration: length, Arrival: k.Arrival, Sync: true, Gap: k.Gap})
	d.sink.Append(k.Payload)
	d.sink.Commit()
}

// Flush has nothing to do.
func (d *Opus) Flush() {}

// Close has nothing to do.
func (d *Opus) Close() {}

// Stats counts since the beginning.
func (d *Opus) Stats() Stats { return d.stats }
