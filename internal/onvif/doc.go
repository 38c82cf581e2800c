// Package onvif asks cameras what they are and where their streams are: the
// client's side of ONVIF's device and media services, and WS-Discovery.
//
//	Discover   who is there            UDP, WS-Discovery 1.0 (April 2005)
//	Open       one camera's services   SOAP 1.2 over HTTP, ONVIF Core
//	Locator    url = "onvif://…"       → the stream's RTSP URL, again and again
//
// A camera is not trusted. What it says is read with bounds (tree.go), what of it
// is shown is made printable, and where it says to go is a hint: the host that
// was asked stays the host that is asked, and credentials go nowhere else. Of the
// password only digests are sent, and only when the camera asks for them.
//
// No function leaves a goroutine behind; Device.Close ends the connections.
package onvif

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of what a camera may say (SEC-01, SEC-08).
const (
	maxBody    = 1 << 20  // bytes of a SOAP answer
	maxDepth   = 32       // of its elements
	maxTokens  = 20_000   // tags, attributes, texts and comments in it
	maxToken   = 32 << 10 // bytes of one of them; what a tag's attributes cost is bounded by it
	maxHeaders = 16 << 10 // bytes of an HTTP answer's header

	maxRedirects = 3   // SEC-04
	maxServices  = 64  // of a camera
	maxProfiles  = 128 // of a camera
	maxNotes     = 16  // what is odd about a camera
	maxTokenText = 256 // bytes of a profile's token; ONVIF allows 64

	exchangeTimeout = 10 * time.Second // one question and its answer
	connectTimeout  = 5 * time.Second
)

const maxForeignText = 256 // bytes of a camera's words that are shown (SEC-09)

// printable makes text from outside fit for logs and terminals: short, valid
// UTF-8, no control, escape or direction characters.
func printable(s string) string {
	s = strings.TrimSpace(s)
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
