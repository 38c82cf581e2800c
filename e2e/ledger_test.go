package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/memdisk"
	"nvr/internal/ingest"
	"nvr/internal/media"
	"nvr/internal/store"
)

// day is a recorder that records one scripted camera for a day in the time of a
// bubble: ingest and store as they are, on a disk in memory.
type day struct {
	t      *testing.T
	camera *scriptedCamera
	stream *media.Stream
	disk   *memdisk.Dir
	offset atomic.Int64 // of the recorder's clock, ns
	steps  []step

	stop    func()
	archive *store.Archive

	mu   sync.Mutex
	slow bool // the disk takes slowBytes a second
	gone bool // it takes nothing
}

// slowBytes is less than what the camera sends in a burst, and so much that a full
// commit takes less than the 4 s after which the disk is said to stall.
const slowBytes = 7_000_000

// A day, and the time between its faults.
const (
	dayLength    = 24 * time.Hour
	betweenFault = 15 * time.Minute
)

// step is when the recorder's clock was set.
type step struct {
	slot   int
	offset time.Duration
}

func (d *day) clock(t time.Time) int64 { return t.UnixNano() + d.offset.Load() }
func (d *day) now() int64              { return d.clock(time.Now()) }

func (d *day) options(since int64) store.ArchiveOptions {
	return store.ArchiveOptions{Streams: []*media.Stream{d.stream}, Since: since, Log: slog.New(slog.DiscardHandler), Volumes: []store.VolumeOptions{{Name: "main",
		Options: store.Options{Disk: d.disk, Pools: 40, PoolBytes: 16 << 20, QueueRecords: 8, CommitInterval: 10 * time.Second, SegmentDuration: time.Minute, Epoch: d.camera.start}}}}
}

// hook is how the disk misbehaves.
func (d *day) hook(op memdisk.Op) error {
	d.mu.Lock()
	slow, gone := d.slow, d.gone
	d.mu.Unlock()
	if op.Kind == memdisk.Write && slow {
		time.Sleep(time.Duration(op.Len) * time.Second / slowBytes)
	}
	if gone {
		return memdisk.Gone(op)
	}
	return nil
}

// record starts the recorder.
func (d *day) record(enabled bool) {
	d.disk.Hook(d.hook)
	a, err := store.OpenArchive(context.Background(), d.options(d.now()))
	if err != nil {
		d.t.Fatal(err)
	}
	cameras, stopCameras := context.WithCancel(context.Background())
	writer, stopWriter := context.WithCancel(context.Background())
	var recording, writing sync.WaitGroup
	writing.Go(func() { a.Run(writer) })
	if enabled {
		c := ingest.New(ingest.Options{Stream: d.stream, URL: "rtsp://127.0.0.1/x", Username: "u", Password: "p", Transport: "tcp", RecordEvery: store.Beat(10 * time.Second), Epoch: d.camera.start,
			Dial: d.camera.Dial, Clock: d.clock}, a)
		recording.Go(func() { c.Run(cameras) })
	} else {
		d.camera.change(func() { d.camera.happened(media.ReasonDisabled) })
		a.OfferGap(media.Gap{Stream: d.stream, Span: media.Span{From: d.now()}, Reason: media.ReasonDisabled})
	}
	d.archive = a
	d.stop = func() {
		stopCameras()
		recording.Wait()
		if !enabled { // as cmd/nvr does
			a.OfferGap(media.Gap{Stream: d.stream, Span: media.Span{From: d.now()}, Reason: media.ReasonStopped})
		}
		stopWriter()
		writing.Wait()
		a.Close()
	}
}

// pause stops the recorder, with or without a word, and starts it again later.
func (d *day) pause(end func(), length time.Duration) {
	d.camera.change(func() { d.camera.happened(media.ReasonStopped) })
	end()
	time.Sleep(length)
	d.record(true)
}

// kill ends the recorder as kill -9 and a power cut do: what is on the disk at
// this moment is there.
func (d *day) kill(left func(*memdisk.Dir) *memdisk.Dir) func() {
	return func() {
		next := left(d.disk)
		d.stop()
		d.disk = next
	}
}

