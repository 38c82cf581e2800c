package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

var idPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func (d *decoder) camera(t table, storage Storage) (c Camera, idAt place) {
	t.checkNames()
	c = Camera{
		Transport:            "auto",
		Audio:                t.flag("audio"),
		Enabled:              t.flag("enabled"),
		MaxReconnectAttempts: t.number("max_reconnect_attempts"),
	}
	id, idAt, ok := t.text("id")
	if !ok {
		t.missing("id", `name the camera, e.g. id = "cam1"`)
	} else if d.id(idAt, t.key+".id", id, "; the name can be longer") {
		c.ID = id
	}
	c.Name = c.ID
	if name, at, ok := t.text("name"); ok {
		c.Name = name
		if len(name) > maxNameLength || strings.ContainsFunc(name, unicode.IsControl) {
			d.wrong(at, t.key+".name", "is too long or has control characters", fmt.Sprintf("use at most %d bytes of printable text", maxNameLength))
		}
	}
	d.source(t, &c)
	d.streams(t, &c)
	d.transport(t, &c)
	d.keeping(t, &c, storage)
	return c, idAt
}

// id checks a word that names a camera or a volume.
func (d *decoder) id(at place, key, id, whenLong string) bool {
	switch {
	case !idPattern.MatchString(id) || strings.Trim(id, ".") == "":
		d.wrong(at, key, fmt.Sprintf("%q has characters that an id cannot have", shorten(id)), "use letters, digits, - _ and .")
	case len(id) > maxIDLength:
		d.wrong(at, key, fmt.Sprintf("is %d characters long", len(id)), fmt.Sprintf("use at most %d%s", maxIDLength, whenLong))
	default:
		return true
	}
	return false
}

// keeping reads where the camera's footage goes and for how long.
func (d *decoder) keeping(t table, c *Camera, storage Storage) {
	if name, at, ok := t.text("volume"); ok {
		c.Volume = name
		v, known := storage.Find(name)
		switch {
		case !known:
			remedy := "there are: " + strings.Join(storage.names(), ", ")
			if near := nearest(name, storage.names()); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			d.wrong(at, t.key+".volume", fmt.Sprintf("there is no volume %q", shorten(name)), remedy)
		case v.Retired && c.Enabled:
			d.wrong(at, t.key+".volume", fmt.Sprintf("volume %q is retired: nothing is written there", name), "name another one, or take the line out")
		}
	}
	c.MinDays, c.MaxDays = t.number("min_days"), t.number("max_days")
	if c.MaxDays > 0 && c.MinDays > c.MaxDays {
		d.wrong(t.node.find("min_days").at, t.key+".min_days", fmt.Sprintf("%d is more than max_days = %d", c.MinDays, c.MaxDays), "raise max_days, or lower min_days")
	}
}

// address reads where the camera is and what opens it.
func (d *decoder) address(t table, c *Camera) {
	raw, at, ok := t.text("url")
	if !ok && c.Source == SourceURL {
		t.missing("url", `say where the camera is, e.g. url = "rtsp://192.168.1.10:554/stream1"`)
	}
	var inURL userinfo
	if ok {
		key := t.key + ".url"
		expanded, missing := d.expandURL(raw)
		if missing != "" {
			d.noVariable(at, key, missing)
		} else if u, info, wrong := parseURL(expanded); wrong != nil {
			d.wrong(at, key, wrong.what, wrong.remedy)
		} else {
			c.URL, inURL = u, info
			c.urlSecrets = SecretsInURL(u)
		}
	}
	username, usernameAt, hasUsername := d.expanded(t, "username")
	password, passwordAt, hasPassword := d.expanded(t, "password")
	fromFile, fileAt, hasFile := d.passwordFile(t)

	if hasUsername && inURL.username != "" {
		d.wrong(usernameAt, t.key+".username", fmt.Sprintf("is given twice (the URL on line %d has one)", at.line), "keep one of the two")
	}
	switch {
	case hasPassword && inURL.hasPassword:
		d.wrong(passwordAt, t.key+".password", fmt.Sprintf("is given twice (the URL on line %d has one)", at.line), "keep one of the two")
	case hasFile && inURL.hasPassword:
		d.wrong(fileAt, t.key+".password_file", fmt.Sprintf("is a second password (the URL on line %d has one)", at.line), "keep one of the two")
	case hasFile && hasPassword:
		d.wrong(fileAt, t.key+".password_file", fmt.Sprintf("is a second password (first on line %d)", passwordAt.line), "keep one of the two")
	}

	c.Username = inURL.username
	if hasUsername {
		c.Username = username
	}
	switch {
	case hasPassword:
		c.Password = NewSecret(password)
	case hasFile:
		c.Password = NewSecret(fromFile)
	case inURL.hasPassword:
		c.Password = NewSecret(inURL.password)
	}
	if c.Source == SourceURL && c.Username == "" && (hasPassword || hasFile) && t.node.find("username") == nil {
		d.wrong(t.node.at, t.key+".username", "is missing, but there is a password", `write username = "…"`)
	}
}

