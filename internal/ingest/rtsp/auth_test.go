package rtsp

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"nvr/internal/testkit"
)

var challengeCases = []struct {
	name   string
	header string
	want   []challenge
}{
	{"plain", `Digest realm="IP Camera", nonce="abc"`, []challenge{{scheme: "digest", realm: "IP Camera", nonce: "abc"}}},
	{"no blanks after commas", `Digest realm="r",nonce="n",algorithm=SHA-256,qop="auth",opaque=""`,
		[]challenge{{scheme: "digest", realm: "r", nonce: "n", algorithm: "SHA-256", qop: true, qopAuth: true, hasOpaque: true}}},
	{"escaped quotes", `digest realm="the \"big\" camera\\", nonce="n, =", stale=TRUE`,
		[]challenge{{scheme: "digest", realm: `the "big" camera\`, nonce: "n, =", stale: true}}},
	{"two in one line", `Basic realm="b", DIGEST realm = "d" , nonce=n,qop="auth-int"`,
		[]challenge{{scheme: "basic", realm: "b"}, {scheme: "digest", realm: "d", nonce: "n", qop: true}}},
	{"qop list", `Digest realm="r", nonce="n", qop="auth-int, auth"`, []challenge{{scheme: "digest", realm: "r", nonce: "n", qop: true, qopAuth: true}}},
	{"basic without realm", `Basic`, []challenge{{scheme: "basic"}}},
	{"open quote", `Digest realm="r`, []challenge{{scheme: "digest", realm: "r"}}},
	{"rubbish", ` ,,= = "`, []challenge{{scheme: `"`}}},
	{"empty", ``, nil},
}

func TestParseChallenges(t *testing.T) {
	for _, tt := range challengeCases {
		if got := parseChallenges(tt.header); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
}

// params takes an Authorization value apart.
func params(v string) map[string]string {
	_, v, _ = strings.Cut(v, " ")
	m := map[string]string{}
	for _, p := range splitQuoted(v, ',') {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		m[name], _ = parseValue(value)
	}
	return m
}

func TestDigestVectors(t *testing.T) {
	const (
		mufasaNonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
		newNonce    = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
		newRealm    = "http-auth@example.org"
		newCnonce   = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
	)
	for _, tt := range []struct {
		name         string
		user, pass   string
		challenge    string
		cnonce       string
		method, uri  string
		response     string
		also, absent []string
	}{
		{"RFC 2069 §2.4, corrected by errata 749", "Mufasa", "CircleOfLife", `Digest realm="testrealm@host.com", nonce="` + mufasaNonce + `", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
			"", "GET", "/dir/index.html", "1949323746fe6a43ef61f9606e7febea", []string{`opaque="5ccc069c403ebaf9f0171e9517f40e41"`}, []string{"qop", "nc=", "cnonce", "algorithm"}},
		{"RFC 2617 §3.5", "Mufasa", "Circle Of Life", `Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="` + mufasaNonce + `"`,
			"0a4f113b", "GET", "/dir/index.html", "6629fae49393a05397450978507c4ef1", []string{"qop=auth", "nc=00000001", `cnonce="0a4f113b"`}, []string{"algorithm"}},
		{"RFC 7616 §3.9.1, MD5", "Mufasa", "Circle of Life", `Digest realm="` + newRealm + `", qop="auth, auth-int", algorithm=MD5, nonce="` + newNonce + `"`,
			newCnonce, "GET", "/dir/index.html", "8ca523f5e9506fed4657c9700eebdbec", []string{"algorithm=MD5"}, nil},
		{"RFC 7616 §3.9.1, SHA-256", "Mufasa", "Circle of Life", `Digest realm="` + newRealm + `", qop="auth, auth-int", algorithm=SHA-256, nonce="` + newNonce + `"`,
			newCnonce, "GET", "/dir/index.html", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", []string{"algorithm=SHA-256"}, nil},
	} {
		a := authenticator{memory: new(Memory), username: tt.user, password: tt.pass, cnonce: func() string { return tt.cnonce }}
		if err := a.challenged([]string{tt.challenge}, false); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := a.authorization(tt.method, tt.uri)
		if p := params(got); p["response"] != tt.response || p["uri"] != tt.uri || p["username"] != tt.user {
			t.Errorf("%s: got %s", tt.name, got)
		}
		for _, w := range tt.also {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is missing in %s", tt.name, w, got)
			}
		}
		for _, w := range tt.absent {
			if strings.Contains(got, w) {
				t.Errorf("%s: %q is in %s", tt.name, w, got)
			}
		}
	}
}

func TestAuthorization(t *testing.T) {
	a := authenticator{memory: new(Memory), username: `ad"min`, password: "p@:ss", cnonce: func() string { return "c" }}
	if got := a.authorization("DESCRIBE", "rtsp://c/"); got != "" {
		t.Errorf("signed without a challenge: %s", got)
	}
	if err := a.challenged([]string{`Digest realm="a \"b\"", nonce="n", qop="auth", algorithm=SHA-512-256-sess`}, false); err != nil {
		t.Fatal(err)
	}
	for nc := 1; nc <= 2; nc++ {
		got := a.authorization("DESCRIBE", "rtsp://c/")
		ha1 := sha512Hex(sha512Hex(`ad"min:a "b":p@:ss`) + ":n:c")
		want := sha512Hex(ha1 + fmt.Sprintf(":n:%08x:c:auth:", nc) + sha512Hex("DESCRIBE:rtsp://c/"))
		if params(got)["response"] != want || !strings.Contains(got, `username="ad\"min", realm="a \"b\""`) {
			t.Errorf("got %s", got)
		}
	}
	a = authenticator{memory: new(Memory), username: "admin", password: "p:w"}
	if err := a.challenged([]string{`Basic realm="x"`}, false); err != nil {
		t.Fatal(err)
	}
	if got := a.authorization("PLAY", "rtsp://c/"); got != "Basic "+base64.StdEncoding.EncodeToString([]byte("admin:p:w")) {
		t.Errorf("got %s", got)
	}
}

func TestStrongestChallenge(t *testing.T) {
	const md5, sha256, sha512, basic = `Digest realm="r", nonce="md5"`, `Digest realm="r", nonce="256", algorithm="SHA-256"`, `Digest realm="r",nonce="512",algorithm=SHA-512-256`, `Basic realm="r"`
	for _, tt := range []struct {
		offered []string
		nonce   string
		err     string
	}{
		{[]string{basic, md5}, "md5", ""},
		{[]string{md5, basic}, "md5", ""},
		{[]string{md5 + ", " + sha256, sha512}, "256", ""},
		{[]string{sha512, md5}, "512", ""},
		{[]string{`Negotiate`, `Digest realm="r", nonce="x", algorithm=FOO`, md5}, "md5", ""},
		{[]string{`Digest realm="r", nonce="x", algorithm=FOO`}, "", "not supported"},
		{[]string{`Digest realm="r", nonce="x", qop="auth-int"`, basic}, "", "downgrade"},
		{nil, "", "no WWW-Authenticate"},
	} {
		a := authenticator{memory: new(Memory), username: "u"}
		err := a.challenged(tt.offered, false)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: %v", tt.offered, err)
			}
		case err != nil || a.chosen.nonce != tt.nonce:
			t.Errorf("%q: %+v, %v", tt.offered, a.chosen, err)
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	for _, tt := range challengeCases {
		f.Add(tt.header)
	}
	for _, s := range testkit.Seeds() {
		for _, c := range s.Challenges {
			f.Add(c)
		}
	}
	f.Fuzz(func(t *testing.T, v string) {
		cs := parseChallenges(v)
		if len(cs) > maxChallenges+1 {
			t.Fatalf("%d challenges", len(cs))
		}
		a := authenticator{memory: new(Memory), username: "u", password: "p"}
		if a.challenged([]string{v}, false) == nil && a.authorization("OPTIONS", "rtsp://c/") == "" {
			t.Fatal("challenged and not signed")
		}
	})
}
