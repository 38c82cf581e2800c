package control

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAsk(t *testing.T) {
	// Longer than a socket's address may be.
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if _, err := Ask(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no directory: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	for range 2 { // the second recorder finds what the first left behind
		s, err := Listen(dir, func() any { return map[string]int{"answer": 42} })
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, SocketName))
		if err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("socket %v, %v", info, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		var askers sync.WaitGroup
		for range 3 * maxPeers {
			askers.Go(func() {
				got, err := Ask(t.Context(), dir)
				if err != nil || strings.TrimSpace(string(got)) != `{"answer":42}` {
					t.Errorf("got %s, %v", got, err)
				}
			})
		}
		askers.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := Ask(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
			t.Errorf("after the end: %v", err)
		}
	}
	// A socket that a killed recorder left.
	s, err := Listen(dir, func() any { return nil })
	if err != nil {
		t.Fatal(err)
	}
	s.listener.Close()
	if _, err := Ask(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("dead socket: %v", err)
	}
}
