package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nvr/internal/disk"
	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

const (
	// skipBytes is how far the writer jumps after a failed write or sync, and
	// where it begins again after a restart: never in the same place.
	skipBytes = 1 << 20

	// openJump is added to the group sequence at each start, so that what a
	// crashed writer left behind can never continue the new numbers.
	openJump = 1 << 20

	// maxFooter bounds the head's directories, which are kept in memory until
	// they become its footer: some 100,000 records.
	maxFooter = 16 << 20

	// maxDescribed bounds the writer's memory of tracks; past it, it forgets.
	maxDescribed = 4096

	// sweepAfter is how long after a commit those records are committed that came
	// while it was under way.
	sweepAfter = 100 * time.Millisecond

	// maxStrikes is how often in a row writes to a pool may fail before it is not
	// tried again until the next start. The error may have been the cable's and is
	// forgotten when the ring comes to the pool again, or the disk's own, and then
	// each attempt costs a commit seconds.
	maxStrikes = 2

	// lastEffort is how long a failing disk is tried when all is to end.
	lastEffort = time.Second

	// While the volume is down it is tried again so often: a disk that comes
	// back is written to within 5 s.
	minRetry, maxRetry = 500 * time.Millisecond, 2 * time.Second
)

// writer is the only code that changes the ring. Everything but the queue is
// its own goroutine's.
type writer struct {
	v       *Volume
	buf     []byte // one group
	block   []byte // one superblock
	builder pool.Builder

	head     int   // pool being written; -1: none yet
	full     bool  // head cannot take more: activate the next first
	off      int64 // where the next group goes
	open     uint32
	seq      uint64 // of the last group
	durable  uint64 // highest seq known durable
	highest  uint64 // generation
	pool     *index.Builder
	dirBytes int64 // what the groups in head take in its footer
	footer   []byte

	gaps      map[media.StreamID]media.Gap // that are open, as far as was written
	described map[description]bool         // in head, durable
	telling   []description                // in the group that is being built, and those not yet synced
	building  int                          // where of those the group begins
	streams   map[*media.Stream]pool.Entry
	tracks    map[*media.Track]pool.Entry
	scratch   []pool.Item

	pending []pool.Group // written, not yet synced
	failed  int          // errors in a row

	avoid   map[int]bool // pools that could not be activated, while the disk fails
	strikes map[int]int  // how often in a row a pool was marked bad, since the start

	out    downtime
	giveUp time.Time // when ctx has ended: until when commits are tried

	earlyTaken bool // the beginning of the pool that was gone on with is known

	at, done int // of the batch: being added; durable already (a seal in its middle)
}

func newWriter(v *Volume) (*writer, error) {
	w := &writer{v: v, head: -1, streams: map[*media.Stream]pool.Entry{}, tracks: map[*media.Track]pool.Entry{}, avoid: map[int]bool{}, strikes: map[int]int{}, gaps: map[media.StreamID]media.Gap{}}
	var err error
	if w.buf, err = disk.Alloc(pool.MaxGroup); err != nil {
		return nil, err
	}
	if w.block, err = disk.Alloc(pool.BlockSize); err != nil {
		return nil, err
	}
	if err := w.recover(v.recoverHead); err != nil {
		return nil, fmt.Errorf("recover the ring in %s: %w", v.dir.Path(), err)
	}
	return w, nil
}

func (w *writer) free() {
	disk.Free(w.buf)
	disk.Free(w.block)
	disk.Free(w.footer)
}

// run commits once a beat, and earlier when a batch is full, until ctx ends and
// the queue is empty.
func (w *writer) run(ctx context.Context) error {
	beat, delay := Beat(w.v.o.CommitInterval), commitDelay(w.v.o.CommitInterval)
	next := func() time.Duration {
		since := time.Since(w.v.o.Epoch) - delay
		return beat - (since%beat+beat)%beat
	}
	timer, sweep := time.NewTimer(next()), time.NewTimer(time.Hour)
	defer timer.Stop()
	defer sweep.Stop()
	sweep.Stop()
	var batch []queued
	for {
		select {
		case <-timer.C:
			timer.Reset(next())
		case <-sweep.C:
		case <-w.v.queue.full:
		case <-ctx.Done():
		}
		w.takeEarly()
		for first := true; ; first = false {
			if items, bytes := w.v.queue.len(); !first && items > 0 && bytes < batchBytes && ctx.Err() == nil {
				// Stragglers: they came while the beat was committed. Each would
				// have a sync of its own; they share one.
				sweep.Reset(sweepAfter)
				break
			}
			batch = w.v.queue.take(batch)
			if len(batch) == 0 {
				break
			}
			if err := w.commit(ctx, batch); err != nil {
				left, _ := w.v.queue.len()
				return fmt.Errorf("%d records could not be committed: %w", len(batch)+left, err)
			}
			for i := range batch {
				if b := batch[i].record.Buffer; b != nil {
					b.Release()
				}
			}
			clear(batch)
		}
		if ctx.Err() != nil {
			if n, _ := w.v.queue.len(); n == 0 {
				return nil
			}
		}
	}
}

