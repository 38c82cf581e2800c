package ingest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"nvr/internal/ingest/rtp"
	"nvr/internal/ingest/timeline"
	"nvr/internal/media"
)

func TestCuts(t *testing.T) {
	t.Run("a long time between forced cuts: GOPs begin records", func(t *testing.T) {
		r := newRig(t, time.Hour, "H264")
		r.gop(30, 100)
		r.gop(30, 100)
		r.gop(5, 100)
		r.rec.close()
		r.expect("track 1 at 0: S40 29×40", "track 1 at 1200: S40 29×40", "track 1 at 2400: S40 4×40")
		check(t, r.shelf.records)
	})
	t.Run("a picture that is all there is cut with the time", func(t *testing.T) {
		r := newRig(t, 400*time.Millisecond, "H264")
		r.gop(25, 100)
		r.rec.close()
		r.expect("track 1 at 0: S40 9×40", "track 1 at 400: 10×40", "track 1 at 800: 5×40")
	})
	t.Run("all intra: a record a second", func(t *testing.T) {
		r := newRig(t, time.Hour, "H264")
		for range 60 {
			r.gop(1, 100)
		}
		r.rec.close()
		r.expect("track 1 at 0: 25×S40", "track 1 at 1000: 25×S40", "track 1 at 2000: 10×S40")
	})
	t.Run("a picture in work moves to the next record", func(t *testing.T) {
		r := newRig(t, 100*time.Millisecond, "H264")
		r.gop(2, 100) // 80 ms
		r.send(0, "7c81 9a01"[:4]+"9a01", false)
		r.wait(50 * time.Millisecond)
		r.send(0, "7c4102", true)
		r.rec.close()
		r.expect("track 1 at 0: S40 40", "track 1 at 80: 40")
		if b := r.shelf.records[1].Buffer; hex.EncodeToString(b.Data) != "00000004619a0102" {
			t.Errorf("%x", b.Data)
		}
	})
	t.Run("the first sync sample lost a part: it is not what was waited for", func(t *testing.T) {
		r := newRig(t, time.Hour, "H264")
		r.send(0, "7c858801", false)
		r.seq[0]++
		r.send(0, "7c4502", true)
		r.step(1)
		r.send(0, "419a01", true)
		r.step(1)
		r.gop(2, 100)
		r.rec.close()
		r.expect("track 1 at 80: S40 40")
	})
	t.Run("drift of a forced cut is made good", func(t *testing.T) {
		r := newRig(t, 400*time.Millisecond, "H264")
		r.gop(10, 100)
		r.stamp[0] += 900 // the camera takes a breath of 10 ms
		r.send(0, "419a01", true)
		r.rec.close()
		r.expect("track 1 at 0: S40 9×40", "track 1 at 410: 40")
	})
	t.Run("other parameter sets", func(t *testing.T) {
		r := newRig(t, time.Hour, "H264")
		r.gop(5, 100)
		r.send(0, sps264b, false)
		r.send(0, pps264, false)
		r.gop(5, 100)
		r.rec.close()
		r.expect("track 1 at 0: S40 4×40", "track 1 at 200: S40 4×40")
		if a, b := r.shelf.records[0].Params, r.shelf.records[1].Params; a.Equal(b) {
			t.Errorf("%v and %v", a, b)
		}
	})
	t.Run("nothing before the first sync sample", func(t *testing.T) {
		r := newRig(t, time.Hour, "H264")
		r.send(0, "419a01", true)
		r.step(1)
		r.gop(2, 100)
		r.rec.close()
		r.expect("track 1 at 40: S40 40")
	})
}

func TestFullBuffers(t *testing.T) {
	r := newRig(t, time.Hour, "H264")
	const size = 60000
	r.gop(20, size)
	r.rec.close()
	check(t, r.shelf.records)
	if n := samples(r.shelf.records); n != 20 || len(r.shelf.records) < 2 {
		t.Errorf("%d samples in %d records", n, len(r.shelf.records))
	}
	// One picture larger than any buffer so far; and one that is too large.
	r = newRig(t, time.Hour, "H264")
	piece := strings.Repeat("a5", 65000)
	r.gop(2, 100)
	send := func(pieces int) {
		r.send(0, "7c8588"+piece, false)
		for range pieces {
			r.send(0, "7c05"+piece, false)
		}
		r.send(0, "7c4501", true)
		r.step(1)
	}
	send(50)
	send(70)
	r.gop(2, 100)
	r.rec.close()
	check(t, r.shelf.records)
	if n := samples(r.shelf.records); n != 5 {
		t.Errorf("%d samples: %v", n, r.listing())
	}
}

