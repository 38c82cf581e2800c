package main

import (
	"errors"
	"fmt"

	"nvr/internal/config"
)

type checkConfigCmd struct {
	JSON bool `help:"Print JSON."`
}

// Help is shown below the usage line.
func (checkConfigCmd) Help() string {
	return `Reads the configuration and tells everything that is wrong with it, each with file, line, column, key and remedy. Where cameras have min_days, it reads from the rings what was recorded lately and says whether they can keep that. Nothing is started, nothing is written.

Examples:
    nvr check-config
    nvr --config /etc/nvr.toml check-config --json`
}

func (v checkConfigCmd) Run(c *console) error {
	if !v.JSON {
		conf, err := c.loadConfig()
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s is valid: %d of %d cameras enabled, %d pools of %d MiB in %s\n",
			c.configPath, enabled(conf), len(conf.Cameras), conf.Storage.MaxPools, conf.Storage.ChunkSizeMB, conf.Storage.BasePath)
		for _, volume := range conf.Storage.More {
			retired := ""
			if volume.Retired {
				retired = ", retired"
			}
			fmt.Fprintf(c.out, "volume %s: %d pools of %d MiB in %s%s\n", volume.Name, volume.MaxPools, volume.ChunkSizeMB, volume.BasePath, retired)
		}
		for _, warning := range sameDisk(conf) {
			fmt.Fprintln(c.err, "warning:", warning)
		}
		for _, warning := range programsMissing(conf) {
			fmt.Fprintln(c.err, "warning:", warning)
		}
		return printPromises(c.out, v.promises(c, conf))
	}
	conf, warnings, err := config.Load(c.configPath, c.env)
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return &usageError{err}
	}
	report := struct {
		Valid    bool            `json:"valid"`
		Problems config.Problems `json:"problems"`
		Warnings config.Problems `json:"warnings"`
		Promises []promise       `json:"promises,omitempty"`
	}{err == nil, append(config.Problems{}, problems...), append(config.Problems{}, warnings...), nil}
	if err == nil {
		report.Promises = v.promises(c, conf)
	}
	if err := c.printJSON(report); err != nil {
		return err
	}
	if err != nil {
		return &usageError{err}
	}
	return nil
}

// promises weighs min_days against what the ring says was recorded lately.
func (v checkConfigCmd) promises(c *console, conf *config.Config) []promise {
	if !promises(conf) {
		return nil
	}
	return newPromises(conf, c.measured(conf), 0)
}

// recorded counts the streams that are to be recorded.
func recorded(conf *config.Config) (n int) {
	for _, camera := range conf.Cameras {
		for _, s := range camera.Streams() {
			if s.Recorded {
				n++
			}
		}
	}
	return n
}

// enabled counts the cameras that are to be recorded.
func enabled(conf *config.Config) int {
	n := 0
	for _, camera := range conf.Cameras {
		if camera.Enabled {
			n++
		}
	}
	return n
}
