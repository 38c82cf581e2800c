package rtsp

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// challenge is one offer of a WWW-Authenticate header (RFC 7616 §3.3, RFC 7617).
type challenge struct {
	scheme    string // "digest", "basic", or what else, lower case
	realm     string
	nonce     string
	opaque    string
	hasOpaque bool
	algorithm string // as written; "" means MD5
	qop       bool   // the camera listed qop values
	qopAuth   bool   // "auth" is one of them
	stale     bool
}

const maxChallenges = 16 // of one answer; cameras send two

// parseChallenges reads one header value, which may hold several challenges.
// Blanks after commas are optional, and quoted strings may have escaped quotes.
func parseChallenges(v string) []challenge {
	var cs []challenge
	p := v
	for {
		p = strings.TrimLeft(p, " \t,")
		if p == "" || len(cs) > maxChallenges {
			return cs
		}
		n := strings.IndexAny(p, " \t,=")
		if n < 0 {
			n = len(p)
		}
		name := p[:n]
		rest := strings.TrimLeft(p[n:], " \t")
		if n == 0 || !strings.HasPrefix(rest, "=") { // a scheme, or a stray "="
			p = strings.TrimPrefix(rest, "=")
			if name != "" {
				cs = append(cs, challenge{scheme: strings.ToLower(name)})
			}
			continue
		}
		var value string
		value, p = parseValue(strings.TrimLeft(rest[1:], " \t"))
		if len(cs) > 0 {
			cs[len(cs)-1].set(strings.ToLower(name), value)
		}
	}
}

// parseValue reads a token or a quoted string (RFC 9110 §5.6.4), unescaped.
func parseValue(p string) (value, rest string) {
	if !strings.HasPrefix(p, `"`) {
		n := strings.IndexAny(p, " \t,")
		if n < 0 {
			n = len(p)
		}
		return p[:n], p[n:]
	}
	var b strings.Builder
	for i := 1; i < len(p); i++ {
		switch {
		case p[i] == '"':
			return b.String(), p[i+1:]
		case p[i] == '\\' && i+1 < len(p):
			i++
		}
		b.WriteByte(p[i])
	}
	return b.String(), "" // the closing quote is missing
}

func (c *challenge) set(name, value string) {
	switch name {
	case "realm":
		c.realm = value
	case "nonce":
		c.nonce = value
	case "opaque":
		c.opaque, c.hasOpaque = value, true
	case "algorithm":
		c.algorithm = value
	case "qop":
		c.qop = true
		for q := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r == ' ' }) {
			c.qopAuth = c.qopAuth || strings.EqualFold(q, "auth")
		}
	case "stale":
		c.stale = strings.EqualFold(value, "true")
	}
}

