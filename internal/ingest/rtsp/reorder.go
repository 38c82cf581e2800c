package rtsp

import "time"

const (
	reorderWindow = 64                     // packets that may be out of order (SEC-01)
	reorderWait   = 200 * time.Millisecond // for a packet that is missing, while later ones are there

	maxBackward  = 1000 // a packet so far behind is late; further is a new count
	maxLateInRow = 32   // so many late ones in a row are a new count, too
)

// sequel is what a sequence number means to a reorder.
type sequel uint8

const (
	seqFits    sequel = iota // it is next, or to be kept until it is
	seqTwice                 // it came before
	seqLate                  // it was given up before it came
	seqStrange               // far off: rubbish, or the first one of a new count
	seqRestart               // the second one of a new count
)

// reorder puts the packets of one source back into the order in which they were
// sent. What comes in order is not touched; what comes too early is copied and
// kept, at most reorderWindow packets for at most reorderWait. The copies'
// memory is used again and again.
//
// A caller asks judge first. With seqFits it makes room (fits, skip), hands on
// the packet if it is next (step) or else keeps it, and hands on what is ready.
type reorder struct {
	begun bool
	next  uint16                  // to be handed on
	slots [reorderWindow]heldCopy // by sequence number
	held  int
	had   uint64 // bit n: next−1−n was handed on

	lateInRow int
	far       heldCopy // the last one that was seqStrange
	farNext   uint16
	farSet    bool
}

// heldCopy is a packet that came too early.
type heldCopy struct {
	data    []byte
	arrival time.Time
	full    bool
}

func (c *heldCopy) put(pkt []byte, arrival time.Time) {
	c.data, c.arrival, c.full = append(c.data[:0], pkt...), arrival, true
}

// judge says what to do with a packet.
func (q *reorder) judge(seq uint16) sequel {
	if !q.begun {
		q.restart(seq)
		return seqFits
	}
	ahead := int(int16(seq - q.next))
	switch {
	case 0 <= ahead && ahead < maxDropout:
		if ahead < reorderWindow && q.slot(seq).full {
			return seqTwice
		}
		q.lateInRow = 0
		return seqFits
	case -reorderWindow <= ahead && ahead < 0 && q.had>>(-ahead-1)&1 != 0:
		return seqTwice
	case -maxBackward <= ahead && ahead < 0 && q.lateInRow < maxLateInRow:
		q.lateInRow++
		return seqLate
	case q.farSet && seq == q.farNext:
		q.farSet = false
		return seqRestart
	}
	return seqStrange
}

// keepStrange keeps a packet far off until the next one tells what it is, and
// reports whether one before it turned out to be rubbish.
func (q *reorder) keepStrange(seq uint16, pkt []byte, arrival time.Time) (rubbish bool) {
	rubbish = q.farSet
	q.far.put(pkt, arrival)
	q.farNext, q.farSet = seq+1, true
	return rubbish
}

// restart begins a new count, which seq is the first of. Nothing may be held.
func (q *reorder) restart(seq uint16) {
	q.begun, q.next, q.had, q.lateInRow = true, seq, 0, 0
}

func (q *reorder) slot(seq uint16) *heldCopy { return &q.slots[seq%reorderWindow] }

// fits reports whether there is room for seq. Where there is none, skip makes some.
func (q *reorder) fits(seq uint16) bool { return seq-q.next < reorderWindow }

// skip goes one number further: it returns the packet, or nil where that is
// given up as lost.
func (q *reorder) skip() *heldCopy {
	if p := q.ready(); p != nil {
		return p
	}
	q.next++
	q.had <<= 1
	return nil
}

// step notes that next was handed on.
func (q *reorder) step() {
	q.next++
	q.had = q.had<<1 | 1
}

// keep copies a packet that fits and is not next.
func (q *reorder) keep(seq uint16, pkt []byte, arrival time.Time) {
	q.slot(seq).put(pkt, arrival)
	q.held++
}

// ready returns the next packet if it is there. It is good until another one is kept.
func (q *reorder) ready() *heldCopy {
	p := q.slot(q.next)
	if q.held == 0 || !p.full {
		return nil
	}
	p.full = false
	q.held--
	q.step()
	return p
}

// overdue reports whether the first one that is held has waited long enough for
// those before it.
func (q *reorder) overdue(now time.Time) bool {
	if q.held == 0 {
		return false
	}
	for seq := q.next; ; seq++ { // there is one: it ends
		if p := q.slot(seq); p.full {
			return now.Sub(p.arrival) > reorderWait-pace/2 // it is looked at once a beat
		}
	}
}