func (d *day) step(by time.Duration) {
	d.offset.Add(int64(by))
	d.steps = append(d.steps, step{d.camera.now(), by})
	if by > 0 {
		d.camera.change(func() { d.camera.happened(media.ReasonClock) })
	}
}

// fault is one line of the script. A fault is over when it returns.
type fault struct {
	name  string
	times int
	do    func(d *day, n int)
}

// faults is the script: what happens to a camera, its network, the recorder and its
// disk in a day. n counts the times.
var faults = []fault{
	{"the camera is away", 6, func(d *day, n int) {
		c := d.camera
		c.change(func() { c.away = true; c.cut() })
		time.Sleep([]time.Duration{300 * time.Millisecond, 7 * time.Second, 41 * time.Second, 3 * time.Minute, 11 * time.Minute, 13700 * time.Millisecond}[n])
		c.change(func() { c.away = false })
	}},
	{"the password is wrong", 4, func(d *day, n int) { d.refuse(401, time.Duration(n+1)*47*time.Second) }},
	{"453 and 503", 4, func(d *day, n int) { d.refuse([]int{453, 503, 503, 404}[n], time.Duration(n*n+1)*19*time.Second) }},
	{"silence with TCP up", 4, func(d *day, n int) {
		c := d.camera
		c.change(func() { c.frozen = true; c.happened(media.ReasonNoMedia) })
		time.Sleep([]time.Duration{4 * time.Second, 9 * time.Second, 25 * time.Second, 2 * time.Minute}[n])
		c.change(func() { c.frozen = false })
	}},
	{"packets are lost", 9, func(d *day, n int) {
		c, from := d.camera, (d.camera.now()/gopSlots+2)*gopSlots
		lost := [][]int{{1}, {0}, {3}, {0, 1, 2, 3}, {2, 4 + 1, 8 + 3}, {1, 1 + 40}, nil, {3, 4}, {2}}[n]
		for i := range 2000 { // one in twenty, for a quarter of an hour
			if n == 6 && i%20 == i/20%4 {
				lost = append(lost, i)
			}
		}
		c.change(func() {
			for _, i := range lost {
				c.lose[from+i] = true
			}
		})
		time.Sleep(time.Duration(lost[len(lost)-1]+4*gopSlots) * slot)
	}},
	{"the recorder is stopped", 3, func(d *day, n int) {
		d.pause(func() { d.stop() }, []time.Duration{2 * time.Second, 70 * time.Second, 9 * time.Minute}[n])
	}},
	{"the recorder is killed", 2, func(d *day, n int) { d.pause(d.kill((*memdisk.Dir).Killed), time.Duration(n+1)*33*time.Second) }},
	{"the power is cut", 2, func(d *day, n int) {
		d.pause(d.kill(func(m *memdisk.Dir) *memdisk.Dir { return m.Crash(rand.New(rand.NewPCG(1, uint64(n))), memdisk.Torn) }), time.Duration(n+2)*44*time.Second)
	}},
	{"the writer's queue overflows", 2, func(d *day, n int) {
		d.burst(media.ReasonOverload, 22*time.Second, func(on bool) { d.slow = on })
	}},
	{"the disk is gone", 3, func(d *day, n int) {
		d.burst(media.ReasonDisk, time.Duration(n+2)*8*time.Second, func(on bool) { d.gone = on })
	}},
	{"the clock is set forward and back", 2, func(d *day, n int) {
		by := []time.Duration{10 * time.Minute, time.Hour}[n]
		d.step(by)
		time.Sleep(2 * time.Minute)
		d.step(-by)
	}},
	{"the camera is disabled", 1, func(d *day, _ int) {
		d.stop()
		d.record(false)
		time.Sleep(20 * time.Minute)
		d.pause(func() { d.stop() }, time.Minute)
	}},
}

// refuse has the camera answer with a status for a while.
func (d *day) refuse(code int, length time.Duration) {
	c := d.camera
	c.change(func() { c.answer = code; c.cut() })
	time.Sleep(length)
	c.change(func() { c.answer = 0 })
}

