// Package store is the archive on disk: one ring of pool files, one writer that
// appends every camera's records to it, and any number of readers.
//
// Volume is all that other rooms see. Its writer commits once a beat (see
// Beat); what was committed is found again after a crash by recover.go.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
	"nvr/internal/store/vault"
)

// Options says where the ring is and how it is written.
type Options struct {
	Dir             string
	Disk            disk.Dir      // what Dir is on; nil: the real file system
	Pools           int           // max_pools
	PoolBytes       int64         // chunk_size_mb, in bytes
	QueueRecords    int           // writer_queue_size
	CommitInterval  time.Duration // footage a power cut may cost, at most
	SegmentDuration time.Duration // length of a listed segment
	Epoch           time.Time     // when the beat began; cameras share it
	ScrubRate       int64         // bytes per second at which Run reads older footage and checks it; 0: not at all
	VaultBytes      int64         // vault_max_mb, in bytes: what kept footage may take beside the ring; 0: nothing can be locked
	Log             *slog.Logger  // nil: silent

	// Progress (may be nil) hears of the bytes allocated when a ring is made.
	Progress func(done, total int64)

	// OnCommit (may be nil) hears of the records that a sync has made durable,
	// in the order in which they were written. The writer waits until it returns.
	OnCommit func([]*media.Entry)
}

// Errors a caller may want to tell apart.
type (
	// InUseError says that another process records into the directory.
	InUseError = disk.InUseError
	// MismatchError says that what lies in the directory is not what was asked for.
	MismatchError = ring.MismatchError
)

var (
	// ErrNotFound says that there is no ring in the directory.
	ErrNotFound = ring.ErrNoRing
	// ErrNoSpace says that the file system has no room for the ring.
	ErrNoSpace = disk.ErrNoSpace
)

// afterBeat is how long after the beat the writer takes what cameras cut: they
// look every 100 ms (package rtsp), and then need a moment. As much again is left
// for what follows, the write and its sync.
const afterBeat = 150 * time.Millisecond

// Beat is how often cameras cut their records and the writer commits, so that
// what arrived commit ago is on the disk: the beat, afterBeat, and 50 ms for the
// sync. For intervals that are too short for that (the configuration has none)
// it is a half.
func Beat(commit time.Duration) time.Duration {
	return max(commit-afterBeat-50*time.Millisecond, commit/2)
}

// commitDelay is how long after the beat the writer commits.
func commitDelay(commit time.Duration) time.Duration { return min(afterBeat, commit/4) }

// Volume is one ring on one disk with one writer. All methods may be called
// concurrently with each other and with Run.
type Volume struct {
	o        Options
	dir      disk.Dir
	ring     *ring.Ring
	index    index.Index
	names    descriptions
	cache    directoryCache
	queue    *queue
	writer   *writer // nil when the volume was opened for reading
	early    *early  // nil when the writer began with all of its pool
	unlock   func()  // the writer's, while it runs; nil: the lock is not held
	scrubbed scrubbed
	keeper   keeper
	loose    bool     // pool files without their ring: see OpenLoose
	told     sync.Map // int → true: pools that the log said are passed over

	indexMu sync.Mutex // one Put or Drop at a time; readers take no part

	recording   bool                   // it was opened for that
	away        atomic.Pointer[string] // why the disk was let go of; nil: it was not
	replaced    atomic.Bool            // another ring lies where this one was
	first       atomic.Uint64          // the lowest generation that this writer gives, or has given
	indexed     atomic.Bool            // every pool is in the index
	indexFailed atomic.Bool            // but for some that could not be read
	indexAgain  atomic.Bool            // all of them are to be read again
	indexer     chan struct{}          // there is something to be indexed again
	earlyMissed atomic.Bool            // the writer went on before early was read
	began       time.Time
	counters    counters
}

// counters are what Status tells of the writer.
type counters struct {
	commits, groups, bytes, records, refused atomic.Int64
	failures                                 atomic.Int64
	position                                 atomic.Int64 // where the next group goes
	lastCommit                               atomic.Int64 // ns UTC
	busy                                     atomic.Int64 // since when a commit is under way, ns UTC; 0: none is
	down                                     atomic.Bool  // commits fail
	stalled                                  atomic.Bool  // a commit does not come back
}

