package rtsp

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tunnelled is an HTTP server before a scripted camera: it joins the two
// requests of a tunnel to one RTSP connection.
type tunnelled struct {
	ln     net.Listener
	camera *camera

	auth   string // challenge of a 401; "": none
	answer string // instead of 200
	early  string // RTSP that comes with the head of the answer
	mute   bool   // the POST is not even read

	mu   sync.Mutex
	gets map[string]net.Conn // by cookie
	seen []string            // "GET /live", …
	wg   sync.WaitGroup
}

func newTunnel(t *testing.T, c *camera, conf *tls.Config) *tunnelled {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if conf != nil {
		ln = tls.NewListener(ln, conf)
	}
	h := &tunnelled{ln: ln, camera: c, gets: map[string]net.Conn{}}
	h.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			h.wg.Go(func() { h.serve(conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); h.wg.Wait() })
	return h
}

func (h *tunnelled) url(scheme string) string {
	return scheme + "://" + h.ln.Addr().String() + "/live"
}

func (h *tunnelled) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.seen = append(h.seen, req.Method+" "+req.URL.Path)
	h.mu.Unlock()
	cookie := req.Header.Get("x-sessioncookie")
	switch {
	case h.answer != "":
		io.WriteString(conn, h.answer)
		return
	case h.auth != "" && req.Header.Get("Authorization") == "":
		io.WriteString(conn, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: "+h.auth+"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if req.Method == "GET" {
		h.mu.Lock()
		h.gets[cookie] = conn
		h.mu.Unlock()
		io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n"+h.early)
		io.Copy(io.Discard, r) // until it is closed
		return
	}
	h.mu.Lock()
	get := h.gets[cookie]
	h.mu.Unlock()
	if get == nil || h.mute {
		io.Copy(io.Discard, r)
		return
	}
	defer get.Close()
	rtsp, err := net.Dial("tcp", h.camera.ln.Addr().String())
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { io.Copy(get, rtsp); get.Close(); conn.Close() })
	// Each request is one piece of Base64, padded.
	for {
		var four [4]byte
		if _, err := io.ReadFull(r, four[:]); err != nil {
			break
		}
		b, err := base64.StdEncoding.DecodeString(string(four[:]))
		if err != nil {
			h.camera.t.Errorf("not Base64: %q", four)
			break
		}
		rtsp.Write(b)
	}
	rtsp.Close()
	back.Wait()
}

func TestTunnel(t *testing.T) {
	pair, _ := certificate(t, "127.0.0.1")
	for _, tt := range []struct {
		name   string
		scheme string
		o      Options
		auth   string
		early  string
		seen   []string
	}{
		{name: "http", scheme: "rtsp", seen: []string{"GET /live", "POST /live"}},
		{name: "https", scheme: "rtsps", o: Options{TLS: TLS{Insecure: true}}, seen: []string{"GET /live", "POST /live"}},
		{name: "Basic in HTTP", scheme: "rtsp", o: Options{Username: "admin", Password: "hunter2"}, auth: `Basic realm="x"`, seen: []string{"GET /live", "GET /live", "POST /live"}},
		{name: "Digest in HTTP", scheme: "rtsp", o: Options{Username: "admin", Password: "hunter2"}, auth: `Digest realm="x", nonce="n", qop="auth"`, seen: []string{"GET /live", "GET /live", "POST /live"}},
		{name: "something comes with the head", scheme: "rtsp", early: "\r\n\r\n", seen: []string{"GET /live", "POST /live"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			reports := make(chan *request, 10)
			c.on["$"] = func(p *peer, r *request) bool { reports <- r; return true }
			afterPlay(c, func(p *peer) { p.send(videos(1, 40, 7)) })
			var conf *tls.Config
			if tt.scheme == "rtsps" {
				conf = &tls.Config{Certificates: []tls.Certificate{pair}}
			}
			h := newTunnel(t, c, conf)
			h.auth, h.early = tt.auth, tt.early
			tt.o.URL, tt.o.Transport = h.url(tt.scheme), TransportHTTP
			s := c.play(tt.o)
			k := &sink{}
			k.tick = func() error {
				if k.packets == 40 {
					s.reportDue = time.Time{}
				}
				select {
				case <-reports:
					return errEnough
				default:
					return nil
				}
			}
			k.receive(t, s)
			if !slices.Equal(k.seqs[0], seqs(1, 40)) {
				t.Errorf("got %v", k.seqs[0])
			}
			s.Close()
			if n := c.count("TEARDOWN"); n != 1 {
				t.Errorf("%d TEARDOWN", n)
			}
			if !slices.Equal(h.seen, tt.seen) {
				t.Errorf("seen %q", h.seen)
			}
			if v := c.request("SETUP").get("Transport"); v != "RTP/AVP/TCP;unicast;interleaved=2-3" {
				t.Errorf("SETUP for %q", v)
			}
		})
	}
}

