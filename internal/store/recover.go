package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

// maxHole is how much that makes no sense may lie between two groups of a pool
// that is being written: a commit that was cut, and the skips behind it.
const maxHole = batchBytes + pool.MaxGroup + 4*skipBytes

// unreadableJump is added to the group sequence when groups of the newest pool
// cannot be read: more starts than there will be may have added their openJump.
const unreadableJump = 1 << 40

// recover brings the writer to where the last one committed: it reads the
// newest pool, keeps the groups that count, and goes on behind them under a new
// open_id, which is durable before any group that carries it. read finds the groups
// at the end of the newest pool: recoverHead, or headGroups.
func (w *writer) recover(read func(n int) ([]pool.Group, tail, error)) error {
	w.highest = w.v.ring.Highest()
	w.v.first.Store(w.highest + 1)
	newest, ok := w.v.ring.Newest()
	if !ok {
		w.open, w.seq, w.durable = 1, openJump, openJump
		return nil
	}
	for _, s := range w.v.ring.Used() {
		w.open = max(w.open, s.OpenID)
		w.seq = max(w.seq, s.FirstSeq)
	}
	w.head = int(newest.Pool)
	groups, tail, err := read(w.head)
	untouchable := w.v.ring.Fault(w.head) != nil
	if spots := (*pool.UnreadableError)(nil); errors.As(err, &spots) {
		w.v.o.Log.Error("the newest pool cannot be read everywhere; the next one will be taken", "error", err)
		tail.seq = max(tail.seq, w.seq) + unreadableJump
		untouchable = true
	} else if err != nil {
		return err
	}
	w.open, w.seq = max(w.open, tail.open), max(w.seq, tail.seq)
	if w.v.ring.Halved() {
		w.seq += unreadableJump // should there be a newer pool all the same
	}
	w.described = map[description]bool{}
	if w.pool, err = w.indexHead(groups); err != nil {
		return err
	}
	if w.pool.Unknown() > 0 && w.v.early == nil { // they lie at the beginning, which is read later
		// Descriptions are damaged here; the pool before has them too.
		if err := w.v.indexBefore(w.head); err != nil {
			w.v.o.Log.Error("an older pool cannot be read", "error", err)
		}
		if w.pool, err = w.indexHead(groups); err != nil {
			return err
		}
	}
	w.off = (tail.end + skipBytes - 1) / skipBytes * skipBytes
	for _, g := range groups {
		g.Entries(func(e *pool.Entry) bool {
			if e.Kind == pool.KindStream || e.Kind == pool.KindTrack {
				w.described[describedKey(e)] = true
			}
			w.follow(e)
			return true
		})
		w.dirBytes += int64(pool.HeaderSize + len(g.Dir))
	}
	w.open++
	w.seq += openJump
	w.durable = w.seq // nothing that this writer writes is below it
	if err := w.syncFound(); err != nil {
		w.v.o.Log.Error("the newest pool cannot be synced; the next one will be taken", "pool", w.head, "error", err)
		untouchable = true
	}
	w.v.publish(w.pool.Pool())
	w.v.counters.position.Store(w.off)
	if untouchable || newest.State != pool.Active || w.off+pool.BlockSize > w.v.ring.Size {
		w.full = true
		return nil
	}
	if err := w.v.ring.Resume(w.head, w.open, w.block); err != nil {
		w.v.o.Log.Error("the newest pool cannot be gone on with; the next one will be taken", "pool", w.head, "error", err)
		w.full, w.failed = true, 1
	}
	return nil
}

// syncFound makes what was found durable before readers see it: the last process
// may have been killed before its sync.
func (w *writer) syncFound() error {
	f, err := w.v.ring.File(w.head)
	if err != nil {
		return err
	}
	return f.Sync()
}

