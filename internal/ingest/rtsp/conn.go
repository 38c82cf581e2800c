package rtsp

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Paced reading. What costs a recorder its CPU is not the bytes but being woken
// for each packet, so the kernel keeps packets until there are 64 KiB of them
// or until 100 ms have passed.
//
// The size of the kernel's receive buffer is left to the kernel: it grows with
// what the camera sends (net.ipv4.tcp_rmem, 6 MiB and more), while asking for
// one with SO_RCVBUF would pin it, and below that on most systems
// (net.core.rmem_max is 208 KiB where nobody changed it).
const (
	// pace is how long a packet may wait in the kernel. All sessions read on
	// the same beat, so that the process wakes ten times a second for all of
	// its slow streams together.
	pace = 100 * time.Millisecond

	// lowWaterBytes is 5 ms of a key picture at 100 Mbit/s, and more than what a
	// 5 Mbit/s stream sends in one beat.
	lowWaterBytes = 64 << 10

	// receiveBytes holds the largest message; that is room for four of the
	// largest frames (64 KiB + 4) or two beats of a 10 Mbit/s stream, too. Of a
	// slow stream only the first pages are ever touched.
	receiveBytes = maxHeaderBytes + maxBodyBytes
)

// nextBeat is the next moment at which to read what is there.
func nextBeat(now time.Time) time.Time {
	return now.Add(pace - time.Duration(now.UnixNano())%pace)
}

// setLowWater says below how many bytes the kernel wakes nobody (SO_RCVLOWAT).
// A read returns what is there all the same.
func setLowWater(conn net.Conn, bytes int) error {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
	}); err != nil {
		return err
	}
	return failed
}