// Open opens the ring in o.Dir for recording, or creates it there when there is
// none. It takes the directory for this process, and is back where the last
// writer committed when it returns; older pools are indexed by Run. Making a ring
// may take minutes: when ctx ends, the error says that it was cut short, and is
// ctx's.
func Open(ctx context.Context, o Options) (*Volume, error) {
	v := newVolume(o)
	if o.Disk == nil {
		if err := os.MkdirAll(o.Dir, 0o750); err != nil {
			return nil, err
		}
	}
	// Before anything is written: the lock's file is the first of a new ring.
	if err := ring.Possible(v.dir, o.Pools, o.PoolBytes); err != nil {
		return nil, err
	}
	unlock, err := v.dir.Lock()
	if err != nil {
		return nil, cannotWrite(v.dir.Path(), err)
	}
	v.unlock, v.recording = unlock, true
	if err := v.openForWriting(ctx); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

func (v *Volume) openForWriting(ctx context.Context) error {
	r, err := ring.Open(v.dir, true)
	if errors.Is(err, ring.ErrNoRing) {
		err = ring.Create(ctx, v.dir, v.o.Pools, v.o.PoolBytes, v.o.Progress)
		if err != nil && ctx.Err() != nil {
			return &cutShortError{v.dir.Path() + ": making the ring was cut short; it is begun again at the next start, or by nvr volume add", ctx.Err()}
		}
		if err != nil {
			return err
		}
		r, err = ring.Open(v.dir, true)
	}
	if err != nil {
		return err
	}
	v.ring = r
	// Who wrote ring.id may have been killed before its name was durable, and
	// footage must not lie in pools that the next power cut takes out of the ring.
	if err := v.dir.Sync(); err != nil {
		return err
	}
	if err := v.compareShape(); err != nil {
		return err
	}
	v.tellFaults()
	w, err := newWriter(v)
	if err != nil {
		return err
	}
	v.writer = w
	return nil
}

// compareShape refuses a ring that is not what the configuration says, unless
// pools are still to be added to it: that is what a power cut while it grows
// leaves, and then nobody may be there to help.
func (v *Volume) compareShape() error {
	pools, size := v.ring.Pools(), v.ring.Size
	reason := fmt.Sprintf("the ring here has %d pools of %d MiB, and the configuration says %d of %d MiB", pools, size>>20, v.o.Pools, v.o.PoolBytes>>20)
	switch {
	case size != v.o.PoolBytes:
		return &MismatchError{Path: v.dir.Path(), Reason: reason,
			Remedy: fmt.Sprintf("nothing was changed; set max_pools = %d and chunk_size_mb = %d again, or use another base_path for a ring of the new shape", pools, size>>20)}
	case pools > v.o.Pools:
		return &MismatchError{Path: v.dir.Path(), Reason: reason,
			Remedy: fmt.Sprintf("nothing was changed; set max_pools = %d: a ring that has grown cannot shrink again. For a smaller one add a volume, and retire this one", pools)}
	case pools < v.o.Pools:
		v.o.Log.Error("the ring has fewer pools than the configuration says; it is recorded into as it is", "dir", v.dir.Path(), "pools", pools, "max_pools", v.o.Pools,
			"remedy", "nvr volume grow adds the others, also while recording; or set max_pools as it was")
	}
	return nil
}

// cutShortError says what was not done because ctx ended.
type cutShortError struct {
	what  string
	cause error // ctx's
}

func (e *cutShortError) Error() string { return e.what }
func (e *cutShortError) Unwrap() error { return e.cause }

// OpenReadOnly opens the ring in o.Dir without changing or locking anything,
// also while another process records into it: what is committed by now can be
// read. Only Dir, Disk, SegmentDuration and Log of o count.
func OpenReadOnly(o Options) (*Volume, error) {
	v := newVolume(o)
	r, err := ring.Open(v.dir, false)
	if err != nil {
		return nil, err
	}
	v.ring = r
	if err := r.ReadAll(); err != nil { // a list misses nothing
		v.Close()
		return nil, err
	}
	v.tellFaults()
	if err := errors.Join(v.loadVault(false), v.indexAll(context.Background())); err != nil {
		v.o.Log.Error("not all footage can be read", "error", err)
	}
	return v, nil
}

func newVolume(o Options) *Volume {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SegmentDuration == 0 {
		o.SegmentDuration = time.Minute
	}
	if o.CommitInterval == 0 {
		o.CommitInterval = time.Second
	}
	if o.QueueRecords == 0 {
		o.QueueRecords = 256
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Now()
	}
	v := &Volume{o: o, dir: o.Disk, began: time.Now(), indexer: make(chan struct{}, 1), keeper: keeper{wake: make(chan struct{}, 1), tries: map[vault.Name]int{}}}
	if v.dir == nil {
		v.dir = direct.New(o.Dir, o.Log)
	}
	v.queue = newQueue(o.QueueRecords, func() media.Reason {
		if v.counters.down.Load() || v.counters.stalled.Load() {
			return media.ReasonDisk
		}
		return media.ReasonOverload
	})
	return v
}

// Run writes what is offered and indexes the older pools, until ctx ends; then
// it commits what is left and returns. It returns an error when footage could
// not be committed. Call it once, on a volume from Open.
func (v *Volume) Run(ctx context.Context) error {
	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() { v.indexOlder(ctx) })
	background.Go(func() { v.watch(ctx) })
	background.Go(func() { v.scrub(ctx) })
	background.Go(func() { v.keep(ctx) })
	return v.writer.run(ctx)
}

