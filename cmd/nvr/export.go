package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"nvr/internal/config"
	"nvr/internal/media"
	"nvr/internal/play"
)

type exportCmd struct {
	poolFlags
	Camera string `required:"" placeholder:"ID" help:"Camera to export."`
	Stream string `default:"main" placeholder:"NAME" help:"Its stream (default: main)."`
	From   string `placeholder:"T" help:"First instant (default: the oldest there is)."`
	To     string `placeholder:"T" help:"Instant at which it ends (default: the newest there is)."`
	Output string `short:"o" placeholder:"FILE" help:"File to write, - for stdout (default: CAMERA_FROM.mp4 here)."`
	Gaps   string `enum:"hold,skip" default:"hold" help:"hold: the last picture stands still, file time is wall time; skip: gaps are closed (default: hold)."`
	JSON   bool   `help:"Print what was exported as JSON."`
}

// Help is shown below the usage line.
func (exportCmd) Help() string {
	return `Writes an MP4 (moov first) with all tracks, cut exactly to the range by an edit list; nothing is recoded. Works while recording, up to the last commit. The file appears under its name when it is complete, never before.

` + helpPools + `

Examples:
    nvr export --camera cam1 --from -10m
    nvr export --camera cam1 --from 2026-02-19T14:00:00Z --to 2026-02-19T14:05:00Z -o burglary.mp4
    nvr export --camera cam1 --from -1h --gaps skip -o - | ffplay -
    nvr export --camera cam1 -o all.mp4 --pool /mnt/rescued/pool_*.bin

` + timeHelp
}

// exportReport is what nvr export --json prints.
type exportReport struct {
	File     string        `json:"file"`
	Camera   string        `json:"camera"`
	Stream   string        `json:"stream"`
	From     string        `json:"from"`
	To       string        `json:"to"`
	Duration float64       `json:"duration_secs"`
	Bytes    int64         `json:"bytes"`
	Video    int64         `json:"video_samples"`
	Audio    int64         `json:"audio_samples"`
	Runs     int           `json:"runs"`
	Gaps     []exportedGap `json:"gaps"`
	MoreGaps int           `json:"more_gaps"`
	Damaged  int           `json:"damaged_records"`
	Unfit    int           `json:"unfit_records"`
}

type exportedGap struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (v exportCmd) Run(c *console) error {
	toStdout := v.Output == "-"
	switch {
	case toStdout && c.outIsTerminal:
		return usagef("-o -: a terminal cannot show an MP4: name a file, or pipe it into a player")
	case toStdout && v.JSON:
		return usagef("-o - and --json both want stdout: name a file")
	}
	span, err := c.span(v.From, v.To)
	if err != nil {
		return err
	}
	conf, volume, err := v.open(c)
	if err != nil {
		return err
	}
	defer func() {
		if volume != nil {
			volume.Close()
		}
	}()
	stream, err := v.find(conf, volume)
	if err != nil {
		return err
	}
	o := play.ExportOptions{Stream: stream.ID(), Span: span, Title: stream.Camera.Name, Progress: c.progress("exporting")}
	if v.Gaps == "skip" {
		o.Gaps = play.Skip
	}
	name, result, err := v.write(c, o, volume, func() (play.Archive, error) {
		volume.Close()
		_, volume, err = v.open(c)
		return volume, err
	})
	switch {
	case errors.Is(err, play.ErrNoFootage):
		return &notFoundError{fmt.Errorf("no footage of %s in this range: nvr list --camera %s shows what there is", v.Camera, v.Camera)}
	case c.ctx.Err() != nil && err != nil:
		return errors.New("export: interrupted; no file was left behind")
	case err != nil:
		return fmt.Errorf("export: %w", err)
	}
	return v.report(c, name, result)
}