// commit makes the batch durable and then visible. After an error the whole
// batch goes to a new place: what a failed write or sync left on the disk is
// not known, and is never written again (docs/format.md, Errors). It gives up
// only when ctx has ended, lastEffort ago.
func (w *writer) commit(ctx context.Context, batch []queued) error {
	w.done = 0
	w.v.counters.busy.Store(time.Now().UnixNano())
	defer w.v.counters.busy.Store(0)
	for {
		err := w.tryCommit(batch)
		if err == nil {
			if w.failed > 0 {
				w.v.o.Log.Info("recording to disk again", "dir", w.v.dir.Path(), "pool", w.head, "down_for", w.out.lasted())
			}
			w.failed, w.out = 0, downtime{}
			clear(w.avoid)
			w.v.away.Store(nil)
			w.v.counters.down.Store(false)
			w.v.counters.commits.Add(1)
			w.v.counters.lastCommit.Store(time.Now().UnixNano())
			return nil
		}
		w.failed++
		w.pending = w.pending[:0]
		w.telling, w.building = w.telling[:0], 0
		w.v.counters.failures.Add(1)
		w.complain("writing to disk failed", err, "pool", w.head, "offset", w.off, "attempt", w.failed)
		// A later durable_seq must not prove what failed here: such proofs hold
		// for one open_id only.
		w.open++
		var activation *activationError
		switch {
		case isGone(err) || w.failed > 2:
		case errors.As(err, &activation):
			w.avoid[activation.pool] = true
			continue
		case w.failed == 1:
			w.off = (w.off + skipBytes - 1) / skipBytes * skipBytes
			if !w.full && w.v.ring.Resume(w.head, w.open, w.block) != nil {
				w.full = true
			}
			continue
		default:
			w.strikes[w.head]++
			if err := w.v.ring.MarkBad(w.head, w.block); err != nil {
				w.v.o.Log.Error("a pool that fails could not be marked bad", "pool", w.head, "error", err)
			}
			w.full = true
			continue
		}
		w.full = true // begin again in a new pool
		clear(w.avoid)
		if !w.sitOut(ctx, err) {
			return err
		}
	}
}

// activationError says that a pool could not be taken into use. The head is what
// it was, and so is what the pool held.
type activationError struct {
	pool int
	err  error
}

func (e *activationError) Error() string {
	return fmt.Sprintf("activate pool %03d: %v", e.pool, e.err)
}
func (e *activationError) Unwrap() error { return e.err }

func (w *writer) tryCommit(batch []queued) error {
	w.builder.Reset()
	w.telling = w.telling[:w.building]
	for w.at = w.done; w.at < len(batch); w.at++ {
		if err := w.add(&batch[w.at]); err != nil {
			return err
		}
	}
	if err := w.writeGroup(); err != nil {
		return err
	}
	return w.sync()
}

// add puts a record, with the descriptions that it needs in this pool, into the
// group being built; a full group is written first, a full pool sealed.
func (w *writer) add(q *queued) error {
	if q.again && !w.stillOpen(q.gap) {
		return nil
	}
	for {
		if w.head < 0 || w.full {
			if err := w.nextPool(); err != nil {
				return err
			}
		}
		items := w.items(q)
		group, footer, ok := w.builder.SizeWith(items...)
		footer += w.dirBytes
		fits := w.off+group+pool.FooterSize(footer) <= w.v.ring.Size && footer <= maxFooter
		switch {
		case ok && fits:
			w.builder.Add(items...)
			w.follow(&items[len(items)-1].Entry)
			for i := range items {
				if k := items[i].Entry.Kind; k == pool.KindStream || k == pool.KindTrack {
					w.telling = append(w.telling, describedKey(&items[i].Entry))
				}
			}
			return nil
		case w.builder.Len() > 0: // this group is full, or with it the pool
			if err := w.writeGroup(); err != nil {
				return err
			}
		case ok && w.off > pool.FirstGroup:
			w.full = true
		default:
			panic(fmt.Sprintf("store: a record of %d bytes does not fit into an empty pool", q.size))
		}
	}
}

