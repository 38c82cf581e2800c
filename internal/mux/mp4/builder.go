// Package mp4 is clothes for the wire: samples as MP4 files (ISO/IEC 14496-12,
// -14, -15). It has no goroutines and opens no files; it works on metadata and
// never sees a payload byte.
//
// A [Builder] makes the header of a progressive file: moov first, every size
// known before the first byte of payload, in constant memory for any length.
// [Dump] is the file's text twin.
package mp4

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"nvr/internal/media"
)

// ErrTooLong is wrapped when a file does not fit the format: 2³² samples in a
// track (6 days of G.711), 4 GiB of tables.
var ErrTooLong = errors.New("too long for one MP4 file")

const (
	maxTracks  = 32  // a track more for each change of codec or clock rate
	maxEntries = 256 // of one track: a camera that changes its picture size all day

	// maxTimescale bounds the movie's time scale. The least common multiple of
	// what cameras have (90000 with 8000 … 48000, 44100) stays below it.
	maxTimescale = 10_000_000
)

// Builder is fed with the metadata of samples in the order in which the caller
// will write their payload behind the header. It is not for concurrent use.
type Builder struct {
	create    CreateTemp
	tracks    []*Track
	current   *Track // whose chunk is open
	payload   int64
	timescale uint32
	head      *layout
	wide      bool // chunk offsets of 64 bits
}

// NewBuilder returns a builder whose long tables go to files made by create.
func NewBuilder(create CreateTemp) *Builder { return &Builder{create: create} }

// Movie is what a file says about itself.
type Movie struct {
	Created time.Time // wall time of the first picture
	Title   string    // "" for none
}

// AddTrack adds a track with the given clock: its time scale.
func (b *Builder) AddTrack(kind media.Kind, clock uint32) (*Track, error) {
	if len(b.tracks) == maxTracks {
		return nil, fmt.Errorf("more than %d tracks: %w", maxTracks, ErrTooLong)
	}
	t := &Track{
		b: b, id: uint32(len(b.tracks) + 1), kind: kind, clock: clock,
		stts: NewSpool(b.create), ctts: NewSpool(b.create), stss: NewSpool(b.create),
		stsz: NewSpool(b.create), stsc: NewSpool(b.create), offsets: NewSpool(b.create),
	}
	b.tracks = append(b.tracks, t)
	return t, nil
}

// Payload is the sum of all sample sizes so far: where in the payload the next
// sample will lie.
func (b *Builder) Payload() int64 { return b.payload }

// Finish lays out the header. Nothing can be added after it.
func (b *Builder) Finish(m Movie) error {
	for _, t := range b.tracks {
		if err := t.finish(); err != nil {
			return err
		}
	}
	b.timescale = b.commonTimescale()
	// Whether 32 bits do for the offsets depends on the size of the header,
	// which depends on the width of the offsets: narrow first, then wide.
	for _, wide := range []bool{false, true} {
		b.wide = wide
		head, err := b.layout(m)
		if err != nil {
			return err
		}
		b.head = head
		if b.Size() <= math.MaxUint32 {
			break
		}
	}
	return nil
}

// commonTimescale is the least common multiple of the tracks' clocks, so that
// an edit at any sample's time is exact. Should clocks be odd, 90 kHz: 11 µs,
// less than a sample of 48 kHz audio.
func (b *Builder) commonTimescale() uint32 {
	lcm := uint64(1000)
	for _, t := range b.tracks {
		x, y := lcm, uint64(t.clock)
		for y != 0 {
			x, y = y, x%y
		}
		if lcm = lcm / x * uint64(t.clock); lcm > maxTimescale {
			return 90000
		}
	}
	return uint32(lcm)
}

// HeaderSize is how many bytes WriteHeader writes; Size adds the payload.
func (b *Builder) HeaderSize() int64 { return b.head.size() }

// Size is the size of the whole file.
func (b *Builder) Size() int64 { return b.head.size() + b.payload }

// WriteHeader writes ftyp, moov and the header of mdat. It may be called again.
func (b *Builder) WriteHeader(w io.Writer) error { return b.head.writeTo(w) }

// Close gives the temporary files back.
func (b *Builder) Close() error {
	var errs []error
	for _, t := range b.tracks {
		for _, s := range t.spools() {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
