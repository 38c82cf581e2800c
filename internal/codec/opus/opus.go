// Package opus knows what is inside Opus packets (RFC 6716) as far as recording
// needs it.
package opus

import (
	mcopus "github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"nvr/internal/media"
)

// Rate is the clock of Opus in RTP (RFC 7587 §4.1) and what its decoders put
// out, whatever the microphone's rate was.
const Rate = 48000

// maxTicks is the longest packet, 120 ms (RFC 6716 §3.2.5).
const maxTicks = Rate * 120 / 1000

// Track makes a track for a stream in RTP. Its channels are always said to be
// two (RFC 7587 §7): mono and stereo may change from packet to packet, and a
// decoder for two takes both.
func Track() *media.Track {
	return &media.Track{Kind: media.Audio, Codec: media.Opus, ClockRate: Rate, Channels: 2, SampleRate: Rate}
}

// Duration is the length of a packet in ticks of Rate, 0 for what is no packet.
func Duration(packet []byte) media.Ticks {
	if d := mcopus.PacketDuration2(packet); d > 0 && d <= maxTicks {
		return media.Ticks(d)
	}
	return 0
}
