package rtsp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// The ports of URLs without one: RFC 2326 §3.2, RFC 7826 §4.2, and HTTP's for a
// tunnel.
var defaultPorts = map[string]string{"rtsp": "554", "rtsps": "322", "http": "80", "https": "443"}

// target is an rtsp URL, kept as it was written: a camera compares the URI of
// a request with that of its digest byte by byte, and has its own idea of what
// a query looks like.
type target struct {
	scheme string // "rtsp" or "rtsps"
	host   string // no port, no brackets; "fe80::1%eth0" where there is a zone
	port   string
	given  bool   // the port was written
	base   string // "rtsp://host[:port]" as written, but for a zone, which is ours
	path   string // the rest: "", "/…" or "?…"
}

func (t target) String() string { return t.base + t.path }
func (t target) addr() string   { return net.JoinHostPort(t.host, t.port) }
func (t target) secure() bool   { return t.scheme == "rtsps" }

// tunnelled is the same in HTTP: another port, where none was written.
func (t target) tunnelled() target {
	if !t.given {
		t.port = defaultPorts["http"]
		if t.secure() {
			t.port = defaultPorts["https"]
		}
	}
	return t
}

// parseTarget reads an absolute rtsp URL. Errors do not show it: it may hold
// what should not be shown.
func parseTarget(raw string) (target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	switch {
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return target{}, errors.New("the URL has blanks or control characters")
	case !ok:
		return target{}, errors.New("the URL has no scheme")
	case !strings.EqualFold(scheme, "rtsp") && !strings.EqualFold(scheme, "rtsps"):
		return target{}, errors.New("the URL's scheme is not supported (rtsp, rtsps)")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if strings.Contains(authority, "@") {
		return target{}, errors.New("the URL has user and password in it: they have options of their own")
	}
	t := target{scheme: strings.ToLower(scheme), path: path}
	var err error
	if t.host, t.port, err = splitHostPort(authority); err != nil {
		return target{}, err
	}
	if t.given = t.port != ""; !t.given {
		t.port = defaultPorts[t.scheme]
	}
	// A zone is of this host alone and is not sent (RFC 6874 §1).
	if host, zone, ok := strings.Cut(t.host, "%"); ok {
		zone, escaped := strings.CutPrefix(zone, "25")
		if !escaped || zone == "" || strings.ContainsAny(zone, "%:") || !strings.Contains(host, ":") {
			return target{}, errors.New("the URL's zone is not understood: write [fe80::1%25eth0]")
		}
		t.host = host + "%" + zone
		authority = "[" + host + "]" + authority[strings.IndexByte(authority, ']')+1:]
	}
	t.base = scheme + "://" + authority
	return t, nil
}

// splitHostPort gives port "" where none is written.
func splitHostPort(authority string) (host, port string, err error) {
	host = authority
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", "", errors.New("the URL's port is not a number from 1 to 65535")
		}
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.ContainsAny(host, ":[]") {
		return "", "", errors.New("the URL's host is not understood")
	}
	if host == "" {
		return "", "", errors.New("the URL has no host")
	}
	return host, port, nil
}

// rebase makes a URL that the camera wrote (Content-Base, an absolute control)
// one that we may ask: its path at the address we dialled, since cameras behind
// NAT write their inside address. It refuses what does not parse: Anjvision
// leaves out the scheme, Icamra writes rtsp://rtsp://host.
func (t target) rebase(written string) (string, bool) {
	_, rest, ok := strings.Cut(written, "://")
	if !ok || strings.ContainsFunc(written, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", false
	}
	if scheme, _, _ := strings.Cut(strings.ToLower(written), ":"); !strings.HasPrefix(scheme, "rtsp") {
		return "", false
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if authority == "" || strings.EqualFold(authority, "rtsp:") || strings.EqualFold(authority, "rtsps:") {
		return "", false
	}
	return t.base + path, true
}

// contentBase is what relative controls are relative to (RFC 2326 §C.1.1).
func (t target) contentBase(headers ...string) string {
	for _, h := range headers {
		if base, ok := t.rebase(h); ok {
			return base
		}
	}
	return t.String()
}

// controlURLs are the URLs that a control attribute may mean, most likely first:
// plain concatenation, which is what cameras do (Dahua: the base ends in a
// query), then RFC 3986.
func (t target) controlURLs(base, control string) []string {
	switch {
	case control == "" || control == "*":
		return []string{base}
	case strings.Contains(control, "://"):
		if u, ok := t.rebase(control); ok {
			return []string{u}
		}
		return []string{base}
	}
	var urls []string
	switch {
	case control[0] == '?':
		urls = append(urls, base+control)
	case control[0] == '/':
		urls = append(urls, strings.TrimSuffix(base, "/")+control)
	default:
		urls = append(urls, strings.TrimSuffix(base, "/")+"/"+control)
	}
	if b, err := url.Parse(base); err == nil {
		if c, err := url.Parse(control); err == nil && c.Host == "" {
			if u := b.ResolveReference(c).String(); u != urls[0] {
				urls = append(urls, u)
			}
		}
	}
	return urls
}

// redirect is where a Location leads: another port or path of the same host,
// by the name we know or the address it has. Anything else is refused (SEC-04).
func (t target) redirect(location string, peer net.Addr) (target, error) {
	if location == "" {
		return target{}, errors.New("redirect without a Location")
	}
	if strings.HasPrefix(location, "/") {
		to := t
		to.path = location
		if hasControl(location) || strings.Contains(location, " ") {
			return target{}, errors.New("redirect to a path with blanks or control characters")
		}
		return to, nil
	}
	// User info in a Location is not ours to use.
	if scheme, rest, ok := strings.Cut(location, "://"); ok {
		if i := strings.IndexAny(rest, "/?#"); i < 0 {
			location = scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
		} else {
			location = scheme + "://" + rest[:i][strings.LastIndexByte(rest[:i], '@')+1:] + rest[i:]
		}
	}
	to, err := parseTarget(location)
	if err != nil {
		return target{}, fmt.Errorf("redirect: %w", err)
	}
	peerHost := ""
	if peer != nil {
		peerHost, _, _ = net.SplitHostPort(peer.String())
	}
	if t.secure() && !to.secure() {
		return target{}, errors.New("redirect from TLS to a plain connection refused (SEC-04)")
	}
	if !strings.EqualFold(to.host, t.host) && to.host != peerHost {
		return target{}, fmt.Errorf("redirect to another host (%s) refused", printable(to.addr()))
	}
	return to, nil
}
