package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// cmdCut records what WRITER does to a directory, then builds crash states of
// that history and runs VERIFY on each.
func cmdCut(a []string) {
	fl := flag.NewFlagSet("cut", flag.ExitOnError)
	n := fl.Int("n", 300, "crash states to try")
	seed := fl.Int64("seed", 1, "")
	meta := fl.String("meta", "ordered", "ordered (journalling fs) or weak (each directory needs its own fsync)")
	sector := fl.Int64("sector", 512, "torn-write unit")
	tmp := fl.String("tmp", "/dev/shm", "scratch directory")
	initial := fl.String("init", "", "copy this directory in as the starting state")
	save := fl.String("save", "", "leave the last state here, as the cut left it: the -init of another run")
	keep := fl.String("keep", "", "keep failing states here")
	jobs := fl.Int("j", 1, "states verified at a time")
	limit := fl.Duration("limit", time.Minute, "writer time limit")
	var rules multi
	fl.Var(&rules, "rule", "fault rule active while the writer runs (repeatable)")
	fl.Parse(a)
	writer, verifier := splitWords(fl.Args())
	dieOnSignal()

	scratch, err := os.MkdirTemp(*tmp, "powercut")
	if err != nil {
		die("%v", err)
	}
	atExit(func() { os.RemoveAll(scratch) })
	back, mnt, ctl := filepath.Join(scratch, "back"), filepath.Join(scratch, "mnt"), filepath.Join(scratch, "ctl")
	for _, dir := range []string{back, mnt, ctl} {
		os.Mkdir(dir, 0o755)
	}
	if *initial != "" {
		copyTree(*initial, back)
	}
	before := snapshot(back)
	c := &Recorder{r: NewRules(*seed, rules), on: true}
	ack := func(line string) { c.add(Op{Kind: "ack", Ack: line}) }
	server := mountDir(back, mnt, c)
	unmount := sync.OnceFunc(func() { umount(server, mnt) })
	atExit(unmount)
	ackServer := mountFiles(ctl, kids("ack", ack))
	unmountAck := sync.OnceFunc(func() { umount(ackServer, ctl) })
	atExit(unmountAck)
	runWriter(fill(writer, mnt), filepath.Join(ctl, "ack"), ack, *limit)
	unmount()
	unmountAck()

	ops := c.ops
	kinds := map[string]int{}
	var bytes int64
	for i := range ops {
		kinds[ops[i].Kind]++
		bytes += int64(len(ops[i].Data))
	}
	fmt.Printf("recorded %d ops %v, %.1f MB written\n", len(ops), kinds, float64(bytes)/1e6)
	points := crashPoints(*n, len(ops), func(i int) bool { return ops[i].Kind == "ack" }, rand.New(rand.NewSource(*seed)))

	t := newTally(*keep)
	next := make(chan int)
	var workers sync.WaitGroup
	for w := range max(*jobs, 1) {
		workers.Go(func() {
			dir := filepath.Join(scratch, fmt.Sprintf("state%d", w))
			for i := range next {
				os.RemoveAll(dir)
				os.Mkdir(dir, 0o755)
				strategy := strategies[(i+int(*seed))%len(strategies)]
				rng := rand.New(rand.NewSource(*seed<<32 + int64(i)))
				acks, what := buildState(before, ops, points[i], strategy, *meta, *sector, rng, dir)
				if *save != "" && i == len(points)-1 {
					copyTree(dir, *save)
				}
				t.verify(fill(verifier, dir), dir, dir+".acked", acks, i, what, strategy)
			}
		})
	}
	for i := range points {
		next <- i
	}
	close(next)
	workers.Wait()
	t.report("cut(meta="+*meta+")", kinds["ack"])
}

func copyTree(from, to string) {
	if out, err := exec.Command("cp", "-a", "--sparse=always", from+"/.", to).CombinedOutput(); err != nil {
		die("copy %s: %v: %s", from, err, out)
	}
}
