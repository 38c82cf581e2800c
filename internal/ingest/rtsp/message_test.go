package rtsp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var messageCases = []struct {
	name string
	raw  string
	want string // see text; "" when more is needed
	err  string
}{
	{name: "answer", raw: "RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n$", want: "200 OK [CSeq=2] ''"},
	{name: "body", raw: "RTSP/1.0 404 Not Found\r\nContent-Length: 3\r\n\r\nabcd", want: "404 Not Found [Content-Length=3] 'abc'"},
	{name: "body to come", raw: "RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nab"},
	{name: "headers to come", raw: "RTSP/1.0 200 OK\r\nCont"},
	{name: "LF, no reason, blanks", raw: "RTSP/1.0  200\nCSeq :  2 \t\nSession:a;timeout=60 \n\n", want: "200  [CSeq=2 Session=a;timeout=60] ''"},
	{name: "folded, and without a colon", raw: "RTSP/1.0 200 OK\r\n lost\r\nA: b\r\n\tc\r\nrubbish\r\n\r\n", want: "200 OK [A=b c] ''"},
	{name: "lengths that are none", raw: "RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", want: "200 OK [Content-Length=-1] ''"},
	{name: "request", raw: "ANNOUNCE rtsp://c/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", want: "ANNOUNCE [CSeq=1] ''"},
	{name: "a code that is none", raw: "RTSP/1.0 OK\r\n\r\n", err: "not an RTSP message"},
	{name: "not a request", raw: "PLAY it again\r\n\r\n", err: "not an RTSP message"},
	{name: "the longest line", raw: "RTSP/1.0 200 OK\r\n" + long("A: ", maxLineBytes-1) + "\r\n\r\n", want: "200 OK [" + long("A=", maxLineBytes-2) + "] ''"},
	{name: "a line too long", raw: "RTSP/1.0 200 OK\r\n" + long("A: ", maxLineBytes+1) + "\r\n\r\n", err: "header line: over the limit of 4096"},
	{name: "a line too long, unfinished", raw: "RTSP/1.0 200 OK\r\n" + long("A: ", maxLineBytes+1), err: "header line: over the limit of 4096"},
	{name: "as many headers as may be", raw: "RTSP/1.0 200 OK\r\n" + strings.Repeat("A:\r\n", maxHeaders) + "\r\n", want: "200 OK [" + strings.TrimSpace(strings.Repeat("A= ", maxHeaders)) + "] ''"},
	{name: "too many headers", raw: "RTSP/1.0 200 OK\r\n" + strings.Repeat("A:\r\n", maxHeaders+1), err: "header lines of a message: over the limit of 64"},
	{name: "headers too long", raw: "RTSP/1.0 200 OK\r\n" + strings.Repeat(long("A: ", 4000)+"\r\n", 5), err: "message headers: over the limit of 16384"},
	{name: "the longest body, to come", raw: "RTSP/1.0 200 OK\r\nContent-Length: 262144\r\n\r\n"},
	{name: "a body too long", raw: "RTSP/1.0 200 OK\r\nContent-Length: 262145\r\n\r\n", err: "message body: over the limit of 262144"},
}

func long(prefix string, n int) string { return prefix + strings.Repeat("x", n-len(prefix)) }

// text is a message in one line.
func (m *message) text() string {
	if m == nil {
		return ""
	}
	var h []string
	for _, e := range m.headers {
		h = append(h, e.name+"="+e.value)
	}
	first := m.method
	if m.code != 0 {
		first = fmt.Sprintf("%d %s", m.code, m.reason)
	}
	return fmt.Sprintf("%s [%s] '%s'", first, strings.Join(h, " "), m.body)
}

