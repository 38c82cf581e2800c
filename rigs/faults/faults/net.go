package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// ---- faults net: a wire between two network namespaces, with netem's faults in user space (no netem in this kernel).
//
// It makes namespaces A (10.99.0.1) and B (10.99.0.2), a TUN device in each, and carries IP packets between them.
// Conditions (control socket or -c): "delay=20ms jitter=5ms loss=0.01 dup=0 reorder=0.02 corrupt=0 rate=8M burst=… down=0|1 dir=ab|ba|both".

type wire struct {
	delay, jitter               time.Duration
	loss, dup, reorder, corrupt float64
	rate                        float64 // bytes a second, 0 = no limit
	queue                       time.Duration
	down                        bool
}

func parseWire(w *wire, s string) error {
	for _, a := range strings.Fields(s) {
		k, v, _ := strings.Cut(a, "=")
		var err error
		switch k {
		case "delay":
			w.delay, err = time.ParseDuration(v)
		case "jitter":
			w.jitter, err = time.ParseDuration(v)
		case "queue":
			w.queue, err = time.ParseDuration(v)
		case "loss":
			_, err = fmt.Sscan(v, &w.loss)
		case "dup":
			_, err = fmt.Sscan(v, &w.dup)
		case "reorder":
			_, err = fmt.Sscan(v, &w.reorder)
		case "corrupt":
			_, err = fmt.Sscan(v, &w.corrupt)
		case "rate":
			w.rate = float64(parseSize(v)) / 8
		case "down":
			w.down = v == "1"
		case "dir":
		default:
			err = fmt.Errorf("word %q", a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func tunIn(ns, name string) int {
	type res struct {
		fd  int
		err error
	}
	ch := make(chan res)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		h, err := os.Open("/var/run/netns/" + ns)
		if err != nil {
			ch <- res{0, err}
			return
		}
		defer h.Close()
		if _, _, e := syscall.RawSyscall(308 /* setns, amd64 */, h.Fd(), syscall.CLONE_NEWNET, 0); e != 0 {
			ch <- res{0, e}
			return
		}
		fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err == nil {
			var req [40]byte
			copy(req[:16], name)
			binary.NativeEndian.PutUint16(req[16:], 0x1001) // IFF_TUN | IFF_NO_PI
			if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), 0x400454ca, uintptr(unsafe.Pointer(&req[0]))); e != 0 {
				err = e
			}
		}
		ch <- res{fd, err}
	}()
	r := <-ch
	if r.err != nil {
		die("tun in %s: %v", ns, r.err)
	}
	return r.fd
}

type leg struct {
	mu                 sync.Mutex
	w                  wire
	free               time.Time
	rng                *rand.Rand
	got, sent, dropped int64
}

func (l *leg) pump(in, out int) {
	b := make([]byte, 65536)
	for {
		n, err := syscall.Read(in, b)
		if err != nil {
			if err == syscall.EINTR || err == syscall.EAGAIN {
				continue
			}
			return
		}
		l.mu.Lock()
		w := l.w
		l.got++
		if w.down || l.rng.Float64() < w.loss {
			l.dropped++
			l.mu.Unlock()
			continue
		}
		p := append([]byte(nil), b[:n]...)
		if l.rng.Float64() < w.corrupt && n > 40 {
			p[28+l.rng.Intn(n-28)] ^= 1 << l.rng.Intn(8)
		}
		at := time.Now()
		if w.rate > 0 { // a queue in front of a slow link
			if l.free.Before(at) {
				l.free = at
			}
			q := w.queue
			if q == 0 {
				q = 200 * time.Millisecond
			}
			if l.free.Sub(at) > q {
				l.dropped++
				l.mu.Unlock()
				continue
			}
			l.free = l.free.Add(time.Duration(float64(n) / w.rate * 1e9))
			at = l.free
		}
		d := w.delay
		if w.jitter > 0 {
			d += time.Duration(l.rng.Int63n(2*int64(w.jitter))) - w.jitter
		}
		if l.rng.Float64() < w.reorder {
			d += 10*time.Millisecond + w.delay
		}
		times := 1
		if l.rng.Float64() < w.dup {
			times = 2
		}
		l.mu.Unlock()
		send := func() {
			for i := 0; i < times; i++ {
				syscall.Write(out, p)
				atomic.AddInt64(&l.sent, 1)
			}
		}
		if wait := time.Until(at.Add(d)); wait <= 0 {
			send()
		} else {
			time.AfterFunc(wait, send) // equal deadlines may swap: a little reorder is part of the fault
		}
	}
}

func cmdNet(a []string) {
	fl := flag.NewFlagSet("net", flag.ExitOnError)
	na := fl.String("a", "flA", "namespace of side A (10.99.0.1)")
	nb := fl.String("b", "flB", "namespace of side B (10.99.0.2)")
	sock := fl.String("ctl", "", "control socket: conditions, or 'stats'")
	cond := fl.String("c", "", "conditions at the start")
	seed := fl.Int64("seed", 1, "")
	fl.Parse(a)
	ip := func(x ...string) { sh(false, append([]string{"ip"}, x...)...) }
	ends := [2]int{}
	for i, ns := range []string{*na, *nb} {
		ip("netns", "add", ns)
		defer exec.Command("ip", "netns", "del", ns).Run()
		ends[i] = tunIn(ns, "wire0")
		ip("-n", ns, "link", "set", "lo", "up")
		ip("-n", ns, "addr", "add", fmt.Sprintf("10.99.0.%d/24", i+1), "dev", "wire0")
		ip("-n", ns, "link", "set", "wire0", "up", "mtu", "1500")
	}
	ab := &leg{rng: rand.New(rand.NewSource(*seed))}
	ba := &leg{rng: rand.New(rand.NewSource(*seed + 1))}
	set := func(s string) error {
		for _, l := range []*leg{ab, ba} {
			if l == ab && strings.Contains(s, "dir=ba") || l == ba && strings.Contains(s, "dir=ab") {
				continue
			}
			l.mu.Lock()
			err := parseWire(&l.w, s)
			l.mu.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := set(*cond); err != nil {
		die("%v", err)
	}
	go ab.pump(ends[0], ends[1])
	go ba.pump(ends[1], ends[0])
	if *sock != "" {
		lineServer(*sock, func(s string) string {
			if s == "stats" {
				return fmt.Sprintf("a->b got %d sent %d dropped %d; b->a got %d sent %d dropped %d", ab.got, ab.sent, ab.dropped, ba.got, ba.sent, ba.dropped)
			}
			if err := set(s); err != nil {
				return "error: " + err.Error()
			}
			return "ok"
		})
	}
	fmt.Println("ready")
	waitSignal()
}
