package rtp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"nvr/internal/media"
	"nvr/internal/testkit"
)

// page is a Sink that writes down what it is told, a line a unit:
//
//	@time sync leading damaged gap: bytes bytes
//
// with NAL units separated by blanks.
type page struct {
	raw    bool // bytes as they are, not behind lengths
	limit  int  // of a unit; 0: none
	b      []byte
	h      Head
	headed bool
	lines  []string
	params []*media.Track
	sizes  []int

	durations []media.Ticks
}

func (p *page) Append(b []byte) bool {
	p.b = append(p.b, b...)
	return p.limit == 0 || len(p.b) <= p.limit
}

func (p *page) Patch(offset int, n uint32) { binary.BigEndian.PutUint32(p.b[offset:], n) }

func (p *page) Head(h Head) {
	if p.headed {
		panic("two heads")
	}
	p.h, p.headed = h, true
}

func (p *page) Split(keep int) {
	rest := append([]byte(nil), p.b[len(p.b)-keep:]...)
	p.b = p.b[:len(p.b)-keep]
	p.Commit()
	p.b = append(p.b, rest...)
}

func (p *page) Commit() {
	if !p.headed {
		panic("no head")
	}
	var s strings.Builder
	fmt.Fprintf(&s, "@%d", p.h.Time)
	for _, f := range []struct {
		on   bool
		name string
	}{{p.h.Sync, "sync"}, {p.h.Leading, "leading"}, {p.h.Damaged, "damaged"}, {p.h.Gap, "gap"}} {
		if f.on {
			s.WriteString(" " + f.name)
		}
	}
	s.WriteByte(':')
	if p.raw {
		s.WriteString(" " + hex.EncodeToString(p.b))
	}
	for b := p.b; !p.raw && len(b) > 0; {
		if len(b) < 4 || int(binary.BigEndian.Uint32(b)) > len(b)-4 {
			panic(fmt.Sprintf("lengths do not fit: %x", p.b))
		}
		n := int(binary.BigEndian.Uint32(b))
		s.WriteString(" " + hex.EncodeToString(b[4:4+min(n, 8)]))
		b = b[4+n:]
	}
	p.lines = append(p.lines, s.String())
	p.params = append(p.params, p.h.Params)
	p.sizes = append(p.sizes, len(p.b))
	p.durations = append(p.durations, p.h.Duration)
	p.Abort()
}

func (p *page) Abort() { p.b, p.headed = p.b[:0], false }

// A step of a case is "payload" in hexadecimal, with what precedes it:
//
//	m        the marker
//	@1000    the time stamp from here on
//	+1       so many packets are missing before it
//
// and blanks inside the payload are ignored. "flush" is Flush.
func play(t testing.TB, d Depacketizer, steps []string) Stats {
	t.Helper()
	r := NewReceiver(d, 96)
	seq, stamp := uint16(65530), uint32(0)
	for _, step := range steps {
		if step == "flush" {
			r.Flush()
			continue
		}
		marker, payload := byte(0), ""
		for _, w := range strings.Fields(step) {
			switch {
			case w == "m":
				marker = 0x80
			case w[0] == '@':
				fmt.Sscanf(w, "@%d", &stamp)
			case w[0] == '+':
				n := 0
				fmt.Sscanf(w, "+%d", &n)
				seq += uint16(n)
			default:
				payload += w
			}
		}
		b, err := hex.DecodeString(payload)
		if err != nil {
			t.Fatalf("%q: %v", step, err)
		}
		r.Packet(packet(96, marker, seq, stamp, b), time.Unix(0, 0))
		seq++
	}
	r.Close()
	return r.Stats()
}

func packet(pt, marker byte, seq uint16, stamp uint32, payload []byte) []byte {
	p := []byte{0x80, marker | pt, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	binary.BigEndian.PutUint16(p[2:], seq)
	binary.BigEndian.PutUint32(p[4:], stamp)
	return append(p, payload...)
}

// videoCase is what packets become. The same tables seed the fuzzers.
type videoCase struct {
	name  string
	in    []string
	want  []string
	stats Stats // the counters that matter
}

func runCases(t *testing.T, cases []videoCase, make func(Sink) Depacketizer, raw bool) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := &page{raw: raw}
			stats := play(t, make(p), c.in)
			if got, want := strings.Join(p.lines, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			stats.Packets = 0
			if stats != c.stats {
				t.Errorf("stats %+v, want %+v", stats, c.stats)
			}
		})
	}
}

// fuzz feeds packets: two bytes of length, of which the top bits are marker,
// time step and loss, and a payload.
func fuzz(f *testing.F, cases []videoCase, make func(Sink) Depacketizer) {
	for _, c := range cases {
		var seed []byte
		for _, step := range c.in {
			var payload, flags = "", uint16(0)
			for _, w := range strings.Fields(step) {
				switch {
				case w == "m":
					flags |= 0x8000
				case w == "flush":
					flags |= 0x1000
				case w[0] == '@':
					flags |= 0x4000
				case w[0] == '+':
					flags |= 0x2000
				default:
					payload += w
				}
			}
			b, _ := hex.DecodeString(payload)
			seed = binary.BigEndian.AppendUint16(seed, flags|uint16(len(b)))
			seed = append(seed, b...)
		}
		f.Add(seed)
	}
	for _, s := range testkit.Seeds() { // what cameras really send
		var seed []byte
		stamp := uint32(0)
		for _, k := range s.Packets {
			flags, payload := uint16(k[1]&0x80)<<8, k[12:]
			if at := binary.BigEndian.Uint32(k[4:]); at != stamp {
				stamp, flags = at, flags|0x4000
			}
			payload = payload[:min(len(payload), 0xfff)]
			seed = binary.BigEndian.AppendUint16(seed, flags|uint16(len(payload)))
			seed = append(seed, payload...)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p := &page{raw: true, limit: 1 << 16}
		r := NewReceiver(make(p), 96)
		seq, stamp := uint16(0), uint32(0)
		for len(in) >= 2 {
			flags := binary.BigEndian.Uint16(in)
			n := min(int(flags&0xfff), len(in)-2)
			payload := in[2 : 2+n]
			in = in[2+n:]
			if flags&0x4000 != 0 {
				stamp += 3000
			}
			if flags&0x2000 != 0 {
				seq++
			}
			if flags&0x1000 != 0 {
				r.Flush()
			}
			r.Packet(packet(96, byte(flags>>8)&0x80, seq, stamp, payload), time.Time{})
			seq++
		}
		r.Close()
		for i, params := range p.params {
			if params == nil || p.sizes[i] > 1<<16 {
				t.Fatalf("unit %d: params %v, %d bytes", i, params, p.sizes[i])
			}
		}
		if len(p.b) > 0 {
			t.Fatalf("%d bytes neither committed nor aborted", len(p.b))
		}
	})
}
