package ring

import (
	"cmp"
	"errors"
	"slices"

	"nvr/internal/store/pool"
)

// MaxSkipped is how many pools in a row a writer may have failed to activate
// before it took the next one (store.writer.commit gives the disk up then). Behind
// more, nobody looks for the newest without a catalogue that tells of it.
const MaxSkipped = 3

const (
	// hintedSteps is how far the ring is followed from what the catalogue knew
	// before the newest pool is looked for by halves.
	hintedSteps = 8

	// maxLooks bounds a search: with more, something is wrong with many pools, and
	// all are read. A sound ring of MaxPools takes 1 + 16 + MaxSkipped + 1.
	maxLooks = 96
)

// sight is what one look at a pool tells.
type sight struct {
	generation uint64
	state      pool.State
	fault      bool // it is passed over: it may have been when its turn came, too
}

// tells reports whether the pool, had its turn come, would have been taken: that
// it holds an older generation then means that the writer did not get here yet.
func (s sight) tells() bool { return !s.fault && s.state != pool.Bad }

// search finds the newest pool of a ring without looking at all of them. That a
// pool holds a higher generation is always true: the writer was here later.
// That it holds a lower one may mean that the writer passed it over. So a pool
// found by halves counts when those behind it are older, as many as a writer may
// have passed over, and when it was not left: the pool that is being written is
// active, all before it are sealed or bad, but for those that failed.
type search struct {
	pools  int
	look   func(n int) (sight, error)
	seen   map[int]sight
	newest int    // pool with the highest generation seen; -1: none holds one
	known  uint64 // the highest generation there was: the newest's, or one that the catalogue knew
}

func newSearch(pools int, look func(n int) (sight, error)) *search {
	return &search{pools: pools, look: look, seen: map[int]sight{}, newest: -1}
}

// errUnsure says that only reading all pools tells.
var errUnsure = errors.New("the newest pool cannot be told without reading all")

func (s *search) at(n int) (sight, error) {
	n %= s.pools
	if got, ok := s.seen[n]; ok {
		return got, nil
	}
	if len(s.seen) == maxLooks {
		return sight{}, errUnsure
	}
	got, err := s.look(n)
	if err != nil {
		return got, err
	}
	s.seen[n] = got
	if got.generation > s.known || s.newest < 0 && got.generation == s.known && got.generation > 0 {
		s.known, s.newest = got.generation, n
	}
	return got, nil
}

// hinted finds the newest pool from what the catalogue knew of the generations.
// sure is false where it is too old to be of use.
func (s *search) hinted(hints []pool.Super) (sure bool, err error) {
	order := make([]int, len(hints))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(hints[b].Generation, hints[a].Generation) })
	head := order[0]
	if hints[head].Generation == 0 {
		return false, nil
	}
	s.known = hints[head].Generation
	got, err := s.at(head)
	if err != nil {
		return false, err
	}
	if !got.fault && got.generation != hints[head].Generation {
		return false, nil
	}
	// It may have been the newest and cannot be read: then the next older one that can.
	for _, n := range order[1 : MaxSkipped+1] {
		if s.newest >= 0 || hints[n].Generation == 0 {
			break
		}
		if got, err = s.at(n); err != nil {
			return false, err
		}
		if got.generation > 0 {
			s.newest = n
		}
	}
	ended, err := s.follow(head, hintedSteps)
	return ended && s.newest >= 0, err
}

// follow walks on from pool n, than which none newer is known, until the pools
// that it meets are older, more of them than a writer may have passed over. It
// gives up when it met more newer ones than steps.
func (s *search) follow(n, steps int) (ended bool, err error) {
	for i, older := 1, 0; i < s.pools && older <= MaxSkipped; i++ {
		before := s.known
		got, seen := s.seen[(n+i)%s.pools]
		if !seen {
			if got, err = s.at(n + i); err != nil {
				return false, err
			}
		}
		switch {
		case got.generation > before:
			if older, steps = 0, steps-1; steps < 0 {
				return false, nil
			}
		case got.fault:
			older = 0 // it may have been the newest
		case got.tells():
			older++
		}
	}
	return true, nil
}

// run finds the newest pool by halves. sure is false where all pools must be read.
func (s *search) run(anchor int) (sure bool, err error) {
	for {
		first, err := s.teller(anchor, 0, s.pools)
		if err != nil || first < 0 {
			return false, err
		}
		if err := s.halve(anchor + first); err != nil {
			return false, err
		}
		top := s.newest
		ended, err := s.follow(max(top, 0), hintedSteps)
		if err != nil {
			return false, err
		}
		if s.newest < 0 {
			return false, nil // never written, it seems; after that there is nothing to go by
		}
		if ended && s.newest == top {
			sound, free := s.behind(top)
			if free {
				// Where a ring has grown, this may be no end, but a hole that the writer
				// comes to in its next round: it may have gone on from the first pool.
				if _, err := s.follow(s.pools-1, 0); err != nil {
					return false, err
				}
			}
			if s.newest == top {
				got := s.seen[top]
				return sound && got.tells() && got.state == pool.Active, nil
			}
		}
		anchor = s.newest
	}
}

// behind tells of the pools that follow met behind n: none is passed over (it
// might have been the newest), and some were never used.
func (s *search) behind(n int) (sound, free bool) {
	sound = true
	for i, older := 1, 0; i < s.pools && older <= MaxSkipped; i++ {
		got := s.seen[(n+i)%s.pools]
		sound, free = sound && !got.fault, free || got.generation == 0
		if got.tells() {
			older++
		}
	}
	return sound, free
}

// halve looks at pools from the one at anchor on, which tells, once round the ring:
// the writer has been at those that are newer.
func (s *search) halve(anchor int) error {
	low, lowest := 0, s.seen[anchor%s.pools].generation
	for high := s.pools; high-low > 1; {
		m, err := s.teller(anchor, low+1, high)
		if err != nil {
			return err
		}
		if m < 0 {
			return nil // those between are all passed over
		}
		if got := s.seen[(anchor+m)%s.pools]; got.generation > lowest {
			low, lowest = m, got.generation
		} else {
			high = m
		}
	}
	return nil
}

// teller finds, next to the middle of [low, high) behind anchor, or next to low
// where that is 0, a pool that tells: -1 when there is none. All that are met on
// the way are looked at.
func (s *search) teller(anchor, low, high int) (int, error) {
	middle := low
	if low > 0 {
		middle = low + (high-low)/2
	}
	for i := range high - low {
		for _, m := range []int{middle + i, middle - i} {
			if m < low || m >= high {
				continue
			}
			got, err := s.at(anchor + m)
			if err != nil {
				return -1, err
			}
			if got.tells() {
				return m, nil
			}
		}
	}
	return -1, nil
}
