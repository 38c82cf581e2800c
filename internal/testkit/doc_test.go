package testkit

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table into docs/cameras.md")

const (
	page      = "../../docs/cameras.md"
	tableFrom = "<!-- the table: go test ./internal/testkit -update -->\n"
	tableTo   = "<!-- end of the table -->\n"
)

// sections are the headings of the page.
var sections = []struct{ section, heading string }{
	{"0", "What breaks a recorder that believes its library"},
	{"1", "Session descriptions and parameter sets"},
	{"2", "Dialogue, keepalive, passwords"},
	{"3", "Framing on TCP"},
	{"4", "RTP, access units, time stamps"},
	{"5", "Sound, reports, clocks"},
	{"6", "Faults"},
	{"security", "Cameras that were taken over"},
}

// TestPage holds docs/cameras.md to the table.
func TestPage(t *testing.T) {
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableFrom)
	_, after, ok2 := strings.Cut(rest, tableTo)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks of its table", page)
	}
	want := before + tableFrom + markdown() + tableTo + after
	if want == string(b) {
		return
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s does not say what the table says: go test ./internal/testkit -update", page)
}

func markdown() string {
	var b strings.Builder
	escape := strings.NewReplacer("|", `\|`, "<", "&lt;").Replace
	n := 0
	for _, s := range sections {
		fmt.Fprintf(&b, "\n### %s\n\n| camera | met with | it does | the recorder |\n|---|---|---|---|\n", s.heading)
		var right string
		for _, q := range Quirks() {
			if q.Section != s.section {
				continue
			}
			n++
			if q.Right != "as above" {
				right = q.Right
			}
			does := q.Right
			if does == "as above" {
				does = right
			}
			if why := Waiting[q.Key]; why != "" {
				does = "**not yet** (" + why + ")"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", q.Key, escape(q.Vendor), escape(q.Does), escape(does))
		}
	}
	fmt.Fprintf(&b, "\n%d cameras in all.\n\n", n)
	return b.String()
}

// TestEveryEntryHasASection: one that has none would not be on the page.
func TestEveryEntryHasASection(t *testing.T) {
	known := map[string]bool{}
	for _, s := range sections {
		known[s.section] = true
	}
	for _, q := range Quirks() {
		if !known[q.Section] {
			t.Errorf("%s: section %q", q.Key, q.Section)
		}
	}
	for key := range Waiting {
		found := false
		for _, q := range Quirks() {
			found = found || q.Key == key
		}
		if !found {
			t.Errorf("%s waits, and is no entry", key)
		}
	}
}
