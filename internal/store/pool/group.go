package pool

import (
	"fmt"

	"nvr/internal/media"
)

// Header opens a group: what one write appends.
type Header struct {
	Identity
	Offset     int64  // where the group lies in its pool file
	Seq        uint64 // ring-wide, only grows, never repeats
	OpenID     uint32 // the writer start that wrote it
	TotalLen   uint32 // header, directory, payloads, padding: whole blocks
	DirLen     uint32
	Records    uint32
	DurableSeq uint64 // the highest group known durable when this one was written; proves it for groups of the same OpenID
	First      int64  // wall time of the earliest sample, ns UTC; 0 where there is none
	Last       int64  // wall time at which the last sample ends
	DirCRC     uint32
}

const headerCRC = HeaderSize - 4

// Encode writes the header to the first HeaderSize bytes of b.
func (h *Header) Encode(b []byte) {
	clear(b[:HeaderSize])
	le.PutUint64(b[0:], magicGroup)
	le.PutUint32(b[8:], Version)
	le.PutUint32(b[12:], h.Pool)
	copy(b[16:32], h.Ring[:])
	le.PutUint64(b[32:], h.Generation)
	le.PutUint64(b[40:], h.Seq)
	le.PutUint64(b[48:], uint64(h.Offset))
	le.PutUint32(b[56:], h.OpenID)
	le.PutUint32(b[60:], h.TotalLen)
	le.PutUint32(b[64:], h.DirLen)
	le.PutUint32(b[68:], h.Records)
	le.PutUint64(b[72:], h.DurableSeq)
	le.PutUint64(b[80:], uint64(h.First))
	le.PutUint64(b[88:], uint64(h.Last))
	le.PutUint32(b[96:], h.DirCRC)
	le.PutUint32(b[headerCRC:], CRC(b[:headerCRC]))
}

// DecodeHeader reads the header of the group at off, which must belong to id.
// Any misfit is a *CorruptError, never-written bytes are ErrEmpty.
func DecodeHeader(b []byte, id Identity, off int64) (Header, error) {
	if len(b) < HeaderSize || le.Uint64(b) == 0 {
		return Header{}, ErrEmpty
	}
	bad := func(reason string) (Header, error) {
		return Header{}, &CorruptError{id.Pool, off, "group header: " + reason}
	}
	if le.Uint64(b) != magicGroup {
		return bad("wrong magic")
	}
	if CRC(b[:headerCRC]) != le.Uint32(b[headerCRC:]) {
		return bad("wrong checksum")
	}
	if v := le.Uint32(b[8:]); v > Version {
		return Header{}, &VersionError{v}
	}
	h := Header{
		Identity: Identity{Pool: le.Uint32(b[12:]), Ring: media.UUID(b[16:32]), Generation: le.Uint64(b[32:])},
		Seq:      le.Uint64(b[40:]), Offset: int64(le.Uint64(b[48:])), OpenID: le.Uint32(b[56:]), TotalLen: le.Uint32(b[60:]),
		DirLen: le.Uint32(b[64:]), Records: le.Uint32(b[68:]), DurableSeq: le.Uint64(b[72:]),
		First: int64(le.Uint64(b[80:])), Last: int64(le.Uint64(b[88:])), DirCRC: le.Uint32(b[96:]),
	}
	switch {
	case h.Ring != id.Ring:
		return bad("of another ring")
	case h.Pool != id.Pool || h.Offset != off:
		return bad(fmt.Sprintf("written for pool %03d offset %d", h.Pool, h.Offset))
	case h.Generation != id.Generation:
		return bad(fmt.Sprintf("of generation %d, not %d", h.Generation, id.Generation))
	case h.TotalLen < BlockSize || h.TotalLen > MaxGroup || h.TotalLen%BlockSize != 0 || int64(HeaderSize)+int64(h.DirLen) > int64(h.TotalLen) || int64(h.Records)*EntrySize > int64(h.DirLen):
		return bad("impossible lengths")
	}
	return h, nil
}

// Fits reports whether dir is the directory that belongs to the header.
func (h *Header) Fits(dir []byte) bool { return CRC(dir) == h.DirCRC }

// Item is a record on its way into a group: its entry, of which Offset, Length
// and CRC are filled in by the Builder, and its payload.
type Item struct {
	Entry   Entry
	Payload []byte
}

// Builder collects the items of one group. The zero value is an empty group.
type Builder struct {
	items   []Item
	dirLen  int
	payload int
}

// SizeWith is what the group would take in the pool and in its footer with
// these items added; ok is false when a group cannot hold as much.
func (b *Builder) SizeWith(items ...Item) (group, footer int64, ok bool) {
	dir, payload := b.dirLen, b.payload
	for i := range items {
		dir += items[i].Entry.encodedLen()
		payload += len(items[i].Payload)
	}
	group = Align(int64(HeaderSize + dir + payload))
	return group, int64(HeaderSize + dir), dir <= maxDirectory && group <= MaxGroup
}

// Add takes the items in. Their payloads must stay as they are until Encode.
func (b *Builder) Add(items ...Item) {
	for i := range items {
		b.items = append(b.items, items[i])
		b.dirLen += items[i].Entry.encodedLen()
		b.payload += len(items[i].Payload)
	}
}

// Len is the number of items.
func (b *Builder) Len() int { return len(b.items) }

// Reset empties the builder for the next group.
func (b *Builder) Reset() {
	clear(b.items)
	*b = Builder{items: b.items[:0]}
}

// Encode writes the group to the front of buf and returns its length. Of h the
// caller sets Identity, Offset, Seq, OpenID and DurableSeq; the rest is set here.
func (b *Builder) Encode(buf []byte, h *Header) int {
	total := int(Align(int64(HeaderSize + b.dirLen + b.payload)))
	if len(b.items) == 0 || total > MaxGroup || total > len(buf) {
		panic(fmt.Sprintf("pool: a group of %d items, %d bytes for a buffer of %d", len(b.items), total, len(buf)))
	}
	dir := buf[HeaderSize:HeaderSize:len(buf)]
	at := HeaderSize + b.dirLen
	h.First, h.Last = 0, 0
	for i := range b.items {
		it := &b.items[i]
		it.Entry.Offset, it.Entry.Length = uint32(at), uint32(len(it.Payload))
		copy(buf[at:], it.Payload)
		it.Entry.CRC = PayloadCRC(h.Identity, h.Offset, buf[at:at+len(it.Payload)])
		at += len(it.Payload)
		dir = it.Entry.append(dir)
		if it.Entry.Kind == KindSamples {
			if h.First == 0 || it.Entry.Wall < h.First {
				h.First = it.Entry.Wall
			}
			h.Last = max(h.Last, it.Entry.WallEnd)
		}
	}
	if len(dir) != b.dirLen {
		panic(fmt.Sprintf("pool: a directory of %d bytes where %d were planned", len(dir), b.dirLen))
	}
	clear(buf[at:total])
	h.TotalLen, h.DirLen, h.Records, h.DirCRC = uint32(total), uint32(b.dirLen), uint32(len(b.items)), CRC(dir)
	h.Encode(buf)
	return total
}
