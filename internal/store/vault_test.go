package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/faultdisk"
	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
	"nvr/internal/store/vault"
)

// vaultRig is a rig with a vault, and a camera or two that record a second at a
// time; the clock of the bubble is that of the footage.
type vaultRig struct {
	*rig
	streams []*media.Stream
	n       int
	size    int
	began   int64
}

const testVault = 64 * mib

func newVaultRig(t *testing.T, cameras int) *vaultRig {
	r := &vaultRig{rig: newRig(t, 3, 8), streams: streams(cameras), size: 300_000}
	r.o.VaultBytes = testVault
	r.must(r.open())
	r.began = time.Now().UnixNano()
	return r
}

func (r *vaultRig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// at is when record n begins.
func (r *vaultRig) at(n int) int64 { return r.began + int64(n)*second }

func (r *vaultRig) span(from, to int) media.Span { return media.Span{From: r.at(from), To: r.at(to)} }

// seconds records so many seconds of all cameras.
func (r *vaultRig) seconds(n int) {
	r.t.Helper()
	for range n {
		for _, s := range r.streams {
			f := footage{s, 1, r.n, r.size, videoTrack}
			record := f.record()
			record.Wall = r.at(r.n)
			if !r.v.Offer(record) {
				r.t.Fatal("refused")
			}
		}
		r.n++
		r.beat()
	}
}

// wrap records until the ring has been written n times over.
func (r *vaultRig) wrap(n int) {
	r.t.Helper()
	for last := r.v.ring.Used(); ; {
		used := r.v.ring.Used()
		if used[len(used)-1].Generation >= last[len(last)-1].Generation+uint64(n*r.o.Pools) {
			return
		}
		r.seconds(1)
	}
}

func (r *vaultRig) lock(from, to int) string {
	r.t.Helper()
	l, err := r.v.AddLock(r.t.Context(), LockRequest{Camera: "cam1", Span: r.span(from, to), Reason: "test"})
	r.must(err)
	return l.ID
}

func (r *vaultRig) status(id string) LockStatus {
	r.t.Helper()
	l, err := lockByID(r.v.Locks(), id)
	r.must(err)
	return l
}

// readable says that the records from…to-1 of a camera are there, once and right.
func (r *vaultRig) readable(s *media.Stream, from, to int) {
	r.t.Helper()
	seen := map[int]bool{}
	for e, err := range r.v.Entries(r.t.Context(), s.ID(), r.span(from, to)) {
		r.must(err)
		n := int(e.Start / 90000)
		if seen[n] {
			r.t.Errorf("record %d twice", n)
		}
		seen[n] = true
		f := footage{s, 1, n, r.size, videoTrack}
		b, err := r.v.Payload(r.t.Context(), e.Ref, nil)
		if err != nil || !f.wrote(b) {
			r.t.Errorf("record %d in %+v: %v", n, e.Ref, err)
		}
	}
	for n := from; n < to; n++ {
		if !seen[n] {
			r.t.Errorf("record %d is not there", n)
		}
	}
}

// files lists the kept files.
func (r *vaultRig) files() []string {
	r.t.Helper()
	d, err := r.disk.Sub(vault.DirName, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.must(err)
	names, err := d.Names()
	r.must(err)
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, vault.RegisterName) })
}

