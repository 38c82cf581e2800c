package rtsp

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// transports are what SETUP may ask for, in this order.
func (s *Session) transports(m Media) []Transport {
	asked := s.o.Transport
	switch {
	case len(s.tracks) > 0: // all tracks go one way
		return []Transport{s.transport}
	case asked != TransportAuto:
		return []Transport{asked}
	case s.to.secure(): // pictures go through the TLS connection, or nowhere
		return []Transport{TransportTCP}
	}
	all := []Transport{TransportTCP, TransportUDP}
	if s.o.First == TransportUDP {
		all[0], all[1] = all[1], all[0]
	}
	if m.group.IsValid() {
		all = append(all, TransportMulticast)
		if s.o.First == TransportMulticast {
			all[0], all[1], all[2] = all[2], all[0], all[1]
		}
	}
	return all
}

// setup asks for one media with one transport. The error wraps ErrTransport
// where another one may do.
func (s *Session) setup(ctx context.Context, t *track, m Media, by Transport) (err error) {
	var channels [2]uint8
	var offer string
	var p *ports
	switch by {
	case TransportUDP:
		if p, err = s.setupPorts(); err != nil {
			return err
		}
		offer = p.offer()
	case TransportMulticast:
		offer = multicastOffer
	default:
		channels = s.offerChannels()
		offer = transportHeader(channels)
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	answer, err := s.askSetup(ctx, t, m, offer)
	if err != nil {
		return err
	}
	a := parseTransport(answer.get("Transport"))
	switch {
	case by == TransportTCP || by == TransportHTTP:
		return s.addTrack(t, channels, a)
	case a.interleaved:
		return fmt.Errorf("%w: it was asked for %s and answered with TCP", ErrTransport, by)
	case by == TransportMulticast:
		if p, err = s.setupGroup(a, m); err != nil {
			return err
		}
	case a.multicast:
		return fmt.Errorf("%w: it was asked for UDP and answered with multicast", ErrTransport)
	default:
		p.answered(a, s.zone)
	}
	t.ports = p
	t.source.announced, t.source.hasAnnounced = a.ssrc, a.hasSSRC
	s.tracks = append(s.tracks, t)
	return nil
}

// refusesTransport reports whether an answer to SETUP means that another
// transport may do. The word for that is 461; but Perl's RTSP::Server says 400,
// and where the choice is ours a guess costs one request.
func refusesTransport(code int, guess bool) bool {
	switch code {
	case 461:
		return true
	case 400, 406, 451, 501, 551:
		return guess
	}
	return false
}

// askSetup sends SETUP and takes in what its answer says of the session.
func (s *Session) askSetup(ctx context.Context, t *track, m Media, offer string) (answer *message, err error) {
	for _, t.url = range s.to.controlURLs(s.base, m.Control) {
		if answer, err = s.do(ctx, "SETUP", t.url, header{"Transport", offer}); err != nil {
			return nil, err
		}
		if answer.code != 404 {
			break
		}
	}
	switch err := statusError("SETUP", answer); {
	case refusesTransport(answer.code, s.o.Transport == TransportAuto):
		return nil, fmt.Errorf("%w: %w", ErrTransport, err)
	case err != nil:
		return nil, err
	}
	if id, timeout := parseSession(answer.get("Session")); id != "" && !hasControl(id) {
		s.id = id // broken cameras change it between two SETUPs: the last one counts
		if timeout != 0 {
			s.timeout = timeout
		}
	}
	return answer, nil
}

// Interleaved is how the media travel in the RTSP connection (RFC 2326 §10.12).
// What follows is all there is to it besides the splitter: what SETUP offers,
// what its answer means, and how a report gets to the camera.

// track is one media that is set up.
type track struct {
	media int
	url   string // of its SETUP
	rtcp  uint8  // the channel that reports go to

	clockRates [128]uint32 // of the payload types that the SDP lists; 0: not listed
	listed     bool        // a packet of one of them was seen

	source   source
	receiver receiver

	// Where the media come in datagrams.
	ports     *ports // nil: they don't
	order     reorder
	orderSSRC uint32
	sourceAt  time.Time // when the source became another
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
		return fmt.Errorf("%w: it was asked for TCP and answered with UDP", ErrTransport)
	}
	for _, c := range channels {
		if s.split.roles[c] != noRole {
			return fmt.Errorf("the camera gave channel %d to two tracks", c)
		}
		s.channels[c] = uint8(len(s.tracks))
	}
	s.split.roles[channels[0]], s.split.roles[channels[1]] = rtpRole, rtcpRole
	if a.hasSSRC { // Tapo and Eufy announce another one: then it proves nothing, and harms nothing
		s.split.hear(channels[0], a.ssrc)
	}
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
