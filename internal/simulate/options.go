package simulate

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

// The limits.
const (
	maxCameras     = 4096
	maxConnections = 4096
	maxFPS         = 240
	maxBitrate     = 200_000_000
	maxBacklog     = 256 << 20

	maxRequestLine  = 4 << 10 // bytes, of the request line and of each header line
	maxHeaders      = 64
	maxHeaderBytes  = 16 << 10
	maxRequestBody  = 256 << 10
	maxReplyBacklog = 1 << 20 // bytes of answers that a client leaves unread before it is disconnected

	defaultFPS            = 15 // of the clips
	defaultBacklog        = 8 << 20
	defaultSessionTimeout = 60 * time.Second     // RFC 2326 §12.37
	reportInterval        = 5 * time.Second      // RFC 3550 §6.2
	paceTick              = 5 * time.Millisecond // the grain of sending
	lateAfter             = 100 * time.Millisecond
	mtu                   = 1400 // bytes of an RTP packet
)

// Width and Height are the pictures' (clips/gen.sh).
const (
	Width  = 320
	Height = 180
)

// Audio is what a camera's microphone gives.
type Audio string

// The audio tracks there are. Empty means none.
const (
	AudioNone Audio = "none"
	AudioAAC  Audio = "aac"
	AudioPCMU Audio = "pcmu"
	AudioPCMA Audio = "pcma"
	AudioL16  Audio = "l16"
	AudioLATM Audio = "latm" // AAC as MP4A-LATM
	AudioOpus Audio = "opus"
)

// Auth is how clients prove who they are.
type Auth string

// The schemes there are. Empty means none.
const (
	AuthNone         Auth = "none"
	AuthBasic        Auth = "basic"         // RFC 7617
	AuthDigest       Auth = "digest"        // RFC 2617 with MD5 and without qop, as most cameras do it
	AuthDigestSHA256 Auth = "digest-sha256" // RFC 7616 with SHA-256 and qop=auth
)

// Transport is how the media may be asked for.
type Transport string

// The transports there are. Empty means any.
const (
	TransportAny       Transport = "any"
	TransportTCP       Transport = "tcp"       // interleaved
	TransportUDP       Transport = "udp"       // unicast
	TransportMulticast Transport = "multicast" // on loopback, IPv4
	TransportHTTP      Transport = "http"      // a tunnel: GET and POST
)

// RTPStart fixes what is random in each connection (RFC 3550 §5.1), so that a
// test can have a sequence number or a timestamp wrap where it wants. The first
// packet of each track has Sequence, the instant of the first sample has
// Timestamp, and the audio track has SSRC+1.
type RTPStart struct {
	Sequence  uint16
	Timestamp uint32
	SSRC      uint32
}

// Options say what the cameras are like. The zero value of each field is usable.
type Options struct {
	Cameras int    // how many; 0 means 1
	Addr    string // host:port of RTSP, loopback only; empty means 127.0.0.1 and any port

	Codec   media.Codec // media.H264 (also when empty), H265, AV1 or MJPEG
	FPS     int         // pictures a second; 0 means 15. A GOP is 30 pictures whatever FPS is (of MJPEG: 1)
	Bitrate int         // bits of video a second as recorded; 0, or below the clip's own: the clip's own. Of H.264 and H.265 only
	Audio   Audio

	// OutOfBand leaves the parameter sets to the SDP. Otherwise they also stand
	// in front of each sync sample.
	OutOfBand bool

	Transport Transport // what else is asked for gets 461
	TLS       bool      // rtsps, with a certificate made at the start

	Auth           Auth
	User, Password string

	SessionTimeout time.Duration // a client silent for so long is disconnected; 0 means 60 s
	Backlog        int           // bytes a client may be behind before samples are dropped; 0 means 8 MiB
	RTPStart       *RTPStart     // nil: random
	Log            *slog.Logger  // nil: silent
}

