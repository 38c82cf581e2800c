package pool

import (
	"errors"
	"io"
)

const (
	// scanPiece is what is read to look at one group's header and directory:
	// all of it in nearly every case (maxDirectory).
	scanPiece = 64 << 10

	// holePiece is what is read at a time where no group is found.
	holePiece = 1 << 20
)

// Scan walks the groups of a pool from byte from to byte end in the order of
// their offsets, and hops over what is no group of id: never-written space, a
// torn group, last pass's bytes. It gives up after a hole of more than maxHole
// bytes. A group must have a higher group_seq and no lower open_id than the one
// before it, or it is a leftover. Payloads are not read.
//
// The error is that of a failed read; bytes that make no sense are no error.
func Scan(r io.ReaderAt, id Identity, from, end, maxHole int64, yield func(Group) bool) error {
	var last Header
	piece, hole := make([]byte, scanPiece), make([]byte, holePiece)
	for off, holeStart := from, from; off+BlockSize <= end && off-holeStart <= maxHole; {
		g, err := readGroup(r, id, off, end, piece)
		var corrupt *CorruptError
		switch {
		case err == nil && g.Seq > last.Seq && g.OpenID >= last.OpenID:
			if !yield(g) {
				return nil
			}
			last = g.Header
			off += int64(g.TotalLen)
			holeStart = off
		case err == nil || errors.Is(err, ErrEmpty) || errors.As(err, &corrupt):
			if off, err = nextHeader(r, id, off+BlockSize, min(end, holeStart+maxHole+BlockSize), hole); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// readGroup reads the header and the directory at off. A directory that does
// not fit its checksum makes a group that does not count.
func readGroup(r io.ReaderAt, id Identity, off, end int64, piece []byte) (Group, error) {
	b := piece[:min(int64(len(piece)), end-off)]
	if err := readFull(r, b, off); err != nil {
		return Group{}, err
	}
	h, err := DecodeHeader(b, id, off)
	if err != nil {
		return Group{}, err
	}
	if off+int64(h.TotalLen) > end {
		return Group{}, &CorruptError{id.Pool, off, "group header: reaches past the end of the pool"}
	}
	dir := make([]byte, h.DirLen)
	if n := copy(dir, b[HeaderSize:]); n < len(dir) {
		if err := readFull(r, dir[n:], off+int64(HeaderSize+n)); err != nil {
			return Group{}, err
		}
	}
	if CRC(dir) != h.DirCRC {
		return Group{}, &CorruptError{id.Pool, off, "directory: wrong checksum"}
	}
	return Group{h, dir}, nil
}

// nextHeader finds the next block at or after off that begins with a group
// header of id; end when there is none.
func nextHeader(r io.ReaderAt, id Identity, off, end int64, buf []byte) (int64, error) {
	for off+BlockSize <= end {
		b := buf[:min(int64(len(buf)), end-off)&^(BlockSize-1)]
		if err := readFull(r, b, off); err != nil {
			return 0, err
		}
		for at := 0; at < len(b); at += BlockSize {
			if _, err := DecodeHeader(b[at:], id, off+int64(at)); err == nil {
				return off + int64(at), nil
			}
		}
		off += int64(len(b))
	}
	return end, nil
}

// VerifyGroup reads a group's payloads and reports whether all of them are
// what its directory says. buf has room for MaxGroup bytes.
func VerifyGroup(r io.ReaderAt, g *Group, buf []byte) (bool, error) {
	b := buf[:g.TotalLen]
	if err := readFull(r, b, g.Offset); err != nil {
		return false, err
	}
	good := true
	err := g.Entries(func(e *Entry) bool {
		good = PayloadCRC(g.Identity, g.Offset, b[e.Offset:e.Offset+e.Length]) == e.CRC
		return good
	})
	return good && err == nil, nil
}

func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
