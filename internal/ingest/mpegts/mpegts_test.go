package mpegts

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// page writes down what a Demuxer finds.
type page struct {
	lines []string
	stop  int // full after so many PES packets; 0: never
	n     int
}

func (p *page) Program(streams []Stream) {
	var names []string
	for _, s := range streams {
		names = append(names, fmt.Sprintf("%d=%s", s.PID, s.Name))
	}
	p.lines = append(p.lines, "program "+strings.Join(names, " "))
}

func (p *page) PES(u PES) {
	s := fmt.Sprintf("%d @%d", u.Stream, u.PTS)
	if u.Gap {
		s += " gap"
	}
	p.lines = append(p.lines, fmt.Sprintf("%s: %d×%x", s, len(u.Data), u.Data[:1]))
	p.n++
}

func (p *page) Full() bool { return p.stop > 0 && p.n >= p.stop }

// read feeds b in pieces of a size, as a pipe does.
func read(b []byte, size int) ([]string, Stats) {
	var d Demuxer
	p := &page{}
	var pending []byte
	for len(b) > 0 {
		n := min(size, len(b))
		pending = append(pending, b[:n]...)
		b = b[n:]
		pending = pending[d.Write(pending, p):]
	}
	d.Flush(p)
	return p.lines, d.Stats()
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

var (
	video = stream(0x100, 0x1b)
	sound = stream(0x101, 0x0f)
)

const both = "program 256=H.264 257=AAC"

var cases = []struct {
	name  string
	write func(m *mux)
	want  []string
	stats Stats // Packets and InARow are not compared
}{
	{"pictures and sound", func(m *mux) {
		m.program(video, sound)
		m.pes(0x100, 1000, false, fill(1, 5000))
		m.pes(0x101, 1100, true, fill(2, 300))
		m.pes(0x100, 4600, false, fill(3, 10))
		m.pes(0x101, 3020, true, fill(4, 170)) // fits into one packet
	}, []string{both, "1 @1100 gap: 300×02", "0 @1000 gap: 5000×01", "1 @3020: 170×04", "0 @4600: 10×03"}, Stats{}},
	{"every kind", func(m *mux) {
		m.program(stream(1, 0x24), stream(2, 0x11), stream(3, 0x06, 0x05, 4, 'O', 'p', 'u', 's', 0x7f, 2, 0x80, 2),
			stream(4, 0x03), stream(5, 0x06, 0x05, 4, 'A', 'C', '-', '3'), stream(6, 0x06), stream(7, 0x02), stream(8, 0x99))
		m.pes(4, 5, true, fill(1, 10)) // cannot be stored
		m.pes(3, 5, true, fill(2, 10))
	}, []string{`program 1=H.265 2=AAC in LATM 3=Opus 4=MPEG audio 5=private data "AC-3" 6=stream type 0x06 7=MPEG video 8=stream type 0x99`, "2 @5 gap: 10×02"}, Stats{}},
	{"time stamps wrap at 33 bits", func(m *mux) {
		m.program(video)
		m.pes(0x100, 1<<33-1800, true, fill(1, 10))
		m.pes(0x100, 1800, true, fill(2, 10))
		m.pes(0x100, 1<<32+7, true, fill(3, 10))
	}, []string{"program 256=H.264", fmt.Sprintf("0 @%d gap: 10×01", uint32(1<<32-1800)), "0 @1800: 10×02", "0 @7: 10×03"}, Stats{}},
	{"no time stamp: that of the packet before, and none before the first", func(m *mux) {
		m.program(video)
		m.pes(0x100, -1, true, fill(1, 10))
		m.pes(0x100, 77, true, fill(2, 10))
		m.pes(0x100, -1, true, fill(3, 10))
	}, []string{"program 256=H.264", "0 @77 gap: 10×02", "0 @77: 10×03"}, Stats{}},
	{"junk at the beginning, with sync bytes in it", func(m *mux) {
		m.WriteString("Setting pipeline to PAUSED G G G\n")
		m.program(video)
		m.pes(0x100, 1, true, fill(1, 10))
	}, []string{"program 256=H.264", "0 @1 gap: 10×01"}, Stats{Junk: 33}},
	{"junk in the middle costs one picture", func(m *mux) {
		m.program(video)
		m.pes(0x100, 1, true, fill(1, 1000))
		at := m.Len()
		m.pes(0x100, 2, true, fill(2, 1000))
		m.pes(0x100, 3, true, fill(3, 1000))
		b := slices.Clone(m.Bytes())
		m.Reset()
		m.Write(b[:at+packetSize+50]) // a packet was cut
		m.WriteString("a word to the wrong place")
		m.Write(b[at+2*packetSize:])
	}, []string{"program 256=H.264", "0 @1 gap: 1000×01", "0 @3 gap: 1000×03"}, Stats{Lost: 1}},
	{"a lost packet", func(m *mux) {
		m.program(video)
		m.pes(0x100, 1, false, fill(1, 1000))
		at := m.Len()
		m.pes(0x100, 2, false, fill(2, 1000))
		m.pes(0x100, 3, false, fill(3, 1000))
		b := slices.Clone(m.Bytes())
		m.Reset()
		m.Write(b[:at+packetSize])
		m.Write(b[at+2*packetSize:])
	}, []string{"program 256=H.264", "0 @1 gap: 1000×01", "0 @3 gap: 1000×03"}, Stats{Lost: 1}},
	{"a packet sent twice", func(m *mux) {
		m.program(video)
		at := m.Len()
		m.pes(0x100, 1, true, fill(1, 400))
		b := slices.Clone(m.Bytes())
		m.Write(b[at+2*packetSize:]) // the last one again
		m.pes(0x100, 2, true, fill(2, 10))
	}, []string{"program 256=H.264", "0 @1 gap: 400×01", "0 @2: 10×02"}, Stats{}},
	{"a count that begins again, and says so", func(m *mux) {
		m.program(video)
		m.pes(0x100, 1, true, fill(1, 10))
		m.counters[0x100] = 9
		at := m.Len()
		m.pes(0x100, 2, true, fill(2, 10))
		m.Bytes()[at+5] |= 0x80
	}, []string{"program 256=H.264", "0 @1 gap: 10×01", "0 @2: 10×02"}, Stats{}},
	{"a damaged table is not believed, the next is", func(m *mux) {
		m.program(stream(0x100, 0x24))
		m.Bytes()[m.Len()-7] ^= 1
		m.program(video)
		m.pes(0x100, 1, true, fill(1, 10))
	}, []string{"program 256=H.264", "0 @1 gap: 10×01"}, Stats{Malformed: 1}},
	{"a table in two packets", func(m *mux) {
		many := [][]byte{video}
		for i := range 20 {
			many = append(many, stream(uint16(0x200+i), 0x03, 0x0a, 4, 'd', 'e', 'u', 0))
		}
		m.program(many...)
		m.pes(0x100, 1, true, fill(1, 10))
	}, []string{"program 256=H.264" + func() (s string) {
		for i := range 20 {
			s += fmt.Sprintf(" %d=MPEG audio", 0x200+i)
		}
		return
	}(), "0 @1 gap: 10×01"}, Stats{}},
	{"another program map: streams that stay go on", func(m *mux) {
		m.program(video)
		m.pes(0x100, 1, true, fill(1, 10))
		m.program(video)
		m.program(video, sound)
		m.pes(0x100, 2, true, fill(2, 10))
		m.pes(0x101, 2, true, fill(3, 10))
	}, []string{"program 256=H.264", "0 @1 gap: 10×01", both, "0 @2: 10×02", "1 @2 gap: 10×03"}, Stats{}},
	{"shorter than it says", func(m *mux) {
		m.program(video)
		m.payload(0x100, pes(1, true, fill(1, 1000))[:500])
		m.pes(0x100, 2, true, fill(2, 10))
	}, []string{"program 256=H.264", "0 @2 gap: 10×02"}, Stats{Malformed: 1}},
	{"longer than any picture", func(m *mux) {
		m.program(video)
		m.pes(0x100, 1, false, fill(1, maxPES+1))
		m.pes(0x100, 2, false, fill(2, 10))
	}, []string{"program 256=H.264", "0 @2 gap: 10×02"}, Stats{Malformed: 1}},
	{"nothing but junk", func(m *mux) { m.Write(fill(syncByte^1, 5000)) }, nil, Stats{Junk: 5000}},
	{"a program of no streams", func(m *mux) { m.program() }, []string{"program "}, Stats{}},
}

func TestDemuxer(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMux()
			c.write(m)
			for range packetsToBelieve { // so that the last packet is believed
				m.packet(nullPID, false, fill(0, packetSize-4))
			}
			for _, size := range []int{1 << 20, 4096, 188, 1} {
				if size == 1 && m.Len() > 1<<20 {
					continue
				}
				got, stats := read(m.Bytes(), size)
				if !slices.Equal(got, c.want) {
					t.Errorf("in pieces of %d: got\n%s\nwant\n%s", size, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
				}
				stats.Packets, stats.InARow = 0, 0
				want := c.stats
				if strings.HasPrefix(c.name, "junk in the middle") { // how much depends on where it is cut
					stats.Junk, want.Junk = 0, 0
				}
				if c.name == "nothing but junk" { // the null packets are junk too until they are believed
					stats.Junk = want.Junk
				}
				if stats != want {
					t.Errorf("in pieces of %d: %+v, want %+v", size, stats, want)
				}
			}
		})
	}
}

