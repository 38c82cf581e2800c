package rtsp

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Media in datagrams go on without the RTSP connection: some cameras close it
// after PLAY, and a session is not bound to it (RFC 2326 §1.1). So it is made
// anew beside the media, for keepalives and TEARDOWN. Where that does not work
// the media decide how long the session is: until they stop.

const (
	// orphanPatience is how long media may be silent once the camera has hung up
	// and nobody there knows of the session.
	orphanPatience = 3 * time.Second

	// deadAfter is when a connection is given up on which nothing is acknowledged
	// (TCP_USER_TIMEOUT): no answer to a keepalive means nothing, but a camera
	// whose kernel is silent is gone, or a firewall has forgotten it.
	deadAfter = 30 * time.Second

	// unansweredKeepalives in a row, the next one is of another method.
	unansweredKeepalives = 2
)

// control is the state of the RTSP connection beside media in datagrams.
type control struct {
	lost     bool // there is none
	orphaned bool // lost, or new and not yet proven; or the camera knows no such session
	again    time.Time
	redial   chan redialled // nil: nobody dials
	cancel   context.CancelFunc
}

type redialled struct {
	conn net.Conn
	err  error
}

// watchDead has the kernel notice that nobody is there any more.
func watchDead(conn net.Conn) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter/time.Millisecond))
		})
	}
}

// await waits until then, or until the camera says something. What it says is
// in the buffer afterwards.
func (s *Session) await(until time.Time) error {
	c := &s.control
	if !c.lost {
		err := s.fill(until)
		if limit := (*limitError)(nil); err == nil || errors.Is(err, net.ErrClosed) || errors.As(err, &limit) {
			return err
		}
		s.controlLost(err)
		return nil
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-s.closed:
		return net.ErrClosed
	case <-timer.C:
	case r := <-c.redial:
		c.finished()
		if r.err != nil {
			s.log.Debug("the control connection cannot be made anew", "camera", s.to.addr(), "error", r.err)
			return nil
		}
		s.use(r.conn)
		watchDead(r.conn)
		c.lost = false
		s.keepalive.due = time.Now() // is the session still known there?
	}
	return nil
}

// controlLost goes on without a connection, and dials. After a failure, or when
// a new one does not last, the next try is a keepalive's period away.
func (s *Session) controlLost(why error) {
	c := &s.control
	s.log.Debug("the control connection is lost, the media go on", "camera", s.to.addr(), "error", why)
	s.conn.Close()
	c.lost, c.orphaned = true, true
	s.r, s.w = 0, 0
	s.redialWhenDue(time.Now())
}

// redialWhenDue begins to dial, beside the media.
func (s *Session) redialWhenDue(now time.Time) {
	c := &s.control
	if !c.lost || c.redial != nil || now.Before(c.again) {
		return
	}
	c.again = now.Add(s.keepalive.period)
	ctx, cancel := context.WithTimeout(context.Background(), s.o.ConnectTimeout)
	done := make(chan redialled, 1)
	c.redial, c.cancel = done, cancel
	go func() {
		conn, err := s.dial(ctx)
		done <- redialled{conn, err}
	}()
}

func (c *control) finished() {
	c.cancel()
	c.redial, c.cancel = nil, nil
}

// abandon ends a dial that is under way.
func (c *control) abandon() {
	if c.redial == nil {
		return
	}
	c.cancel()
	if r := <-c.redial; r.conn != nil {
		r.conn.Close()
	}
	c.redial = nil
}

// attended does what media in datagrams need besides reports and keepalives.
func (s *Session) attended(now time.Time) error {
	s.redialWhenDue(now)
	last := s.heard
	if last.IsZero() {
		last = s.played
	}
	if s.control.orphaned && now.Sub(last) > orphanPatience {
		return errOrphaned
	}
	if s.heard.IsZero() && !now.Before(s.punchDue) {
		s.punchDue = now.Add(punchEvery)
		for _, t := range s.tracks {
			t.ports.punch(s.ownSSRC)
		}
	}
	return nil
}
