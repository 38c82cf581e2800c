package simulate

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Server is the fleet.
type Server struct {
	o         Options
	clip      *clip
	sound     *sound // nil: none
	templates []template
	bitrate   int
	sdp       string
	guard     guard
	cameras   []*camera
	refused   atomic.Int64

	listener *net.TCPListener
	udpRTP   *net.UDPConn // and the next port:
	udpRTCP  *net.UDPConn

	report [frameHeader + reportSize]byte // the sender's

	tls         *tls.Config // nil: none
	fingerprint string

	mu      sync.Mutex
	tunnels map[string]*tunnel // by cookie
	conns   map[*conn]struct{}
	peers   map[netip.AddrPort]*conn // whose RTCP comes from where
	closed  bool
}

// New makes the cameras and binds their ports, so that URL is right at once.
// Nothing runs and nobody is answered before Run, which also frees the ports.
func New(o Options) (*Server, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	s := &Server{
		o:       o,
		guard:   guard{o.Auth, o.User, o.Password},
		conns:   make(map[*conn]struct{}),
		peers:   make(map[netip.AddrPort]*conn),
		tunnels: make(map[string]*tunnel),
	}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	if err := s.bind(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	if o.TLS {
		if s.tls, s.fingerprint, err = selfMade(s.addr().Addr()); err != nil {
			s.close()
			return nil, fmt.Errorf("simulate: %w", err)
		}
	}
	s.sdp = describe(s.clip, s.sound, o.FPS, s.bitrate, s.addr().Addr())
	return s, nil
}

// prepare packetizes what the cameras show.
func (s *Server) prepare() (err error) {
	if s.clip, err = loadClipOf(s.o.Codec); err != nil {
		return err
	}
	if s.sound, err = newSound(s.o.Audio); err != nil {
		return err
	}
	if s.templates, err = s.clip.templates(s.o.FPS, s.o.Bitrate, !s.o.OutOfBand); err != nil {
		return err
	}
	total := 0
	for _, t := range s.templates {
		total += t.sample
	}
	s.bitrate = total * 8 * s.o.FPS / len(s.templates)
	if s.o.Bitrate > 0 && s.bitrate > s.o.Bitrate {
		s.o.Log.Warn("the bit rate asked for is below the clip's own, which is used", "asked", s.o.Bitrate, "used", s.bitrate)
	}
	for n := range s.o.Cameras {
		s.cameras = append(s.cameras, &camera{
			number: n + 1, fps: uint32(s.o.FPS), gop: uint64(s.clip.gop), attached: make(map[*conn]struct{}),
		})
	}
	return nil
}

// bind takes the RTSP port and two neighbouring UDP ports.
func (s *Server) bind() error {
	at, err := loopback(s.o.Addr)
	if err != nil {
		return err
	}
	if s.listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at)); err != nil {
		return err
	}
	const attempts = 50
	for range attempts {
		s.udpRTP, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.Addr(), 0)))
		if err != nil {
			break
		}
		if port := s.rtpPort(); port%2 == 0 { // RFC 3550 §11
			next := netip.AddrPortFrom(at.Addr(), uint16(port+1))
			if s.udpRTCP, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(next)); err == nil {
				if at.Addr().Is4() {
					err = errors.Join(stayOnLoopback(s.udpRTP), stayOnLoopback(s.udpRTCP))
				}
				if err == nil {
					return nil
				}
				s.udpRTCP.Close()
				s.udpRTP.Close()
				break
			}
		}
		s.udpRTP.Close()
	}
	s.listener.Close()
	return fmt.Errorf("a pair of UDP ports: %w", err)
}

func (s *Server) addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

func (s *Server) rtpPort() int { return s.udpRTP.LocalAddr().(*net.UDPAddr).Port }

// URL is where camera n is. Cameras count from 1; a number that is not there
// is a mistake in the caller, here and in the methods below, and panics.
func (s *Server) URL(n int) string {
	scheme := "rtsp"
	if s.tls != nil {
		scheme = "rtsps"
	}
	return fmt.Sprintf("%s://%s/cam%d", scheme, s.addr(), s.camera(n).number)
}

// Fingerprint is the SHA-256 of the certificate, in hex; "" without TLS.
func (s *Server) Fingerprint() string { return s.fingerprint }

// offers reports whether media may be asked for so. With TLS nothing goes around
// the connection, and IPv6 has no route to any group on loopback.
func (s *Server) offers(t Transport) bool {
	switch {
	case s.tls != nil && (t == TransportUDP || t == TransportMulticast):
		return false
	case t == TransportMulticast && s.addr().Addr().Is6():
		return false
	}
	return s.o.Transport == TransportAny || s.o.Transport == t
}

