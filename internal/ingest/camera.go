// Package ingest is a camera's life: connect, record, back off, again.
//
//	rtsp      session and paced reading    → RTP packets
//	exec      a program's output, and mpegts, which takes it apart
//	rtp       depacketizer of a codec      → access units, written in place
//	timeline  RTP time and arrival         → media time, wall time, runs
//	builder   samples                      → records, offered to a Recorder
//
// Everything of a camera happens on the goroutine that calls Camera.Run.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"nvr/internal/ingest/rtsp"
	"nvr/internal/media"
)

// Recorder takes what a camera gives. Neither method may wait.
type Recorder interface {
	// Offer takes ownership of r.Buffer in any case. It returns false if the
	// record was dropped because the camera is over its budget.
	Offer(r media.Record) bool
	// OfferGap takes a gap; one that ends at 0 is still open, and is offered
	// again when its end is known. False: ask again later.
	OfferGap(g media.Gap) bool
}

const (
	defaultRecordEvery = 800 * time.Millisecond // leaves 200 ms of the second that may be lost for the writer
	mediaTimeout       = 10 * time.Second       // without a sample; longer than any legal silence (sub-streams of 1 fps)
	goodAfter          = 30 * time.Second       // of media: the camera is well again
	logEvery           = time.Minute            // the same trouble is logged so often
	maxDetail          = 200                    // bytes of an error's text in a gap
)

// Options say which stream to record, and how.
type Options struct {
	Stream             *media.Stream
	URL                string // without user info
	Username, Password string

	// Program, if not nil, is run instead: there is no URL.
	Program *Program

	// Locate, if not nil, is asked for the URL before each connection. It must end
	// with ctx. An error that wraps ErrUnauthorized is about the password.
	Locate func(ctx context.Context) (url string, err error)

	Transport string // "auto", "tcp", "udp", "multicast" or "http"; empty is auto
	TLS       TLS    // of rtsps URLs
	Audio     bool   // record the audio too, if there is one that can be stored

	// MaxReconnectAttempts ends Run after so many failures in a row; 0 is never.
	MaxReconnectAttempts int

	// Records are cut and offered whenever Epoch + n×RecordEvery passes: all
	// cameras with the same two values at once, just before the writer commits.
	RecordEvery time.Duration // 0 is 800 ms
	Epoch       time.Time     // zero is the time of New

	// Clock is what the recorder's clock showed at t, ns of the Unix epoch, UTC. Nil
	// is t.UnixNano(); tests set it.
	Clock func(t time.Time) int64

	// NotBefore is a time that is past for certain, ns of the Unix epoch: where the
	// recorder's clock shows an earlier one, each run says so.
	NotBefore int64

	// Dial makes connections; nil is net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Log *slog.Logger // nil: nothing is logged
}

// Camera records one stream of one camera.
type Camera struct {
	o        Options
	log      *slog.Logger
	recorder Recorder
	gaps     *gaps
	status   status
	way      way
	memory   rtsp.Memory // of its sessions

	lastLog time.Time
	lastWhy media.Reason
	missed  bool // trouble was logged, and not yet that it is over
}

// New returns a camera that is started with Run.
func New(o Options, r Recorder) *Camera {
	if o.RecordEvery <= 0 {
		o.RecordEvery = defaultRecordEvery
	}
	now := time.Now()
	if o.Epoch.IsZero() {
		o.Epoch = now
	}
	o.Epoch = now.Add(o.Epoch.Sub(now)) // with a monotonic reading, whatever it came with
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Time.UnixNano
	}
	c := &Camera{
		o:        o,
		log:      o.Log.With("camera", o.Stream.Camera.ID, "stream", o.Stream.Name),
		recorder: r,
		gaps:     &gaps{stream: o.Stream, recorder: r},
	}
	c.status.s = Status{Camera: o.Stream.Camera.ID, Stream: o.Stream.Name, State: Stopped, Since: now}
	return c
}

// Run records until ctx ends (then it returns nil, and everything received has
// been offered) or the attempts are used up. It must not be called twice.
func (c *Camera) Run(ctx context.Context) error {
	defer c.status.enter(Stopped)
	if c.o.TLS.Insecure {
		c.log.Warn("tls_insecure: the camera's certificate is not checked, so anybody may be this camera; nvr status --json has its fingerprint, to pin it")
	}
	c.gaps.end = c.wall()
	var wait backoff
	for failures := 0; ; {
		began := time.Now()
		c.status.connecting(failures + 1)
		good, err := c.record(ctx)
		if ctx.Err() != nil {
			c.stopped()
			return nil
		}
		now := time.Now()
		if good >= goodAfter {
			failures, wait = 0, backoff{}
		}
		failures++
		why := reasonOf(err)
		c.gaps.open(why, detail(err), c.o.Clock(now))
		if limit := c.o.MaxReconnectAttempts; limit > 0 && failures > limit {
			return fmt.Errorf("camera %s: %d attempts: %w", c.o.Stream.Camera.ID, failures, err)
		}
		retry := now.Add(wait.next(why, began, now))
		c.trouble(why, err, retry)
		c.status.waiting(why, detail(err), retry)
		if !sleep(ctx, time.Until(retry)) {
			c.stopped()
			return nil
		}
		c.gaps.retry(c.wall())
	}
}

