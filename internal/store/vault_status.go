package store

import (
	"cmp"
	"slices"

	"nvr/internal/media"
	"nvr/internal/store/vault"
)

// LockState is how far a lock is.
type LockState string

// The states of a lock.
const (
	LockPending LockState = "pending" // not all of it is in the vault, or recorded, yet
	LockKept    LockState = "kept"    // all that there was is in the vault
	LockLost    LockState = "lost"    // some could not be kept: see Lost; the rest is in the vault
	LockExpired LockState = "expired" // its time is over; nothing is kept for it any more
)

// LockStatus is what is known of a lock.
type LockStatus struct {
	LockRequest
	ID      string
	Made    int64
	State   LockState
	Bytes   int64 // of footage that was found so far
	Kept    int64 // of it in the vault
	Size    int64 // what that takes in the vault; what several locks share counts for each
	Lost    []LockLoss
	Volumes []string // that hold some of it, where there are several
	Trouble string   // why copying does not get on
	Notes   []string // what else there is to say
}

// LockLoss is a span that could not be kept, and why.
type LockLoss struct {
	Span media.Span
	Why  string
}

// locks lists the locks as this volume knows them.
func (v *Volume) locks() []LockStatus {
	k := v.kept()
	var list []LockStatus
	for i := range k.register.Locks {
		list = append(list, v.lockStatus(k, &k.register.Locks[i]))
	}
	return list
}

func (v *Volume) lockStatus(k *kept, l *vault.Lock) LockStatus {
	s := LockStatus{ID: l.ID, Made: int64(l.Made), State: LockKept,
		LockRequest: LockRequest{Camera: l.Camera, Span: media.Span{From: int64(l.From), To: int64(l.To)}, Reason: l.Reason, By: l.By, Until: int64(l.Until)}}
	if l.Expired > 0 {
		s.State = LockExpired
		return s
	}
	pending := !l.Complete
	for _, p := range l.Parts {
		s.Bytes += p.Bytes
		f := k.file(p.Pool, p.Generation)
		switch {
		case !p.Done:
			pending = true
			s.Size += p.Size
			if n := v.keeper.copying.Load(); n != nil && p.Of(n.Pool, n.Generation) {
				s.Kept += min(p.Bytes, v.keeper.copied.Load())
			}
		case p.File && f == nil:
			s.Lost = append(s.Lost, LockLoss{p.Span(), "its file is not in the vault any more"})
		default:
			if f != nil {
				s.Size += f.size
				s.Kept += p.Bytes
			}
			for _, x := range p.Lost {
				s.Lost = append(s.Lost, LockLoss{media.Span{From: int64(x.From), To: int64(x.To)}, x.Why})
				s.Kept = max(0, s.Kept-x.Bytes)
			}
		}
	}
	switch {
	case pending:
		s.State = LockPending
	case len(s.Lost) > 0:
		s.State = LockLost
	}
	if why := v.keeper.trouble.Load(); pending && why != nil {
		s.Trouble = *why
	}
	return s
}

// joinLocks lists the locks of several volumes as one list.
func joinLocks(volumes []*Volume, names []string) []LockStatus {
	all := []LockStatus{}
	at := map[string]int{}
	for i, v := range volumes {
		for _, l := range v.locks() {
			if l.Bytes > 0 && len(names) > 1 {
				l.Volumes = []string{names[i]}
			}
			n, known := at[l.ID]
			if !known {
				at[l.ID] = len(all)
				all = append(all, l)
				continue
			}
			s := &all[n]
			s.Bytes, s.Kept, s.Size = s.Bytes+l.Bytes, s.Kept+l.Kept, s.Size+l.Size
			s.Lost, s.Volumes = append(s.Lost, l.Lost...), append(s.Volumes, l.Volumes...)
			s.Trouble = cmp.Or(s.Trouble, l.Trouble)
			if l.State == LockPending || l.State == LockLost && s.State != LockPending {
				s.State = l.State
			}
		}
	}
	for i := range all {
		slices.SortFunc(all[i].Lost, func(a, b LockLoss) int { return cmp.Compare(a.Span.From, b.Span.From) })
	}
	slices.SortStableFunc(all, func(a, b LockStatus) int { return cmp.Compare(a.Made, b.Made) })
	return all
}

// VaultStatus is what Status tells of the vault.
type VaultStatus struct {
	Max     int64  `json:"max_bytes"`
	Used    int64  `json:"used_bytes"`
	Locks   int    `json:"locks"`
	Pending int    `json:"pending_locks"`
	Lost    int    `json:"locks_with_losses"`
	Trouble string `json:"trouble,omitempty"` // why copying does not get on, or the register cannot be read
}

func (v *Volume) vaultStatus() VaultStatus {
	k := v.kept()
	s := VaultStatus{Max: v.o.VaultBytes, Used: k.used(), Locks: len(k.register.Locks)}
	for _, l := range v.locks() {
		if l.State == LockPending {
			s.Pending++
		}
		if len(l.Lost) > 0 {
			s.Lost++
		}
		s.Trouble = cmp.Or(s.Trouble, l.Trouble)
	}
	if k.err != nil {
		s.Trouble = "the register of locks is of no use: " + k.err.Error()
	}
	return s
}
