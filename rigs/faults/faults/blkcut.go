package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
)

// cmdBlkCut does the same one level lower: a file system on a recorded block
// device, whose crash states are mounted, so that its own recovery runs too.
func cmdBlkCut(a []string) {
	fl := flag.NewFlagSet("blkcut", flag.ExitOnError)
	size := fl.String("size", "", "device size; empty: 160M, and 320M for xfs, which refuses less")
	fsn := fl.String("fs", "ext4", "ext4, xfs or btrfs")
	opts := fl.String("o", "", "mount options")
	n := fl.Int("n", 100, "crash states")
	seed := fl.Int64("seed", 1, "")
	sector := fl.Int64("sector", 512, "torn-write unit")
	tmp := fl.String("tmp", "/dev/shm", "")
	keep := fl.String("keep", "", "keep failing states here")
	limit := fl.Duration("limit", time.Minute, "writer time limit")
	var rules multi
	fl.Var(&rules, "rule", "fault rule on the block device while the writer runs (repeatable)")
	fl.Parse(a)
	w, v := splitWords(fl.Args())
	dieOnSignal()
	if *size == "" {
		*size = "160M"
		if *fsn == "xfs" {
			*size = "320M"
		}
	}
	t0, err := os.MkdirTemp(*tmp, "blkcut")
	if err != nil {
		die("%v", err)
	}
	atExit(func() { os.RemoveAll(t0) })
	dd, mnt := filepath.Join(t0, "dev"), filepath.Join(t0, "mnt")
	os.Mkdir(dd, 0755)
	os.Mkdir(mnt, 0755)
	d := &disk{size: parseSize(*size), p: pages{}, r: NewRules(*seed, nil)}
	ack := func(l string) {
		d.mu.Lock()
		d.log = append(d.log, brec{kind: "ack", ack: l})
		d.mu.Unlock()
	}
	s := mountFiles(dd, map[string]fs.InodeEmbedder{"disk": d, "ack": &ackFile{on: ack}})
	atExit(func() { umount(s, dd) })
	img := filepath.Join(dd, "disk")
	mount := func(dev string) error {
		m := []string{"mount", "-t", *fsn}
		if *opts != "" {
			m = append(m, "-o", *opts)
		}
		o, err := sh(true, append(m, dev, mnt)...)
		if err != nil {
			return fmt.Errorf("%v: %s", err, o)
		}
		return nil
	}
	dev := attach(img)
	atExit(func() { detach(dev, img) })
	mkfs(*fsn, dev)
	atExit(func() { syscall.Unmount(mnt, syscall.MNT_DETACH) })
	if err := mount(dev); err != nil {
		die("mount: %v", err)
	}
	sh(false, "sync", "-f", mnt)
	d.mu.Lock()
	p0 := d.p.clone()
	d.rec = true
	d.mu.Unlock()
	d.r.mu.Lock()
	d.r.rs = NewRules(*seed, rules).rs
	d.r.mu.Unlock()
	runWriter(fill(w, mnt), filepath.Join(dd, "ack"), ack, *limit)
	d.mu.Lock()
	d.rec = false
	log := d.log
	d.mu.Unlock()
	d.r.mu.Lock()
	d.r.rs = nil
	d.r.mu.Unlock()
	sh(true, "umount", mnt)
	detach(dev, img)
	cnt := map[string]int{}
	var bytes int64
	for _, r := range log {
		cnt[r.kind]++
		bytes += int64(len(r.data))
	}
	fmt.Printf("block log: %v, %.1f MB written\n", cnt, float64(bytes)/1e6)
	rng := rand.New(rand.NewSource(*seed))
	pts := crashPoints(*n, len(log), func(i int) bool { return log[i].kind == "ack" }, rng)
	sort.Ints(pts)
	base, done := p0, 0 // base = everything before the last completed flush
	t := newTally(*keep)
	repaired := 0
	var acks []string
	ai := 0
	for i, k := range pts {
		st := strategies[i%len(strategies)]
		lf := done
		for j := done; j < k; j++ {
			if log[j].kind == "flush" {
				lf = j + 1
			}
		}
		if lf > done {
			base = base.clone()
			for j := done; j < lf; j++ {
				applyB(base, &log[j])
			}
			done = lf
		}
		for ; ai < k; ai++ {
			if log[ai].kind == "ack" {
				acks = append(acks, log[ai].ack)
			}
		}
		st8 := base.clone()
		var pend []int
		for j := done; j < k; j++ {
			if log[j].kind == "write" || log[j].kind == "discard" {
				pend = append(pend, j)
			}
		}
		kept := 0
		for x, j := range pend {
			keepIt, torn := false, false
			switch st {
			case "all":
				keepIt = true
			case "rand":
				keepIt = rng.Intn(2) == 0
			case "last":
				keepIt = x == len(pend)-1
			case "notfirst":
				keepIt = x > 0
			case "tornlast":
				keepIt, torn = true, x == len(pend)-1
			case "torn":
				keepIt, torn = rng.Intn(4) != 0, true
			}
			if !keepIt {
				continue
			}
			kept++
			r := log[j]
			if torn && r.kind == "write" {
				for o := int64(0); o < int64(len(r.data)); o += *sector {
					if rng.Intn(2) == 0 {
						put(st8, r.data[o:min(o+*sector, int64(len(r.data)))], r.off+o)
					}
				}
			} else {
				applyB(st8, &r)
			}
		}
		d.mu.Lock()
		d.p = st8
		d.mu.Unlock()
		what := fmt.Sprintf("crash after block op %d/%d, strategy %s, %d writes since flush of which %d kept, %d acks", k, len(log), st, len(pend), kept, len(acks))
		dev = attach(img)
		err := mount(dev)
		if err != nil { // what a person would do; what is on it then is the program's matter again
			repair(*fsn, dev)
			repaired++
			err = mount(dev)
		}
		if err != nil {
			t.count(st, what+": mount: "+err.Error())
		} else {
			t.verify(fill(v, mnt), mnt, filepath.Join(t0, "acked"), acks, i, what, st)
			for range 20 {
				if _, err := sh(true, "umount", mnt); err == nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		detach(dev, img)
	}
	if repaired > 0 {
		fmt.Printf("%d file systems could not be mounted and were repaired first\n", repaired)
	}
	t.report("blkcut("+*fsn+")", cnt["ack"])
}

func applyB(p pages, r *brec) {
	switch r.kind {
	case "write":
		put(p, r.data, r.off)
	case "discard":
		discard(p, r.off, r.n)
	}
}
