package store

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"nvr/internal/disk/memdisk"
	"nvr/internal/store/ring"
)

// The oldest pool is taken for new footage before the start has come to index
// it: what the writer says of it stands, not what the indexer reads then.
func TestIndexOfAPoolThatIsReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(newRig(t, 3, 8), 1, nil)
		s.fatal = t.Fatalf
		s.opened()
		cam := s.streams[0]
		for range 20 { // pools 0, 1 and most of 2
			s.offer(cam, 1_000_000)
		}
		s.commit()
		s.must(s.close(), "stop")

		var armed atomic.Bool
		release := make(chan struct{})
		s.disk.Hook(func(op memdisk.Op) error {
			if op.Kind == memdisk.Read && op.Name == ring.Name(0) && armed.CompareAndSwap(true, false) {
				<-release // the indexer waits, and the writer does not
			}
			return s.hook(op)
		})
		v, err := Open(t.Context(), s.o)
		s.must(err, "open")
		ctx, cancel := context.WithCancel(t.Context())
		s.v, s.cancel, s.done = v, cancel, make(chan error, 1)
		armed.Store(true)
		go func() { s.done <- v.Run(ctx) }()
		synctest.Wait()
		for range 5 { // pool 0 is taken
			s.offer(cam, 1_000_000)
		}
		s.commit()
		close(release)
		synctest.Wait()
		s.must(s.settle(v, false, false), "when the indexer has come to pool 0")
		for range 8 { // pool 0 is full, and its footer holds its directory
			s.offer(cam, 1_000_000)
		}
		s.commit()
		s.must(s.close(), "stop")
	})
}
