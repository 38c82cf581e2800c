package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
)

// TestRingProperty is the ring as a state machine: footage is appended, the ring
// wraps, the power goes, the process is killed or stops, and readers hold on to
// what they found across all that the writer does. A reader gets the bytes that
// were written, or ErrOverwritten when their pool was taken, and never others.
// Footage is locked: what a lock covers is there for ever, or the lock says that
// it is lost; what a lock once called kept is never lost.
//
// -rapid.checks=1000 tries more; what fails is shrunk and replayed with -rapid.seed.
func TestRingProperty(t *testing.T) {
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "rapid.checks" })
	if checks := flag.Lookup("rapid.checks"); !chosen { // its default takes half a minute
		defer checks.Value.Set(checks.DefValue)
		checks.Value.Set(strconv.Itoa(defaultCrashStates / 15))
	}
	rapid.Check(t, func(rt *rapid.T) {
		// rapid ends a test by a panic, which must not leave the bubble by itself.
		var failure any
		synctest.Test(t, func(t *testing.T) {
			m := newRingMachine(t, rt)
			defer m.end()
			defer func() { failure = recover() }()
			rt.Repeat(map[string]func(*rapid.T){
				"":         m.check,
				"append":   m.append,
				"commit":   m.commitAll,
				"new run":  func(rt *rapid.T) { m.newRun(m.stream(rt)) },
				"hold":     m.hold,
				"lock":     m.lock,
				"unlock":   m.unlock,
				"lock cut": m.lockCut,
				"read":     m.readHeld,
				"walk":     m.walk,
				"stop":     m.stop,
				"kill":     m.kill,
				"cut":      m.cutNow,
				"cut soon": m.cutSoon,
				"grow":     m.grow,
				"grow ill": m.growIll,
				"grow cut": m.growCut,
			})
		})
		if failure != nil {
			panic(failure)
		}
	})
}

// ringMachine is the simulation with readers, led by rapid.
type ringMachine struct {
	*simulation
	held   []heldRef
	walker *walker
	locks  []*machineLock
	ending *machineLock // that the power cut may have ended
	making []footageKey // what a lock covers that the power cut may have made

	ops sync.Mutex // the writer and the keeper both change the disk: one operation at a time
}

// machineLock is a lock that is durable.
type machineLock struct {
	id   string
	want []footageKey // what was there when it was made
	kept bool         // it said so
}

// heldRef is what a reader found and has not read yet.
type heldRef struct {
	footage
	ref media.Ref
}

// walker is a slow reader in the middle of a stream.
type walker struct {
	next func() (*media.Entry, error, bool)
	stop func()
	last int
}

func newRingMachine(t *testing.T, rt *rapid.T) *ringMachine {
	seed := rapid.Uint64().Draw(rt, "seed")
	m := &ringMachine{simulation: newSimulation(newRig(t, rapid.IntRange(2, 4).Draw(rt, "pools"), 8), rapid.IntRange(1, 2).Draw(rt, "cameras"), rand.New(rand.NewPCG(seed, 3)))}
	m.fatal = rt.Fatalf
	m.o.VaultBytes, m.busy = 1<<40, true
	time.Sleep(time.Duration(epoch) - time.Duration(time.Now().UnixNano()) + 365*24*time.Hour) // footage lies in the past
	m.disk.Hook(m.watch)
	m.opened()
	return m
}

func (m *ringMachine) end() {
	m.forget()
	m.left = []*memdisk.Dir{}
	m.close()
}

// watch reads what is held at every step of the writer.
func (m *ringMachine) watch(op memdisk.Op) error {
	if !op.Changes() {
		return nil
	}
	m.ops.Lock()
	defer m.ops.Unlock()
	err := m.hook(op)
	if m.left == nil && m.v != nil && len(m.held) > 0 {
		m.read(m.held[m.rng.IntN(len(m.held))], "before "+op.String())
	}
	return err
}

