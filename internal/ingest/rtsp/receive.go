package rtsp

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

const (
	reportPeriod = 5 * time.Second
	byePatience  = 3 * time.Second // from BYE to giving up, if nothing follows
)

// Stats are counters since Open.
type Stats struct {
	Reads   uint64 // that returned something
	Bytes   uint64 // all of them, messages too
	Packets uint64 // handed to the Handler
	Lost    uint64 // sequence numbers that are missing: cameras drop packets before TCP
	Ignored uint64 // packets of foreign sources and unknown payload types
	Junk    uint64 // bytes that were no frame and no message
	Late    uint64 // datagrams that came when they had been given up; they count as lost
	Twice   uint64 // datagrams that came again
	Foreign uint64 // datagrams that did not come from the camera's address; among Ignored
}

type counters struct {
	reads, bytes, packets, lost, ignored, junk, late, twice, foreign atomic.Uint64
}

// Stats may be called at any time; all but Reads and Bytes are brought up to
// date with each batch.
func (s *Session) Stats() Stats {
	c := &s.stats
	return Stats{
		Reads: c.reads.Load(), Bytes: c.bytes.Load(), Packets: c.packets.Load(), Lost: c.lost.Load(), Ignored: c.ignored.Load(), Junk: c.junk.Load(),
		Late: c.late.Load(), Twice: c.twice.Load(), Foreign: c.foreign.Load(),
	}
}

// batch counts what one round brought.
type batch struct{ packets, ignored, late, twice, foreign uint64 }

// Receive hands everything that comes to h until the stream ends. It returns
// nil only when ctx ended; otherwise it says why.
//
// Keepalives and receiver reports are sent from here, between two batches: a
// write that the kernel does not take within 5 ms is given up.
func (s *Session) Receive(ctx context.Context, h Handler) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.closing.Load() { // there is nothing to read from any more
		return s.errorf("receive: %w", net.ErrClosed)
	}
	err := s.receive(ctx, h)
	if k := &s.keepalive; errors.Is(err, ErrHungUp) && !k.sent.IsZero() {
		s.o.Memory.ended(k.method, time.Since(k.sent), time.Since(s.played), s.timeout)
	}
	return err
}

func (s *Session) receive(ctx context.Context, h Handler) error {
	var n batch
	defer s.publish(&n)
	for _, f := range s.early {
		s.frame(item{kind: itemFrame, channel: f.channel, data: f.data}, f.at, h, &n)
	}
	s.early = nil
	for {
		err := s.drain(h, &n)
		if err == nil && s.datagramsUsed() {
			err = s.readPorts(h, &n)
		}
		if err != nil {
			return s.errorf("receive: %w", err)
		}
		s.publish(&n)
		now := time.Now()
		if err := h.Tick(now); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := s.upkeep(now); err != nil {
			return s.errorf("receive: %w", err)
		}
		if s.datagramsUsed() {
			err = s.await(s.nextRead(now))
		} else {
			err = s.fill(nextBeat(now))
		}
		if err != nil {
			return s.errorf("receive: %w", err)
		}
	}
}

// drain takes everything that is complete out of the buffer.
func (s *Session) drain(h Handler, n *batch) error {
	for {
		it, err := s.nextItem()
		switch {
		case err != nil:
			return err
		case it.kind == itemFrame:
			s.frame(it, s.readAt, h, n)
		case it.kind == itemNone:
			return nil
		case it.message.code == 0:
			err = s.answerRequest(it.message)
		default:
			err = s.keepaliveAnswered(it.message, s.readAt)
		}
		if err != nil {
			return err
		}
	}
}

// frame takes in a frame of a channel that is set up.
func (s *Session) frame(it item, arrival time.Time, h Handler, n *batch) {
	index := int(s.channels[it.channel])
	t := s.tracks[index]
	s.heard = arrival
	if s.split.roles[it.channel] == rtcpRole || isRTCP(it.data[1]) {
		s.report(t, index, it.data, arrival, h)
		return
	}
	if s.rtp(t, index, it.data, arrival, h, n) {
		s.split.hear(it.channel, binary.BigEndian.Uint32(it.data[8:]))
	}
}

