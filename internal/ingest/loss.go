package ingest

import (
	"time"

	"nvr/internal/media"
)

// lossEvery is how often a stream's losses are told. The first one is told when it
// is over; what follows sooner becomes one gap with it all. A stream that loses a
// packet in twenty for ever costs a gap a minute, not one a GOP.
const lossEvery = time.Minute

// loss follows the leading track from a loss to the next sync sample, in
// positions of the track: what it says in wall time is known with a record.
type loss struct {
	open     bool // no sync sample has come since
	pending  bool // it has; not told yet
	from, to media.Ticks
	good     media.Ticks // between from and to, of several losses in one record
	samples  uint32      // that came since from
	damaged  uint32

	step    media.Ticks // of samples
	packets uint64      // the receiver's count of lost packets up to from

	// A record's beginning, to tell wall time by.
	anchored bool
	at       media.Ticks
	wall     int64
}

// end is where the last sample ends.
func (b *builder) end() media.Ticks { return b.last + b.loss.step }

// lose notes that something is missing between the last sample and pos. usual is
// about the distance of samples: the hole is a whole number of them.
func (b *builder) lose(usual, pos media.Ticks) {
	l := &b.loss
	if !b.leads || !b.begun || b.waiting || l.open {
		return
	}
	if l.step = usual; usual == 0 {
		l.step = media.FromDuration(time.Second/15, b.rate) // a run's only sample so far
	}
	if hole := pos - b.last; b.order.depth == 0 && hole > 0 {
		l.step = hole / max(1, (hole+l.step/2)/l.step)
	}
	from := b.end()
	switch {
	case !l.pending:
		l.from = from
	case from > l.to:
		l.good += from - l.to
	}
	l.open, l.pending = true, false
}

// found takes a sample in that came behind a loss.
func (b *builder) found(s media.Sample, dts media.Ticks) {
	l := &b.loss
	switch {
	case !l.open:
	case s.Flags&media.SampleDamaged != 0:
		l.samples++
		l.damaged++
	case s.Sync():
		l.open, l.pending, l.to = false, true, max(dts, l.from)
	default:
		l.samples++
	}
}

// tellLoss hands over what is known of a loss, when a record has said what time
// it is.
func (b *builder) tellLoss() {
	l := &b.loss
	if l.open && (b.end()-l.from).Duration(b.rate) >= lossEvery { // a stream without sync samples
		l.to, l.pending = b.end(), true
	}
	if !l.pending || !l.anchored {
		return
	}
	packets := b.lostPackets()
	told := media.Loss{
		Time:    (l.to - l.from - l.good).Duration(b.rate),
		Packets: packets,
		Missing: uint32(max(0, int64((l.to-l.from-l.good+l.step/2)/l.step)-int64(l.samples))),
		Damaged: l.damaged,
	}
	span := media.Span{From: b.wallOf(l.from), To: b.wallOf(l.to)}
	l.samples, l.damaged, l.good = 0, 0, 0
	l.from, l.pending = l.to, false
	if told.Time >= l.step.Duration(b.rate)/2 {
		l.packets += uint64(packets)
		b.rec.c.gaps.lost(b.rec.run, span, told)
	}
}

// lostPackets is how many were lost since it was told last.
func (b *builder) lostPackets() uint32 {
	return uint32(b.rec.receivers[b.index].Stats().Lost - b.loss.packets)
}

func (b *builder) wallOf(pos media.Ticks) int64 {
	return b.loss.wall + int64((pos - b.loss.at).Duration(b.rate))
}

// endLoss tells of a loss that no sync sample ended, because the run ends. It
// reports whether there was one.
func (b *builder) endLoss() bool {
	l := &b.loss
	open := l.open
	if open {
		l.open, l.pending, l.to = false, true, max(b.end(), l.from)
	}
	b.tellLoss()
	return open
}

// noteLoss begins a gap between two runs that is a loss: what came behind it was
// worth a run of its own.
func (g *gaps) noteLoss(packets uint32, step time.Duration) {
	if g.isOpen {
		return
	}
	g.note(media.ReasonLoss, "", g.end)
	g.current.Loss.Packets, g.step = packets, step
}

// missed counts the samples that were lost in the gap, which has ended.
func (g *gaps) missed() {
	if g.current.Reason == media.ReasonLoss && g.step > 0 {
		g.current.Loss.Missing = uint32((g.current.Span.Duration() + g.step/2) / g.step)
	}
}

// lost takes a loss inside a run.
func (g *gaps) lost(run media.RunID, span media.Span, l media.Loss) {
	p := &g.losses
	if p.Run != run || span.From < p.Span.From {
		g.tellLosses()
	}
	if p.Run == 0 {
		*p = media.Gap{Stream: g.stream, Span: span, Reason: media.ReasonLoss, Run: run, Loss: l}
	} else {
		p.Span.To = max(p.Span.To, span.To)
		p.Loss = p.Loss.Plus(l)
	}
	if (time.Duration(p.Span.To - g.lossTold)).Abs() >= lossEvery {
		g.tellLosses()
	}
}

// tellLosses offers the losses that were put together.
func (g *gaps) tellLosses() {
	p := &g.losses
	if p.Run == 0 {
		return
	}
	if p.Loss.Time >= p.Span.Duration() {
		p.Loss.Time = 0 // all of it
	}
	g.lossTold = p.Span.To
	g.offer(*p)
	*p = media.Gap{}
}
