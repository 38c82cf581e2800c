package ingest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nvr/internal/media"
	"nvr/internal/simulate"
	"nvr/internal/simulate/mark"
)

// shelf is a Recorder that keeps everything. It refuses what refuse says.
type shelf struct {
	mu      sync.Mutex
	refuse  func(r *media.Record) bool
	records []media.Record
	gaps    []media.Gap
	changed chan struct{} // gets a token when something was added
}

func newShelf() *shelf { return &shelf{changed: make(chan struct{}, 1)} }

func (s *shelf) Offer(r media.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil && s.refuse(&r) {
		r.Buffer.Release()
		return false
	}
	s.records = append(s.records, r)
	s.poke()
	return true
}

func (s *shelf) OfferGap(g media.Gap) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps = append(s.gaps, g)
	s.poke()
	return true
}

// faults are the gaps but for what a camera says when it is told to stop.
func (s *shelf) faults() []media.Gap {
	return slices.DeleteFunc(slices.Clone(s.gaps), func(g media.Gap) bool { return g.Reason == media.ReasonStopped })
}

func (s *shelf) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// until waits for something to be true of the shelf.
func (s *shelf) until(t *testing.T, what string, ok func(records []media.Record, gaps []media.Gap) bool) {
	t.Helper()
	s.untilIn(t, 30*time.Second, what, ok)
}

// untilIn is until with another patience.
func (s *shelf) untilIn(t *testing.T, d time.Duration, what string, ok func(records []media.Record, gaps []media.Gap) bool) {
	t.Helper()
	give := time.After(d)
	for {
		s.mu.Lock()
		done := ok(s.records, s.gaps)
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.changed:
		case <-time.After(20 * time.Millisecond): // what it is about may not be on the shelf
		case <-give:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// video is the records of the video track.
func video(records []media.Record) []media.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r media.Record) bool { return r.Track != media.VideoTrack })
}

func samples(records []media.Record) (n int) {
	for _, r := range records {
		n += len(r.Buffer.Samples)
	}
	return n
}

var testStream = &media.Stream{Camera: media.Camera{UUID: media.CameraUUID("yard"), ID: "yard"}, Name: "main"}

// simulated runs cameras of the package simulate.
func simulated(t *testing.T, o simulate.Options) *simulate.Server {
	t.Helper()
	s, err := simulate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return s
}

// record runs a camera until done, and checks that Run ends all it started.
func record(t *testing.T, o Options, s *shelf) (c *Camera, stop func()) {
	t.Helper()
	o.Stream = testStream
	if o.RecordEvery == 0 {
		o.RecordEvery = 100 * time.Millisecond
	}
	c = New(o, s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return c, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// check holds records to what media.Record promises.
func check(t *testing.T, records []media.Record) {
	t.Helper()
	type key struct {
		run   media.RunID
		track uint8
	}
	last := map[key]media.Record{}
	for i, r := range records {
		var bytes int
		for _, s := range r.Buffer.Samples {
			bytes += int(s.Size)
			if s.Duration == 0 {
				t.Errorf("record %d: a sample of no duration", i)
			}
		}
		if bytes != len(r.Buffer.Data) || len(r.Buffer.Samples) == 0 {
			t.Errorf("record %d: %d samples of %d bytes in %d", i, len(r.Buffer.Samples), bytes, len(r.Buffer.Data))
		}
		k := key{r.Run, r.Track}
		if before, ok := last[k]; ok {
			if r.Start <= before.Start || r.Wall <= before.Wall {
				t.Errorf("record %d: start %d, wall %d, not after %d, %d", i, r.Start, r.Wall, before.Start, before.Wall)
			}
			if d := (r.Start - before.Start - before.Duration()).Duration(r.Params.ClockRate); d.Abs() > 100*time.Millisecond {
				t.Errorf("record %d begins %v after the end of the one before", i, d)
			}
		} else if r.Track == media.VideoTrack && !r.Buffer.Samples[0].Sync() {
			t.Errorf("record %d: the run does not begin with a sync sample", i)
		}
		last[k] = r
	}
}

func marks(records []media.Record) mark.Report {
	var all []mark.Mark
	for _, r := range video(records) {
		mark.Find(r.Buffer.Data, func(m mark.Mark) { all = append(all, m) })
	}
	reports := mark.Check(all)
	if len(reports) != 1 {
		return mark.Report{Damaged: 1 << 32}
	}
	return reports[0]
}

func TestRecordsEverything(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     simulate.Options
		codec media.Codec
		audio media.Codec
	}{
		{"h264 and aac", simulate.Options{Audio: simulate.AudioAAC}, media.H264, media.AAC},
		{"h265 and µ-law", simulate.Options{Codec: media.H265, Audio: simulate.AudioPCMU}, media.H265, media.PCMU},
		{"h264 out of band, digest", simulate.Options{OutOfBand: true, Auth: simulate.AuthDigestSHA256, User: "u", Password: "p@:/"}, media.H264, ""},
		{"h265 out of band, A-law", simulate.Options{Codec: media.H265, OutOfBand: true, Audio: simulate.AudioPCMA}, media.H265, media.PCMA},
		{"av1 and opus", simulate.Options{Codec: media.AV1, Audio: simulate.AudioOpus}, media.AV1, media.Opus},
		{"mjpeg and L16", simulate.Options{Codec: media.MJPEG, Audio: simulate.AudioL16}, media.MJPEG, media.L16},
		{"h264 and LATM", simulate.Options{Audio: simulate.AudioLATM}, media.H264, media.AAC},
		{"h264 at 8 Mbit/s", simulate.Options{Bitrate: 8_000_000}, media.H264, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.o.FPS = 60
			server := simulated(t, c.o)
			s := newShelf()
			cam, stop := record(t, Options{URL: server.URL(1), Username: c.o.User, Password: c.o.Password, Audio: true}, s)
			s.until(t, "two GOPs", func(r []media.Record, _ []media.Gap) bool { return samples(video(r)) > 75 })
			stop()
			check(t, s.records)
			m := marks(s.records)
			if !m.Clean() || int(m.Count) != samples(video(s.records)) {
				t.Errorf("%v, in %d samples", m, samples(video(s.records)))
			}
			v := video(s.records)[0]
			if v.Params.Codec != c.codec || v.Params.Width != 320 || v.Params.Height != 180 {
				t.Errorf("video is %v", v.Params)
			}
			var audio media.Codec
			for _, r := range s.records {
				if r.Track == media.AudioTrack {
					audio = r.Params.Codec
				}
			}
			if audio != c.audio {
				t.Errorf("audio is %q, want %q", audio, c.audio)
			}
			if len(s.gaps) != 1 || s.gaps[0].Reason != media.ReasonStopped || s.gaps[0].Span.To != 0 {
				t.Errorf("gaps: %v", s.gaps)
			}
			st := cam.Status()
			if st.State != Stopped || st.LostPackets != 0 || st.Samples != uint64(samples(s.records)) || len(st.Tracks) == 0 {
				t.Errorf("status: %+v", st)
			}
		})
	}
}

