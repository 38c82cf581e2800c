package store

import (
	"sync"

	"nvr/internal/media"
)

const (
	// batchBytes is what one commit takes at most. It bounds what must be kept
	// in memory until the sync that makes it durable has returned.
	batchBytes = 8 << 20

	// maxQueuedBytes bounds what waits for the writer in all: a second of 500
	// cameras of 4 Mbit/s. Few cameras meet QueueRecords long before.
	maxQueuedBytes = 256 << 20

	// maxQueuedGaps bounds the gap records among what waits; they are small
	// and rare and have their own measure, so that overload cannot hide itself.
	maxQueuedGaps = 4096
)

// queued is a record or a gap on its way to the writer.
type queued struct {
	record media.Record
	gap    *media.Gap
	size   int
}

// queue is what waits for the writer. All cameras cut their records on the same
// beat, so hundreds may arrive at once while nothing is wrong: what fits into
// the next commit is always taken, and limit counts what waits beyond it.
type queue struct {
	limit int
	full  chan struct{} // a batch is there before its time

	mu    sync.Mutex
	items []queued
	bytes int
	gaps  int
}

func newQueue(limit int) *queue { return &queue{limit: limit, full: make(chan struct{}, 1)} }

func (q *queue) offer(it queued) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it.gap != nil {
		if q.gaps >= maxQueuedGaps {
			return false
		}
		q.gaps++
	} else if q.bytes >= batchBytes && len(q.items)-q.gaps >= q.limit || q.bytes+it.size > maxQueuedBytes {
		return false
	}
	q.items = append(q.items, it)
	q.bytes += it.size
	if q.bytes >= batchBytes {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
	return true
}

// take moves the oldest items, up to batchBytes of them, into into[:0].
func (q *queue) take(into []queued) []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	into = into[:0]
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

func (q *queue) len() (items, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.bytes
}
