package mp4

import "nvr/internal/media"

// checkHEVC looks at the HEVCDecoderConfigurationRecord (ISO/IEC 14496-15
// §8.3.3.1): version 1, NAL unit lengths of 4 bytes, some parameter sets.
func checkHEVC(t *media.Track) error {
	switch c := t.Config; {
	case len(c) < 23 || c[0] != 1:
		return badConfig(t, "not a decoder configuration record")
	case c[21]&3 != 3:
		return badConfig(t, "NAL unit lengths are not 4 bytes")
	case c[22] == 0:
		return badConfig(t, "no parameter sets")
	}
	return nil
}

// writeHEVC appends hvc1 (§8.4.1.1): all parameter sets are in the entry,
// which is what Apple's players insist on.
func writeHEVC(l *layout, t *media.Track) error {
	l.visualEntry("hvc1", t)
	if err := l.configBox("hvcC", t.Config); err != nil {
		return err
	}
	return l.end()
}
