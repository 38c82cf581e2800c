package ingest

import (
	"time"

	"nvr/internal/codec/h264"
	"nvr/internal/codec/h265"
	"nvr/internal/ingest/timeline"
	"nvr/internal/media"
)

const (
	// maxReorder is the most pictures that are sent before one that is shown
	// earlier, in H.264 (§A.3.1) as in H.265 (§A.4.2).
	maxReorder = h264.MaxReorder

	// decodeLead is the room that a run has before its first picture for the
	// decode times of those that are shown later; the timeline leaves as much.
	decodeLead = 500 * time.Millisecond
)

// order finds decode times where pictures are sent in another order than that
// in which they are shown: RTP says only when they are shown (RFC 6184 §5.1).
//
// With at most depth pictures sent before one that is shown earlier, the n-th
// picture is decoded when the picture shown depth before it in the order of
// showing appears: late enough to increase, early enough for all. Nothing but
// time is asked: cameras' picture order counts are odd at times (NVC4000,
// Tiandy), and a lost picture or a GOP without IDR changes nothing.
//
// The zero value is for pictures sent in the order in which they are shown.
type order struct {
	depth int
	may   bool // depth may turn out to be higher

	held  [maxReorder + 1]media.Ticks // shown times that are no decode times yet, ascending
	n     int
	first media.Ticks // shown time of the run's first picture,
	step  media.Ticks // and how far before it the others are decoded
	count int         // pictures of the run
	used  bool        // top holds
	top   media.Ticks // the last shown time that became a decode time
	last  media.Ticks // decode time given last
}

// learn takes what a track says of its order; what was seen of the camera
// before stays true.
func (o *order) learn(t *media.Track) timeline.Reorder {
	switch depth := 0; t.Codec {
	case media.H264:
		depth, o.may = h264.Reorder(t)
		o.depth = max(o.depth, depth)
	case media.H265:
		depth, o.may = h265.Reorder(t)
		o.depth = max(o.depth, depth)
	}
	switch {
	case o.depth > 0:
		return timeline.OutOfOrder
	case o.may:
		return timeline.MaybeOutOfOrder
	}
	return timeline.InOrder
}

// begin forgets the pictures so far: a run begins, or a hole was met.
func (o *order) begin() { o.n, o.count, o.used = 0, 0, false }

// decode gives the decode time of the picture that is shown at pts. usual is the
// distance of pictures, 0 before it is known; rate is the clock.
func (o *order) decode(pts, usual media.Ticks, rate uint32) media.Ticks {
	if o.count == 0 {
		if usual == 0 {
			usual = media.Ticks(rate) / 25
		}
		o.first, o.step = pts, min(usual, media.FromDuration(decodeLead, rate)/media.Ticks(o.depth+1))
	}
	if o.used && o.may && pts < o.top && o.depth < maxReorder {
		o.depth++ // more are out of order than was said: top came too early
		o.hold(o.top)
	}
	o.hold(pts)
	var dts media.Ticks
	if o.n > o.depth {
		dts = o.held[0]
		o.n--
		copy(o.held[:o.n], o.held[1:])
		o.top, o.used = dts, true
	} else { // a run begins: its first pictures are decoded ahead of it
		dts = o.first - media.Ticks(o.depth-o.count)*o.step
	}
	if o.count > 0 {
		dts = max(dts, o.last+1)
	}
	o.count++
	o.last = dts
	return dts
}

// hold puts a shown time in its place.
func (o *order) hold(pts media.Ticks) {
	at := o.n
	for ; at > 0 && o.held[at-1] > pts; at-- {
		o.held[at] = o.held[at-1]
	}
	o.held[at] = pts
	o.n++
}
