package onvif

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Limits of discovery (SEC-07).
const (
	maxAnswers      = 512 // to one Discover
	maxAnswer       = 16 << 10
	maxMatches      = 64 // in one answer
	maxXAddrs       = 16 // of one match
	maxScopes       = 64
	maxSockets      = 64
	defaultWait     = 5 * time.Second
	probeEvery      = 500 * time.Millisecond
	discoveryPort   = 3702
	multicastGroup  = "239.255.255.250"
	probeNamespaces = `xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"`
)

// probeTypes are what the probes ask for, one after the other: each gets lost now
// and then, and some cameras know only one of the types.
var probeTypes = [...]string{
	`<d:Types xmlns:t="http://www.onvif.org/ver10/network/wsdl">t:NetworkVideoTransmitter</d:Types>`,
	`<d:Types xmlns:t="` + nsDevice + `">t:Device</d:Types>`,
	`<d:Types xmlns:t="http://www.onvif.org/ver10/network/wsdl">t:NetworkVideoTransmitter</d:Types>`,
}

// DiscoverOptions say whom to ask.
type DiscoverOptions struct {
	// To are the addresses to ask; port 0 is 3702. None: all networks that this
	// machine is in, by multicast.
	To   []netip.AddrPort
	Wait time.Duration // for answers; 0 is 5 s

	sources []netip.Addr // for tests: our addresses in the networks
}

// Found is a camera that answered. All text is printable, none of it is proven.
type Found struct {
	Endpoint string     `json:"endpoint"` // "urn:uuid:…"; "" where it is none
	Addr     netip.Addr `json:"address"`  // that the answer came from
	URL      string     `json:"url"`      // onvif://…, always at Addr; "" where there is no HTTP service
	Name     string     `json:"name"`
	Maker    string     `json:"maker,omitempty"` // few say it here
	Hardware string     `json:"hardware"`
	Location string     `json:"location,omitempty"`
	Notes    []string   `json:"notes,omitempty"`
}

// Discover asks who is there, and calls found for each camera as it answers, one
// at a time. It returns when ctx ends or the wait is over; only having nobody to
// ask is an error. Nothing is asked of who was found, and nobody is answered.
func Discover(ctx context.Context, o DiscoverOptions, found func(Found)) error {
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	s := search{found: found, seen: map[string]bool{}}
	for i := range s.probes {
		s.probes[i], s.ids[i] = newProbe(probeTypes[i])
	}
	if err := s.bind(o); err != nil {
		s.close()
		return fmt.Errorf("discover: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	var readers sync.WaitGroup
	for _, a := range s.asking {
		readers.Go(func() { s.read(ctx, a) })
	}
	err := s.ask(ctx)
	s.close()
	readers.Wait()
	if err != nil {
		return fmt.Errorf("discover: %w", err)
	}
	return nil
}

// search is one Discover.
type search struct {
	probes [len(probeTypes)][]byte
	ids    [len(probeTypes)]string
	asking []asked

	mu      sync.Mutex
	answers int
	seen    map[string]bool
	found   func(Found)
}

// asked is a socket and whom it asks.
type asked struct {
	conn *net.UDPConn
	to   *net.UDPAddr
}

func newProbe(types string) (message []byte, id string) {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562 §5.4
	id = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	header := `<a:MessageID ` + probeNamespaces + `>urn:uuid:` + id + `</a:MessageID>` +
		`<a:To ` + probeNamespaces + `>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>` +
		`<a:Action ` + probeNamespaces + `>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>`
	return []byte(envelope(header, `<d:Probe `+probeNamespaces+`>`+types+`</d:Probe>`)), id
}

// bind takes a socket, with a port of its own, for each address or network.
func (s *search) bind(o DiscoverOptions) error {
	if len(o.To) > 0 {
		for _, to := range o.To[:min(len(o.To), maxSockets)] {
			if to.Port() == 0 {
				to = netip.AddrPortFrom(to.Addr(), discoveryPort)
			}
			if err := s.bindTo(net.UDPAddrFromAddrPort(to)); err != nil {
				return err
			}
		}
		return nil
	}
	sources := o.sources
	if sources == nil {
		var err error
		if sources, err = networks(); err != nil {
			return err
		}
	}
	group := &net.UDPAddr{IP: net.ParseIP(multicastGroup), Port: discoveryPort}
	for _, source := range sources[:min(len(sources), maxSockets)] {
		// The kernel sends a multicast from an address through that address's
		// interface (Linux, ip_route_output_key: "direct multicasts via necessary interface").
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)))
		if err != nil {
			return err
		}
		s.asking = append(s.asking, asked{conn, group})
	}
	if len(s.asking) == 0 {
		return errors.New("no network with multicast: name the addresses to ask")
	}
	return nil
}

