package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Op is one recorded operation on the directory. Dir operations carry paths relative to the mount.
type Op struct {
	Kind  string // write trunc alloc punch fsync | create mkdir unlink rmdir rename link symlink dirsync | ack
	ID    uint64 // file identity (backing inode)
	Path  string
	Path2 string
	Off   int64
	Len   int64
	Data  []byte
	Sync  bool    // O_DSYNC write
	Cover int     // fsync: operations before this index are covered
	Drop  float64 // of a failed fsync: the probability with which each write that it covers is lost for ever
	Ack   string
}

type Recorder struct {
	mu   sync.Mutex
	on   bool
	ops  []Op
	back string
	r    *Rules
}

func (c *Recorder) add(o Op) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.on {
		c.ops = append(c.ops, o)
	}
	return len(c.ops)
}
func (c *Recorder) mark() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.ops) }

type node struct {
	fs.LoopbackNode
	c *Recorder
}

func (n *node) rel() string              { return n.Path(n.Root()) }
func (n *node) child(name string) string { return filepath.Join(n.rel(), name) }
func (n *node) full(p string) string     { return filepath.Join(n.c.back, p) }

func idOf(p string) uint64 {
	var st syscall.Stat_t
	if syscall.Lstat(p, &st) != nil {
		return 0
	}
	return st.Ino
}

