package h265

import "nvr/internal/media"

// Reorder says how many pictures may be sent before one that is shown earlier
// (sps_max_num_reorder_pics, §7.4.3.2.1). may tells that there can be such
// pictures at all; where the number cannot be read, there may.
func Reorder(t *media.Track) (depth int, may bool) {
	s := parse(First(t.Config, SPS))
	return int(s.reorderPics), s.reorderPics > 0 || !s.reorderKnown
}