// However fast the pictures come, a record is no larger than a group takes.
func TestRecordsFit(t *testing.T) {
	r := newRig(t, time.Second, "H264")
	r.gop(20, 450_000)
	r.rec.close()
	bytes, samples := 0, 0
	for _, x := range r.shelf.records {
		if len(x.Buffer.Data) > media.MaxSampleBytes {
			t.Errorf("a record of %d bytes", len(x.Buffer.Data))
		}
		bytes += len(x.Buffer.Data)
		samples += len(x.Buffer.Samples)
	}
	if samples != 20 || bytes != 20*450_004 {
		t.Errorf("%d samples, %d bytes", samples, bytes)
	}

	r = newRig(t, time.Hour, "PCMU") // sounds of one frame each
	for range 2*maxSamples + 10 {
		r.send(0, "55", true)
		r.stamp[0]++
	}
	r.rec.close()
	samples = 0
	for _, x := range r.shelf.records {
		if len(x.Buffer.Samples) > maxSamples {
			t.Errorf("a record of %d samples", len(x.Buffer.Samples))
		}
		samples += len(x.Buffer.Samples)
	}
	if samples != 2*maxSamples+10 {
		t.Errorf("%d samples", samples)
	}
}

func TestLoss(t *testing.T) {
	r := newRig(t, time.Hour, "H264")
	r.gop(20, 100)
	r.seq[0]++ // a picture: too short a hole for a gap
	r.step(1)
	r.send(0, "419a01", true)
	r.step(1)
	r.seq[0] += 20 // 800 ms
	r.step(20)
	r.send(0, "419a02", true)
	r.step(1)
	r.gop(5, 100)
	r.rec.close()
	r.expect("track 1 at 0: S40 18×40 80 40!", "track 1 at 1680: 40!", "track 1 at 1720: S40 4×40")
}

// A run that begins with an open GOP has nothing that needs what was before it;
// the next open GOP has all of its pictures.
func TestOpenGOP(t *testing.T) {
	r := newRig(t, time.Hour, "H264")
	gop := func(base uint32) {
		for i, n := range []uint32{2, 0, 1, 5, 3, 4, 8, 6, 7} {
			r.stamp[0] = (base + n) * 3600
			if i == 0 {
				r.send(0, "6764000aacd9447b0110000003001000000301e0f1225960", false) // says two out of order
				r.send(0, "060601c480", false)
				r.send(0, "61888405", true)
			} else {
				r.send(0, "419a01", true)
			}
			r.wait(step)
		}
	}
	gop(0)
	gop(9)
	r.rec.close()
	check(t, r.shelf.records)
	var shown []int64
	for _, x := range r.shelf.records {
		at := x.Start
		for _, s := range x.Buffer.Samples {
			shown = append(shown, (at+media.Ticks(s.Composition)).Duration(90000).Round(time.Millisecond).Milliseconds()/40)
			at += media.Ticks(s.Duration)
		}
	}
	first := shown[0]
	for i := range shown {
		shown[i] -= first
	}
	if got, want := fmt.Sprint(shown), "[0 3 1 2 6 4 5 9 7 8 12 10 11 15 13 14]"; got != want {
		t.Errorf("shown at %v, want %v", got, want)
	}
}

// A picture that is lost among B pictures is no hole, and does not upset the
// decode times of those behind it; eighteen that are lost are one.
func TestLossAmongBPictures(t *testing.T) {
	r := newRig(t, time.Hour, "H264")
	send := func(n uint32, unit string) {
		r.stamp[0] = n * 3600
		r.send(0, unit, true)
		r.wait(step)
	}
	r.send(0, "6764000aacd9447b0110000003001000000301e0f1225960", false) // says two out of order
	send(0, "658801")
	order := []uint32{3, 1, 2, 6, 4, 5}
	for i := range uint32(60) {
		n := i/6*6 + order[i%6]
		switch {
		case i == 20, i > 28 && i <= 46:
			r.seq[0]++
			r.wait(step)
		default:
			send(n, "419a01")
		}
	}
	r.rec.close()
	if len(r.shelf.records) != 2 {
		t.Fatalf("%d records: %v", len(r.shelf.records), r.listing())
	}
	for _, x := range r.shelf.records {
		for i, s := range x.Buffer.Samples {
			if s.Composition < 0 {
				t.Errorf("sample %d is shown %d ticks before it is decoded", i, -s.Composition)
			}
		}
	}
	if g := r.shelf.gaps; len(g) != 1 || g[0].Reason != media.ReasonLoss {
		t.Errorf("%+v", g)
	}
}