func TestComesBack(t *testing.T) {
	t.Parallel()
	server := simulated(t, simulate.Options{FPS: 60})
	s := newShelf()
	_, stop := record(t, Options{URL: server.URL(1)}, s)
	s.until(t, "the first record", func(r []media.Record, _ []media.Gap) bool { return len(r) > 0 })
	server.StopCamera(1, simulate.StopNotFound)
	s.until(t, "an open gap", func(_ []media.Record, g []media.Gap) bool {
		return len(g) > 0 && g[len(g)-1].Reason == media.ReasonCamera && g[len(g)-1].Span.To == 0
	})
	server.StartCamera(1)
	s.until(t, "a second run", func(r []media.Record, _ []media.Gap) bool { return r[len(r)-1].Run > r[0].Run })
	stop()
	check(t, s.records)
	var first, second media.Record // the last of one run, the first of the next
	for i, r := range s.records {
		if r.Run != s.records[0].Run {
			first, second = s.records[i-1], r
			break
		}
	}
	want := []media.Gap{
		{Stream: testStream, Span: media.Span{From: first.End()}, Reason: media.ReasonUnreachable},
		{Stream: testStream, Span: media.Span{From: first.End()}, Reason: media.ReasonUnreachable},
		{Stream: testStream, Reason: media.ReasonCamera},
		{Stream: testStream, Span: media.Span{To: second.Wall}, Reason: media.ReasonCamera},
		{Stream: testStream, Reason: media.ReasonStopped},
	}
	if len(s.gaps) != len(want) {
		t.Fatalf("gaps: %v", s.gaps)
	}
	for i, g := range s.gaps {
		if g.Reason != want[i].Reason || want[i].Span.From != 0 && g.Span.From != want[i].Span.From ||
			want[i].Span.To != 0 && g.Span.To != want[i].Span.To || g.Detail == "" {
			t.Errorf("gap %d: %+v, want %+v", i, g, want[i])
		}
	}
	if a, b := s.gaps[1].Span, s.gaps[3].Span; a.To != b.From || s.gaps[2].Span.To != 0 {
		t.Errorf("the gaps do not join: %v, %v", a, b)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := simulated(t, simulate.Options{Auth: simulate.AuthDigest, User: "u", Password: "right"})
	s := newShelf()
	cam, stop := record(t, Options{URL: server.URL(1), Username: "u", Password: "wrong"}, s)
	s.until(t, "the gap", func(_ []media.Record, g []media.Gap) bool { return len(g) > 0 })
	if g := s.gaps[0]; g.Reason != media.ReasonAuth || g.Span.From == 0 || g.Span.To != 0 {
		t.Errorf("gap: %+v", g)
	}
	stop()
	if st := cam.Status(); st.LastError == "" {
		t.Errorf("status: %+v", st)
	}
}

func TestOverload(t *testing.T) {
	t.Parallel()
	server := simulated(t, simulate.Options{FPS: 60})
	s := newShelf()
	n := 0
	s.refuse = func(*media.Record) bool { n++; return n == 4 }
	cam, stop := record(t, Options{URL: server.URL(1)}, s)
	s.until(t, "the gap", func(_ []media.Record, g []media.Gap) bool { return len(g) > 0 })
	stop()
	check(t, s.records[:3])
	check(t, s.records[3:])
	g := s.gaps[0]
	if g.Reason != media.ReasonOverload || g.Span.Empty() || g.Span.To != s.records[3].Wall {
		t.Errorf("gap: %+v", g)
	}
	if !s.records[3].Buffer.Samples[0].Sync() {
		t.Error("it goes on without a sync sample")
	}
	if st := cam.Status(); st.DroppedSamples == 0 {
		t.Errorf("status: %+v", st)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
