package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/user"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"nvr/internal/config"
	"nvr/internal/control"
	"nvr/internal/store"
)

// lockCmd keeps footage that must not be overwritten.
type lockCmd struct {
	Add    lockAddCmd    `cmd:"" help:"Keep the footage of a camera between two times."`
	List   lockListCmd   `cmd:"" help:"List what is locked, why, and whether it is kept."`
	Remove lockRemoveCmd `cmd:"" help:"Give up what a lock keeps."`
}

// What is asked of the recorder.
const (
	askLockAdd    = "lock add"
	askLocks      = "lock list"
	askLockRemove = "lock remove"
)

type lockAddCmd struct {
	Camera string `required:"" placeholder:"ID" help:"Camera whose footage is to be kept."`
	From   string `required:"" placeholder:"T" help:"First instant."`
	To     string `required:"" placeholder:"T" help:"Instant at which it ends; may be up to 7 days ahead."`
	Reason string `required:"" placeholder:"TEXT" help:"Why, for those who come after."`
	Until  string `placeholder:"T" help:"Give it up at that time by itself, e.g. 2026-12-31T00:00 or +30d (default: when it is removed)."`
	Wait   bool   `help:"Return when all that is there is in the vault."`
	JSON   bool   `help:"Print JSON."`
}

// Help is shown below the usage line.
func (lockAddCmd) Help() string {
	return `Locked footage is copied into the vault of each volume that has some, at idle priority, before the ring writes over it. It takes disk space beside the ring, up to vault_max_mb; it is listed, exported and verified like the rest, and max_days does not hide it. Returns when the lock is on the disk and nothing of it is next to be overwritten; what could not be had any more is said. docs/locks.md says what may be relied on.

Without a recorder the command copies all of it itself.

Examples:
    nvr lock add --camera cam1 --from -2h --to -1h30m --reason "break-in, police file 4711"
    nvr lock add --camera cam1 --from -5m --to +10m --reason "delivery" --until +30d
    nvr lock add --camera cam1 --from 2026-02-19T14:00 --to 2026-02-19T15:00 --reason "claim 12" --wait

` + timeHelp + `
    +10m, +1h30m, +30d           after now (here only)`
}

type lockListCmd struct {
	JSON bool `help:"Print JSON."`
}

// Help is shown below the usage line.
func (lockListCmd) Help() string {
	return `Shows each lock with its state:

    pending   not all of it is in the vault yet, or it reaches into the future
    kept      all that there was is in the vault
    lost      some of it could not be kept: which spans, and why; the rest is in the vault
    expired   its time (--until) is over; nothing is kept for it any more

Examples:
    nvr lock list
    nvr lock list --json`
}

type lockRemoveCmd struct {
	ID   string `arg:"" help:"Id of the lock: see nvr lock list."`
	JSON bool   `help:"Print JSON."`
}

// Help is shown below the usage line.
func (lockRemoveCmd) Help() string {
	return `What only this lock keeps is deleted at once, unless the ring has it still. What other locks want stays.

Examples:
    nvr lock remove k7f3qz`
}

// lockDocument is a lock as --json prints it.
type lockDocument struct {
	ID      string         `json:"id"`
	Camera  string         `json:"camera"`
	From    string         `json:"from"`
	To      string         `json:"to"`
	State   string         `json:"state"`
	Reason  string         `json:"reason"`
	By      string         `json:"by,omitempty"`
	Made    string         `json:"made"`
	Until   string         `json:"until,omitempty"`
	Bytes   int64          `json:"bytes"`      // of footage found so far
	Kept    int64          `json:"kept_bytes"` // of it in the vault
	Size    int64          `json:"vault_bytes"`
	Lost    []lostDocument `json:"lost"`
	Volumes []string       `json:"volumes,omitempty"`
	Trouble string         `json:"trouble,omitempty"`
	Notes   []string       `json:"notes,omitempty"`
}

type lostDocument struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
}

