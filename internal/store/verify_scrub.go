package store

import (
	"context"
	"sync/atomic"
	"time"
)

// scrubPause is how long a scrub rests when it has been round the ring: a small
// ring must not be read all day.
const scrubPause = 6 * time.Hour

// scrubbed is what the scrub found.
type scrubbed struct {
	passes, bytes, records atomic.Int64 // of bytes: in this round; of records: damaged, in this round or the last
}

// scrub reads the ring again and again at Options.ScrubRate bytes per second and
// tells of what has rotted. The pool that is being written is left alone.
func (v *Volume) scrub(ctx context.Context) {
	if v.o.ScrubRate <= 0 {
		return
	}
	for ctx.Err() == nil {
		before, found := v.scrubbed.records.Load(), int64(0)
		round, stop := context.WithCancel(ctx)
		report, err := v.Verify(round, VerifyOptions{
			Rate: v.o.ScrubRate, sealedOnly: true,
			Progress: func(done, _ int64) {
				v.scrubbed.bytes.Store(done)
				if v.counters.down.Load() { // it keeps a file open, and takes what it cannot read for damage
					stop()
				}
			},
			each: func(n int, p *poolReport) {
				if v.counters.down.Load() {
					return
				}
				for i := range p.damage {
					found += int64(max(1, p.damage[i].Records))
				}
				v.scrubbed.records.Store(max(before, found))
				if len(p.faults) > 0 {
					v.o.Log.Error("a pool is damaged", "dir", v.dir.Path(), "pool", n, "places", len(p.faults), "damaged_records", len(p.damage), "first", p.faults[0].Offset, "reason", p.faults[0].Reason)
				}
			},
		})
		cut := round.Err() != nil
		stop()
		pause := scrubPause
		switch {
		case ctx.Err() != nil:
			return
		case cut:
			pause = retryOpen
		case err != nil:
			v.o.Log.Error("the ring cannot be read to its end", "dir", v.dir.Path(), "error", err)
		default:
			v.scrubbed.passes.Add(1)
			v.scrubbed.records.Store(found)
			v.o.Log.Info("the ring was read and compared with its checksums", "dir", v.dir.Path(), "records", report.Records, "damaged", found)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
