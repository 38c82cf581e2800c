package play

import (
	"encoding/binary"
	"fmt"
	"io"

	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

// piece is a stretch of a clip's payload: bytes of one record, or silence.
type piece struct {
	offset   int64 // in the clip's payload
	size     int64
	ref      media.Ref
	skip     uint32 // bytes of the record's payload before the piece
	fill     byte   // stands in for bytes that turn out damaged
	recorded bool   // false: size × fill, ref means nothing
}

// pieceBytes is a piece as it lies in the manifest. The form is nobody's
// business but this file's: it lives as long as the clip.
const pieceBytes = 72

// manifest is the payload of a clip as a list of pieces: what the header has
// promised, whatever happens to the footage or to the index meanwhile.
type manifest struct {
	spool *mp4.Spool
}

func (m *manifest) add(p piece) {
	var b [pieceBytes]byte
	le := binary.LittleEndian
	le.PutUint64(b[0:], uint64(p.offset))
	le.PutUint64(b[8:], uint64(p.size))
	le.PutUint64(b[16:], uint64(p.ref.Volume))
	le.PutUint64(b[24:], p.ref.Generation)
	le.PutUint64(b[32:], uint64(p.ref.Group))
	le.PutUint32(b[40:], p.ref.Pool)
	le.PutUint32(b[44:], p.ref.Offset)
	le.PutUint32(b[48:], p.ref.Length)
	le.PutUint32(b[52:], p.ref.CRC)
	le.PutUint32(b[56:], p.skip)
	b[60] = p.fill
	if p.recorded {
		b[61] = 1
	}
	le.PutUint32(b[64:], p.ref.Kept)
	m.spool.Write(b[:]) // its error sticks: find returns it
}

func (m *manifest) len() int64 { return m.spool.Size() / pieceBytes }

func decodePiece(b []byte) piece {
	le := binary.LittleEndian
	return piece{
		offset: int64(le.Uint64(b[0:])),
		size:   int64(le.Uint64(b[8:])),
		ref: media.Ref{
			Volume:     int(le.Uint64(b[16:])),
			Generation: le.Uint64(b[24:]),
			Group:      int64(le.Uint64(b[32:])),
			Pool:       le.Uint32(b[40:]),
			Offset:     le.Uint32(b[44:]),
			Length:     le.Uint32(b[48:]),
			CRC:        le.Uint32(b[52:]),
			Kept:       le.Uint32(b[64:]),
		},
		skip:     le.Uint32(b[56:]),
		fill:     b[60],
		recorded: b[61] == 1,
	}
}

// find returns the index of the piece that contains the payload's byte at
// offset: the last one that begins at or before it.
func (m *manifest) find(offset int64) (int64, error) {
	lo, hi := int64(0), m.len()
	var b [pieceBytes]byte
	for lo+1 < hi {
		mid := (lo + hi) / 2
		if _, err := m.spool.ReadAt(b[:], mid*pieceBytes); err != nil {
			return 0, err
		}
		if decodePiece(b[:]).offset <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, m.spool.Err()
}

// from calls yield for the pieces from index i on until it returns false.
func (m *manifest) from(i int64, yield func(piece) (bool, error)) error {
	buf := make([]byte, 256*pieceBytes)
	for n := m.len(); i < n; {
		k := min(256, n-i)
		b := buf[:k*pieceBytes]
		if _, err := m.spool.ReadAt(b, i*pieceBytes); err != nil && err != io.EOF {
			return fmt.Errorf("read manifest: %w", err)
		}
		for ; len(b) > 0; b = b[pieceBytes:] {
			if more, err := yield(decodePiece(b)); err != nil || !more {
				return err
			}
		}
		i += k
	}
	return nil
}
