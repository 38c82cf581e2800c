package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const errReadOnly = syscall.EROFS

// configFile says who may read the passwords.
func (e *exam) configFile() {
	if e.o.ConfigFile == "" {
		return
	}
	info, err := e.Stat(e.o.ConfigFile)
	if err != nil {
		e.find(Warning, "configuration", e.o.ConfigFile, err.Error(), "name the file with --config")
		return
	}
	perm := info.Mode.Perm()
	remedy := "chown root:nvr and chmod 640 it, where nvr is the recorder's group"
	switch {
	case perm&0o002 != 0:
		e.find(Problem, "configuration", e.o.ConfigFile, fmt.Sprintf("everybody on this machine may change it (mode %04o)", perm), remedy)
	case perm&0o004 != 0 && e.o.HasPasswords:
		e.find(Warning, "configuration", e.o.ConfigFile, fmt.Sprintf("everybody on this machine may read it (mode %04o), and its cameras have passwords", perm), remedy+", or use password_file")
	case perm&0o004 != 0:
		e.find(Advice, "configuration", e.o.ConfigFile, fmt.Sprintf("everybody on this machine may read it (mode %04o)", perm), remedy)
	default:
		e.ok("configuration", e.o.ConfigFile, "owned by user %d, mode %04o", info.UserID, perm)
	}
}

// maxClockError is what the kernel may believe its clock to be off by.
const maxClockError = time.Second

func (e *exam) clock() {
	c, err := e.Clock()
	switch {
	case err != nil:
		e.find(Advice, "clock", "", err.Error(), "see that the clock is kept right: timedatectl")
	case !c.Synchronised:
		e.find(Warning, "clock", "", "is not synchronised: footage will be listed at wrong times, and jumps when somebody sets it", "run chrony or systemd-timesyncd; timedatectl says whether it works")
	case c.MaxError > maxClockError:
		e.find(Warning, "clock", "", fmt.Sprintf("may be off by %v", c.MaxError.Round(time.Millisecond)), "see why the time servers are not reached: chronyc sources, or timedatectl timesync-status")
	default:
		e.ok("clock", "", "synchronised, off by at most %v", c.MaxError.Round(time.Millisecond))
	}
}

// wantedReceive is a second of a camera of 8 Mbit/s: what the kernel must be
// able to hold while the recorder is busy with others.
const wantedReceive = 1 << 20

// wantedDatagrams is what ingest asks of the kernel for each track that comes by
// UDP, where nothing holds the camera back.
const wantedDatagrams = 2 << 20

func (e *exam) network() {
	words := strings.Fields(e.read("/proc/sys/net/ipv4/tcp_rmem"))
	largest := 0
	if len(words) == 3 {
		largest, _ = strconv.Atoi(words[2])
	}
	switch {
	case len(words) != 3:
		e.find(Advice, "network", "", "the limits of receive buffers cannot be read", "sysctl net.ipv4.tcp_rmem: its third figure should be 1048576 or more")
	case largest < wantedReceive:
		e.find(Warning, "network", "", fmt.Sprintf("a connection may hold %s at most (net.ipv4.tcp_rmem): bursts of pictures are held back in the camera, which may drop them", size(int64(largest))), `sysctl -w net.ipv4.tcp_rmem="4096 131072 6291456", and the same in /etc/sysctl.d`)
	default:
		e.ok("network", "", "a connection may hold %s (net.ipv4.tcp_rmem); net.core.rmem_max, %s, does not matter to RTSP over TCP", size(int64(largest)), e.read("/proc/sys/net/core/rmem_max"))
	}
	if !e.o.Datagrams {
		return
	}
	switch most, err := strconv.Atoi(e.read("/proc/sys/net/core/rmem_max")); {
	case err != nil:
		e.find(Advice, "datagrams", "", "the limit of their receive buffers cannot be read", fmt.Sprintf("sysctl net.core.rmem_max should be %d or more", wantedDatagrams))
	case most < wantedDatagrams:
		e.find(Warning, "datagrams", "", fmt.Sprintf("the kernel keeps %s of them at most (net.core.rmem_max): large pictures of cameras with transport udp or multicast lose packets", size(int64(most))), fmt.Sprintf("sysctl -w net.core.rmem_max=%d, and the same in /etc/sysctl.d", wantedDatagrams))
	default:
		e.ok("datagrams", "", "the kernel keeps %s of them (net.core.rmem_max)", size(int64(most)))
	}
}

// otherFiles are open besides those of cameras and pools, at most.
const otherFiles = 64

// cameraFiles are a connection, and where the media come by UDP two sockets for
// each of two tracks.
const cameraFiles = 5

func (e *exam) openFiles() {
	limit, err := e.OpenFiles()
	if err != nil {
		e.find(Advice, "open files", "", err.Error(), "see ulimit -Hn")
		return
	}
	need := uint64(cameraFiles*max(e.o.Cameras, e.o.Streams) + otherFiles)
	for _, v := range e.o.Volumes {
		need += 2 * uint64(v.Pools) // one to read, one to write
	}
	if limit < need {
		e.find(Problem, "open files", "", fmt.Sprintf("%d are allowed, cameras and pools may need %d", limit, need), fmt.Sprintf("LimitNOFILE=%d in the systemd unit, or ulimit -Hn; or make fewer and larger pools", need))
		return
	}
	e.ok("open files", "", "%d are allowed, at most %d are needed", limit, need)
}

