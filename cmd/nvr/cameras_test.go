package main

import (
	"context"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nvr/internal/media"
	"nvr/internal/simulate"
	"nvr/internal/simulate/device"
)

// cameras [ONVIF-AUTH] serves two cameras until the script ends: RTSP at $RTSP,
// ONVIF and its probes at $ONVIF, user "admin", password "opensesame". The first
// one's clock is an hour ahead, and its sub stream has a password in its URL; the
// second one sends strange words, and addresses of another network.
func cameras(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: cameras [ONVIF-AUTH]")
	}
	const user, password = "admin", "opensesame"
	auth, rtspAuth := device.AuthNone, simulate.AuthNone
	if len(args) == 1 {
		auth, rtspAuth = device.Auth(args[0]), simulate.AuthDigest
	}
	streams, err := simulate.New(simulate.Options{Cameras: 2, Audio: simulate.AudioPCMA, Auth: rtspAuth, User: user, Password: password})
	ts.Check(err)
	rtsp := strings.TrimSuffix(streams.URL(1), "/cam1")
	profiles := func(host string, n int) []device.Profile {
		uri := strings.Replace(streams.URL(n), "127.0.0.1", host, 1)
		return []device.Profile{
			{Token: "p0", Name: "subStream", Codec: "H264", Width: 160, Height: 90, FPS: 5, Kbps: 128, GOP: 10, URI: rtsp + "/user=admin&password=opensaysme&channel=1"},
			{Token: "p1", Name: "mainStream", Codec: "H264", Width: simulate.Width, Height: simulate.Height, FPS: 15, Kbps: 250, GOP: 30, Audio: "G711", URI: uri},
		}
	}
	devices, err := device.New(device.Options{Cameras: []device.Camera{
		{Maker: "Acme", Model: "AC-1", Name: "Acme AC-1", Firmware: "1.2", Serial: "77", Location: "front yard", UUID: media.CameraUUID("one").String(),
			Profiles: profiles("127.0.0.1", 1), Auth: auth, User: user, Password: password, ClockAhead: time.Hour},
		{Maker: "\u202eEvil\nline", Model: "\u009b31mred", Name: "\x1b[31mred", Firmware: "<b>", UUID: media.CameraUUID("two").String(),
			Profiles: profiles("10.9.8.7", 2), XAddrHost: "10.9.8.7:80", Auth: auth, User: user, Password: password, NoMedia2: true},
	}})
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- streams.Run(ctx) }()
	go func() { ended <- devices.Run(ctx) }()
	ts.Defer(func() {
		stop()
		<-ended
		<-ended
	})
	ts.Setenv("RTSP", rtsp)
	ts.Setenv("ONVIF", devices.Addr().String())
}
