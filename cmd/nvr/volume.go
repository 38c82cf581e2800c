package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dustin/go-humanize"

	"nvr/internal/config"
	"nvr/internal/control"
	"nvr/internal/store"
)

// volumeCmd changes the rings of a configuration. The configuration itself is
// the user's: it is never written.
type volumeCmd struct {
	Add    volumeAddCmd    `cmd:"" help:"Make the ring of a volume that the configuration names."`
	Grow   volumeGrowCmd   `cmd:"" help:"Add pools to a ring, up to the max_pools of the configuration."`
	Retire volumeRetireCmd `cmd:"" help:"Say how to retire a volume, and what it still holds."`
}

type volumeAddCmd struct {
	Name string `arg:"" help:"Name of the volume."`
}

// Help is shown below the usage line.
func (volumeAddCmd) Help() string {
	return `Makes the ring of a volume that the configuration names. nvr record does that too for a volume that is new; it does not where it knew a ring that is gone, because the disk may only not be mounted. When a disk was replaced, this is the word that a new ring is wanted. A running recorder takes the volume in within 10 s if its configuration has it, else at its next start.

Examples:
    nvr volume add disk2`
}

func (v volumeAddCmd) Run(c *console) error {
	conf, volume, err := c.findVolume(v.Name)
	if err != nil {
		return err
	}
	if volume.Retired {
		return usagef("volume %s is retired: take retired = true out of %s first", v.Name, c.configPath)
	}
	o := volumeOptions(conf, volume, c.now(), c.log).Options
	o.Progress = c.progress("making the ring")
	if store.Exists(o) {
		_, err := fmt.Fprintf(c.out, "volume %s has a ring already, in %s\n", v.Name, volume.BasePath)
		return err
	}
	for _, warning := range sameDisk(conf) {
		fmt.Fprintln(c.err, "warning:", warning)
	}
	made, err := store.Open(c.ctx, o)
	if err != nil {
		return explain(err)
	}
	if err := made.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "volume %s: %d pools of %d MiB, %s, made in %s\n", v.Name, volume.MaxPools, volume.ChunkSizeMB,
		humanize.IBytes(uint64(int64(volume.MaxPools)*volume.PoolBytes())), volume.BasePath)
	return err
}

type volumeGrowCmd struct {
	Name string `arg:"" help:"Name of the volume."`
}

// Help is shown below the usage line.
func (volumeGrowCmd) Help() string {
	return `Adds pools to a ring until it has as many as the configuration says: raise max_pools first, then grow. The recorder may go on: it adds the pools itself, in the background, and needs no restart. What the ring holds stays; the new pools are used when the ring comes to them. SIGINT ends it: the ring is what it was, and the room is given back. When the power fails meanwhile the ring is what it was, or has grown; do it again.

A ring cannot shrink, and its pools keep their size. For a smaller one add a volume, set retired = true for the old one, and remove that when its footage is old enough.

Examples:
    nvr volume grow main`
}

func (v volumeGrowCmd) Run(c *console) error {
	conf, volume, err := c.findVolume(v.Name)
	if err != nil {
		return err
	}
	progress := c.progress("adding pools")
	had, err := c.askToGrow(conf, volume, progress)
	alone := errors.Is(err, control.ErrNotRunning)
	if alone {
		o := volumeOptions(conf, volume, c.now(), c.log).Options
		o.Progress = progress
		had, err = store.Grow(c.ctx, o)
	}
	var inUse *store.InUseError
	switch {
	case err != nil && c.ctx.Err() != nil && alone:
		return fmt.Errorf("volume grow: interrupted; the ring is what it was: %w", err)
	case err != nil && c.ctx.Err() != nil:
		return errors.New("volume grow: interrupted; the recorder gives the room back, unless it had just finished: nvr status tells how many pools there are")
	case errors.Is(err, store.ErrNotFound):
		return &notFoundError{fmt.Errorf("volume %s has no ring in %s yet: nvr record or nvr volume add makes it", v.Name, volume.BasePath)}
	case errors.As(err, &inUse):
		return fmt.Errorf("%w, and no recorder answers there: if one is just starting, or another command at work, try again when it is ready, else end it first", err)
	case err != nil:
		return explain(err)
	case had == volume.MaxPools:
		_, err = fmt.Fprintf(c.out, "volume %s has %d pools already: raise max_pools in %s first\n", v.Name, had, c.configPath)
		return err
	}
	_, err = fmt.Fprintf(c.out, "volume %s: %d pools of %d MiB, %d before; the new ones are used when the ring comes to them\n", v.Name, volume.MaxPools, volume.ChunkSizeMB, had)
	return err
}

// growth is what askGrow wants: that the ring of this volume has so many pools.
type growth struct {
	Volume    string `json:"volume"`
	Dir       string `json:"dir"`
	Pools     int    `json:"pools"`
	PoolBytes int64  `json:"pool_bytes"`
}

// growthDone is what comes of it.
type growthDone struct {
	Had int `json:"had"` // pools before
}

