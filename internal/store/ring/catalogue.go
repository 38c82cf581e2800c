package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

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

const (
	catalogueHeader = 64
	catalogueEntry  = 64
	magicCatalogue  = 0x31_54_41_43_52_56_4e_2e // ".NVRCAT1"
)

var le = binary.LittleEndian

func encodeCatalogue(ring media.UUID, supers []pool.Super) []byte {
	b := make([]byte, catalogueHeader+catalogueEntry*len(supers))
	le.PutUint64(b[0:], magicCatalogue)
	le.PutUint32(b[8:], pool.Version)
	le.PutUint32(b[12:], uint32(len(supers)))
	copy(b[16:32], ring[:])
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
// read at the start anyway has none. Of pools that are unread it says nothing.
// While another call is at it, this one leaves it at that.
func (r *Ring) WriteCatalogue() error {
	if r.Pools() <= eagerPools || !r.catalogue.CompareAndSwap(false, true) {
		return nil
	}
	defer r.catalogue.Store(false)
	r.mu.Lock()
	b := encodeCatalogue(r.UUID, r.supers)
	r.mu.Unlock()
	if err := r.dir.Replace(catalogueName, b); err != nil {
		return fmt.Errorf("write the catalogue: %w", err)
	}
	return nil
}

// readCatalogue returns what the catalogue says; nil when it is of no use.
func (r *Ring) readCatalogue() ([]pool.Super, error) {
	b, err := r.dir.ReadFile(catalogueName)
	switch {
	case errors.Is(err, fs.ErrNotExist) || pool.BadSpot(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	hints, err := decodeCatalogue(b, Spec{UUID: r.UUID, Pools: r.Pools(), Size: r.Size})
	if err != nil {
		return nil, nil
	}
	return hints, nil
}

// findNewest reads the superblocks of the newest pool and of a few others: those
// that follow what the catalogue knows, or those that halving the ring leads to.
// found is false where all must be read.
func (r *Ring) findNewest() (found bool, err error) {
	hints, err := r.readCatalogue()
	if err != nil {
		return false, err
	}
	s := newSearch(r.Pools(), func(n int) (sight, error) {
		if err := r.look(n); err != nil {
			return sight{}, err
		}
		super := r.Super(n)
		return sight{super.Generation, super.State, r.Fault(n) != nil}, nil
	})
	for _, h := range hints {
		r.hinted = max(r.hinted, h.Generation)
	}
	if hints != nil {
		found, err = s.hinted(hints)
	}
	if err == nil && !found {
		found, err = s.run(0)
		r.halved = found
	}
	if errors.Is(err, errUnsure) {
		return false, nil
	}
	return found, err
}

// Halved reports whether the newest pool was found by halves: surely, unless
// pools were passed over in great numbers and came back.
func (r *Ring) Halved() bool { return r.halved }

// Highest is a generation that is not lower than any that a pool of the ring has.
// Pools that are passed over may hold generations that nobody knows of; should
// their files come back, none must be there twice.
func (r *Ring) Highest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	highest := r.hinted
	for _, s := range r.supers {
		highest = max(highest, s.Generation)
	}
	for _, f := range r.faults {
		if f != nil {
			highest++
		}
	}
	if r.halved {
		highest += 2 * uint64(len(r.supers))
	}
	return highest
}
