package store

import (
	"time"

	"nvr/internal/media"
)

// Where a camera's footage goes.
//
// A camera has a home: the volume that the configuration names, else the one that
// it had before, else the one that has its newest footage, else the one with the
// least to write. While that is
// down, each of its streams goes to another volume with its next record, and
// comes back when its home has been well for settleAfter, with a record that
// begins with a sync sample, so that what is on one volume can be decoded there.
//
// Each record goes to exactly one volume. What a volume had taken before it went
// down stays with it: it waits there in bounded memory, is written late when the
// disk is back, and is never offered to another, which could not know how much
// of it had been written. If the disk does not come back, it is lost: the volume
// that takes over puts a gap on record for it, which counts only as long as
// nothing fills it.

const (
	// assumedRate is what a camera is taken to send until that has been measured.
	assumedRate = 500_000 // bytes a second

	// rateOver is the time over which it is measured.
	rateOver = 10 * time.Second

	// maxRecent is how many records of a stream are remembered that may not be
	// committed yet: far more than a volume takes before it is known to be down.
	maxRecent = 64

	// sameTime is what two clocks' readings of one instant may differ by: wall time
	// at the beginning of a run is corrected afterwards.
	sameTime = 50 * time.Millisecond
)

// route is where a stream goes at present.
type route struct {
	at     *member
	video  bool         // it has some: only that has sync samples
	recent []media.Span // of records that went to at, oldest first; of one track

	measured time.Time // since when
	bytes    int64     // since then
	rate     float64   // bytes a second, over the rateOver before that
}

// count measures the stream's rate.
func (r *route) count(bytes int, now time.Time) {
	over := now.Sub(r.measured)
	if r.measured.IsZero() || over < 0 {
		r.measured, r.bytes = now, 0
	} else if over >= rateOver {
		r.rate = float64(r.bytes) / over.Seconds()
		r.measured, r.bytes = now, 0
	}
	r.bytes += int64(bytes)
}

// Offer takes a record to where its camera goes, as Volume.Offer does.
func (a *Archive) Offer(r media.Record) bool {
	v, lost := a.route(&r)
	if lost != nil {
		v.OfferGap(*lost)
	}
	return v.Offer(r)
}

// route chooses the volume for a record. lost, if any, is what its stream may
// have lost on the volume where it was.
func (a *Archive) route(r *media.Record) (v *Volume, lost *media.Gap) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	rt := a.routes[*r.Stream]
	if rt == nil {
		rt = &route{}
		a.routes[*r.Stream] = rt
	}
	video := r.Params.Kind == media.Video
	rt.video = rt.video || video
	home := a.home(r.Stream, now)
	switch {
	case rt.at == nil:
		rt.at = a.choose(home, now)
	case !a.isUp(rt.at, now):
		if to := a.choose(a.beside(rt, r.Stream, home, now), now); to != rt.at && a.isUp(to, now) {
			lost = a.unsettled(rt, r)
			a.log.Info("a camera goes to another volume", "camera", r.Stream.Camera.ID, "stream", r.Stream.Name, "from", rt.at.Name, "to", to.Name)
			rt.at, rt.recent = to, nil
		}
	case rt.at != home && a.settled(home, now) && (!rt.video || video && startsSync(r)):
		a.log.Info("a camera comes back to its volume", "camera", r.Stream.Camera.ID, "stream", r.Stream.Name, "from", rt.at.Name, "to", home.Name)
		rt.at, rt.recent = home, nil
	}
	rt.count(len(r.Buffer.Data), now)
	if len(a.members) > 1 && (video || !rt.video) {
		if len(rt.recent) == maxRecent {
			rt.recent = append(rt.recent[:0], rt.recent[1:]...)
		}
		rt.recent = append(rt.recent, media.Span{From: r.Wall, To: r.End()})
	}
	return rt.at.volume.Load(), lost
}

func startsSync(r *media.Record) bool {
	return len(r.Buffer.Samples) > 0 && r.Buffer.Samples[0].Sync()
}

// settled reports whether a volume has been well for long enough. With a.mu held.
func (a *Archive) settled(m *member, now time.Time) bool {
	return a.isUp(m, now) && (m.upAt.IsZero() || now.Sub(m.upAt) >= a.settle)
}

