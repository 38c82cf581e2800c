package mp4

import "nvr/internal/media"

// checkAV1 looks at the AV1CodecConfigurationRecord (AV1 in ISOBMFF §2.3.3):
// marker bit and version 1.
func checkAV1(t *media.Track) error {
	if len(t.Config) < 4 || t.Config[0] != 0x81 {
		return badConfig(t, "not a codec configuration record")
	}
	return nil
}

// writeAV1 appends av01 (AV1 in ISOBMFF §2.2).
func writeAV1(l *layout, t *media.Track) error {
	l.visualEntry("av01", t)
	if err := l.configBox("av1C", t.Config); err != nil {
		return err
	}
	return l.end()
}
