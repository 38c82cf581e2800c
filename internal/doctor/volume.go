package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Names of the files of a ring (docs/format.md).
const (
	ringFile  = "ring.id"
	firstPool = "pool_000.bin"
)

// blockSize is what the recorder aligns its writes to.
const blockSize = 4096

// reserveBytes should stay free beside the ring: the catalogue is written anew
// and renamed, and file systems dislike being full.
const reserveBytes = 256 << 20

// volume looks at everything about one directory.
func (e *exam) volume(v Volume) {
	dir, exists, ok := e.directory(v)
	if !ok {
		return
	}
	m, ok := e.mountOf(dir)
	if !ok {
		e.find(Warning, "file system", v.Dir, "/proc/self/mountinfo has no mount for it", "mount /proc; nothing can be said about this disk without it")
		return
	}
	e.fileSystem(v, m)
	e.space(v, dir, exists)
	e.directIO(v, dir, m)
	e.allocation(v, m, exists)
	e.block(v, m)
	if e.o.WriteTest {
		e.writeTest(v, dir)
	}
}

// directory finds the volume's directory, or, where the recorder is still to
// make it, the nearest one above that is there.
func (e *exam) directory(v Volume) (dir string, exists, ok bool) {
	dir = v.Dir
	for {
		info, err := e.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != "/":
			dir = path.Dir(dir)
			continue
		case err != nil:
			e.find(Problem, "directory", v.Dir, err.Error(), "let the recorder's user reach it: chmod a+x each directory above")
			return dir, false, false
		case !info.Mode.IsDir():
			e.find(Problem, "directory", v.Dir, dir+" is not a directory", "name another base_path")
			return dir, false, false
		}
		exists = dir == v.Dir
		if resolved, err := e.Resolve(dir); err == nil {
			dir = resolved
		}
		e.permissions(v, dir, exists, info)
		return dir, exists, true
	}
}

func (e *exam) exists(path string) bool {
	_, err := e.Stat(path)
	return err == nil
}

func (e *exam) permissions(v Volume, dir string, exists bool, info Info) {
	before := len(e.findings)
	find := func(s Severity, message, remedy string) { e.find(s, "directory", v.Dir, message, remedy) }
	if err := e.Writable(dir); err != nil && !errors.Is(err, errReadOnly) { // a read-only mount has a finding of its own
		find(Problem, fmt.Sprintf("user %d may not write in %s: %v", e.UserID(), dir, err), fmt.Sprintf("chown it to the recorder's user, or run nvr doctor as that user: it is owned by %d", info.UserID))
	}
	if !exists {
		if len(e.findings) == before {
			e.ok("directory", v.Dir, "will be made in %s", dir)
		}
		return
	}
	switch perm := info.Mode.Perm(); {
	case perm&0o002 != 0:
		find(Warning, fmt.Sprintf("everybody on this machine may delete footage (mode %04o)", perm), "chmod 750 "+v.Dir)
	case perm&0o004 != 0:
		find(Advice, fmt.Sprintf("everybody on this machine may list it (mode %04o)", perm), "chmod 750 "+v.Dir)
	}
	if len(e.findings) == before {
		e.ok("directory", v.Dir, "owned by user %d, mode %04o", info.UserID, info.Mode.Perm())
	}
}

func (e *exam) hasRing(v Volume) bool { return e.exists(path.Join(v.Dir, ringFile)) }

// pools lists the pool files that are there, and how much of them is on the disk.
func (e *exam) pools(v Volume) (names []string, size, allocated int64) {
	all, _ := e.Names(v.Dir)
	for _, name := range all {
		if !strings.HasPrefix(name, "pool_") || !strings.HasSuffix(name, ".bin") {
			continue
		}
		if info, err := e.Stat(path.Join(v.Dir, name)); err == nil {
			names, size, allocated = append(names, name), size+info.Size, allocated+info.Allocated
		}
	}
	slices.Sort(names)
	return names, size, allocated
}

// space compares what the ring still needs with what there is.
func (e *exam) space(v Volume, dir string, exists bool) {
	s, err := e.Space(dir)
	if err != nil {
		e.find(Warning, "space", v.Dir, err.Error(), "look at the disk: a file system that does not answer is sick")
		return
	}
	var names []string
	var have int64
	if exists {
		names, _, have = e.pools(v)
	}
	need := max(0, v.bytes()-have)
	left := s.Available - need
	switch {
	case left < 0:
		e.find(Problem, "space", v.Dir, fmt.Sprintf("the ring still needs %s, %s are available", size(need), size(s.Available)), "lower max_pools or chunk_size_mb, or free space (nvr plan says how long a ring lasts)")
	case left < reserveBytes:
		e.find(Warning, "space", v.Dir, fmt.Sprintf("beside the ring only %s are left: the catalogue is written anew there", size(left)), fmt.Sprintf("leave %s: lower max_pools", size(reserveBytes)))
	case need > 0:
		e.ok("space", v.Dir, "the ring will take %s of %s, %s stay", size(need), size(s.Available), size(left))
	default:
		e.ok("space", v.Dir, "the ring has its %s; %s are free beside it", size(have), size(s.Available))
	}
	if s.Files > 0 && s.FreeFiles < uint64(max(0, v.Pools-len(names)))+8 {
		e.find(Problem, "space", v.Dir, fmt.Sprintf("only %d more files can be made", s.FreeFiles), "make fewer and larger pools, or free inodes")
	}
	if kept := s.Free - s.Available; s.Total > 0 && kept > s.Total/100 {
		e.find(Advice, "space", v.Dir, fmt.Sprintf("%s are kept for root (ext4 keeps 5 %%): no ring can have them", size(kept)), "tune2fs -m 0 DEVICE, on a disk that has nothing but footage")
	}
}

