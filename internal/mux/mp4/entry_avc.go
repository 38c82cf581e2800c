package mp4

import "nvr/internal/media"

// checkAVC looks at the AVCDecoderConfigurationRecord (ISO/IEC 14496-15
// §5.3.3.1): version 1, NAL unit lengths of 4 bytes as media.H264 promises, at
// least one sequence parameter set.
func checkAVC(t *media.Track) error {
	switch c := t.Config; {
	case len(c) < 7 || c[0] != 1:
		return badConfig(t, "not a decoder configuration record")
	case c[4]&3 != 3:
		return badConfig(t, "NAL unit lengths are not 4 bytes")
	case c[5]&0x1f == 0:
		return badConfig(t, "no sequence parameter set")
	}
	return nil
}

// writeAVC appends avc1 (§5.4.2.1): all parameter sets are in the entry.
func writeAVC(l *layout, t *media.Track) error {
	l.visualEntry("avc1", t)
	if err := l.configBox("avcC", t.Config); err != nil {
		return err
	}
	return l.end()
}
