package rtsp

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func closing(p *peer, _ *request) bool { p.Close(); return true }

// locked answers 401 with challenge until a request is signed.
func locked(challenge ...string) func(p *peer, r *request) bool {
	return func(p *peer, r *request) bool {
		if r.get("Authorization") != "" {
			return false
		}
		p.answer(r, 401, "", challenge...)
		return true
	}
}

const digest = `WWW-Authenticate: Digest realm="cam", nonce="n1"`

func TestOpen(t *testing.T) {
	user := Options{Username: "admin", Password: "hunter2"}
	for _, tt := range []struct {
		name   string
		o      Options
		camera func(c *camera)
		asked  []string // of the camera
		err    string
		is     error
		code   int // of the StatusError
	}{
		{name: "a good camera", camera: func(c *camera) {}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}},
		{name: "OPTIONS is refused", camera: func(c *camera) {
			c.on["OPTIONS"] = func(p *peer, r *request) bool { p.answer(r, 405, ""); return true }
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}},
		{name: "it hangs up on OPTIONS", camera: func(c *camera) { c.on["OPTIONS"] = closing }, asked: []string{"OPTIONS /live", "DESCRIBE /live"}},
		{name: "it hangs up after OPTIONS", camera: func(c *camera) {
			c.on["OPTIONS"] = func(p *peer, r *request) bool { p.answer(r, 405, ""); p.Close(); return true }
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}},
		{name: "it does not answer OPTIONS", o: Options{ResponseTimeout: 50 * time.Millisecond}, camera: func(c *camera) {
			c.on["OPTIONS"] = func(p *peer, r *request) bool { return true }
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}},
		{name: "OPTIONS wants a password", o: user, camera: func(c *camera) {
			c.on["OPTIONS"], c.on["DESCRIBE"] = locked(digest), locked(digest)
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "OPTIONS /live"}},
		{name: "LF, blanks, CSeq of its own, folded and broken lines, junk before", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.send("\r\n\r\nRTSP/1.0  200  OK \nCSeq: 1 \nno colon here\nContent-Type : application/sdp  \nX: a\n  b\ncontent-length: 41 \n\nm=video 0 RTP/AVP 26\na=control:track0 \n\n\x00")
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}},
		{name: "RTP before anything, and requests of its own", camera: func(c *camera) {
			c.begin = func(p *peer) { p.send(videos(1, 3, 9)) }
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.send(videos(4, 5, 9), "SET_PARAMETER rtsp://x RTSP/1.0\r\nCSeq: 77\r\nContent-Length: 2\r\n\r\nhi", "TEARDOWN rtsp://x RTSP/1.0\r\nCSeq: 78\r\n\r\n", videos(6, 6, 9))
				if m, _ := p.br.ReadString('\n'); m != "RTSP/1.0 200 OK\r\n" {
					c.t.Errorf("our answer: %q", m)
				}
				if m, _ := p.br.ReadString('\n'); m != "CSeq: 77\r\n" {
					c.t.Errorf("our answer: %q", m)
				}
				p.br.ReadString('\n')
				return false
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}},
		{name: "not found", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.send("RTSP/1.0 404 Stream Not\x1b[31m Found\r\nCSeq: 2\r\n\r\n")
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "DESCRIBE: 404 Stream Not?[31m Found", code: 404},
		{name: "nothing usable in the SDP", camera: func(c *camera) { c.sdp = "v=0\r\nm=vana 0 RTP/AVP 96\r\n" },
			asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "no usable media", is: ErrNoMedia},
		{name: "a password is needed and there is none", camera: func(c *camera) { c.on["DESCRIBE"] = locked(digest) },
			asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "none is configured", is: ErrUnauthorized, code: 401},
		{name: "Hikvision: Basic and Digest", o: user, camera: func(c *camera) { c.on["DESCRIBE"] = locked(`WWW-Authenticate: Basic realm="x"`, digest) },
			asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live"}},
		{name: "Basic alone", o: user, camera: func(c *camera) { c.on["DESCRIBE"] = locked(`WWW-Authenticate: Basic realm="x"`) },
			asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live"}},
		{name: "a wrong password is tried once", o: user, camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool { p.answer(r, 401, "", digest); return true }
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live"}, err: "wrong user or password", is: ErrUnauthorized, code: 401},
		{name: "a wrong password for Basic too", o: user, camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.answer(r, 401, "", `WWW-Authenticate: Basic realm="x"`)
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live"}, err: "wrong user or password", is: ErrUnauthorized, code: 401},
		{name: "a stale nonce is no wrong password", o: user, camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				switch c.count("DESCRIBE") {
				case 1:
					p.answer(r, 401, "", digest)
				case 2:
					p.answer(r, 401, "", `WWW-Authenticate: Digest realm="cam", nonce="n2", stale=true`)
				default:
					return false
				}
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live", "DESCRIBE /live"}},
		{name: "it says stale for ever", o: user, camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool { p.answer(r, 401, "", digest+", stale=true"); return true }
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live", "DESCRIBE /live"}, err: "again and again", is: ErrUnauthorized, code: 401},
		{name: "VStarcam hangs up with each 401", o: user, camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				if r.get("Authorization") != "" {
					return false
				}
				p.answer(r, 401, "", digest)
				p.Close()
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live"}},
		{name: "and a nonce is good for its connection only", o: user, camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				if a := r.get("Authorization"); strings.Contains(a, `nonce="n1"`) && p.n > 0 || a == "" {
					nonce := string(rune('1' + p.n))
					p.answer(r, 401, "", `WWW-Authenticate: Digest realm="cam", nonce="n`+nonce+`"`)
					if p.n == 0 {
						p.Close()
					}
					return true
				}
				return false
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live", "DESCRIBE /live"}},
		{name: "Basic after Digest is a downgrade", o: user, camera: func(c *camera) {
			c.on["OPTIONS"] = locked(digest)
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.answer(r, 401, "", `WWW-Authenticate: Basic realm="x"`)
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "downgrade", is: ErrUnauthorized, code: 401},
		{name: "it hangs up at once", camera: func(c *camera) { c.begin = func(p *peer) { p.Close() } }, err: "closed the connection"},
		{name: "redirect to another path", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				if strings.HasSuffix(r.uri, "/other") {
					return false
				}
				p.answer(r, 302, "", "Location: rtsp://a:b@"+c.ln.Addr().String()+"/other")
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /other"}},
		{name: "redirect to itself", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.answer(r, 302, "", "Location: "+c.url("/live"))
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "redirect to itself", code: 302},
		{name: "redirects without end", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.answer(r, 302, "", "Location: "+r.uri+"x")
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /livex", "DESCRIBE /livexx", "DESCRIBE /livexxx"}, err: "more than 3 redirects", code: 302},
		{name: "redirect to another host", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.answer(r, 302, "", "Location: rtsp://192.0.2.1/live")
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "another host (192.0.2.1:554) refused"},
		{name: "redirect to nowhere", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool { p.answer(r, 302, ""); return true }
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "without a Location"},
		{name: "no answer", o: Options{ResponseTimeout: 50 * time.Millisecond}, camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool { p.send("RTSP/1.0 200 OK\r\nContent-Le"); return true }
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "DESCRIBE: no answer within 50ms"},
		{name: "too many headers", camera: func(c *camera) {
			c.on["DESCRIBE"] = func(p *peer, r *request) bool {
				p.send("RTSP/1.0 200 OK\r\n", strings.Repeat("A: b\r\n", maxHeaders+1))
				return true
			}
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live"}, err: "header lines of a message: over the limit of 64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			tt.camera(c)
			_, err := c.open(tt.o)
			if asked := c.asked(); tt.asked != nil && !slices.Equal(asked, tt.asked) {
				t.Errorf("asked %q", asked)
			}
			if tt.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("got %v, want %q", err, tt.err)
			}
			if !strings.HasPrefix(err.Error(), c.ln.Addr().String()+": ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			var status *StatusError
			if errors.As(err, &status); tt.code != 0 && (status == nil || status.Code != tt.code || status.Method != "DESCRIBE") {
				t.Errorf("status %+v", status)
			}
		})
	}
}

func TestDigestURIIsTheRequestLine(t *testing.T) {
	c := newCamera(t)
	for _, m := range []string{"OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"} {
		c.on[m] = func(p *peer, r *request) bool {
			a := r.get("Authorization")
			if a == "" {
				p.answer(r, 401, "", digest)
				return true
			}
			want := md5Hex(md5Hex("admin:cam:pass") + ":n1:" + md5Hex(r.method+":"+r.uri))
			if q := params(a); q["uri"] != r.uri || q["response"] != want {
				t.Errorf("%s: %s", r, a)
			}
			return false
		}
	}
	s := c.play(Options{URL: c.url("/cam/realmonitor?channel=1&subtype=0"), Username: "admin", Password: "pass"})
	s.Close()
	if n := c.count("TEARDOWN"); n != 1 {
		t.Errorf("%d TEARDOWN", n)
	}
}

func TestOpenOptions(t *testing.T) {
	for _, tt := range []struct {
		o   Options
		err string
	}{
		{Options{URL: "rtsp://c/", Transport: "udp"}, `transport "udp" is not supported (auto, tcp)`},
		{Options{URL: "rtsp://admin:secret@c/"}, "user and password"},
		{Options{URL: "rtsp://admin:sec/ret@c/"}, "port is not a number"},
		{Options{URL: "rtsp://c/a#b"}, "%23"},
		{Options{URL: "rtsp://c/a b"}, "blanks or control"},
		{Options{URL: "rtsps://c/"}, "scheme is not supported"},
		{Options{URL: "c:554/live"}, "no scheme"},
		{Options{URL: "rtsp:///live"}, "no host"},
		{Options{URL: "rtsp://c/", Username: "a\r\nX: y"}, "control characters"},
	} {
		_, err := Open(t.Context(), tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "sec") {
			t.Errorf("%+v: %v", tt.o, err)
		}
	}
}

func TestOpenUsesDial(t *testing.T) {
	c := newCamera(t)
	var dialled []string
	_, err := c.open(Options{URL: "rtsp://camera.example/live", Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = append(dialled, network+" "+addr)
		return new(net.Dialer).DialContext(ctx, network, c.ln.Addr().String())
	}})
	if err != nil || !slices.Equal(dialled, []string{"tcp camera.example:554"}) {
		t.Errorf("%q, %v", dialled, err)
	}
	refused := errors.New("refused by policy")
	_, err = c.open(Options{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

func TestOpenEndsWithContext(t *testing.T) {
	c := newCamera(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.on["DESCRIBE"] = func(p *peer, r *request) bool { cancel(); return true }
	if _, err := Open(ctx, Options{URL: c.url("/live")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

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
		{name: "UDP", camera: func(c *camera) {
			c.on["SETUP"] = setup("Transport: RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001")
		}, err: "asked for TCP"},
		{name: "refused", camera: func(c *camera) {
			c.on["SETUP"] = func(p *peer, r *request) bool { p.answer(r, 461, ""); return true }
		}, err: "media 0: SETUP: 461"},
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
			t.Skip("the reader was too quick")
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
