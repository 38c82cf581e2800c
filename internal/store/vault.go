package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"nvr/internal/disk"
	"nvr/internal/media"
	"nvr/internal/store/index"
	"nvr/internal/store/pool"
	"nvr/internal/store/vault"
)

// The vault of a volume: what is kept of its ring when the ring has written over
// it (docs/locks.md). A kept file holds what is kept of one life of one pool, and
// in what readers see it takes that pool's place: the order of a volume's footage
// is that of the generations, whether it lies in the ring or in the vault. As long
// as the ring has the pool, its kept file is not shown: nothing is there twice.

// keeper is a volume's vault, and who fills it.
type keeper struct {
	change sync.Mutex  // one change of the state, the register and the files at a time
	dir    disk.Dir    // nil: there is none yet; under change
	stray  atomic.Bool // files may lie there that nobody needs

	state  atomic.Pointer[kept]
	loaded atomic.Bool
	wake   chan struct{} // there may be something to do

	trouble atomic.Pointer[string] // why copying does not get on, at present
	copied  atomic.Int64           // bytes of the pool that is being copied
	copying atomic.Pointer[vault.Name]

	tries map[vault.Name]int // by pool: how often it could not be read everywhere; the keeper's own
	past  map[string]int64   // of locks: since when they are past their time, as far as this process saw; the keeper's own
}

// kept is the vault at one moment. It never changes.
type kept struct {
	register vault.Register
	files    []*keptFile // by generation
	err      error       // the register cannot be read: nothing is changed or given up
}

// keptFile is a file that is whole and durable.
type keptFile struct {
	name vault.Name
	size int64
	pool *index.Pool
}

func (k *kept) file(pool uint32, generation uint64) *keptFile {
	for _, f := range k.files {
		if f.name.Pool == pool && f.name.Generation == generation {
			return f
		}
	}
	return nil
}

// used is what the files take.
func (k *kept) used() (bytes int64) {
	for _, f := range k.files {
		bytes += f.size
	}
	return bytes
}

// with is the same with one file more, in place of another copy of it.
func (k *kept) with(f *keptFile) *kept {
	c := *k
	c.files = slices.DeleteFunc(slices.Clone(k.files), func(o *keptFile) bool {
		return o.name.Pool == f.name.Pool && o.name.Generation == f.name.Generation
	})
	at, _ := slices.BinarySearchFunc(c.files, f.name.Generation, func(o *keptFile, g uint64) int { return cmp.Compare(o.name.Generation, g) })
	c.files = slices.Insert(c.files, at, f)
	return &c
}

// vault is what the vault has at this moment.
func (v *Volume) kept() *kept {
	if k := v.keeper.state.Load(); k != nil {
		return k
	}
	return &kept{}
}

// loadVault reads the register and the kept files. With write, files that nobody
// needs are removed, and what is left of copies that were cut short.
func (v *Volume) loadVault(write bool) error {
	v.keeper.change.Lock()
	defer v.keeper.change.Unlock()
	k, err := v.readVault(write)
	if err != nil {
		return fmt.Errorf("the vault of %s cannot be read: %w", v.dir.Path(), err)
	}
	if k.err != nil {
		v.o.Log.Error("the register of locks is of no use: what is kept is served, nothing is added or removed (docs/locks.md)", "dir", v.dir.Path(), "error", k.err)
	}
	v.keeper.state.Store(k)
	v.keeper.loaded.Store(true)
	return nil
}

