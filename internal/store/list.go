package store

import (
	"context"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
)

// Query chooses what List tells.
type Query struct {
	Camera string     // id; empty: all
	Stream string     // name; empty: all
	Span   media.Span // the zero value: everything
}

func (q Query) takes(s *media.Stream) bool {
	return (q.Camera == "" || s.Camera.ID == q.Camera) && (q.Stream == "" || s.Name == q.Stream)
}

// Listing is what the archive has, by camera and then in the order in which it
// was recorded.
type Listing struct {
	Segments []media.Segment
	Gaps     []media.Gap // To == 0: still open
}

// List returns the segments and the gaps that overlap q.Span, whole.
func (v *Volume) List(ctx context.Context, q Query) (Listing, error) {
	return mergedList(ctx, []view{v.view(0)}, q, nil)
}

// Status is what a volume says of itself.
type Status struct {
	Dir           string         `json:"dir"`
	Ring          string         `json:"ring"`
	Pools         int            `json:"pools"`
	PoolBytes     int64          `json:"pool_bytes"`
	UsedPools     int            `json:"used_pools"`  // that hold footage
	UsedBytes     int64          `json:"used_bytes"`  // of groups in them
	ActivePool    int            `json:"active_pool"` // -1: none yet
	Generation    uint64         `json:"generation"`
	Position      int64          `json:"position"`    // in the active pool, where the next group goes
	Indexed       bool           `json:"indexed"`     // the older pools have been read
	IndexBytes    int64          `json:"index_bytes"` // memory that the index takes
	Writing       bool           `json:"writing"`
	Down          bool           `json:"down"`            // the disk does not take footage at present
	Away          string         `json:"away,omitempty"`  // why the disk was let go of; empty: it was not
	Rate          float64        `json:"bytes_per_sec"`   // written, lately
	Oldest        int64          `json:"-"`               // ns UTC; 0: nothing there
	Newest        int64          `json:"-"`               // ns UTC
	Depth         float64        `json:"depth_secs"`      // from the oldest footage to the newest
	WrapDays      float64        `json:"days_until_wrap"` // until the whole ring will have been written once more at this rate; 0: unknown
	QueuedRecords int            `json:"queued_records"`  // waiting for the writer
	QueuedBytes   int            `json:"queued_bytes"`    //
	Refused       int64          `json:"refused_records"` // dropped because too many waited
	Failures      int64          `json:"write_failures"`  // of writes and syncs
	Commits       int64          `json:"commits"`         // since the start
	Written       int64          `json:"written_bytes"`   // since the start, all included
	LastCommit    int64          `json:"-"`               // ns UTC; 0: none yet
	Streams       []StreamStatus `json:"streams"`
	PassedOver    []*PoolFault   `json:"passed_over"`    // pool files that cannot be used: see docs/damage.md
	BadRecords    int64          `json:"bad_records"`    // that the scrub found damaged, in this round or the last
	BadPlaces     int64          `json:"bad_places"`     // on the disk that are not as they were written, those of records too
	ScrubRate     int64          `json:"scrub_rate"`     // bytes per second; 0: no scrub
	Scrubbed      int64          `json:"scrubbed_bytes"` // in this round, or at rest in the last
	ScrubTotal    int64          `json:"scrub_bytes"`    // to be read in this round; 0: it rests
	ScrubRounds   int64          `json:"scrub_rounds"`   // since the start
	Vault         VaultStatus    `json:"vault"`          // what is kept of the ring beside it; the rest here speaks of the ring alone
}

// StreamStatus is what the archive has of one stream.
type StreamStatus struct {
	Camera  string      `json:"camera"`
	Name    string      `json:"name"`
	Stream  string      `json:"stream"`
	Codec   media.Codec `json:"codec"`
	Volume  int         `json:"-"` // that has the newest footage
	Oldest  int64       `json:"-"` // ns UTC
	Newest  int64       `json:"-"`
	Depth   float64     `json:"depth_secs"`
	Bytes   int64       `json:"bytes"`
	Samples int64       `json:"samples"`
	Rate    float64     `json:"bytes_per_sec"` // over the newest segments
}

