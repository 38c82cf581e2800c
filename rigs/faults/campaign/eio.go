package main

import (
	"fmt"
	"slices"
)

// eio lets the n-th block write fail, the file system's own among them, and cuts
// the power afterwards.
func (o *options) eio() error {
	const states = 4
	type result struct {
		fs string
		n  int
		x  outcome
	}
	var list []result
	for _, fs := range []string{"ext4", "xfs"} {
		for n := range o.eios {
			list = append(list, result{fs: fs, n: n + 1})
		}
	}
	var failed error
	inParallel(len(list), o.jobs, func(i int) {
		r := &list[i]
		t := trial{name: fmt.Sprintf("%s, EIO at write %d", r.fs, r.n), write: []string{"-write", "12", "-opens", "2"}, verify: []string{"-rounds", "1"},
			rig: []string{"blkcut", "-fs", r.fs, "-rule", fmt.Sprintf("write err=EIO after=%d count=1", r.n-1)}}
		r.x = t.run(o, "crashtest", states, o.seed+r.n)
	}, func(i int) {
		r := &list[i]
		switch {
		case r.x.err != nil:
			failed = r.x.err
			fmt.Printf("%s, write %d: %v\n", r.fs, r.n, r.x.err)
		case r.x.bad > 0:
			failed = fmt.Errorf("%s, write %d: bad states", r.fs, r.n)
			fmt.Printf("%s, write %d: %d of %d states bad\n%s\n", r.fs, r.n, r.x.bad, r.x.states, r.x.complaints())
		}
	})
	fmt.Println("| file system | writes failed | went on | longest pause between commits | disk reported down | crash states | bad |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
	for _, fs := range []string{"ext4", "xfs"} {
		var on, down, states, bad int
		var pauses []float64
		for _, r := range list {
			if r.fs != fs {
				continue
			}
			states, bad = states+r.x.states, bad+r.x.bad
			if r.x.gaveUp {
				down++
			} else {
				on++
				pauses = append(pauses, r.x.pause)
			}
		}
		longest := 0.0
		if len(pauses) > 0 {
			longest = slices.Max(pauses)
		}
		fmt.Printf("| %s | 1 to %d | %d | %.2f s | %d | %d | %d |\n", fs, o.eios, on, longest, down, states, bad)
		if longest > 2 {
			failed = fmt.Errorf("%s: recording again took %.2f s", fs, longest)
		}
	}
	return failed
}