// follow keeps account of which gaps are open: they are told again in each pool
// that begins, as the older ones that say so are overwritten.
func (w *writer) follow(e *pool.Entry) {
	switch {
	case e.Kind == pool.KindSamples && e.Track == media.VideoTrack:
		delete(w.gaps, e.Stream)
	case e.Kind != pool.KindGap:
	case e.WallEnd == 0:
		if g, err := e.DecodeGap(); err == nil {
			g.Stream = w.v.names.stream(e.Stream)
			w.gaps[e.Stream] = g
		}
	case w.gaps[e.Stream].Span.From == e.Wall:
		delete(w.gaps, e.Stream)
	}
}

func (w *writer) stillOpen(g *media.Gap) bool {
	now, ok := w.gaps[g.Stream.ID()]
	return ok && now.Span.From == g.Span.From && now.Reason == g.Reason
}

// tellOpen has the gaps that are open written into the pool that has begun.
func (w *writer) tellOpen() {
	for id, g := range w.gaps {
		if g.Stream == nil {
			g.Stream = w.v.names.stream(id)
		}
		if g.Stream != nil {
			w.v.queue.offer(queued{gap: &g, again: true})
		}
	}
}

// described says what a pool has descriptions of.
type description struct {
	kind   pool.EntryKind
	stream media.StreamID
	params uint32
}

func describedKey(e *pool.Entry) description { return description{e.Kind, e.Stream, e.Params} }

// items is what a queued thing puts into a group: itself, behind what has been
// described neither in this group nor in what is durable of the pool. Of a commit
// that a crash tears, any group may be left: each stands on its own.
func (w *writer) items(q *queued) []pool.Item {
	w.scratch = w.scratch[:0]
	describe := func(e pool.Entry) {
		if d := describedKey(&e); !w.described[d] && !slices.Contains(w.telling[w.building:], d) {
			w.scratch = append(w.scratch, pool.Item{Entry: e})
		}
	}
	if q.gap != nil {
		describe(w.stream(q.gap.Stream))
		w.scratch = append(w.scratch, pool.Item{Entry: pool.GapEntry(*q.gap)})
		return w.scratch
	}
	r := &q.record
	stream, track := w.stream(r.Stream), w.track(r.Params)
	describe(stream)
	describe(track)
	w.scratch = append(w.scratch, pool.Item{Entry: pool.SamplesEntry(r, stream.Stream, track.Params), Payload: r.Buffer.Data})
	return w.scratch
}

// stream and track remember descriptions by pointer: records share them.
func (w *writer) stream(s *media.Stream) pool.Entry {
	e, known := w.streams[s]
	if !known {
		if len(w.streams) >= maxDescribed {
			clear(w.streams)
		}
		e = pool.StreamEntry(s)
		w.streams[s] = e
	}
	return e
}

func (w *writer) track(t *media.Track) pool.Entry {
	e, known := w.tracks[t]
	if !known {
		if len(w.tracks) >= maxDescribed {
			clear(w.tracks)
		}
		e = pool.TrackEntry(t)
		w.tracks[t] = e
	}
	return e
}

// writeGroup appends the group that was built. It is on the disk, and counts,
// only after sync.
func (w *writer) writeGroup() error {
	if w.builder.Len() == 0 {
		return nil
	}
	w.seq++
	h := pool.Header{Identity: w.v.ring.Identity(w.head), Offset: w.off, Seq: w.seq, OpenID: w.open, DurableSeq: w.durable}
	n := w.builder.Encode(w.buf, &h)
	w.builder.Reset()
	w.building = len(w.telling)
	w.off += int64(n) // also when the write fails: never again in the same place
	f, err := w.v.ring.File(w.head)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(w.buf[:n], h.Offset); err != nil {
		return fmt.Errorf("write group %d to pool %03d: %w", w.seq, w.head, err)
	}
	dir := make([]byte, h.DirLen)
	copy(dir, w.buf[pool.HeaderSize:])
	w.pending = append(w.pending, pool.Group{Header: h, Dir: dir})
	w.dirBytes += int64(pool.HeaderSize + len(dir))
	w.v.counters.bytes.Add(int64(n))
	return nil
}

// sync makes the groups that were written durable and then shows them to readers.
func (w *writer) sync() error {
	if len(w.pending) == 0 {
		return nil
	}
	return w.syncHead()
}

// syncHead is sync where there may be no groups, but a footer.
func (w *writer) syncHead() error {
	f, err := w.v.ring.File(w.head)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync pool %03d: %w", w.head, err)
	}
	w.settle()
	w.done = w.at
	return nil
}

// settle is what follows a sync that returned: the pending groups are durable.
func (w *writer) settle() {
	for i := range w.pending {
		g := w.pending[i]
		w.durable = g.Seq
		if err := w.pool.Add(g, &w.v.names); err != nil {
			panic("store: a group of ours cannot be read: " + err.Error())
		}
		w.v.counters.groups.Add(1)
		w.v.counters.records.Add(int64(g.Records))
	}
	w.v.publish(w.pool.Pool())
	if tell := w.v.o.OnCommit; tell != nil && len(w.pending) > 0 {
		tell(w.v.committed(w.pending))
	}
	clear(w.pending)
	w.pending = w.pending[:0]
	for _, d := range w.telling[:w.building] {
		w.described[d] = true
	}
	w.telling, w.building = append(w.telling[:0], w.telling[w.building:]...), 0
	w.v.counters.position.Store(w.off)
}

