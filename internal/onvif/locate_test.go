package onvif

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"nvr/internal/simulate/device"
)

// moving serves a camera until it is called.
func moving(t *testing.T, c device.Camera) (s *device.Server, stop func()) {
	t.Helper()
	s, err := device.New(device.Options{Cameras: []device.Camera{c}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.Run(ctx)
		close(done)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return s, stop
}

func locator(t *testing.T, o LocatorOptions) *Locator {
	t.Helper()
	l, err := NewLocator(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLocate(t *testing.T) {
	s := serve(t, ordinary())
	var log bytes.Buffer
	l := locator(t, LocatorOptions{URL: s.URL(1), Discover: lost(t), Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1/big" {
			t.Errorf("%q %v", uri, err)
		}
	}
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, `profile="\"mainH265\" h265 2560x1440 25/s" because="the best of 4"`) {
		t.Errorf("log:\n%s", said)
	}
	l = locator(t, LocatorOptions{URL: s.URL(1), Profile: "mainStream", Discover: lost(t)})
	if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1:554/main?a=1&b=2" {
		t.Errorf("%q %v", uri, err)
	}
	l = locator(t, LocatorOptions{URL: s.URL(1), Profile: "none", Discover: lost(t)})
	if _, err := l.Locate(t.Context()); err == nil || !strings.Contains(err.Error(), `there is no profile "none"; there are: "subStream" (sub)`) {
		t.Errorf("%v", err)
	}
}

// TestLocateMoved: the camera is found again under another address; it is not
// confused with the one that has its old address now.
func TestLocateMoved(t *testing.T) {
	first, goAway := moving(t, ordinary())
	old := first.Addr().String()
	moved := ordinary()
	for i := range moved.Profiles {
		moved.Profiles[i].URI = "rtsp://127.0.0.1:5540/moved"
	}
	second := serve(t, moved)
	l := locator(t, LocatorOptions{URL: first.URL(1), Discovery: first.Addr().Port(), Discover: DiscoverOptions{To: []netip.AddrPort{second.Addr()}}})
	if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1/big" {
		t.Fatalf("%q %v", uri, err)
	}
	goAway()
	if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1:5540/moved" {
		t.Errorf("%q %v", uri, err)
	}

	// Back again, and nobody answers searches.
	l.o.Discover = lost(t)
	l.at = strings.Replace(l.at, "127.0.0.1", "127.0.0.6", 1)
	l.o.URL = second.URL(1)
	if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1:5540/moved" || l.at != second.URL(1) {
		t.Errorf("%q %v", uri, err)
	}

	// Another camera takes the address, with another password: it is neither shown
	// ours nor recorded as ours, and ours is found where it is.
	other := ordinary()
	other.UUID, other.Auth, other.User, other.Password = "00000000-2dd2-21b2-a205-00408cd0a3f2", device.AuthDigest, user, "another"
	impostor, err := device.New(device.Options{Addr: old, Cameras: []device.Camera{other}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- impostor.Run(ctx) }()
	defer func() { stop(); <-done }()
	nearby := DiscoverOptions{To: []netip.AddrPort{impostor.Addr()}, Wait: 300 * time.Millisecond}
	l = locator(t, LocatorOptions{URL: impostor.URL(1), Username: user, Password: password, Discover: nearby, Discovery: impostor.Addr().Port()})
	l.endpoint, l.probed, l.found = "urn:uuid:"+testUUID, true, "rtsp://127.0.0.1/big"
	if uri, err := l.Locate(t.Context()); !errors.Is(err, errAnother) || uri != "" {
		t.Errorf("%q %v", uri, err)
	}
	l.searched = time.Time{}
	l.o.Discover.To[0] = second.Addr()
	if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1:5540/moved" {
		t.Errorf("%q %v", uri, err)
	}
	if asked, _, _ := impostor.Counts(); asked > 1 {
		t.Errorf("the other camera was asked %d times", asked)
	}
}

