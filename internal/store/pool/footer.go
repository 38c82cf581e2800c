package pool

import (
	"fmt"

	"nvr/internal/media"
)

// Trailer is the last block of a sealed pool: where the footer lies, which
// holds the header and directory of each group, one behind the other.
type Trailer struct {
	Identity
	FooterOffset int64
	FooterLen    int64 // bytes of headers and directories, without padding
	FooterCRC    uint32
	Groups       uint32
	FirstSeq     uint64
	LastSeq      uint64
	First, Last  int64 // wall time of all samples, ns UTC
}

const trailerCRC = 124

// FooterSize is what a footer of dirBytes (see Builder.DirectorySize) takes at
// the end of a pool, trailer and padding included.
func FooterSize(dirBytes int64) int64 { return Align(dirBytes) + TrailerSize }

// Encode writes the trailer over b, which is one block.
func (t *Trailer) Encode(b []byte) {
	clear(b[:TrailerSize])
	le.PutUint64(b[0:], magicTrailer)
	le.PutUint32(b[8:], Version)
	le.PutUint32(b[12:], t.Pool)
	copy(b[16:32], t.Ring[:])
	le.PutUint64(b[32:], t.Generation)
	le.PutUint64(b[40:], uint64(t.FooterOffset))
	le.PutUint64(b[48:], uint64(t.FooterLen))
	le.PutUint64(b[56:], t.FirstSeq)
	le.PutUint64(b[64:], t.LastSeq)
	le.PutUint64(b[72:], uint64(t.First))
	le.PutUint64(b[80:], uint64(t.Last))
	le.PutUint32(b[88:], t.Groups)
	le.PutUint32(b[92:], t.FooterCRC)
	le.PutUint32(b[trailerCRC:], CRC(b[:trailerCRC]))
}

// DecodeTrailer reads the trailer of a pool file of size bytes. ErrEmpty and
// *CorruptError both mean that the pool's groups must be walked instead.
func DecodeTrailer(b []byte, id Identity, size int64) (Trailer, error) {
	off := size - TrailerSize
	if len(b) < TrailerSize || le.Uint64(b) == 0 {
		return Trailer{}, ErrEmpty
	}
	bad := func(reason string) (Trailer, error) {
		return Trailer{}, &CorruptError{id.Pool, off, "footer trailer: " + reason}
	}
	if le.Uint64(b) != magicTrailer || CRC(b[:trailerCRC]) != le.Uint32(b[trailerCRC:]) {
		return bad("wrong magic or checksum")
	}
	if v := le.Uint32(b[8:]); v > Version {
		return Trailer{}, &VersionError{v}
	}
	t := Trailer{
		Identity:     Identity{Pool: le.Uint32(b[12:]), Ring: media.UUID(b[16:32]), Generation: le.Uint64(b[32:])},
		FooterOffset: int64(le.Uint64(b[40:])), FooterLen: int64(le.Uint64(b[48:])), FirstSeq: le.Uint64(b[56:]), LastSeq: le.Uint64(b[64:]),
		First: int64(le.Uint64(b[72:])), Last: int64(le.Uint64(b[80:])), Groups: le.Uint32(b[88:]), FooterCRC: le.Uint32(b[92:]),
	}
	if t.Identity != id {
		return bad(fmt.Sprintf("of pool %03d generation %d", t.Pool, t.Generation))
	}
	if t.FooterOffset < FirstGroup || t.FooterLen < 0 || t.FooterOffset+Align(t.FooterLen) != off {
		return bad("impossible lengths")
	}
	return t, nil
}

// Group is a group's header and its directory as it stands on disk.
type Group struct {
	Header
	Dir []byte
}

// Entries walks the group's directory; see Directory.
func (g *Group) Entries(yield func(*Entry) bool) error { return Directory(&g.Header, g.Dir, yield) }

// EncodeFooter writes footer and trailer to the end of a pool file's image: the
// last FooterSize bytes before size. t.Identity is set by the caller, the rest
// of t here. The groups are in the order in which they lie in the pool.
func EncodeFooter(buf []byte, t *Trailer, groups []Group, size int64) []byte {
	n := int64(0)
	for i := range groups {
		n += HeaderSize + int64(len(groups[i].Dir))
	}
	buf = buf[:FooterSize(n)]
	clear(buf)
	at := int64(0)
	for i := range groups {
		g := &groups[i]
		g.Encode(buf[at:])
		at += HeaderSize
		at += int64(copy(buf[at:], g.Dir))
		if g.First != 0 && (t.First == 0 || g.First < t.First) {
			t.First = g.First
		}
		t.Last = max(t.Last, g.Last)
	}
	t.FooterLen, t.FooterOffset, t.FooterCRC, t.Groups = n, size-int64(len(buf)), CRC(buf[:n]), uint32(len(groups))
	if len(groups) > 0 {
		t.FirstSeq, t.LastSeq = groups[0].Seq, groups[len(groups)-1].Seq
	}
	t.Encode(buf[len(buf)-TrailerSize:])
	return buf
}

// DecodeFooter reads the FooterLen bytes at FooterOffset. The groups' Dir
// alias b.
func DecodeFooter(b []byte, t *Trailer) ([]Group, error) {
	bad := func(reason string) ([]Group, error) {
		return nil, &CorruptError{t.Pool, t.FooterOffset, "footer: " + reason}
	}
	if int64(len(b)) != t.FooterLen || CRC(b) != t.FooterCRC {
		return bad("wrong checksum")
	}
	groups := make([]Group, 0, min(int64(t.Groups), t.FooterLen/HeaderSize))
	for len(b) > 0 {
		if len(b) < HeaderSize {
			return bad("cut short")
		}
		h, err := DecodeHeader(b, t.Identity, int64(le.Uint64(b[48:])))
		if err != nil {
			return nil, fmt.Errorf("footer: %w", err)
		}
		b = b[HeaderSize:]
		if int64(len(b)) < int64(h.DirLen) {
			return bad("cut short")
		}
		groups = append(groups, Group{h, b[:h.DirLen:h.DirLen]})
		b = b[h.DirLen:]
	}
	if len(groups) != int(t.Groups) {
		return bad("wrong number of groups")
	}
	return groups, nil
}