// What is locked is there when the ring has been written over several times, and
// looks like the rest.
func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 2)
		defer r.close()
		r.seconds(20)
		id := r.lock(5, 15)
		r.wrap(4)
		r.readable(r.streams[0], 5, 15)
		s := r.status(id)
		if s.State != LockKept || s.Bytes != 10*300_000 || s.Kept != s.Bytes || len(s.Lost) > 0 {
			t.Errorf("%+v", s)
		}
		l, err := r.v.List(t.Context(), Query{Camera: "cam1"})
		r.must(err)
		if first := l.Segments[0]; first.Span.From != r.at(5) || !first.Kept || first.Samples != 100 {
			t.Errorf("the first segment: %+v", first)
		}
		if len(l.Segments) < 3 || l.Segments[1].Kept || len(l.Gaps) != 1 || l.Gaps[0].Reason != media.ReasonOverwritten || l.Gaps[0].Span != (media.Span{From: r.at(15), To: l.Segments[1].Span.From}) {
			t.Errorf("%d segments, gaps %+v", len(l.Segments), l.Gaps)
		}
		if l, _ := r.v.List(t.Context(), Query{Camera: "cam2"}); l.Segments[0].Span.From < r.at(20) {
			t.Errorf("of the other camera is kept: %+v", l.Segments[0])
		}
		st := r.v.Status()
		if st.Oldest < r.at(20) || st.Vault.Locks != 1 || st.Vault.Used == 0 || st.Vault.Used > 15*mib {
			t.Errorf("status: oldest %d s, %+v", (st.Oldest-r.began)/second, st.Vault)
		}
		report, err := r.v.Verify(t.Context(), VerifyOptions{})
		if err != nil || !report.OK() || report.Kept == 0 {
			t.Errorf("verify: %+v %v", report, err)
		}
		// The same after a start, and for another process.
		r.must(r.close())
		r.must(r.open())
		r.readable(r.streams[0], 5, 15)
		ro, err := OpenReadOnly(r.o)
		r.must(err)
		if list, err := entries(ro, r.streams[0]); err != nil || list[0].Wall != r.at(5) {
			t.Errorf("read only: %v", err)
		}
		ro.Close()
		// Removed, it is gone.
		r.must(r.v.RemoveLock(t.Context(), id))
		if f := r.files(); len(f) > 0 {
			t.Errorf("left: %q", f)
		}
		if list, _ := entries(r.v, r.streams[0]); list[0].Wall < r.at(20) {
			t.Error("still readable")
		}
		if err := r.v.RemoveLock(t.Context(), id); !errors.Is(err, ErrNoLock) {
			t.Errorf("removed again: %v", err)
		}
	})
}

// A lock may reach into the future: what comes is kept as it comes.
func TestLockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.seconds(10)
		id := r.lock(8, 70)
		r.seconds(40)
		if s := r.status(id); s.State != LockPending || s.Bytes == 0 {
			t.Errorf("in the middle: %+v", s)
		}
		r.seconds(40)
		r.sleep(time.Minute)
		if s := r.status(id); s.State != LockKept || s.Kept < 62*300_000 {
			t.Errorf("when it is over: %+v", s)
		}
		r.wrap(3)
		r.readable(r.streams[0], 8, 70)
		if s := r.status(id); s.State != LockKept {
			t.Errorf("%+v", s)
		}
	})
}

// Locks that overlap share what they both want; what one of them still wants stays.
func TestLocksOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.seconds(20)
		first := r.lock(5, 10)
		r.sleep(time.Minute)
		one := r.v.Status().Vault.Used
		second := r.lock(8, 18)
		r.sleep(time.Minute)
		if used := r.v.Status().Vault.Used; used >= 2*one+10*300_000 || used <= one {
			t.Errorf("one takes %d, both %d", one, used)
		}
		third := r.lock(6, 7)
		r.sleep(time.Minute)
		r.wrap(3)
		fourth := r.lock(9, 12) // the ring has it no more, the vault has
		r.readable(r.streams[0], 5, 18)
		r.must(r.v.RemoveLock(t.Context(), first))
		r.must(r.v.RemoveLock(t.Context(), third))
		r.readable(r.streams[0], 8, 18)
		r.must(r.v.RemoveLock(t.Context(), second))
		r.readable(r.streams[0], 9, 12)
		for _, id := range []string{fourth} {
			if s := r.status(id); s.State != LockKept || len(s.Lost) > 0 {
				t.Errorf("%+v", s)
			}
			r.must(r.v.RemoveLock(t.Context(), id))
		}
		if f := r.files(); len(f) > 0 {
			t.Errorf("left: %q", f)
		}
	})
}

func TestLockExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.seconds(20)
		l, err := r.v.AddLock(t.Context(), LockRequest{Camera: "cam1", Span: r.span(5, 10), Reason: "for an hour", Until: time.Now().Add(time.Hour).UnixNano()})
		r.must(err)
		r.wrap(2)
		r.readable(r.streams[0], 5, 10)
		r.sleep(time.Hour + expireGrace/2)
		r.readable(r.streams[0], 5, 10)
		r.sleep(expireGrace)
		if s := r.status(l.ID); s.State != LockExpired || len(r.files()) > 0 {
			t.Errorf("%+v, files %q", s, r.files())
		}
		r.sleep(forgetExpired + time.Hour)
		if list := r.v.Locks(); len(list) > 0 {
			t.Errorf("remembered: %+v", list)
		}
	})
}

// What is refused, and that it says why.
func TestLockRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.seconds(20)
		good := LockRequest{Camera: "cam1", Span: r.span(5, 10), Reason: "x"}
		for _, test := range []struct {
			change func(*LockRequest)
			is     error
			says   string
		}{
			{func(q *LockRequest) { q.Reason = " " }, ErrLockRequest, "reason"},
			{func(q *LockRequest) { q.Reason = strings.Repeat("x", MaxLockReason+1) }, ErrLockRequest, "501 bytes"},
			{func(q *LockRequest) { q.Reason = "a\nb" }, ErrLockRequest, "control"},
			{func(q *LockRequest) { q.Span.To = q.Span.From }, ErrLockRequest, "nothing lies"},
			{func(q *LockRequest) { q.Span.To += 8 * 86400 * second }, ErrLockRequest, "future"},
			{func(q *LockRequest) { q.Until = r.began }, ErrLockRequest, "over already"},
			{func(q *LockRequest) { q.Span = r.span(-100, -50) }, ErrNothingToLock, ""},
			{func(q *LockRequest) { q.Camera = "nobody" }, ErrNothingToLock, ""},
			{func(q *LockRequest) { q.Span.To += 3600 * second }, nil, "holds 64 MiB, and 1"},
		} {
			q := good
			test.change(&q)
			_, err := r.v.AddLock(t.Context(), q)
			if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%+v: %v, want %v %q", q, err, test.is, test.says)
			}
		}
		// What is still to come is reckoned with by the next one too.
		ahead := good
		ahead.Span = media.Span{From: time.Now().UnixNano(), To: time.Now().UnixNano() + 150*second}
		l, err := r.v.AddLock(t.Context(), ahead)
		r.must(err)
		if _, err := r.v.AddLock(t.Context(), ahead); err == nil || !strings.Contains(err.Error(), "is full") {
			t.Errorf("two locks of 45 MB to come in a vault of 64 MiB: %v", err)
		}
		r.must(r.v.RemoveLock(t.Context(), l.ID))
		for range 3 { // they share their files
			r.lock(0, 15)
			r.sleep(time.Minute)
		}
		if used := r.v.Status().Vault.Used; used > 8*mib {
			t.Errorf("three locks of the same take %d", used)
		}
		for n := 4; ; n++ {
			r.seconds(60)
			_, err := r.v.AddLock(t.Context(), LockRequest{Camera: "cam1", Span: r.span(r.n-45, r.n-5), Reason: "one more"})
			r.sleep(time.Minute)
			if err == nil {
				if used := r.v.Status().Vault.Used; used > testVault {
					t.Fatalf("%d locks take %d", n, used)
				}
				continue
			}
			var full *VaultFullError
			if !errors.As(err, &full) || len(full.Locks) != n-1 || n < 6 || !strings.Contains(err.Error(), "is full: ") || !strings.Contains(err.Error(), `(cam1, `) {
				t.Fatalf("the %dth: %v", n, err)
			}
			if full.Locks[0].Size <= full.Locks[n-2].Size {
				t.Error("the largest is not first")
			}
			break
		}
	})
}