// burst has the camera send so much that what the disk does not take at once
// does not fit into memory.
func (d *day) burst(why media.Reason, length time.Duration, disk func(on bool)) {
	set := func(on bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		disk(on)
	}
	d.camera.change(func() { d.camera.happened(why) })
	set(true)
	time.Sleep(11 * time.Second) // the writer finds out
	d.camera.change(func() { d.camera.big = true })
	time.Sleep(length)
	d.camera.change(func() { d.camera.big = false })
	time.Sleep(10 * time.Second)
	set(false)
}

// TestLedgerOfADay: a day with more than forty faults. The truth is what the camera
// sent, which of that is in the archive, and when which fault was; the ledger
// knows none of it, and comes to the same sums.
func TestLedgerOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &day{t: t, camera: newScriptedCamera(), disk: memdisk.New("disk"), stream: &media.Stream{Camera: media.Camera{UUID: media.CameraUUID("yard"), ID: "yard"}, Name: "main"}}
		begin := time.Now()
		d.record(true)
		time.Sleep(5 * time.Minute)
		script := scripted()
		if len(script) < 40 {
			t.Fatalf("only %d faults", len(script))
		}
		for _, do := range script {
			do(d)
			time.Sleep(betweenFault)
		}
		if past := time.Since(begin); past < dayLength {
			time.Sleep(dayLength - past)
		} else {
			t.Errorf("the script takes %v", past)
		}
		time.Sleep(time.Minute)

		span := media.Span{From: begin.UnixNano(), To: begin.Add(dayLength).UnixNano()}
		ask := store.LedgerQuery{Query: store.Query{Span: span}, Now: d.now(), Recording: true}
		live, err := d.archive.Ledger(t.Context(), ask)
		if err != nil || len(live) != 1 {
			t.Fatalf("%v %v", live, err)
		}
		d.stop()
		d.compare(&live[0])

		// Offline it says the same.
		ask.Recording, ask.Now = false, d.now()
		a, err := store.OpenArchiveReadOnly(d.options(0))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		offline, err := a.Ledger(t.Context(), ask)
		if err != nil || len(offline) != 1 || offline[0].Missing != live[0].Missing || offline[0].Expected != live[0].Expected || len(offline[0].Gaps) != len(live[0].Gaps) {
			t.Errorf("offline %+v, while recording %+v, %v", offline, live, err)
		}
	})
}

// scripted puts the faults in an order that has nothing to do with their kinds.
func scripted() (script []func(*day)) {
	for n := range 9 {
		for _, f := range faults {
			if n < f.times {
				script = append(script, func(d *day) { f.do(d, n) })
			}
		}
	}
	return script
}

// compare holds the account to the truth, reason by reason.
func (d *day) compare(a *store.Account) {
	d.t.Helper()
	told := map[media.Reason]time.Duration{}
	var sum time.Duration
	var loss media.Loss
	for i, g := range a.Gaps {
		told[g.Reason] += g.Missing()
		sum += g.Missing()
		loss = loss.Plus(g.Loss)
		if i > 0 && g.Span.From < a.Gaps[i-1].Span.To && g.Loss.Time == 0 && a.Gaps[i-1].Loss.Time == 0 {
			d.t.Errorf("gaps overlap: %+v, %+v", a.Gaps[i-1], g)
		}
	}
	if sum != a.Missing || a.Recorded()+a.Missing != a.Expected || a.Expected != a.Account.Span.Duration() {
		d.t.Errorf("expected %v, recorded %v, missing %v, gaps %v", a.Expected, a.Recorded(), a.Missing, sum)
	}
	truth, damaged := d.truth(a.Account.Span)
	reasons := slices.Sorted(maps.Keys(truth))
	for r := range told {
		if _, ok := truth[r]; !ok {
			reasons = append(reasons, r)
		}
	}
	if want := 10; len(truth) != want {
		d.t.Errorf("the day had %d reasons of %d: %v", len(truth), want, reasons)
	}
	for _, r := range reasons {
		off := told[r] - truth[r]
		d.t.Logf("%-20s truth %10.3f s, ledger %10.3f s, off %6.3f s", r, truth[r].Seconds(), told[r].Seconds(), off.Seconds())
		tolerance := gop
		if r == media.ReasonClock { // a clock that was set counts from the next sync sample on
			tolerance *= time.Duration(len(d.steps))
		}
		if off.Abs() > tolerance {
			d.t.Errorf("%s: the truth is %v, the ledger says %v", r, truth[r], told[r])
		}
	}
	if testing.Verbose() {
		for _, g := range a.Gaps {
			d.t.Logf("%s  %10.3f s  %s %s %+v", time.Unix(0, g.Span.From).UTC().Format("15:04:05.000"), g.Missing().Seconds(), g.Reason, g.Detail, g.Loss)
		}
	}
	lost := uint32(len(d.camera.lost))
	if want := (media.Loss{Time: loss.Time, Packets: lost, Missing: lost, Damaged: damaged}); loss != want {
		d.t.Errorf("counts of network_loss: %+v, want %+v", loss, want)
	}
}

