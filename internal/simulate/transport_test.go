package simulate

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"nvr/internal/media"
)

// over makes a client of a connection.
func over(t *testing.T, url string, conn net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{t: t, url: url, tcp: conn, r: bufio.NewReader(conn)}
}

// inOrder plays and reads three GOPs.
func inOrder(t *testing.T, c *client) {
	t.Helper()
	c.play()
	for i, au := range c.pictures(newAssembler(t, media.H264), 90) {
		if i > 0 && au.mark.Damaged {
			t.Fatalf("access unit %d is damaged", i)
		}
	}
	if a := c.do("TEARDOWN", c.url); a.status != 200 {
		t.Errorf("TEARDOWN: %d", a.status)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{TLS: true, Bitrate: 8_000_000})
	if !strings.HasPrefix(s.URL(1), "rtsps://127.0.0.1:") {
		t.Fatalf("URL %s", s.URL(1))
	}
	conn, err := tls.Dial("tcp", s.addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].Raw)
	if got := hex.EncodeToString(sum[:]); got != s.Fingerprint() {
		t.Errorf("fingerprint %s, said %s", got, s.Fingerprint())
	}
	if err := conn.ConnectionState().PeerCertificates[0].VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	c := over(t, s.URL(1), conn)
	if a := c.do("SETUP", c.url+"/trackID=0", "Transport: RTP/AVP;unicast;client_port=5000-5001"); a.status != 461 {
		t.Errorf("SETUP for UDP: %d", a.status)
	}
	inOrder(t, c)
}

// A client that does not read is not waited for, and loses whole samples.
func TestTLSBacklog(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{TLS: true, Bitrate: 40_000_000, Backlog: 256 << 10})
	conn, err := tls.Dial("tcp", s.addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := over(t, s.URL(1), conn)
	c.play()
	until(t, "samples are dropped", func() bool { return s.Stats()[0].Dropped > 0 })
	c.pictures(newAssembler(t, media.H264), 300) // which fails where one is not whole
}

// post is the client's side of a tunnel.
type post struct {
	net.Conn // the GET
	post     net.Conn
}

func (p *post) Write(b []byte) (int, error) {
	if _, err := io.WriteString(p.post, base64.StdEncoding.EncodeToString(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *post) Close() error { p.post.Close(); return p.Conn.Close() }

// ask sends a request's head.
func ask(t *testing.T, s *Server, head ...string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n")
	return conn
}

func line(t *testing.T, conn net.Conn) string {
	t.Helper()
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b[:n]), "\r\n")
	return first
}

func TestTunnel(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Transport: TransportHTTP})
	get := ask(t, s, "GET /cam1 HTTP/1.0", "x-sessioncookie: abc")
	if l := line(t, get); l != "HTTP/1.0 200 OK" {
		t.Fatal(l)
	}
	if l := line(t, ask(t, s, "GET /cam1 HTTP/1.0", "x-sessioncookie: abc")); l != "HTTP/1.0 400 Bad Request" {
		t.Errorf("the same cookie twice: %s", l)
	}
	if l := line(t, ask(t, s, "GET /cam1 HTTP/1.0")); l != "HTTP/1.0 400 Bad Request" {
		t.Errorf("no cookie: %s", l)
	}
	c := over(t, s.URL(1), &post{get, ask(t, s, "POST /cam1 HTTP/1.0", "x-sessioncookie: abc", "Content-Length: 32767")})
	inOrder(t, c)
	c.tcp.Close()
	until(t, "both are gone", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.tunnels) == 0
	})
	lonely := ask(t, s, "POST /cam1 HTTP/1.0", "x-sessioncookie: nobody")
	if _, err := lonely.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a POST without its GET: %v", err)
	}
	plain := dial(t, s.URL(1))
	if a := plain.do("SETUP", plain.url+"/trackID=0", "Transport: "+tcpVideo); a.status != 461 {
		t.Errorf("without a tunnel: %d", a.status)
	}
}

func TestOneTransport(t *testing.T) {
	t.Parallel()
	asked := []struct{ name, header string }{
		{"tcp", tcpVideo}, {"udp", "RTP/AVP;unicast;client_port=5000-5001"}, {"multicast", "RTP/AVP;multicast"},
	}
	for _, offered := range asked {
		s := serve(t, Options{Transport: Transport(offered.name)})
		for _, a := range asked {
			c := dial(t, s.URL(1))
			want := 461
			if a.name == offered.name {
				want = 200
			}
			if got := c.do("SETUP", c.url+"/trackID=0", "Transport: "+a.header); got.status != want {
				t.Errorf("%s of a camera for %s: %d", a.name, offered.name, got.status)
			}
		}
		c := dial(t, s.URL(1))
		if got := c.do("SETUP", c.url+"/trackID=0", "Transport: "+asked[0].header+", "+asked[1].header+", "+asked[2].header); got.status != 200 {
			t.Errorf("any of %s: %d", offered.name, got.status)
		}
		if l := line(t, ask(t, s, "GET /cam1 HTTP/1.0", "x-sessioncookie: x")); l != "HTTP/1.0 404 Not Found" {
			t.Errorf("a tunnel to %s: %s", offered.name, l)
		}
	}
	for _, o := range []Options{{Transport: "sctp"}, {Transport: TransportUDP, TLS: true}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestMulticast(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Cameras: 2, Audio: AudioPCMU})
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	group := s.groupOf(2, 0)
	u, err := net.ListenMulticastUDP("udp4", lo, net.UDPAddrFromAddrPort(group))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.SetReadDeadline(time.Now().Add(patience))
	first, second := dial(t, s.URL(2)), dial(t, s.URL(2))
	for _, c := range []*client{first, second} {
		all := c.setup("RTP/AVP;multicast", "RTP/AVP;multicast")
		if got := all[0].header["transport"]; !strings.Contains(got, "destination="+group.Addr().String()+";port=") {
			t.Errorf("Transport: %s", got)
		}
		if a := c.do("PLAY", c.url); a.status != 200 {
			t.Fatalf("PLAY: %d", a.status)
		}
	}
	if st := s.Stats()[1]; st.Connections != 2 || st.Playing != 1 {
		t.Errorf("%+v", st) // it is sent once
	}
	a := newAssembler(t, media.H264)
	read := func(n int) {
		t.Helper()
		b := make([]byte, 2048)
		for n > 0 {
			size, from, err := u.ReadFromUDP(b)
			if err != nil {
				t.Fatal(err)
			}
			if !from.IP.IsLoopback() {
				t.Fatalf("a packet from %v", from)
			}
			if _, done := a.push(b[:size]); done {
				n--
			}
		}
	}
	read(40)
	first.do("TEARDOWN", first.url)
	read(40)
	second.tcp.Close()
	until(t, "nobody listens", func() bool { return s.Stats()[1].Playing == 0 })
}
