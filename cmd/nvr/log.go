package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lmittmann/tint"
)

// newLogger logs to w: in colour for people, in key=value form for journals.
func newLogger(w io.Writer, terminal, verbose bool, m *mask) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	var h slog.Handler = slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	if terminal {
		h = tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: "15:04:05.000"})
	}
	return slog.New(maskingHandler{h, m})
}

// mask is the last line of defence against a password in a log or an error:
// config.Secret keeps them from being printed, and this knows what the
// configured ones look like in case one got through, in the forms in which
// protocols carry them.
type mask struct {
	forms    []string
	replacer atomic.Pointer[strings.Replacer]
}

// minMaskedLength: masking each "1" of a log would make it useless and tell the
// password all the same. Shorter ones are masked in their context only.
const minMaskedLength = 4

// add makes m know a password and the user it belongs to.
func (m *mask) add(user, password string) {
	pair := user + ":" + password
	forms := []string{
		pair,
		base64.StdEncoding.EncodeToString([]byte(pair)),
		base64.RawURLEncoding.EncodeToString([]byte(pair)),
		url.UserPassword(user, password).String(),
	}
	if len(password) >= minMaskedLength {
		query := url.QueryEscape(password)
		_, userinfo, _ := strings.Cut(url.UserPassword("", password).String(), ":")
		quoted := fmt.Sprintf("%q", password)
		forms = append(forms, password, query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(password), userinfo, quoted[1:len(quoted)-1])
	}
	for _, f := range forms {
		m.forms = append(m.forms, f, lowerEscapes(f))
	}
	slices.SortFunc(m.forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	m.forms = slices.Compact(m.forms)
	pairs := make([]string, 0, 2*len(m.forms))
	for _, f := range m.forms {
		pairs = append(pairs, f, "***")
	}
	m.replacer.Store(strings.NewReplacer(pairs...))
}

var escape = regexp.MustCompile(`%[0-9A-F]{2}`)

func lowerEscapes(s string) string { return escape.ReplaceAllStringFunc(s, strings.ToLower) }

// credentials are what stands before the @ of any URL, ours or not.
var credentials = regexp.MustCompile(`://[^/\s@"']+@`)

// text is s without the secrets.
func (m *mask) text(s string) string {
	if r := m.replacer.Load(); r != nil {
		s = r.Replace(s)
	}
	if strings.Contains(s, "://") {
		s = credentials.ReplaceAllString(s, "://***@")
	}
	return s
}

// maskingHandler masks messages and attributes on their way to another handler.
type maskingHandler struct {
	next slog.Handler
	mask *mask
}

func (h maskingHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, l)
}

func (h maskingHandler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, h.mask.text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h maskingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.attr(a)
	}
	return maskingHandler{h.next.WithAttrs(clean), h.mask}
}

func (h maskingHandler) WithGroup(name string) slog.Handler {
	return maskingHandler{h.next.WithGroup(name), h.mask}
}

func (h maskingHandler) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(h.mask.text(v.String()))
	case slog.KindGroup:
		var clean []slog.Attr
		for _, inner := range v.Group() {
			clean = append(clean, h.attr(inner))
		}
		a.Value = slog.GroupValue(clean...)
	case slog.KindAny:
		shown := fmt.Sprintf("%+v", v.Any())
		if b, ok := v.Any().([]byte); ok {
			shown = string(b)
		}
		if masked := h.mask.text(shown); masked != shown {
			a.Value = slog.StringValue(masked)
		}
	}
	return a
}
