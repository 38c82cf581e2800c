package rtsp

import "time"

const (
	// mixWindow is how many packets of a new source may pass before the return
	// of the one before it means that two streams are mixed, and not that the
	// camera takes a new SSRC with every GOP (Uniview). Mixed streams take
	// turns with every picture.
	mixWindow = 64

	// sourceSilence is how long the kept one of two mixed sources may be silent
	// before the other one is taken.
	sourceSilence = 2 * time.Second
)

// source decides which SSRC of a track counts. A new one is accepted as it
// comes. But old live555 servers (Reolink) mix the stream of a session that was
// not torn down into the new one; then one of the two is kept: the one that
// SETUP announced, else the one that came first. The announcement alone
// decides nothing: Tapo and Eufy announce one and use another.
type source struct {
	announced    uint32
	hasAnnounced bool

	sources         int // taken so far
	current, former uint32
	age             int // packets of current since it was taken
	last            time.Time

	mixed  bool
	banned uint32
}

// accept reports whether a packet of this SSRC counts.
func (s *source) accept(ssrc uint32, at time.Time) bool {
	switch {
	case s.sources > 0 && ssrc == s.current:
		s.age++
		s.last = at
		return true
	case s.mixed && ssrc == s.banned && at.Sub(s.last) < sourceSilence:
		return false
	case !s.mixed && s.sources > 1 && ssrc == s.former && s.age < mixWindow:
		s.mixed = true
		if s.hasAnnounced && s.announced == s.current {
			s.banned = ssrc
			return false
		}
		s.banned = s.current
	default:
		s.mixed = false
	}
	s.former, s.current = s.current, ssrc
	s.sources++
	s.age, s.last = 1, at
	return true
}
