package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nvr/internal/disk"
	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/vault"
)

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

// readTries is how often a pool that cannot be read everywhere is tried again,
// as long as there is time, before what is missing is lost.
const readTries = 3

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

	failed     error // of the last read that the disk did not answer
	unreadable error // a record that it did not give back

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
	w, err := vault.Create(c.ctx, v.keeper.dir, n, c.s.super, size)
	if err != nil {
		return nil, err
	}
	b := index.NewBuilder(pool.Identity{Ring: v.ring.UUID, Pool: n.Pool, Generation: n.Generation}, v.o.SegmentDuration, false)
	records, err := c.groups(w)
	if err == nil && c.unreadable != nil && v.keeper.tries[c.n] < readTries && !v.urgent(n) {
		v.keeper.tries[c.n]++
		err = c.unreadable
	}
	if err != nil || records == 0 {
		return nil, errors.Join(err, w.Discard())
	}
	delete(v.keeper.tries, c.n)
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
			if it.Payload == nil {
				c.unreadable = c.failed
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
			c.failed = err
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

// urgent reports whether the writer comes to the pool soon, or is there.
func (v *Volume) urgent(n vault.Name) bool {
	used := v.ring.Used()
	if len(used) == 0 {
		return false
	}
	newest := used[len(used)-1]
	pools := v.ring.Pools()
	ahead := (int(n.Pool) - int(newest.Pool) + pools) % pools
	s, err := v.super(int(n.Pool))
	return err == nil && s.Generation != n.Generation || ahead > 0 && ahead <= urgentPools
}
