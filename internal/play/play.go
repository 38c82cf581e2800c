// Package play is a reader's session: it asks an [Archive] what there is,
// decides what is shown when, and speaks mux. It keeps nothing between calls
// and knows neither disks nor HTTP.
package play

import (
	"context"
	"errors"
	"iter"

	"nvr/internal/media"
)

// Archive is footage that can be read. The store is one; another node can be.
// Its methods may be called concurrently.
type Archive interface {
	// Entries yields the records of a stream that overlap span in the order in
	// which they were written (order of playback = run, then media time; all
	// tracks interleaved as written). It begins, when there is one, with the
	// latest record of the same run that starts with a sync sample at or before
	// span.From, so that decoding can begin. May be called again any number of
	// times; footage may be overwritten between calls.
	Entries(ctx context.Context, id media.StreamID, span media.Span) iter.Seq2[*media.Entry, error]

	// Payload appends the record's payload to dst. It returns
	// media.ErrOverwritten or a *media.DamagedError.
	Payload(ctx context.Context, ref media.Ref, dst []byte) ([]byte, error)
}

// ErrNoFootage is wrapped when nothing in the span can be shown.
var ErrNoFootage = errors.New("no footage in this span")
