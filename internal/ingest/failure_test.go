package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/ingest/rtsp"
	"nvr/internal/media"
)

func TestReasons(t *testing.T) {
	for _, c := range []struct {
		err  error
		want media.Reason
	}{
		{fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), media.ReasonUnreachable},
		{io.EOF, media.ReasonUnreachable},
		{nil, media.ReasonUnreachable},
		{fmt.Errorf("x: %w", rtsp.ErrUnauthorized), media.ReasonAuth},
		{fmt.Errorf("x: %w", &rtsp.StatusError{Method: "DESCRIBE", Code: 453}), media.ReasonCamera},
		{errNoTracks, media.ReasonCamera},
		{&panicError{"boom", nil}, media.ReasonCamera},
		{errNoMedia, media.ReasonNoMedia},
	} {
		if got := reasonOf(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
	if s := detail(errors.New("a\x1b[31m\n" + strings.Repeat("é", 500))); len(s) > maxDetail+4 || strings.ContainsAny(s, "\x1b\n") {
		t.Errorf("%q", s)
	}
}

// attempts runs a camera in a bubble of time and returns when it dialled.
func attempts(t *testing.T, lasts time.Duration, dial func(ctx context.Context) error) (at []time.Duration, s *shelf) {
	t.Helper()
	s = newShelf()
	began := time.Now()
	c := New(Options{Stream: testStream, URL: "rtsp://192.0.2.1/", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		at = append(at, time.Since(began))
		return nil, dial(ctx)
	}}, s)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if st := c.Status(); st.State != Stopped || st.LastError == "" {
		t.Errorf("status: %+v", st)
	}
	return at, s
}

func TestBackoffRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, s := attempts(t, 20*time.Minute, func(context.Context) error { return syscall.ECONNREFUSED })
		for i := 1; i < len(at); i++ {
			d := at[i] - at[i-1]
			if d < leastPause || at[i-1] < knockFor && d > knockWait || d > 30*time.Second {
				t.Errorf("after %v: %v", at[i-1], d)
			}
			if at[i-1] > knockFor+time.Minute && d < 22*time.Second {
				t.Errorf("after %v still every %v", at[i-1], d)
			}
		}
		if len(at) < 75+30 {
			t.Errorf("%d attempts in 20 min", len(at))
		}
		// An outage is told of when it begins, and anew every ten minutes, without a
		// hole; it ends with the recorder, and that has no end yet.
		n := len(s.gaps)
		if last := s.gaps[n-1]; n != 5 || last.Reason != media.ReasonStopped || last.Span.To != 0 {
			t.Errorf("%d gaps: %+v", n, s.gaps)
		}
		for i, g := range s.gaps[:n-1] {
			if g.Reason != media.ReasonUnreachable || (i%2 == 0) != (g.Span.To == 0) || i%2 == 1 && (g.Span.From != s.gaps[i-1].Span.From || g.Span.To != s.gaps[i+1].Span.From) {
				t.Errorf("gap %d: %+v", i, g)
			}
		}
	})
}

func TestBackoffSlowDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, _ := attempts(t, 2*time.Minute, func(ctx context.Context) error {
			<-ctx.Done() // rtsp's connect time-out
			return ctx.Err()
		})
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d > 6*time.Second {
				t.Errorf("after %v: %v", at[i-1], d)
			}
		}
	})
}

func TestBackoffAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, s := attempts(t, 5*time.Minute, func(context.Context) error { return rtsp.ErrUnauthorized })
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d < 30*time.Second {
				t.Errorf("after %v: %v", at[i-1], d)
			}
		}
		if len(at) < 7 || s.gaps[0].Reason != media.ReasonAuth {
			t.Errorf("%d attempts, %+v", len(at), s.gaps)
		}
	})
}

func TestPanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, s := attempts(t, time.Minute, func(context.Context) error { panic("boom") })
		if len(at) < 10 || s.gaps[0].Reason != media.ReasonCamera || !strings.Contains(s.gaps[0].Detail, "boom") {
			t.Errorf("%d attempts, %+v", len(at), s.gaps)
		}
	})
}

func TestAttemptsAreUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := New(Options{Stream: testStream, URL: "rtsp://192.0.2.1/", MaxReconnectAttempts: 3,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				n++
				return nil, syscall.EHOSTUNREACH
			}}, newShelf())
		err := c.Run(t.Context())
		if !errors.Is(err, syscall.EHOSTUNREACH) || n != 4 {
			t.Errorf("%d attempts: %v", n, err)
		}
	})
}

func TestGapsThatAreRefusedComeAgain(t *testing.T) {
	r := &moody{}
	g := gaps{stream: testStream, recorder: r}
	g.end = 100e9
	g.open(media.ReasonUnreachable, "x", 100e9)
	g.open(media.ReasonUnreachable, "x", 101e9) // the same: nothing new
	g.open(media.ReasonAuth, "y", 102e9)
	g.recorded(1, 103e9, 104e9, true)
	if len(r.gaps) != 0 || len(g.refused) != 4 {
		t.Fatalf("%d taken, %d refused", len(r.gaps), len(g.refused))
	}
	r.good = true
	g.retry(104e9)
	var got []string
	for _, x := range r.gaps {
		got = append(got, fmt.Sprintf("%s %d-%d", x.Reason, x.Span.From/1e9, x.Span.To/1e9))
	}
	want := "camera_unreachable 100-0, camera_unreachable 100-102, auth_failed 102-0, auth_failed 102-103"
	if s := strings.Join(got, ", "); s != want || len(g.refused) != 0 {
		t.Errorf("%s, want %s", s, want)
	}
	// The clock went back while the camera was away.
	g.open(media.ReasonUnreachable, "x", 50e9)
	g.recorded(2, 51e9, 52e9, true)
	if x := r.gaps[len(r.gaps)-1]; x.Span != (media.Span{From: 50e9, To: 51e9}) {
		t.Errorf("%+v", x)
	}
}

// moody takes gaps when it is in the mood.
type moody struct {
	good bool
	gaps []media.Gap
}

func (m *moody) Offer(r media.Record) bool { r.Buffer.Release(); return true }
func (m *moody) OfferGap(g media.Gap) bool {
	if m.good {
		m.gaps = append(m.gaps, g)
	}
	return m.good
}
