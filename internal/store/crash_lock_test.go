package store

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/memdisk"
)

// The power goes before each step of a lock's way: its register, its copies, a copy
// that takes another one's place, and its end. Of what is left, a lock that was
// acknowledged is there with its footage, and one that was not, or was ended, is
// there whole or not at all.
func TestCrashWhileLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		r.seconds(40)
		rng := rand.New(rand.NewPCG(1, 5))
		type state struct {
			at     string
			model  memdisk.Model
			disk   *memdisk.Dir
			must   []string // locks that must be there
			may    string   // one that may
			copied bool     // all of them said that they are kept
		}
		var mu sync.Mutex // the hook is called by the volume's goroutines
		var states []state
		var must []string
		may, copied := "", false
		now := func(change func()) {
			mu.Lock()
			defer mu.Unlock()
			change()
		}
		r.disk.Hook(func(op memdisk.Op) error {
			if !op.Changes() {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			for model := range memdisk.Models {
				n := 1
				if model >= memdisk.Prefix && op.Kind == memdisk.Sync && strings.HasPrefix(op.Name, "vault/kept") {
					n = 4 // where most can be lost
				}
				for range n {
					states = append(states, state{op.String(), model, r.disk.Crash(rng, model), must, may, copied})
				}
			}
			return nil
		})
		lock := func(from, to int) string {
			now(func() { may, copied = "new", false })
			id := r.lock(from, to)
			now(func() { must, may = append(must[:len(must):len(must)], id), "" })
			r.sleep(20 * time.Second)
			if s := r.status(id); s.State != LockKept {
				t.Fatalf("%+v", s)
			}
			now(func() { copied = true })
			return id
		}
		first := lock(5, 12)
		lock(8, 20)
		now(func() { must, may = must[1:], first })
		r.must(r.v.RemoveLock(t.Context(), first))
		now(func() { may = "" })
		r.sleep(20 * time.Second)
		r.disk.Hook(nil)
		r.must(r.close())
		if len(states) < 200 {
			t.Fatalf("%d states: the test proves too little", len(states))
		}
		spans := map[string][2]int{first: {5, 12}}
		for _, s := range states {
			for _, id := range s.must {
				if id != first {
					spans[id] = [2]int{8, 20}
				}
			}
		}
		for i, s := range states {
			states[i].disk = nil // what is written to it would stay in memory
			if i%(300/defaultCrashStates) != 0 {
				continue
			}
			r.on(s.disk)
			if err := r.open(); err != nil {
				t.Fatalf("cut before %s, %v: %v", s.at, s.model, err)
			}
			if s.copied { // also when the ring is gone at once
				for _, id := range s.must {
					if l := r.status(id); l.State != LockKept {
						t.Errorf("cut before %s, %v: %+v", s.at, s.model, l)
					}
				}
			}
			r.n = 40
			r.sleep(20 * time.Second)
			r.wrap(1)
			there := map[string]bool{}
			for _, l := range r.v.Locks() {
				there[l.ID] = true
				span, known := spans[l.ID]
				if l.State != LockKept || known && l.Bytes < int64(span[1]-span[0])*int64(r.size) {
					t.Errorf("cut before %s, %v: %+v", s.at, s.model, l)
				}
				if known {
					r.readable(r.streams[0], span[0], span[1])
				}
			}
			for _, id := range s.must {
				if !there[id] {
					t.Errorf("cut before %s, %v: lock %s is gone", s.at, s.model, id)
				}
				delete(there, id)
			}
			for id := range there {
				if s.may == "" || s.may != "new" && s.may != id {
					t.Errorf("cut before %s, %v: lock %s is back", s.at, s.model, id)
				}
			}
			if len(r.v.Locks()) == 0 && len(r.files()) > 0 {
				t.Errorf("cut before %s, %v: left: %q", s.at, s.model, r.files())
			}
			if files := r.files(); len(files) != len(r.v.kept().files) {
				t.Errorf("cut before %s, %v: %d files for %d: %q", s.at, s.model, len(files), len(r.v.kept().files), files)
			}
			r.must(r.close())
			if t.Failed() {
				t.FailNow()
			}
		}
		t.Logf("%d states", len(states))
	})
}

// A file whose superblocks do not say that it is whole does not count, however
// whole it looks: some of it may not have reached the disk.
func TestKeptFileThatIsNotSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVaultRig(t, 1)
		r.seconds(40)
		var left *memdisk.Dir
		r.disk.Hook(func(op memdisk.Op) error {
			if left == nil && op.Kind == memdisk.Sync && strings.HasPrefix(op.Name, "vault/kept") && len(r.files()) > 0 {
				if d, sealed := r.disk.Crash(rand.New(rand.NewPCG(1, 6)), memdisk.Kept), r.footer(r.files()[0]); sealed {
					d.Rot("vault/"+r.files()[0], mib+200_000, []byte{1, 2, 3})
					left = d
				}
			}
			return nil
		})
		r.lock(5, 12)
		r.sleep(20 * time.Second)
		r.must(r.close())
		if left == nil {
			t.Fatal("no footer was written before a sync")
		}
		r.on(left)
		r.must(r.open())
		r.sleep(20 * time.Second)
		r.n = 40
		r.wrap(2)
		r.readable(r.streams[0], 5, 12)
		r.must(r.close())
	})
}

// footer reports whether a kept file has one.
func (r *vaultRig) footer(name string) bool {
	f, err := r.disk.Open("vault/"+name, false)
	if err != nil {
		return false
	}
	size, _ := f.Size()
	b := make([]byte, 4096)
	_, err = f.ReadAt(b, size-4096)
	return err == nil && b[0] != 0
}
