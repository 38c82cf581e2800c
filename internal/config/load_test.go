package config

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite testdata with what comes out")

func testEnv(name string) (string, bool) {
	if name == "CAM_PASSWORD" {
		return "ge@h#eim/", true
	}
	return "", false
}

// Each file in testdata/files is a configuration, the files it names, and what is said of it.
func TestFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/files/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string][]byte{}
			for _, f := range archive.Files {
				files[f.Name] = f.Data
			}
			read := func(path string, _ int64) ([]byte, fs.FileMode, error) {
				name := filepath.Base(path)
				content, ok := files[name]
				if !ok {
					return nil, 0, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
				}
				if name == "open" {
					return content, 0o644, nil
				}
				return content, 0o600, nil
			}
			mode := fs.FileMode(0o644)
			if _, open := files["writable"]; open {
				mode = 0o666
			}
			c, warnings, err := parse("config.toml", "/etc/nvr", files["config.toml"], mode, testEnv, read)
			got := describe(c, warnings, err)
			if want := string(files["want"]); got != want && *update {
				for i, f := range archive.Files {
					if f.Name == "want" {
						archive.Files = append(archive.Files[:i], archive.Files[i+1:]...)
					}
				}
				archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if c == nil && strings.Contains(got, "geheim") {
				t.Error("a message quotes a password")
			}
		})
	}
}

func describe(c *Config, warnings Problems, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintln(&b, err)
	}
	for _, w := range warnings {
		fmt.Fprintln(&b, "warning:", w)
	}
	if c == nil {
		return b.String()
	}
	s := c.Storage
	fmt.Fprintf(&b, "storage segments=%s queue=%d commit=%s\n", s.SegmentDuration, s.WriterQueueSize, s.CommitInterval)
	if s.ScrubRate > 0 {
		fmt.Fprintf(&b, "scrub %d bytes a second\n", s.ScrubRate)
	}
	for _, v := range s.Volumes() {
		fmt.Fprintf(&b, "volume %+v\n", v)
	}
	for _, cam := range c.Cameras {
		var secrets []string
		for _, s := range cam.Secrets() {
			secrets = append(secrets, s.Reveal())
		}
		if cam.Source != SourceURL {
			fmt.Fprintf(&b, "%s %q writes %s %q\n", cam.Source, cam.Program.Arguments(), cam.Program.Format, cam.Program.RTPMap)
		}
		tls := ""
		if cam.TLS.Fingerprint != nil || cam.TLS.Roots != nil || cam.TLS.Insecure || cam.TLS.MinVersion != 0 {
			tls = fmt.Sprintf(" fingerprint=%x roots=%t insecure=%t min=%x", cam.TLS.Fingerprint, cam.TLS.Roots != nil, cam.TLS.Insecure, cam.TLS.MinVersion)
		}
		fmt.Fprintf(&b, "camera %s %q %s user=%q password=%q profile=%q transport=%s audio=%t enabled=%t attempts=%d volume=%q days=%d…%d secrets=%q%s", cam.ID, cam.Name, cam.URL,
			cam.Username, cam.Password.Reveal(), cam.Profile, cam.Transport, cam.Audio, cam.Enabled, cam.MaxReconnectAttempts, cam.Volume, cam.MinDays, cam.MaxDays, secrets, tls)
		if streams := cam.Streams(); len(streams) > 1 || streams[0].Recorded != cam.Enabled {
			for _, s := range streams {
				fmt.Fprintf(&b, " %s=(%s user=%q password=%q profile=%q recorded=%t)", s.Name, s.URL, s.Username, s.Password.Reveal(), s.Profile, s.Recorded)
			}
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func TestLoadReadsTheDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	if _, _, err := Load(path, testEnv); err == nil || !strings.Contains(err.Error(), "no such file: write one") {
		t.Errorf("absent file: %v", err)
	}
	if _, _, err := Load(dir, testEnv); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("directory: %v", err)
	}
	write := func(name, content string, mode fs.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("config.toml", "storage.base_path = \"ring\"\n[[cameras]]\nid = \"a\"\nurl = \"rtsp://h/1\"\nusername = \"u\"\npassword_file = \"secret\"\n", 0o644)
	write("secret", "geheim\r\n", 0o640)
	c, warnings, err := Load(path, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Storage.BasePath, filepath.Join(dir, "ring"); got != want {
		t.Errorf("base path %s, want %s", got, want)
	}
	if got := c.Cameras[0].Password.Reveal(); got != "geheim" {
		t.Errorf("password %q", got)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "mode 0640") {
		t.Errorf("warnings %v", warnings)
	}
	write("big", strings.Repeat("x", maxSecretBytes+1), 0o600)
	write("config.toml", strings.Repeat("#", maxConfigBytes+1), 0o644)
	if _, _, err := Load(path, testEnv); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("large file: %v", err)
	}
}

// TestExample: the file that people copy is valid and leaves the defaults as they are.
func TestExample(t *testing.T) {
	c, warnings, err := Load("../../config.example.toml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	if len(c.Cameras) == 0 {
		t.Error("no camera")
	}
	content, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range slices.Concat(StorageKeys, VolumeKeys, CameraKeys) {
		line := k.Name + " = "
		if k.Type != typeText || k.Name == "transport" {
			line += k.Default
		}
		if !strings.Contains(string(content), line) {
			t.Errorf("the example has no line %q", line)
		}
	}
}

// TestDocs: docs/config.md says what the table of keys says.
func TestDocs(t *testing.T) {
	const path = "../../docs/config.md"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(content)
	for _, section := range []struct {
		name string
		keys []Key
	}{{"storage", StorageKeys}, {"volumes", VolumeKeys}, {"cameras", CameraKeys}} {
		begin, end := "<!-- keys of "+section.name+" -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(got, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the keys of %s", path, section.name)
		}
		got = before + begin + markdown(section.keys) + end + after
	}
	if got == string(content) {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("docs/config.md differs from config.go (go test ./internal/config -update rewrites it):\n%s", cmp.Diff(string(content), got))
}

