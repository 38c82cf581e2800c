package onvif

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nvr/internal/simulate/device"
)

const (
	user     = "admin"
	password = "se<cret>&'\" ü"
)

func TestDevice(t *testing.T) {
	s := serve(t, ordinary())
	d, err := open(t, s, "", "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := d.Information(t.Context())
	if want := (Information{"Acme", "AC-1", "1.2", "77", "1.0"}); err != nil || info != want {
		t.Errorf("%+v %v", info, err)
	}
	if reference, probed := d.Endpoint(t.Context()); reference != "urn:uuid:"+testUUID || !probed {
		t.Errorf("endpoint %q, probed %t", reference, probed)
	}
	if ahead, known := d.Clock(); !known || ahead.Abs() > 2*time.Second {
		t.Errorf("clock %v %t", ahead, known)
	}
	all, err := d.Profiles(t.Context())
	want := []Profile{
		{Token: "sub", Name: "subStream", Source: "src", Codec: "h264", Width: 640, Height: 360, FPS: 15, Kbps: 512, GOP: 30, Media2: true},
		{Token: "main", Name: "mainStream", Source: "src", Codec: "h264", Width: 1920, Height: 1080, FPS: 25, Kbps: 4096, GOP: 50, Audio: "aac", Media2: true},
		{Token: "big", Name: "mainH265", Source: "src", Codec: "h265", Width: 2560, Height: 1440, FPS: 25, Kbps: 6144, GOP: 100, Media2: true},
		{Token: "jpeg", Name: "photos", Source: "src", Codec: "jpeg", Width: 4000, Height: 3000, FPS: 1, Kbps: 8000, Media2: true},
	}
	if diff := cmp.Diff(want, all); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if uri, err := d.StreamURI(t.Context(), all[1]); err != nil || uri != "rtsp://127.0.0.1:554/main?a=1&b=2" {
		t.Errorf("%q %v", uri, err)
	}
	if _, err := d.StreamURI(t.Context(), Profile{Token: "<none>", Name: "x", Media2: true}); err == nil || !strings.Contains(err.Error(), "127.0.0.1") ||
		!strings.Contains(err.Error(), `profile "x": GetStreamUri: fault Sender/NoProfile: The requested profile token does not exist`) {
		t.Errorf("a profile that is not there: %v", err)
	}
	if len(d.Notes()) > 0 {
		t.Errorf("notes about an ordinary camera: %q", d.Notes())
	}
	if asked, signed, _ := s.Counts(); signed != 0 || asked == 0 {
		t.Errorf("%d of %d requests were signed, and nobody asked", signed, asked)
	}
}

// TestMedia: the same without Media2, where there is no H.265; without GetServices; with a Media2 that fails.
func TestMedia(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*device.Camera)
		note   string
	}{
		"no Media2":   {func(c *device.Camera) { c.NoMedia2 = true }, ""},
		"no services": {func(c *device.Camera) { c.NoServices, c.NoMedia2 = true, true }, "asked for capabilities"},
		"bad Media2": {func(c *device.Camera) {
			c.Answer = func(w http.ResponseWriter, r *http.Request, action string) bool {
				return strings.HasSuffix(r.URL.Path, "media2_service") && raw(500, "oops")(w, r, action)
			}
		}, "Media2 service is of no use (GetProfiles: HTTP status 500 Internal Server Error)"},
		"empty Media2": {func(c *device.Camera) {
			c.Answer = func(w http.ResponseWriter, r *http.Request, action string) bool {
				return strings.HasSuffix(r.URL.Path, "media2_service") && raw(200, `<Envelope><Body><GetProfilesResponse/></Body></Envelope>`)(w, r, action)
			}
		}, "Media2 service is of no use (no profiles)"},
	} {
		t.Run(name, func(t *testing.T) {
			camera := ordinary()
			c.change(&camera)
			d, err := open(t, serve(t, camera), "", "")
			if err != nil {
				t.Fatal(err)
			}
			all, err := d.Profiles(t.Context())
			if err != nil || len(all) != 3 || all[1].Media2 {
				t.Fatalf("%v %v", all, err)
			}
			p, _, err := Choose(all, "")
			if err != nil || p.Token != "main" || p.GOP != 50 || p.Audio != "aac" {
				t.Errorf("%+v %v", p, err)
			}
			if uri, err := d.StreamURI(t.Context(), p); err != nil || uri != "rtsp://127.0.0.1:554/main?a=1&b=2" {
				t.Errorf("%q %v", uri, err)
			}
			if notes := strings.Join(d.Notes(), "\n"); c.note == "" && notes != "" || !strings.Contains(notes, c.note) {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

// TestAuth: whatever the camera wants and whatever its clock says.
func TestAuth(t *testing.T) {
	for _, auth := range []device.Auth{device.AuthToken, device.AuthDigest, device.AuthBoth} {
		for _, ahead := range []time.Duration{0, time.Hour, -time.Hour, -20 * 365 * 24 * time.Hour} {
			for _, locked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %v locked=%t", auth, ahead, locked), func(t *testing.T) {
					c := ordinary()
					c.Auth, c.User, c.Password, c.ClockAhead, c.LockedClock = auth, user, password, ahead, locked
					s := serve(t, c)
					d, err := open(t, s, user, password)
					if err != nil {
						t.Fatal(err)
					}
					all, err := d.Profiles(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if _, err := d.StreamURI(t.Context(), all[0]); err != nil {
						t.Fatal(err)
					}
					if got, known := d.Clock(); !known || (got-ahead).Abs() > 2*time.Second {
						t.Errorf("clock %v, want %v", got, ahead)
					}
					if _, _, refused := s.Counts(); refused > 2 {
						t.Errorf("refused %d times: the camera's wish is to be remembered", refused)
					}
				})
			}
		}
	}
}

// TestOneTimeNonces: a camera that wants a new nonce for each request is no trouble.
func TestOneTimeNonces(t *testing.T) {
	c := ordinary()
	c.Auth, c.User, c.Password, c.OneTimeNonces = device.AuthDigest, user, password, true
	d, err := open(t, serve(t, c), user, password)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := d.Profiles(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestToken: the example of ONVIF's Application Programmer's Guide.
func TestToken(t *testing.T) {
	nonce, err := base64.StdEncoding.DecodeString("LKqI6G/AikKCQrN0zqZFlg==")
	if err != nil {
		t.Fatal(err)
	}
	token := usernameToken("user", "userpassword", nonce, time.Date(2010, 9, 16, 9, 50, 45, 999, time.FixedZone("", 7200)))
	for _, want := range []string{">tuOSpGlFlIXsozq4HFNeeGeFLEI=<", ">2010-09-16T07:50:45Z<", ">LKqI6G/AikKCQrN0zqZFlg==<", ">user<", "#PasswordDigest"} {
		if !strings.Contains(token, want) {
			t.Errorf("%s is not in %s", want, token)
		}
	}
	if strings.Contains(token, "userpassword") {
		t.Error("the password is in it")
	}
}

// TestWrongPassword: one try, a clear word, and nothing of the password.
func TestWrongPassword(t *testing.T) {
	for _, c := range []struct {
		auth           device.Auth
		user, password string
		want           string
		signed         int64 // requests with credentials
	}{
		{device.AuthToken, user, "wrong-password", "wrong user or password (fault Sender/NotAuthorized: Sender not Authorized)", 1},
		{device.AuthDigest, user, "wrong-password", "wrong user or password (HTTP status 401 Unauthorized)", 1},
		{device.AuthBoth, user, "wrong-password", "wrong user or password", 1},
		{device.AuthDigest, "", "", "it asks for user and password, and there are none", 0},
		{device.AuthToken, "", "", "it asks for user and password, and there are none", 0},
		{device.AuthBasic, user, password, "HTTP Basic, which shows the password to the network and is never sent", 1},
	} {
		t.Run(fmt.Sprintf("%s %s", c.auth, c.password), func(t *testing.T) {
			camera := ordinary()
			camera.Auth, camera.User, camera.Password = c.auth, user, password
			s := serve(t, camera)
			_, err := open(t, s, c.user, c.password)
			if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "GetServices: ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "wrong-password") {
				t.Errorf("%v", err)
			}
			if _, signed, _ := s.Counts(); signed != c.signed {
				t.Errorf("%d requests with credentials, want %d: cameras lock accounts", signed, c.signed)
			}
		})
	}
}

// TestNotAllowed: a user who may ask some things goes on after one that is refused.
func TestNotAllowed(t *testing.T) {
	c := ordinary()
	c.Auth, c.User, c.Password = device.AuthToken, user, password
	c.Answer = func(w http.ResponseWriter, r *http.Request, action string) bool {
		return action == "GetDeviceInformation" && raw(400, `<Envelope><Body><Fault><Code><Value>Sender</Value><Subcode><Value>ter:NotAuthorized</Value></Subcode></Code></Fault></Body></Envelope>`)(w, r, action)
	}
	d, err := open(t, serve(t, c), user, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Information(t.Context()); !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "this user may not ask that") {
		t.Errorf("%v", err)
	}
	if _, err := d.Profiles(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOtherHosts: whatever addresses the camera gives, the one that was asked is asked.
func TestOtherHosts(t *testing.T) {
	for _, host := range []string{"10.9.8.7", "0.0.0.0:80", "169.254.169.254", "[fe80::1]:8080", "camera.invalid:81", "127.0.0.2"} {
		t.Run(host, func(t *testing.T) {
			c := ordinary()
			c.XAddrHost, c.Auth, c.User, c.Password = host, device.AuthToken, user, password
			for i := range c.Profiles {
				c.Profiles[i].URI = "rtsp://evil:pass@" + strings.TrimSuffix(host, ":80") + "/stream#1"
			}
			s := serve(t, c)
			var dialled []string
			d, err := Open(t.Context(), Options{URL: s.URL(1), Username: user, Password: password, Discovery: s.Addr().Port(),
				Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					dialled = append(dialled, addr)
					return new(net.Dialer).DialContext(ctx, network, addr)
				}})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			all, err := d.Profiles(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			uri, err := d.StreamURI(t.Context(), all[0])
			if err != nil || !strings.HasPrefix(uri, "rtsp://127.0.0.1") || !strings.HasSuffix(uri, "/stream%231") || strings.Contains(uri, "pass") {
				t.Errorf("%q %v", uri, err)
			}
			for _, a := range dialled {
				if a != s.Addr().String() {
					t.Errorf("dialled %s", a)
				}
			}
			if notes := strings.Join(d.Notes(), "\n"); !strings.Contains(notes, "another address for its services") || !strings.Contains(notes, "another address for its streams") || !strings.Contains(notes, "user and password into") {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

// TestRedirects: inside the host they are followed, to others they are not.
func TestRedirects(t *testing.T) {
	var stolen []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		stolen = append(stolen, r.Header.Get("Authorization")+string(b))
	}))
	defer thief.Close()
	elsewhere := strings.Replace(thief.URL, "127.0.0.1", "localhost", 1) // the same machine by a name that is not the camera's
	for name, c := range map[string]struct {
		location func(s *device.Server) string
		status   int
		from     string // path that is redirected
		want     string // of the error; empty: it works
	}{
		"another path":  {func(*device.Server) string { return "/cam1/media2_service" }, 307, "/moved", ""},
		"found":         {func(*device.Server) string { return "media2_service" }, 302, "/moved", ""},
		"another host":  {func(*device.Server) string { return elsewhere }, 307, "/moved", "redirect to another host (localhost:"},
		"metadata":      {func(*device.Server) string { return "http://169.254.169.254/latest" }, 302, "/moved", "redirect to another host (169.254.169.254) refused"},
		"another thing": {func(*device.Server) string { return "file:///etc/passwd" }, 301, "/moved", "redirect to file:// refused"},
		"nowhere":       {func(*device.Server) string { return "" }, 301, "/moved", "redirect without a usable Location"},
		"a circle":      {func(*device.Server) string { return "/cam1/moved" }, 308, "/moved", "more than 3 redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			var s *device.Server
			camera := ordinary()
			camera.Auth, camera.User, camera.Password = device.AuthToken, user, password
			camera.Answer = func(w http.ResponseWriter, r *http.Request, action string) bool {
				switch {
				case action == "GetServices":
					w.Write([]byte(`<Envelope><Body><GetServicesResponse><Service><Namespace>` + nsMedia2 + `</Namespace><XAddr>http://` + s.Addr().String() + `/cam1/moved</XAddr></Service></GetServicesResponse></Body></Envelope>`))
				case strings.HasSuffix(r.URL.Path, c.from):
					w.Header().Set("Location", c.location(s))
					w.WriteHeader(c.status)
				default:
					return false
				}
				return true
			}
			s = serve(t, camera)
			d, err := open(t, s, user, password)
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Profiles(t.Context())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if len(stolen) > 0 {
		t.Errorf("another host was asked: %q", stolen)
	}
}

// TestProxy: a proxy in the environment is another host.
func TestProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	if x := newExchange(nil, Options{}); x.transport.Proxy != nil {
		t.Error("the environment's proxy is used")
	}
}

// TestMischief: answers that are none end in a short, printable error.
func TestMischief(t *testing.T) {
	deep := strings.Repeat("<a>", 400_000/3)
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request, string) bool
		want   string
	}{
		"garbage":   {raw(200, "\x00\x01\x02 no"), "GetSystemDateAndTime: no XML"},
		"empty":     {raw(200, ""), "XML ends too early"},
		"page":      {raw(404, "<html><body>no</body></html>"), "HTTP status 404 Not Found"},
		"html":      {raw(200, "<html><body>no</body></html>"), `no SOAP: the answer is a "html"`},
		"no body":   {raw(200, "<Envelope><Header/></Envelope>"), "SOAP without a body"},
		"huge":      {raw(200, "<a>"+strings.Repeat("x", maxBody)), "bytes of an answer: over the limit of 1048576"},
		"deep":      {raw(200, deep), "depth of XML: over the limit of 32"},
		"laughs":    {raw(200, `<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Envelope>&b;</Envelope>`), "XML with a DOCTYPE is refused"},
		"entity":    {raw(200, `<Envelope>&b;</Envelope>`), "invalid character entity"},
		"latin":     {raw(200, `<?xml version="1.0" encoding="ISO-8859-1"?><Envelope/>`), "ISO-8859-1"},
		"no utf-8":  {raw(200, "<Envelope>\xff\xfe</Envelope>"), "invalid UTF-8"},
		"many":      {raw(200, "<a>"+strings.Repeat("<b/>", maxTokens)), "tags, attributes and texts in XML: over the limit"},
		"attrs":     {raw(200, "<a "+strings.Repeat(`b="" `, 100_000)+"/>"), "one XML tag or text: over the limit"},
		"cut short": {raw(200, "<Envelope><Body><GetSys"), "XML ends too early"},
		"header": {func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("X-Long", strings.Repeat("x", maxHeaders+4096))
			return true
		}, "exceeded"},
		"gzip": {func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Content-Encoding", "gzip")
			return true
		}, "the answer is coded (gzip)"},
		"hang up": {func(http.ResponseWriter, *http.Request, string) bool { panic(http.ErrAbortHandler) }, "GetSystemDateAndTime: ask: EOF"},
		"escape": {raw(500, "<Envelope><Body><Fault><Reason><Text>\u202e\u009b31m\nlog line"+strings.Repeat("x", 1000)+"</Text></Reason></Fault></Body></Envelope>"),
			"fault: ??31m?log line"},
		"fault 1.1": {raw(500, "<Envelope><Body><Fault><faultcode>s:Server</faultcode><faultstring>out of order</faultstring></Fault></Body></Envelope>"), "fault Server: out of order"},
		"no media": {func(w http.ResponseWriter, r *http.Request, action string) bool {
			if action == "GetCapabilities" || action == "GetServices" {
				return raw(200, `<Envelope><Body><R><Capabilities/></R></Body></Envelope>`)(w, r, action)
			}
			return false
		}, "it has no media service"},
		"asks again": {func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("WWW-Authenticate", `Digest realm="r", stale=true, nonce="`+fmt.Sprint(time.Now().UnixNano())+`"`)
			w.WriteHeader(401)
			return true
		}, "it asks again and again"},
	} {
		t.Run(name, func(t *testing.T) {
			camera := ordinary()
			camera.Answer = c.answer
			s := serve(t, camera)
			d, err := open(t, s, user, password)
			if err == nil { // a fault instead of the time is no reason to give up
				_, err = d.Profiles(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if !strings.HasPrefix(err.Error(), s.Addr().String()+": ") {
				t.Errorf("%v does not say whom it is about", err)
			}
			if len(err.Error()) > 700 || strings.ContainsAny(err.Error(), "\x1b\n\u202e\u009b") {
				t.Errorf("not fit for a log: %q", err)
			}
		})
	}
}

// TestSlow: a camera that does not come to an end is left when the time is up.
func TestSlow(t *testing.T) {
	camera := ordinary()
	camera.Answer = func(w http.ResponseWriter, r *http.Request, action string) bool {
		w.Write([]byte("<Envelope>"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	s := serve(t, camera)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{URL: s.URL(1)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestUnreachable(t *testing.T) {
	s := serve(t)
	url := strings.Replace(s.URL(1), "127.0.0.1", "127.0.0.3", 1)
	_, err := Open(t.Context(), Options{URL: url})
	if network := (net.Error)(nil); !errors.As(err, &network) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
}

// TestStreamURL: the host that was asked, the rest as the camera wrote it.
func TestStreamURL(t *testing.T) {
	for _, c := range []struct{ base, raw, want, err string }{
		{"onvif://cam.lan", "rtsp://192.0.2.1:8554/a/../b?c=d%20e", "rtsp://cam.lan:8554/a/../b?c=d%20e", ""},
		{"onvif://cam.lan:8000", "RTSPS://u:p@0.0.0.0", "rtsps://cam.lan", ""},
		{"onvif://[fd00::1]:80", "rtsp://[fe80::1]:554/x", "rtsp://[fd00::1]:554/x", ""},
		{"onvif://[fd00::1]", "rtsp://192.0.2.1/x", "rtsp://[fd00::1]/x", ""},
		{"onvif://192.0.2.9", " rtsp://192.0.2.1/x?@evil/ \n", "rtsp://192.0.2.9/x?@evil/", ""},
		{"onvif://192.0.2.9", "http://192.0.2.1/x", "", "is not rtsp://"},
		{"onvif://192.0.2.9", "", "", "is not rtsp://"},
		{"onvif://192.0.2.9", "rtsp://:554/x", "", "has no host"},
		{"onvif://192.0.2.9", "rtsp://h:port/x", "", "has no host"},
		{"onvif://192.0.2.9", "rtsp://h/a\r\nTEARDOWN", "", "control characters"},
		{"onvif://192.0.2.9", "rtsp://h/" + strings.Repeat("x", 2048), "", "too long"},
	} {
		base, err := serviceURL(c.base)
		if err != nil {
			t.Fatal(err)
		}
		d := &Device{x: newExchange(base, Options{})}
		got, err := d.streamURL(c.raw)
		if got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s at %s: %q %v", c.raw, c.base, got, err)
		}
	}
}

func TestServiceURL(t *testing.T) {
	for in, want := range map[string]string{
		"onvif://h":                     "http://h/onvif/device_service",
		"onvif://h:8000/":               "http://h:8000/onvif/device_service",
		"ONVIF://[::1]:80/x/y?z=1":      "http://[::1]:80/x/y?z=1",
		"onvif://h/cam1/d":              "http://h/cam1/d",
		"http://h":                      "",
		"onvif://":                      "",
		"onvif://user:secret@h":         "",
		"onvif://h:99999999999999/\x7f": "",
		"h":                             "",
	} {
		got, err := serviceURL(in)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestChoose(t *testing.T) {
	all := []Profile{
		{Token: "p0", Name: "meta"},
		{Token: "p1", Name: "Photos", Codec: "jpeg", Width: 4000, Height: 3000, Source: "a"},
		{Token: "p2", Name: "Low", Codec: "h264", Width: 640, Height: 480, Source: "a"},
		{Token: "p3", Name: "Main", Codec: "h265", Width: 1920, Height: 1080, FPS: 15, Source: "a"},
		{Token: "p4", Name: "Main25", Codec: "h264", Width: 1920, Height: 1080, FPS: 25, Kbps: 2000, Source: "a"},
		{Token: "p5", Name: "Main25b", Codec: "h264", Width: 1920, Height: 1080, FPS: 25, Kbps: 4000, Source: "a"},
		{Token: "p6", Name: "Other lens", Codec: "h264", Width: 3840, Height: 2160, FPS: 25, Source: "b"},
		{Token: "Low", Name: "trap", Codec: "h264", Width: 1, Height: 1, Source: "a"},
	}
	for _, c := range []struct{ want, token, why, err string }{
		{"", "p5", "the best of 8", ""},
		{"p6", "p6", "it is the one named", ""},
		{"main", "p3", "it is the one named", ""},
		{"Low", "Low", "it is the one named", ""}, // tokens come first
		{"nix", "", "", `there is no profile "nix"; there are: "meta" (p0), "Photos" (p1)`},
	} {
		p, why, err := Choose(all, c.want)
		if p.Token != c.token || why != c.why || (err != nil) != (c.err != "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%q: %v %q %v", c.want, p, why, err)
		}
	}
	for _, c := range []struct{ want, main, token, why, err string }{
		{"", "", "p4", "the best below Main25b", ""},
		{"", "Main", "p2", "the best below Main", ""},
		{"", "p2", "Low", "the best below Low", ""},
		{"p3", "", "p3", "it is the one named", ""},
		{"", "p6", "", "", "there is no profile below Other lens; there are: "},
		{"", "nix", "", "", `there is no profile "nix"`},
	} {
		p, why, err := ChooseSub(all, c.want, c.main)
		if p.Token != c.token || why != c.why || (err != nil) != (c.err != "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%q below %q: %v %q %v", c.want, c.main, p, why, err)
		}
	}
	if _, _, err := Choose(all[:1], ""); err == nil || !strings.Contains(err.Error(), "no profile has video") {
		t.Errorf("%v", err)
	}
	if _, why, err := Choose(all[2:3], ""); err != nil || why != "it is the only one" {
		t.Errorf("%v %v", why, err)
	}
}
