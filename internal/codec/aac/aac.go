// Package aac knows what is inside MPEG-4 audio (ISO/IEC 14496-3) as far as
// recording needs it.
package aac

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"nvr/internal/media"
)

// FrameSamples is how many samples of each channel an access unit of AAC-LC
// decodes to, before any spectral band replication.
const FrameSamples = 1024

// Track makes a track from an AudioSpecificConfig (§1.6.2.1). clockRate is
// RTP's.
func Track(config []byte, clockRate uint32) (*media.Track, error) {
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(config); err != nil {
		return nil, fmt.Errorf("aac: AudioSpecificConfig %x: %w", config[:min(len(config), 16)], err)
	}
	if c.SampleRate <= 0 || clockRate == 0 {
		return nil, fmt.Errorf("aac: sample rate %d, clock rate %d", c.SampleRate, clockRate)
	}
	t := &media.Track{
		Kind:       media.Audio,
		Codec:      media.AAC,
		ClockRate:  clockRate,
		Config:     append([]byte(nil), config...),
		Channels:   channels(c.ChannelConfig),
		SampleRate: uint32(c.SampleRate),
	}
	if c.ExtensionSampleRate > 0 {
		t.SampleRate = uint32(c.ExtensionSampleRate)
	}
	return t, nil
}

// Derive makes a track from the SDP's rtpmap alone, for cameras that send no
// config or one that does not parse: AAC-LC at the clock rate.
func Derive(clockRate uint32, channels int) (*media.Track, error) {
	layout := channels // ISO/IEC 14496-3 Table 1.19: 1 to 6 are that many channels, 7 is eight
	switch {
	case channels < 1:
		layout = 1
	case channels == 8:
		layout = 7
	case channels > 6:
		return nil, fmt.Errorf("aac: no layout of %d channels", channels)
	}
	c := mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: int(clockRate), ChannelConfig: uint8(layout)}
	config, err := c.Marshal()
	if err != nil {
		return nil, fmt.Errorf("aac: %w", err)
	}
	return Track(config, clockRate)
}

// FrameTicks is the length of an access unit in ticks of the track's clock.
func FrameTicks(t *media.Track) media.Ticks {
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(t.Config); err != nil || c.SampleRate <= 0 {
		return FrameSamples
	}
	n := FrameSamples
	if c.FrameLengthFlag {
		n = 960
	}
	return max(1, media.Ticks(n)*media.Ticks(t.ClockRate)/media.Ticks(c.SampleRate))
}

func channels(config uint8) uint8 {
	if config == 7 {
		return 8
	}
	return config
}
