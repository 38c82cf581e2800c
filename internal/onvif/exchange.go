package onvif

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/icholy/digest"
)

// exchange is the HTTP dialogue with one camera: it knows where the camera is,
// what it wants to be shown of a password, and whether that was good.
type exchange struct {
	base               *url.URL // of the device service, as it was asked for
	username, password string
	client             *http.Client
	transport          *http.Transport
	now                func() time.Time

	clock     time.Duration // the camera's, ahead of ours
	clockTold bool          // it is what the camera says; else what its HTTP server does
	peer      string        // the address that was connected to, without port

	// What the camera asked for. A digest and a token do not exclude each other.
	challenge *digest.Challenge // HTTP Digest (RFC 7616), nil: not asked for
	count     int               // requests signed with its nonce
	token     bool              // WS-UsernameToken
	accepted  bool              // something that was signed was let in
	refused   error             // it knows all that we have and wants none of it
}

func newExchange(base *url.URL, o Options) *exchange {
	x := &exchange{base: base, username: o.Username, password: o.Password, now: o.Now}
	x.transport = &http.Transport{
		Proxy:                  nil, // a proxy of the environment is another host
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaders,
		MaxIdleConnsPerHost:    1,
		TLSHandshakeTimeout:    connectTimeout,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			return o.Dial(ctx, network, addr)
		},
	}
	x.client = &http.Client{
		Transport:     x.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return x
}

func (x *exchange) close() { x.transport.CloseIdleConnections() }

// answer is what came back, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// maxTries bounds the questions of one call: unsigned, with a digest, with a
// fresh nonce, with a token.
const maxTries = 4

