package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"nvr/internal/media"
	"nvr/internal/simulate"
	"nvr/internal/simulate/device"
)

type simulateCmd struct {
	Cameras    int     `default:"1" placeholder:"N" help:"Number of cameras (default: 1)."`
	Port       int     `default:"8554" placeholder:"P" help:"TCP port on 127.0.0.1; 0: any that is free (default: 8554)."`
	Bitrate    bitrate `placeholder:"RATE" help:"Bits a second of each camera: 800k, 1M, 4.5M (default: 1M; AV1 and MJPEG have what their clips have)."`
	Codec      string  `enum:"h264,h265,av1,mjpeg" default:"h264" help:"h264, h265, av1 or mjpeg (default: h264)."`
	FPS        int     `name:"fps" default:"15" placeholder:"N" help:"Pictures a second (default: 15)."`
	Audio      bool    `help:"Add a sound track."`
	AudioCodec string  `enum:"aac,latm,opus,pcmu,pcma,l16" default:"aac" help:"aac, latm, opus, pcmu, pcma or l16 (default: aac)."`
	Transport  string  `enum:"any,tcp,udp,multicast,http" default:"any" help:"Take only this: tcp, udp, multicast or http (default: any)."`
	TLS        bool    `name:"tls" help:"Serve rtsps with a certificate made at the start; its fingerprint is told on stderr."`
	Auth       string  `enum:"none,basic,digest,digest-sha256" default:"none" help:"Ask for a password: none, basic, digest or digest-sha256 (default: none)."`
	User       string  `default:"user" help:"User to ask for (default: user)."`
	Password   string  `default:"password" help:"Password to ask for (default: password)."`
	ONVIF      int     `name:"onvif" default:"-1" placeholder:"P" help:"Also answer ONVIF (TCP) and probes (UDP) on this port of 127.0.0.1; 0: any that is free."`
}

// Help is shown below the usage line.
func (simulateCmd) Help() string {
	return `Serves synthetic cameras whose pictures carry the camera's number and a running sample number, to try things out and to size hardware. Prints one URL per line on stdout, then serves until SIGINT. With --onvif there is an onvif:// URL for each camera too.

Examples:
    nvr simulate --cameras 4
    nvr simulate --cameras 16 --bitrate 4M --codec h265 --audio --port 9554
    nvr simulate --transport udp
    nvr simulate --tls --port 8322
    nvr simulate --cameras 2 --onvif 8000      # then: nvr discover 127.0.0.1:8000 --profiles`
}

func (v simulateCmd) Run(c *console) error {
	o := simulate.Options{
		Cameras: v.Cameras, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(v.Port)), Bitrate: int(v.Bitrate), Codec: media.Codec(v.Codec), FPS: v.FPS,
		Transport: simulate.Transport(v.Transport), TLS: v.TLS, Auth: simulate.Auth(v.Auth), User: v.User, Password: v.Password, Log: c.log,
	}
	if h26x := o.Codec == media.H264 || o.Codec == media.H265; h26x && o.Bitrate == 0 {
		o.Bitrate = 1_000_000
	}
	if v.Audio {
		o.Audio = simulate.Audio(v.AudioCodec)
	}
	if v.Cameras < 1 || v.Port < 0 || v.Port > 65535 || v.FPS < 1 || v.ONVIF > 65535 {
		return usagef("--cameras and --fps are at least 1, --port and --onvif are 0 to 65535")
	}
	if v.TLS && (v.Transport == "udp" || v.Transport == "multicast") {
		return usagef("--tls goes with --transport any, tcp or http: datagrams are not encrypted")
	}
	server, err := simulate.New(o)
	if err != nil {
		return err
	}
	if v.TLS {
		fmt.Fprintf(c.err, "tls_fingerprint = %q\n", server.Fingerprint())
	}
	var devices *device.Server
	if v.ONVIF >= 0 {
		if devices, err = v.devices(server); err != nil {
			return fmt.Errorf("simulate: %w", err)
		}
	}
	for n := range v.Cameras {
		if _, err := fmt.Fprintln(c.out, server.URL(n+1)); err != nil {
			return err
		}
	}
	if devices == nil {
		return server.Run(c.ctx)
	}
	for n := range v.Cameras {
		if _, err := fmt.Fprintln(c.out, devices.URL(n+1)); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(c.ctx)
	defer stop()
	answering := make(chan error, 1)
	go func() {
		answering <- devices.Run(ctx)
		stop()
	}()
	err = server.Run(ctx)
	stop()
	return errors.Join(err, <-answering)
}

// devices are the ONVIF side of the same cameras, with one password for both.
func (v simulateCmd) devices(server *simulate.Server) (*device.Server, error) {
	auth := map[simulate.Auth]device.Auth{
		simulate.AuthBasic: device.AuthToken, simulate.AuthDigest: device.AuthDigest, simulate.AuthDigestSHA256: device.AuthBoth,
	}[simulate.Auth(v.Auth)]
	o := device.Options{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(v.ONVIF))}
	for n := range v.Cameras {
		profile := device.Profile{Token: "main", Name: "mainStream", Codec: strings.ToUpper(v.Codec), Width: simulate.Width, Height: simulate.Height, FPS: v.FPS,
			Kbps: server.Bitrate() / 1000, GOP: server.GOP(), URI: server.URL(n + 1)}
		if v.Audio {
			profile.Audio = map[string]string{"aac": "AAC"}[v.AudioCodec]
			if profile.Audio == "" {
				profile.Audio = "G711"
			}
		}
		o.Cameras = append(o.Cameras, device.Camera{
			Maker: "NVR", Model: "Simulated", Name: fmt.Sprintf("Simulated camera %d", n+1), Firmware: versionNumber(), Serial: strconv.Itoa(n + 1),
			UUID: media.CameraUUID(fmt.Sprintf("simulated %d", n+1)).String(), Profiles: []device.Profile{profile},
			Auth: auth, User: v.User, Password: v.Password,
		})
	}
	return device.New(o)
}