func (w *writer) indexHead(groups []pool.Group) (*index.Builder, error) {
	b := index.NewBuilder(w.v.ring.Identity(w.head), w.v.o.SegmentDuration, true)
	for _, g := range groups {
		if err := b.Add(g, &w.v.names); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// tail is the last group of a pool that has a header. A torn group may have one,
// and with it a length: whoever walks here hops over all of that, so nothing may
// ever be written into it, and what is written behind it needs a higher seq.
type tail struct {
	end  int64
	seq  uint64
	open uint32
}

// headGroups walks a pool that may have been written until a crash, and returns
// the groups that count, and what the last one of all is.
//
// A later group of the same open_id proves with its durable_seq that a group
// had reached the disk. The payloads of those without such a proof, the last
// commit of each writer, are read and checked: one that is torn was never
// acknowledged and does not count. With a proof, bytes that are wrong are
// damage, which is found, and costs a record, when they are read. The start that
// sealed a pool, which the superblock names, knew all that it had written there to be
// durable; it may have written nothing there.
//
// Where the error is a *pool.UnreadableError, the groups are those that could be
// read.
func (v *Volume) headGroups(n int) (count []pool.Group, last tail, err error) {
	f, err := v.ring.File(n)
	if err != nil {
		return nil, last, err
	}
	groups, unreadable := v.walk(n, f, pool.FirstGroup, v.ring.Size)
	if unreadable != nil && groups == nil {
		return nil, last, unreadable
	}
	if count, err = v.counting(n, groups); err != nil {
		return nil, last, err
	}
	return count, tailOf(groups), unreadable
}

// walk finds the groups of pool n, which r reads, between two offsets. Groups
// come with an *pool.UnreadableError when these are not all.
func (v *Volume) walk(n int, r io.ReaderAt, from, to int64) ([]pool.Group, error) {
	groups := []pool.Group{}
	hole := v.ring.Size // nothing will be written behind the last group: look for it to the end
	if newest, ok := v.ring.Newest(); !v.loose && ok && int(newest.Pool) == n {
		hole = maxHole
	}
	err := pool.Scan(r, v.ring.Identity(n), from, to, hole, func(g pool.Group) bool {
		groups = append(groups, g)
		return true
	})
	if spots := (*pool.UnreadableError)(nil); errors.As(err, &spots) {
		return groups, err
	}
	if err != nil {
		return nil, fmt.Errorf("pool %03d: %w", n, err)
	}
	return groups, nil
}

func tailOf(groups []pool.Group) tail {
	if len(groups) == 0 {
		return tail{end: pool.FirstGroup}
	}
	g := &groups[len(groups)-1]
	return tail{g.Offset + int64(g.TotalLen), g.Seq, g.OpenID}
}

// counting keeps of the groups that were found those that count. What a group
// needs to be proven stands behind it, so groups may begin anywhere in the pool
// and must reach to its last.
func (v *Volume) counting(n int, groups []pool.Group) ([]pool.Group, error) {
	f, err := v.ring.File(n)
	if err != nil {
		return nil, err
	}
	proof := map[uint32]uint64{}
	for i := range groups {
		proof[groups[i].OpenID] = max(proof[groups[i].OpenID], groups[i].DurableSeq)
	}
	if s := v.ring.Super(n); s.State == pool.Sealed {
		proof[s.OpenID] = math.MaxUint64
	}
	failed := failedGroups(groups, v.ring.Voided(n))
	var buf []byte
	var kept []pool.Group
	for i, g := range groups {
		if failed[i] {
			continue
		}
		if g.Seq > proof[g.OpenID] {
			if buf == nil {
				buf = make([]byte, pool.MaxGroup)
			}
			whole, err := pool.VerifyGroup(f, &g, buf)
			if err != nil || !whole {
				v.o.Log.Debug("a torn group does not count", "pool", n, "offset", g.Offset, "seq", g.Seq, "error", err)
				continue
			}
		}
		kept = append(kept, g)
	}
	return kept, nil
}

// failedGroups says which groups belong to a commit that failed and was written
// again by the same writer: later ones under a higher open_id knew of no higher
// durable group than one before them, and in the pool after this one (voided)
// nobody did. What was written again is all there, so half of what failed must
// not stand in its way. A crash does not make such a statement: the next writer
// begins with a durable_seq above all that it found.
func failedGroups(groups []pool.Group, voided uint64) []bool {
	failed := make([]bool, len(groups))
	bound := voided // the lowest durable_seq of higher open_ids
	low := voided   // of this open_id and those
	for i, g := range slices.Backward(groups) {
		if i+1 < len(groups) && g.OpenID < groups[i+1].OpenID {
			bound = low
		}
		failed[i] = g.Seq > bound
		if g.DurableSeq > 0 {
			low = min(low, g.DurableSeq)
		}
	}
	return failed
}

// readDirectory returns the groups of a pool: from its footer, or, where there
// is none that is good, by walking it. A footer counts when the superblock says
// "sealed", which is written after the sync: another one may list groups that
// did not reach the disk.
func (v *Volume) readDirectory(n int) ([]pool.Group, error) { return v.readDirectoryInto(n, nil) }

// readDirectoryInto is the same. scratch (may be nil) is memory that the groups
// may lie in until the next call, and grows with need.
func (v *Volume) readDirectoryInto(n int, scratch *[]byte) ([]pool.Group, error) {
	f, err := v.ring.File(n)
	if err != nil {
		return nil, err
	}
	id := v.ring.Identity(n)
	if v.ring.Super(n).State == pool.Sealed {
		groups, err := readFooterInto(f, id, v.ring.Size, scratch)
		if err == nil || !isDamage(err) {
			return groups, err
		}
	}
	groups, last, err := v.headGroups(n)
	if spots := (*pool.UnreadableError)(nil); errors.As(err, &spots) {
		v.o.Log.Warn("a pool cannot be read everywhere; what can be read is served", "error", err)
	} else if err != nil {
		return nil, err
	}
	if v.ring.Super(n).State == pool.Sealed {
		groups = append(groups, salvage(f, id, v.ring.Size, last.end, groups)...)
		slices.SortFunc(groups, func(a, b pool.Group) int { return cmp.Compare(a.Offset, b.Offset) })
	}
	return groups, nil
}

// isDamage tells an error of a place in a pool file from one that concerns more
// than it.
func isDamage(err error) bool {
	var corrupt *pool.CorruptError
	return errors.Is(err, pool.ErrEmpty) || errors.As(err, &corrupt) || errors.Is(err, io.EOF) || pool.BadSpot(err)
}

// salvage finds the groups that walking did not find and of which a damaged
// footer, somewhere behind the last group, still has a good copy.
func salvage(f io.ReaderAt, id pool.Identity, size, end int64, walked []pool.Group) []pool.Group {
	from := max(end, size-pool.TrailerSize-maxFooter)
	if from >= size-pool.TrailerSize {
		return nil
	}
	b := make([]byte, size-pool.TrailerSize-from)
	if n, err := f.ReadAt(b, from); err != nil {
		b = b[:n]
	}
	return slices.DeleteFunc(pool.Salvage(b, id, from), func(g pool.Group) bool {
		return slices.ContainsFunc(walked, func(w pool.Group) bool { return w.Offset == g.Offset })
	})
}

func readFooter(f io.ReaderAt, id pool.Identity, size int64) ([]pool.Group, error) {
	return readFooterInto(f, id, size, nil)
}

func readFooterInto(f io.ReaderAt, id pool.Identity, size int64, scratch *[]byte) ([]pool.Group, error) {
	block := make([]byte, pool.TrailerSize)
	if _, err := f.ReadAt(block, size-pool.TrailerSize); err != nil {
		return nil, err
	}
	t, err := pool.DecodeTrailer(block, id, size)
	if err != nil {
		return nil, err
	}
	var footer []byte
	switch {
	case scratch == nil:
		footer = make([]byte, t.FooterLen)
	case int64(cap(*scratch)) < t.FooterLen:
		*scratch = make([]byte, t.FooterLen*5/4)
		fallthrough
	default:
		footer = (*scratch)[:t.FooterLen]
	}
	if _, err := f.ReadAt(footer, t.FooterOffset); err != nil {
		return nil, err
	}
	return pool.DecodeFooter(footer, &t)
}

// indexAll reads the directories of all pools but the one that is being
// written, newest first, and publishes each as it is read. Where the start left
// pools unread, this is when their superblocks are read.
func (v *Volume) indexAll(ctx context.Context) error {
	newest, _ := v.ring.Newest()
	unread := v.ring.Unread()
	var errs []error
	var scratch []byte // footers, one after the other
	index := func(n int) {
		if v.writer != nil && n == int(newest.Pool) {
			return // the writer's own
		}
		if err := v.indexPool(n, &scratch); err != nil {
			errs = append(errs, err)
		}
	}
	for _, n := range v.newestFirst(newest, unread) {
		if ctx.Err() != nil {
			return errors.Join(errs...)
		}
		index(n)
	}
	if len(unread) > 0 {
		if err := v.allRead(newest.Generation, index); err != nil {
			errs = append(errs, err)
		}
	}
	// What is not described where it lies, other pools may have described.
	for _, p := range v.index.Load() {
		if p.Unknown > 0 && ctx.Err() == nil {
			index(int(p.Pool))
		}
	}
	if ctx.Err() == nil {
		v.indexed.Store(true)
	}
	return errors.Join(errs...)
}

// newestFirst lists the pools to be indexed in the order of their age: that of
// the ring, backwards, where their generations are not known yet.
func (v *Volume) newestFirst(newest pool.Super, unread []int) (order []int) {
	if len(unread) == 0 {
		for _, s := range slices.Backward(v.ring.Used()) {
			order = append(order, int(s.Pool))
		}
		return order
	}
	pools := v.ring.Pools()
	for i := range pools {
		order = append(order, (int(newest.Pool)+pools-i)%pools)
	}
	return order
}

// allRead is what follows when the pools have been read that the start left
// unread. newest is the highest generation that it knew.
func (v *Volume) allRead(newest uint64, index func(n int)) error {
	if v.counters.down.Load() || v.counters.stalled.Load() || v.letGo() {
		if left := len(v.ring.Unread()); left > 0 {
			return fmt.Errorf("%d pools are still unread: %w", left, ring.ErrAway) // until it is back
		}
		return nil
	}
	if err := v.ring.ReadAll(); err != nil {
		return err
	}
	known := map[uint32]bool{}
	for _, p := range v.index.Load() {
		known[p.Pool] = true
	}
	missed := 0
	for _, s := range v.ring.Used() {
		if !known[s.Pool] {
			index(int(s.Pool)) // its file has another's name
		}
		if s.Generation > newest && s.Generation < v.first.Load() {
			missed++
		}
	}
	if missed > 0 {
		v.o.Log.Error("the start took an older pool for the newest: files of pools were away and are back; all footage is there, and what is overwritten next may not be the oldest", "dir", v.dir.Path(), "newer_pools", missed)
	}
	if v.writer == nil {
		return nil
	}
	return v.ring.WriteCatalogue()
}

// indexBefore indexes the pool that was written before pool n, with which the
// start went on.
func (v *Volume) indexBefore(n int) error {
	if len(v.ring.Unread()) > 0 {
		pools := v.ring.Pools()
		for i := range ring.MaxSkipped + 1 {
			if _, err := v.ring.Check((n + pools - 1 - i) % pools); err != nil && !errors.As(err, new(*ring.PoolFault)) {
				return err
			}
		}
	}
	for _, s := range slices.Backward(v.ring.Used()) {
		if s.Generation < v.ring.Super(n).Generation {
			return v.indexPool(int(s.Pool), nil)
		}
	}
	return nil
}

// indexPool reads what a pool holds, and publishes it. What a generation holds
// that began since the start is the writer's to tell. scratch is as in readDirectoryInto.
func (v *Volume) indexPool(n int, scratch *[]byte) error {
	s, err := v.ring.Check(n)
	if fault := (*ring.PoolFault)(nil); errors.As(err, &fault) {
		v.tell(fault)
		if !fault.Readable {
			return nil
		}
	} else if err != nil {
		return err
	}
	if s.Generation == 0 || v.writer != nil && s.Generation >= v.first.Load() {
		return nil
	}
	id := pool.Identity{Ring: v.ring.UUID, Pool: uint32(n), Generation: s.Generation}
	groups, err := v.readDirectoryInto(n, scratch)
	if err != nil {
		return err
	}
	active := v.writer == nil && s.State == pool.Active // its directory is nowhere but in its groups
	b := index.NewBuilder(id, v.o.SegmentDuration, active)
	for _, g := range groups {
		if g.Generation != id.Generation {
			return nil // reused while it was read
		}
		if err := b.Add(g, &v.names); err != nil {
			v.o.Log.Warn("a group's directory makes no sense and is passed over", "pool", n, "offset", g.Offset, "error", err)
		}
	}
	if active {
		v.publish(b.Pool())
	} else {
		v.publish(b.Whole())
	}
	return nil
}
