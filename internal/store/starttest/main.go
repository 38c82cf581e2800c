// Command starttest measures what a start costs in a ring of any size: it makes
// one of 10,240 pools, sparse files with real superblocks and footers, and starts
// the recorder on it, with its catalogue, without, and with a damaged one, beside
// a ring of a few pools. docs/perf.md says what came of it; make start runs it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "starttest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("starttest", flag.ContinueOnError)
	var m measuring
	s := shape{}
	mib := flags.Int64("mib", 1024, "MiB of a pool file")
	flags.IntVar(&s.pools, "pools", 10240, "pool files in the large ring")
	flags.IntVar(&s.cameras, "cameras", 150, "cameras whose footage is there")
	flags.IntVar(&s.bitrate, "bitrate", 1_000_000, "bits a second of each")
	flags.StringVar(&m.nvr, "nvr", "bin/nvr", "the recorder")
	flags.StringVar(&m.scratch, "scratch", "bin/start", "directory for the rings: the footers of the large one take 15 GB")
	flags.IntVar(&m.recorded, "recorded", 4, "simulated cameras that are recorded")
	keep := flags.Bool("keep", false, "leave the rings for the next time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.size = *mib << 20
	if !*keep {
		defer os.RemoveAll(m.scratch)
	}
	small := s
	small.pools = 4
	s.dir, small.dir = filepath.Join(m.scratch, "large", "ring"), filepath.Join(m.scratch, "small", "ring")
	for _, r := range []shape{small, s} {
		if _, err := os.Stat(filepath.Join(r.dir, "ring.id")); err != nil { // else kept
			began := time.Now()
			if err := r.make(); err != nil {
				return fmt.Errorf("make a ring of %d pools: %w", r.pools, err)
			}
			fmt.Printf("made a ring of %d pools of %d MiB, %d cameras of %d bit/s, in %.0f s\n", r.pools, *mib, r.cameras, r.bitrate, time.Since(began).Seconds())
		}
		if err := r.catalogue(); err != nil {
			return err
		}
	}
	return m.run(small, s)
}
