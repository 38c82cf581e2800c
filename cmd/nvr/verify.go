package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"nvr/internal/store"
)

type verifyCmd struct {
	poolFlags
	Volume        string `placeholder:"NAME" help:"Only this volume."`
	RepairFooters bool   `help:"First write the footers again that are missing or damaged. Not while recording."`
	Rate          string `default:"50M" placeholder:"N" help:"Read at most N bytes per second, 0: as fast as the disk gives (default: 50M)."`
	JSON          bool   `help:"Print JSON."`
}

// Help is shown below the usage line.
func (verifyCmd) Help() string {
	return `Reads everything and compares it with its checksums: superblocks, groups, directories, every payload, footers. Reports what is damaged by camera and time. Works while recording: at idle priority, around the page cache; what is overwritten meanwhile and the last commit are left out. Exit code 0: all is well, 1: something is damaged. docs/damage.md says what to do.

` + helpPools + `

Examples:
    nvr verify
    nvr verify --rate 20M --json
    nvr verify --repair-footers
    nvr verify --pool /mnt/rescued/pool_*.bin`
}

// verifyDocument is what nvr verify --json prints.
type verifyDocument struct {
	OK      bool           `json:"ok"`
	Volumes []verifyReport `json:"volumes"`
}

type verifyReport struct {
	Volume      string             `json:"volume,omitempty"`
	Dir         string             `json:"dir,omitempty"`
	Pools       int                `json:"pools"`
	Kept        int                `json:"vault_files"`
	Groups      int64              `json:"groups"`
	Records     int64              `json:"records"`
	Bytes       int64              `json:"bytes"`
	Seconds     float64            `json:"secs"`
	Overwritten int                `json:"overwritten_pools"`
	Walked      []int              `json:"pools_without_footer"`
	Repaired    []int              `json:"repaired_footers"`
	PassedOver  []*store.PoolFault `json:"passed_over"`
	Damaged     int                `json:"damaged_records"`
	Damage      []verifyDamage     `json:"damage"`
	Faults      []verifyFault      `json:"faults"`
}

type verifyDamage struct {
	Camera  string `json:"camera,omitempty"` // empty: not known
	Stream  string `json:"stream,omitempty"`
	From    string `json:"from"`
	To      string `json:"to"`
	Records int    `json:"records"` // 0: not known
	Bytes   int64  `json:"bytes"`
	Pools   []int  `json:"pools"`
}

type verifyFault struct {
	Pool   int    `json:"pool"`
	File   string `json:"file,omitempty"` // not the ring's, but one of the vault
	Offset int64  `json:"offset"`
	What   string `json:"what"`
	Reason string `json:"reason"`
}

func (v verifyCmd) Run(c *console) error {
	rate, err := humanize.ParseBytes(v.Rate)
	if err != nil || rate > 1<<40 {
		return usagef("--rate %s: bytes per second, such as 20M", v.Rate)
	}
	files, err := v.files()
	if err != nil {
		return err
	}
	d := verifyDocument{OK: true, Volumes: []verifyReport{}}
	if len(files) > 0 {
		err = v.loose(c, &d, files, int64(rate))
	} else {
		err = v.configured(c, &d, int64(rate))
	}
	if err != nil {
		return err
	}
	if v.JSON {
		err = c.printJSON(d)
	} else {
		err = d.print(c)
	}
	if err != nil || d.OK {
		return err
	}
	records, places, passed := 0, 0, 0
	for _, r := range d.Volumes {
		records, places, passed = records+r.Damaged, places+len(r.Faults), passed+len(r.PassedOver)
	}
	return fmt.Errorf("verify: %d records damaged; %d damaged places; %d pool files passed over", records, places, passed)
}

func (v verifyCmd) loose(c *console, d *verifyDocument, files []string, rate int64) error {
	if v.RepairFooters || v.Volume != "" {
		return usagef("--repair-footers and --volume are for rings: loose pool files are never written")
	}
	loose, err := c.openLoose(files)
	if err != nil {
		return err
	}
	defer loose.Close()
	return d.add(c, verifyReport{}, rate, loose.Verify)
}

