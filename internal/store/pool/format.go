// Package pool is the bytes of one pool file: superblocks, groups with their
// directories, the footer. It encodes, decodes and checks; it opens no file.
//
// docs/format.md is the contract, and a test compares it with these constants.
// Everything is little-endian, everything written is a multiple of BlockSize.
// Zero on disk means never written, so zero is never a valid value of a magic
// or a version.
package pool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"nvr/internal/media"
)

const (
	// Version is the format's version. A reader refuses a newer one.
	Version = 1

	// BlockSize is the unit of writing. No block that holds committed bytes is
	// ever written again, so a torn write cannot harm older footage.
	BlockSize = 4096

	// SuperSlot1 is where the second superblock lies; the first is at 0. They
	// are far enough apart that one bad spot of a disk does not take both.
	SuperSlot1 = 64 << 10

	// FirstGroup is where groups begin.
	FirstGroup = 1 << 20

	// MaxGroup bounds a group: any MaxGroup bytes of a filled pool hold the
	// beginning of one.
	MaxGroup = 4 << 20

	// HeaderSize is a group header, EntrySize the fixed part of a directory
	// entry.
	HeaderSize = 128
	EntrySize  = 72

	// TrailerSize is the last block of a sealed pool.
	TrailerSize = BlockSize

	// MinSize is the smallest pool file: room for the largest group, its
	// footer, and something beside them.
	MinSize = 8 << 20

	// maxDirectory bounds a directory, so that a group always has room for a
	// payload of media.MaxSampleBytes beside it: 64 KiB are some 600 records.
	maxDirectory = 64<<10 - HeaderSize - BlockSize

	// MaxSamples bounds a record's sample table: one takes at most 15 bytes of
	// the directory, and descriptions stand beside it.
	MaxSamples = 2048
)

// A group of one record of the largest sample must fit.
const _ = uint(MaxGroup - HeaderSize - maxDirectory - media.MaxSampleBytes)

const (
	magicSuper   = 0x31_52_45_50_55_53_56_4e // "NVSUPER1"
	magicGroup   = 0x31_50_55_4f_52_47_56_4e // "NVGROUP1"
	magicTrailer = 0x31_54_4f_4f_46_56_4e_2e // ".NVFOOT1"
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// CRC is CRC-32C (Castagnoli), which processors compute themselves.
func CRC(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ErrEmpty says that the place was never written.
var ErrEmpty = errors.New("never written")

// CorruptError says that bytes are not what was written there.
type CorruptError struct {
	Pool   uint32
	Offset int64
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("pool %03d offset %d: %s", e.Pool, e.Offset, e.Reason)
}

// VersionError says that a newer program wrote the file.
type VersionError struct{ Version uint32 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("written in format version %d, and this program knows versions up to %d: use a newer nvr", e.Version, Version)
}

// Identity is what a group must carry to count: the ring, the pool and the
// pool's generation that are being read.
type Identity struct {
	Ring       media.UUID
	Pool       uint32
	Generation uint64
}

// PayloadCRC is a payload's checksum, seeded with its ring, generation and
// group offset, so that neither last pass's bytes nor another disk's can pass
// for it.
func PayloadCRC(id Identity, group int64, payload []byte) uint32 {
	var seed [32]byte
	copy(seed[:], id.Ring[:])
	le.PutUint64(seed[16:], id.Generation)
	le.PutUint64(seed[24:], uint64(group))
	return crc32.Update(CRC(seed[:]), castagnoli, payload)
}

// Align rounds n up to whole blocks.
func Align(n int64) int64 { return (n + BlockSize - 1) &^ (BlockSize - 1) }

// Zero reports whether all of b is zero, as padding is.
func Zero(b []byte) bool {
	for len(b) >= 8 {
		if le.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
