// Command campaign holds the archive to its word: it runs internal/store/crashtest
// under the rigs of this module and prints a table of what came of it.
//
//	campaign crash     power cuts: recorded directories and real file systems
//	campaign mutants   the same with one rule of the store taken out at a time: is it missed?
//	campaign eio       one EIO at the n-th block write, n = 1…100, ext4 and xfs
//	campaign kill      the writer killed 200 times
//
// It is started in the repository's root. It needs root (mounts, loop devices),
// e2fsprogs and xfsprogs.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// options of all verbs.
type options struct {
	bin   string // where faults lies, and what is built goes
	cut   int    // states of each run of faults cut
	blk   int    // states of each run of faults blkcut
	seed  int
	jobs  int
	keep  string
	kills int
	eios  int
	only  string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "campaign:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("use: campaign crash|mutants|eio|kill [flags]")
	}
	var o options
	fl := flag.NewFlagSet("campaign", flag.ContinueOnError)
	fl.StringVar(&o.bin, "bin", "bin/rigs", "directory of the rigs' programs")
	fl.IntVar(&o.cut, "cut", 300, "crash states of each run on a recorded directory")
	fl.IntVar(&o.blk, "blk", 60, "crash states of each run on a real file system")
	fl.IntVar(&o.seed, "seed", 1, "seed of the load and of the cuts")
	fl.IntVar(&o.jobs, "jobs", 2, "runs at a time")
	fl.StringVar(&o.keep, "keep", "", "directory for the states that fail")
	fl.IntVar(&o.kills, "kills", 200, "kill: how often")
	fl.IntVar(&o.eios, "eios", 100, "eio: up to the n-th write")
	fl.StringVar(&o.only, "only", "", "only the runs whose name contains this")
	if err := fl.Parse(args[1:]); err != nil {
		return err
	}
	if err := o.ready(args[0] != "kill"); err != nil {
		return err
	}
	switch args[0] {
	case "crash":
		return o.crash()
	case "mutants":
		return o.mutants()
	case "eio":
		return o.eio()
	case "kill":
		return o.kill()
	}
	return fmt.Errorf("unknown verb %q", args[0])
}

// ready says what is missing before anything fails half-way.
func (o *options) ready(mounts bool) error {
	if _, err := os.Stat("internal/store/crashtest"); err != nil {
		return errors.New("start this in the repository's root")
	}
	var err error
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if mounts {
		if os.Getuid() != 0 {
			return errors.New("root is needed: power cuts are played on mounts and loop devices")
		}
		for _, file := range []string{"/dev/fuse", "/dev/loop-control"} {
			if _, err := os.Stat(file); err != nil {
				return fmt.Errorf("the kernel offers no %s here (a container needs it passed through)", file)
			}
		}
		for _, tool := range []string{"losetup", "mount", "umount", "mkfs.ext4", "mkfs.xfs"} {
			if _, err := exec.LookPath(tool); err != nil {
				return fmt.Errorf("%s is missing: apt-get install mount e2fsprogs xfsprogs", tool)
			}
		}
	}
	return o.build("crashtest", "")
}

// build builds crashtest, with files replaced as the overlay says.
func (o *options) build(name, overlay string) error {
	args := []string{"build", "-o", filepath.Join(o.bin, name)}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	c := exec.Command("go", append(args, "./internal/store/crashtest")...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// inParallel calls f for 0 to n-1, jobs at a time, and done in their order.
func inParallel(n, jobs int, f func(int), done func(int)) {
	finished := make([]chan struct{}, n)
	for i := range finished {
		finished[i] = make(chan struct{})
	}
	slots := make(chan struct{}, max(jobs, 1))
	var all sync.WaitGroup
	all.Go(func() {
		for i := range n {
			slots <- struct{}{}
			all.Go(func() {
				f(i)
				<-slots
				close(finished[i])
			})
		}
	})
	for i := range n {
		<-finished[i]
		done(i)
	}
	all.Wait()
}