// passwordFile reads the first line of the file.
func (d *decoder) passwordFile(t table) (password string, at place, ok bool) {
	path, at, ok := t.text("password_file")
	if !ok {
		return "", at, false
	}
	key := t.key + ".password_file"
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.dir, path)
	}
	content, mode, err := d.readFile(path, maxSecretBytes)
	if err != nil {
		var inPath *fs.PathError
		if errors.As(err, &inPath) {
			err = inPath.Err
		}
		d.wrong(at, key, fmt.Sprintf("cannot be read (%v)", err), "put the password into that file and let the recorder's user read it")
		return "", at, false
	}
	if mode.Perm()&0o077 != 0 {
		d.warn(at, key, fmt.Sprintf("can be read by others (mode %04o)", mode.Perm()), "chmod 600 it")
	}
	password, _, _ = strings.Cut(string(content), "\n")
	password = strings.TrimSuffix(password, "\r")
	if password == "" {
		d.wrong(at, key, "is a file whose first line is empty", "put the password there")
		return "", at, false
	}
	return password, at, true
}

// variable is ${NAME}; $${NAME} stands for itself.
var variable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func (d *decoder) noVariable(at place, key, name string) {
	d.wrong(at, key, fmt.Sprintf("the environment variable %s is not set", name), "set it, or write $${"+name+"} if these characters are meant")
}

// expanded returns a text with its variables replaced.
func (d *decoder) expanded(t table, name string) (s string, at place, ok bool) {
	s, at, ok = t.text(name)
	if !ok {
		return "", at, false
	}
	s, missing := d.expand(s, func(value string) string { return value })
	if missing != "" {
		d.noVariable(at, t.key+"."+name, missing)
		return "", at, false
	}
	return s, at, true
}

func (d *decoder) expand(s string, encode func(string) string) (expanded, missing string) {
	expanded = variable.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name := m[len("${") : len(m)-len("}")]
		value, found := d.env(name)
		if !found && missing == "" {
			missing = name
		}
		return encode(value)
	})
	return expanded, missing
}

// expandURL replaces variables. Between "://" and "@" a value is user or
// password and may have any character, so it is encoded there.
func (d *decoder) expandURL(raw string) (expanded, missing string) {
	scheme, rest, ok := strings.Cut(raw, "://")
	userinfo, hostAndPath, ok2 := strings.Cut(rest, "@")
	if !ok || !ok2 {
		return d.expand(raw, func(value string) string { return value })
	}
	var missing2, missing3 string
	scheme, missing = d.expand(scheme, func(value string) string { return value })
	userinfo, missing2 = d.expand(userinfo, encodeUserinfo)
	hostAndPath, missing3 = d.expand(hostAndPath, func(value string) string { return value })
	for _, m := range []string{missing2, missing3} {
		if missing == "" {
			missing = m
		}
	}
	return scheme + "://" + userinfo + "@" + hostAndPath, missing
}

