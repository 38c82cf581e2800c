package store

import (
	"sync"

	"nvr/internal/media"
)

const (
	// batchBytes is what one commit takes at most. It bounds what must be kept
	// in memory until the sync that makes it durable has returned. A beat of 50
	// cameras of 4 Mbit/s has 20 MB; with less than that it took several syncs,
	// each of them seeks of the disk's head (docs/perf.md).
	batchBytes = 24 << 20

	// maxQueuedBytes bounds what waits for the writer in all: a second of 500
	// cameras of 4 Mbit/s. Few cameras meet QueueRecords long before.
	maxQueuedBytes = 256 << 20

	// MaxWaitingBytes bounds what a volume keeps in memory while its disk takes
	// nothing: the batch that is being committed, and what waits behind it.
	MaxWaitingBytes = batchBytes + maxQueuedBytes

	// maxQueuedGaps bounds the gap records among what waits; they are small
	// and rare and have their own measure, so that overload cannot hide itself.
	maxQueuedGaps = 4096
)

// queued is a record or a gap on its way to the writer.
type queued struct {
	record media.Record
	gap    *media.Gap
	again  bool // the gap was told before: it counts if it is open still
	size   int
}

// startsGOP reports whether what comes before it of its stream can go without
// it: a sync sample of the video, or any sound where there is no video.
func (it *queued) startsGOP() bool {
	return it.gap == nil && it.record.Params.Kind == media.Video && len(it.record.Buffer.Samples) > 0 && it.record.Buffer.Samples[0].Sync()
}

// queue is what waits for the writer. All cameras cut their records on the same
// beat, so hundreds may arrive at once while nothing is wrong: what fits into
// the next commit is always taken, and limit counts what waits beyond it.
//
// When there is too much, the stream that has the most of it loses its oldest
// GOP, whole: a camera that is over its share pays first, and what is kept can be
// decoded. What was lost is written down as a gap with the next commit.
type queue struct {
	limit  int
	full   chan struct{}       // a batch is there before its time
	reason func() media.Reason // why things are lost at present

	mu      sync.Mutex
	items   []queued
	bytes   int
	gaps    int
	dropped int64 // records, since the start
	lost    map[*media.Stream]*lostSpan
	waiting map[*media.Stream]bool // lost the beginning of a GOP: the rest of it is not taken either
}

// lostSpan is what a stream lost since the last commit. Once there is video in it,
// that decides from when to when.
type lostSpan struct {
	gap   media.Gap
	video bool
}

func newQueue(limit int, reason func() media.Reason) *queue {
	return &queue{limit: limit, full: make(chan struct{}, 1), reason: reason, lost: map[*media.Stream]*lostSpan{}, waiting: map[*media.Stream]bool{}}
}

// offer takes the item, and makes room for it where there is none. It refuses
// nothing but gaps, when there are far too many of them.
func (q *queue) offer(it queued) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it.gap != nil {
		if q.gaps >= maxQueuedGaps {
			return false
		}
		q.gaps++
	} else if s := it.record.Stream; q.waiting[s] {
		if !it.startsGOP() {
			q.lose(&it)
			return true
		}
		delete(q.waiting, s)
	}
	q.items = append(q.items, it)
	q.bytes += it.size
	for q.bytes > maxQueuedBytes || q.bytes >= batchBytes && len(q.items)-q.gaps > q.limit {
		q.evict()
	}
	if q.bytes >= batchBytes {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
	return true
}

// evict takes the oldest GOP away from the stream that has the most bytes here.
func (q *queue) evict() {
	sizes := map[*media.Stream]int{}
	var most *media.Stream
	for i := range q.items {
		if q.items[i].gap == nil {
			s := q.items[i].record.Stream
			sizes[s] += q.items[i].size + 1
			if most == nil || sizes[s] > sizes[most] {
				most = s
			}
		}
	}
	kept := q.items[:0]
	taking, first, audioOnly := true, true, true
	for i := range q.items {
		it := &q.items[i]
		if it.gap == nil && it.record.Stream == most && taking {
			video := it.record.Params.Kind == media.Video
			audioOnly = audioOnly && !video
			if first || !it.startsGOP() {
				first = first && !video // sound before the GOP's first picture goes with it
				q.bytes -= it.size
				q.lose(it)
				continue
			}
			taking = false
		}
		kept = append(kept, *it)
	}
	clear(q.items[len(kept):])
	q.items = kept
	if taking && !audioOnly { // the GOP is not over: what follows of it is of no use
		q.waiting[most] = true
	}
}

// lose drops a record and remembers the span.
func (q *queue) lose(it *queued) {
	r := &it.record
	video := r.Params.Kind == media.Video
	l := q.lost[r.Stream]
	if l == nil {
		l = &lostSpan{gap: media.Gap{Stream: r.Stream, Span: media.Span{From: r.Wall, To: r.Wall}, Reason: q.reason()}}
		q.lost[r.Stream] = l
	}
	if why := q.reason(); why == media.ReasonDisk { // it is known only after a while
		l.gap.Reason = why
	}
	if g := &l.gap; video && !l.video {
		l.video, g.Span, g.Run = true, media.Span{From: r.Wall, To: r.End()}, r.Run
	} else if video == l.video {
		g.Span.From, g.Span.To = min(g.Span.From, r.Wall), max(g.Span.To, r.End())
		if g.Run != r.Run {
			g.Run = 0
		}
	}
	q.dropped++
	r.Buffer.Release()
}

// take moves the oldest items, up to batchBytes of them, into into[:0]; what was
// lost since comes first, as gaps.
func (q *queue) take(into []queued) []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	into = into[:0]
	for s, l := range q.lost {
		into = append(into, queued{gap: &l.gap})
		delete(q.lost, s)
	}
	n, bytes := 0, 0
	for n < len(q.items) && (n == 0 || bytes+q.items[n].size <= batchBytes) {
		bytes += q.items[n].size
		if q.items[n].gap != nil {
			q.gaps--
		}
		n++
	}
	into = append(into, q.items[:n]...)
	rest := copy(q.items, q.items[n:])
	clear(q.items[rest:])
	q.items = q.items[:rest]
	q.bytes -= bytes
	return into
}

// len is what waits.
func (q *queue) len() (items, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) + len(q.lost), q.bytes
}

// losses is how many records were dropped since the start.
func (q *queue) losses() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}
