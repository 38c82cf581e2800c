package play

import (
	"time"

	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

// maxDrift is how far a track may run from wall time before it is put right at
// a record's beginning. Clocks of cameras differ by 20 … 500 ppm, those of
// sound and picture from each other too; 20 ms are neither seen nor heard.
const maxDrift = 20 * time.Millisecond

// lane is a track of the file being planned. Its times are ticks since its
// first sample's decode time, which is origin.
type lane struct {
	key    laneKey
	out    *mp4.Track
	clock  uint32
	frame  int   // bytes of a PCM frame; 0: access units
	origin int64 // file time

	started      bool
	last         int64 // decode time of the last sample
	lastDuration int64 // as the archive knows it
	next         int64 // PCM: frames so far

	shown     struct{ begin, end int64 } // what the edit list lets through
	beginFile int64                      // file time of shown.begin

	// In this run and with this offset, the run's time anchorRun is anchorFile.
	anchored   bool
	run        media.RunID
	offset     int64
	anchorRun  media.Ticks
	anchorFile int64
}

// laneKey is what samples of one MP4 track have in common.
type laneKey struct {
	track uint8
	codec media.Codec
	clock uint32
	frame int
}

// lane finds or makes the track for a selection. Another codec or clock rate
// needs another track, and so does a silence longer than any sample can last.
func (p *planner) lane(s selection) (*lane, error) {
	t := s.e.Params
	key := laneKey{s.e.Track, t.Codec, t.ClockRate, mp4.FrameBytes(t)}
	at := wallAt(s.e, s.decode) + p.offset // file time of decoding
	for i := len(p.lanes) - 1; i >= 0; i-- {
		l := p.lanes[i]
		if l.key == key {
			if at-l.fileTime(max(l.last, l.next)) < l.longest() {
				return l, nil
			}
			break
		}
	}
	kind := media.Video
	if s.e.Track != media.VideoTrack {
		kind = media.Audio
	}
	out, err := p.file.AddTrack(kind, t.ClockRate)
	if err != nil {
		return nil, err
	}
	l := &lane{key: key, out: out, clock: t.ClockRate, frame: key.frame, origin: at, beginFile: s.shown + p.offset}
	if l.frame > 0 {
		l.origin = l.beginFile // frames are cut exactly, nothing needs to be hidden
	} else {
		x := s.e.Samples[s.lo]
		l.shown.begin = int64(x.Composition) + l.ticks(l.beginFile-p.offset-wallAt(s.e, s.decode+media.Ticks(x.Composition)))
		l.shown.end = l.shown.begin
	}
	p.lanes = append(p.lanes, l)
	return l, nil
}

// empty reports whether nothing of the lane is in the file: packets of PCM
// that claim more time than they have frames may all lie outside of the span.
func (l *lane) empty() bool { return !l.started && l.next == 0 }

// longest is the longest time from one sample to the next: a gap of maxHold
// and what the track may have been silent for before it.
func (l *lane) longest() int64 {
	return int64(min(maxHold+30*time.Minute, media.Ticks(mp4.MaxHold).Duration(l.clock)))
}

func (l *lane) fileTime(ticks int64) int64 {
	return l.origin + int64(media.Ticks(ticks).Duration(l.clock))
}

func (l *lane) ticks(ns int64) int64 {
	return int64(media.FromDuration(time.Duration(ns), l.clock))
}

// position is the decode time of a selection in the file. Inside a run it
// follows the run's ticks: the start of a record is trusted over the durations
// of the one before. At a run's beginning, after a hole that was closed and
// after a drift of maxDrift it follows wall time, the common clock of the tracks.
func (l *lane) position(s selection, run media.RunID, offset int64) int64 {
	byWall := l.ticks(wallAt(s.e, s.decode) + offset - l.origin)
	if l.anchored && l.run == run && l.offset == offset {
		byTicks := l.anchorFile + int64(s.decode-l.anchorRun)
		if d := byTicks - byWall; max(d, -d) <= l.ticks(int64(maxDrift)) {
			return byTicks
		}
	}
	if l.run == run && l.started { // at most half of the last sample is taken away
		byWall = max(byWall, l.last+max(1, l.lastDuration/2))
	}
	l.anchored, l.run, l.offset, l.anchorRun, l.anchorFile = true, run, offset, s.decode, byWall
	return byWall
}
