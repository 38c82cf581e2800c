package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"nvr/internal/config"
	"nvr/internal/control"
	"nvr/internal/ingest"
	"nvr/internal/media"
	"nvr/internal/store"
)

type recordCmd struct{}

// Help is shown below the usage line.
func (recordCmd) Help() string {
	return `Connects to all enabled cameras, for ever, and writes what they send into the ring. The ring is made at the first start; its size on disk changes only with nvr volume grow. SIGINT or SIGTERM ends it: everything received is committed first; a ring that is just being made is begun again at the next start. A second signal ends it at once.

Examples:
    nvr record
    nvr --config /etc/nvr.toml record`
}

func (recordCmd) Run(c *console) error {
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	return c.record(conf, nil)
}

// The recorder's memory: what it needs with no camera, for each one, for what may
// wait for each disk and for the index is a soft limit for the collector. With one
// that is below what is alive it would collect without a pause. Buffers are recycled
// and little else is allocated, so collecting at a quarter of garbage, not at as much
// as is alive, costs next to nothing: with 16 cameras of 4 Mbit/s a collection every
// other minute.
const (
	memoryBase      = 32 << 20
	memoryPerStream = 1 << 20
	garbagePercent  = 25

	// The index grows while older pools are read, and then by some kilobytes a day
	// and camera until the ring comes round.
	memoryLook = time.Second
)

// camerasMayTake is how long cameras have to say goodbye. Then what they handed
// over is committed without them.
const camerasMayTake = 1500 * time.Millisecond

// recorder is a running nvr record.
type recorder struct {
	conf    *config.Config
	archive *store.Archive
	cameras []*ingest.Camera // one for each stream that is recorded, in the order of the file
	since   time.Time
}

// record records until c.ctx ends. watch (may be nil) runs beside it.
func (c *console) record(conf *config.Config, watch func(context.Context, *recorder)) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	r := &recorder{conf: conf, since: c.now()}
	r.limitMemory(0)
	o := archiveOptions(conf, r.since, c.log)
	o.Since = r.since.UnixNano()
	for _, camera := range conf.Cameras {
		for _, s := range camera.Streams() {
			if s.Recorded || !camera.Enabled {
				o.Streams = append(o.Streams, stream(camera, s.Name))
			}
		}
	}
	for i := range o.Volumes {
		what := "making the ring"
		if len(o.Volumes) > 1 {
			what += " of volume " + o.Volumes[i].Name
		}
		o.Volumes[i].Progress = c.progress(what)
	}
	archive, err := store.OpenArchive(c.ctx, o)
	if err != nil {
		return explain(err)
	}
	defer archive.Close()
	r.archive = archive
	for _, camera := range conf.Cameras {
		for _, s := range camera.Streams() {
			if s.Recorded {
				r.cameras = append(r.cameras, newCamera(conf, camera, s, r.since, archive, c.log))
			}
		}
	}
	return r.run(c, watch)
}

// limitMemory makes room for an index of that size, and for as much again that a
// collection has not got to yet as garbagePercent allows.
func (r *recorder) limitMemory(index int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		waiting := int64(len(r.conf.Storage.Volumes())) * store.MaxWaitingBytes
		debug.SetMemoryLimit(memoryBase + int64(recorded(r.conf))*memoryPerStream + waiting + index*(100+2*garbagePercent)/100)
	}
}

// watchMemory follows the index with the limit.
func (r *recorder) watchMemory(ctx context.Context) {
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	for limit := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if index := r.archive.IndexBytes(); index > limit+limit/16 || index < limit-limit/4 {
			limit = index
			r.limitMemory(index)
		}
	}
}

// explain adds the exit code to what opening a volume for writing says.
func explain(err error) error {
	var mismatch *store.MismatchError
	if errors.As(err, &mismatch) {
		return &usageError{err}
	}
	return err
}

