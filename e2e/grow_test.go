package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"nvr/internal/simulate"
)

var maxPools = regexp.MustCompile(`max_pools = \d+`)

// reshape writes another max_pools into the configuration.
func (s *site) reshape(t *testing.T, pools int) {
	t.Helper()
	b, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	b = maxPools.ReplaceAll(b, fmt.Appendf(nil, "max_pools = %d", pools))
	if err := os.WriteFile(s.config, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shape is the number of pools that ring.id has; 0: there is none.
func (s *site) shape(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.ring(), "ring.id"))
	if os.IsNotExist(err) {
		return 0
	}
	var id struct{ Pools int }
	if err == nil {
		err = json.Unmarshal(b, &id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id.Pools
}

func (s *site) poolFiles(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.ring(), "pool_*.bin"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// A ring that has come round grows twice under eight cameras: every sample that is
// left is there once, in order, and no gap is listed.
func TestGrowUnderCameras(t *testing.T) {
	server := cameras(t, simulate.Options{Cameras: 8, Bitrate: 4_000_000, Audio: simulate.AudioPCMU})
	s := newSite(t, 3, 8, urls(server)...)
	r := s.record(t)
	waitFor(t, 60*time.Second, "second pass of the ring", func() bool { return readGenerations(t, s) > 4 })
	before := uint64(0)
	for _, pools := range []int{5, 9} {
		had := s.shape(t)
		s.reshape(t, pools)
		out, code := s.run(t, "volume", "grow", "main")
		if want := fmt.Sprintf("volume main: %d pools of 8 MiB, %d before", pools, had); code != 0 || !strings.Contains(out, want) {
			t.Fatalf("exit %d: %s", code, out)
		}
		if n := s.shape(t); n != pools {
			t.Errorf("ring.id has %d pools, want %d", n, pools)
		}
		before = readGenerations(t, s)
	}
	waitFor(t, 90*time.Second, "pass of the grown ring", func() bool { return readGenerations(t, s) > before+10 })
	r.stop(t)
	if used := len(readRing(t, s.ring())); used != 9 {
		t.Errorf("%d pools hold footage", used)
	}
	reports := marksIn(t, s.ring())
	if len(reports) != 8 {
		t.Fatalf("%d cameras in the ring", len(reports))
	}
	stats := server.Stats()
	for _, c := range reports {
		if !c.Clean() {
			t.Error(c)
		}
		sent := stats[c.Camera-1].Sent
		if last := sent[len(sent)-1].To - 1; last-c.Last > 15 {
			t.Errorf("camera %d: recorded up to %d, sent up to %d", c.Camera, c.Last, last)
		}
	}
	if l := s.list(t, ""); len(l.Gaps) != 0 {
		t.Errorf("gaps: %+v", l.Gaps)
	}
	if out, code := s.run(t, "verify"); code != 0 {
		t.Errorf("verify: exit %d: %s", code, out)
	}
}

// slowly runs nvr on a file system that takes its time to allocate, or has no
// fallocate and writes slowly. The process is nvr itself; strace stands beside it.
func (s *site) slowly(t *testing.T, inject string, args ...string) *process {
	t.Helper()
	need(t, "strace")
	call, _, _ := strings.Cut(inject, ":")
	trace := []string{"-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync,fallocate", "-e", "inject=" + inject}
	if call == "fsync" {
		trace = append(trace, "-e", "inject=fallocate:error=EOPNOTSUPP")
	}
	return start(t, "strace", append(append(trace, program, "--config", s.config), args...)...)
}

// How a file system is slow.
var slow = []string{"fallocate:delay_enter=200000", "fsync:delay_enter=100000"}

// A signal ends the making of a ring before it is done; the next start makes it.
func TestSignalWhileTheRingIsMade(t *testing.T) {
	for _, inject := range slow {
		for _, command := range []string{"record", "volume add main"} {
			t.Run(inject+" "+command, func(t *testing.T) {
				t.Parallel()
				server := cameras(t, simulate.Options{Cameras: 1})
				s := newSite(t, 400, 8, server.URL(1))
				p := s.slowly(t, inject, strings.Fields(command)...)
				waitFor(t, 60*time.Second, "pool files", func() bool { return s.poolFiles(t) > 3 })
				p.cmd.Process.Signal(syscall.SIGTERM)
				begin := time.Now()
				p.wait()
				t.Logf("ended after %v with %d pool files", time.Since(begin).Round(time.Millisecond), s.poolFiles(t))
				if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.log.String(), "making the ring was cut short; it is begun again at the next start") {
					t.Errorf("exit %d: %s", code, p.log.String())
				}
				if n := s.poolFiles(t); s.shape(t) != 0 || n > 60 {
					t.Errorf("%d pool files, ring.id has %d", n, s.shape(t))
				}
				s.reshape(t, 4) // it is not bound to what was begun
				r := s.record(t)
				waitFor(t, 60*time.Second, "footage", func() bool { return s.samples(t, "cam1") > 0 })
				r.stop(t)
			})
		}
	}
}

// While a ring grows slowly, the command that asked for it goes away, or the
// recorder is stopped, or the command that does it alone: it ends, the ring is what
// it was, the room is given back, and recording has no gap.
func TestSignalWhileTheRingGrows(t *testing.T) {
	for _, inject := range slow {
		for _, end := range []string{"client", "recorder", "alone"} {
			t.Run(inject+" "+end, func(t *testing.T) {
				t.Parallel()
				server := cameras(t, simulate.Options{Cameras: 1})
				s := newSite(t, 3, 8, server.URL(1))
				r := s.record(t)
				waitFor(t, 60*time.Second, "footage", func() bool { return s.samples(t, "cam1") > 0 })
				r.stop(t)
				var grow *process
				if end == "alone" {
					s.reshape(t, 400)
					grow = s.slowly(t, inject, "volume", "grow", "main")
				} else {
					r = s.slowly(t, inject, "record")
					waitFor(t, 60*time.Second, "recorder", func() bool {
						out, code := s.run(t, "status")
						return code == 0 && strings.Contains(out, "recording  since")
					})
					s.reshape(t, 400)
					grow = start(t, program, "--config", s.config, "volume", "grow", "main")
				}
				waitFor(t, 60*time.Second, "new pool files", func() bool { return s.poolFiles(t) > 6 })
				begin := time.Now()
				if end == "recorder" {
					r.stop(t)
					if !strings.Contains(r.log.String(), "everything is committed") {
						t.Errorf("%s", r.log.String())
					}
				} else {
					grow.cmd.Process.Signal(syscall.SIGINT)
				}
				grow.wait()
				t.Logf("ended after %v: %s", time.Since(begin).Round(time.Millisecond), strings.TrimSpace(grow.log.String()))
				if code := grow.cmd.ProcessState.ExitCode(); code != 1 || end != "recorder" && !strings.Contains(grow.log.String(), "volume grow: interrupted; the r") {
					t.Errorf("exit %d: %s", code, grow.log.String())
				}
				waitFor(t, 20*time.Second, "room given back", func() bool { return s.poolFiles(t) == 3 })
				if n := s.shape(t); n != 3 {
					t.Errorf("ring.id has %d pools", n)
				}
				if end == "client" {
					at := s.samples(t, "cam1")
					waitFor(t, 20*time.Second, "more footage", func() bool { return s.samples(t, "cam1") > at+15 })
					r.stop(t)
					stopped := 0
					for _, g := range s.list(t, "cam1").Gaps { // but that between the two recorders
						if stopped++; g.Reason != "recorder_stopped" || stopped > 1 {
							t.Errorf("gap: %+v", g)
						}
					}
				}
			})
		}
	}
}