// What cannot be taken is told once for each camera, and costs nothing else.
func TestRefusedPackets(t *testing.T) {
	r := newRig(t, time.Hour, "H264")
	var log strings.Builder
	r.rec.c.log = slog.New(slog.NewTextHandler(&log, nil))
	for range 3 {
		r.gop(20, 100)
		r.send(0, "7a000100", true) // MTAP16
		r.wait(time.Second)
	}
	r.rec.close()
	if n := samples(r.shelf.records); n != 60 {
		t.Errorf("%d samples", n)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "not supported") {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	if notes := r.rec.c.Status().Notes; len(notes) != 1 || !strings.Contains(notes[0], "3 packets") {
		t.Errorf("notes: %q", notes)
	}
}

func TestLossIsTold(t *testing.T) {
	r := newRig(t, time.Hour, "H264")
	r.gop(20, 100)
	r.seq[0] += 15
	r.step(15)
	r.gop(5, 100)
	r.rec.close()
	r.expect("track 1 at 0: S40 19×40", "track 1 at 1400: S40 4×40")
	from, to := r.shelf.records[0].End(), r.shelf.records[1].Wall
	want := media.Gap{Stream: testStream, Span: media.Span{From: from, To: to}, Reason: media.ReasonLoss, Run: r.rec.run,
		Loss: media.Loss{Packets: 15, Missing: 15}}
	if g := r.shelf.gaps; len(g) != 1 || g[0] != want {
		t.Errorf("%+v, want %+v", g, want)
	}
}

func TestPauseBeginsARun(t *testing.T) {
	r := newRig(t, time.Hour, "H264")
	r.gop(20, 100)
	r.step(75) // 3 s
	r.send(0, "419a01", true)
	r.step(1)
	r.gop(5, 100)
	r.rec.close()
	l := r.shelf.records
	if len(l) != 3 || l[1].Run != l[0].Run || l[2].Run <= l[0].Run {
		t.Fatalf("%v", r.listing())
	}
	if g := r.shelf.gaps; len(g) != 1 || g[0].Reason != media.ReasonNoMedia || g[0].Span != (media.Span{From: l[0].End(), To: l[1].Wall}) {
		t.Errorf("%+v", g)
	}
	if d := time.Duration(l[2].Wall - l[1].End()).Abs(); d > time.Millisecond {
		t.Errorf("the runs are %v apart", d)
	}
}

func TestClockStep(t *testing.T) {
	r := newRig(t, time.Hour, "H264", "PCMA")
	r.gop(30, 100)
	r.send(1, "d5d5", true)
	at := r.rec.instant(r.now)
	at.Mono += time.Second
	at.Wall += int64(time.Hour)
	r.rec.line.Check(at)
	if r.rec.line.Due() != timeline.Step {
		t.Fatal("the step was not noticed")
	}
	r.gop(5, 100)
	r.rec.close()
	runs := map[media.RunID]bool{}
	for _, x := range r.shelf.records {
		runs[x.Run] = true
	}
	if len(runs) != 2 {
		t.Errorf("%v", r.listing())
	}
	if n := samples(r.shelf.records); n != 36 {
		t.Errorf("%d samples", n)
	}
}

// A camera whose clock is 2 % fast: runs follow each other without a hole.
func TestDrift(t *testing.T) {
	r := newRig(t, 800*time.Millisecond, "H264")
	const gops = 90
	for range gops {
		for i := range 25 {
			head := "419a01"
			if i == 0 {
				head = "658801"
			}
			r.send(0, head, true)
			r.wait(step)
			r.stamp[0] += 3600 + 72
		}
	}
	r.rec.close()
	check(t, r.shelf.records)
	runs, last := map[media.RunID]bool{}, int64(0)
	for _, x := range r.shelf.records {
		runs[x.Run] = true
		if x.Wall <= last {
			t.Errorf("wall %d after %d", x.Wall, last)
		}
		last = x.Wall
	}
	if len(runs) < 2 || len(runs) > 5 || samples(r.shelf.records) != 25*gops || len(r.shelf.gaps) > 0 {
		t.Errorf("%d runs, %d samples, gaps %v", len(runs), samples(r.shelf.records), r.shelf.gaps)
	}
}

func TestAudio(t *testing.T) {
	r := newRig(t, 200*time.Millisecond, "H264", "PCMA")
	for range 10 {
		r.send(1, strings.Repeat("d5", 320), true)
		r.stamp[1] += 320
		r.send(0, "419a01", true) // the video waits for a sync sample
		r.step(1)
	}
	r.rec.close()
	r.expect("track 2 at 0: 5×40", "track 2 at 200: 5×40")

	r = newRig(t, 200*time.Millisecond, "PCMU") // an intercom
	for range 5 {
		r.send(0, strings.Repeat("d5", 320), true)
		r.wait(step)
		r.stamp[0] += 320
	}
	r.rec.close()
	r.expect("track 2 at 0: 5×40")
}

func TestWatchdog(t *testing.T) {
	r := newRig(t, time.Hour, "H264", "PCMA")
	r.gop(2, 100)
	for range 120 { // sound alone is no life
		r.send(1, "d5d5", true)
		r.stamp[1] += 800
		r.now = r.now.Add(100 * time.Millisecond)
		if err := r.rec.Tick(r.now); err != nil {
			if err != errNoMedia {
				t.Error(err)
			}
			return
		}
	}
	t.Error("12 s without a picture")
}

func TestOverloadDropsWholeGOPs(t *testing.T) {
	r := newRig(t, 400*time.Millisecond, "H264")
	n := 0
	r.shelf.refuse = func(*media.Record) bool { n++; return n == 2 || n == 3 }
	for range 4 {
		r.gop(25, 100)
	}
	r.rec.close()
	check(t, r.shelf.records[:1])
	l := r.shelf.records
	if !l[1].Buffer.Samples[0].Sync() || l[1].Start != 180000 {
		t.Errorf("%v", r.listing())
	}
	if g := r.shelf.gaps; len(g) != 1 || g[0].Reason != media.ReasonOverload || g[0].Span != (media.Span{From: l[0].End(), To: l[1].Wall}) {
		t.Errorf("%+v", g)
	}
}

// A stream with B pictures: decode times grow, presentation times are kept.
func TestOutOfOrder(t *testing.T) {
	const sps, pps = "6764000aacd9447b0110000003001000000301e0f1225960", "68ebe3cb22c0"
	slices := []string{"658884009fd9674c47d7", "419a236c4dffc61ad308", "419e417884bff814d5", "019e626a425feee218",
		"419a6649a84168994c09", "419e8445112c77fee402", "019ea56a425ff7ad0d", "419aa949a8416c994c09", "419ec745152c21fff5eb", "019ee86a425f7340"}
	shown := []uint32{0, 3, 1, 2, 6, 4, 5, 9, 7, 8}
	r := newRig(t, time.Hour, "H264")
	r.send(0, sps, false)
	r.send(0, pps, false)
	for i, s := range slices {
		r.stamp[0] = 3600 * shown[i]
		r.send(0, s, true)
		r.wait(step)
	}
	r.rec.close()
	check(t, r.shelf.records)
	x := r.shelf.records[0]
	first, dts := media.Ticks(0), x.Start
	for i, s := range x.Buffer.Samples {
		pts := dts + media.Ticks(s.Composition)
		if i == 0 {
			first = pts
		}
		if pts-first != media.Ticks(3600*shown[i]) || s.Composition < 0 {
			t.Errorf("picture %d: decoded at %d, shown at %d", i, dts-first, pts-first)
		}
		dts += media.Ticks(s.Duration)
	}
}

func TestRunIDs(t *testing.T) {
	now := time.Now()
	a, b := nextRun(now), nextRun(now.Add(-time.Hour))
	if b <= a {
		t.Errorf("%d after %d", b, a)
	}
	if lead := int64(a) - now.UnixMicro(); lead < 0 {
		t.Errorf("%d before its time", lead)
	}
}

// The whole way of a packet, from the receive buffer into a record.
func BenchmarkPacket(b *testing.B) {
	r := newRig(b, 800*time.Millisecond, "H264")
	r.rec.c.recorder = bin{}
	const packets = 24
	pkts := make([][]byte, packets)
	for i := range pkts {
		pkts[i] = make([]byte, 1400)
		p := pkts[i]
		p[0], p[1], p[11], p[12], p[13], p[14] = 0x80, 96, 1, 0x5c, 0x01, 0x9a
		switch i {
		case 0:
			p[13] = 0x81
		case packets - 1:
			p[1], p[13] = 96|0x80, 0x41
		}
	}
	b.SetBytes(1400)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		p := pkts[n%packets]
		if n%packets == 0 {
			r.now = r.now.Add(step)
			pkts[0][12], pkts[0][13], pkts[0][14] = 0x5c, 0x81, 0x9a
			if n/packets%50 == 0 {
				pkts[0][12], pkts[0][13], pkts[0][14] = 0x7c, 0x85, 0x88
			}
		}
		binary.BigEndian.PutUint16(p[2:], uint16(n))
		binary.BigEndian.PutUint32(p[4:], uint32(n/packets*3600))
		r.rec.Packet(0, p, r.now)
		n++
	}
	if s := r.rec.c.Status(); n > 100*packets && (s.Samples == 0 || s.DroppedSamples > 0) {
		b.Fatalf("%+v", s)
	}
}