// nextPool seals the head, which is full, and activates the next pool.
func (w *writer) nextPool() error {
	if w.head >= 0 {
		if err := w.seal(); err != nil {
			return err
		}
	}
	n, err := w.choose()
	if err != nil {
		return err
	}
	if w.takeEarly(); !w.whole() {
		w.v.earlyMissed.Store(true) // the pool is left before all of it was read: it is indexed once more
		defer w.v.wakeIndexer()
	}
	w.highest++
	if err := w.v.ring.Activate(n, w.highest, w.open, w.seq+1, w.durable, w.block); err != nil {
		return &activationError{n, err}
	}
	w.v.drop(n)
	pools := w.v.ring.Pools()
	if skipped := (n - w.head - 1 + pools) % pools; skipped > ring.MaxSkipped {
		w.writeCatalogue() // a start without it would not look so far
	}
	if w.head >= 0 && w.head != n && w.v.ring.Super(w.head).State != pool.Sealed {
		w.v.publish(w.pool.Whole()) // it failed: from here on it is walked
	}
	w.head, w.off, w.dirBytes, w.full = n, pool.FirstGroup, 0, false
	w.described, w.telling, w.building = map[description]bool{}, w.telling[:0], 0
	w.pool = index.NewBuilder(w.v.ring.Identity(n), w.v.o.SegmentDuration, true)
	w.v.publish(w.pool.Pool())
	w.v.counters.position.Store(w.off)
	w.tellOpen()
	return nil
}

// choose finds the pool to write next. One that is not the ring's any more (a
// file deleted, or of another ring) is passed over, never overwritten. One that
// writes failed on is tried again in its turn, maxStrikes times in a row.
func (w *writer) choose() (int, error) {
	var errs []error
	struck := -1
	for n, tries := w.head, 0; tries < w.v.ring.Pools(); tries++ {
		n = w.v.ring.Next(n)
		if w.avoid[n] {
			errs = append(errs, fmt.Errorf("pool %03d could not be activated", n))
			continue
		}
		if _, err := w.v.check(n); err != nil {
			w.v.o.Log.Error("a pool is passed over", "pool", n, "error", err)
			errs = append(errs, err)
			continue
		}
		if w.strikes[n] >= maxStrikes {
			if struck < 0 {
				struck = n
			}
			continue
		}
		return n, nil
	}
	if struck >= 0 { // there is nothing better
		return struck, nil
	}
	return 0, errors.Join(errs...)
}

// seal writes the head's footer behind its groups and marks it sealed; the sync
// of the footer is the commit of the groups that were pending. A head that
// failed is left as it is: its groups are found by walking. So is one that a
// start found sealed.
func (w *writer) seal() error {
	if w.failed > 0 || w.pool == nil || !w.whole() || w.v.ring.Super(w.head).State == pool.Sealed || w.v.ring.Fault(w.head) != nil {
		return w.sync()
	}
	groups := append(w.pool.Directory(), w.pending...)
	size := pool.FooterSize(index.DirectoryBytes(groups))
	if w.off+size > w.v.ring.Size || len(groups) == 0 {
		return w.sync() // after a skip there may be no room: walking finds the groups too
	}
	if int64(len(w.footer)) < size {
		disk.Free(w.footer)
		var err error
		if w.footer, err = disk.Alloc(int(pool.Align(size * 5 / 4))); err != nil {
			w.footer = nil
			return err
		}
	}
	t := pool.Trailer{Identity: w.v.ring.Identity(w.head)}
	image := pool.EncodeFooter(w.footer, &t, groups, w.v.ring.Size)
	f, err := w.v.ring.File(w.head)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(image, t.FooterOffset); err != nil {
		return fmt.Errorf("write the footer of pool %03d: %w", w.head, err)
	}
	if err := w.syncHead(); err != nil { // before the superblock vouches for it
		return err
	}
	if err := w.v.ring.Seal(w.head, w.open, w.block); err != nil {
		return err
	}
	delete(w.strikes, w.head)
	w.v.publish(w.pool.Whole()) // from here on its directory is read from the footer
	w.writeCatalogue()
	return nil
}

func (w *writer) writeCatalogue() {
	if err := w.v.ring.WriteCatalogue(); err != nil {
		w.v.o.Log.Warn("the catalogue is a hint, and could not be written", "error", err)
	}
}
