package ingest

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/media"
	"nvr/internal/testkit"
)

// desk is the recorder of many cameras. It keeps what the good ones give, and
// panics at one.
type desk struct {
	mu   sync.Mutex
	kept map[string]*shelf
}

func (d *desk) Offer(r media.Record) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Stream.Camera.ID == "panics" {
		r.Buffer.Release()
		panic("a mistake of ours")
	}
	if s := d.kept[r.Stream.Camera.ID]; s != nil {
		return s.Offer(r)
	}
	r.Buffer.Release()
	return true
}

func (d *desk) OfferGap(g media.Gap) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.kept[g.Stream.Camera.ID]; s != nil {
		return s.OfferGap(g)
	}
	return true
}

func streamOf(id string) *media.Stream {
	return &media.Stream{Camera: media.Camera{UUID: media.CameraUUID(id), ID: id}, Name: "main"}
}

// All bad cameras at once, and good ones beside them: those lose nothing
// (SEC-02: a panic is one camera's, too).
func TestBadCamerasHurtNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{kept: map[string]*shelf{}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		type one struct {
			q   testkit.Quirk
			cam *testkit.Camera
			net *testkit.Net
			c   *Camera
			log *lines
		}
		all := map[string]*one{}
		start := func(id string, q testkit.Quirk) {
			o := &one{q: q, cam: q.New(), log: new(lines)}
			o.net = testkit.NewNet(o.cam)
			opts := optionsFor(o.cam, o.net, o.log)
			opts.Stream = streamOf(id)
			o.c = New(opts, d)
			all[id] = o
			running.Go(func() {
				if err := o.c.Run(ctx); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		good := []string{"good", "good-h265-aac", "good-h264-pcma", "b-frames"}
		for _, g := range good {
			d.kept["beside "+g] = newShelf()
		}
		var panics testkit.Quirk
		for _, q := range testkit.Quirks() {
			for _, g := range good {
				if q.Key == g {
					start("beside "+g, q)
				}
			}
			if q.Key == "good" {
				panics = q
			}
			start(q.Key, q)
		}
		start("panics", panics)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		states := map[string]Status{}
		for id, o := range all {
			states[id] = o.c.Status()
		}
		end := time.Now()
		cancel()
		running.Wait()
		for id, o := range all {
			o.net.Close()
			if open, _ := o.net.Open(); open != 0 {
				t.Errorf("%s: %d connections are left open", id, open)
			}
			s := d.kept[id]
			if s == nil {
				continue
			}
			st := states[id]
			r := &testkit.Result{Ended: end, State: string(st.State), Error: st.LastError, Notes: st.Notes, Tracks: st.Tracks, Lost: st.LostPackets,
				Dials: o.net.Dials(), Records: s.records, Gaps: s.faults(), Log: o.log.all()}
			for _, p := range o.q.Verify(o.cam, r) {
				t.Errorf("%s: %s", id, p)
			}
			if len(s.records) == 0 {
				t.Errorf("%s: nothing is recorded", id)
			}
		}
		if st := states["panics"]; !strings.Contains(st.LastError, "a mistake of ours") || st.Attempts < 3 {
			t.Errorf("the camera that panics: %+v", st)
		}
	})
}

// An hour of cameras that come and go: memory, goroutines and connections stay
// where they were after ten minutes, and the good one loses nothing.
func TestAnHourOfFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{kept: map[string]*shelf{}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var nets []*testkit.Net
		start := func(id string, cam *testkit.Camera) *Camera {
			n := testkit.NewNet(cam)
			nets = append(nets, n)
			o := optionsFor(cam, n, slog.DiscardHandler)
			o.Stream = streamOf(id)
			c := New(o, d)
			running.Go(func() { c.Run(ctx) })
			return c
		}
		for _, q := range testkit.Quirks() {
			switch q.Key {
			case "flapping-2s", "flapping-before-picture", "flapping-at-describe", "accepts-and-closes", "refused-for-ever",
				"redirect-ring", "auth-wrong", "header-endless":
				cam := q.New()
				cam.Lean = true
				start(q.Key, cam)
			}
		}
		steady := testkit.NewCamera()
		steady.Tracks[0].FPS, steady.Lean = 1, true
		good := start("steady", steady)
		measure := func() (heap uint64, goroutines, open int) {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			for _, n := range nets {
				now, most := n.Open()
				open += now
				if most > 1 {
					t.Errorf("%d connections to one camera at a time", most)
				}
			}
			return m.HeapAlloc, runtime.NumGoroutine(), open
		}
		time.Sleep(10 * time.Minute)
		heap, goroutines, _ := measure()
		time.Sleep(50 * time.Minute)
		heapNow, goroutinesNow, open := measure()
		if heapNow > heap+8<<20 || goroutinesNow > goroutines+2*len(nets) || open > len(nets) {
			t.Errorf("heap %d KiB → %d KiB, goroutines %d → %d, %d connections", heap>>10, heapNow>>10, goroutines, goroutinesNow, open)
		}
		t.Logf("heap %d KiB → %d KiB, goroutines %d → %d, %d connections", heap>>10, heapNow>>10, goroutines, goroutinesNow, open)
		if st := good.Status(); st.State != Recording || st.LostPackets != 0 || st.Samples < 3550 {
			t.Errorf("the good one: %+v", st)
		}
		cancel()
		running.Wait()
		for _, n := range nets {
			n.Close()
		}
	})
}

// The same over real sockets, for what only those have: a low-water mark, and
// descriptors.
func TestRealSockets(t *testing.T) {
	cam := testkit.NewCamera()
	cam.Tracks[0].FPS = 60
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cam.Addr = ln.Addr().String()
	cam.Unit = func(p *testkit.Peer, u *testkit.Unit) {
		if p.N < 4 && u.N%45 == 44 {
			p.HangUp()
		}
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { cam.ServeConn(conn) })
		}
	})
	before := descriptors(t)
	s := newShelf()
	c, stop := record(t, Options{URL: cam.URL()}, s)
	s.until(t, "the fourth connection", func(r []media.Record, _ []media.Gap) bool {
		runs := map[media.RunID]bool{}
		for _, x := range r {
			runs[x.Run] = true
		}
		return len(runs) >= 4
	})
	during := descriptors(t)
	stop()
	ln.Close()
	cam.Close()
	serving.Wait()
	check(t, s.records)
	if during > before+2 { // one for each side
		t.Errorf("%d descriptors before, %d with one camera", before, during)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if st := c.Status(); st.LostPackets != 0 || st.DamagedUnits > 3 {
		t.Errorf("%+v", st)
	}
}
