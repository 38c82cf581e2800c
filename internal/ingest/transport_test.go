package ingest

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nvr/internal/ingest/rtsp"
	"nvr/internal/media"
	"nvr/internal/simulate"
)

func fingerprint(t *testing.T, s *simulate.Server) []byte {
	t.Helper()
	b, err := hex.DecodeString(s.Fingerprint())
	if err != nil || len(b) != 32 {
		t.Fatalf("fingerprint %q: %v", s.Fingerprint(), err)
	}
	return b
}

func TestTransports(t *testing.T) {
	for _, c := range []struct {
		name      string
		o         simulate.Options
		transport string
		insecure  bool
		pinned    bool
		used, tls string
		note      string
	}{
		{name: "auto is TCP", used: "tcp"},
		{name: "auto is UDP where TCP is refused", o: simulate.Options{Transport: simulate.TransportUDP}, used: "udp"},
		{name: "udp", transport: "udp", used: "udp"},
		{name: "udp over IPv6", o: simulate.Options{Addr: "[::1]:0"}, transport: "udp", used: "udp"},
		{name: "tcp over IPv6", o: simulate.Options{Addr: "[::1]:0"}, transport: "tcp", used: "tcp"},
		{name: "udp with a password", o: simulate.Options{Auth: simulate.AuthDigestSHA256, User: "u", Password: "p@:/"}, transport: "udp", used: "udp"},
		{name: "multicast", transport: "multicast", used: "multicast"},
		{name: "http", transport: "http", used: "http"},
		{name: "http with a password inside", o: simulate.Options{Auth: simulate.AuthBasic, User: "u", Password: "p@:/"}, transport: "http", used: "http"},
		{name: "http over IPv6", o: simulate.Options{Addr: "[::1]:0"}, transport: "http", used: "http"},
		{name: "rtsps pinned", o: simulate.Options{TLS: true}, pinned: true, used: "tcp", tls: "fingerprint"},
		{name: "rtsps over IPv6", o: simulate.Options{TLS: true, Addr: "[::1]:0"}, pinned: true, used: "tcp", tls: "fingerprint"},
		{name: "rtsps insecure", o: simulate.Options{TLS: true}, insecure: true, used: "tcp", tls: "insecure", note: "tls_insecure: anybody"},
		{name: "https", o: simulate.Options{TLS: true, Auth: simulate.AuthDigest, User: "u", Password: "p"}, transport: "http", pinned: true, used: "http", tls: "fingerprint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.o.FPS, c.o.Audio, c.o.Bitrate = 60, simulate.AudioPCMU, 4_000_000
			server := simulated(t, c.o)
			o := Options{URL: server.URL(1), Username: c.o.User, Password: c.o.Password, Audio: true, Transport: c.transport}
			o.TLS.Insecure = c.insecure
			if c.pinned {
				o.TLS.Fingerprint = fingerprint(t, server)
			}
			s := newShelf()
			cam, stop := record(t, o, s)
			s.until(t, "three GOPs", func(r []media.Record, _ []media.Gap) bool { return samples(video(r)) > 95 })
			st := cam.Status()
			stop()
			check(t, s.records)
			m := marks(s.records)
			if !m.Clean() || int(m.Count) != samples(video(s.records)) || len(video(s.records)) == len(s.records) {
				t.Errorf("%v, in %d samples and %d records", m, samples(video(s.records)), len(s.records))
			}
			if len(s.faults()) > 0 || st.LostPackets > 0 {
				t.Errorf("gaps: %v, %d packets lost", s.gaps, st.LostPackets)
			}
			if st.Transport != c.used || st.TLS != c.tls {
				t.Errorf("transport %q, TLS %q", st.Transport, st.TLS)
			}
			notes := strings.Join(st.Notes, "\n")
			if !strings.Contains(notes, c.note) || c.insecure && !strings.Contains(notes, server.Fingerprint()) {
				t.Errorf("notes %q", st.Notes)
			}
		})
	}
}

// Who is not who was expected is not recorded, and the error says who it is.
func TestUntrusted(t *testing.T) {
	server := simulated(t, simulate.Options{TLS: true})
	for name, trust := range map[string]TLS{
		"the system's authorities": {}, "another fingerprint": {Fingerprint: make([]byte, 32)}, "no authority": {Roots: x509.NewCertPool()},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf()
			cam, stop := record(t, Options{URL: server.URL(1), TLS: trust}, s)
			s.until(t, "the gap", func(_ []media.Record, g []media.Gap) bool { return len(g) > 0 })
			stop()
			if g := s.gaps[0]; g.Reason != media.ReasonCamera || !strings.Contains(g.Detail, server.Fingerprint()) {
				t.Errorf("gap %+v", g)
			}
			if st := cam.Status(); !strings.Contains(st.LastError, server.Fingerprint()) || len(s.records) > 0 {
				t.Errorf("%d records, status %+v", len(s.records), st)
			}
		})
	}
}