// spareMemory is what the rest of the machine and the page cache should have.
const spareMemory = 256 << 20

// cgroup limits: of version 2, and of version 1.
var memoryLimits = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

func (e *exam) memory() {
	info := e.meminfo()
	available, from := info["MemAvailable"], "available"
	if available == 0 {
		e.find(Advice, "memory", "", "/proc/meminfo cannot be read", fmt.Sprintf("see that %s are free", size(e.o.MemoryBytes+spareMemory)))
		return
	}
	for _, file := range memoryLimits {
		if limit, err := strconv.ParseInt(e.read(file), 10, 64); err == nil && limit < available {
			available, from = limit, "allowed by the control group"
		}
	}
	need := e.o.MemoryBytes
	switch {
	case available < need:
		e.find(Problem, "memory", "", fmt.Sprintf("%s are %s, %s are needed for %d enabled camera(s)", size(available), from, size(need), e.o.Cameras), "add memory, or raise the limit")
	case available < need+spareMemory:
		e.find(Warning, "memory", "", fmt.Sprintf("%s are %s, %s are needed for %d enabled camera(s): little is left for what waits when the disk stalls", size(available), from, size(need), e.o.Cameras), fmt.Sprintf("have %s", size(need+spareMemory)))
	default:
		e.ok("memory", "", "%s are %s, %s are needed for %d enabled camera(s)", size(available), from, size(need), e.o.Cameras)
	}
}

// meminfo is /proc/meminfo in bytes.
func (e *exam) meminfo() map[string]int64 {
	info := map[string]int64{}
	for line := range strings.Lines(e.read("/proc/meminfo") + "\n") {
		name, value, _ := strings.Cut(line, ":")
		if words := strings.Fields(value); len(words) > 0 {
			if n, err := strconv.ParseInt(words[0], 10, 64); err == nil {
				info[name] = n << 10
			}
		}
	}
	return info
}

func (e *exam) swap() {
	lines := strings.Split(e.read("/proc/swaps"), "\n")
	if len(lines) < 2 {
		e.ok("swap", "", "none")
		return
	}
	for _, line := range lines[1:] {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		name := words[0]
		var below []string
		if m, ok := e.mountOf(name); ok && len(words) > 1 && words[1] == "file" {
			below = e.disksBelow(m)
		} else {
			device := name[strings.LastIndexByte(name, '/')+1:]
			below = e.slaves(e.wholeDisk(device), 0)
		}
		for _, v := range e.o.Volumes {
			for _, d := range e.disks[v.Dir] {
				if slices.Contains(below, d) {
					e.find(Warning, "swap", name, fmt.Sprintf("is on %s, with the footage in %s: each page moves the heads away, and the recorder waits for both", d, v.Dir), "move it to another disk, or swapoff it")
					return
				}
			}
		}
	}
	if swappiness, err := strconv.Atoi(e.read("/proc/sys/vm/swappiness")); err == nil && swappiness > 10 {
		e.find(Advice, "swap", "", fmt.Sprintf("vm.swappiness is %d: reading much footage may push the recorder out of memory", swappiness), "sysctl -w vm.swappiness=10, and the same in /etc/sysctl.d")
		return
	}
	e.ok("swap", "", "on other disks than the footage")
}

// camerasPerCPU is a tenth of what was measured to be possible (docs/perf.md),
// for slow processors and for readers.
const camerasPerCPU = 200

func (e *exam) processor() {
	cpus := 0
	flags := map[string]bool{}
	for line := range strings.Lines(e.read("/proc/cpuinfo") + "\n") {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "processor":
			cpus++
		case "flags", "Features": // x86, arm64
			for _, f := range strings.Fields(value) {
				flags[f] = true
			}
		}
	}
	switch {
	case cpus == 0:
		e.find(Advice, "processor", "", "/proc/cpuinfo cannot be read", "none needed if this is meant")
	case e.o.Cameras > cpus*camerasPerCPU:
		e.find(Warning, "processor", "", fmt.Sprintf("%d for %d cameras", cpus, e.o.Cameras), fmt.Sprintf("have one for each %d cameras", camerasPerCPU))
	case len(flags) > 0 && !flags["sse4_2"] && !flags["crc32"]:
		e.find(Warning, "processor", "", "has no instruction for CRC-32C: the checksums of all footage are computed by hand", "see that the hypervisor shows the processor's flags (sse4_2, or crc32 on ARM)")
	case len(flags) > 0 && !flags["aes"]:
		e.find(Advice, "processor", "", fmt.Sprintf("%d, with CRC-32C in hardware, but without AES: an encrypted disk (LUKS) would cost much", cpus), "none needed where nothing is encrypted")
	default:
		e.ok("processor", "", "%d, with CRC-32C and AES in hardware", cpus)
	}
}
