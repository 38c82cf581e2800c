package timeline

import "time"

// What sender reports (RFC 3550 §6.4.1) must be like to be of use. Many cameras
// send none, or wrong ones.
const (
	reportsWanted = 2
	reportError   = 50e-6                // of the camera's clock beside the track's
	reportGrain   = 5 * time.Millisecond // of the stamps that cameras write
)

// reports is what a track's sender reports say.
type reports struct {
	good   int           // in a row that agree with each other and with the arrivals
	camera int64         // the camera's clock at the last one, ns of the Unix epoch
	at     time.Duration // and its arrival
	origin int64         // the camera's clock at position 0
}

// Report takes what a sender report says: when the camera's clock was camera (ns of
// the Unix epoch), the track's RTP time was rtp. It is believed for one thing only:
// how far sound and picture are apart, where both tracks' reports agree.
func (l *Line) Report(track int, camera int64, rtp uint32, at Instant) {
	t := &l.tracks[track]
	if !t.begun || t.byArrival {
		return
	}
	r := &t.reports
	before := *r
	pos := t.pos.Duration(t.rate) + ticks(int32(rtp-t.rtp), t.rate)
	r.camera, r.at, r.origin = camera, at.Mono, camera-int64(pos)
	passed := time.Duration(r.camera - before.camera)
	late := passed - (r.at - before.at)
	off := time.Duration(r.origin - before.origin)
	if before.good == 0 || passed <= 0 || late.Abs() > maxJump || off.Abs() > reportGrain+time.Duration(float64(passed)*reportError) {
		r.good = 1
		return
	}
	r.good = min(before.good+1, reportsWanted)
}

// reported is how long after a's position 0 that of b was, by the camera's clock.
func reported(a, b *track) (time.Duration, bool) {
	if a.reports.good < reportsWanted || b.reports.good < reportsWanted {
		return 0, false
	}
	return time.Duration(b.reports.origin - a.reports.origin), true
}

func ticks(n int32, rate uint32) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(rate)
}
