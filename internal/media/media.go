// Package media has the words that flow through the recorder: what a camera's
// packets become on their way to the disk and back. Values only: no I/O, no
// goroutines, no package of ours below it.
package media

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Ticks is media time in units of a track's clock rate. It is never added to
// a time.Duration; convert with Duration and FromDuration.
type Ticks int64

// Duration converts t at rate ticks per second, exact to the nanosecond for
// any t (it does not overflow where t × 10⁹ would).
func (t Ticks) Duration(rate uint32) time.Duration {
	r := Ticks(rate)
	return time.Duration(t/r)*time.Second + time.Duration(t%r)*time.Second/time.Duration(rate)
}

// FromDuration is the inverse of Ticks.Duration, rounded to the nearest tick.
func FromDuration(d time.Duration, rate uint32) Ticks {
	s, rest := d/time.Second, d%time.Second
	half := time.Second / 2
	if d < 0 {
		half = -half
	}
	return Ticks(s)*Ticks(rate) + Ticks((rest*time.Duration(rate)+half)/time.Second)
}

// Camera names a camera on disk. The UUID is its identity; ID is the word the
// user chose in the configuration; Name is for people.
type Camera struct {
	UUID UUID
	ID   string
	Name string
}

// Stream is what one RTSP session of a camera gives: "main" or "sub".
// Treat it as immutable: records hold a pointer to it.
type Stream struct {
	Camera Camera
	Name   string
}

// StreamID identifies a stream in pool files: the first 8 bytes of
// SHA-256(camera UUID ‖ stream name). It needs no registry, so a pool file
// means the same on any machine.
type StreamID uint64

// ID computes the stream's identity.
func (s *Stream) ID() StreamID {
	h := sha256.New()
	h.Write(s.Camera.UUID[:])
	h.Write([]byte(s.Name))
	return StreamID(binary.LittleEndian.Uint64(h.Sum(nil)))
}

// RunID names a run: a camera's unbroken media timeline. It is the UTC time at
// which the run began in microseconds, made strictly increasing in a process.
// It names, it does not date: order on disk comes from the group sequence.
type RunID uint64

// UUID is an RFC 9562 UUID.
type UUID [16]byte

// String is the canonical 8-4-4-4-12 form.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// MarshalText makes a UUID a string in JSON.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the canonical form.
func (u *UUID) UnmarshalText(b []byte) error {
	if len(b) != 36 || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return errors.New("not a UUID")
	}
	var h [32]byte
	n := 0
	for i, c := range b {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			continue
		}
		h[n] = c
		n++
	}
	if _, err := hex.Decode(u[:], h[:]); err != nil {
		return fmt.Errorf("not a UUID: %w", err)
	}
	return nil
}

// CameraUUID derives the identity of a camera that the configuration file
// names: a UUID version 8 (RFC 9562 §5.8) over its id, so that the same file
// on another machine means the same cameras.
func CameraUUID(id string) UUID {
	sum := sha256.Sum256([]byte("nvr camera\x00" + id))
	var u UUID
	copy(u[:], sum[:])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// Span is half-open wall time [From, To) in nanoseconds of the Unix epoch, UTC.
type Span struct{ From, To int64 }

// Always is the span that contains everything.
var Always = Span{From: -1 << 62, To: 1 << 62}

// Empty reports whether no instant lies in s.
func (s Span) Empty() bool { return s.From >= s.To }

// Overlaps reports whether s and o share an instant.
func (s Span) Overlaps(o Span) bool { return s.From < o.To && o.From < s.To }

// Duration is the length of the span.
func (s Span) Duration() time.Duration { return time.Duration(s.To - s.From) }

// Reason says why a span has no samples.
type Reason string

// The reasons a gap can have. They are written to disk: never rename one.
const (
	ReasonUnreachable Reason = "camera_unreachable" // no connection, or it broke
	ReasonAuth        Reason = "auth_failed"        // the camera refused the password
	ReasonCamera      Reason = "camera_error"       // it answered, but not with a usable stream
	ReasonNoMedia     Reason = "no_media"           // connected, and silent
	ReasonLoss        Reason = "network_loss"       // samples missing or damaged inside a run
	ReasonStopped     Reason = "recorder_stopped"   // nobody was recording
	ReasonOverload    Reason = "recorder_overload"  // the writer's queue was full
	ReasonDisk        Reason = "disk_down"
	ReasonClock       Reason = "clock_step"
	ReasonDisabled    Reason = "disabled"
	ReasonUnwanted    Reason = "not_configured" // the configuration has no such stream: nothing is expected, so nothing is missing
	ReasonOverwritten Reason = "overwritten"    // was there; a deeper volume has what is before it. Never on disk
)

// Gap is a span without samples, and why. Detail is one line for people,
// free of secrets. A gap whose end is not known yet has To == 0.
type Gap struct {
	Stream *Stream
	Span   Span
	Reason Reason
	Detail string
	Run    RunID // that goes on behind the gap; 0: another one does
	Loss   Loss  // of ReasonLoss
}

// Missing is how much of the gap's span is missing; of one that is open, nothing
// yet.
func (g *Gap) Missing() time.Duration {
	length := max(0, g.Span.Duration())
	if g.Loss.Time > 0 {
		return min(g.Loss.Time, length)
	}
	return length
}

// Loss counts what a network lost inside a run. A gap that stands for several
// losses, one soon after the other, has all of them in its span.
type Loss struct {
	Time    time.Duration // of the span without good samples: from each loss to the next sync sample; 0: all of it
	Packets uint32        // RTP packets that are known to be lost
	Missing uint32        // samples
	Damaged uint32        // samples that are there, and lack something they depend on
}

// Plus is both together. Time is added too: the caller sees to it that both have one.
func (l Loss) Plus(o Loss) Loss {
	return Loss{l.Time + o.Time, l.Packets + o.Packets, l.Missing + o.Missing, l.Damaged + o.Damaged}
}
