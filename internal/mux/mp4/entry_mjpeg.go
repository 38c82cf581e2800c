package mp4

import "nvr/internal/media"

func checkMJPEG(*media.Track) error { return nil }

// writeMJPEG appends mp4v whose esds says object type 0x6C, JPEG
// (ISO/IEC 14496-1 table 5): every picture brings its own tables.
func writeMJPEG(l *layout, t *media.Track) error {
	l.visualEntry("mp4v", t)
	if err := l.esds(0x6C, 4, nil); err != nil { // 4: visual stream
		return err
	}
	return l.end()
}
