package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// trial is one run of "faults cut" or "faults blkcut".
type trial struct {
	name   string
	rig    []string // arguments of faults, without the number of states
	write  []string // flags of the writer
	verify []string // flags of the verifier
	again  int      // crash, recover, crash again: each round begins with a state of the one before
}

var (
	sick    = []string{"-rule", "fsync err=EIO p=0.05 drop", "-rule", "write err=EIO p=0.02 short"}
	halved  = []string{"-rule", "fsync err=EIO p=0.05 drop=0.5", "-rule", "write err=EIO p=0.02 short"}
	strict  = []string{"-strict"}
	onePass = []string{"-write", "14", "-opens", "2"}
)

// trials are the fault model of docs/reliability.md.
var trials = []trial{
	{name: "cut ordered", rig: []string{"cut", "-meta", "ordered"}, verify: strict},
	{name: "cut weak", rig: []string{"cut", "-meta", "weak"}, verify: strict},
	{name: "cut faulty", rig: append([]string{"cut"}, sick...)},
	{name: "cut half lost", rig: append([]string{"cut"}, halved...)},
	{name: "cut again ×20", rig: []string{"cut"}, write: []string{"-write", "1", "-opens", "1"}, verify: strict, again: 20},
	{name: "ext4, first pass", rig: []string{"blkcut", "-fs", "ext4"}, write: onePass, verify: strict},
	{name: "ext4, later passes", rig: []string{"blkcut", "-fs", "ext4"}, verify: strict},
	{name: "xfs, first pass", rig: []string{"blkcut", "-fs", "xfs"}, write: onePass, verify: strict},
	{name: "xfs, later passes", rig: []string{"blkcut", "-fs", "xfs"}, verify: strict},
	{name: "ext4, EIO on 2 % of writes", rig: []string{"blkcut", "-fs", "ext4", "-rule", "write err=EIO p=0.02"}},
	{name: "xfs, EIO on 2 % of writes", rig: []string{"blkcut", "-fs", "xfs", "-rule", "write err=EIO p=0.02"}},
}

func (t *trial) states(o *options) int {
	if t.rig[0] == "blkcut" {
		return o.blk
	}
	return o.cut
}

// outcome is what came of a trial.
type outcome struct {
	states, bad, acks int
	commits, failures int
	pause             float64 // longest between two commits, s
	gaveUp            bool
	took              time.Duration
	text              string // what the rig printed
	err               error  // the rig itself failed
}

var (
	summary = regexp.MustCompile(`(\d+) crash states tried, (\d+) acks recorded, \d+ states passed, (\d+) FAILED`)
	written = regexp.MustCompile(`writer: (\d+) commits, (\d+) failures, longest pause ([\d.]+) s`)
	gaveUp  = regexp.MustCompile(`writer: gave up: (\d+) commits, (\d+) failures`)
)

// run plays the trial with n states on the given build of crashtest.
func (t *trial) run(o *options, program string, n, seed int) outcome {
	if t.again == 0 {
		return t.once(o, program, n, seed, "", "")
	}
	scratch, err := os.MkdirTemp("/dev/shm", "again")
	if err != nil {
		return outcome{err: err}
	}
	defer os.RemoveAll(scratch)
	var sum outcome
	from := ""
	for round := range t.again {
		to := filepath.Join(scratch, strconv.Itoa(round))
		if err := os.Mkdir(to, 0o755); err != nil {
			return outcome{err: err}
		}
		x := t.once(o, program, max(n/t.again, 1), seed+round, from, to)
		sum.states, sum.bad, sum.acks = sum.states+x.states, sum.bad+x.bad, sum.acks+x.acks
		sum.commits, sum.failures, sum.pause = sum.commits+x.commits, sum.failures+x.failures, max(sum.pause, x.pause)
		sum.took, sum.text, sum.err, sum.gaveUp = sum.took+x.took, sum.text+x.text, x.err, sum.gaveUp || x.gaveUp
		if x.err != nil {
			break
		}
		from = to
	}
	return sum
}

func (t *trial) once(o *options, program string, n, seed int, from, save string) outcome {
	began := time.Now()
	program = filepath.Join(o.bin, program)
	args := append([]string{}, t.rig...)
	args = append(args, "-n", strconv.Itoa(n), "-seed", strconv.Itoa(seed))
	if from != "" {
		args = append(args, "-init", from)
	}
	if save != "" {
		args = append(args, "-save", save)
	}
	if o.keep != "" {
		args = append(args, "-keep", o.keep)
	}
	args = append(args, "--", program, "write", "{}", "-seed", strconv.Itoa(seed))
	args = append(args, t.write...)
	args = append(args, ":::", program, "verify", "{}")
	args = append(args, t.verify...)
	out, err := exec.Command(filepath.Join(o.bin, "faults"), args...).CombinedOutput()
	x := outcome{text: string(out), took: time.Since(began)}
	m := summary.FindStringSubmatch(x.text)
	if m == nil {
		x.err = fmt.Errorf("%s: the rig failed: %v: %s", t.name, err, strings.TrimSpace(x.text))
		return x
	}
	x.states, x.acks, x.bad = number(m[1]), number(m[2]), number(m[3])
	if m := written.FindStringSubmatch(x.text); m != nil {
		x.commits, x.failures = number(m[1]), number(m[2])
		x.pause, _ = strconv.ParseFloat(m[3], 64)
	} else if m := gaveUp.FindStringSubmatch(x.text); m != nil {
		x.gaveUp, x.commits, x.failures = true, number(m[1]), number(m[2])
	}
	return x
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// failures are the lines in which the rig tells of bad states.
func (x *outcome) complaints() string {
	var lines []string
	for line := range strings.Lines(x.text) {
		if strings.Contains(line, "FAIL ") || strings.Contains(line, "verify: ") || strings.Contains(line, "gave up") {
			lines = append(lines, "    "+strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// crash plays every trial on the store as it is.
func (o *options) crash() error {
	list := o.chosen()
	results := make([]outcome, len(list))
	fmt.Println("| run | crash states | acknowledged | commits | disk errors | bad states | s |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
	var states, bad int
	var failed error
	inParallel(len(list), o.jobs, func(i int) {
		results[i] = list[i].run(o, "crashtest", list[i].states(o), o.seed+i)
	}, func(i int) {
		x := &results[i]
		if x.err != nil {
			failed = x.err
			fmt.Printf("| %s | %v |\n", list[i].name, x.err)
			return
		}
		states, bad = states+x.states, bad+x.bad
		note := ""
		if x.gaveUp {
			note = " (gave up)"
		}
		fmt.Printf("| %s | %d | %d | %d | %d%s | %d | %.0f |\n", list[i].name, x.states, x.acks, x.commits, x.failures, note, x.bad, x.took.Seconds())
	})
	for i := range results {
		if results[i].bad > 0 {
			fmt.Printf("\n%s (seed %d):\n%s\n", list[i].name, o.seed+i, results[i].complaints())
		}
	}
	fmt.Printf("\n%d crash states, %d bad\n", states, bad)
	if bad > 0 {
		return fmt.Errorf("%d of %d crash states are bad", bad, states)
	}
	return failed
}

func (o *options) chosen() []trial {
	var list []trial
	for _, t := range trials {
		if strings.Contains(t.name, o.only) {
			list = append(list, t)
		}
	}
	return list
}
