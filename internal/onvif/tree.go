package onvif

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// element is an XML element by its local name: cameras agree on ONVIF's names,
// and on its prefixes and versions of namespaces not always.
type element struct {
	name     string
	text     string // of its own, without the children's, trimmed
	attrs    []xml.Attr
	children []*element
}

// A limitError says which limit the camera's bytes went over.
type limitError struct {
	what  string
	limit int
}

func (e *limitError) Error() string { return fmt.Sprintf("%s: over the limit of %d", e.what, e.limit) }

// parse reads one XML document: UTF-8, without DOCTYPE, with no entities but
// XML's five. What follows the root element is not looked at. It allocates a
// small multiple of the body's length.
func parse(body []byte) (*element, error) {
	if len(body) > maxBody {
		return nil, &limitError{"bytes of XML", maxBody}
	}
	in := &meter{in: bytes.NewReader(body)}
	d := xml.NewDecoder(in)
	var stack []*element
	var texts [maxDepth][]byte // of the elements in the stack
	for n := 0; ; n++ {
		if n > maxTokens {
			return nil, &limitError{"tags, attributes and texts in XML", maxTokens}
		}
		in.left = maxToken
		token, err := d.Token()
		if err != nil {
			return nil, xmlError(err)
		}
		switch t := token.(type) {
		case xml.Directive: // DOCTYPE, where entities are declared
			return nil, errors.New("XML with a DOCTYPE is refused")
		case xml.StartElement:
			if len(stack) == maxDepth {
				return nil, &limitError{"depth of XML", maxDepth}
			}
			n += len(t.Attr)
			texts[len(stack)] = nil
			stack = append(stack, &element{name: t.Name.Local, attrs: t.Attr})
		case xml.CharData:
			if n := len(stack); n > 0 {
				texts[n-1] = append(texts[n-1], t...)
			}
		case xml.EndElement:
			e := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			e.text = string(bytes.TrimSpace(texts[len(stack)]))
			if len(stack) == 0 {
				return e, nil
			}
			parent := stack[len(stack)-1]
			parent.children = append(parent.children, e)
		}
	}
}

// xmlError says it without the camera's bytes, which may be anything.
func xmlError(err error) error {
	var limit *limitError
	var syntax *xml.SyntaxError
	switch {
	case errors.As(err, &limit):
		return limit
	case errors.Is(err, io.EOF), errors.As(err, &syntax) && syntax.Msg == "unexpected EOF":
		return errors.New("XML ends too early")
	case syntax != nil:
		return fmt.Errorf("no XML: line %d: %s", syntax.Line, printable(syntax.Msg))
	}
	return fmt.Errorf("no XML: %s", printable(err.Error()))
}

// meter is what the decoder reads from. It ends a token that is too long before
// the decoder has taken memory for it.
type meter struct {
	in   *bytes.Reader
	left int // bytes that the token in work may still have
}

// ReadByte is what the decoder uses.
func (m *meter) ReadByte() (byte, error) {
	if m.left == 0 {
		return 0, &limitError{"bytes of one XML tag or text", maxToken}
	}
	m.left--
	return m.in.ReadByte()
}

// Read makes it a Reader, as NewDecoder wants one.
func (m *meter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := m.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// The methods below may be called on nil: what is not there has nothing in it.

// at follows the names down; the first child of each name counts.
func (e *element) at(path ...string) *element {
	for _, name := range path {
		e = e.child(name)
	}
	return e
}

func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (e *element) all(name string) []*element {
	if e == nil {
		return nil
	}
	var found []*element
	for _, c := range e.children {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

// string is the text at a path.
func (e *element) string(path ...string) string {
	if e = e.at(path...); e == nil {
		return ""
	}
	return e.text
}

func (e *element) attr(name string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// number is the number at a path, 0 where there is none that makes sense.
func (e *element) number(path ...string) float64 { return number(e.string(path...)) }

func number(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0 && n < 1e9) {
		return 0
	}
	return n
}

// escape makes s fit for an XML text or attribute.
func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
