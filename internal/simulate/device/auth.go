package device

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// tokenMayBe is how far a token's time may be from the camera's, before and after.
const tokenMayBe = 30 * time.Second

const maxNonces = 1024 // that are remembered; then all are forgotten

const realm = "nvr-device"

// admits judges the credentials of a request. Where it refuses it has answered.
func (s *Server) admits(c *Camera, w http.ResponseWriter, r *http.Request, body string) bool {
	wantsDigest := c.Auth == AuthDigest || c.Auth == AuthBoth
	if wantsDigest && !s.digestIsGood(c, r) {
		nonce := fmt.Sprintf("%x", md5.Sum([]byte(strconv.FormatUint(s.last.Add(1), 10)+s.Addr().String())))
		s.mu.Lock()
		if len(s.nonces) == maxNonces {
			clear(s.nonces)
		}
		s.nonces[nonce] = 0
		s.mu.Unlock()
		w.Header().Set("WWW-Authenticate", `Digest realm="`+realm+`", qop="auth", nonce="`+nonce+`", algorithm=MD5`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	if c.Auth == AuthBasic {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+realm+`"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	if (c.Auth == AuthToken || c.Auth == AuthBoth) && !s.tokenIsGood(c, body) {
		fault(w, http.StatusBadRequest, "Sender", "ter:NotAuthorized", "Sender not Authorized")
		return false
	}
	return true
}

// digestIsGood checks an Authorization header (RFC 7616 §3.4).
func (s *Server) digestIsGood(c *Camera, r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Digest ")
	if !ok {
		return false
	}
	p := map[string]string{}
	for _, m := range parameter.FindAllStringSubmatch(rest, -1) {
		p[m[1]] = m[2] + m[3]
	}
	sum := func(parts ...string) string {
		h := md5.Sum([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h[:])
	}
	want := sum(sum(c.User, realm, c.Password), p["nonce"], p["nc"], p["cnonce"], "auth", sum(r.Method, r.URL.RequestURI()))
	count, err := strconv.ParseUint(p["nc"], 16, 32)
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.nonces[p["nonce"]]
	if err != nil || !known || count <= last || p["username"] != c.User || p["qop"] != "auth" || p["uri"] != r.URL.RequestURI() ||
		subtle.ConstantTimeCompare([]byte(want), []byte(p["response"])) != 1 {
		return false
	}
	s.nonces[p["nonce"]] = count
	if c.OneTimeNonces {
		delete(s.nonces, p["nonce"])
	}
	return true
}

var parameter = regexp.MustCompile(`([a-z]+)=(?:"([^"]*)"|([^\s,]*))`)

// What of a token counts, cut out with a knife: this is no XML reader.
var (
	tokenUser     = regexp.MustCompile(`<(?:\w+:)?Username>([^<]*)</`)
	tokenPassword = regexp.MustCompile(`<(?:\w+:)?Password Type="[^"]*#PasswordDigest">([^<]*)</`)
	tokenNonce    = regexp.MustCompile(`<(?:\w+:)?Nonce[^>]*>([^<]*)</`)
	tokenCreated  = regexp.MustCompile(`<(?:\w+:)?Created>([^<]*)</`)
)

// tokenIsGood checks a UsernameToken (Username Token Profile 1.0 §3.1): digest,
// time, and that it was not shown before.
func (s *Server) tokenIsGood(c *Camera, body string) bool {
	find := func(r *regexp.Regexp) string {
		if m := r.FindStringSubmatch(body); m != nil {
			return m[1]
		}
		return ""
	}
	nonce, err := base64.StdEncoding.DecodeString(find(tokenNonce))
	created := find(tokenCreated)
	at, err2 := time.Parse(time.RFC3339Nano, created)
	if err != nil || err2 != nil || find(tokenUser) != c.User {
		return false
	}
	if off := at.Sub(time.Now().Add(c.ClockAhead)); off > tokenMayBe || off < -tokenMayBe {
		return false
	}
	h := sha1.Sum([]byte(string(nonce) + created + c.Password))
	if subtle.ConstantTimeCompare([]byte(base64.StdEncoding.EncodeToString(h[:])), []byte(find(tokenPassword))) != 1 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.tokens[string(nonce)]
	if len(s.tokens) == maxNonces {
		clear(s.tokens)
	}
	s.tokens[string(nonce)] = true
	return !shown
}
