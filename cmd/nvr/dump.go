package main

import (
	"errors"
	"fmt"
	"io/fs"

	"nvr/internal/store"
)

type dumpCmd struct {
	Pool  []string `sep:"none" placeholder:"FILE" help:"The same as a FILE."`
	Files []string `arg:"" optional:"" name:"file" help:"Pool files, e.g. ring/pool_007.bin."`
}

// Help is shown below the usage line.
func (dumpCmd) Help() string {
	return `Prints the superblocks, groups, records and footer of pool files as text, checks every checksum, and says of what is damaged where and why. It needs nothing but the files.

Examples:
    nvr dump /var/lib/nvr/pool_007.bin
    nvr dump pool_007.bin | grep -c samples`
}

func (v dumpCmd) Run(c *console) error {
	files := append(v.Pool[:len(v.Pool):len(v.Pool)], v.Files...)
	if len(files) == 0 {
		return usagef("dump: name a pool file")
	}
	var failed []error
	for _, path := range files {
		if len(files) > 1 {
			fmt.Fprintf(c.out, "pool %s\n", path)
		}
		err := store.Dump(c.out, path)
		if errors.Is(err, fs.ErrNotExist) {
			err = &notFoundError{fmt.Errorf("%s: no such file", path)}
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
