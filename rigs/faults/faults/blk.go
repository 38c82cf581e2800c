package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const pg = 4096

type pages map[int64]*[pg]byte

func (p pages) clone() pages { // pages are shared copy-on-write: never changed in place once cloned
	q := make(pages, len(p))
	for k, v := range p {
		q[k] = v
	}
	return q
}

type brec struct {
	kind string // write flush discard ack
	off  int64
	data []byte
	n    int64
	ack  string
}

// disk is a sparse in-memory block device served as one FUSE file; a loop device on it gives a real /dev node.
type disk struct {
	fs.Inode
	mu   sync.Mutex
	size int64
	p    pages
	log  []brec
	rec  bool
	r    *Rules
	hdd  *hddSim
}

func (d *disk) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = 0600|syscall.S_IFREG, uint64(d.size), pg
	return 0
}
func (d *disk) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.Getattr(ctx, f, out)
}
func (d *disk) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}
func (d *disk) Read(ctx context.Context, f fs.FileHandle, dst []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if v := d.r.Check("read", "disk", off, int64(len(dst))); v.Errno != 0 {
		return nil, v.Errno
	}
	if off >= d.size {
		return fuse.ReadResultData(nil), 0
	}
	dst = dst[:min(int64(len(dst)), d.size-off)]
	if d.hdd != nil {
		d.hdd.do(off, int64(len(dst)))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := int64(0); i < int64(len(dst)); {
		o := (off + i) % pg
		n := min(pg-o, int64(len(dst))-i)
		if q := d.p[(off+i)/pg]; q != nil {
			copy(dst[i:i+n], q[o:])
		} else {
			clear(dst[i : i+n])
		}
		i += n
	}
	return fuse.ReadResultData(dst), 0
}
func put(p pages, b []byte, off int64) {
	for len(b) > 0 {
		o := off % pg
		n := min(pg-o, int64(len(b)))
		q := new([pg]byte)
		if old := p[off/pg]; old != nil && n < pg {
			*q = *old
		}
		copy(q[o:], b[:n])
		p[off/pg] = q
		b, off = b[n:], off+n
	}
}
func (d *disk) Write(ctx context.Context, f fs.FileHandle, b []byte, off int64) (uint32, syscall.Errno) {
	if v := d.r.Check("write", "disk", off, int64(len(b))); v.Errno != 0 {
		return 0, v.Errno
	}
	if d.hdd != nil {
		d.hdd.do(off, int64(len(b)))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	put(d.p, b, off)
	if d.rec {
		d.log = append(d.log, brec{kind: "write", off: off, data: append([]byte(nil), b...)})
	}
	return uint32(len(b)), 0
}
func (d *disk) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if v := d.r.Check("flush", "disk", 0, 0); v.Errno != 0 {
		return v.Errno
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rec {
		d.log = append(d.log, brec{kind: "flush"})
	}
	return 0
}
func discard(p pages, off, n int64) {
	for a := (off + pg - 1) / pg; a < (off+n)/pg; a++ {
		delete(p, a)
	}
}
func (d *disk) Allocate(ctx context.Context, f fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if mode&2 == 0 && mode&0x10 == 0 {
		return syscall.EOPNOTSUPP
	}
	if off%pg != 0 || size%pg != 0 {
		return syscall.EOPNOTSUPP
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	discard(d.p, int64(off), int64(size))
	if d.rec {
		d.log = append(d.log, brec{kind: "discard", off: int64(off), n: int64(size)})
	}
	return 0
}

func kids(name string, on func(string)) map[string]fs.InodeEmbedder {
	return map[string]fs.InodeEmbedder{name: &ackFile{on: on}}
}

func sh(quiet bool, a ...string) (string, error) {
	out, err := exec.Command(a[0], a[1:]...).CombinedOutput()
	s := strings.TrimSpace(string(out))
	if err != nil && !quiet {
		die("%v: %v: %s", a, err, s)
	}
	return s, err
}

func parseSize(s string) int64 {
	var n int64
	var u string
	fmt.Sscanf(s, "%d%s", &n, &u)
	switch strings.ToUpper(u) {
	case "K":
		n <<= 10
	case "M":
		n <<= 20
	case "G":
		n <<= 30
	case "T":
		n <<= 40
	}
	return n
}

// attach puts a loop device on the image.
func attach(image string) string {
	for try := 0; ; try++ {
		dev, err := sh(try < 20, "losetup", "-f", "--show", image)
		if err == nil && attached(dev, image) {
			return dev
		}
		time.Sleep(50 * time.Millisecond) // somebody else took the device that was free
	}
}

// detach takes it away, unless it is somebody else's by now.
func detach(dev, image string) {
	if attached(dev, image) {
		sh(true, "losetup", "-d", dev)
	}
}

func attached(dev, image string) bool {
	file, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file"))
	return err == nil && strings.TrimSpace(string(file)) == image
}

func mkfs(fsname, dev string) {
	switch fsname {
	case "ext4":
		sh(false, "mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", dev)
	case "xfs":
		sh(false, "mkfs.xfs", "-q", "-f", "-K", dev)
	case "btrfs":
		sh(false, "mkfs.btrfs", "-q", "-f", "-K", dev)
	default:
		die("fs %q", fsname)
	}
}

// repair is the file system's own tool, on a file system that does not mount.
func repair(fsname, dev string) {
	switch fsname {
	case "ext4":
		sh(true, "e2fsck", "-fy", dev)
	case "xfs":
		sh(true, "xfs_repair", "-L", dev)
	}
}

// cmdBlk: a block device with faults, standing until a signal: prints the loop device.
func cmdBlk(a []string) {
	fl := flag.NewFlagSet("blk", flag.ExitOnError)
	size := fl.String("size", "512M", "")
	dir := fl.String("dir", "", "mount point of the FUSE file")
	sock := fl.String("ctl", "", "control socket")
	fsn := fl.String("fs", "", "make this file system and mount it at -mnt")
	mnt := fl.String("mnt", "", "")
	opts := fl.String("o", "", "mount options")
	hdd := fl.String("hdd", "", "serve at the speed of a modelled 7200 rpm disk of this size, e.g. 4T")
	seed := fl.Int64("seed", 1, "")
	var rules multi
	fl.Var(&rules, "rule", "")
	fl.Parse(a)
	d := &disk{size: parseSize(*size), p: pages{}, r: NewRules(*seed, nil)}
	s := mountFiles(*dir, map[string]fs.InodeEmbedder{"disk": d})
	atExit(func() { umount(s, *dir) })
	image, err := filepath.Abs(filepath.Join(*dir, "disk"))
	if err != nil {
		die("%v", err)
	}
	dev := attach(image)
	atExit(func() { detach(dev, image) })
	if *fsn != "" {
		mkfs(*fsn, dev)
		margs := []string{"mount", dev, *mnt}
		if *opts != "" {
			margs = []string{"mount", "-o", *opts, dev, *mnt}
		}
		sh(false, margs...)
	}
	d.r.rs = NewRules(*seed, rules).rs
	if *hdd != "" {
		d.hdd = newHDD(parseSize(*hdd), d.size)
	}
	if *sock != "" {
		d.r.Serve(*sock)
	}
	fmt.Println(dev)
	waitSignal()
	d.hdd = nil
	d.r.mu.Lock()
	d.r.rs = nil
	d.r.mu.Unlock()
	if *fsn != "" {
		sh(true, "umount", "-l", *mnt)
	}
	cleanUp()
}
