package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// gstLaunch runs a pipeline of GStreamer; -q keeps its words from the standard output.
const gstLaunch = "gst-launch-1.0"

// Arguments are what is run: the program and its arguments, which may hold passwords.
func (p *Program) Arguments() []string {
	var all []string
	for _, a := range p.Command {
		all = append(all, a.Reveal())
	}
	return all
}

// source reads what the camera is: a URL, or a program.
func (d *decoder) source(t table, c *Camera) {
	c.Source = SourceURL
	if source, at, ok := t.text("source"); ok {
		switch source {
		case SourceURL, SourceExec, SourceGStreamer:
			c.Source = source
		default:
			d.wrong(at, t.key+".source", fmt.Sprintf("%q is no source", shorten(source)), `write "url", "exec" or "gstreamer"`)
		}
	}
	for _, foreign := range [...]struct{ key, source string }{
		{"command", SourceExec}, {"pipeline", SourceGStreamer}, {"format", ""}, {"rtpmap", ""},
		{"url", SourceURL}, {"profile", SourceURL}, {"sub_url", SourceURL}, {"sub_profile", SourceURL}, {"transport", SourceURL},
		{"tls_fingerprint", SourceURL}, {"tls_ca_file", SourceURL}, {"tls_insecure", SourceURL}, {"tls_min_version", SourceURL},
	} {
		wants := foreign.source == c.Source || foreign.source == "" && c.Source != SourceURL
		if e := t.node.find(foreign.key); e != nil && !wants {
			remedy := "take it out"
			if foreign.source != "" {
				remedy += fmt.Sprintf(", or write source = %q", foreign.source)
			}
			d.wrong(e.at, t.key+"."+foreign.key, fmt.Sprintf("means nothing with source = %q", c.Source), remedy)
		}
	}
	d.address(t, c)
	if c.Source != SourceURL {
		d.program(t, c)
	}
}

// program reads what is run, and how its output is to be understood.
func (d *decoder) program(t table, c *Camera) {
	if d.mode.Perm()&0o022 != 0 {
		d.wrong(t.node.find("source").at, t.key+".source", fmt.Sprintf("runs a program, and this file can be written by others (mode %04o)", d.mode.Perm()), "chmod go-w the file")
	}
	c.Program.Format = FormatMPEGTS
	if format, at, ok := t.text("format"); ok {
		c.Program.Format = format
		if format != FormatMPEGTS && format != FormatRTP {
			d.wrong(at, t.key+".format", fmt.Sprintf("%q is no format", shorten(format)), `write "mpegts" or "rtp"`)
		}
	}
	if lines, places, ok := t.texts("rtpmap", `["96 H264/90000"]`, maxRTPMaps); ok {
		if c.Program.Format != FormatRTP {
			d.wrong(t.node.find("rtpmap").at, t.key+".rtpmap", `belongs to format = "rtp"`, "take it out: MPEG-TS says itself what it has")
		}
		for i, line := range lines {
			if !rtpmap.MatchString(line) {
				d.wrong(places[i], fmt.Sprintf("%s.rtpmap[%d]", t.key, i), fmt.Sprintf("%q is no rtpmap", shorten(line)), `write "96 H264/90000": payload type (0…127), encoding, clock rate, channels`)
			}
		}
		c.Program.RTPMap = lines
	}
	if c.Source == SourceExec {
		d.command(t, c)
	} else {
		d.pipeline(t, c)
	}
	for _, a := range c.Program.Command {
		c.urlSecrets = append(c.urlSecrets, secretsInArgument(a.Reveal())...)
	}
}

// rtpmap is a line of RFC 8866 §6.6.
var rtpmap = regexp.MustCompile(`^([0-9]|[1-9][0-9]|1[01][0-9]|12[0-7]) [A-Za-z0-9.+_-]{1,64}/[1-9][0-9]{0,8}(/[1-8])?$`)