func newLock(l store.LockStatus) lockDocument {
	d := lockDocument{ID: l.ID, Camera: l.Camera, From: timestamp(l.Span.From), To: timestamp(l.Span.To), State: string(l.State), Reason: l.Reason, By: l.By,
		Made: timestamp(l.Made), Until: stamp(l.Until), Bytes: l.Bytes, Kept: l.Kept, Size: l.Size, Lost: []lostDocument{}, Volumes: l.Volumes, Trouble: l.Trouble, Notes: l.Notes}
	for _, x := range l.Lost {
		d.Lost = append(d.Lost, lostDocument{timestamp(x.Span.From), timestamp(x.Span.To), x.Why})
	}
	return d
}

// lockAddArgs is what lock add asks the recorder for.
type lockAddArgs struct {
	store.LockRequest
	Wait bool
}

func (v lockAddCmd) Run(c *console) error {
	span, err := c.spanAhead(v.From, v.To)
	if err != nil {
		return err
	}
	args := lockAddArgs{store.LockRequest{Camera: v.Camera, Span: span, Reason: v.Reason, By: whoami()}, v.Wait}
	if v.Until != "" {
		until, err := c.timeAhead("--until", v.Until, c.now())
		if err != nil {
			return err
		}
		args.Until = until.UnixNano()
	}
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	progress := c.progress("copying")
	if progress == nil {
		progress = func(int64, int64) {} // it may take its time all the same
	}
	answer, err := ask(c.ctx, conf, askLockAdd, args, progress)
	var l lockDocument
	switch {
	case errors.Is(err, control.ErrNotRunning):
		err = c.withLocks(conf, func(a *store.Archive) error {
			made, err := addLock(c.ctx, conf, a, args)
			if err != nil {
				return err
			}
			copied := a.KeepNow(c.ctx, progress)
			for _, now := range a.Locks() {
				if now.ID == made.ID {
					now.Notes, made = made.Notes, now
				}
			}
			l = newLock(made)
			if copied != nil {
				l.Trouble = copied.Error()
			}
			return nil
		})
	case err == nil:
		err = json.Unmarshal(answer, &l)
	}
	if err != nil {
		return err
	}
	if v.JSON {
		return c.printJSON(l)
	}
	fmt.Fprintf(c.out, "lock %s: %s\n", l.ID, l.told())
	l.printMore(c.out)
	return nil
}

// told is a lock's state in words.
func (l *lockDocument) told() string {
	percent := int64(100)
	if l.Bytes > 0 {
		percent = l.Kept * 100 / l.Bytes
	}
	switch store.LockState(l.State) {
	case store.LockPending:
		return fmt.Sprintf("pending, %s of %s (%d %%) in the vault", humanize.Bytes(uint64(l.Kept)), humanize.Bytes(uint64(l.Bytes)), percent)
	case store.LockKept:
		return fmt.Sprintf("kept, %s", humanize.Bytes(uint64(l.Kept)))
	case store.LockLost:
		return fmt.Sprintf("lost in part; %s of %s (%d %%) kept", humanize.Bytes(uint64(l.Kept)), humanize.Bytes(uint64(l.Bytes)), percent)
	}
	return l.State
}

// printMore says what does not fit into a line.
func (l *lockDocument) printMore(w io.Writer) {
	for _, x := range l.Lost {
		fmt.Fprintf(w, "lock %s lost %s to %s: %s\n", l.ID, x.From, x.To, x.Reason)
	}
	if l.Trouble != "" {
		fmt.Fprintf(w, "lock %s: %s\n", l.ID, l.Trouble)
	}
	for _, note := range l.Notes {
		fmt.Fprintf(w, "lock %s: %s\n", l.ID, note)
	}
}

