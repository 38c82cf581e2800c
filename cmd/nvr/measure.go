package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"nvr/internal/config"
	"nvr/internal/ingest"
	"nvr/internal/media"
)

// measuredStream is what was seen of a camera's stream while it was received as it is
// when it is recorded: by ingest's camera, with a Recorder that counts.
type measuredStream struct {
	URL     string          `json:"url"` // without credentials
	Server  string          `json:"server"`
	Seconds float64         `json:"seconds"` // of the longest track
	Tracks  []measuredTrack `json:"tracks"`
	Clock   *float64        `json:"clock_seconds"` // the camera's RTCP clock, ahead of ours; null: not told
	Lost    uint64          `json:"lost_packets"`
	Damaged uint64          `json:"damaged_units"`
}

type measuredTrack struct {
	Kind       string      `json:"kind"`
	Codec      media.Codec `json:"codec"`
	Width      uint16      `json:"width,omitempty"`
	Height     uint16      `json:"height,omitempty"`
	SampleRate uint32      `json:"sample_rate,omitempty"`
	Channels   uint8       `json:"channels,omitempty"`
	Samples    int         `json:"samples"`
	FPS        float64     `json:"fps,omitempty"`
	Bitrate    float64     `json:"bits_per_second"`
	GOPs       []int       `json:"gops,omitempty"` // samples in each GOP that was seen whole
	BFrames    bool        `json:"b_frames,omitempty"`

	seconds float64
}

// meter is the Recorder. ingest calls it from one goroutine, and that has ended
// when the results are read.
type meter struct {
	stop func()
	wait time.Duration // for the time to measure, from the first record on

	timer   *time.Timer
	tracks  map[uint8]*counted
	failure media.Reason // why there is nothing more
	detail  string
	losses  int
}

type counted struct {
	params  *media.Track
	changed int // times that the parameters did
	samples int
	bytes   int64
	ticks   media.Ticks
	gop     int // samples since the last sync sample; -1: none was seen
	gops    []int
	ordered bool // some sample is not shown in the order of decoding
}

func (m *meter) Offer(r media.Record) bool {
	defer r.Buffer.Release()
	if m.timer == nil {
		m.timer = time.AfterFunc(m.wait, m.stop)
	}
	t := m.tracks[r.Track]
	if t == nil {
		t = &counted{params: r.Params, gop: -1}
		m.tracks[r.Track] = t
	}
	if t.params != r.Params && !t.params.Equal(r.Params) {
		t.params = r.Params
		t.changed++
	}
	for _, s := range r.Buffer.Samples {
		if s.Sync() && r.Params.Kind == media.Video {
			if t.gop >= 0 {
				t.gops = append(t.gops, t.gop)
			}
			t.gop = 0
		}
		if t.gop >= 0 {
			t.gop++
		}
		t.samples++
		t.ticks += media.Ticks(s.Duration)
		t.bytes += int64(s.Size)
		t.ordered = t.ordered || s.Composition != 0
	}
	return true
}

func (m *meter) OfferGap(g media.Gap) bool {
	switch {
	case g.Reason == media.ReasonStopped: // we are
		return true
	case g.Span.To != 0:
		m.losses++
		return true
	}
	m.failure, m.detail = g.Reason, g.Detail
	m.stop()
	return true
}

// quirks keeps what is worth a warning of the camera.
type quirks struct {
	mu  sync.Mutex
	all []string
}

const maxQuirks = 32

func (q *quirks) add(s string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.all) < maxQuirks && !slices.Contains(q.all, s) {
		q.all = append(q.all, s)
	}
}

// Enabled makes quirks a slog.Handler for what the session says of the camera.
func (q *quirks) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle keeps one message.
func (q *quirks) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "not recording" { // why is told by the gap
		return nil
	}
	var attrs []string
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "camera" {
			attrs = append(attrs, a.Value.String())
		}
		return true
	})
	q.add(strings.TrimSuffix(r.Message+": "+strings.Join(attrs, ", "), ": "))
	return nil
}

// WithAttrs leaves out which camera it is: there is one.
func (q *quirks) WithAttrs([]slog.Attr) slog.Handler { return q }