func (m *ringMachine) read(h heldRef, when string) {
	b, err := m.v.Payload(context.Background(), h.ref, nil)
	reused := m.overwritten(place{h.ref.Pool, h.ref.Generation})
	switch {
	case errors.Is(err, media.ErrOverwritten) && reused:
	case err != nil:
		m.must(fmt.Errorf("%v in %+v: %w (its pool was reused: %t)", &h.footage, h.ref, err, reused), when)
	case len(b) != h.size || !h.wrote(b):
		m.must(fmt.Errorf("%v in %+v: other bytes", &h.footage, h.ref), when)
	}
}

func (m *ringMachine) stream(rt *rapid.T) *media.Stream {
	return m.streams[rapid.IntRange(0, len(m.streams)-1).Draw(rt, "camera")]
}

func (m *ringMachine) append(rt *rapid.T) {
	s := m.stream(rt)
	size := rapid.SampledFrom([]int{1, 4000, 300_000, 1_000_000, 2_500_000, media.MaxSampleBytes}).Draw(rt, "bytes")
	for range rapid.IntRange(1, 6).Draw(rt, "records") {
		m.offer(s, size)
	}
}

func (m *ringMachine) commitAll(*rapid.T) { m.commit() }

// check says that what readers see is what was acknowledged, at rest.
func (m *ringMachine) check(*rapid.T) {
	synctest.Wait()
	m.must(m.settle(m.v, false, false), "at rest")
	m.must(m.checkLocks(), "at rest")
}

// checkLocks says that each lock has what it covers, or says that it is lost; one
// that is still busy gets its time.
func (m *ringMachine) checkLocks() error {
	err := m.lookAtLocks()
	for i := 0; err != nil && i < 3; i++ {
		if !slices.ContainsFunc(m.v.Locks(), func(l LockStatus) bool { return l.State == LockPending }) {
			return err
		}
		m.sleep(keepEvery)
		err = m.lookAtLocks()
	}
	return err
}

func (m *ringMachine) lookAtLocks() error {
	seen := map[footageKey]*media.Entry{}
	for _, s := range m.streams {
		list, err := entries(m.v, s)
		if err != nil {
			return err
		}
		for _, e := range list {
			seen[entryKey(e)] = e
		}
	}
	if n := len(m.v.Locks()); n != len(m.locks) {
		return fmt.Errorf("%d locks, %d were made", n, len(m.locks))
	}
	for _, l := range m.locks {
		s, err := lockByID(m.v.Locks(), l.id)
		if err != nil {
			return err
		}
		l.kept = l.kept || s.State == LockKept
		for _, key := range l.want {
			f := m.claims[m.byKey[key]].footage
			e := seen[key]
			lost := slices.ContainsFunc(s.Lost, func(x LockLoss) bool { return x.Span.From <= f.wall() && f.wall()+second <= x.Span.To })
			switch {
			case e == nil && (l.kept || !lost):
				return fmt.Errorf("lock %s: %v is not there (kept once: %t, lost: %t): %+v", l.id, &f, l.kept, lost, s)
			case e != nil && e.Ref.Kept > 0:
				if err := f.check(m.v, e); err != nil {
					return fmt.Errorf("lock %s: %v: %w", l.id, &f, err)
				}
			}
		}
	}
	return nil
}

// request is a lock of some of what there is of a stream.
func (m *ringMachine) request(rt *rapid.T) (LockRequest, []footageKey) {
	s := m.stream(rt)
	list, err := entries(m.v, s)
	m.must(err, "list")
	if len(list) == 0 || len(m.locks) >= 5 {
		return LockRequest{}, nil
	}
	from := rapid.IntRange(0, len(list)-1).Draw(rt, "from")
	to := rapid.IntRange(from, min(len(list)-1, from+15)).Draw(rt, "to")
	r := LockRequest{Camera: s.Camera.ID, Reason: "rapid", Span: media.Span{From: list[from].Wall, To: list[to].End()}}
	if r.Span.Empty() {
		return LockRequest{}, nil
	}
	var want []footageKey
	for _, e := range list {
		if r.Span.Overlaps(media.Span{From: e.Wall, To: e.End()}) {
			want = append(want, entryKey(e))
		}
	}
	return r, want
}

