package ingest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"nvr/internal/testkit"
)

var table = flag.Bool("table", false, "print the table of cameras and verdicts")

// TestCameras records every camera of the table. "make cameras" prints it.
func TestCameras(t *testing.T) {
	verdicts := map[string][]string{}
	keys := map[string]bool{}
	for _, q := range testkit.Quirks() {
		if keys[q.Key] || q.Key == "" || q.Vendor == "" || q.Does == "" || q.Right == "" {
			t.Errorf("§%s %q is there twice, or has no vendor, or does not say what it is", q.Section, q.Key)
		}
		keys[q.Key] = true
		t.Run(q.Key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				verdicts[q.Key] = runQuirk(t, &q)
				if why := testkit.Waiting[q.Key]; why != "" {
					if len(verdicts[q.Key]) == 0 {
						t.Errorf("it is handled, and need not wait for %s", why)
					}
					return
				}
				for _, p := range verdicts[q.Key] {
					t.Error(p)
				}
			})
		})
	}
	if *table {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "§\tcamera\tvendor\tverdict")
		for _, q := range testkit.Quirks() {
			verdict := "handled"
			if p, ran := verdicts[q.Key]; !ran {
				continue
			} else if why := testkit.Waiting[q.Key]; why != "" {
				verdict = "waits for " + why
			} else if len(p) > 0 {
				verdict = "WRONG: " + p[0]
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", q.Section, q.Key, q.Vendor, verdict)
		}
		w.Flush()
		fmt.Printf("%d cameras, %d of the list\n", len(verdicts), len(testkit.Quirks()))
	}
}

// runQuirk records one camera for as long as it wants, and says what is wrong.
func runQuirk(t *testing.T, q *testkit.Quirk) []string {
	cam := q.New()
	net := testkit.NewNet(cam)
	s, log := newShelf(), new(lines)
	c := New(optionsFor(cam, net, log), s)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	lasts := q.For
	if lasts == 0 {
		lasts = 7 * time.Second
	}
	time.Sleep(lasts + 37*time.Millisecond)
	synctest.Wait()
	st := c.Status()
	end := time.Now()
	cancel()
	r := &testkit.Result{Ran: <-ended, Ended: end, State: string(st.State), Error: st.LastError, Notes: st.Notes, Tracks: st.Tracks,
		Lost: st.LostPackets, Clock: st.CameraClock, Dials: net.Dials(), Records: s.records, Gaps: s.faults(), Log: log.all()}
	if r.Notes == nil {
		r.Notes = c.Status().Notes
	}
	open, most := net.Open()
	r.Most = most
	net.Close()
	problems := q.Verify(cam, r)
	if open != 0 {
		problems = append(problems, fmt.Sprintf("%d connections are left open", open))
	}
	return problems
}

func optionsFor(cam *testkit.Camera, net *testkit.Net, log slog.Handler) Options {
	return Options{Stream: testStream, URL: cam.URL(), Username: cam.User, Password: cam.Password, Audio: true, Transport: "tcp", // what a testkit.Net carries
		Dial: net.Dial, Log: slog.New(log)}
}

// lines is a log that is kept, from Info on.
type lines struct {
	mu   *sync.Mutex
	kept *[]string
	with string
}

func (l *lines) init() {
	if l.mu == nil {
		l.mu, l.kept = new(sync.Mutex), new([]string)
	}
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s", r.Level, r.Message, l.with)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.kept = append(*l.kept, b.String())
	return nil
}

func (l *lines) WithAttrs(as []slog.Attr) slog.Handler {
	l.init()
	n := *l
	for _, a := range as {
		n.with += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return &n
}

func (l *lines) WithGroup(string) slog.Handler { return l }

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), *l.kept...)
}
