package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nvr/internal/media"
)

const (
	// retryOpen is how often a volume that could not be opened is tried again.
	retryOpen = 10 * time.Second

	// openPatience is how long the start waits for a disk that does not answer
	// while another is ready.
	openPatience = 10 * time.Second

	// settleAfter is for how long a volume must have been well before it gets its
	// cameras back: one that comes and goes would tear their footage to pieces.
	settleAfter = time.Minute

	// lookEvery is how often the volumes are looked at.
	lookEvery = 250 * time.Millisecond

	// openingMayTake is for how long volumes that are being opened are waited for
	// when all is to end.
	openingMayTake = 1500 * time.Millisecond

	// stuckAfter is for how long a volume may commit nothing at the end before it
	// is left behind.
	stuckAfter = 10 * time.Second
)

// ArchiveOptions say which volumes make up an archive, and what cameras want.
type ArchiveOptions struct {
	Volumes []VolumeOptions // at least one that is not retired
	Cameras map[media.UUID]CameraRule
	Log     *slog.Logger // nil: silent

	// Streams are those that the configuration has, and Since is when the recorder
	// was started, ns UTC. Run writes down what the last one could not. 0: it does not.
	Streams []*media.Stream
	Since   int64
}

// VolumeOptions are one volume's. Its number in the archive, and in media.Ref, is
// its place in the list.
type VolumeOptions struct {
	Options
	Name    string
	Retired bool // nothing is written; what is there is read
}

// CameraRule is what a camera wants of the archive.
type CameraRule struct {
	Volume string        // name of its home; empty: any
	MaxAge time.Duration // of footage that is shown; 0: all that is there
}

// MissingError says that a volume's ring is not where it was. Nothing was made
// in its place: most likely its disk is not mounted.
type MissingError struct {
	Path string
	Ring media.UUID
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s: the ring %s is not here: is its disk mounted? (nvr volume add makes a new ring, if this is a new disk)", e.Path, e.Ring)
}

// Archive is several volumes that are one archive: cameras are spread over
// them, readers see one. Each volume has its own writer, its own commits and its
// own errors; what one disk does is felt by no other but as work that it takes
// over. All methods may be called concurrently with each other and with Run.
type Archive struct {
	o       ArchiveOptions
	log     *slog.Logger
	members []*member
	settle  time.Duration
	retry   time.Duration

	answers chan *member // of volumes that OpenArchive opens; has room for all

	rosterMu sync.Mutex // one writing of the lists at a time

	mu     sync.Mutex
	routes map[media.Stream]*route
	homes  map[media.UUID]*home
	last   map[media.UUID]string // the cameras' homes before the start
	moved  bool                  // homes has what the lists do not
}

// member is a volume of an archive, there or not.
type member struct {
	VolumeOptions
	number int
	volume atomic.Pointer[Volume] // nil while it is not there
	ended  atomic.Bool            // its writer is gone for good
	stuck  atomic.Bool            // its writer did not end: never to be closed
	opened chan opening           // how an attempt went
	trying bool                   // an attempt is under way; of OpenArchive, then of Run
	growth atomic.Bool            // pools are being added

	mu      sync.Mutex      // also guards Pools of the options
	err     error           // why it is not there
	running context.Context // of the volume's Run; nil: there was none yet

	// Under Archive.mu.
	up   bool
	upAt time.Time // since when; the zero value: since the start
}

// home is where a camera belongs.
type home struct {
	member *member
	chosen bool  // not by the configuration
	known  bool  // it has been before
	newest int64 // end of its footage there when it was chosen
}

// OpenArchive opens the volumes for recording, and makes rings where there were
// none. It returns when each has been tried (or one is ready and openPatience is
// over); it fails when there is none to write to. What could not be opened is
// tried again by Run.
//
// A ring that other volumes remember and that is gone is not made again: see
// MissingError. Rings that are being made when ctx ends are cut short, and the error
// says so.
func OpenArchive(ctx context.Context, o ArchiveOptions) (*Archive, error) {
	a := newArchive(o)
	known := a.roster()
	a.last = known.Homes
	for _, m := range a.members {
		if !m.Retired { // those are opened by Run: it takes a while and can wait
			m.open(ctx, known, a.answers)
		}
	}
	a.awaitOpened(ctx)
	var errs []error
	cut := false
	for _, m := range a.members {
		if err := m.why(); err != nil {
			errs = append(errs, err)
			cut = cut || errors.As(err, new(*cutShortError))
		}
	}
	if cut || a.writable() == 0 {
		a.Close()
		return nil, errors.Join(errs...)
	}
	for _, m := range a.members {
		if v := m.volume.Load(); v != nil {
			m.up = true
		} else if err := m.why(); err != nil {
			a.log.Error("a volume cannot be opened; it is tried again", "volume", m.Name, "every", a.retry, "error", err)
		}
	}
	a.remember()
	return a, nil
}

