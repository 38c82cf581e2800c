package play

import (
	"context"
	"time"

	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

const (
	// reorderWindow bounds how far presentation lies from decoding: 16 pictures
	// (H.264 §A.3.1) at 16 pictures a second.
	reorderWindow = time.Second

	// minGap is the shortest hole inside a run that counts as a gap: a camera
	// may go down to a picture a second at night without having failed.
	minGap = time.Second
)

// cut is where decoding and where showing of the video begin when the span
// begins inside a run. Times are those of the run, in ticks.
type cut struct {
	found   bool
	run     media.RunID
	decode  media.Ticks // decode time of the sync sample to begin with
	picture media.Ticks // presentation time of the first picture shown
	wall    int64       // from when on it is shown
}

// findCut looks for the picture that is on the screen at from: one look at the
// first GOP, so that the one pass over everything never has to turn back. In
// decoding order that picture need not be the last one before from.
func findCut(ctx context.Context, a Archive, id media.StreamID, span media.Span) (cut, error) {
	s := cutScan{span: span}
	for e, err := range a.Entries(ctx, id, withLeadIn(span)) {
		if err != nil {
			return cut{}, err
		}
		if e.Track != media.VideoTrack || mp4.Supports(e.Params) != nil {
			continue
		}
		if e.Run != s.run {
			if s.decided() {
				break
			}
			s = cutScan{span: span, run: e.Run}
		}
		if s.add(e) {
			break
		}
	}
	return s.cut(), nil
}

// withLeadIn begins a bit earlier: a picture shown at from may belong to the
// GOP before the last one that begins to be decoded before from.
func withLeadIn(s media.Span) media.Span {
	return media.Span{From: s.From - int64(reorderWindow), To: s.To}
}

// cutScan is what findCut knows of the run that it looks at.
type cutScan struct {
	span media.Span
	run  media.RunID

	sync            bool        // decode is the last sync sample shown at or before from
	decode          media.Ticks //
	last            media.Ticks // picture shown last at or before from
	lastWall, shown int64       // when it appears, when it ends as far as it knows
	later           bool        // next is the first picture after from
	next            media.Ticks //
	nextWall        int64       //
}

// add looks at a record's samples until there is nothing more to learn.
func (s *cutScan) add(e *media.Entry) (done bool) {
	decode := e.Start
	for _, x := range e.Samples {
		present := decode + media.Ticks(x.Composition)
		wall := wallAt(e, present)
		switch {
		case wall > s.span.From:
			if !s.later || wall < s.nextWall {
				s.later, s.next, s.nextWall = true, present, wall
			}
		case x.Sync():
			s.sync, s.decode = true, decode
			s.show(present, wall, e, x)
		case s.sync && wall >= s.lastWall:
			s.show(present, wall, e, x)
		}
		if wallAt(e, decode) > s.span.From+int64(reorderWindow) {
			return true
		}
		decode += media.Ticks(x.Duration)
	}
	return false
}

func (s *cutScan) show(present media.Ticks, wall int64, e *media.Entry, x media.Sample) {
	s.last, s.lastWall, s.shown = present, wall, wallAt(e, present+media.Ticks(x.Duration))
}

// decided reports whether the run has a picture for from or behind it.
func (s *cutScan) decided() bool { return s.later || s.sync && s.shown > s.span.From }

func (s *cutScan) cut() cut {
	c := cut{found: s.sync && s.decided(), run: s.run, decode: s.decode, picture: s.last, wall: s.span.From}
	if s.later && s.shown <= s.span.From && s.nextWall-s.shown >= int64(minGap) {
		c.picture, c.wall = s.next, s.nextWall // from lies in a hole: footage begins behind it
	}
	return c
}

// wallAt is the wall time of a time of the entry's run.
func wallAt(e *media.Entry, t media.Ticks) int64 {
	return e.Wall + int64((t - e.Start).Duration(e.Params.ClockRate))
}
