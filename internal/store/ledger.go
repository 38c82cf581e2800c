package store

import (
	"context"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/index"
)

// Account is what was expected of a stream, and what of it is missing.
type Account struct {
	Stream *media.Stream
	index.Account
}

// LedgerQuery chooses what Ledger tells.
type LedgerQuery struct {
	Query
	Now       int64 // ns UTC: when the account ends at the latest
	Recording bool  // a recorder is at work in the archive
}

// Ledger makes up the account of each stream that is known, by camera and stream
// (docs/ledger.md).
func (a *Archive) Ledger(ctx context.Context, q LedgerQuery) ([]Account, error) {
	views, since := a.rings(), a.since()
	if q.Span == (media.Span{}) {
		q.Span = media.Always
	}
	alive := newestOf(views, media.RunID(1<<63))
	all := gather(views)
	var accounts []Account
	for _, s := range mergedStreams(views) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !q.takes(s) {
			continue
		}
		span := media.Span{From: max(q.Span.From, since(s)), To: q.Span.To}
		of := all[s.ID()]
		if q.Recording && a.isDown(s) { // what waits for it is not missing yet, but nobody can promise it
			of.known = append(of.known, media.Gap{Span: media.Span{From: of.last()}, Reason: media.ReasonDisk})
		}
		account := index.Ledger(of.parts, of.known, span, q.Now, alive, q.Recording)
		for _, oldest := range comeRound(views, s.ID()) {
			account.Forget(oldest)
		}
		for i := range account.Gaps {
			account.Gaps[i].Stream = s
		}
		accounts = append(accounts, Account{s, account})
	}
	return accounts, nil
}

// rings are the views without what locks keep: the ledger goes as far back as the
// rings do.
func (a *Archive) rings() (rings []view) {
	for _, w := range a.views() {
		rings = append(rings, w.ring())
	}
	return rings
}

// comeRound is where those volumes begin to have a stream whose rings have been
// written once: of several, each is so deep.
func comeRound(views []view, id media.StreamID) (oldest []int64) {
	if len(views) == 1 {
		return nil
	}
	for _, v := range views {
		if r := v.volume.ring; len(r.Used()) < r.Pools() {
			continue
		}
		for _, p := range v.snapshot {
			if part, ok := p.First(id); ok {
				oldest = append(oldest, part.Span.From)
				break
			}
		}
	}
	return oldest
}

// gathered is what the views have of a stream: its parts, in no order, and what is
// on record of its gaps.
type gathered struct {
	parts []index.Extent
	known []media.Gap
}

// last is when the newest of its footage ends.
func (g *gathered) last() (end int64) {
	for _, p := range g.parts {
		end = max(end, p.Span.To)
	}
	return end
}

// isDown reports whether the volume that a stream goes to takes nothing.
func (a *Archive) isDown(s *media.Stream) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	rt := a.routes[*s]
	return rt != nil && rt.at != nil && rt.at.down()
}

// gather gathers all streams in one pass.
func gather(views []view) map[media.StreamID]*gathered {
	all := map[media.StreamID]*gathered{}
	of := func(id media.StreamID) *gathered {
		g := all[id]
		if g == nil {
			g = &gathered{}
			all[id] = g
		}
		return g
	}
	for _, v := range views {
		for _, p := range v.snapshot {
			for i := range p.Len() {
				part := p.Part(i)
				g := of(part.Stream)
				g.parts = append(g.parts, index.Extent{Run: part.Run, Span: part.Span})
			}
			for i := range p.Gaps {
				g := of(p.Gaps[i].Stream)
				g.known = append(g.known, p.Gaps[i].Gap)
			}
		}
	}
	if len(views) > 1 {
		for _, g := range all {
			sortKnown(g.known)
		}
	}
	return all
}

// newestOf is the end of the newest footage of all runs before one.
func newestOf(views []view, before media.RunID) (end int64) {
	for _, v := range views {
		for _, p := range v.snapshot {
			for i := range p.Len() {
				if part := p.Part(i); part.Run < before {
					end = max(end, part.Span.To)
				}
			}
		}
	}
	return end
}

// account writes down, once all that there was before the start is known, why
// there is nothing between that and the start: a recorder that was killed or lost
// its power could not. It tells of streams that nobody wants any more, too. It
// reports false while there is something to wait for.
func (a *Archive) account() bool {
	if a.o.Since == 0 {
		return true
	}
	for _, m := range a.members {
		if v := m.volume.Load(); v != nil && v.writer != nil && !v.indexed.Load() {
			return false
		}
	}
	views := a.rings()
	before := media.RunID(max(0, time.Duration(a.o.Since).Microseconds()))
	alive := newestOf(views, before)
	all := gather(views)
	wanted := map[media.StreamID]bool{}
	for _, s := range a.o.Streams {
		wanted[s.ID()] = true
	}
	for _, s := range mergedStreams(views) {
		last := int64(0)
		for _, p := range all[s.ID()].parts {
			if p.Run < before {
				last = max(last, p.Span.To)
			}
		}
		var known []media.Gap
		for _, g := range all[s.ID()].known {
			if g.Span.From < a.o.Since {
				known = append(known, g)
			}
		}
		open := index.StillOpen(known, last)
		stopped := media.Gap{Stream: s, Span: media.Span{From: last, To: a.o.Since}, Reason: media.ReasonStopped, Detail: "the recorder ended without a word"}
		switch {
		case open == nil:
		case open.Reason == media.ReasonStopped, open.Reason == media.ReasonUnwanted, open.Reason == media.ReasonDisabled, alive <= open.Span.From:
			stopped.Span = media.Span{}
		default: // while the camera was away, others were recorded until then
			stopped.Span.From = alive
			ended := *open
			ended.Stream, ended.Span.To = s, alive
			a.OfferGap(ended)
		}
		if stopped.Span.From > 0 && !stopped.Span.Empty() {
			a.OfferGap(stopped)
		}
		if !wanted[s.ID()] && (open == nil || open.Reason != media.ReasonUnwanted) {
			a.OfferGap(media.Gap{Stream: s, Span: media.Span{From: a.o.Since}, Reason: media.ReasonUnwanted})
		}
	}
	return true
}
