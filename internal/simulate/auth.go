package simulate

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"
)

const realm = "nvr-simulate"

// guard knows the one user that a server lets in.
type guard struct {
	scheme         Auth
	user, password string
}

// challenge is the WWW-Authenticate line of a 401.
func (g guard) challenge(nonce string) string {
	switch g.scheme {
	case AuthBasic:
		return `Basic realm="` + realm + `"`
	case AuthDigestSHA256:
		return `Digest realm="` + realm + `", qop="auth", algorithm=SHA-256, nonce="` + nonce + `"`
	}
	return `Digest realm="` + realm + `", nonce="` + nonce + `"`
}

// admits judges an Authorization header. lastCount is the highest nonce count
// seen with this nonce; a request that does not raise it is a repetition
// (RFC 7616 §3.4).
func (g guard) admits(req *request, nonce string, lastCount *uint64) bool {
	header := req.header["authorization"]
	switch g.scheme {
	case AuthNone:
		return true
	case AuthBasic:
		want := base64.StdEncoding.EncodeToString([]byte(g.user + ":" + g.password))
		scheme, got, _ := strings.Cut(header, " ")
		return strings.EqualFold(scheme, "basic") && same(got, want)
	}
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "digest") {
		return false
	}
	p := digestParams(rest)
	if p["username"] != g.user || p["realm"] != realm || p["nonce"] != nonce || p["uri"] != req.url {
		return false
	}
	if g.scheme == AuthDigest {
		if p["qop"] != "" || p["algorithm"] != "" && !strings.EqualFold(p["algorithm"], "MD5") {
			return false
		}
		return same(p["response"], digest(md5.New, g.user, g.password, req.method, p))
	}
	count, err := strconv.ParseUint(p["nc"], 16, 32)
	if err != nil || count <= *lastCount || p["qop"] != "auth" || p["cnonce"] == "" || p["algorithm"] != "SHA-256" {
		return false
	}
	if !same(p["response"], digest(sha256.New, g.user, g.password, req.method, p)) {
		return false
	}
	*lastCount = count
	return true
}

// digest is the response that the parameters need: RFC 2617 §3.2.2.1, RFC 7616 §3.4.1.
func digest(newHash func() hash.Hash, user, password, method string, p map[string]string) string {
	sum := func(s string) string {
		h := newHash()
		h.Write([]byte(s))
		return hex.EncodeToString(h.Sum(nil))
	}
	a1 := sum(user + ":" + p["realm"] + ":" + password)
	a2 := sum(method + ":" + p["uri"])
	if p["qop"] == "" {
		return sum(a1 + ":" + p["nonce"] + ":" + a2)
	}
	return sum(strings.Join([]string{a1, p["nonce"], p["nc"], p["cnonce"], p["qop"], a2}, ":"))
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// digestParams reads name=value and name="value" pairs between commas.
func digestParams(s string) map[string]string {
	p := make(map[string]string)
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		name = strings.ToLower(strings.Trim(name, " \t,"))
		rest = strings.TrimLeft(rest, " \t")
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
			_, s, _ = strings.Cut(rest, ",")
		} else {
			value, s, _ = strings.Cut(rest, ",")
			value = strings.TrimRight(value, " \t")
		}
		p[name] = value
	}
	return p
}
