// Package aac knows what is inside MPEG-4 audio (ISO/IEC 14496-3) as far as
// recording needs it.
package aac

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"nvr/internal/codec/bits"
	"nvr/internal/media"
)

// FrameSamples is how many samples of each channel an access unit of AAC-LC
// decodes to, before any spectral band replication.
const FrameSamples = 1024

// Track makes a track from an AudioSpecificConfig (§1.6.2.1). clockRate is
// RTP's.
func Track(asc []byte, clockRate uint32) (*media.Track, error) {
	if len(asc) > MaxConfigBytes {
		return nil, fmt.Errorf("aac: AudioSpecificConfig of %d bytes", len(asc))
	}
	c, err := readConfig(&bits.Reader{Data: asc})
	if err != nil {
		return nil, fmt.Errorf("aac: AudioSpecificConfig %x: %w", asc[:min(len(asc), 16)], err)
	}
	if clockRate == 0 {
		return nil, fmt.Errorf("aac: no clock rate")
	}
	t := &media.Track{
		Kind:       media.Audio,
		Codec:      media.AAC,
		ClockRate:  clockRate,
		Config:     append([]byte(nil), asc...),
		Channels:   channels(c.layout),
		SampleRate: c.rate,
	}
	if c.extended > 0 {
		t.SampleRate = c.extended
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
	asc, err := c.Marshal()
	if err != nil {
		return nil, fmt.Errorf("aac: %w", err)
	}
	return Track(asc, clockRate)
}

// FrameTicks is the length of an access unit in ticks of the track's clock.
func FrameTicks(t *media.Track) media.Ticks {
	c, err := readConfig(&bits.Reader{Data: t.Config})
	if err != nil {
		return FrameSamples
	}
	n := media.Ticks(FrameSamples)
	if c.short {
		n = 960
	}
	return max(1, n*media.Ticks(t.ClockRate)/media.Ticks(c.rate))
}

func channels(layout byte) uint8 {
	if layout == 7 {
		return 8
	}
	return layout
}