func (n *node) open(rel string, flags, mode uint32) (*file, syscall.Errno) {
	fl := int(flags) &^ (syscall.O_APPEND | syscall.O_DIRECT | fuse.FMODE_EXEC)
	if fl&syscall.O_ACCMODE == syscall.O_WRONLY {
		fl = fl&^syscall.O_ACCMODE | syscall.O_RDWR
	}
	fd, err := syscall.Open(n.full(rel), fl|syscall.O_CLOEXEC, mode)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	var st syscall.Stat_t
	syscall.Fstat(fd, &st)
	return &file{c: n.c, fd: fd, id: st.Ino, path: rel, dsync: flags&syscall.O_DSYNC != 0}, 0
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if v := n.c.r.Check("open", n.rel(), 0, 0); v.Errno != 0 {
		return nil, 0, v.Errno
	}
	f, e := n.open(n.rel(), flags, 0)
	if e != 0 {
		return nil, 0, e
	}
	if flags&syscall.O_TRUNC != 0 {
		n.c.add(Op{Kind: "trunc", ID: f.id, Path: f.path})
	}
	return f, 0, 0
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	p := n.child(name)
	if v := n.c.r.Check("create", p, 0, 0); v.Errno != 0 {
		return nil, nil, 0, v.Errno
	}
	existed := idOf(n.full(p)) != 0
	f, e := n.open(p, flags|syscall.O_CREAT, mode)
	if e != 0 {
		return nil, nil, 0, e
	}
	var st syscall.Stat_t
	syscall.Fstat(f.fd, &st)
	out.FromStat(&st)
	ch := n.NewInode(ctx, &node{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, c: n.c}, fs.StableAttr{Mode: st.Mode, Ino: st.Ino})
	if !existed {
		n.c.add(Op{Kind: "create", ID: f.id, Path: p})
	} else if flags&syscall.O_TRUNC != 0 {
		n.c.add(Op{Kind: "trunc", ID: f.id, Path: p})
	}
	return ch, f, 0, 0
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	i, e := n.LoopbackNode.Mkdir(ctx, name, mode, out)
	if e == 0 {
		n.c.add(Op{Kind: "mkdir", Path: n.child(name)})
	}
	return i, e
}
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	e := n.LoopbackNode.Rmdir(ctx, name)
	if e == 0 {
		n.c.add(Op{Kind: "rmdir", Path: n.child(name)})
	}
	return e
}
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if v := n.c.r.Check("unlink", n.child(name), 0, 0); v.Errno != 0 {
		return v.Errno
	}
	e := n.LoopbackNode.Unlink(ctx, name)
	if e == 0 {
		n.c.add(Op{Kind: "unlink", Path: n.child(name)})
	}
	return e
}
func (n *node) Rename(ctx context.Context, name string, np fs.InodeEmbedder, nn string, flags uint32) syscall.Errno {
	old, nw := n.child(name), filepath.Join(np.EmbeddedInode().Path(n.Root()), nn)
	if v := n.c.r.Check("rename", old, 0, 0); v.Errno != 0 {
		return v.Errno
	}
	if flags != 0 {
		return syscall.EINVAL
	}
	e := fs.ToErrno(syscall.Rename(n.full(old), n.full(nw)))
	if e == 0 {
		n.c.add(Op{Kind: "rename", Path: old, Path2: nw})
	}
	return e
}
func (n *node) Link(ctx context.Context, t fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP // hard links are not modelled
}
func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	i, e := n.LoopbackNode.Symlink(ctx, target, name, out)
	if e == 0 {
		n.c.add(Op{Kind: "symlink", Path: n.child(name), Path2: target})
	}
	return i, e
}
func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if sz, ok := in.GetSize(); ok {
		if v := n.c.r.Check("trunc", n.rel(), int64(sz), 0); v.Errno != 0 {
			return v.Errno
		}
		n.c.add(Op{Kind: "trunc", ID: idOf(n.full(n.rel())), Path: n.rel(), Off: int64(sz)})
	}
	return n.LoopbackNode.Setattr(ctx, nil, in, out)
}
func (n *node) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if ff, ok := f.(*file); ok {
		return ff.Fsync(ctx, flags)
	}
	at := n.c.mark()
	if v := n.c.r.Check("fsync", n.rel(), 0, 0); v.Errno != 0 {
		return v.Errno
	}
	n.c.add(Op{Kind: "dirsync", Path: n.rel(), Cover: at})
	return 0
}
func (n *node) CopyFileRange(ctx context.Context, a fs.FileHandle, oa uint64, out *fs.Inode, b fs.FileHandle, ob uint64, l uint64, fl uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

type file struct {
	c     *Recorder
	fd    int
	id    uint64
	path  string
	dsync bool
}

func (f *file) Read(ctx context.Context, dst []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if v := f.c.r.Check("read", f.path, off, int64(len(dst))); v.Errno != 0 {
		return nil, v.Errno
	}
	n, err := syscall.Pread(f.fd, dst, off)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(dst[:n]), 0
}
func (f *file) Write(ctx context.Context, b []byte, off int64) (uint32, syscall.Errno) {
	v := f.c.r.Check("write", f.path, off, int64(len(b)))
	if v.Short && len(b) > 1 {
		b = b[:len(b)/2]
	} else if v.Errno != 0 {
		return 0, v.Errno
	}
	n, err := syscall.Pwrite(f.fd, b, off)
	if n > 0 {
		f.c.add(Op{Kind: "write", ID: f.id, Path: f.path, Off: off, Len: int64(n), Data: append([]byte(nil), b[:n]...), Sync: f.dsync})
	}
	if err != nil {
		return 0, fs.ToErrno(err)
	}
	return uint32(n), 0
}
func (f *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	at := f.c.mark()
	if v := f.c.r.Check("fsync", f.path, 0, 0); v.Errno != 0 {
		if v.Drop > 0 {
			f.c.add(Op{Kind: "fsync", ID: f.id, Path: f.path, Cover: at, Drop: v.Drop})
		}
		return v.Errno
	}
	f.c.add(Op{Kind: "fsync", ID: f.id, Path: f.path, Cover: at})
	return 0
}
func (f *file) Flush(ctx context.Context) syscall.Errno   { return 0 }
func (f *file) Release(ctx context.Context) syscall.Errno { return fs.ToErrno(syscall.Close(f.fd)) }
func (f *file) Getattr(ctx context.Context, out *fuse.AttrOut) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(f.fd, &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStat(&st)
	return 0
}
func (f *file) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	if v := f.c.r.Check("alloc", f.path, int64(off), int64(size)); v.Errno != 0 {
		return v.Errno
	}
	if err := syscall.Fallocate(f.fd, mode, int64(off), int64(size)); err != nil {
		return fs.ToErrno(err)
	}
	k := "alloc"
	if mode&3 == 3 {
		k = "punch"
	} else if mode&1 != 0 {
		return 0 // KEEP_SIZE: nothing visible changes
	}
	f.c.add(Op{Kind: k, ID: f.id, Path: f.path, Off: int64(off), Len: int64(size)})
	return 0
}
func (f *file) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	n, err := syscall.Seek(f.fd, int64(off), int(whence))
	return uint64(n), fs.ToErrno(err)
}

