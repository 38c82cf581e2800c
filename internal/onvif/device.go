package onvif

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options say which camera to ask, and how.
type Options struct {
	// URL is onvif://host[:port][/path], without user info. The path is that of the
	// device service; without one it is DevicePath.
	URL                string
	Username, Password string

	// Discovery is the camera's port for WS-Discovery; 0 is 3702.
	Discovery uint16

	// Dial makes connections; nil is net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Now  func() time.Time // nil is time.Now
}

// DevicePath is where the device service is (ONVIF Core §5.1.1).
const DevicePath = "/onvif/device_service"

// Device is a camera that was opened. It is not for concurrent use.
type Device struct {
	o        Options
	x        *exchange
	services map[string]*url.URL // by namespace
	notes    []string
}

// Information is what a camera says of itself (ONVIF Core §8.3.1), printable.
type Information struct {
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Firmware     string `json:"firmware"`
	Serial       string `json:"serial"`
	Hardware     string `json:"hardware"`
}

// Open asks a camera for its clock and its services. Credentials are sent when
// it asks for them, as digests.
func Open(ctx context.Context, o Options) (*Device, error) {
	base, err := serviceURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Device{o: o, services: map[string]*url.URL{}}
	d.x = newExchange(base, o)
	d.services[nsDevice] = base
	if err := d.open(ctx); err != nil {
		d.Close()
		return nil, d.errorf("%w", err)
	}
	return d, nil
}

// serviceURL is the device service of an onvif:// URL.
func serviceURL(raw string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	u, err := url.Parse("http://" + rest)
	switch {
	case !ok || !strings.EqualFold(scheme, "onvif"):
		return nil, errors.New("the URL is not onvif://host[:port][/path]")
	case err != nil || u.Hostname() == "":
		return nil, errors.New("the onvif:// URL has no host that is understood")
	case u.User != nil:
		return nil, errors.New("the onvif:// URL has user and password in it: they have options of their own")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = DevicePath
	}
	u.Fragment = ""
	return u, nil
}

// Close ends the connections.
func (d *Device) Close() { d.x.close() }

// errorf says with each error which camera it is about.
func (d *Device) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{d.x.base.Host}, args...)...)
}

// Notes are what is odd about the camera, printable.
func (d *Device) Notes() []string { return slices.Clone(d.notes) }

func (d *Device) note(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	if len(d.notes) < maxNotes && !slices.Contains(d.notes, n) {
		d.notes = append(d.notes, n)
	}
}

func (d *Device) open(ctx context.Context) error {
	// Without credentials, whatever else is asked (ONVIF Core §8.3.6): a token is
	// only good by the camera's clock.
	asked := d.o.Now()
	content, err := d.x.call(ctx, d.x.base, nsDevice+"/GetSystemDateAndTime", `<GetSystemDateAndTime xmlns="`+nsDevice+`"/>`)
	var fault *Fault
	switch {
	case err == nil:
		if err := d.setClock(content, asked, d.o.Now()); err != nil {
			d.note("its clock cannot be read: %v", err)
		}
	case errors.As(err, &fault):
		d.note("does not tell its time: %v", fault)
	default:
		return err
	}
	return d.findServices(ctx)
}

// setClock reads the camera's time, which is meant to be that of the middle
// between question and answer.
func (d *Device) setClock(content *element, asked, answered time.Time) error {
	utc := content.at("SystemDateAndTime", "UTCDateTime")
	field := func(path ...string) int { return int(utc.number(path...)) }
	year, month, day := field("Date", "Year"), field("Date", "Month"), field("Date", "Day")
	if utc == nil || year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 {
		return errors.New("no UTC date in it")
	}
	t := time.Date(year, time.Month(month), day, field("Time", "Hour"), field("Time", "Minute"), field("Time", "Second"), 0, time.UTC)
	d.x.clock, d.x.clockTold = t.Sub(asked.Add(answered.Sub(asked)/2)), true
	return nil
}

// Clock is how far the camera's clock is ahead of ours, to a second; known is
// false where the camera did not say.
func (d *Device) Clock() (ahead time.Duration, known bool) { return d.x.clock, d.x.clockTold }

