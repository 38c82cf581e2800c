package mp4

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"

	"nvr/internal/media"
)

// epoch1904 is the Unix time of the format's epoch, 1904-01-01 (§8.2.2).
const epoch1904 = -2082844800

// layout lays out ftyp, moov and the header of mdat.
func (b *Builder) layout(m Movie) (*layout, error) {
	l := &layout{}
	created := m.Created.Unix() - epoch1904
	if m.Created.IsZero() {
		created = 0
	}
	steps := []func() error{
		func() error { return b.ftyp(l) },
		func() error { l.box("moov"); return b.mvhd(l, created) },
	}
	for _, t := range b.tracks {
		if t.samples > 0 {
			steps = append(steps, func() error { return t.trak(l, created) })
		}
	}
	if m.Title != "" {
		steps = append(steps, func() error { return udta(l, m.Title) })
	}
	for _, step := range append(steps, l.end) {
		if err := step(); err != nil {
			return nil, err
		}
	}
	b.mdat(l)
	return l, nil
}

// ftyp (§4.3): iso4 is needed for negative composition offsets, the rest says
// to older players that they may try.
func (b *Builder) ftyp(l *layout) error {
	l.box("ftyp")
	l.str("isom")
	l.u32(512)
	l.str("isomiso4mp41")
	return l.end()
}

// mdat begins the media data (§8.1.1); its payload follows the header.
func (b *Builder) mdat(l *layout) {
	if b.payload+8 <= math.MaxUint32 {
		l.u32(uint32(b.payload + 8))
		l.str("mdat")
		return
	}
	l.u32(1) // largesize follows
	l.str("mdat")
	l.u64(uint64(b.payload + 16))
}

// mvhd (§8.2.2).
func (b *Builder) mvhd(l *layout, created int64) error {
	var duration int64
	for _, t := range b.tracks {
		if t.samples > 0 {
			duration = max(duration, t.movieDuration())
		}
	}
	wide := l.times("mvhd", 0, created, duration)
	l.word(created, wide)
	l.word(created, wide)
	l.u32(b.timescale)
	l.word(duration, wide)
	l.u32(1 << 16) // rate
	l.u16(1 << 8)  // volume
	l.zeros(10)
	l.matrix()
	l.zeros(24)
	l.u32(uint32(len(b.tracks) + 1)) // next_track_ID
	return l.end()
}

// times begins a full box with times in it: version 1 has them in 64 bits.
func (l *layout) times(typ string, flags uint32, created, duration int64) (wide bool) {
	wide = created > math.MaxUint32 || duration > math.MaxUint32 || created < 0
	var version uint8
	if wide {
		version = 1
	}
	l.fullBox(typ, version, flags)
	return wide
}

// matrix is the unity matrix: shown as it is.
func (l *layout) matrix() {
	for _, v := range [9]uint32{1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30} {
		l.u32(v)
	}
}

// toMovie converts ns to the movie's time scale, rounded.
func (b *Builder) toMovie(ns int64) int64 {
	return int64(media.FromDuration(time.Duration(ns), b.timescale))
}

// scale converts ticks of the track to the movie's time scale, rounded.
func (t *Track) scale(ticks int64) int64 {
	clock, ts := int64(t.clock), int64(t.b.timescale)
	return ticks/clock*ts + (ticks%clock*ts+clock/2)/clock
}

func (t *Track) editDuration() int64  { return t.scale(t.edit.End - t.edit.Start) }
func (t *Track) movieDuration() int64 { return t.b.toMovie(t.edit.Delay) + t.editDuration() }

