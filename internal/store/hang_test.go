package store

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/faultdisk"
	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
)

// outage records a camera for two minutes of the bubble's time, of which the disk
// is ill from second 10 to second 70.
func outage(t *testing.T, ill, well func(d *faultdisk.Dir), look func(second int, v *Volume)) *Volume {
	d := faultdisk.New(memdisk.New("memory"))
	o := testOptions("")
	o.Disk, o.Pools, o.PoolBytes, o.CommitInterval, o.QueueRecords, o.Epoch = d, 6, 32*mib, time.Second, 16, time.Now()
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	s := camera(1)
	for n := range 120 {
		switch n {
		case 10:
			ill(d)
		case 70:
			well(d)
		}
		if !v.Offer(gop(s, 1, n, 600_000)) {
			t.Fatalf("second %d: refused", n)
		}
		if _, bytes := v.queue.len(); bytes > 16*600_000+batchBytes {
			t.Fatalf("second %d: %d bytes wait", n, bytes)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		look(n, v)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return v
}

// afterOutage wants every record, or a gap that says disk_down in its place, and
// every record from five seconds after the disk was back.
func afterOutage(t *testing.T, v *Volume) {
	t.Helper()
	defer v.Close()
	s := camera(1)
	at := epoch + 1000*second
	missing := map[int]bool{}
	for n := range 120 {
		missing[n] = true
	}
	for _, n := range numbers(t, v, s, media.Always, 600_000) {
		delete(missing, n)
	}
	l, err := v.List(t.Context(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, g := range l.Gaps {
		if g.Reason != media.ReasonDisk {
			t.Errorf("gap %+v", g)
		}
		for n := int((g.Span.From - at) / second); n < int((g.Span.To-at)/second); n++ {
			if !missing[n] {
				t.Errorf("record %d is there, and a gap says it is not", n)
			}
			told++
		}
	}
	if told != len(missing) || len(missing) == 0 || len(missing) > 60 {
		t.Errorf("%d records are missing, the gaps tell of %d", len(missing), told)
	}
	for n := 75; n < 120; n++ {
		if missing[n] {
			t.Errorf("record %d is missing: the disk was back at 70", n)
		}
	}
}

// A sync that takes a minute holds nobody up, takes bounded memory, and is told
// of within five seconds.
func TestDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan bool)
		ill := func(d *faultdisk.Dir) {
			d.Fail(func(op faultdisk.Op, _ string, _ int) error {
				if op == faultdisk.Sync {
					<-release
				}
				return nil
			})
		}
		v := outage(t, ill, func(*faultdisk.Dir) { close(release) }, func(second int, v *Volume) {
			down := v.Status().Down
			if sure := second < 10 || second > 72; sure && down || second >= 15 && second < 70 && !down {
				t.Errorf("second %d: down is %v", second, down)
			}
		})
		afterOutage(t, v)
	})
}

// A disk that is gone for a minute: recording goes on within five seconds of its
// return, and no pool that held footage was given up for it.
func TestDiskAway(t *testing.T) {
	for _, failure := range []error{syscall.EIO, syscall.EROFS, syscall.ENODEV} {
		t.Run(failure.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := 0
				ill := func(d *faultdisk.Dir) {
					d.Fail(func(op faultdisk.Op, _ string, _ int) error {
						if op == faultdisk.Read {
							return nil
						}
						return failure
					})
				}
				v := outage(t, ill, func(d *faultdisk.Dir) { d.Fail(nil) }, func(second int, v *Volume) {
					switch second {
					case 9:
						before = len(v.index.Load())
					case 68:
						if after := len(v.index.Load()); after < before || !v.Status().Down {
							t.Errorf("%d pools in the index before, %d at the end of the outage; down: %v", before, after, v.Status().Down)
						}
					}
				})
				afterOutage(t, v)
			})
		})
	}
}
