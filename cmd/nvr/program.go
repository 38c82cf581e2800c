package main

import (
	"fmt"
	"os/exec"

	"nvr/internal/config"
	"nvr/internal/ingest"
)

// The environment variables in which a program gets the camera's username and
// password: other users of the machine see its arguments, and not these.
const (
	envUsername = "NVR_USERNAME"
	envPassword = "NVR_PASSWORD"
)

// program is what is run for a camera that is no URL, else nil.
func program(c config.Camera) *ingest.Program {
	if len(c.Program.Command) == 0 {
		return nil
	}
	p := &ingest.Program{Command: c.Program.Arguments(), Format: c.Program.Format, RTPMap: c.Program.RTPMap}
	if c.Username != "" {
		p.Env = append(p.Env, envUsername+"="+c.Username)
	}
	if !c.Password.IsZero() {
		p.Env = append(p.Env, envPassword+"="+c.Password.Reveal())
	}
	for _, s := range c.Secrets() {
		p.Secrets = append(p.Secrets, s.Reveal())
	}
	return p
}

// programsMissing warns of programs that are not installed.
func programsMissing(conf *config.Config) (warnings []string) {
	for _, c := range conf.Cameras {
		if p := program(c); p != nil {
			if _, err := exec.LookPath(p.Command[0]); err != nil {
				warnings = append(warnings, fmt.Sprintf("camera %s runs %q, which is not installed here", c.ID, p.Command[0]))
			}
		}
	}
	return warnings
}
