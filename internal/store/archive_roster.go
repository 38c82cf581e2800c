package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/ring"
)

// rosterName is the file in which each volume of several remembers all of them
// and which cameras belong to which, so that an outage does not move them for
// good. It tells a volume whose disk is not mounted, in whose empty directory no ring
// must be made (the system's disk would take it), from one that is new.
const rosterName = "archive.json"

// roster is which ring belongs to which volume, and which camera.
type roster struct {
	Format  int                   `json:"format"`
	Serial  int                   `json:"serial"` // the highest is the newest
	Volumes map[string]media.UUID `json:"volumes"`
	Homes   map[media.UUID]string `json:"homes"` // of cameras for which the configuration names none
}

// rosterPatience is how long the lists of volumes are waited for: a disk that
// hangs must not hold the others up.
const rosterPatience = 2 * time.Second

// onEach does something with the directory of each member, all at the same time,
// and returns when it is done or rosterPatience is over.
func (a *Archive) onEach(do func(*member)) {
	done := make(chan struct{}, len(a.members))
	for _, m := range a.members {
		go func() {
			do(m)
			done <- struct{}{}
		}()
	}
	patience := time.After(rosterPatience)
	for range a.members {
		select {
		case <-done:
		case <-patience:
			return
		}
	}
}

// roster reads what the volumes that can be read remember.
func (a *Archive) roster() roster {
	if len(a.members) == 1 {
		return roster{}
	}
	var mu sync.Mutex
	found := make([]roster, len(a.members))
	a.onEach(func(m *member) {
		b, err := m.dir().ReadFile(rosterName)
		if err != nil {
			return
		}
		var r roster
		if err := json.Unmarshal(b, &r); err != nil {
			a.log.Warn("a volume's list of volumes is not readable; it will be written again", "volume", m.Name, "error", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		found[m.number] = r
	})
	mu.Lock()
	defer mu.Unlock()
	slices.SortStableFunc(found, func(a, b roster) int { return cmp.Compare(a.Serial, b.Serial) })
	known := roster{Volumes: map[string]media.UUID{}}
	for _, r := range found {
		maps.Copy(known.Volumes, r.Volumes)
		if r.Serial > 0 {
			known.Serial, known.Homes = r.Serial, r.Homes
		}
	}
	return known
}

// remember brings the lists of those volumes up to date that are there. What they
// say is read first: one that comes back may know more, or less.
func (a *Archive) remember() {
	if len(a.members) == 1 {
		return
	}
	a.rosterMu.Lock()
	defer a.rosterMu.Unlock()
	known := a.roster()
	now := roster{Format: 1, Serial: known.Serial, Volumes: map[string]media.UUID{}, Homes: map[media.UUID]string{}}
	maps.Copy(now.Homes, known.Homes)
	a.mu.Lock()
	for camera, h := range a.homes {
		if h.chosen {
			now.Homes[camera] = h.member.Name
		}
	}
	a.moved = false
	a.mu.Unlock()
	for _, m := range a.members {
		id, ok := known.Volumes[m.Name]
		if v := m.volume.Load(); v != nil {
			if ok && id != v.ring.UUID {
				a.log.Warn("a volume has another ring than it had", "volume", m.Name, "was", id, "is", v.ring.UUID)
			}
			id, ok = v.ring.UUID, true
		}
		if ok {
			now.Volumes[m.Name] = id
		}
	}
	if !maps.Equal(now.Volumes, known.Volumes) || !maps.Equal(now.Homes, known.Homes) {
		now.Serial++
	}
	text, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		panic("store: the list of volumes is no JSON: " + err.Error())
	}
	text = append(text, '\n')
	a.onEach(func(m *member) {
		d := m.dir()
		if m.Retired || !m.there() || !ring.Exists(d) { // below an empty mount point nothing is made
			return
		}
		if old, err := d.ReadFile(rosterName); err == nil && bytes.Equal(old, text) {
			return
		}
		if err := d.Replace(rosterName, text); err != nil {
			a.log.Warn("the list of volumes could not be written", "volume", m.Name, "error", err)
		}
	})
}
