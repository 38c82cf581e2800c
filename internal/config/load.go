package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// LookupEnv is os.LookupEnv or a test's.
type LookupEnv func(name string) (value string, found bool)

// Load reads the configuration file at path. Its error is Problems where the
// content is to blame. Warnings are about a configuration that can be run.
func Load(path string, env LookupEnv) (c *Config, warnings Problems, err error) {
	content, mode, err := readAtMost(path, maxConfigBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%s: no such file: write one (config.example.toml shows how) or name yours with --config FILE", path)
	case err != nil:
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parse(path, dir, content, mode, env, readAtMost)
}

// readAtMost reads a small regular file and tells its mode.
func readAtMost(path string, limit int64) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		return nil, 0, fmt.Errorf("%s is a directory", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return content, info.Mode(), err
}

// parse is Load without the disk.
func parse(file, dir string, content []byte, mode fs.FileMode, env LookupEnv, readFile func(string, int64) ([]byte, fs.FileMode, error)) (*Config, Problems, error) {
	root, problems := grow(file, content)
	d := decoder{file: file, dir: dir, mode: mode, env: env, readFile: readFile, problems: problems}
	var c Config
	if root != nil {
		c = d.config(root)
	}
	d.problems.sort()
	d.warnings.sort()
	if len(d.problems) > 0 {
		return nil, d.warnings, d.problems
	}
	return &c, d.warnings, nil
}
