package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ---- faults tcp: a TCP proxy for RTSP (interleaved RTP) faults, loopback only.
//
// Conditions: delay=50ms rate=1M stall=0|1 (bytes stop, socket stays open) flip=1e-6 (bit flips per byte)
// cut=N (close after N more bytes) rst=1 (closing sends RST) refuse=0|1 drip=N (N bytes a write) kill=1 (close all now) dir=up|down|both

type tcpCond struct {
	delay           time.Duration
	rate            float64
	stall, rst, ref bool
	flip            float64
	cut             int64
	drip            int
}

func cmdTCP(a []string) {
	fl := flag.NewFlagSet("tcp", flag.ExitOnError)
	from := fl.String("listen", "127.0.0.1:8554", "")
	to := fl.String("to", "127.0.0.1:554", "")
	sock := fl.String("ctl", "", "")
	start := fl.String("c", "", "")
	fl.Parse(a)
	var mu sync.Mutex
	cond := [2]tcpCond{{cut: -1}, {cut: -1}} // 0 = towards the server (up), 1 = towards the client (down)
	conns := map[net.Conn]bool{}
	closeAll := func() {
		for c := range conns {
			if t, ok := c.(*net.TCPConn); ok && (cond[0].rst || cond[1].rst) {
				t.SetLinger(0)
			}
			c.Close()
		}
	}
	set := func(s string) string {
		mu.Lock()
		defer mu.Unlock()
		for i := range cond {
			if i == 0 && strings.Contains(s, "dir=down") || i == 1 && strings.Contains(s, "dir=up") {
				continue
			}
			for _, w := range strings.Fields(s) {
				k, v, _ := strings.Cut(w, "=")
				c := &cond[i]
				switch k {
				case "delay":
					c.delay, _ = time.ParseDuration(v)
				case "rate":
					c.rate = float64(parseSize(v)) / 8
				case "stall":
					c.stall = v == "1"
				case "rst":
					c.rst = v == "1"
				case "refuse":
					c.ref = v == "1"
				case "flip":
					fmt.Sscan(v, &c.flip)
				case "cut":
					fmt.Sscan(v, &c.cut)
				case "drip":
					fmt.Sscan(v, &c.drip)
				case "kill":
					closeAll()
				case "clear":
					*c = tcpCond{cut: -1}
				case "dir":
				default:
					return "error: word " + w
				}
			}
		}
		return "ok"
	}
	if *start != "" {
		fmt.Println(set(*start))
	}
	if *sock != "" {
		lineServer(*sock, set)
	}
	l, err := net.Listen("tcp", *from)
	if err != nil {
		die("%v", err)
	}
	var up, down int64
	pipe := func(dst, src net.Conn, dir int, count *int64) {
		b := make([]byte, 16384)
		rng := rand.New(rand.NewSource(time.Now().UnixNano()))
		defer func() {
			mu.Lock()
			rst := cond[dir].rst
			mu.Unlock()
			for _, c := range []net.Conn{dst, src} {
				if rst {
					c.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			}
		}()
		for {
			n, err := src.Read(b)
			if n > 0 {
				p := b[:n]
				for {
					mu.Lock()
					st := cond[dir].stall
					mu.Unlock()
					if !st {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
				mu.Lock()
				c := cond[dir]
				end := false
				if c.cut >= 0 {
					if int64(n) >= c.cut {
						p, end = p[:c.cut], true
						cond[dir].cut = -1
					} else {
						cond[dir].cut -= int64(n)
					}
				}
				mu.Unlock()
				if c.delay > 0 {
					time.Sleep(c.delay)
				}
				if c.flip > 0 {
					for i := range p {
						if rng.Float64() < c.flip {
							p[i] ^= 1 << rng.Intn(8)
						}
					}
				}
				step := len(p)
				if c.drip > 0 {
					step = c.drip
				}
				for len(p) > 0 {
					k := min(step, len(p))
					if _, err := dst.Write(p[:k]); err != nil {
						return
					}
					atomic.AddInt64(count, int64(k))
					p = p[k:]
					if c.rate > 0 {
						time.Sleep(time.Duration(float64(k) / c.rate * 1e9))
					}
				}
				if end {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	fmt.Println("ready")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			ref := cond[0].ref
			mu.Unlock()
			if ref {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
				continue
			}
			s, err := net.DialTimeout("tcp", *to, 3*time.Second)
			if err != nil {
				c.Close()
				continue
			}
			mu.Lock()
			conns[c], conns[s] = true, true
			mu.Unlock()
			go pipe(s, c, 0, &up)
			go pipe(c, s, 1, &down)
		}
	}()
	waitSignal()
	fmt.Println("bytes up", up, "down", down)
}

func lineServer(sock string, f func(string) string) {
	os.Remove(sock)
	l, err := net.Listen("unix", sock)
	if err != nil {
		die("%v", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(io.LimitReader(c, 65536))
				for _, s := range strings.Split(strings.TrimSpace(string(b)), "\n") {
					fmt.Fprintln(c, f(strings.TrimSpace(s)))
				}
			}()
		}
	}()
}
