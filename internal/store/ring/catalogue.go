package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"nvr/internal/disk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// The catalogue is a hint: what the superblocks said when a pool was last
// sealed, in one file, so that a ring of thousands of pools is opened with a
// few reads. A catalogue that is missing, damaged or old costs time, never
// footage: the pools themselves are the truth.
const catalogueName = "catalogue"

// eagerPools is up to how many pools every superblock is read at the start:
// 64 reads are half a second of a hard disk.
const eagerPools = 64

// maxSkipped is how many pools in a row a writer may have failed to activate
// before it took the next one (store.writer.commit gives the disk up then).
const maxSkipped = 3

const (
	catalogueHeader = 64
	catalogueEntry  = 64
	magicCatalogue  = 0x31_54_41_43_52_56_4e_2e // ".NVRCAT1"
)

var le = binary.LittleEndian

func encodeCatalogue(s Spec, supers []pool.Super) []byte {
	b := make([]byte, catalogueHeader+catalogueEntry*len(supers))
	le.PutUint64(b[0:], magicCatalogue)
	le.PutUint32(b[8:], pool.Version)
	le.PutUint32(b[12:], uint32(len(supers)))
	copy(b[16:32], s.UUID[:])
	for i, p := range supers {
		e := b[catalogueHeader+catalogueEntry*i:]
		le.PutUint64(e[0:], p.Generation)
		le.PutUint64(e[8:], p.Counter)
		le.PutUint64(e[16:], p.FirstSeq)
		le.PutUint32(e[24:], uint32(p.State))
		le.PutUint32(e[28:], p.OpenID)
		le.PutUint64(e[32:], p.DurableSeq)
	}
	le.PutUint32(b[60:], pool.CRC(b[catalogueHeader:]))
	return b
}

func decodeCatalogue(b []byte, s Spec) ([]pool.Super, error) {
	if len(b) != catalogueHeader+catalogueEntry*s.Pools || le.Uint64(b) != magicCatalogue || le.Uint32(b[8:]) != pool.Version ||
		media.UUID(b[16:32]) != s.UUID || le.Uint32(b[60:]) != pool.CRC(b[catalogueHeader:]) {
		return nil, errors.New("not the catalogue of this ring")
	}
	supers := make([]pool.Super, s.Pools)
	for i := range supers {
		e := b[catalogueHeader+catalogueEntry*i:]
		supers[i] = pool.Super{Ring: s.UUID, Pool: uint32(i), Pools: uint32(s.Pools), Size: s.Size, Generation: le.Uint64(e[0:]), Counter: le.Uint64(e[8:]),
			FirstSeq: le.Uint64(e[16:]), State: pool.State(le.Uint32(e[24:])), OpenID: le.Uint32(e[28:]), DurableSeq: le.Uint64(e[32:])}
	}
	return supers, nil
}

// WriteCatalogue brings the hint up to date. A ring whose superblocks are all
// read at the start anyway has none.
func (r *Ring) WriteCatalogue() error {
	if r.Pools <= eagerPools {
		return nil
	}
	r.mu.Lock()
	b := encodeCatalogue(r.Spec, r.supers)
	r.mu.Unlock()
	if err := r.dir.Replace(catalogueName, b); err != nil {
		return fmt.Errorf("write the catalogue: %w", err)
	}
	return nil
}

// loadCatalogue takes the superblocks from the catalogue and follows the ring
// from the newest pool it knows to the newest there is. ok is false when the
// catalogue is of no use.
func (r *Ring) loadCatalogue(d disk.Dir) (ok bool, err error) {
	b, err := d.ReadFile(catalogueName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	hints, err := decodeCatalogue(b, r.Spec)
	if err != nil {
		return false, nil
	}
	head := 0
	for i := range hints {
		if hints[i].Generation > hints[head].Generation {
			head = i
		}
	}
	copy(r.supers, hints)
	newest, older := uint64(0), 0
	for i := 0; i < r.Pools && older <= maxSkipped; i++ {
		n := (head + i) % r.Pools
		if err := r.look(n); err != nil {
			return false, err
		}
		s := r.Super(n)
		if r.Fault(n) != nil {
			newest = max(newest, s.Generation, hints[n].Generation) // it may have been the newest: look behind it
			continue
		}
		if s.State == pool.Bad {
			continue
		}
		if s.Generation <= newest {
			older++ // than the one before it: that one is the newest, or this one could not be activated
			continue
		}
		newest, older = s.Generation, 0
	}
	return true, nil
}