func md5Hex(s string) string    { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) }
func sha256Hex(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
func sha512Hex(s string) string { h := sha512.Sum512_256([]byte(s)); return hex.EncodeToString(h[:]) }

// hash returns the digest's hash function; sess tells the -sess variant.
func (c *challenge) hash() (h func(string) string, sess bool) {
	name, sess := strings.CutSuffix(strings.ToUpper(c.algorithm), "-SESS")
	switch name {
	case "", "MD5":
		return md5Hex, sess
	case "SHA-256":
		return sha256Hex, sess
	case "SHA-512-256":
		return sha512Hex, sess
	}
	return nil, false
}

// strength orders what we can answer; 0 is what we can't. SHA-256 goes before
// SHA-512-256 because more cameras were seen to get it right.
func (c *challenge) strength() int {
	switch c.scheme {
	case "basic":
		return 1
	case "digest":
		if c.nonce == "" || c.qop && !c.qopAuth {
			return 0
		}
		switch h, _ := c.hash(); {
		case h == nil:
			return 0
		case strings.HasPrefix(strings.ToUpper(c.algorithm), "SHA-256"):
			return 4
		case strings.HasPrefix(strings.ToUpper(c.algorithm), "SHA-512"):
			return 3
		}
		return 2
	}
	return 0
}

// authenticator signs the requests of one session. A nonce belongs to a
// connection; it is kept over a redial only to be tried first, for cameras that
// close the connection with each 401 (VStarcam).
type authenticator struct {
	username, password string

	chosen   *challenge
	count    uint32 // requests signed with chosen's nonce
	fresh    bool   // chosen came on this connection
	accepted bool   // and a request signed with it was let in
	refused  bool   // a signed request was, and none let in since
	doubted  bool   // it called a fresh nonce stale, and got another try

	memory *Memory       // what outlasts the session
	cnonce func() string // tests fix it
}

var errWrongPassword = errors.New("wrong user or password")

// challenged takes in a 401. nil: sign the request again; an error: asking
// again makes no sense. signed says whether the refused request was signed.
func (a *authenticator) challenged(values []string, signed bool) error {
	a.refused = a.refused || signed
	var best *challenge
	for _, v := range values {
		for _, c := range parseChallenges(v) {
			a.memory.digest = a.memory.digest || c.scheme == "digest"
			if best == nil || c.strength() > best.strength() {
				best = &c
			}
		}
	}
	switch {
	case a.username == "" && a.password == "":
		return errors.New("it asks for a user and a password, and none is configured")
	case best == nil:
		return errors.New("it refuses without saying what it wants (no WWW-Authenticate)")
	case best.strength() == 0:
		return fmt.Errorf("it wants what is not supported: %s %s", printable(best.scheme), printable(best.algorithm))
	case best.scheme == "basic" && a.memory.digest:
		return errors.New("it offered Digest and now asks for Basic: refused as a downgrade")
	case signed && best.scheme == "basic":
		return errWrongPassword
	case signed && a.fresh && !a.accepted:
		// A nonce that was just given is not stale. It may be that the camera
		// counts differently; it may be that it says so of each wrong password,
		// and locks the account: it is believed as long as that helps.
		if !best.stale || a.doubted || a.memory.staleLies {
			a.memory.staleLies = a.memory.staleLies || a.doubted
			return errWrongPassword
		}
		a.doubted = true
	}
	a.chosen, a.count, a.fresh, a.accepted = best, 0, true, false
	return nil
}

// redialled says that a new connection begins.
func (a *authenticator) redialled() { a.fresh, a.accepted = false, false }

// authorization is the header's value for a request, "" while nobody asked.
// uri is byte-equal to the request line's.
func (a *authenticator) authorization(method, uri string) string {
	c := a.chosen
	if c == nil {
		return ""
	}
	if c.scheme == "basic" {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.username+":"+a.password))
	}
	a.count++
	hash, sess := c.hash()
	nc, cnonce := fmt.Sprintf("%08x", a.count), ""
	if c.qopAuth || sess {
		cnonce = a.newCnonce()
	}
	ha1 := hash(a.username + ":" + c.realm + ":" + a.password)
	if sess {
		ha1 = hash(ha1 + ":" + c.nonce + ":" + cnonce)
	}
	ha2 := hash(method + ":" + uri)
	var b strings.Builder
	fmt.Fprintf(&b, `Digest username=%s, realm=%s, nonce=%s, uri=%s`, quote(a.username), quote(c.realm), quote(c.nonce), quote(uri))
	if c.qopAuth {
		fmt.Fprintf(&b, `, response="%s"`, hash(ha1+":"+c.nonce+":"+nc+":"+cnonce+":auth:"+ha2))
	} else {
		fmt.Fprintf(&b, `, response="%s"`, hash(ha1+":"+c.nonce+":"+ha2))
	}
	if c.algorithm != "" {
		b.WriteString(", algorithm=" + c.algorithm)
	}
	if c.hasOpaque {
		b.WriteString(", opaque=" + quote(c.opaque))
	}
	if c.qopAuth {
		b.WriteString(", qop=auth, nc=" + nc)
	}
	if cnonce != "" {
		b.WriteString(", cnonce=" + quote(cnonce))
	}
	return b.String()
}

func (a *authenticator) newCnonce() string {
	if a.cnonce != nil {
		return a.cnonce()
	}
	return rand.Text()
}

// quote writes a quoted string (RFC 9110 §5.6.4).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
