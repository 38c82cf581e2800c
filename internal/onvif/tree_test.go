package onvif

import (
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

func TestTree(t *testing.T) {
	root, err := parse([]byte("\ufeff<?xml version=\"1.0\"?>\n<!-- a --><x:a xmlns:x='u' k='v&amp;'> one<b>1</b><![CDATA[ <two> ]]><!-- c --><b> 2.5 </b>&#x33; </x:a>junk\x00<"))
	if err != nil {
		t.Fatal(err)
	}
	if root.name != "a" || root.text != "one <two> 3" || root.attr("k") != "v&" || root.attr("none") != "" {
		t.Errorf("%+v", root)
	}
	if b := root.all("b"); len(b) != 2 || root.string("b") != "1" || number(b[1].text) != 2.5 {
		t.Errorf("%+v", b)
	}
	var nothing *element
	if nothing.string("a", "b") != "" || nothing.number() != 0 || nothing.all("a") != nil || nothing.attr("a") != "" {
		t.Error("nothing has something in it")
	}
	for in, want := range map[string]float64{"": 0, "x": 0, "-1": 0, "NaN": 0, "1e300": 0, "Inf": 0, "29.97": 29.97} {
		if got := number(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

// TestBombs: what is made to cost much costs little (security.md SEC-08: 4 MiB).
func TestBombs(t *testing.T) {
	const most = 4 << 20
	fill := func(s string) []byte { return []byte("<a>" + strings.Repeat(s, (maxBody-100)/len(s))) }
	for name, bomb := range map[string][]byte{
		"deep":                    fill("<a>"),
		"deep names":              fill("<" + strings.Repeat("n", 1000) + ">"),
		"wide":                    fill("<b/>"),
		"comments":                fill("x<!---->"),
		"cdata":                   fill("x<![CDATA[y]]>"),
		"attributes":              []byte("<a " + strings.Repeat(`b="" `, 100_000) + "/>"),
		"many tags of attributes": fill("<b " + strings.Repeat(`c="" `, 5000) + "/>"),
		"namespaces":              fill(`<b xmlns:a="` + strings.Repeat("u", 200) + `"/>`),
		"text":                    fill("0123456789"),
		"entities":                []byte(`<!DOCTYPE a [<!ENTITY a "` + strings.Repeat("ha", 1000) + `">]><a>` + strings.Repeat("&a;", 100_000) + `</a>`),
		"characters":              fill("&#65;"),
		"name":                    []byte("<" + strings.Repeat("n", maxBody-1)),
		"directive":               []byte("<!" + strings.Repeat("n", maxBody-2)),
		"processing":              fill("<?a b?>"),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			root, err := parse(bomb)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("no error")
			}
			if cost := after.TotalAlloc - before.TotalAlloc; cost > most {
				t.Errorf("allocated %d bytes for %d", cost, len(bomb))
			} else {
				t.Logf("%d KiB: %v", cost>>10, err)
			}
			runtime.KeepAlive(root)
		})
	}
	if _, err := parse(make([]byte, maxBody+1)); err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("%v", err)
	}
}

func TestEscape(t *testing.T) {
	const odd = `<&>"'` + "\u00fc"
	root, err := parse([]byte(`<a b="` + escape(odd) + `">` + escape(odd) + `</a>`))
	if err != nil || root.text != odd || root.attr("b") != odd {
		t.Errorf("%v %+v", err, root)
	}
}

// FuzzAnswer: whatever a camera answers, reading it ends, with bounds and words that can be shown.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`<s:Envelope xmlns:s="x"><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:NotAuthorized</s:Value></s:Subcode></s:Code><s:Reason><s:Text>no</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>`))
	f.Add([]byte(`<e><Header><RelatesTo>urn:uuid:1</RelatesTo></Header><Body><ProbeMatches><ProbeMatch><EndpointReference><Address>urn:uuid:2419d68a-2dd2-21b2-a205-00408cd0a3f1</Address></EndpointReference><Scopes>onvif://www.onvif.org/name/a%20b</Scopes><XAddrs>http://1.2.3.4/x http://[::1]:80/y</XAddrs></ProbeMatch></ProbeMatches></Body></e>`))
	f.Add([]byte(`<Envelope><Body><R><Profiles token="a"><Name>n</Name><VideoEncoderConfiguration><Encoding>H264</Encoding><Resolution><Width>1</Width><Height>2</Height></Resolution><H264><GovLength>3</GovLength></H264></VideoEncoderConfiguration></Profiles></R></Body></Envelope>`))
	f.Add([]byte(`<Envelope><Body><R><Profiles token="a"><Configurations><VideoEncoder GovLength="3"><Encoding>H265</Encoding></VideoEncoder></Configurations></Profiles></R></Body></Envelope>`))
	f.Add([]byte("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"))
	f.Add([]byte("<?xml version='1.0' encoding='utf-16'?><a/>"))
	f.Fuzz(func(t *testing.T, content []byte) {
		check := func(s string) {
			if s != printable(s) {
				t.Errorf("not printable: %q", s)
			}
		}
		c, err := openEnvelope(content)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v with %v", c, err)
		}
		if err != nil && (err.Error() == "" || strings.ContainsAny(err.Error(), "\x1b\n\u202e")) {
			t.Errorf("%q", err)
		}
		for _, read := range []func(*element) Profile{profile1, profile2} {
			for _, p := range profiles(c, read) {
				check(p.Name)
				check(p.Codec)
				check(p.Audio)
				if p.Token == "" || p.Width < 0 || p.Height < 0 || p.GOP < 0 {
					t.Errorf("%+v", p)
				}
			}
		}
		s := search{ids: [len(probeTypes)]string{"1", "2", "3"}}
		from := netip.MustParseAddr("192.0.2.1")
		for _, m := range s.matches(content, from) {
			check(m.Name)
			check(m.Maker)
			check(m.Hardware)
			check(m.Location)
			if m.URL != "" {
				u, err := serviceURL(m.URL)
				if err != nil || u.Hostname() != "192.0.2.1" {
					t.Errorf("%q leads elsewhere: %v", m.URL, err)
				}
			}
		}
	})
}

// FuzzStreamURL: whatever URL a camera gives, it leads to the camera.
func FuzzStreamURL(f *testing.F) {
	for _, s := range []string{"rtsp://10.0.0.1:554/a?b#c", "rtsps://u:p@[fe80::1]/x", "rtsp://", "http://a", "rtsp://a@b@c/d", "RTSP://h:99/..//"} {
		f.Add(s)
	}
	base, err := serviceURL("onvif://192.0.2.1:8000/x")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		d := &Device{x: newExchange(base, Options{})}
		got, err := d.streamURL(raw)
		if err != nil {
			return
		}
		_, rest, _ := strings.Cut(got, "://")
		if !strings.HasPrefix(rest, "192.0.2.1") || strings.Contains(got, "#") {
			t.Fatalf("%q becomes %q", raw, got)
		}
		authority := rest
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			authority = rest[:i]
		}
		if port, ok := strings.CutPrefix(authority, "192.0.2.1"); !ok || port != "" && !strings.HasPrefix(port, ":") || strings.Contains(authority, "@") {
			t.Fatalf("%q becomes %q", raw, got)
		}
	})
}