func (r *recorder) run(c *console, watch func(context.Context, *recorder)) error {
	ctx, stop := context.WithCancel(c.ctx)
	defer stop()
	for _, v := range r.conf.Storage.Volumes() {
		if !v.Retired {
			c.log.Info("recording", "cameras", enabled(r.conf), "streams", len(r.cameras), "into", v.BasePath, "max_pools", v.MaxPools, "pool_mb", v.ChunkSizeMB)
		}
	}

	if clock := clockState(c.now()); clock == "free" || clock == "wrong" {
		c.log.Warn("the machine's clock is not kept right: footage may be dated wrong until it is set (docs/time.md)", "clock", clock)
	}

	var beside sync.WaitGroup
	defer beside.Wait()
	r.listen(ctx, c, &beside)
	beside.Go(func() { r.watchMemory(ctx) })
	if watch != nil {
		beside.Go(func() { watch(ctx, r) })
	}

	// The writer outlives the cameras: it ends when all they gave is committed.
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	written := make(chan error, 1)
	go func() {
		written <- r.archive.Run(writing)
		stop() // without a writer there is nothing to record for
	}()
	r.eachDisabled(r.sayDisabled)
	var connected sync.WaitGroup
	for _, camera := range r.cameras {
		connected.Go(func() {
			if err := camera.Run(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("camera given up", "camera", camera.Status().Camera, "stream", camera.Status().Stream, "error", err)
				<-ctx.Done()
				r.sayStopped(camera.Stream())
			}
		})
	}

	<-ctx.Done()
	gone := make(chan struct{})
	go func() {
		connected.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(camerasMayTake):
		c.log.Warn("a camera does not end; committing without it")
	}
	r.eachDisabled(r.sayStopped)
	stopWriting()
	if err := <-written; err != nil {
		return fmt.Errorf("record: %w", err)
	}
	c.log.Info("stopped; everything is committed")
	return nil
}

// listen answers other commands, on each volume that is there, and for each on a
// socket that is on no disk: with all of them gone the recorder is found all the same.
func (r *recorder) listen(ctx context.Context, c *console, beside *sync.WaitGroup) {
	for i, v := range r.conf.Storage.Volumes() {
		if v.Retired {
			continue
		}
		if apart, err := control.ListenApart(v.BasePath, r.handle); err != nil {
			c.log.Warn("nvr status and others may not see this recorder while its disk is away", "error", err)
		} else {
			beside.Go(func() {
				if err := apart.Run(ctx); err != nil {
					c.log.Error("nvr status and others may no longer see this recorder while its disk is away", "error", err)
				}
			})
		}
		there := func() bool { return r.archive.There(i) }
		answer := func() {
			while, stop := context.WithCancel(ctx)
			defer stop()
			server, err := control.Listen(v.BasePath, r.handle)
			if err != nil {
				c.log.Warn("nvr status and others may not see this recorder", "error", err)
			} else {
				beside.Go(func() {
					if err := server.Run(while); err != nil {
						c.log.Error("nvr status and others may no longer see this recorder", "error", err)
					}
				})
			}
			await(while, func() bool { return !there() }) // its directory is not to be kept busy then
		}
		beside.Go(func() {
			for await(ctx, there) {
				answer()
			}
		})
	}
}

// What other commands ask the recorder for.
const (
	askStatus = "status"
	askGrow   = "grow"
	askReport = "report"
)

// handle does what another command asks for.
func (r *recorder) handle(ctx context.Context, q control.Request, progress func(done, total int64)) (any, error) {
	switch q.Do {
	case askReport:
		return r.report(ctx, q)
	case askStatus:
		return r.status(ctx)
	case askGrow:
		return r.grow(ctx, q.Args, progress)
	case askLockAdd, askLocks, askLockRemove:
		answer, err := r.lock(ctx, q, progress)
		if err != nil {
			return nil, &control.Error{Text: err.Error(), Exit: exitCode(err)}
		}
		return answer, nil
	}
	return nil, &control.Error{Text: fmt.Sprintf("the recorder does not know %q: it is of another version", q.Do), Exit: exitFailed}
}

// lookEvery is how often it is looked whether a volume is there: more often than
// the store lets go of a disk and takes it again, so that no socket stays on a mount
// that is gone.
const lookEvery = 250 * time.Millisecond

// await waits until it is so; false: ctx ended before.
func await(ctx context.Context, so func() bool) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return ctx.Err() == nil
}

// eachDisabled is for each stream of the cameras that are off.
func (r *recorder) eachDisabled(do func(*media.Stream)) {
	for _, camera := range r.conf.Cameras {
		for _, s := range camera.Streams() {
			if !camera.Enabled {
				do(stream(camera, s.Name))
			}
		}
	}
}

// sayDisabled writes down why there is nothing from a camera that is off.
func (r *recorder) sayDisabled(s *media.Stream) {
	r.archive.OfferGap(media.Gap{Stream: s, Span: media.Span{From: r.since.UnixNano()}, Reason: media.ReasonDisabled})
}

// sayStopped writes down, for a stream of which no camera is at work that could
// say so, that nobody records from now on.
func (r *recorder) sayStopped(s *media.Stream) {
	r.archive.OfferGap(media.Gap{Stream: s, Span: media.Span{From: time.Now().UnixNano()}, Reason: media.ReasonStopped, Detail: "the recorder was stopped"})
}
