package play

import (
	"fmt"
	"slices"
	"time"

	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

const (
	// maxHold is the longest gap that is held: players read durations as 31
	// bits, at 90 kHz 6.6 hours. What is longer is shortened to this.
	maxHold = 6 * time.Hour

	// maxSkew is how far records that lie behind one another on disk may be
	// apart in time without a gap of the whole stream: a record is ≤ 1 s.
	maxSkew = 2 * time.Second

	// maxLead is the room that a run may have before its first sample.
	maxLead = 2500 * time.Millisecond

	// maxHead is how many records of a run are looked at to find its beginning:
	// two tracks are a record or two apart.
	maxHead = 8

	maxGaps = 1000 // listed in a Result
)

// planner turns entries, in the order in which they were written, into the
// tables of a file and the list of its payload. Its clock is file time: wall
// time in ns, moved by the run's offset. Each track follows its own ticks.
type planner struct {
	o        ExportOptions
	cut      cut
	file     *mp4.Builder
	manifest *manifest
	lanes    []*lane
	result   Result

	run      media.RunID
	decoding bool        // the run's first sync sample of video was met
	head     []selection // of a run that is not placed yet
	placed   bool        // the run has its offset
	offset   int64       // file time − wall time, in this run
	begun    bool        // something is in the file
	end      int64       // file time at which all that is in the file has ended
	endWall  int64       // latest wall time shown
	covered  coverage
}

// selection is what of a record goes into the file: samples lo to hi.
type selection struct {
	e      *media.Entry
	lo, hi int
	decode media.Ticks // of sample lo, in the run
	skip   int64       // bytes of the payload before sample lo
	shown  int64       // wall time at which it is presented
}

// add is called for every entry in the order of the archive.
func (p *planner) add(e *media.Entry) error {
	if mp4.Supports(e.Params) != nil {
		p.result.Unfit++
		return nil
	}
	if e.Run != p.run {
		if err := p.placeHead(); err != nil {
			return err
		}
		p.run, p.decoding, p.placed = e.Run, false, false
	}
	s := p.selectSamples(e)
	if s.lo == s.hi {
		return nil
	}
	if p.placed {
		return p.place(s)
	}
	p.head = append(p.head, s)
	first := p.head[0]
	if len(p.head) == maxHead || e.Track != first.e.Track || s.shown-first.shown > int64(maxSkew) {
		return p.placeHead()
	}
	return nil
}

// selectSamples cuts a record to the span, and video to what can be decoded.
func (p *planner) selectSamples(e *media.Entry) selection {
	s := selection{e: e, decode: e.Start}
	decode := e.Start
	taking := false
	for i, x := range e.Samples {
		if wallAt(e, decode) >= p.o.Span.To {
			break
		}
		if !taking && p.startsAt(e, x, decode) {
			taking = true
			s.lo, s.decode = i, decode
			s.shown = wallAt(e, decode+media.Ticks(x.Composition))
			if !p.follows(e, decode) {
				s.shown = max(p.o.Span.From, s.shown)
			}
		}
		if taking {
			s.hi = i + 1
		} else {
			s.skip += int64(x.Size)
		}
		decode += media.Ticks(x.Duration)
	}
	return s
}

// startsAt reports whether the track can begin with sample x of e. Video goes
// on from the sync sample that the cut found, or from the run's first one that
// is shown inside the span; audio from what sounds at the span's beginning.
func (p *planner) startsAt(e *media.Entry, x media.Sample, decode media.Ticks) bool {
	from := p.o.Span.From
	switch {
	case e.Track != media.VideoTrack:
		return wallAt(e, decode+media.Ticks(x.Duration)) > from
	case p.decoding:
	case p.cut.found && p.cut.run == e.Run:
		p.decoding = decode == p.cut.decode
	default:
		wall := wallAt(e, decode+media.Ticks(x.Composition))
		p.decoding = x.Sync() && (wall >= from || p.follows(e, decode) && wall >= from-int64(maxSkew))
	}
	return p.decoding
}

// follows reports whether e is at the beginning of a run that goes on where another
// one, which is in the file, ends. Where the camera's clock is fast it begins a
// little before the span all the same: nothing of it is left out.
func (p *planner) follows(e *media.Entry, decode media.Ticks) bool {
	return p.begun && !p.placed && decode.Duration(e.Params.ClockRate) < maxSkew+maxLead
}

// placeHead finds the run its place in the file: at its wall time, or right
// behind what is there already (its clock went back, or gaps are skipped).
func (p *planner) placeHead() error {
	if len(p.head) == 0 {
		return nil
	}
	begin := p.head[0].shown
	for _, s := range p.head {
		begin = min(begin, s.shown)
	}
	p.offset = 0
	if p.begun {
		at := min(max(begin, p.end), p.end+int64(maxHold))
		if p.o.Gaps == Skip {
			at = p.end
		}
		p.offset = at - begin
	}
	p.result.Runs++
	p.placed = true
	head := p.head
	p.head = p.head[:0]
	for _, s := range head {
		if err := p.place(s); err != nil {
			return err
		}
	}
	return nil
}

// place puts a selection into the file.
func (p *planner) place(s selection) error {
	p.closeHole(s)
	l, err := p.lane(s)
	if err != nil {
		return err
	}
	p.noteGap(s)
	base := l.position(s, p.run, p.offset)
	if l.frame > 0 {
		err = p.placeFrames(l, s, base)
	} else {
		err = p.placeSamples(l, s, base)
	}
	if l.empty() {
		return err
	}
	p.begun = true
	p.end = max(p.end, l.fileTime(l.shown.end))
	return err
}

// closeHole moves the run when nothing was recorded for a while inside it. A
// hole in the lead-in is not shown.
func (p *planner) closeHole(s selection) {
	wall := wallAt(s.e, s.decode)
	hole := wall + p.offset - p.end
	switch {
	case !p.begun || hole <= int64(maxSkew):
	case p.cut.found && p.cut.run == s.e.Run && wall <= p.cut.wall:
	case p.o.Gaps == Skip:
		p.offset -= hole
	case hole > int64(maxHold):
		p.offset -= hole - int64(maxHold)
	}
}

// placeSamples appends access units. Presentation is what is promised: where a
// run's lead of decoding would reach into the run before, it gives way.
func (p *planner) placeSamples(l *lane, s selection, base int64) error {
	if err := l.out.Chunk(s.e.Params); err != nil {
		return err
	}
	begin := p.file.Payload()
	decode := s.decode
	for _, x := range s.e.Samples[s.lo:s.hi] {
		present := decode + media.Ticks(x.Composition)
		at := base + int64(decode-s.decode) // decode time in the file
		shown := at + int64(x.Composition)
		if l.started {
			at = min(max(at, l.last+1), l.last+mp4.MaxHold)
		}
		if p.cut.found && p.cut.run == s.e.Run && s.e.Track == media.VideoTrack && present == p.cut.picture {
			// The picture on the screen at from is shown from then on, not from before.
			shown += int64(media.FromDuration(time.Duration(p.cut.wall-wallAt(s.e, present)), l.clock))
			l.shown.begin, l.beginFile = shown, p.cut.wall+p.offset
		}
		l.out.Add(mp4.Sample{Decode: at, Composition: int32(shown - at), Size: x.Size, Sync: x.Sync()})
		l.started, l.last, l.lastDuration = true, at, int64(min(max(x.Duration, 1), mp4.MaxHold))
		p.noteShown(l, s.e, present, base+int64(present-s.decode), int64(x.Duration))
		decode += media.Ticks(x.Duration)
	}
	p.manifest.add(piece{
		offset: begin, size: p.file.Payload() - begin,
		ref: s.e.Ref, skip: uint32(s.skip), recorded: true,
	})
	if s.e.Track == media.VideoTrack {
		p.result.Video += int64(s.hi - s.lo)
	} else {
		p.result.Audio += int64(s.hi - s.lo)
	}
	return nil
}

// noteShown keeps how far the presentation reaches, cut at the span's end.
func (p *planner) noteShown(l *lane, e *media.Entry, present media.Ticks, shown, duration int64) {
	wall := wallAt(e, present)
	if wall >= p.o.Span.To {
		return
	}
	left := media.FromDuration(time.Duration(p.o.Span.To-wall), l.clock)
	l.shown.end = max(l.shown.end, shown+min(duration, int64(left)))
	p.endWall = max(p.endWall, min(wallAt(e, present+media.Ticks(duration)), p.o.Span.To))
}

// finish closes the tables and says what the file has become.
func (p *planner) finish() (Result, error) {
	if err := p.placeHead(); err != nil {
		return Result{}, err
	}
	if !p.begun {
		return Result{}, ErrNoFootage
	}
	p.lanes = slices.DeleteFunc(p.lanes, (*lane).empty)
	begin := p.lanes[0].beginFile
	for _, l := range p.lanes {
		begin = min(begin, l.beginFile)
	}
	var end int64
	for _, l := range p.lanes {
		if l.frame == 0 {
			l.out.End(l.last + l.lastDuration)
		}
		delay := l.beginFile - begin
		l.shown.end = max(l.shown.end, l.shown.begin)
		l.out.SetEdit(mp4.Edit{Delay: delay, Start: l.shown.begin, End: l.shown.end})
		end = max(end, delay+int64(media.Ticks(l.shown.end-l.shown.begin).Duration(l.clock)))
	}
	if end == 0 {
		return Result{}, ErrNoFootage
	}
	if err := p.file.Finish(mp4.Movie{Created: time.Unix(0, begin), Title: p.o.Title}); err != nil {
		return Result{}, fmt.Errorf("lay out the file: %w", err)
	}
	p.result.Span = media.Span{From: begin, To: max(begin, p.endWall)}
	p.result.Gaps = clipGaps(p.result.Gaps, p.result.Span)
	p.result.Duration = time.Duration(end)
	p.result.Bytes = p.file.Size()
	return p.result, nil
}
