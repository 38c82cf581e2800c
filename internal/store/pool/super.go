package pool

import (
	"fmt"

	"nvr/internal/media"
)

// State is what a pool is being used for.
type State uint32

// The states. They are written to disk.
const (
	Free   State = 1 // allocated, never used
	Active State = 2 // groups are being appended, or were when the recorder stopped
	Sealed State = 3 // full; its footer is written
	Bad    State = 4 // writes to it failed
)

func (s State) String() string {
	switch s {
	case Free:
		return "free"
	case Active:
		return "active"
	case Sealed:
		return "sealed"
	case Bad:
		return "bad"
	}
	return fmt.Sprintf("state(%d)", uint32(s))
}

// Super is a superblock. A pool has two slots for it; each change goes to the
// slot that does not hold the newest, so that one is always whole.
type Super struct {
	Ring       media.UUID
	Pool       uint32
	Pools      uint32 // how many the ring has
	Size       int64  // of the pool file, bytes
	Generation uint64 // activation number in the ring; 0: never used
	State      State
	OpenID     uint32 // writer starts counted in the ring
	FirstSeq   uint64 // group_seq of the first group of this generation
	DurableSeq uint64 // the highest group known durable when this generation began: what stands behind it in the pool before failed, and was written again here
	Counter    uint64 // the higher of the two slots' counts
	Voids      []Void // of other pools, when this generation began; at most MaxVoids; not to be changed
}

// Void says of a generation of a pool that its groups with a higher group_seq than
// Above do not count: they failed, and were written again elsewhere.
type Void struct {
	Pool       uint32
	Generation uint64
	Above      uint64
}

const (
	voidSize = 20
	// MaxVoids is how many a superblock has room for.
	MaxVoids = (BlockSize - SuperSize - 8) / voidSize
)

// superCRC is where a superblock's checksum lies; it covers what is before it.
const superCRC = 84

// SuperSize is what a superblock takes of its block. Where it has voids they follow:
// their number, as many entries, and a checksum of both. Zeros are behind that.
const SuperSize = superCRC + 4

// EncodedLen is what the superblock takes of its block, voids included.
func (s *Super) EncodedLen() int {
	if len(s.Voids) == 0 {
		return SuperSize
	}
	return SuperSize + 4 + voidSize*len(s.Voids) + 4
}

// SuperOffset is where the superblock with this counter lies.
func SuperOffset(counter uint64) int64 { return int64(counter%2) * SuperSlot1 }

// Encode writes the superblock over b, which is one block.
func (s *Super) Encode(b []byte) {
	clear(b[:BlockSize])
	le.PutUint64(b[0:], magicSuper)
	le.PutUint32(b[8:], Version)
	le.PutUint32(b[12:], s.Pool)
	copy(b[16:32], s.Ring[:])
	le.PutUint64(b[32:], s.Generation)
	le.PutUint64(b[40:], s.FirstSeq)
	le.PutUint64(b[48:], s.Counter)
	le.PutUint64(b[56:], uint64(s.Size))
	le.PutUint32(b[64:], uint32(s.State))
	le.PutUint32(b[68:], s.OpenID)
	le.PutUint32(b[72:], s.Pools)
	le.PutUint64(b[76:], s.DurableSeq)
	le.PutUint32(b[superCRC:], CRC(b[:superCRC]))
	if len(s.Voids) == 0 {
		return
	}
	v := b[SuperSize:]
	le.PutUint32(v, uint32(len(s.Voids)))
	at := 4
	for _, void := range s.Voids {
		le.PutUint32(v[at:], void.Pool)
		le.PutUint64(v[at+4:], void.Generation)
		le.PutUint64(v[at+12:], void.Above)
		at += voidSize
	}
	le.PutUint32(v[at:], CRC(v[:at]))
}

// decodeVoids reads what stands behind a superblock; nil when that makes no sense.
func decodeVoids(v []byte) (voids []Void, ok bool) {
	n := int(le.Uint32(v))
	if n == 0 {
		return nil, true
	}
	end := 4 + voidSize*n
	if n > MaxVoids || CRC(v[:end]) != le.Uint32(v[end:]) {
		return nil, false
	}
	for at := 4; at < end; at += voidSize {
		voids = append(voids, Void{le.Uint32(v[at:]), le.Uint64(v[at+4:]), le.Uint64(v[at+12:])})
	}
	return voids, true
}

// DecodeSuper reads one slot: ErrEmpty, *VersionError or *CorruptError when
// there is none to be had.
func DecodeSuper(b []byte, pool uint32, off int64) (Super, error) {
	if len(b) < BlockSize || le.Uint64(b) == 0 {
		return Super{}, ErrEmpty
	}
	bad := func(reason string) (Super, error) { return Super{}, &CorruptError{pool, off, "superblock: " + reason} }
	if le.Uint64(b) != magicSuper {
		return bad("wrong magic")
	}
	if v := le.Uint32(b[8:]); v > Version {
		return Super{}, &VersionError{v}
	}
	if CRC(b[:superCRC]) != le.Uint32(b[superCRC:]) {
		return bad("wrong checksum")
	}
	s := Super{
		Pool: le.Uint32(b[12:]), Ring: media.UUID(b[16:32]), Generation: le.Uint64(b[32:]), FirstSeq: le.Uint64(b[40:]),
		Counter: le.Uint64(b[48:]), Size: int64(le.Uint64(b[56:])), State: State(le.Uint32(b[64:])), OpenID: le.Uint32(b[68:]), Pools: le.Uint32(b[72:]), DurableSeq: le.Uint64(b[76:]),
	}
	if SuperOffset(s.Counter) != off {
		return bad("written to the other slot's place")
	}
	var ok bool
	if s.Voids, ok = decodeVoids(b[SuperSize:]); !ok {
		return bad("wrong checksum of its voids")
	}
	return s, nil
}
