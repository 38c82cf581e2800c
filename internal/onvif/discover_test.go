package onvif

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nvr/internal/simulate/device"
)

// discover asks an address until n cameras answered, or the wait is over.
func discover(t *testing.T, n int, o DiscoverOptions) []Found {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all []Found
	if err := Discover(ctx, o, func(f Found) {
		all = append(all, f)
		if len(all) == n {
			stop()
		}
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDiscover(t *testing.T) {
	natted := device.Camera{Name: "behind\x1b[31m NAT", XAddrHost: "10.1.2.3:81"}
	s := serve(t, ordinary(), natted)
	at := s.Addr()
	all := discover(t, 2, DiscoverOptions{To: []netip.AddrPort{at}})
	want := []Found{
		{Endpoint: "urn:uuid:" + testUUID, URL: s.URL(1), Addr: at.Addr(), Name: "Acme AC-1", Hardware: "AC-1", Location: "yard"},
		{URL: "onvif://127.0.0.1:81/cam2/device_service", Addr: at.Addr(), Name: "behind?[31m NAT",
			Notes: []string{"gives another address (10.1.2.3:81) than the one it answers from"}},
	}
	if diff := cmp.Diff(want, all, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// TestMulticast: a probe to the group is sent and answered, on the loopback interface.
func TestMulticast(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	group, err := net.ListenMulticastUDP("udp4", lo, &net.UDPAddr{IP: net.ParseIP(multicastGroup), Port: discoveryPort})
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		buf := make([]byte, 8192)
		n, from, err := group.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		id := regexp.MustCompile(`urn:uuid:[0-9a-f-]{36}`).FindString(string(buf[:n]))
		camera, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
		if err != nil {
			return
		}
		defer camera.Close()
		camera.WriteToUDPAddrPort([]byte(probeMatch(id, "http://127.0.0.9:8000/onvif/device_service")), from)
	}()
	all := discover(t, 1, DiscoverOptions{sources: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	<-answered
	if len(all) != 1 || all[0].URL != "onvif://127.0.0.9:8000/onvif/device_service" || len(all[0].Notes) > 0 {
		t.Errorf("%+v", all)
	}
}

func probeMatch(relatesTo, xaddrs string) string {
	return `<Envelope><Header><RelatesTo>` + relatesTo + `</RelatesTo></Header><Body><ProbeMatches><ProbeMatch><EndpointReference><Address>urn:uuid:` + testUUID +
		`</Address></EndpointReference><XAddrs>` + xaddrs + `</XAddrs></ProbeMatch></ProbeMatches></Body></Envelope>`
}

// TestForgers: answers to nothing, from elsewhere, too large, too many, of garbage.
func TestForgers(t *testing.T) {
	listen := func(ip string) *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	camera, stranger := listen("127.0.0.1"), listen("127.0.0.8")
	defer stranger.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 8192)
		n, from, err := camera.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		id := regexp.MustCompile(`urn:uuid:[0-9a-f-]{36}`).FindString(string(buf[:n]))
		say := func(c *net.UDPConn, s string) { c.WriteToUDPAddrPort([]byte(s), from) }
		say(stranger, probeMatch(id, "http://127.0.0.8/stranger"))
		say(camera, probeMatch("urn:uuid:"+testUUID, "http://127.0.0.1/unasked"))
		say(camera, probeMatch("urn:uuid:"+testUUID, "http://127.0.0.1/"+id))
		say(camera, probeMatch(id, "http://127.0.0.1/large"+strings.Repeat("x", maxAnswer)))
		say(camera, id+" garbage")
		say(camera, "<!DOCTYPE a><a>"+id+"</a>")
		say(camera, string(buf[:n])) // our own probe
		for i := range 2 * maxAnswers {
			say(camera, probeMatch(id, fmt.Sprintf("http://127.0.0.1/good%d", i)))
			if i%32 == 0 {
				time.Sleep(time.Millisecond) // or the kernel's buffer overflows
			}
		}
	}()
	all := discover(t, -1, DiscoverOptions{To: []netip.AddrPort{camera.LocalAddr().(*net.UDPAddr).AddrPort()}, Wait: 2 * time.Second})
	camera.Close()
	<-done
	if len(all) == 0 || len(all) > maxAnswers {
		t.Errorf("%d answers were taken, at most %d are to be", len(all), maxAnswers)
	}
	for _, f := range all {
		if !strings.HasPrefix(f.URL, "onvif://127.0.0.1/good") {
			t.Errorf("%+v", f)
		}
	}
}

// TestNobody: no answer is no error, and takes as long as was said.
func TestNobody(t *testing.T) {
	if all := discover(t, 0, DiscoverOptions{To: []netip.AddrPort{serve(t).Addr()}, Wait: 50 * time.Millisecond}); len(all) > 0 {
		t.Errorf("%+v", all)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Discover(ctx, DiscoverOptions{To: []netip.AddrPort{serve(t).Addr()}}, func(Found) { t.Error("found") }); err != nil {
		t.Error(err)
	}
}

func TestEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"urn:uuid:" + testUUID:                  "urn:uuid:" + testUUID,
		" uuid:" + strings.ToUpper(testUUID):    "urn:uuid:" + testUUID,
		testUUID:                                "urn:uuid:" + testUUID,
		"urn:uuid:" + testUUID + "0":            "",
		"urn:uuid:2419d68a_2dd2-21b2-a205-0040": "",
		"":                                      "",
		"urn:uuid:zzzzzzzz-2dd2-21b2-a205-00408cd0a3f1": "",
	} {
		if got := endpoint(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
