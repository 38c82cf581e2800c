package main

import (
	"bufio"
	"fmt"
	"math/rand"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Rule is one fault. Text form (also the control-socket language):
//
//	OP [err=EIO] [after=N] [count=N] [p=0.1] [delay=200ms|200ms-5s] [path=GLOB] [off=A-B] [drop[=P]] [short]
//
// OP: read write fsync open create rename unlink alloc trunc flush any
// drop  : (fsync with err=) the dirty data covered by the failed fsync are lost for ever, as ext4/xfs do;
// drop=P: each write of it with probability P, as a drive does that has written a part of its cache
// short : write only the first half of the buffer, then report the error on the next call
type Rule struct {
	Op         string
	Errno      syscall.Errno
	After      int
	Count      int
	P          float64
	Dmin, Dmax time.Duration
	Glob       string
	From, To   int64
	Drop       float64 // probability
	Short      bool
	text       string
	seen, hit  int
}

var errnos = map[string]syscall.Errno{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "ENODEV": syscall.ENODEV,
	"EROFS": syscall.EROFS, "ENXIO": syscall.ENXIO, "EDQUOT": syscall.EDQUOT, "ENOTCONN": syscall.ENOTCONN,
	"EINTR": syscall.EINTR, "EAGAIN": syscall.EAGAIN, "ESTALE": syscall.ESTALE, "EMFILE": syscall.EMFILE, "EACCES": syscall.EACCES}

func ParseRule(s string) (*Rule, error) {
	f := strings.Fields(s)
	if len(f) == 0 {
		return nil, fmt.Errorf("empty rule")
	}
	r := &Rule{Op: f[0], Count: -1, P: 1, To: -1, text: s}
	for _, a := range f[1:] {
		k, v, _ := strings.Cut(a, "=")
		var err error
		switch k {
		case "err":
			e, ok := errnos[v]
			if !ok {
				return nil, fmt.Errorf("errno %q", v)
			}
			r.Errno = e
		case "after":
			r.After, err = strconv.Atoi(v)
		case "count":
			r.Count, err = strconv.Atoi(v)
		case "p":
			r.P, err = strconv.ParseFloat(v, 64)
		case "delay":
			lo, hi, two := strings.Cut(v, "-")
			if r.Dmin, err = time.ParseDuration(lo); err == nil {
				r.Dmax = r.Dmin
				if two {
					r.Dmax, err = time.ParseDuration(hi)
				}
			}
		case "path":
			r.Glob = v
		case "off":
			lo, hi, _ := strings.Cut(v, "-")
			if r.From, err = strconv.ParseInt(lo, 0, 64); err == nil {
				r.To, err = strconv.ParseInt(hi, 0, 64)
			}
		case "drop":
			if r.Drop = 1; v != "" {
				r.Drop, err = strconv.ParseFloat(v, 64)
			}
		case "short":
			r.Short = true
		default:
			return nil, fmt.Errorf("word %q", a)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

type Rules struct {
	mu      sync.Mutex
	rs      []*Rule
	rng     *rand.Rand
	cleared chan struct{} // closed by the next clear
}

func NewRules(seed int64, texts []string) *Rules {
	x := &Rules{rng: rand.New(rand.NewSource(seed)), cleared: make(chan struct{})}
	for _, t := range texts {
		r, err := ParseRule(t)
		if err != nil {
			die("rule %q: %v", t, err)
		}
		x.rs = append(x.rs, r)
	}
	return x
}

type Verdict struct {
	Errno syscall.Errno
	Drop  float64
	Short bool
}

// Check finds the faults for one operation, sleeps the delay, and says what to do.
func (x *Rules) Check(op, p string, off, n int64) Verdict {
	var v Verdict
	var sleep time.Duration
	x.mu.Lock()
	for _, r := range x.rs {
		if r.Op != op && r.Op != "any" {
			continue
		}
		if r.Glob != "" {
			if ok, _ := path.Match(r.Glob, path.Base(p)); !ok {
				continue
			}
		}
		if r.To >= 0 && (off >= r.To || off+n <= r.From) {
			continue
		}
		r.seen++
		if r.seen <= r.After || (r.Count >= 0 && r.hit >= r.Count) || (r.P < 1 && x.rng.Float64() >= r.P) {
			continue
		}
		r.hit++
		if r.Dmax > 0 {
			sleep += r.Dmin + time.Duration(x.rng.Int63n(int64(r.Dmax-r.Dmin)+1))
		}
		if r.Errno != 0 && v.Errno == 0 {
			v = Verdict{r.Errno, r.Drop, r.Short}
		}
	}
	cleared := x.cleared
	x.mu.Unlock()
	if sleep > 0 {
		select {
		case <-time.After(sleep):
		case <-cleared: // what hung comes back
		}
	}
	return v
}

// Serve listens on a unix socket: "add RULE", "clear", "list" or just RULE.
func (x *Rules) Serve(sock string) {
	os.Remove(sock)
	l, err := net.Listen("unix", sock)
	if err != nil {
		die("control socket: %v", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				sc := bufio.NewScanner(c)
				for sc.Scan() {
					t := strings.TrimPrefix(strings.TrimSpace(sc.Text()), "add ")
					x.mu.Lock()
					switch t {
					case "clear":
						x.rs = nil
						close(x.cleared)
						x.cleared = make(chan struct{})
						fmt.Fprintln(c, "ok")
					case "list":
						for _, r := range x.rs {
							fmt.Fprintf(c, "%s  (seen %d, hit %d)\n", r.text, r.seen, r.hit)
						}
					default:
						if r, err := ParseRule(t); err != nil {
							fmt.Fprintln(c, "error:", err)
						} else {
							x.rs = append(x.rs, r)
							fmt.Fprintln(c, "ok")
						}
					}
					x.mu.Unlock()
				}
			}()
		}
	}()
}