// The writer is about to take the pool: the lock wins, or says what it lost.
func TestLockRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.seconds(20)
		r.wrap(1)
		oldest, _ := entries(r.v, r.streams[0])
		from := int(oldest[0].Start / 90000)
		// The disk is so slow at reading that the writer gets there first.
		slow := true
		r.disk.Hook(func(op memdisk.Op) error {
			if slow && op.Kind == memdisk.Read && op.Name == "pool_"+pad(oldest[0].Ref.Pool)+".bin" && op.Off >= mib {
				time.Sleep(4 * time.Second)
			}
			return nil
		})
		id := r.lock(from, from+10)
		r.wrap(2)
		slow = false
		r.sleep(time.Minute)
		s := r.status(id)
		if s.State != LockLost || len(s.Lost) == 0 || s.Lost[0].Why != lostOverwritten {
			t.Fatalf("%+v", s)
		}
		// What it has and what it lost is all that was asked for.
		have := map[int]bool{}
		for e, err := range r.v.Entries(t.Context(), r.streams[0].ID(), r.span(from, from+10)) {
			r.must(err)
			have[int(e.Start/90000)] = true
		}
		for n := from; n < from+10; n++ {
			lost := slices.ContainsFunc(s.Lost, func(x LockLoss) bool { return x.Span.From <= r.at(n) && r.at(n+1) <= x.Span.To })
			if lost == have[n] {
				t.Errorf("record %d: there %t, lost %t", n, have[n], lost)
			}
		}
		if len(have) == 0 || len(have) == 10 {
			t.Errorf("%d records of 10: the test proves little", len(have))
		}
	})
}

func pad(n uint32) string {
	return string([]byte{'0' + byte(n/100), '0' + byte(n/10%10), '0' + byte(n%10)})
}

// A disk that fails or is full while footage is copied: the lock says so, it is
// tried again, and recording does not notice.
func TestLockFaults(t *testing.T) {
	for _, test := range []struct {
		name string
		op   faultdisk.Op
		err  error
	}{
		{"no room", faultdisk.Allocate, syscall.ENOSPC}, {"write", faultdisk.Write, syscall.EIO}, {"no room after all", faultdisk.Write, syscall.ENOSPC}, {"sync", faultdisk.Sync, syscall.EIO},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newVaultRig(t, 1)
				defer r.close()
				r.must(r.close())
				fd := faultdisk.New(r.disk)
				r.o.Disk = fd
				r.must(r.open())
				for n := 1; n < 5; n++ { // the n-th operation of its kind fails
					r.seconds(8)
					fails := 0
					fd.Fail(func(op faultdisk.Op, name string, _ int) error {
						if op == test.op && strings.HasPrefix(name, "vault/") {
							if fails++; fails%4 == n-1 {
								return test.err
							}
						}
						return nil
					})
					from := r.n - 6
					id := r.lock(from, from+3)
					r.sleep(20 * time.Second)
					if s := r.status(id); s.State == LockPending && s.Trouble == "" {
						t.Errorf("%d: it does not say what is wrong: %+v", n, s)
					}
					fd.Fail(nil)
					r.sleep(30 * time.Second)
					if s := r.status(id); s.State != LockKept || s.Trouble != "" {
						t.Errorf("%d: %+v", n, s)
					}
				}
				r.wrap(3)
				r.readable(r.streams[0], 2, 5)
				if s := r.v.Status(); s.Failures > 0 || s.Refused > 0 {
					t.Errorf("recording noticed: %+v", s)
				}
				if f := r.files(); len(f) != len(r.v.kept().files) {
					t.Errorf("files %q, known are %d", f, len(r.v.kept().files))
				}
			})
		})
	}
}

// What cannot be read is tried again before it is lost.
func TestLockUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.must(r.close())
		fd := faultdisk.New(r.disk)
		r.o.Disk = fd
		r.must(r.open())
		r.seconds(20)
		fails := 0
		fd.Fail(func(op faultdisk.Op, name string, _ int) error {
			if op == faultdisk.Read && name == "pool_000.bin" && fails < 2 {
				fails++
				return syscall.EIO
			}
			return nil
		})
		id := r.lock(5, 15)
		r.sleep(time.Minute)
		if s := r.status(id); s.State != LockKept || fails == 0 {
			t.Errorf("%d errors: %+v", fails, s)
		}
		fd.Fail(func(op faultdisk.Op, name string, _ int) error {
			if op == faultdisk.Read && name == "pool_000.bin" {
				return syscall.EIO
			}
			return nil
		})
		id = r.lock(0, 4)
		r.sleep(time.Second)
		if s := r.status(id); s.State != LockPending || s.Trouble == "" {
			t.Errorf("%+v", s)
		}
		r.sleep(time.Minute)
		if s := r.status(id); s.State != LockLost || s.Lost[0].Why != lostDamaged {
			t.Errorf("%+v", s)
		}
	})
}

