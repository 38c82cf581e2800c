package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"nvr/internal/onvif"
)

// TestSimulateONVIF: the cameras that nvr simulate prints can be asked, and lead to its streams.
func TestSimulateONVIF(t *testing.T) {
	out, in := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		c := &console{ctx: ctx, out: in, log: slog.New(slog.DiscardHandler), mask: &mask{}}
		ended <- simulateCmd{Cameras: 2, Bitrate: 1_000_000, Codec: "h265", FPS: 15, Audio: true, AudioCodec: "pcma", Auth: "digest-sha256", User: "u", Password: "pw"}.Run(c)
	}()
	var urls []string
	for lines := bufio.NewScanner(out); len(urls) < 4 && lines.Scan(); {
		urls = append(urls, lines.Text())
	}
	if len(urls) < 4 || !strings.HasPrefix(urls[3], "onvif://127.0.0.1:") {
		t.Fatalf("%q", urls)
	}
	l, err := onvif.NewLocator(onvif.LocatorOptions{URL: urls[3], Username: "u", Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	if uri, err := l.Locate(t.Context()); err != nil || uri != urls[1] {
		t.Errorf("%s leads to %q, want %q: %v", urls[3], uri, urls[1], err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
