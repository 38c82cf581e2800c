package h264

import "nvr/internal/media"

// Reorder says how many pictures may be sent before one that is shown earlier
// (max_num_reorder_frames, §E.2.1). may tells that there can be such pictures at
// all, which a stream that does not say a number only does not deny: most
// cameras have none.
func Reorder(t *media.Track) (depth int, may bool) {
	s, _ := parse(FirstSPS(t.Config))
	switch {
	case s.PicOrderCntType == 2: // output is in decoding order, §8.2.1.3
		return 0, false
	case s.ProfileIdc == 66: // Baseline has no B slices
		return 0, false
	case s.VUI != nil && s.VUI.BitstreamRestriction != nil:
		n := int(min(s.VUI.BitstreamRestriction.MaxNumReorderFrames, MaxReorder))
		return n, n > 0
	}
	return 0, true
}

// MaxReorder is the largest max_num_reorder_frames there can be (§A.3.1).
const MaxReorder = 16
