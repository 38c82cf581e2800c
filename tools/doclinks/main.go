// Command doclinks checks that what the Markdown files of a directory link to
// is there: files, and headings in them. Links to other hosts are not followed.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fence   = regexp.MustCompile("(?s)```.*?```")
	notSlug = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	broken, files := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".md") {
			return nil
		}
		files++
		text, err := read(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if why := check(path, m[1]); why != "" {
				fmt.Fprintf(os.Stderr, "%s: link to %s: %s\n", path, m[1], why)
				broken++
			}
		}
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "doclinks:", err)
		os.Exit(1)
	}
	if broken > 0 {
		os.Exit(1)
	}
	fmt.Printf("doclinks: %d files ok\n", files)
}

func read(path string) (string, error) {
	text, err := os.ReadFile(path)
	return fence.ReplaceAllString(string(text), ""), err
}

func check(from, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	file, anchor, _ := strings.Cut(target, "#")
	path := from
	if file != "" {
		path = filepath.Join(filepath.Dir(from), file)
	}
	if _, err := os.Stat(path); err != nil {
		return "no such file"
	}
	if anchor == "" {
		return ""
	}
	text, err := read(path)
	if err != nil {
		return err.Error()
	}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		if slug == anchor {
			return ""
		}
	}
	return "no such heading"
}