// ackFile: a file whose writes are acknowledgements of the program under test, in exact order with its I/O.
type ackFile struct {
	fs.Inode
	on func(line string)
}

func (a *ackFile) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}
func (a *ackFile) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = 0666 | syscall.S_IFREG
	return 0
}
func (a *ackFile) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	out.Mode = 0666 | syscall.S_IFREG
	return 0
}
func (a *ackFile) Write(ctx context.Context, f fs.FileHandle, b []byte, off int64) (uint32, syscall.Errno) {
	for _, l := range strings.Split(strings.TrimRight(string(b), "\n"), "\n") {
		a.on(l)
	}
	return uint32(len(b)), 0
}

type ackRoot struct {
	fs.Inode
	kids map[string]fs.InodeEmbedder
}

func (r *ackRoot) OnAdd(ctx context.Context) {
	for n, k := range r.kids {
		r.AddChild(n, r.NewPersistentInode(ctx, k, fs.StableAttr{Mode: syscall.S_IFREG}), true)
	}
}

func mountOpts(name string) *fs.Options {
	return &fs.Options{MountOptions: fuse.MountOptions{FsName: name, Name: name, MaxWrite: 1 << 20, DirectMountStrict: true,
		SingleThreaded: false, DisableXAttrs: true, DisableSplice: true, AllowOther: os.Getuid() == 0}}
}

func mountDir(back, mnt string, c *Recorder) *fuse.Server {
	c.back = back
	root := &fs.LoopbackRoot{Path: back}
	var st syscall.Stat_t
	if err := syscall.Stat(back, &st); err != nil {
		die("%v", err)
	}
	root.Dev = uint64(st.Dev)
	root.NewNode = func(rd *fs.LoopbackRoot, parent *fs.Inode, name string, st *syscall.Stat_t) fs.InodeEmbedder {
		return &node{LoopbackNode: fs.LoopbackNode{RootData: rd}, c: c}
	}
	rn := &node{LoopbackNode: fs.LoopbackNode{RootData: root}, c: c}
	root.RootNode = rn
	s, err := fs.Mount(mnt, rn, mountOpts("faultfs"))
	if err != nil {
		die("mount: %v", err)
	}
	return s
}
func mountFiles(mnt string, kids map[string]fs.InodeEmbedder) *fuse.Server {
	s, err := fs.Mount(mnt, &ackRoot{kids: kids}, mountOpts("faultblk"))
	if err != nil {
		die("mount: %v", err)
	}
	return s
}

// dirh: a directory handle whose fsync is recorded (and can fail).
type dirh struct {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
	n *node
}

func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, fl, e := n.LoopbackNode.OpendirHandle(ctx, flags)
	if e != 0 {
		return nil, 0, e
	}
	return &dirh{h.(fs.FileReaddirenter), h.(fs.FileReleasedirer), h.(fs.FileSeekdirer), n}, fl, 0
}
func (d *dirh) Fsyncdir(ctx context.Context, flags uint32) syscall.Errno {
	return d.n.Fsync(ctx, nil, flags)
}
