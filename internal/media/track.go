package media

import (
	"bytes"
	"fmt"
)

// Kind tells video from audio.
type Kind uint8

// The kinds of track. They are written to disk.
const (
	Video Kind = 1
	Audio Kind = 2
)

func (k Kind) String() string {
	switch k {
	case Video:
		return "video"
	case Audio:
		return "audio"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Codec is how a track's samples are coded. The text form is written to disk.
type Codec string

// The codecs a track can have. What an access unit of each looks like in a
// record's payload is said with each.
const (
	H264  Codec = "h264"  // NAL units, each behind its length in 4 bytes big-endian (ISO/IEC 14496-15 §4.3); no parameter sets, no delimiters
	H265  Codec = "h265"  // as H264
	AV1   Codec = "av1"   // OBUs of one temporal unit, each with its size, without the delimiter; a sync sample has its sequence header
	MJPEG Codec = "mjpeg" // one JFIF picture
	AAC   Codec = "aac"   // one raw access unit, no ADTS
	Opus  Codec = "opus"  // one packet
	PCMA  Codec = "pcma"  // G.711 A-law: one byte per channel and tick
	PCMU  Codec = "pcmu"  // G.711 µ-law, as PCMA
	L16   Codec = "l16"   // 16-bit big-endian PCM
)

// Track numbers inside a stream, on disk and in records.
const (
	VideoTrack uint8 = 1
	AudioTrack uint8 = 2
)

// Track is an elementary stream under one set of parameters: what an MP4
// sample entry needs. It is immutable; changed parameter sets make a new Track,
// and records hold a pointer to the one that their samples need.
type Track struct {
	Kind      Kind
	Codec     Codec
	ClockRate uint32 // ticks per second

	// Config is the decoder configuration, exactly the bytes of its MP4 box:
	// H.264: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1),
	// H.265: HEVCDecoderConfigurationRecord (§8.3.3.1), AV1:
	// AV1CodecConfigurationRecord (AV1 in ISOBMFF §2.3.3), AAC: AudioSpecificConfig
	// (ISO/IEC 14496-3 §1.6.2.1); empty for MJPEG, Opus, G.711 and L16.
	Config []byte

	Width, Height uint16 // video, in pixels after cropping; 0 when unknown
	Channels      uint8  // audio
	SampleRate    uint32 // audio, in Hz: what the decoder puts out
}

// Equal reports whether both need the same sample entry.
func (t *Track) Equal(o *Track) bool {
	return t == o || t != nil && o != nil && t.Kind == o.Kind && t.Codec == o.Codec && t.ClockRate == o.ClockRate &&
		t.Width == o.Width && t.Height == o.Height && t.Channels == o.Channels && t.SampleRate == o.SampleRate &&
		bytes.Equal(t.Config, o.Config)
}

// String is short, for lists and logs: "h264 1920x1080", "aac 16000 Hz".
func (t *Track) String() string {
	if t.Kind == Video {
		return fmt.Sprintf("%s %dx%d", t.Codec, t.Width, t.Height)
	}
	return fmt.Sprintf("%s %d Hz", t.Codec, t.SampleRate)
}
