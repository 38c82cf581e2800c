package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"nvr/internal/disk"
	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/vault"
)

const (
	// keepRate is how fast footage is copied into the vault, at idle priority, as
	// long as there is time.
	keepRate = 16 << 20 // bytes a second

	// urgentPools is when there is none: the writer comes to the pool next, or
	// after one more.
	urgentPools = 2

	// keepEvery is how often it is looked whether a lock's footage is complete or its
	// time is over, and a copy tried again that failed.
	keepEvery = 10 * time.Second

	// settledAfter is how long after the end of a lock's span all of it is on the
	// disk.
	settledAfter = 5 * time.Second

	// tracksApart is how much earlier one track of a stream may be on the disk than
	// another.
	tracksApart = 2 * time.Second

	// vaultReserve is what a copy leaves free on the file system: the ring's small
	// files are written there too, and it is not ours alone.
	vaultReserve = 64 << 20

	// expireGrace is for how long a lock must have been past its time before its
	// footage is given up: a clock that is wrong at the start is put right by then.
	expireGrace = 10 * time.Minute

	// forgetExpired is for how long a lock is listed that has expired.
	forgetExpired = 30 * 24 * time.Hour
)

func (v *Volume) wakeKeeper() {
	select {
	case v.keeper.wake <- struct{}{}:
	default:
	}
}

// keep fills the vault until ctx ends. It is the only goroutine that copies.
func (v *Volume) keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	told := ""
	for {
		err := v.keepOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			v.o.Log.Error("locked footage cannot be copied; it is tried again", "dir", v.dir.Path(), "every", keepEvery, "error", err)
		}
		if err != nil { // not with every pool that begins
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-v.keeper.wake:
		}
	}
}

// keepOnce does what there is to do for the vault. An error leaves it undone.
func (v *Volume) keepOnce(ctx context.Context) error {
	if !v.keeper.loaded.Load() {
		if err := v.loadVault(true); err != nil {
			return err
		}
	}
	err := v.keepAll(ctx)
	trouble := ""
	if err != nil && ctx.Err() == nil {
		trouble = err.Error()
	}
	v.keeper.trouble.Store(&trouble)
	return err
}

func (v *Volume) keepAll(ctx context.Context) error {
	k := v.kept()
	if len(k.register.Locks) == 0 && !v.keeper.stray.Load() || k.err != nil {
		return nil
	}
	if err := v.expire(time.Now().UnixNano()); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if v.indexed.Load() {
			if err := v.planAhead(ctx); err != nil {
				return err
			}
		}
		n, ok := v.nextJob()
		if !ok {
			break
		}
		if err := v.copyLife(ctx, n); err != nil {
			return fmt.Errorf("keep what is locked of pool %03d: %w", n.Pool, err)
		}
	}
	v.keeper.change.Lock()
	defer v.keeper.change.Unlock()
	v.sweep(v.kept())
	return ctx.Err()
}

// update changes the register, durably, and then shows it. With change held.
func (v *Volume) update(change func(*vault.Register)) error {
	k := v.kept()
	if k.err != nil {
		return fmt.Errorf("the register of locks is of no use (docs/locks.md): %w", k.err)
	}
	r := k.register.Clone()
	change(&r)
	if v.keeper.dir == nil {
		d, err := v.dir.Sub(vault.DirName, true)
		if err != nil {
			return err
		}
		v.keeper.dir = d
	}
	if err := v.keeper.dir.Replace(vault.RegisterName, r.Encode()); err != nil {
		return err
	}
	c := *v.kept()
	c.register = r
	// What no lock needs any more is not shown any more, and goes.
	c.files = slices.DeleteFunc(slices.Clone(c.files), func(f *keptFile) bool {
		needed, _ := r.Needs(f.name.Pool, f.name.Generation)
		return !needed
	})
	if len(c.files) < len(k.files) {
		v.keeper.stray.Store(true)
	}
	v.keeper.state.Store(&c)
	return nil
}

