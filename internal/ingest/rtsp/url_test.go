package rtsp

import (
	"net"
	"slices"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for raw, want := range map[string]string{ // address, path
		"rtsp://cam/live":                      "cam:554 /live",
		"RTSP://cam:8554":                      "cam:8554 ",
		"rtsp://cam?x=1":                       "cam:554 ?x=1",
		"rtsps://cam/":                         "cam:322 /",
		"rtsps://cam:554/":                     "cam:554 /",
		"rtsp://[::1]/":                        "[::1]:554 /",
		"rtsp://cam/a%2Fb?c=d/&e=rtsp://x:y@z": "cam:554 /a%2Fb?c=d/&e=rtsp://x:y@z",
		"rtsp://u:p@cam/":                      "",
		"rtsp://cam:0/":                        "",
		"rtsp://cam:rtsp/":                     "",
		"rtsp://cam:65536/":                    "",
		"rtsp://::1/":                          "",
		"rtsp://cam:/":                         "",
		"rtsp://":                              "",
		"http://cam/":                          "",
		"rtsp://cam/\r\nX: y":                  "",
	} {
		to, err := parseTarget(raw)
		got := ""
		if err == nil {
			got = to.addr() + " " + to.path
			if to.String() != raw {
				t.Errorf("%q became %q", raw, to)
			}
		}
		if got != want {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

func TestContentBase(t *testing.T) {
	to, err := parseTarget("rtsp://203.0.113.5:8554/live?x=1")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"":                               "rtsp://203.0.113.5:8554/live?x=1",
		"rtsp://203.0.113.5:8554/base/":  "rtsp://203.0.113.5:8554/base/",
		"rtsp://10.0.0.9/base/":          "rtsp://203.0.113.5:8554/base/",
		"RTSP://10.0.0.9:554":            "rtsp://203.0.113.5:8554",
		"rtsp://a:b@10.0.0.9/base":       "rtsp://203.0.113.5:8554/base",
		"192.168.1.10:554/stream0/":      "rtsp://203.0.113.5:8554/live?x=1", // Anjvision
		"rtsp://rtsp://host/x":           "rtsp://203.0.113.5:8554/live?x=1", // Icamra
		"http://evil/x":                  "rtsp://203.0.113.5:8554/live?x=1",
		"rtsp:///x":                      "rtsp://203.0.113.5:8554/live?x=1",
		"rtsp://10.0.0.9/with blanks":    "rtsp://203.0.113.5:8554/live?x=1",
		"rtsp://10.0.0.9/cam?channel=1/": "rtsp://203.0.113.5:8554/cam?channel=1/",
	} {
		if got := to.contentBase(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestControlURLs(t *testing.T) {
	to, err := parseTarget("rtsp://cam/live")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		base, control string
		want          []string
	}{
		{"rtsp://cam/live/", "trackID=1", []string{"rtsp://cam/live/trackID=1"}},
		{"rtsp://cam/live", "trackID=1", []string{"rtsp://cam/live/trackID=1", "rtsp://cam/trackID=1"}},
		{"rtsp://cam/live/", "/trackID=1", []string{"rtsp://cam/live/trackID=1", "rtsp://cam/trackID=1"}},
		{"rtsp://cam/r?a=1&b=0/", "trackID=0", []string{"rtsp://cam/r?a=1&b=0/trackID=0", "rtsp://cam/trackID=0"}},
		{"rtsp://cam/live", "?ctype=video", []string{"rtsp://cam/live?ctype=video"}},
		{"rtsp://cam/live", "*", []string{"rtsp://cam/live"}},
		{"rtsp://cam/live", "", []string{"rtsp://cam/live"}},
		{"rtsp://cam/live", "rtsp://10.0.0.9:554/x/?profile=1&t=u/", []string{"rtsp://cam/x/?profile=1&t=u/"}},
		{"rtsp://cam/live", "rtsp://rtsp://10.0.0.9/x", []string{"rtsp://cam/live"}},
		{"rtsp://cam/live/", "//evil/x", []string{"rtsp://cam/live//evil/x"}},
	} {
		if got := to.controlURLs(tt.base, tt.control); !slices.Equal(got, tt.want) {
			t.Errorf("%q + %q: %q", tt.base, tt.control, got)
		}
	}
}

func TestRedirect(t *testing.T) {
	to, err := parseTarget("rtsp://cam.example/live")
	if err != nil {
		t.Fatal(err)
	}
	peer := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 554}
	for location, want := range map[string]string{
		"rtsp://CAM.example:8554/x":     "rtsp://CAM.example:8554/x",
		"rtsp://192.0.2.7:8554/x":       "rtsp://192.0.2.7:8554/x",
		"rtsp://u:p@cam.example/x?a@b":  "rtsp://cam.example/x?a@b",
		"/other":                        "rtsp://cam.example/other",
		"/other\r\nX: y":                "",
		"rtsp://192.0.2.8/x":            "",
		"rtsp://cam.example.evil.com/x": "",
		"rtsp://cam.example@evil.com/x": "",
		"rtsps://cam.example/x":         "rtsps://cam.example/x",
		"http://cam.example/x":          "",
		"other":                         "",
		"":                              "",
	} {
		got, err := to.redirect(location, peer)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %v, %v", location, got, err)
		}
	}
}

func TestRedirectFromTLS(t *testing.T) {
	to, err := parseTarget("rtsps://cam/live")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := to.redirect("rtsp://cam/live", nil); err == nil || !strings.Contains(err.Error(), "plain connection refused") {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := to.redirect("rtsps://cam:8322/live", nil); err != nil || got.addr() != "cam:8322" {
		t.Errorf("%v, %v", got, err)
	}
}

// A zone is for dialling alone: the camera has its own names for its interfaces.
func TestZone(t *testing.T) {
	for raw, want := range map[string]string{ // address, URL
		"rtsp://[fe80::1%25eth0]:8554/a@b": "[fe80::1%eth0]:8554 rtsp://[fe80::1]:8554/a@b",
		"rtsp://[fe80::1%252]":             "[fe80::1%2]:554 rtsp://[fe80::1]",
		"rtsp://[fe80::1%25]/":             "",
		"rtsp://[fe80::1%eth0]/":           "",
		"rtsp://cam%25eth0/":               "",
	} {
		to, err := parseTarget(raw)
		got := ""
		if err == nil {
			got = to.addr() + " " + to.String()
		}
		if got != want {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

func TestTunnelPort(t *testing.T) {
	for raw, want := range map[string]string{
		"rtsp://cam/": "cam:80", "rtsps://cam/": "cam:443", "rtsp://cam:554/": "cam:554", "rtsps://cam:8443/": "cam:8443",
	} {
		to, err := parseTarget(raw)
		if got := to.tunnelled(); err != nil || got.addr() != want || got.String() != raw {
			t.Errorf("%q: %v %v, %v", raw, got.addr(), got, err)
		}
	}
}
