package main

import (
	"errors"
	"fmt"
	"io/fs"

	"nvr/internal/config"
	"nvr/internal/store"
)

// poolFlags name pool files to be read in place of the configuration's volumes.
type poolFlags struct {
	Pool []string `sep:"none" placeholder:"FILE" help:"Read these pool files and nothing else: of a rescued disk, say, of any rings, in any order. No configuration is needed. More files may follow."`
	More []string `arg:"" optional:"" name:"file" help:"More pool files, behind --pool."`
}

// files are the pool files that were named; none: the configuration counts.
func (p poolFlags) files() ([]string, error) {
	if len(p.Pool) == 0 && len(p.More) > 0 {
		return nil, usagef("%s: pool files are named with --pool", p.More[0])
	}
	return append(p.Pool[:len(p.Pool):len(p.Pool)], p.More...), nil
}

// open opens the pool files that were named, or else the volumes of the
// configuration.
func (p poolFlags) open(c *console) (*config.Config, archive, error) {
	files, err := p.files()
	if err != nil {
		return nil, nil, err
	}
	if len(files) > 0 {
		loose, err := c.openLoose(files)
		if err != nil {
			return nil, nil, err
		}
		return &config.Config{}, loose, nil
	}
	conf, err := c.loadConfig()
	if err != nil {
		return nil, nil, err
	}
	a, err := c.openForReading(conf)
	if err != nil {
		return nil, nil, err
	}
	return conf, a, nil
}

func (c *console) openLoose(files []string) (*store.Loose, error) {
	loose, err := store.OpenLoose(files, store.Options{Log: c.log})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &notFoundError{err}
	}
	return loose, err
}

// helpPools is part of the help of the commands that read loose pool files.
const helpPools = `With --pool it reads pool files of a rescued disk, with nothing else: sealed ones by their footers, others by walking them.`

// noRing says what to do where there is no ring.id but may be pool files.
func noRing(path string) error {
	return &notFoundError{fmt.Errorf("no recordings in %s: nvr record makes the ring there (if ring.id was lost, nvr list --pool %s/pool_*.bin reads the pool files)", path, path)}
}
