package rtsp

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSetup(t *testing.T) {
	setup := func(headers ...string) func(p *peer, r *request) bool {
		return func(p *peer, r *request) bool { p.answer(r, 200, "", headers...); return true }
	}
	for _, tt := range []struct {
		name   string
		url    string
		camera func(c *camera)
		asked  []string // from SETUP on
		offers []string // channels of each SETUP
		rtp    []uint8  // channels in use
		id     string
		err    string
	}{
		{name: "a good camera", camera: func(c *camera) {}, asked: []string{"SETUP /live/trackID=0", "SETUP /live/trackID=1", "PLAY /live"},
			offers: []string{"0-1", "2-3"}, rtp: []uint8{0, 2}, id: "1234"},
		{name: "Transport without interleaved, Session with blanks", camera: func(c *camera) {
			c.on["SETUP"] = setup("Session:  abc ; timeout = 30 ", "Transport: RTP/AVP/TCP;unicast")
		}, offers: []string{"0-1", "2-3"}, rtp: []uint8{0, 2}, id: "abc"},
		{name: "no Transport at all, no Session", camera: func(c *camera) { c.on["SETUP"] = setup("X: y") }, rtp: []uint8{0, 2}},
		{name: "the camera chooses the channels; the last session id counts", camera: func(c *camera) {
			c.on["SETUP"] = func(p *peer, r *request) bool {
				n := string(rune('0' + c.count("SETUP")))
				p.answer(r, 200, "", "Session: s"+n, "Transport: RTP/AVP/TCP;ssrc= d6d6627;unicast; interleaved = "+n+"8-"+n+"9")
				return true
			}
		}, rtp: []uint8{18, 28}, id: "s2"},
		{name: "odd channels, and a single one", camera: func(c *camera) {
			c.on["SETUP"] = func(p *peer, r *request) bool {
				v := "interleaved=3-4"
				if strings.HasSuffix(r.uri, "1") {
					v = "interleaved=7"
				}
				p.answer(r, 200, "", "Session: s", "Transport: RTP/AVP/TCP;unicast;"+v)
				return true
			}
		}, rtp: []uint8{3, 7}, id: "s"},
		{name: "both tracks on one channel", camera: func(c *camera) { c.on["SETUP"] = setup("Transport: RTP/AVP/TCP;interleaved=0-1") }, err: "channel 0 to two tracks"},
		{name: "refused", camera: func(c *camera) {
			c.on["SETUP"] = func(p *peer, r *request) bool { p.answer(r, 461, ""); return true }
		}, err: "media 0: the camera does not take this transport: SETUP: 461"},
		{name: "refused for another reason", camera: func(c *camera) {
			c.on["SETUP"] = func(p *peer, r *request) bool { p.answer(r, 453, ""); return true }
		}, err: "media 0: SETUP: 453"},
		{name: "Dahua: the base ends in a query", url: "/cam/realmonitor?channel=1&subtype=1", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.answer(r, 200, c.sdp, "Content-Base: "+r.uri+"/")
				return true
			}
		}, asked: []string{"SETUP /cam/realmonitor?channel=1&subtype=1/trackID=0", "SETUP /cam/realmonitor?channel=1&subtype=1/trackID=1", "PLAY /cam/realmonitor?channel=1&subtype=1/"}, id: "1234"},
		{name: "or means it as RFC 3986 does", url: "/cam/live?x=1", camera: func(c *camera) {
			c.on["SETUP"] = func(p *peer, r *request) bool {
				if strings.Contains(r.uri, "?") {
					p.answer(r, 404, "")
					return true
				}
				return false
			}
		}, asked: []string{"SETUP /cam/live?x=1/trackID=0", "SETUP /cam/trackID=0", "SETUP /cam/live?x=1/trackID=1", "SETUP /cam/trackID=1", "PLAY /cam/live?x=1"}, id: "1234"},
		{name: "NAT: Content-Base with the inside address", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.answer(r, 200, c.sdp, "Content-Base: rtsp://10.0.0.9:554/stream0/")
				return true
			}
		}, asked: []string{"SETUP /stream0/trackID=0", "SETUP /stream0/trackID=1", "PLAY /stream0/"}, id: "1234"},
		{name: "Hikvision: absolute controls", camera: func(c *camera) {
			c.sdp = "a=control:rtsp://10.0.0.9/Streaming/?profile=1\n" + strings.ReplaceAll(c.sdp[strings.Index(c.sdp, "m="):], "a=control:", "a=control:rtsp://10.0.0.9:554/Streaming/?profile=1/")
		}, asked: []string{"SETUP /Streaming/?profile=1/trackID=0", "SETUP /Streaming/?profile=1/trackID=1", "PLAY /Streaming/?profile=1"}, id: "1234"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			tt.camera(c)
			url := tt.url
			if url == "" {
				url = "/live"
			}
			s, err := c.open(Options{URL: c.url(url)})
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.Medias() {
				if err = s.Setup(t.Context(), i); err != nil {
					break
				}
			}
			if err == nil {
				_, err = s.Play(t.Context())
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if asked := c.asked()[2:]; tt.asked != nil && !slices.Equal(asked, tt.asked) {
				t.Errorf("asked %q", asked)
			}
			var offers []string
			for _, r := range c.requests {
				if r.method == "SETUP" {
					_, o, _ := strings.Cut(r.get("Transport"), "interleaved=")
					offers = append(offers, o)
				}
			}
			if tt.offers != nil && !slices.Equal(offers, tt.offers) {
				t.Errorf("offered %q", offers)
			}
			for i, channel := range tt.rtp {
				if s.split.roles[channel] != rtpRole || s.channels[channel] != uint8(i) {
					t.Errorf("channel %d is not track %d", channel, i)
				}
			}
			if id := c.request("PLAY").get("Session"); id != tt.id {
				t.Errorf("session %q", id)
			}
		})
	}
}