// call asks service for action and returns what the body of the answer holds.
func (x *exchange) call(ctx context.Context, service *url.URL, action, body string) (*element, error) {
	name := action[strings.LastIndexByte(action, '/')+1:]
	for range maxTries {
		a, err := x.post(ctx, service, action, body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		content, err := a.content()
		if !a.refuses(err) {
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			x.accepted = x.accepted || x.challenge != nil || x.token
			return content, nil
		}
		if err := x.refusal(a, err); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil, fmt.Errorf("%s: %w: it asks again and again", name, ErrUnauthorized)
}

// content is the body's content of an answer, or why there is none.
func (a *answer) content() (*element, error) {
	content, err := openEnvelope(a.body)
	var fault *Fault
	switch {
	case errors.As(err, &fault):
		return nil, fault
	case a.status != http.StatusOK: // what is not SOAP is the server's own page
		return nil, fmt.Errorf("HTTP status %d %s", a.status, http.StatusText(a.status))
	}
	return content, err
}

// refuses reports whether the camera wants to know who asks.
func (a *answer) refuses(err error) bool {
	var fault *Fault
	return a.status == http.StatusUnauthorized || errors.As(err, &fault) && fault.refused()
}

// refusal decides what to show the camera next. nil: ask again.
func (x *exchange) refusal(a *answer, why error) error {
	if x.refused != nil {
		return x.refused
	}
	if x.username == "" && x.password == "" {
		return fmt.Errorf("%w: it asks for user and password, and there are none (%w)", ErrUnauthorized, why)
	}
	offer := findDigest(a.header)
	switch {
	case offer != nil && x.challenge == nil:
		x.challenge, x.count = offer, 0
		return nil
	case offer != nil && (offer.Stale || x.accepted && offer.Nonce != x.challenge.Nonce): // a new nonce
		x.challenge, x.count, x.accepted = offer, 0, false
		return nil
	case offer == nil && !x.token: // a fault, perhaps behind a digest that was let in; or nothing said
		x.token = true
		return nil
	case x.accepted:
		return fmt.Errorf("%w: this user may not ask that (%w)", ErrUnauthorized, why)
	case asksForBasic(a.header):
		why = errors.New("it wants HTTP Basic, which shows the password to the network and is never sent")
	}
	x.refused = fmt.Errorf("%w: wrong user or password (%w)", ErrUnauthorized, why)
	return x.refused
}

func findDigest(h http.Header) *digest.Challenge {
	offer, err := digest.FindChallenge(h)
	if err != nil || offer.Nonce == "" {
		return nil
	}
	return offer
}

func asksForBasic(h http.Header) bool {
	for _, v := range h.Values("WWW-Authenticate") {
		if scheme, _, _ := strings.Cut(v, " "); strings.EqualFold(scheme, "basic") {
			return true
		}
	}
	return false
}

// post sends one request and follows redirects, inside the host only.
func (x *exchange) post(ctx context.Context, to *url.URL, action, body string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	for hops := 0; ; hops++ {
		a, err := x.postOnce(ctx, to, action, body)
		if err != nil {
			return nil, err
		}
		switch a.status {
		case 301, 302, 303, 307, 308:
		default:
			return a, nil
		}
		if hops == maxRedirects {
			return nil, fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if to, err = x.redirect(to, a.header.Get("Location")); err != nil {
			return nil, err
		}
	}
}

// redirect is where a Location leads: another path or port of the host that was
// asked, by its name or address, and never from TLS to none (SEC-04).
func (x *exchange) redirect(from *url.URL, location string) (*url.URL, error) {
	l, err := url.Parse(location)
	if err != nil || location == "" {
		return nil, errors.New("redirect without a usable Location")
	}
	l = from.ResolveReference(l)
	switch {
	case l.Scheme != "http" && l.Scheme != "https":
		return nil, fmt.Errorf("redirect to %s:// refused", printable(l.Scheme))
	case from.Scheme == "https" && l.Scheme != "https":
		return nil, errors.New("redirect from https to http refused")
	case !x.isHere(l.Hostname()):
		return nil, fmt.Errorf("redirect to another host (%s) refused", printable(l.Host))
	}
	l.Host, l.User, l.Fragment = withPort(x.base.Hostname(), l.Port()), nil, ""
	return l, nil
}

// isHere reports whether host is the camera that was asked, as it was named or
// by the address that it was found to have.
func (x *exchange) isHere(host string) bool {
	return strings.EqualFold(host, x.base.Hostname()) || host != "" && host == x.peer
}

func (x *exchange) postOnce(ctx context.Context, to *url.URL, action, body string) (*answer, error) {
	header := ""
	if x.token {
		header = usernameToken(x.username, x.password, newNonce(), x.now().Add(x.clock))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(envelope(header, body)))
	if err != nil {
		return nil, errors.New("the service's address is not understood")
	}
	req.Header.Set("Content-Type", `application/soap+xml; charset=utf-8; action="`+action+`"`)
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "nvr")
	if x.challenge != nil {
		x.count++
		signed, err := digest.Digest(x.challenge, digest.Options{
			Method: http.MethodPost, URI: to.RequestURI(), GetBody: req.GetBody, Count: x.count, Username: x.username, Password: x.password,
		})
		if err != nil {
			return nil, fmt.Errorf("sign the request: %w", err)
		}
		req.Header.Set("Authorization", signed.String())
	}
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		x.peer, _, _ = net.SplitHostPort(i.Conn.RemoteAddr().String())
	}}))
	resp, err := x.client.Do(req)
	if err != nil {
		var inURL *url.Error // says the URL, which is the camera's
		if errors.As(err, &inURL) {
			err = inURL.Err
		}
		return nil, fmt.Errorf("ask: %w", err)
	}
	defer resp.Body.Close()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil && !x.clockTold {
		x.clock = date.Sub(x.now())
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fmt.Errorf("the answer is coded (%s), which was not asked for", printable(coding))
	}
	if resp.ContentLength > maxBody {
		return nil, &limitError{"bytes of an answer", maxBody}
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case len(content) > maxBody:
		return nil, &limitError{"bytes of an answer", maxBody}
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return &answer{resp.StatusCode, resp.Header, content}, nil
}

// withPort is host:port as a URL has it.
func withPort(host, port string) string {
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
