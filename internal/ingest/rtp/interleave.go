package rtp

import "nvr/internal/media"

const (
	maxHeldUnits = 1024                 // NAL units that wait for their turn
	maxHeldBytes = media.MaxSampleBytes // of all of them
)

// interleaver puts NAL units that are sent in another order into decoding order,
// by their decoding order numbers (RFC 6184 §5.5 and §7.2, RFC 7798 §6). Only
// streams that announce such an order have one: the units are copied here, and
// each waits until as many as announced are behind it.
type interleaver struct {
	out    *pictures
	counts func(header byte) bool // whether a unit counts towards depth
	depth  int                    // so many may be sent before one that is decoded earlier

	held   []heldUnit // ascending
	waits  int        // of them, those that count
	bytes  int
	spare  [][]byte // buffers to be used again
	came   bool     // a packet
	gapIn  int      // something is missing before one of so many units; 0: nothing
	passed uint16   // number of the last unit handed on,
	begun  bool     // if there is one
	unit   heldUnit // from fragments, in work
	joined bool     // unit holds one
	don    uint16   // of the last unit that came
}

// heldUnit is a NAL unit with its number and what its packet said.
type heldUnit struct {
	don    uint16
	packet Packet // without payload
	bytes  []byte
}

func newInterleaver(out *pictures, depth int, counts func(header byte) bool) *interleaver {
	return &interleaver{out: out, depth: min(depth, maxHeldUnits-1), counts: counts}
}

// packet begins a packet.
func (l *interleaver) packet(k *Packet) {
	if k.Gap && l.came {
		l.missing()
		l.forget()
	}
	l.came = true
}

// missing: where in decoding order a unit is missing shows when its number is
// left out. Numbers may also repeat; then it is said when it must be past.
func (l *interleaver) missing() { l.gapIn = l.depth + 2 }

// put takes a whole unit; last says that none follows in its packet.
func (l *interleaver) put(k *Packet, don uint16, b []byte, last bool) {
	l.forget()
	l.insert(heldUnit{don, Packet{Time: k.Time, Arrival: k.Arrival, Marker: k.Marker && last}, append(l.buffer(), b...)})
}

// start takes the first fragment of a unit.
func (l *interleaver) start(k *Packet, don uint16, header, body []byte) {
	l.forget()
	l.unit = heldUnit{don, Packet{Time: k.Time, Arrival: k.Arrival}, append(append(l.buffer(), header...), body...)}
	l.joined = true
}

// more takes another.
func (l *interleaver) more(body []byte) {
	if !l.joined {
		return
	}
	if len(l.unit.bytes)+len(body) > maxHeldBytes {
		l.forget()
		return
	}
	l.unit.bytes = append(l.unit.bytes, body...)
}

// end ends it.
func (l *interleaver) end(k *Packet) {
	if l.joined {
		l.joined = false
		l.unit.packet.Marker = k.Marker
		l.insert(l.unit)
	}
}

// forget gives up a unit of which a fragment is missing.
func (l *interleaver) forget() {
	if l.joined {
		l.joined = false
		l.missing()
		l.out.stats.DroppedUnits++
		l.spare = append(l.spare, l.unit.bytes[:0])
	}
}

func (l *interleaver) buffer() []byte {
	n := len(l.spare)
	if n == 0 {
		return nil
	}
	b := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return b
}

func (l *interleaver) insert(u heldUnit) {
	at := len(l.held)
	for at > 0 && int16(l.held[at-1].don-u.don) > 0 {
		at--
	}
	l.held = append(l.held, heldUnit{})
	copy(l.held[at+1:], l.held[at:])
	l.held[at] = u
	l.don = u.don
	l.bytes += len(u.bytes)
	if l.counts(u.bytes[0]) {
		l.waits++
	}
	for l.waits > l.depth || len(l.held) > maxHeldUnits || l.bytes > maxHeldBytes {
		l.release()
	}
}

// release hands the first unit on.
func (l *interleaver) release() {
	u := l.held[0]
	copy(l.held, l.held[1:])
	l.held = l.held[:len(l.held)-1]
	l.bytes -= len(u.bytes)
	if l.counts(u.bytes[0]) {
		l.waits--
	}
	u.packet.Gap = !l.begun
	if l.gapIn > 0 {
		if l.gapIn--; l.gapIn == 0 || l.begun && u.don-l.passed > 1 {
			u.packet.Gap, l.gapIn = true, 0
		}
	}
	l.passed, l.begun = u.don, true
	l.out.packet(&u.packet)
	l.out.whole(&u.packet, u.bytes)
	if u.packet.Marker {
		l.out.mark()
	}
	if len(l.spare) < l.depth+2 {
		l.spare = append(l.spare, u.bytes[:0])
	}
}

// close hands on all that wait.
func (l *interleaver) close() {
	l.forget()
	for len(l.held) > 0 {
		l.release()
	}
}