func (v lockListCmd) Run(c *console) error {
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	list := []lockDocument{}
	answer, err := ask(c.ctx, conf, askLocks, nil, nil)
	switch {
	case errors.Is(err, control.ErrNotRunning):
		a, err := c.openForReading(conf)
		if err != nil {
			return err
		}
		defer a.Close()
		list = listLocks(a)
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(answer, &list); err != nil {
			return fmt.Errorf("the recorder is of another version: %w", err)
		}
	}
	if v.JSON {
		return c.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(c.err, "nothing is locked")
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LOCK\tCAMERA\tFROM\tTO\tSTATE\tVAULT\tUNTIL\tBY\tREASON")
	for _, l := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.Camera, l.From, l.To, l.told(), humanize.IBytes(uint64(l.Size)), cmp.Or(l.Until, "-"), cmp.Or(l.By, "-"), l.Reason)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range list {
		list[i].printMore(c.out)
	}
	return nil
}

func listLocks(a *store.Archive) []lockDocument {
	list := []lockDocument{}
	for _, l := range a.Locks() {
		list = append(list, newLock(l))
	}
	return list
}

func (v lockRemoveCmd) Run(c *console) error {
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	_, err = ask(c.ctx, conf, askLockRemove, v.ID, nil)
	if errors.Is(err, control.ErrNotRunning) {
		err = c.withLocks(conf, func(a *store.Archive) error { return explainLock(a.RemoveLock(c.ctx, v.ID)) })
	}
	if err != nil {
		return err
	}
	if v.JSON {
		return c.printJSON(map[string]string{"removed": v.ID})
	}
	_, err = fmt.Fprintf(c.out, "lock %s is removed\n", v.ID)
	return err
}

// withLocks opens the volumes for a change of locks while nobody records.
func (c *console) withLocks(conf *config.Config, do func(*store.Archive) error) error {
	a, err := store.OpenArchiveForLocks(archiveOptions(conf, c.now(), c.log))
	if errors.Is(err, store.ErrNotFound) {
		return noRing(conf.Storage.BasePath)
	}
	if err != nil {
		return err
	}
	defer a.Close()
	return do(a)
}

// addLock adds a lock to an archive, ours or the recorder's.
func addLock(ctx context.Context, conf *config.Config, a *store.Archive, args lockAddArgs) (store.LockStatus, error) {
	if !hasCamera(conf, a, args.Camera) {
		return store.LockStatus{}, unknownCamera(conf, a, args.Camera)
	}
	l, err := a.AddLock(ctx, args.LockRequest)
	if errors.Is(err, store.ErrNothingToLock) {
		return l, &notFoundError{fmt.Errorf("no footage of %s in this range: nvr list --camera %s shows what there is", args.Camera, args.Camera)}
	}
	return l, explainLock(err)
}

// explainLock adds the exit code.
func explainLock(err error) error {
	switch {
	case errors.Is(err, store.ErrLockRequest):
		return &usageError{err}
	case errors.Is(err, store.ErrNoLock):
		return &notFoundError{fmt.Errorf("%w: nvr lock list shows what there is", err)}
	}
	return err
}

// lock does what nvr lock asks the recorder for.
func (r *recorder) lock(ctx context.Context, q control.Request, progress func(done, total int64)) (any, error) {
	switch q.Do {
	case askLocks:
		return listLocks(r.archive), nil
	case askLockRemove:
		var id string
		if err := json.Unmarshal(q.Args, &id); err != nil {
			return nil, usagef("lock remove: %w", err)
		}
		return id, explainLock(r.archive.RemoveLock(ctx, id))
	}
	var args lockAddArgs
	if err := json.Unmarshal(q.Args, &args); err != nil {
		return nil, usagef("lock add: %w", err)
	}
	l, err := addLock(ctx, r.conf, r.archive, args)
	if err != nil {
		return nil, err
	}
	notes := l.Notes
	l, err = r.archive.AwaitLock(ctx, l.ID, args.Wait, progress)
	l.Notes = notes
	return newLock(l), explainLock(err)
}

// whoami is who runs the command.
func whoami() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
