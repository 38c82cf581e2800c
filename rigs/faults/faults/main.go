// faults: power-cut, disk-fault and network-fault rigs. See ../README.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

type multi []string

func (m *multi) String() string     { return strings.Join(*m, "; ") }
func (m *multi) Set(s string) error { *m = append(*m, s); return nil }

func main() {
	if len(os.Args) < 2 {
		die("use: faults fs|ctl|cut|blk|blkcut|net|tcp ...")
	}
	cmd, args := os.Args[1], os.Args[2:]
	switch cmd {
	case "fs":
		cmdFS(args)
	case "ctl":
		cmdCtl(args)
	case "cut":
		cmdCut(args)
	case "blk":
		cmdBlk(args)
	case "blkcut":
		cmdBlkCut(args)
	case "net":
		cmdNet(args)
	case "tcp":
		cmdTCP(args)
	default:
		die("unknown command %q", cmd)
	}
}

func cmdFS(a []string) {
	fl := flag.NewFlagSet("fs", flag.ExitOnError)
	back := fl.String("back", "", "backing directory")
	mnt := fl.String("mnt", "", "mount point")
	sock := fl.String("ctl", "", "control socket")
	seed := fl.Int64("seed", 1, "")
	var rules multi
	fl.Var(&rules, "rule", "fault rule (repeatable)")
	fl.Parse(a)
	r := NewRules(*seed, rules)
	if *sock != "" {
		r.Serve(*sock)
	}
	b, _ := filepath.Abs(*back)
	s := mountDir(b, *mnt, &Recorder{r: r})
	waitSignal()
	umount(s, *mnt)
}

type unmounter interface{ Unmount() error }

func umount(s unmounter, mnt string) {
	if s.Unmount() != nil {
		syscall.Unmount(mnt, syscall.MNT_DETACH)
	}
}

func cmdCtl(a []string) {
	if len(a) < 2 {
		die("use: faults ctl SOCK 'RULE'|clear|list")
	}
	c, err := net.Dial("unix", a[0])
	if err != nil {
		die("%v", err)
	}
	for _, l := range a[1:] {
		fmt.Fprintln(c, l)
	}
	c.(*net.UnixConn).CloseWrite()
	io.Copy(os.Stdout, c)
}