// askToGrow has the running recorder add the pools; control.ErrNotRunning when
// there is none.
func (c *console) askToGrow(conf *config.Config, v config.Volume, progress func(done, total int64)) (had int, err error) {
	if progress == nil {
		progress = func(int64, int64) {} // it may take its time all the same
	}
	answer, err := ask(c.ctx, conf, askGrow, growth{v.Name, v.BasePath, v.MaxPools, v.PoolBytes()}, progress)
	if err != nil {
		return 0, err
	}
	var done growthDone
	if err := json.Unmarshal(answer, &done); err != nil {
		return 0, fmt.Errorf("the recorder is of another version: %w", err)
	}
	return done.Had, nil
}

// grow does in the recorder what askToGrow asks for, until the command that asked
// goes away.
func (r *recorder) grow(ctx context.Context, args json.RawMessage, progress func(done, total int64)) (growthDone, error) {
	var g growth
	if err := json.Unmarshal(args, &g); err != nil {
		return growthDone{}, fmt.Errorf("%s: %w", askGrow, err)
	}
	had, err := r.archive.Grow(ctx, store.VolumeOptions{Name: g.Volume, Options: store.Options{Dir: g.Dir, Pools: g.Pools, PoolBytes: g.PoolBytes, Progress: progress}})
	if err != nil {
		return growthDone{}, &control.Error{Text: err.Error(), Exit: exitCode(explain(err))}
	}
	return growthDone{had}, nil
}

type volumeRetireCmd struct {
	Name string `arg:"" help:"Name of the volume."`
}

// Help is shown below the usage line.
func (volumeRetireCmd) Help() string {
	return `A retired volume is read and never written. The configuration says so, with retired = true in the volume's table; this tells what it still holds, and when it can be removed.

Examples:
    nvr volume retire disk1`
}

func (v volumeRetireCmd) Run(c *console) error {
	conf, volume, err := c.findVolume(v.Name)
	if err != nil {
		return err
	}
	if !volume.Retired {
		return usagef("volume %s is in service: write retired = true into its table in %s and start nvr record again; its cameras then go to the other volumes", v.Name, c.configPath)
	}
	o := volumeOptions(conf, volume, c.now(), c.log).Options
	ring, err := store.OpenReadOnly(o)
	if errors.Is(err, store.ErrNotFound) {
		_, err = fmt.Fprintf(c.out, "volume %s has no ring in %s: take its table out of %s\n", v.Name, volume.BasePath, c.configPath)
		return err
	}
	if err != nil {
		return err
	}
	defer ring.Close()
	s := ring.Status()
	if s.Newest == 0 {
		_, err = fmt.Fprintf(c.out, "volume %s is retired and holds nothing: take its table out of %s\n", v.Name, c.configPath)
		return err
	}
	fmt.Fprintf(c.out, "volume %s is retired; it holds %s from %s to %s:\n", v.Name, humanize.IBytes(uint64(s.UsedBytes)), timestamp(s.Oldest), timestamp(s.Newest))
	for _, st := range s.Streams {
		fmt.Fprintf(c.out, "  %s %s until %s\n", st.Camera, st.Stream, timestamp(st.Newest))
	}
	if s.Vault.Used > 0 {
		fmt.Fprintf(c.out, "  and %s in its vault, for %d locks (nvr lock list)\n", humanize.IBytes(uint64(s.Vault.Used)), s.Vault.Locks)
	}
	_, err = fmt.Fprintf(c.out, "when none of that is needed any more, take its table out of %s and delete %s\n", c.configPath, volume.BasePath)
	return err
}

// findVolume looks a volume up in the configuration.
func (c *console) findVolume(name string) (*config.Config, config.Volume, error) {
	conf, err := c.loadConfig()
	if err != nil {
		return nil, config.Volume{}, err
	}
	v, ok := conf.Storage.Find(name)
	if !ok {
		var names []string
		for _, v := range conf.Storage.Volumes() {
			names = append(names, v.Name)
		}
		return nil, v, &notFoundError{fmt.Errorf("no volume %q; there are: %v; to have another one, write into %s:\n\n[[storage.volumes]]\nname = %q\nbase_path = \"…\"", name, names, c.configPath, name)}
	}
	return conf, v, nil
}

// sameDisk tells of volumes that are on one file system: they share its head and
// its fate.
func sameDisk(conf *config.Config) (warnings []string) {
	on := map[uint64]string{}
	for _, v := range conf.Storage.Volumes() {
		var st syscall.Stat_t
		path := v.BasePath
		for {
			if err := syscall.Stat(path, &st); !errors.Is(err, os.ErrNotExist) || path == filepath.Dir(path) {
				break
			}
			path = filepath.Dir(path)
		}
		if first, ok := on[st.Dev]; ok {
			warnings = append(warnings, fmt.Sprintf("volumes %s and %s are on the same file system: they slow each other down and fail together (is a disk not mounted?)", first, v.Name))
		} else if st.Dev != 0 {
			on[st.Dev] = v.Name
		}
	}
	return warnings
}
