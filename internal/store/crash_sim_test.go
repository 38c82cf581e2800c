package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
	"nvr/internal/store/ring"
)

// statesPerRun is how many crash states one seed examines.
const statesPerRun = 15

// TestCrashSimulation records at random and cuts the power at random steps of
// the disk: in the middle of commits, seals, activations, recoveries and the
// ring's creation, with errors of the disk mixed in. Every state that a cut may
// leave is recovered and compared with an independent account of what had been
// acknowledged.
//
// NVR_CRASH_STATES=10000 examines more; NVR_CRASH_SEED=7 one seed, with its story.
func TestCrashSimulation(t *testing.T) {
	states := defaultCrashStates
	if s, err := strconv.Atoi(os.Getenv("NVR_CRASH_STATES")); err == nil {
		states = s
	}
	first, runs := uint64(1), (states+statesPerRun-1)/statesPerRun
	if s, err := strconv.ParseUint(os.Getenv("NVR_CRASH_SEED"), 10, 64); err == nil {
		first, runs = s, 1
	}
	for i := range runs {
		seed := first + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

// fate is what became of a record or a gap.
type fate uint8

const (
	offered fate = iota // and never seen
	acked               // readers saw it
	reused              // readers saw it, and then its pool was taken for new footage
	lost                // it was not there after a power cut, and may never be again
	hidden              // as lost, but groups were there without the descriptions they need, which may come
)

// claim is a record, or a gap, that was offered.
type claim struct {
	footage
	fate  fate
	place place // where it was written
}

// account is the independent model: what was offered, in its order, and what
// became of it.
type account struct {
	claims  []claim
	byKey   map[footageKey]int
	gaps    map[int64]*claim  // by beginning
	reuses  map[uint32]uint64 // by pool: the highest generation that was tried to be written to its superblock
	streams []*media.Stream
}

func (a *account) clone() *account {
	c := *a
	c.claims, c.byKey, c.reuses = slices.Clone(a.claims), maps.Clone(a.byKey), maps.Clone(a.reuses)
	c.gaps = map[int64]*claim{}
	for at, g := range a.gaps {
		copied := *g
		c.gaps[at] = &copied
	}
	return &c
}

// overwritten says that a place was, or was about to be, taken for new footage.
func (a *account) overwritten(p place) bool { return a.reuses[p.pool] > p.generation }

// settle looks at what readers see and notes it; what must be there and is not,
// or must not be there and is, is an error. recovered says that v was just
// opened: what is not there now was lost.
func (a *account) settle(v *Volume, recovered, payloads bool) error {
	if faults := v.ring.Faults(); len(faults) > 0 {
		return faults[0] // no pool may be missing or spoilt
	}
	seen := map[int]bool{}
	for _, s := range a.streams {
		list, err := entries(v, s)
		if err != nil {
			return err
		}
		last := -1
		for _, e := range list {
			i, known := a.byKey[entryKey(e)]
			if !known {
				return fmt.Errorf("foreign: %s run %d start %d", s.Camera.ID, e.Run, e.Start)
			}
			c := &a.claims[i]
			if i <= last {
				return fmt.Errorf("twice or out of order: %v behind %v", &c.footage, &a.claims[last].footage)
			}
			last = i
			if c.fate == lost {
				return fmt.Errorf("back from the dead: %v in %+v", &c.footage, e.Ref)
			}
			if payloads {
				if err := c.check(v, e); err != nil {
					return fmt.Errorf("%v in %+v: %w", &c.footage, e.Ref, err)
				}
			}
			seen[i] = true
			c.fate, c.place = acked, place{e.Ref.Pool, e.Ref.Generation}
		}
		if err := totals(v, s, list); err != nil {
			return err
		}
	}
	gone := lost
	for _, p := range v.index.Load() {
		if p.Unknown > 0 {
			gone = hidden
		}
	}
	for i := range a.claims {
		c := &a.claims[i]
		switch {
		case seen[i]:
		case c.fate == offered && a.overwritten(c.place): // by the end of the same commit
			c.fate = reused
		case c.fate == acked && !a.overwritten(c.place):
			return fmt.Errorf("acknowledged and not there: %v, was in %+v", &c.footage, c.place)
		case c.fate == acked:
			c.fate = reused
		case c.fate == offered && recovered:
			c.fate = gone
		}
	}
	marks := gapMarks(v)
	for at, g := range a.gaps {
		p, there := marks[at]
		switch {
		case there && g.fate == lost:
			return fmt.Errorf("back from the dead: gap %d in %+v", at, p)
		case there:
			g.fate, g.place = acked, p
		case g.fate == offered && a.overwritten(g.place):
			g.fate = reused
		case g.fate == acked && !a.overwritten(g.place):
			return fmt.Errorf("acknowledged and not there: gap %d, was in %+v", at, g.place)
		case g.fate == acked:
			g.fate = reused
		case recovered && g.fate == offered:
			g.fate = lost
		}
	}
	return nil
}

// all says that everything that was offered and not lost is acknowledged.
func (a *account) all() error {
	for i := range a.claims {
		if a.claims[i].fate == offered {
			return fmt.Errorf("committed and not there: %v", &a.claims[i].footage)
		}
	}
	for at, g := range a.gaps {
		if g.fate == offered {
			return fmt.Errorf("committed and not there: gap %d", at)
		}
	}
	return nil
}

// simulation is one seed.
type simulation struct {
	*rig
	*account
	rng    *rand.Rand
	fatal  func(format string, args ...any)
	story  []string
	states int

	run    media.RunID
	number map[*media.Stream]int         // of the next record
	runs   map[*media.Stream]media.RunID // at present
	params map[*media.Stream]*media.Track
	gap    int64

	cut   int // the power goes at this step from now; < 0: not
	fail  int // an operation fails at this step from now; < 0: none
	fails int // and so many in a row
	left  []*memdisk.Dir
	after *account // at the moment of the cut

	busy bool // the keeper may be at work beside the writer: at a cut nothing is at rest
}

func (s *simulation) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf(format, args...))
}