// directIO asks about O_DIRECT, of a pool if there is one.
func (e *exam) directIO(v Volume, dir string, m mount) {
	if e.o.WriteTest {
		return // which tries it
	}
	d, err := e.DirectIO(path.Join(dir, firstPool))
	switch {
	case err == nil && d.Known:
		e.judgeDirectIO(v, d)
	case m.fs == "ext4" || m.fs == "xfs" || m.fs == "btrfs":
		e.ok("O_DIRECT", v.Dir, "%s takes it; --write-test tries", m.fs)
	default:
		e.find(Advice, "O_DIRECT", v.Dir, "is not known without a pool file: where it is refused, footage goes through the page cache, at more CPU and memory", "try it with nvr doctor --write-test")
	}
}

func (e *exam) judgeDirectIO(v Volume, d DirectIO) {
	switch {
	case d.OffsetAlign == 0:
		e.find(Warning, "O_DIRECT", v.Dir, "is refused: footage goes through the page cache, at more CPU and memory", useOne)
	case d.OffsetAlign > blockSize || d.MemoryAlign > blockSize:
		e.find(Problem, "O_DIRECT", v.Dir, fmt.Sprintf("wants offsets of %d bytes and memory of %d; the recorder writes in blocks of %d", d.OffsetAlign, d.MemoryAlign, blockSize), "use a disk with sectors of 4096 bytes or less")
	default:
		e.ok("O_DIRECT", v.Dir, "accepted: offsets of %d bytes, memory of %d", d.OffsetAlign, d.MemoryAlign)
	}
}

// allocation says whether the room of the pools is, or can be, reserved.
func (e *exam) allocation(v Volume, m mount, exists bool) {
	if exists && e.hasRing(v) {
		names, size_, allocated := e.pools(v)
		if allocated < size_ {
			e.find(Warning, "allocation", v.Dir, fmt.Sprintf("%s of %d pool files are holes: the disk can be full in the middle of a pool", size(size_-allocated), len(names)),
				"they were copied with the holes left out: with the recorder stopped, fallocate -l SIZE each of them")
		} else {
			e.ok("allocation", v.Dir, "the room of all %d pool files is reserved", len(names))
		}
		return
	}
	if e.o.WriteTest {
		return // which tries it
	}
	switch m.fs {
	case "ext4", "xfs", "btrfs", "f2fs", "tmpfs":
		e.ok("allocation", v.Dir, "%s reserves room at once (fallocate)", m.fs)
	default:
		e.find(Advice, "allocation", v.Dir, "it is not known whether "+m.fs+" can reserve room: if not, the first start writes zeros, at the speed of the disk", "try it with nvr doctor --write-test")
	}
}

// Sync times that deserve a word: of writing and syncing 1 MiB.
const (
	slowSync       = 300 * time.Millisecond // a healthy hard disk: 10 to 60 ms
	suspiciousSync = time.Millisecond       // less than the eighth part of a turn
)

// writeTest does what the recorder does, once.
func (e *exam) writeTest(v Volume, dir string) {
	t, err := e.WriteTest(dir)
	if err != nil {
		e.find(Problem, "write test", v.Dir, err.Error(), "nothing can be recorded here: look for errors of this disk in the kernel's log (dmesg), and at the owner of the directory")
		return
	}
	switch {
	case !t.Direct:
		e.judgeDirectIO(v, DirectIO{})
	case t.DirectIO.Known:
		e.judgeDirectIO(v, t.DirectIO)
	default:
		e.ok("O_DIRECT", v.Dir, "accepted")
	}
	if t.Allocate != nil {
		e.find(Warning, "allocation", v.Dir, fmt.Sprintf("fallocate: %v: the first start writes zeros, at the speed of the disk", t.Allocate), useOne)
	} else {
		e.ok("allocation", v.Dir, "fallocate reserves room at once")
	}
	if len(t.Syncs) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(t.Syncs))
	median, worst := sorted[len(sorted)/2], sorted[len(sorted)-1]
	said := fmt.Sprintf("writing and syncing 1 MiB took %v, at worst %v", median.Round(100*time.Microsecond), worst.Round(100*time.Microsecond))
	switch {
	case e.o.CommitInterval > 0 && median > e.o.CommitInterval/2:
		e.find(Problem, "write test", v.Dir, said+": a commit does not end before the next begins", "find out who else uses this disk (iostat -x 1), or use another")
	case median > slowSync || worst > 4*slowSync:
		e.find(Warning, "write test", v.Dir, said, "find out who else uses this disk (iostat -x 1), and look at its health (smartctl -a)")
	case median < suspiciousSync && e.rotates(v):
		e.find(Advice, "write test", v.Dir, said+": faster than a platter turns", "a cache below answers; make sure that it survives a power cut")
	default:
		e.ok("write test", v.Dir, "%s", said)
	}
}

// rotates says whether all disks below the volume say that they do.
func (e *exam) rotates(v Volume) bool {
	for _, d := range e.disks[v.Dir] {
		if e.read("/sys/block/"+d+"/queue/rotational") != "1" {
			return false
		}
	}
	return len(e.disks[v.Dir]) > 0
}
