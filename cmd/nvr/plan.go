package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"nvr/internal/config"
	"nvr/internal/store"
)

type planCmd struct {
	Cameras int     `placeholder:"N" help:"Number of cameras (default: the enabled ones of the configuration)."`
	Bitrate bitrate `default:"1M" placeholder:"RATE" help:"Bits a second of each camera: 800k, 1M, 4.5M (default: 1M)."`
	Pools   int     `placeholder:"N" help:"Number of pool files (default: max_pools)."`
	PoolMB  int     `name:"pool-mb" placeholder:"MIB" help:"Size of each in MiB (default: chunk_size_mb)."`
	Keep    string  `placeholder:"TIME" help:"Work out the pools that keep so much instead: 36h, 30d."`
	Table   bool    `help:"Print a table of usual sizes."`
	JSON    bool    `help:"Print JSON."`
}

// Help is shown below the usage line.
func (planCmd) Help() string {
	return `How long a ring lasts until the oldest footage is overwritten. What is not given comes from the configuration.

The figure is what is kept at least: the pool that is being overwritten does not count, nor does what headers, checksums and padding take.

Examples:
    nvr plan --cameras 4 --bitrate 1M --pools 20 --pool-mb 512
    nvr plan --bitrate 4M               # the cameras and the ring of config.toml
    nvr plan --cameras 16 --bitrate 4M --pool-mb 1024 --keep 30d
    nvr plan --table`
}

// bitrate is bits a second.
type bitrate float64

// UnmarshalText reads 800k, 1M, 4.5 Mbit/s, 64000.
func (b *bitrate) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(strings.ToLower(string(text)))
	for _, unit := range []string{"bit/s", "bits/s", "bps", "b/s"} {
		s = strings.TrimSuffix(s, unit)
	}
	s = strings.TrimSpace(s)
	factor := 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "m": 1e6, "g": 1e9} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = strings.TrimSpace(number), f
			break
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n*factor >= 1000 && n*factor <= 1e10) {
		return fmt.Errorf("%q is no bitrate: write 800k, 1M or 4.5M (bits a second)", text)
	}
	*b = bitrate(n * factor)
	return nil
}

func (b bitrate) String() string { return humanize.SIWithDigits(float64(b), 3, "bit/s") }

// plan is a ring and what is recorded into it.
type plan struct {
	Cameras       int     `json:"cameras"`
	BitsPerSecond float64 `json:"bits_per_second"` // of each camera
	Pools         int     `json:"pools"`
	PoolMB        int     `json:"pool_mb"`
	DiskBytes     int64   `json:"disk_bytes"`
	BytesPerDay   int64   `json:"bytes_per_day"`
	DepthSeconds  int64   `json:"depth_seconds"` // kept at least
	Volume        string  `json:"volume,omitempty"`
}

// archivePlan is a plan for several volumes: what they come to, and each.
type archivePlan struct {
	plan
	Volumes  []plan    `json:"volumes"`
	Promises []promise `json:"promises"`
}

// What a pool holds besides footage: its first MiB, and what commits and
// records cost (docs/format.md). overheadShare is more than that comes to with
// cameras of 1 Mbit/s, because cameras send a little more than they are set to.
const (
	poolHeadBytes = 1 << 20
	commitsCost   = 2800 // bytes a second: headers and padding
	cameraCost    = 460  // bytes a second: directory and footer
	overheadShare = 0.025
)

func newPlan(cameras int, rate bitrate, pools, poolMB int) plan {
	p := plan{Cameras: cameras, BitsPerSecond: float64(rate), Pools: pools, PoolMB: poolMB}
	footage := p.bytesPerSecond()
	written := footage + max(commitsCost+float64(cameras)*cameraCost, footage*overheadShare/(1-overheadShare))
	p.DiskBytes = int64(pools) * int64(poolMB) << 20
	p.BytesPerDay = int64(footage * 24 * 3600)
	p.DepthSeconds = int64(float64(pools-1) * (float64(poolMB)*(1<<20) - poolHeadBytes) / written)
	return p
}

func (p plan) bytesPerSecond() float64 { return float64(p.Cameras) * p.BitsPerSecond / 8 }

// depth is the time for people, rounded down: a promise.
func (p plan) depth() string { return roughly(time.Duration(p.DepthSeconds) * time.Second) }

func roughly(d time.Duration) string {
	floor := func(x, step float64) string {
		return strconv.FormatFloat(math.Floor(x/step)*step, 'f', -1, 64)
	}
	switch h := d.Hours(); {
	case h < 1:
		return floor(d.Minutes(), 1) + " min"
	case h < 10:
		return floor(h, 0.5) + " h"
	case h < 100:
		return floor(h, 1) + " h"
	}
	return floor(d.Hours()/24, 0.5) + " days"
}

// storageTable has the sizes of the README's storage table.
var storageTable = []struct{ cameras, pools, poolMB int }{
	{4, 20, 512},
	{4, 80, 512},
	{16, 80, 512},
	{150, 100, 1024},
}

