package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nvr/internal/media"
	"nvr/internal/store"
)

// verifying is the verb verify.
type verifying struct {
	strict bool
	rounds int

	shape shape
	mu    sync.Mutex
	acked map[key]place // promised before the cut, and by ourselves since

	compared map[media.Ref]key // payloads found to be what was written; the store's CRC says whether they still are
}

// run looks at what the cut left as it is, recovers it, appends to it, and looks
// again, also after each close and open. It ends well when every promise was
// kept and nothing was served that is not what was written.
func (v *verifying) run(s shape) error {
	v.shape, v.acked, v.compared = s, map[key]place{}, map[media.Ref]key{}
	text, err := os.ReadFile(os.Getenv("POWERCUT_ACKED"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		k, p, err := parseAcknowledgement(line)
		if err != nil {
			return fmt.Errorf("acknowledgement %q: %w", line, err)
		}
		v.acked[k] = p
	}
	promised := len(v.acked)
	if err := v.readOnly("before recovery"); errors.Is(err, store.ErrNotFound) && promised > 0 {
		return fmt.Errorf("the ring is lost, and with it %d acknowledged records: %w", promised, err)
	} else if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for round := range v.rounds {
		if err := v.append(round); err != nil {
			return err
		}
	}
	clear(v.compared) // at the end nothing is taken on trust
	if err := v.readOnly("in the end"); err != nil {
		return err
	}
	fmt.Printf("ok: %d acknowledged before\n", promised)
	return nil
}

// readOnly opens the archive as "nvr list" does and checks it.
func (v *verifying) readOnly(when string) error {
	o := v.shape.options()
	volume, err := store.OpenReadOnly(o)
	if err != nil {
		return fmt.Errorf("%s: open read-only: %w", when, err)
	}
	defer volume.Close()
	return v.check(volume, when)
}

// append recovers, checks, writes on, checks again, and closes.
func (v *verifying) append(round int) error {
	o := v.shape.options()
	l := &load{rng: rand.New(rand.NewPCG(uint64(round), 7)), left: 2 << 20, patience: 10 * time.Second, run: media.RunID(time.Now().UnixMicro())}
	o.OnCommit = func(entries []*media.Entry) {
		v.committed(entries)
		l.last.Store(time.Now().UnixNano())
	}
	volume, err := store.Open(context.Background(), o)
	if err != nil {
		return fmt.Errorf("recovery %d: %w", round+1, err)
	}
	defer volume.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- volume.Run(ctx) }()
	for !volume.Status().Indexed {
		time.Sleep(500 * time.Microsecond)
	}
	if err := v.check(volume, fmt.Sprintf("recovered %d", round+1)); err != nil {
		return errors.Join(err, stop(cancel, done))
	}
	for i := range l.streams {
		l.streams[i] = stream(i)
	}
	for l.left > 0 {
		if err := l.offer(volume); err != nil {
			return errors.Join(err, stop(cancel, done))
		}
	}
	if err := stop(cancel, done); err != nil {
		return fmt.Errorf("append after recovery %d: %w", round+1, err)
	}
	if n := volume.Status().Failures; n > 0 {
		return fmt.Errorf("append after recovery %d: %d writes failed on a good disk", round+1, n)
	}
	for camera, tracks := range l.next {
		for track, n := range tracks {
			for i := range n {
				if _, ok := v.acked[key{camera, uint8(track), l.run, i}]; !ok {
					return fmt.Errorf("append after recovery %d: %v was never committed", round+1, key{camera, uint8(track), l.run, i})
				}
			}
		}
	}
	return errors.Join(v.check(volume, fmt.Sprintf("appended %d", round+1)), volume.Close())
}

func (v *verifying) committed(entries []*media.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range entries {
		if k, err := keyOf(e); err == nil {
			v.acked[k] = place{e.Ref.Pool, e.Ref.Generation}
		}
	}
}

// check reads the whole archive. Every record that it serves must be, to the
// bit, what was written; none twice, none out of order, none of a generation
// that its pool no longer has; and every acknowledged record must be served
// unless its pool has been reused since.
func (v *verifying) check(volume *store.Volume, when string) error {
	fail := func(format string, a ...any) error {
		return fmt.Errorf("%s: %w", when, fmt.Errorf(format, a...))
	}
	generations, err := v.generations()
	if err != nil {
		return fail("%w", err)
	}
	served := map[key]place{}
	var got, want []byte
	for _, s := range volume.Streams() {
		newest := map[key]int{} // with n = 0: the highest n of the run and track
		for e, err := range volume.Entries(context.Background(), s.ID(), media.Always) {
			if err != nil {
				return fail("%s: %w", s.Camera.ID, err)
			}
			k, err := keyOf(e)
			if err != nil {
				return fail("%w", err)
			}
			at := fmt.Sprintf("%v at pool %03d group %d", k, e.Ref.Pool, e.Ref.Group)
			timeline := k
			timeline.n = 0
			if last, ok := newest[timeline]; ok && k.n <= last {
				return fail("%s: served after record %d", at, last)
			}
			newest[timeline] = k.n
			if e.Ref.Generation != generations[e.Ref.Pool] {
				return fail("%s: stale: of generation %d, and the pool has %d", at, e.Ref.Generation, generations[e.Ref.Pool])
			}
			samples := k.samples()
			if !slices.Equal(e.Samples, samples) || e.Wall != k.wall() || e.Duration != ticksPerRecord(k.track) || !e.Params.Equal(params(k.track)) {
				return fail("%s: damaged: its entry is not what was written", at)
			}
			if got, err = volume.Payload(context.Background(), e.Ref, got[:0]); err != nil {
				return fail("%s: served, but not readable: %w", at, err)
			}
			if v.compared[e.Ref] != k {
				if want = k.payload(want[:0], sizeOf(samples)); !bytes.Equal(got, want) {
					return fail("%s: damaged: its payload is not what was written", at)
				}
				v.compared[e.Ref] = k
			}
			served[k] = place{e.Ref.Pool, e.Ref.Generation}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	newest := uint64(0)
	for _, g := range generations {
		newest = max(newest, g)
	}
	lost, example := 0, ""
	for k, p := range v.acked {
		if _, ok := served[k]; ok {
			continue
		}
		reused := generations[p.pool] > p.generation
		if reused && (!v.strict || newest >= p.generation+uint64(v.shape.pools)) {
			continue
		}
		if lost++; example == "" {
			example = fmt.Sprintf("%v of pool %03d generation %d (now %d)", k, p.pool, p.generation, generations[p.pool])
		}
	}
	if lost > 0 {
		return fail("%d of %d acknowledged records lost, such as %s", lost, len(v.acked), example)
	}
	l, err := volume.List(context.Background(), store.Query{})
	if err != nil {
		return fail("list: %w", err)
	}
	if len(served) > 0 && len(l.Segments) == 0 {
		return fail("%d records and no segment listed", len(served))
	}
	return nil
}

// generations reads what the superblocks on the disk say, with a decoder of its
// own: which promises are void is not left to the code under test.
func (v *verifying) generations() ([]uint64, error) {
	list := make([]uint64, v.shape.pools)
	for n := range list {
		f, err := os.Open(filepath.Join(v.shape.options().Dir, fmt.Sprintf("pool_%03d.bin", n)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		counter := uint64(0)
		for _, slot := range []int64{0, 64 << 10} {
			b := make([]byte, 88)
			if _, err := f.ReadAt(b, slot); err != nil {
				continue
			}
			if s, ok := decodeSuper(b); ok && s.counter > counter {
				counter, list[n] = s.counter, s.generation
			}
		}
		f.Close()
	}
	return list, nil
}
