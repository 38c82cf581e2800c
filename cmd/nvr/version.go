package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// version is set by the Makefile: -ldflags "-X main.version=…".
var version string

type versionCmd struct {
	JSON bool `help:"Print JSON."`
}

func (v versionCmd) Run(c *console) error {
	if v.JSON {
		return c.printJSON(map[string]string{"version": versionNumber(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintln(c.out, versionText())
	return err
}

func versionText() string {
	return fmt.Sprintf("nvr %s (%s %s/%s)", versionNumber(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// versionNumber is what the Makefile says, or the commit that go build knows of.
func versionNumber() string {
	if version != "" {
		return version
	}
	commit, dirty := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-dirty"
			}
		}
	}
	if commit == "" {
		return "devel"
	}
	return commit + dirty
}

// built is a time before which this program was not: that of the commit, or of this
// line where that is not known.
func built() time.Time {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				at = t
			}
		}
	}
	return at
}

// printJSON is how every command prints data.
func (c *console) printJSON(v any) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	if c.outIsTerminal {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}