func (v planCmd) Run(c *console) error {
	if v.Table {
		return v.table(c)
	}
	conf, err := v.fill(c)
	if err != nil {
		return err
	}
	if conf != nil && (len(conf.Storage.More) > 0 || promises(conf)) {
		return v.archive(c, conf)
	}
	if v.Cameras < 1 || v.Pools < 2 || v.PoolMB < 8 {
		return usagef("a ring has at least 1 camera, 2 pools and 8 MiB in each: got --cameras %d --pools %d --pool-mb %d", v.Cameras, v.Pools, v.PoolMB)
	}
	if v.Cameras > 1e6 || v.Pools > 1e6 || v.PoolMB > 1e6 {
		return usagef("a million cameras, pools or MiB in a pool is the limit")
	}
	p := newPlan(v.Cameras, v.Bitrate, v.Pools, v.PoolMB)
	if v.Keep != "" {
		keep, err := parseDuration(v.Keep)
		if err != nil || keep <= 0 {
			return usagef("--keep: %q is no time: write 36h or 30d", v.Keep)
		}
		one := newPlan(v.Cameras, v.Bitrate, 1001, v.PoolMB) // 1000 that count: whole seconds are too coarse for one
		pools := math.Ceil(keep.Seconds() / float64(one.DepthSeconds) * 1000)
		p = newPlan(v.Cameras, v.Bitrate, 1+max(1, int(pools)), v.PoolMB)
	}
	if v.JSON {
		return c.printJSON(p)
	}
	return p.print(c, v.Bitrate)
}

func (p plan) print(c *console, rate bitrate) error {
	_, err := fmt.Fprintf(c.out, "%d cameras × %s = %s/s, %s a day\n%d pools × %d MiB = %s of disk, allocated at the first start\nkeeps at least %s (%s) of every camera\n",
		p.Cameras, rate, humanize.Bytes(uint64(p.bytesPerSecond())), humanize.Bytes(uint64(p.BytesPerDay)),
		p.Pools, p.PoolMB, humanize.IBytes(uint64(p.DiskBytes)), p.depth(), time.Duration(p.DepthSeconds)*time.Second)
	return err
}

// archive plans for what the configuration says of volumes and promises.
func (v planCmd) archive(c *console, conf *config.Config) error {
	count := map[string]int{}
	for _, volume := range spread(conf) {
		count[volume]++
	}
	var all archivePlan
	for _, volume := range conf.Storage.Volumes() {
		p := newPlan(count[volume.Name], v.Bitrate, volume.MaxPools, volume.ChunkSizeMB)
		p.Volume = volume.Name
		if p.Cameras == 0 {
			p.DepthSeconds = 0
		} else if all.DepthSeconds == 0 || p.DepthSeconds < all.DepthSeconds {
			all.DepthSeconds = p.DepthSeconds
		}
		all.Cameras += p.Cameras
		all.Pools += p.Pools
		all.DiskBytes += p.DiskBytes
		all.BytesPerDay += p.BytesPerDay
		all.Volumes = append(all.Volumes, p)
	}
	all.BitsPerSecond, all.PoolMB = float64(v.Bitrate), conf.Storage.ChunkSizeMB
	var measured store.ArchiveStatus
	if promises(conf) {
		measured = c.measured(conf)
	}
	all.Promises = newPromises(conf, measured, v.Bitrate)
	if v.JSON {
		return c.printJSON(all)
	}
	for i, p := range all.Volumes {
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		if len(all.Volumes) > 1 {
			fmt.Fprintf(c.out, "volume %s:\n", p.Volume)
		}
		if p.Cameras == 0 {
			fmt.Fprintf(c.out, "no cameras; %d pools × %d MiB = %s of disk\n", p.Pools, p.PoolMB, humanize.IBytes(uint64(p.DiskBytes)))
			continue
		}
		if err := p.print(c, v.Bitrate); err != nil {
			return err
		}
	}
	return printPromises(c.out, all.Promises)
}

// fill takes from the configuration what the flags leave open. When they say
// nothing of the ring, it returns the configuration: there may be more to it.
func (v *planCmd) fill(c *console) (*config.Config, error) {
	if v.Cameras != 0 && v.Pools != 0 && v.PoolMB != 0 {
		return nil, nil
	}
	whole := v.Cameras == 0 && v.Pools == 0 && v.PoolMB == 0 && v.Keep == ""
	if _, err := os.Stat(c.configPath); errors.Is(err, fs.ErrNotExist) {
		if v.Cameras == 0 || v.Pools == 0 && v.Keep == "" {
			return nil, usagef("there is no %s to take the rest from: give --cameras, --pools and --pool-mb, or name a file with --config", c.configPath)
		}
		v.Pools, v.PoolMB = max(v.Pools, 2), cmp.Or(v.PoolMB, 512)
		return nil, nil
	}
	conf, err := c.loadConfig()
	if err != nil {
		return nil, err
	}
	v.Cameras = cmp.Or(v.Cameras, enabled(conf))
	v.Pools, v.PoolMB = cmp.Or(v.Pools, conf.Storage.MaxPools), cmp.Or(v.PoolMB, conf.Storage.ChunkSizeMB)
	if whole && v.Cameras > 0 {
		return conf, nil
	}
	return nil, nil
}

func (v planCmd) table(c *console) error {
	plans := make([]plan, len(storageTable))
	for i, row := range storageTable {
		plans[i] = newPlan(row.cameras, v.Bitrate, row.pools, row.poolMB)
	}
	if v.JSON {
		return c.printJSON(plans)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CAMERAS\tEACH\tPOOLS\tDISK\tKEEPS ABOUT")
	for _, p := range plans {
		fmt.Fprintf(w, "%d\t%s\t%d × %d MiB\t%s\t%s\n", p.Cameras, v.Bitrate, p.Pools, p.PoolMB, humanize.IBytes(uint64(p.DiskBytes)), p.depth())
	}
	return w.Flush()
}
