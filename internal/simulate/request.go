package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// request is an RTSP request without its body, which no method here needs.
type request struct {
	method, url string
	header      map[string]string // by lower-case name; repeated lines joined by commas
}

// requestError is a request that cannot be understood. The connection ends
// after the answer: nobody knows where the next request begins.
type requestError struct {
	status string
	reason string
}

func (e *requestError) Error() string { return e.status + ": " + e.reason }

const (
	statusBadRequest = "400 Bad Request"
	statusTooLarge   = "413 Request Entity Too Large"
	statusVersion    = "505 RTSP Version Not Supported"
)

// readRequest reads a request: RFC 2326 §6, RFC 2068 §4. Lines may end with LF
// alone, header lines may be folded. r's buffer holds maxRequestLine bytes.
func readRequest(r *bufio.Reader) (*request, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	words := strings.Split(line, " ")
	if len(words) != 3 || words[0] == "" || words[1] == "" {
		return nil, &requestError{statusBadRequest, "request line"}
	}
	if words[2] != "RTSP/1.0" {
		return nil, &requestError{statusVersion, "version " + strconv.Quote(words[2])}
	}
	req := &request{method: words[0], url: words[1]}
	if req.header, err = readHeader(r); err != nil {
		return nil, err
	}
	return req, discardBody(r, req.header["content-length"])
}

func readHeader(r *bufio.Reader) (map[string]string, error) {
	header := make(map[string]string)
	name, size, lines := "", 0, 0
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		if line == "" {
			return header, nil
		}
		size += len(line)
		if lines++; lines > maxHeaders || size > maxHeaderBytes {
			return nil, &requestError{statusTooLarge, "header"}
		}
		if line[0] == ' ' || line[0] == '\t' {
			if name == "" {
				return nil, &requestError{statusBadRequest, "folded line without a header"}
			}
			header[name] += " " + strings.Trim(line, " \t")
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if name = strings.ToLower(strings.TrimRight(key, " \t")); !ok || name == "" {
			return nil, &requestError{statusBadRequest, "header line without a name"}
		}
		value = strings.Trim(value, " \t")
		if before, repeated := header[name]; repeated {
			value = before + ", " + value
		}
		header[name] = value
	}
}

// readLine reads a line without its end.
func readLine(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", &requestError{statusTooLarge, fmt.Sprintf("a line longer than %d bytes", r.Size())}
	}
	if err != nil {
		return "", unexpected(err)
	}
	line := strings.TrimSuffix(string(b[:len(b)-1]), "\r")
	if strings.ContainsAny(line, "\r\x00") {
		return "", &requestError{statusBadRequest, "a control character"}
	}
	return line, nil
}

func discardBody(r *bufio.Reader, length string) error {
	if length == "" {
		return nil
	}
	n, err := strconv.ParseUint(length, 10, 32)
	if err != nil {
		return &requestError{statusBadRequest, "Content-Length"}
	}
	if n > maxRequestBody {
		return &requestError{statusTooLarge, fmt.Sprintf("a body of %d bytes", n)}
	}
	_, err = r.Discard(int(n))
	return unexpected(err)
}

// unexpected tells an end in the middle of a request from one between requests.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// target is what a URL names: "rtsp://host:port/cam3/trackID=0" is camera 3's
// first track. track is -1 where the URL names the whole camera. Queries are
// ignored, as clients put all kinds of things there.
func target(url string) (camera, track int, ok bool) {
	if _, rest, found := strings.Cut(url, "://"); found {
		url = rest
	}
	_, path, _ := strings.Cut(url, "/")
	track = -1
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		switch path[i+1:] {
		case "":
		case videoControl:
			track = 0
		case audioControl:
			track = 1
		default:
			if !strings.Contains(path[:i], "?") {
				return 0, 0, false
			}
		}
	}
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "/")
	digits, found := strings.CutPrefix(path, "cam")
	n, err := strconv.Atoi(digits)
	return n, track, found && err == nil && n > 0
}
