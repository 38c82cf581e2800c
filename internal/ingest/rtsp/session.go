package rtsp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxRedirects = 3 // SEC-04
	maxRedials   = 2 // one when it hangs up after OPTIONS, one after a 401

	teardownTimeout = time.Second

	// maxEarlyBytes bounds the packets that come before the answer to PLAY: a
	// quarter of a second at 8 Mbit/s, which holds most key pictures.
	maxEarlyBytes = 256 << 10
)

// Session is one RTSP session with a camera.
type Session struct {
	o    Options
	log  *slog.Logger
	to   target
	peer string     // the address that the first connection went to
	swap sync.Mutex // conn becomes another one, or is ended by Close
	conn net.Conn
	auth authenticator

	httpAuth authenticator // of a tunnel

	// Reading: buf[r:w] was read at readAt and is not parsed yet.
	buf    []byte
	r, w   int
	readAt time.Time
	split  splitter

	// Writing.
	out    []byte // the request being built
	unsent []byte // the rest of one that the kernel did not take

	cseq    int
	answers int // on this connection
	public  map[string]bool
	id      string
	timeout time.Duration

	base      string // of relative controls
	aggregate string // what PLAY asks for
	server    string // what it calls itself, printable
	medias    []Media
	tracks    []*track
	channels  [256]uint8 // which track a channel belongs to, where the splitter knows a role
	queueing  bool       // frames wait for the answer to PLAY
	early     []earlyFrame
	earlySize int

	transport Transport // of the tracks
	heard     time.Time // a packet or a report came last
	zone      string    // of a camera with a link-local address
	control   control

	keepalive keepalive
	ownSSRC   uint32
	cname     string
	reportDue time.Time
	punchDue  time.Time
	byeAt     time.Time

	turn     chan struct{} // held by whoever uses the connection
	closed   chan struct{} // Close was called
	closing  atomic.Bool
	parting  bool // the turn's holder sends TEARDOWN
	lowDelay atomic.Bool
	playing  atomic.Bool
	played   time.Time // PLAY was answered
	stats    counters
}

type earlyFrame struct {
	channel uint8
	data    []byte
	at      time.Time
}

// Open connects to the camera and asks what it has to offer.
func Open(ctx context.Context, o Options) (*Session, error) {
	o, to, err := o.complete()
	if err != nil {
		return nil, err
	}
	s := &Session{
		o: o, log: o.Log, to: to,
		auth: authenticator{username: o.Username, password: o.Password, memory: o.Memory},
		buf:  make([]byte, receiveBytes),
		turn: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	var seed [4]byte
	rand.Read(seed[:])
	s.ownSSRC, s.cname = binary.BigEndian.Uint32(seed[:]), rand.Text()[:16]
	if err := s.open(ctx); err != nil {
		if s.conn != nil {
			s.conn.Close()
		}
		return nil, s.errorf("%w", err)
	}
	return s, nil
}

func (s *Session) open(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	locked, err := s.options(ctx)
	if err != nil {
		return err
	}
	answer, err := s.describe(ctx)
	if err != nil {
		return err
	}
	if locked { // now that we may, ask again what it can do
		again, err := s.do(ctx, "OPTIONS", s.to.String())
		switch {
		case err == nil && again.code == 200:
			s.public = parsePublic(again.all("Public"))
		case err == nil || errors.Is(err, ErrUnauthorized):
		case ctx.Err() != nil:
			return err
		default: // it does not like the question: begin again without
			if err := s.connect(ctx); err != nil {
				return err
			}
			if answer, err = s.describe(ctx); err != nil {
				return err
			}
		}
	}
	switch {
	case s.o.Memory.keepalive != "":
		s.keepalive.method = s.o.Memory.keepalive
	case s.public["GET_PARAMETER"]:
		s.keepalive.method = "GET_PARAMETER"
	default:
		s.keepalive.method = "OPTIONS"
	}
	d, warnings := parseSDP(string(answer.body))
	if len(warnings) > 0 && s.o.Memory.first(strings.Join(warnings, "\n")) {
		s.log.Warn("session description", "camera", s.to.addr(), "problems", warnings)
	}
	if len(d.medias) == 0 {
		return fmt.Errorf("DESCRIBE: %w", ErrNoMedia)
	}
	s.medias, s.server = d.medias, printable(answer.get("Server"))
	s.base = s.to.contentBase(answer.get("Content-Base"), answer.get("Content-Location"))
	s.aggregate = s.to.controlURLs(s.base, d.control)[0]
	if _, absolute := s.to.rebase(d.control); absolute {
		s.base = s.aggregate // live555 and others mean their media's controls relative to it
	}
	return nil
}

// connect dials; what the last connection left is forgotten.
func (s *Session) connect(ctx context.Context) error {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.ConnectTimeout)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.use(conn)
	return nil
}

