package testkit

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
	"time"
)

// Auth is how a camera wants to know who asks.
type Auth struct {
	User, Password string
	Schemes        []Scheme // in the order in which they are offered
	HangUp         bool     // with each 401
	Carry          bool     // a nonce is good on the next connection, too
	Once           bool     // a nonce is good for one request
	Expires        time.Duration
	NoStale        bool // does not say stale=true when a nonce expired
	SayStale       bool // says stale=true whatever was wrong
	Options        bool // OPTIONS is locked, too
	Locks          int  // after so many wrong tries it lets nobody in for ten minutes; 0: never
	Silent         bool // 401 without WWW-Authenticate

	nonces   int
	last     string
	given    time.Time
	used     map[string]bool
	lockedAt time.Time
	tries    int
}

// Scheme is one challenge.
type Scheme struct {
	Basic     bool
	Algorithm string // of a digest; "" is MD5 and not said
	QOP       string // "" is not said
	Realm     string // as written, inside the quotes
	Opaque    string
	Text      func(challenge string) string // writes it another way; nil: as it is
}

// Digest is the challenge that most cameras send.
func Digest() Scheme { return Scheme{Realm: "IP Camera"} }

func (s *Scheme) challenge(nonce string, stale bool) string {
	if s.Basic {
		return fmt.Sprintf(`Basic realm="%s"`, s.Realm)
	}
	c := fmt.Sprintf(`Digest realm="%s", nonce="%s"`, s.Realm, nonce)
	if s.Opaque != "" {
		c += fmt.Sprintf(`, opaque="%s"`, s.Opaque)
	}
	if stale {
		c += `, stale=true`
	}
	if s.Algorithm != "" {
		c += `, algorithm=` + s.Algorithm
	}
	if s.QOP != "" {
		c += fmt.Sprintf(`, qop="%s"`, s.QOP)
	}
	if s.Text != nil {
		c = s.Text(c)
	}
	return c
}

// check lets a request in, or makes a of it a challenge. It holds the camera's
// lock: connections ask at the same time.
func (x *Auth) check(p *Peer, r *Request, a *Reply) bool {
	p.C.mu.Lock()
	defer p.C.mu.Unlock()
	now := time.Now()
	locked := !x.lockedAt.IsZero() && now.Sub(x.lockedAt) < 10*time.Minute
	right, stale, tried := x.right(p, r)
	if tried && !right && !stale {
		if !p.C.Lean {
			p.C.wrong = append(p.C.wrong, now)
		}
		if x.tries++; x.Locks > 0 && x.tries >= x.Locks && !locked {
			x.lockedAt, locked = now, true
		}
	}
	if right && !locked {
		x.tries = 0
		return true
	}
	if p.nonce == "" || !right {
		x.nonces++
		p.nonce = fmt.Sprintf("%x%04x", md5.Sum([]byte(p.C.Addr)), x.nonces)
		x.last, x.given = p.nonce, now
	}
	a.Code, a.Reason, a.HangUp = 401, "Unauthorized", x.HangUp
	if x.Silent {
		return false
	}
	for i := range x.Schemes {
		a.Headers = append(a.Headers, [2]string{"WWW-Authenticate", x.Schemes[i].challenge(p.nonce, stale && !x.NoStale || x.SayStale)})
	}
	return false
}

// right reports whether the request is signed as it should be; stale: it is, but
// for the nonce; tried: somebody wanted in.
func (x *Auth) right(p *Peer, r *Request) (right, stale, tried bool) {
	v := r.Get("Authorization")
	if v == "" {
		return false, false, false
	}
	scheme, got := authorization(v)
	for i := range x.Schemes {
		s := &x.Schemes[i]
		if s.Basic != (scheme == "basic") {
			continue
		}
		if s.Basic {
			want := base64.StdEncoding.EncodeToString([]byte(x.User + ":" + x.Password))
			return got[""] == want, false, true
		}
		if !strings.EqualFold(got["algorithm"], s.Algorithm) {
			continue
		}
		ok := got["username"] == x.User && got["realm"] == unescape(s.Realm) && got["uri"] == r.URI && got["opaque"] == s.Opaque
		want := s.response(x, r, got)
		ok = ok && got["response"] == want
		if s.QOP != "" && got["qop"] != "auth" {
			ok = false
		}
		known := got["nonce"] == p.nonce && p.nonce != "" || x.Carry && got["nonce"] == x.last
		switch {
		case known && (x.Once && x.used[got["nonce"]] || x.Expires > 0 && time.Since(x.given) > x.Expires):
			known = false
		case known && x.Once:
			if x.used == nil {
				x.used = map[string]bool{}
			}
			x.used[got["nonce"]] = true
		}
		return ok && known, ok && !known, true
	}
	return false, false, true
}

func (s *Scheme) response(x *Auth, r *Request, got map[string]string) string {
	name, sess := strings.CutSuffix(strings.ToUpper(s.Algorithm), "-SESS")
	h := func(v string) string {
		var f hash.Hash
		switch name {
		case "SHA-256":
			f = sha256.New()
		case "SHA-512-256":
			f = sha512.New512_256()
		default:
			f = md5.New()
		}
		f.Write([]byte(v))
		return fmt.Sprintf("%x", f.Sum(nil))
	}
	ha1 := h(x.User + ":" + unescape(s.Realm) + ":" + x.Password)
	if sess {
		ha1 = h(ha1 + ":" + got["nonce"] + ":" + got["cnonce"])
	}
	ha2 := h(r.Method + ":" + r.URI)
	if s.QOP == "" {
		return h(ha1 + ":" + got["nonce"] + ":" + ha2)
	}
	return h(strings.Join([]string{ha1, got["nonce"], got["nc"], got["cnonce"], got["qop"], ha2}, ":"))
}

func unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s)
}

// authorization reads the header that clients sign with; Basic's text is under "".
func authorization(v string) (scheme string, params map[string]string) {
	scheme, rest, _ := strings.Cut(v, " ")
	scheme = strings.ToLower(scheme)
	params = map[string]string{}
	if scheme == "basic" {
		params[""] = rest
		return scheme, params
	}
	for rest != "" {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		name = strings.ToLower(strings.Trim(name, " ,"))
		var value string
		if strings.HasPrefix(after, `"`) {
			i := 1
			for i < len(after) && after[i] != '"' {
				if after[i] == '\\' {
					i++
				}
				i++
			}
			i = min(i, len(after)-1)
			value, rest = unescape(after[1:i]), after[i+1:]
		} else {
			value, rest, _ = strings.Cut(after, ",")
		}
		params[name] = value
	}
	return scheme, params
}