// findServices asks what services there are (ONVIF Core §8.1.2.3), the old way
// (§8.1.2.1) where the camera does not know the new one.
func (d *Device) findServices(ctx context.Context) error {
	content, err := d.x.call(ctx, d.x.base, nsDevice+"/GetServices",
		`<GetServices xmlns="`+nsDevice+`"><IncludeCapability>false</IncludeCapability></GetServices>`)
	switch {
	case err == nil:
		services := content.all("Service")
		for _, s := range services[:min(len(services), maxServices)] {
			if ns := s.string("Namespace"); ns != "" {
				d.services[ns] = d.reach(s.string("XAddr"))
			}
		}
	case ctx.Err() != nil || errors.Is(err, ErrUnauthorized):
		return err
	}
	if d.services[nsMedia] != nil || d.services[nsMedia2] != nil {
		return nil
	}
	old, oldErr := d.x.call(ctx, d.x.base, nsDevice+"/GetCapabilities", `<GetCapabilities xmlns="`+nsDevice+`"><Category>All</Category></GetCapabilities>`)
	if oldErr != nil {
		if err != nil {
			return err
		}
		return oldErr
	}
	d.note("does not tell its services: asked for capabilities")
	media := old.at("Capabilities", "Media")
	if media == nil {
		return errors.New("it has no media service: is it a camera?")
	}
	d.services[nsMedia] = d.reach(media.string("XAddr"))
	return nil
}

// reach turns an address that the camera wrote into one that may be asked: its
// path, at the host that was asked. The port is the camera's where the host is
// the same; behind a NAT, or with an address left over from another network, it
// does not know how it is reached.
func (d *Device) reach(xaddr string) *url.URL {
	base := *d.x.base
	u, err := url.Parse(strings.TrimSpace(xaddr))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		d.note("a service's address is not understood: asked where the device service is")
		return &base
	}
	if u.Scheme == base.Scheme && d.x.isHere(u.Hostname()) {
		base.Host = withPort(base.Hostname(), u.Port())
	} else if u.Scheme == base.Scheme {
		d.note("names another address for its services (%s): asked where it was found", printable(u.Host))
	}
	base.Path, base.RawPath, base.RawQuery = u.Path, u.RawPath, u.RawQuery
	return &base
}

// Information asks what it is.
func (d *Device) Information(ctx context.Context) (Information, error) {
	c, err := d.x.call(ctx, d.x.base, nsDevice+"/GetDeviceInformation", `<GetDeviceInformation xmlns="`+nsDevice+`"/>`)
	if err != nil {
		return Information{}, d.errorf("%w", err)
	}
	return Information{
		Manufacturer: printable(c.string("Manufacturer")),
		Model:        printable(c.string("Model")),
		Firmware:     printable(c.string("FirmwareVersion")),
		Serial:       printable(c.string("SerialNumber")),
		Hardware:     printable(c.string("HardwareId")),
	}, nil
}

// endpointWait is how long a camera may take to answer a probe of its own.
const endpointWait = 700 * time.Millisecond

// Endpoint is the camera's endpoint reference, "urn:uuid:…", which stays the same
// when its address changes; "" where it does not tell. probed: it answered a probe
// of its address, so a search will find it under this name. The device service's
// GetEndpointReference is asked where it did not; cameras are known that say
// something else there.
func (d *Device) Endpoint(ctx context.Context) (reference string, probed bool) {
	if host, err := netip.ParseAddr(d.x.peer); err == nil {
		if reference = probeEndpoint(ctx, netip.AddrPortFrom(host, d.o.Discovery), d.x.base); reference != "" {
			return reference, true
		}
	}
	c, err := d.x.call(ctx, d.x.base, nsDevice+"/GetEndpointReference", `<GetEndpointReference xmlns="`+nsDevice+`"/>`)
	if err != nil {
		return "", false
	}
	return endpoint(c.string("GUID")), false
}

// probeEndpoint asks an address who is there, and returns the endpoint reference
// of the camera whose device service is base, or of the only one; "" where nobody
// answers.
func probeEndpoint(ctx context.Context, to netip.AddrPort, base *url.URL) string {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	var found []Found
	Discover(asking, DiscoverOptions{To: []netip.AddrPort{to}, Wait: endpointWait}, func(f Found) { // no answer and an error are one here
		found = append(found, f)
		if sameService(f.URL, base) {
			stop()
		}
	})
	for _, f := range found {
		if sameService(f.URL, base) || len(found) == 1 {
			return f.Endpoint
		}
	}
	return ""
}

// sameService reports whether an onvif:// URL is that device service.
func sameService(found string, base *url.URL) bool {
	u, err := serviceURL(found)
	return err == nil && u.Port() == base.Port() && u.Path == base.Path
}

// endpoint is a reference as we write it: "urn:uuid:" and the UUID in lower
// case. "" where it is none.
func endpoint(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	id := s[strings.LastIndexByte(s, ':')+1:]
	if !isUUID(id) {
		return ""
	}
	return "urn:uuid:" + id
}

// isUUID reports whether s is 8-4-4-4-12 hexadecimal digits (RFC 9562 §4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch dash := i == 8 || i == 13 || i == 18 || i == 23; {
		case dash && c == '-':
		case !dash && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'):
		default:
			return false
		}
	}
	return true
}
