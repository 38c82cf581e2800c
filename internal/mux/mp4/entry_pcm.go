package mp4

import "nvr/internal/media"

// FrameBytes is the size of one PCM frame, one sample of every channel, which
// is one MP4 sample of one tick; 0 for codecs that are not PCM.
func FrameBytes(t *media.Track) int {
	switch t.Codec {
	case media.PCMA, media.PCMU:
		return int(t.Channels)
	case media.L16:
		return 2 * int(t.Channels)
	}
	return 0
}

// Silence is the byte that means no sound in a PCM track (G.711 tables 1, 2).
func Silence(c media.Codec) byte {
	switch c {
	case media.PCMA:
		return 0xD5
	case media.PCMU:
		return 0xFF
	}
	return 0
}

func checkPCM(t *media.Track) error {
	if t.Channels == 0 || t.Channels > 8 {
		return badConfig(t, "no channels")
	}
	return nil
}

// writePCM appends alaw, ulaw or twos: names of QuickTime (QuickTime File
// Format, "Sound Sample Description") that every player knows; ISO/IEC 23003-5
// has its own for linear PCM (ipcm), which few do. 16 is the decoded width.
func writePCM(l *layout, t *media.Track) error {
	format := map[media.Codec]string{media.PCMA: "alaw", media.PCMU: "ulaw", media.L16: "twos"}[t.Codec]
	l.audioEntry(format, t.Channels, 16, t.ClockRate)
	if t.Channels <= 2 {
		if err := l.channelLayout(t.Channels); err != nil {
			return err
		}
	}
	return l.end()
}

// channelLayout appends QuickTime's chan box ("Audio Channel Layout Atom"):
// without it ffmpeg warns that it has to guess what one channel is.
func (l *layout) channelLayout(channels uint8) error {
	l.fullBox("chan", 0, 0)
	l.u32((99+uint32(channels))<<16 | uint32(channels)) // 100: mono, 101: stereo
	l.zeros(4 + 4)                                      // channel bitmap, number of descriptions
	return l.end()
}