// The file system has little room: nothing is copied, nothing else suffers.
func TestLockLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.seconds(20)
		r.disk.Capacity(3*8*mib + vaultReserve + 2*mib)
		_, err := r.v.AddLock(t.Context(), LockRequest{Camera: "cam1", Span: r.span(5, 15), Reason: "x"})
		if !errors.Is(err, ErrNoSpace) {
			t.Errorf("%v", err)
		}
		r.disk.Capacity(1 << 40)
		id := r.lock(5, 15)
		r.sleep(time.Minute)
		if s := r.status(id); s.State != LockKept {
			t.Errorf("%+v", s)
		}
	})
}

// A damaged record in the ring is lost, and told of; one in the vault is found by
// verify; a file that is gone is said to be.
func TestLockDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.seconds(20)
		list, _ := entries(r.v, r.streams[0])
		ref := list[7].Ref
		r.disk.Rot("pool_"+pad(ref.Pool)+".bin", ref.Group+int64(ref.Offset)+100, []byte{1, 2, 3})
		id := r.lock(5, 15)
		r.sleep(time.Minute)
		s := r.status(id)
		if s.State != LockLost || len(s.Lost) != 1 || s.Lost[0] != (LockLoss{r.span(7, 8), lostDamaged}) {
			t.Fatalf("%+v", s)
		}
		r.wrap(2)
		r.readable(r.streams[0], 8, 15)
		file := r.files()[0]
		r.disk.Rot("vault/"+file, mib+200_000, []byte{9})
		r.disk.Rot("vault/"+file, 0, make([]byte, 4096))
		report, err := r.v.Verify(t.Context(), VerifyOptions{})
		if err != nil || report.OK() || report.DamagedRecords() != 1 || report.Faults[0].File != "vault/"+file {
			t.Errorf("%+v %v", report, err)
		}
		// Both superblocks rot: the register knows that the file was whole.
		r.disk.Rot("vault/"+file, 64<<10, make([]byte, 4096))
		r.must(r.close())
		r.must(r.open())
		if list, _ := entries(r.v, r.streams[0]); list[0].Wall != r.at(5) {
			t.Error("not served any more")
		}
		r.disk.Vanish("vault/" + file)
		r.must(r.close())
		r.must(r.open())
		if s := r.status(id); s.State != LockLost || !strings.Contains(s.Lost[len(s.Lost)-1].Why, "not in the vault") {
			t.Errorf("%+v", s)
		}
	})
}

// Without a register that can be read nothing is given up.
func TestLockRegisterDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		defer r.close()
		r.seconds(20)
		r.lock(5, 15)
		r.sleep(time.Minute)
		r.wrap(2)
		d, err := r.disk.Sub(vault.DirName, false)
		r.must(err)
		whole, err := d.ReadFile(vault.RegisterName)
		r.must(err)
		for _, broken := range [][]byte{whole[:len(whole)/2], []byte("{}"), []byte(`{"format":99,"locks":[]}`), nil} {
			r.must(r.close())
			r.disk.Vanish("vault/" + vault.RegisterName)
			if broken != nil {
				r.must(d.Replace(vault.RegisterName, broken))
			}
			r.must(r.open())
			r.sleep(time.Minute)
			r.readable(r.streams[0], 5, 15)
			if _, err := r.v.AddLock(t.Context(), LockRequest{Camera: "cam1", Span: r.span(r.n-3, r.n-1), Reason: "x"}); err == nil || !strings.Contains(err.Error(), "register") {
				t.Errorf("with %.20q: %v", broken, err)
			}
			if s := r.v.Status().Vault; s.Trouble == "" {
				t.Errorf("with %.20q: %+v", broken, s)
			}
		}
		r.must(r.close())
		r.must(d.Replace(vault.RegisterName, whole))
		r.must(r.open())
		if list := r.v.Locks(); len(list) != 1 || list[0].State != LockKept {
			t.Errorf("%+v", list)
		}
	})
}

