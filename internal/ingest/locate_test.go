package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"nvr/internal/media"
	"nvr/internal/simulate"
)

// TestLocate: the URL is asked for before each connection, and what goes wrong
// there is a gap with its reason.
func TestLocate(t *testing.T) {
	server := simulated(t, simulate.Options{})
	var asked atomic.Int32
	s := newShelf()
	c, stop := record(t, Options{Locate: func(context.Context) (string, error) {
		switch asked.Add(1) {
		case 1:
			return "", errors.New("out of order")
		case 2:
			return strings.Replace(server.URL(1), "cam1", "cam9", 1), nil // where the stream was
		}
		return server.URL(1), nil
	}}, s)
	s.until(t, "records", func(records []media.Record, _ []media.Gap) bool { return len(records) > 0 })
	stop()
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
	if g := s.gaps[0]; g.Reason != media.ReasonCamera || g.Detail != "look up the stream: out of order" {
		t.Errorf("%+v", g)
	}
	if got := c.Status().Server; got == "" {
		t.Error("the server's name is not told")
	}
}

func TestLocateUnauthorized(t *testing.T) {
	s := newShelf()
	c, stop := record(t, Options{Locate: func(context.Context) (string, error) {
		return "", fmt.Errorf("onvif: %w", ErrUnauthorized)
	}}, s)
	s.until(t, "a gap", func(_ []media.Record, gaps []media.Gap) bool { return len(gaps) > 0 && c.Status().State == AuthFailed })
	stop()
	if s.gaps[0].Reason != media.ReasonAuth {
		t.Errorf("%+v", s.gaps[0])
	}
}
