package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

var started = regexp.MustCompile(`writer: first commit ([\d.]+) s after the start`)

// kill ends the writer with SIGKILL at a random moment, verifies, and starts it
// again on what is there.
func (o *options) kill() error {
	dir, err := os.MkdirTemp("", "kill")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	acks := filepath.Join(dir, "acks")
	if err := os.WriteFile(acks, nil, 0o644); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(o.seed), 0))
	program := filepath.Join(o.bin, "crashtest")
	slowest, early := 0.0, 0
	for n := range o.kills {
		w := exec.Command(program, "write", dir, "-write", "100000", "-seed", strconv.Itoa(o.seed+n))
		w.Env = append(os.Environ(), "POWERCUT_ACK="+acks)
		var out bytes.Buffer
		w.Stderr = &out
		if err := w.Start(); err != nil {
			return err
		}
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		w.Process.Kill()
		w.Wait()
		if m := started.FindSubmatch(out.Bytes()); m != nil {
			s, _ := strconv.ParseFloat(string(m[1]), 64)
			slowest = max(slowest, s)
		} else {
			early++
		}
		v := exec.Command(program, "verify", dir, "-strict")
		v.Env = append(os.Environ(), "POWERCUT_ACKED="+acks)
		if out, err := v.CombinedOutput(); err != nil {
			return fmt.Errorf("kill %d: %w: %s", n+1, err, out)
		}
	}
	b, err := os.ReadFile(acks)
	if err != nil {
		return err
	}
	fmt.Printf("%d kills (%d before the first commit), %d acknowledgements, 0 lost; at most %.3f s from start to first commit\n", o.kills, early, bytes.Count(b, []byte("\n")), slowest)
	return nil
}
