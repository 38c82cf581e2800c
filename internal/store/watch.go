package store

import (
	"context"
	"time"
)

// stallAfter is after how long a commit that does not come back is told of, well
// before the 5 s within which somebody should know: a disk that hangs gives no
// error.
const stallAfter = 4 * time.Second

// watch tells of a disk that stalls, and when it goes on.
func (v *Volume) watch(ctx context.Context) {
	tick := time.NewTicker(stallAfter / 8)
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
