package onvif

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	locateTimeout = 30 * time.Second // one Locate, with all that it asks
	searchFor     = 3 * time.Second
	searchEvery   = 30 * time.Second // of one camera; the network is not to be flooded while one is off
	maxCandidates = 8                // that answer a search and are asked
)

// errAnother says that the address belongs to another camera now.
var errAnother = errors.New("another camera answers at this address")

// LocatorOptions say which camera's stream is wanted.
type LocatorOptions struct {
	// URL is onvif://host[:port][/path], or onvif://urn:uuid:… where the address
	// changes and the camera is known by its endpoint reference.
	URL                string
	Username, Password string
	Profile            string // token or name; empty: the best (Choose)

	// Sub wants the second stream (ChooseSub): Profile names it, and Main is the
	// first one's.
	Sub  bool
	Main string

	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil is net.Dialer's
	Discover DiscoverOptions                                                   // where a lost camera is searched
	Log      *slog.Logger                                                      // nil: nothing is logged

	// Discovery is the camera's port for WS-Discovery; 0 is 3702.
	Discovery uint16
}

// Locator finds a camera's stream again and again, also when its address has
// changed. It is not for concurrent use.
type Locator struct {
	o        LocatorOptions
	log      *slog.Logger
	at       string // onvif:// URL of the device service; "": not known yet
	endpoint string // "": not known yet
	probed   bool   // it is what the camera answers probes with
	silent   bool   // it does not answer probes of its address: that is not waited for again
	found    string // the stream's URL, when it was last known
	searched time.Time
	told     string // where a search has just found it

	byReference bool // the URL is an endpoint reference
	said        string
}

// NewLocator checks the options.
func NewLocator(o LocatorOptions) (*Locator, error) {
	l := &Locator{o: o, log: o.Log}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if _, rest, ok := strings.Cut(o.URL, "://"); ok && strings.HasPrefix(strings.ToLower(rest), "urn:") {
		if l.endpoint = endpoint(strings.TrimSuffix(rest, "/")); l.endpoint == "" {
			return nil, errors.New("the URL is not onvif://urn:uuid: and a UUID")
		}
		l.probed, l.byReference = true, true
		return l, nil
	}
	if _, err := serviceURL(o.URL); err != nil {
		return nil, err
	}
	l.at = o.URL
	return l, nil
}

// Locate returns the stream's RTSP URL. The camera is asked each time; when it
// does not answer it is searched by its endpoint reference, and when that does not
// help either, where the stream was last is the best there is to know.
//
// An error that wraps ErrUnauthorized is about the password, one that is a
// net.Error or os.ErrDeadlineExceeded says that the camera was not reached. The
// URL may hold secrets, errors do not.
func (l *Locator) Locate(ctx context.Context) (string, error) {
	within, cancel := context.WithTimeout(ctx, locateTimeout)
	defer cancel()
	var err error
	for _, where := range []func(context.Context) []string{l.known, l.search} {
		for _, at := range where(within) {
			uri, failed := l.ask(within, at)
			if failed == nil {
				return uri, nil
			}
			if err == nil || errors.Is(failed, ErrUnauthorized) {
				err = failed
			}
		}
		if errors.Is(err, ErrUnauthorized) {
			break
		}
	}
	if err == nil {
		err = fmt.Errorf("%s did not answer: %w", l.endpoint, os.ErrDeadlineExceeded)
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case l.found == "" || errors.Is(err, errAnother) || errors.Is(err, ErrUnauthorized):
		return "", fmt.Errorf("onvif: %w", err)
	}
	l.log.Debug("the stream could not be looked up: trying where it was", "error", err)
	return l.found, nil
}

// known is where the camera was last, and where the configuration says.
func (l *Locator) known(context.Context) (at []string) {
	if l.at != "" {
		at = append(at, l.at)
	}
	if l.o.URL != l.at && !l.byReference {
		at = append(at, l.o.URL)
	}
	return at
}

// ask looks the stream up at an address and remembers what is good.
func (l *Locator) ask(ctx context.Context, at string) (string, error) {
	if l.probed && at != l.told { // before anything that another camera should not see
		base, err := serviceURL(at)
		if err != nil {
			return "", err
		}
		if reference := l.whoIs(ctx, base); reference != "" && reference != l.endpoint {
			return "", fmt.Errorf("%s: %w (%s, and %s is wanted)", base.Host, errAnother, reference, l.endpoint)
		}
	}
	d, err := Open(ctx, Options{URL: at, Username: l.o.Username, Password: l.o.Password, Dial: l.o.Dial, Discovery: l.o.Discovery})
	if err != nil {
		return "", err
	}
	defer d.Close()
	if !l.probed && !l.silent {
		reference, probed := d.Endpoint(ctx)
		if reference != "" {
			l.endpoint, l.probed = reference, probed
		}
		l.silent = !probed
	}
	all, err := d.Profiles(ctx)
	if err != nil {
		return "", err
	}
	p, why, err := Choose(all, l.o.Profile)
	if l.o.Sub {
		p, why, err = ChooseSub(all, l.o.Profile, l.o.Main)
	}
	if err != nil {
		return "", d.errorf("%w", err)
	}
	uri, err := d.StreamURI(ctx, p)
	if err != nil {
		return "", err
	}
	l.at, l.found, l.told = at, uri, ""
	if said := at + p.String(); said != l.said {
		l.said = said
		l.log.Info("stream looked up", "device", d.x.base.Host, "profile", p.String(), "because", why, "endpoint", l.endpoint)
	}
	for _, n := range d.Notes() {
		l.log.Debug("camera's ONVIF service", "note", n)
	}
	return uri, nil
}

// whoIs asks the host of a device service for the camera's endpoint reference; ""
// where that is not to be had.
func (l *Locator) whoIs(ctx context.Context, base *url.URL) string {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", base.Hostname())
	if err != nil {
		return ""
	}
	return probeEndpoint(ctx, netip.AddrPortFrom(addrs[0].Unmap(), l.o.Discovery), base)
}

// search asks the network for the camera by its endpoint reference; while that is
// not known it asks the camera's address for the port. It returns where to ask.
func (l *Locator) search(ctx context.Context) []string {
	if ctx.Err() != nil || !l.searched.IsZero() && time.Since(l.searched) < searchEvery {
		return nil
	}
	l.searched, l.told = time.Now(), ""
	var host netip.Addr
	if u, err := url.Parse(l.at); err == nil {
		host, _ = netip.ParseAddr(u.Hostname())
	}
	var at []string
	asking, stop := context.WithCancel(ctx)
	defer stop()
	o := l.o.Discover
	if o.Wait == 0 {
		o.Wait = searchFor
	}
	if l.endpoint == "" {
		if !host.IsValid() {
			return nil
		}
		if len(o.To) == 0 {
			o.To = []netip.AddrPort{netip.AddrPortFrom(host, l.o.Discovery)}
		}
	}
	err := Discover(asking, o, func(f Found) {
		if f.URL == "" || f.URL == l.at || len(at) == maxCandidates || slices.Contains(at, f.URL) {
			return
		}
		switch {
		case l.endpoint != "" && f.Endpoint == l.endpoint:
			at = append(at, f.URL)
			l.told = f.URL
			stop()
		case l.endpoint == "" && f.Addr == host:
			at = append(at, f.URL)
		}
	})
	if err != nil {
		l.log.Debug("the camera cannot be searched", "error", err)
	}
	return at
}
