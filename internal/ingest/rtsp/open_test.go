package rtsp

import (
	"context"
	"errors"
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
		}, asked: []string{"OPTIONS /live", "DESCRIBE /live", "DESCRIBE /live", "DESCRIBE /live"}, err: "wrong user or password", is: ErrUnauthorized, code: 401},
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
		{Options{URL: "rtsp://c/", Transport: "sctp"}, `there is no transport "sctp" (auto, tcp, udp, multicast, http)`},
		{Options{URL: "rtsps://c/", Transport: TransportUDP}, "unencrypted"},
		{Options{URL: "rtsps://c/", Transport: TransportMulticast}, "unencrypted"},
		{Options{URL: "rtsp://admin:secret@c/"}, "user and password"},
		{Options{URL: "rtsp://admin:sec/ret@c/"}, "port is not a number"},
		{Options{URL: "rtsp://c/a#b"}, "%23"},
		{Options{URL: "rtsp://c/a b"}, "blanks or control"},
		{Options{URL: "rtspu://c/"}, "scheme is not supported"},
		{Options{URL: "rtsp://[fe80::1%eth0]/"}, "zone is not understood"},
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

// A name that means another machine in the middle of a session changes nothing:
// it is looked up once.
func TestNameIsLookedUpOnce(t *testing.T) {
	c := newCamera(t)
	_, port, _ := net.SplitHostPort(c.ln.Addr().String())
	c.on["DESCRIBE"] = func(p *peer, r *request) bool {
		if p.n == 0 {
			p.answer(r, 302, "", "Location: rtsp://camera.test:"+port+"/other")
			return true
		}
		return false
	}
	var dialled []string
	s, err := c.open(Options{URL: "rtsp://camera.test:" + port + "/live", Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = append(dialled, addr)
		return new(net.Dialer).DialContext(ctx, network, c.ln.Addr().String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"camera.test:" + port, c.ln.Addr().String()}; !slices.Equal(dialled, want) {
		t.Errorf("dialled %q, want %q", dialled, want)
	}
	if len(s.Medias()) != 2 {
		t.Errorf("%d media", len(s.Medias()))
	}
}
