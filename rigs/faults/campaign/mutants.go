package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// mutant is the store with one rule taken out. The source is not touched: the
// compiler is given another text for a file (go build -overlay), so the product
// has no line for this. An edit must find its text exactly once; when the store
// has moved on, the mutant says so and must be brought up to date.
type mutant struct {
	name  string
	rule  string // what is taken out
	edits []edit
}

type edit struct{ file, old, new string }

var mutants = []mutant{
	{"nosync", "fdatasync after a commit", []edit{
		{"internal/disk/direct/direct.go", "err := unix.Fdatasync(int(f.w.Fd()))", "err := error(nil)"}}},
	{"ackearly", "acknowledge after the sync, not before", []edit{
		{"internal/store/writer.go", "\tif err := f.Sync(); err != nil {\n\t\treturn fmt.Errorf(\"sync pool %03d: %w\", w.head, err)\n\t}\n\tw.settle()\n",
			"\tw.settle()\n\tif err := f.Sync(); err != nil {\n\t\treturn fmt.Errorf(\"sync pool %03d: %w\", w.head, err)\n\t}\n"}}},
	{"nodirsync", "sync of the directory and its parent", []edit{
		{"internal/disk/direct/direct.go", "func (d *Dir) Sync() error {\n", "func (d *Dir) Sync() error {\n\treturn nil\n"}}},
	{"nopayloadcrc", "CRC of the payload", []edit{
		{"internal/store/pool/scan.go", "good = PayloadCRC(g.Identity, g.Offset, b[e.Offset:e.Offset+e.Length]) == e.CRC", "good = true"},
		{"internal/store/reader.go", "pool.PayloadCRC(id, ref.Group, dst[at:]) == ref.CRC", "id.Pool == ref.Pool"}}},
	{"nogeneration", "a group's generation is its pool's", []edit{
		{"internal/store/pool/group.go", "case h.Generation != id.Generation:", "case h.Generation == 0:"}}},
	{"noactivatesync", "sync of the superblock before the first group", []edit{
		{"internal/store/ring/ring.go", "if err := f.Sync(); err != nil {\n\t\treturn err\n\t}\n\tr.mu.Lock()\n\tr.supers[n] = s\n",
			"if s.State == pool.Active {\n\t} else if err := f.Sync(); err != nil {\n\t\treturn err\n\t}\n\tr.mu.Lock()\n\tr.supers[n] = s\n"}}},
	{"inplace", "go on elsewhere and under a new open_id after a start", []edit{
		{"internal/store/recover.go", "\tw.off = (tail.end + skipBytes - 1) / skipBytes * skipBytes\n",
			"\tw.off = pool.FirstGroup\n\tif n := len(groups); n > 0 {\n\t\tw.off = groups[n-1].Offset + int64(groups[n-1].TotalLen)\n\t}\n"},
		{"internal/store/recover.go", "\tw.open++\n\tw.seq += openJump\n", ""}}},
	{"samerun", "a new open_id and a jump of group_seq after a start", []edit{
		{"internal/store/recover.go", "\tw.open++\n\tw.seq += openJump\n", ""}}},
	{"intotorn", "write behind torn groups, not into them", []edit{
		{"internal/store/recover.go", "\tw.off = (tail.end + skipBytes - 1) / skipBytes * skipBytes\n",
			"\tw.off = pool.FirstGroup\n\tif n := len(groups); n > 0 {\n\t\tw.off = (groups[n-1].Offset + int64(groups[n-1].TotalLen) + skipBytes - 1) / skipBytes * skipBytes\n\t}\n"}}},
	{"samesequence", "a start's group_seq is above torn groups' too", []edit{
		{"internal/store/recover.go", "\tw.open, w.seq = max(w.open, tail.open), max(w.seq, tail.seq)\n",
			"\tfor _, g := range groups {\n\t\tw.open, w.seq = max(w.open, g.OpenID), max(w.seq, g.Seq)\n\t}\n"}}},
	{"anyfooter", "a footer counts in a sealed pool only", []edit{
		{"internal/store/recover.go", "if v.ring.Super(n).State == pool.Sealed {\n\t\tgroups, err := readFooterInto(", "if v.ring.Super(n).State != pool.Free {\n\t\tgroups, err := readFooterInto("}}},
	{"failedcount", "groups that failed and were written again do not count", []edit{
		{"internal/store/recover.go", "failed[i] = g.Seq > bound", "failed[i] = bound == 0"}}},
	{"forgetvoids", "what failed in a pool is said again at each activation", []edit{
		{"internal/store/ring/ring.go", "voids := r.voids(n, durable)", "voids := r.voids(n, durable)[:0]"}}},
	{"leaning", "each group of a commit describes what it refers to", []edit{
		{"internal/store/writer.go", "slices.Contains(w.telling[w.building:], d)", "slices.Contains(w.telling, d)"}}},
	{"wrongseal", "a sealed pool proves the groups of the start that sealed it", []edit{
		{"internal/store/recover.go", "proof[s.OpenID] = math.MaxUint64", "proof[tailOf(groups).open] = math.MaxUint64"}}},
	{"headeronly", "a header whose directory does not fit is not the newest group", []edit{
		{"internal/store/head.go", "if h.Fits(dir[:h.DirLen]) {", "if h.DirLen > 0 || h.Fits(nil) {"}}},
	{"footernosync", "sync of a footer before the superblock vouches for it", []edit{
		{"internal/store/writer.go", "if err := w.syncHead(); err != nil { // before the superblock vouches for it", "if err := w.sync(); err != nil {"}}},
	{"stopfirst", "read on behind a torn group", []edit{
		{"internal/store/recover.go", "from, to, hole, func", "from, to, hole*0, func"}}},
}

