package rtsp

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrUnauthorized is wrapped by every error that a missing or refused password
// caused. Who gets it should wait before the next try: cameras lock accounts
// after a handful of wrong passwords.
var ErrUnauthorized = errors.New("the camera refused the credentials")

// ErrNoMedia says that DESCRIBE was answered, but with nothing to SETUP.
var ErrNoMedia = errors.New("the SDP has no usable media")

// ErrTransport says that the camera refuses the transport that it was asked for.
var ErrTransport = errors.New("the camera does not take this transport")

// ErrSilent says that PLAY was answered and not one packet followed: with
// another transport some may.
var ErrSilent = errors.New("not one packet came")

// ErrHungUp says that the camera ended the connection, or the stream.
var ErrHungUp = errors.New("the camera closed the connection")

// errBye says that the camera sent RTCP BYE and nothing after it.
var errBye = fmt.Errorf("%w: it said BYE and fell silent", ErrHungUp)

// errOrphaned says that media in datagrams ended after the camera had hung up.
var errOrphaned = fmt.Errorf("%w, and the media ended", ErrHungUp)

// StatusError is a final answer that is not 2xx.
type StatusError struct {
	Method string
	Code   int
	Reason string // the camera's words, made printable
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s: %d %s", e.Method, e.Code, e.Reason))
}

// A limitError says which limit the camera's bytes went over.
type limitError struct {
	what  string
	limit int
}

func (e *limitError) Error() string {
	return fmt.Sprintf("%s: over the limit of %d", e.what, e.limit)
}

const maxForeignText = 256 // bytes of a camera's words in an error or a log line

// printable makes text from outside fit for logs and terminals: short, valid
// UTF-8, no control, escape or direction characters.
func printable(s string) string {
	if len(s) > maxForeignText {
		s = strings.ToValidUTF8(s[:maxForeignText], "")
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// hasControl reports whether s could break out of a header line.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
