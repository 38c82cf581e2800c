package ingest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"
	"unicode"

	"nvr/internal/ingest/rtsp"
	"nvr/internal/media"
)

// ErrUnauthorized says that the camera refused the credentials: it is asked again
// late, because cameras lock accounts.
var ErrUnauthorized = rtsp.ErrUnauthorized

var (
	errNoTracks = errors.New("the camera offers no track that can be stored")
	errNoMedia  = fmt.Errorf("no sample for %v", mediaTimeout)
)

// panicError is a panic that was contained in its camera.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// reasonOf says what an error that ended a session means for the gap after it: a
// connection that could not be had or broke, or else an answer that is of no use.
func reasonOf(err error) media.Reason {
	var network net.Error
	switch {
	case errors.Is(err, errNoMedia), errors.Is(err, errNothing), errors.Is(err, rtsp.ErrSilent):
		return media.ReasonNoMedia
	case errors.Is(err, rtsp.ErrUnauthorized):
		return media.ReasonAuth
	case err == nil, errors.Is(err, rtsp.ErrHungUp), errors.As(err, &network), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return media.ReasonUnreachable
	}
	return media.ReasonCamera
}

// detail is an error's text as one short line.
func detail(err error) string {
	if err == nil {
		return "the camera ended the session"
	}
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, err.Error())
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}

const (
	// Wrong passwords lock accounts after a handful of tries.
	authWait = 30 * time.Second
	// A camera that reboots, or lost its cable, must be recorded again within 5 s
	// of its return, up to 2 s of which it may let us wait for a sync sample, and
	// many answer 404 or 503 before they are ready: in the first minutes of an
	// outage we knock every 2.5 s at most, later every 30 s.
	knockWait  = 2500 * time.Millisecond
	knockFor   = 5 * time.Minute
	leastPause = 750 * time.Millisecond // after the end of an attempt, however long that took
)

var steps = [...]time.Duration{1 * time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}

// backoff says how long to wait after a failure. The zero value is fresh.
type backoff struct {
	failures int
	since    time.Time // of the first failure
}

// next is the pause after an attempt that began and ended then. It is counted
// from the attempt's beginning, as a dial that times out was a wait already; and
// shortened by up to a quarter by chance, so that the cameras behind one switch
// do not come back all at once.
func (b *backoff) next(why media.Reason, began, ended time.Time) time.Duration {
	if b.failures == 0 {
		b.since = ended
	}
	d := steps[min(b.failures, len(steps)-1)]
	b.failures++
	if why == media.ReasonAuth {
		return authWait + rand.N(authWait/4) // never sooner
	}
	if ended.Sub(b.since) < knockFor {
		d = min(d, knockWait)
	}
	d -= rand.N(d / 4)
	return max(leastPause, d-ended.Sub(began))
}
