package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"nvr/internal/config"
	"nvr/internal/control"
	"nvr/internal/doctor"
	"nvr/internal/ingest"
	"nvr/internal/store"
)

type statusCmd struct {
	JSON bool `help:"Print JSON."`
}

// Help is shown below the usage line.
func (statusCmd) Help() string {
	return `Asks the running recorder, or reads the rings when none is running: of each volume the pools, generation, what is used, where and how fast it writes and in how many days it wraps; the state, oldest footage and depth of each stream, and how much of today it has (docs/ledger.md); whether what min_days promises can be kept.

Examples:
    nvr status
    nvr status --json`
}

// statusDocument is what nvr status --json prints and the control socket answers.
type statusDocument struct {
	Version   string         `json:"version"`
	Recording bool           `json:"recording"`
	Clock     string         `json:"clock"` // "synchronised", "free" (nobody keeps it), "wrong" (it shows a time that is past) or "unknown"
	PID       int            `json:"pid,omitempty"`
	Since     string         `json:"since,omitempty"`
	Volume    volumeStatus   `json:"volume"`  // the first of the volumes
	Volumes   []volumeStatus `json:"volumes"` // all
	Streams   []streamStatus `json:"streams"` // over all volumes
	Cameras   []cameraStatus `json:"cameras"`
	Promises  []promise      `json:"promises"` // of cameras with min_days
}

type volumeStatus struct {
	store.VolumeStatus
	Oldest     string         `json:"oldest,omitempty"`
	Newest     string         `json:"newest,omitempty"`
	LastCommit string         `json:"last_commit,omitempty"`
	Streams    []streamStatus `json:"streams"` // instead of Status.Streams
}

type streamStatus struct {
	store.StreamStatus
	Today *completeness `json:"today,omitempty"` // how much of the day so far is there; only over all volumes

	Volume string `json:"volume"` // that has the newest footage
	Oldest string `json:"oldest"`
	Newest string `json:"newest"`
}

type cameraStatus struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Enabled bool           `json:"enabled"`
	Volume  string         `json:"volume,omitempty"`  // that it is being recorded into
	Home    string         `json:"home,omitempty"`    // where it belongs
	Source  string         `json:"source"`            // "url", "exec" or "gstreamer"
	Session *sessionStatus `json:"session,omitempty"` // while recording: of the first stream that is recorded

	Sessions []*sessionStatus `json:"sessions,omitempty"` // of all of them
}

type sessionStatus struct {
	ingest.Status
	Since   string `json:"since"`
	RetryAt string `json:"retry_at,omitempty"`
}

func newSession(s ingest.Status) *sessionStatus {
	session := &sessionStatus{Status: s, Since: timestamp(s.Since.UnixNano())}
	if !s.RetryAt.IsZero() {
		session.RetryAt = timestamp(s.RetryAt.UnixNano())
	}
	return session
}

// newStatus describes the volumes and the cameras of the configuration.
func newStatus(conf *config.Config, a *store.Archive) statusDocument {
	s := a.Status()
	d := statusDocument{Version: versionNumber(), Clock: clockState(time.Now()), Streams: newStreams(conf, s.Streams), Cameras: []cameraStatus{}, Promises: newPromises(conf, s, 0)}
	for _, v := range s.Volumes {
		d.Volumes = append(d.Volumes, volumeStatus{VolumeStatus: v, Oldest: stamp(v.Oldest), Newest: stamp(v.Newest), LastCommit: stamp(v.LastCommit), Streams: newStreams(conf, v.Streams)})
	}
	d.Volume = d.Volumes[0]
	for _, c := range conf.Cameras {
		camera := cameraStatus{ID: c.ID, Name: c.Name, Enabled: c.Enabled, Source: c.Source}
		for _, p := range s.Cameras {
			if p.Camera == c.ID && (camera.Volume == "" || p.Stream == config.Main) {
				camera.Volume, camera.Home = p.Volume, p.Home
			}
		}
		d.Cameras = append(d.Cameras, camera)
	}
	return d
}

func newStreams(conf *config.Config, streams []store.StreamStatus) []streamStatus {
	volumes, all := conf.Storage.Volumes(), []streamStatus{}
	for _, st := range streams {
		all = append(all, streamStatus{StreamStatus: st, Volume: volumes[st.Volume].Name, Oldest: stamp(st.Oldest), Newest: stamp(st.Newest)})
	}
	return all
}

// clockState is how the machine's clock is kept.
func clockState(now time.Time) string {
	c, err := doctor.Host{}.Clock()
	switch {
	case now.Before(built()):
		return "wrong"
	case err != nil:
		return "unknown"
	case !c.Synchronised:
		return "free"
	}
	return "synchronised"
}

