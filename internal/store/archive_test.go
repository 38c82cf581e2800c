package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nvr/internal/disk/direct"
	"nvr/internal/disk/faultdisk"
	"nvr/internal/media"
)

// rack is an archive on disks that fail when told to.
type rack struct {
	*Archive
	o     ArchiveOptions
	disks []*faultdisk.Dir
	stop  func() error
}

// rackOptions are those of volumes "a", "b", … of different shapes in dir.
func rackOptions(dir string, n int) ArchiveOptions {
	var o ArchiveOptions
	for i := range n {
		v := testOptions(filepath.Join(dir, string(rune('a'+i))))
		v.Pools, v.PoolBytes = 3+i, int64(8+8*i)*mib
		o.Volumes = append(o.Volumes, VolumeOptions{Options: v, Name: string(rune('a' + i))})
	}
	return o
}

func mount(t *testing.T, o ArchiveOptions) *rack {
	t.Helper()
	r := &rack{}
	o.Volumes = slices.Clone(o.Volumes)
	for i := range o.Volumes {
		v := &o.Volumes[i]
		if err := os.MkdirAll(v.Dir, 0o750); err != nil {
			t.Fatal(err)
		}
		d := faultdisk.New(direct.New(v.Dir, slog.New(slog.DiscardHandler)))
		v.Disk = d
		r.disks = append(r.disks, d)
	}
	r.o = o
	return r
}

func rackUp(t *testing.T, o ArchiveOptions) *rack {
	t.Helper()
	r := mount(t, o)
	r.run(t, 0)
	return r
}

// run records; a volume gets its cameras back after settle.
func (r *rack) run(t *testing.T, settle time.Duration) {
	t.Helper()
	a, err := OpenArchive(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	a.settle, a.retry = settle, 10*time.Millisecond
	r.Archive = a
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	r.stop = func() error {
		r.stop = func() error { return nil }
		cancel()
		return errors.Join(<-done, a.Close())
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func gone(op faultdisk.Op, _ string, _ int) error {
	if op == faultdisk.Read {
		return nil
	}
	return syscall.EROFS
}

// eventually waits for something that has to come.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("this does not come: ", what)
		}
	}
}

// at is the volume that a stream goes to.
func (r *rack) at(s *media.Stream) string {
	for _, p := range r.Status().Cameras {
		if p.Camera == s.Camera.ID {
			return p.Volume
		}
	}
	return ""
}

// held lists the record numbers that each volume has of a run, as they lie there.
func held(t *testing.T, a *Archive, s *media.Stream) map[string][]int {
	t.Helper()
	all := map[string][]int{}
	for _, m := range a.members {
		if v := m.volume.Load(); v != nil {
			for e, err := range v.Entries(context.Background(), s.ID(), media.Always) {
				if err != nil {
					t.Fatal(err)
				}
				all[m.Name] = append(all[m.Name], int(e.Start/90000))
			}
		}
	}
	return all
}

// read reads a stream back through the archive and checks each payload.
func read(t *testing.T, a *Archive, s *media.Stream, span media.Span, size int) []int {
	t.Helper()
	var got []int
	for e, err := range a.Entries(context.Background(), s.ID(), span) {
		if err != nil {
			t.Fatal(err)
		}
		n := int(e.Start / 90000)
		b, err := a.Payload(context.Background(), e.Ref, nil)
		if err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
		if string(b) != string(payloadOf(s, e.Run, n, size)) {
			t.Fatalf("record %d: not the bytes that were written", n)
		}
		got = append(got, n)
	}
	return got
}