// beside is where a stream goes first: home, or while that is down where another
// stream of its camera is. With a.mu held.
func (a *Archive) beside(rt *route, s *media.Stream, home *member, now time.Time) *member {
	if a.isUp(home, now) {
		return home
	}
	for other, o := range a.routes {
		if o != rt && other.Camera.UUID == s.Camera.UUID && o.at != nil && a.isUp(o.at, now) {
			return o.at
		}
	}
	return home
}

// unsettled is the span of what the stream gave to a volume that is down and
// that is not known to be committed.
func (a *Archive) unsettled(rt *route, r *media.Record) *media.Gap {
	committed := int64(0)
	if v := rt.at.volume.Load(); v != nil {
		committed = newestIn(v.view(0), func(id media.StreamID) bool { return id == r.Stream.ID() })
	}
	for _, s := range rt.recent {
		if s.To > committed+int64(sameTime) && s.From < r.Wall {
			return &media.Gap{Stream: r.Stream, Span: media.Span{From: max(s.From, committed), To: r.Wall}, Reason: media.ReasonDisk,
				Detail: "volume " + rt.at.Name + " went down with what it had taken"}
		}
	}
	return nil
}

// OfferGap takes a gap to where its camera goes, as Volume.OfferGap does. One
// that is opened on one volume may be closed on another.
func (a *Archive) OfferGap(g media.Gap) bool {
	a.mu.Lock()
	now := time.Now()
	var m *member
	if rt := a.routes[*g.Stream]; rt != nil && rt.at != nil && a.isUp(rt.at, now) {
		m = rt.at
	} else {
		m = a.choose(a.home(g.Stream, now), now)
	}
	v := m.volume.Load()
	a.mu.Unlock()
	return v.OfferGap(g)
}

// home finds out where a camera belongs, once. With a.mu held.
func (a *Archive) home(s *media.Stream, now time.Time) *member {
	camera := s.Camera.UUID
	if h := a.homes[camera]; h != nil {
		return h.member
	}
	h := &home{}
	if name := a.o.Cameras[camera].Volume; name != "" {
		for _, m := range a.members {
			if m.Name == name && !m.Retired {
				h.member = m
			}
		}
	}
	if h.member == nil {
		h.chosen, a.moved = true, len(a.members) > 1
		for _, m := range a.members {
			if m.Name == a.last[camera] && !m.Retired {
				h.member, h.known = m, true
			}
		}
	}
	if h.member == nil {
		for _, m := range a.members {
			if newest := m.newest(camera); !m.Retired && newest > h.newest {
				h.member, h.newest = m, newest
			}
		}
	}
	if h.member == nil {
		h.member = a.choose(nil, now)
	}
	a.homes[camera] = h
	return h.member
}

// choose is the volume to write to: first (may be nil) if that is well, else the
// one with the least to write of those that are. When none is well, the first
// that is there at all. With a.mu held.
func (a *Archive) choose(first *member, now time.Time) *member {
	if first != nil && a.isUp(first, now) {
		return first
	}
	rates := make([]float64, len(a.members))
	for _, rt := range a.routes {
		if rt.at == nil {
			continue
		}
		if rt.rate > 0 {
			rates[rt.at.number] += rt.rate
		} else {
			rates[rt.at.number] += assumedRate
		}
	}
	var best *member
	for _, m := range a.members {
		if a.isUp(m, now) && (best == nil || rates[m.number] < rates[best.number]) {
			best = m
		}
	}
	if best != nil {
		return best
	}
	for _, m := range append([]*member{first}, a.members...) {
		if m != nil && !m.Retired && m.volume.Load() != nil {
			return m
		}
	}
	panic("store: an archive with no volume to write to")
}

// newest is the end of the newest footage of a camera on the volume, as far as
// it is indexed; 0 when there is none.
func (m *member) newest(camera media.UUID) int64 {
	v := m.volume.Load()
	if v == nil {
		return 0
	}
	return newestIn(v.view(0), func(id media.StreamID) bool {
		s := v.names.stream(id)
		return s != nil && s.Camera.UUID == camera
	})
}

func newestIn(v view, of func(media.StreamID) bool) (end int64) {
	for i := len(v.snapshot) - 1; i >= 0; i-- {
		for id := range v.snapshot[i].Streams() {
			if !of(id) {
				continue
			}
			for p := range v.snapshot[i].Of(id) {
				end = max(end, p.Span.To)
			}
		}
		if end > 0 {
			return end
		}
	}
	return 0
}
