package rtsp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Interleaved is how the media travel in the RTSP connection (RFC 2326 §10.12).
// This file is all there is to it besides the splitter: what SETUP offers, what
// its answer means, and how a report gets to the camera.

// track is one media that is set up.
type track struct {
	media int
	url   string // of its SETUP
	rtcp  uint8  // the channel that reports go to

	clockRates [128]uint32 // of the payload types that the SDP lists; 0: not listed
	listed     bool        // a packet of one of them was seen

	source   source
	receiver receiver
}

func newTrack(media int, m Media) *track {
	t := &track{media: media}
	for _, f := range m.Formats {
		t.clockRates[f.PayloadType&0x7f] = f.ClockRate
	}
	return t
}

// offerChannels finds two channels that no other track has.
func (s *Session) offerChannels() [2]uint8 {
	c := 2 * len(s.tracks)
	for s.split.roles[c] != noRole || s.split.roles[c+1] != noRole {
		c = (c + 2) % 256 // there are at most maxMedia tracks: it ends
	}
	return [2]uint8{uint8(c), uint8(c + 1)}
}

func transportHeader(offer [2]uint8) string {
	return fmt.Sprintf("RTP/AVP/TCP;unicast;interleaved=%d-%d", offer[0], offer[1])
}

// addTrack takes the channels that the camera chose, or, when it says nothing
// about them, those that we offered.
func (s *Session) addTrack(t *track, offer [2]uint8, a transportAnswer) error {
	channels := offer
	switch {
	case a.interleaved:
		channels = a.channels
	case a.datagrams:
		return errors.New("the camera answered with UDP though it was asked for TCP")
	}
	for _, c := range channels {
		if s.split.roles[c] != noRole {
			return fmt.Errorf("the camera gave channel %d to two tracks", c)
		}
		s.channels[c] = uint8(len(s.tracks))
	}
	s.split.roles[channels[0]], s.split.roles[channels[1]] = rtpRole, rtcpRole
	t.rtcp = channels[1]
	t.source.announced, t.source.hasAnnounced = a.ssrc, a.hasSSRC
	s.tracks = append(s.tracks, t)
	return nil
}

// beginFrame appends the header of a frame whose length is not known yet;
// endFrame, given what beginFrame got, fills that in.
func beginFrame(b []byte, channel uint8) []byte { return append(b, '$', channel, 0, 0) }

func endFrame(b []byte, at int) {
	binary.BigEndian.PutUint16(b[at+2:], uint16(len(b)-at-frameHeader))
}
