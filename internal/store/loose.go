package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/media"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

// Loose is pool files without their ring: those of a rescued disk, or of several.
// They are read as one archive. All methods may be called concurrently.
type Loose struct {
	volumes []*Volume
}

// looseFile is a pool file and what it says of itself.
type looseFile struct {
	path  string
	super pool.Super
	size  int64
}

// OpenLoose opens pool files for reading: any number, of several rings, in any
// order. A file that is no pool file, or of a newer version, is passed over with
// a warning; the error is that none is left. Only SegmentDuration and Log of o
// count.
func OpenLoose(paths []string, o Options) (*Loose, error) {
	log := newVolume(o).o.Log
	var files []looseFile
	var errs []error
	for _, path := range paths {
		f, err := identify(path)
		switch {
		case err != nil:
			errs = append(errs, err)
			log.Warn("a file is passed over", "error", err)
		case f.super.Generation == 0:
			log.Info("a pool file that was never recorded into", "file", path)
			files = append(files, f)
		default:
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil, errors.Join(errs...)
	}
	l := &Loose{}
	for _, group := range byRing(files, func(path, other string) {
		log.Warn("a file is passed over: another one holds the same", "file", path, "as", other)
	}) {
		v, err := openLooseRing(group, o)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.volumes = append(l.volumes, v)
	}
	return l, nil
}

func identify(path string) (looseFile, error) {
	f, err := direct.New(filepath.Dir(path), nil).Open(filepath.Base(path), false)
	if err != nil {
		return looseFile{}, err
	}
	defer f.Close()
	s, err := ring.Identify(f)
	if err != nil {
		return looseFile{}, fmt.Errorf("%s is no pool file that can be read: %w", path, err)
	}
	size, err := f.Size()
	if s.Size == 0 {
		s.Size = pool.Align(size) // nothing else is known of it
	}
	return looseFile{path, s, size}, err
}

// byRing puts files together that belong to one ring and are equally long. Two
// generations of one pool (a copy that was made earlier, or what a vault keeps of
// it) go into different groups; of two copies of one generation the longer one
// counts: what a vault keeps of a pool is less than the pool.
func byRing(files []looseFile, twice func(path, other string)) [][]looseFile {
	slices.SortStableFunc(files, func(a, b looseFile) int {
		return cmp.Or(cmp.Compare(a.super.Ring.String(), b.super.Ring.String()), -cmp.Compare(a.super.Generation, b.super.Generation), -cmp.Compare(a.size, b.size))
	})
	var groups [][]looseFile
files:
	for _, f := range files {
		for _, g := range groups {
			for _, o := range g {
				if o.super.Ring == f.super.Ring && o.super.Pool == f.super.Pool && o.super.Generation == f.super.Generation {
					twice(f.path, o.path)
					continue files
				}
			}
		}
		at := slices.IndexFunc(groups, func(g []looseFile) bool {
			return g[0].super.Ring == f.super.Ring && g[0].super.Size == f.super.Size && !slices.ContainsFunc(g, func(o looseFile) bool { return o.super.Pool == f.super.Pool })
		})
		if at < 0 {
			groups = append(groups, []looseFile{f})
			continue
		}
		groups[at] = append(groups[at], f)
	}
	return groups
}

func openLooseRing(files []looseFile, o Options) (*Volume, error) {
	spec := ring.Spec{UUID: files[0].super.Ring}
	dir := looseDir{paths: map[string]string{}}
	for _, f := range files {
		spec.Pools = max(spec.Pools, int(f.super.Pool)+1)
		spec.Size = max(spec.Size, f.super.Size)
		dir.paths[ring.Name(int(f.super.Pool))] = f.path
	}
	if spec.Pools > ring.MaxPools {
		return nil, fmt.Errorf("%s is pool %d: a ring has %d at most", files[0].path, spec.Pools-1, ring.MaxPools)
	}
	o.Disk = dir
	v := newVolume(o)
	v.loose = true
	r, err := ring.Loose(dir, spec)
	if err != nil {
		return nil, err
	}
	v.ring = r
	v.tellFaults()
	if err := v.indexAll(context.Background()); err != nil {
		v.o.Log.Error("not all footage can be read", "error", err)
	}
	return v, nil
}

func (l *Loose) views() []view {
	var views []view
	for i, v := range l.volumes {
		views = append(views, v.view(i))
	}
	return views
}

// Streams lists every stream that has footage, or a gap on record.
func (l *Loose) Streams() []*media.Stream { return mergedStreams(l.views()) }

// List returns the segments and the gaps that overlap q.Span.
func (l *Loose) List(ctx context.Context, q Query) (Listing, error) {
	return mergedList(ctx, l.views(), q, nil)
}

// Entries is as Volume.Entries, over all files.
func (l *Loose) Entries(ctx context.Context, id media.StreamID, span media.Span) iter.Seq2[*media.Entry, error] {
	return mergedEntries(ctx, l.views(), id, span)
}

// Payload is as Volume.Payload.
func (l *Loose) Payload(ctx context.Context, ref media.Ref, dst []byte) ([]byte, error) {
	if ref.Volume < 0 || ref.Volume >= len(l.volumes) {
		return dst, fmt.Errorf("a reference to volume %d: there are %d", ref.Volume, len(l.volumes))
	}
	return l.volumes[ref.Volume].Payload(ctx, ref, dst)
}

// Verify is as Volume.Verify, over all files, in one report.
func (l *Loose) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	return verifyAll(ctx, l.volumes, o)
}

// Close closes the files.
func (l *Loose) Close() error {
	var errs []error
	for _, v := range l.volumes {
		errs = append(errs, v.Close())
	}
	return errors.Join(errs...)
}

// looseDir is a disk.Dir of files that lie anywhere, under the names that they
// would have in their ring. Nothing can be written.
type looseDir struct {
	paths map[string]string
}

var _ disk.Uncached = looseDir{}

func (d looseDir) Path() string { return "loose pool files" }

func (d looseDir) Names() ([]string, error) {
	var names []string
	for name := range d.paths {
		names = append(names, name)
	}
	return names, nil
}

func (d looseDir) real(name string) (dir *direct.Dir, file string, err error) {
	path, ok := d.paths[name]
	if !ok {
		return nil, "", fs.ErrNotExist
	}
	return direct.New(filepath.Dir(path), nil), filepath.Base(path), nil
}

func (d looseDir) Open(name string, write bool) (disk.File, error) {
	dir, file, err := d.real(name)
	if err != nil || write {
		return nil, cmp.Or(err, fs.ErrPermission)
	}
	return dir.Open(file, false)
}

func (d looseDir) OpenUncached(name string) (disk.File, error) {
	dir, file, err := d.real(name)
	if err != nil {
		return nil, err
	}
	return dir.OpenUncached(file)
}

func (looseDir) Free() (int64, error)                          { return 0, fs.ErrPermission }
func (looseDir) Allocate(context.Context, string, int64) error { return fs.ErrPermission }
func (looseDir) ReadFile(string) ([]byte, error)               { return nil, fs.ErrNotExist }
func (looseDir) Replace(string, []byte) error                  { return fs.ErrPermission }
func (looseDir) Sync() error                                   { return fs.ErrPermission }
func (looseDir) Remove(string) error                           { return fs.ErrPermission }
func (looseDir) Sub(string, bool) (disk.Dir, error) {
	return nil, fs.ErrNotExist
}
func (looseDir) Lock() (unlock func(), err error) { return nil, fs.ErrPermission }
func (looseDir) Relock() (func(), error)          { return nil, fs.ErrPermission }
