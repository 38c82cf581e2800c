package memdisk

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// sectorBytes is what a disk writes whole or not at all.
const sectorBytes = 512

// Model says what a power cut does to what was not synced.
type Model int

// The models, from the kindest to the most suspicious.
const (
	Kept    Model = iota // all of it arrived
	Lost                 // none of it did
	Ordered              // it arrived in order up to some byte
	Prefix               // any subset, in any order, each write up to some sector
	Torn                 // any subset, in any order, any sectors of each write
	Models               // how many there are
)

var modelNames = [Models]string{"kept", "lost", "ordered", "prefix", "torn"}

func (m Model) String() string { return modelNames[m] }

// ParseModel is the inverse of String.
func ParseModel(name string) (Model, error) {
	for m, n := range modelNames {
		if n == name {
			return Model(m), nil
		}
	}
	return 0, fmt.Errorf("no model of a power cut is called %q", name)
}

// Crash returns what a power cut at this moment may leave: a disk of its own,
// on which everything is durable, nothing locked and no hook set. The same
// moment has many such disks; rng chooses one. d itself goes on as if nothing
// had happened.
func (d *Dir) Crash(rng *rand.Rand, model Model) *Dir {
	return d.copy(func(n *inode) *inode {
		left := leftOf(n, model, rng)
		return &inode{view: left.clone(), durable: left}
	}, func(moves []move) (kept, pending []move) { return keepMoves(moves, model, rng), nil }, rng.Uint64())
}

// Killed returns what the next process finds when this one ended without a
// power cut: all that was written, what was not synced still not durable.
func (d *Dir) Killed() *Dir {
	return d.copy(func(n *inode) *inode {
		return &inode{view: n.view.clone(), durable: n.durable.clone(), pending: append([]change(nil), n.pending...), lost: n.lost}
	}, func(moves []move) (kept, pending []move) { return nil, moves }, 1)
}

func (d *Dir) copy(file func(*inode) *inode, dir func([]move) (kept, pending []move), seed uint64) *Dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := New(d.path)
	out.capacity = d.capacity
	out.Seed(seed)
	kept, pending := dir(d.moves)
	out.durable = maps.Clone(d.durable)
	for _, m := range kept {
		m.apply(out.durable)
	}
	out.names = maps.Clone(out.durable)
	for _, m := range pending {
		m.apply(out.names)
	}
	copies := map[*inode]*inode{}
	copyOf := func(n *inode) *inode {
		if copies[n] == nil {
			copies[n] = file(n)
		}
		return copies[n]
	}
	for _, name := range slices.Sorted(maps.Keys(out.durable)) { // in order: the choices are rng's alone
		out.durable[name] = copyOf(out.durable[name])
	}
	for _, name := range slices.Sorted(maps.Keys(out.names)) {
		out.names[name] = copyOf(out.names[name])
	}
	for _, m := range pending {
		out.moves = append(out.moves, move{m.from, m.to, copyOf(m.node)})
	}
	return out
}

// keepMoves chooses which changes of names arrived. Journals keep their order;
// the suspicious models do not count on it.
func keepMoves(moves []move, model Model, rng *rand.Rand) (kept []move) {
	switch model {
	case Kept:
		return moves
	case Lost:
		return nil
	case Ordered:
		return moves[:rng.IntN(len(moves)+1)]
	}
	for _, m := range moves {
		if rng.IntN(2) == 0 {
			kept = append(kept, m)
		}
	}
	return kept
}

// leftOf is what is left of a file.
func leftOf(n *inode, model Model, rng *rand.Rand) image {
	left := n.durable.clone()
	if model == Lost || len(n.pending) == 0 {
		return left
	}
	if model == Kept {
		for _, c := range n.pending {
			left.apply(c)
		}
		return left
	}
	if model == Ordered {
		last := rng.IntN(len(n.pending) + 1)
		for _, c := range n.pending[:last] {
			left.apply(c)
		}
		if last < len(n.pending) && n.pending[last].data != nil {
			left.writePrefix(n.pending[last], rng)
		}
		return left
	}
	// A file system may also have got by without one of them, but it never
	// writes to space of a file that it did not give it: lengths come first.
	for _, c := range n.pending {
		if c.data == nil && rng.IntN(2) == 0 {
			left.apply(c)
		}
	}
	chance := []float64{0, 0.1, 0.5, 0.9, 1}
	often := chance[1+rng.IntN(3)]
	for _, i := range rng.Perm(len(n.pending)) {
		c := n.pending[i]
		if c.data == nil || rng.Float64() >= often {
			continue
		}
		if model == Prefix {
			left.writePrefix(c, rng)
			continue
		}
		sector := chance[rng.IntN(len(chance))]
		for at := 0; at < len(c.data); at += sectorBytes {
			if sector == 1 || rng.Float64() < sector {
				left.write(c.data[at:min(at+sectorBytes, len(c.data))], c.off+int64(at))
			}
		}
	}
	return left
}

func (m *image) writePrefix(c change, rng *rand.Rand) {
	sectors := (len(c.data) + sectorBytes - 1) / sectorBytes
	m.write(c.data[:min(len(c.data), rng.IntN(sectors+1)*sectorBytes)], c.off)
}
