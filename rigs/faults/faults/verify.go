package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// splitWords takes "WRITER words ::: VERIFY words" apart.
func splitWords(a []string) (writer, verifier []string) {
	for i, word := range a {
		if word == ":::" && i > 0 && i+1 < len(a) {
			return a[:i], a[i+1:]
		}
	}
	die("give: -- WRITER ... ::: VERIFY ...   ({} is the directory)")
	return nil, nil
}

func fill(words []string, dir string) []string {
	out := make([]string, len(words))
	for i, word := range words {
		out[i] = strings.ReplaceAll(word, "{}", dir)
	}
	return out
}

// runWriter runs the program under test. "ack X" lines on its stdout count as
// acknowledgements when it cannot use $POWERCUT_ACK.
func runWriter(words []string, ackPath string, ack func(string), limit time.Duration) {
	c := exec.Command(words[0], words[1:]...)
	c.Env = append(os.Environ(), "POWERCUT_ACK="+ackPath)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		die("%v", err)
	}
	if err := c.Start(); err != nil {
		die("%v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if line, ok := strings.CutPrefix(sc.Text(), "ack "); ok {
				ack(line)
			}
		}
	}()
	timer := time.AfterFunc(limit, func() {
		fmt.Printf("the writer is killed after %s\n", limit)
		c.Process.Kill()
	})
	<-done
	err = c.Wait()
	timer.Stop()
	fmt.Printf("writer ended: %v\n", err)
}

// tally counts crash states and what became of them. Its methods may be called
// concurrently.
type tally struct {
	keep string // where failing states are kept; empty: nowhere

	mu          sync.Mutex
	states, bad int
	by, badBy   map[string]int // strategy
	first       []string
}

func newTally(keep string) *tally {
	return &tally{keep: keep, by: map[string]int{}, badBy: map[string]int{}}
}

// verify runs the verifier on the crash state n in dir and counts the outcome.
// scratch is a file of its own for the acknowledgements.
func (t *tally) verify(words []string, dir, scratch string, acks []string, n int, what, strategy string) {
	if err := os.WriteFile(scratch, []byte(strings.Join(acks, "\n")+"\n"), 0o644); err != nil {
		die("%v", err)
	}
	c := exec.Command(words[0], words[1:]...)
	c.Env = append(os.Environ(), "POWERCUT_ACKED="+scratch)
	out, err := c.CombinedOutput()
	if err == nil {
		t.count(strategy, "")
		return
	}
	t.count(strategy, fmt.Sprintf("state %d: %s\n      verify: %v: %s", n, what, err, strings.TrimSpace(string(out))))
	if t.keep != "" {
		name := filepath.Join(t.keep, fmt.Sprintf("state%05d", n))
		exec.Command("cp", "-r", "--sparse=always", dir, name).Run()
		exec.Command("cp", scratch, name+".acked").Run()
	}
}

func (t *tally) count(strategy, failure string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.states++
	t.by[strategy]++
	if failure == "" {
		return
	}
	t.bad++
	t.badBy[strategy]++
	if len(t.first) < 5 {
		t.first = append(t.first, failure)
	}
}

// report prints the outcome and ends the program: 0 when every state passed.
func (t *tally) report(kind string, acks int) {
	for _, f := range t.first {
		fmt.Println("  FAIL", f)
	}
	var names []string
	for name := range t.by {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("  %-9s %4d states, %d bad\n", name, t.by[name], t.badBy[name])
	}
	fmt.Printf("%s: %d crash states tried, %d acks recorded, %d states passed, %d FAILED\n", kind, t.states, acks, t.states-t.bad, t.bad)
	cleanUp()
	if t.bad > 0 {
		os.Exit(1)
	}
}
