package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/ring"
	"nvr/internal/store/vault"
)

// Limits of locks.
const (
	MaxLockReason = vault.MaxReason

	// maxLockAhead is how far into the future a lock may reach: what is to come is
	// weighed by the rate of today.
	maxLockAhead = 7 * 24 * time.Hour

	// indexPatience is how long a lock waits for the index at the start.
	indexPatience = 30 * time.Second
)

// LockRequest is what is to be kept.
type LockRequest struct {
	Camera string // id
	Span   media.Span
	Reason string
	By     string
	Until  int64 // ns UTC; 0: until it is removed
}

// Errors of locks that a caller may want to tell apart.
var (
	// ErrNoLock says that there is no lock of that id.
	ErrNoLock = errors.New("no such lock")
	// ErrNothingToLock says that there is no footage in the span.
	ErrNothingToLock = errors.New("no footage of it")
	// ErrLockRequest says that the request makes no sense.
	ErrLockRequest = errors.New("impossible lock")
)

// VaultFullError says that a lock would not fit into the vault.
type VaultFullError struct {
	Volume string // empty: there is but one
	Max    int64
	Taken  int64 // promised to other locks, in the vault already or not
	Needed int64
	Locks  []LockStatus // what is in the way, largest first
}

func (e *VaultFullError) Error() string {
	var b strings.Builder
	b.WriteString("the vault ")
	if e.Volume != "" {
		fmt.Fprintf(&b, "of volume %s ", e.Volume)
	}
	mib := func(n int64) int64 { return (n + 1<<20 - 1) >> 20 }
	switch {
	case e.Max == 0:
		return b.String() + "is off: set vault_max_mb"
	case e.Needed > e.Max:
		fmt.Fprintf(&b, "holds %d MiB, and %d MiB are needed: raise vault_max_mb or lock less", e.Max>>20, mib(e.Needed))
	default:
		fmt.Fprintf(&b, "is full: %d of %d MiB are taken, and %d MiB are needed: remove a lock or raise vault_max_mb", mib(e.Taken), e.Max>>20, mib(e.Needed))
	}
	for i, l := range e.Locks {
		if i == 5 {
			fmt.Fprintf(&b, "; and %d more", len(e.Locks)-i)
			break
		}
		b.WriteString([]string{"; in the way: ", "; "}[min(i, 1)])
		fmt.Fprintf(&b, "lock %s (%s, %d MiB, %q)", l.ID, l.Camera, mib(l.Size), l.Reason)
	}
	return b.String()
}

