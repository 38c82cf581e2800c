package rtp

import (
	"slices"
	"time"

	"nvr/internal/codec/av1"
	"nvr/internal/media"
)

// AV1 is the depacketizer of the RTP Payload Format for AV1 (AOMedia). Each OBU
// is recorded with its size behind its header, as ISO media files have it;
// temporal delimiters, tile lists and padding are not. A temporal unit ends with
// its time stamp; as with other codecs the marker only tells that it may be
// taken as complete if nothing follows.
type AV1 struct {
	sink  Sink
	stats Stats
	sets  sequences

	time    uint32
	arrival time.Time // of the unit's first packet
	begun   bool      // time holds
	ended   bool      // a marker was seen
	marked  bool      // markers are seen
	broken  bool      // the unit lost a part: ignore what is left of it
	headed  bool      // a frame was
	carried bool      // it has its sequence header
	open    bool      // something was appended
	gap     bool      // since the last complete unit something was lost
	damaged bool      // the same, since the last sync sample
	size    int       // of the unit
	obus    int

	// The OBU in work.
	inOBU    bool
	begins   [maxOBUStart]byte // its header, until that is whole
	start    int               // bytes of it
	class    obuClass
	declared int // size of the content, -1: not said
	length   int // as far as it has come
	sizeAt   int // where four bytes are kept for it in the unit, -1: it is written
	sequence []byte
	scratch  []byte
}

// maxOBUStart is a header of two bytes, a size, and the byte of a frame header
// that says what kind it is.
const maxOBUStart = 2 + 8 + 1

type obuClass uint8

const (
	obuUnknown  obuClass = iota // its header is not whole
	obuIgnored                  // not recorded
	obuSequence                 // collected until it is whole
	obuRecorded
)

// sequences makes Tracks of sequence headers.
type sequences struct {
	content []byte // the last one that was news, copied
	reduced bool
	current *media.Track
	cache   [cachedTracks]*media.Track
	next    int
}

// put takes the content of a sequence header.
func (s *sequences) put(content []byte) {
	if s.current != nil && av1.Same(s.content, content) {
		return
	}
	parsed, err := av1.ParseSequence(content)
	if err != nil {
		return
	}
	t, err := av1.Track(content)
	if err != nil {
		return
	}
	s.content, s.reduced = slices.Clone(content), parsed.Reduced
	for _, c := range s.cache {
		if t.Equal(c) {
			s.current = c
			return
		}
	}
	s.cache[s.next] = t
	s.next = (s.next + 1) % cachedTracks
	s.current = t
}

// NewAV1 writes to sink. The sequence header comes from the stream.
func NewAV1(sink Sink) *AV1 { return &AV1{sink: sink, gap: true} }

// Packet takes the next packet: an aggregation header and OBU elements (§4.4).
func (d *AV1) Packet(k Packet) {
	if k.Gap {
		d.lost()
	}
	if d.begun && k.Time != d.time {
		d.finish()
	}
	if !d.begun {
		d.begun, d.time, d.arrival = true, k.Time, k.Arrival
	}
	b := k.Payload
	goesOn, more, count := b[0]&0x80 != 0, b[0]&0x40 != 0, int(b[0]>>4&3) // Z, Y, W
	b = b[1:]
	if goesOn && !d.inOBU {
		d.drop() // the beginning of the OBU is missing
	}
	if !goesOn && d.inOBU {
		d.drop() // its end is
	}
	for i := 0; len(b) > 0; i++ {
		element := b
		if count == 0 || i < count-1 {
			size, n, ok := av1.LEB128(b)
			if !ok || n == 0 || uint64(size) > uint64(len(b)-n) {
				d.malformed()
				break
			}
			element, b = b[n:n+int(size)], b[n+int(size):]
		} else {
			b = nil
		}
		whole := len(b) > 0 || !more
		if i > 0 || !goesOn {
			d.begin()
		}
		d.bytes(element, whole)
		if whole {
			d.end()
		}
	}
	d.inOBU = more && !d.broken
	if k.Marker {
		d.marked, d.ended = true, true
	}
}

// lost deals with a hole in the sequence numbers.
func (d *AV1) lost() {
	d.gap, d.damaged = true, true
	if d.begun && !d.broken {
		if d.ended && !d.inOBU {
			d.finish()
		} else {
			d.drop()
		}
	}
	d.inOBU = false
}

func (d *AV1) malformed() {
	d.stats.Malformed++
	d.drop()
}

// begin begins an OBU.
func (d *AV1) begin() {
	d.class, d.start, d.length, d.declared = obuUnknown, 0, 0, -1
	if d.obus++; d.obus > maxUnits {
		d.drop()
	}
}

// bytes takes the next bytes of the OBU in work; whole says that they are its last.
func (d *AV1) bytes(b []byte, whole bool) {
	for d.class == obuUnknown && len(b) > 0 && !d.broken {
		d.begins[d.start] = b[0]
		d.start++
		b = b[1:]
		after := -1
		if whole {
			after = len(b)
		}
		d.header(after)
	}
	d.content(b)
}

