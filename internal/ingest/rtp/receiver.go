package rtp

import (
	"slices"
	"time"
)

const (
	// A packet that far behind the last one is late; further is a new count.
	maxLate = 128
	// More missing than this is a new count too, not a loss.
	maxMissing = 3000
	// So many late ones in a row are a new count (a camera that starts again).
	maxLateInRow = 32
	// So many packets of one number are no count.
	maxSameNumber = 8
	// A count that starts again so often is none: one camera sends 0 always.
	maxRestarts = 16
	// So many packets of one type nobody announced, and none of another, are
	// the stream: the SDP was wrong.
	packetsToBelieve = 100
)

// Receiver takes one track's RTP packets: payload types, sequence, losses.
// Packets must be in order as far as the transport can say (over UDP they are
// put in order below us).
type Receiver struct {
	out   Depacketizer
	types []uint8
	stats Stats

	known    bool // a packet of an announced type was seen
	strange  uint8
	stranger int // packets of type strange in a row

	begun     bool
	ssrc      uint32
	sequence  uint16 // of the last packet
	late      int    // in a row
	same      int    // of the number of the last one, in a row
	restarts  int
	unordered bool // the sequence number means nothing
	gap       bool // something is missing before the next packet
}

// NewReceiver passes packets of the payload types on to out.
func NewReceiver(out Depacketizer, types ...uint8) *Receiver {
	return &Receiver{out: out, types: types, gap: true}
}

// Packet takes one RTP packet. pkt is not kept.
func (r *Receiver) Packet(pkt []byte, arrival time.Time) {
	h, payload, ok := parse(pkt)
	if !ok {
		r.stats.Malformed++
		return
	}
	// Before losses are counted: Geovision and Uniview send a strange type
	// with the sequence numbers of the next video packets.
	if !r.accept(h.payloadType) {
		r.stats.UnknownType++
		return
	}
	r.stats.Packets++
	if !r.inOrder(&h) {
		r.stats.Late++
		return
	}
	p := Packet{
		Payload: payload, Time: h.time, Arrival: arrival, Marker: h.marker, Gap: r.gap,
		Extension: h.extension, ExtensionID: h.extensionID,
	}
	r.gap = false
	if len(payload) == 0 { // keeps a NAT open, or is all padding
		r.gap = p.Gap
		return
	}
	r.out.Packet(p)
}

func (r *Receiver) accept(pt uint8) bool {
	if slices.Contains(r.types, pt) {
		r.known = true
		return true
	}
	if r.known {
		return false
	}
	if pt != r.strange {
		r.strange, r.stranger = pt, 0
	}
	if r.stranger++; r.stranger < packetsToBelieve {
		return false
	}
	r.types = append(r.types, pt)
	return true
}

// inOrder counts losses and reports whether the packet is to be used.
func (r *Receiver) inOrder(h *header) bool {
	switch {
	case r.unordered:
		return true
	case !r.begun || h.ssrc != r.ssrc:
		// Uniview has a new SSRC with every GOP: what is open goes on if the
		// sequence does, and nothing is called lost if it does not.
		if r.begun && h.sequence != r.sequence+1 {
			r.gap = true
		}
		r.begun, r.ssrc = true, h.ssrc
	default:
		missing := h.sequence - r.sequence - 1
		switch {
		case missing == 0:
		case missing <= maxMissing:
			r.stats.Lost += uint64(missing)
			r.gap = true
		case -missing <= maxLate && r.late < maxLateInRow:
			r.late++
			if h.sequence == r.sequence {
				if r.same++; r.same >= maxSameNumber {
					r.unordered, r.gap = true, true
				}
			}
			return false
		default:
			r.gap = true
			if r.restarts++; r.restarts > maxRestarts {
				r.unordered = true
			}
		}
	}
	r.sequence, r.late, r.same = h.sequence, 0, 0
	return true
}

// Flush commits what is complete.
func (r *Receiver) Flush() { r.out.Flush() }

// Close ends the track.
func (r *Receiver) Close() { r.out.Close() }

// Stats counts since the beginning.
func (r *Receiver) Stats() Stats {
	s := r.out.Stats()
	s.Packets, s.Lost, s.Late, s.UnknownType = r.stats.Packets, r.stats.Lost, r.stats.Late, r.stats.UnknownType
	s.Malformed += r.stats.Malformed
	return s
}
