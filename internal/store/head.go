package store

import (
	"context"
	"fmt"
	"io"

	"nvr/internal/disk"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
)

// tailBytes is how much of the newest pool's end is read before recording begins:
// the last commits of the last writers, of which it must be known whether they
// count. What lies before it is read while recording.
const tailBytes = 16 << 20

// early is the beginning of the pool that a writer goes on with, which was not
// read yet.
type early struct {
	id     pool.Identity
	end    int64        // where it ends
	behind []pool.Group // what was found from there on, torn groups and all
	groups chan []pool.Group
}

// recoverHead finds the groups that count at the end of the newest pool, and the
// last one of all, with a number of reads that does not depend on the pool's size.
// Where the pool has more than that, v.early says so.
func (v *Volume) recoverHead(n int) (count []pool.Group, last tail, err error) {
	f, err := v.ring.File(n)
	if err != nil {
		return nil, last, err
	}
	id := v.ring.Identity(n)
	newest, err := findLast(f, id, v.ring.Size)
	if pool.BadSpot(err) {
		return v.headGroups(n)
	}
	if err != nil {
		return nil, last, fmt.Errorf("pool %03d: %w", n, err)
	}
	from := max(pool.FirstGroup, (newest-tailBytes)&^(pool.BlockSize-1))
	groups, unreadable := v.walk(n, &ahead{r: f, size: v.ring.Size}, from, min(v.ring.Size, newest+pool.MaxGroup))
	if unreadable != nil && groups == nil {
		return nil, last, unreadable
	}
	if count, err = v.counting(n, groups); err != nil {
		return nil, last, err
	}
	if from > pool.FirstGroup {
		end := from
		if len(groups) > 0 {
			end = groups[0].Offset // the one before it reaches over from
		}
		v.early = &early{id: id, end: end, behind: groups, groups: make(chan []pool.Group, 1)}
	}
	return count, tailOf(groups), unreadable
}

// findLast finds a group that no other one of id follows, by halves: in a filled
// pool every MaxGroup bytes hold the beginning of one. A header whose directory does
// not fit it is none, as in a walk: later writers may have written behind it. Where
// something failed there may be a hole of up to maxHole without any, so behind a find
// that much is looked at, and where there is more, the search begins anew behind the
// hole. FirstGroup when there are none.
func findLast(r io.ReaderAt, id pool.Identity, size int64) (int64, error) {
	window, err := disk.Alloc(pool.MaxGroup + maxHole)
	if err != nil {
		return 0, err
	}
	defer disk.Free(window)
	// in returns the last group that begins in the n bytes at from.
	in := func(from, n int64) (last int64, ok bool, err error) {
		b := window[:min(n, size-from)&^(disk.BlockSize-1)]
		if _, err := r.ReadAt(b, from); err != nil {
			return 0, false, err
		}
		for at := 0; at < len(b); at += disk.BlockSize {
			h, err := pool.DecodeHeader(b[at:], id, from+int64(at))
			if err != nil {
				continue
			}
			dir := b[at+pool.HeaderSize:]
			if len(dir) < int(h.DirLen) {
				dir = make([]byte, h.DirLen)
				if _, err := r.ReadAt(dir, from+int64(at)+pool.HeaderSize); err != nil {
					return 0, false, err
				}
			}
			if h.Fits(dir[:h.DirLen]) {
				last, ok = from+int64(at), true
				at += max(0, min(int(h.TotalLen), len(b)-at)-disk.BlockSize) // nothing begins inside
			}
		}
		return last, ok, nil
	}
	found, below, limit := int64(pool.FirstGroup), int64(pool.FirstGroup), size
	for {
		for limit-below > pool.MaxGroup {
			mid := (below + (limit-below)/2) &^ (disk.BlockSize - 1)
			last, ok, err := in(mid, pool.MaxGroup)
			if err != nil {
				return 0, err
			}
			if ok {
				found, below = last, last
			} else {
				limit = mid
			}
		}
		last, ok, err := in(below, pool.MaxGroup+maxHole)
		if err != nil {
			return 0, err
		}
		if !ok || last <= found {
			return found, nil
		}
		if found = last; last < below+pool.MaxGroup {
			return found, nil
		}
		below, limit = last, size // behind a hole
	}
}

// readEarly reads what recoverHead left and hands it to the writer.
func (v *Volume) readEarly(ctx context.Context) error {
	e := v.early
	if e == nil {
		return nil
	}
	n := int(e.id.Pool)
	f, err := v.ring.File(n)
	if err != nil {
		return err
	}
	groups, unreadable := v.walk(n, f, pool.FirstGroup, e.end)
	if unreadable != nil && groups == nil {
		return unreadable
	}
	found := len(groups)
	count, err := v.counting(n, append(groups, e.behind...))
	if err != nil || ctx.Err() != nil {
		return err
	}
	before := 0
	for before < len(count) && found > 0 && count[before].Offset <= groups[found-1].Offset {
		before++
	}
	e.groups <- count[:before]
	return unreadable
}

// ahead reads in pieces as large as a group, for a walk whose every step would
// else be a read of its own.
type ahead struct {
	r    io.ReaderAt
	size int64
	buf  []byte
	at   int64 // of buf
}

func (a *ahead) ReadAt(p []byte, off int64) (int, error) {
	if off < a.at || off+int64(len(p)) > a.at+int64(len(a.buf)) {
		n := min(max(pool.MaxGroup, int64(len(p))), a.size-off)
		if n < int64(len(p)) {
			return a.r.ReadAt(p, off)
		}
		if int64(cap(a.buf)) < n {
			a.buf = make([]byte, n)
		}
		a.buf, a.at = a.buf[:n], off
		if got, err := a.r.ReadAt(a.buf, off); got < len(a.buf) {
			a.buf = a.buf[:0]
			if pool.BadSpot(err) { // where, the walk finds out
				return a.r.ReadAt(p, off)
			}
			return 0, err
		}
	}
	return copy(p, a.buf[off-a.at:]), nil
}

// takeEarly puts the pool's beginning before what is known of it, once it has
// been read; until then the pool gets no footer.
func (w *writer) takeEarly() {
	e := w.v.early
	if e == nil || w.earlyTaken || w.head != int(e.id.Pool) || w.v.ring.Identity(w.head) != e.id {
		return
	}
	select {
	case groups := <-e.groups:
		w.earlyTaken = true
		b := index.NewBuilder(e.id, w.v.o.SegmentDuration, true)
		for _, g := range append(groups, w.pool.Directory()...) {
			if err := b.Add(g, &w.v.names); err != nil {
				w.v.o.Log.Warn("a group's directory makes no sense and is passed over", "pool", w.head, "offset", g.Offset, "error", err)
			}
		}
		w.pool = b
		w.dirBytes += index.DirectoryBytes(groups)
		clear(w.gaps)
		for _, g := range append(b.Pool().Directory, w.pending...) {
			g.Entries(func(e *pool.Entry) bool {
				w.follow(e)
				return true
			})
		}
		w.v.publish(b.Pool())
	default:
	}
}

// whole reports whether the writer knows all groups of the head.
func (w *writer) whole() bool {
	e := w.v.early
	return e == nil || w.earlyTaken || w.v.ring.Identity(w.head) != e.id
}