func (d *decoder) command(t table, c *Camera) {
	const example = `["ffmpeg", "-i", "…", "-c", "copy", "-f", "mpegts", "-"]`
	t.missing("command", "write command = "+example)
	list, places, ok := t.texts("command", example, maxArguments)
	if !ok {
		return
	}
	size := 0
	for i, a := range list {
		key := fmt.Sprintf("%s.command[%d]", t.key, i)
		expanded, ok := d.argument(a, places[i], key, c)
		if !ok {
			return
		}
		if i == 0 && expanded == "" {
			d.wrong(places[i], key, "is empty", "name the program")
			return
		}
		size += len(expanded)
		c.Program.Command = append(c.Program.Command, NewSecret(expanded))
	}
	if size > maxCommandBytes {
		d.wrong(places[0], t.key+".command", "is too long", fmt.Sprintf("use at most %d bytes", maxCommandBytes))
	}
}

// argument expands an argument's variables. What they held is masked wherever it
// would be printed.
func (d *decoder) argument(s string, at place, key string, c *Camera) (string, bool) {
	expanded, missing := d.expand(s, func(value string) string {
		c.urlSecrets = append(c.urlSecrets, NewSecret(value))
		return value
	})
	switch {
	case missing != "":
		d.noVariable(at, key, missing)
	case strings.ContainsRune(expanded, 0):
		d.wrong(at, key, "contains a NUL character", "take it out")
	default:
		return expanded, true
	}
	return "", false
}

// pipeline makes a command of a pipeline.
func (d *decoder) pipeline(t table, c *Camera) {
	t.missing("pipeline", `write pipeline = "videotestsrc is-live=true ! x264enc tune=zerolatency key-int-max=50 ! mpegtsmux"`)
	raw, at, ok := t.text("pipeline")
	if !ok {
		return
	}
	key := t.key + ".pipeline"
	text, ok := d.argument(raw, at, key, c)
	if !ok {
		return
	}
	words, what := split(text)
	switch {
	case what != "":
		d.wrong(at, key, what, "write it as gst-launch-1.0 wants it")
		return
	case len(words) == 0:
		d.wrong(at, key, "is empty", "write a pipeline")
		return
	case len(text) > maxCommandBytes || len(words) > maxArguments:
		d.wrong(at, key, "is too long", fmt.Sprintf("use at most %d words and %d bytes", maxArguments, maxCommandBytes))
		return
	case strings.HasPrefix(words[0], gstLaunch):
		d.wrong(at, key, "begins with "+gstLaunch, "take it out: it is written for you")
		return
	case strings.HasPrefix(words[0], "-"):
		d.wrong(at, key, "begins with an option", "write the pipeline alone")
		return
	}
	elements := map[string]bool{}
	for _, w := range words {
		elements[w] = true
	}
	if !elements["fdsink"] {
		switch {
		case elements["mpegtsmux"], elements["rtpstreampay"]:
		case c.Program.Format == FormatRTP:
			words = append(words, "!", "rtpstreampay")
		default:
			words = append(words, "!", "mpegtsmux")
		}
		words = append(words, "!", "fdsink", "fd=1")
	}
	for _, w := range append([]string{gstLaunch, "-q"}, words...) {
		c.Program.Command = append(c.Program.Command, NewSecret(w))
	}
}

// split cuts a pipeline into the words that gst-launch-1.0 joins again: at spaces
// that are neither quoted nor behind a backslash. Quotes stay, as it reads them.
func split(s string) (words []string, wrong string) {
	var word strings.Builder
	var quote rune
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case unicode.IsSpace(r):
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
			continue
		}
		word.WriteRune(r)
	}
	if quote != 0 {
		return nil, "has a quote that does not end"
	}
	if word.Len() > 0 {
		words = append(words, word.String())
	}
	return words, ""
}

// userpass is what a URL in an argument has before its @.
var userpass = regexp.MustCompile(`://[^/\s@"':]*:([^/\s@"']+)@`)

// argumentSecret is a password as options of programs have it.
var argumentSecret = regexp.MustCompile(`(?i)(?:password|passwd|passphrase|pwd|pass|user-pw|token|secret)["']?[=:]["']?([^\s"'&;]+)`)

// secretsInArgument are the passwords that an argument seems to have.
func secretsInArgument(s string) []Secret {
	all := SecretsInURL(s)
	for _, m := range append(userpass.FindAllStringSubmatch(s, -1), argumentSecret.FindAllStringSubmatch(s, -1)...) {
		all = append(all, NewSecret(m[1]))
	}
	return all
}