// stamp is timestamp, or nothing for no time.
func stamp(wallUnixNano int64) string {
	if wallUnixNano == 0 {
		return ""
	}
	return timestamp(wallUnixNano)
}

// addToday adds how complete each stream's footage of today is.
func (d *statusDocument) addToday(ctx context.Context, a *store.Archive, now time.Time, zone *time.Location) error {
	today, err := parseDay("today", now, zone)
	if err != nil {
		return err
	}
	accounts, err := a.Ledger(ctx, store.LedgerQuery{Query: store.Query{Span: today}, Now: now.UnixNano(), Recording: d.Recording})
	if err != nil {
		return err
	}
	for i := range d.Streams {
		st := &d.Streams[i]
		for k := range accounts {
			if s := accounts[k].Stream; s.Camera.ID == st.Camera && s.Name == st.Stream {
				c := newCompleteness(&accounts[k])
				st.Today = &c
			}
		}
	}
	return nil
}

func (r *recorder) status(ctx context.Context) (statusDocument, error) {
	d := newStatus(r.conf, r.archive)
	d.Recording, d.PID, d.Since = true, os.Getpid(), timestamp(r.since.UnixNano())
	for _, camera := range r.cameras {
		s := camera.Status()
		for i := range d.Cameras {
			if c := &d.Cameras[i]; c.ID == s.Camera {
				c.Sessions = append(c.Sessions, newSession(s))
				c.Session = c.Sessions[0]
			}
		}
	}
	return d, d.addToday(ctx, r.archive, time.Now(), time.Local)
}

