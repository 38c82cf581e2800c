// Package vault is the files of a vault: the register of locks, and files that
// hold what is kept of a pool. It knows how they are written and what their names
// mean; what goes into them is the store's to say.
package vault

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// DirName is the directory of the vault, beside the pool files.
const DirName = "vault"

// RegisterName is the file of the locks. It is there before any file of footage.
const RegisterName = "locks.json"

// Limits of a register.
const (
	MaxLocks  = 1000
	MaxReason = 500     // bytes of a lock's reason
	maxParts  = 100_000 // of all locks: 20 MB of register

	// maxRemoved is how many removed locks are remembered, so that a volume which
	// was away meanwhile does not bring them back.
	maxRemoved = 1000

	idLength = 6
)

// Instant is a wall time, ns UTC; 0: none. In the register it is RFC 3339.
type Instant int64

// MarshalText is for JSON.
func (t Instant) MarshalText() ([]byte, error) {
	if t == 0 {
		return nil, nil
	}
	return time.Unix(0, int64(t)).UTC().AppendFormat(nil, time.RFC3339Nano), nil
}

// UnmarshalText is for JSON.
func (t *Instant) UnmarshalText(b []byte) error {
	if *t = 0; len(b) == 0 {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return err
	}
	if year := at.UTC().Year(); year < 1970 || year > 2200 {
		return fmt.Errorf("the year %d", year)
	}
	*t = Instant(at.UnixNano())
	return nil
}

// Lock says that the footage of a camera between two instants is to be kept.
type Lock struct {
	ID      string  `json:"id"`
	Camera  string  `json:"camera"` // its id
	From    Instant `json:"from"`
	To      Instant `json:"to"`
	Start   Instant `json:"start"` // From, or before it the sync sample with which decoding begins
	Reason  string  `json:"reason"`
	By      string  `json:"by,omitempty"` // who asked for it
	Made    Instant `json:"made"`
	Until   Instant `json:"until,omitzero"`   // 0: until it is removed
	Expired Instant `json:"expired,omitzero"` // since when nothing is kept for it any more

	// Next is the first generation of the ring that was not searched to its end for
	// footage of the lock; Complete says that none will come any more. Rate is what the camera sent when the lock was made, bytes a second: by it the
	// room is reckoned that is wanted for what is still to come.
	Next     uint64 `json:"next"`
	Rate     int64  `json:"rate,omitempty"`
	Complete bool   `json:"complete"`
	Parts    []Part `json:"parts,omitempty"`
}

// Span is what the lock keeps, with what is needed to decode it.
func (l *Lock) Span() media.Span { return media.Span{From: int64(l.Start), To: int64(l.To)} }

// Part is what one life of one pool holds of a lock's footage.
type Part struct {
	Pool       uint32  `json:"pool"`
	Generation uint64  `json:"generation"`
	From       Instant `json:"from"`
	To         Instant `json:"to"`
	Bytes      int64   `json:"bytes"`          // of payload
	Size       int64   `json:"size"`           // of a file of nothing else
	Done       bool    `json:"done"`           // nothing more is to be copied
	File       bool    `json:"file"`           // when it is done: a file has it, but for what is lost
	Lost       []Loss  `json:"lost,omitempty"` // what could not be kept
}

// Of reports whether the part lies in that life of that pool.
func (p *Part) Of(pool uint32, generation uint64) bool {
	return p.Pool == pool && p.Generation == generation
}

// Span is where the part lies.
func (p *Part) Span() media.Span { return media.Span{From: int64(p.From), To: int64(p.To)} }

// Loss is a span that could not be kept, and why.
type Loss struct {
	From  Instant `json:"from"`
	To    Instant `json:"to"`
	Bytes int64   `json:"bytes,omitempty"` // 0: not known
	Why   string  `json:"why"`
}

// Removed is a lock that was.
type Removed struct {
	ID string  `json:"id"`
	At Instant `json:"at"`
}

// Register is the locks of a volume. Values of it that were published are never
// changed: see Clone.
type Register struct {
	Format  int       `json:"format"`
	Locks   []Lock    `json:"locks"`
	Removed []Removed `json:"removed,omitempty"`
}

// Decode reads a register. What makes no sense is an error: nothing may be given
// up because of a register that was misread.
func Decode(b []byte) (Register, error) {
	var r Register
	if err := json.Unmarshal(b, &r); err != nil {
		return r, err
	}
	if r.Format > pool.Version {
		return r, &pool.VersionError{Version: uint32(r.Format)}
	}
	if r.Format < 1 {
		return r, fmt.Errorf("no format version")
	}
	for i := range r.Locks {
		l := &r.Locks[i]
		if l.ID == "" || l.Camera == "" || l.From >= l.To || l.Start > l.From {
			return r, fmt.Errorf("lock %d (%q) makes no sense", i, l.ID)
		}
	}
	return r, nil
}

// Encode is the inverse of Decode.
func (r Register) Encode() []byte {
	r.Format = pool.Version
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		panic("vault: the register is no JSON: " + err.Error())
	}
	return append(b, '\n')
}

// Clone shares nothing that may be changed.
func (r Register) Clone() Register {
	r.Locks, r.Removed = slices.Clone(r.Locks), slices.Clone(r.Removed)
	for i := range r.Locks {
		r.Locks[i].Parts = slices.Clone(r.Locks[i].Parts)
	}
	return r
}

// Find returns the lock of that id; nil: there is none.
func (r Register) Find(id string) *Lock {
	for i := range r.Locks {
		if r.Locks[i].ID == id {
			return &r.Locks[i]
		}
	}
	return nil
}

// Remove takes a lock out and remembers that it was.
func (r *Register) Remove(id string, at Instant) {
	r.Locks = slices.DeleteFunc(r.Locks, func(l Lock) bool { return l.ID == id })
	if !r.WasRemoved(id) {
		r.Removed = append(r.Removed, Removed{id, at})
	}
	if n := len(r.Removed) - maxRemoved; n > 0 {
		r.Removed = slices.Delete(r.Removed, 0, n)
	}
}

// WasRemoved reports whether there was a lock of that id.
func (r Register) WasRemoved(id string) bool {
	return slices.ContainsFunc(r.Removed, func(x Removed) bool { return x.ID == id })
}

// Needs reports whether a lock has a part in that life of that pool, and whether
// all such parts are done.
func (r Register) Needs(pool uint32, generation uint64) (needed, done bool) {
	done = true
	for i := range r.Locks {
		for k := range r.Locks[i].Parts {
			if p := &r.Locks[i].Parts[k]; p.Of(pool, generation) {
				needed, done = true, done && p.Done
			}
		}
	}
	return needed, needed && done
}

// Room reports whether so many more parts may be registered.
func (r Register) Room(parts int) bool {
	for i := range r.Locks {
		parts += len(r.Locks[i].Parts)
	}
	return parts <= maxParts
}

// NewID returns a name for a lock: short, and easy to read aloud.
func NewID() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789"
	b := make([]byte, idLength)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}