// complete fills in what is not said and refuses what cannot be.
func (o Options) complete() (Options, error) {
	orInt := func(v *int, fallback int) {
		if *v == 0 {
			*v = fallback
		}
	}
	orInt(&o.Cameras, 1)
	orInt(&o.FPS, defaultFPS)
	orInt(&o.Backlog, defaultBacklog)
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Codec == "" {
		o.Codec = media.H264
	}
	if o.Audio == "" {
		o.Audio = AudioNone
	}
	if o.Auth == "" {
		o.Auth = AuthNone
	}
	if o.Transport == "" {
		o.Transport = TransportAny
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = defaultSessionTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, o.check()
}

func (o Options) check() error {
	within := func(what string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s %d: want %d to %d", what, v, low, high)
		}
		return nil
	}
	errs := []error{
		within("cameras", o.Cameras, 1, min(maxCameras, mark.MaxCamera)),
		within("fps", o.FPS, 1, maxFPS),
		within("bitrate", o.Bitrate, 0, maxBitrate),
		within("backlog", o.Backlog, 1, maxBacklog),
	}
	switch o.Codec {
	case media.H264, media.H265:
	case media.AV1, media.MJPEG:
		if o.Bitrate > 0 {
			errs = append(errs, fmt.Errorf("codec %s has the bit rate of its clip: leave it out", o.Codec))
		}
		if o.OutOfBand {
			errs = append(errs, fmt.Errorf("codec %s has no parameter sets in the SDP", o.Codec))
		}
	default:
		errs = append(errs, fmt.Errorf("codec %q: want h264, h265, av1 or mjpeg", o.Codec))
	}
	switch o.Audio {
	case AudioNone, AudioAAC, AudioPCMU, AudioPCMA, AudioL16, AudioLATM, AudioOpus:
	default:
		errs = append(errs, fmt.Errorf("audio %q: want none, aac, pcmu, pcma, l16, latm or opus", o.Audio))
	}
	switch o.Auth {
	case AuthNone:
	case AuthBasic, AuthDigest, AuthDigestSHA256:
		if o.User == "" || strings.ContainsAny(o.User, ":\"\\") {
			errs = append(errs, fmt.Errorf("auth %s: want a user without colon, quote and backslash", o.Auth))
		}
	default:
		errs = append(errs, fmt.Errorf("auth %q: want none, basic, digest or digest-sha256", o.Auth))
	}
	switch o.Transport {
	case TransportAny, TransportTCP, TransportHTTP:
	case TransportUDP, TransportMulticast:
		if o.TLS {
			errs = append(errs, fmt.Errorf("transport %s: with TLS the media go through the connection", o.Transport))
		}
	default:
		errs = append(errs, fmt.Errorf("transport %q: want any, tcp, udp, multicast or http", o.Transport))
	}
	if o.SessionTimeout < time.Second {
		errs = append(errs, fmt.Errorf("session timeout %v: want 1s or more", o.SessionTimeout))
	}
	return errors.Join(errs...)
}

// loopback reads Addr. These cameras show anybody who asks, and can be told to
// send a lot: they are never offered to a network.
func loopback(addr string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: %w", addr, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return netip.AddrPort{}, fmt.Errorf("address %q: simulated cameras are served on loopback only (127.0.0.1 or ::1)", addr)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: want a port from 0 to 65535", addr)
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}

// ParseBitrate reads bits per second with an optional decimal k or M:
// "512k", "4M", "1.5M", "800000".
func ParseBitrate(s string) (int, error) {
	digits, unit := s, 1.0
	if n := len(s); n > 0 {
		switch s[n-1] {
		case 'k', 'K':
			digits, unit = s[:n-1], 1e3
		case 'm', 'M':
			digits, unit = s[:n-1], 1e6
		}
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(v > 0) || v*unit > maxBitrate {
		return 0, fmt.Errorf("bit rate %q: want something like 512k or 4M, at most %dM", s, maxBitrate/1_000_000)
	}
	return int(v * unit), nil
}
