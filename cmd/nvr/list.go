package main

import (
	"cmp"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"nvr/internal/config"
	"nvr/internal/media"
	"nvr/internal/store"
)

type listCmd struct {
	poolFlags
	Camera string `placeholder:"ID" help:"Only this camera."`
	Stream string `placeholder:"NAME" help:"Only these streams: main or sub."`
	From   string `placeholder:"T" help:"Only what is there at or after T."`
	To     string `placeholder:"T" help:"Only what is there before T."`
	JSON   bool   `help:"Print JSON."`
}

// Help is shown below the usage line.
func (listCmd) Help() string {
	return `Lists segments (about segment_duration_secs each) and the gaps between them with their reasons. Works while recording, up to the last commit.

` + helpPools + `

Examples:
    nvr list --camera cam1 --from -1h
    nvr list --stream sub --from -1h
    nvr list --from 2026-02-19T14:00:00Z --to 2026-02-19T15:00:00Z --json
    nvr list --pool /mnt/rescued/pool_*.bin

` + timeHelp
}

type listing struct {
	Segments []listedSegment `json:"segments"`
	Gaps     []listedGap     `json:"gaps"`
}

type listedSegment struct {
	Camera  string      `json:"camera"`
	Stream  string      `json:"stream"`
	Run     media.RunID `json:"run"`
	Start   string      `json:"start"`
	End     string      `json:"end"`
	Bytes   int64       `json:"bytes"`
	Samples int64       `json:"samples"`
	Codec   media.Codec `json:"codec"`
	Volume  string      `json:"volume,omitempty"` // where there are several
	Pool    uint32      `json:"pool"`
	Kept    bool        `json:"kept,omitempty"` // in the vault: the ring has written over it
}

type listedGap struct {
	Camera string       `json:"camera"`
	Stream string       `json:"stream"`
	From   string       `json:"from"`
	To     *string      `json:"to"` // null: not over yet
	Reason media.Reason `json:"reason"`
	Detail string       `json:"detail,omitempty"`
	*lossCounts
}

func (v listCmd) Run(c *console) error {
	span, err := c.span(v.From, v.To)
	if err != nil {
		return err
	}
	conf, volume, err := v.open(c)
	if err != nil {
		return err
	}
	defer volume.Close()
	if v.Camera != "" && !hasCamera(conf, volume, v.Camera) {
		return unknownCamera(conf, volume, v.Camera)
	}
	l, err := volume.List(c.ctx, store.Query{Camera: v.Camera, Stream: v.Stream, Span: span})
	if err != nil {
		return err
	}
	if v.JSON {
		return c.printJSON(newListing(l, volumeNames(conf)))
	}
	return printListing(c, l, volumeNames(conf))
}

// volumeNames are those of the volumes by number, none where there is but one.
func volumeNames(conf *config.Config) (names []string) {
	for _, v := range conf.Storage.Volumes() {
		names = append(names, v.Name)
	}
	if len(names) == 1 {
		return nil
	}
	return names
}

// newListing makes the JSON. volumes are the names of volumes by number, if they
// are to be told.
func newListing(l store.Listing, volumes []string) listing {
	out := listing{Segments: []listedSegment{}, Gaps: []listedGap{}}
	for _, s := range l.Segments {
		volume := ""
		if s.Volume < len(volumes) {
			volume = volumes[s.Volume]
		}
		out.Segments = append(out.Segments, listedSegment{s.Stream.Camera.ID, s.Stream.Name, s.Run, timestamp(s.Span.From), timestamp(s.Span.To), s.Bytes, s.Samples, s.Codec, volume, s.Pool, s.Kept})
	}
	for _, g := range l.Gaps {
		gap := listedGap{Camera: g.Stream.Camera.ID, Stream: g.Stream.Name, From: timestamp(g.Span.From), Reason: g.Reason, Detail: g.Detail, lossCounts: newLoss(g.Reason, g.Loss)}
		if g.Span.To != 0 {
			to := timestamp(g.Span.To)
			gap.To = &to
		}
		out.Gaps = append(out.Gaps, gap)
	}
	return out
}

// printListing shows segments and gaps of each camera in the order of time.
func printListing(c *console, l store.Listing, volumes []string) error {
	if len(l.Segments)+len(l.Gaps) == 0 {
		fmt.Fprintln(c.err, "no footage and no gaps in this span")
		return nil
	}
	type line struct {
		stream *media.Stream
		from   int64
		text   string
	}
	var lines []line
	for _, s := range l.Segments {
		pool := fmt.Sprintf("%03d", s.Pool)
		if s.Volume < len(volumes) {
			pool = volumes[s.Volume] + "/" + pool
		}
		note := ""
		if s.Kept {
			note = "kept in the vault"
		}
		lines = append(lines, line{s.Stream, s.Span.From, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s", timestamp(s.Span.From), timestamp(s.Span.To),
			s.Span.Duration().Round(100*time.Millisecond), s.Codec, humanize.Bytes(uint64(s.Bytes)), s.Samples, pool, note)})
	}
	for _, g := range l.Gaps {
		to, lasted := "open", "-"
		if g.Span.To != 0 {
			to, lasted = timestamp(g.Span.To), g.Span.Duration().Round(100*time.Millisecond).String()
		}
		reason := string(g.Reason)
		if loss := newLoss(g.Reason, g.Loss); loss != nil {
			reason += ": " + loss.String()
		} else if g.Detail != "" {
			reason += ": " + g.Detail
		}
		if g.Loss.Time > 0 {
			reason += fmt.Sprintf(", %v of it", g.Loss.Time.Round(100*time.Millisecond))
		}
		lines = append(lines, line{g.Stream, g.Span.From, fmt.Sprintf("%s\t%s\t%s\t-\t-\t-\t-\tgap: %s", timestamp(g.Span.From), to, lasted, reason)})
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.stream.Camera.ID, b.stream.Camera.ID), cmp.Compare(a.stream.Name, b.stream.Name), cmp.Compare(a.from, b.from))
	})
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CAMERA\tSTREAM\tFROM\tTO\tLENGTH\tCODEC\tSIZE\tSAMPLES\tPOOL\tNOTE")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.stream.Camera.ID, l.stream.Name, l.text)
	}
	return w.Flush()
}

// hasCamera reports whether the ring or the configuration knows the camera.
func hasCamera(conf *config.Config, v archive, id string) bool {
	return slices.Contains(cameraIDs(conf, v), id)
}

func unknownCamera(conf *config.Config, v archive, id string) error {
	return &notFoundError{fmt.Errorf("no camera %q; there are: %v", id, cameraIDs(conf, v))}
}

func cameraIDs(conf *config.Config, v archive) []string {
	var ids []string
	for _, c := range conf.Cameras {
		ids = append(ids, c.ID)
	}
	for _, s := range v.Streams() {
		ids = append(ids, s.Camera.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
