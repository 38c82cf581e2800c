package onvif

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nvr/internal/simulate/device"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testUUID = "2419d68a-2dd2-21b2-a205-00408cd0a3f1"

// ordinary is a camera without any trouble.
func ordinary() device.Camera {
	return device.Camera{
		Maker: "Acme", Model: "AC-1", Name: "Acme AC-1", Firmware: "1.2", Serial: "77", Location: "yard", UUID: testUUID,
		Profiles: []device.Profile{
			{Token: "sub", Name: "subStream", Codec: "H264", Width: 640, Height: 360, FPS: 15, Kbps: 512, GOP: 30, URI: "rtsp://127.0.0.1:554/sub"},
			{Token: "main", Name: "mainStream", Codec: "H264", Width: 1920, Height: 1080, FPS: 25, Kbps: 4096, GOP: 50, Audio: "AAC", URI: "rtsp://127.0.0.1:554/main?a=1&b=2"},
			{Token: "big", Name: "mainH265", Codec: "H265", Width: 2560, Height: 1440, FPS: 25, Kbps: 6144, GOP: 100, URI: "rtsp://127.0.0.1/big"},
			{Token: "jpeg", Name: "photos", Codec: "JPEG", Width: 4000, Height: 3000, FPS: 1, Kbps: 8000, URI: "rtsp://127.0.0.1/jpeg"},
		},
	}
}

// serve runs cameras for the test's time.
func serve(t *testing.T, cameras ...device.Camera) *device.Server {
	t.Helper()
	s, err := device.New(device.Options{Cameras: cameras})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// open opens camera 1.
func open(t *testing.T, s *device.Server, user, password string) (*Device, error) {
	t.Helper()
	d, err := Open(t.Context(), Options{URL: s.URL(1), Username: user, Password: password, Discovery: s.Addr().Port()})
	if d != nil {
		t.Cleanup(d.Close)
	}
	return d, err
}

func raw(status int, body string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.WriteHeader(status)
		w.Write([]byte(body))
		return true
	}
}

// lost is an address where nothing answers probes.
func lost(t *testing.T) DiscoverOptions {
	return DiscoverOptions{To: []netip.AddrPort{serve(t).Addr()}, Wait: 300 * time.Millisecond}
}
