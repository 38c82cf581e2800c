package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/vault"
)

// Locks of an archive: each volume keeps, in its own vault, what it has of a
// lock's footage, and each has all locks in its register, so that a disk can be read
// on its own. A volume that was away learns what it missed when it is back.

// shareEvery is how often the registers are compared.
const shareEvery = 2 * time.Second

// AddLock locks footage of a camera on all volumes that have some. It returns when
// that is durable; Run copies what is locked. What lies on a retired volume is not
// copied: nothing writes over it.
func (a *Archive) AddLock(ctx context.Context, r LockRequest) (LockStatus, error) {
	volumes, names := a.lockable()
	if len(volumes) == 0 {
		return LockStatus{}, errors.New("no volume is there that could keep anything")
	}
	l, err := addLock(ctx, volumes, names, r, func(ctx context.Context, camera string, span media.Span) (int64, bool, error) {
		return lockStart(ctx, a.views(), camera, span)
	})
	if err != nil {
		return l, err
	}
	for _, m := range a.members {
		v := m.volume.Load()
		switch {
		case v == nil:
			l.Notes = append(l.Notes, fmt.Sprintf("volume %s is not there: what it has is locked when it is back", m.Name))
		case m.Retired && v.holdsOf(ctx, r.Camera, r.Span):
			l.Notes = append(l.Notes, fmt.Sprintf("volume %s is retired: what it has is not copied, it stays there as long as the volume does", m.Name))
		}
	}
	return l, nil
}

// lockable are the volumes that can keep something.
func (a *Archive) lockable() (volumes []*Volume, names []string) {
	for _, m := range a.members {
		if v := m.volume.Load(); v != nil && !m.Retired {
			volumes, names = append(volumes, v), append(names, m.Name)
		}
	}
	if len(a.members) == 1 {
		names = nil
	}
	return volumes, names
}

// holdsOf reports whether there is footage of a camera in a span.
func (v *Volume) holdsOf(ctx context.Context, camera string, span media.Span) bool {
	_, found, err := v.lockStart(ctx, camera, span)
	return err == nil && found
}

// RemoveLock gives up what only this lock keeps, on all volumes that are there.
func (a *Archive) RemoveLock(ctx context.Context, id string) error {
	volumes, _ := a.lockable()
	return removeLock(ctx, volumes, id)
}

// Locks lists the locks, oldest first.
func (a *Archive) Locks() []LockStatus {
	var volumes []*Volume
	var names []string
	for _, m := range a.members {
		if v := m.volume.Load(); v != nil {
			volumes, names = append(volumes, v), append(names, m.Name)
		}
	}
	return joinLocks(volumes, names)
}

// shareLocks tells each volume of the locks that others have, and of those that
// were removed, again and again until ctx ends.
func (a *Archive) shareLocks(ctx context.Context) {
	if len(a.members) == 1 {
		return
	}
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.compareLocks(ctx)
		}
	}
}

func (a *Archive) compareLocks(ctx context.Context) {
	volumes, names := a.lockable()
	locks, removed := map[string]vault.Lock{}, map[string]vault.Removed{}
	for _, v := range volumes {
		if !v.keeper.loaded.Load() || !v.indexed.Load() || v.kept().err != nil {
			return // not all is known yet
		}
		r := v.kept().register
		for _, l := range r.Locks {
			locks[l.ID] = l
		}
		for _, x := range r.Removed {
			removed[x.ID] = x
		}
	}
	for i, v := range volumes {
		r := v.kept().register
		for _, id := range slices.Sorted(maps.Keys(locks)) {
			l := locks[id]
			_, gone := removed[id]
			known := r.Find(id) != nil
			var err error
			switch {
			case gone && known:
				err = v.removeLock(id)
			case !gone && !known && !r.WasRemoved(id) && l.Expired == 0 && time.Now().UnixNano()-int64(l.Made) > int64(settledAfter):
				a.log.Info("a volume learns of a lock", "volume", names[i], "lock", id, "camera", l.Camera)
				l.Parts, l.Next, l.Complete = nil, 0, false
				if err = v.prepareLock(ctx, &l, 0); err == nil {
					err = v.registerLock(l)
				}
			}
			if err != nil {
				a.log.Error("a volume cannot take part in a lock", "volume", names[i], "lock", id, "error", err)
			}
		}
	}
}

// OpenArchiveForLocks opens the volumes as OpenForLocks does, retired ones for
// reading: for a command that adds or removes a lock while nobody records. All of
// those that are not retired must be there.
func OpenArchiveForLocks(o ArchiveOptions) (*Archive, error) {
	a := newArchive(o)
	for _, m := range a.members {
		open := OpenForLocks
		if m.Retired {
			open = OpenReadOnly
		}
		v, err := open(m.Options)
		a.take(m, opening{v, err})
		if err != nil && !m.Retired {
			err = m.why()
			a.Close()
			return nil, err
		}
	}
	return a, nil
}

// KeepNow copies what locks want, on an archive from OpenArchiveForLocks. progress
// (may be nil) hears of bytes of footage.
func (a *Archive) KeepNow(ctx context.Context, progress func(done, total int64)) error {
	a.compareLocks(ctx)
	ended := make(chan error, 1)
	volumes, _ := a.lockable()
	go func() {
		var errs []error
		for _, v := range volumes {
			errs = append(errs, v.KeepNow(ctx))
		}
		ended <- errors.Join(errs...)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			if progress != nil {
				progress(lockProgress(a.Locks()))
			}
		}
	}
}

// lockProgress sums up how much of the locks is done.
func lockProgress(locks []LockStatus) (done, total int64) {
	for _, l := range locks {
		done, total = done+l.Kept, total+l.Bytes
	}
	return done, total
}

// AwaitLock waits until nothing of a lock is left that the writers come to soon,
// or, with all, until nothing is left to copy of what there is; not for what is
// still to be recorded, and not when copying does not get on.
func (a *Archive) AwaitLock(ctx context.Context, id string, all bool, progress func(done, total int64)) (LockStatus, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := lockByID(a.Locks(), id)
		if err != nil {
			return l, err
		}
		progress(l.Kept, l.Bytes)
		volumes, _ := a.lockable()
		waits := slices.ContainsFunc(volumes, func(v *Volume) bool { return v.lockWaits(id, all) })
		if !waits || l.Trouble != "" {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return l, nil // it is locked all the same
		case <-tick.C:
		}
	}
}

// lockWaits reports whether the volume has something to copy for a lock: urgent,
// or all of it.
func (v *Volume) lockWaits(id string, all bool) bool {
	k := v.kept()
	l := k.register.Find(id)
	if l == nil || !v.keeper.loaded.Load() {
		return false
	}
	head := uint64(0)
	if used := v.ring.Used(); len(used) > 0 {
		head = used[len(used)-1].Generation
	}
	if all && !l.Complete && time.Now().UnixNano() > int64(l.To) {
		return true // what is there is not all known yet
	}
	return slices.ContainsFunc(l.Parts, func(p vault.Part) bool {
		return !p.Done && (all && (l.Complete || p.Generation < head) || v.urgent(vault.Name{Pool: p.Pool, Generation: p.Generation}))
	})
}
