package store

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nvr/internal/disk/direct"
	"nvr/internal/media"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

func verified(t *testing.T, v interface {
	Verify(context.Context, VerifyOptions) (VerifyReport, error)
}) VerifyReport {
	t.Helper()
	r, err := v.Verify(t.Context(), VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is whole is told to be whole, and all of it was read.
func TestVerify(t *testing.T) {
	o := testOptions(t.TempDir())
	poolOf := filled(t, &o)
	progress := int64(0)
	v := openForReading(t, o)
	began := time.Now()
	r, err := v.Verify(t.Context(), VerifyOptions{Rate: 200 * mib, Progress: func(done, total int64) {
		if done < progress || done > total {
			t.Errorf("progress: %d after %d of %d", done, progress, total)
		}
		progress = done
	}})
	if err != nil || !r.OK() || r.Records != int64(len(poolOf)) || r.Pools != 4 || r.Bytes < int64(len(poolOf)*bigRecord) || r.Bytes != progress {
		t.Errorf("%+v %v", r, err)
	}
	if took := time.Since(began); took < time.Duration(float64(r.Bytes)/(200*mib)*float64(time.Second)) {
		t.Errorf("%d bytes in %v are more than 200 MiB/s", r.Bytes, took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(ctx, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Footage that is damaged is told of by camera and time.
func TestVerifyDamage(t *testing.T) {
	o := testOptions(t.TempDir())
	filled(t, &o)
	v := openForReading(t, o)
	s := camera(1)
	for e, err := range v.Entries(t.Context(), s.ID(), media.Always) {
		if err != nil {
			t.Fatal(err)
		}
		switch n := e.Start / 90000; n {
		case 3, 4, 5, 20:
			patch(t, poolPath(o, int(e.Ref.Pool)), e.Ref.Group+int64(e.Ref.Offset)+77, []byte("rot"))
		}
	}
	os.Remove(poolPath(o, 4))
	r := verified(t, openForReading(t, o))
	if r.OK() || r.DamagedRecords() != 4 || len(r.Damage) != 2 || len(r.Faults) != 4 || len(r.Unusable) != 1 {
		t.Fatalf("%+v", r)
	}
	at := epoch + 1000*second
	for i, want := range []struct {
		span    media.Span
		records int
	}{{media.Span{From: at + 3*second, To: at + 6*second}, 3}, {media.Span{From: at + 20*second, To: at + 21*second}, 1}} {
		d := r.Damage[i]
		if d.Stream.Camera.ID != "cam1" || d.Span != want.span || d.Records != want.records || d.Bytes != int64(want.records*bigRecord) {
			t.Errorf("%+v, want %+v", d, want)
		}
	}
}

// Beside a recorder that goes round and round, and behind one whose last commit
// was cut, nothing is called damaged.
func TestVerifyWhileRecording(t *testing.T) {
	o := testOptions(t.TempDir())
	o.Pools = 3
	r := record(t, o)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			for !r.Offer(gop(camera(1), 1, n, 200_000)) {
				time.Sleep(time.Millisecond)
			}
			if n%8 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
	overwritten, checked := 0, int64(0)
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		for _, v := range []*Volume{openForReading(t, o), r.Volume} {
			report, err := v.Verify(t.Context(), VerifyOptions{Rate: 100 * mib})
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if !report.OK() {
				t.Fatalf("%+v", report)
			}
			overwritten += report.Overwritten
			checked += report.Records
		}
	}
	close(stop)
	<-done
	t.Logf("%d records checked, %d pools overwritten meanwhile, generation %d", checked, overwritten, r.Status().Generation)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyTornTail(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	for n := range 3 {
		r.Offer(gop(camera(1), 1, n, 50_000))
		r.committed(t)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	tear(t, o, gop(camera(1), 1, 3, 500_000), 0)
	if report := verified(t, openForReading(t, o)); !report.OK() {
		t.Errorf("%+v", report)
	}
	r = record(t, o)
	r.Offer(gop(camera(1), 2, 0, 50_000))
	r.committed(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if report := verified(t, openForReading(t, o)); !report.OK() {
		t.Errorf("%+v", report)
	}
}

// A group that is lost in a pool without a footer is missed: the numbers tell.
func TestVerifyLostGroup(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	for n := range 8 {
		r.Offer(gop(camera(1), 1, n, 50_000))
		r.committed(t)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	groups := groupsOf(t, o)
	patch(t, poolPath(o, 0), groups[len(groups)/2].Offset+50, []byte("rot"))
	report := verified(t, openForReading(t, o))
	if report.OK() || len(report.Damage) != 1 || report.Damage[0].Stream != nil || report.Faults[0].What != "group" || report.Faults[0].Offset != groups[len(groups)/2].Offset {
		t.Errorf("%+v", report)
	}
}

// Footers are repaired when nobody records, and only then.
func TestRepairFooters(t *testing.T) {
	o := testOptions(t.TempDir())
	poolOf := filled(t, &o)
	for n := range 2 {
		patch(t, poolPath(o, n), o.PoolBytes-pool.TrailerSize, make([]byte, pool.TrailerSize))
	}
	r := record(t, o)
	var inUse *InUseError
	if _, err := RepairFooters(t.Context(), o); !errors.As(err, &inUse) {
		t.Errorf("while recording: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if report := verified(t, openForReading(t, o)); len(report.Faults) != 2 || report.Faults[0].What != "footer" || len(report.Damage) != 0 || !slices.Equal(report.Walked, []int{0, 1}) {
		t.Errorf("before: %+v", report)
	}
	repaired, err := RepairFooters(t.Context(), o)
	if err != nil || !slices.Equal(repaired, []int{0, 1}) {
		t.Errorf("%v %v", repaired, err)
	}
	v := openForReading(t, o)
	if report := verified(t, v); !report.OK() || len(report.Walked) != 0 {
		t.Errorf("after: %+v", report)
	}
	if got := readable(t, v, 1); !slices.Equal(got, without(poolOf)) {
		t.Errorf("%v", got)
	}
}

// The scrub finds what has rotted, and says so.
func TestScrub(t *testing.T) {
	o := testOptions(t.TempDir())
	poolOf := filled(t, &o)
	v := openForReading(t, o)
	for e, err := range v.Entries(t.Context(), camera(1).ID(), media.Always) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Start/90000 == 12 {
			patch(t, poolPath(o, int(e.Ref.Pool)), e.Ref.Group+int64(e.Ref.Offset)+77, []byte("rot"))
		}
	}
	o.ScrubRate = 500 * mib
	r := record(t, o)
	for deadline := time.Now().Add(20 * time.Second); r.Status().ScrubRounds == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the scrub does not come round")
		}
	}
	if s := r.Status(); s.BadRecords != 1 || s.BadPlaces != 1 || s.Scrubbed < int64(len(poolOf)-5)*bigRecord || s.ScrubRate != o.ScrubRate {
		t.Errorf("%d bad records, %d places in %d bytes at %d/s", s.BadRecords, s.BadPlaces, s.Scrubbed, s.ScrubRate)
	}
	eventually(t, "it rests", func() bool { return r.Status().ScrubTotal == 0 })
}

// Loose files: of two rings, one of which has recorded on after a file was
// copied, in any order and under any name, one of them cut off, one foreign.
func TestLoose(t *testing.T) {
	a, b := testOptions(t.TempDir()), testOptions(t.TempDir())
	poolOf := filled(t, &a)
	b.Pools = 3
	r := record(t, b)
	for n := range 15 {
		r.Offer(bigGop(5, n))
		r.committed(t)
	}
	early := filepath.Join(t.TempDir(), "early copy of the first")
	copyFile(t, poolPath(b, 0), early)
	for n := 15; n < 40; n++ {
		r.Offer(bigGop(5, n))
		r.committed(t)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	newest := readable(t, openForReading(t, b), 5)
	os.Remove(filepath.Join(a.Dir, "ring.id"))
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign")
	if err := os.WriteFile(foreign, []byte("no pool file"), 0o600); err != nil {
		t.Fatal(err)
	}
	twice := filepath.Join(dir, "twice")
	copyFile(t, poolPath(a, 2), twice)
	loseSlots(0, pool.SuperSlot1)(t, a, 1)

	l, err := OpenLoose([]string{poolPath(a, 3), poolPath(b, 2), poolPath(a, 1), foreign, poolPath(b, 0), early, twice, poolPath(a, 2), poolPath(b, 1)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := map[media.RunID][]int{}
	for e, err := range l.Entries(t.Context(), camera(1).ID(), media.Always) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Payload(t.Context(), e.Ref, nil); err != nil {
			t.Fatal(err)
		}
		got[e.Run] = append(got[e.Run], int(e.Start/90000))
	}
	if want := without(poolOf, 0); !slices.Equal(got[1], want) {
		t.Errorf("of the first ring %v, want %v", got[1], want)
	}
	if n := len(got[5]) - len(newest); n < 8 || got[5][0] != 0 || got[5][len(got[5])-1] != 39 {
		t.Errorf("of the second ring %v; %v are in the ring", got[5], newest)
	}
	list, err := l.List(t.Context(), Query{Camera: "cam1"})
	if err != nil || len(list.Segments) == 0 {
		t.Errorf("%+v %v", list, err)
	}
	if report := verified(t, l); report.Records != int64(len(got[1])+len(got[5])) || len(report.Damage) != 0 || len(report.Unusable) != 1 {
		t.Errorf("%+v", report)
	}
	if _, err := OpenLoose([]string{foreign}, Options{}); err == nil || !strings.Contains(err.Error(), "no pool file that can be read") {
		t.Errorf("a foreign file alone: %v", err)
	}
}

// Bits flip in a sealed pool, one at a time and then all at once. Each is found
// where it lies in what was written; each costs one record at most, and all
// others can be read.
func TestBitRot(t *testing.T) {
	flips := 40
	if n, err := strconv.Atoi(os.Getenv("NVR_BIT_FLIPS")); err == nil {
		flips = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	o := testOptions(t.TempDir())
	const size, records = 40_000, 300
	r := record(t, o)
	for n := range records {
		for !r.Offer(gop(camera(1), 1, n, size)) {
			time.Sleep(time.Millisecond)
		}
		if n%5 == 0 {
			r.committed(t)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	path := poolPath(o, 0)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	groups, err := openForReading(t, o).readDirectory(0)
	if err != nil {
		t.Fatal(err)
	}
	last := groups[len(groups)-1]
	end := last.Offset + int64(last.TotalLen)
	trailer := make([]byte, pool.TrailerSize)
	if _, err := f.ReadAt(trailer, o.PoolBytes-pool.TrailerSize); err != nil {
		t.Fatal(err)
	}
	foot, err := pool.DecodeTrailer(trailer, groups[0].Identity, o.PoolBytes)
	if err != nil {
		t.Fatal(err)
	}
	// Never written, so never read: between the superblocks and behind, and
	// between the last group and the footer.
	unread := func(off int64) bool {
		return off >= pool.BlockSize && off < pool.SuperSlot1 || off >= pool.SuperSlot1+pool.BlockSize && off < pool.FirstGroup || off >= end && off < foot.FooterOffset
	}
	flip := func(off int64, bit int) {
		var b [1]byte
		if _, err := f.ReadAt(b[:], off); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1 << bit
		if _, err := f.WriteAt(b[:], off); err != nil {
			t.Fatal(err)
		}
	}
	look := func() (report VerifyReport, lost int) {
		v, err := OpenLoose([]string{path}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		report = verified(t, v)
		read, all := 0, v.volumes[0].index.Load()[0].Len() > 0
		for e, err := range v.Entries(t.Context(), camera(1).ID(), media.Always) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Payload(t.Context(), e.Ref, nil); err == nil {
				read++
			}
		}
		if !all {
			t.Error("nothing is indexed")
		}
		return report, read
	}
	report, whole := look()
	if !report.OK() || whole < 150 {
		t.Fatalf("%d records: %+v", whole, report)
	}
	type bit struct {
		off int64
		bit int
	}
	found, costly, skipped, what := 0, 0, 0, map[string]int{}
	var all []bit
	for len(all) < flips {
		b := bit{random.Int64N(o.PoolBytes), random.IntN(8)}
		if unread(b.off) {
			skipped++
			continue
		}
		all = append(all, b)
		flip(b.off, b.bit)
		report, read := look()
		flip(b.off, b.bit)
		if report.OK() {
			t.Errorf("the flip at %d bit %d is not found", b.off, b.bit)
			continue
		}
		found++
		what[report.Faults[0].What]++
		costly += whole - read
		if whole-read > 1 || whole-read != report.DamagedRecords() {
			t.Errorf("the flip at %d bit %d costs %d records, and %d are told of: %+v", b.off, b.bit, whole-read, report.DamagedRecords(), report)
		}
	}
	t.Logf("%d flips in what was written (%d more fell on what never was): %d found %v, %d records lost, of %d", flips, skipped, found, what, costly, whole)

	for _, b := range all {
		flip(b.off, b.bit)
	}
	report, read := look()
	t.Logf("all at once: %d faults, %d of %d records can be read", len(report.Faults), read, whole)
	if report.OK() || whole-read > flips {
		t.Errorf("%d flips cost %d records", flips, whole-read)
	}
}

// A file is identified by what it holds.
func TestIdentify(t *testing.T) {
	o := testOptions(t.TempDir())
	filled(t, &o)
	for _, lost := range [][]int64{{}, {0}, {pool.SuperSlot1}, {0, pool.SuperSlot1}} {
		path := filepath.Join(t.TempDir(), "x")
		copyFile(t, poolPath(o, 2), path)
		for _, off := range lost {
			patch(t, path, off, []byte("rotten"))
		}
		f, err := direct.New(filepath.Dir(path), nil).Open("x", false)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := ring.Identify(f); err != nil || s.Pool != 2 || s.Generation != 3 {
			t.Errorf("without the slots at %v: %+v %v", lost, s, err)
		}
		f.Close()
	}
}
