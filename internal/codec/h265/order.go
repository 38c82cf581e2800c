package h265

import (
	mch265 "github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"nvr/internal/codec/nal"
	"nvr/internal/media"
)

// Order finds the decode time of pictures that are sent in decode order with
// their presentation time only. Where the slice headers do not say, decode
// time is presentation time until the next IDR, and recording goes on.
type Order struct {
	sps, pps []byte
	x        mch265.DTSExtractor
	units    [3][]byte
	lost     bool // until the next IDR
}

// NewOrder makes an Order for a track, nil where pictures are sent in the
// order in which they are shown (sps_max_num_reorder_pics is 0, as with nearly
// every camera). declared tells that the stream says it has others.
func NewOrder(t *media.Track) (o *Order, declared bool) {
	sps, pps := First(t.Config, SPS), First(t.Config, PPS)
	if len(sps) <= HeaderSize || len(pps) <= HeaderSize || parse(sps).reorderPics == 0 {
		return nil, false
	}
	var s mch265.SPS
	if s.Unmarshal(sps) != nil || s.Log2MaxPicOrderCntLsbMinus4 > 12 {
		return nil, false
	}
	o = &Order{sps: sps, pps: pps}
	o.reset()
	return o, true
}

// Wait makes decode time presentation time until the next IDR.
func (o *Order) Wait() { o.lost = true }

func (o *Order) reset() {
	o.x = mch265.DTSExtractor{}
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
		if !IsIDR(Type(slice[0])) {
			return pts
		}
		o.reset()
	}
	o.units = [3][]byte{o.sps, o.pps, slice}
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
		if len(unit) > HeaderSize && IsVCL(Type(unit[0])) {
			return unit
		}
		au = rest
	}
}
