package rtsp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RTSP in HTTP, as QuickTime and Axis made it: what the camera says is the body
// of a GET that never ends, what we say is the Base64 body of a POST that never
// ends either, and a cookie tells the camera that the two belong together. The
// POST is not answered.
const (
	tunnelType = "application/x-rtsp-tunnelled"

	// tunnelLength is what the POST says of its length, since HTTP/1.0 wants one.
	// Everybody's client writes this; no camera was seen to count.
	tunnelLength = 32767
)

// tunnel is one connection made of two.
type tunnel struct {
	net.Conn          // the GET: it is read
	rest     []byte   // of what came with the head of the answer
	post     net.Conn // is written
}

// dialTunnel makes both connections. A 401 is answered here; cameras that want
// the password inside, in RTSP, do not ask for it here.
func (s *Session) dialTunnel(ctx context.Context) (net.Conn, error) {
	s.httpAuth.username, s.httpAuth.password, s.httpAuth.memory = s.o.Username, s.o.Password, s.o.Memory
	cookie := rand.Text()[:22]
	var get net.Conn
	var rest []byte
	for try := 1; ; try++ {
		signed := s.httpAuth.chosen != nil
		conn, err := s.dialCamera(ctx)
		if err != nil {
			return nil, err
		}
		var answer *message
		if answer, rest, err = s.askTunnel(ctx, conn, cookie); err != nil {
			conn.Close()
			return nil, fmt.Errorf("HTTP tunnel: %w", hungUp(err))
		}
		if answer.code == 200 {
			get = conn
			break
		}
		conn.Close()
		err = statusError("GET", answer)
		if answer.code != 401 {
			return nil, fmt.Errorf("HTTP tunnel: %w", err)
		}
		asked := s.httpAuth.challenged(answer.all("WWW-Authenticate"), signed)
		if asked == nil && try == maxTries {
			asked = errors.New("it asked again and again")
		}
		if asked != nil {
			return nil, fmt.Errorf("HTTP tunnel: %w: %w: %w", ErrUnauthorized, asked, err)
		}
	}
	s.httpAuth.accepted = s.httpAuth.chosen != nil
	post, err := s.dialCamera(ctx)
	if err != nil {
		get.Close()
		return nil, err
	}
	head := s.tunnelRequest("POST", cookie, "Content-Type: "+tunnelType, "Content-Length: "+strconv.Itoa(tunnelLength), "Expires: Sun, 9 Jan 1972 00:00:00 GMT")
	post.SetWriteDeadline(deadline(ctx))
	if _, err := post.Write(head); err != nil {
		get.Close()
		post.Close()
		return nil, fmt.Errorf("HTTP tunnel: POST: %w", hungUp(err))
	}
	if _, whole := post.(*secured); !whole {
		post = &bigPieces{Conn: post}
	}
	return &tunnel{Conn: get, rest: rest, post: post}, nil
}

// askTunnel sends the GET and reads the head of its answer.
func (s *Session) askTunnel(ctx context.Context, conn net.Conn, cookie string) (*message, []byte, error) {
	conn.SetDeadline(deadline(ctx))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(longAgo) })
	defer stop()
	if _, err := conn.Write(s.tunnelRequest("GET", cookie, "Accept: "+tunnelType)); err != nil {
		return nil, nil, err
	}
	buf := make([]byte, 0, maxHeaderBytes+maxLineBytes)
	for {
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		m, size, bad := parseHTTPAnswer(buf)
		switch {
		case bad != nil:
			return nil, nil, bad
		case m != nil:
			conn.SetDeadline(time.Time{})
			return m, bytes.Clone(buf[size:]), nil
		case err != nil:
			return nil, nil, err
		case len(buf) == cap(buf):
			return nil, nil, &limitError{"bytes of an HTTP answer's head", cap(buf)}
		}
	}
}

// tunnelRequest is the head of one of the two. Its path is the URL's.
func (s *Session) tunnelRequest(method, cookie string, headers ...string) []byte {
	path := s.to.path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	_, host, _ := strings.Cut(s.to.base, "://")
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: %s\r\nx-sessioncookie: %s\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n", method, path, host, s.o.UserAgent, cookie)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if a := s.httpAuth.authorization(method, path); a != "" {
		b.WriteString("Authorization: " + a + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

const httpAnswerStart = "HTTP/1."

// parseHTTPAnswer reads the head of an answer from the beginning of b, and says
// how long it is; (nil, 0, nil) means that more bytes are needed. An RTSP answer
// from a port that speaks nothing else is told from rubbish.
func parseHTTPAnswer(b []byte) (*message, int, error) {
	switch {
	case startsWith(b, answerStart) == yes:
		return nil, 0, errors.New("the camera speaks RTSP on this port, and not HTTP")
	case startsWith(b, httpAnswerStart) == no:
		return nil, 0, errors.New("what the camera sends is no HTTP answer")
	}
	// From here on an answer is one of RTSP (RFC 2326 §7 took it from HTTP).
	end := bytes.Index(b, []byte("\n\r\n"))
	if n := bytes.Index(b, []byte("\n\n")); n >= 0 && (end < 0 || n < end) {
		end = n - 1
	}
	switch {
	case end < 0 && len(b) > maxHeaderBytes:
		return nil, 0, &limitError{"bytes of an HTTP answer's head", maxHeaderBytes}
	case end < 0:
		return nil, 0, nil
	}
	end += len("\n\r\n")
	m := new(message)
	for i, line := range strings.Split(strings.TrimRight(string(b[:end]), "\r\n"), "\n") {
		line = strings.TrimRight(line, "\r")
		switch {
		case i > maxHeaders:
			return nil, 0, &limitError{"header lines of a message", maxHeaders}
		case len(line) > maxLineBytes:
			return nil, 0, &limitError{"bytes of a header line", maxLineBytes}
		case i > 0 && line != "":
			m.headerLine(line)
		case i > 0:
		case !m.startLine("RTSP/1." + line[len(httpAnswerStart):]):
			return nil, 0, errors.New("what the camera sends is no HTTP answer")
		}
	}
	return m, end, nil
}

func (t *tunnel) Read(b []byte) (int, error) {
	if len(t.rest) > 0 {
		n := copy(b, t.rest)
		t.rest = t.rest[n:]
		return n, nil
	}
	return t.Conn.Read(b)
}

// Write sends b in Base64, each time as a whole: cameras decode request by request.
func (t *tunnel) Write(b []byte) (int, error) {
	if _, err := t.post.Write([]byte(base64.StdEncoding.EncodeToString(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (t *tunnel) SetDeadline(at time.Time) error {
	return errors.Join(t.Conn.SetDeadline(at), t.post.SetDeadline(at))
}

func (t *tunnel) SetWriteDeadline(at time.Time) error { return t.post.SetWriteDeadline(at) }

func (t *tunnel) Close() error { return errors.Join(t.Conn.Close(), t.post.Close()) }

func (t *tunnel) SyscallConn() (syscall.RawConn, error) {
	c, ok := t.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}

// deadline is ctx's, or none.
func deadline(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}
