package testkit

import (
	"slices"
	"time"

	"nvr/internal/media"
)

// Quirk is one entry of the table: a camera with one bad manner, and what must
// come of it.
type Quirk struct {
	Section string // "0".."6": of the list of quirks that the table follows; "security"
	Key     string // its name, unique
	Vendor  string // who was met doing it
	Does    string // what it does, as docs/cameras.md says it
	Right   string // what the recorder makes of it
	For     time.Duration
	Camera  func(c *Camera)
	Want    Want
}

// Want is what must come of it. The zero value: one run with all pictures and all
// sounds, undamaged, at the right times, without a gap, a note, or much of a log.
type Want struct {
	Nothing bool // is recorded
	NoAudio bool
	Missing func(n int) bool // pictures that cannot be there
	Maybe   func(n int) bool // pictures that may be missing, or flagged
	Damaged func(n int) bool // pictures that are flagged; nil: none
	Quiet   func(n int) bool // sounds that cannot be there
	Gaps    []media.Reason   // in the order in which they first came
	Runs    int              // 0: one
	AnyRuns bool
	Tail    int           // units at the end of a connection that may be missing; 0: one
	Off     time.Duration // of the wall time of a sample; 0: 100 ms
	AnyTime bool
	Sound   string // what the audio track is, as media.Track says it
	AnySync bool   // sync flags may differ from the clip's
	AnySize bool   // the size is not the clip's
	AnySets bool   // the parameter sets are not the clip's

	Requests map[string][2]int // how many of a method there are at least and at most
	Asked    []string          // is in a request, as "METHOD uri\nHeader: value"
	Never    []string          // is in none
	Dials    [2]int            // connections, at least and at most; 0, 0: one
	AnyDials bool
	Most     int  // connections at a time; 0: one
	Tries    int  // wrong passwords in any 30 s
	Parted   bool // the camera ended it: no TEARDOWN is due

	Notes []string // words that a note of the status has
	Log   []string // words that exactly one line of the log has
	Lines int      // of the log at most; 0: 6
	State string   // of the status at the end; "": recording, or waiting where Nothing; "*": any
	Error string   // words of the status' last error
	Check func(c *Camera, r *Result) string
}

// New makes the camera.
func (q *Quirk) New() *Camera {
	c := NewCamera()
	if q.Camera != nil {
		q.Camera(c)
	}
	return c
}

// Result is what a recorder made of a camera.
type Result struct {
	Records []media.Record // their buffers are not used again
	Gaps    []media.Gap
	Ended   time.Time
	Log     []string // a line each, from Info on
	State   string   // the status before the end
	Error   string
	Notes   []string
	Tracks  []string
	Lost    uint64
	Clock   time.Duration
	Ran     error // of Run
	Dials   []Dial
	Most    int // connections at a time
}

// Quirks is the table.
func Quirks() []Quirk {
	return slices.Concat(measured(), sdp(), sets(), dialogue(), keepalive(), authentication(), framing(), units(), stamps(), sounds(), codecs(), reports(), faults(), hostile())
}

// among says which numbers are listed.
func among(l ...int) func(int) bool { return func(i int) bool { return slices.Contains(l, i) } }

// span says which numbers are in [from, to).
func span(from, to int) func(int) bool { return func(i int) bool { return i >= from && i < to } }

// restOf says which numbers are behind n in its GOP.
func restOf(gop int, ns ...int) func(int) bool {
	return func(i int) bool {
		return slices.ContainsFunc(ns, func(n int) bool { return i >= n && i < n/gop*gop+gop })
	}
}

// all is all of them.
func all(int) bool { return true }
