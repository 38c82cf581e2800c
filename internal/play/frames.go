package play

import (
	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

// placeFrames appends PCM, whose samples have one tick each: players cannot
// make them last longer (ffmpeg would take every single one as a packet), so
// holes are filled with silence, and what overlaps by more than maxDrift is cut.
func (p *planner) placeFrames(l *lane, s selection, base int64) error {
	var (
		frame   = int64(l.frame)
		slack   = l.ticks(int64(maxDrift))
		offset  = s.skip // of the packet in the record's payload
		open    piece    // contiguous bytes of the record, not yet in the file
		elapsed int64    // ticks since the selection's first packet
	)
	flush := func() error {
		err := p.appendFrames(l, s.e.Params, open)
		open = piece{}
		return err
	}
	for _, x := range s.e.Samples[s.lo:s.hi] {
		wall := wallAt(s.e, s.decode+media.Ticks(elapsed))
		begin, end := int64(0), int64(x.Size)/frame // of the packet's frames
		if wall < p.o.Span.From {
			begin = min(end, l.ticks(p.o.Span.From-wall))
		}
		if left := p.o.Span.To - wall; left < int64(media.Ticks(end).Duration(l.clock)) {
			end = max(begin, l.ticks(left))
		}
		at := base + elapsed + begin
		next := l.next + open.size/frame
		if late := at - next; late > slack {
			if most := l.ticks(int64(maxHold)); late > most {
				base, late = base-(late-most), most
			}
			if err := flush(); err != nil {
				return err
			}
			if err := p.appendFrames(l, s.e.Params, piece{size: late * frame}); err != nil {
				return err
			}
		} else if late < -slack {
			begin = min(end, begin-late)
		}
		if begin < end {
			from := offset + begin*frame
			if open.size > 0 && int64(open.skip)+open.size != from {
				if err := flush(); err != nil {
					return err
				}
			}
			if open.size == 0 {
				open = piece{ref: s.e.Ref, skip: uint32(from), recorded: true}
			}
			open.size += (end - begin) * frame
			p.endWall = max(p.endWall, wall+int64(media.Ticks(end).Duration(l.clock)))
		}
		offset += int64(x.Size)
		elapsed += int64(x.Duration)
	}
	return flush()
}

// appendFrames puts a piece of recorded or silent frames into the file.
func (p *planner) appendFrames(l *lane, t *media.Track, x piece) error {
	if x.size == 0 {
		return nil
	}
	if err := l.out.Chunk(t); err != nil {
		return err
	}
	x.offset, x.fill = p.file.Payload(), mp4.Silence(t.Codec)
	n := x.size / int64(l.frame)
	l.out.AddFrames(n, uint32(l.frame))
	p.manifest.add(x)
	p.result.Audio += n
	l.next += n
	l.shown.end = l.next
	return nil
}
