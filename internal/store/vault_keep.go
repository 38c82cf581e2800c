package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/ring"
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
	if v.letGo() {
		return ring.ErrAway
	}
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
	if v.letGo() {
		return ring.ErrAway
	}
	if v.keeper.dir == nil {
		if err := v.ring.Present(); err != nil { // not in an empty mount point
			return err
		}
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
	head := snapshot[len(snapshot)-1]
	for id := range head.Streams() {
		if s := v.names.stream(id); s != nil && s.Camera.ID == l.Camera {
			for p := range head.Of(id) {
				newest[id] = max(newest[id], p.Span.To)
			}
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