func (m *ringMachine) lock(rt *rapid.T) {
	if r, want := m.request(rt); want != nil {
		m.addLock(r, want)
	}
}

func (m *ringMachine) addLock(r LockRequest, want []footageKey) {
	m.making = want
	l, err := m.v.AddLock(context.Background(), r)
	if m.off() {
		return
	}
	m.making = nil
	m.must(err, "lock")
	synctest.Wait()
	m.tell("lock %s: %d records", l.ID, len(want))
	m.locks = append(m.locks, &machineLock{id: l.ID, want: want})
}

func (m *ringMachine) unlock(rt *rapid.T) {
	if len(m.locks) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.locks)-1).Draw(rt, "lock")
	m.tell("unlock %s", m.locks[i].id)
	m.must(m.v.RemoveLock(context.Background(), m.locks[i].id), "unlock")
	m.locks = slices.Delete(m.locks, i, i+1)
}

// lockCut puts the cut into a lock, or its copying, or its end.
func (m *ringMachine) lockCut(rt *rapid.T) {
	r, want := m.request(rt)
	end := want == nil || len(m.locks) > 0 && rapid.Bool().Draw(rt, "end")
	if end && len(m.locks) == 0 {
		return
	}
	m.cut = rapid.IntRange(1, 25).Draw(rt, "steps")
	if end {
		m.tell("unlock %s, cut", m.locks[0].id)
		m.ending = m.locks[0]
		err := m.v.RemoveLock(context.Background(), m.locks[0].id)
		if !m.off() {
			m.must(err, "unlock")
			m.locks, m.ending = m.locks[1:], nil
		}
	} else {
		m.addLock(r, want)
	}
	synctest.Wait()
	if m.left == nil {
		m.sleep(5 * time.Second)
	}
	if m.left == nil {
		m.cut = -1
		return
	}
	left, after := m.left[0], m.after
	m.forget()
	m.close()
	m.account = after
	m.over(left)
}

// hold remembers what a reader finds now.
func (m *ringMachine) hold(rt *rapid.T) {
	list, err := entries(m.v, m.stream(rt))
	m.must(err, "list")
	if len(list) == 0 {
		return
	}
	e := list[rapid.IntRange(0, len(list)-1).Draw(rt, "entry")]
	m.held = append(m.held, heldRef{m.claims[m.byKey[entryKey(e)]].footage, e.Ref})
	if len(m.held) > 20 {
		m.held = m.held[1:]
	}
}

func (m *ringMachine) readHeld(*rapid.T) {
	for _, h := range m.held {
		m.read(h, "held")
	}
}

// walk goes on with a listing that may have begun many commits ago.
func (m *ringMachine) walk(rt *rapid.T) {
	if m.walker == nil {
		next, stop := iter.Pull2(m.v.Entries(context.Background(), m.stream(rt).ID(), media.Always))
		m.walker = &walker{next, stop, -1}
	}
	for range rapid.IntRange(1, 10).Draw(rt, "steps") {
		e, err, ok := m.walker.next()
		if !ok {
			m.walker.stop()
			m.walker = nil
			return
		}
		m.must(err, "walk")
		i, known := m.byKey[entryKey(e)]
		if !known || i <= m.walker.last {
			m.must(fmt.Errorf("record %d of run %d, known %t, behind number %d", e.Start/90000, e.Run, known, m.walker.last), "walk")
		}
		m.walker.last = i
		m.read(heldRef{m.claims[i].footage, e.Ref}, "walk")
	}
}

// maxGrown is how many pools the ring may have: more are not filled in a check.
const maxGrown = 7

// more raises max_pools; false: there are enough.
func (m *ringMachine) more(rt *rapid.T) bool {
	if m.o.Pools >= maxGrown {
		return false
	}
	m.o.Pools += rapid.IntRange(1, 2).Draw(rt, "more")
	return true
}

