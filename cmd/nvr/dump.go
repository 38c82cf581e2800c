package main

import (
	"errors"
	"fmt"
	"io/fs"

	"nvr/internal/store"
)

type dumpCmd struct {
	Pool string `arg:"" help:"Pool file, e.g. ring/pool_007.bin."`
}

// Help is shown below the usage line.
func (dumpCmd) Help() string {
	return `Prints the superblocks, groups, records and footer of a pool file as text, checks every checksum, and says of what is damaged where and why. It needs nothing but the file.

Examples:
    nvr dump /var/lib/nvr/pool_007.bin
    nvr dump pool_007.bin | grep -c samples`
}

func (v dumpCmd) Run(c *console) error {
	err := store.Dump(c.out, v.Pool)
	if errors.Is(err, fs.ErrNotExist) {
		return &notFoundError{fmt.Errorf("%s: no such file", v.Pool)}
	}
	return err
}