func (r *LockRequest) check(now time.Time) error {
	switch {
	case r.Span.Empty():
		return fmt.Errorf("%w: nothing lies between its ends", ErrLockRequest)
	case strings.TrimSpace(r.Reason) == "":
		return fmt.Errorf("%w: it needs a reason", ErrLockRequest)
	case len(r.Reason) > MaxLockReason:
		return fmt.Errorf("%w: the reason has %d bytes, %d is the limit", ErrLockRequest, len(r.Reason), MaxLockReason)
	case strings.ContainsFunc(r.Reason, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return fmt.Errorf("%w: the reason has control characters", ErrLockRequest)
	case r.Span.To > now.Add(maxLockAhead).UnixNano():
		return fmt.Errorf("%w: it reaches more than %d days into the future", ErrLockRequest, int(maxLockAhead.Hours())/24)
	case r.Until != 0 && r.Until <= now.UnixNano():
		return fmt.Errorf("%w: its time is over already", ErrLockRequest)
	}
	return nil
}

// newLock makes a lock of a request.
func newLock(r LockRequest, start int64, now time.Time) vault.Lock {
	return vault.Lock{ID: vault.NewID(), Camera: r.Camera, From: vault.Instant(r.Span.From), To: vault.Instant(r.Span.To), Start: vault.Instant(min(start, r.Span.From)),
		Reason: r.Reason, By: r.By, Made: vault.Instant(now.UnixNano()), Until: vault.Instant(r.Until)}
}

// prepareLock finds a lock's footage on the volume, and makes sure that there is
// room for it. rate is what the camera sends, for what is still to come.
func (v *Volume) prepareLock(ctx context.Context, l *vault.Lock, rate float64) error {
	if err := v.vaultReady(ctx); err != nil {
		return err
	}
	k := v.kept()
	switch {
	case k.err != nil:
		return fmt.Errorf("%s: the register of locks is of no use (docs/locks.md): %w", v.dir.Path(), k.err)
	case v.o.VaultBytes <= 0:
		return &VaultFullError{}
	case len(k.register.Locks) >= vault.MaxLocks:
		return fmt.Errorf("%d locks: that is the limit: remove one first", len(k.register.Locks))
	}
	if _, err := v.plan(ctx, l); err != nil {
		return err
	}
	if !k.register.Room(len(l.Parts)) {
		return fmt.Errorf("the footage lies in %d pools: with other locks that is more than the register takes", len(l.Parts))
	}
	needed := int64(0)
	for _, p := range l.Parts {
		if !p.Done {
			needed += p.Size
		}
	}
	l.Rate = int64(rate)
	needed += v.bytesAhead(l)
	pending := v.pendingBytes(k)
	taken := k.used() + pending
	if taken+needed > v.o.VaultBytes {
		full := &VaultFullError{Max: v.o.VaultBytes, Taken: taken, Needed: needed, Locks: v.locks()}
		full.Locks = slices.DeleteFunc(full.Locks, func(l LockStatus) bool { return l.Size == 0 })
		slices.SortStableFunc(full.Locks, func(a, b LockStatus) int { return -cmp.Compare(a.Size, b.Size) })
		return full
	}
	free, err := v.dir.Free()
	if err != nil {
		return err
	}
	if free < pending+needed+vaultReserve {
		return fmt.Errorf("%s: %w: %d MiB are free, locks need %d MiB, and %d MiB are left free", v.dir.Path(), ErrNoSpace, free>>20, (pending+needed+1<<20-1)>>20, vaultReserve>>20)
	}
	return nil
}

// bytesAhead is what a lock will take of what is still to come.
func (v *Volume) bytesAhead(l *vault.Lock) int64 {
	ahead := int64(l.To) - max(int64(l.From), time.Now().UnixNano())
	if ahead <= 0 || l.Complete {
		return 0
	}
	bytes := int64(float64(l.Rate) * time.Duration(ahead).Seconds() * 1.05) // and the directories
	return bytes + (bytes/v.ring.Size+2)*vault.Size(0, 0)
}

// pendingBytes is what locks will take that is not in the vault yet.
func (v *Volume) pendingBytes(k *kept) (bytes int64) {
	for i := range k.register.Locks {
		bytes += v.bytesAhead(&k.register.Locks[i])
		for _, p := range k.register.Locks[i].Parts {
			if !p.Done {
				bytes += p.Size
			}
		}
	}
	return bytes
}

// registerLock makes a lock durable that was prepared.
func (v *Volume) registerLock(l vault.Lock) error {
	v.keeper.change.Lock()
	defer v.keeper.change.Unlock()
	if err := v.update(func(r *vault.Register) { r.Locks = append(r.Locks, l) }); err != nil {
		return err
	}
	v.wakeKeeper()
	return nil
}

// AddLock locks the footage of a camera: it returns when the lock is durable. What
// it covers is copied by Run, or by KeepNow.
func (v *Volume) AddLock(ctx context.Context, r LockRequest) (LockStatus, error) {
	return addLock(ctx, []*Volume{v}, nil, r, v.lockStart)
}

// RemoveLock gives up what only this lock keeps.
func (v *Volume) RemoveLock(ctx context.Context, id string) error {
	return removeLock(ctx, []*Volume{v}, id)
}

// Locks lists the locks, oldest first.
func (v *Volume) Locks() []LockStatus { return v.locks() }

// lockStarter is where decoding of a span of a camera begins, and whether there is
// any footage.
type lockStarter func(ctx context.Context, camera string, span media.Span) (start int64, found bool, err error)

func (v *Volume) lockStart(ctx context.Context, camera string, span media.Span) (int64, bool, error) {
	return lockStart(ctx, []view{v.view(0)}, camera, span)
}

func lockStart(ctx context.Context, views []view, camera string, span media.Span) (start int64, found bool, err error) {
	start = span.From
	for _, s := range mergedStreams(views) {
		if s.Camera.ID != camera {
			continue
		}
		for e, err := range mergedEntries(ctx, views, s.ID(), span) {
			if err != nil {
				return start, found, err
			}
			start, found = min(start, e.Wall), true
			if e.Wall >= span.From {
				break
			}
		}
	}
	return start, found, nil
}

// addLock locks footage that lies on several volumes. names (may be nil) are the
// volumes'.
func addLock(ctx context.Context, volumes []*Volume, names []string, r LockRequest, start lockStarter) (LockStatus, error) {
	now := time.Now()
	if err := r.check(now); err != nil {
		return LockStatus{}, err
	}
	for _, v := range volumes {
		if err := v.vaultReady(ctx); err != nil {
			return LockStatus{}, err
		}
	}
	begin, found, err := start(ctx, r.Camera, r.Span)
	if err != nil {
		return LockStatus{}, err
	}
	base := newLock(r, begin, now)
	plans := make([]vault.Lock, len(volumes))
	parts, sending := 0, false
	rates := make([]float64, len(volumes))
	for i, v := range volumes {
		rates[i] = v.rateOf(r.Camera)
		sending = sending || rates[i] > 0
	}
	for i, v := range volumes {
		if !sending && v.writer != nil {
			rates[i] = assumedRate
		}
		plans[i] = base
		err := v.prepareLock(ctx, &plans[i], rates[i])
		if full := (*VaultFullError)(nil); errors.As(err, &full) && len(names) > 1 {
			full.Volume = names[i]
		}
		if err != nil {
			return LockStatus{}, err
		}
		parts += len(plans[i].Parts)
	}
	if parts == 0 && !found && r.Span.To <= now.UnixNano() {
		return LockStatus{}, ErrNothingToLock
	}
	for i, v := range volumes {
		if err := v.registerLock(plans[i]); err != nil {
			for _, u := range volumes[:i] {
				_ = removeLock(context.WithoutCancel(ctx), []*Volume{u}, base.ID) // half a lock is none
			}
			return LockStatus{}, fmt.Errorf("nothing was locked: %w", err)
		}
	}
	return lockByID(joinLocks(volumes, names), base.ID)
}

func lockByID(all []LockStatus, id string) (LockStatus, error) {
	for _, l := range all {
		if l.ID == id {
			return l, nil
		}
	}
	return LockStatus{}, fmt.Errorf("lock %s: %w", id, ErrNoLock)
}

// rateOf is what a camera sends to the volume at present, bytes a second.
func (v *Volume) rateOf(camera string) (rate float64) {
	s := v.Status()
	for _, st := range s.Streams {
		if st.Camera == camera && s.Newest-st.Newest < int64(rateWindow) {
			rate += st.Rate
		}
	}
	return rate
}

// removeLock takes a lock out of the registers, durably, and then its footage away
// that no other needs.
func removeLock(ctx context.Context, volumes []*Volume, id string) error {
	found := false
	for _, v := range volumes {
		if err := poll(ctx, v.keeper.loaded.Load); err != nil {
			return err
		}
		if v.kept().register.Find(id) == nil {
			continue
		}
		found = true
		if err := v.removeLock(id); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("lock %s: %w", id, ErrNoLock)
	}
	return nil
}

func (v *Volume) removeLock(id string) error {
	v.keeper.change.Lock()
	defer v.keeper.change.Unlock()
	if err := v.update(func(r *vault.Register) { r.Remove(id, vault.Instant(time.Now().UnixNano())) }); err != nil {
		return err
	}
	v.sweep(v.kept())
	return nil
}

// OpenForLocks opens the ring in o.Dir for reading, takes it for this process as a
// recorder does, and lets locks be added and removed, which KeepNow then does all
// that can be done for. The ring is not written.
func OpenForLocks(o Options) (*Volume, error) {
	v := newVolume(o)
	if !ring.Exists(v.dir) {
		return nil, fmt.Errorf("%s: %w", v.dir.Path(), ErrNotFound)
	}
	unlock, err := v.dir.Lock()
	if err != nil {
		return nil, cannotWrite(v.dir.Path(), err)
	}
	v.unlock = unlock
	if v.ring, err = ring.Open(v.dir, false); err == nil {
		err = v.ring.ReadAll()
		v.tellFaults()
		err = errors.Join(err, v.loadVault(true), v.indexAll(context.Background()))
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// KeepNow copies what locks want, on a volume from OpenForLocks.
func (v *Volume) KeepNow(ctx context.Context) error { return v.keepOnce(ctx) }

// poll waits until it is so.
func poll(ctx context.Context, so func() bool) error {
	patience := time.After(indexPatience)
	for !so() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			return errors.New("older footage is still being indexed: try again in a moment")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
