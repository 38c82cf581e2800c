package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// answers is a recorder.
func answers(ctx context.Context, r Request, progress func(done, total int64)) (any, error) {
	switch r.Do {
	case "answer":
		return map[string]int{"answer": 42}, nil
	case "nothing":
		return nil, nil
	case "count":
		var to int64
		if err := json.Unmarshal(r.Args, &to); err != nil {
			return nil, err
		}
		for i := range to {
			progress(i+1, to)
		}
		return to, nil
	case "wait":
		<-ctx.Done()
		waited <- ctx.Err()
		return nil, ctx.Err()
	case "fail":
		return nil, errors.New("no luck")
	}
	return nil, fmt.Errorf("refused: %w", &Error{Text: "not known", Exit: 3})
}

// waited hears when a "wait" is over.
var waited = make(chan error, 1)

func TestConversation(t *testing.T) {
	dir := t.TempDir()
	s, err := Listen(dir, answers)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var steps []int64
	got, err := Ask(ctx, dir, "count", 4, func(done, total int64) { steps = append(steps, done, total) })
	if err != nil || string(got) != "4" || fmt.Sprint(steps) != "[1 4 2 4 3 4 4 4]" {
		t.Errorf("count: %s, %v, progress %v", got, err, steps)
	}
	steps = nil
	if _, err := Ask(ctx, dir, "count", 5000, func(done, total int64) { steps = append(steps, done) }); err != nil || len(steps) != 101 {
		t.Errorf("%d lines of progress, %v: one for each per cent", len(steps), err)
	}
	if got, err := Ask(ctx, dir, "nothing", nil, nil); err != nil || string(got) != "null" {
		t.Errorf("nothing: %q, %v", got, err)
	}
	var refusal *Error
	if _, err := Ask(ctx, dir, "fail", nil, nil); !errors.As(err, &refusal) || *refusal != (Error{"no luck", 1}) {
		t.Errorf("fail: %v", err)
	}
	if _, err := Ask(ctx, dir, "dance", nil, nil); !errors.As(err, &refusal) || *refusal != (Error{"not known", 3}) {
		t.Errorf("an unknown verb: %v", err)
	}
	// A peer that goes away ends what it asked for.
	impatient, leave := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, leave)
	if _, err := Ask(impatient, dir, "wait", nil, func(int64, int64) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("what was waited for: %v", err)
	}
}

// Whatever a peer sends, the others are answered.
func TestPeersThatMakeNoSense(t *testing.T) {
	dir := t.TempDir()
	s, err := Listen(dir, answers)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	for _, text := range []string{"", "\n", "{}\n", "[]\n", "{\"do\":1}\n", strings.Repeat("x", 2*maxRequestBytes), "{\"do\":\"count\"}\n", "{\"do\":\"count\",\"args\":\"many\"}\n"} {
		conn, err := net.Dial("unix", filepath.Join(dir, SocketName))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text)) // it may be cut off in the middle
		conn.(*net.UnixConn).CloseWrite()
		b, _ := io.ReadAll(conn)
		conn.Close()
		if len(b) > 0 && !strings.HasPrefix(string(b), `{"error":`) {
			t.Errorf("%.40q is answered %s", text, b)
		}
	}
	if _, err := Ask(ctx, dir, "answer", nil, nil); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAsk(t *testing.T) {
	// Longer than a socket's address may be.
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if _, err := Ask(t.Context(), dir, "answer", nil, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no directory: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(t.Context(), dir, "answer", nil, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	for range 2 { // the second recorder finds what the first left behind
		s, err := Listen(dir, answers)
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
				got, err := Ask(t.Context(), dir, "answer", nil, nil)
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
		if _, err := Ask(t.Context(), dir, "answer", nil, nil); !errors.Is(err, ErrNotRunning) {
			t.Errorf("after the end: %v", err)
		}
	}
	// A socket that a killed recorder left.
	s, err := Listen(dir, answers)
	if err != nil {
		t.Fatal(err)
	}
	s.listener.Close()
	if _, err := Ask(t.Context(), dir, "answer", nil, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("dead socket: %v", err)
	}
}

// A recorder whose disk is away is found by the socket that is on none, and
// leaves nothing in the directory.
func TestAskApart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ring")
	const want = `{"answer":42}`
	s, err := ListenApart(dir, answers)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenApart(dir, answers); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second one: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	if got, err := Ask(t.Context(), dir, "answer", nil, nil); err != nil || string(got) != want {
		t.Errorf("without the directory: %s, %v", got, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := Ask(t.Context(), dir, "answer", nil, nil); err != nil || string(got) != want {
		t.Errorf("with an empty directory: %s, %v", got, err)
	}
	if _, err := Ask(t.Context(), dir+"2", "answer", nil, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("of another directory: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := Ask(t.Context(), dir, "answer", nil, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
