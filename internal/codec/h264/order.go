package h264

import (
	mch264 "github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"nvr/internal/codec/nal"
	"nvr/internal/media"
)

// Order finds the decode time of pictures that are sent in decode order with
// their presentation time only, as RTP does: from the picture order count
// (§8.2.1). Cameras' counts are odd at times (NVC4000, Tiandy): then decode
// time is presentation time until the next IDR, and recording goes on.
type Order struct {
	sps   []byte
	x     mch264.DTSExtractor
	units [2][]byte
	lost  bool // until the next IDR
}

// NewOrder makes an Order for a track, nil where pictures are sent in the
// order in which they are shown, so that decode time is presentation time.
// declared tells that the stream says it has pictures that are not (B); else
// it only does not deny it, as most cameras, which have none.
func NewOrder(t *media.Track) (o *Order, declared bool) {
	sps := FirstSPS(t.Config)
	may, declared := reorders(sps)
	if !may {
		return nil, false
	}
	o = &Order{sps: sps}
	o.reset()
	return o, declared
}

// reorders reports whether the stream may have pictures that are shown before
// one that is decoded earlier.
func reorders(sps []byte) (may, declared bool) {
	s, whole := parse(sps)
	switch {
	case !whole, s.PicOrderCntType != 0, !s.FrameMbsOnlyFlag, s.Log2MaxPicOrderCntLsbMinus4 > 12, s.Log2MaxFrameNumMinus4 > 12:
		return false, false // type 2: output is in decode order; others the extractor cannot do
	case s.ProfileIdc == 66: // Baseline has no B slices
		return false, false
	case s.VUI != nil && s.VUI.BitstreamRestriction != nil:
		declared = s.VUI.BitstreamRestriction.MaxNumReorderFrames > 0
		return declared, declared
	}
	return true, false
}

// Wait makes decode time presentation time until the next IDR: for streams
// whose pictures turn out to be out of order.
func (o *Order) Wait() { o.lost = true }

func (o *Order) reset() {
	o.x = mch264.DTSExtractor{}
	o.x.Initialize()
	o.lost = false
}

// DTS gives the decode time of an access unit (its NAL units behind their
// lengths) that is shown at pts.
func (o *Order) DTS(au []byte, pts media.Ticks) media.Ticks {
	slice := firstVCL(au)
	if slice == nil {
		return pts
	}
	if o.lost {
		if Type(slice[0]) != IDR {
			return pts
		}
		o.reset()
	}
	o.units = [2][]byte{o.sps, slice}
	dts, err := o.x.Extract(o.units[:], int64(pts))
	if err != nil {
		o.lost = true
		return pts
	}
	return media.Ticks(dts)
}

func firstVCL(au []byte) []byte {
	for {
		unit, rest, ok := nal.Next(au)
		if !ok {
			return nil
		}
		if len(unit) > 0 && (Type(unit[0]) == IDR || Type(unit[0]) == Slice) {
			return unit
		}
		au = rest
	}
}
