package simulate

import (
	"crypto/md5"
	"crypto/sha256"
	"testing"
)

// The examples of RFC 2617 §3.5 and RFC 7616 §3.9.1.
func TestDigestOfTheStandards(t *testing.T) {
	old := digestParams(`username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",` +
		` uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1"`)
	if got := digest(md5.New, "Mufasa", "Circle Of Life", "GET", old); got != old["response"] {
		t.Errorf("MD5: %s, want %s", got, old["response"])
	}
	now := digestParams(`username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256,` +
		` nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",` +
		` qop=auth, response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"`)
	if got := digest(sha256.New, "Mufasa", "Circle of Life", "GET", now); got != now["response"] {
		t.Errorf("SHA-256: %s, want %s", got, now["response"])
	}
}

func TestGuard(t *testing.T) {
	const nonce, url = "n0nce", "rtsp://h/cam1"
	answer := func(user, password, nonce, uri string) string {
		p := map[string]string{"realm": realm, "nonce": nonce, "uri": uri}
		return `Digest username="` + user + `", realm="` + realm + `", nonce="` + nonce + `", uri="` + uri +
			`", response="` + digest(md5.New, user, password, "DESCRIBE", p) + `"`
	}
	strong := func(count, qop string) string {
		p := map[string]string{"realm": realm, "nonce": nonce, "uri": url, "nc": count, "cnonce": "c", "qop": qop}
		return `Digest username="u", realm="` + realm + `", nonce="` + nonce + `", uri="` + url + `", algorithm=SHA-256, qop=` + qop +
			`, nc=` + count + `, cnonce="c", response="` + digest(sha256.New, "u", "p:w", "DESCRIBE", p) + `"`
	}
	cases := []struct {
		scheme Auth
		header string
		want   bool
	}{
		{AuthNone, "", true},
		{AuthBasic, "Basic dTpwOnc=", true}, // u:p:w
		{AuthBasic, "basic dTpwOnc=", true},
		{AuthBasic, "Basic dTpwOng=", false},
		{AuthBasic, "", false},
		{AuthDigest, answer("u", "p:w", nonce, url), true},
		{AuthDigest, answer("u", "wrong", nonce, url), false},
		{AuthDigest, answer("other", "p:w", nonce, url), false},
		{AuthDigest, answer("u", "p:w", "old", url), false},
		{AuthDigest, answer("u", "p:w", nonce, url+"/trackID=0"), false},
		{AuthDigest, "Basic dTpwOnc=", false},
		{AuthDigest, "Digest", false},
		{AuthDigest, `Digest username="u`, false},
		{AuthDigestSHA256, strong("00000001", "auth"), true},
		{AuthDigestSHA256, strong("00000000", "auth"), false}, // below every count
		{AuthDigestSHA256, strong("00000001", ""), false},
		{AuthDigestSHA256, answer("u", "p:w", nonce, url), false},
	}
	for _, c := range cases {
		g := guard{c.scheme, "u", "p:w"}
		var count uint64
		req := &request{"DESCRIBE", url, map[string]string{"authorization": c.header}}
		if got := g.admits(req, nonce, &count); got != c.want {
			t.Errorf("%s, %s: %v", c.scheme, c.header, got)
		} else if got && c.scheme == AuthDigestSHA256 && g.admits(req, nonce, &count) {
			t.Errorf("%s: a repeated request was let in", c.scheme)
		}
	}
}
