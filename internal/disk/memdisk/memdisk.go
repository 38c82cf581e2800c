// Package memdisk is a disk.Dir in memory that can lose power: Crash returns
// what a power cut at this moment may leave behind. It knows, of each file,
// what is durable and which writes since the last good Sync are not; and of the
// directory, which names are not.
//
// It is stricter than a real disk: what disk.Dir forbids (an unaligned write, a
// write past the end) panics with the numbers in it.
package memdisk

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"nvr/internal/disk"
)

// Kind is what an operation does.
type Kind string

// The operations that a hook hears of. Allocate and Replace consist of several.
const (
	Read    Kind = "read"
	Write   Kind = "write"
	Sync    Kind = "sync"
	Create  Kind = "create"   // an empty file, or an old one that is emptied
	Grow    Kind = "grow"     // of an empty file to its size
	Rename  Kind = "rename"   // a temporary file takes its name
	Remove  Kind = "remove"   // a file goes
	SyncDir Kind = "sync dir" // the names
)

// Op is one operation that is about to be done.
type Op struct {
	Kind Kind
	Name string
	Off  int64
	Len  int64
	Data []byte // of a Write: what will be written; only to be looked at, only now
}

// Changes reports whether the operation changes what a power cut may leave. A
// crash at every such operation is a crash at every moment that matters: one in
// the middle of a write leaves what one before the next operation may leave.
func (o Op) Changes() bool { return o.Kind != Read }

func (o Op) String() string {
	switch o.Kind {
	case Read, Write:
		return fmt.Sprintf("%s %s %d+%d", o.Kind, o.Name, o.Off, o.Len)
	case SyncDir:
		if o.Name == "" {
			return string(o.Kind)
		}
	}
	return fmt.Sprintf("%s %s", o.Kind, o.Name)
}

// Dir is the disk, with one directory and those in it. Its methods may be called concurrently.
type Dir struct {
	path string

	mu       sync.Mutex
	names    map[string]*inode // as the program sees them; of directories inside, with a path
	durable  map[string]*inode // as no power cut can change them
	moves    []move            // of names, since the last good Sync
	capacity int64
	locked   bool
	hook     func(Op) error
	rng      *rand.Rand // decides what an operation that fails leaves
}

// move is a change of the directory that is not durable yet.
type move struct {
	from string // the name that goes; empty: none
	to   string // empty: the file goes
	node *inode
}

// inode is a file's contents, whatever its name.
type inode struct {
	view    image    // what reads see
	durable image    // what no power cut can change
	pending []change // what was done since the last good Sync, in its order
	lost    bool     // a Sync failed: view has what durable and pending have not
}

// change is a write, or a change of the length.
type change struct {
	data   []byte // nil: of the length
	off    int64
	length int64
}

func (n *inode) do(c change) {
	n.view.apply(c)
	n.pending = append(n.pending, c)
}

func (m *image) apply(c change) {
	if c.data == nil {
		m.resize(c.length)
	} else {
		m.write(c.data, c.off)
	}
}

// New returns an empty disk with room for a terabyte. path is for messages.
func New(path string) *Dir {
	return &Dir{path: path, names: map[string]*inode{}, durable: map[string]*inode{}, capacity: 1 << 40, rng: rand.New(rand.NewPCG(1, 1))}
}

// Hook sets what is asked before each operation, in the goroutine of its
// caller, with nothing locked. An error of its is the operation's: a write
// leaves a part of what it was given, a sync leaves and loses any part of what
// it should have made durable (which reads still see, until the next power
// cut), the others do nothing. Nil: nothing fails.
func (d *Dir) Hook(hook func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = hook
}

// Seed makes what failed operations leave a function of seed.
func (d *Dir) Seed(seed uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rng = rand.New(rand.NewPCG(seed, 2))
}

// Capacity sets how much the disk holds.
func (d *Dir) Capacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// ask is called before each operation, without the lock.
func (d *Dir) ask(op Op) error {
	d.mu.Lock()
	hook := d.hook
	d.mu.Unlock()
	if hook == nil {
		return nil
	}
	if err := hook(op); err != nil {
		return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: err}
	}
	return nil
}

// Path is for messages.
func (d *Dir) Path() string { return d.path }

// Names lists the files.
func (d *Dir) Names() ([]string, error) { return d.namesIn(""), nil }