func encodeUserinfo(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// userinfo is the part of a URL before the @, decoded (RFC 3986 §3.2.1).
type userinfo struct {
	username, password string
	hasPassword        bool
}

type urlProblem struct{ what, remedy string }

const useKeys = "write user and password with the keys username and password, as they are"

// parseURL checks an RTSP URL and takes the credentials out of it. What it says
// never quotes a part that may be a password.
func parseURL(raw string) (string, userinfo, *urlProblem) {
	none := userinfo{}
	fail := func(what, remedy string) (string, userinfo, *urlProblem) {
		return "", none, &urlProblem{what, remedy}
	}
	if len(raw) > maxURLLength {
		return fail("is too long", fmt.Sprintf("use at most %d bytes", maxURLLength))
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) || !utf8.ValidString(raw) {
		return fail("has a space or control character in it", "take it out, or write it as %20")
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return fail("is not a URL", `write "rtsp://host:554/path"`)
	}
	if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`).MatchString(scheme) {
		return fail("is not a URL", `write "rtsp://host:554/path"`)
	}
	scheme = strings.ToLower(scheme)
	if scheme != "rtsp" && scheme != "rtsps" && scheme != "onvif" {
		return fail(fmt.Sprintf("%s:// is not supported by this version", shorten(scheme)), `write "rtsp://host:554/path"`)
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	authority, tail := rest[:end], rest[end:]
	hostport := authority[strings.LastIndexByte(authority, '@')+1:]
	// A colon followed by what is no port, with an @ further on: the password was cut in two.
	cut := !strings.Contains(authority, "@") && strings.Contains(tail, "@") && checkHost(hostport) != ""
	switch {
	case strings.Count(authority, "@") > 1:
		return fail("has more than one @: is there one in the password?", useKeys+" (or write @ as %40)")
	case cut && tail[0] == '#' || strings.Contains(tail, "#") && strings.Contains(tail[strings.IndexByte(tail, '#'):], "@"):
		return fail("has a # before an @: is there one in the password?", useKeys+" (or write # as %23)")
	case cut:
		return fail("has a "+tail[:1]+" before the @: is there one in the password?", useKeys+fmt.Sprintf(" (or write %c as %%%X)", tail[0], tail[0]))
	case strings.Contains(tail, "#"):
		return fail("has a #, which a stream's URL cannot have", "write # as %23, or take it and what follows out")
	}
	switch wrong := checkHost(hostport); {
	case scheme == "onvif" && strings.HasPrefix(strings.ToLower(hostport), "urn:"):
		if !endpointReference.MatchString(hostport) || strings.Trim(tail, "/") != "" {
			return fail("has an endpoint reference that is none", `write "onvif://urn:uuid:" and the 36 characters that nvr discover shows`)
		}
		tail = ""
	case wrong != "" && scheme == "onvif":
		return fail(wrong, `write "onvif://host"`)
	case wrong != "":
		return fail(wrong, `write "rtsp://host:554/path"`)
	}
	info := none
	if len(hostport) < len(authority) {
		username, password, hasPassword := strings.Cut(authority[:len(authority)-len(hostport)-1], ":")
		var err1, err2 error
		info.username, err1 = url.PathUnescape(username)
		info.password, err2 = url.PathUnescape(password)
		info.hasPassword = hasPassword && password != ""
		if err1 != nil || err2 != nil {
			return fail("has a % in user or password that begins no %XX", useKeys+" (or write % as %25)")
		}
	}
	clean := scheme + "://" + hostport + tail
	if _, err := url.Parse("rtsp://host" + tail); err != nil {
		return fail("has a % that begins no %XX, or a character that a URL cannot have", "write % as %25")
	}
	return clean, info, nil
}

// endpointReference is how ONVIF names a camera whatever its address is.
var endpointReference = regexp.MustCompile(`(?i)^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// IsONVIF reports whether the URL of a camera is to be looked up.
func IsONVIF(url string) bool { return strings.HasPrefix(url, "onvif://") }

// ParseURL reads the URL of a camera that stands on a command line: a Camera with
// URL, Username and Password. The error does not quote what may be a password.
func ParseURL(raw string) (Camera, error) {
	clean, info, wrong := parseURL(raw)
	if wrong != nil {
		return Camera{}, fmt.Errorf("the URL %s: %s", wrong.what, wrong.remedy)
	}
	c := Camera{URL: clean, Record: Main, Enabled: true, Username: info.username, urlSecrets: SecretsInURL(clean)}
	if info.hasPassword {
		c.Password = NewSecret(info.password)
	}
	return c, nil
}

// checkHost says what is wrong with host or host:port, quoting nothing.
func checkHost(hostport string) string {
	if strings.HasSuffix(hostport, ":") {
		return "has no port after the colon"
	}
	u, err := url.Parse("rtsp://" + hostport)
	if err != nil && strings.HasPrefix(hostport, "[") && strings.Contains(hostport, "%") {
		return "has a zone that is not written like [fe80::1%25eth0]"
	}
	if err != nil {
		return "has a host or a port that is none"
	}
	if u.Hostname() == "" {
		return "has no host"
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "has a port that is not within 1…65535"
		}
	}
	return ""
}

// inURL finds passwords where some vendors put them: /user=admin&password=secret&channel=1.
var inURL = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:password|passwd|pwd|pass)=(.+?)(?:_channel=|[&;/?]|$)`)

// SecretsInURL are the passwords in the path or query of a camera's URL.
func SecretsInURL(u string) []Secret {
	var all []Secret
	for _, m := range inURL.FindAllStringSubmatch(u, -1) {
		all = append(all, NewSecret(m[1]))
		if decoded, err := url.PathUnescape(m[1]); err == nil && decoded != m[1] {
			all = append(all, NewSecret(decoded))
		}
	}
	return all
}

// shorten keeps a message on one line.
func shorten(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