// expire gives up what was locked until now.
func (v *Volume) expire(now int64) error {
	if v.keeper.past == nil {
		v.keeper.past = map[string]int64{}
	}
	over, forget := map[string]bool{}, map[string]bool{}
	r := &v.kept().register
	for i := range r.Locks {
		l := &r.Locks[i]
		switch {
		case l.Expired > 0:
			forget[l.ID] = now-int64(l.Expired) > int64(forgetExpired)
		case l.Until == 0 || now < int64(l.Until):
			delete(v.keeper.past, l.ID)
		case v.keeper.past[l.ID] == 0:
			v.keeper.past[l.ID] = now
		default:
			over[l.ID] = now-v.keeper.past[l.ID] >= int64(expireGrace)
		}
	}
	any := func(set map[string]bool) bool {
		for _, is := range set {
			if is {
				return true
			}
		}
		return false
	}
	if !any(over) && !any(forget) {
		return nil
	}
	v.keeper.change.Lock()
	defer v.keeper.change.Unlock()
	return v.update(func(r *vault.Register) {
		for i := range r.Locks {
			if l := &r.Locks[i]; over[l.ID] && l.Expired == 0 {
				l.Expired, l.Complete, l.Parts = vault.Instant(now), true, nil
				v.o.Log.Info("a lock has expired; its footage is given up", "lock", l.ID, "camera", l.Camera, "until", time.Unix(0, int64(l.Until)).UTC())
			}
		}
		for id, is := range forget {
			if is {
				r.Remove(id, vault.Instant(now))
			}
		}
	})
}

// planAhead finds footage of locks that was recorded since it was last looked.
func (v *Volume) planAhead(ctx context.Context) error {
	found := map[string]vault.Lock{}
	r := v.kept().register
	for i := range r.Locks {
		if r.Locks[i].Complete {
			continue
		}
		l := r.Locks[i]
		l.Parts = slices.Clone(l.Parts)
		changed, err := v.plan(ctx, &l)
		if err != nil {
			return err
		}
		if changed {
			found[l.ID] = l
		}
	}
	if len(found) == 0 {
		return nil
	}
	v.keeper.change.Lock()
	defer v.keeper.change.Unlock()
	return v.update(func(r *vault.Register) {
		for i := range r.Locks {
			if l, ok := found[r.Locks[i].ID]; ok && r.Locks[i].Expired == 0 {
				r.Locks[i] = l
			}
		}
	})
}

// plan adds the parts of a lock that it does not have yet. The pool that is being
// written is looked at again as long as more may come for the lock.
func (v *Volume) plan(ctx context.Context, l *vault.Lock) (changed bool, err error) {
	w := v.view(0)
	head := uint64(0)
	if n := len(w.snapshot); n > 0 {
		head = w.snapshot[n-1].Generation
	}
	waiting, _ := v.queue.len()
	past := time.Now().UnixNano() - int64(l.To)
	over := past > int64(settledAfter) && waiting == 0 && !v.counters.down.Load() || past > 0 && (v.writer == nil || v.passed(l))
	w.snapshot = slices.DeleteFunc(slices.Clone(w.snapshot), func(p *index.Pool) bool { return p.Generation < l.Next })
	parts, err := v.partsOf(ctx, w, l)
	if err != nil {
		return false, err
	}
	if missed, ok := missedPart(w.snapshot, l, parts); ok {
		parts = append(parts, missed)
	}
	for _, p := range parts {
		i := slices.IndexFunc(l.Parts, func(o vault.Part) bool { return o.Of(p.Pool, p.Generation) })
		switch {
		case i < 0:
			l.Parts, changed = append(l.Parts, p), true
		case p.Done: // what another lock has of it; whether that is all, copying finds out
		case p.From != l.Parts[i].From || p.To != l.Parts[i].To || p.Bytes != l.Parts[i].Bytes:
			l.Parts[i], changed = p, true
		}
	}
	next := head
	if len(l.Parts) == 0 && head > 0 {
		next-- // what the first picture needs may lie in the pool before it
	}
	changed = changed || l.Complete != over || l.Next != next
	l.Complete, l.Next = over, next
	return changed, nil
}

