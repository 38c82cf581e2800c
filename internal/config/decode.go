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
	mode      fs.FileMode // of the file
	env       LookupEnv
	readFile  func(path string, limit int64) ([]byte, fs.FileMode, error)
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
	c.Cameras = d.cameras(root, c.Storage)
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
	t.checkNames("volumes")
	s := Storage{
		SegmentDuration: time.Duration(t.number("segment_duration_secs")) * time.Second,
		WriterQueueSize: t.number("writer_queue_size"),
		CommitInterval:  time.Duration(t.number("commit_interval_ms")) * time.Millisecond,
		ScrubRate:       int64(t.number("scrub_rate_mb")) * bytesPerMB,
	}
	seen := volumesSeen{names: map[string]int{}, paths: map[string]int{}}
	s.Volume = d.volume(t, &seen)
	if s.Name == "" {
		s.Name = firstVolume
		seen.names[s.Name] = t.node.at.line
	}
	if e := t.node.find("volumes"); e != nil {
		if len(e.value.items) > maxVolumes-1 {
			d.wrong(e.at, "storage.volumes", fmt.Sprintf("are %d, and %d is the limit", len(e.value.items), maxVolumes-1), "spread them over several recorders")
			return s
		}
		for i, item := range d.tables(e, "storage.volumes", "volume") {
			if item == nil {
				continue
			}
			vt := table{d: d, key: fmt.Sprintf("storage.volumes[%d]", i), keys: VolumeKeys, node: item}
			vt.checkNames()
			vt.missing("name", `name the volume, e.g. name = "disk2"`)
			s.More = append(s.More, d.volume(vt, &seen))
		}
	}
	for _, v := range s.Volumes() {
		if !v.Retired {
			return s
		}
	}
	d.wrong(t.node.at, "storage", "has no volume that is not retired, so nothing can be recorded", "take retired = true out of one, or add a [[storage.volumes]] table")
	return s
}

// volumesSeen has the lines of names and paths, which are not to be used twice.
type volumesSeen struct{ names, paths map[string]int }

// volume reads what [storage] and [[storage.volumes]] have in common.
func (d *decoder) volume(t table, seen *volumesSeen) Volume {
	v := Volume{ChunkSizeMB: t.number("chunk_size_mb"), MaxPools: t.number("max_pools"), VaultMaxMB: t.number("vault_max_mb"), Retired: t.flag("retired")}
	if name, at, ok := t.text("name"); ok && d.id(at, t.key+".name", name, "") {
		v.Name = name
		if first, twice := seen.names[name]; twice {
			d.wrong(at, t.key+".name", fmt.Sprintf("%q is used twice (first on line %d)", name, first), "give each volume its own name")
		} else {
			seen.names[name] = at.line
		}
	}
	base, at, ok := t.text("base_path")
	switch {
	case !ok:
		t.missing("base_path", `say where the pool files go, e.g. base_path = "/var/lib/nvr"`)
	case strings.HasPrefix(base, "~"):
		d.wrong(at, t.key+".base_path", "begins with ~, which only a shell understands", "write the whole path")
	case strings.ContainsRune(base, 0):
		d.wrong(at, t.key+".base_path", "contains a NUL character", "write the path of a directory")
	case filepath.IsAbs(base):
		v.BasePath = filepath.Clean(base)
	default:
		v.BasePath = filepath.Join(d.dir, base)
	}
	if v.BasePath != "" {
		if first, twice := seen.paths[v.BasePath]; twice {
			d.wrong(at, t.key+".base_path", fmt.Sprintf("is used twice (first on line %d)", first), "give each volume its own directory, on a disk of its own")
		} else {
			seen.paths[v.BasePath] = at.line
		}
	}
	return v
}

// tables returns the tables of a [[list]]; one is what an entry is called.
func (d *decoder) tables(e *entry, key, one string) []*node {
	remedy := fmt.Sprintf("write [[%s]] on a line of its own, once per %s", key, one)
	switch {
	case e.value.kind == unstable.Table && !e.value.inline:
		d.wrong(e.at, key, "is one table, not a list of them", fmt.Sprintf("write [[%s]] with two brackets, once per %s", key, one))
		return nil
	case e.value.kind != unstable.Array:
		d.wrong(e.value.at, key, "is "+e.value.describe()+", not a list of tables", remedy)
		return nil
	}
	var all []*node
	for i, item := range e.value.items {
		if item.kind != unstable.Table {
			d.wrong(item.at, fmt.Sprintf("%s[%d]", key, i), "is "+item.describe()+", not a table", remedy)
			item = nil
		}
		all = append(all, item)
	}
	return all
}

func (d *decoder) cameras(root *node, storage Storage) []Camera {
	e := root.find("cameras")
	if e == nil {
		d.warn(place{1, 1}, "cameras", "there are none, so nothing will be recorded", "add a [[cameras]] table with id and url")
		return nil
	}
	if len(e.value.items) > maxCameras {
		d.wrong(e.at, "cameras", fmt.Sprintf("are %d, and %d is the limit", len(e.value.items), maxCameras), "spread them over several recorders")
		return nil
	}
	var all []Camera
	lines := map[string]int{} // of the ids
	for i, item := range d.tables(e, "cameras", "camera") {
		if item == nil {
			continue
		}
		key := fmt.Sprintf("cameras[%d]", i)
		c, at := d.camera(table{d: d, key: key, keys: CameraKeys, node: item}, storage)
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

// checkNames reports the keys that are not in the table of keys, nor in more.
func (t table) checkNames(more ...string) {
	names := make([]string, len(t.keys), len(t.keys)+len(more))
	for i, k := range t.keys {
		names[i] = k.Name
	}
	names = append(names, more...)
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
	if k.Type == typeNumber || k.Type == typeTexts {
		return "a " + k.Type
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

// texts returns a list of texts that is there and not empty, and where each is.
func (t table) texts(name, example string, most int) (list []string, places []place, ok bool) {
	v, ok := t.get(name, unstable.Array, example)
	if !ok {
		return nil, nil, false
	}
	switch {
	case len(v.items) == 0:
		t.d.wrong(v.at, t.key+"."+name, "is empty", "write "+name+" = "+example)
		return nil, nil, false
	case len(v.items) > most:
		t.d.wrong(v.at, t.key+"."+name, fmt.Sprintf("has %d entries", len(v.items)), fmt.Sprintf("use at most %d", most))
		return nil, nil, false
	}
	for i, item := range v.items {
		if item.kind != unstable.String {
			t.d.wrong(item.at, fmt.Sprintf("%s.%s[%d]", t.key, name, i), "is "+item.describe()+", not text", "write "+name+" = "+example)
			return nil, nil, false
		}
		list, places = append(list, item.text), append(places, item.at)
	}
	return list, places, true
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
