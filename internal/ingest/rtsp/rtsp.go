// Package rtsp is a recorder's RTSP 1.0 client session (RFC 2326): it asks a
// camera for its streams and hands on the RTP packets, read in big pieces.
//
// The way of the bytes: conn → splitter (frames and messages, where they lie in
// the receive buffer) → track (which source, what was lost) → Handler. Datagrams
// come from sockets of their own, and go through reorder on their way. Nothing
// is allocated for a packet, and nothing is copied but what comes out of order.
//
//	transport.go  what SETUP asks for; interleaved frames
//	udp.go        port pairs; datagrams.go: how sockets are read
//	multicast.go  groups
//	tunnel.go     RTSP in HTTP
//	tls.go        rtsps
//	control.go    the RTSP connection beside datagrams
//
// A session has no goroutine of its own, but for one that dials while datagrams
// go on without the camera's RTSP connection. Whoever calls Open, Setup, Play and
// Receive, one after the other, does the work; keepalives and receiver reports
// are sent from Receive between two batches. Only Close, SetLowDelay and Stats
// may be called meanwhile.
package rtsp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

// Transport says how the media travel.
type Transport string

// The transports there are. Auto takes what fits most cameras, TCP, and where a
// camera refuses that, another one.
const (
	TransportAuto      Transport = "auto"
	TransportTCP       Transport = "tcp"       // interleaved in the RTSP connection (RFC 2326 §10.12)
	TransportUDP       Transport = "udp"       // datagrams to a port pair for each track
	TransportMulticast Transport = "multicast" // datagrams to a group
	TransportHTTP      Transport = "http"      // as TCP, and all of it in two HTTP requests
)

const (
	defaultUserAgent       = "nvr"
	defaultConnectTimeout  = 5 * time.Second
	defaultResponseTimeout = 10 * time.Second
)

// Options say which stream to open, and how.
type Options struct {
	URL                string // rtsp://host[:port]/path?query, without user info
	Username, Password string
	Transport          Transport // "" is auto
	First              Transport // with auto: what to try first; "" is TCP
	TLS                TLS       // of rtsps URLs
	UserAgent          string    // "" is "nvr"

	ConnectTimeout  time.Duration // 0 is 5 s
	ResponseTimeout time.Duration // 0 is 10 s, for each request

	// FirstPacket is, with auto, how long Receive waits for the first packet before
	// it ends with ErrSilent, so that another transport can be tried. 0 is for ever,
	// and so is any with rtsps, which has no other.
	FirstPacket time.Duration

	// Dial makes the connection; nil is net.Dialer's DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Log *slog.Logger // nil: nothing is logged

	// Memory is what earlier sessions with this camera learned; nil: nothing.
	Memory *Memory
}

// complete checks the options and fills in what is left open.
func (o Options) complete() (Options, target, error) {
	switch o.Transport {
	case "":
		o.Transport = TransportAuto
	case TransportAuto, TransportTCP, TransportUDP, TransportMulticast, TransportHTTP:
	default:
		return o, target{}, fmt.Errorf("there is no transport %q (auto, tcp, udp, multicast, http)", string(o.Transport))
	}
	to, err := parseTarget(o.URL)
	if err != nil {
		return o, target{}, err
	}
	if to.secure() && (o.Transport == TransportUDP || o.Transport == TransportMulticast) {
		return o, target{}, fmt.Errorf("transport %q would carry the pictures of an rtsps URL unencrypted (auto, tcp, http)", string(o.Transport))
	}
	if o.Transport == TransportHTTP {
		to = to.tunnelled()
	}
	if strings.ContainsRune(o.URL, '#') {
		return o, target{}, errors.New("the URL has a '#', which must be written %23")
	}
	if hasControl(o.Username) || hasControl(o.UserAgent) {
		return o, target{}, errors.New("the user name or the user agent has control characters")
	}
	if o.UserAgent == "" {
		o.UserAgent = defaultUserAgent
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = defaultConnectTimeout
	}
	if o.ResponseTimeout == 0 {
		o.ResponseTimeout = defaultResponseTimeout
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Memory == nil {
		o.Memory = new(Memory)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, to, nil
}

// Handler takes what Receive finds. Its methods are called one after the other
// by the goroutine that runs Receive, and must not wait: a slow reader makes
// cameras skip pictures or hang up.
type Handler interface {
	// Packet gets one whole RTP packet, header included: version 2, at least 12
	// bytes. pkt aliases the receive buffer and is valid during the call only.
	// arrival is when it was read, which is up to 100 ms after it came. Datagrams
	// are in the order of their sequence numbers. Packets
	// of payload types that the SDP does not list are left out once one that it
	// lists was seen.
	Packet(track int, pkt []byte, arrival time.Time)

	// SenderReport gets what the camera's clock says: at ntp the track's RTP
	// time was rtp. Reports without a clock (NTP time 0) are left out.
	SenderReport(track int, ntp time.Time, rtp uint32, arrival time.Time)

	// Tick is called after each batch of packets and at least every 100 ms. An
	// error ends Receive with it.
	Tick(now time.Time) error
}