// Offer hands a record to the writer and never blocks. It owns r.Buffer from
// here on in any case. When the writer is too far behind, older records make room
// (see queue) and become a gap. False: the record can never be written; it was
// dropped and counted.
func (v *Volume) Offer(r media.Record) bool {
	if len(r.Buffer.Data) > media.MaxSampleBytes || len(r.Buffer.Samples) > pool.MaxSamples {
		v.o.Log.Error("a record is too large to be written", "camera", r.Stream.Camera.ID, "bytes", len(r.Buffer.Data), "samples", len(r.Buffer.Samples))
		v.counters.refused.Add(1)
		r.Buffer.Release()
		return false
	}
	return v.queue.offer(queued{record: r, size: len(r.Buffer.Data)})
}

// OfferGap hands the writer what is known of a gap. False: dropped.
func (v *Volume) OfferGap(g media.Gap) bool {
	if len(g.Detail) > maxGapDetail {
		g.Detail = strings.ToValidUTF8(g.Detail[:maxGapDetail], "")
	}
	return v.queue.offer(queued{gap: &g})
}

// maxGapDetail bounds the line for people in a gap record: a directory entry
// must fit into a directory, and a line into a list.
const maxGapDetail = 1024

// Close gives the ring back. Not before Run has returned.
func (v *Volume) Close() error {
	var err error
	if v.writer != nil {
		v.writer.free()
	}
	if v.ring != nil {
		err = v.ring.Close()
	}
	if v.unlock != nil {
		v.unlock()
	}
	return err
}

// descriptions are the streams and tracks that records refer to. Lookups take
// no lock.
type descriptions struct {
	streams, tracks sync.Map // media.StreamID → *media.Stream, uint32 → *media.Track
}

// Describe takes a description in; one that makes no sense is passed over, and
// with it the records that need it.
func (d *descriptions) Describe(e *pool.Entry) {
	switch e.Kind {
	case pool.KindStream:
		// The newest wins: a camera may have got another name.
		if s, err := e.DecodeStream(); err == nil {
			if old, ok := d.streams.Load(e.Stream); !ok || *old.(*media.Stream) != *s {
				d.streams.Store(e.Stream, s)
			}
		}
	case pool.KindTrack:
		if _, known := d.tracks.Load(e.Params); known {
			return
		}
		if t, err := e.DecodeTrack(); err == nil {
			d.tracks.LoadOrStore(e.Params, t)
		}
	}
}

// Track is what a Params number means.
func (d *descriptions) Track(params uint32) *media.Track {
	t, _ := d.tracks.Load(params)
	track, _ := t.(*media.Track)
	return track
}

func (d *descriptions) stream(id media.StreamID) *media.Stream {
	s, _ := d.streams.Load(id)
	stream, _ := s.(*media.Stream)
	return stream
}

// publish puts a pool into the index unless it has been given another
// generation in the meantime.
func (v *Volume) publish(p *index.Pool) {
	v.indexMu.Lock()
	defer v.indexMu.Unlock()
	if v.ring.Super(int(p.Pool)).Generation == p.Generation {
		v.index.Put(p)
	}
}

func (v *Volume) drop(n int) {
	v.indexMu.Lock()
	defer v.indexMu.Unlock()
	v.index.Drop(uint32(n))
	v.wakeKeeper()
}

// super is the newest superblock of pool n, which is read where nobody has looked
// yet.
func (v *Volume) super(n int) (pool.Super, error) {
	if v.ring.Known(n) {
		return v.ring.Super(n), nil
	}
	s, err := v.check(n)
	if errors.As(err, new(*ring.PoolFault)) {
		return s, nil
	}
	return s, err
}

// check looks at pool n's superblocks again. An activation that failed may have
// reached the disk all the same: what the pool held before is gone then.
func (v *Volume) check(n int) (pool.Super, error) {
	before := v.ring.Super(n).Generation
	s, err := v.ring.Check(n)
	if v.writer != nil && s.Generation != before {
		v.drop(n)
	}
	return s, err
}