func (s *simulation) must(err error, doing string) {
	if err == nil {
		return
	}
	for n := range s.o.Pools {
		s.tell("pool %d:\n%s", n, twin(s.disk, ring.Name(n)))
	}
	s.fatal("%s\n%s: %v\nreplay: NVR_CRASH_SEED=<the seed above> go test ./internal/store -run CrashSimulation", strings.Join(s.story, "\n"), doing, err)
}

// hook is asked before every operation of the disk.
func (s *simulation) hook(op memdisk.Op) error {
	if !op.Changes() {
		return nil
	}
	if s.left != nil {
		return syscall.ENODEV // the power is off
	}
	if p, ok := activation(op); ok {
		s.reuses[p.pool] = max(s.reuses[p.pool], p.generation)
	}
	keys, gaps, at := writtenBy(op)
	for _, key := range keys {
		s.claims[s.byKey[key]].place = at
	}
	for _, gap := range gaps {
		s.gaps[gap].place = at
	}
	if s.cut--; s.cut == 0 {
		s.crash(op.String())
		return syscall.ENODEV
	}
	if s.fail--; s.fail <= 0 && s.fail > -s.fails && (op.Kind == memdisk.Write || op.Kind == memdisk.Sync) {
		s.tell("  EIO: %v", op)
		return syscall.EIO
	}
	return nil
}

// crash takes what the power cut may leave, some of the many possibilities.
func (s *simulation) crash(at string) {
	s.after = s.account.clone()
	if s.v != nil && !s.busy {
		s.must(s.after.settle(s.v, false, false), "at the cut, before "+at)
	}
	for range 1 + s.rng.IntN(3) {
		model := memdisk.Model(s.rng.IntN(int(memdisk.Models)))
		s.tell("  power cut before %s: state %d, %v", at, len(s.left), model)
		s.left = append(s.left, s.disk.Crash(s.rng, model))
	}
}

func newSimulation(r *rig, cameras int, rng *rand.Rand) *simulation {
	s := &simulation{rig: r, rng: rng, cut: -1, fail: -1, gap: epoch,
		account: &account{byKey: map[footageKey]int{}, gaps: map[int64]*claim{}, reuses: map[uint32]uint64{}, streams: streams(cameras)},
		number:  map[*media.Stream]int{}, runs: map[*media.Stream]media.RunID{}, params: map[*media.Stream]*media.Track{}}
	for _, stream := range s.streams {
		s.newRun(stream)
		s.params[stream] = videoTrack
	}
	r.disk.Hook(s.hook)
	return s
}

func simulate(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	s := newSimulation(newRig(t, 2+rng.IntN(3), 8+4*rng.Int64N(2)), 1+rng.IntN(3), rng)
	s.fatal = t.Fatalf
	s.tell("seed %d: %d pools of %d MiB, %d streams", seed, s.o.Pools, s.o.PoolBytes>>20, len(s.streams))
	s.disk.Seed(seed)
	for s.states < statesPerRun {
		s.life()
	}
	if s.v != nil {
		s.left = nil
		s.cut, s.fail = -1, -1
		s.must(s.close(), "close")
	}
}

// life is what happens between two power cuts.
func (s *simulation) life() {
	s.cut, s.fail = -1, -1
	switch n := s.rng.IntN(4); {
	case n == 0:
		s.cut = 1 + s.rng.IntN(4) // while it opens, or soon after
	case n < 3 && s.states == 0:
		s.cut = 1 + s.rng.IntN(6*s.o.Pools+6) // while the ring is made
	}
	s.opened()
	steps := 1 + s.rng.IntN(12)
	for i := 0; s.left == nil; i++ {
		if i == steps && s.cut < 0 {
			s.cut = 1 + s.rng.IntN(1+s.rng.IntN(30))
			s.tell("cut in %d steps", s.cut)
		}
		s.step()
	}
	s.tell("  off")
	s.close() // its error is that the disk is gone
	s.account = s.after
	left := s.left
	s.left, s.after = nil, nil
	for i, d := range left[1:] {
		s.examine(d, i+1)
	}
	s.examine(left[0], 0)
	d := left[0]
	d.Hook(s.hook)
	s.on(d)
}