// truth is what is missing in a span of the recorder's wall time, and how many
// samples in the archive are damaged: from the pictures that are there, and from
// what happened.
func (d *day) truth(span media.Span) (missing map[media.Reason]time.Duration, damaged uint32) {
	d.t.Helper()
	there := d.pictures()
	offsets := func(n int) (offset time.Duration) {
		for _, s := range d.steps {
			if n >= s.slot {
				offset += s.offset
			}
		}
		return offset
	}
	wall := func(n int) int64 { return d.camera.start.Add(time.Duration(n)*slot + offsets(n)).UnixNano() }
	good := true
	var covered []media.Span
	for n := range d.camera.now() {
		good = good || n%gopSlots == 0
		if d.camera.lost[n] {
			good = false
		}
		if there[n] && !good {
			damaged++
		}
		if there[n] && good {
			covered = append(covered, media.Span{From: wall(n), To: wall(n) + int64(slot)})
		}
	}
	slices.SortFunc(covered, func(a, b media.Span) int { return int(min(1, max(-1, a.From-b.From))) })
	type change struct {
		at     int64
		reason media.Reason
	}
	var changes []change
	for _, e := range d.camera.events {
		n := int(e.at.Sub(d.camera.start) / slot)
		before := offsets(n)
		if e.reason == media.ReasonClock { // the missing hour begins on the clock as it was
			before = offsets(n - 1)
		}
		changes = append(changes, change{e.at.Add(before).UnixNano(), e.reason})
	}
	slices.SortStableFunc(changes, func(a, b change) int { return int(min(1, max(-1, a.at-b.at))) })
	missing = map[media.Reason]time.Duration{}
	end := span.From
	hole := func(to int64) {
		from := end
		if to-from <= int64(slot)/4 {
			return
		}
		// What was before the first thing that happened meanwhile is its work too.
		reason, known := media.ReasonStopped, false
		for _, c := range changes {
			switch {
			case c.at <= from-int64(gop):
				reason = c.reason
			case c.at >= to:
			case !known:
				reason, known = c.reason, true
			case c.reason != reason:
				at := max(c.at, from)
				missing[reason] += time.Duration(at - from)
				from, reason = at, c.reason
			}
		}
		missing[reason] += time.Duration(to - from)
	}
	for _, c := range covered {
		if c.From > end {
			hole(min(c.From, span.To))
		}
		if end = max(end, c.To); end >= span.To {
			return missing, damaged
		}
	}
	hole(span.To)
	return missing, damaged
}

// pictures is which pictures are in the archive.
func (d *day) pictures() map[int]bool {
	d.t.Helper()
	a, err := store.OpenArchiveReadOnly(d.options(0))
	if err != nil {
		d.t.Fatal(err)
	}
	defer a.Close()
	there := map[int]bool{}
	var payload []byte
	for e, err := range a.Entries(d.t.Context(), d.stream.ID(), media.Always) {
		if err == nil {
			payload, err = a.Payload(d.t.Context(), e.Ref, payload[:0])
		}
		if err != nil {
			d.t.Fatal(err)
		}
		at := 0
		for _, s := range e.Samples {
			n, err := number(payload[at : at+int(s.Size)])
			if err != nil {
				d.t.Fatal(err)
			}
			there[n] = true
			at += int(s.Size)
		}
	}
	if len(there) == 0 {
		d.t.Fatal(fmt.Errorf("nothing was recorded"))
	}
	return there
}
