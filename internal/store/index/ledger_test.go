package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nvr/internal/media"
)

const sec = int64(time.Second)

func part(run media.RunID, from, to int64) Extent {
	return Extent{Run: run, Span: media.Span{From: from * sec, To: to * sec}}
}

func gap(reason media.Reason, from, to int64) media.Gap {
	return media.Gap{Reason: reason, Span: media.Span{From: from * sec, To: to * sec}}
}

func inside(run media.RunID, from, to int64, time time.Duration) media.Gap {
	return media.Gap{Reason: media.ReasonLoss, Run: run, Span: media.Span{From: from * sec, To: to * sec}, Loss: media.Loss{Time: time, Packets: 3}}
}

func TestLedger(t *testing.T) {
	for _, c := range []struct {
		name      string
		parts     []Extent
		known     []media.Gap
		from, to  int64
		ends      int64
		alive     int64
		recording bool
		want      string
	}{
		{name: "nothing is known", from: 0, to: 100, ends: 100, want: "0 of 0"},
		{name: "expected from when it was known first", parts: []Extent{part(1, 40, 100)}, from: 0, to: 100, ends: 100, want: "60 of 60"},
		{name: "a day before that", parts: []Extent{part(1, 40, 100)}, from: 0, to: 30, ends: 100, want: "0 of 0"},
		{name: "on its way to the disk", parts: []Extent{part(1, 40, 100)}, from: 0, to: 200, ends: 103, recording: true, want: "60 of 60"},
		{name: "nobody records any more", parts: []Extent{part(1, 40, 100)}, from: 0, to: 200, ends: 150, want: "60 of 110: recorder_stopped 100-150"},
		{name: "a day that ended before that", parts: []Extent{part(1, 40, 100)}, from: 0, to: 120, ends: 150, want: "60 of 80: recorder_stopped 100-120"},
		{name: "a hole that reaches over midnight", parts: []Extent{part(1, 0, 90), part(2, 130, 200)}, known: []media.Gap{gap(media.ReasonUnreachable, 90, 0), gap(media.ReasonUnreachable, 90, 130)},
			from: 100, to: 200, ends: 200, want: "70 of 100: camera_unreachable 100-130"},
		{name: "one that began before, in the evening and is over", parts: []Extent{part(1, 0, 90), part(2, 130, 200)}, known: []media.Gap{gap(media.ReasonUnreachable, 90, 0), gap(media.ReasonUnreachable, 90, 130)},
			from: 0, to: 100, ends: 200, want: "90 of 100: camera_unreachable 90-100"},
		{name: "still away", parts: []Extent{part(1, 0, 90)}, known: []media.Gap{gap(media.ReasonUnreachable, 90, 0)}, from: 0, to: 200, ends: 150, recording: true,
			want: "90 of 150: camera_unreachable 90-150"},
		{name: "it was away when the recorder was killed", parts: []Extent{part(1, 0, 90)}, known: []media.Gap{gap(media.ReasonUnreachable, 90, 0)}, from: 0, to: 200, ends: 150, alive: 120,
			want: "90 of 150: camera_unreachable 90-120, recorder_stopped 120-150"},
		{name: "a gap that a killed recorder left open explains its own hole only", parts: []Extent{part(1, 0, 90), part(2, 100, 150), part(3, 160, 200)}, known: []media.Gap{gap(media.ReasonUnreachable, 90, 0)},
			from: 0, to: 200, ends: 200, want: "180 of 200: camera_unreachable 90-100, recorder_stopped 150-160"},
		{name: "the clock was set forward", parts: []Extent{part(1, 0, 50), part(2, 150, 200)}, known: []media.Gap{gap(media.ReasonClock, 50, 150)}, from: 0, to: 200, ends: 200,
			want: "100 of 200: clock_step 50-150"},
		{name: "and back: time that came twice counts once", parts: []Extent{part(1, 0, 100), part(2, 60, 130), part(3, 140, 200)}, from: 0, to: 200, ends: 200,
			want: "190 of 200: recorder_stopped 130-140"},
		{name: "and back, with a stop in the time that came twice", parts: []Extent{part(1, 0, 100), part(2, 60, 70), part(3, 80, 200)}, from: 0, to: 200, ends: 200, want: "200 of 200"},
		{name: "two volumes took turns", parts: []Extent{part(1, 0, 50), part(1, 100, 150), part(1, 50, 100), part(1, 150, 200)}, from: 0, to: 200, ends: 200, want: "200 of 200"},
		{name: "a gap whose beginning was overwritten", parts: []Extent{part(2, 100, 200)}, known: []media.Gap{gap(media.ReasonUnreachable, 60, 100)}, from: 0, to: 200, ends: 200,
			want: "100 of 140: camera_unreachable 60-100"},
		{name: "nobody asked for it meanwhile", parts: []Extent{part(1, 0, 50), part(2, 150, 200)}, known: []media.Gap{gap(media.ReasonStopped, 50, 60), gap(media.ReasonUnwanted, 60, 0)}, from: 0, to: 200, ends: 200,
			want: "100 of 110: recorder_stopped 50-60"},
		{name: "it was taken out for good", parts: []Extent{part(1, 0, 50)}, known: []media.Gap{gap(media.ReasonUnwanted, 50, 0)}, from: 0, to: 200, ends: 200, recording: true, want: "50 of 50"},
		{name: "the same, offline", parts: []Extent{part(1, 0, 50)}, known: []media.Gap{gap(media.ReasonUnwanted, 50, 0)}, from: 0, to: 200, ends: 200, alive: 150, want: "50 of 50"},
		{name: "disabled, and a gap after another that tells of the same", parts: []Extent{part(1, 0, 50)}, known: []media.Gap{gap(media.ReasonDisabled, 50, 0), gap(media.ReasonDisabled, 120, 0)}, from: 0, to: 200, ends: 200,
			want: "50 of 200: disabled 50-200"},
		{name: "a loss inside a run", parts: []Extent{part(1, 0, 200)}, known: []media.Gap{inside(1, 50, 52, 0)}, from: 0, to: 200, ends: 200, want: "198 of 200: network_loss 50-52 (3)"},
		{name: "several in one record", parts: []Extent{part(1, 0, 200)}, known: []media.Gap{inside(1, 50, 110, 12*time.Second)}, from: 0, to: 200, ends: 200, want: "188 of 200: network_loss 50-110 12 s (3)"},
		{name: "midnight among them", parts: []Extent{part(1, 0, 200)}, known: []media.Gap{inside(1, 50, 110, 12*time.Second)}, from: 100, to: 200, ends: 200, want: "98 of 100: network_loss 100-110 2 s"},
		{name: "a hole inside a run that a loss explains", parts: []Extent{part(1, 0, 50), part(1, 54, 200)}, known: []media.Gap{inside(1, 50, 60, 0)}, from: 0, to: 200, ends: 200,
			want: "190 of 200: network_loss 50-60 (3)"},
		{name: "a pause in the middle of losses", parts: []Extent{part(1, 0, 200)}, known: []media.Gap{{Reason: media.ReasonNoMedia, Run: 1, Span: media.Span{From: 60 * sec, To: 70 * sec}}, inside(1, 50, 110, 12*time.Second)},
			from: 0, to: 200, ends: 200, want: "178 of 200: network_loss 50-110 12 s (3), no_media 60-70"},
		{name: "what a queue lost twice", parts: []Extent{part(1, 0, 200)}, known: []media.Gap{inside(1, 50, 60, 0), inside(1, 55, 65, 0)}, from: 0, to: 200, ends: 200,
			want: "185 of 200: network_loss 50-60 (3), network_loss 60-65 (3)"},
		{name: "one inside another", parts: []Extent{part(1, 0, 200)}, known: []media.Gap{inside(1, 50, 100, 0), inside(1, 60, 70, 0), inside(1, 40, 55, 0), inside(1, 150, 151, 0)}, from: 0, to: 200, ends: 200,
			want: "139 of 200: network_loss 40-55 (3), network_loss 55-100 (3), network_loss 150-151 (3)"},
		{name: "told while it was open, ended before midnight, and another one after it", parts: []Extent{part(1, 0, 50), part(2, 150, 200)},
			known: []media.Gap{gap(media.ReasonUnreachable, 50, 0), gap(media.ReasonUnreachable, 50, 80), gap(media.ReasonAuth, 80, 120)}, from: 100, to: 200, ends: 200,
			want: "50 of 100: auth_failed 100-120, recorder_stopped 120-150"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Ledger(c.parts, c.known, media.Span{From: c.from * sec, To: c.to * sec}, c.ends*sec, c.alive*sec, c.recording)
			if got := a.text(); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

func (a *Account) text() string {
	var gaps []string
	for _, g := range a.Gaps {
		s := fmt.Sprintf("%s %d-%d", g.Reason, g.Span.From/sec, g.Span.To/sec)
		if g.Loss.Time > 0 {
			s += fmt.Sprintf(" %d s", int64(g.Loss.Time)/sec)
		}
		if g.Loss.Packets > 0 {
			s += fmt.Sprintf(" (%d)", g.Loss.Packets)
		}
		gaps = append(gaps, s)
	}
	s := fmt.Sprintf("%d of %d", int64(a.Recorded())/sec, int64(a.Expected)/sec)
	if len(gaps) > 0 {
		s += ": " + strings.Join(gaps, ", ")
	}
	return s
}

func TestForget(t *testing.T) {
	a := Ledger([]Extent{part(1, 0, 50), part(2, 100, 200)}, nil, media.Span{To: 200 * sec}, 200*sec, 0, false)
	a.Forget(100 * sec) // a volume that begins there may have had what is missing
	if got, want := a.text(), "150 of 150"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Whatever there is and is told: what is recorded is what the parts cover and no
// loss takes away, no second is missing twice, and the days' sums are the whole's.
func TestLedgerAddsUp(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const length = 300
		var parts []Extent
		var known []media.Gap
		covered := [length]bool{}
		for run, at := media.RunID(1), rng.Int64N(20); at < length-1; run++ {
			end := min(length, at+1+rng.Int64N(60))
			parts = append(parts, part(run, at, end))
			for i := at; i < end; i++ {
				covered[i] = true
			}
			next := end + rng.Int64N(30)
			switch rng.IntN(5) {
			case 0:
				known = append(known, gap(media.ReasonUnreachable, end, 0))
			case 1:
				known = append(known, gap(media.ReasonUnreachable, end, 0), gap(media.ReasonUnreachable, end, next))
			case 2:
				known = append(known, gap(media.ReasonAuth, end-rng.Int64N(3), next+rng.Int64N(3)))
			case 3: // the clock goes back
				next = max(at, end-rng.Int64N(20)) + 1
			}
			if end-at > 5 && rng.IntN(3) == 0 {
				from := at + 1 + rng.Int64N(2)
				known = append(known, inside(run, from, from+2, 0))
			}
			at = next
		}
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		whole := Ledger(parts, known, media.Always, length*sec, 0, false)
		want := time.Duration(0)
		for _, c := range covered {
			if c {
				want += time.Second
			}
		}
		lost := time.Duration(0)
		for i, g := range whole.Gaps {
			if g.Reason == media.ReasonLoss {
				lost += g.Missing()
			}
			if i > 0 && g.Span.From < whole.Gaps[i-1].Span.To {
				t.Fatalf("seed %d: gaps overlap: %s", seed, whole.text())
			}
		}
		if whole.Recorded() != want-lost || whole.Expected != whole.Span.Duration() {
			t.Fatalf("seed %d: %v recorded, want %v - %v: %s", seed, whole.Recorded(), want, lost, whole.text())
		}
		var expected, missing time.Duration
		cuts := []int64{0, rng.Int64N(length), rng.Int64N(length), length}
		slices.Sort(cuts)
		for i := range 3 {
			day := Ledger(parts, known, media.Span{From: cuts[i] * sec, To: cuts[i+1] * sec}, length*sec, 0, false)
			expected += day.Expected
			missing += day.Missing
		}
		if expected != whole.Expected || missing != whole.Missing {
			t.Fatalf("seed %d: the days sum up to %v of %v, the whole to %v of %v", seed, missing, expected, whole.Missing, whole.Expected)
		}
	}
}

// A day, and all, of thirty days of a camera with a segment and a loss each minute.
func BenchmarkLedger(b *testing.B) {
	var parts []Extent
	var known []media.Gap
	for m := range int64(30 * 1440) {
		parts = append(parts, part(1, m*60, m*60+60))
		known = append(known, inside(1, m*60+10, m*60+50, 5*time.Second))
	}
	for _, days := range []int64{1, 30} {
		b.Run(fmt.Sprintf("days=%d", days), func(b *testing.B) {
			for b.Loop() {
				a := Ledger(parts, known, media.Span{From: (30 - days) * 86400 * sec, To: 30 * 86400 * sec}, 30*86400*sec, 0, true)
				if len(a.Gaps) != int(days)*1440 {
					b.Fatal(len(a.Gaps))
				}
			}
		})
	}
}