// wall is the recorder's clock.
func (c *Camera) wall() int64 { return c.o.Clock(time.Now()) }

// stopped says that from here on nobody records: what is missing later is not the
// camera's fault.
func (c *Camera) stopped() {
	c.gaps.open(media.ReasonStopped, "the recorder was stopped", c.wall())
}

// Stream is what the camera records.
func (c *Camera) Stream() *media.Stream { return c.o.Stream }

// Status is a snapshot of how the camera is; it may be called at any time.
func (c *Camera) Status() Status { return c.status.get() }

// record is one connection's life. It returns for how long media came, and
// why that ended. A panic ends the session and no more (SEC-02).
func (c *Camera) record(ctx context.Context) (good time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	rec := newRecording(c)
	open := c.openRTSP
	if c.o.Program != nil {
		open = c.openProgram
	}
	s, err := open(ctx, rec)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if len(rec.tracks) == 0 {
		return 0, errNoTracks
	}
	rec.begin(time.Now())
	err = s.Receive(ctx)
	rec.close()
	return rec.lasted(), err
}

// session is a connection to whatever gives a camera's media. It was opened with a
// recording that has its tracks since.
type session interface {
	// Receive hands on what comes until that ends; nil: ctx ended.
	Receive(ctx context.Context) error
	Close() error
}

// rtspSession is one with an RTSP server.
type rtspSession struct {
	*rtsp.Session
	rec *recording
}

func (s rtspSession) Receive(ctx context.Context) error {
	err := s.Session.Receive(ctx, s.rec)
	s.rec.c.way.learn(s.Transport(), s.Stats().Packets, err)
	return err
}

// openRTSP asks the camera for its media, and to play.
func (c *Camera) openRTSP(ctx context.Context, rec *recording) (session, error) {
	url := c.o.URL
	if c.o.Locate != nil {
		var err error
		if url, err = c.o.Locate(ctx); err != nil {
			return nil, fmt.Errorf("look up the stream: %w", err)
		}
	}
	s, err := rtsp.Open(ctx, rtsp.Options{
		URL: url, Username: c.o.Username, Password: c.o.Password,
		Transport: rtsp.Transport(c.o.Transport), First: c.way.first, FirstPacket: c.way.patience(), TLS: c.o.TLS, Dial: c.o.Dial, Log: c.log,
		Memory: &c.memory,
	})
	if err != nil {
		return nil, err
	}
	playing := false
	defer func() {
		if !playing {
			s.Close()
		}
	}()
	c.status.opened(s.Server())
	rec.session = s
	picked := c.pick(s.Medias())
	for _, p := range picked {
		if err := s.Setup(ctx, p.media); err != nil {
			if p.kind == media.Audio && len(picked) > 1 {
				c.log.Warn("the audio cannot be had", "error", err)
				continue
			}
			return nil, err
		}
		rec.add(p)
	}
	if len(rec.tracks) > 0 { // or else the caller says so
		if _, err := s.Play(ctx); err != nil {
			return nil, err
		}
		c.carried(s)
	}
	playing = true
	return rtspSession{s, rec}, nil
}

// trouble logs why there is nothing to record: each reason when it begins, and
// once a minute while it lasts.
func (c *Camera) trouble(why media.Reason, err error, retry time.Time) {
	now := time.Now()
	if why == c.lastWhy && now.Sub(c.lastLog) < logEvery {
		return
	}
	c.lastWhy, c.lastLog, c.missed = why, now, true
	args := []any{"reason", string(why), "error", detail(err), "retry_in", retry.Sub(now).Round(time.Second / 10)}
	if p := (*panicError)(nil); errors.As(err, &p) {
		args = append(args, "stack", string(p.stack))
		c.log.Error("a mistake of ours ended the session", args...)
		return
	}
	c.log.Warn("not recording", args...)
}

// well logs that a session gives media: the first one, and the one that ends
// what trouble told of.
func (c *Camera) well(t *media.Track) {
	if c.missed || c.lastLog.IsZero() {
		c.log.Info("recording", "track", t.String())
	}
	c.missed = false
	if c.lastLog.IsZero() {
		c.lastLog = time.Now()
	}
}

// sleep waits, and reports false if ctx ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
