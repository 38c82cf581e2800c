package store

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

	"nvr/internal/media"
)

// rosterName is the file in which each volume of several remembers all of them.
// It tells a volume whose disk is not mounted, in whose empty directory no ring
// must be made (the system's disk would take it), from one that is new.
const rosterName = "archive.json"

// roster is which ring belongs to which volume.
type roster map[string]media.UUID

type rosterText struct {
	Format  int    `json:"format"`
	Volumes roster `json:"volumes"`
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
		return nil
	}
	var mu sync.Mutex
	found := make([]roster, len(a.members))
	a.onEach(func(m *member) {
		b, err := m.dir().ReadFile(rosterName)
		if err != nil {
			return
		}
		var t rosterText
		if err := json.Unmarshal(b, &t); err != nil {
			a.log.Warn("a volume's list of volumes is not readable; it will be written again", "volume", m.Name, "error", err)
		}
		mu.Lock()
		defer mu.Unlock()
		found[m.number] = t.Volumes
	})
	mu.Lock()
	defer mu.Unlock()
	known := roster{}
	for _, r := range found {
		for name, id := range r {
			if _, ok := known[name]; !ok {
				known[name] = id
			}
		}
	}
	return known
}

// remember brings the lists of those volumes up to date that are there.
func (a *Archive) remember(known roster) {
	if len(a.members) == 1 {
		return
	}
	a.rosterMu.Lock()
	defer a.rosterMu.Unlock()
	now := roster{}
	for _, m := range a.members {
		id, ok := known[m.Name]
		if v := m.volume.Load(); v != nil {
			if ok && id != v.ring.UUID {
				a.log.Warn("a volume has another ring than it had", "volume", m.Name, "was", id, "is", v.ring.UUID)
			}
			id, ok = v.ring.UUID, true
		}
		if ok {
			now[m.Name] = id
		}
	}
	text, err := json.MarshalIndent(rosterText{1, now}, "", "  ")
	if err != nil {
		panic("store: the list of volumes is no JSON: " + err.Error())
	}
	text = append(text, '\n')
	a.onEach(func(m *member) {
		if m.volume.Load() == nil || m.Retired {
			return
		}
		d := m.dir()
		if old, err := d.ReadFile(rosterName); err == nil && bytes.Equal(old, text) {
			return
		}
		if err := d.Replace(rosterName, text); err != nil {
			a.log.Warn("the list of volumes could not be written", "volume", m.Name, "error", err)
		}
	})
}
