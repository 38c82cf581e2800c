package store

import (
	"context"
	"sync/atomic"
	"time"
)

// scrubPause is how long a scrub rests when it has been round the ring: a small
// ring must not be read all day.
const scrubPause = 6 * time.Hour

// scrubbed is how far the scrub is, and what it found: in this round or the last.
type scrubbed struct {
	rounds          atomic.Int64
	bytes, of       atomic.Int64 // read in this round or the last, and to be read in this one; 0: it rests
	records, places atomic.Int64 // that are damaged
}

// found raises what a round has found; what the last one found is still damaged.
func (s *scrubbed) found(records, places int64) {
	s.records.Store(max(s.records.Load(), records))
	s.places.Store(max(s.places.Load(), places))
}

// scrub reads the ring again and again at Options.ScrubRate bytes per second and
// tells of what has rotted. The pool that is being written is left alone.
func (v *Volume) scrub(ctx context.Context) {
	if v.o.ScrubRate <= 0 {
		return
	}
	for ctx.Err() == nil {
		records, places := int64(0), int64(0)
		round, stop := context.WithCancel(ctx)
		report, err := v.Verify(round, VerifyOptions{
			Rate: v.o.ScrubRate, sealedOnly: true,
			Progress: func(done, total int64) {
				v.scrubbed.bytes.Store(done)
				v.scrubbed.of.Store(total)
				if v.counters.down.Load() { // it keeps a file open, and takes what it cannot read for damage
					stop()
				}
			},
			each: func(n int, p *poolReport) {
				if v.counters.down.Load() {
					return
				}
				for i := range p.damage {
					records += int64(max(1, p.damage[i].Records))
				}
				places += int64(len(p.faults))
				v.scrubbed.found(records, places)
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
			v.scrubbed.rounds.Add(1)
			v.scrubbed.records.Store(records)
			v.scrubbed.places.Store(places)
			v.o.Log.Info("the ring was read and compared with its checksums", "dir", v.dir.Path(), "records", report.Records, "damaged", records, "places", places)
		}
		v.scrubbed.of.Store(0)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
