package rtsp

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// certificate makes one for names, signed by itself.
func certificate(t testing.TB, names ...string) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "camera"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, parsed
}

// secure puts TLS under the camera.
func (c *camera) secure(conf *tls.Config) {
	c.wrap = func(conn net.Conn) net.Conn { return tls.Server(conn, conf) }
}

func (c *camera) secureURL(path string) string {
	return "rtsps" + strings.TrimPrefix(c.url(path), "rtsp")
}

func TestTLS(t *testing.T) {
	pair, cert := certificate(t, "127.0.0.1", "cam.example")
	sum := sha256.Sum256(cert.Raw)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	_, other := certificate(t, "127.0.0.1")
	others := x509.NewCertPool()
	others.AddCert(other)
	toCamera := func(c *camera) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, c.ln.Addr().String())
		}
	}
	for _, tt := range []struct {
		name   string
		tls    TLS
		server [2]uint16 // its lowest and highest version; 0: any
		url    string    // "" is the camera's address
		err    string
	}{
		{name: "the system's authorities do not know it", err: "SHA-256 fingerprint " + hex.EncodeToString(sum[:])},
		{name: "a pinned fingerprint", tls: TLS{Fingerprint: sum[:]}},
		{name: "a pinned fingerprint, whatever the host", tls: TLS{Fingerprint: sum[:]}, url: "rtsps://other.example/live"},
		{name: "another fingerprint", tls: TLS{Fingerprint: make([]byte, 32)}, err: "SHA-256 fingerprint is " + hex.EncodeToString(sum[:]) + " and not the pinned one"},
		{name: "an authority of ours", tls: TLS{Roots: roots}},
		{name: "an authority of ours, by name", tls: TLS{Roots: roots}, url: "rtsps://cam.example/live"},
		{name: "an authority of ours, another name", tls: TLS{Roots: roots}, url: "rtsps://other.example/live", err: "is valid for cam.example, not other.example"},
		{name: "another authority", tls: TLS{Roots: others}, err: "is not trusted"},
		{name: "insecure", tls: TLS{Insecure: true}},
		{name: "TLS 1.1", tls: TLS{Fingerprint: sum[:]}, server: [2]uint16{0, tls.VersionTLS11}, err: "an old camera may need a lower minimal version"},
		{name: "TLS 1.1 by the word of the user", tls: TLS{Fingerprint: sum[:], MinVersion: tls.VersionTLS10}, server: [2]uint16{tls.VersionTLS10, tls.VersionTLS11}},
		{name: "TLS 1.2 where 1.3 is wanted", tls: TLS{Insecure: true, MinVersion: tls.VersionTLS13}, server: [2]uint16{0, tls.VersionTLS12}, err: "protocol version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCamera(t)

			c.secure(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tt.server[0], MaxVersion: tt.server[1]})
			afterPlay(c, func(p *peer) { p.send(videos(1, 40, 7)) })
			o := Options{URL: c.secureURL("/live"), TLS: tt.tls}
			if tt.url != "" {
				o.URL, o.Dial = tt.url, toCamera(c)
			}
			if tt.err != "" {
				_, err := c.open(o)
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v", err)
				}
				if strings.Contains(tt.err, "finger") && !errors.Is(err, ErrUntrusted) {
					t.Errorf("%v is not ErrUntrusted", err)
				}
				return
			}
			s := c.play(o)
			k := &sink{enough: 40}
			k.receive(t, s)
			if !slices.Equal(k.seqs[0], seqs(1, 40)) {
				t.Errorf("got %v", k.seqs[0])
			}
			s.Close()
			if n := c.count("TEARDOWN"); n != 1 {
				t.Errorf("%d TEARDOWN", n)
			}
		})
	}
}

// TLS that is no TLS, and TLS that ends in the middle.
func TestTLSBroken(t *testing.T) {
	c := newCamera(t) // speaks RTSP
	if _, err := c.open(Options{URL: c.secureURL("/live"), ConnectTimeout: time.Second}); err == nil || !strings.Contains(err.Error(), "TLS: ") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	mute := newCamera(t)
	mute.mu.Lock()
	mute.begin = func(*peer) { cancel() }
	mute.mu.Unlock()
	if _, err := Open(ctx, Options{URL: mute.secureURL("/live")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	pair, _ := certificate(t)
	cut := newCamera(t)
	cut.secure(&tls.Config{Certificates: []tls.Certificate{pair}})
	afterPlay(cut, func(p *peer) {
		p.send(videos(1, 3, 7))
		p.Conn.(*tls.Conn).NetConn().Close()
	})
	s := cut.play(Options{URL: cut.secureURL("/live"), TLS: TLS{Insecure: true}})
	k := &sink{}
	if err := s.Receive(t.Context(), k); !errors.Is(err, ErrHungUp) || k.packets != 3 {
		t.Errorf("%v, %d packets", err, k.packets)
	}
}

// A record for each packet, as cameras send them, is still read in big pieces.
func TestTLSReadsInBigPieces(t *testing.T) {
	pair, _ := certificate(t)
	c := newCamera(t)
	c.secure(&tls.Config{Certificates: []tls.Certificate{pair}})
	next := make(chan int, 1)
	afterPlay(c, func(p *peer) {
		for n := range next {
			for i := range uint16(100) {
				p.send(videos(uint16(100*n)+i, uint16(100*n)+i, 7))
			}
		}
	})
	s := c.play(Options{URL: c.secureURL("/live"), TLS: TLS{Insecure: true}})
	if reads := receiveBursts(t, s, next, 100); reads > 100*bursts/4 {
		t.Errorf("%d reads for %d bursts of 100 records", reads, bursts)
	}
}

// A camera that does not read: what it does not take is bounded, and nothing waits for it.
func TestUnreadWrites(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	p := &bigPieces{Conn: conn}
	line := strings.Repeat("0123456789", 100) + "\n"
	wrote := 0
	for err == nil {
		conn.SetWriteDeadline(time.Now().Add(postWait))
		if _, err = p.Write([]byte(line)); err == nil {
			wrote++
		}
	}
	if !errors.Is(err, ErrHungUp) || len(p.unsent) > maxUnsent {
		t.Fatalf("%v, %d bytes unsent", err, len(p.unsent))
	}
	// What was taken comes whole and in order.
	go func() {
		conn.SetWriteDeadline(time.Time{})
		p.Write(nil)
		conn.(*net.TCPConn).CloseWrite()
	}()
	lines := 0
	r := bufio.NewReader(far)
	for {
		got, err := r.ReadString('\n')
		if err != nil {
			break
		}
		if got != line {
			t.Fatalf("line %d is %q", lines, got)
		}
		lines++
	}
	if lines != wrote {
		t.Errorf("%d lines of %d", lines, wrote)
	}
}
