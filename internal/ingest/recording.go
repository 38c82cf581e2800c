package ingest

import (
	"fmt"
	"sync/atomic"
	"time"

	"nvr/internal/ingest/rtp"
	"nvr/internal/ingest/rtsp"
	"nvr/internal/ingest/timeline"
	"nvr/internal/media"
)

// lastRun is the last RunID given in this process; no two may be equal, be it
// that two cameras begin in the same microsecond or that the clock goes back.
var lastRun atomic.Uint64

func nextRun(now time.Time) media.RunID {
	for {
		last := lastRun.Load()
		id := max(uint64(max(0, now.UnixMicro())), last+1)
		if lastRun.CompareAndSwap(last, id) {
			return media.RunID(id)
		}
	}
}

// recording is what one session gives: runs, one after the other. It is an
// rtsp.Handler.
type recording struct {
	c         *Camera
	line      *timeline.Line
	kinds     []timeline.Track
	tracks    []*builder
	receivers []*rtp.Receiver
	session   *rtsp.Session // nil in tests without a network

	run     media.RunID
	cutAt   time.Time // when records are cut next
	started time.Time // PLAY was answered
	heard   time.Time // the leading track's last sample arrived
	first   time.Time // the same track's first
	checked time.Time
	clock   time.Duration // the camera's, ahead of ours
}

func newRecording(c *Camera) *recording { return &recording{c: c} }

// add makes room for the next track that was SETUP.
func (r *recording) add(p choice) {
	b := &builder{rec: r, index: len(r.tracks), kind: p.kind, rate: p.clockRate, name: p.name, number: media.VideoTrack}
	if p.kind == media.Audio {
		b.number = media.AudioTrack
	}
	r.tracks = append(r.tracks, b)
	r.kinds = append(r.kinds, timeline.Track{Kind: p.kind, ClockRate: p.clockRate})
	r.receivers = append(r.receivers, rtp.NewReceiver(p.depacketizer(b), p.types...))
}

func (r *recording) hasVideo() bool {
	for _, b := range r.tracks {
		if b.kind == media.Video {
			return true
		}
	}
	return false
}

// begin begins the first run.
func (r *recording) begin(now time.Time) {
	r.line = timeline.New(r.kinds...)
	r.started, r.heard, r.checked = now, now, now
	video := r.hasVideo()
	for _, b := range r.tracks {
		b.leads = b.kind == media.Video || !video
		b.buf = media.NewBuffer(b.capacity())
	}
	r.cutAt = r.nextCut(now)
	r.line.Begin(r.instant(now))
	r.newRun(now)
}

// newRun begins a run: video from its next sync sample, audio at once.
func (r *recording) newRun(now time.Time) {
	wall := r.c.o.Clock(now)
	r.run = nextRun(time.Unix(0, wall))
	if wall < r.c.o.NotBefore {
		r.c.gaps.mark(media.ReasonClock, clockUnsure, wall)
	}
	for _, b := range r.tracks {
		b.newRun()
	}
}

// instant is a moment on both clocks. Go's Time has both: the monotonic one
// against Epoch, and the wall clock's reading.
func (r *recording) instant(t time.Time) timeline.Instant {
	return timeline.Instant{Mono: t.Sub(r.c.o.Epoch), Wall: r.c.o.Clock(t)}
}

// nextCut is the next moment of Epoch + n×RecordEvery.
func (r *recording) nextCut(now time.Time) time.Time {
	every := r.c.o.RecordEvery
	since := now.Sub(r.c.o.Epoch)
	n := since / every
	if since >= 0 {
		n++
	}
	return r.c.o.Epoch.Add(n * every)
}

// Packet takes an RTP packet.
func (r *recording) Packet(track int, pkt []byte, arrival time.Time) {
	if track < 0 || track >= len(r.receivers) {
		return
	}
	if !arrival.Before(r.cutAt) {
		r.cut(arrival)
	}
	r.receivers[track].Packet(pkt, arrival)
}

// unit takes what came by another way than RTP.
func (r *recording) unit(track int, p rtp.Packet) {
	if !p.Arrival.Before(r.cutAt) {
		r.cut(p.Arrival)
	}
	r.receivers[track].Unit(p)
}

// SenderReport compares the camera's clock with ours. It dates no footage:
// cameras' clocks stand in 1970, or in their own time zone. How far sound and
// picture are apart it may say.
func (r *recording) SenderReport(track int, ntp time.Time, stamp uint32, arrival time.Time) {
	at := r.instant(arrival)
	r.clock = time.Duration(ntp.UnixNano() - at.Wall)
	r.line.Report(track, ntp.UnixNano(), stamp, at)
}