// Files of a vault are pool files: they are read with nothing else, beside those
// of the ring or without them.
func TestLooseKeptFiles(t *testing.T) {
	o := testOptions(t.TempDir())
	o.VaultBytes = testVault
	r := record(t, o)
	s := camera(1)
	offer := func(n int) {
		if !r.Offer(gop(s, 1, n, 300_000)) {
			t.Fatal("refused")
		}
	}
	for n := range 30 {
		offer(n)
	}
	r.committed(t)
	span := media.Span{From: epoch + 1005*second, To: epoch + 1025*second}
	l, err := r.AddLock(t.Context(), LockRequest{Camera: "cam1", Span: span, Reason: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if s, err := lockByID(r.Locks(), l.ID); err != nil || s.State == LockKept {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
	}
	kept, _ := filepath.Glob(filepath.Join(o.Dir, "vault", "*.bin"))
	pools, _ := filepath.Glob(filepath.Join(o.Dir, "pool_*.bin"))
	if len(kept) == 0 {
		t.Fatal("no files")
	}
	count := func(files []string) (n int) {
		loose, err := OpenLoose(files, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer loose.Close()
		for e, err := range loose.Entries(context.Background(), s.ID(), span) {
			if err != nil {
				t.Fatal(err)
			}
			if b, err := loose.Payload(context.Background(), e.Ref, nil); err != nil || string(b) != string(payloadOf(s, 1, int(e.Start/90000), 300_000)) {
				t.Errorf("%+v: %v", e.Ref, err)
			}
			n++
		}
		report, err := loose.Verify(context.Background(), VerifyOptions{})
		if err != nil || !report.OK() {
			t.Errorf("verify: %+v %v", report, err)
		}
		return n
	}
	if n := count(append(kept, pools...)); n != 20 {
		t.Errorf("with the ring's files: %d records", n)
	}
	for n := 30; n < 150; n++ {
		offer(n)
	}
	r.committed(t)
	if n := count(kept); n != 20 {
		t.Errorf("alone: %d records", n)
	}
	if n := count(append(kept, pools...)); n != 20 {
		t.Errorf("with the ring's files after they were reused: %d records", n)
	}
	for _, file := range kept {
		if err := Dump(io.Discard, file); err != nil {
			t.Errorf("dump %s: %v", file, err)
		}
	}
	// What is kept stays where it is when a pool of the ring is replaced by it.
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(kept[0])
	os.WriteFile(filepath.Join(o.Dir, "pool_001.bin"), b, 0o600)
	ro, err := OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	if len(ro.Faults()) != 1 {
		t.Errorf("faults: %v", ro.Faults())
	}
}

// While the disk is away nothing can be locked, and nothing is made where it was
// mounted; what was locked before is still kept when it is back.
func TestLockInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &vaultRig{rig: newRig(t, 3, 8), streams: streams(1), size: 300_000}
		d := faultdisk.New(r.disk)
		r.o.Disk, r.o.VaultBytes = d, testVault
		r.must(r.open())
		defer r.close()
		r.began = time.Now().UnixNano()
		r.seconds(10)
		early := r.lock(2, 5)
		d.Vanish(syscall.EIO)
		r.seconds(5)
		if _, err := r.v.AddLock(t.Context(), LockRequest{Camera: "cam1", Span: r.span(5, 8), Reason: "test"}); err == nil {
			t.Error("a lock was placed on a disk that is away")
		}
		r.sleep(time.Minute)
		if made := d.Made(); len(made) > 0 {
			t.Errorf("made in the empty mount point: %v", made)
		}
		if d.Busy() != 0 {
			t.Errorf("%d files are open", d.Busy())
		}
		d.Mount(r.disk)
		r.seconds(10)
		late := r.lock(5, 8)
		r.wrap(2)
		r.readable(r.streams[0], 2, 8)
		for _, id := range []string{early, late} {
			if s := r.status(id); s.State != LockKept || len(s.Lost) > 0 {
				t.Errorf("%+v", s)
			}
		}
	})
}