// find looks the stream up in the ring.
func (v exportCmd) find(conf *config.Config, volume archive) (*media.Stream, error) {
	var others []string
	for _, s := range volume.Streams() {
		switch {
		case s.Camera.ID == v.Camera && s.Name == v.Stream:
			return s, nil
		case s.Camera.ID == v.Camera:
			others = append(others, s.Name)
		}
	}
	switch {
	case len(others) > 0:
		return nil, &notFoundError{fmt.Errorf("%s has no stream %q; there are: %v", v.Camera, v.Stream, others)}
	case hasCamera(conf, volume, v.Camera):
		return nil, &notFoundError{fmt.Errorf("no footage of %s in this range: nothing of it was ever recorded into this ring", v.Camera)}
	}
	return nil, unknownCamera(conf, volume, v.Camera)
}

// attempts to export a range whose beginning is being overwritten meanwhile.
const exportAttempts = 3

func (v exportCmd) write(c *console, o play.ExportOptions, archive play.Archive, reopen func() (play.Archive, error)) (name string, result play.Result, err error) {
	if v.Output == "-" {
		result, err = play.Export(c.ctx, archive, c.out, o)
		return "-", result, err
	}
	for attempt := 1; ; attempt++ {
		name, result, err = v.writeFile(c.ctx, archive, o)
		if !errors.Is(err, media.ErrOverwritten) || c.ctx.Err() != nil || attempt == exportAttempts {
			return name, result, err
		}
		fmt.Fprintln(c.err, "the oldest footage was overwritten meanwhile; trying again without it")
		// What is there now only a new look at the ring can tell.
		if archive, err = reopen(); err != nil {
			return name, result, err
		}
	}
}

// writeFile makes the file under a name that nobody takes for a whole one, and
// gives it its own name when every byte is on the disk.
func (v exportCmd) writeFile(ctx context.Context, archive play.Archive, o play.ExportOptions) (name string, result play.Result, err error) {
	dir := filepath.Dir(v.Output)
	o.TempDir = dir
	clip, err := play.Plan(ctx, archive, o)
	if err != nil {
		return "", play.Result{}, err
	}
	defer clip.Close()
	name = v.Output
	if name == "" {
		from := time.Unix(0, clip.Result().Span.From).UTC().Format("20060102T150405Z")
		name = fmt.Sprintf("%s_%s.mp4", v.Camera, from)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+".partial-*")
	if err != nil {
		return "", play.Result{}, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(0o644); err != nil {
		return "", play.Result{}, err
	}
	if err := clip.WriteTo(ctx, f); err != nil {
		return "", play.Result{}, err
	}
	if err := f.Sync(); err != nil {
		return "", play.Result{}, err
	}
	if err := f.Close(); err != nil {
		return "", play.Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return "", play.Result{}, err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return "", play.Result{}, err
	}
	return name, clip.Result(), syncDir(dir)
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (v exportCmd) report(c *console, name string, r play.Result) error {
	if v.JSON {
		report := exportReport{name, v.Camera, v.Stream, timestamp(r.Span.From), timestamp(r.Span.To), r.Duration.Seconds(), r.Bytes,
			r.Video, r.Audio, r.Runs, []exportedGap{}, r.MoreGaps, r.Damaged, r.Unfit}
		for _, g := range r.Gaps {
			report.Gaps = append(report.Gaps, exportedGap{timestamp(g.From), timestamp(g.To)})
		}
		return c.printJSON(report)
	}
	var to io.Writer = c.out
	if name == "-" {
		to = c.err
	}
	fmt.Fprintf(to, "%s: %s, %s to %s, %s\n", name, r.Duration.Round(time.Millisecond), timestamp(r.Span.From), timestamp(r.Span.To), humanize.Bytes(uint64(r.Bytes)))
	for _, g := range r.Gaps {
		fmt.Fprintf(c.err, "gap from %s to %s (%s)\n", timestamp(g.From), timestamp(g.To), g.Duration().Round(time.Millisecond))
	}
	if r.MoreGaps > 0 {
		fmt.Fprintf(c.err, "and %d more gaps: nvr list --camera %s\n", r.MoreGaps, v.Camera)
	}
	if r.Damaged > 0 {
		fmt.Fprintf(c.err, "%d records were damaged on the disk and are blank\n", r.Damaged)
	}
	if r.Unfit > 0 {
		fmt.Fprintf(c.err, "%d records were left out: an MP4 cannot carry their codec\n", r.Unfit)
	}
	return nil
}
