package pool

import (
	"errors"
	"fmt"
	"io"
	"syscall"
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
// Bytes that make no sense are no error. Blocks that the disk does not give back
// are passed over as well, and told at the end in an *UnreadableError. Any other
// error is that of a failed read, and what was yielded is not all.
func Scan(r io.ReaderAt, id Identity, from, end, maxHole int64, yield func(Group) bool) error {
	var last Header
	spots := UnreadableError{Pool: id.Pool}
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
		case err == nil || errors.Is(err, ErrEmpty) || errors.As(err, &corrupt) || BadSpot(err):
			if BadSpot(err) {
				spots.add(off, err)
			}
			off, err = nextBlock(r, off+BlockSize, min(end, holeStart+maxHole+BlockSize), hole, &spots, func(b []byte, off int64) bool {
				_, err := DecodeHeader(b, id, off)
				return err == nil
			})
			if err != nil {
				return err
			}
		default:
			return err
		}
	}
	if spots.Blocks > 0 {
		return &spots
	}
	return nil
}

// maxSpots is how many blocks of a pool may be unreadable before nothing more of
// it is tried: a dying disk takes seconds for each.
const maxSpots = 1024

// UnreadableError says that a disk did not give back blocks of a pool. What could
// be read was.
type UnreadableError struct {
	Pool   uint32
	First  int64 // offset of the first of them
	Blocks int
	Err    error // of the first
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("pool %03d: %d blocks cannot be read, the first at offset %d: %v", e.Pool, e.Blocks, e.First, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

func (e *UnreadableError) add(off int64, err error) {
	if e.Blocks == 0 {
		e.First, e.Err = off, err
	}
	e.Blocks++
}

// BadSpot tells an error of a place on the disk from one of the disk, or of ours.
func BadSpot(err error) bool {
	for _, spot := range []error{syscall.EIO, syscall.ENODATA, syscall.EILSEQ, syscall.EBADMSG, syscall.EUCLEAN} {
		if errors.Is(err, spot) {
			return true
		}
	}
	return false
}

// readGroup reads the header and the directory at off. A directory that does
// not fit its checksum makes a group that does not count.
func readGroup(r io.ReaderAt, id Identity, off, end int64, piece []byte) (Group, error) {
	b := piece[:min(int64(len(piece)), end-off)]
	err := readFull(r, b, off)
	if BadSpot(err) { // somewhere behind the header, perhaps
		b = b[:BlockSize]
		err = readFull(r, b, off)
	}
	if err != nil {
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
	if !h.Fits(dir) {
		return Group{}, &CorruptError{id.Pool, off, "directory: wrong checksum"}
	}
	return Group{h, dir}, nil
}

// nextBlock finds the next block at or after off that is what is looked for; end
// when there is none.
func nextBlock(r io.ReaderAt, off, end int64, buf []byte, spots *UnreadableError, is func(b []byte, off int64) bool) (int64, error) {
	size := int64(len(buf))
	for off+BlockSize <= end {
		b := buf[:min(size, end-off)&^(BlockSize-1)]
		err := readFull(r, b, off)
		switch {
		case BadSpot(err) && len(b) > BlockSize: // block by block, then
			size = BlockSize
			continue
		case BadSpot(err):
			if spots.add(off, err); spots.Blocks >= maxSpots {
				return end, nil
			}
		case err != nil:
			return 0, err
		default:
			for at := 0; at < len(b); at += BlockSize {
				if is(b[at:], off+int64(at)) {
					return off + int64(at), nil
				}
			}
		}
		off += int64(len(b))
		if off%int64(len(buf)) == 0 {
			size = int64(len(buf))
		}
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
