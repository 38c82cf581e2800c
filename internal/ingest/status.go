package ingest

import (
	"sync"
	"time"

	"nvr/internal/media"
)

// State is what a camera is doing.
type State string

// The states.
const (
	Connecting State = "connecting"
	Recording  State = "recording"
	Waiting    State = "waiting" // for the next attempt
	AuthFailed State = "auth_failed"
	Stopped    State = "stopped"
)

// Status is a snapshot of a camera's life. Counters go from the start of Run.
type Status struct {
	Camera    string    `json:"camera"`
	Stream    string    `json:"stream"`
	State     State     `json:"state"`
	Since     time.Time `json:"since"`    // when the state began
	Attempts  int       `json:"attempts"` // to connect, since media last came for 30 s
	LastError string    `json:"last_error,omitempty"`
	RetryAt   time.Time `json:"retry_at,omitzero"`
	Server    string    `json:"server,omitempty"` // what the camera's RTSP server calls itself
	Tracks    []string  `json:"tracks"`
	Transport string    `json:"transport,omitempty"` // of the media: "tcp", "udp", "multicast" or "http"
	TLS       string    `json:"tls,omitempty"`       // how the camera is known: "system", "ca_file", "fingerprint" or "insecure"; empty: it is not
	Notes     []string  `json:"notes,omitempty"`     // what is odd about the camera

	Bytes          uint64 `json:"bytes"`
	Samples        uint64 `json:"samples"`
	DroppedSamples uint64 `json:"dropped_samples"` // because the writer was over its budget
	DamagedUnits   uint64 `json:"damaged_units"`   // access units of which packets were lost
	LostPackets    uint64 `json:"lost_packets"`
	Bitrate        int64  `json:"bitrate"` // bits per second over the last seconds

	// CameraClock is how far the camera's clock is ahead of ours. Advice only.
	CameraClock time.Duration `json:"camera_clock_ns,omitempty"`
}

// bitrateOver is the time that Bitrate looks back.
const bitrateOver = 5 * time.Second

type status struct {
	mu       sync.Mutex
	s        Status
	inWindow uint64 // bytes
	window   time.Time
	lost     uint64 // packets of earlier sessions
	damaged  uint64
	skipped  bool // tracks that cannot be stored were told of
	refused  bool // packets that cannot be taken were
}

// firstSkip reports true once.
func (t *status) firstSkip() bool { return t.first(&t.skipped) }

// firstRefusal does so too.
func (t *status) firstRefusal() bool { return t.first(&t.refused) }

func (t *status) first(told *bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := !*told
	*told = true
	return first
}

func (t *status) get() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	s.Tracks = append([]string{}, s.Tracks...)
	s.Notes = append([]string(nil), s.Notes...)
	return s
}

func (t *status) enter(s State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(s)
}

func (t *status) set(s State) {
	if t.s.State != s {
		t.s.State, t.s.Since = s, time.Now()
	}
	if s != Waiting && s != AuthFailed {
		t.s.RetryAt = time.Time{}
	}
	if s != Recording {
		t.s.Bitrate = 0
	}
}

func (t *status) connecting(attempt int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(Connecting)
	t.s.Attempts, t.s.Tracks, t.s.Notes = attempt, nil, nil
	t.s.Transport, t.s.TLS = "", ""
	t.lost, t.damaged = t.s.LostPackets, t.s.DamagedUnits
	t.inWindow, t.window = 0, time.Time{}
}

func (t *status) opened(server string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Server = server
}

func (t *status) carried(transport, tls string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Transport, t.s.TLS = transport, tls
}

func (t *status) waiting(why media.Reason, err string, retry time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if why == media.ReasonAuth {
		t.set(AuthFailed)
	} else {
		t.set(Waiting)
	}
	t.s.LastError, t.s.RetryAt = err, retry
}

// recorded counts a record that was accepted, and reports whether it is the
// first one of a session.
func (t *status) recorded(bytes, samples int) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first = t.s.State != Recording
	t.set(Recording)
	t.s.Bytes += uint64(bytes)
	t.s.Samples += uint64(samples)
	t.inWindow += uint64(bytes)
	return first
}

func (t *status) dropped(samples int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.DroppedSamples += uint64(samples)
}

// observe takes the counters and descriptions of the session.
func (t *status) observe(now time.Time, lost, damaged uint64, clock time.Duration, tracks, notes []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.LostPackets, t.s.DamagedUnits = t.lost+lost, t.damaged+damaged
	t.s.CameraClock, t.s.Tracks, t.s.Notes = clock, tracks, notes
	if t.window.IsZero() {
		t.window, t.inWindow = now, 0
	}
	if over := now.Sub(t.window); over >= bitrateOver {
		t.s.Bitrate = int64(float64(t.inWindow*8) / over.Seconds())
		t.window, t.inWindow = now, 0
	}
}