// namesIn lists the files in a directory, which is empty or ends with a slash.
func (d *Dir) namesIn(dir string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := make([]string, 0, len(d.names))
	for name := range d.names {
		if name[:strings.LastIndex(name, "/")+1] == dir {
			names = append(names, name[len(dir):])
		}
	}
	slices.Sort(names)
	return names
}

// Free is what Capacity leaves.
func (d *Dir) Free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free(), nil
}

func (d *Dir) free() int64 {
	free := d.capacity
	for _, n := range d.names {
		free -= n.view.size
	}
	return max(free, 0)
}

// Allocate creates or empties a file, gives it its size and syncs it: three
// operations, between which the power may go, and ctx be looked at.
func (d *Dir) Allocate(ctx context.Context, name string, size int64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("allocate %s: %w", name, err)
	}
	if err := d.create(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("allocate %s: %w", name, err)
	}
	if err := d.ask(Op{Kind: Grow, Name: name, Len: size}); err != nil {
		return err
	}
	d.mu.Lock()
	n := d.names[name]
	if d.free() < size {
		d.mu.Unlock()
		return fmt.Errorf("allocate %s: %w", name, disk.ErrNoSpace)
	}
	n.do(change{length: size})
	d.mu.Unlock()
	return d.syncFile(name, n)
}

// create makes an empty file of that name, as open(2) with O_CREAT and O_TRUNC.
func (d *Dir) create(name string) error {
	if err := d.ask(Op{Kind: Create, Name: name}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.names[name]; n != nil {
		n.do(change{length: 0})
		return nil
	}
	n := &inode{}
	d.names[name] = n
	d.moves = append(d.moves, move{to: name, node: n})
	return nil
}

// Open opens an existing file.
func (d *Dir) Open(name string, write bool) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &file{dir: d, name: name, node: n, write: write}, nil
}

// ReadFile reads a file whole.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	if err := d.ask(Op{Kind: Read, Name: name}); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	b := make([]byte, n.view.size)
	n.view.read(b, 0)
	return b, nil
}

// Replace writes a temporary file, syncs it, renames it and syncs the directory.
func (d *Dir) Replace(name string, data []byte) error { return d.replaceIn("", name, data) }

func (d *Dir) replaceIn(dir, name string, data []byte) error {
	name = dir + name
	tmp := name + ".tmp"
	if err := d.create(tmp); err != nil {
		return err
	}
	if err := d.ask(Op{Kind: Write, Name: tmp, Len: int64(len(data)), Data: data}); err != nil {
		return err
	}
	d.mu.Lock()
	n := d.names[tmp]
	n.do(change{length: int64(len(data))})
	n.do(change{data: append([]byte{}, data...)})
	d.mu.Unlock()
	if err := d.syncFile(tmp, n); err != nil {
		return err
	}
	if err := d.ask(Op{Kind: Rename, Name: name}); err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.names, tmp)
	d.names[name] = n
	d.moves = append(d.moves, move{from: tmp, to: name, node: n})
	d.mu.Unlock()
	return d.syncIn(dir)
}

// Sync makes the names durable. When it fails, any of them may be.
func (d *Dir) Sync() error { return d.syncIn("") }

func (d *Dir) syncIn(dir string) error {
	err := d.ask(Op{Kind: SyncDir, Name: dir})
	d.mu.Lock()
	defer d.mu.Unlock()
	var others []move
	for _, m := range d.moves {
		switch {
		case m.dir() != dir:
			others = append(others, m)
		case err == nil || d.rng.IntN(2) == 0:
			m.apply(d.durable)
		}
	}
	d.moves = others
	return err
}

func (m move) dir() string {
	name := cmp.Or(m.to, m.from)
	return name[:strings.LastIndex(name, "/")+1]
}

func (m move) apply(names map[string]*inode) {
	if m.from != "" && names[m.from] == m.node {
		delete(names, m.from)
	}
	if m.to != "" {
		names[m.to] = m.node
	}
}