// missedPart is what a lock has lost unseen: pools that were filled and written
// over since it was last looked, if there is a hole where they should be. What was
// in them, nobody knows any more.
func missedPart(snapshot index.Snapshot, l *vault.Lock, found []vault.Part) (p vault.Part, ok bool) {
	if l.Next == 0 || len(snapshot) == 0 {
		return p, false
	}
	expected, last := l.Next, uint64(0) // of those that are missing
	for _, s := range snapshot {
		if s.Generation > expected {
			last = s.Generation - 1
		}
		expected = s.Generation + 1
	}
	if last == 0 {
		return p, false
	}
	from, to := l.Start, min(l.To, vault.Instant(time.Now().UnixNano()))
	for _, o := range append(slices.Clone(l.Parts), found...) {
		if o.Generation <= last {
			from = max(from, o.To)
		} else {
			to = min(to, o.From)
		}
	}
	if to-from < vault.Instant(time.Second) {
		return p, false
	}
	return vault.Part{Pool: missedPool, Generation: last, From: from, To: to, Done: true, Lost: []vault.Loss{{From: from, To: to, Why: lostUnseen}}}, true
}

// missedPool stands for pools of which nobody knows the number.
const missedPool = 1<<32 - 1

// passed reports whether what is committed of the lock's camera reaches beyond the
// lock.
func (v *Volume) passed(l *vault.Lock) bool {
	snapshot := v.index.Load()
	if len(snapshot) == 0 {
		return false
	}
	newest := map[media.StreamID]int64{}
	for _, p := range snapshot[len(snapshot)-1].Parts {
		if s := v.names.stream(p.Stream); s != nil && s.Camera.ID == l.Camera {
			newest[p.Stream] = max(newest[p.Stream], p.Span.To)
		}
	}
	for _, to := range newest {
		if to < int64(l.To)+int64(tracksApart) {
			return false
		}
	}
	return len(newest) > 0
}

