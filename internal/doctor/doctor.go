// Package doctor looks at the machine and at the directories for footage before
// they disappoint: each finding says what was seen and what to do about it. It
// reads /proc, /sys and what the file systems tell of themselves, and writes
// nothing, unless a write test is asked for.
package doctor

import (
	"fmt"
	"slices"
	"time"
)

// Severity is how bad a finding is. The zero value is good news.
type Severity int

// From good to bad.
const (
	OK      Severity = iota
	Advice           // works; could be better
	Warning          // works until something happens
	Problem          // does not work, or footage that was called durable is not
)

var severityNames = [...]string{"ok", "advice", "warning", "problem"}

func (s Severity) String() string { return severityNames[s] }

// MarshalText makes it a word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that was looked at.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"`             // what was looked at: clock, mount, space…
	Subject  string   `json:"subject,omitempty"` // the directory, file or disk; empty: the machine
	Message  string   `json:"message"`
	Remedy   string   `json:"remedy,omitempty"` // of everything that is not OK
}

// Options is what the recorder will ask of the machine.
type Options struct {
	Volumes        []Volume
	ConfigFile     string
	HasPasswords   bool // in the configuration, however they got there
	Cameras        int  // that are enabled
	Streams        int  // that are recorded: each is a connection; 0: one of each camera
	Datagrams      bool // some of them may send by UDP
	MemoryBytes    int64
	CommitInterval time.Duration
	WriteTest      bool // write, sync and remove a file of a few MiB in each volume
}

// Volume is a directory for footage.
type Volume struct {
	Dir       string // absolute
	Pools     int
	PoolBytes int64
}

func (v Volume) bytes() int64 { return int64(v.Pools) * v.PoolBytes }

// Examine looks at everything and returns what it found, volume by volume, the
// machine last.
func Examine(sys System, o Options) []Finding {
	e := &exam{System: sys, o: o}
	e.readMounts()
	for _, v := range o.Volumes {
		e.volume(v)
	}
	e.shared()
	e.configFile()
	e.clock()
	e.network()
	e.openFiles()
	e.memory()
	e.swap()
	e.processor()
	return e.findings
}

// Worst is the most severe of the findings.
func Worst(findings []Finding) Severity {
	worst := OK
	for _, f := range findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Count says how many findings are of this severity.
func Count(findings []Finding, s Severity) int {
	n := 0
	for _, f := range findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// exam is one look at a machine.
type exam struct {
	System
	o        Options
	mounts   []mount
	disks    map[string][]string // of each volume's directory: the disks below it
	findings []Finding
}

func (e *exam) find(s Severity, check, subject, message, remedy string) {
	e.findings = append(e.findings, Finding{s, check, subject, message, remedy})
}

func (e *exam) ok(check, subject, format string, a ...any) {
	e.find(OK, check, subject, fmt.Sprintf(format, a...), "")
}

// shared finds volumes that share a disk.
func (e *exam) shared() {
	for i, v := range e.o.Volumes {
		for _, other := range e.o.Volumes[:i] {
			for _, d := range e.disks[v.Dir] {
				if slices.Contains(e.disks[other.Dir], d) {
					e.find(Warning, "disks", v.Dir, fmt.Sprintf("is on the same disk, %s, as %s: the heads go back and forth between two rings, and one failure takes both", d, other.Dir),
						"give each volume a disk of its own, or make one volume of the two")
				}
			}
		}
	}
}

// size is a number of bytes for people.
func size(bytes int64) string {
	const units = "KMGTPE"
	if bytes < 1<<10 {
		return fmt.Sprintf("%d B", bytes)
	}
	x, u := float64(bytes)/(1<<10), 0
	for x >= 1<<10 && u < len(units)-1 {
		x, u = x/(1<<10), u+1
	}
	if x >= 100 {
		return fmt.Sprintf("%.0f %ciB", x, units[u])
	}
	return fmt.Sprintf("%.3g %ciB", x, units[u])
}
