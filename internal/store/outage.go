package store

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"nvr/internal/disk"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

// What happens when a disk is gone.
//
// A file that was open when a file system went read-only, shut down or lost its
// device may be dead for good, however well the disk is again: only its name leads
// to the new mount. And as long as anything is open, the old mount cannot be
// unmounted. So a volume that is down lets go of everything, its lock too, and
// asks again and again, by name, whether the ring is there. It is when ring.id
// says so: below a mount point without its mount lies an empty directory, in which
// nothing must be made.
//
// What was taken and is not committed stays in memory, in the batch that failed
// and in the queue. It is written in a new pool; what of it had reached the old
// one, whole or torn, was never acknowledged and is void by that pool's
// activation (see failedGroups). That holds only while nobody else has written:
// after somebody else, who may have built on it, the ring is read as at a start.

// maxDoubts is how often a ring is believed to be away that is there, but for pools
// that could be read before: a disk that is half dead gives what is in memory. If it
// stays so, they are passed over.
const maxDoubts = 10

// complainEvery is how often an error is logged again that does not change while
// the volume is down.
const complainEvery = time.Minute

// downtime is what the writer knows of a disk that is down.
type downtime struct {
	tries    int       // to write, or to find the ring
	since    time.Time // when it went down
	told     string    // the error that was logged last
	toldAt   time.Time
	doubts   int  // see maxDoubts
	stranger bool // somebody else wrote, and what that left was not read yet
}

// lasted is for how long the disk has been down; 0 when it was not.
func (d *downtime) lasted() time.Duration {
	if d.since.IsZero() {
		return 0
	}
	return time.Since(d.since).Round(time.Second)
}

// sitOut lets go of the disk and waits until the ring is there again. It is false
// when ctx has ended, lastEffort ago.
func (w *writer) sitOut(ctx context.Context, cause error) bool {
	w.v.counters.down.Store(true)
	if w.out.since.IsZero() {
		w.out.since = time.Now()
	}
	w.leave(cause)
	for {
		retry := min(minRetry<<min(w.out.tries, 8), maxRetry)
		w.out.tries++
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			if w.giveUp.IsZero() {
				w.giveUp = time.Now().Add(lastEffort)
			}
			if time.Now().After(w.giveUp) {
				return false
			}
			time.Sleep(lastEffort / 20)
		}
		err := w.comeBack()
		if err == nil {
			return true
		}
		w.leave(err)
		w.complain("the disk is away: recording goes on when it is back", err)
	}
}

// complain logs an error of the disk: each new one, and the same once a minute.
func (w *writer) complain(message string, err error, more ...any) {
	kind := err.Error()
	if errno := syscall.Errno(0); errors.As(err, &errno) { // the rest of the text has numbers that change
		kind = errno.Error()
	}
	log := w.v.o.Log.Error
	if w.out.tries > 1 && kind == w.out.told && time.Since(w.out.toldAt) < complainEvery {
		log = w.v.o.Log.Debug
	} else {
		w.out.told, w.out.toldAt = kind, time.Now()
	}
	if !w.out.since.IsZero() {
		more = append(more, "down_for", w.out.lasted())
	}
	log(message, append([]any{"dir", w.v.dir.Path(), "error", err}, more...)...)
}

// leave lets go of the disk: nothing of ours is open on it any more.
func (w *writer) leave(cause error) {
	v := w.v
	reason := cause.Error()
	v.away.Store(&reason)
	if err := v.ring.Leave(); err != nil {
		v.o.Log.Debug("files of a disk that is gone", "error", err) // they say what the disk said before
	}
	if v.unlock != nil {
		v.unlock()
		v.unlock = nil
	}
}

// comeBack takes the ring again, if it is there and nobody else has it.
func (w *writer) comeBack() (err error) {
	v := w.v
	err = v.ring.Present()
	var other *ring.OtherRingError
	v.replaced.Store(errors.As(err, &other))
	if errors.Is(err, ring.ErrAbsent) {
		return &MissingError{v.dir.Path(), v.ring.UUID}
	}
	if err != nil {
		return err
	}
	unlock, err := v.dir.Relock()
	var inUse *InUseError
	if errors.As(err, &inUse) {
		return fmt.Errorf("somebody else has taken the ring: %w", err)
	}
	if err != nil {
		return cannotWrite(v.dir.Path(), err)
	}
	v.unlock = unlock
	fresh, err := v.ring.Reopen()
	if err != nil {
		return err
	}
	mine, err := w.alone(fresh)
	if faults := v.ring.NewFaults(fresh); err == nil && len(faults) > 0 && w.out.doubts < maxDoubts {
		w.out.doubts++
		err = fmt.Errorf("%d pools cannot be read that could be read before; the first: %w", len(faults), faults[0])
	}
	if err != nil {
		fresh.Close()
		return err
	}
	for _, s := range fresh.Used() {
		w.open = max(w.open, s.OpenID+1)
	}
	for _, n := range v.ring.Return(fresh, mine) {
		v.drop(n)
	}
	v.cache.clear()
	v.told.Range(func(n, _ any) bool {
		if v.ring.Fault(n.(int)) == nil {
			v.told.Delete(n)
		}
		return true
	})
	v.tellFaults()
	if !mine {
		w.out.stranger = true
		v.o.Log.Warn("somebody else has written to the ring meanwhile; it is read again", "dir", v.dir.Path())
		if err := w.startOver(); err != nil {
			return err
		}
		w.out.stranger = false
	}
	if !mine || !v.indexed.Load() || v.indexFailed.Load() {
		v.indexAgain.Store(true)
		v.wakeIndexer()
	}
	v.keeper.loaded.Store(false) // somebody may have changed the locks
	v.wakeKeeper()
	v.o.Log.Debug("the disk is there; it is tried", "dir", v.dir.Path())
	return nil
}