// grow adds pools while the writer and the readers go on.
func (m *ringMachine) grow(rt *rapid.T) {
	if m.more(rt) {
		m.must(m.v.ring.Grow(context.Background(), m.o.Pools, nil), "grow")
	}
	if n := m.v.ring.Pools(); n > m.o.Pools {
		m.fatal("the ring has %d pools, and was to have %d", n, m.o.Pools)
	}
}

// growIll fails at some step; then the ring has its pools, and can grow again.
func (m *ringMachine) growIll(rt *rapid.T) {
	had := m.v.ring.Pools()
	if !m.more(rt) {
		return
	}
	m.fail, m.fails = rapid.IntRange(1, 20).Draw(rt, "steps"), 1
	err := m.v.ring.Grow(context.Background(), m.o.Pools, nil)
	m.fail = -1
	if n := m.v.ring.Pools(); (n != had) == (err != nil) {
		m.fatal("the ring had %d pools, has %d, was to have %d: %v", had, n, m.o.Pools, err)
	}
}

// growCut puts the cut into the middle of a growth.
func (m *ringMachine) growCut(rt *rapid.T) {
	if !m.more(rt) {
		return
	}
	m.cut = rapid.IntRange(1, 20).Draw(rt, "steps")
	err := m.v.ring.Grow(context.Background(), m.o.Pools, nil)
	if m.left == nil {
		m.cut = -1
		m.must(err, "grow")
		return
	}
	m.powerOff()
}

// forget lets the readers go: their volume ends.
func (m *ringMachine) forget() {
	m.held = nil
	if m.walker != nil {
		m.walker.stop()
		m.walker = nil
	}
}

func (m *ringMachine) stop(*rapid.T) {
	m.forget()
	m.must(m.close(), "stop")
	m.opened()
}

func (m *ringMachine) kill(*rapid.T) { m.over(m.disk.Killed()) }

func (m *ringMachine) cutNow(rt *rapid.T) {
	m.over(m.disk.Crash(m.rng, memdisk.Model(rapid.IntRange(0, int(memdisk.Models)-1).Draw(rt, "model"))))
}

// over ends the process and goes on with what is left on the disk.
func (m *ringMachine) over(left *memdisk.Dir) {
	m.forget()
	m.left = []*memdisk.Dir{}
	m.close()
	m.left, m.after, m.cut = nil, nil, -1
	left.Hook(m.watch)
	m.on(left)
	m.opened()
	m.unsure()
	m.must(m.settle(m.v, false, true), "opened again")
	m.must(m.checkLocks(), "opened again")
}

// off reports whether the power has gone.
func (m *ringMachine) off() bool {
	m.ops.Lock()
	defer m.ops.Unlock()
	return m.left != nil
}

// unsure takes in what became of the lock that was being made or ended when the
// power went.
func (m *ringMachine) unsure() {
	there := m.v.Locks()
	m.locks = slices.DeleteFunc(m.locks, func(l *machineLock) bool {
		_, err := lockByID(there, l.id)
		return err != nil && l == m.ending
	})
	for _, l := range there {
		if !slices.ContainsFunc(m.locks, func(o *machineLock) bool { return o.id == l.ID }) {
			m.locks = append(m.locks, &machineLock{id: l.ID, want: m.making})
		}
	}
	m.ending, m.making = nil, nil
}

// cutSoon puts the cut into the middle of what the writer does next.
func (m *ringMachine) cutSoon(rt *rapid.T) {
	m.cut = rapid.IntRange(1, 12).Draw(rt, "steps")
	m.append(rt)
	m.commit()
	if m.left == nil {
		m.cut = -1
		return
	}
	m.powerOff()
}

// powerOff goes on with what the cut left.
func (m *ringMachine) powerOff() {
	left, after := m.left[0], m.after
	m.forget()
	m.close()
	m.account = after
	m.over(left)
}