// bin is a Recorder that keeps nothing.
type bin struct{}

func (bin) Offer(r media.Record) bool {
	r.Buffer.Release()
	return true
}
func (bin) OfferGap(media.Gap) bool { return true }

var _ rtp.Sink = (*builder)(nil)

// lossy sends GOPs of 25 pictures and loses picture 20 of some of them.
func (r *rig) lossy(gops int, lost func(gop int) bool) {
	for n := range gops {
		for i := range 25 {
			head := "419a01"
			if i == 0 {
				head = "658801"
			}
			if i == 20 && lost(n) {
				r.seq[0]++
			} else {
				r.send(0, head, true)
			}
			r.step(1)
		}
	}
}

func TestLossLastsToTheNextSyncSample(t *testing.T) {
	r := newRig(t, 800*time.Millisecond, "H264")
	r.lossy(8, func(n int) bool { return n == 2 })
	r.rec.close()
	sync := r.shelf.records[0].Wall + int64(3*time.Second)
	want := media.Gap{Stream: testStream, Span: media.Span{From: sync - int64(5*step), To: sync}, Reason: media.ReasonLoss, Run: r.rec.run,
		Loss: media.Loss{Packets: 1, Missing: 1, Damaged: 4}}
	if g := r.shelf.gaps; len(g) != 1 || g[0] != want {
		t.Errorf("%+v, want %+v", g, want)
	}
}

