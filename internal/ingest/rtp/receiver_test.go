package rtp

import (
	"testing"
	"time"
)

// counter is a Depacketizer that notes what comes.
type counter struct{ packets, gaps int }

func (c *counter) Packet(p Packet) {
	c.packets++
	if p.Gap {
		c.gaps++
	}
}
func (c *counter) Flush()       {}
func (c *counter) Close()       {}
func (c *counter) Stats() Stats { return Stats{} }

func TestSequence(t *testing.T) {
	type run struct {
		from, n int
		pt      uint8
		ssrc    byte
	}
	for _, c := range []struct {
		name  string
		runs  []run
		taken int
		gaps  int // the first packet has one
		stats Stats
	}{
		{"in order, across the wrap", []run{{65500, 100, 96, 1}}, 100, 1, Stats{}},
		{"three lost", []run{{0, 10, 96, 1}, {13, 10, 96, 1}}, 20, 2, Stats{Lost: 3}},
		{"one twice, one late", []run{{0, 10, 96, 1}, {9, 1, 96, 1}, {5, 1, 96, 1}, {10, 5, 96, 1}}, 15, 1, Stats{Late: 2}},
		{"starts again at 0", []run{{30000, 10, 96, 1}, {0, 10, 96, 1}}, 20, 2, Stats{}},
		{"starts again a little back", []run{{100, 10, 96, 1}, {0, 100, 96, 1}}, 10 + 68, 2, Stats{Late: 32}},
		{"a strange type with the next numbers (Geovision)", []run{{0, 10, 96, 1}, {10, 3, 50, 1}, {10, 10, 96, 1}}, 20, 1, Stats{UnknownType: 3}},
		{"another SSRC, numbers go on (Uniview)", []run{{0, 10, 96, 1}, {10, 10, 96, 2}}, 20, 1, Stats{}},
		{"another SSRC, other numbers", []run{{0, 10, 96, 1}, {777, 10, 96, 2}}, 20, 2, Stats{}},
		{"only a type that nobody announced", []run{{0, 200, 97, 1}}, 200 - packetsToBelieve + 1, 1, Stats{UnknownType: packetsToBelieve - 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := &counter{}
			r := NewReceiver(out, 96)
			for _, run := range c.runs {
				for i := range run.n {
					p := packet(run.pt, 0, uint16(run.from+i), 0, []byte{1})
					p[11] = run.ssrc
					r.Packet(p, time.Time{})
				}
			}
			got := r.Stats()
			got.Packets = 0
			if out.packets != c.taken || out.gaps != c.gaps || got != c.stats {
				t.Errorf("%d taken, %d gaps, %+v; want %d, %d, %+v", out.packets, out.gaps, got, c.taken, c.gaps, c.stats)
			}
		})
	}
}

func TestSequenceThatStandsStill(t *testing.T) {
	out := &counter{}
	r := NewReceiver(out, 96)
	for range 2000 {
		r.Packet(packet(96, 0, 0, 0, []byte{1}), time.Time{})
	}
	if before := out.packets; !r.unordered {
		t.Errorf("%d of 2000 packets are taken, and no end", before)
	}
}

func TestEmptyAndForeignPackets(t *testing.T) {
	out := &counter{}
	r := NewReceiver(out, 96)
	for _, p := range [][]byte{nil, {0x80}, packet(96, 0, 0, 0, nil), packet(96, 0, 1, 0, []byte{1})} {
		r.Packet(p, time.Time{})
	}
	if out.packets != 1 || out.gaps != 1 || r.Stats().Malformed != 2 {
		t.Errorf("%+v %+v", out, r.Stats())
	}
}
