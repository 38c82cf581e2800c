package store

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"nvr/internal/disk/direct"
	"nvr/internal/disk/faultdisk"
	"nvr/internal/media"
)

// Sweep: the n-th write or sync fails, once or for good where it stands; every
// record is there afterwards, once, and after a restart too.
func TestDiskErrors(t *testing.T) {
	const size, records = 300_000, 30
	for _, op := range []faultdisk.Op{faultdisk.Write, faultdisk.Sync} {
		for _, count := range []int{1, 2} {
			for at := 1; at <= 15; at += 1 + at/6 {
				t.Run(fmt.Sprintf("%s %d x%d", op, at, count), func(t *testing.T) {
					o := testOptions(t.TempDir())
					o.Pools = 4
					d := faultdisk.New(direct.New(o.Dir, newVolume(o).o.Log))
					o.Disk = d
					r := record(t, o)
					s := camera(1)
					d.Fail(func(got faultdisk.Op, _ string, n int) error {
						if got == op && n >= at && n < at+count {
							return syscall.EIO
						}
						return nil
					})
					for n := range records {
						for !r.Offer(gop(s, 1, n, size)) {
							time.Sleep(time.Millisecond)
						}
						if n%3 == 0 {
							r.committed(t)
						}
					}
					r.committed(t)
					wantRange(t, numbers(t, r.Volume, s, media.Always, size), 0, records)
					if r.Status().Failures == 0 {
						t.Error("nothing failed: the test proves nothing")
					}
					if err := r.stop(); err != nil {
						t.Fatal(err)
					}
					ro, err := OpenReadOnly(o)
					if err != nil {
						t.Fatal(err)
					}
					defer ro.Close()
					wantRange(t, numbers(t, ro, s, media.Always, size), 0, records)
				})
			}
		}
	}
}

// A disk that is gone holds nobody up: records wait in bounded memory, and are
// written when it is back.
func TestDiskGone(t *testing.T) {
	o := testOptions(t.TempDir())
	d := faultdisk.New(direct.New(o.Dir, newVolume(o).o.Log))
	o.Disk = d
	r := record(t, o)
	s := camera(1)
	r.Offer(gop(s, 1, 0, 1000))
	r.committed(t)
	d.Fail(func(op faultdisk.Op, _ string, _ int) error {
		if op != faultdisk.Read {
			return syscall.EROFS
		}
		return nil
	})
	for n := 1; n < 5; n++ {
		if !r.Offer(gop(s, 1, n, 1000)) {
			t.Fatal("refused")
		}
	}
	for !r.Status().Down {
		time.Sleep(time.Millisecond)
	}
	d.Fail(nil)
	r.committed(t)
	if r.Status().Down {
		t.Error("still down")
	}
	wantRange(t, numbers(t, r.Volume, s, media.Always, 1000), 0, 5)
}
