package disktest_test

import (
	"log/slog"
	"testing"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/disk/disktest"
	"nvr/internal/disk/faultdisk"
	"nvr/internal/disk/memdisk"
)

func TestDirect(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disk.Dir { return direct.New(t.TempDir(), slog.New(slog.DiscardHandler)) })
}

func TestMemdisk(t *testing.T) {
	disktest.Run(t, func(*testing.T) disk.Dir { return memdisk.New("memory") })
}

func TestFaultdisk(t *testing.T) {
	disktest.Run(t, func(*testing.T) disk.Dir { return faultdisk.New(memdisk.New("memory")) })
}