// OpenArchiveReadOnly opens the volumes as OpenReadOnly does. Those that cannot be
// opened are told of in the log and in Status; the others are served. When there
// is none at all, the error is that of the first.
func OpenArchiveReadOnly(o ArchiveOptions) (*Archive, error) {
	a := newArchive(o)
	for _, m := range a.members {
		m.openReadOnly()
	}
	var first error
	there := 0
	for _, m := range a.members {
		r := <-m.opened
		m.trying = false
		a.take(m, r)
		if r.err == nil {
			there++
		} else if first == nil || errors.Is(first, ErrNotFound) {
			first = r.err
		}
	}
	if there == 0 {
		return nil, first
	}
	for _, m := range a.members {
		if err := m.why(); err != nil {
			a.log.Warn("a volume cannot be read; what it holds is missing here", "volume", m.Name, "error", err)
		}
	}
	return a, nil
}

func newArchive(o ArchiveOptions) *Archive {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &Archive{o: o, log: o.Log, settle: settleAfter, retry: retryOpen, routes: map[media.Stream]*route{}, homes: map[media.UUID]*home{},
		answers: make(chan *member, len(o.Volumes))}
	for i, v := range o.Volumes {
		m := &member{VolumeOptions: v, number: i, opened: make(chan opening, 1)}
		if tell := v.OnCommit; tell != nil {
			m.OnCommit = func(entries []*media.Entry) {
				for _, e := range entries {
					e.Ref.Volume = i
				}
				tell(entries)
			}
		}
		a.members = append(a.members, m)
	}
	return a
}

func (a *Archive) writable() (n int) {
	for _, m := range a.members {
		if m.volume.Load() != nil && !m.Retired {
			n++
		}
	}
	return n
}

