package main

import (
	"fmt"
	"strings"

	"nvr/internal/config"
	"nvr/internal/doctor"
)

type doctorCmd struct {
	JSON      bool `help:"Print JSON."`
	WriteTest bool `help:"Also write: 8 MiB into a file without a name beside the pools, to see how fast it is synced."`
}

// Help is shown below the usage line.
func (doctorCmd) Help() string {
	return `Looks at the machine and at the directory for footage before they disappoint: file system, mount options, space, disk, clock, limits. Each finding is ok, advice, a warning or a problem, and says what to do. Nothing is written, unless --write-test is given. Run it as the user that records. Exit code 1 when there is a problem.

Examples:
    nvr doctor
    sudo -u nvr nvr --config /etc/nvr/config.toml doctor --write-test`
}

func (v doctorCmd) Run(c *console) error {
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	findings := doctor.Examine(doctor.Host{}, doctorOptions(c, conf, v.WriteTest))
	if v.JSON {
		err = c.printJSON(struct {
			Worst    doctor.Severity  `json:"worst"`
			Findings []doctor.Finding `json:"findings"`
		}{doctor.Worst(findings), findings})
	} else {
		err = printFindings(c, findings)
	}
	if n := doctor.Count(findings, doctor.Problem); err == nil && n > 0 {
		return fmt.Errorf("%s found", count(n, "problem", "problems"))
	}
	return err
}

func doctorOptions(c *console, conf *config.Config, writeTest bool) doctor.Options {
	o := doctor.Options{
		ConfigFile:     c.configPath,
		Cameras:        enabled(conf),
		Streams:        recorded(conf),
		MemoryBytes:    memoryBase + int64(recorded(conf))*memoryPerStream,
		CommitInterval: conf.Storage.CommitInterval,
		WriteTest:      writeTest,
	}
	for _, v := range conf.Storage.Volumes() {
		o.Volumes = append(o.Volumes, doctor.Volume{Dir: v.BasePath, Pools: v.MaxPools, PoolBytes: v.PoolBytes()})
	}
	for _, camera := range conf.Cameras {
		udp := camera.Transport == "udp" || camera.Transport == "multicast"
		o.Datagrams = o.Datagrams || camera.Enabled && udp
		o.HasPasswords = o.HasPasswords || len(camera.Secrets()) > 0
	}
	return o
}

func printFindings(c *console, findings []doctor.Finding) error {
	for _, f := range findings {
		what := f.Check
		if f.Subject != "" {
			what += ", " + f.Subject
		}
		if _, err := fmt.Fprintf(c.out, "%-8s %s: %s\n", f.Severity, what, f.Message); err != nil {
			return err
		}
		if f.Remedy != "" {
			fmt.Fprintf(c.out, "%-8s → %s\n", "", f.Remedy)
		}
	}
	var parts []string
	for _, of := range []struct {
		severity  doctor.Severity
		one, many string
	}{{doctor.Problem, "problem", "problems"}, {doctor.Warning, "warning", "warnings"}, {doctor.Advice, "piece of advice", "pieces of advice"}} {
		parts = append(parts, count(doctor.Count(findings, of.severity), of.one, of.many))
	}
	_, err := fmt.Fprintf(c.out, "%s; %d ok\n", strings.Join(parts, ", "), doctor.Count(findings, doctor.OK))
	return err
}

// count is "1 problem", "2 problems".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