// bindTo takes a socket at the address of ours that the other one will see.
func (s *search) bindTo(to *net.UDPAddr) error {
	probe, err := net.DialUDP("udp", nil, to) // sends nothing
	if err != nil {
		return err
	}
	local := probe.LocalAddr().(*net.UDPAddr)
	probe.Close()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: local.IP, Zone: local.Zone})
	if err != nil {
		return err
	}
	s.asking = append(s.asking, asked{conn, to})
	return nil
}

// networks are our IPv4 addresses in networks with multicast.
func networks() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	const wanted = net.FlagUp | net.FlagMulticast
	var all []netip.Addr
	for _, i := range interfaces {
		if i.Flags&wanted != wanted || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it is gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				all = append(all, p.Addr())
				break // one probe for each network card
			}
		}
	}
	return all, nil
}

func (s *search) close() {
	for _, a := range s.asking {
		a.conn.Close()
	}
}

// ask sends the probes and waits for the end.
func (s *search) ask(ctx context.Context) error {
	var failed error
	sent := false
	for _, p := range s.probes {
		for _, a := range s.asking {
			if _, err := a.conn.WriteToUDP(p, a.to); err != nil {
				failed = err
			} else {
				sent = true
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(probeEvery):
		}
	}
	if !sent {
		return failed
	}
	<-ctx.Done()
	return nil
}

// read takes answers until the socket is closed. What does not relate to a probe
// of ours costs no more than the look.
func (s *search) read(ctx context.Context, a asked) {
	buf := make([]byte, maxAnswer+1)
	for ctx.Err() == nil {
		n, from, err := a.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		addr := from.Addr().Unmap()
		if err != nil || n > maxAnswer || !a.to.IP.IsMulticast() && !a.to.IP.Equal(addr.AsSlice()) || !s.ours(buf[:n]) {
			continue
		}
		s.take(ctx, buf[:n], addr)
	}
}

func (s *search) ours(answer []byte) bool {
	for _, id := range s.ids {
		if bytes.Contains(answer, []byte(id)) {
			return true
		}
	}
	return false
}

// take tells of the cameras in an answer that are new. A panic is one answer's (SEC-02).
func (s *search) take(ctx context.Context, content []byte, from netip.Addr) {
	defer func() { _ = recover() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == maxAnswers {
		return
	}
	s.answers++
	for _, f := range s.matches(content, from) {
		key := f.Endpoint + " " + f.Addr.String() + " " + f.URL
		if s.seen[key] || ctx.Err() != nil {
			continue
		}
		s.seen[key] = true
		s.found(f)
	}
}

// matches reads ProbeMatches (WS-Discovery §5.3). What cannot be read is nobody.
func (s *search) matches(content []byte, from netip.Addr) []Found {
	root, err := parse(content)
	if err != nil || root.name != "Envelope" {
		return nil
	}
	relates := []byte(root.string("Header", "RelatesTo"))
	if !s.ours(relates) {
		return nil
	}
	matches := root.at("Body", "ProbeMatches").all("ProbeMatch")
	var all []Found
	for _, m := range matches[:min(len(matches), maxMatches)] {
		f := Found{Addr: from, Endpoint: endpoint(m.string("EndpointReference", "Address"))}
		f.locate(m.string("XAddrs"))
		f.describe(m.string("Scopes"))
		all = append(all, f)
	}
	return all
}

// locate chooses among the addresses that the camera gives: the one at which it
// answered. Where none is, the first one's port and path count.
func (f *Found) locate(xaddrs string) {
	var first, here *url.URL
	fields := strings.Fields(xaddrs)
	for _, x := range fields[:min(len(fields), maxXAddrs)] {
		u, err := url.Parse(x)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			continue
		}
		if first == nil {
			first = u
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Unmap() == f.Addr {
			here = u
			break
		}
	}
	switch {
	case first == nil:
		f.Notes = append(f.Notes, "gives no http address of its services")
		return
	case here == nil:
		f.Notes = append(f.Notes, "gives another address ("+printable(first.Host)+") than the one it answers from")
		here = first
	}
	u := url.URL{Scheme: "onvif", Host: withPort(f.Addr.String(), here.Port()), Path: here.Path}
	f.URL = u.String()
}

// describe reads the scopes (ONVIF Core §7.3.2.2).
func (f *Found) describe(scopes string) {
	const prefix = "onvif://www.onvif.org/"
	fields := strings.Fields(scopes)
	for _, scope := range fields[:min(len(fields), maxScopes)] {
		if len(scope) < len(prefix) || !strings.EqualFold(scope[:len(prefix)], prefix) {
			continue
		}
		kind, value, _ := strings.Cut(scope[len(prefix):], "/")
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		value = printable(value)
		switch strings.ToLower(kind) {
		case "name":
			f.Name = value
		case "hardware":
			f.Hardware = value
		case "manufacturer", "mfr":
			f.Maker = value
		case "location":
			if f.Location == "" {
				f.Location = value
			}
		}
	}
}
