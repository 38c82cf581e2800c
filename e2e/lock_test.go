package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"nvr/internal/simulate"
)

type lockListing struct {
	ID, State, Camera, Reason string
	Bytes                     int64
	Kept                      int64 `json:"kept_bytes"`
	Lost                      []struct{ From, To, Reason string }
}

func (s *site) locks(t *testing.T) (list []lockListing) {
	t.Helper()
	out, code := s.run(t, "lock", "list", "--json")
	if code != 0 {
		t.Fatalf("nvr lock list: exit %d", code)
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("nvr lock list: %v in %s", err, out)
	}
	return list
}

// What is locked while it is recorded is there when the ring has been written over
// several times: every sample of it, judged by ffprobe and by the marks in the
// pictures. Removed, it is gone.
func TestLock(t *testing.T) {
	need(t, "ffprobe", "ffmpeg")
	server := cameras(t, simulate.Options{Cameras: 2, Bitrate: 4_000_000, Audio: simulate.AudioAAC})
	s := newSite(t, 3, 8, urls(server)...)
	r := s.record(t)
	waitFor(t, 60*time.Second, "ten seconds of footage", func() bool { return s.samples(t, "cam1") > 10*15 })

	begin := s.list(t, "cam1").Segments[0].Start
	from, to := stamp(begin, 2), stamp(begin, 8)
	before := filepath.Join(s.dir, "before.mp4")
	s.export(t, "--from", from, "--to", to, "-o", before)
	if out, code := s.run(t, "lock", "add", "--camera", "cam1", "--from", from, "--to", to, "--reason", "what the test wants"); code != 0 {
		t.Fatalf("nvr lock add: exit %d: %s", code, out)
	}
	first := readGenerations(t, s)
	waitFor(t, 120*time.Second, "third pass of the ring", func() bool { return readGenerations(t, s) > first+3*3 })
	list := s.locks(t)
	if len(list) != 1 || list[0].State != "kept" || list[0].Bytes == 0 || list[0].Kept != list[0].Bytes || len(list[0].Lost) > 0 {
		t.Fatalf("%+v", list)
	}
	l := s.list(t, "cam1")
	if at := l.Segments[0].Start; at.After(begin.Add(2 * time.Second)) {
		t.Errorf("the footage begins at %v", at)
	}
	if len(l.Gaps) != 1 || l.Gaps[0].Reason != "overwritten" {
		t.Errorf("gaps %+v", l.Gaps)
	}
	for _, when := range []string{"while recording", "afterwards"} {
		if when == "afterwards" {
			r.stop(t)
		}
		after := filepath.Join(s.dir, when+".mp4")
		s.export(t, "--from", from, "--to", to, "-o", after)
		judge(t, after)
		was, is := numbersIn(t, before), numbersIn(t, after)
		if len(is) != len(was) || is[0].number != was[0].number || is[len(is)-1].number != was[len(was)-1].number {
			t.Errorf("%s: %d samples, %d to %d; there were %d, %d to %d", when, len(is), is[0].number, is[len(is)-1].number, len(was), was[0].number, was[len(was)-1].number)
		}
		if out, code := s.run(t, "verify"); code != 0 {
			t.Errorf("%s: nvr verify: exit %d: %s", when, code, out)
		}
	}
	files := func() []string {
		list, _ := filepath.Glob(filepath.Join(s.ring(), "vault", "*.bin"))
		return list
	}
	loose := filepath.Join(s.dir, "loose.mp4")
	if out, code := s.run(t, append([]string{"export", "--camera", "cam1", "-o", loose, "--pool"}, files()...)...); code != 0 {
		t.Errorf("nvr export --pool: exit %d: %s", code, out)
	} else {
		judge(t, loose)
	}
	if out, code := s.run(t, "lock", "remove", list[0].ID); code != 0 {
		t.Errorf("nvr lock remove: exit %d: %s", code, out)
	}
	if left := files(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if _, code := s.run(t, "export", "--camera", "cam1", "--from", from, "--to", to, "-o", filepath.Join(s.dir, "gone.mp4")); code != 3 {
		t.Errorf("exported after it was removed: exit %d", code)
	}
}
