package store

import (
	"slices"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/vault"
)

// wanted is footage of a camera that a lock wants of a pool.
type wanted struct {
	camera string
	span   media.Span
}

// unknownBase is how much earlier a record of a run's first seconds may be shown
// than it says itself, where nobody knows.
const unknownBase = time.Second

// selection is what of a pool's life is wanted.
type selection struct {
	v      *Volume
	wanted []wanted
	super  pool.Super
	groups []pool.Group
	bases  map[media.StreamID]map[media.RunID]int64 // when runs really began
	params map[uint32]bool                          // of tracks that are needed
	needs  map[media.StreamID]bool                  // streams that are
	extra  []pool.Item                              // descriptions that do not stand in the pool
	bytes  int64                                    // of groups
	dirs   int64                                    // of headers and directories
	found  int                                      // records
}

func (s *selection) size() int64 { return vault.Size(s.bytes, s.dirs) }

// takes reports whether an entry goes into the file.
func (s *selection) takes(e *pool.Entry) bool {
	switch e.Kind {
	case pool.KindStream:
		return s.needs[e.Stream]
	case pool.KindTrack:
		return s.params[e.Params]
	case pool.KindSamples, pool.KindGap:
		stream := s.v.names.stream(e.Stream)
		if stream == nil || e.Kind == pool.KindSamples && s.v.names.Track(e.Params) == nil {
			return false
		}
		span := s.shown(e)
		return slices.ContainsFunc(s.wanted, func(w wanted) bool { return w.camera == stream.Camera.ID && w.span.Overlaps(span) })
	}
	return false
}

// shown is where an entry is shown: a record of a run's first seconds perhaps a
// little earlier than it says itself.
func (s *selection) shown(e *pool.Entry) media.Span {
	span := media.Span{From: e.Wall, To: e.WallEnd}
	if e.Kind == pool.KindGap {
		if e.WallEnd == 0 {
			span.To = media.Always.To
		}
		return span
	}
	offset := e.Start.Duration(s.v.names.Track(e.Params).ClockRate)
	if !index.Provisional(offset) {
		return span
	}
	bases, ok := s.bases[e.Stream]
	if !ok {
		bases = runBases([]view{s.v.view(0)}, e.Stream)
		s.bases[e.Stream] = bases
	}
	if base, ok := bases[e.Run]; ok {
		span.From = min(span.From, base+int64(offset)) - int64(sameTime)
	} else {
		span.From -= int64(unknownBase)
	}
	return span
}

// selectFrom finds what is wanted in a life of a pool, be it that it is over: until
// the writer has come to the footer, that tells what there was, and until it has
// come to a record, that is still there. There are no groups when nobody knows
// any more.
func (v *Volume) selectFrom(n vault.Name, list []wanted) (*selection, error) {
	s := &selection{v: v, wanted: list, bases: map[media.StreamID]map[media.RunID]int64{}, params: map[uint32]bool{}, needs: map[media.StreamID]bool{}}
	if int(n.Pool) >= v.ring.Pools() {
		return s, nil
	}
	var err error
	if s.super, err = v.super(int(n.Pool)); err != nil {
		return nil, err
	}
	if s.groups, err = v.lifeOf(n, s.super); err != nil {
		return nil, err
	}
	described := map[description]bool{}
	for i := range s.groups {
		err := s.groups[i].Entries(func(e *pool.Entry) bool {
			switch {
			case e.Kind == pool.KindStream || e.Kind == pool.KindTrack:
				v.names.Describe(e)
				described[describedKey(e)] = true
			case s.takes(e):
				s.needs[e.Stream] = true
				if e.Kind == pool.KindSamples {
					s.params[e.Params] = true
				}
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	for id := range s.needs {
		if !described[description{pool.KindStream, id, 0}] {
			s.extra = append(s.extra, pool.Item{Entry: pool.StreamEntry(v.names.stream(id))})
		}
	}
	for params := range s.params {
		if !described[description{pool.KindTrack, 0, params}] {
			s.extra = append(s.extra, pool.Item{Entry: pool.TrackEntry(v.names.Track(params))})
		}
	}
	for _, b := range s.extraGroups() {
		group, dir, _ := b.SizeWith()
		s.bytes, s.dirs = s.bytes+group, s.dirs+dir
	}
	for i := range s.groups {
		dir, payload := int64(0), int64(0)
		s.groups[i].Entries(func(e *pool.Entry) bool {
			if s.takes(e) {
				dir, payload = dir+int64(e.DirectoryLen()), payload+int64(e.Length)
				if e.Kind == pool.KindSamples {
					s.found++
				}
			}
			return true
		})
		if dir > 0 {
			s.bytes += pool.Align(pool.HeaderSize + dir + payload)
			s.dirs += pool.HeaderSize + dir
		}
	}
	return s, nil
}

// extraGroups puts the descriptions that do not stand in the pool into groups.
func (s *selection) extraGroups() (list []*pool.Builder) {
	for _, item := range s.extra {
		n := len(list)
		if n == 0 {
			list, n = append(list, &pool.Builder{}), 1
		} else if _, _, ok := list[n-1].SizeWith(item); !ok {
			list, n = append(list, &pool.Builder{}), n+1
		}
		list[n-1].Add(item)
	}
	return list
}

// lifeOf returns the groups of a life of a pool; none when nothing tells of them
// any more.
func (v *Volume) lifeOf(n vault.Name, s pool.Super) ([]pool.Group, error) {
	for _, p := range v.index.Load() {
		if p.Pool == n.Pool && p.Generation == n.Generation {
			return v.directory(p)
		}
	}
	if s.Generation == n.Generation {
		return v.directory(&index.Pool{Pool: n.Pool, Generation: n.Generation})
	}
	f, err := v.ring.File(int(n.Pool))
	if err != nil {
		return nil, err
	}
	groups, err := readFooter(f, pool.Identity{Ring: v.ring.UUID, Pool: n.Pool, Generation: n.Generation}, v.ring.Size)
	if err != nil && isDamage(err) {
		return nil, nil
	}
	return groups, err
}
