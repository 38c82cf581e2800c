package play

import (
	"slices"
	"time"

	"nvr/internal/media"
)

// coverage is how far the picture (the sound, if there is no picture) reaches.
type coverage struct {
	track uint8
	run   media.RunID
	end   int64         // wall time
	step  time.Duration // of the samples there, on average
}

// noteGap notes a hole before the selection.
func (p *planner) noteGap(s selection) {
	c := &p.covered
	if c.track == media.VideoTrack && s.e.Track != media.VideoTrack {
		return
	}
	first, same := c.track == 0, c.run == s.e.Run
	end, step := c.end, c.step
	if c.track != s.e.Track && !first {
		end = p.lanes[0].beginFile // there was sound only, until now
	}
	until := s.decode + media.Ticks(s.e.Samples[s.lo].Composition) + s.length()
	*c = coverage{
		track: s.e.Track, run: s.e.Run,
		end:  max(c.end, wallAt(s.e, until)),
		step: s.length().Duration(s.e.Params.ClockRate) / time.Duration(s.hi-s.lo),
	}

	hole := time.Duration(s.shown - end)
	if first || hole <= 2*step || same && hole < minGap {
		return
	}
	if len(p.result.Gaps) == maxGaps {
		p.result.MoreGaps++
		return
	}
	p.result.Gaps = append(p.result.Gaps, media.Span{From: end, To: s.shown})
}

// length is the sum of the durations.
func (s selection) length() media.Ticks {
	var d media.Ticks
	for _, x := range s.e.Samples[s.lo:s.hi] {
		d += media.Ticks(x.Duration)
	}
	return d
}

// clipGaps leaves of the gaps what lies inside the footage shown: a hole in
// the lead-in, or one that the span begins in, is none of the file's.
func clipGaps(gaps []media.Span, shown media.Span) []media.Span {
	for i := range gaps {
		gaps[i].From = max(gaps[i].From, shown.From)
	}
	return slices.DeleteFunc(gaps, media.Span.Empty)
}