// Tick is called several times a second.
func (r *recording) Tick(now time.Time) error {
	if !now.Before(r.cutAt) {
		r.cut(now)
	}
	if now.Sub(r.heard) > mediaTimeout {
		return errNoMedia
	}
	if now.Sub(r.checked) >= time.Second {
		r.checked = now
		r.line.Check(r.instant(now))
		r.c.gaps.retry(r.c.o.Clock(now))
		r.observe(now)
	}
	return nil
}

// cut ends and offers all records in work.
func (r *recording) cut(now time.Time) {
	r.cutAt = r.nextCut(now)
	for i, b := range r.tracks {
		r.receivers[i].Flush()
		b.cut(cutForced, 0)
	}
}

// close ends the run: all that is complete is offered.
func (r *recording) close() {
	for i, b := range r.tracks {
		r.receivers[i].Close()
		b.cut(cutForced, 0)
		b.endLoss()
		b.buf.Release()
		b.buf = nil
	}
	r.c.gaps.tellLosses()
	r.observe(time.Now())
}

// lasted is for how long media came.
func (r *recording) lasted() time.Duration {
	if r.first.IsZero() {
		return 0
	}
	return r.heard.Sub(r.first)
}

// rotate ends the run before the sync sample in work of the leading track, and
// begins the next with it.
func (r *recording) rotate(cause timeline.Cause, arrival time.Time) {
	var lost *builder
	for _, b := range r.tracks {
		b.cut(cutForced, 0)
		if b.endLoss() {
			lost = b
		}
	}
	switch cause {
	case timeline.Hole:
		if lost != nil {
			r.c.gaps.noteLoss(lost.lostPackets(), lost.loss.step.Duration(lost.rate))
		}
	case timeline.Step: // back or forth: the new time is the right one
		detail := setClock(r.line.Stepped())
		r.c.gaps.note(media.ReasonClock, detail, r.c.gaps.end)
		r.c.log.Warn("a new run begins: " + detail)
	case timeline.Drift:
		r.c.log.Debug("the camera's clock and ours differ too much: a new run begins")
	}
	r.line.Next(r.instant(arrival))
	r.newRun(arrival)
}

// clockUnsure is said of runs that begin at a time that cannot be. When the clock is
// set, setClock tells by how much they are off.
const clockUnsure = "the recorder's clock was not set: this run is dated wrong"

// setClock says what was done to the recorder's clock: footage before that is as
// much off, if it was off then.
func setClock(by time.Duration) string {
	way := "forward"
	if by < 0 {
		way = "back"
	}
	return fmt.Sprintf("the recorder's clock was set %s by %v", way, by.Abs().Round(time.Second/10))
}

// observe brings the status up to date.
func (r *recording) observe(now time.Time) {
	var lost, damaged uint64
	tracks, notes := make([]string, len(r.tracks)), []string(nil)
	for i, b := range r.tracks {
		s := r.receivers[i].Stats()
		lost += s.Lost
		damaged += s.DroppedUnits
		tracks[i] = b.name
		if b.params != nil {
			tracks[i] = b.params.String()
		}
		if r.line.ByArrival(i) {
			notes = append(notes, tracks[i]+": time stamps make no sense, placed by arrival")
		}
		if s.Refused > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d packets of a kind that is not supported", tracks[i], s.Refused))
			if r.c.status.firstRefusal() {
				r.c.log.Warn("packets of a kind that is not supported are left out (MTAP, say): what they have is missing", "track", tracks[i])
			}
		}
	}
	notes = append(notes, transportNotes(r.session)...)
	if note := cameraClock(r.clock); note != "" {
		notes = append(notes, note)
	}
	r.c.status.observe(now, lost, damaged, r.clock, tracks, notes)
}

// maxClockOff is how far a camera's clock may be from ours without a word: the
// picture shows it, and it makes footage hard to find.
const maxClockOff = 2 * time.Second

// cameraClock is what there is to say of a camera's clock.
func cameraClock(ahead time.Duration) string {
	if ahead.Abs() <= maxClockOff {
		return ""
	}
	way, off := "ahead", ahead.Abs().Round(time.Second).String()
	if ahead < 0 {
		way = "behind"
	}
	if ahead.Abs() > 48*time.Hour {
		off = fmt.Sprintf("%d days", ahead.Abs()/(24*time.Hour))
	}
	return fmt.Sprintf("the camera's clock is %s %s", off, way)
}
