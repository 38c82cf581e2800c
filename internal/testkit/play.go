package testkit

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// player sends the units of one connection.
type player struct {
	p        *Peer
	began    time.Time // unit 0 was taken
	tracks   []int
	next     map[int]int    // unit of a track
	sequence map[int]uint16 // of a track's next packet
	report   time.Time      // the next one is due
	octets   map[int]uint32
	packets  map[int]uint32
	last     map[int]stampAt
}

type stampAt struct {
	rtp uint32
	at  time.Time
}

// Report is what a sender report says.
type Report struct {
	NTP  uint64
	Time uint32
	SSRC uint32
	On   int           // 0: the RTCP channel, 1: that of the packets
	Bye  bool          // says goodbye as well
	At   time.Duration // since the camera's first PLAY
	N    int           // how many there were on this connection, from 1
}

// NTP is a time as sender reports write it.
func NTP(t time.Time) uint64 {
	return uint64(t.Unix()+2208988800)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

const reportEvery = 5 * time.Second

func newPlayer(p *Peer) *player {
	c := p.C
	now := time.Now()
	c.mu.Lock()
	if c.began.IsZero() {
		c.began = now.Add(-c.Past)
	}
	x := &player{
		p: p, began: c.began, tracks: p.setup, report: now.Add(c.ReportAfter),
		next: map[int]int{}, sequence: map[int]uint16{}, octets: map[int]uint32{}, packets: map[int]uint32{}, last: map[int]stampAt{},
	}
	c.mu.Unlock()
	life := now.Sub(x.began)
	for _, i := range x.tracks {
		t := c.Tracks[i]
		n := 0
		for t.due(n) < life-c.Past || !t.joins(n) {
			n++
		}
		x.next[i], x.sequence[i] = n, t.Sequence+uint16(p.N*1000)
	}
	return x
}

// info is the RTP-Info of a good camera.
func (x *player) info(uri string) string {
	var l []string
	for _, i := range x.tracks {
		t := x.p.C.Tracks[i]
		l = append(l, fmt.Sprintf("url=%s;seq=%d;rtptime=%d", x.p.C.control(t), x.sequence[i], t.stamp(x.next[i])))
	}
	return strings.Join(l, ",")
}

// early sends units before their time.
func (x *player) early(n int) {
	for range n {
		if i := x.first(); i >= 0 {
			x.send(i)
		}
	}
}

// first is the track whose unit is due first.
func (x *player) first() int {
	best, at := -1, time.Duration(0)
	for _, i := range x.tracks {
		if d := x.p.C.Tracks[i].due(x.next[i]); best < 0 || d < at {
			best, at = i, d
		}
	}
	return best
}

func (x *player) run() {
	c := x.p.C
	for {
		i := x.first()
		due := x.began.Add(c.Tracks[i].due(x.next[i]))
		if !x.p.Wait(time.Until(due)) {
			return
		}
		if !x.upkeep() || !x.send(i) {
			x.p.HangUp()
			return
		}
	}
}

// upkeep sends reports and looks at the session's time-out.
func (x *player) upkeep() bool {
	c, now := x.p.C, time.Now()
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 60 * time.Second
	}
	c.mu.Lock()
	silent := now.Sub(x.p.heard)
	c.mu.Unlock()
	if silent > timeout {
		c.mu.Lock()
		c.expired++
		c.mu.Unlock()
		return false
	}
	if c.NoReports || now.Before(x.report) {
		return true
	}
	x.report = now.Add(reportEvery)
	for _, i := range x.tracks {
		if !x.sendReport(i, now) {
			return false
		}
	}
	return true
}

func (x *player) sendReport(i int, now time.Time) bool {
	c := x.p.C
	t := c.Tracks[i]
	l := x.last[i]
	x.packets[-1-i]++
	r := &Report{NTP: NTP(now), SSRC: t.SSRC, At: now.Sub(x.began), N: int(x.packets[-1-i])}
	if !l.at.IsZero() {
		r.Time = l.rtp + ticks(now.Sub(l.at), t.Clock)
	}
	if c.Report != nil && !c.Report(t, r) {
		return true
	}
	b := []byte{0x80, 200, 0, 6}
	b = binary.BigEndian.AppendUint32(b, r.SSRC)
	b = binary.BigEndian.AppendUint64(b, r.NTP)
	b = binary.BigEndian.AppendUint32(b, r.Time)
	b = binary.BigEndian.AppendUint32(b, x.packets[i])
	b = binary.BigEndian.AppendUint32(b, x.octets[i])
	if r.Bye {
		b = append(b, 0x81, 203, 0, 1)
		b = binary.BigEndian.AppendUint32(b, r.SSRC)
	}
	return x.p.Write(frame(x.p.channels[i][1-r.On], b))
}

// send sends the next unit of a track.
func (x *player) send(i int) bool {
	c := x.p.C
	t := c.Tracks[i]
	n := x.next[i]
	x.next[i]++
	u := t.unit(i, n, x.p.N)
	if c.Unit != nil {
		c.Unit(x.p, u)
	}
	if u.Skip {
		return true
	}
	taken := x.began.Add(t.due(n))
	if u.Clip != nil { // a picture that is shown later is taken later
		_, place := u.Clip.at(n)
		taken = x.began.Add(t.due(place))
	}
	if u.Delay > 0 && !x.p.Wait(time.Until(x.began.Add(t.due(n)+u.Delay))) {
		return false
	}
	var ks []*Packet
	if c.Packetize != nil {
		ks = c.Packetize(u)
	}
	if ks == nil {
		ks = u.packets()
	}
	if len(ks) > 0 && t.Marker {
		ks[len(ks)-1].Marker = true
	}
	if c.Packets != nil {
		ks = c.Packets(x.p, u, ks)
	}
	var wire []byte
	for j, k := range ks {
		wire = append(wire, x.frame(i, k)...)
		if c.Spread > 0 && j+1 < len(ks) {
			if !x.p.Write(wire) || !x.p.Wait(c.Spread) {
				return false
			}
			wire = nil
		}
	}
	x.last[i] = stampAt{u.Time, taken}
	if !x.p.Write(wire) {
		return false
	}
	s := Sent{Track: i, Conn: x.p.N, N: n, At: taken, Size: len(u.Sound), Clip: u.Clip, Wrote: time.Now()}
	c.mu.Lock()
	if !c.Lean {
		c.sent = append(c.sent, s)
	}
	c.mu.Unlock()
	return true
}

// frame numbers a packet and dresses it.
func (x *player) frame(i int, k *Packet) []byte {
	if k.Raw != nil {
		return k.Raw
	}
	x.sequence[i] += k.Skip
	sequence := x.sequence[i]
	if !k.Same {
		x.sequence[i]++
	}
	if k.Sequence != nil {
		sequence = *k.Sequence
	}
	if k.Lost {
		return nil
	}
	channel := x.p.channels[i][0]
	if k.Channel != nil {
		channel = *k.Channel
	}
	b := k.bytes(sequence)
	if k.Cut {
		b = frame(channel, b)
		return b[:len(b)/2]
	}
	x.packets[i]++
	x.octets[i] += uint32(len(k.Payload))
	b = frame(channel, b)
	if x.p.C.Frame != nil {
		b = x.p.C.Frame(x.p, k, b)
	}
	return append(append(append([]byte(nil), k.Before...), b...), k.After...)
}
