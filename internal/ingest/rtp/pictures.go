package rtp

import (
	"encoding/binary"
	"time"

	"nvr/internal/codec/nal"
	"nvr/internal/media"
)

// class is what a NAL unit means to the cutting of access units.
type class uint8

const (
	ignored class = iota // delimiters, filler, what nobody knows
	set                  // a parameter set: collected, not recorded
	side                 // SEI and the like: belongs to a picture
	tail                 // belongs to the picture before it
	picture              // a slice
)

// unit is what a codec says of a NAL unit.
type unit struct {
	class    class
	typ      byte
	first    bool // begins a picture
	idr      bool
	sync     bool // decoding can begin here
	intra    bool // all of the picture is intra coded
	leading  bool // cannot be decoded if decoding begins with the sync sample before it
	recovery bool // a recovery point,
	after    int  // so many pictures before all is well
}

// syntax is what H.264 and H.265 do not share.
type syntax interface {
	headerSize() int
	classify(header, body []byte) unit
	setID(set []byte) (uint32, bool)
	interlaced(t *media.Track) bool
	leadsByTime() bool // pictures don't say that they are leading
}

const (
	// Every unit of the first packets is searched for start codes inside
	// (V380); after that only parameter sets are, unless one was found.
	packetsSearched = 256
	// Recovery points nearer to each other are decoration.
	recoverySpacing = 8
	// After so many pictures without a place to begin, any intra picture is one.
	// Where a stream has shown no place at all, after as many again any picture is:
	// there are encoders that refresh bit by bit and never say so.
	patience = 600
)

// pictures cuts a stream of NAL units into access units and writes them to a
// Sink, each unit behind its length. Where a unit ends is decided by the next
// picture: its time stamp, or its first slice; the marker only tells that a
// unit may be taken as complete if nothing follows (ustreamer and uvgRTP set it
// on each NAL unit, FLIR never, Tapo on an SEI behind the picture).
type pictures struct {
	sink   Sink
	syntax syntax
	sets   paramSets
	stats  Stats

	time    uint32
	arrival time.Time
	open    bool // something was appended
	begun   bool // a slice was: time holds
	ended   bool // and a marker after it
	broken  bool // the picture lost a part: ignore what is left of it
	units   int
	size    int

	sideTime uint32 // of the last unit that is no slice
	recover  unit   // the recovery point among what was appended

	behind       int  // where SEI behind the slices begin; 0: none are there
	unitsBehind  int  // how many
	recoverAfter unit // the recovery point among them

	marked  bool // markers were seen
	liar    bool // a picture went on after one
	gap     bool // since the last complete picture something was lost
	damaged bool // the same, since the last sync sample
	params  *media.Track
	fields  bool // a picture may be two fields with a first slice each

	openGOP     bool   // the last sync sample was no IDR: pictures shown before it
	syncTime    uint32 // at this time may need what was before it,
	openDamaged bool   // which was damaged

	seenIDR       bool
	seenSync      bool
	recoveries    int // since the last IDR
	sinceSync     int // pictures
	sinceRecovery int

	inUnit   class  // of the unit in work
	unitAt   int    // where its length stands
	unitLen  int    // as far as it has come
	set      []byte // in work
	zeros    int    // at the end of the last fragment
	searched int
	annexB   bool
	prefix   [nal.LengthSize + 2]byte
}

func newPictures(sink Sink, syn syntax, sets paramSets) pictures {
	return pictures{sink: sink, syntax: syn, sets: sets, gap: true, sinceRecovery: recoverySpacing}
}

// announce takes parameter sets from the SDP.
func (p *pictures) announce(sets [][]byte) {
	for _, b := range sets {
		p.takeSet(b)
	}
}

func (p *pictures) takeSet(b []byte) {
	if b = nal.TrimSet(b); len(b) <= p.syntax.headerSize() || len(b) > nal.MaxSetBytes {
		return
	}
	n := p.syntax.headerSize()
	if u := p.syntax.classify(b[:n], b[n:]); u.class == set {
		if id, ok := p.syntax.setID(b); ok {
			p.sets.put(u.typ, id, b)
		}
	}
}

// packet begins a packet.
func (p *pictures) packet(k *Packet) {
	if p.searched < packetsSearched {
		p.searched++
	}
	if !k.Gap {
		return
	}
	p.gap, p.damaged = true, true
	if !p.begun && p.open && (p.inUnit != ignored || k.Time != p.sideTime) {
		p.abort() // half of a unit, or what stood before a picture that is lost
	}
	whole := p.inUnit == ignored
	p.inUnit = ignored
	if p.begun && !p.broken {
		if p.ended && !p.liar && whole {
			p.finish()
		} else {
			p.drop()
		}
	}
}