// Run writes what is offered to each volume until ctx ends; then all that was
// taken is committed, and it returns. One volume's trouble ends no other. Call
// it once, on an archive from OpenArchive.
func (a *Archive) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make([]chan error, len(a.members))
	for i, m := range a.members {
		ended[i] = make(chan error, 1)
		go func() { ended[i] <- a.runMember(ctx, m, cancel) }()
	}
	var looking sync.WaitGroup
	defer looking.Wait()
	looking.Go(func() { a.look(ctx) })
	looking.Go(func() { a.shareLocks(ctx) })
	var errs []error
	for i, m := range a.members {
		err := m.wait(ctx, ended[i])
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Close gives the volumes back. Not before Run has returned.
func (a *Archive) Close() error {
	var errs []error
	for _, m := range a.members {
		if v := m.volume.Load(); v != nil && !m.stuck.Load() {
			errs = append(errs, v.Close())
		}
		select {
		case r := <-m.opened:
			if r.volume != nil {
				errs = append(errs, r.volume.Close())
			}
		default:
		}
	}
	return errors.Join(errs...)
}

// views are the volumes that are open: what they hold is known, be their disks
// well or not.
func (a *Archive) views() []view { return a.viewsOf(func(*Volume) bool { return true }) }

// readable are the views that can be read. A disk that is not there is missing
// among them, as at a start without it, where there is another.
func (a *Archive) readable() []view {
	if len(a.members) == 1 {
		return a.views()
	}
	return a.viewsOf(func(v *Volume) bool { return !v.letGo() || v.ring.Present() == nil })
}

func (a *Archive) viewsOf(which func(*Volume) bool) []view {
	var views []view
	for _, m := range a.members {
		if v := m.volume.Load(); v != nil && which(v) {
			views = append(views, v.view(m.number))
		}
	}
	return views
}

// IndexBytes is about how much memory the index takes.
func (a *Archive) IndexBytes() (n int64) {
	for _, v := range a.views() {
		n += v.volume.IndexBytes()
	}
	return n
}

// Streams lists every stream that has footage, or a gap on record, on any volume.
func (a *Archive) Streams() []*media.Stream { return mergedStreams(a.views()) }

// since is the instant before which nothing of a camera is shown.
func (a *Archive) since() func(*media.Stream) int64 {
	now := time.Now()
	return func(s *media.Stream) int64 {
		if age := a.o.Cameras[s.Camera.UUID].MaxAge; age > 0 {
			return now.Add(-age).UnixNano()
		}
		return media.Always.From
	}
}

// List returns the segments and gaps of all volumes that overlap q.Span. What is
// older than a camera's MaxAge is left out, in the middle of a segment too, unless
// it is locked.
func (a *Archive) List(ctx context.Context, q Query) (Listing, error) {
	return mergedList(ctx, a.views(), q, a.since())
}

// Entries is as Volume.Entries, over all volumes: between them in the order of
// runs and media time. What is older than the camera's MaxAge is left out, unless
// it is locked, and so is what lies on a disk that is away.
func (a *Archive) Entries(ctx context.Context, id media.StreamID, span media.Span) iter.Seq2[*media.Entry, error] {
	return func(yield func(*media.Entry, error) bool) {
		views := a.readable()
		oldest := media.Always.From
		var locked []media.Span
		for _, v := range views {
			if s := v.volume.names.stream(id); s != nil {
				oldest, locked = a.since()(s), lockedSpans(views, s)
				break
			}
		}
		if span.From >= oldest {
			mergedEntries(ctx, views, id, span)(yield)
			return
		}
		// But for what is locked, not even what would be needed to decode what is
		// young enough.
		from := oldest
		for _, l := range locked {
			if l.Overlaps(span) {
				from = min(from, l.From)
			}
		}
		span.From = max(span.From, from)
		if span.Empty() {
			return
		}
		began := false
		for e, err := range mergedEntries(ctx, views, id, span) {
			if err == nil {
				video := e.Params.Kind == media.Video
				shown := e.Wall >= oldest || overlapsAny(locked, media.Span{From: e.Wall, To: e.End()})
				if video {
					began = shown && (began || e.StartsSync())
				}
				if !shown || video && !began {
					continue
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// Payload is as Volume.Payload, of the volume that ref names.
func (a *Archive) Payload(ctx context.Context, ref media.Ref, dst []byte) ([]byte, error) {
	if ref.Volume < 0 || ref.Volume >= len(a.members) {
		return dst, fmt.Errorf("a reference to volume %d: the archive has %d", ref.Volume, len(a.members))
	}
	m := a.members[ref.Volume]
	v := m.volume.Load()
	if v == nil {
		return dst, fmt.Errorf("volume %s is not there", m.Name)
	}
	return v.Payload(ctx, ref, dst)
}

// There reports whether the volume of that number is open, and its disk in use.
func (a *Archive) There(number int) bool { return a.members[number].there() }

// ArchiveStatus is what an archive says of itself.
type ArchiveStatus struct {
	Volumes []VolumeStatus
	Streams []StreamStatus // over all volumes
	Cameras []Placement    // that have been recorded since the start
}

// VolumeStatus is what is known of a volume, there or not.
type VolumeStatus struct {
	Name     string   `json:"name"`
	Retired  bool     `json:"retired"`
	Error    string   `json:"error,omitempty"` // why it is not there
	Cameras  []string `json:"cameras"`         // ids of those that are being recorded into it
	MaxPools int      `json:"max_pools"`       // of the configuration: the ring may still have to grow
	Status
}

// Placement is where a stream goes, and where it belongs.
type Placement struct {
	Camera, Stream, Volume, Home string
}

// Status tells how the volumes are and what they hold.
func (a *Archive) Status() ArchiveStatus {
	var s ArchiveStatus
	for _, m := range a.members {
		o := m.options()
		vs := VolumeStatus{Name: m.Name, Retired: m.Retired, MaxPools: o.Pools, Cameras: []string{}}
		if v := m.volume.Load(); v != nil {
			vs.Status = v.Status()
			vs.Down = vs.Down || m.ended.Load()
		} else {
			vs.Status = Status{Dir: o.Dir, Pools: o.Pools, PoolBytes: o.PoolBytes, ActivePool: -1, Down: !m.Retired}
			if err := m.why(); err != nil {
				vs.Error = err.Error()
			}
		}
		for i := range vs.Streams {
			vs.Streams[i].Volume = m.number
		}
		s.Volumes = append(s.Volumes, vs)
	}
	s.Streams = streamStatuses(a.rings(), a.since()) // how deep they are, not how far back what is kept lies
	a.mu.Lock()
	defer a.mu.Unlock()
	for stream, r := range a.routes {
		s.Cameras = append(s.Cameras, Placement{stream.Camera.ID, stream.Name, r.at.Name, a.homes[stream.Camera.UUID].member.Name})
		on := &s.Volumes[r.at.number].Cameras
		if !slices.Contains(*on, stream.Camera.ID) {
			*on = append(*on, stream.Camera.ID)
		}
	}
	for _, v := range s.Volumes {
		slices.Sort(v.Cameras)
	}
	return s
}
