package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/store/ring"
)

type opening struct {
	volume *Volume
	err    error
}

// awaitOpened takes the volumes in that are being opened, as they come. Those that do
// not answer are left to Run.
func (a *Archive) awaitOpened(ctx context.Context) {
	waiting, enough := context.WithCancel(context.Background())
	defer enough()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(openingMayTake, enough) })()
	for a.takeOpened() > 0 {
		if a.writable() > 0 {
			defer time.AfterFunc(openPatience, enough).Stop()
		}
		select {
		case <-a.answers:
		case <-waiting.Done():
			a.giveUpOpening(ctx)
			return
		}
	}
}

// takeOpened takes in what is open, and returns how many are still being opened.
func (a *Archive) takeOpened() (left int) {
	for _, m := range a.members {
		if !m.trying {
			continue
		}
		select {
		case r := <-m.opened:
			m.trying = false
			a.take(m, r)
		default:
			left++
		}
	}
	return left
}

// giveUpOpening says of the volumes that are still being opened why they are not
// there.
func (a *Archive) giveUpOpening(ctx context.Context) {
	for _, m := range a.members {
		switch {
		case !m.trying:
		case ctx.Err() != nil:
			m.fail(&cutShortError{m.Dir + ": opening was cut short; a ring that is half made is begun again at the next start", ctx.Err()})
		default:
			m.fail(fmt.Errorf("%s: the disk does not answer", m.Dir))
			a.log.Error("a volume does not answer; recording begins without it", "volume", m.Name, "dir", m.Dir)
		}
	}
}

func (m *member) dir() disk.Dir {
	if m.Disk != nil {
		return m.Disk
	}
	return direct.New(m.Dir, slog.New(slog.DiscardHandler))
}

// open begins to open the volume; how it went comes to m.opened, and to answers
// (may be nil) that it did. A disk that hangs holds nobody but that goroutine.
func (m *member) open(ctx context.Context, known roster, answers chan<- *member) {
	m.trying = true
	go func() {
		defer func() {
			if answers != nil {
				answers <- m
			}
		}()
		if id, ok := known.Volumes[m.Name]; ok && !ring.Exists(m.dir()) {
			m.opened <- opening{nil, &MissingError{m.Dir, id}}
			return
		}
		v, err := Open(ctx, m.options())
		m.opened <- opening{v, err}
	}()
}

func (m *member) openReadOnly() {
	m.trying = true
	go func() {
		v, err := OpenReadOnly(m.options())
		m.opened <- opening{v, err}
	}()
}

func (m *member) options() Options {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Options
}

func (m *member) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// why is the reason for which the volume is not there.
func (m *member) why() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// take takes a volume in that was opened.
func (a *Archive) take(m *member, r opening) {
	if r.err != nil && len(a.members) > 1 {
		r.err = fmt.Errorf("volume %s: %w", m.Name, r.err)
	}
	m.fail(r.err)
	if r.err == nil {
		m.volume.Store(r.volume)
	}
}

// down reports whether the volume does not take footage at present.
func (m *member) down() bool {
	v := m.volume.Load()
	return v == nil || m.Retired || m.ended.Load() || v.counters.down.Load() || v.counters.stalled.Load()
}

// wait waits until the member has ended, or ctx has and it commits nothing any
// more: a call that hangs in the kernel cannot be ended.
func (m *member) wait(ctx context.Context, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	for last := int64(-1); ; {
		select {
		case err := <-ended:
			return err
		case <-time.After(stuckAfter):
		}
		v := m.volume.Load()
		if v == nil {
			return nil // it is still being opened
		}
		now := v.counters.commits.Load()
		if now == last {
			m.stuck.Store(true)
			left, _ := v.queue.len()
			return fmt.Errorf("volume %s: the disk hangs; at least %d records were not committed", m.Name, left)
		}
		last = now
	}
}