// rtp takes in an RTP packet of a track, and reports whether it is of the source
// that is received.
func (s *Session) rtp(t *track, index int, data []byte, arrival time.Time, h Handler, n *batch) (accepted bool) {
	pt := data[1] & 0x7f
	rate := t.clockRates[pt]
	if rate == 0 && t.listed { // Geovision's type 50 takes the sequence numbers of the video
		n.ignored++
		return false
	}
	t.listed = t.listed || rate != 0
	ssrc := binary.BigEndian.Uint32(data[8:])
	if t.overtaken(ssrc, arrival) {
		n.late++
		return false
	}
	wasMixed, before := t.source.mixed, t.source.current
	accepted = t.source.accept(ssrc, arrival)
	if t.source.mixed && !wasMixed && s.o.Memory.first("mixed") {
		s.log.Warn("two streams are mixed: one is left out", "camera", s.to.addr(), "track", index, "kept", t.source.current, "left_out", t.source.banned)
	}
	if !accepted {
		n.ignored++
		return false
	}
	if ssrc != before {
		t.sourceAt = arrival
	}
	s.byeAt = time.Time{}
	seq := binary.BigEndian.Uint16(data[2:])
	if t.ports != nil {
		s.inOrder(t, index, ssrc, seq, data, arrival, h, n)
		return true
	}
	s.deliver(t, index, data, arrival, h, n)
	return true
}

// overtaken reports whether a datagram is of the source before this one: a new
// source was faster on its way, and the two are not mixed.
func (t *track) overtaken(ssrc uint32, arrival time.Time) bool {
	return t.ports != nil && t.source.sources > 1 && ssrc == t.source.former && arrival.Sub(t.sourceAt) < reorderWait
}

// deliver hands on a packet.
func (s *Session) deliver(t *track, index int, data []byte, arrival time.Time, h Handler, n *batch) {
	t.receiver.packet(binary.BigEndian.Uint32(data[8:]), binary.BigEndian.Uint16(data[2:]), binary.BigEndian.Uint32(data[4:]), t.clockRates[data[1]&0x7f], arrival)
	n.packets++
	h.Packet(index, data, arrival)
}

// report takes in a compound RTCP packet (RFC 3550 §6.1). What is about
// another source than the packets' is ignored.
func (s *Session) report(t *track, index int, data []byte, arrival time.Time, h Handler) {
	eachRTCP(data, func(kind uint8, body []byte) {
		ssrc := binary.BigEndian.Uint32(body[4:])
		if !t.receiver.started || ssrc != t.receiver.ssrc {
			return
		}
		switch {
		case kind == rtcpSR && len(body) >= 20:
			ntp := binary.BigEndian.Uint64(body[8:])
			t.receiver.senderReport(ntp, arrival)
			if ntp != 0 {
				h.SenderReport(index, ntpTime(ntp), binary.BigEndian.Uint32(body[16:]), arrival)
			}
		case kind == rtcpBYE:
			s.byeAt = arrival
		}
	})
}

// publish makes the counters of a batch visible.
func (s *Session) publish(n *batch) {
	if *n != (batch{}) {
		s.stats.packets.Add(n.packets)
		s.stats.ignored.Add(n.ignored)
		s.stats.late.Add(n.late)
		s.stats.twice.Add(n.twice)
		s.stats.foreign.Add(n.foreign)
		*n = batch{}
		var lost uint64
		for _, t := range s.tracks {
			lost += t.receiver.totalLost()
		}
		s.stats.lost.Store(lost)
	}
	s.stats.junk.Store(s.split.junk)
}

// upkeep does what is due.
func (s *Session) upkeep(now time.Time) error {
	if !s.byeAt.IsZero() && now.Sub(s.byeAt) > byePatience {
		return errBye
	}
	if !now.Before(s.keepalive.due) && !s.control.lost {
		switch err := s.sendKeepalive(now); {
		case err != nil && s.datagramsUsed() && !errors.Is(err, net.ErrClosed):
			s.controlLost(err)
		case err != nil:
			return err
		}
	}
	if s.heard.IsZero() && s.o.FirstPacket > 0 && s.o.Transport == TransportAuto && !s.to.secure() && now.Sub(s.played) > s.o.FirstPacket {
		return ErrSilent
	}
	if s.datagramsUsed() {
		if err := s.attended(now); err != nil {
			return err
		}
	}
	if now.Before(s.reportDue) {
		return nil
	}
	s.reportDue = now.Add(reportPeriod)
	if s.datagramsUsed() {
		s.reportDatagrams(now)
		return nil
	}
	s.out = s.out[:0]
	for _, t := range s.tracks {
		if t.receiver.started {
			at := len(s.out)
			s.out = t.receiver.appendReport(beginFrame(s.out, t.rtcp), s.ownSSRC, s.cname, now)
			endFrame(s.out, at)
		}
	}
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.post(s.out)
	return err
}
