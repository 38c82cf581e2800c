package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// TLS says whom to believe behind an rtsps URL. The zero value: the system's
// certificate authorities, TLS 1.2 and later.
type TLS struct {
	Fingerprint []byte         // SHA-256 of the only certificate to believe
	Roots       *x509.CertPool // authorities to believe instead of the system's
	Insecure    bool           // nobody is checked
	MinVersion  uint16         // as crypto/tls numbers them; 0: TLS 1.2
}

const fingerprintBytes = 32 // SHA-256

var tlsVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// transport reads how the media travel and whom to believe on the way.
func (d *decoder) transport(t table, c *Camera) {
	secure := strings.HasPrefix(c.URL, "rtsps://")
	if transport, at, ok := t.text("transport"); ok {
		c.Transport = transport
		switch transport {
		case "auto", "tcp", "http":
		case "udp", "multicast":
			if secure {
				d.wrong(at, t.key+".transport", fmt.Sprintf("%q would carry the pictures of an rtsps:// camera unencrypted", transport), `write "auto", "tcp" or "http"`)
			}
		default:
			d.wrong(at, t.key+".transport", fmt.Sprintf("%q is no transport", shorten(transport)), `write "auto", "tcp", "udp", "multicast" or "http"`)
		}
	}
	plain := strings.HasPrefix(c.URL, "rtsp://")
	var first string // of the three ways to believe
	check := func(name string) {
		at := t.node.find(name).at
		switch {
		case plain:
			d.wrong(at, t.key+"."+name, "means nothing for an rtsp:// camera", "write rtsps:// in url, or take the line out")
		case first != "":
			d.wrong(at, t.key+"."+name, fmt.Sprintf("contradicts %s", first), "keep one of the two")
		}
		first = name
	}
	if text, at, ok := t.text("tls_fingerprint"); ok {
		check("tls_fingerprint")
		b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		if err != nil || len(b) != fingerprintBytes {
			d.wrong(at, t.key+".tls_fingerprint", "is no SHA-256 fingerprint", "write its 64 hexadecimal digits, with or without colons")
		}
		c.TLS.Fingerprint = b
	}
	if path, at, ok := t.text("tls_ca_file"); ok {
		check("tls_ca_file")
		c.TLS.Roots = d.authorities(t, path, at)
	}
	if t.flag("tls_insecure") {
		check("tls_insecure")
		c.TLS.Insecure = true
		d.warn(t.node.find("tls_insecure").at, t.key+".tls_insecure", "lets anybody be this camera", `pin its certificate: tls_fingerprint = "…" (nvr status --json says which one it shows)`)
	}
	if version, at, ok := t.text("tls_min_version"); ok {
		if plain {
			d.wrong(at, t.key+".tls_min_version", "means nothing for an rtsp:// camera", "write rtsps:// in url, or take the line out")
		}
		if c.TLS.MinVersion, ok = tlsVersions[version]; !ok {
			d.wrong(at, t.key+".tls_min_version", fmt.Sprintf("%q is no version of TLS", shorten(version)), `write "1.0", "1.1", "1.2" or "1.3"`)
		}
	}
}

// authorities reads a file of certificates.
func (d *decoder) authorities(t table, path string, at place) *x509.CertPool {
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.dir, path)
	}
	key := t.key + ".tls_ca_file"
	content, _, err := d.readFile(path, maxAuthoritiesBytes)
	if err != nil {
		var inPath *fs.PathError
		if errors.As(err, &inPath) {
			err = inPath.Err
		}
		d.wrong(at, key, fmt.Sprintf("cannot be read (%v)", err), "put the certificates into that file, in PEM, and let the recorder's user read it")
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		d.wrong(at, key, "is a file without a certificate in PEM", "it has lines -----BEGIN CERTIFICATE-----")
		return nil
	}
	return roots
}
