package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"nvr/internal/media"
	"nvr/internal/store"
)

// writing is the verb write.
type writing struct {
	mib      int
	opens    int
	seed     uint64
	patience time.Duration
}

// run writes through the ring and acknowledges as it goes. It ends well when
// all is written, and with an error when the disk takes no more.
func (w writing) run(s shape) error {
	out := io.Writer(os.Stdout)
	if path := os.Getenv("POWERCUT_ACK"); path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	var total load
	for n := range w.opens {
		l := &load{rng: rand.New(rand.NewPCG(w.seed, uint64(n))), ack: out, began: time.Now(), left: w.mib << 20 / w.opens, patience: w.patience}
		err := l.through(s, n == 0)
		total.failures += l.failures
		total.pause = max(total.pause, l.pause)
		total.commits += l.commits
		if err != nil {
			fmt.Fprintf(os.Stderr, "writer: gave up: %d commits, %d failures: %v\n", total.commits, total.failures, err)
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "writer: %d commits, %d failures, longest pause %.2f s\n", total.commits, total.failures, total.pause.Seconds())
	return nil
}

// load is the work between an open and the close that follows it.
type load struct {
	rng      *rand.Rand
	ack      io.Writer
	began    time.Time // zero: nobody asks how long the start takes
	left     int       // bytes to offer
	patience time.Duration

	next     [cameras][3]int // record number by camera and track
	streams  [cameras]*media.Stream
	run      media.RunID
	failures int64
	commits  int64
	pause    time.Duration // longest between two commits
	last     atomic.Int64  // wall time of the last
	ackErr   atomic.Pointer[error]
}

// through opens the store, writes, and closes it. What the store holds already
// is durable, so with inherit it is acknowledged too: the archive that the run
// begins with must not be lost either.
func (l *load) through(s shape, inherit bool) error {
	o := s.options()
	o.OnCommit = l.committed
	v, err := store.Open(context.Background(), o)
	for tries := 1; err != nil && tries < 10; tries++ { // a creation that failed is begun again
		v, err = store.Open(context.Background(), o)
	}
	if err != nil {
		return err
	}
	defer v.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	for !v.Status().Indexed {
		time.Sleep(time.Millisecond)
	}
	if inherit {
		if err := l.inherit(v); err != nil {
			return errors.Join(err, stop(cancel, done))
		}
	}
	l.run = media.RunID(time.Now().UnixMicro())
	for i := range l.streams {
		l.streams[i] = stream(i)
	}
	for l.left > 0 {
		if err := l.offer(v); err != nil {
			l.failures, l.commits = v.Status().Failures, v.Status().Commits
			return errors.Join(err, stop(cancel, done))
		}
	}
	err = stop(cancel, done)
	l.failures, l.commits = v.Status().Failures, v.Status().Commits
	return errors.Join(err, v.Close())
}

func stop(cancel context.CancelFunc, done <-chan error) error {
	cancel()
	return <-done
}

func (l *load) inherit(v *store.Volume) error {
	for _, s := range v.Streams() {
		for e, err := range v.Entries(context.Background(), s.ID(), media.Always) {
			if err != nil {
				return err
			}
			l.committed([]*media.Entry{e})
		}
	}
	l.last.Store(0)
	return l.acknowledged()
}

// offer hands over a burst: mostly a few records and a wait for their commit, at
// times without the wait, and at times more than a commit takes, so that one is
// several groups.
func (l *load) offer(v *store.Volume) error {
	last := l.last.Load()
	burst := 1 + l.rng.IntN(6)
	if l.rng.IntN(20) == 0 {
		burst = 30 + l.rng.IntN(60)
	}
	for range burst {
		camera := l.rng.IntN(cameras)
		track := media.VideoTrack
		if camera == 0 && l.rng.IntN(2) == 0 {
			track = media.AudioTrack
		}
		k := key{camera, track, l.run, l.next[camera][track]}
		r := k.record(l.streams[camera])
		size := len(r.Buffer.Data)
		for began := time.Now(); ; time.Sleep(100 * time.Microsecond) {
			if v.Offer(r) {
				break
			}
			r = k.record(l.streams[camera]) // Offer takes the buffer in any case
			if err := l.alive(v, began); err != nil {
				r.Buffer.Release()
				return err
			}
		}
		l.next[camera][track]++
		l.left -= size
	}
	wait := l.rng.IntN(4) > 0
	for began := time.Now(); wait && l.last.Load() == last || v.Status().Down; time.Sleep(200 * time.Microsecond) {
		if err := l.alive(v, began); err != nil {
			return err
		}
	}
	return l.acknowledged()
}

// alive says whether to wait on: not when nothing was taken for too long.
func (l *load) alive(v *store.Volume, since time.Time) error {
	if time.Since(since) > l.patience {
		return fmt.Errorf("the disk took nothing for %s (down: %v)", l.patience, v.Status().Down)
	}
	return l.acknowledged()
}

// committed acknowledges in one write what one sync made durable.
func (l *load) committed(entries []*media.Entry) {
	now := time.Now()
	if last := l.last.Swap(now.UnixNano()); last != 0 {
		l.pause = max(l.pause, now.Sub(time.Unix(0, last)))
	} else if !l.began.IsZero() && l.run != 0 {
		fmt.Fprintf(os.Stderr, "writer: first commit %.3f s after the start\n", now.Sub(l.began).Seconds())
	}
	var lines strings.Builder
	for _, e := range entries {
		k, err := keyOf(e)
		if err != nil {
			l.ackErr.Store(&err)
			return
		}
		lines.WriteString(acknowledgement(k, place{e.Ref.Pool, e.Ref.Generation}))
	}
	if _, err := io.WriteString(l.ack, lines.String()); err != nil {
		l.ackErr.Store(&err)
	}
}

func (l *load) acknowledged() error {
	if err := l.ackErr.Load(); err != nil {
		return fmt.Errorf("acknowledge: %w", *err)
	}
	return nil
}
