package store

import (
	"context"
	"time"
)

// stallAfter is after how long a commit that does not come back is told of: a disk
// that hangs gives no error. Somebody should know within 5 s: a beat until the next
// commit, this, watchEvery, and what it takes to ask.
const (
	stallAfter = 3500 * time.Millisecond
	watchEvery = 250 * time.Millisecond
)

// watch tells of a disk that stalls, and when it goes on.
func (v *Volume) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		busy := v.counters.busy.Load()
		stalled := busy != 0 && time.Now().UnixNano()-busy > int64(stallAfter) && !v.counters.down.Load()
		if v.counters.stalled.Swap(stalled) == stalled {
			continue
		}
		if stalled {
			v.o.Log.Error("the disk stalls: a commit does not come back", "dir", v.dir.Path(), "since", time.Unix(0, busy).UTC())
		} else {
			v.o.Log.Info("the disk no longer stalls", "dir", v.dir.Path())
		}
	}
}
