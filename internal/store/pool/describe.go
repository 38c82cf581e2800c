package pool

import (
	"encoding/json"
	"fmt"
	"time"

	"nvr/internal/media"
)

// The descriptions that make a pool readable with nothing else: which camera a
// stream number means, what a track's samples need. Each stands in a pool
// before the first record that refers to it.

type streamText struct {
	UUID   media.UUID `json:"uuid"`
	ID     string     `json:"id"`
	Name   string     `json:"name"`
	Stream string     `json:"stream"`
}

type trackText struct {
	Kind       media.Kind  `json:"kind"`
	Codec      media.Codec `json:"codec"`
	ClockRate  uint32      `json:"clock_rate"`
	Config     []byte      `json:"config,omitempty"`
	Width      uint16      `json:"width,omitempty"`
	Height     uint16      `json:"height,omitempty"`
	Channels   uint8       `json:"channels,omitempty"`
	SampleRate uint32      `json:"sample_rate,omitempty"`
}

type gapText struct {
	Reason media.Reason `json:"reason"`
	Detail string       `json:"detail,omitempty"`
	Loss   *lossText    `json:"loss,omitempty"`
}

type lossText struct {
	Nanoseconds int64  `json:"ns,omitempty"`
	Packets     uint32 `json:"packets,omitempty"`
	Missing     uint32 `json:"missing,omitempty"`
	Damaged     uint32 `json:"damaged,omitempty"`
}

// must is for values that always have a JSON form.
func must(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("pool: " + err.Error())
	}
	return b
}

// StreamEntry describes a stream.
func StreamEntry(s *media.Stream) Entry {
	return Entry{Kind: KindStream, Stream: s.ID(), Text: must(streamText{s.Camera.UUID, s.Camera.ID, s.Camera.Name, s.Name})}
}

// TrackEntry describes a track. Its Params is the hash by which records refer
// to it: the CRC of the text, so equal tracks have equal numbers everywhere.
func TrackEntry(t *media.Track) Entry {
	text := must(trackText{t.Kind, t.Codec, t.ClockRate, t.Config, t.Width, t.Height, t.Channels, t.SampleRate})
	return Entry{Kind: KindTrack, Params: CRC(text), Text: text}
}

// GapEntry describes a gap.
func GapEntry(g media.Gap) Entry {
	text := gapText{Reason: g.Reason, Detail: g.Detail}
	if l := g.Loss; l != (media.Loss{}) {
		text.Loss = &lossText{int64(l.Time), l.Packets, l.Missing, l.Damaged}
	}
	return Entry{Kind: KindGap, Stream: g.Stream.ID(), Run: g.Run, Wall: g.Span.From, WallEnd: g.Span.To, Text: must(text)}
}

// DecodeStream reads a KindStream entry.
func (e *Entry) DecodeStream() (*media.Stream, error) {
	var t streamText
	if err := json.Unmarshal(e.Text, &t); err != nil {
		return nil, fmt.Errorf("stream description: %w", err)
	}
	return &media.Stream{Camera: media.Camera{UUID: t.UUID, ID: t.ID, Name: t.Name}, Name: t.Stream}, nil
}

// DecodeTrack reads a KindTrack entry.
func (e *Entry) DecodeTrack() (*media.Track, error) {
	var t trackText
	if err := json.Unmarshal(e.Text, &t); err != nil {
		return nil, fmt.Errorf("track description: %w", err)
	}
	if t.ClockRate == 0 {
		return nil, &CorruptError{Reason: "track description: no clock rate"}
	}
	return &media.Track{Kind: t.Kind, Codec: t.Codec, ClockRate: t.ClockRate, Config: t.Config, Width: t.Width, Height: t.Height, Channels: t.Channels, SampleRate: t.SampleRate}, nil
}

// DecodeGap reads a KindGap entry; its Stream is left to the caller.
func (e *Entry) DecodeGap() (media.Gap, error) {
	var t gapText
	if err := json.Unmarshal(e.Text, &t); err != nil {
		return media.Gap{}, fmt.Errorf("gap: %w", err)
	}
	g := media.Gap{Span: media.Span{From: e.Wall, To: e.WallEnd}, Reason: t.Reason, Detail: t.Detail, Run: e.Run}
	if l := t.Loss; l != nil {
		g.Loss = media.Loss{Time: time.Duration(max(0, l.Nanoseconds)), Packets: l.Packets, Missing: l.Missing, Damaged: l.Damaged}
	}
	return g, nil
}