// opened opens the volume, unless the power goes.
func (s *simulation) opened() {
	err := s.rig.open()
	if s.left != nil {
		return
	}
	s.must(err, "open")
	s.must(s.settle(s.v, true, false), "after opening")
}

// step is one thing that happens.
func (s *simulation) step() {
	stream := s.streams[s.rng.IntN(len(s.streams))]
	switch n := s.rng.IntN(100); {
	case n < 45:
		for range 1 + s.rng.IntN(6) {
			s.offer(stream, s.size())
		}
	case n < 50:
		s.newRun(stream)
	case n < 54:
		s.params[stream] = &media.Track{Kind: media.Video, Codec: media.H265, ClockRate: 90000, Config: []byte{byte(s.rng.IntN(5))}, Width: 640, Height: 360}
	case n < 58:
		s.gap += second
		s.gaps[s.gap] = &claim{}
		if !s.v.OfferGap(media.Gap{Stream: stream, Span: media.Span{From: s.gap, To: s.gap + 1}, Reason: media.ReasonNoMedia}) {
			s.fatal("a gap was refused")
		}
	case n < 62:
		s.fail, s.fails = 1+s.rng.IntN(8), 1+s.rng.IntN(4)
		s.tell("errors in %d steps, %d", s.fail, s.fails)
	case n < 66:
		s.tell("stop")
		err := s.close()
		if s.left != nil {
			return
		}
		if !errors.Is(err, syscall.EIO) { // too many errors: what waits is given up
			s.must(err, "stop")
		}
		s.opened()
	case n < 69 && s.v.writer.failed == 0: // a disk that lost what it still shows is a power cut's matter
		s.tell("kill")
		killed := s.disk.Killed()
		s.left = []*memdisk.Dir{} // nothing of the old one reaches the disk
		s.close()
		s.left = nil
		killed.Hook(s.hook)
		s.on(killed)
		s.opened()
	default:
		s.commit()
	}
}

func (s *simulation) newRun(stream *media.Stream) {
	s.run++
	s.runs[stream], s.number[stream] = s.run, 0
}

func (s *simulation) size() int {
	size := 10 + s.rng.IntN(5000)
	switch n := s.rng.IntN(100); {
	case n < 40:
		size = 20_000 + s.rng.IntN(300_000)
	case n < 60:
		size = 500_000 + s.rng.IntN(1_500_000)
	case n < 65:
		size = media.MaxSampleBytes - s.rng.IntN(100_000)
	}
	return size
}

func (s *simulation) offer(stream *media.Stream, size int) {
	f := footage{stream, s.runs[stream], s.number[stream], size, s.params[stream]}
	s.number[stream]++
	s.byKey[f.key()] = len(s.claims)
	s.claims = append(s.claims, claim{footage: f})
	if !s.v.Offer(f.record()) {
		s.fatal("a record was refused")
	}
	synctest.Wait() // a full batch is written before its time
}

// commit waits until all that was offered is acknowledged, or the power is off.
func (s *simulation) commit() {
	s.tell("commit")
	for i := 0; ; i++ {
		s.beat()
		if s.left != nil {
			return
		}
		if s.idle() {
			break
		}
		if i == 60 {
			s.fatal("the writer does not commit")
		}
	}
	s.must(s.settle(s.v, false, false), "after a commit")
	s.must(s.all(), "after a commit")
}

// examine recovers what a power cut left, and records on it a little.
func (s *simulation) examine(d *memdisk.Dir, state int) {
	s.states++
	d = d.Killed()
	e := &simulation{rig: &rig{t: s.t, o: s.o}, account: s.account.clone(), rng: s.rng, fatal: s.fatal, story: append(slices.Clone(s.story), fmt.Sprintf("examining state %d", state)),
		run: s.run, number: maps.Clone(s.number), runs: maps.Clone(s.runs), params: s.params, cut: -1, fail: -1, gap: s.gap}
	e.on(d)
	var before []string
	if ro, err := OpenReadOnly(e.o); err == nil {
		for _, stream := range e.streams {
			list, err := entries(ro, stream)
			e.must(err, "list read-only")
			for _, entry := range list {
				before = append(before, fmt.Sprint(entryKey(entry), entry.Ref))
			}
		}
		ro.Close()
	}
	e.must(e.rig.open(), "recover")
	e.must(e.settle(e.v, true, true), "after recovery")
	var after []string
	for _, stream := range e.streams {
		list, _ := entries(e.v, stream)
		for _, entry := range list {
			after = append(after, fmt.Sprint(entryKey(entry), entry.Ref))
		}
	}
	if !slices.Equal(before, after) {
		e.must(fmt.Errorf("%d records read-only, %d when opened for recording", len(before), len(after)), "after recovery")
	}
	d.Hook(e.hook)
	for _, stream := range e.streams {
		e.offer(stream, e.size())
	}
	e.commit()
	e.must(e.close(), "close")
	e.must(e.rig.open(), "open once more")
	e.must(e.settle(e.v, true, true), "opened once more")
	e.must(e.all(), "opened once more")
	e.must(e.close(), "close")
}
