// Package device is the ONVIF side of cameras that do not exist: WS-Discovery, the
// device service, Media and Media2, with SOAP written by hand. It shares no code
// with the client that asks it, so that a mistake does not cancel itself. It is
// served on loopback only.
//
// Cameras are told apart by path: camera n is at /camn/device_service.
package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Auth is what a camera wants to be shown of the password.
type Auth string

// The ways there are. Empty means none.
const (
	AuthNone   Auth = "none"
	AuthToken  Auth = "token"  // WS-UsernameToken with PasswordDigest, by the camera's clock
	AuthDigest Auth = "digest" // HTTP Digest with MD5 and qop=auth (RFC 7616)
	AuthBoth   Auth = "both"   // HTTP Digest, and the token too
	AuthBasic  Auth = "basic"  // HTTP Basic, which nobody should answer
)

// Profile is a stream on offer.
type Profile struct {
	Token, Name   string
	Codec         string // "H264", "H265", "JPEG", as ONVIF writes it; Media leaves H265 out, as it must
	Width, Height int
	FPS           int
	Kbps          int
	GOP           int
	Audio         string // "AAC", "G711", …; empty: none
	URI           string // of the stream, as the camera tells it
}

// Camera is one device. The zero value of each field is usable.
type Camera struct {
	Maker, Model, Name string
	Firmware, Serial   string
	Location           string
	UUID               string // of the endpoint reference; empty: there is none
	Profiles           []Profile

	Auth           Auth
	User, Password string
	ClockAhead     time.Duration // of the camera's clock
	LockedClock    bool          // GetSystemDateAndTime wants a password too
	OneTimeNonces  bool          // each nonce of HTTP Digest is good for one request

	NoMedia2    bool
	NoServices  bool   // GetServices is not known
	NoReference bool   // GetEndpointReference is not known
	XAddrHost   string // written into addresses of services; empty: the right one

	// Answer takes a request over, for cameras that are worse than the fields above
	// can say; action is the last part of the SOAP action. False: not this one.
	Answer func(w http.ResponseWriter, r *http.Request, action string) bool
}

// Options say who is there.
type Options struct {
	Addr    string // host:port for HTTP and for discovery, loopback only; empty: 127.0.0.1 and any port
	Cameras []Camera
}

// Server is the cameras.
type Server struct {
	cameras  []Camera
	listener net.Listener
	probes   *net.UDPConn

	mu     sync.Mutex
	nonces map[string]uint64 // of HTTP Digest, and their highest count
	tokens map[string]bool   // nonces of tokens that were shown
	last   atomic.Uint64

	asked   atomic.Int64 // requests
	signed  atomic.Int64 // of them with credentials of any kind
	refused atomic.Int64
}

// New binds the ports; Run serves, and frees them.
func New(o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	at, err := netip.ParseAddrPort(o.Addr)
	if err != nil || !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("device: address %q: want 127.0.0.1:port: simulated cameras are served on loopback only", o.Addr)
	}
	s := &Server{cameras: o.Cameras, nonces: map[string]uint64{}, tokens: map[string]bool{}}
	const attempts = 20 // both want the same port
	for range attempts {
		if s.listener, err = net.Listen("tcp", at.String()); err != nil {
			return nil, fmt.Errorf("device: %w", err)
		}
		both := s.listener.Addr().(*net.TCPAddr).AddrPort()
		if s.probes, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(both)); err == nil {
			return s, nil
		}
		s.listener.Close()
	}
	return nil, fmt.Errorf("device: %w", err)
}

// Addr is where both ports are.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// URL is camera n's, counted from 1, as configurations want it.
func (s *Server) URL(n int) string {
	return fmt.Sprintf("onvif://%s/cam%d/device_service", s.Addr(), n)
}

// Counts are how many requests came, how many of them had credentials, and how
// many were refused.
func (s *Server) Counts() (asked, signed, refused int64) {
	return s.asked.Load(), s.signed.Load(), s.refused.Load()
}

// Run serves until ctx ends, once.
func (s *Server) Run(ctx context.Context) error {
	const slow = 15 * time.Second
	server := &http.Server{Handler: s, ReadTimeout: slow, IdleTimeout: slow, MaxHeaderBytes: 32 << 10}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var beside sync.WaitGroup
	beside.Go(s.answerProbes)
	beside.Go(func() {
		<-ctx.Done()
		server.Close()
		s.probes.Close()
	})
	err := server.Serve(s.listener)
	cancel()
	beside.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("device: %w", err)
}

// camera finds whom a path belongs to.
func (s *Server) camera(path string) (c *Camera, number int, service string) {
	first, service, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if _, err := fmt.Sscanf(first, "cam%d", &number); err != nil || number < 1 || number > len(s.cameras) {
		return nil, 0, ""
	}
	return &s.cameras[number-1], number, service
}

// xaddr is the address of a service as the camera tells it.
func (s *Server) xaddr(n int, service string) string {
	host := s.Addr().String()
	if h := s.cameras[n-1].XAddrHost; h != "" {
		host = h
	}
	return fmt.Sprintf("http://%s/cam%d/%s", host, n, service)
}
