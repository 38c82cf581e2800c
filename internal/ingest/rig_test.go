package ingest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nvr/internal/ingest/rtsp"
	"nvr/internal/media"
)

const (
	sps264 = "6764000cacb302833f3e0220000003002000000303c1e2854d"
	pps264 = "68e9732c8b"
	// Another size.
	sps264b = "6764000cacb302823f3e0220000003002000000303c1e2854d"
)

// rig feeds packets to a recording without a network, at times of its own.
type rig struct {
	t     testing.TB
	shelf *shelf
	rec   *recording
	now   time.Time
	seq   [2]uint16
	stamp [2]uint32
	ahead time.Duration // what the recorder's clock was set by
}

func newRig(t testing.TB, every time.Duration, encodings ...string) *rig {
	t.Helper()
	now := time.Now()
	r := &rig{t: t, shelf: newShelf(), now: now}
	c := New(Options{Stream: testStream, RecordEvery: every, Epoch: now, Clock: r.clock}, r.shelf)
	c.gaps.end = now.UnixNano()
	r.rec = newRecording(c)
	for _, e := range encodings {
		f := rtsp.Format{PayloadType: 96, Encoding: e, ClockRate: 90000, Params: map[string]string{
			"sprop-parameter-sets": "Z2QADKyzAoM/PgIgAAADACAAAAMDweKFTQ==,aOlzLIs="}}
		if e != "H264" {
			f.ClockRate = 8000
		}
		p, err := choose(&f)
		if err != nil {
			t.Fatal(err)
		}
		p.types = []uint8{96}
		r.rec.add(p)
	}
	r.rec.begin(now)
	return r
}

// clock is the recorder's clock.
func (r *rig) clock(t time.Time) int64 { return t.UnixNano() + int64(r.ahead) }

// wait lets time pass, with a Tick each 100 ms.
func (r *rig) wait(d time.Duration) {
	for d > 0 {
		s := min(d, 100*time.Millisecond)
		r.now = r.now.Add(s)
		d -= s
		if err := r.rec.Tick(r.now); err != nil {
			r.t.Fatal(err)
		}
	}
}

// send sends a NAL unit or a sound of a track as one packet.
func (r *rig) send(track int, hexes string, marker bool) {
	r.t.Helper()
	b, err := hex.DecodeString(hexes)
	if err != nil {
		r.t.Fatal(err)
	}
	p := []byte{0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(track + 1)}
	if marker {
		p[1] |= 0x80
	}
	binary.BigEndian.PutUint16(p[2:], r.seq[track])
	binary.BigEndian.PutUint32(p[4:], r.stamp[track])
	r.seq[track]++
	r.rec.Packet(track, append(p, b...), r.now)
}

const step = 40 * time.Millisecond

// gop sends a sync sample and n-1 others of size bytes each.
func (r *rig) gop(n, size int) {
	r.t.Helper()
	for i := range n {
		head := "419a"
		if i == 0 {
			head = "6588"
		}
		r.send(0, head+strings.Repeat("a5", max(size-2, 1)), true)
		r.step(1)
	}
}

func (r *rig) step(n int) {
	for range n {
		r.wait(step)
		r.stamp[0] += 3600
	}
}

// listing is the records as text: track, start, flags and durations in ms.
func (r *rig) listing() []string {
	var l []string
	for _, x := range r.shelf.records {
		ms := func(t media.Ticks) int64 { return t.Duration(x.Params.ClockRate).Milliseconds() }
		s := fmt.Sprintf("track %d at %d:", x.Track, ms(x.Start))
		last, n := "", 0
		flush := func() {
			if n > 1 {
				s += fmt.Sprintf(" %d×%s", n, last)
			} else if n == 1 {
				s += " " + last
			}
			n = 0
		}
		for _, y := range x.Buffer.Samples {
			w := fmt.Sprint(ms(media.Ticks(y.Duration)))
			if y.Sync() && x.Track == media.VideoTrack {
				w = "S" + w
			}
			if y.Flags&media.SampleDamaged != 0 {
				w += "!"
			}
			if w != last {
				flush()
			}
			last = w
			n++
		}
		flush()
		l = append(l, s)
	}
	return l
}

func (r *rig) expect(want ...string) {
	r.t.Helper()
	if got := r.listing(); !slices.Equal(got, want) {
		r.t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