// A network that never stops losing packets: a record a minute, and no second of
// loss too many or too few in them.
func TestLossForEver(t *testing.T) {
	const minutes = 5
	r := newRig(t, 800*time.Millisecond, "H264")
	r.lossy(60*minutes, func(n int) bool { return n%2 == 0 })
	r.rec.close()
	var sum media.Loss
	for i, g := range r.shelf.gaps {
		if g.Reason != media.ReasonLoss || g.Run != r.rec.run || g.Span.Empty() || i > 0 && g.Span.From < r.shelf.gaps[i-1].Span.To {
			t.Errorf("gap %d: %+v", i, g)
		}
		l := g.Loss
		l.Time = g.Missing()
		sum = sum.Plus(l)
	}
	if n := len(r.shelf.gaps); n > minutes+2 {
		t.Errorf("%d gaps in %d minutes", n, minutes)
	}
	const losses = 30 * minutes
	if want := (media.Loss{Time: losses * 5 * step, Packets: losses, Missing: losses, Damaged: losses * 4}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
}

// A stream that has no second sync sample is damaged for good: that is told all the
// same.
func TestLossWithoutEnd(t *testing.T) {
	r := newRig(t, 800*time.Millisecond, "H264")
	r.gop(10, 100)
	r.seq[0]++
	for range 25 * 150 {
		r.send(0, "419a01", true)
		r.step(1)
	}
	if n := len(r.shelf.gaps); n != 2 {
		t.Errorf("%d gaps in 150 s", n)
	}
	r.rec.close()
	var sum time.Duration
	for _, g := range r.shelf.gaps {
		sum += g.Missing()
	}
	if sum != 150*time.Second {
		t.Errorf("%v of 150 s: %+v", sum, r.shelf.gaps)
	}
}

// The last picture before a sync sample is lost: nothing depends on it, it is
// missing all the same.
func TestLossBeforeASyncSample(t *testing.T) {
	r := newRig(t, 800*time.Millisecond, "H264")
	r.gop(24, 100)
	r.seq[0]++
	r.step(1)
	r.gop(10, 100)
	r.rec.close()
	if g := r.shelf.gaps; len(g) != 1 || g[0].Span.Duration() != step || g[0].Loss != (media.Loss{Packets: 1, Missing: 1}) {
		t.Errorf("%+v", g)
	}
}
