package config

import (
	"fmt"
	"strings"
	"unicode"
)

// The names of a camera's streams.
const (
	Main = "main"
	Sub  = "sub"
)

// Stream is one of a camera's streams: what one RTSP session gives.
type Stream struct {
	Name     string // Main or Sub
	URL      string
	Username string
	Password Secret
	Profile  string // of onvif://: token or name; empty: the best, of Sub the best below the main stream's
	Recorded bool
}

// Streams are the camera's streams, the main one first.
func (c *Camera) Streams() []Stream {
	streams := []Stream{{Main, c.URL, c.Username, c.Password, c.Profile, c.Enabled && (c.Record == recordBoth || c.Record == Main)}}
	if c.SubURL != "" {
		s := Stream{Sub, c.SubURL, c.Username, c.Password, c.SubProfile, c.Enabled && (c.Record == recordBoth || c.Record == Sub)}
		if c.ownSub {
			s.Username, s.Password = c.subUsername, c.subPassword
		}
		streams = append(streams, s)
	}
	return streams
}

// The values of record, besides the names of the streams.
const (
	recordBoth = "both"
	recordNone = "none"
)

// streams reads the camera's second stream, and which of them are recorded.
func (d *decoder) streams(t table, c *Camera) {
	if raw, at, ok := t.text("sub_url"); ok {
		d.subURL(t, c, raw, at)
	}
	c.Profile = d.profile(t, "profile", "url", c.URL)
	c.SubProfile = d.profile(t, "sub_profile", "sub_url", c.SubURL)

	c.Record = Main
	if t.node.find("sub_url") != nil {
		c.Record = recordBoth
	}
	record, at, ok := t.text("record")
	if !ok {
		return
	}
	c.Record = record
	switch record {
	case recordBoth, Sub:
		if t.node.find("sub_url") == nil {
			d.wrong(at, t.key+".record", fmt.Sprintf("%q, and there is no sub_url", record), "say where the second stream is: sub_url = \"rtsp://…\"")
		}
	case Main, recordNone:
	default:
		d.wrong(at, t.key+".record", fmt.Sprintf("%q is none of the ways to record", shorten(record)), `write "both", "main", "sub" or "none"`)
	}
}

// subURL reads where the second stream is. What opens the camera opens it too,
// unless it has a user of its own.
func (d *decoder) subURL(t table, c *Camera, raw string, at place) {
	key := t.key + ".sub_url"
	expanded, missing := d.expandURL(raw)
	if missing != "" {
		d.noVariable(at, key, missing)
		return
	}
	u, info, wrong := parseURL(expanded)
	if wrong != nil {
		d.wrong(at, key, wrong.what, wrong.remedy)
		return
	}
	c.SubURL = u
	c.urlSecrets = append(c.urlSecrets, SecretsInURL(u)...)
	for _, other := range []string{"username", "password", "password_file"} {
		if e := t.node.find(other); e != nil && (info.username != "" || info.hasPassword) {
			d.wrong(at, key, fmt.Sprintf("has a user or a password, and so has line %d", e.at.line), "keep one of the two: what opens the camera opens its second stream too")
			return
		}
	}
	if info.username != "" || info.hasPassword {
		c.ownSub, c.subUsername = true, info.username
		if info.hasPassword {
			c.subPassword = NewSecret(info.password)
		}
	}
}

// profile reads the name of an ONVIF profile that belongs to the URL of another key.
func (d *decoder) profile(t table, name, of, url string) string {
	profile, at, ok := t.text(name)
	if !ok {
		return ""
	}
	key := t.key + "." + name
	switch {
	case t.node.find(of) == nil && of != "url":
		d.wrong(at, key, fmt.Sprintf("belongs to %s, which is not there", of), fmt.Sprintf("take it out, or write %s = \"onvif://host\"", of))
	case url != "" && !IsONVIF(url):
		d.wrong(at, key, "belongs to a camera with onvif://", fmt.Sprintf("take it out, or write %s = \"onvif://host\"", of))
	case profile == "" || len(profile) > maxNameLength || strings.ContainsFunc(profile, unicode.IsControl):
		d.wrong(at, key, "is empty, too long or has control characters", "write a name or token that nvr probe shows")
	}
	return profile
}
