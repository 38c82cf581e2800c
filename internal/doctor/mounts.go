package doctor

import (
	"slices"
	"strconv"
	"strings"
)

// mount is a line of /proc/self/mountinfo (proc(5)).
type mount struct {
	device  string // major:minor
	point   string
	fs      string
	source  string
	options []string // of the mount and of the file system
}

func (m *mount) has(option string) bool { return slices.Contains(m.options, option) }

func (e *exam) readMounts() {
	text, err := e.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		if m, ok := parseMount(line); ok {
			e.mounts = append(e.mounts, m)
		}
	}
}

// parseMount reads "36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/sda1 rw,lazytime".
func parseMount(line string) (mount, bool) {
	left, right, ok := strings.Cut(strings.TrimSpace(line), " - ")
	l, r := strings.Fields(left), strings.Fields(right)
	if !ok || len(l) < 6 || len(r) < 3 {
		return mount{}, false
	}
	options := strings.Split(l[5], ",")
	for _, o := range strings.Split(r[2], ",") {
		if !slices.Contains(options, o) {
			options = append(options, o)
		}
	}
	return mount{device: l[2], point: unescape(l[4]), fs: r[0], source: unescape(r[1]), options: options}, true
}

// unescape undoes \040 and the like.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountOf is the mount that path is on: the one with the longest path, and the
// last of those, which covers the others.
func (e *exam) mountOf(path string) (found mount, ok bool) {
	for _, m := range e.mounts {
		if within(path, m.point) && len(m.point) >= len(found.point) {
			found, ok = m, true
		}
	}
	return found, ok
}

func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// fileSystem is what we know about one.
type fileSystem struct {
	severity    Severity
	why, remedy string
}

const useOne = "make the volume's file system ext4 or xfs (docs/operate.md has the commands)"

// fileSystems by their name in mountinfo; "fuse" stands for all of its kind.
var fileSystems = map[string]fileSystem{
	"ext4": {OK, "", ""},
	"xfs":  {OK, "", ""},
	"ext2": {Warning, "has no journal: after a power cut it must be checked before it is mounted, for hours", useOne},
	"ext3": {Warning, "has no extents: pools are allocated by writing zeros, which takes hours", useOne},
	"f2fs": {Advice, "is made for flash without a controller of its own and was not tested", useOne},
	"btrfs": {Warning, "copies on write: a ring that is overwritten in place falls to pieces all over the disk, and in tests one write error made it read-only for good",
		useOne + "; or chattr +C the directory while it is empty"},
	"zfs":     {Warning, "copies on write and caches beside the page cache: a ring that is overwritten in place falls to pieces all over the disk", useOne},
	"nfs":     {Warning, "is on another machine: recording depends on the network, and what is durable is decided there", useOne + " on a local disk"},
	"cifs":    {Warning, "is on another machine: recording depends on the network, and what is durable is decided there", useOne + " on a local disk"},
	"fuse":    {Warning, "is a program: each write goes through it, and recording ends with it", useOne},
	"overlay": {Problem, "is a container's layer: footage is gone with the container", "mount a volume or a directory of the host at the base_path"},
	"tmpfs":   {Problem, "is memory: footage is gone with the next start, and takes memory from everything else", useOne},
	"vfat":    {Problem, "cannot reserve room and loses files in a power cut", useOne},
	"exfat":   {Problem, "cannot reserve room and loses files in a power cut", useOne},
	"ntfs3":   {Warning, "was not tested", useOne},
}

func knownFileSystem(name string) fileSystem {
	base, _, _ := strings.Cut(name, ".") // fuse.sshfs
	switch {
	case base == "nfs4":
		base = "nfs"
	case base == "smb3":
		base = "cifs"
	case base == "ramfs":
		base = "tmpfs"
	case strings.HasPrefix(base, "fuse"):
		base = "fuse"
	}
	if known, ok := fileSystems[base]; ok {
		return known
	}
	return fileSystem{Warning, "was not tested", useOne}
}

// fileSystem says what is wrong with the volume's file system, and how it is mounted.
func (e *exam) fileSystem(v Volume, m mount) {
	known := knownFileSystem(m.fs)
	if known.severity == OK {
		e.ok("file system", v.Dir, "%s on %s", m.fs, m.source)
	} else {
		e.find(known.severity, "file system", v.Dir, m.fs+" "+known.why, known.remedy)
	}
	if m.fs == "ext4" {
		e.ok("ext4 layout", v.Dir, "whether the journal is at the start of the disk (packed_meta_blocks) or in its middle cannot be seen from here; over a whole ring the two come to the same")
	}
	e.mountOptions(v, m)
}

func (e *exam) mountOptions(v Volume, m mount) {
	before := len(e.findings)
	find := func(s Severity, message, remedy string) { e.find(s, "mount", v.Dir, message, remedy) }
	remount := func(option string) string {
		return "mount -o remount," + option + " " + m.point + ", and the same in /etc/fstab"
	}
	if m.has("ro") {
		find(Problem, "is mounted read-only: by choice, or by the kernel after an error", "look for errors of this disk in the kernel's log (dmesg), then "+remount("rw"))
	}
	if m.has("nobarrier") || m.has("barrier=0") {
		find(Problem, "barriers are off: what was synced may still be in the drive's cache when the power goes", remount("barrier"))
	}
	if m.has("data=journal") {
		find(Warning, "data=journal writes footage twice, and refuses to go around the page cache", "take data=journal out of /etc/fstab and mount it anew")
	}
	if m.has("sync") || m.has("dirsync") {
		find(Warning, "is mounted with sync: each write waits on its own, where one sync a second is enough", remount("async"))
	}
	if m.has("discard") {
		find(Advice, "discard is of no use: the ring never gives anything back", "take discard out of /etc/fstab; fstrim.timer does it for the rest")
	}
	if m.fs != "ext4" && m.fs != "xfs" {
		return
	}
	switch {
	case m.has("noatime"):
	case m.has("relatime"):
		find(Advice, "relatime: reading footage writes access times, at most once a day for each file", remount("noatime"))
	default:
		find(Warning, "access times are written: each read of footage becomes a write far away from the ring", remount("noatime"))
	}
	if !m.has("lazytime") {
		find(Advice, "without lazytime the journal takes a pool's modification time every few seconds", remount("lazytime"))
	}
	if len(e.findings) == before {
		e.ok("mount", v.Dir, "%s", strings.Join(m.options, ","))
	}
}
