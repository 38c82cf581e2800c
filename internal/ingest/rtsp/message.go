package rtsp

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// What a camera may make us keep (SEC-01). Each is checked before the memory
// is taken: a message is parsed where it lies in the receive buffer.
const (
	maxLineBytes   = 4 << 10   // one header line
	maxHeaders     = 64        // header lines of a message
	maxHeaderBytes = 16 << 10  // all of them with the start line
	maxBodyBytes   = 256 << 10 // SDP with parameter sets needs 2 to 8 KiB
)

// errNotMessage says that what begins like a message is none.
var errNotMessage = errors.New("not an RTSP message")

type header struct{ name, value string }

// message is an answer or a request of the camera (RFC 2326 §6, §7).
type message struct {
	code   int    // of an answer; 0: a request
	reason string // of an answer, printable
	method string // of a request

	headers []header
	body    []byte // a copy
}

// get returns the last header of that name: when a camera sends two Session
// lines the second one counts.
func (m *message) get(name string) string {
	for i := len(m.headers) - 1; i >= 0; i-- {
		if strings.EqualFold(m.headers[i].name, name) {
			return m.headers[i].value
		}
	}
	return ""
}

func (m *message) all(name string) []string {
	var v []string
	for _, h := range m.headers {
		if strings.EqualFold(h.name, name) {
			v = append(v, h.value)
		}
	}
	return v
}

// cseq is the answer's CSeq, or -1: some cameras leave it out or write rubbish.
func (m *message) cseq() int {
	n, err := strconv.Atoi(m.get("CSeq"))
	if err != nil {
		return -1
	}
	return n
}

// serverMethods are what a camera may ask of us (RFC 2326 §10, and REDIRECT).
var serverMethods = []string{"OPTIONS", "ANNOUNCE", "GET_PARAMETER", "SET_PARAMETER", "TEARDOWN", "REDIRECT", "PLAY_NOTIFY", "DESCRIBE", "PAUSE", "PLAY"}

const answerStart = "RTSP/1."

// An answer to "may this be so?" while more bytes may come.
type verdict uint8

const (
	no verdict = iota
	maybe
	yes
)

// messageStarts reports whether b begins like a message.
func messageStarts(b []byte) verdict {
	v := startsWith(b, answerStart)
	for _, m := range serverMethods {
		if v == yes {
			break
		}
		v = max(v, startsWith(b, m+" "))
	}
	return v
}

func startsWith(b []byte, prefix string) verdict {
	switch n := min(len(b), len(prefix)); {
	case string(b[:n]) != prefix[:n]:
		return no
	case n < len(prefix):
		return maybe
	}
	return yes
}

// parseMessage reads one message with its body from the beginning of b and
// says how long it is; (nil, 0, nil) means that more bytes are needed. Line
// ends may be LF alone, lines may have trailing blanks (Longse).
func parseMessage(b []byte) (*message, int, error) {
	m := new(message)
	pos := 0
	for first := true; ; first = false {
		nl := bytes.IndexByte(b[pos:min(len(b), pos+maxLineBytes+1)], '\n')
		switch {
		case nl < 0 && len(b)-pos > maxLineBytes:
			return nil, 0, &limitError{"bytes of a header line", maxLineBytes}
		case nl < 0 && pos >= maxHeaderBytes, pos+nl >= maxHeaderBytes:
			return nil, 0, &limitError{"bytes of message headers", maxHeaderBytes}
		case nl < 0:
			return nil, 0, nil
		}
		line := strings.TrimSuffix(string(b[pos:pos+nl]), "\r")
		pos += nl + 1
		switch {
		case first:
			if !m.startLine(strings.TrimSpace(line)) {
				return nil, 0, errNotMessage
			}
			continue
		case line != "":
			if len(m.headers) == maxHeaders {
				return nil, 0, &limitError{"header lines of a message", maxHeaders}
			}
			m.headerLine(line)
			continue
		}
		break
	}
	length, err := strconv.Atoi(m.get("Content-Length"))
	if err != nil || length < 0 {
		length = 0
	}
	if length > maxBodyBytes {
		return nil, 0, &limitError{"bytes of a message body", maxBodyBytes}
	}
	if len(b)-pos < length {
		return nil, 0, nil
	}
	m.body = bytes.Clone(b[pos : pos+length])
	return m, pos + length, nil
}

func (m *message) startLine(line string) bool {
	first, rest, _ := strings.Cut(line, " ")
	if strings.HasPrefix(first, answerStart) {
		code, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.Atoi(code)
		if err != nil || n < 100 || n > 999 {
			return false
		}
		m.code, m.reason = n, printable(strings.TrimSpace(reason))
		return true
	}
	m.method = first
	return strings.Contains(rest, answerStart)
}

// headerLine takes in one line; a folded one continues the line before it, and
// one without a colon is left out.
func (m *message) headerLine(line string) {
	if line[0] == ' ' || line[0] == '\t' {
		if n := len(m.headers); n > 0 {
			m.headers[n-1].value += " " + strings.TrimSpace(line)
		}
		return
	}
	if name, value, ok := strings.Cut(line, ":"); ok {
		m.headers = append(m.headers, header{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
}

// appendRequest writes a request without a body (RFC 2326 §6).
func appendRequest(b []byte, method, uri string, headers []header) []byte {
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, uri...)
	b = append(b, " RTSP/1.0\r\n"...)
	return appendHeaders(b, headers)
}

// appendAnswer writes an answer to a request of the camera.
func appendAnswer(b []byte, status string, headers []header) []byte {
	b = append(b, "RTSP/1.0 "...)
	b = append(b, status...)
	b = append(b, "\r\n"...)
	return appendHeaders(b, headers)
}

func appendHeaders(b []byte, headers []header) []byte {
	for _, h := range headers {
		b = append(b, h.name...)
		b = append(b, ": "...)
		b = append(b, h.value...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}