func TestSetupRefusesByItself(t *testing.T) {
	c := newCamera(t)
	c.sdp = "m=video 0 RTP/AVP 26\nm=audio 0 RTP/AVP 0\na=sendonly\n"
	s, err := c.open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Play(t.Context()); err == nil {
		t.Error("PLAY without SETUP")
	}
	if err := s.Setup(t.Context(), 0); err != nil {
		t.Error(err)
	}
	for media, want := range map[int]string{-1: "no media", 2: "no media", 1: "back channel", 0: "already"} {
		if err := s.Setup(t.Context(), media); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("media %d: %v", media, err)
		}
	}
	if n := c.count("SETUP"); n != 1 {
		t.Errorf("%d SETUP", n)
	}
}

func TestPlayReturnsRTPInfo(t *testing.T) {
	c := newCamera(t)
	c.on["PLAY"] = func(p *peer, r *request) bool {
		p.answer(r, 200, "", "RTP-Info: url=trackID=1;seq=5;rtptime=99,url=rtsp://10.0.0.9/live/trackID=0;seq=7;rtptime=1234;")
		return true
	}
	s, _ := c.open(Options{})
	for i := range s.Medias() {
		if err := s.Setup(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	infos, err := s.Play(t.Context())
	if err != nil || !slices.Equal(infos, []RTPInfo{{true, 7, 1234}, {true, 5, 99}}) {
		t.Errorf("%v, %v", infos, err)
	}
}

// keepalives are sent as if their time had come, until the camera got enough.
func TestKeepalive(t *testing.T) {
	for _, tt := range []struct {
		name   string
		public string
		camera func(c *camera)
		want   []string // methods after PLAY
	}{
		{"GET_PARAMETER where it is listed", "OPTIONS, get_parameter", func(c *camera) {}, []string{"GET_PARAMETER", "GET_PARAMETER"}},
		{"else OPTIONS", "OPTIONS,DESCRIBE", func(c *camera) {}, []string{"OPTIONS", "OPTIONS"}},
		{"answers are not waited for", "GET_PARAMETER", func(c *camera) {
			c.on["GET_PARAMETER"] = func(p *peer, r *request) bool { return true }
		}, []string{"GET_PARAMETER", "GET_PARAMETER", "GET_PARAMETER"}},
		{"Hipcam does not know it", "GET_PARAMETER", func(c *camera) {
			c.on["GET_PARAMETER"] = func(p *peer, r *request) bool { p.answer(r, 501, "no, I don't"); return true }
		}, []string{"GET_PARAMETER", "OPTIONS", "OPTIONS"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			public := true
			c.on["OPTIONS"] = func(p *peer, r *request) bool {
				if public {
					public = false
					p.answer(r, 200, "", "Public: "+tt.public)
					return true
				}
				return false
			}
			tt.camera(c)
			s := c.play(Options{})
			if s.keepalive.period != longestKeepalive {
				t.Errorf("period %v", s.keepalive.period)
			}
			skip := len(c.asked())
			var got []string
			k := &sink{tick: func() error {
				if got = c.asked()[skip:]; len(got) >= len(tt.want) {
					return errEnough
				}
				if s.keepalive.pending == 0 || tt.name == "answers are not waited for" {
					s.keepalive.due = time.Time{}
				}
				return nil
			}}
			k.receive(t, s)
			for i, want := range tt.want {
				if method, uri, _ := strings.Cut(got[i], " "); method != want || uri != "/live" {
					t.Errorf("got %q", got)
				}
			}
			if id := c.request(tt.want[0]).get("Session"); id != "1234" {
				t.Errorf("session %q", id)
			}
			s.Close()
			if c.count("TEARDOWN") != 1 {
				t.Error("no TEARDOWN")
			}
		})
	}
}

func TestKeepaliveSignsAgain(t *testing.T) {
	c := newCamera(t)
	nonce := "n1"
	c.on["GET_PARAMETER"] = func(p *peer, r *request) bool { nonce = "n2"; return c.on["DESCRIBE"](p, r) }
	c.on["DESCRIBE"] = func(p *peer, r *request) bool {
		if strings.Contains(r.get("Authorization"), nonce) {
			return false
		}
		p.answer(r, 401, "", `WWW-Authenticate: Digest realm="cam", nonce="`+nonce+`"`)
		return true
	}
	s := c.play(Options{Username: "admin", Password: "x"})
	s.keepalive.due = time.Time{}
	k := &sink{tick: func() error {
		if c.count("GET_PARAMETER") == 2 {
			return errEnough
		}
		return nil
	}}
	k.receive(t, s)
	if a := c.request("GET_PARAMETER").get("Authorization"); !strings.Contains(a, `nonce="n2"`) {
		t.Errorf("signed %s", a)
	}
}

// A camera that never reads must not stop the stream: what can't be sent is dropped.
func TestPostNeverWaits(t *testing.T) {
	client, server := net.Pipe() // takes nothing until it is read
	defer client.Close()
	defer server.Close()
	s := &Session{conn: client}
	if sent, err := s.post([]byte("lost")); sent || err != nil {
		t.Errorf("%v, %v", sent, err)
	}
	// Half of the next one is taken; the rest goes before the one after it.
	got := make(chan string)
	go func() {
		b := make([]byte, 4)
		n, _ := server.Read(b)
		got <- string(b[:n])
		rest, _ := io.ReadAll(server)
		got <- string(rest)
	}()
	for { // until the reader is there
		sent, err := s.post([]byte("halfhalf"))
		if err != nil {
			t.Fatal(err)
		}
		if sent {
			t.Fatal("all was taken, though the reader waits after the first half")
		}
		if len(s.unsent) > 0 {
			break
		}
	}
	if h := <-got; h != "half" || string(s.unsent) != "half" {
		t.Fatalf("taken %q, left %q", h, s.unsent)
	}
	for sent := false; !sent; {
		var err error
		if sent, err = s.post([]byte("next")); err != nil {
			t.Fatal(err)
		}
	}
	client.Close()
	if rest := <-got; rest == "half" || strings.ReplaceAll(rest, "next", "") != "half" || !strings.HasPrefix(rest, "half") {
		t.Errorf("then %q", rest)
	}
}
