package rtsp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// TLS says whom to believe behind an rtsps URL. The zero value believes what a
// browser would: certificates of the system's authorities for the URL's host.
type TLS struct {
	Fingerprint []byte         // SHA-256 of the camera's certificate, the only one to believe
	Roots       *x509.CertPool // authorities to believe instead of the system's
	Insecure    bool           // believe everybody
	MinVersion  uint16         // 0 is TLS 1.2. Below that, ciphers that only old cameras have are allowed too
}

// ErrUntrusted says that TLS found somebody else than the camera.
var ErrUntrusted = errors.New("the camera's certificate is not trusted")

// How is in a word how the camera's identity is checked.
func (t *TLS) How() string {
	switch {
	case t.Insecure:
		return "insecure"
	case len(t.Fingerprint) > 0:
		return "fingerprint"
	case t.Roots != nil:
		return "ca_file"
	}
	return "system"
}

// client does the handshake on conn, which it closes where that fails.
func (t *TLS) client(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	below := &bigPieces{Conn: conn}
	host, _, _ = strings.Cut(host, "%") // a zone is nobody's name
	var found []byte                    // what the camera showed
	c := &tls.Config{
		ServerName: host,
		RootCAs:    t.Roots,
		MinVersion: max(t.MinVersion, tls.VersionTLS10),
		// Checked below, so that an error can say what was found.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return fmt.Errorf("%w: it has none", ErrUntrusted)
			}
			sum := sha256.Sum256(state.PeerCertificates[0].Raw)
			found = sum[:]
			return t.verify(state, host, found)
		},
	}
	if t.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	if c.MinVersion < tls.VersionTLS12 {
		c.CipherSuites = oldCiphers()
	}
	s := &secured{tls: tls.Client(below, c), below: below, found: &found}
	if err := s.tls.HandshakeContext(ctx); err != nil {
		conn.Close()
		if found == nil {
			err = t.explain(err)
		}
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return s, nil
}

// verify checks the certificate that the camera showed; found is its fingerprint.
func (t *TLS) verify(state tls.ConnectionState, host string, found []byte) error {
	switch {
	case t.Insecure:
		return nil
	case len(t.Fingerprint) > 0:
		if subtle.ConstantTimeCompare(found, t.Fingerprint) != 1 {
			return fmt.Errorf("%w: its SHA-256 fingerprint is %s and not the pinned one", ErrUntrusted, hex.EncodeToString(found))
		}
		return nil
	}
	chain := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		chain.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Roots: t.Roots, Intermediates: chain})
	if err != nil {
		// The fingerprint first: whoever shortens this text should keep it.
		return fmt.Errorf("%w: SHA-256 fingerprint %s: %s", ErrUntrusted, hex.EncodeToString(found), printable(err.Error()))
	}
	return nil
}

// explain says what to do about a camera that is too old.
func (t *TLS) explain(err error) error {
	text := err.Error()
	if t.MinVersion == 0 && (strings.Contains(text, "protocol version") || strings.Contains(text, "handshake failure")) {
		return fmt.Errorf("%w (an old camera may need a lower minimal version)", err)
	}
	return err
}

// oldCiphers are Go's own choice and what it leaves out for want of forward
// secrecy; RC4 is broken and stays out.
func oldCiphers() (ids []uint16) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !strings.Contains(s.Name, "RC4") {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// maxUnsent is what may wait for a camera that does not read.
const maxUnsent = 64 << 10

// bigPieces is a connection below one that encodes (TLS, a tunnel's base64): it
// reads from the kernel in big pieces, and what the kernel does not take before
// the deadline waits for the next Write, since half a record must be finished.
type bigPieces struct {
	net.Conn
	buf    []byte
	r, w   int
	dry    bool // Read gives what was read already and asks nobody
	unsent []byte
}

func (p *bigPieces) Read(b []byte) (int, error) {
	if p.r == p.w {
		if p.dry {
			return 0, os.ErrDeadlineExceeded
		}
		if p.buf == nil {
			p.buf = make([]byte, lowWaterBytes)
		}
		n, err := p.Conn.Read(p.buf)
		p.r, p.w = 0, n
		if n == 0 {
			return 0, err
		}
	}
	n := copy(b, p.buf[p.r:p.w])
	p.r += n
	return n, nil
}

// Write takes all of b, or fails for good.
func (p *bigPieces) Write(b []byte) (int, error) {
	if len(p.unsent)+len(b) > maxUnsent {
		return 0, fmt.Errorf("%w: it does not read", ErrHungUp)
	}
	all := b
	if len(p.unsent) > 0 {
		p.unsent = append(p.unsent, b...)
		all = p.unsent
	}
	n, err := p.Conn.Write(all)
	switch {
	case err == nil:
		p.unsent = nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.unsent = bytes.Clone(all[n:])
	default:
		return 0, err
	}
	return len(b), nil
}

func (p *bigPieces) SyscallConn() (syscall.RawConn, error) {
	c, ok := p.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}

// secured is a TLS connection that is read in big pieces, too: Read returns all
// records that are there, not one.
type secured struct {
	tls   *tls.Conn
	below *bigPieces
	found *[]byte // SHA-256 of the camera's certificate
}

func (s *secured) Read(b []byte) (n int, err error) {
	n, err = s.tls.Read(b)
	s.below.dry = true
	for err == nil && n > 0 && n < len(b) {
		var more int
		more, err = s.tls.Read(b[n:])
		n += more
	}
	s.below.dry = false
	if n > 0 { // an end of the connection is told by the next Read
		err = nil
	}
	return n, err
}

func (s *secured) Write(b []byte) (int, error)           { return s.tls.Write(b) }
func (s *secured) LocalAddr() net.Addr                   { return s.below.LocalAddr() }
func (s *secured) RemoteAddr() net.Addr                  { return s.below.RemoteAddr() }
func (s *secured) SetDeadline(t time.Time) error         { return s.below.SetDeadline(t) }
func (s *secured) SetReadDeadline(t time.Time) error     { return s.below.SetReadDeadline(t) }
func (s *secured) SetWriteDeadline(t time.Time) error    { return s.below.SetWriteDeadline(t) }
func (s *secured) SyscallConn() (syscall.RawConn, error) { return s.below.SyscallConn() }

// Close does not say goodbye in TLS: that could wait for a camera that does not
// read, and TEARDOWN has said it.
func (s *secured) Close() error { return s.below.Close() }