// runMember opens the volume if it is not there, again and again, and runs it.
// It ends everything when there is no volume left to write to.
func (a *Archive) runMember(ctx context.Context, m *member, end func()) error {
	var err error
	for {
		if !a.await(ctx, m) {
			return nil
		}
		if m.Retired {
			<-ctx.Done()
			return nil
		}
		v := m.volume.Load()
		var again bool
		if again, err = a.runVolume(ctx, m, v); !again {
			break
		}
		if err := errors.Join(err, v.Close()); err != nil {
			a.log.Error("what a volume had taken when it went down is lost", "volume", m.Name, "error", err)
		}
	}
	m.ended.Store(true)
	if err != nil && len(a.members) > 1 {
		err = fmt.Errorf("volume %s: %w", m.Name, err)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Error("a volume is written no more", "volume", m.Name, "error", err)
		if !slices.ContainsFunc(a.members, func(m *member) bool { return !m.Retired && !m.ended.Load() }) {
			end()
		}
		<-ctx.Done()
	}
	return err
}

// runVolume runs the volume until ctx ends, or another ring has taken its place:
// again is true then.
func (a *Archive) runVolume(ctx context.Context, m *member, v *Volume) (again bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m.runs(ctx)
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return again, err
		case now := <-tick.C:
			if !again && v.replaced.Load() && a.dismiss(m, now) {
				again = true
				a.log.Error("a volume's disk was replaced: it is opened with the ring that is there now", "volume", m.Name)
				stop()
			}
		}
	}
}

// dismiss takes a volume out whose ring is gone for good, if another one is up.
func (a *Archive) dismiss(m *member, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.ContainsFunc(a.members, func(o *member) bool { return o != m && a.isUp(o, now) }) {
		return false
	}
	m.volume.Store(nil)
	m.fail(fmt.Errorf("volume %s: its disk was replaced", m.Name))
	return true
}

// await returns true when the volume is there, false when ctx ended before.
func (a *Archive) await(ctx context.Context, m *member) bool {
	if m.volume.Load() != nil {
		return true
	}
	var told string
	if err := m.why(); err != nil {
		told = err.Error()
	}
	wait := a.retry
	if m.Retired {
		wait = 0
	}
	for {
		var again <-chan time.Time
		if !m.trying {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return false
		case <-again:
			wait = a.retry
			if m.Retired {
				m.openReadOnly()
			} else {
				m.open(ctx, a.roster(), nil)
			}
		case r := <-m.opened:
			m.trying = false
			a.take(m, r)
			if r.err == nil {
				a.arrived(m)
				return true
			}
			level := slog.LevelDebug
			if why := m.why().Error(); why != told {
				level, told = slog.LevelError, why
			}
			a.log.Log(ctx, level, "a volume cannot be opened; it is tried again", "volume", m.Name, "every", a.retry, "error", m.why())
		}
	}
}

// arrived is what follows when a volume that was missing is there: cameras whose
// newest footage it has turn out to belong there.
func (a *Archive) arrived(m *member) {
	a.log.Info("a volume is there", "volume", m.Name, "dir", m.Dir)
	if m.Retired {
		return
	}
	a.remember()
	a.mu.Lock()
	defer a.mu.Unlock()
	m.up, m.upAt = true, time.Now()
	for camera, h := range a.homes {
		if newest := m.newest(camera); h.chosen && !h.known && newest > h.newest {
			h.member, h.newest, a.moved = m, newest, true
		}
	}
}

// look watches the volumes, so that no coming and going is missed, and sees to it
// that the time before the start is accounted for.
func (a *Archive) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for accounted := false; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			a.mu.Lock()
			for _, m := range a.members {
				a.isUp(m, now)
			}
			moved := a.moved
			a.mu.Unlock()
			if moved {
				a.remember()
			}
			accounted = accounted || a.account()
		}
	}
}

// isUp reports whether a volume takes footage, and notes when that changes. With
// a.mu held.
func (a *Archive) isUp(m *member, now time.Time) bool {
	up := !m.down()
	if up == m.up {
		return up
	}
	m.up = up
	if m.Retired || len(a.members) == 1 {
		return up
	}
	if up {
		m.upAt = now
		a.log.Info("a volume is well again", "volume", m.Name, "gets_its_cameras_back_in", a.settle)
	} else {
		a.log.Error("a volume is down; others take its cameras over", "volume", m.Name, "dir", m.Dir)
	}
	return up
}

// there reports whether the volume's directory is the ring's, as far as is known.
func (m *member) there() bool {
	v := m.volume.Load()
	return v != nil && !v.letGo()
}