func markdown(keys []Key) string {
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range keys {
		kind, def := k.Type, "none"
		if k.Type == typeNumber {
			kind = fmt.Sprintf("%s, %d…%d", typeNumber, k.Min, k.Max)
		}
		switch {
		case k.Default == `the id`:
			def = k.Default
		case k.Default != "":
			def = "`" + k.Default + "`"
		case k.Name == "base_path" || k.Name == "id" || k.Name == "url" || k.Name == "name":
			def = "required"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, kind, def, k.Doc)
	}
	return b.String()
}

func TestSecretCannotBePrinted(t *testing.T) {
	const word = "geheim"
	s := NewSecret(word)
	type inside struct{ hidden Secret }
	js, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": []Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "s", s, "p", &s, "in", inside{s}, "group", slog.GroupValue(slog.Any("s", s)))
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "s", s, "p", &s, "in", inside{s})
	all := string(js) + log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%10.3s"} {
		all += fmt.Sprintf(verb+verb+verb+verb, s, &s, inside{s}, []any{s, inside{s}})
	}
	all += fmt.Sprint(s, &s, inside{s}, Camera{Password: s})
	for _, form := range []string{word, fmt.Sprintf("%x", word), fmt.Sprintf("%X", word), base64.StdEncoding.EncodeToString([]byte(word))} {
		if strings.Contains(all, form) {
			t.Errorf("%q is in %s", form, all)
		}
	}
	if s.Reveal() != word || !s.Equal(NewSecret(word)) || s.IsZero() || !(Secret{}).IsZero() {
		t.Error("the secret is not itself")
	}
}

func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/files/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, _, err := parse("config.toml", "/etc/nvr", content, 0o644, testEnv, func(string, int64) ([]byte, fs.FileMode, error) {
			return []byte("geheim"), 0o600, nil
		})
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", c, err)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error that says nothing")
		}
	})
}