func (v statusCmd) Run(c *console) error {
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	answer, err := ask(c.ctx, conf, askStatus, nil, nil)
	if err == nil && v.JSON {
		return c.printJSON(answer)
	}
	var d statusDocument
	switch {
	case errors.Is(err, control.ErrNotRunning):
		archive, err := c.openForReading(conf)
		if err != nil {
			return err
		}
		defer archive.Close()
		d = newStatus(conf, archive)
		if err := d.addToday(c.ctx, archive, c.now(), c.zone); err != nil {
			return err
		}
		if v.JSON {
			return c.printJSON(d)
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(answer, &d); err != nil || len(d.Volumes) == 0 {
			return fmt.Errorf("the recorder is of another version: %w", cmp.Or(err, errors.New("it does not tell of its volumes")))
		}
	}
	return d.print(c)
}

func (d *statusDocument) print(c *console) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if d.Recording {
		fmt.Fprintf(w, "recording\tsince %s, pid %d\n", d.Since, d.PID)
	} else {
		fmt.Fprintf(w, "recording\tno\n")
	}
	switch d.Clock {
	case "free":
		fmt.Fprintf(w, "clock\tnot synchronised: footage may be dated wrong (docs/time.md)\n")
	case "wrong":
		fmt.Fprintf(w, "clock\tWRONG, it shows a time before this program was built: footage is dated wrong (docs/time.md)\n")
	}
	for i := range d.Volumes {
		if len(d.Volumes) > 1 {
			fmt.Fprintf(w, "\nvolume\t%s\n", d.Volumes[i].title())
		}
		d.Volumes[i].print(w, d.Recording)
	}
	fmt.Fprintf(w, "\nCAMERA\tNAME\tSTATE\tTRANSPORT\tSTREAM\tCODEC\tRATE\tOLDEST\tDEPTH\tTODAY\n")
	listed := map[string]bool{}
	for _, camera := range d.Cameras {
		listed[camera.ID] = true
		found := false
		for _, st := range d.Streams {
			if st.Camera == camera.ID {
				found = true
				st.line(w, camera.Name, camera.state(st.Stream), camera.transport(st.Stream))
			}
		}
		if !found {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t-\t-\t-\t-\t-\t-\n", camera.ID, camera.Name, camera.state(""), camera.transport(""))
		}
	}
	for _, st := range d.Streams {
		if !listed[st.Camera] {
			st.line(w, st.Name, "not in the configuration", "-")
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printPromises(c.out, d.Promises)
}

// title is a volume in one line: its name and how it is.
func (s *volumeStatus) title() string {
	title := s.Name
	switch {
	case s.Retired:
		title += ", retired"
	case s.Down:
		title += ", DOWN"
	}
	if len(s.Cameras) > 0 {
		title += ": " + strings.Join(s.Cameras, " ")
	}
	return title
}

func (s *volumeStatus) print(w io.Writer, recording bool) {
	fmt.Fprintf(w, "ring\t%s\n", s.Dir)
	if s.Error != "" {
		fmt.Fprintf(w, "missing\t%s\n", s.Error)
		return
	}
	fmt.Fprintf(w, "pools\t%d of %d hold footage, %s each\n", s.UsedPools, s.Pools, humanize.IBytes(uint64(s.PoolBytes)))
	if s.MaxPools > s.Pools {
		fmt.Fprintf(w, "to grow\tmax_pools is %d: nvr volume grow %s adds %d pools\n", s.MaxPools, s.Name, s.MaxPools-s.Pools)
	}
	if s.ActivePool >= 0 {
		fmt.Fprintf(w, "position\tpool %03d, generation %d, at %s\n", s.ActivePool, s.Generation, humanize.IBytes(uint64(s.Position)))
	}
	fmt.Fprintf(w, "used\t%s of %s\n", humanize.IBytes(uint64(s.UsedBytes)), humanize.IBytes(uint64(int64(s.Pools)*s.PoolBytes)))
	if s.Oldest != "" {
		fmt.Fprintf(w, "footage\tfrom %s to %s, %s\n", s.Oldest, s.Newest, length(s.Depth))
	}
	if s.Rate > 0 {
		fmt.Fprintf(w, "rate\t%s/s: the ring wraps in %s\n", humanize.Bytes(uint64(s.Rate)), roughly(time.Duration(s.WrapDays*float64(24*time.Hour))))
	}
	if recording && !s.Retired {
		fmt.Fprintf(w, "queue\t%d records, %s; %d dropped since the start\n", s.QueuedRecords, humanize.IBytes(uint64(s.QueuedBytes)), s.Refused)
	}
	switch {
	case s.Away != "":
		fmt.Fprintf(w, "disk\tDOWN, and free to be unmounted: %s\n", s.Away)
	case s.Down:
		fmt.Fprintf(w, "disk\tDOWN: footage cannot be written\n")
	}
	if k := s.Vault; k.Locks > 0 || k.Trouble != "" {
		fmt.Fprintf(w, "vault\t%s of %s, %d locks: %d pending, %d with losses (nvr lock list)\n", humanize.IBytes(uint64(k.Used)), humanize.IBytes(uint64(k.Max)), k.Locks, k.Pending, k.Lost)
		if k.Trouble != "" {
			fmt.Fprintf(w, "vault\tTROUBLE: %s\n", k.Trouble)
		}
	}
	for _, f := range s.PassedOver {
		fmt.Fprintf(w, "passed over\t%s %s: %s\n", f.File, f.Reason, f.Remedy)
	}
	if s.ScrubRate > 0 {
		fmt.Fprintf(w, "scrub\t%s\n", s.scrub())
	}
	if s.BadRecords+s.BadPlaces > 0 {
		fmt.Fprintf(w, "damaged\t%d records, %d places on the disk, the scrub found: nvr verify tells where\n", s.BadRecords, s.BadPlaces)
	}
	if !s.Indexed {
		fmt.Fprintf(w, "index\tolder pools are still being read\n")
	}
}

// scrub is how far the scrub is, in one line.
func (s *volumeStatus) scrub() string {
	progress := "at rest"
	if s.ScrubTotal > 0 {
		progress = fmt.Sprintf("%s of %s at %s/s", humanize.IBytes(uint64(s.Scrubbed)), humanize.IBytes(uint64(s.ScrubTotal)), humanize.Bytes(uint64(s.ScrubRate)))
	}
	found := ""
	if s.BadRecords+s.BadPlaces == 0 {
		found = "; no damage was found"
	}
	return fmt.Sprintf("%s; %d rounds since the start%s", progress, s.ScrubRounds, found)
}

func (st streamStatus) line(w *tabwriter.Writer, name, state, transport string) {
	today := "-"
	if st.Today != nil {
		today = st.Today.percent()
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s/s\t%s\t%s\t%s\n", st.Camera, name, state, transport, st.Stream, st.Codec, humanize.Bytes(uint64(st.Rate)), st.Oldest, length(st.Depth), today)
}

// session is that of one stream; "" is the first that is recorded. It is nil where
// none is.
func (s cameraStatus) session(stream string) *sessionStatus {
	for _, session := range s.Sessions {
		if stream == "" || session.Stream == stream {
			return session
		}
	}
	return nil
}

func (s cameraStatus) state(stream string) string {
	session := s.session(stream)
	switch {
	case !s.Enabled:
		return "disabled"
	case session == nil:
		return "not recording"
	}
	state := string(session.State)
	if s.Source != config.SourceURL {
		state += " (" + s.Source + ")"
	}
	return state
}

// transport is how the media of a stream come now, and with TLS how the camera is
// known.
func (s cameraStatus) transport(stream string) string {
	session := s.session(stream)
	if session == nil || session.Transport == "" {
		return "-"
	}
	transport := session.Transport
	switch session.TLS {
	case "":
	case "insecure":
		transport += "+tls, INSECURE"
	default:
		transport += "+tls, " + session.TLS
	}
	return transport
}

// length is a duration for people: to the second.
func length(seconds float64) string {
	return (time.Duration(seconds * float64(time.Second))).Round(time.Second).String()
}