func TestParseMessage(t *testing.T) {
	for _, tt := range messageCases {
		m, n, err := parseMessage([]byte(tt.raw))
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", tt.name, err)
			}
		case err != nil || m.text() != tt.want || (m == nil) != (n == 0):
			t.Errorf("%s: %s, %d, %v", tt.name, m.text(), n, err)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, tt := range messageCases {
		f.Add([]byte(tt.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, n, err := parseMessage(raw)
		switch {
		case n < 0 || n > len(raw) || (m == nil) != (n == 0) || m != nil && err != nil:
			t.Fatalf("%v, %d, %v", m, n, err)
		case m == nil:
			return
		case len(m.headers) > maxHeaders || len(m.body) > maxBodyBytes || n > maxHeaderBytes+maxBodyBytes:
			t.Fatalf("over a limit: %d headers, %d bytes", len(m.headers), n)
		}
		// The headers' readers take what they get.
		parseSession(m.get("Session"))
		parseTransport(m.get("Transport"))
		if infos := parseRTPInfo(m.get("RTP-Info"), []string{"a", "b"}); len(infos) != 2 {
			t.Fatalf("%d infos", len(infos))
		}
		parsePublic(m.all("Public"))
	})
}

func TestParseSession(t *testing.T) {
	for in, want := range map[string]string{
		"1234": "1234 0s", " 1234 ; timeout=60 ": "1234 1m0s", "a;Timeout = 30;x": "a 30s", "a;timeout=0": "a 0s", "a;timeout=99999999": "a 0s", "a;timeout=x": "a 0s", "": " 0s",
	} {
		id, timeout := parseSession(in)
		if got := fmt.Sprint(id, " ", timeout); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
	for timeout, want := range map[time.Duration]time.Duration{0: 25 * time.Second, 60 * time.Second: 25 * time.Second, 30 * time.Second: 15 * time.Second, time.Second: time.Second} {
		if got := keepalivePeriod(timeout); got != want {
			t.Errorf("timeout %v: period %v", timeout, got)
		}
	}
}

func TestParseTransport(t *testing.T) {
	for in, want := range map[string]transportAnswer{
		"RTP/AVP/TCP;unicast;interleaved=0-1":                                         {interleaved: true, channels: [2]uint8{0, 1}},
		"RTP/AVP/TCP;unicast; ssrc= d6d6627 ;Interleaved= 8 - 9":                      {interleaved: true, channels: [2]uint8{8, 9}, ssrc: 0xd6d6627, hasSSRC: true},
		"RTP/AVP/TCP;interleaved=5":                                                   {interleaved: true, channels: [2]uint8{5, 6}},
		"RTP/AVP/TCP;interleaved=5-5":                                                 {interleaved: true, channels: [2]uint8{5, 6}},
		"RTP/AVP/TCP;interleaved=255-256":                                             {},
		"RTP/AVP/TCP;interleaved=x":                                                   {},
		"RTP/AVP;unicast;client_port=1-2;server_port=3-4;ssrc=0xDEADBEEF":             {datagrams: true, ssrc: 0xdeadbeef, hasSSRC: true, serverPorts: [2]uint16{3, 4}},
		"RTP/AVP/UDP;unicast;server_port= 6000":                                       {datagrams: true, serverPorts: [2]uint16{6000, 6001}},
		"RTP/AVP;server_port=0-1":                                                     {datagrams: true},
		"RTP/AVP;server_port=65535":                                                   {datagrams: true, serverPorts: [2]uint16{65535, 0}},
		"RTP/AVP;server_port=65536-65537":                                             {datagrams: true},
		"RTP/AVP;multicast;destination=239.1.2.3;port=5000-5001;ttl=16":               {datagrams: true, multicast: true, destination: netip.MustParseAddr("239.1.2.3"), groupPorts: [2]uint16{5000, 5001}, ttl: 16},
		"RTP/AVP;multicast;destination=[ff15::1];port=5000;ttl=256":                   {datagrams: true, multicast: true, destination: netip.MustParseAddr("ff15::1"), groupPorts: [2]uint16{5000, 5001}},
		"RTP/AVP;multicast;destination=cam.example":                                   {multicast: true},
		"RTP/AVP/TCP;unicast;client_port=1-2":                                         {},
		"RTP/AVP/TCP;interleaved=0-1;ssrc=123456789a,RTP/AVP;unicast;client_port=1-2": {interleaved: true, channels: [2]uint8{0, 1}},
		"": {},
	} {
		if got := parseTransport(in); got != want {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

func TestParseRTPInfo(t *testing.T) {
	tracks := []string{"rtsp://c/live/trackID=0", "rtsp://c/live/trackID=1"}
	for in, want := range map[string][]RTPInfo{
		"": {{}, {}},
		"url=rtsp://c/live/trackID=0;seq=1;rtptime=2,url=rtsp://c/live/trackID=1;seq=3;rtptime=4": {{true, 1, 2}, {true, 3, 4}},
		"url=rtsp://10.0.0.9/x/trackID=1; seq=3; rtptime=4;":                                      {{}, {true, 3, 4}},
		"seq=1;rtptime=2,seq=3;rtptime=4":                                                         {{true, 1, 2}, {true, 3, 4}},
		"url=a;seq=0;rtptime=0, url=b;seq=5;rtptime=-1":                                           {{}, {}},
		`url="rtsp://c/live/trackID=1,2;x";seq=7;rtptime=8`:                                       {{true, 7, 8}, {}},
		"seq=1;rtptime=2,seq=1;rtptime=2,seq=1;rtptime=2":                                         {{true, 1, 2}, {true, 1, 2}},
	} {
		if got := parseRTPInfo(in, tracks); !slices.Equal(got, want) {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"Not Found": "Not Found", "a\x1b[31m\x00\n\u202e\u0085b": "a?[31m????b", "caf\u00e9 \xff": "café ?", strings.Repeat("é", 200): strings.Repeat("é", 128),
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	err := fmt.Errorf("x: %w", &StatusError{"PLAY", 455, ""})
	var status *StatusError
	if !errors.As(err, &status) || err.Error() != "x: PLAY: 455" {
		t.Errorf("%v", err)
	}
}
