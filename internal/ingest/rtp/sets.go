package rtp

import (
	"bytes"
	"slices"

	"nvr/internal/codec/nal"
	"nvr/internal/media"
)

// cachedTracks is how many Tracks are remembered: cameras go to and fro
// between day and night, and records of one kind share one pointer.
const cachedTracks = 4

// paramSet is a parameter set as it came, of a type, under an id.
type paramSet struct {
	typ   byte
	id    uint32
	bytes []byte
}

// paramSets collects a stream's parameter sets and makes Tracks of them.
type paramSets struct {
	same  func(typ byte, a, b []byte) bool // mean the same to a decoder
	build func(of func(typ byte) [][]byte) (*media.Track, error)

	list    []paramSet
	changed bool
	current *media.Track
	cache   [cachedTracks]*media.Track
	next    int // in cache
}

// put takes a set; b is copied if it is news. Sets that differ by nothing a
// decoder needs do not replace the one we have.
func (s *paramSets) put(typ byte, id uint32, b []byte) {
	for i := range s.list {
		if p := &s.list[i]; p.typ == typ && p.id == id {
			if bytes.Equal(p.bytes, b) || s.same(typ, p.bytes, b) {
				return
			}
			s.list = slices.Delete(s.list, i, i+1)
			break
		}
	}
	if len(s.list) == nal.MaxSets { // ids that run on: the oldest goes
		copy(s.list, s.list[1:])
		s.list = s.list[:nal.MaxSets-1]
	}
	s.list = append(s.list, paramSet{typ, id, bytes.Clone(b)})
	s.changed = true
}

// of lists the sets of a type, the newest first: an encoder that counts its ids
// on with each change means that one, and the picture's size is read from it.
func (s *paramSets) of(typ byte) [][]byte {
	var l [][]byte
	for i := len(s.list) - 1; i >= 0; i-- {
		if s.list[i].typ == typ {
			l = append(l, s.list[i].bytes)
		}
	}
	return l
}

// track is the Track for pictures from here on, nil until there are enough sets.
func (s *paramSets) track() *media.Track {
	if !s.changed {
		return s.current
	}
	s.changed = false
	t, err := s.build(s.of)
	if err != nil {
		return s.current
	}
	for _, c := range s.cache {
		if t.Equal(c) {
			s.current = c
			return c
		}
	}
	s.cache[s.next] = t
	s.next = (s.next + 1) % cachedTracks
	s.current = t
	return t
}
