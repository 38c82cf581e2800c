// Command crashtest asks the archive what it is for: is everything there that
// was promised? "write" drives a store at full speed and acknowledges what each
// sync made durable; "verify" opens what a power cut, a fault or a kill left of
// it and compares. Both speak the contract of rigs/faults: acknowledgements go
// to the file $POWERCUT_ACK, and those given before the cut come back in
// $POWERCUT_ACKED. docs/reliability.md says how it is run and what came of it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"nvr/internal/store"
)

// shape is what both verbs must agree on.
type shape struct {
	dir   string
	pools int
	mib   int64
	beat  time.Duration
}

// options opens the ring in a directory two levels below what the rig cuts, so
// that the names on the way to it are part of what must survive.
func (s shape) options() store.Options {
	return store.Options{Dir: filepath.Join(s.dir, "archive", "ring"), Pools: s.pools, PoolBytes: s.mib << 20, QueueRecords: 64,
		CommitInterval: s.beat, SegmentDuration: 2 * time.Second}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crashtest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("use: crashtest write|verify DIR [flags]")
	}
	s := shape{dir: args[1]}
	flags := flag.NewFlagSet("crashtest", flag.ContinueOnError)
	flags.IntVar(&s.pools, "pools", 3, "pool files in the ring")
	flags.Int64Var(&s.mib, "mib", 8, "MiB of a pool file")
	flags.DurationVar(&s.beat, "commit", 4*time.Millisecond, "commit interval")
	var w writing
	flags.IntVar(&w.mib, "write", 60, "write: MiB to write")
	flags.IntVar(&w.opens, "opens", 3, "write: how often the store is opened on the way")
	flags.Uint64Var(&w.seed, "seed", 1, "write: seed of the load")
	flags.DurationVar(&w.patience, "patience", 4*time.Second, "write: how long a disk may take nothing until the writer gives up")
	var v verifying
	flags.BoolVar(&v.strict, "strict", false, "verify: the disk did not fail, so pools were reused in their order and none was passed over")
	flags.IntVar(&v.rounds, "rounds", 2, "verify: how often to append, close, open and look again")
	if err := flags.Parse(args[2:]); err != nil {
		return err
	}
	switch args[0] {
	case "write":
		return w.run(s)
	case "verify":
		return v.run(s)
	}
	return fmt.Errorf("unknown verb %q", args[0])
}
