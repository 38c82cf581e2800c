package onvif

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrUnauthorized is wrapped by every error that a missing or refused password
// caused. Who gets it should wait before the next try: cameras lock accounts
// after a handful of wrong passwords.
var ErrUnauthorized = errors.New("the camera refused the credentials")

// Fault is a SOAP fault (SOAP 1.2 part 1 §5.4) in the camera's words, made printable.
type Fault struct {
	Code   string // "Sender/NotAuthorized", "Receiver/ActionNotSupported", …
	Reason string
}

func (e *Fault) Error() string {
	s := "fault"
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// refused reports whether it is about who asks (ONVIF Core §5.12.2.4).
func (e *Fault) refused() bool {
	code := strings.ToLower(e.Code)
	return strings.Contains(code, "notauthorized") || strings.Contains(code, "failedauthentication") || strings.Contains(code, "invalidsecurity")
}

// Namespaces of services and messages.
const (
	nsDevice = "http://www.onvif.org/ver10/device/wsdl"
	nsMedia  = "http://www.onvif.org/ver10/media/wsdl"
	nsMedia2 = "http://www.onvif.org/ver20/media/wsdl"
	nsSchema = "http://www.onvif.org/ver10/schema"
)

// envelope is a request. header may be empty.
func envelope(header, body string) string {
	if header != "" {
		header = "<s:Header>" + header + "</s:Header>"
	}
	return `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">` +
		header + `<s:Body>` + body + `</s:Body></s:Envelope>`
}

// usernameToken is the WS-Security header with a PasswordDigest (OASIS Username
// Token Profile 1.0 §3.1). created is by the camera's clock: it refuses what is
// too old or in its future.
func usernameToken(username, password string, nonce []byte, created time.Time) string {
	const (
		wsse = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
		wsu  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
		kind = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
		b64  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
	)
	at := created.UTC().Format("2006-01-02T15:04:05Z")
	h := sha1.New()
	h.Write(nonce)
	h.Write([]byte(at + password))
	encode := base64.StdEncoding.EncodeToString
	return `<wsse:Security s:mustUnderstand="1" xmlns:wsse="` + wsse + `" xmlns:wsu="` + wsu + `"><wsse:UsernameToken>` +
		`<wsse:Username>` + escape(username) + `</wsse:Username>` +
		`<wsse:Password Type="` + kind + `">` + encode(h.Sum(nil)) + `</wsse:Password>` +
		`<wsse:Nonce EncodingType="` + b64 + `">` + encode(nonce) + `</wsse:Nonce>` +
		`<wsu:Created>` + at + `</wsu:Created></wsse:UsernameToken></wsse:Security>`
}

func newNonce() []byte {
	nonce := make([]byte, 16)
	rand.Read(nonce)
	return nonce
}

// openEnvelope returns what is in the body of an answer, or its fault.
func openEnvelope(content []byte) (*element, error) {
	root, err := parse(content)
	if err != nil {
		return nil, err
	}
	if root.name != "Envelope" {
		return nil, fmt.Errorf("no SOAP: the answer is a %q", printable(root.name))
	}
	body := root.child("Body")
	if body == nil || len(body.children) == 0 {
		return nil, errors.New("SOAP without a body")
	}
	if f := body.child("Fault"); f != nil {
		return nil, faultOf(f)
	}
	return body.children[0], nil
}

// faultOf reads a fault of SOAP 1.2, or of 1.1, which some cameras still speak.
func faultOf(f *element) *Fault {
	var codes []string
	for code := f.child("Code"); code != nil && len(codes) < 4; code = code.child("Subcode") {
		if v := localName(code.string("Value")); v != "" {
			codes = append(codes, v)
		}
	}
	if len(codes) == 0 {
		if v := localName(f.string("faultcode")); v != "" {
			codes = append(codes, v)
		}
	}
	reason := f.string("Reason", "Text")
	if reason == "" {
		reason = f.string("faultstring")
	}
	return &Fault{Code: printable(strings.Join(codes, "/")), Reason: printable(reason)}
}

// localName is a QName without its prefix.
func localName(q string) string { return q[strings.LastIndexByte(q, ':')+1:] }
