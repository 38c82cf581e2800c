package disk

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Uncached is what a Dir may offer besides: reading what is on the disk, not what
// is in memory, and leaving the memory to those who play footage. Offsets,
// lengths and memory of reads are aligned as those of writes.
type Uncached interface {
	OpenUncached(name string) (File, error)
}

// I/O priorities, ioprio_set(2).
const (
	ioprioWhoProcess = 1
	ioprioIdle       = 3 << 13 // class idle: served when nobody else wants the disk
)

// Idle lets what this goroutine reads, writes and syncs wait for everybody else's
// reads and writes, until restore is called by the same goroutine. Where the kernel
// has no such thing, nothing happens.
func Idle() (restore func()) {
	runtime.LockOSThread()
	before, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, 0, 0)
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, ioprioIdle)
	}
	return func() {
		if errno == 0 {
			unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, before)
		}
		runtime.UnlockOSThread()
	}
}
