package simulate

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
)

var requests = []struct {
	name   string
	b      string
	want   *request
	status string // of the refusal; empty with no request: the connection ended
}{
	{"plain", "OPTIONS rtsp://h/cam1 RTSP/1.0\r\nCSeq: 1\r\n\r\n",
		&request{"OPTIONS", "rtsp://h/cam1", map[string]string{"cseq": "1"}}, ""},
	{"bare LF, no space, upper case", "PLAY * RTSP/1.0\nCSEQ:2\n\n",
		&request{"PLAY", "*", map[string]string{"cseq": "2"}}, ""},
	{"folded and repeated", "SETUP u RTSP/1.0\r\nTransport: a;\r\n b\r\nTransport: c\r\n\r\n",
		&request{"SETUP", "u", map[string]string{"transport": "a; b, c"}}, ""},
	{"body", "SET_PARAMETER u RTSP/1.0\r\nContent-Length: 3\r\n\r\nabc",
		&request{"SET_PARAMETER", "u", map[string]string{"content-length": "3"}}, ""},
	{"nothing", "", nil, ""},
	{"cut off", "OPTIONS u RTSP/1.0\r\nCSeq: 1\r\n", nil, ""},
	{"body cut off", "OPTIONS u RTSP/1.0\r\nContent-Length: 9\r\n\r\nabc", nil, ""},
	{"two words", "OPTIONS u\r\n\r\n", nil, statusBadRequest},
	{"HTTP", "GET / HTTP/1.1\r\n\r\n", nil, statusVersion},
	{"a header without a name", "OPTIONS u RTSP/1.0\r\n: 1\r\n\r\n", nil, statusBadRequest},
	{"a header without a colon", "OPTIONS u RTSP/1.0\r\nCSeq\r\n\r\n", nil, statusBadRequest},
	{"a fold without a header", "OPTIONS u RTSP/1.0\r\n x\r\n\r\n", nil, statusBadRequest},
	{"a NUL", "OPTIONS u\x00 RTSP/1.0\r\n\r\n", nil, statusBadRequest},
	{"a length that is none", "OPTIONS u RTSP/1.0\r\nContent-Length: -3\r\n\r\n", nil, statusBadRequest},
	{"a large body", "OPTIONS u RTSP/1.0\r\nContent-Length: 262145\r\n\r\n", nil, statusTooLarge},
	{"a long line", "OPTIONS " + strings.Repeat("u", maxRequestLine) + " RTSP/1.0\r\n\r\n", nil, statusTooLarge},
	{"many headers", "OPTIONS u RTSP/1.0\r\n" + strings.Repeat("A: b\r\n", maxHeaders+1) + "\r\n", nil, statusTooLarge},
	{"large headers", "OPTIONS u RTSP/1.0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 4000)+"\r\n", 5) + "\r\n", nil, statusTooLarge},
}

func TestReadRequest(t *testing.T) {
	for _, c := range requests {
		r := bufio.NewReaderSize(strings.NewReader(c.b+"rest"), maxRequestLine)
		if c.want == nil {
			r = bufio.NewReaderSize(strings.NewReader(c.b), maxRequestLine)
		}
		got, err := readRequest(r)
		if c.want != nil {
			if err != nil || got.method != c.want.method || got.url != c.want.url || !maps.Equal(got.header, c.want.header) {
				t.Errorf("%s: %+v, %v", c.name, got, err)
			}
			if rest, _ := io.ReadAll(r); string(rest) != "rest" {
				t.Errorf("%s: %q is left", c.name, rest)
			}
			continue
		}
		var bad *requestError
		switch {
		case c.status == "" && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("%s: %v, want an unexpected end", c.name, err)
		case c.status != "" && (!errors.As(err, &bad) || bad.status != c.status):
			t.Errorf("%s: %v, want %s", c.name, err, c.status)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	for _, c := range requests {
		f.Add([]byte(c.b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := readRequest(bufio.NewReaderSize(bytes.NewReader(b), maxRequestLine))
		if err != nil {
			return
		}
		if len(req.header) > maxHeaders || req.method == "" {
			t.Fatalf("accepted %+v", req)
		}
		target(req.url)
		digestParams(req.header["authorization"])
		if answer := req.format(success()); bytes.Count(answer, []byte("\r\n\r\n")) != 1 {
			t.Fatalf("an answer of two parts: %q", answer)
		}
		if tr, ok := parseTransport(req.header["transport"], 0, func(transport) bool { return true }); ok && !tr.udp && (tr.rtp > 255 || tr.rtcp > 255) {
			t.Fatalf("channels %d-%d", tr.rtp, tr.rtcp)
		}
	})
}

func TestTarget(t *testing.T) {
	cases := []struct {
		url           string
		camera, track int
		ok            bool
	}{
		{"rtsp://127.0.0.1:554/cam1", 1, -1, true},
		{"rtsp://127.0.0.1:554/cam12/", 12, -1, true},
		{"rtsp://127.0.0.1:554/cam3/trackID=0", 3, 0, true},
		{"rtsp://[::1]:554/cam3/trackID=1", 3, 1, true},
		{"rtsp://h/cam3?profile=main/trackID=1", 3, 1, true},
		{"rtsp://h/cam3?profile=a/b", 3, -1, true},
		{"/cam3", 3, -1, true},
		{"rtsp://h/cam3/trackID=2", 0, 0, false},
		{"rtsp://h/cam3/other", 0, 0, false},
		{"rtsp://h/cam0", 0, -1, false},
		{"rtsp://h/cam-1", 0, -1, false},
		{"rtsp://h/camera", 0, -1, false},
		{"rtsp://h/", 0, -1, false},
		{"*", 0, -1, false},
	}
	for _, c := range cases {
		camera, track, ok := target(c.url)
		if ok != c.ok || ok && (camera != c.camera || track != c.track) {
			t.Errorf("%s: camera %d track %d %v", c.url, camera, track, ok)
		}
	}
}

func TestParseTransport(t *testing.T) {
	cases := []struct {
		header string
		want   transport
		ok     bool
	}{
		{"RTP/AVP/TCP;unicast;interleaved=0-1", transport{udp: false, rtp: 0, rtcp: 1}, true},
		{"RTP/AVP/TCP;unicast;interleaved=254-255", transport{udp: false, rtp: 254, rtcp: 255}, true},
		{"RTP/AVP/TCP;unicast;interleaved=4", transport{udp: false, rtp: 4, rtcp: 5}, true},
		{"RTP/AVP/TCP", transport{udp: false, rtp: 2, rtcp: 3}, true},
		{"RTP/AVP;unicast;client_port=5000-5001", transport{udp: true, rtp: 5000, rtcp: 5001}, true},
		{"RTP/AVP/UDP;unicast;client_port=5000;mode=\"PLAY\"", transport{udp: true, rtp: 5000, rtcp: 5001}, true},
		{"RTP/AVP;multicast;client_port=5000-5001, RTP/AVP/TCP;interleaved=6-7", transport{udp: true, multicast: true}, true},
		{"RTP/AVP/TCP;multicast", transport{}, false},
		{"RTP/SAVP;unicast;client_port=5000-5001", transport{}, false},
		{"RTP/AVP;unicast", transport{}, false},
		{"RTP/AVP;unicast;client_port=0-1", transport{}, false},
		{"RTP/AVP;unicast;client_port=65535", transport{}, false},
		{"RTP/AVP;unicast;client_port=5000-70000", transport{}, false},
		{"RTP/AVP/TCP;interleaved=255", transport{}, false},
		{"RTP/AVP/TCP;interleaved=1-1", transport{}, false},
		{"RTP/AVP/TCP;interleaved=a-b", transport{}, false},
		{"RTP/AVP/TCP;client_port=1-2", transport{}, false},
		{"RTP/AVP/TCP;mode=record", transport{}, false},
		{"", transport{}, false},
	}
	for _, c := range cases {
		got, ok := parseTransport(c.header, 2, func(transport) bool { return true })
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v %v", c.header, got, ok)
		}
	}
}
