package store

import (
	"slices"
	"testing"
	"time"

	"nvr/internal/media"
)

func sub(n int) *media.Stream {
	s := *camera(n)
	s.Name = "sub"
	return &s
}

// A camera that is away for longer than the ring is deep: that it is, and since
// when, is still known; and once it is over, nobody says so again.
func TestOpenGapOutlivesTheRing(t *testing.T) {
	o := testOptions(t.TempDir())
	r := record(t, o)
	away, fine := camera(1), camera(2)
	const size = 700_000
	r.Offer(gop(away, 1, 0, 100))
	begin := epoch + 1001*second
	r.OfferGap(media.Gap{Stream: away, Span: media.Span{From: begin}, Reason: media.ReasonUnreachable, Detail: "no route"})
	n := 0
	pass := func(records int) {
		t.Helper()
		for range records {
			r.Offer(gop(fine, 1, n, size))
			n++
			r.committed(t)
		}
	}
	open := func() (open, closed int) {
		t.Helper()
		for _, g := range r.view(0).snapshot.KnownGaps(away.ID()) {
			if g.Span.From != begin || g.Reason != media.ReasonUnreachable || g.Detail != "no route" {
				t.Errorf("%+v", g)
			}
			if g.Span.To == 0 {
				open++
			} else {
				closed++
			}
		}
		return open, closed
	}
	pass(60)
	if r.Status().Generation < 6 {
		t.Fatal("the ring did not come round twice")
	}
	if n, _ := open(); n == 0 {
		t.Error("nobody knows any more that the camera is away")
	}
	// A start goes on with that.
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = record(t, o)
	pass(40)
	if n, _ := open(); n == 0 {
		t.Error("after a start nobody knows any more that the camera is away")
	}
	r.OfferGap(media.Gap{Stream: away, Span: media.Span{From: begin, To: begin + second}, Reason: media.ReasonUnreachable, Detail: "no route"})
	pass(60)
	if n, m := open(); n+m > 0 {
		t.Errorf("it is over, and still told of: %d open, %d closed", n, m)
	}
}

// What the last recorder could not write down, the next one does.
func TestTheTimeBeforeAStart(t *testing.T) {
	o := rackOptions(t.TempDir(), 1)
	killed, away, removed, disabled := camera(1), camera(2), camera(3), camera(4)
	end := epoch + 1010*second
	func() {
		r := rackUp(t, o)
		for n := range 10 {
			for _, s := range []*media.Stream{killed, removed} {
				r.Offer(gop(s, 1, n, 100))
			}
			if n < 4 {
				r.Offer(gop(away, 1, n, 100))
			}
		}
		r.OfferGap(media.Gap{Stream: away, Span: media.Span{From: end - 6*second}, Reason: media.ReasonUnreachable})
		r.OfferGap(media.Gap{Stream: disabled, Span: media.Span{From: end - 6*second}, Reason: media.ReasonDisabled})
		if err := r.stop(); err != nil { // as if it had been killed: no camera says that it stops
			t.Fatal(err)
		}
	}()
	since := end + 100*second
	o.Since, o.Streams = since, []*media.Stream{killed, away, disabled}
	r := rackUp(t, o)
	account := func(s *media.Stream) (a Account) {
		t.Helper()
		all, err := r.Ledger(t.Context(), LedgerQuery{Query: Query{Camera: s.Camera.ID}, Now: since + 50*second, Recording: true})
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v %v", all, err)
		}
		return all[0]
	}
	eventually(t, "the account of what was before", func() bool {
		return len(r.view0().KnownGaps(removed.ID())) == 2
	})
	for _, s := range []*media.Stream{killed, away} {
		r.Offer(gop(s, media.RunID(time.Duration(since).Microseconds()), 0, 100))
	}
	eventually(t, "the records", func() bool { return r.Status().Streams[0].Samples == 110 && r.Status().Streams[1].Samples == 50 })
	for s, want := range map[*media.Stream][]media.Gap{
		killed: {{Reason: media.ReasonStopped, Detail: "the recorder ended without a word", Span: media.Span{From: end, To: since}}},
		away: {{Reason: media.ReasonUnreachable, Span: media.Span{From: end - 6*second, To: end}},
			{Reason: media.ReasonStopped, Detail: "the recorder ended without a word", Span: media.Span{From: end, To: since}}},
		removed:  {{Reason: media.ReasonStopped, Detail: "the recorder ended without a word", Span: media.Span{From: end, To: since}}},
		disabled: {{Reason: media.ReasonDisabled, Span: media.Span{From: end - 6*second, To: since + 50*second}}},
	} {
		known := slices.DeleteFunc(account(s).Gaps, func(g media.Gap) bool { return g.Span.From > since }) // the runs' footage is dated as it pleases
		if n := len(known); n > 0 && s != disabled {
			known[n-1].Span.To = min(known[n-1].Span.To, since)
		}
		for i := range want {
			want[i].Stream = s
		}
		if !slices.EqualFunc(known, want, func(a, b media.Gap) bool {
			return a.Span == b.Span && a.Reason == b.Reason && a.Detail == b.Detail && *a.Stream == *b.Stream
		}) {
			t.Errorf("%s: %+v\nwant %+v", s.Camera.ID, known, want)
		}
	}
	if a := account(removed); a.Expected != 110*time.Second {
		t.Errorf("a camera that nobody wants any more is expected for %v", a.Expected)
	}
}

func (r *rack) view0() interface {
	KnownGaps(media.StreamID) []media.Gap
} {
	return r.views()[0].snapshot
}

// The streams of a camera go to one volume, also when theirs is down and there are
// several others.
func TestStreamsOfACameraStayTogether(t *testing.T) {
	o := rackOptions(t.TempDir(), 3)
	o.Cameras = map[media.UUID]CameraRule{camera(1).Camera.UUID: {Volume: "a"}, camera(2).Camera.UUID: {Volume: "b"}}
	r := rackUp(t, o)
	n := 0
	offer := func() {
		r.Offer(gop(camera(1), 1, n, 1000))
		r.Offer(gop(sub(1), 2, n, 100))
		r.Offer(gop(camera(2), 1, n, 1000))
		n++
		time.Sleep(5 * time.Millisecond)
	}
	for range 5 {
		offer()
	}
	r.disks[0].Fail(gone)
	offer()
	eventually(t, "the volume is down", func() bool { return r.Status().Volumes[0].Down })
	for range 5 {
		offer()
	}
	at := map[string]bool{}
	for _, p := range r.Status().Cameras {
		if p.Camera == "cam1" {
			at[p.Volume] = true
		}
	}
	if len(at) != 1 || at["a"] {
		t.Errorf("the streams of a camera are on %v", at)
	}
	r.disks[0].Fail(nil)
	eventually(t, "the volume is well", func() bool { return !r.Status().Volumes[0].Down })
}