// IndexBytes is about how much memory the index takes.
func (v *Volume) IndexBytes() (n int64) {
	for _, p := range v.index.Load() {
		n += p.Memory()
	}
	return n
}

// rateWindow is over how much of the newest footage rates are measured.
const rateWindow = 5 * time.Minute

// Status tells how the volume is and what it holds.
func (v *Volume) Status() Status {
	s := Status{Dir: v.dir.Path(), Ring: v.ring.UUID.String(), Pools: v.ring.Pools(), PoolBytes: v.ring.Size, ActivePool: -1,
		Indexed: v.writer == nil || v.indexed.Load(), IndexBytes: v.IndexBytes(), Writing: v.writer != nil, Down: v.counters.down.Load() || v.counters.stalled.Load(), Position: v.counters.position.Load(),
		Refused: v.counters.refused.Load() + v.queue.losses(), Failures: v.counters.failures.Load(), Commits: v.counters.commits.Load(), Written: v.counters.bytes.Load(), LastCommit: v.counters.lastCommit.Load()}
	if why := v.away.Load(); why != nil {
		s.Away = *why
	}
	s.QueuedRecords, s.QueuedBytes = v.queue.len()
	s.PassedOver = append([]*PoolFault{}, v.ring.Faults()...)
	s.BadRecords, s.BadPlaces = v.scrubbed.records.Load(), v.scrubbed.places.Load()
	s.Scrubbed, s.ScrubTotal, s.ScrubRounds = v.scrubbed.bytes.Load(), v.scrubbed.of.Load(), v.scrubbed.rounds.Load()
	if v.writer != nil {
		s.ScrubRate = v.o.ScrubRate
	}
	s.Vault = v.vaultStatus()
	if used := v.ring.Used(); len(used) > 0 {
		newest := used[len(used)-1]
		s.UsedPools, s.ActivePool, s.Generation = len(used), int(newest.Pool), newest.Generation
	}
	snapshot := v.index.Load()
	for _, p := range snapshot {
		s.UsedBytes += p.Bytes - pool.FirstGroup
		if v.writer == nil && int(p.Pool) == s.ActivePool {
			s.Position = p.Bytes
		}
	}
	total := 0.0
	s.Streams = streamStatuses([]view{{0, v, snapshot}}, nil)
	for _, st := range s.Streams {
		if s.Oldest == 0 || st.Oldest < s.Oldest {
			s.Oldest = st.Oldest
		}
		s.Newest = max(s.Newest, st.Newest)
	}
	for _, st := range s.Streams {
		if s.Newest-st.Newest < int64(rateWindow) { // still being recorded
			total += st.Rate
		}
	}
	s.Rate = total
	s.Depth = time.Duration(s.Newest - s.Oldest).Seconds()
	if total > 0 {
		s.WrapDays = float64(s.Pools) * float64(s.PoolBytes-pool.FirstGroup) / total / 86400
	}
	return s
}

func streamStatus(stream *media.Stream, parts []index.Part) StreamStatus {
	st := StreamStatus{Camera: stream.Camera.ID, Name: stream.Camera.Name, Stream: stream.Name, Oldest: parts[0].Span.From, Newest: parts[0].Span.To}
	for i := range parts {
		st.Oldest, st.Newest = min(st.Oldest, parts[i].Span.From), max(st.Newest, parts[i].Span.To)
		st.Bytes += parts[i].Bytes
		st.Samples += parts[i].Samples
	}
	st.Depth = time.Duration(st.Newest - st.Oldest).Seconds()
	bytes, length := int64(0), time.Duration(0)
	for i := len(parts) - 1; i >= 0 && length < rateWindow; i-- {
		bytes += parts[i].Bytes
		length += parts[i].Span.Duration()
	}
	if length > 0 {
		st.Rate = float64(bytes) / length.Seconds()
	}
	return st
}
