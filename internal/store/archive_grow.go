package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nvr/internal/disk"
	"nvr/internal/store/ring"
)

// growingMayTake is for how long a growth is waited for that is to end: a call that
// hangs in the kernel cannot be ended.
const growingMayTake = 1500 * time.Millisecond

// Grow adds pools to the ring in o.Dir until it has o.Pools of them. Nobody may
// record into it meanwhile: the error is an *InUseError then (see Archive.Grow). A
// ring that would have to shrink, or that has pools of another size, is a
// *MismatchError. After any error, ctx's too, the ring is what it was. It returns
// how many pools there were.
func Grow(ctx context.Context, o Options) (had int, err error) {
	v := newVolume(o)
	if !ring.Exists(v.dir) {
		return 0, fmt.Errorf("%s: %w", v.dir.Path(), ErrNotFound)
	}
	unlock, err := v.dir.Lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	s, err := ring.Shape(v.dir)
	if err != nil {
		return 0, err
	}
	if err := sameSize(v.dir.Path(), s.Size, o.PoolBytes); err != nil {
		return s.Pools, err
	}
	return s.Pools, ring.Grow(ctx, v.dir, o.Pools, o.Progress)
}

func sameSize(path string, is, wanted int64) error {
	if is == wanted {
		return nil
	}
	return &MismatchError{Path: path, Reason: fmt.Sprintf("the ring here has pools of %d MiB, and the configuration says %d", is>>20, wanted>>20),
		Remedy: fmt.Sprintf("nothing was changed; pools keep their size: set chunk_size_mb = %d again, or add a volume for a ring of another shape", is>>20)}
}

// Grow adds pools to the ring of the volume o.Name in o.Dir while it is recorded
// into, until it has o.Pools of them, of o.PoolBytes each; o.Progress (may be nil)
// hears of it, nothing else of o counts. It lets recording go first at the disk, and
// an error of its is no error of the writer's. Errors are those of Grow; when ctx
// ends, or the disk goes away, the ring is what it was. A growth that hangs in
// the kernel then is left behind, and may still turn out to have been done.
func (a *Archive) Grow(ctx context.Context, o VolumeOptions) (had int, err error) {
	i := slices.IndexFunc(a.members, func(m *member) bool { return m.Name == o.Name })
	if i < 0 || a.members[i].Dir != o.Dir {
		return 0, fmt.Errorf("the recorder that runs has no volume %s in %s: its configuration was another one when it started", o.Name, o.Dir)
	}
	m := a.members[i]
	v, running := m.at()
	switch {
	case m.Retired:
		return 0, fmt.Errorf("volume %s is retired: nothing is written there any more", m.Name)
	case v == nil || running == nil || running.Err() != nil || v.letGo():
		return 0, fmt.Errorf("volume %s is not there at present: nvr status tells why", m.Name)
	}
	had = v.ring.Pools()
	if err := sameSize(m.Dir, v.ring.Size, o.PoolBytes); err != nil {
		return had, err
	}
	if !m.growth.CompareAndSwap(false, true) {
		return had, fmt.Errorf("volume %s is growing already: wait until it has grown", m.Name)
	}
	a.log.Info("a ring grows", "volume", m.Name, "dir", m.Dir, "pools", had, "to", o.Pools)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(running, stop)()
	grown := make(chan error, 1)
	go func() {
		restore := disk.Idle()
		err := v.ring.Grow(ctx, o.Pools, o.Progress)
		restore()
		if err == nil || errors.Is(err, ring.ErrUncertain) {
			m.wants(o.Pools)
		}
		if err == nil {
			a.log.Info("a ring has grown", "volume", m.Name, "dir", m.Dir, "pools", o.Pools)
		}
		// Not before it has really ended may another growth begin: late, it would
		// take away what that one made.
		m.growth.Store(false)
		grown <- err
	}()
	return had, m.grown(ctx, grown)
}

// grown waits for a growth, but not for long when ctx has ended.
func (m *member) grown(ctx context.Context, done <-chan error) error {
	var err error
	select {
	case err = <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err = <-done:
	case <-time.After(growingMayTake):
		err = ctx.Err()
	}
	if errors.Is(err, ctx.Err()) {
		return &cutShortError{fmt.Sprintf("volume %s: growing was cut short, the ring is what it was: %v", m.Name, err), err}
	}
	return err // also nil: it was faster
}

// at returns the volume, nil: it is not there; and the context of its Run, nil: it
// has not run yet.
func (m *member) at() (*Volume, context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.volume.Load(), m.running
}

func (m *member) runs(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = ctx
}

// wants raises how many pools the ring is to have when it is opened the next time.
func (m *member) wants(pools int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Pools = max(m.Pools, pools)
}

// Exists reports whether there is a ring in o.Dir, be it readable or not.
func Exists(o Options) bool { return ring.Exists(newVolume(o).dir) }