// One of two disks goes read-only under four cameras and comes back: its cameras
// go to the other and return, nothing is lost or there twice, and the other
// volume's cameras notice nothing. A restart and a reader see the same.
func TestArchiveHandsOverAndTakesBack(t *testing.T) {
	const size, cameras = 20_000, 4
	o := rackOptions(t.TempDir(), 2)
	r := rackUp(t, o)
	n := 0
	offer := func() {
		t.Helper()
		for c := range cameras {
			if !r.Offer(gop(camera(c), 1, n, size)) {
				t.Fatal("refused")
			}
		}
		n++
	}
	settledAll := func() {
		t.Helper()
		eventually(t, "all of it is committed", func() bool {
			for c := range cameras {
				if len(read(t, r.Archive, camera(c), media.Always, size)) < n {
					return false
				}
			}
			return true
		})
	}
	for range 5 {
		offer()
	}
	settledAll()
	homes := map[string]int{}
	for c := range cameras {
		homes[r.at(camera(c))]++
	}
	if homes["a"] != 2 || homes["b"] != 2 {
		t.Fatalf("cameras are not spread: %v", homes)
	}
	victim := r.at(camera(0))
	at := slices.IndexFunc(o.Volumes, func(v VolumeOptions) bool { return v.Name == victim })
	other := o.Volumes[1-at].Name

	r.disks[at].Fail(gone)
	offer() // it takes a write to find out
	eventually(t, "the volume is down", func() bool { return r.Status().Volumes[at].Down })
	for range 5 {
		offer()
	}
	for c := range cameras {
		if got := r.at(camera(c)); got != other {
			t.Fatalf("camera %d is recorded into %s", c, got)
		}
	}
	// What the dead disk had taken is told as a gap as long as it is not there.
	eventually(t, "the gap", func() bool {
		l, err := r.List(t.Context(), Query{Camera: "cam0"})
		if err != nil {
			t.Fatal(err)
		}
		return len(l.Gaps) == 1 && l.Gaps[0].Reason == media.ReasonDisk && l.Gaps[0].Span.Duration() == time.Second
	})
	l, err := r.List(t.Context(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range l.Gaps {
		if i := slices.IndexFunc(r.o.Volumes, func(v VolumeOptions) bool { return v.Name == other }); i == 1-at && homeOf(r, g.Stream) == other {
			t.Errorf("a camera of the volume that is well has a gap: %+v", g)
		}
	}

	r.disks[at].Fail(nil)
	eventually(t, "the volume is well", func() bool { return !r.Status().Volumes[at].Down })
	for range 5 {
		offer()
	}
	if got := r.at(camera(0)); got != victim {
		t.Errorf("camera 0 is recorded into %s, and its home %s is well", got, victim)
	}
	settledAll()

	check := func(a *Archive) {
		t.Helper()
		for c := range cameras {
			s := camera(c)
			wantRange(t, read(t, a, s, media.Always, size), 0, n)
			var all []int
			for _, numbers := range held(t, a, s) {
				all = append(all, numbers...)
			}
			slices.Sort(all)
			wantRange(t, all, 0, n) // each on one volume
		}
		l, err := a.List(t.Context(), Query{})
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Gaps) != 0 {
			t.Errorf("gaps where there is nothing missing: %+v", l.Gaps)
		}
		for i := 1; i < len(l.Segments); i++ {
			if p, q := l.Segments[i-1], l.Segments[i]; p.Stream.Camera.ID == q.Stream.Camera.ID && q.Span.From < p.Span.From {
				t.Errorf("segments out of order: %+v before %+v", p, q)
			}
		}
		on := held(t, a, camera(0))
		if len(on[other]) == 0 || len(on[victim]) == 0 {
			t.Errorf("one of the volumes has nothing of camera 0: %v", on)
		}
		// A range that begins on the other volume, in the middle of a record.
		from := epoch + 1000*second + int64(on[other][0])*second + second/2
		wantRange(t, read(t, a, camera(0), media.Span{From: from, To: from + 3*second}, size), on[other][0], on[other][0]+4)
	}
	check(r.Archive)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	ro, err := OpenArchiveReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	check(ro)
	if err := ro.Close(); err != nil {
		t.Fatal(err)
	}
	r.run(t, 0)
	eventually(t, "older pools are indexed", func() bool {
		st := r.Status()
		return st.Volumes[0].Indexed && st.Volumes[1].Indexed
	})
	check(r.Archive)
	offer()
	if got := r.at(camera(0)); got != victim {
		t.Errorf("after a restart camera 0 is recorded into %s, and its newest footage is on %s", got, victim)
	}

	// It is away from home when the recorder ends, and finds back.
	r.disks[at].Fail(gone)
	offer()
	eventually(t, "the volume is down", func() bool { return r.Status().Volumes[at].Down })
	offer()
	offer()
	eventually(t, "the newest is on the other volume", func() bool {
		on := held(t, r.Archive, camera(0))[other]
		return len(on) > 0 && on[len(on)-1] == n-1
	})
	r.disks[at].Fail(nil)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.run(t, 0)
	offer()
	if got := r.at(camera(0)); got != victim {
		t.Errorf("after a restart camera 0 is recorded into %s, and its home is %s", got, victim)
	}
}

func homeOf(r *rack, s *media.Stream) string {
	for _, p := range r.Status().Cameras {
		if p.Camera == s.Camera.ID {
			return p.Home
		}
	}
	return ""
}

// Where a volume that has come round has lost what a deeper one goes on from, the
// gap says so.
func TestArchiveOverwritten(t *testing.T) {
	const size = mib
	o := rackOptions(t.TempDir(), 2)
	o.Cameras = map[media.UUID]CameraRule{media.CameraUUID("cam1"): {Volume: "b"}}
	r := rackUp(t, o)
	s := camera(1)
	n := 0
	offer := func() {
		t.Helper()
		r.Offer(gop(s, 1, n, size))
		n++
		eventually(t, "it is committed", func() bool {
			all := held(t, r.Archive, s)
			last := append(all["a"], all["b"]...)
			return slices.Contains(last, n-1)
		})
	}
	offer()
	r.disks[1].Fail(gone)
	r.Offer(gop(s, 1, n, size))
	n++
	eventually(t, "b is down", func() bool { return r.Status().Volumes[1].Down })
	for range 25 { // a has 3 pools of 8 MiB
		offer()
	}
	r.disks[1].Fail(nil)
	eventually(t, "b is well", func() bool { return !r.Status().Volumes[1].Down })
	l, err := r.List(t.Context(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Gaps) != 1 || l.Gaps[0].Reason != media.ReasonOverwritten {
		t.Errorf("%+v", l.Gaps)
	}
}

// A camera comes back only with a picture that can be decoded alone, and not
// before the volume has been well for a while.
func TestArchiveTakesBackAtSyncSample(t *testing.T) {
	o := rackOptions(t.TempDir(), 2)
	o.Cameras = map[media.UUID]CameraRule{media.CameraUUID("cam1"): {Volume: "b"}}
	r := mount(t, o)
	r.run(t, time.Hour)
	s := camera(1)
	r.Offer(gop(s, 1, 0, 1000))
	if got := r.at(s); got != "b" {
		t.Fatalf("recorded into %s, and the configuration says b", got)
	}
	r.disks[1].Fail(gone)
	eventually(t, "b is down", func() bool { return r.Status().Volumes[1].Down })
	middle := func(n int) media.Record {
		rec := gop(s, 1, n, 1000)
		rec.Buffer.Samples[0].Flags = 0
		return rec
	}
	r.Offer(middle(1)) // away at once: nothing else could take it
	if got := r.at(s); got != "a" {
		t.Fatalf("recorded into %s, which is down", got)
	}
	r.disks[1].Fail(nil)
	eventually(t, "b is well", func() bool { return !r.Status().Volumes[1].Down })
	r.Offer(gop(s, 1, 2, 1000))
	if got := r.at(s); got != "a" {
		t.Error("back before the volume has settled")
	}
	r.Archive.mu.Lock()
	r.settle = 0
	r.Archive.mu.Unlock()
	r.Offer(middle(3))
	if got := r.at(s); got != "a" {
		t.Error("back in the middle of a GOP")
	}
	r.Offer(gop(s, 1, 4, 1000))
	if got := r.at(s); got != "b" {
		t.Errorf("recorded into %s", got)
	}
	eventually(t, "all of it", func() bool { return len(read(t, r.Archive, s, media.Always, 1000)) == 5 })
	// What begins on a in the middle of a GOP is decoded from the sync sample on b.
	at := epoch + 1000*second + second
	wantRange(t, read(t, r.Archive, s, media.Span{From: at + second/2, To: at + second}, 1000), 0, 2)
}

// A disk that is not there at the start stops nobody; nothing is made in its
// place; it is taken in when it appears, and its cameras go there.
func TestArchiveStartsWithoutADisk(t *testing.T) {
	dir := t.TempDir()
	o := rackOptions(dir, 2)
	o.Cameras = map[media.UUID]CameraRule{media.CameraUUID("cam1"): {Volume: "b"}}
	for i := range o.Volumes {
		o.Volumes[i].Disk = nil
	}
	first := &rack{o: o}
	first.run(t, 0)
	s := camera(1)
	first.Offer(gop(s, 1, 0, 1000))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	unmounted := filepath.Join(dir, "unmounted")
	if err := os.Rename(o.Volumes[1].Dir, unmounted); err != nil {
		t.Fatal(err)
	}
	r := &rack{o: o}
	r.run(t, 0)
	r.Offer(gop(s, 1, 1, 1000))
	if got := r.at(s); got != "a" {
		t.Fatalf("recorded into %s", got)
	}
	st := r.Status().Volumes[1]
	if !st.Down || !strings.Contains(st.Error, "is not here: is its disk mounted?") {
		t.Errorf("%+v", st)
	}
	if _, err := os.Stat(o.Volumes[1].Dir); !os.IsNotExist(err) {
		t.Error("something was made where the disk should be")
	}
	// Readers get what is there.
	ro, err := OpenArchiveReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	if st := ro.Status().Volumes[1]; st.Error == "" {
		t.Error("a volume is missing, and nobody is told")
	}
	if err := ro.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(unmounted, o.Volumes[1].Dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b is there", func() bool { return !r.Status().Volumes[1].Down })
	r.Offer(gop(s, 1, 2, 1000))
	if got := r.at(s); got != "b" {
		t.Errorf("recorded into %s", got)
	}
	eventually(t, "all of it", func() bool { return len(read(t, r.Archive, s, media.Always, 1000)) == 3 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	// Without any of them there is nothing to do.
	for _, v := range o.Volumes {
		if err := os.RemoveAll(v.Dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(v.Dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenArchive(t.Context(), o); err == nil || !strings.Contains(err.Error(), "volume a: ") || !strings.Contains(err.Error(), "volume b: ") {
		t.Errorf("no volume, and the error is %v", err)
	}
	if _, err := OpenArchiveReadOnly(rackOptions(t.TempDir(), 2)); !errors.Is(err, ErrNotFound) {
		t.Errorf("no ring anywhere, and the error is %v", err)
	}
}

// Nothing is written to a retired volume, and all that it has is read.
func TestArchiveRetired(t *testing.T) {
	o := rackOptions(t.TempDir(), 2)
	o.Cameras = map[media.UUID]CameraRule{media.CameraUUID("cam1"): {Volume: "a"}}
	r := rackUp(t, o)
	s := camera(1)
	for n := range 3 {
		r.Offer(gop(s, 1, n, 1000))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	before := files(t, o.Volumes[0].Dir)
	o.Volumes[0].Retired = true
	o.Cameras = nil
	r = rackUp(t, o)
	for n := 3; n < 6; n++ {
		r.Offer(gop(s, 1, n, 1000))
	}
	if got := r.at(s); got != "b" {
		t.Errorf("recorded into %s", got)
	}
	eventually(t, "all of it", func() bool { return len(read(t, r.Archive, s, media.Always, 1000)) == 6 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if after := files(t, o.Volumes[0].Dir); after != before {
		t.Error("something was written to the retired volume")
	}
}

// files is a directory's contents.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %d\n", e.Name(), len(b))
		all.Write(b)
	}
	return all.String()
}

// What is older than max_days is not shown, not even what its first GOP needs.
func TestArchiveMaxAge(t *testing.T) {
	o := rackOptions(t.TempDir(), 2)
	r := rackUp(t, o)
	s := camera(1)
	begin := time.Now().Add(-20 * time.Second)
	for n := range 20 {
		rec := gop(s, 1, n, 1000)
		rec.Wall = begin.UnixNano() + int64(n)*second
		if n == 10 || n == 11 {
			rec.Buffer.Samples[0].Flags = 0
		}
		r.Offer(rec)
	}
	r.OfferGap(media.Gap{Stream: camera(2), Span: media.Span{From: begin.UnixNano(), To: begin.UnixNano() + second}, Reason: media.ReasonNoMedia})
	eventually(t, "all of it", func() bool { return len(read(t, r.Archive, s, media.Always, 1000)) == 20 })
	r.o.Cameras = nil
	r.Archive.o.Cameras = map[media.UUID]CameraRule{s.Camera.UUID: {MaxAge: time.Since(begin.Add(10*time.Second + 500*time.Millisecond))}}
	got := read(t, r.Archive, s, media.Always, 1000)
	wantRange(t, got, 12, 20)
	limit := begin.Add(10 * time.Second).UnixNano()
	l, err := r.List(t.Context(), Query{Camera: "cam1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Segments) == 0 || l.Segments[0].Span.From < limit {
		t.Errorf("%+v", l.Segments)
	}
	for _, st := range r.Status().Streams {
		if st.Oldest < limit {
			t.Errorf("%+v", st)
		}
	}
}

// Property, for several seeds: whatever the disks do, each record that was accepted is on exactly
// one volume, and the archive has all of them in their order.
func TestArchiveEachRecordOnce(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { eachRecordOnce(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func eachRecordOnce(t *testing.T, random *rand.Rand) {
	const size = 2000
	o := rackOptions(t.TempDir(), 2+random.IntN(2))
	r := mount(t, o)
	a, err := OpenArchive(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	a.settle = 0
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var sent [3]int
	for range 40 {
		switch what := random.IntN(10); {
		case what < 5:
			for c := range sent {
				if !a.Offer(gop(camera(c), 1, sent[c], size)) {
					t.Fatal("refused")
				}
				sent[c]++
			}
		case what < 6:
			r.disks[random.IntN(len(r.disks))].Fail(gone)
		case what < 7:
			r.disks[random.IntN(len(r.disks))].Fail(nil)
		default:
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		}
	}
	for _, d := range r.disks {
		d.Fail(nil)
	}
	cancel()
	if err := errors.Join(<-done, a.Close()); err != nil {
		t.Fatal(err)
	}
	ro, err := OpenArchiveReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	for c, n := range sent {
		var all []int
		for _, numbers := range held(t, ro, camera(c)) {
			all = append(all, numbers...)
		}
		slices.Sort(all)
		got := read(t, ro, camera(c), media.Always, size)
		want := make([]int, n)
		for i := range want {
			want[i] = i
		}
		if !slices.Equal(all, want) || !slices.Equal(got, want) {
			t.Fatalf("camera %d: the volumes hold %v, the archive shows %v, sent were %d", c, all, got, n)
		}
	}
}
