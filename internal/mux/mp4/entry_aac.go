package mp4

import (
	"cmp"

	"nvr/internal/media"
)

// checkAAC: an AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1) is at least two
// bytes; with more than 64 it is something else.
func checkAAC(t *media.Track) error {
	if n := len(t.Config); n < 2 || n > 64 {
		return badConfig(t, "not an AudioSpecificConfig")
	}
	return nil
}

// writeAAC appends mp4a (ISO/IEC 14496-14 §6.7). What the decoder really puts
// out (HE-AAC doubles the rate) is said by the AudioSpecificConfig; the fields
// of the entry repeat it.
func writeAAC(l *layout, t *media.Track) error {
	l.audioEntry("mp4a", t.Channels, 16, cmp.Or(t.SampleRate, t.ClockRate))
	if err := l.esds(0x40, 5, t.Config); err != nil { // 0x40: MPEG-4 audio, 5: audio stream
		return err
	}
	return l.end()
}

// esds appends an ESDBox (ISO/IEC 14496-14 §6.7.2) around one ES_Descriptor
// (ISO/IEC 14496-1 §7.2.6.5). All lengths are below 128: one byte each.
func (l *layout) esds(objectType, streamType uint8, specific []byte) error {
	config := 13
	if len(specific) > 0 {
		config += 2 + len(specific)
	}
	l.fullBox("esds", 0, 0)
	l.u8(3) // ES_DescrTag
	l.u8(uint8(3 + 2 + config + 3))
	l.u16(0) // ES_ID: 0 in a file
	l.u8(0)
	l.u8(4) // DecoderConfigDescrTag
	l.u8(uint8(config))
	l.u8(objectType)
	l.u8(streamType<<2 | 1)
	l.zeros(3 + 4 + 4) // bufferSizeDB, maxBitrate, avgBitrate: unknown
	if len(specific) > 0 {
		l.u8(5) // DecSpecificInfoTag
		l.u8(uint8(len(specific)))
		l.bytes(specific)
	}
	l.u8(6) // SLConfigDescrTag
	l.u8(1)
	l.u8(2) // predefined: MP4 file
	return l.end()
}
