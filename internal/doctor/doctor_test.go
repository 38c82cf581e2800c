package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fake is a machine of maps. The zero value of a field is healthy or empty.
type fake struct {
	files    map[string]string // of /proc and /sys
	stats    map[string]Info
	links    map[string]string
	space    Space
	direct   DirectIO
	clock    Clock
	limit    uint64
	writable error
	test     WriteTest
	testErr  error
	wrote    int
}

func (f *fake) ReadFile(name string) ([]byte, error) {
	if text, ok := f.files[name]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (f *fake) Names(dir string) ([]string, error) {
	var names []string
	add := func(file string) {
		if rest, ok := strings.CutPrefix(file, dir+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for file := range f.files {
		add(file)
	}
	for file := range f.stats {
		add(file)
	}
	return names, nil
}

func (f *fake) Resolve(path string) (string, error) {
	if to, ok := f.links[path]; ok {
		return to, nil
	}
	return path, nil
}

func (f *fake) Stat(name string) (Info, error) {
	if info, ok := f.stats[name]; ok {
		return info, nil
	}
	return Info{}, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

func (f *fake) Writable(string) error       { return f.writable }
func (f *fake) Space(string) (Space, error) { return f.space, nil }
func (f *fake) Clock() (Clock, error)       { return f.clock, nil }
func (f *fake) OpenFiles() (uint64, error)  { return f.limit, nil }
func (f *fake) UserID() int                 { return 990 }
func (f *fake) WriteTest(string) (WriteTest, error) {
	f.wrote++
	return f.test, f.testErr
}

func (f *fake) DirectIO(file string) (DirectIO, error) {
	if _, ok := f.stats[file]; !ok {
		return DirectIO{}, fs.ErrNotExist
	}
	return f.direct, nil
}

const gib = 1 << 30

const (
	rootLine = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	ringLine = "40 21 8:17 / /srv/footage rw,noatime shared:2 - xfs /dev/sdb1 rw,lazytime,attr2,inode64\n"
)

// healthy is a machine that has nothing to complain of: a ring of 4 pools on
// xfs on a disk of its own.
func healthy() (*fake, Options) {
	f := &fake{
		files: map[string]string{
			"/proc/self/mountinfo":                   rootLine + ringLine,
			"/proc/meminfo":                          "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n",
			"/proc/swaps":                            "Filename\tType\tSize\tUsed\tPriority\n",
			"/proc/sys/vm/swappiness":                "60",
			"/proc/sys/net/ipv4/tcp_rmem":            "4096\t131072\t6291456\n",
			"/proc/sys/net/core/rmem_max":            "212992\n",
			"/proc/cpuinfo":                          "processor\t: 0\nflags\t\t: sse4_2 aes\nprocessor\t: 1\nflags\t\t: sse4_2 aes\n",
			"/sys/block/sda/dev":                     "8:0\n",
			"/sys/block/sda/sda1/dev":                "8:1\n",
			"/sys/block/sda/queue/rotational":        "0\n",
			"/sys/block/sda/queue/write_cache":       "write back\n",
			"/sys/block/sdb/dev":                     "8:16\n",
			"/sys/block/sdb/sdb1/dev":                "8:17\n",
			"/sys/block/sdb/queue/rotational":        "1\n",
			"/sys/block/sdb/queue/zoned":             "none\n",
			"/sys/block/sdb/queue/write_cache":       "write back\n",
			"/sys/block/sdb/queue/discard_max_bytes": "0\n",
			"/sys/block/sdb/device/vendor":           "ATA     \n",
			"/sys/block/sdb/device/model":            "TOSHIBA HDWT840\n",
		},
		stats: map[string]Info{
			"/":                    {Mode: fs.ModeDir | 0o755},
			"/srv":                 {Mode: fs.ModeDir | 0o755},
			"/srv/footage":         {Mode: fs.ModeDir | 0o755},
			"/srv/footage/ring":    {Mode: fs.ModeDir | 0o750, UserID: 990},
			"/etc/nvr/config.toml": {Mode: 0o640},
		},
		space:  Space{Total: 4000 * gib, Free: 3000 * gib, Available: 3000 * gib, Files: 1e6, FreeFiles: 1e6},
		direct: DirectIO{Known: true, OffsetAlign: 512, MemoryAlign: 512},
		clock:  Clock{Synchronised: true, MaxError: 12 * time.Millisecond},
		limit:  1024,
		test:   WriteTest{Direct: true, DirectIO: DirectIO{Known: true, OffsetAlign: 512, MemoryAlign: 512}, Syncs: []time.Duration{12e6, 15e6, 20e6}},
	}
	f.ring(4, gib)
	return f, Options{
		Volumes:        []Volume{{Dir: "/srv/footage/ring", Pools: 4, PoolBytes: gib}},
		ConfigFile:     "/etc/nvr/config.toml",
		HasPasswords:   true,
		Cameras:        16,
		MemoryBytes:    48 << 20,
		CommitInterval: time.Second,
	}
}

// ring puts pool files there of which so much is on the disk.
func (f *fake) ring(pools int, allocated int64) {
	f.stats["/srv/footage/ring/ring.id"] = Info{Mode: 0o640, Size: 4096, Allocated: 4096}
	for n := range pools {
		f.stats[path.Join("/srv/footage/ring", fmt.Sprintf("pool_%03d.bin", n))] = Info{Mode: 0o640, Size: gib, Allocated: allocated}
	}
}

func (f *fake) noRing() {
	for name := range f.stats {
		if strings.HasPrefix(name, "/srv/footage/ring") {
			delete(f.stats, name)
		}
	}
}

// on puts the ring on another kind of file system, or mounts it otherwise.
func (f *fake) on(old, new string) {
	f.files["/proc/self/mountinfo"] = rootLine + strings.Replace(ringLine, old, new, 1)
}

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(f *fake, o *Options)
		want Severity
		in   string // "check: words of the message → words of the remedy"
	}{
		{"a file system", func(*fake, *Options) {}, OK, "file system: xfs on /dev/sdb1"},
		{"its pools", func(*fake, *Options) {}, OK, "allocation: all 4 pool files"},
		{"O_DIRECT", func(*fake, *Options) {}, OK, "O_DIRECT: offsets of 512 bytes"},
		{"a good mount", func(*fake, *Options) {}, OK, "mount: noatime"},
		{"a disk", func(*fake, *Options) {}, OK, "disk: sdb TOSHIBA HDWT840: rotating, write cache: write back"},
		{"space used", func(*fake, *Options) {}, OK, "space: the ring has its 4 GiB"},
		{"a synchronised clock", func(*fake, *Options) {}, OK, "clock: off by at most 12ms"},

		{"ext4", func(f *fake, _ *Options) { f.on("xfs", "ext4") }, OK, "file system: ext4"},
		{"ext4's journal", func(f *fake, _ *Options) { f.on("xfs", "ext4") }, OK, "ext4 layout: packed_meta_blocks"},
		{"btrfs", func(f *fake, _ *Options) { f.on("xfs", "btrfs") }, Warning, "file system: copies on write → chattr +C"},
		{"zfs", func(f *fake, _ *Options) { f.on("xfs", "zfs") }, Warning, "file system: copies on write → ext4 or xfs"},
		{"nfs", func(f *fake, _ *Options) { f.on("xfs", "nfs4") }, Warning, "file system: another machine → local disk"},
		{"cifs", func(f *fake, _ *Options) { f.on("xfs", "cifs") }, Warning, "file system: another machine → local disk"},
		{"fuse", func(f *fake, _ *Options) { f.on("xfs", "fuse.sshfs") }, Warning, "file system: is a program"},
		{"a container's layer", func(f *fake, _ *Options) { f.on("xfs", "overlay") }, Problem, "file system: gone with the container → mount a volume"},
		{"memory", func(f *fake, _ *Options) { f.on("xfs", "tmpfs") }, Problem, "file system: is memory"},
		{"a stranger", func(f *fake, _ *Options) { f.on("xfs", "bcachefs") }, Warning, "file system: bcachefs was not tested"},
		{"no mountinfo", func(f *fake, _ *Options) { delete(f.files, "/proc/self/mountinfo") }, Warning, "file system: no mount for it"},

		{"read-only", func(f *fake, _ *Options) { f.on("rw,noatime", "ro,noatime") }, Problem, "mount: read-only → dmesg"},
		{"no barriers", func(f *fake, _ *Options) { f.on("lazytime", "lazytime,nobarrier") }, Problem, "mount: barriers are off → remount,barrier /srv/footage"},
		{"data=journal", func(f *fake, _ *Options) { f.on("lazytime", "lazytime,data=journal") }, Warning, "mount: writes footage twice"},
		{"sync", func(f *fake, _ *Options) { f.on("lazytime", "lazytime,sync") }, Warning, "mount: with sync → remount,async"},
		{"discard", func(f *fake, _ *Options) { f.on("lazytime", "lazytime,discard") }, Advice, "mount: discard → fstrim.timer"},
		{"relatime", func(f *fake, _ *Options) { f.on("noatime", "relatime") }, Advice, "mount: relatime → remount,noatime"},
		{"strictatime", func(f *fake, _ *Options) { f.on("rw,noatime", "rw") }, Warning, "mount: access times → remount,noatime"},
		{"no lazytime", func(f *fake, _ *Options) { f.on("rw,lazytime", "rw") }, Advice, "mount: without lazytime → remount,lazytime"},

		{"space enough", func(f *fake, _ *Options) { f.noRing() }, OK, "space: the ring will take 4 GiB of 2.93 TiB"},
		{"no space", func(f *fake, _ *Options) { f.noRing(); f.space.Available = 3 * gib }, Problem, "space: still needs 4 GiB, 3 GiB are available → max_pools"},
		{"a creation cut short", func(f *fake, _ *Options) {
			f.noRing()
			f.stats["/srv/footage/ring"] = Info{Mode: fs.ModeDir | 0o750}
			f.ring(2, gib)
			f.space.Available = 3 * gib
		}, OK, "space: will take 2 GiB of 3 GiB, 1 GiB stay"},
		{"no reserve", func(f *fake, _ *Options) { f.space.Available = 100 << 20 }, Warning, "space: only 100 MiB → 256 MiB"},
		{"root's share", func(f *fake, _ *Options) { f.space.Free += 200 * gib }, Advice, "space: 200 GiB are kept for root → tune2fs -m 0"},
		{"no inodes", func(f *fake, _ *Options) { f.noRing(); f.space.FreeFiles = 3 }, Problem, "space: only 3 more files"},
		{"inodes as they come", func(f *fake, _ *Options) { f.space.Files, f.space.FreeFiles = 0, 0 }, OK, "space: the ring has its"},

		{"no directory yet", func(f *fake, _ *Options) { f.noRing() }, OK, "directory: will be made in /srv/footage"},
		{"an owner", func(*fake, *Options) {}, OK, "directory: owned by user 990, mode 0750"},
		{"not ours", func(f *fake, _ *Options) { f.writable = syscall.EACCES }, Problem, "directory: user 990 may not write → chown"},
		{"everybody's", func(f *fake, _ *Options) { f.stats["/srv/footage/ring"] = Info{Mode: fs.ModeDir | 0o777} }, Warning, "directory: delete footage → chmod 750"},
		{"for all to see", func(f *fake, _ *Options) { f.stats["/srv/footage/ring"] = Info{Mode: fs.ModeDir | 0o755} }, Advice, "directory: may list it → chmod 750"},
		{"a file", func(f *fake, _ *Options) { f.stats["/srv/footage/ring"] = Info{Mode: 0o644} }, Problem, "directory: is not a directory"},
		{"a link", func(f *fake, _ *Options) { f.links = map[string]string{"/srv/footage/ring": "/var/ring"} }, OK, "file system: ext4 on /dev/sda1"},

		{"O_DIRECT refused", func(f *fake, _ *Options) { f.direct.OffsetAlign = 0 }, Warning, "O_DIRECT: is refused → ext4 or xfs"},
		{"large sectors", func(f *fake, _ *Options) { f.direct.OffsetAlign = 16384 }, Problem, "O_DIRECT: wants offsets of 16384"},
		{"O_DIRECT without a pool", func(f *fake, _ *Options) { f.noRing() }, OK, "O_DIRECT: xfs takes it"},
		{"O_DIRECT unknown", func(f *fake, _ *Options) { f.noRing(); f.on("xfs", "nfs4") }, Advice, "O_DIRECT: not known → --write-test"},
		{"holes", func(f *fake, _ *Options) { f.ring(4, gib/2) }, Warning, "allocation: 2 GiB of 4 pool files are holes → fallocate"},
		{"fallocate unknown", func(f *fake, _ *Options) { f.noRing(); f.on("xfs", "nfs4") }, Advice, "allocation: not known → --write-test"},

		{"host-managed", func(f *fake, _ *Options) { f.files["/sys/block/sdb/queue/zoned"] = "host-managed\n" }, Problem, "disk: in sequence only → CMR"},
		{"host-aware", func(f *fake, _ *Options) { f.files["/sys/block/sdb/queue/zoned"] = "host-aware\n" }, Warning, "disk: SMR → CMR"},
		{"a known shingled drive", func(f *fake, _ *Options) { f.files["/sys/block/sdb/device/model"] = "WDC WD40EFAX-68J" }, Warning, "disk: SMR → CMR"},
		{"a rotating drive that trims", func(f *fake, _ *Options) { f.files["/sys/block/sdb/queue/discard_max_bytes"] = "2147450880" }, Warning, "disk: SMR → CMR"},
		{"write cache off", func(f *fake, _ *Options) { f.files["/sys/block/sdb/queue/write_cache"] = "write through" }, Advice, "disk: write cache is off → hdparm -W1 /dev/sdb"},
		{"a controller's cache", func(f *fake, _ *Options) {
			f.files["/sys/block/sdb/queue/write_cache"] = "write through"
			f.files["/sys/block/sdb/device/vendor"] = "DELL"
		}, Advice, "disk: hypervisor → battery"},
		{"a loop device", func(f *fake, _ *Options) { f.files["/sys/block/sdb/loop/backing_file"] = "/disk.img" }, Advice, "disk: loop device"},
		{"no disk", func(f *fake, _ *Options) {
			f.on("8:17 / /srv/footage rw,noatime shared:2 - xfs /dev/sdb1", "0:99 / /srv/footage rw,noatime - zfs tank/footage")
		}, Advice, "disk: does not say which disk"},
		{"btrfs by its device", func(f *fake, _ *Options) {
			f.on("8:17 / /srv/footage rw,noatime shared:2 - xfs", "0:50 / /srv/footage rw,noatime - btrfs")
		}, OK, "disk: sdb TOSHIBA"},
		{"a logical volume", func(f *fake, _ *Options) {
			f.on("8:17", "253:0")
			f.files["/sys/block/dm-0/dev"], f.files["/sys/block/dm-0/slaves/sdb1/x"] = "253:0\n", ""
		}, OK, "disk: sdb TOSHIBA"},

		{"two rings on a disk", func(f *fake, o *Options) {
			f.stats["/srv/footage/second"] = Info{Mode: fs.ModeDir | 0o750}
			o.Volumes = append(o.Volumes, Volume{Dir: "/srv/footage/second", Pools: 2, PoolBytes: gib})
		}, Warning, "disks: same disk, sdb, as /srv/footage/ring"},

		{"passwords for all", func(f *fake, _ *Options) { f.stats["/etc/nvr/config.toml"] = Info{Mode: 0o644} }, Warning, "configuration: passwords → chmod 640"},
		{"no passwords for all", func(f *fake, o *Options) { f.stats["/etc/nvr/config.toml"] = Info{Mode: 0o644}; o.HasPasswords = false }, Advice, "configuration: may read it → chmod 640"},
		{"a configuration for all", func(f *fake, _ *Options) { f.stats["/etc/nvr/config.toml"] = Info{Mode: 0o666} }, Problem, "configuration: may change it"},

		{"a free clock", func(f *fake, _ *Options) { f.clock.Synchronised = false }, Warning, "clock: not synchronised → chrony"},
		{"a vague clock", func(f *fake, _ *Options) { f.clock.MaxError = 3 * time.Second }, Warning, "clock: off by 3s → chronyc sources"},
		{"small buffers", func(f *fake, _ *Options) { f.files["/proc/sys/net/ipv4/tcp_rmem"] = "4096 87380 262144" }, Warning, "network: 256 KiB at most → tcp_rmem"},
		{"no buffers", func(f *fake, _ *Options) { delete(f.files, "/proc/sys/net/ipv4/tcp_rmem") }, Advice, "network: cannot be read"},
		{"small buffers for datagrams", func(_ *fake, o *Options) { o.Datagrams = true }, Warning, "datagrams: 208 KiB of them at most → rmem_max=2097152"},
		{"buffers for datagrams", func(f *fake, o *Options) { o.Datagrams = true; f.files["/proc/sys/net/core/rmem_max"] = "4194304\n" }, OK, "datagrams: 4 MiB of them"},
		{"no buffers for datagrams", func(f *fake, o *Options) { o.Datagrams = true; delete(f.files, "/proc/sys/net/core/rmem_max") }, Advice, "datagrams: cannot be read"},
		{"few files", func(f *fake, _ *Options) { f.limit = 80 }, Problem, "open files: 80 are allowed, cameras and pools may need 152 → LimitNOFILE=152"},
		{"little memory", func(f *fake, _ *Options) { f.files["/proc/meminfo"] = "MemAvailable: 40000 kB\n" }, Problem, "memory: 39.1 MiB are available, 48 MiB are needed"},
		{"tight memory", func(f *fake, _ *Options) { f.files["/proc/meminfo"] = "MemAvailable: 200000 kB\n" }, Warning, "memory: little is left"},
		{"a control group", func(f *fake, _ *Options) { f.files["/sys/fs/cgroup/memory.max"] = "33554432\n" }, Problem, "memory: 32 MiB are allowed by the control group"},
		{"an open control group", func(f *fake, _ *Options) { f.files["/sys/fs/cgroup/memory.max"] = "max\n" }, OK, "memory: are available"},
		{"swap with footage", func(f *fake, _ *Options) {
			f.files["/proc/swaps"] += "/dev/sdb2 partition 1 0 -2\n"
			f.files["/sys/block/sdb/sdb2/dev"] = "8:18"
		}, Warning, "swap: is on sdb → swapoff"},
		{"a swap file with footage", func(f *fake, _ *Options) { f.files["/proc/swaps"] += "/srv/footage/swap file 1 0 -2\n" }, Warning, "swap: is on sdb → swapoff"},
		{"eager swap", func(f *fake, _ *Options) { f.files["/proc/swaps"] += "/dev/sda2 partition 1 0 -2\n" }, Advice, "swap: vm.swappiness is 60"},
		{"calm swap", func(f *fake, _ *Options) {
			f.files["/proc/swaps"] += "/dev/sda2 partition 1 0 -2\n"
			f.files["/proc/sys/vm/swappiness"] = "1"
		}, OK, "swap: other disks"},
		{"a small processor", func(f *fake, o *Options) { o.Cameras, f.limit = 500, 4096 }, Warning, "processor: 2 for 500 cameras"},
		{"no CRC", func(f *fake, _ *Options) { f.files["/proc/cpuinfo"] = "processor: 0\nflags: aes\n" }, Warning, "processor: CRC-32C"},
		{"no AES", func(f *fake, _ *Options) { f.files["/proc/cpuinfo"] = "processor: 0\nFeatures: crc32\n" }, Advice, "processor: without AES"},

		{"write test", func(_ *fake, o *Options) { o.WriteTest = true }, OK, "write test: took 15ms, at worst 20ms"},
		{"write test: slow", func(f *fake, o *Options) { o.WriteTest = true; f.test.Syncs = []time.Duration{400e6} }, Warning, "write test: 400ms → smartctl"},
		{"write test: too slow", func(f *fake, o *Options) { o.WriteTest = true; f.test.Syncs = []time.Duration{700e6} }, Problem, "write test: before the next begins → iostat"},
		{"write test: too fast", func(f *fake, o *Options) { o.WriteTest = true; f.test.Syncs = []time.Duration{1e5} }, Advice, "write test: faster than a platter → power cut"},
		{"write test: fails", func(f *fake, o *Options) { o.WriteTest = true; f.testErr = syscall.EIO }, Problem, "write test: input/output error → dmesg"},
		{"write test: no O_DIRECT", func(f *fake, o *Options) { o.WriteTest = true; f.test.Direct = false }, Warning, "O_DIRECT: is refused"},
		{"write test: no fallocate", func(f *fake, o *Options) { o.WriteTest = true; f.test.Allocate = syscall.EOPNOTSUPP }, Warning, "allocation: operation not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, o := healthy()
			c.do(f, &o)
			findings := Examine(f, o)
			check, rest, _ := strings.Cut(c.in, ": ")
			message, remedy, _ := strings.Cut(rest, " → ")
			if !slices.ContainsFunc(findings, func(x Finding) bool {
				return x.Severity == c.want && x.Check == check && strings.Contains(x.Message, message) && strings.Contains(x.Remedy, remedy)
			}) {
				t.Errorf("no %v %q in\n%s", c.want, c.in, text(findings))
			}
			if Worst(findings) != c.want && c.want != OK && c.want != Advice {
				t.Errorf("worst is %v, want %v:\n%s", Worst(findings), c.want, text(findings))
			}
			for _, x := range findings {
				if (x.Severity == OK) != (x.Remedy == "") {
					t.Errorf("a remedy belongs to each finding that is not ok, and to no other: %+v", x)
				}
			}
			if f.wrote != 0 && !o.WriteTest {
				t.Error("it wrote")
			}
		})
	}
}

// TestHealthy: nothing but good news, and nothing written.
func TestHealthy(t *testing.T) {
	f, o := healthy()
	findings := Examine(f, o)
	if Worst(findings) != OK || f.wrote != 0 {
		t.Errorf("wrote %d times\n%s", f.wrote, text(findings))
	}
	if _, err := json.Marshal(findings); err != nil {
		t.Error(err)
	}
}

// TestBlind: on a machine that tells nothing it neither panics nor complains of
// more than it cannot see.
func TestBlind(t *testing.T) {
	_, o := healthy()
	o.WriteTest = true
	findings := Examine(&fake{testErr: errors.New("no")}, o)
	for _, f := range findings {
		if f.Severity != OK && f.Remedy == "" {
			t.Errorf("no remedy: %+v", f)
		}
	}
}

// TestHost looks at the machine of the test: what it finds is not known, but it
// must leave no file behind, with or without writing.
func TestHost(t *testing.T) {
	dir := t.TempDir()
	for _, write := range []bool{false, true} {
		findings := Examine(Host{}, Options{Volumes: []Volume{{Dir: path.Join(dir, "ring"), Pools: 2, PoolBytes: 8 << 20}}, Cameras: 1, WriteTest: write, CommitInterval: time.Second})
		t.Logf("write test %v:\n%s", write, text(findings))
		if names, err := (Host{}).Names(dir); err != nil || len(names) > 0 {
			t.Errorf("left behind: %v %v", names, err)
		}
	}
}

func TestParseMount(t *testing.T) {
	m, ok := parseMount(`36 35 98:0 /mnt1 /a\040b rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue` + "\n")
	if !ok || m.device != "98:0" || m.point != "/a b" || m.fs != "ext3" || m.source != "/dev/root" || !m.has("noatime") || !m.has("errors=continue") || m.has("master:1") {
		t.Errorf("%+v %v", m, ok)
	}
	for _, line := range []string{"", "\n", "36 35 98:0 / / rw", "36 - ext4 a b", " - "} {
		if _, ok := parseMount(line); ok {
			t.Errorf("%q is no mount", line)
		}
	}
}

func FuzzParseMount(f *testing.F) {
	f.Add(rootLine)
	f.Add(`36 35 98:0 /mnt1 /a\04 rw - ext3 \ rw`)
	f.Fuzz(func(_ *testing.T, line string) { parseMount(line) })
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1 << 20: "1 MiB", 73*gib + gib/2: "73.5 GiB", 161 * gib: "161 GiB", 1 << 62: "4 EiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}

func text(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%v %s, %s: %s → %s\n", f.Severity, f.Check, f.Subject, f.Message, f.Remedy)
	}
	return b.String()
}
