package pool

import (
	"encoding/binary"

	"nvr/internal/media"
)

// EntryKind says what a directory entry describes.
type EntryKind uint8

// The kinds. They are written to disk; a reader passes over those it does not know.
const (
	KindSamples EntryKind = 1 // samples of a track; the payload is theirs
	KindGap     EntryKind = 2 // a span without samples: Text is JSON, no payload
	KindStream  EntryKind = 3 // which camera a stream number means: Text is JSON, no payload
	KindTrack   EntryKind = 4 // what a Params number means: Text is JSON, no payload
)

// Entry is one directory entry. Descriptions and gaps live in the directory
// alone, so that a footer tells all there is to know of a pool but the payload.
type Entry struct {
	Kind     EntryKind
	Track    uint8
	Stream   media.StreamID
	Run      media.RunID
	Params   uint32 // hash of the track description that the samples need
	Start    media.Ticks
	Wall     int64 // ns UTC at Start; of a gap: its beginning
	WallEnd  int64 // ns UTC at which the last sample ends; of a gap: its end, 0 while it is open
	Offset   uint32
	Length   uint32
	CRC      uint32
	Samples  []media.Sample // KindSamples
	Text     []byte         // the other kinds
	nSamples uint32         // as read; Samples may be left undecoded
	table    []byte         // the undecoded sample table
	flags    uint16
}

// Flags of an entry.
const (
	flagSync        = 1 << 0 // the first sample is a sync sample
	flagComposition = 1 << 1 // the sample table has composition offsets
)

// StartsSync reports whether decoding can begin with the first sample.
func (e *Entry) StartsSync() bool { return e.flags&flagSync != 0 }

// SampleCount is the number of samples, also while the table is undecoded.
func (e *Entry) SampleCount() int { return int(e.nSamples) }

// SamplesEntry describes a record, but for what Builder.Encode fills in.
func SamplesEntry(r *media.Record, stream media.StreamID, params uint32) Entry {
	e := Entry{Kind: KindSamples, Track: r.Track, Stream: stream, Run: r.Run, Params: params, Start: r.Start, Wall: r.Wall, WallEnd: r.End(),
		Samples: r.Buffer.Samples, nSamples: uint32(len(r.Buffer.Samples))}
	for i, s := range e.Samples {
		if i == 0 && s.Sync() {
			e.flags |= flagSync
		}
		if s.Composition != 0 {
			e.flags |= flagComposition
		}
	}
	return e
}

// DirectoryLen is what the entry, as it was read, takes in a directory.
func (e *Entry) DirectoryLen() int { return EntrySize + len(e.table) + len(e.Text) }

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func uvarintLen(u uint64) int {
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

func (e *Entry) encodedLen() int {
	n := EntrySize + len(e.Text)
	previous := uint32(0)
	for _, s := range e.Samples {
		n += uvarintLen(uint64(s.Size)<<2|uint64(s.Flags&3)) + uvarintLen(zigzag(int64(s.Duration)-int64(previous)))
		previous = s.Duration
		if e.flags&flagComposition != 0 {
			n += uvarintLen(zigzag(int64(s.Composition)))
		}
	}
	return n
}

// append writes the entry behind b.
func (e *Entry) append(b []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, EntrySize)...)
	f := b[at:]
	f[0], f[1] = byte(e.Kind), e.Track
	le.PutUint16(f[2:], e.flags)
	le.PutUint64(f[8:], uint64(e.Stream))
	le.PutUint64(f[16:], uint64(e.Run))
	le.PutUint64(f[24:], uint64(e.Start))
	le.PutUint64(f[32:], uint64(e.Wall))
	le.PutUint64(f[40:], uint64(e.WallEnd))
	le.PutUint32(f[48:], e.Params)
	le.PutUint32(f[52:], uint32(len(e.Samples)))
	le.PutUint32(f[56:], e.Offset)
	le.PutUint32(f[60:], e.Length)
	le.PutUint32(f[64:], e.CRC)
	previous := uint32(0)
	for _, s := range e.Samples {
		b = binary.AppendUvarint(b, uint64(s.Size)<<2|uint64(s.Flags&3))
		b = binary.AppendUvarint(b, zigzag(int64(s.Duration)-int64(previous)))
		previous = s.Duration
		if e.flags&flagComposition != 0 {
			b = binary.AppendUvarint(b, zigzag(int64(s.Composition)))
		}
	}
	b = append(b, e.Text...)
	le.PutUint32(b[at+4:], uint32(len(b)-at))
	return b
}

// Directory walks the entries of a group's directory. yield gets each with its
// sample table undecoded (see Entry.Decode); Text aliases dir.
func Directory(h *Header, dir []byte, yield func(*Entry) bool) error {
	bad := func(reason string) error { return &CorruptError{h.Pool, h.Offset, "directory: " + reason} }
	if len(dir) != int(h.DirLen) || !h.Fits(dir) {
		return bad("wrong checksum")
	}
	for range h.Records {
		if len(dir) < EntrySize {
			return bad("shorter than its records")
		}
		n := le.Uint32(dir[4:])
		if n < EntrySize || int64(n) > int64(len(dir)) {
			return bad("impossible entry length")
		}
		f, tail := dir[:EntrySize], dir[EntrySize:n]
		dir = dir[n:]
		e := Entry{
			Kind: EntryKind(f[0]), Track: f[1], flags: le.Uint16(f[2:]), Stream: media.StreamID(le.Uint64(f[8:])), Run: media.RunID(le.Uint64(f[16:])),
			Start: media.Ticks(le.Uint64(f[24:])), Wall: int64(le.Uint64(f[32:])), WallEnd: int64(le.Uint64(f[40:])),
			Params: le.Uint32(f[48:]), nSamples: le.Uint32(f[52:]), Offset: le.Uint32(f[56:]), Length: le.Uint32(f[60:]), CRC: le.Uint32(f[64:]),
		}
		if int64(e.Offset)+int64(e.Length) > int64(h.TotalLen) {
			return bad("payload outside its group")
		}
		if e.Kind == KindSamples {
			if int64(e.nSamples)*2 > int64(len(tail)) { // a sample takes two bytes at least
				return bad("more samples than its table can hold")
			}
			e.table = tail
		} else {
			e.Text = tail
		}
		if !yield(&e) {
			return nil
		}
	}
	return nil
}

// Decode fills in Samples. Their sizes sum up to Length, or it is an error.
func (e *Entry) Decode() error {
	b := e.table
	bad := func(reason string) error { return &CorruptError{Reason: "sample table: " + reason} }
	next := func() (uint64, bool) {
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return u, true
	}
	samples := make([]media.Sample, 0, e.nSamples)
	sum, previous := uint64(0), int64(0)
	for range e.nSamples {
		size, ok1 := next()
		step, ok2 := next()
		offset, ok3 := uint64(0), true
		if e.flags&flagComposition != 0 {
			offset, ok3 = next()
		}
		if !ok1 || !ok2 || !ok3 {
			return bad("cut short")
		}
		previous += unzigzag(step)
		if c := unzigzag(offset); size>>2 > MaxGroup || previous < 0 || previous > 1<<32-1 || c != int64(int32(c)) {
			return bad("impossible values")
		}
		samples = append(samples, media.Sample{Size: uint32(size >> 2), Duration: uint32(previous), Composition: int32(unzigzag(offset)), Flags: media.SampleFlags(size & 3)})
		sum += size >> 2
	}
	if sum != uint64(e.Length) || len(b) != 0 {
		return bad("does not sum up to its payload")
	}
	e.Samples = samples
	return nil
}