// header decides what the OBU is, once enough of it is there. after is how many
// bytes follow, -1 where that is not known.
func (d *AV1) header(after int) {
	b := d.begins[:d.start]
	first := b[0]
	at := 1
	if av1.HasExtension(first) {
		at = 2
	}
	if len(b) < at {
		return
	}
	declared := -1
	if av1.HasSize(first) { // it should not be there (§4.5)
		v, n, ok := av1.LEB128(b[at:])
		switch {
		case !ok:
			d.malformed()
			return
		case n == 0:
			return
		}
		declared, at = int(v), at+n
	}
	kind := av1.Type(first)
	frame := kind == av1.Frame || kind == av1.FrameHeader
	if frame && len(b) == at {
		return
	}
	d.declared = declared
	switch kind {
	case av1.TemporalDelimiter, av1.TileList, av1.Padding:
		d.class = obuIgnored
		return
	case av1.SequenceHeader:
		d.class, d.sequence = obuSequence, d.sequence[:0]
		d.content(b[at:])
		return
	case av1.TileGroup, av1.RedundantFrameHeader:
		if !d.headed { // its frame header is lost
			d.drop()
			return
		}
	}
	d.class = obuRecorded
	if frame && !d.headed && !d.head(b[at]) {
		return
	}
	d.scratch = append(d.scratch[:0], av1.WithSize(first))
	if av1.HasExtension(first) {
		d.scratch = append(d.scratch, b[1])
	}
	if d.sizeAt = -1; after >= 0 {
		d.scratch = av1.AppendLEB128(d.scratch, uint32(len(b)-at+after))
	} else {
		d.sizeAt = d.size + len(d.scratch)
		d.scratch = append(d.scratch, 0, 0, 0, 0)
	}
	if d.append(d.scratch) {
		d.content(b[at:])
	}
}

// head begins the picture: first is the first byte of its frame header. Sync
// samples have the sequence header in front of the frame, which not every
// sender repeats.
func (d *AV1) head(first byte) bool {
	params := d.sets.current
	if params == nil {
		d.stats.NoParameters++
		d.abort()
		d.broken = true
		return false
	}
	sync := av1.IsKey(first, d.sets.reduced)
	if sync {
		d.damaged = false
		if !d.carried && !d.appendSequence(d.sets.content) {
			return false
		}
	}
	d.headed = true
	d.sink.Head(Head{Params: params, Time: d.time, Arrival: d.arrival, Sync: sync, Damaged: d.damaged, Gap: d.gap})
	d.gap = false
	return true
}

func (d *AV1) appendSequence(content []byte) bool {
	d.scratch = av1.AppendSequence(d.scratch[:0], content)
	d.carried = true
	return d.append(d.scratch)
}

// content takes bytes behind the header.
func (d *AV1) content(b []byte) {
	d.length += len(b)
	switch d.class {
	case obuSequence:
		if len(d.sequence)+len(b) > av1.MaxSequenceBytes {
			d.class = obuIgnored
			return
		}
		d.sequence = append(d.sequence, b...)
	case obuRecorded:
		d.append(b)
	}
}

// end ends the OBU in work.
func (d *AV1) end() {
	switch {
	case d.broken:
	case d.class == obuUnknown: // not even a whole header, or a frame of nothing
		if d.start > 0 {
			d.malformed()
		}
	case d.declared >= 0 && d.declared != d.length:
		d.malformed()
	case d.class == obuSequence:
		d.sets.put(d.sequence)
		d.appendSequence(d.sequence)
	case d.class == obuRecorded && d.sizeAt >= 0:
		d.sink.Patch(d.sizeAt, av1.PaddedLEB128(uint32(d.length)))
	}
	d.inOBU, d.class = false, obuIgnored
}

func (d *AV1) append(b []byte) bool {
	if d.broken {
		return false
	}
	d.size += len(b)
	d.open = true
	if d.size > media.MaxSampleBytes || !d.sink.Append(b) {
		d.drop()
		return false
	}
	return true
}

// drop gives the temporal unit up and ignores the rest of it.
func (d *AV1) drop() {
	if d.broken {
		return
	}
	d.stats.DroppedUnits++
	d.gap, d.damaged = true, true
	d.abort()
	d.broken, d.inOBU, d.class = true, false, obuIgnored
}

func (d *AV1) abort() {
	if d.open {
		d.sink.Abort()
	}
	d.reset()
}

// finish ends the temporal unit. One without a picture is forgotten: a sequence
// header that came alone is known, and goes in front of the next key frame.
func (d *AV1) finish() {
	if d.inOBU {
		d.drop()
	}
	if !d.broken && d.headed {
		d.sink.Commit()
		d.reset()
	} else {
		d.abort()
	}
	d.begun, d.ended, d.broken = false, false, false
}

func (d *AV1) reset() {
	d.open, d.headed, d.carried, d.size, d.obus = false, false, false, 0, 0
}

// Flush commits the temporal unit in work if its marker was seen.
func (d *AV1) Flush() {
	if d.begun && d.ended && !d.inOBU {
		d.finish()
	}
}

// Close commits the last temporal unit, unless it waits for its marker.
func (d *AV1) Close() {
	if d.begun && d.headed && !d.ended && d.marked {
		d.drop()
	}
	d.finish()
}

// Stats counts since the beginning.
func (d *AV1) Stats() Stats { return d.stats }
