package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where something stands in the file, counted from 1.
type place struct{ line, column int }

// node is a TOML value that knows its place. go-toml's decoder stops at the
// first error and forgets places; telling a user everything that is wrong with
// a file at once needs both.
type node struct {
	kind    unstable.Kind // Table, Array, String, Integer, …
	at      place
	text    string // the value of a String, the digits of an Integer, …
	entries []*entry
	items   []*node

	header bool // a table that was opened by its own [header]
	inline bool // a table or array that is complete: {…}, […]
}

type entry struct {
	name  string
	at    place
	value *node
}

func (n *node) find(name string) *entry {
	for _, e := range n.entries {
		if e.name == name {
			return e
		}
	}
	return nil
}

// describe names the kind of value with its article.
func (n *node) describe() string {
	switch n.kind {
	case unstable.Table:
		return "a table"
	case unstable.Array:
		return "a list"
	case unstable.String:
		return "text"
	case unstable.Integer:
		return "a whole number"
	case unstable.Float:
		return "a number with a fraction"
	case unstable.Bool:
		return n.text
	}
	return "a date or time"
}

// grower builds the tree of a file from go-toml's expressions.
type grower struct {
	parser   unstable.Parser
	newlines []int // their offsets
	problems Problems
}

// grow parses a file. A file with a syntax error has one problem: that.
func grow(file string, content []byte) (*node, Problems) {
	var g grower
	g.parser.Reset(content)
	for i, c := range content {
		if c == '\n' {
			g.newlines = append(g.newlines, i)
		}
	}
	root := &node{kind: unstable.Table, at: place{1, 1}}
	current := root
	for g.parser.NextExpression() {
		switch e := g.parser.Expression(); e.Kind {
		case unstable.Table:
			current = g.open(root, g.keys(e), false)
		case unstable.ArrayTable:
			current = g.open(root, g.keys(e), true)
		case unstable.KeyValue:
			g.set(current, e)
		}
	}
	for i := range g.problems {
		g.problems[i].File = file
	}
	// The library checks what the bare parser does not: dates, digits, UTF-8, tables that collide.
	err := g.parser.Error()
	if err == nil && len(g.problems) == 0 {
		var all map[string]any
		err = toml.Unmarshal(content, &all)
	}
	if err != nil {
		return nil, append(g.problems, g.syntax(file, err))
	}
	return root, g.problems
}

func (g *grower) syntax(file string, err error) Problem {
	p := Problem{File: file, Line: 1, Column: 1, Remedy: "see https://toml.io for how TOML is written"}
	var inParser *unstable.ParserError
	var inDecoder *toml.DecodeError
	switch {
	case errors.As(err, &inParser):
		p.What = inParser.Message
		at := g.place(uint32(min(max(0, cap(g.parser.Data())-cap(inParser.Highlight)), len(g.parser.Data()))))
		p.Line, p.Column = at.line, at.column
	case errors.As(err, &inDecoder):
		p.What = strings.TrimPrefix(inDecoder.Error(), "toml: ")
		p.Line, p.Column = inDecoder.Position()
	default:
		p.What = strings.TrimPrefix(err.Error(), "toml: ")
	}
	p.What = "not TOML: " + p.What
	return p
}

func (g *grower) place(offset uint32) place {
	line, _ := slices.BinarySearch(g.newlines, int(offset))
	if line == 0 {
		return place{1, int(offset) + 1}
	}
	return place{line + 1, int(offset) - g.newlines[line-1]}
}

type key struct {
	name string
	at   place
}

func (g *grower) keys(e *unstable.Node) []key {
	var all []key
	for it := e.Key(); it.Next(); {
		all = append(all, key{string(it.Node().Data), g.place(it.Node().Raw.Offset)})
	}
	return all
}

func (g *grower) collide(path []key, first place) {
	names := make([]string, len(path))
	for i, k := range path {
		names[i] = k.name
	}
	at := path[len(path)-1].at
	g.problems = append(g.problems, Problem{Line: at.line, Column: at.column, Key: strings.Join(names, "."),
		What: fmt.Sprintf("is there twice (first on line %d)", first.line), Remedy: "keep one of the two"})
}

// open finds or makes the table of a [header] or [[header]].
func (g *grower) open(root *node, path []key, array bool) *node {
	parent := g.descend(root, path[:len(path)-1], path)
	last := path[len(path)-1]
	table := &node{kind: unstable.Table, at: last.at, header: true}
	if parent == nil {
		return table // its keys go nowhere; the problem is reported
	}
	e := parent.find(last.name)
	switch {
	case e == nil && array:
		list := &node{kind: unstable.Array, at: last.at, items: []*node{table}}
		parent.entries = append(parent.entries, &entry{last.name, last.at, list})
	case e == nil:
		parent.entries = append(parent.entries, &entry{last.name, last.at, table})
	case array && e.value.kind == unstable.Array && !e.value.inline:
		e.value.items = append(e.value.items, table)
	case !array && e.value.kind == unstable.Table && !e.value.header && !e.value.inline:
		e.value.header = true
		return e.value
	default:
		g.collide(path, e.at)
	}
	return table
}

// descend walks down the tables of path, making those that are missing.
func (g *grower) descend(from *node, path, whole []key) *node {
	for _, k := range path {
		e := from.find(k.name)
		if e == nil {
			e = &entry{k.name, k.at, &node{kind: unstable.Table, at: k.at}}
			from.entries = append(from.entries, e)
		}
		next := e.value
		if next.kind == unstable.Array && len(next.items) > 0 {
			next = next.items[len(next.items)-1]
		}
		if next.kind != unstable.Table || e.value.inline {
			g.collide(whole, e.at)
			return nil
		}
		from = next
	}
	return from
}

func (g *grower) set(table *node, e *unstable.Node) {
	path := g.keys(e)
	parent := g.descend(table, path[:len(path)-1], path)
	if parent == nil {
		return
	}
	last := path[len(path)-1]
	if first := parent.find(last.name); first != nil {
		g.collide(path, first.at)
		return
	}
	parent.entries = append(parent.entries, &entry{last.name, last.at, g.value(e.Value(), last.at)})
}

func (g *grower) value(v *unstable.Node, keyAt place) *node {
	n := &node{kind: v.Kind, at: keyAt, text: string(v.Data)}
	if v.Raw.Length > 0 {
		n.at = g.place(v.Raw.Offset)
	}
	switch v.Kind {
	case unstable.Array:
		n.inline = true
		for it := v.Children(); it.Next(); {
			n.items = append(n.items, g.value(it.Node(), n.at))
		}
	case unstable.InlineTable:
		n.kind = unstable.Table
		for it := v.Children(); it.Next(); {
			g.set(n, it.Node())
		}
		n.inline = true
	}
	return n
}