// mark ends a packet that has the marker bit.
func (p *pictures) mark() {
	p.marked = true
	p.ended = p.begun
}

// whole takes a complete NAL unit.
func (p *pictures) whole(k *Packet, b []byte) {
	n := p.syntax.headerSize()
	p.end() // a fragmented one whose end nobody marked
	for p.search(b) {
		at, next := nal.StartCode(b)
		if at < 0 {
			break
		}
		p.annexB = true
		if at > n {
			p.begin(k, b[:n], b[n:at], at)
			p.end()
		}
		b = b[next:]
	}
	if len(b) > n {
		p.begin(k, b[:n], b[n:], len(b))
		p.end()
	}
}

func (p *pictures) search(b []byte) bool {
	n := p.syntax.headerSize()
	if p.annexB || p.searched < packetsSearched {
		return true
	}
	if len(b) <= n {
		return false
	}
	return p.syntax.classify(b[:n], nil).class == set
}

// start takes the first fragment of a NAL unit, more the others.
func (p *pictures) start(k *Packet, header, body []byte) {
	p.zeros = 0
	p.inUnit = p.syntax.classify(header, nil).class
	p.pieces(k, header, body)
}

func (p *pictures) more(k *Packet, body []byte) {
	p.pieces(k, nil, body)
}

// pieces appends a fragment, cut at start codes if there are any. header is
// that of a unit that begins here.
func (p *pictures) pieces(k *Packet, header, body []byte) {
	n := p.syntax.headerSize()
	if p.annexB || p.searched < packetsSearched || p.inUnit == set {
		if header == nil && p.zeros > 0 { // a start code across the fragments
			z := 0
			for z < len(body) && body[z] == 0 {
				z++
			}
			if z < len(body) && body[z] == 1 && z+p.zeros >= 2 {
				p.annexB = true
				p.end()
				if body = body[z+1:]; len(body) < n {
					return
				}
				header, body = body[:n], body[n:]
			}
		}
		for {
			at, next := nal.StartCode(body)
			if at < 0 {
				break
			}
			p.annexB = true
			p.piece(k, header, body[:at])
			p.end()
			if body = body[next:]; len(body) < n {
				return
			}
			header, body = body[:n], body[n:]
		}
		p.zeros = trailingZeros(body)
	}
	p.piece(k, header, body)
}

func (p *pictures) piece(k *Packet, header, body []byte) {
	if header != nil {
		p.begin(k, header, body, 0)
		return
	}
	switch p.inUnit {
	case set:
		if len(p.set)+len(body) <= nal.MaxSetBytes {
			p.set = append(p.set, body...)
		}
	case side, tail, picture:
		p.unitLen += len(body)
		p.append(body)
	}
}

func trailingZeros(b []byte) int {
	n := 0
	for n < len(b) && n < 3 && b[len(b)-1-n] == 0 {
		n++
	}
	return n
}

// begin starts a NAL unit with its header and the first bytes that follow.
// length is that of the whole unit, 0 if it is not known yet.
func (p *pictures) begin(k *Packet, header, body []byte, length int) {
	u := p.syntax.classify(header, body)
	p.inUnit = u.class
	switch u.class {
	case ignored:
		return
	case set:
		p.set = append(append(p.set[:0], header...), body...)
		return
	case side:
		if p.begun && k.Time != p.time {
			p.finish()
		}
		switch {
		case p.begun && !p.broken:
			// Behind slices it begins the next access unit (H.264 §7.4.1.2.3, H.265
			// §7.4.2.4.4), whatever its time stamp says (Tapo) — unless the picture
			// goes on.
			if p.behind == 0 {
				p.behind, p.unitsBehind, p.recoverAfter = p.size, 0, unit{}
			}
			p.unitsBehind++
			if u.recovery {
				p.recoverAfter = u
			}
		case u.recovery && !p.begun:
			p.recover = u
		}
		p.sideTime = k.Time
	case tail:
		p.behind = 0
	case picture:
		p.cut(k, &u)
		p.behind = 0
	}
	if p.broken || u.class == tail && !p.begun {
		p.inUnit = ignored
		return
	}
	if p.units++; p.units > maxUnits {
		p.drop()
		return
	}
	p.open = true
	p.unitAt, p.unitLen = p.size, len(header)+len(body)
	binary.BigEndian.PutUint32(p.prefix[:], uint32(length))
	n := nal.LengthSize + copy(p.prefix[nal.LengthSize:], header)
	if p.append(p.prefix[:n]) {
		p.append(body)
	}
	if length > 0 {
		p.inUnit = ignored // its length stands: nothing to patch
	}
}