// dial makes a connection that RTSP can be spoken on.
func (s *Session) dial(ctx context.Context) (net.Conn, error) {
	if s.o.Transport == TransportHTTP {
		return s.dialTunnel(ctx)
	}
	return s.dialCamera(ctx)
}

// dialCamera connects to the camera, with TLS where the URL says so.
func (s *Session) dialCamera(ctx context.Context) (net.Conn, error) {
	conn, err := s.o.Dial(ctx, "tcp", s.address())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if !s.to.secure() {
		return conn, nil
	}
	return s.o.TLS.client(ctx, conn, s.to.host)
}

// use begins anew on a connection.
func (s *Session) use(conn net.Conn) {
	s.swap.Lock()
	s.conn = conn
	if s.closing.Load() {
		conn.SetDeadline(longAgo)
	}
	s.swap.Unlock()
	if host, _, err := net.SplitHostPort(conn.RemoteAddr().String()); err == nil {
		s.peer = host
	}
	s.r, s.w, s.unsent = 0, 0, nil
	s.split = splitter{}
	s.answers = 0
	s.keepalive.pending = 0
	s.auth.redialled()
}

// address is where to dial. A name is looked up once in a session: what answers
// later, to a redirect say, is the same machine (SEC-04).
func (s *Session) address() string {
	if s.peer == "" {
		return s.to.addr()
	}
	return net.JoinHostPort(s.peer, s.to.port)
}

// options asks for the methods. Whatever goes wrong is no reason to give up:
// some cameras answer 405, others hang up. locked: it wants a password first.
func (s *Session) options(ctx context.Context) (locked bool, err error) {
	answer, err := s.roundTrip(ctx, "OPTIONS", s.to.String())
	switch {
	case ctx.Err() != nil:
		return false, err
	case err != nil:
		return false, s.connect(ctx)
	case answer.code == 200:
		s.public = parsePublic(answer.all("Public"))
	case answer.code == 401:
		// Without a password DESCRIBE says so. With one, this saves a question.
		return s.auth.challenged(answer.all("WWW-Authenticate"), false) == nil, nil
	}
	return false, nil
}

// describe asks for the session description, through redirects.
func (s *Session) describe(ctx context.Context) (*message, error) {
	for hops := 0; ; hops++ {
		answer, err := s.describeHere(ctx)
		if err != nil {
			return nil, err
		}
		switch answer.code {
		case 301, 302, 303, 305, 307, 308:
		default:
			return answer, statusError("DESCRIBE", answer)
		}
		if hops == maxRedirects {
			return nil, fmt.Errorf("DESCRIBE: more than %d redirects: %w", maxRedirects, statusError("DESCRIBE", answer))
		}
		to, err := s.to.redirect(answer.get("Location"), s.conn.RemoteAddr())
		if err != nil {
			return nil, fmt.Errorf("DESCRIBE: %w", err)
		}
		to.host = s.to.host
		if s.o.Transport == TransportHTTP {
			to = to.tunnelled()
		}
		if to == s.to {
			return nil, fmt.Errorf("DESCRIBE: redirect to itself: %w", statusError("DESCRIBE", answer))
		}
		s.to, s.auth.chosen = to, nil
		if err := s.connect(ctx); err != nil {
			return nil, err
		}
	}
}

// describeHere redials when a camera that has answered before hangs up: VStarcam
// does with each 401, and lets the next connection in with the nonce it gave.
func (s *Session) describeHere(ctx context.Context) (*message, error) {
	for redials := 0; ; redials++ {
		answer, err := s.do(ctx, "DESCRIBE", s.to.String(), header{"Accept", "application/sdp"})
		switch {
		case !errors.Is(err, ErrHungUp) || s.answers == 0 || redials == maxRedials:
			return answer, err
		case s.auth.refused: // it has seen the password and did not like it
			return nil, fmt.Errorf("DESCRIBE: %w: %w: %w", ErrUnauthorized, errWrongPassword, err)
		}
		if err := s.connect(ctx); err != nil {
			return nil, err
		}
	}
}

// Server is what the camera's server calls itself, printable; "" if it does not say.
func (s *Session) Server() string { return s.server }

// Medias are the sections of the session description that can be used. Their
// indices are what Setup takes.
func (s *Session) Medias() []Media { return slices.Clone(s.medias) }

