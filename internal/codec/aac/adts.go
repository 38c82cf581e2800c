package aac

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"nvr/internal/media"
)

// ADTS finds the raw access unit in an ADTS frame (§1.A.2.2). ok is false if b
// is not exactly one such frame.
func ADTS(b []byte) (au []byte, ok bool) {
	if len(b) < 7 || b[0] != 0xff || b[1]&0xf6 != 0xf0 { // syncword, layer 0
		return nil, false
	}
	header := 7
	if b[1]&1 == 0 { // protection_absent is not set: a CRC follows
		header = 9
	}
	length := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5
	if length != len(b) || length <= header {
		return nil, false
	}
	return b[header:], true
}

// ADTSTrack makes the track that an ADTS frame's header describes. Where a
// camera sends both, the header is right and the SDP is not.
func ADTSTrack(b []byte, clockRate uint32) (*media.Track, error) {
	rate := 0
	if i := int(b[2] >> 2 & 0xf); i < len(rates) {
		rate = int(rates[i])
	}
	c := mpeg4audio.AudioSpecificConfig{
		Type:          mpeg4audio.ObjectType(b[2]>>6 + 1),
		SampleRate:    rate,
		ChannelConfig: b[2]&1<<2 | b[3]>>6,
	}
	config, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	return Track(config, clockRate)
}
