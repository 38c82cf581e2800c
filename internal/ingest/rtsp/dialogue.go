package rtsp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

const maxTries = 3 // of one request: unsigned, signed, signed again with a fresh nonce

// do sends a request and returns its answer, signed if the camera wants that.
// The error names the method.
func (s *Session) do(ctx context.Context, method, uri string, extra ...header) (*message, error) {
	for try := 1; ; try++ {
		signed := s.auth.chosen != nil
		answer, err := s.roundTrip(ctx, method, uri, extra...)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", method, err)
		case answer.code == 401:
			err := s.auth.challenged(answer.all("WWW-Authenticate"), signed)
			if err == nil && try < maxTries {
				continue
			}
			if err == nil {
				err = errors.New("it asked again and again")
			}
			return nil, fmt.Errorf("%w: %w: %w", ErrUnauthorized, err, statusError(method, answer))
		case answer.code == 403: // what some say of a password, or an account that they locked
			return nil, fmt.Errorf("%w: %w", ErrUnauthorized, statusError(method, answer))
		case answer.code < 300 && signed:
			s.auth.accepted, s.auth.refused = true, false
		}
		return answer, nil
	}
}

// statusError is nil for 2xx.
func statusError(method string, answer *message) error {
	if answer.code/100 == 2 {
		return nil
	}
	return &StatusError{Method: method, Code: answer.code, Reason: answer.reason}
}

// hungUp gives the ways in which the other side ends a connection one name.
func hungUp(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return ErrHungUp
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w (reset)", ErrHungUp)
	}
	return err
}

// roundTrip sends a request and waits for its answer.
func (s *Session) roundTrip(ctx context.Context, method, uri string, extra ...header) (*message, error) {
	limit := time.Now().Add(s.o.ResponseTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		limit = d
	}
	s.out = s.appendSigned(append(s.out[:0], s.unsent...), method, uri, extra...)
	s.unsent = nil
	s.conn.SetWriteDeadline(limit)
	if s.closing.Load() && !s.parting {
		return nil, net.ErrClosed
	}
	if _, err := s.conn.Write(s.out); err != nil {
		return nil, hungUp(err)
	}
	for {
		answer, err := s.awaitAnswer(ctx, limit)
		if err != nil {
			return nil, err
		}
		if answer.code < 200 { // 100 Continue
			continue
		}
		// Answers come in the order of the requests, but an unanswered
		// keepalive must not take TEARDOWN's, nor the other way round. CSeq
		// decides that much; otherwise it may be missing or wrong (thingino
		// restarts it in mid-session).
		if s.keepalive.pending > 0 && answer.cseq() != s.cseq {
			s.keepalive.pending--
			continue
		}
		s.answers++
		return answer, nil
	}
}

// appendSigned writes a request with what every request carries.
func (s *Session) appendSigned(b []byte, method, uri string, extra ...header) []byte {
	s.cseq++
	headers := []header{{"CSeq", strconv.Itoa(s.cseq)}, {"User-Agent", s.o.UserAgent}}
	if s.id != "" {
		headers = append(headers, header{"Session", s.id})
	}
	if a := s.auth.authorization(method, uri); a != "" {
		headers = append(headers, header{"Authorization", a})
	}
	return appendRequest(b, method, uri, append(headers, extra...))
}

// awaitAnswer reads until an answer is there. Media that come meanwhile are
// kept if they can belong to this session, and dropped otherwise.
func (s *Session) awaitAnswer(ctx context.Context, limit time.Time) (*message, error) {
	for {
		it, err := s.nextItem()
		if err != nil {
			return nil, err
		}
		switch it.kind {
		case itemMessage:
			if it.message.code != 0 {
				return it.message, nil
			}
			if err := s.answerRequest(it.message); err != nil {
				return nil, err
			}
		case itemFrame:
			if s.queueing && s.earlySize+len(it.data) <= maxEarlyBytes {
				s.earlySize += len(it.data)
				s.early = append(s.early, earlyFrame{it.channel, bytes.Clone(it.data), s.readAt})
			}
		case itemNone:
			now := time.Now()
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if !now.Before(limit) {
				return nil, fmt.Errorf("no answer within %v: %w", s.o.ResponseTimeout, os.ErrDeadlineExceeded)
			}
			if err := s.fill(earliest(nextBeat(now), limit)); err != nil {
				return nil, err
			}
		}
	}
}

// nextItem takes the next frame or message from the buffer.
func (s *Session) nextItem() (item, error) {
	it, n, err := s.split.next(s.buf[s.r:s.w])
	s.r += n
	return it, err
}

