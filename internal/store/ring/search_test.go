package ring

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"nvr/internal/store/pool"
)

var histories = flag.Int("histories", 4000, "how many rings TestSearch simulates")

// life is a ring's history as its superblocks tell it: what writers do to them,
// by the rules of package store, and what befalls the files.
type life struct {
	rng        *rand.Rand
	pools      []sight // what is on the disk; fault: the file is away, or cannot be read
	away       []bool  // and was so while the writer looked
	head       int     // -1: none yet
	generation uint64
	catalogue  []pool.Super // as it was when a pool was last sealed
	old        []pool.Super // as it was long ago
	busy       bool         // no catalogue is kept of what comes
	story      []string
}

func newLife(seed uint64) *life {
	l := &life{rng: rand.New(rand.NewPCG(seed, 1)), head: -1}
	l.pools = make([]sight, eagerPools+1+l.rng.IntN(400))
	l.away = make([]bool, len(l.pools))
	for n := range l.pools {
		l.pools[n].state = pool.Free
	}
	return l
}

func (l *life) tell(format string, args ...any) {
	l.story = append(l.story, fmt.Sprintf(format, args...))
}

// next activates the next pool; skip of them cannot be, and landed says whether
// their superblocks were written all the same.
func (l *life) next(skip int, leave pool.State, landed bool) {
	if l.head >= 0 {
		l.pools[l.head].state = leave
		if leave == pool.Sealed && !l.busy {
			l.seal()
		}
	}
	n := l.head
	for range 2 * len(l.pools) {
		n = (n + 1) % len(l.pools)
		if l.away[n] || l.pools[n].state == pool.Bad {
			continue
		}
		l.generation++
		if skip > 0 {
			if skip--; landed {
				l.pools[n].generation, l.pools[n].state = l.generation, pool.Active
			}
			continue
		}
		l.pools[n].generation, l.pools[n].state, l.head = l.generation, pool.Active, n
		return
	}
}

// write fills n pools, one after the other.
func (l *life) write(n int) {
	for i := range n {
		l.busy = i < n-1
		l.next(0, pool.Sealed, false)
	}
	l.busy = false
}

func (l *life) seal() {
	l.catalogue = make([]pool.Super, len(l.pools))
	for n, p := range l.pools {
		l.catalogue[n] = pool.Super{Generation: p.generation, State: p.state}
	}
}

// live lets a time pass.
func (l *life) live() {
	n := len(l.pools)
	for range 1 + l.rng.IntN(4) {
		switch l.rng.IntN(8) {
		case 0, 1, 2:
			steps := l.rng.IntN(2 * n)
			l.tell("%d pools are written", steps)
			l.write(steps)
		case 3:
			leave, skip, landed := []pool.State{pool.Active, pool.Bad, pool.Sealed}[l.rng.IntN(3)], l.rng.IntN(MaxSkipped+1), l.rng.IntN(2) == 0
			l.tell("pool %d is left %v, %d are skipped (written: %t)", l.head, leave, skip, landed)
			l.next(skip, leave, landed)
		case 4:
			more := 1 + l.rng.IntN(100)
			l.tell("grown by %d, head %d", more, l.head)
			for range more {
				l.pools, l.away = append(l.pools, sight{state: pool.Free}), append(l.away, false)
			}
			l.catalogue, l.old = nil, nil // of another shape
		case 5: // files are away for a time: each is passed over
			var away []int
			for range 1 + l.rng.IntN(4) {
				at := l.rng.IntN(n)
				for i := range 1 + l.rng.IntN(MaxSkipped) {
					away = append(away, (at+i)%n)
				}
			}
			steps := l.rng.IntN(n)
			l.tell("%v are away, %d pools are written", away, steps)
			for _, n := range away {
				l.away[n] = n != l.head
			}
			l.trim()
			l.write(steps)
			clear(l.away)
		case 6: // pools go bad for good
			for range l.rng.IntN(6) {
				if n := l.rng.IntN(n); n != l.head {
					l.pools[n].state = pool.Bad
				}
			}
		case 7:
			l.old = l.catalogue
		}
	}
}

// trim brings those back that would make a run of more than a search looks behind.
func (l *life) trim() {
	run := 0
	for n := range l.away {
		if run++; !l.away[n] {
			run = 0
		}
		if run > MaxSkipped || run > 0 && n+MaxSkipped >= len(l.away) {
			l.away[n], run = false, 0
		}
	}
}

// hole takes many files away, so that the writer goes on far behind them. Those
// who seal what it left have been there since.
func (l *life) hole() {
	n := len(l.pools)
	size := MaxSkipped + 1 + l.rng.IntN(n/2)
	l.tell("%d files behind %d are away", size, l.head)
	for i := range size {
		l.away[(l.head+1+i+n)%n] = true
	}
	l.write(1 + l.rng.IntN(n/4))
	clear(l.away)
}