// cut decides whether a slice begins an access unit, and ends the one before.
func (p *pictures) cut(k *Packet, u *unit) {
	if p.begun {
		switch {
		case k.Time != p.time, u.first && !p.fields:
			p.finish()
		case p.ended:
			p.liar = true
		}
	}
	if p.begun {
		return
	}
	p.begun, p.time, p.arrival = true, k.Time, k.Arrival
	if p.gap && !u.first { // its beginning is lost, or was before our time
		p.drop()
		return
	}
	params := p.sets.track()
	if params == nil {
		p.stats.NoParameters++
		p.abort()
		p.broken = true
		return
	}
	if params != p.params {
		p.params, p.fields = params, p.syntax.interlaced(params)
	}
	sync := p.isSync(u)
	if sync {
		p.openGOP, p.syncTime, p.openDamaged = !u.idr, k.Time, p.damaged
		p.damaged = false
	}
	leading := !sync && p.openGOP && (u.leading || p.syntax.leadsByTime() && int32(k.Time-p.syncTime) < 0)
	p.sink.Head(Head{
		Params: params, Time: k.Time, Arrival: k.Arrival,
		Sync: sync, Leading: leading, Damaged: p.damaged || leading && p.openDamaged, Gap: p.gap,
	})
	p.gap = false
}

// isSync decides whether decoding can begin with the picture: it is an IDR, or
// a CRA or BLA; or has a recovery point: with an intra picture at once, with
// intra refresh if that is all the stream offers; or nothing else ever came.
func (p *pictures) isSync(u *unit) bool {
	p.sinceSync++
	p.sinceRecovery++
	sync := u.sync
	if u.idr {
		p.seenIDR, p.recoveries = true, 0
	}
	if p.recover.recovery && !u.sync && p.sinceRecovery >= recoverySpacing {
		p.recoveries++
		sync = u.intra && p.recover.after == 0 || !p.seenIDR || p.recoveries > 1
	}
	if p.recover.recovery {
		p.sinceRecovery = 0
	}
	p.seenSync = p.seenSync || sync
	if sync || u.intra && p.sinceSync > patience || !p.seenSync && p.sinceSync > 2*patience {
		p.sinceSync = 0
		return true
	}
	return false
}

// end ends the NAL unit in work.
func (p *pictures) end() {
	switch p.inUnit {
	case set:
		p.takeSet(p.set)
	case side, tail, picture:
		if !p.broken {
			p.sink.Patch(p.unitAt, uint32(p.unitLen))
		}
	}
	p.inUnit = ignored
}

// missing tells that a part of the picture at the packet's time is lost though
// the sequence has no hole: a fragment without a beginning.
func (p *pictures) missing(k *Packet) {
	if p.begun && k.Time != p.time {
		p.finish()
	}
	if p.broken {
		return
	}
	p.begun, p.time = true, k.Time
	p.drop()
}

func (p *pictures) append(b []byte) bool {
	if p.broken {
		return false
	}
	p.size += len(b)
	if p.size > media.MaxSampleBytes || !p.sink.Append(b) {
		p.drop()
		return false
	}
	return true
}

// drop gives the access unit in work up and ignores the rest of it.
func (p *pictures) drop() {
	p.stats.DroppedUnits++
	p.gap, p.damaged = true, true
	p.abort()
	p.broken, p.inUnit = p.begun, ignored
}

func (p *pictures) abort() {
	if p.open {
		p.sink.Abort()
	}
	p.open, p.size, p.units, p.behind, p.recover = false, 0, 0, 0, unit{}
}

// finish ends the access unit: what follows belongs to the next.
func (p *pictures) finish() {
	switch {
	case !p.begun || p.broken || !p.open:
	case p.behind > 0:
		p.size -= p.behind
		p.sink.Split(p.size)
		p.units, p.behind, p.recover = p.unitsBehind, 0, p.recoverAfter
	default:
		p.sink.Commit()
		p.open, p.size, p.units, p.recover = false, 0, 0, unit{}
	}
	p.begun, p.ended, p.broken = false, false, false
}

// Flush commits the picture in work if its marker was seen, no NAL unit is open,
// and markers mean something with this camera.
func (p *pictures) Flush() {
	if p.begun && p.ended && !p.liar && p.inUnit == ignored {
		p.finish()
	}
}

// Close commits the last picture, unless it waits for its marker.
func (p *pictures) Close() {
	if p.begun && !p.ended && p.marked && !p.broken {
		p.drop()
	}
	p.end()
	if p.begun {
		p.finish()
	}
	p.abort()
}

// Stats counts since the beginning.
func (p *pictures) Stats() Stats { return p.stats }
