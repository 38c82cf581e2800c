package simulate

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// RTSP in HTTP: a client's GET gets what the camera says, what it says itself
// is the Base64 body of a POST, and a cookie makes one session of the two.

const tunnelType = "application/x-rtsp-tunnelled"

// tunnel is a GET that waits for its POST, or has one.
type tunnel struct {
	get, post *conn
}

// isHTTP reports whether a connection begins with a tunnel's request and not
// with one of RTSP.
func isHTTP(r *bufio.Reader) bool {
	b, err := r.Peek(4)
	return err == nil && (string(b) == "GET " || string(b) == "POST")
}

// serveHTTP serves one of a tunnel's two connections until it ends.
func (s *Server) serveHTTP(k *conn, r *bufio.Reader) {
	method, header, err := readHTTP(r)
	cookie := header["x-sessioncookie"]
	switch {
	case err != nil, cookie == "":
		k.reply([]byte("HTTP/1.0 400 Bad Request\r\n\r\n"))
	case !s.offers(TransportHTTP):
		k.reply([]byte("HTTP/1.0 404 Not Found\r\n\r\n"))
	case method == "GET":
		s.serveGet(k, r, cookie)
	default:
		s.servePost(k, r, cookie)
	}
}

func (s *Server) serveGet(k *conn, r *bufio.Reader, cookie string) {
	t := &tunnel{get: k}
	s.mu.Lock()
	_, twice := s.tunnels[cookie]
	if !twice {
		s.tunnels[cookie] = t
	}
	s.mu.Unlock()
	if twice {
		k.reply([]byte("HTTP/1.0 400 Bad Request\r\n\r\n"))
		return
	}
	k.alive()
	k.reply([]byte("HTTP/1.0 200 OK\r\nServer: nvr-simulate\r\nConnection: close\r\nCache-Control: no-store\r\nContent-Type: " + tunnelType + "\r\n\r\n"))
	io.Copy(io.Discard, r) // nothing more comes: this is its end
	s.mu.Lock()
	delete(s.tunnels, cookie)
	post := t.post
	s.mu.Unlock()
	if post != nil {
		post.close()
	}
}

// servePost is not answered, whatever happens.
func (s *Server) servePost(k *conn, r *bufio.Reader, cookie string) {
	s.mu.Lock()
	t := s.tunnels[cookie]
	if t != nil && t.post == nil {
		t.post = k
	} else {
		t = nil
	}
	s.mu.Unlock()
	if t == nil {
		return
	}
	defer t.get.close()
	n := newSession(s, t.get)
	n.tunnelled = true
	n.serve(bufio.NewReaderSize(&decoder{from: r, k: k}, maxRequestLine))
}

// readHTTP reads the head of a request.
func readHTTP(r *bufio.Reader) (method string, header map[string]string, err error) {
	line, err := readLine(r)
	if err != nil {
		return "", nil, err
	}
	words := strings.Split(line, " ")
	if len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/1.") {
		return "", nil, &requestError{statusBadRequest, "request line"}
	}
	header, err = readHeader(r)
	return words[0], header, err
}

// decoder reads Base64 that may be padded anywhere, as clients encode request
// by request.
type decoder struct {
	from *bufio.Reader
	k    *conn // that it comes from
	four []byte
	out  []byte
}

func (d *decoder) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		c, err := d.from.ReadByte()
		if err != nil {
			return 0, err
		}
		if c == '\r' || c == '\n' {
			continue
		}
		d.k.alive()
		if d.four = append(d.four, c); len(d.four) < 4 {
			continue
		}
		d.out = make([]byte, 3)
		n, err := base64.StdEncoding.Decode(d.out, d.four)
		if err != nil {
			return 0, fmt.Errorf("the body of a POST: %w", err)
		}
		d.out, d.four = d.out[:n], d.four[:0]
	}
	n := copy(p, d.out)
	d.out = bytes.Clone(d.out[n:])
	return n, nil
}