// TestLocateByReference: where only the endpoint reference is known.
func TestLocateByReference(t *testing.T) {
	s := serve(t, ordinary())
	o := LocatorOptions{URL: "onvif://urn:uuid:" + strings.ToUpper(testUUID), Discover: DiscoverOptions{To: []netip.AddrPort{s.Addr()}, Wait: 300 * time.Millisecond}, Discovery: s.Addr().Port()}
	l := locator(t, o)
	if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1/big" || l.at != s.URL(1) {
		t.Errorf("%q %v", uri, err)
	}
	o.URL = "onvif://urn:uuid:00000000-2dd2-21b2-a205-00408cd0a3f2"
	l = locator(t, o)
	if uri, err := l.Locate(t.Context()); uri != "" || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "urn:uuid:00000000-") {
		t.Errorf("%q %v", uri, err)
	}
	if asked, _, _ := s.Counts(); asked > 6 {
		t.Errorf("a camera that is not wanted was asked (%d requests)", asked)
	}
}

// TestLocateOtherPort: an address without the right port is enough.
func TestLocateOtherPort(t *testing.T) {
	s := serve(t, ordinary())
	gone, goAway := moving(t, ordinary())
	goAway()
	l := locator(t, LocatorOptions{URL: gone.URL(1), Discover: DiscoverOptions{To: []netip.AddrPort{s.Addr()}, Wait: 300 * time.Millisecond}})
	if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1/big" {
		t.Errorf("%q %v", uri, err)
	}
}

// TestLocateOff: a camera that does not answer, before and after it was known; and
// the network is not searched each time.
func TestLocateOff(t *testing.T) {
	s, goAway := moving(t, ordinary())
	l := locator(t, LocatorOptions{URL: s.URL(1), Discover: lost(t), Discovery: s.Addr().Port()})
	if _, err := l.Locate(t.Context()); err != nil {
		t.Fatal(err)
	}
	goAway()
	l.searched = time.Time{}
	for range 3 {
		if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1/big" {
			t.Errorf("%q %v", uri, err)
		}
	}
	searched := l.searched
	l.Locate(t.Context())
	if searched.IsZero() || l.searched != searched {
		t.Error("it searches each time, or never")
	}
	l.found = ""
	_, err := l.Locate(t.Context())
	if network := (net.Error)(nil); !errors.As(err, &network) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Locate(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestLocateUnauthorized(t *testing.T) {
	c := ordinary()
	c.Auth, c.User, c.Password = device.AuthDigest, user, password
	s := serve(t, c)
	l := locator(t, LocatorOptions{URL: s.URL(1), Username: user, Password: "wrong", Discover: lost(t)})
	if _, err := l.Locate(t.Context()); !errors.Is(err, ErrUnauthorized) || !l.searched.IsZero() {
		t.Errorf("%v", err)
	}
	l = locator(t, LocatorOptions{URL: s.URL(1), Username: user, Password: password, Discover: lost(t)})
	if _, err := l.Locate(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLocateFallsBack: the ONVIF service is out of order, and the stream may not be.
func TestLocateFallsBack(t *testing.T) {
	c := ordinary()
	broken := false
	c.Answer = func(w http.ResponseWriter, r *http.Request, action string) bool {
		return broken && raw(500, "oops")(w, r, action)
	}
	s := serve(t, c)
	l := locator(t, LocatorOptions{URL: s.URL(1), Discover: lost(t)})
	if _, err := l.Locate(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken = true
	if uri, err := l.Locate(t.Context()); err != nil || uri != "rtsp://127.0.0.1/big" {
		t.Errorf("%q %v", uri, err)
	}
}

func TestNewLocator(t *testing.T) {
	for _, bad := range []string{"rtsp://h", "onvif://", "onvif://urn:uuid:12", "onvif://urn:oid:1.2", "onvif://u:p@h"} {
		if _, err := NewLocator(LocatorOptions{URL: bad}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