func TestTunnelFails(t *testing.T) {
	for _, tt := range []struct {
		name, answer, auth, err string
		is                      error
	}{
		{name: "not found", answer: "HTTP/1.1 404 Not \x1bFound\r\n\r\n", err: "HTTP tunnel: GET: 404 Not ?Found"},
		{name: "it speaks RTSP", answer: "RTSP/1.0 400 Bad Request\r\n\r\n", err: "speaks RTSP on this port"},
		{name: "it speaks something else", answer: "SSH-2.0-x\r\n", err: "no HTTP answer"},
		{name: "it hangs up", answer: "HTTP/1.0 200", err: "closed the connection", is: ErrHungUp},
		{name: "a head without end", answer: "HTTP/1.0 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 30), err: "over the limit"},
		{name: "a line without end", answer: "HTTP/1.0 200 OK\r\nX: " + strings.Repeat("y", 1<<15), err: "over the limit"},
		{name: "too many lines", answer: "HTTP/1.0 200 OK\r\n" + strings.Repeat("X:y\r\n", 100) + "\r\n", err: "over the limit of 64"},
		{name: "a password is wanted", auth: `Basic realm="x"`, err: "none is configured", is: ErrUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)
			h := newTunnel(t, c, nil)
			h.answer, h.auth = tt.answer, tt.auth
			_, err := c.open(Options{URL: h.url("rtsp"), Transport: TransportHTTP, ConnectTimeout: 3 * time.Second})
			if err == nil || !strings.Contains(err.Error(), tt.err) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a wrong password", func(t *testing.T) {
		c := newCamera(t)
		h := newTunnel(t, c, nil)
		h.answer = "HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"n\"\r\n\r\n"
		_, err := c.open(Options{URL: h.url("rtsp"), Transport: TransportHTTP, Username: "admin", Password: "hunter2"})
		if !errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "hunter2") || len(h.seen) != 2 {
			t.Errorf("%v after %q", err, h.seen)
		}
	})
	t.Run("what we say gets lost", func(t *testing.T) {
		c := newCamera(t)
		h := newTunnel(t, c, nil)
		h.mute = true
		_, err := c.open(Options{URL: h.url("rtsp"), Transport: TransportHTTP, ResponseTimeout: 50 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
			t.Errorf("got %v", err)
		}
	})
}

func TestParseHTTPAnswer(t *testing.T) {
	for in, want := range map[string]string{ // "code headers length", "" for more
		"":                        "",
		"HTT":                     "",
		"HTTP/1.1 200 OK\r\n":     "",
		"HTTP/1.1 200 OK\r\nA: b": "",
		"HTTP/1.1 200 OK\r\n\r\n": "200 0 19",
		"HTTP/1.0 200\n\nrest":    "200 0 14",
		"HTTP/1.0 200 OK\r\nA: b\r\n\r\nRTSP/1.0": "200 1 25",
		"HTTP/1.0 200 OK\n\r\n":                   "200 0 18",
		"HTTP/1.0 200 OK\r\r\n\r\n":               "200 0 20",
		"HTTP/1.0 200 OK\r\nA: b\n c\r\n\r\n":     "200 1 28",
		"HTTP/1.0 x\r\n\r\n":                      "error",
		"HTTP/2 200\r\n\r\n":                      "error",
		"RTSP/1.0 200 OK\r\n\r\n":                 "error",
		"hello":                                   "error",
	} {
		m, n, err := parseHTTPAnswer([]byte(in))
		got := ""
		switch {
		case err != nil:
			got = "error"
		case m != nil:
			got = fmt.Sprint(m.code, " ", len(m.headers), " ", n)
		}
		if got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func FuzzHTTPAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\nrest"))
	f.Add([]byte("HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\n\n"))
	f.Add([]byte("HTTP/1.0 200 OK\r\n folded\r\n\r\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := parseHTTPAnswer(b)
		switch {
		case err != nil && (m != nil || n != 0):
			t.Fatalf("%v with %+v, %d", err, m, n)
		case m != nil && (n <= 0 || n > len(b) || m.code < 100 || m.code > 999 || len(m.headers) > maxHeaders):
			t.Fatalf("%+v, %d of %d bytes", m, n, len(b))
		case m == nil && err == nil && len(b) > maxHeaderBytes:
			t.Fatalf("more is wanted than %d bytes", len(b))
		}
		if m != nil { // what comes later does not change what was said
			again, k, err := parseHTTPAnswer(b[:n])
			if err != nil || again == nil || k != n || again.code != m.code || len(again.headers) != len(m.headers) {
				t.Fatalf("%+v, %d and %+v, %d, %v", m, n, again, k, err)
			}
		}
	})
}