// Remove takes a file away.
func (d *Dir) Remove(name string) error {
	if err := d.ask(Op{Kind: Remove, Name: name}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[name]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(d.names, name)
	d.moves = append(d.moves, move{from: name, node: n})
	return nil
}

// Sub is a directory inside this one. It is there for ever once it was made, and
// goes with its first file where it was not synced.
func (d *Dir) Sub(name string, create bool) (disk.Dir, error) {
	s := sub{d, name + "/"}
	if names, _ := s.Names(); len(names) == 0 && !create {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return s, nil
}

// sub is a directory in a Dir.
type sub struct {
	d   *Dir
	dir string
}

func (s sub) Path() string             { return s.d.path + "/" + strings.TrimSuffix(s.dir, "/") }
func (s sub) Names() ([]string, error) { return s.d.namesIn(s.dir), nil }
func (s sub) Free() (int64, error)     { return s.d.Free() }
func (s sub) Allocate(ctx context.Context, name string, size int64) error {
	return s.d.Allocate(ctx, s.dir+name, size)
}
func (s sub) Open(name string, write bool) (disk.File, error) { return s.d.Open(s.dir+name, write) }
func (s sub) ReadFile(name string) ([]byte, error)            { return s.d.ReadFile(s.dir + name) }
func (s sub) Replace(name string, data []byte) error          { return s.d.replaceIn(s.dir, name, data) }
func (s sub) Remove(name string) error                        { return s.d.Remove(s.dir + name) }
func (s sub) Sync() error                                     { return s.d.syncIn(s.dir) }
func (s sub) Lock() (func(), error)                           { return s.d.Lock() }
func (s sub) Relock() (func(), error)                         { return s.d.Relock() }
func (s sub) Sub(name string, create bool) (disk.Dir, error)  { return s.d.Sub(s.dir+name, create) }

// Lock takes the directory. A crash, or the end of the process (see Killed),
// gives it back.
func (d *Dir) Lock() (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return nil, &disk.InUseError{Path: d.path, PID: os.Getpid()}
	}
	d.locked = true
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.locked = false
	}), nil
}

// Relock is Lock: in memory, nothing is ever mounted over anything.
func (d *Dir) Relock() (func(), error) { return d.Lock() }

// Rot changes bytes of a file behind everybody's back, as a disk that decays.
func (d *Dir) Rot(name string, off int64, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[name]
	n.view.write(b, off)
	n.durable.write(b, off)
}

// Vanish takes a file away behind everybody's back, durably.
func (d *Dir) Vanish(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, name)
	delete(d.durable, name)
}

func (d *Dir) syncFile(name string, n *inode) error {
	err := d.ask(Op{Kind: Sync, Name: name})
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil:
		n.durable = leftOf(n, Torn, d.rng)
		n.lost = true
	case n.lost:
		for _, c := range n.pending {
			n.durable.apply(c)
		}
	default:
		n.durable = n.view.clone()
	}
	n.pending = nil
	return err
}

// file is an open file.
type file struct {
	dir   *Dir
	name  string
	node  *inode
	write bool
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.dir.ask(Op{Kind: Read, Name: f.name, Off: off, Len: int64(len(p))}); err != nil {
		return 0, err
	}
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	n := f.node.view.read(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if !f.write {
		return 0, fs.ErrPermission
	}
	size, _ := f.Size()
	if len(p) == 0 || len(p)%disk.BlockSize != 0 || off%disk.BlockSize != 0 || uintptr(unsafe.Pointer(&p[0]))%disk.BlockSize != 0 {
		panic(fmt.Sprintf("memdisk: a write of %d bytes from memory at %p to %s at %d is not aligned to %d", len(p), p, f.name, off, disk.BlockSize))
	}
	if off < 0 || off+int64(len(p)) > size {
		panic(fmt.Sprintf("memdisk: a write to %s at %d+%d, which has %d bytes", f.name, off, len(p), size))
	}
	err := f.dir.ask(Op{Kind: Write, Name: f.name, Off: off, Len: int64(len(p)), Data: p})
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if err != nil {
		p = p[:f.dir.rng.IntN(len(p)/sectorBytes)*sectorBytes]
	}
	if len(p) > 0 {
		f.node.do(change{data: append([]byte{}, p...), off: off})
	}
	return len(p), err
}

func (f *file) Sync() error {
	if !f.write {
		return fs.ErrPermission
	}
	return f.dir.syncFile(f.name, f.node)
}

func (f *file) Size() (int64, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	return f.node.view.size, nil
}

func (f *file) Close() error { return nil }

// Gone is a rule for Hook: a disk that was unplugged.
func Gone(Op) error { return syscall.ENODEV }