// A handler that is full stops the demuxer behind a packet, and it goes on from there.
func TestFull(t *testing.T) {
	m := newMux()
	m.program(video)
	for i := range 5 {
		m.pes(0x100, int64(i), true, fill(byte(i), 10))
	}
	var d Demuxer
	p := &page{stop: 2}
	n := d.Write(m.Bytes(), p)
	if p.n != 2 || n >= m.Len() {
		t.Fatalf("%d packets in %d of %d bytes", p.n, n, m.Len())
	}
	p.stop = 0
	if n += d.Write(m.Bytes()[n:], p); p.n != 5 || n != m.Len() {
		t.Errorf("%d packets in %d of %d bytes", p.n, n, m.Len())
	}
}

func FuzzDemuxer(f *testing.F) {
	for _, c := range cases {
		if m := newMux(); !strings.HasPrefix(c.name, "longer") {
			c.write(m)
			f.Add(m.Bytes(), 1000)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		if size < 1 {
			size = 1
		}
		whole, stats := read(b, 1<<30)
		if used := stats.Packets*packetSize + stats.Junk; used > uint64(len(b)) || used+packetsToBelieve*packetSize <= uint64(len(b)) {
			t.Fatalf("%d of %d bytes", used, len(b))
		}
		if parts, again := read(b, size); !slices.Equal(whole, parts) || stats != again {
			t.Fatalf("pieces of %d make a difference:\n%v %+v\n%v %+v", size, whole, stats, parts, again)
		}
	})
}

// A packet costs no allocation once the buffers have their size.
func TestAllocations(t *testing.T) {
	m := newMux()
	m.program(video)
	for i := range 16 { // the counter comes round
		m.pes(0x100, int64(i), false, fill(1, 16*(packetSize-4)-14))
	}
	var d Demuxer
	p := &silent{}
	d.Write(m.Bytes(), p)
	if n := testing.AllocsPerRun(10, func() { d.Write(m.Bytes(), p) }); n > 0 {
		t.Errorf("%v allocations for %d packets", n, m.Len()/packetSize)
	}
	if p.n < 16*10 {
		t.Errorf("%d pictures", p.n)
	}
}

type silent struct{ n int }

func (*silent) Program([]Stream) {}
func (s *silent) PES(PES)        { s.n++ }
func (*silent) Full() bool       { return false }

func BenchmarkDemuxer(b *testing.B) {
	m := newMux()
	m.program(video)
	for i := range 16 {
		m.pes(0x100, int64(i), false, fill(1, 16*(packetSize-4)-14))
	}
	var d Demuxer
	b.SetBytes(int64(m.Len()))
	for b.Loop() {
		d.Write(m.Bytes(), &silent{})
	}
}
