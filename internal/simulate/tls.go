package simulate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// certificateLife is how long the self-made certificate is good for: cameras
// have the same one from the factory to the scrapyard.
const certificateLife = 10 * 365 * 24 * time.Hour

// selfMade makes a certificate as cameras have it: signed by itself.
func selfMade(at netip.Addr) (*tls.Config, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "simulated camera"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		IPAddresses: []net.IP{at.AsSlice()}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(der)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, hex.EncodeToString(sum[:]), nil
}

// secure puts TLS on the connection.
func (k *conn) secure(c *tls.Config) { k.tls = tls.Server(below{k}, c) }

// offerSecured is offer through TLS, which hands what it makes of b to below.
// k.mu is not held meanwhile: TLS has a lock of its own, under which it writes.
func (k *conn) offerSecured(b []byte, limit int) bool {
	k.mu.Lock()
	k.push()
	behind, dead := len(k.pending)-k.head, k.dead
	k.mu.Unlock()
	if dead || behind > 0 && behind+len(b) > limit {
		return false
	}
	_, err := k.tls.Write(b)
	return err == nil
}

// below is what TLS reads and writes: the connection as it is. A Write never
// waits; what it adds to the backlog was allowed by offerSecured.
type below struct{ k *conn }

func (b below) Read(p []byte) (int, error) { return b.k.readSocket(p) }

func (b below) Write(p []byte) (int, error) {
	b.k.mu.Lock()
	defer b.k.mu.Unlock()
	b.k.push()
	rest := p
	if len(b.k.pending) == b.k.head {
		rest = p[b.k.write(p):]
	}
	b.k.queue(rest)
	if b.k.dead {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func (b below) Close() error                   { b.k.close(); return nil }
func (b below) LocalAddr() net.Addr            { return b.k.tcp.LocalAddr() }
func (b below) RemoteAddr() net.Addr           { return b.k.tcp.RemoteAddr() }
func (below) SetDeadline(time.Time) error      { return nil }
func (below) SetReadDeadline(time.Time) error  { return nil }
func (below) SetWriteDeadline(time.Time) error { return nil }
