package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"nvr/internal/config"
	"nvr/internal/simulate"
)

// demoCmd is make run: simulated cameras and the recorder in one process.
type demoCmd struct {
	Dir     string  `default:"demo" help:"Directory for the configuration and the ring."`
	Cameras int     `default:"4" help:"Number of cameras."`
	Bitrate bitrate `default:"1M" help:"Bits a second of each."`
}

// A ring that wraps within minutes.
const (
	demoPools  = 8
	demoPoolMB = 16
)

func (v demoCmd) Run(c *console) error {
	if v.Cameras < 1 {
		return usagef("--cameras is at least 1")
	}
	server, err := simulate.New(simulate.Options{Cameras: v.Cameras, Bitrate: int(v.Bitrate), Audio: simulate.AudioAAC, Log: c.log})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.MkdirAll(v.Dir, 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	path := filepath.Join(v.Dir, "config.toml")
	if err := os.WriteFile(path, []byte(v.configuration(server)), 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	c.configPath = path
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	simulated := make(chan error, 1)
	serving, stop := context.WithCancel(context.WithoutCancel(c.ctx)) // the cameras outlive the recorder: it says goodbye
	defer stop()
	go func() { simulated <- server.Run(serving) }()
	v.hints(c, conf)
	err = c.record(conf, func(ctx context.Context, r *recorder) { r.show(ctx, c) })
	stop()
	if serverErr := <-simulated; err == nil {
		err = serverErr
	}
	return err
}

// configuration is one that a person could have written.
func (v demoCmd) configuration(server *simulate.Server) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by the demo at each start: the cameras' port changes.\n\n[storage]\nbase_path = \"ring\"\nchunk_size_mb = %d\nmax_pools = %d\nsegment_duration_secs = 10\n", demoPoolMB, demoPools)
	for n := range v.Cameras {
		fmt.Fprintf(&b, "\n[[cameras]]\nid = \"cam%d\"\nname = \"Simulated camera %d\"\nurl = %q\n", n+1, n+1, server.URL(n+1))
	}
	return b.String()
}

func (v demoCmd) hints(c *console, conf *config.Config) {
	program, err := os.Executable()
	if err != nil {
		program = "nvr"
	}
	if here, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(here, program); err == nil && len(relative) < len(program) {
			program = "." + string(filepath.Separator) + relative
		}
	}
	p := newPlan(len(conf.Cameras), v.Bitrate, demoPools, demoPoolMB)
	fmt.Fprintf(c.out, `%d simulated cameras of %s are being recorded into %s:
%d pools of %d MiB, so the oldest footage is overwritten after about %s.

Meanwhile, in another terminal:
    %[7]s --config %[8]s status
    %[7]s --config %[8]s list --from -1m
    %[7]s --config %[8]s export --camera cam1 --from -30s -o clip.mp4

Ctrl-C ends it.

`, len(conf.Cameras), v.Bitrate, conf.Storage.BasePath, demoPools, demoPoolMB, p.depth(), program, c.configPath)
}

// show prints a line a second until ctx ends.
func (r *recorder) show(ctx context.Context, c *console) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	const beats = 4 // seconds over which the rate is taken: the writer's beat is 0.8 s
	var written []int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := r.archive.Status().Volumes[0]
		written = append(written, s.Written)
		written = written[max(0, len(written)-beats-1):]
		rate := float64(s.Written-written[0]) / max(1, float64(len(written)-1))
		var b strings.Builder
		fmt.Fprintf(&b, "%s  pool %03d of %d at %8s  %8s/s", c.now().Format(time.TimeOnly), max(0, s.ActivePool), s.Pools,
			humanize.IBytes(uint64(s.Position)), humanize.Bytes(uint64(rate)))
		for _, st := range s.Streams {
			fmt.Fprintf(&b, "  %s %5.0f s", st.Camera, st.Depth)
		}
		fmt.Fprintln(c.out, b.String())
	}
}