// Setup asks for one media. The n-th successful call makes track n (0, 1, …).
func (s *Session) Setup(ctx context.Context, media int) (err error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	switch {
	case media < 0 || media >= len(s.medias):
		return s.errorf("SETUP: there is no media %d", media)
	case s.medias[media].BackChannel:
		return s.errorf("SETUP: media %d is a back channel", media)
	case slices.ContainsFunc(s.tracks, func(t *track) bool { return t.media == media }):
		return s.errorf("SETUP: media %d is set up already", media)
	}
	m := s.medias[media]
	for _, by := range s.transports(m) {
		t := newTrack(media, m)
		err = s.setup(ctx, t, m, by)
		if err == nil {
			s.transport = by
			return nil
		}
		if !errors.Is(err, ErrTransport) {
			break
		}
		s.log.Debug("transport refused", "camera", s.to.addr(), "transport", string(by), "error", err)
	}
	return s.errorf("media %d: %w", media, err)
}

// Play starts the stream. What it returns has an entry for each track.
func (s *Session) Play(ctx context.Context) ([]RTPInfo, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if len(s.tracks) == 0 {
		return nil, s.errorf("PLAY: no media is set up")
	}
	s.queueing = true
	answer, err := s.do(ctx, "PLAY", s.aggregate, header{"Range", "npt=0.000-"})
	s.queueing = false
	if err == nil {
		err = statusError("PLAY", answer)
	}
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	s.playing.Store(true)
	s.setLowWater()
	if s.datagramsUsed() {
		watchDead(s.conn)
	}
	s.keepalive.period = keepalivePeriod(s.timeout)
	now := time.Now()
	s.played = now
	s.punchDue = now
	s.keepalive.due, s.reportDue = now.Add(s.keepalive.period), now.Add(reportPeriod)
	urls := make([]string, len(s.tracks))
	for i, t := range s.tracks {
		urls[i] = t.url
	}
	return parseRTPInfo(answer.get("RTP-Info"), urls), nil
}

// Transport is how the media of the tracks travel; "" before the first Setup.
// It must not be called while Setup runs.
func (s *Session) Transport() Transport { return s.transport }

// TLS is how the camera's identity is checked (TLS.How), "" without TLS.
func (s *Session) TLS() string {
	if !s.to.secure() {
		return ""
	}
	return s.o.TLS.How()
}

// Fingerprint is the SHA-256 of the certificate that the camera shows, in hex; ""
// without TLS. It may be called by whoever runs Receive.
func (s *Session) Fingerprint() string {
	conn := s.conn
	if t, ok := conn.(*tunnel); ok {
		conn = t.Conn
	}
	if c, ok := conn.(*secured); ok {
		return hex.EncodeToString(*c.found)
	}
	return ""
}

// ShortBuffer is how many bytes of datagrams the kernel keeps where that is less
// than was asked for (net.core.rmem_max), and how many that were; 0, 0 otherwise.
func (s *Session) ShortBuffer() (bytes, asked int) {
	for _, t := range s.tracks {
		if t.ports != nil && t.ports.buffer < udpBufferBytes {
			return t.ports.buffer, udpBufferBytes
		}
	}
	return 0, 0
}

// SetLowDelay wakes the process for each packet instead of for each 64 KiB or
// 100 ms: for streams that somebody watches live.
func (s *Session) SetLowDelay(on bool) {
	s.lowDelay.Store(on)
	s.setLowWater()
}

func (s *Session) setLowWater() {
	if !s.playing.Load() || s.datagramsUsed() {
		return
	}
	bytes := lowWaterBytes
	if s.lowDelay.Load() {
		bytes = 1
	}
	if err := setLowWater(s.conn, bytes); err != nil && !s.closing.Load() {
		s.log.Debug("low-water mark not set: the stream is read packet by packet", "camera", s.to.addr(), "error", err)
	}
}

// Close ends the session: TEARDOWN if the camera takes it within a second, so
// that the old stream is not mixed into the next session's. It may be called
// more than once and while Receive runs, which ends with net.ErrClosed.
func (s *Session) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	close(s.closed)
	s.swap.Lock()
	s.conn.SetDeadline(longAgo) // whoever waits on the connection leaves it
	s.swap.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), teardownTimeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done(): // a Handler hangs: what is left to do is done when it comes back
		go func() {
			s.turn <- struct{}{}
			s.leave()
			<-s.turn
		}()
		return nil
	}
	defer func() { <-s.turn }()
	if s.id != "" && !s.control.lost {
		s.parting = true
		if _, err := s.do(ctx, "TEARDOWN", s.aggregate); err != nil {
			s.log.Debug("TEARDOWN was not answered", "camera", s.to.addr(), "error", err)
		}
	}
	if err := s.leave(); err != nil && !errors.Is(err, net.ErrClosed) {
		return s.errorf("close: %w", err)
	}
	return nil
}

// leave closes all there is.
func (s *Session) leave() error {
	s.control.abandon()
	s.closePorts()
	return s.conn.Close()
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// errorf says with each error which camera it is about.
func (s *Session) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{s.to.addr()}, args...)...)
}
