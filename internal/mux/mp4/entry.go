package mp4

import (
	"errors"
	"fmt"

	"nvr/internal/media"
)

// ErrUnsupported is wrapped when a track cannot be carried in an MP4 file:
// there is no sample entry for its codec, or its configuration is not one.
var ErrUnsupported = errors.New("track cannot be put into an MP4 file")

// entryWriter appends the sample entry of one codec (ISO/IEC 14496-12 §8.5.2).
// check is called before a sample is accepted, so that write cannot fail.
type entryWriter struct {
	check func(*media.Track) error
	write func(*layout, *media.Track) error
}

// entries has a line per codec; the code is in entry_<codec>.go.
var entries = map[media.Codec]entryWriter{
	media.H264:  {checkAVC, writeAVC},
	media.H265:  {checkHEVC, writeHEVC},
	media.AV1:   {checkAV1, writeAV1},
	media.MJPEG: {checkMJPEG, writeMJPEG},
	media.AAC:   {checkAAC, writeAAC},
	media.Opus:  {checkOpus, writeOpus},
	media.PCMA:  {checkPCM, writePCM},
	media.PCMU:  {checkPCM, writePCM},
	media.L16:   {checkPCM, writePCM},
}

// Supports tells why a track cannot be carried: nil if it can.
func Supports(t *media.Track) error {
	e, ok := entries[t.Codec]
	if !ok {
		return fmt.Errorf("codec %q: %w", t.Codec, ErrUnsupported)
	}
	if t.ClockRate == 0 {
		return fmt.Errorf("%s without a clock rate: %w", t.Codec, ErrUnsupported)
	}
	return e.check(t)
}

// visualEntry begins a VisualSampleEntry (§12.1.3); the codec's boxes and end follow.
func (l *layout) visualEntry(format string, t *media.Track) {
	l.sampleEntry(format)
	l.zeros(16) // pre_defined, reserved
	l.u16(t.Width)
	l.u16(t.Height)
	l.u32(72 << 16) // horizontal, vertical resolution: 72 dpi
	l.u32(72 << 16)
	l.u32(0)
	l.u16(1)         // frame_count: one picture a sample
	l.zeros(32)      // compressorname
	l.u16(24)        // depth: colour, no alpha
	l.u16(1<<16 - 1) // pre_defined = -1
}

// audioEntry begins an AudioSampleEntry (§12.2.3). The rate field is 16.16:
// rates beyond 65,535 Hz don't fit, then the codec's own configuration tells.
func (l *layout) audioEntry(format string, channels uint8, bits uint16, rate uint32) {
	l.sampleEntry(format)
	l.zeros(8)
	l.u16(uint16(channels))
	l.u16(bits)
	l.u32(0)
	if rate > 65535 {
		rate = 0
	}
	l.u32(rate << 16)
}

// sampleEntry begins a SampleEntry (§8.5.2): the data are in this very file.
func (l *layout) sampleEntry(format string) {
	l.box(format)
	l.zeros(6)
	l.u16(1) // data_reference_index
}

// configBox appends a box that is nothing but a decoder configuration.
func (l *layout) configBox(typ string, config []byte) error {
	l.box(typ)
	l.bytes(config)
	return l.end()
}

func badConfig(t *media.Track, what string) error {
	return fmt.Errorf("%s: %s: %w", t.Codec, what, ErrUnsupported)
}