// Cameras is how many there are.
func (s *Server) Cameras() int { return len(s.cameras) }

// Bitrate is a camera's video as a recorder keeps it, in bits per second: what
// was asked for, or the clip's own where that is more.
func (s *Server) Bitrate() int { return s.bitrate }

// GOP is how many pictures there are from one sync sample to the next.
func (s *Server) GOP() int { return s.clip.gop }

// Stats are the cameras' counters; camera n's are at n-1.
func (s *Server) Stats() []Stats {
	all := make([]Stats, len(s.cameras))
	for i, c := range s.cameras {
		all[i] = c.stats()
	}
	return all
}

// Refused is how many connections were more than the server has room for.
func (s *Server) Refused() int64 { return s.refused.Load() }

// StopMode is how a stopped camera treats those who ask for it.
type StopMode int

// A camera that is gone from its server, and one whose server is not well.
const (
	StopNotFound StopMode = iota // 404
	StopHangUp                   // the connection is closed without an answer
)

// StopCamera cuts the camera's connections, without a word, and lets nobody
// connect until StartCamera. Its time goes on: what it does not send is missing.
func (s *Server) StopCamera(n int, mode StopMode) {
	if mode == StopHangUp {
		s.camera(n).turn(hungUp)
		return
	}
	s.camera(n).turn(notFound)
}

// StartCamera ends StopCamera and Freeze. Connections that were frozen go on at
// the next sync sample.
func (s *Server) StartCamera(n int) { s.camera(n).turn(on) }

// Freeze keeps the camera connected, answering and silent: no RTP, no reports.
func (s *Server) Freeze(n int) { s.camera(n).turn(frozen) }

func (s *Server) camera(n int) *camera {
	if n < 1 || n > len(s.cameras) {
		panic(fmt.Sprintf("simulate: camera %d of %d", n, len(s.cameras)))
	}
	return s.cameras[n-1]
}

// Run serves until ctx ends, once. All it started has ended when it returns.
func (s *Server) Run(ctx context.Context) error {
	now := time.Now()
	for _, c := range s.cameras {
		c.start(now, s.sound)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { s.pace(ctx) })
	wg.Go(s.readReports)
	wg.Go(func() {
		<-ctx.Done()
		s.close()
	})
	err := s.accept(ctx, &wg)
	cancel()
	wg.Wait()
	return err
}

// accept starts a reader for each connection, until the listener is closed.
func (s *Server) accept(ctx context.Context, wg *sync.WaitGroup) error {
	for {
		tcp, err := s.listener.AcceptTCP()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("simulate: accept: %w", err)
		default: // out of descriptors, say
			s.o.Log.Warn("cannot accept", "error", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		k, err := newConn(tcp, s.o.Backlog, s.o.SessionTimeout)
		if err != nil || !s.admit(k) {
			tcp.Close()
			continue
		}
		if s.tls != nil {
			k.secure(s.tls)
		}
		wg.Go(func() {
			defer s.forget(k)
			r := bufio.NewReaderSize(k, maxRequestLine)
			if isHTTP(r) {
				s.serveHTTP(k, r)
				return
			}
			newSession(s, k).serve(r)
		})
	}
}

func (s *Server) admit(k *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConnections {
		s.refused.Add(1)
		return false
	}
	s.conns[k] = struct{}{}
	return true
}

func (s *Server) forget(k *conn) {
	k.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, k)
}

// expectReports lets RTCP from a client's port keep its session alive.
func (s *Server) expectReports(from netip.AddrPort, k *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[from] = k
}

func (s *Server) expectNoReports(from netip.AddrPort, k *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers[from] == k {
		delete(s.peers, from)
	}
}

// readReports takes the clients' RTCP over UDP, until the socket is closed.
func (s *Server) readReports() {
	b := make([]byte, 2048)
	for {
		n, from, err := s.udpRTCP.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !isReport(b[:n]) {
			continue
		}
		s.mu.Lock()
		k := s.peers[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())]
		s.mu.Unlock()
		if k != nil {
			k.alive()
		}
	}
}

// close frees the ports and cuts all connections.
func (s *Server) close() {
	s.listener.Close()
	s.udpRTP.Close()
	s.udpRTCP.Close()
	s.mu.Lock()
	s.closed = true
	conns := make([]*conn, 0, len(s.conns))
	for k := range s.conns {
		conns = append(conns, k)
	}
	s.mu.Unlock()
	for _, k := range conns {
		k.close()
	}
}
