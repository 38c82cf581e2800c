package mp4

import "nvr/internal/media"

// checkOpus: channel mapping family 0 is mono and stereo.
func checkOpus(t *media.Track) error {
	if t.Channels == 0 || t.Channels > 2 {
		return badConfig(t, "neither mono nor stereo")
	}
	return nil
}

// writeOpus appends Opus with dOps (Opus in ISOBMFF §4.3). The decoder always
// puts out 48 kHz; a camera's stream has no pre-skip to speak of.
func writeOpus(l *layout, t *media.Track) error {
	l.audioEntry("Opus", t.Channels, 16, 48000)
	l.box("dOps")
	l.u8(0) // Version
	l.u8(t.Channels)
	l.u16(0) // PreSkip
	l.u32(t.SampleRate)
	l.u16(0) // OutputGain
	l.u8(0)  // ChannelMappingFamily
	if err := l.end(); err != nil {
		return err
	}
	return l.end()
}