func (v *Volume) readVault(write bool) (*kept, error) {
	k := &kept{}
	d, err := v.dir.Sub(vault.DirName, false)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	v.keeper.dir = d
	b, err := d.ReadFile(vault.RegisterName)
	switch {
	case err == nil:
		k.register, k.err = vault.Decode(b)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	files, err := keptNames(d)
	if err != nil {
		return nil, err
	}
	if b == nil && len(files) > 0 {
		k.err = errors.New(vault.RegisterName + " is gone, and there are kept files")
	}
	for _, n := range files {
		f, err := v.readKept(d, n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		needed, done := k.register.Needs(n.Pool, n.Generation)
		cut := f == nil
		if cut && (done || k.err != nil) { // it was whole once: its superblocks are damaged
			if f, err = v.indexKept(d, n); err != nil {
				return nil, err
			}
		}
		older := k.file(n.Pool, n.Generation)
		switch {
		case f == nil, write && !needed && k.err == nil, older != nil && older.name.Copy > n.Copy:
			v.keeper.stray.Store(true)
			continue
		case older != nil:
			v.keeper.stray.Store(true)
		}
		k = k.with(f)
	}
	if write {
		v.sweep(k)
	}
	return k, nil
}

// keptNames lists the kept files in a vault.
func keptNames(d disk.Dir) (list []vault.Name, err error) {
	names, err := d.Names()
	for _, name := range names {
		if n, ok := vault.ParseName(name); ok {
			list = append(list, n)
		}
	}
	return list, err
}

// readKept reads a kept file's directory; nil where it was not made to its end.
func (v *Volume) readKept(d disk.Dir, n vault.Name) (*keptFile, error) {
	f, err := d.Open(n.String(), false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, sealed := vault.Sealed(f, n)
	if !sealed || s.Ring != v.ring.UUID {
		return nil, nil
	}
	return v.indexKept(d, n)
}

func (v *Volume) indexKept(d disk.Dir, n vault.Name) (*keptFile, error) {
	groups, size, err := v.keptDirectory(d, n)
	if err != nil {
		return nil, err
	}
	b := index.NewBuilder(pool.Identity{Ring: v.ring.UUID, Pool: n.Pool, Generation: n.Generation}, v.o.SegmentDuration, false)
	for _, g := range groups {
		if err := b.Add(g, &v.names); err != nil {
			v.o.Log.Warn("a group's directory makes no sense and is passed over", "file", n, "offset", g.Offset, "error", err)
		}
	}
	return newKeptFile(n, size, b), nil
}

func newKeptFile(n vault.Name, size int64, b *index.Builder) *keptFile {
	p := b.Whole()
	p.Kept = n.Copy
	return &keptFile{n, size, p}
}

// keptDirectory reads the groups of a kept file: from its footer, or, where that
// is damaged, by walking.
func (v *Volume) keptDirectory(d disk.Dir, n vault.Name) ([]pool.Group, int64, error) {
	f, err := d.Open(n.String(), false)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, 0, err
	}
	id := pool.Identity{Ring: v.ring.UUID, Pool: n.Pool, Generation: n.Generation}
	groups, err := readFooter(f, id, size)
	if err == nil || !isDamage(err) {
		return groups, size, err
	}
	v.o.Log.Warn("the footer of a kept file is damaged; it is walked", "file", n, "error", err)
	groups = nil
	err = pool.Scan(f, id, pool.FirstGroup, size, size, func(g pool.Group) bool {
		groups = append(groups, g)
		return true
	})
	if spots := (*pool.UnreadableError)(nil); err != nil && !errors.As(err, &spots) {
		return nil, 0, err
	}
	end := int64(pool.FirstGroup)
	if n := len(groups); n > 0 {
		end = groups[n-1].Offset + int64(groups[n-1].TotalLen)
	}
	groups = append(groups, salvage(f, id, size, end, groups)...)
	slices.SortFunc(groups, func(a, b pool.Group) int { return cmp.Compare(a.Offset, b.Offset) })
	return groups, size, nil
}

// sweep removes the kept files that k does not have: nobody needs them, or they
// were not made to their end. With v.keeper.change held.
func (v *Volume) sweep(k *kept) {
	d := v.keeper.dir
	if d == nil || !v.keeper.stray.Load() || k.err != nil {
		return
	}
	names, err := keptNames(d)
	if err != nil {
		v.o.Log.Error("the vault cannot be tidied up; it is tried again", "error", err)
		return
	}
	v.keeper.stray.Store(false)
	removed := false
	for _, n := range names {
		if f := k.file(n.Pool, n.Generation); f != nil && f.name == n {
			continue
		}
		if c := v.keeper.copying.Load(); c != nil && *c == n {
			continue
		}
		if err := d.Remove(n.String()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			v.o.Log.Error("a file that nobody needs could not be removed; it is tried again", "file", n, "error", err)
			v.keeper.stray.Store(true)
			continue
		}
		removed = true
	}
	if removed {
		if err := d.Sync(); err != nil {
			v.o.Log.Error("files that were removed may come back", "dir", d.Path(), "error", err)
			v.keeper.stray.Store(true)
		}
	}
}

// withKept is a snapshot of the ring with what is kept of the pools that it has
// not any more, each in its place.
func (v *Volume) withKept(ring index.Snapshot) index.Snapshot {
	files := v.kept().files
	if len(files) == 0 {
		return ring
	}
	there := map[directoryKey]bool{}
	for _, p := range ring {
		there[directoryKey{p.Pool, p.Generation, 0}] = true
	}
	all := slices.Clone(ring)
	for _, f := range files {
		if !there[directoryKey{f.name.Pool, f.name.Generation, 0}] {
			all = append(all, f.pool)
		}
	}
	slices.SortStableFunc(all, func(a, b *index.Pool) int { return cmp.Compare(a.Generation, b.Generation) })
	return all
}

// keptPayload is Payload of a record in the vault. A file that is gone, or that
// another copy took the place of, is media.ErrOverwritten: who asks anew gets what
// there is.
func (v *Volume) keptPayload(ref media.Ref, dst []byte) ([]byte, error) {
	n := vault.Name{Pool: ref.Pool, Generation: ref.Generation, Copy: ref.Kept}
	if ref.Length > pool.MaxGroup {
		return dst, fmt.Errorf("a reference to %s, %d bytes: not of this vault", n, ref.Length)
	}
	d, err := v.dir.Sub(vault.DirName, false)
	if err == nil {
		var f disk.File
		if f, err = d.Open(n.String(), false); err == nil {
			defer f.Close()
			at := len(dst)
			dst = append(dst, make([]byte, ref.Length)...)
			_, err := f.ReadAt(dst[at:], ref.Group+int64(ref.Offset))
			id := pool.Identity{Ring: v.ring.UUID, Pool: ref.Pool, Generation: ref.Generation}
			switch {
			case err != nil:
				return dst[:at], &media.DamagedError{Ref: ref, Reason: err.Error()}
			case pool.PayloadCRC(id, ref.Group, dst[at:]) != ref.CRC:
				return dst[:at], &media.DamagedError{Ref: ref, Reason: "wrong checksum"}
			}
			return dst, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return dst, media.ErrOverwritten
	}
	return dst, err
}

// locked lists the spans of a camera that locks keep, in no order. They are shown
// whatever its max_days says.
func (v *Volume) locked(camera string) (spans []media.Span) {
	r := &v.kept().register
	for i := range r.Locks {
		if l := &r.Locks[i]; l.Camera == camera && l.Expired == 0 {
			spans = append(spans, l.Span())
		}
	}
	return spans
}

// verifyKept checks the kept files as Verify checks pools.
func (c *checker) verifyKept() error {
	files := c.v.kept().files
	if len(files) == 0 {
		return nil
	}
	d, err := c.v.dir.Sub(vault.DirName, false)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := c.keptFile(d, f); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) keptFile(d disk.Dir, k *keptFile) error {
	f, err := openUncached(d, k.name.String())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile, or `nvr lock list` tells
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var p poolReport
	n := int(k.name.Pool)
	c.badSlots(f, n, &p)
	id := pool.Identity{Ring: c.v.ring.UUID, Pool: k.name.Pool, Generation: k.name.Generation}
	plain, err := d.Open(k.name.String(), false)
	if err != nil {
		return err
	}
	defer plain.Close()
	groups, err := readFooter(plain, id, k.size)
	complete := err == nil
	switch {
	case complete:
		err = c.footerPadding(f, n, k.size, groups, &p)
	case isDamage(err):
		p.fault(n, k.size-pool.TrailerSize, "footer", err)
		groups, _, err = c.v.keptDirectory(d, k.name)
	}
	if err != nil {
		return err
	}
	for i := range groups {
		if err := c.group(f, n, &groups[i], complete, &p); err != nil {
			return err
		}
	}
	for i := range p.faults {
		p.faults[i].File = vault.DirName + "/" + k.name.String()
	}
	r := &c.report
	r.Kept++
	r.Groups += p.groups
	r.Records += p.records
	r.Bytes = c.done
	r.Damage = append(r.Damage, p.damage...)
	r.Faults = append(r.Faults, p.faults...)
	if c.o.each != nil {
		c.o.each(n, &p)
	}
	return nil
}

// openUncached opens a file for reading around the page cache, where that can be.
func openUncached(d disk.Dir, name string) (disk.File, error) {
	if u, ok := d.(disk.Uncached); ok {
		return u.OpenUncached(name)
	}
	return d.Open(name, false)
}

// vaultReady waits until the vault and the index are read.
func (v *Volume) vaultReady(ctx context.Context) error {
	return poll(ctx, func() bool { return v.keeper.loaded.Load() && v.indexed.Load() })
}