// trak (§8.3.1).
func (t *Track) trak(l *layout, created int64) error {
	l.box("trak")
	if err := t.tkhd(l, created); err != nil {
		return err
	}
	if err := t.edts(l); err != nil {
		return err
	}
	l.box("mdia")
	for _, step := range []func() error{
		func() error { return t.mdhd(l, created) },
		func() error { return t.hdlr(l) },
		func() error { return t.minf(l) },
		l.end,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return l.end()
}

// tkhd (§8.3.2).
func (t *Track) tkhd(l *layout, created int64) error {
	duration := t.movieDuration()
	wide := l.times("tkhd", 3, created, duration) // enabled, in movie
	l.word(created, wide)
	l.word(created, wide)
	l.u32(t.id)
	l.u32(0)
	l.word(duration, wide)
	l.zeros(8 + 2 + 2) // reserved, layer, alternate_group
	var volume uint16
	if t.kind == media.Audio {
		volume = 1 << 8
	}
	l.u16(volume)
	l.u16(0)
	l.matrix()
	var width, height uint16
	for _, p := range t.params {
		width, height = max(width, p.Width), max(height, p.Height)
	}
	l.u32(uint32(width) << 16)
	l.u32(uint32(height) << 16)
	return l.end()
}

// edts (§8.6.5): an empty edit when the track begins later than the movie, and
// the part of the media that is shown.
func (t *Track) edts(l *layout) error {
	delay, duration := t.b.toMovie(t.edit.Delay), t.editDuration()
	l.box("edts")
	wide := l.times("elst", 0, t.edit.Start, max(delay, duration)) || t.edit.Start > math.MaxInt32
	if wide {
		l.buf[len(l.buf)-4] = 1
	}
	edit := func(duration, start int64) {
		l.word(duration, wide)
		l.word(start, wide)
		l.u32(1 << 16) // media_rate
	}
	if delay > 0 {
		l.u32(2)
		edit(delay, -1)
	} else {
		l.u32(1)
	}
	edit(duration, t.edit.Start)
	if err := l.end(); err != nil {
		return err
	}
	return l.end()
}

// mdhd (§8.4.2).
func (t *Track) mdhd(l *layout, created int64) error {
	wide := l.times("mdhd", 0, created, t.duration)
	l.word(created, wide)
	l.word(created, wide)
	l.u32(t.clock)
	l.word(t.duration, wide)
	l.u16(0x55C4) // language: und
	l.u16(0)
	return l.end()
}

// hdlr (§8.4.3).
func (t *Track) hdlr(l *layout) error {
	l.fullBox("hdlr", 0, 0)
	l.u32(0)
	if t.kind == media.Audio {
		l.str("soun")
	} else {
		l.str("vide")
	}
	l.zeros(12)
	l.str(t.kind.String() + "\x00")
	return l.end()
}

// minf (§8.4.4): the data are in this very file, and here is where.
func (t *Track) minf(l *layout) error {
	l.box("minf")
	if t.kind == media.Audio {
		l.fullBox("smhd", 0, 0)
		l.zeros(4)
	} else {
		l.fullBox("vmhd", 0, 1)
		l.zeros(8)
	}
	if err := l.end(); err != nil {
		return err
	}
	l.box("dinf")
	l.fullBox("dref", 0, 0)
	l.u32(1)
	l.fullBox("url ", 0, 1)
	for range 3 {
		if err := l.end(); err != nil {
			return err
		}
	}
	if err := t.stbl(l); err != nil {
		return err
	}
	return l.end()
}

// stbl (§8.5.1).
func (t *Track) stbl(l *layout) error {
	l.box("stbl")
	l.fullBox("stsd", 0, 0)
	l.u32(uint32(len(t.params)))
	for _, p := range t.params {
		if err := entries[p.Codec].write(l, p); err != nil {
			return err
		}
	}
	if err := l.end(); err != nil {
		return err
	}
	if err := l.counted("stts", 0, 8, t.stts); err != nil { // §8.6.1.2
		return err
	}
	if t.shifted { // §8.6.1.3
		var version uint8
		if t.negative {
			version = 1
		}
		if err := l.counted("ctts", version, 8, t.ctts); err != nil {
			return err
		}
	}
	if t.syncs < t.samples { // §8.6.2: without the box every sample is a sync sample
		if err := l.counted("stss", 0, 4, t.stss); err != nil {
			return err
		}
	}
	if err := l.counted("stsc", 0, 12, t.stsc); err != nil { // §8.7.4
		return err
	}
	if err := t.stszBox(l); err != nil {
		return err
	}
	if err := t.chunkOffsets(l); err != nil {
		return err
	}
	return l.end()
}

// counted appends a full box with an entry count and a table.
func (l *layout) counted(typ string, version uint8, entrySize int64, s *Spool) error {
	l.fullBox(typ, version, 0)
	l.u32(uint32(s.Size() / entrySize))
	l.spool(s)
	return l.end()
}

// stszBox (§8.7.3.2): samples of one size need no table.
func (t *Track) stszBox(l *layout) error {
	l.fullBox("stsz", 0, 0)
	if t.uniform {
		l.u32(t.size)
		l.u32(t.samples)
		return l.end()
	}
	l.u32(0)
	l.u32(t.samples)
	l.spool(t.stsz)
	return l.end()
}

// chunkOffsets appends stco or co64 (§8.7.5). Offsets count from the file's
// beginning, so they are made when the header has its size: on writing.
func (t *Track) chunkOffsets(l *layout) error {
	width := int64(4)
	if t.b.wide {
		width = 8
		l.fullBox("co64", 0, 0)
	} else {
		l.fullBox("stco", 0, 0)
	}
	l.u32(t.chunks)
	l.table(int64(t.chunks)*width, func(w io.Writer) error {
		base := uint64(t.b.HeaderSize())
		r := bufio.NewReaderSize(t.offsets.Reader(), 64<<10)
		bw := bufio.NewWriterSize(w, 64<<10)
		var in, out [8]byte
		for {
			if _, err := io.ReadFull(r, in[:]); errors.Is(err, io.EOF) {
				return bw.Flush()
			} else if err != nil {
				return err
			}
			binary.BigEndian.PutUint64(out[:], base+binary.BigEndian.Uint64(in[:]))
			if _, err := bw.Write(out[8-width:]); err != nil {
				return err
			}
		}
	})
	return l.end()
}

// udta (§8.10.1) with the title where players look for it: the metadata item
// ©nam of the iTunes kind.
func udta(l *layout, title string) error {
	l.box("udta")
	l.fullBox("meta", 0, 0)
	l.fullBox("hdlr", 0, 0)
	l.u32(0)
	l.str("mdirappl")
	l.zeros(9)
	if err := l.end(); err != nil {
		return err
	}
	l.box("ilst")
	l.box("\xa9nam")
	l.box("data")
	l.u32(1) // UTF-8
	l.u32(0) // locale
	l.str(title)
	for range 5 {
		if err := l.end(); err != nil {
			return err
		}
	}
	return nil
}