// WithGroup is not used.
func (q *quirks) WithGroup(string) slog.Handler { return q }

// connectingMayTake is how long a camera may take until its first record: long
// GOPs begin late.
const connectingMayTake = 30 * time.Second

// measure receives the stream of a camera for a time. Its URL is the stream's.
func (c *console) measure(of config.Camera, lasts time.Duration, q *quirks) (measuredStream, error) {
	result := measuredStream{URL: c.showURL(of.URL), Tracks: []measuredTrack{}}
	ctx, stop := context.WithTimeout(c.ctx, lasts+connectingMayTake)
	defer stop()
	m := &meter{stop: stop, wait: lasts, tracks: map[uint8]*counted{}}
	camera := ingest.New(ingestOptions(of, of.Streams()[0], slog.New(q)), m)
	if err := camera.Run(ctx); err != nil {
		return result, err
	}
	if m.timer != nil {
		m.timer.Stop()
	}
	status := camera.Status()
	result.Server, result.Lost, result.Damaged = status.Server, status.LostPackets, status.DamagedUnits
	if status.CameraClock != 0 {
		seconds := status.CameraClock.Seconds()
		result.Clock = &seconds
	}
	for _, n := range status.Notes {
		q.add(n)
	}
	for _, number := range []uint8{media.VideoTrack, media.AudioTrack} {
		if t := m.tracks[number]; t != nil {
			track := t.result()
			result.Seconds = max(result.Seconds, track.seconds)
			result.Tracks = append(result.Tracks, track)
			if t.changed > 0 {
				q.add(fmt.Sprintf("the %s parameters changed %d times", t.params.Kind, t.changed))
			}
		}
	}
	if m.losses > 0 {
		q.add(fmt.Sprintf("the stream had %s", count(m.losses, "hole", "holes")))
	}
	switch {
	case c.ctx.Err() != nil:
		return result, errors.New("interrupted")
	case m.failure != "" && len(m.tracks) == 0:
		return result, fmt.Errorf("%s (%s)", m.detail, m.failure)
	case m.failure != "":
		q.add(fmt.Sprintf("the session ended early: %s (%s)", m.detail, m.failure))
	case len(m.tracks) == 0:
		return result, fmt.Errorf("no picture that can be decoded alone within %v", lasts+connectingMayTake)
	}
	return result, nil
}

func (t *counted) result() measuredTrack {
	p := t.params
	r := measuredTrack{
		Kind: p.Kind.String(), Codec: p.Codec, Width: p.Width, Height: p.Height, SampleRate: p.SampleRate, Channels: p.Channels,
		Samples: t.samples, GOPs: t.gops, BFrames: t.ordered, seconds: t.ticks.Duration(p.ClockRate).Seconds(),
	}
	if t.ticks > 0 {
		perTick := float64(p.ClockRate) / float64(t.ticks)
		r.Bitrate = float64(t.bytes*8) * perTick
		if p.Kind == media.Video {
			r.FPS = float64(t.samples) * perTick
		}
	}
	return r
}

// describe is a track for people.
func (t measuredTrack) describe() string {
	rate := bitrate(t.Bitrate).String()
	if t.Kind != media.Video.String() {
		return fmt.Sprintf("%s %d Hz, %s, %s", t.Codec, t.SampleRate, count(int(cmp.Or(t.Channels, 1)), "channel", "channels"), rate)
	}
	s := fmt.Sprintf("%s %dx%d, %.4g pictures/s, %s", t.Codec, t.Width, t.Height, t.FPS, rate)
	switch {
	case len(t.GOPs) == 0:
		s += fmt.Sprintf(", GOP longer than %.3g s", t.seconds)
	default:
		least, most := slices.Min(t.GOPs), slices.Max(t.GOPs)
		s += fmt.Sprintf(", GOP %d", least)
		if most != least {
			s += fmt.Sprintf("…%d", most)
		}
		if t.FPS > 0 {
			s += fmt.Sprintf(" (%.3g s)", float64(most)/t.FPS)
		}
	}
	if t.BFrames {
		s += ", B-frames"
	}
	return s
}
