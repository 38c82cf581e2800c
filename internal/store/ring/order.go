package ring

import (
	"cmp"
	"math"
	"slices"

	"nvr/internal/store/pool"
)

// Used lists the pools that are known to hold a generation, oldest first. The
// newest is always known.
func (r *Ring) Used() []pool.Super {
	r.mu.Lock()
	defer r.mu.Unlock()
	var used []pool.Super
	for _, s := range r.supers {
		if s.Generation > 0 {
			used = append(used, s)
		}
	}
	slices.SortFunc(used, func(a, b pool.Super) int { return cmp.Compare(a.Generation, b.Generation) })
	return used
}

// Newest is the pool that was activated last; ok is false when none ever was.
func (r *Ring) Newest() (newest pool.Super, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest = r.supers[r.newest()]
	return newest, newest.Generation > 0
}

// Voided is the group_seq above which the groups of pool n failed and were
// written again elsewhere; math.MaxUint64 when none did. The newest superblock says
// so; of a pool that it does not name, the one that was activated after it does: it is
// known where those are that lie between n and the newest in the ring.
func (r *Ring) Voided(n int) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.voided(n)
}

func (r *Ring) voided(n int) uint64 {
	if s := r.supers[n]; s.Generation > 0 {
		for _, v := range r.supers[r.newest()].Voids {
			if v.Pool == s.Pool && v.Generation == s.Generation {
				return v.Above
			}
		}
	}
	above, next := uint64(math.MaxUint64), uint64(math.MaxUint64)
	for _, s := range r.supers {
		if s.Generation > r.supers[n].Generation && s.Generation < next && s.DurableSeq > 0 {
			above, next = s.DurableSeq, s.Generation
		}
	}
	return above
}

// newest is the pool with the highest generation.
func (r *Ring) newest() int {
	newest := 0
	for i := range r.supers {
		if r.supers[i].Generation > r.supers[newest].Generation {
			newest = i
		}
	}
	return newest
}

// voids is what the superblock of a pool that is about to be activated has to say
// of the others: who says it now may be reused before they are.
func (r *Ring) voids(activated int, durable uint64) []pool.Void {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []pool.Void
	newest := r.newest()
	for _, v := range r.supers[newest].Voids {
		if r.unread[int(v.Pool)] {
			list = append(list, v) // nothing else is known of it
		}
	}
	for n, s := range r.supers {
		if n == activated || s.Generation == 0 || s.State == pool.Sealed {
			continue
		}
		above := r.voided(n)
		if n == newest {
			above = durable
		}
		if above < math.MaxUint64 {
			list = append(list, pool.Void{Pool: s.Pool, Generation: s.Generation, Above: above})
		}
	}
	if len(list) > pool.MaxVoids { // the oldest go: there is nothing that they could come back into
		slices.SortFunc(list, func(a, b pool.Void) int { return -cmp.Compare(a.Generation, b.Generation) })
		list = list[:pool.MaxVoids]
	}
	return list
}

// Next is the pool behind pool n in the ring that is not passed over for a fault; n
// itself when there is no other.
func (r *Ring) Next(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i <= len(r.supers); i++ {
		if next := (n + i + len(r.supers)) % len(r.supers); r.faults[next] == nil {
			return next
		}
	}
	return max(n, 0)
}
