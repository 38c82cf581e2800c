package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/vault"
)

// A lock's footage lies on two volumes: each keeps its part. One that does not
// know of the lock, or of its end, learns of it. max_days does not hide it.
func TestLockOnSeveralVolumes(t *testing.T) {
	o := rackOptions(t.TempDir(), 2)
	for i := range o.Volumes {
		o.Volumes[i].VaultBytes = testVault
	}
	s := camera(1)
	o.Cameras = map[media.UUID]CameraRule{s.Camera.UUID: {Volume: "a"}}
	r := rackUp(t, o)
	write := func(m *member, n int) {
		v := m.volume.Load()
		if !v.Offer(gop(s, 1, n, 300_000)) {
			t.Fatal("refused")
		}
	}
	for n := range 20 { // the second half on the other
		write(r.members[n/10], n)
	}
	eventually(t, "committed", func() bool {
		n := 0
		for _, err := range r.Entries(context.Background(), s.ID(), media.Always) {
			if err == nil {
				n++
			}
		}
		return n == 20
	})
	span := media.Span{From: epoch + 1005*second, To: epoch + 1015*second}
	l, err := r.AddLock(context.Background(), LockRequest{Camera: "cam1", Span: span, Reason: "x"})
	if err != nil {
		t.Fatal(err)
	}
	status := func() LockStatus {
		for _, is := range r.Locks() {
			if is.ID == l.ID {
				return is
			}
		}
		return LockStatus{}
	}
	eventually(t, "kept", func() bool { return status().State == LockKept })
	if s := status(); s.Bytes != 10*300_000 || s.Kept != s.Bytes || !slices.Equal(s.Volumes, []string{"a", "b"}) || len(r.Locks()) != 1 {
		t.Errorf("%+v", s)
	}
	for i, m := range r.members { // both rings come round
		for n := range 200 + 100*i {
			write(m, 1000+1000*i+n)
			time.Sleep(2 * time.Millisecond)
		}
	}
	// Each has half of it, and b's register is lost with its disk's memory of it.
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	o.Cameras[s.Camera.UUID] = CameraRule{Volume: "a", MaxAge: time.Hour} // all of it is older
	r = rackUp(t, o)
	kept := func(want ...int) {
		t.Helper()
		var got []int
		for e, err := range r.Entries(context.Background(), s.ID(), media.Always) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Payload(context.Background(), e.Ref, nil); err != nil {
				t.Error(err)
			}
			got = append(got, int(e.Start/90000))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	eventually(t, "indexed", func() bool {
		return !slices.ContainsFunc(r.members, func(m *member) bool {
			v := m.volume.Load()
			return !v.indexed.Load() || !v.keeper.loaded.Load()
		})
	})
	kept(5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
	list, err := r.List(context.Background(), Query{})
	if err != nil || len(list.Segments) == 0 || list.Segments[0].Span.From != span.From || list.Segments[len(list.Segments)-1].Span.To != span.To || len(list.Gaps) > 0 {
		t.Errorf("%+v %v", list, err)
	}

	// One learns of a lock that the other has, and of its end.
	a, b := r.members[0].volume.Load(), r.members[1].volume.Load()
	old := vault.Lock{ID: "older2", Camera: "cam1", From: vault.Instant(span.From), To: vault.Instant(span.To), Start: vault.Instant(span.From), Reason: "y", Made: 1}
	if err := a.registerLock(old); err != nil {
		t.Fatal(err)
	}
	eventually(t, "told", func() bool { return b.kept().register.Find("older2") != nil })
	if err := a.removeLock("older2"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "told of its end", func() bool { return b.kept().register.Find("older2") == nil })
	if err := r.RemoveLock(context.Background(), l.ID); err != nil {
		t.Fatal(err)
	}
	kept()
	for _, v := range o.Volumes {
		if files, _ := filepath.Glob(filepath.Join(v.Dir, vault.DirName, "*.bin")); len(files) > 0 {
			t.Errorf("left: %q", files)
		}
		if _, err := os.Stat(filepath.Join(v.Dir, vault.DirName, vault.RegisterName)); err != nil {
			t.Error(err)
		}
	}
}