// fill reads once, and waits for that no longer than until. Nothing read is no
// error: after a deadline the next call returns what the low-water mark held
// back, since Go tries to read before it waits.
func (s *Session) fill(until time.Time) error {
	if s.r > 0 { // what is left is the beginning of one frame or message
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	if s.w == len(s.buf) {
		return &limitError{"bytes of one message", len(s.buf)}
	}
	s.conn.SetReadDeadline(until)
	if s.closing.Load() && !s.parting { // checked last: Close first says so, then ends the wait
		return net.ErrClosed
	}
	n, err := s.conn.Read(s.buf[s.w:])
	s.readAt = time.Now()
	s.w += n
	if n > 0 {
		s.stats.reads.Add(1)
		s.stats.bytes.Add(uint64(n))
	}
	switch {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		if s.closing.Load() && !s.parting {
			return net.ErrClosed
		}
		return nil
	}
	return hungUp(err)
}

// answerRequest answers what a camera may ask. Other requests are passed over:
// a 501 makes some of them hang up.
func (s *Session) answerRequest(m *message) error {
	switch m.method {
	case "OPTIONS", "GET_PARAMETER", "SET_PARAMETER":
	default:
		return nil
	}
	var headers []header
	if n := m.cseq(); n >= 0 {
		headers = append(headers, header{"CSeq", strconv.Itoa(n)})
	}
	_, err := s.post(appendAnswer(nil, "200 OK", headers))
	return err
}

// post sends something that may be lost (a keepalive, a receiver report)
// without waiting for the camera: some never read after PLAY. What the kernel
// does not take at once is dropped; only a message that went out in part is
// finished first, since the camera would lose step.
func (s *Session) post(b []byte) (sent bool, err error) {
	s.conn.SetWriteDeadline(time.Now().Add(postWait))
	if len(s.unsent) > 0 {
		n, err := s.conn.Write(s.unsent)
		s.unsent = s.unsent[n:]
		if err != nil {
			return false, ignoreDeadline(err)
		}
	}
	n, err := s.conn.Write(b)
	if n > 0 && n < len(b) {
		s.unsent = bytes.Clone(b[n:])
	}
	return err == nil, ignoreDeadline(err)
}

// postWait is long enough for a write to be tried (a passed deadline would
// forbid that) and no time for a stream.
const postWait = 5 * time.Millisecond

func ignoreDeadline(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return hungUp(err)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// keepalive keeps a session from timing out. Its answers are not waited for,
// and a missing one means nothing while media flow.
type keepalive struct {
	method   string
	switched bool // it was refused once and is another one now
	resigned bool // sent again for a new nonce
	period   time.Duration
	due      time.Time
	pending  int       // sent and not answered
	sent     time.Time // the last one
}

func (s *Session) sendKeepalive(now time.Time) error {
	k := &s.keepalive
	k.due = now.Add(k.period)
	if s.datagramsUsed() && k.pending >= unansweredKeepalives && !k.switched {
		s.otherKeepalive()
	}
	s.out = s.appendSigned(s.out[:0], k.method, s.aggregate)
	sent, err := s.post(s.out)
	if sent {
		k.pending++
		k.sent = now
	}
	return err
}

// keepaliveAnswered learns from an answer that comes while media flow.
func (s *Session) keepaliveAnswered(answer *message, now time.Time) error {
	k := &s.keepalive
	if k.pending == 0 { // nobody asked
		return nil
	}
	k.pending--
	switch answer.code {
	case 200:
		k.resigned = false
		s.control.orphaned = false
		s.auth.accepted = s.auth.chosen != nil
	case 401: // the nonce got old
		if err := s.auth.challenged(answer.all("WWW-Authenticate"), true); err != nil || k.resigned {
			return nil
		}
		k.resigned = true
		return s.sendKeepalive(now)
	case 400, 404, 405, 501, 551: // Hipcam does not know GET_PARAMETER
		if k.switched {
			return nil
		}
		s.log.Debug("keepalive refused, trying another method", "camera", s.to.addr(), "method", k.method, "status", answer.code)
		s.otherKeepalive()
		return s.sendKeepalive(now)
	case 454: // it has forgotten the session, or never finds it from another connection
		s.control.orphaned = s.datagramsUsed()
	}
	return nil
}

func (s *Session) otherKeepalive() {
	k := &s.keepalive
	k.switched = true
	k.method = otherKeepalive(k.method)
}