func (v verifyCmd) configured(c *console, d *verifyDocument, rate int64) error {
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	found, several := false, len(conf.Storage.Volumes()) > 1
	var names []string
	for _, volume := range conf.Storage.Volumes() {
		names = append(names, volume.Name)
		if v.Volume != "" && volume.Name != v.Volume {
			continue
		}
		found = true
		o := volumeOptions(conf, volume, time.Time{}, c.log).Options
		report := verifyReport{Dir: volume.BasePath}
		if several {
			report.Volume = volume.Name
		}
		if v.RepairFooters {
			if report.Repaired, err = store.RepairFooters(c.ctx, o); err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("--repair-footers: %w", err)
			}
		}
		ring, err := store.OpenReadOnly(o)
		if errors.Is(err, store.ErrNotFound) {
			return noRing(volume.BasePath)
		}
		if err != nil {
			return err
		}
		err = d.add(c, report, rate, ring.Verify)
		ring.Close()
		if err != nil {
			return err
		}
	}
	if !found {
		return &notFoundError{fmt.Errorf("no volume %q; there are: %v", v.Volume, names)}
	}
	return nil
}

// verifier is Verify of a volume or of loose files.
type verifier func(context.Context, store.VerifyOptions) (store.VerifyReport, error)

// add verifies a volume, or what stands for one.
func (d *verifyDocument) add(c *console, out verifyReport, rate int64, verify verifier) error {
	began := c.now()
	r, err := verify(c.ctx, store.VerifyOptions{Rate: rate, Progress: c.progress("verifying " + out.Volume)})
	if c.ctx.Err() != nil {
		return errors.New("verify: interrupted")
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	out.Pools, out.Groups, out.Records, out.Bytes, out.Seconds = r.Pools, r.Groups, r.Records, r.Bytes, c.now().Sub(began).Seconds()
	out.Kept = r.Kept
	out.Overwritten, out.Walked, out.Damaged = r.Overwritten, append([]int{}, r.Walked...), r.DamagedRecords()
	out.Repaired = append([]int{}, out.Repaired...)
	out.PassedOver = append([]*store.PoolFault{}, r.Unusable...)
	out.Damage, out.Faults = []verifyDamage{}, []verifyFault{}
	for _, x := range r.Damage {
		damage := verifyDamage{From: timestamp(x.Span.From), To: timestamp(x.Span.To), Records: x.Records, Bytes: x.Bytes, Pools: x.Pools}
		if x.Stream != nil {
			damage.Camera, damage.Stream = x.Stream.Camera.ID, x.Stream.Name
		}
		out.Damage = append(out.Damage, damage)
	}
	for _, f := range r.Faults {
		out.Faults = append(out.Faults, verifyFault(f))
	}
	d.OK = d.OK && r.OK()
	d.Volumes = append(d.Volumes, out)
	return nil
}

// shownFaults is how many damaged places are told of in words; --json has all.
const shownFaults = 20

func (d *verifyDocument) print(c *console) error {
	for i := range d.Volumes {
		r := &d.Volumes[i]
		if r.Dir != "" {
			fmt.Fprintf(c.out, "%s: ", r.Dir)
		}
		kept := ""
		if r.Kept > 0 {
			kept = fmt.Sprintf(" and %d files in the vault", r.Kept)
		}
		fmt.Fprintf(c.out, "%d records in %d groups of %d pools%s were read, %s in %s\n", r.Records, r.Groups, r.Pools, kept, humanize.IBytes(uint64(r.Bytes)), length(r.Seconds))
		if r.Overwritten > 0 {
			fmt.Fprintf(c.out, "%d pools were overwritten meanwhile and are left out\n", r.Overwritten)
		}
		for _, n := range r.Repaired {
			fmt.Fprintf(c.out, "pool %03d: the footer was written again\n", n)
		}
		if len(r.Walked) > 0 {
			fmt.Fprintf(c.out, "%d older pools have no footer and are walked at each start: nvr verify --repair-footers writes them\n", len(r.Walked))
		}
		for _, f := range r.PassedOver {
			fmt.Fprintln(c.out, f)
		}
		for k, f := range r.Faults {
			if k == shownFaults {
				fmt.Fprintf(c.out, "and %d more damaged places: --json lists all\n", len(r.Faults)-k)
				break
			}
			fmt.Fprintf(c.out, "%s offset %d: %s: %s\n", cmp.Or(f.File, fmt.Sprintf("pool %03d", f.Pool)), f.Offset, f.What, f.Reason)
		}
		if len(r.Damage) == 0 {
			fmt.Fprintln(c.out, "no footage is damaged")
			continue
		}
		w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "CAMERA\tSTREAM\tFROM\tTO\tRECORDS\tSIZE\tPOOLS")
		for _, x := range r.Damage {
			records := fmt.Sprint(x.Records)
			if x.Camera == "" {
				x.Camera, x.Stream, records = "not known", "-", "not known"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%v\n", x.Camera, x.Stream, x.From, x.To, records, humanize.IBytes(uint64(x.Bytes)), x.Pools)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