// damage is what a start finds besides.
func (l *life) damage() {
	if l.head >= 0 && l.rng.IntN(6) == 0 {
		l.pools[l.head].state = pool.Sealed
		l.tell("cut between seal and activation")
	}
	for range l.rng.IntN(8) {
		at := l.rng.IntN(len(l.pools))
		if l.rng.IntN(3) == 0 {
			at = (max(l.head, 0) + l.rng.IntN(7) - 3 + len(l.pools)) % len(l.pools)
		}
		l.pools[at].fault = true
		if l.rng.IntN(2) == 0 {
			l.pools[at].generation = 0 // nothing of it can be read
		}
		l.tell("pool %d cannot be used", at)
	}
}

// newest is what reading all finds.
func (l *life) newest() (n int, generation uint64) {
	n = -1
	for i, p := range l.pools {
		if p.generation > generation {
			n, generation = i, p.generation
		}
	}
	return n, generation
}

func (l *life) search() (*search, func(sure bool, err error) (bool, error)) {
	looked := map[int]bool{}
	s := newSearch(len(l.pools), func(n int) (sight, error) {
		if looked[n] {
			panic("looked twice")
		}
		looked[n] = true
		return l.pools[n], nil
	})
	return s, func(sure bool, err error) (bool, error) {
		if errors.Is(err, errUnsure) {
			return false, nil
		}
		return sure, err
	}
}

// A search finds the pool that reading all finds, or says that it is not sure,
// whatever the ring went through.
func TestSearch(t *testing.T) {
	sure, hinted := 0, 0
	for seed := range uint64(*histories) {
		l := newLife(seed)
		l.live()
		if seed%4 == 3 {
			l.hole()
		}
		if seed%2 == 1 {
			l.damage()
		}
		want, _ := l.newest()
		s, result := l.search()
		ok, err := result(s.run(0))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			sure++
			if s.newest != want {
				t.Errorf("seed %d: %d of %d pools: found %d, it is %d, %v", seed, len(s.seen), len(l.pools), s.newest, want, l.story)
			}
		}
		for _, hints := range [][]pool.Super{l.catalogue, l.old} {
			if hints == nil || len(hints) != len(l.pools) || seed%4 == 3 { // behind a hole, the writer writes a catalogue
				continue
			}
			s, result := l.search()
			if ok, err = result(s.hinted(hints)); err != nil {
				t.Fatal(err)
			}
			if ok {
				hinted++
				if s.newest != want {
					t.Errorf("seed %d: hinted: %d of %d pools: found %d, it is %d, %v", seed, len(s.seen), len(l.pools), s.newest, want, l.story)
				}
			}
		}
	}
	t.Logf("%d histories: %d times sure without a catalogue, %d with one", *histories, sure, hinted)
	if sure < *histories/3 || hinted < *histories/3 {
		t.Errorf("sure only %d and %d times of %d", sure, hinted, *histories)
	}
}

// In a ring where nothing ever failed the search is always sure, wherever the
// head is, and its reads are few.
func TestSearchInASoundRing(t *testing.T) {
	most := 0
	for _, pools := range []int{65, 100, 1024, 10240} {
		for _, passes := range []int{0, 1, 7} {
			heads := []int{0, 1, 2, 3, 4, 63, 64, pools / 2, pools - 3, pools - 2, pools - 1}
			if pools < 1000 {
				for n := range pools {
					heads = append(heads, n)
				}
			}
			for _, head := range heads {
				l := &life{head: head, pools: make([]sight, pools)}
				for n := range l.pools {
					l.pools[n].state = pool.Free
					generation := passes*pools + n + 1
					if n > head {
						generation -= pools
					}
					if generation > 0 {
						l.pools[n] = sight{generation: uint64(generation), state: pool.Sealed}
					}
				}
				l.pools[head].state = pool.Active
				s, _ := l.search()
				if ok, err := s.run(0); err != nil || !ok || s.newest != head {
					t.Errorf("%d pools, head %d, pass %d: found %d, %t, %v", pools, head, passes, s.newest, ok, err)
				}
				most = max(most, len(s.seen))
			}
		}
	}
	if t.Logf("%d looks at most", most); most > 20 {
		t.Errorf("%d looks", most)
	}
}

// Hundreds of pools may have been written since the catalogue: they are not
// followed one by one.
func TestSearchFromAnOldCatalogue(t *testing.T) {
	l := newLife(1)
	l.write(20)
	old := slices.Clone(l.catalogue)
	l.write(40)
	s, _ := l.search()
	ok, err := s.hinted(old)
	if ok || err != nil {
		t.Fatal("a catalogue that is 40 pools old was good enough:", err)
	}
	if ok, err = s.run(0); !ok || err != nil || s.newest != l.head || len(s.seen) > 2*hintedSteps+20 {
		t.Errorf("found %d after %d looks, it is %d: %t, %v", s.newest, len(s.seen), l.head, ok, err)
	}
}
