package ingest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"nvr/internal/ingest/rtsp"
)

// TLS says whom to believe behind an rtsps URL.
type TLS = rtsp.TLS

const (
	// firstPacketTimeout is how long a transport that "auto" chose may bring
	// nothing before another one is tried. RTCP counts, so a camera that waits for
	// its next key picture has said something by then.
	firstPacketTimeout = 5 * time.Second

	// silentAttempts in a row bring nothing: it is not the transport, and the next
	// ones have all the time that a camera has.
	silentAttempts = 2
)

// way is how "auto" sends a camera's media next, from what was learned.
type way struct {
	first  rtsp.Transport // "": TCP
	silent int            // attempts in a row that brought not one packet
}

// patience is for the first packet; 0 is as long as for any sample.
func (w *way) patience() time.Duration {
	if w.silent >= silentAttempts {
		return 0
	}
	return firstPacketTimeout
}

// learn takes in how a session went: what brought packets is tried first the
// next time, and what brought none is not.
func (w *way) learn(used rtsp.Transport, packets uint64, err error) {
	switch {
	case packets > 0:
		w.first, w.silent = used, 0
	case !errors.Is(err, rtsp.ErrSilent) && !errors.Is(err, errNoMedia):
	case used == rtsp.TransportTCP:
		w.first = rtsp.TransportUDP
		w.silent++
	default:
		w.first = rtsp.TransportTCP
		w.silent++
	}
}

// toldOfBuffer is whether this process has said that the kernel's buffers are
// small. It is so for all cameras, and the remedy is one.
var toldOfBuffer atomic.Bool

// carried notes how the media of a session travel.
func (c *Camera) carried(s *rtsp.Session) {
	c.status.carried(string(s.Transport()), s.TLS())
	if bytes, asked := s.ShortBuffer(); bytes < asked && !toldOfBuffer.Swap(true) {
		c.log.Warn("the kernel keeps fewer datagrams than a key picture may have: some will be lost",
			"buffer_bytes", bytes, "wanted_bytes", asked, "remedy", fmt.Sprintf("sysctl -w net.core.rmem_max=%d", asked))
	}
}

// transportNotes are what is odd about a session's way.
func transportNotes(s *rtsp.Session) (notes []string) {
	if s == nil {
		return nil
	}
	if bytes, asked := s.ShortBuffer(); bytes < asked {
		notes = append(notes, fmt.Sprintf("the kernel keeps %d bytes of datagrams, %d were asked for (net.core.rmem_max)", bytes, asked))
	}
	st := s.Stats()
	if st.Foreign > 0 {
		notes = append(notes, fmt.Sprintf("%d datagrams that did not come from the camera's address were not taken", st.Foreign))
	}
	if st.Late > 0 {
		notes = append(notes, fmt.Sprintf("%d datagrams came so late that they count as lost", st.Late))
	}
	if s.TLS() == "insecure" {
		notes = append(notes, "tls_insecure: anybody may be this camera; who is it now shows the fingerprint "+s.Fingerprint())
	}
	return notes
}
