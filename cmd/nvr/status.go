package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"nvr/internal/config"
	"nvr/internal/control"
	"nvr/internal/ingest"
	"nvr/internal/store"
)

type statusCmd struct {
	JSON bool `help:"Print JSON."`
}

// Help is shown below the usage line.
func (statusCmd) Help() string {
	return `Asks the running recorder, or reads the ring when none is running: pools, generation, what is used, where and how fast it writes, the oldest footage and the depth of each camera, the state of each camera, and in how many days the ring wraps.

Examples:
    nvr status
    nvr status --json`
}

// statusDocument is what nvr status --json prints and the control socket answers.
type statusDocument struct {
	Version   string         `json:"version"`
	Recording bool           `json:"recording"`
	PID       int            `json:"pid,omitempty"`
	Since     string         `json:"since,omitempty"`
	Volume    volumeStatus   `json:"volume"`
	Cameras   []cameraStatus `json:"cameras"`
}

type volumeStatus struct {
	store.Status
	Oldest     string         `json:"oldest,omitempty"`
	Newest     string         `json:"newest,omitempty"`
	LastCommit string         `json:"last_commit,omitempty"`
	Streams    []streamStatus `json:"streams"` // instead of Status.Streams
}

type streamStatus struct {
	store.StreamStatus
	Oldest string `json:"oldest"`
	Newest string `json:"newest"`
}

type cameraStatus struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Enabled bool           `json:"enabled"`
	Session *sessionStatus `json:"session,omitempty"` // while recording
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

// newStatus describes a volume and the cameras of the configuration.
func newStatus(conf *config.Config, v *store.Volume) statusDocument {
	s := v.Status()
	d := statusDocument{Version: versionNumber(), Volume: volumeStatus{Status: s, Oldest: stamp(s.Oldest), Newest: stamp(s.Newest), LastCommit: stamp(s.LastCommit), Streams: []streamStatus{}}, Cameras: []cameraStatus{}}
	for _, st := range s.Streams {
		d.Volume.Streams = append(d.Volume.Streams, streamStatus{st, stamp(st.Oldest), stamp(st.Newest)})
	}
	for _, c := range conf.Cameras {
		d.Cameras = append(d.Cameras, cameraStatus{ID: c.ID, Name: c.Name, Enabled: c.Enabled})
	}
	return d
}

// stamp is timestamp, or nothing for no time.
func stamp(wallUnixNano int64) string {
	if wallUnixNano == 0 {
		return ""
	}
	return timestamp(wallUnixNano)
}

func (r *recorder) status() statusDocument {
	d := newStatus(r.conf, r.volume)
	d.Recording, d.PID, d.Since = true, os.Getpid(), timestamp(r.since.UnixNano())
	next := 0
	for i := range d.Cameras {
		if d.Cameras[i].Enabled {
			d.Cameras[i].Session = newSession(r.cameras[next].Status())
			next++
		}
	}
	return d
}

func (v statusCmd) Run(c *console) error {
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	answer, err := control.Ask(c.ctx, conf.Storage.BasePath)
	if err == nil && v.JSON {
		return c.printJSON(answer)
	}
	var d statusDocument
	switch {
	case errors.Is(err, control.ErrNotRunning):
		volume, err := c.openForReading(conf)
		if err != nil {
			return err
		}
		defer volume.Close()
		d = newStatus(conf, volume)
		if v.JSON {
			return c.printJSON(d)
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(answer, &d); err != nil {
			return fmt.Errorf("the recorder is of another version: %w", err)
		}
	}
	return d.print(c)
}

func (d *statusDocument) print(c *console) error {
	s := &d.Volume
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if d.Recording {
		fmt.Fprintf(w, "recording\tsince %s, pid %d\n", d.Since, d.PID)
	} else {
		fmt.Fprintf(w, "recording\tno\n")
	}
	fmt.Fprintf(w, "ring\t%s\n", s.Dir)
	fmt.Fprintf(w, "pools\t%d of %d hold footage, %s each\n", s.UsedPools, s.Pools, humanize.IBytes(uint64(s.PoolBytes)))
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
	if d.Recording {
		fmt.Fprintf(w, "queue\t%d records, %s; %d dropped since the start\n", s.QueuedRecords, humanize.IBytes(uint64(s.QueuedBytes)), s.Refused)
	}
	if s.Down {
		fmt.Fprintf(w, "disk\tDOWN: footage cannot be written\n")
	}
	if !s.Indexed {
		fmt.Fprintf(w, "index\tolder pools are still being read\n")
	}
	fmt.Fprintf(w, "\nCAMERA\tNAME\tSTATE\tSTREAM\tCODEC\tRATE\tOLDEST\tDEPTH\n")
	listed := map[string]bool{}
	for _, camera := range d.Cameras {
		listed[camera.ID] = true
		found := false
		for _, st := range s.Streams {
			if st.Camera == camera.ID {
				found = true
				st.line(w, camera.Name, camera.state())
			}
		}
		if !found {
			fmt.Fprintf(w, "%s\t%s\t%s\t-\t-\t-\t-\t-\n", camera.ID, camera.Name, camera.state())
		}
	}
	for _, st := range s.Streams {
		if !listed[st.Camera] {
			st.line(w, st.Name, "not in the configuration")
		}
	}
	return w.Flush()
}

func (st streamStatus) line(w *tabwriter.Writer, name, state string) {
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s/s\t%s\t%s\n", st.Camera, name, state, st.Stream, st.Codec, humanize.Bytes(uint64(st.Rate)), st.Oldest, length(st.Depth))
}

func (s cameraStatus) state() string {
	switch {
	case !s.Enabled:
		return "disabled"
	case s.Session == nil:
		return "not recording"
	}
	return string(s.Session.State)
}

// length is a duration for people: to the second.
func length(seconds float64) string {
	return (time.Duration(seconds * float64(time.Second))).Round(time.Second).String()
}
