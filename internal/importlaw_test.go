package internal

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// law says which of our packages each of them may know. What it does not list
// is forbidden: a new import is a decision, made here and nowhere else. The
// standard library is free to all, and so is internal/media.
//
// From the ground up; "room < rooms" reads "room knows rooms".
const law = `
	# Words.
	media

	# What is inside the bytes: a room per codec.
	codec/bits
	codec/nal
	codec/aac  < codec/bits
	codec/av1  < codec/bits
	codec/jpeg
	codec/opus
	codec/h264 < codec/nal
	codec/h265 < codec/nal

	# What we ask of a disk.
	disk
	disk/direct    < disk
	disk/faultdisk < disk
	disk/memdisk   < disk
	disk/disktest  < disk

	# The archive. Its inner rooms are seen by it alone.
	store/pool
	store/index < store/pool
	store/ring  < disk, store/pool
	store/vault < disk, store/pool
	store       < disk, disk/direct, store/pool, store/index, store/ring, store/vault
	store/crashtest < store
	store/starttest < disk, disk/direct, store/pool, store/ring, control

	# A camera's life. It never names the store: it declares a Recorder.
	ingest/rtsp
	ingest/timeline
	ingest/mpegts
	ingest/exec
	ingest/rtp < codec/bits, codec/nal, codec/aac, codec/av1, codec/h264, codec/h265, codec/jpeg, codec/opus
	ingest     < codec/bits, codec/nal, codec/aac, codec/av1, codec/h264, codec/h265, codec/jpeg, codec/opus, ingest/rtsp, ingest/rtp, ingest/timeline, ingest/mpegts, ingest/exec

	# Clothes for the wire, and a reader's session. It never names the store
	# either: it declares an Archive.
	mux/mp4
	play < mux/mp4

	# Cameras that do not exist. They share no code with ingest, so that a
	# mistake does not cancel itself.
	simulate/mark
	simulate/clips
	simulate < simulate/mark, simulate/clips

	# Cameras that misbehave, for tests. They share no code with ingest either.
	testkit < simulate/mark, simulate/clips

	# Asking cameras what they are and where their streams are. ingest never names
	# it: it declares a Locate. The cameras that answer share no code with it.
	onvif
	simulate/device

	# Asking a running recorder.
	control

	# The file that people write. Only the door reads it.
	config

	# Looking at the machine before it disappoints.
	doctor < disk

	# The door.
	cmd/nvr < config, control, doctor, ingest, onvif, play, simulate, simulate/device, store
`

// testLaw is what tests may know besides what their package may: any package
// below it, the simulated cameras and disks, and what is listed here.
const testLaw = `
	e2e    < config, control, ingest, play, store, mux/mp4
	ingest < store
`

// modules have one room each: a library that is to be replaced is looked for in
// one place. x/sys is the kernel's door and has one for files, one for sockets, one
// for processes, one for looking around.
const modules = `
	github.com/alecthomas/kong           < cmd/nvr
	github.com/bluenviron/mediacommon/v2 < codec
	github.com/dustin/go-humanize        < cmd/nvr
	github.com/icholy/digest             < onvif
	github.com/lmittmann/tint            < cmd/nvr
	github.com/pelletier/go-toml/v2      < config
	github.com/schollz/progressbar/v3    < cmd/nvr
	golang.org/x/sys                     < disk, doctor, ingest/rtsp, ingest/exec
	golang.org/x/term                    < cmd/nvr
`

// testModules are free to all tests and to nothing else.
const testModules = `
	github.com/bluenviron/gortsplib/v5
	github.com/google/go-cmp
	github.com/pion/rtp
	github.com/rogpeppe/go-internal
	go.uber.org/goleak
	pgregory.net/rapid
`

// testRooms are free to all tests.
var testRooms = []string{"simulate", "simulate/device", "simulate/mark", "testkit", "disk/direct", "disk/faultdisk", "disk/memdisk", "disk/disktest"}

func TestImportLaw(t *testing.T) {
	rooms, tests, libraries, testLibraries := read(t, law), read(t, testLaw), read(t, modules), read(t, testModules)
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != ".." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools" || name == "rigs" || name == "demo" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		room := roomOf(filepath.ToSlash(filepath.Dir(file)))
		isTest := strings.HasSuffix(file, "_test.go")
		allowed, known := rooms[room]
		if room != "" && !known && !isTest {
			t.Errorf("%s: the law has no room %q: decide what it may know", file, room)
			return nil
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range source.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			switch {
			case strings.HasPrefix(imported, "nvr/"):
				other := roomOf("../" + strings.TrimPrefix(imported, "nvr/"))
				legal := other == "media" || slices.Contains(allowed, other)
				if isTest {
					legal = legal || other == room || strings.HasPrefix(other, room+"/") || slices.Contains(tests[room], other) || slices.Contains(testRooms, other)
				}
				if !legal {
					t.Errorf("%s imports %s: %s may know only %v", file, imported, room, allowed)
				}
			case strings.Contains(strings.Split(imported, "/")[0], "."):
				homes, listed := find(libraries, imported)
				legal := listed && slices.ContainsFunc(homes, func(home string) bool { return room == home || strings.HasPrefix(room, home+"/") })
				if _, free := find(testLibraries, imported); isTest && free {
					legal = true
				}
				if !legal {
					t.Errorf("%s imports %s: its room is %v", file, imported, homes)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// roomOf turns ../internal/store/pool into store/pool.
func roomOf(dir string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path.Clean(dir), "../"), "internal/")
}

// find looks up the module of an import path.
func find(modules map[string][]string, imported string) ([]string, bool) {
	for module, homes := range modules {
		if imported == module || strings.HasPrefix(imported, module+"/") {
			return homes, true
		}
	}
	return nil, false
}

// read parses "a < b, c" lines; # begins a comment.
func read(t *testing.T, text string) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		left, right, _ := strings.Cut(line, "<")
		left = strings.TrimSpace(left)
		if left == "" {
			continue
		}
		if _, twice := all[left]; twice {
			t.Errorf("%s is listed twice", left)
		}
		all[left] = nil
		for _, name := range strings.Split(right, ",") {
			if name = strings.TrimSpace(name); name != "" {
				all[left] = append(all[left], name)
			}
		}
	}
	return all
}
