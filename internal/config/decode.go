package config

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// decoder turns the tree into a Config and collects all that is wrong with it.
type decoder struct {
	file, dir string
	env       LookupEnv
	readFile  func(path string) ([]byte, fs.FileMode, error)
	problems  Problems
	warnings  Problems
}

func (d *decoder) wrong(at place, key, what, remedy string) {
	d.problems = append(d.problems, Problem{d.file, at.line, at.column, key, what, remedy})
}

func (d *decoder) warn(at place, key, what, remedy string) {
	d.warnings = append(d.warnings, Problem{d.file, at.line, at.column, key, what, remedy})
}

func (d *decoder) config(root *node) Config {
	var c Config
	for _, e := range root.entries {
		if e.name != "storage" && e.name != "cameras" {
			d.unknown(e, e.name, []string{"storage", "cameras"})
		}
	}
	c.Storage = d.storage(root)
	c.Cameras = d.cameras(root)
	return c
}

// unknown reports a key that means nothing, with what was probably meant.
func (d *decoder) unknown(e *entry, key string, names []string) {
	remedy := "known here: " + strings.Join(names, ", ")
	if near := nearest(e.name, names); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	d.wrong(e.at, key, "unknown key", remedy)
}

func (d *decoder) storage(root *node) Storage {
	t := table{d: d, key: "storage", keys: StorageKeys, node: &node{kind: unstable.Table, at: place{1, 1}}}
	if e := root.find("storage"); e != nil {
		if e.value.kind != unstable.Table || len(e.value.items) > 0 {
			d.wrong(e.at, "storage", "is "+e.value.describe()+", not a table", "write [storage] on a line of its own, then its keys")
			return Storage{}
		}
		t.node = e.value
	}
	t.checkNames()
	s := Storage{
		ChunkSizeMB:     t.number("chunk_size_mb"),
		MaxPools:        t.number("max_pools"),
		SegmentDuration: time.Duration(t.number("segment_duration_secs")) * time.Second,
		WriterQueueSize: t.number("writer_queue_size"),
		CommitInterval:  time.Duration(t.number("commit_interval_ms")) * time.Millisecond,
	}
	base, at, ok := t.text("base_path")
	switch {
	case !ok:
		t.missing("base_path", `say where the pool files go, e.g. base_path = "/var/lib/nvr"`)
	case strings.HasPrefix(base, "~"):
		d.wrong(at, "storage.base_path", "begins with ~, which only a shell understands", "write the whole path")
	case strings.ContainsRune(base, 0):
		d.wrong(at, "storage.base_path", "contains a NUL character", "write the path of a directory")
	case filepath.IsAbs(base):
		s.BasePath = filepath.Clean(base)
	default:
		s.BasePath = filepath.Join(d.dir, base)
	}
	return s
}

func (d *decoder) cameras(root *node) []Camera {
	e := root.find("cameras")
	if e == nil {
		d.warn(place{1, 1}, "cameras", "there are none, so nothing will be recorded", "add a [[cameras]] table with id and url")
		return nil
	}
	if e.value.kind == unstable.Table && !e.value.inline {
		d.wrong(e.at, "cameras", "is one table, not a list of them", "write [[cameras]] with two brackets, once per camera")
		return nil
	}
	if e.value.kind != unstable.Array {
		d.wrong(e.value.at, "cameras", "is "+e.value.describe()+", not a list of tables", "write [[cameras]] on a line of its own, once per camera")
		return nil
	}
	if len(e.value.items) > maxCameras {
		d.wrong(e.at, "cameras", fmt.Sprintf("are %d, and %d is the limit", len(e.value.items), maxCameras), "spread them over several recorders")
		return nil
	}
	var all []Camera
	lines := map[string]int{} // of the ids
	for i, item := range e.value.items {
		key := fmt.Sprintf("cameras[%d]", i)
		if item.kind != unstable.Table {
			d.wrong(item.at, key, "is "+item.describe()+", not a table", "write [[cameras]] on a line of its own, once per camera")
			continue
		}
		c, at := d.camera(table{d: d, key: key, keys: CameraKeys, node: item})
		if c.ID != "" {
			if first, twice := lines[c.ID]; twice {
				d.wrong(at, key+".id", fmt.Sprintf("%q is used twice (first on line %d)", c.ID, first), "give each camera its own id")
			} else {
				lines[c.ID] = at.line
			}
		}
		all = append(all, c)
	}
	return all
}

// table reads the values of one table of the file by name; Keys say what may
// be there and within which limits.
type table struct {
	d    *decoder
	key  string // of the table: "storage", "cameras[2]"
	keys []Key
	node *node
}

func (t table) checkNames() {
	names := make([]string, len(t.keys))
	for i, k := range t.keys {
		names[i] = k.Name
	}
	for _, e := range t.node.entries {
		known := false
		for _, name := range names {
			known = known || name == e.name
		}
		if !known {
			t.d.unknown(e, t.key+"."+e.name, names)
		}
	}
}

func (t table) spec(name string) Key {
	for _, k := range t.keys {
		if k.Name == name {
			return k
		}
	}
	panic("config: no key " + name + " in the table of keys")
}

func (t table) missing(name, remedy string) {
	if t.node.find(name) == nil {
		t.d.wrong(t.node.at, t.key+"."+name, "is missing", remedy)
	}
}

// get returns the value of a key if it is there and of the right type.
func (t table) get(name string, kind unstable.Kind, example string) (*node, bool) {
	e := t.node.find(name)
	if e == nil {
		return nil, false
	}
	if e.value.kind != kind {
		t.d.wrong(e.value.at, t.key+"."+name, "is "+e.value.describe()+", not "+t.spec(name).article(), "write "+name+" = "+example)
		return nil, false
	}
	return e.value, true
}

func (k Key) article() string {
	if k.Type == typeNumber {
		return "a " + typeNumber
	}
	return k.Type
}

func (t table) number(name string) int {
	k := t.spec(name)
	v, ok := t.get(name, unstable.Integer, k.Default)
	if !ok {
		n, err := strconv.Atoi(k.Default)
		if err != nil {
			panic("config: the default of " + name + " is no number")
		}
		return n
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 64)
	if err != nil || n < k.Min || n > k.Max {
		what := v.text + " is too small"
		if n > k.Max {
			what = v.text + " is too large"
		}
		t.d.wrong(v.at, t.key+"."+name, what, fmt.Sprintf("use %d to %d (%s)", k.Min, k.Max, k.Why))
	}
	return int(n)
}

func (t table) flag(name string) bool {
	v, ok := t.get(name, unstable.Bool, "true")
	if !ok {
		return t.spec(name).Default == "true"
	}
	return v.text == "true"
}

// text returns a text that is there and not empty.
func (t table) text(name string) (s string, at place, ok bool) {
	v, ok := t.get(name, unstable.String, `"…"`)
	if !ok {
		return "", place{}, false
	}
	if v.text == "" {
		t.d.wrong(v.at, t.key+"."+name, "is empty", "write a value, or take the line out")
		return "", v.at, false
	}
	return v.text, v.at, true
}
