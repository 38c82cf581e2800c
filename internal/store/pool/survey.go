package pool

import (
	"io"

	"nvr/internal/media"
)

// surveyPiece is how much of a pool is looked at first for its generation: the
// one that counts begins at FirstGroup, and a hole there is shorter than this.
const surveyPiece = 32 << 20

// Survey is what the groups of a pool say when its superblocks do not: of those
// that accept takes, which generation is the highest, and its first group. It
// hops from header to header, and reads all of size bytes only where it finds
// none. ok is false when there is no group.
func Survey(r io.ReaderAt, size int64, accept func(Identity) bool) (first Header, ok bool, err error) {
	block, hole := make([]byte, BlockSize), make([]byte, holePiece)
	for off := int64(FirstGroup); off+BlockSize <= size && (!ok || off < FirstGroup+surveyPiece); {
		if err := readFull(r, block, off); err != nil && !BadSpot(err) {
			return first, ok, err
		} else if h, is := anyHeader(block, off); err == nil && is && accept(h.Identity) {
			if !ok || h.Generation > first.Generation {
				first, ok = h, true
			}
			off += int64(h.TotalLen)
			continue
		}
		var spots UnreadableError
		off, err = nextBlock(r, off+BlockSize, size, hole, &spots, func(b []byte, off int64) bool {
			h, is := anyHeader(b, off)
			return is && accept(h.Identity)
		})
		if err != nil {
			return first, ok, err
		}
	}
	return first, ok, nil
}

// anyHeader decodes the header of a group of whatever ring, pool and generation
// that was written at off.
func anyHeader(b []byte, off int64) (Header, bool) {
	if len(b) < HeaderSize || le.Uint64(b) != magicGroup {
		return Header{}, false
	}
	h, err := DecodeHeader(b, identityOf(b), off)
	return h, err == nil
}

// identityOf reads the identity where headers, superblocks and trailers have it.
func identityOf(b []byte) Identity {
	return Identity{Ring: media.UUID(b[16:32]), Pool: le.Uint32(b[12:]), Generation: le.Uint64(b[32:])}
}

// Salvage finds the groups of which a footer that does not fit its checksum has
// good copies. b is what lies between the last group and the trailer, from at on.
func Salvage(b []byte, id Identity, at int64) []Group {
	var groups []Group
	for i := 0; i+HeaderSize <= len(b); {
		if b[i] != byte(magicGroup&0xff) || le.Uint64(b[i:]) != magicGroup {
			i++
			continue
		}
		off := int64(le.Uint64(b[i+48:]))
		h, err := DecodeHeader(b[i:], id, off)
		if end := i + HeaderSize + int(h.DirLen); err == nil && off < at+int64(i) && end <= len(b) {
			if dir := b[i+HeaderSize : end : end]; h.Fits(dir) {
				groups = append(groups, Group{h, dir})
				i = end
				continue
			}
		}
		i++
	}
	return groups
}
