package device

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestToken: what a camera must not accept, it does not accept.
func TestToken(t *testing.T) {
	s, err := New(Options{Cameras: []Camera{{Maker: "Acme", Auth: AuthToken, User: "u", Password: "p", ClockAhead: time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		name, user, password, nonce string
		at                          time.Duration // from now
		want                        int
	}{
		{"good", "u", "p", "n1", time.Hour, 200},
		{"shown before", "u", "p", "n1", time.Hour, 400},
		{"our clock", "u", "p", "n2", 0, 400},
		{"too old", "u", "p", "n3", time.Hour - time.Minute, 400},
		{"another user", "v", "p", "n4", time.Hour, 400},
		{"another password", "u", "q", "n5", time.Hour, 400},
	} {
		created := time.Now().Add(c.at).UTC().Format(time.RFC3339)
		sum := sha1.Sum([]byte(c.nonce + created + c.password))
		body := fmt.Sprintf(`<Envelope><Header><UsernameToken><Username>%s</Username><Password Type="x#PasswordDigest">%s</Password><Nonce>%s</Nonce><Created>%s</Created></UsernameToken></Header><Body><GetDeviceInformation/></Body></Envelope>`,
			c.user, base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString([]byte(c.nonce)), created)
		resp, err := http.Post("http://"+strings.TrimPrefix(s.URL(1), "onvif://"), "application/soap+xml", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.want || strings.Contains(string(content), "Acme") != (c.want == 200) {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, content)
		}
	}
}

// TestLoopbackOnly: nobody but this machine is answered.
func TestLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:0", ":0", "localhost:0", "[::]:0"} {
		if _, err := New(Options{Addr: addr}); err == nil || !strings.Contains(err.Error(), "loopback only") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