// Over UDP the camera's end of the connection is not yet the end of the session;
// that the media stop is.
func TestComesBackOverUDP(t *testing.T) {
	t.Parallel()
	server := simulated(t, simulate.Options{FPS: 60})
	s := newShelf()
	_, stop := record(t, Options{URL: server.URL(1), Transport: "udp"}, s)
	s.until(t, "the first record", func(r []media.Record, _ []media.Gap) bool { return len(r) > 0 })
	server.StopCamera(1, simulate.StopNotFound)
	s.until(t, "an open gap", func(_ []media.Record, g []media.Gap) bool { return len(g) > 0 && g[len(g)-1].Span.To == 0 })
	server.StartCamera(1)
	s.until(t, "a second run", func(r []media.Record, _ []media.Gap) bool { return r[len(r)-1].Run > r[0].Run })
	stop()
	check(t, s.records)
	if s.gaps[0].Reason != media.ReasonUnreachable {
		t.Errorf("gaps: %v", s.gaps)
	}
}

func TestWay(t *testing.T) {
	var w way
	step := func(what string, used rtsp.Transport, packets uint64, err error, first rtsp.Transport, patience time.Duration) {
		t.Helper()
		w.learn(used, packets, err)
		if w.first != first || w.patience() != patience {
			t.Errorf("%s: next %q, for %v", what, w.first, w.patience())
		}
	}
	silent := fmt.Errorf("receive: %w", rtsp.ErrSilent)
	step("at first", rtsp.TransportTCP, 0, errors.New("refused"), "", firstPacketTimeout)
	step("TCP brings nothing", rtsp.TransportTCP, 0, silent, rtsp.TransportUDP, firstPacketTimeout)
	step("nor does UDP", rtsp.TransportUDP, 0, silent, rtsp.TransportTCP, 0)
	step("nor TCP, with all the time there is", rtsp.TransportTCP, 0, errNoMedia, rtsp.TransportUDP, 0)
	step("UDP does", rtsp.TransportUDP, 9, errNoMedia, rtsp.TransportUDP, firstPacketTimeout)
	step("and is kept when it hangs up", rtsp.TransportUDP, 0, rtsp.ErrHungUp, rtsp.TransportUDP, firstPacketTimeout)
	step("until it brings nothing", rtsp.TransportUDP, 0, silent, rtsp.TransportTCP, firstPacketTimeout)
	step("a group that brings nothing", rtsp.TransportMulticast, 0, silent, rtsp.TransportTCP, 0)
}

// Auto remembers what a camera took, and comes back from what brings nothing.
func TestAutoRemembers(t *testing.T) {
	server := simulated(t, simulate.Options{FPS: 60, Transport: simulate.TransportUDP})
	c := New(Options{Stream: testStream, URL: server.URL(1)}, newShelf())
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if _, err := c.record(ctx); err != nil {
		t.Fatal(err)
	}
	if c.way.first != rtsp.TransportUDP {
		t.Errorf("next is %q", c.way.first)
	}
	other := simulated(t, simulate.Options{FPS: 60, Transport: simulate.TransportTCP})
	c.o.URL = other.URL(1)
	ctx, cancel = context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if _, err := c.record(ctx); err != nil {
		t.Fatal(err)
	}
	if c.way.first != rtsp.TransportTCP {
		t.Errorf("next is %q", c.way.first)
	}
}

// Sessions leave nothing open behind them.
func TestSessionsCloseAll(t *testing.T) {
	for _, transport := range []string{"tcp", "udp", "multicast", "http"} {
		for _, secure := range []bool{false, true} {
			if secure && (transport == "udp" || transport == "multicast") {
				continue
			}
			server := simulated(t, simulate.Options{FPS: 60, Audio: simulate.AudioPCMA, TLS: secure})
			c := New(Options{Stream: testStream, URL: server.URL(1), Audio: true, Transport: transport, TLS: TLS{Insecure: secure}}, newShelf())
			before := 0
			for round := range 6 {
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
				c.record(ctx)
				cancel()
				for limit := time.Now().Add(10 * time.Second); server.Stats()[0].Playing > 0; time.Sleep(5 * time.Millisecond) {
					if time.Now().After(limit) {
						t.Fatalf("%s: the camera still plays", transport)
					}
				}
				if round == 0 {
					before = fewSockets(t, -1)
				}
			}
			if n := fewSockets(t, before); n > before {
				t.Errorf("%s, TLS %t: %d descriptors, %d after the first session", transport, secure, n, before)
			}
		}
	}
}

// fewSockets counts those that are open, until there are no more than wanted; the
// server closes its ends a moment later than we do.
func fewSockets(t *testing.T, wanted int) (n int) {
	t.Helper()
	for limit := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if n = descriptors(t); n <= wanted || time.Now().After(limit) || wanted < 0 && time.Until(limit) < 4700*time.Millisecond {
			return n
		}
	}
}
