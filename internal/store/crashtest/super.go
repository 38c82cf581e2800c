package main

import (
	"encoding/binary"
	"hash/crc32"
)

type super struct{ generation, counter uint64 }

// decodeSuper reads what the verifier needs of a superblock, from the tables of
// docs/format.md and not from the store's code.
func decodeSuper(b []byte) (super, bool) {
	le := binary.LittleEndian
	if string(b[:8]) != "NVSUPER1" || le.Uint32(b[84:]) != crc32.Checksum(b[:84], crc32.MakeTable(crc32.Castagnoli)) {
		return super{}, false
	}
	return super{generation: le.Uint64(b[32:]), counter: le.Uint64(b[48:])}, true
}
