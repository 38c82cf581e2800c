package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"nvr/internal/config"
	"nvr/internal/store"
)

// promise is a camera's min_days, and what its volume keeps. The ring is shared:
// what all cameras of the volume send decides.
type promise struct {
	Camera   string  `json:"camera"`
	MinDays  int     `json:"min_days"`
	Volume   string  `json:"volume"`
	Days     float64 `json:"keeps_days"` // at least; 0: not known
	Measured bool    `json:"measured"`   // by what the cameras sent lately, not by what they are taken to send
	Kept     bool    `json:"kept"`
}

// spread says which volume each enabled camera goes to when nothing is known of
// what they send: the one it names, else the one with the fewest.
func spread(conf *config.Config) map[string]string {
	at, count := map[string]string{}, map[string]int{}
	for _, c := range conf.Cameras {
		if c.Enabled && c.Volume != "" {
			at[c.ID] = c.Volume
			count[c.Volume]++
		}
	}
	for _, c := range conf.Cameras {
		if !c.Enabled || c.Volume != "" {
			continue
		}
		best := ""
		for _, v := range conf.Storage.Volumes() {
			if !v.Retired && (best == "" || count[v.Name] < count[best]) {
				best = v.Name
			}
		}
		at[c.ID] = best
		count[best]++
	}
	return at
}

// promises reports whether any camera has min_days.
func promises(conf *config.Config) bool {
	for _, c := range conf.Cameras {
		if c.Enabled && c.MinDays > 0 {
			return true
		}
	}
	return false
}

// newPromises weighs min_days against what is written to the volumes: what was
// measured (s may be empty), else each camera sends assumed (0: nothing is said).
func newPromises(conf *config.Config, s store.ArchiveStatus, assumed bitrate) []promise {
	at := spread(conf)
	volumes := conf.Storage.Volumes()
	for _, st := range s.Streams { // it knows better where cameras are
		if _, ok := at[st.Camera]; ok {
			at[st.Camera] = volumes[st.Volume].Name
		}
	}
	for _, p := range s.Cameras {
		if _, ok := at[p.Camera]; ok {
			at[p.Camera] = p.Home
		}
	}
	cameras := map[string]int{}
	for _, c := range conf.Cameras {
		if c.Enabled && c.Volume != "" {
			at[c.ID] = c.Volume
		}
		if c.Enabled {
			cameras[at[c.ID]]++
		}
	}
	all := []promise{}
	for _, c := range conf.Cameras {
		if !c.Enabled || c.MinDays == 0 {
			continue
		}
		p := promise{Camera: c.ID, MinDays: c.MinDays, Volume: at[c.ID]}
		v, _ := conf.Storage.Find(p.Volume)
		n := cameras[v.Name]
		rate := float64(n) * float64(assumed) / 8
		for _, st := range s.Volumes {
			if st.Name != v.Name {
				continue
			}
			v.MaxPools = max(v.MaxPools, st.Pools) // it may have grown since the configuration was read
			if st.Rate > 0 {
				rate, p.Measured = st.Rate, true
			}
		}
		if rate > 0 {
			days := newPlan(n, bitrate(rate*8/float64(n)), v.MaxPools, v.ChunkSizeMB).DepthSeconds
			p.Days = float64(days) / 86400
			p.Kept = p.Days >= float64(c.MinDays)
		}
		all = append(all, p)
	}
	return all
}

func (p promise) String() string {
	how := "at the assumed bitrate"
	if p.Measured {
		how = "at the measured bitrate"
	}
	switch {
	case p.Days == 0:
		return fmt.Sprintf("%s: min_days = %d: not known: nothing was recorded lately", p.Camera, p.MinDays)
	case p.Kept:
		return fmt.Sprintf("%s: min_days = %d: kept: volume %s keeps %s days %s", p.Camera, p.MinDays, p.Volume, floored(p.Days), how)
	}
	return fmt.Sprintf("%s: min_days = %d: CANNOT BE KEPT: volume %s keeps %s days %s", p.Camera, p.MinDays, p.Volume, floored(p.Days), how)
}

// floored is a number of days, rounded down: a promise.
func floored(days float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", math.Floor(days*10)/10), ".0")
}

func printPromises(w io.Writer, all []promise) error {
	for i, p := range all {
		if i == 0 {
			fmt.Fprintln(w)
		}
		if _, err := fmt.Fprintln(w, p); err != nil {
			return err
		}
	}
	return nil
}

// measured is what the archive knows of the cameras' bitrates, if it is there.
func (c *console) measured(conf *config.Config) store.ArchiveStatus {
	a, err := c.openForReading(conf)
	if err != nil {
		return store.ArchiveStatus{}
	}
	defer a.Close()
	return a.Status()
}