// overlay writes the edited files and the map of them that go build wants.
func (m *mutant) overlay(dir string) (string, error) {
	texts := map[string]string{}
	for _, e := range m.edits {
		text, edited := texts[e.file]
		if !edited {
			b, err := os.ReadFile(e.file)
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("mutant %s: its text stands %d times in %s, not once: bring campaign/mutants.go up to date", m.name, n, e.file)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	replace := map[string]string{}
	for file, text := range texts {
		source, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		replace[source] = filepath.Join(dir, m.name+"-"+filepath.Base(file))
		if err := os.WriteFile(replace[source], []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, m.name+".json")
	return name, os.WriteFile(name, b, 0o644)
}

// mutants plays trials on each mutant until one catches it.
func (o *options) mutants() error {
	dir := filepath.Join(o.bin, "_mutants")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var list []mutant
	for _, m := range mutants {
		if !strings.Contains(m.name, o.only) {
			continue
		}
		overlay, err := m.overlay(dir)
		if err == nil {
			err = o.build(filepath.Join("_mutants", m.name), overlay)
		}
		if err != nil {
			return err
		}
		list = append(list, m)
	}
	fmt.Println("| taken out | caught by | bad states | first complaint |")
	fmt.Println("|---|---|--:|---|")
	rows := make([]string, len(list))
	missed := make([]bool, len(list))
	inParallel(len(list), o.jobs, func(i int) { rows[i], missed[i] = o.mutant(&list[i]) }, func(i int) { fmt.Println(rows[i]) })
	for i := range missed {
		if missed[i] {
			return errors.New("not every mutant was caught")
		}
	}
	return nil
}

func (o *options) mutant(m *mutant) (row string, missed bool) {
	tried := 0
	for i := range trials {
		x := trials[i].run(o, filepath.Join("_mutants", m.name), trials[i].states(o), o.seed+i)
		if x.err != nil {
			return fmt.Sprintf("| %s | %v |", m.rule, x.err), true
		}
		tried += x.states
		if x.bad > 0 {
			_, complaint, _ := strings.Cut(x.complaints(), "crashtest: ")
			complaint, _, _ = strings.Cut(complaint, "\n")
			return fmt.Sprintf("| %s (`%s`) | %s | %d of %d | %s |", m.rule, m.name, trials[i].name, x.bad, x.states, complaint), false
		}
	}
	if test := o.failingTest(m); test != "" {
		return fmt.Sprintf("| %s (`%s`) | `%s` alone | 0 of %d | |", m.rule, m.name, test, tried), false
	}
	return fmt.Sprintf("| %s (`%s`) | **nothing** | 0 of %d | |", m.rule, m.name, tried), true
}

var failing = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// failingTest runs the store's own tests on a mutant that no cut told on.
func (o *options) failingTest(m *mutant) string {
	overlay := filepath.Join(o.bin, "_mutants", m.name+".json")
	out, err := exec.Command("go", "test", "-count=1", "-overlay", overlay, "./internal/store/...").CombinedOutput()
	if found := failing.FindSubmatch(out); err != nil && found != nil {
		return string(found[1])
	}
	return ""
}
