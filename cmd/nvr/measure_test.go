package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nvr/internal/media"
)

func TestMeter(t *testing.T) {
	stopped := 0
	m := &meter{stop: func() { stopped++ }, wait: time.Hour, tracks: map[uint8]*counted{}}
	video := &media.Track{Kind: media.Video, Codec: media.H264, ClockRate: 90000, Width: 640, Height: 360}
	offer := func(p *media.Track, number uint8, samples ...media.Sample) {
		r := media.Record{Track: number, Params: p, Buffer: media.NewBuffer(10)}
		r.Buffer.Samples = append(r.Buffer.Samples, samples...)
		if !m.Offer(r) {
			t.Error("refused")
		}
	}
	const size, each = 1000, 3600
	plain, sync := media.Sample{Size: size, Duration: each}, media.Sample{Size: size, Duration: each, Flags: media.SampleSync}
	early := plain
	early.Composition = each
	offer(video, media.VideoTrack, plain, sync, plain)
	offer(video, media.VideoTrack, plain, sync, early, sync)
	defer m.timer.Stop()
	audio := &media.Track{Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, SampleRate: 8000, Channels: 1}
	offer(audio, media.AudioTrack, media.Sample{Size: 800, Duration: 800, Flags: media.SampleSync})

	got := m.tracks[media.VideoTrack].result()
	want := measuredTrack{Kind: "video", Codec: media.H264, Width: 640, Height: 360, Samples: 7, FPS: 25, Bitrate: size * 8 * 25, GOPs: []int{3, 2}, BFrames: true, seconds: 0.28}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(measuredTrack{})); diff != "" {
		t.Error(diff)
	}
	if s := got.describe(); s != "h264 640x360, 25 pictures/s, 200 kbit/s, GOP 2…3 (0.12 s), B-frames" {
		t.Error(s)
	}
	if s := m.tracks[media.AudioTrack].result().describe(); s != "pcma 8000 Hz, 1 channel, 64 kbit/s" {
		t.Error(s)
	}
	larger := *video
	larger.Width = 1280
	offer(&larger, media.VideoTrack, sync)
	if c := m.tracks[media.VideoTrack]; c.changed != 1 || c.result().Width != 1280 {
		t.Errorf("%+v", c)
	}

	m.OfferGap(media.Gap{Span: media.Span{From: 1, To: 2}, Reason: media.ReasonLoss})
	if m.losses != 1 || stopped != 0 {
		t.Error("a hole in a session ends it")
	}
	m.OfferGap(media.Gap{Span: media.Span{From: 3}, Reason: media.ReasonUnreachable, Detail: "gone"})
	if stopped != 1 || m.detail != "gone" {
		t.Error("the end of the session is not seen")
	}
}

func TestQuirks(t *testing.T) {
	q := &quirks{}
	log := slog.New(q).With("camera", "c")
	log.Info("nothing odd")
	for range 2 {
		log.Warn("tracks that cannot be stored are left out", "tracks", []string{`"VP8"`})
	}
	log.Warn("session description", "camera", "192.0.2.1:554", "problem", "m=video: section dropped")
	log.Warn("not recording", "reason", "x")
	for i := range 2 * maxQuirks {
		log.Warn(strings.Repeat("x", i))
	}
	if len(q.all) != maxQuirks || q.all[0] != `tracks that cannot be stored are left out: ["VP8"]` || q.all[1] != "session description: m=video: section dropped" {
		t.Errorf("%q", q.all)
	}
}

func TestShowURL(t *testing.T) {
	c := &console{mask: &mask{}}
	c.mask.add("admin", "opensesame")
	for in, want := range map[string]string{
		"rtsp://h:554/a?b=c":                         "rtsp://h:554/a?b=c",
		"rtsp://h/user=a&password=geheim&x=1":        "rtsp://h/user=a&password=***&x=1",
		"rtsp://h/opensesame":                        "rtsp://h/***",
		"rtsp://u:p@h/":                              "rtsp://***@h/",
		"rtsp://h/\x1b[31m\u202e\u009bx y":           "rtsp://h/%1B[31m%E2%80%AE%C2%9Bx%20y",
		"onvif://127.0.0.1:8000/cam1/device_service": "onvif://127.0.0.1:8000/cam1/device_service",
	} {
		if got := c.showURL(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