// alone reports whether nobody else has written to the ring since the last commit:
// whether fresh holds what this writer knows, and beyond it nothing but what this
// writer tried. Another writer begins with a group_seq that is openJump above all
// that it finds.
func (w *writer) alone(fresh *ring.Ring) (bool, error) {
	if w.out.stranger {
		return false, nil
	}
	if w.head >= 0 && fresh.Fault(w.head) == nil {
		known, found := w.v.ring.Super(w.head), fresh.Super(w.head)
		if found.Generation < known.Generation || found.Counter > known.Counter+1 { // an older copy; more than one update
			return false, nil
		}
	}
	for _, s := range fresh.Used() {
		n, from := int(s.Pool), int64(pool.FirstGroup)
		known := w.v.ring.Super(n).Generation
		switch {
		case s.Generation > w.highest:
			return false, nil
		case n == w.head && s.Generation == known:
			if known := w.pool.Pool().Directory; len(known) > 0 {
				last := &known[len(known)-1]
				from = last.Offset + int64(last.TotalLen)
			}
		case s.Generation <= known:
			continue
		}
		f, err := fresh.File(n)
		if err != nil {
			return false, err
		}
		alone := true
		err = pool.Scan(f, fresh.Identity(n), from, fresh.Size, maxHole, func(g pool.Group) bool {
			alone = g.Seq <= w.seq
			return alone
		})
		if spots := (*pool.UnreadableError)(nil); err != nil && !errors.As(err, &spots) {
			return false, fmt.Errorf("pool %03d: %w", n, err)
		}
		if !alone {
			return false, nil
		}
	}
	return true, nil
}

// startOver reads the ring as a start does, but all of the newest pool at once.
func (w *writer) startOver() error {
	open, seq, highest := w.open, w.seq, w.highest
	w.dirBytes, w.earlyTaken = 0, true
	err := w.recover(w.v.headGroups)
	w.open, w.seq, w.highest = max(w.open, open+1), max(w.seq, seq+openJump), max(w.highest, highest)
	w.durable = w.seq
	w.v.first.Store(w.highest + 1)
	w.full = true
	return err
}

// isGone tells errors of a disk that is lost as a whole from those of a place
// on it.
func isGone(err error) bool {
	for _, gone := range []error{syscall.EROFS, syscall.ENODEV, syscall.ENXIO, syscall.ENOTCONN, syscall.ESTALE, syscall.ESHUTDOWN, ring.ErrAway} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// letGo reports whether the volume has let go of its disk, which is down.
func (v *Volume) letGo() bool { return v.away.Load() != nil }

// wakeIndexer has what is to be indexed again looked at.
func (v *Volume) wakeIndexer() {
	select {
	case v.indexer <- struct{}{}:
	default:
	}
}

// indexOlder indexes what is older than the writer's pool, and again what an
// outage has hidden or somebody else has changed.
func (v *Volume) indexOlder(ctx context.Context) {
	var err error
	if v.early != nil {
		// First what describes the head's footage, should its beginning not.
		err = errors.Join(v.indexBefore(int(v.early.id.Pool)), v.readEarly(ctx))
	}
	all := func() error {
		defer disk.Idle()()
		return v.indexAll(ctx)
	}
	err = errors.Join(err, all())
	for {
		if v.earlyMissed.Swap(false) {
			err = errors.Join(err, v.indexPool(int(v.early.id.Pool), nil))
		}
		v.indexFailed.Store(err != nil)
		if err != nil && ctx.Err() == nil {
			v.o.Log.Error("older footage could not be indexed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-v.indexer:
		}
		err = nil
		if v.indexAgain.Swap(false) {
			err = all()
		}
	}
}
