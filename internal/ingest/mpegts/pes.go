package mpegts

import "encoding/binary"

// assembly collects the PES packets of a stream.
type assembly struct {
	pid     uint16
	counted bool
	counter uint8 // of the last packet

	open  bool
	buf   []byte // header included
	want  int    // length of the whole packet, 0: until the next one begins
	gap   bool
	pts   uint32
	timed bool // pts was ever given
}

// packet takes the payload of the stream's next packet.
func (a *assembly) packet(d *Demuxer, index int, payload []byte, starts bool, counter uint8, jump bool, h Handler) {
	if a.counted && !jump {
		switch missing := (counter - a.counter - 1) & 0xf; {
		case missing == 0xf: // sent twice, which is allowed (§2.4.3.3)
			return
		case missing > 0:
			d.stats.Lost += uint64(missing)
			a.drop()
		}
	}
	a.counted, a.counter = true, counter
	if starts {
		if a.open && a.want == 0 {
			a.give(d, index, h)
		} else if a.open { // shorter than it said
			d.stats.Malformed++
			a.drop()
		}
		if a.buf == nil {
			a.buf = make([]byte, 0, firstPES)
		}
		a.open, a.buf, a.want = true, a.buf[:0], 0
	}
	if !a.open {
		return
	}
	if len(a.buf)+len(payload) > maxPES {
		d.stats.Malformed++
		a.drop()
		return
	}
	a.buf = append(a.buf, payload...)
	if starts || a.want == 0 {
		if len(a.buf) >= 6 {
			if n := int(binary.BigEndian.Uint16(a.buf[4:])); n > 0 {
				a.want = 6 + n
			}
		}
	}
	if a.want > 0 && len(a.buf) >= a.want {
		a.buf = a.buf[:a.want]
		a.give(d, index, h)
	}
}

// drop gives up the packet in work.
func (a *assembly) drop() { a.open, a.gap = false, true }

// give hands the packet in work on.
func (a *assembly) give(d *Demuxer, index int, h Handler) {
	a.open = false
	data, pts, timed, ok := readPES(a.buf)
	if ok && timed {
		a.pts, a.timed = pts, true
	}
	switch {
	case !ok:
		d.stats.Malformed++
		a.gap = true
		return
	case !a.timed: // nothing says when it is
		a.gap = true
		return
	case len(data) == 0:
		return
	}
	p := PES{Stream: index, Data: data, PTS: a.pts, Gap: a.gap}
	a.gap = false
	h.PES(p)
}

// readPES reads a PES packet's header, §2.4.3.6.
func readPES(b []byte) (data []byte, pts uint32, timed, ok bool) {
	if len(b) < 9 || b[0] != 0 || b[1] != 0 || b[2] != 1 {
		return nil, 0, false, false
	}
	// Private, audio, video and extended streams alone have the long header.
	if id := b[3]; id != 0xbd && id != 0xfd && (id < 0xc0 || id > 0xef) || b[6]&0xc0 != 0x80 {
		return nil, 0, false, false
	}
	end := 9 + int(b[8])
	if end > len(b) {
		return nil, 0, false, false
	}
	if b[7]&0x80 != 0 {
		if end < 14 {
			return nil, 0, false, false
		}
		// 3, 15 and 15 bits, each behind them a marker bit.
		pts = uint32(b[9]>>1&7)<<30 | uint32(binary.BigEndian.Uint16(b[10:])>>1)<<15 | uint32(binary.BigEndian.Uint16(b[12:])>>1)
		timed = true
	}
	return b[end:], pts, timed, true
}