// partsOf finds a lock's footage in what w has, by pool.
func (v *Volume) partsOf(ctx context.Context, w view, l *vault.Lock) (parts []vault.Part, err error) {
	type key struct {
		pool       uint32
		generation uint64
	}
	found := map[key]*vault.Part{}
	var order []key
	for _, s := range mergedStreams([]view{w}) {
		if s.Camera.ID != l.Camera {
			continue
		}
		for e, err := range mergedEntries(ctx, []view{w}, s.ID(), l.Span()) {
			if err != nil {
				return nil, err
			}
			at := key{e.Ref.Pool, e.Ref.Generation}
			p := found[at]
			if p == nil {
				p = &vault.Part{Pool: at.pool, Generation: at.generation, From: vault.Instant(e.Wall), To: vault.Instant(e.End()), Done: e.Ref.Kept > 0, File: e.Ref.Kept > 0}
				found[at], order = p, append(order, at)
			}
			p.From, p.To = min(p.From, vault.Instant(e.Wall)), max(p.To, vault.Instant(e.End()))
			p.Bytes += int64(e.Ref.Length)
		}
	}
	slices.SortFunc(order, func(a, b key) int { return cmp.Compare(a.generation, b.generation) })
	for _, at := range order {
		p := *found[at]
		if !p.Done {
			of := vault.Name{Pool: p.Pool, Generation: p.Generation}
			s, err := v.selectFrom(of, []wanted{{l.Camera, p.Span()}})
			if err != nil {
				return nil, err
			}
			p.Size = s.size()
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// nextJob is the pool with something to copy that the writer comes to first. The
// one that is being written can wait as long as more may come for the lock.
func (v *Volume) nextJob() (n vault.Name, ok bool) {
	head := uint64(math.MaxUint64)
	if snapshot := v.index.Load(); len(snapshot) > 0 {
		head = snapshot[len(snapshot)-1].Generation
	}
	r := &v.kept().register
	for i := range r.Locks {
		l := &r.Locks[i]
		for _, p := range l.Parts {
			if !p.Done && (!ok || p.Generation < n.Generation) && (l.Complete || p.Generation < head) {
				n, ok = vault.Name{Pool: p.Pool, Generation: p.Generation}, true
			}
		}
	}
	return n, ok
}

// wanted is footage of a camera that a lock wants of a pool.
type wanted struct {
	camera string
	span   media.Span
}

// unknownBase is how much earlier a record of a run's first seconds may be shown
// than it says itself, where nobody knows.
const unknownBase = time.Second

// selection is what of a pool's life is wanted.
type selection struct {
	v      *Volume
	wanted []wanted
	super  pool.Super
	groups []pool.Group
	bases  map[media.StreamID]map[media.RunID]int64 // when runs really began
	params map[uint32]bool                          // of tracks that are needed
	needs  map[media.StreamID]bool                  // streams that are
	extra  []pool.Item                              // descriptions that do not stand in the pool
	bytes  int64                                    // of groups
	dirs   int64                                    // of headers and directories
	found  int                                      // records
}

func (s *selection) size() int64 { return vault.Size(s.bytes, s.dirs) }

// takes reports whether an entry goes into the file.
func (s *selection) takes(e *pool.Entry) bool {
	switch e.Kind {
	case pool.KindStream:
		return s.needs[e.Stream]
	case pool.KindTrack:
		return s.params[e.Params]
	case pool.KindSamples, pool.KindGap:
		stream := s.v.names.stream(e.Stream)
		if stream == nil || e.Kind == pool.KindSamples && s.v.names.Track(e.Params) == nil {
			return false
		}
		span := s.shown(e)
		return slices.ContainsFunc(s.wanted, func(w wanted) bool { return w.camera == stream.Camera.ID && w.span.Overlaps(span) })
	}
	return false
}

// shown is where an entry is shown: a record of a run's first seconds perhaps a
// little earlier than it says itself.
func (s *selection) shown(e *pool.Entry) media.Span {
	span := media.Span{From: e.Wall, To: e.WallEnd}
	if e.Kind == pool.KindGap {
		if e.WallEnd == 0 {
			span.To = media.Always.To
		}
		return span
	}
	offset := e.Start.Duration(s.v.names.Track(e.Params).ClockRate)
	if !index.Provisional(offset) {
		return span
	}
	bases, ok := s.bases[e.Stream]
	if !ok {
		bases = runBases([]view{s.v.view(0)}, e.Stream)
		s.bases[e.Stream] = bases
	}
	if base, ok := bases[e.Run]; ok {
		span.From = min(span.From, base+int64(offset)) - int64(sameTime)
	} else {
		span.From -= int64(unknownBase)
	}
	return span
}

// selectFrom finds what is wanted in a life of a pool, be it that it is over: until
// the writer has come to the footer, that tells what there was, and until it has
// come to a record, that is still there. There are no groups when nobody knows
// any more.
func (v *Volume) selectFrom(n vault.Name, list []wanted) (*selection, error) {
	s := &selection{v: v, wanted: list, bases: map[media.StreamID]map[media.RunID]int64{}, params: map[uint32]bool{}, needs: map[media.StreamID]bool{}}
	if int(n.Pool) >= v.ring.Pools {
		return s, nil
	}
	s.super = v.ring.Super(int(n.Pool))
	var err error
	if s.groups, err = v.lifeOf(n, s.super); err != nil {
		return nil, err
	}
	described := map[description]bool{}
	for i := range s.groups {
		err := s.groups[i].Entries(func(e *pool.Entry) bool {
			switch {
			case e.Kind == pool.KindStream || e.Kind == pool.KindTrack:
				v.names.Describe(e)
				described[describedKey(e)] = true
			case s.takes(e):
				s.needs[e.Stream] = true
				if e.Kind == pool.KindSamples {
					s.params[e.Params] = true
				}
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	for id := range s.needs {
		if !described[description{pool.KindStream, id, 0}] {
			s.extra = append(s.extra, pool.Item{Entry: pool.StreamEntry(v.names.stream(id))})
		}
	}
	for params := range s.params {
		if !described[description{pool.KindTrack, 0, params}] {
			s.extra = append(s.extra, pool.Item{Entry: pool.TrackEntry(v.names.Track(params))})
		}
	}
	for _, b := range s.extraGroups() {
		group, dir, _ := b.SizeWith()
		s.bytes, s.dirs = s.bytes+group, s.dirs+dir
	}
	for i := range s.groups {
		dir, payload := int64(0), int64(0)
		s.groups[i].Entries(func(e *pool.Entry) bool {
			if s.takes(e) {
				dir, payload = dir+int64(e.DirectoryLen()), payload+int64(e.Length)
				if e.Kind == pool.KindSamples {
					s.found++
				}
			}
			return true
		})
		if dir > 0 {
			s.bytes += pool.Align(pool.HeaderSize + dir + payload)
			s.dirs += pool.HeaderSize + dir
		}
	}
	return s, nil
}

// extraGroups puts the descriptions that do not stand in the pool into groups.
func (s *selection) extraGroups() (list []*pool.Builder) {
	for _, item := range s.extra {
		n := len(list)
		if n == 0 {
			list, n = append(list, &pool.Builder{}), 1
		} else if _, _, ok := list[n-1].SizeWith(item); !ok {
			list, n = append(list, &pool.Builder{}), n+1
		}
		list[n-1].Add(item)
	}
	return list
}

// lifeOf returns the groups of a life of a pool; none when nothing tells of them
// any more.
func (v *Volume) lifeOf(n vault.Name, s pool.Super) ([]pool.Group, error) {
	for _, p := range v.index.Load() {
		if p.Pool == n.Pool && p.Generation == n.Generation {
			return v.directory(p)
		}
	}
	if s.Generation == n.Generation {
		return v.directory(&index.Pool{Pool: n.Pool, Generation: n.Generation})
	}
	f, err := v.ring.File(int(n.Pool))
	if err != nil {
		return nil, err
	}
	groups, err := readFooter(f, pool.Identity{Ring: v.ring.UUID, Pool: n.Pool, Generation: n.Generation}, v.ring.Size)
	if err != nil && isDamage(err) {
		return nil, nil
	}
	return groups, err
}

// urgent reports whether the writer comes to the pool soon, or is there.
func (v *Volume) urgent(n vault.Name) bool {
	used := v.ring.Used()
	if len(used) == 0 {
		return false
	}
	newest := used[len(used)-1]
	ahead := (int(n.Pool) - int(newest.Pool) + v.ring.Pools) % v.ring.Pools
	return v.ring.Super(int(n.Pool)).Generation != n.Generation || ahead > 0 && ahead <= urgentPools
}

// copyLife copies what locks want of a life of a pool into a file in the vault,
// and then says so in the register. What cannot be had any more is lost, and said
// to be.
func (v *Volume) copyLife(ctx context.Context, n vault.Name) error {
	k := v.kept()
	var list []wanted
	asked := map[string]bool{} // locks of which this is done with it
	for i := range k.register.Locks {
		l := &k.register.Locks[i]
		for _, p := range l.Parts {
			if p.Of(n.Pool, n.Generation) {
				list = append(list, wanted{l.Camera, p.Span()})
				asked[l.ID] = true
			}
		}
	}
	s, err := v.selectFrom(n, list)
	if err != nil {
		return err
	}
	old := k.file(n.Pool, n.Generation)
	c := &copier{v: v, ctx: ctx, n: n, s: s}
	defer c.free()
	if old != nil {
		if err := c.readOld(old); err != nil {
			return err
		}
		n.Copy = old.name.Copy
	}
	var made *keptFile
	switch {
	case s.found == 0 || old != nil && c.oldHasAll():
	default:
		n.Copy++
		if made, err = c.copy(n, old); err != nil {
			return err
		}
	}
	v.keeper.change.Lock()
	defer v.keeper.change.Unlock()
	if made != nil { // it is durable: it counts whatever becomes of the register
		if old != nil {
			v.keeper.stray.Store(true)
		}
		v.keeper.state.Store(v.kept().with(made))
	}
	return v.update(func(r *vault.Register) {
		for i := range r.Locks {
			l := &r.Locks[i]
			if !asked[l.ID] {
				continue
			}
			for k := range l.Parts {
				p := &l.Parts[k]
				if !p.Of(n.Pool, n.Generation) || p.Done {
					continue
				}
				p.Done, p.File = true, made != nil || old != nil
				p.Lost = c.lostOf(wanted{l.Camera, p.Span()}, made != nil || old != nil)
				for _, x := range p.Lost {
					v.o.Log.Error("locked footage is lost", "lock", l.ID, "camera", l.Camera, "from", time.Unix(0, int64(x.From)).UTC(), "to", time.Unix(0, int64(x.To)).UTC(), "reason", x.Why)
				}
			}
		}
	})
}

// Why footage could not be kept.
const (
	lostOverwritten = "the ring had written over it"
	lostDamaged     = "damaged on the disk"
	lostUnseen      = "the ring had written over it before anybody looked"
)

// copier copies one life of one pool.
type copier struct {
	v   *Volume
	ctx context.Context
	n   vault.Name
	s   *selection

	src  disk.File
	buf  []byte // what was read
	lost []lostRecord

	old     disk.File // an earlier copy
	inOld   map[recordKey]oldRecord
	oldSpan []lostRecord // its records

	began  time.Time
	copied int64
}

type lostRecord struct {
	stream media.StreamID
	span   media.Span
	bytes  int64
	why    string
}

type recordKey struct {
	stream media.StreamID
	run    media.RunID
	track  uint8
	start  media.Ticks
}

type oldRecord struct {
	group  *pool.Group
	offset uint32
	length uint32
	crc    uint32
}

func keyOf(e *pool.Entry) recordKey { return recordKey{e.Stream, e.Run, e.Track, e.Start} }

func (c *copier) free() {
	if c.src != nil {
		c.src.Close()
	}
	if c.old != nil {
		c.old.Close()
	}
	disk.Free(c.buf)
}

// readOld remembers what an earlier copy has.
func (c *copier) readOld(f *keptFile) error {
	groups, _, err := c.v.keptDirectory(c.v.keeper.dir, f.name)
	if err != nil {
		return err
	}
	if c.old, err = c.v.keeper.dir.Open(f.name.String(), false); err != nil {
		return err
	}
	c.inOld = map[recordKey]oldRecord{}
	for i := range groups {
		g := &groups[i]
		err := g.Entries(func(e *pool.Entry) bool {
			if e.Kind == pool.KindSamples {
				c.inOld[keyOf(e)] = oldRecord{g, e.Offset, e.Length, e.CRC}
				c.oldSpan = append(c.oldSpan, lostRecord{e.Stream, media.Span{From: e.Wall, To: e.WallEnd}, int64(e.Length), ""})
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) oldHasAll() bool {
	all := true
	for i := range c.s.groups {
		c.s.groups[i].Entries(func(e *pool.Entry) bool {
			if e.Kind == pool.KindSamples && c.s.takes(e) {
				_, has := c.inOld[keyOf(e)]
				all = all && has
			}
			return all
		})
	}
	return all
}

// copy makes the file; nil when nothing could be had.
func (c *copier) copy(n vault.Name, old *keptFile) (*keptFile, error) {
	v, size := c.v, c.s.size()
	used := v.kept().used()
	if old != nil {
		used -= old.size
	}
	if used+size > v.o.VaultBytes {
		return nil, fmt.Errorf("the vault is full: %d of %d MiB are taken, and %d MiB more are needed: raise vault_max_mb or remove a lock", used>>20, v.o.VaultBytes>>20, (size+1<<20-1)>>20)
	}
	switch free, err := v.dir.Free(); {
	case err != nil:
		return nil, err
	case free < size+vaultReserve:
		return nil, fmt.Errorf("%s: %w: %d MiB are free, %d MiB are needed and %d MiB are left free", v.dir.Path(), disk.ErrNoSpace, free>>20, size>>20, vaultReserve>>20)
	}
	var err error
	if c.src, err = openUncached(v.dir, v.ring.FileName(int(n.Pool))); err != nil {
		return nil, err
	}
	if c.buf, err = disk.Alloc(2 * pool.MaxGroup); err != nil {
		return nil, err
	}
	v.keeper.copying.Store(&n)
	defer v.keeper.copying.Store(nil)
	defer v.keeper.copied.Store(0)
	if !v.urgent(n) {
		defer disk.Idle()()
	}
	w, err := vault.Create(v.keeper.dir, n, c.s.super, size)
	if err != nil {
		return nil, err
	}
	b := index.NewBuilder(pool.Identity{Ring: v.ring.UUID, Pool: n.Pool, Generation: n.Generation}, v.o.SegmentDuration, false)
	records, err := c.groups(w)
	if err != nil || records == 0 {
		return nil, errors.Join(err, w.Discard())
	}
	groups, err := w.Seal()
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := b.Add(g, &v.names); err != nil {
			panic("store: a group of ours cannot be read: " + err.Error())
		}
	}
	return newKeptFile(n, size, b), nil
}

func (c *copier) groups(w *vault.Writer) (records int, err error) {
	c.began = time.Now()
	for _, b := range c.s.extraGroups() {
		if err := w.Append(b); err != nil {
			return 0, err
		}
	}
	var b pool.Builder
	for i := range c.s.groups {
		items, err := c.group(&c.s.groups[i])
		if err != nil {
			return 0, err
		}
		if len(items) == 0 {
			continue
		}
		b.Add(items...)
		if err := w.Append(&b); err != nil {
			return 0, err
		}
		for _, it := range items {
			if it.Entry.Kind == pool.KindSamples {
				records++
			}
		}
		if err := c.pace(); err != nil {
			return 0, err
		}
	}
	return records, nil
}

// pace waits as long as there is time to.
func (c *copier) pace() error {
	c.v.keeper.copied.Store(c.copied)
	due := c.began.Add(time.Duration(float64(c.copied) / keepRate * float64(time.Second)))
	for c.ctx.Err() == nil && time.Now().Before(due) && !c.v.urgent(c.n) {
		select {
		case <-c.ctx.Done():
		case <-time.After(min(time.Until(due), 100*time.Millisecond)):
		}
	}
	return c.ctx.Err()
}

// group reads what is wanted of a group. Payloads lie in c.buf until the next.
func (c *copier) group(g *pool.Group) (items []pool.Item, err error) {
	var first, last, sum int64
	dirErr := g.Entries(func(e *pool.Entry) bool {
		if !c.s.takes(e) {
			return true
		}
		if err = e.Decode(); e.Kind == pool.KindSamples && err != nil {
			c.lose(e, lostDamaged)
			err = nil
			return true
		}
		err = nil
		items = append(items, pool.Item{Entry: *e})
		if e.Kind == pool.KindSamples {
			if sum == 0 || int64(e.Offset) < first {
				first = int64(e.Offset)
			}
			last = max(last, int64(e.Offset)+int64(e.Length))
			sum += int64(e.Length)
		}
		return true
	})
	if dirErr != nil || sum == 0 {
		return items, dirErr
	}
	// Mostly ours: one read. Else a read for each record.
	whole := 2*sum > last-first
	at := int64(0)
	var block []byte
	if whole {
		if block, err = c.read(g.Offset+first, last-first, 0); err != nil {
			return nil, err
		}
		whole = block != nil // else each on its own: only some of it may be lost
	}
	var good []pool.Item
	for _, it := range items {
		e := &it.Entry
		if e.Kind != pool.KindSamples {
			good = append(good, it)
			continue
		}
		if whole {
			from := int64(e.Offset) - first
			it.Payload = block[from : from+int64(e.Length)]
		} else {
			if it.Payload, err = c.read(g.Offset+int64(e.Offset), int64(e.Length), at); err != nil {
				return nil, err
			}
			at = pool.Align(at+int64(e.Length)) + pool.BlockSize
		}
		c.copied += int64(e.Length)
		if len(it.Payload) != int(e.Length) || pool.PayloadCRC(g.Identity, g.Offset, it.Payload) != e.CRC {
			if it.Payload, err = c.fromOld(e); err != nil {
				return nil, err
			}
			if it.Payload == nil {
				c.lose(e, c.why())
				continue
			}
		}
		good = append(good, it)
	}
	return good, nil
}

// read reads length bytes at off into c.buf at a place; nil: the disk does not give
// them back.
func (c *copier) read(off, length, at int64) ([]byte, error) {
	from := off &^ (pool.BlockSize - 1)
	to := min(pool.Align(off+length), c.v.ring.Size)
	if at+to-from > int64(len(c.buf)) {
		panic(fmt.Sprintf("store: %d bytes at %d do not fit into a buffer of %d", to-from, at, len(c.buf)))
	}
	b := c.buf[at : at+to-from]
	n, err := c.src.ReadAt(b, from)
	if n < len(b) && err != nil {
		if isDamage(err) {
			return nil, nil
		}
		return nil, err
	}
	return b[off-from : off-from+length], nil
}

// fromOld takes a record from the earlier copy; nil: it does not have it.
func (c *copier) fromOld(e *pool.Entry) ([]byte, error) {
	o, ok := c.inOld[keyOf(e)]
	if !ok || o.length != e.Length {
		return nil, nil
	}
	b := make([]byte, o.length)
	if _, err := c.old.ReadAt(b, o.group.Offset+int64(o.offset)); err != nil {
		if isDamage(err) {
			return nil, nil
		}
		return nil, err
	}
	if pool.PayloadCRC(o.group.Identity, o.group.Offset, b) != o.crc {
		return nil, nil
	}
	return b, nil
}

// why is why a record is not what it was.
func (c *copier) why() string {
	if s, err := c.v.ring.Check(int(c.n.Pool)); err == nil && s.Generation != c.n.Generation {
		return lostOverwritten
	}
	return lostDamaged
}

func (c *copier) lose(e *pool.Entry, why string) {
	c.lost = append(c.lost, lostRecord{e.Stream, media.Span{From: e.Wall, To: e.WallEnd}, int64(e.Length), why})
}

// lostOf is what of w could not be kept. there says that there is a file.
func (c *copier) lostOf(w wanted, there bool) (list []vault.Loss) {
	add := func(span media.Span, bytes int64, why string) {
		from, to := vault.Instant(max(span.From, w.span.From)), vault.Instant(min(span.To, w.span.To))
		if from >= to {
			return
		}
		if n := len(list); n > 0 && list[n-1].Why == why && from-list[n-1].To < vault.Instant(nearby) {
			list[n-1].From, list[n-1].To = min(list[n-1].From, from), max(list[n-1].To, to)
			list[n-1].Bytes += bytes
			return
		}
		list = append(list, vault.Loss{From: from, To: to, Bytes: bytes, Why: why})
	}
	mine := func(id media.StreamID) bool {
		s := c.v.names.stream(id)
		return s != nil && s.Camera.ID == w.camera
	}
	if c.s.found > 0 {
		slices.SortStableFunc(c.lost, func(a, b lostRecord) int { return cmp.Compare(a.span.From, b.span.From) })
		for _, x := range c.lost {
			if mine(x.stream) {
				add(x.span, x.bytes, x.why)
			}
		}
		return list
	}
	// Nobody knows any more what there was: all but what an earlier copy has.
	at := w.span.From
	if there {
		slices.SortStableFunc(c.oldSpan, func(a, b lostRecord) int { return cmp.Compare(a.span.From, b.span.From) })
		for _, x := range c.oldSpan {
			if mine(x.stream) && x.span.Overlaps(w.span) {
				if x.span.From-at >= int64(time.Second) {
					add(media.Span{From: at, To: x.span.From}, 0, lostOverwritten)
				}
				at = max(at, x.span.To)
			}
		}
	}
	if w.span.To-at > 0 && (!there || w.span.To-at >= int64(time.Second)) {
		add(media.Span{From: at, To: w.span.To}, 0, lostOverwritten)
	}
	return list
}
