package rtsp

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Limits of a session description (SEC-01). What is over them is left out with
// a warning: it never costs the rest.
const (
	maxMedia      = 32
	maxAttributes = 512 // of one section
)

// Format is one payload type of a media section.
type Format struct {
	PayloadType uint8
	Encoding    string // upper case: H264, H265, MPEG4-GENERIC, PCMA, PCMU, …
	ClockRate   uint32
	Channels    int               // audio; 1 where the SDP says nothing
	Params      map[string]string // of a=fmtp, keys in lower case, values as they are
}

// Media is one section of the session description.
type Media struct {
	Type        string // "video", "audio", "application", "text"
	Formats     []Format
	Control     string  // as written; relative to what the camera likes
	FrameRate   float64 // of a=framerate; 0: not said
	BackChannel bool    // audio for the camera's loudspeaker (ONVIF): never SETUP

	// Of multicast, where the answer to SETUP leaves it open: c= and m=.
	group netip.Addr
	port  uint16
	ttl   int
}

// description is a session description (RFC 4566), of which only m= and a=
// matter: cameras get the other lines wrong, or leave them out.
type description struct {
	control string // of the session
	medias  []Media

	group netip.Addr // of the session
	ttl   int
}

// section is a media section while it is being read.
type section struct {
	Media
	payloads   []uint8
	forgotten  int // of them, those at the front that the m= line did not list
	attributes int
	sendOnly   bool
	dimensions string // of a=x-dimensions: JPEG pictures over 2040 (GStreamer, Axis)
	bad        string // why it can't be used
}

// staticFormats are the payload types that need no a=rtpmap (RFC 3551 §6).
var staticFormats = map[uint8]Format{
	0:  {Encoding: "PCMU", ClockRate: 8000, Channels: 1},
	3:  {Encoding: "GSM", ClockRate: 8000, Channels: 1},
	4:  {Encoding: "G723", ClockRate: 8000, Channels: 1},
	8:  {Encoding: "PCMA", ClockRate: 8000, Channels: 1},
	9:  {Encoding: "G722", ClockRate: 8000, Channels: 1},
	10: {Encoding: "L16", ClockRate: 44100, Channels: 2},
	11: {Encoding: "L16", ClockRate: 44100, Channels: 1},
	14: {Encoding: "MPA", ClockRate: 90000, Channels: 1},
	18: {Encoding: "G729", ClockRate: 8000, Channels: 1},
	26: {Encoding: "JPEG", ClockRate: 90000},
	32: {Encoding: "MPV", ClockRate: 90000},
	33: {Encoding: "MP2T", ClockRate: 90000},
}

const overLimit = "over the limit"

// parseSDP never fails: a section that can't be used is dropped, and a warning
// says why.
func parseSDP(body string) (d description, warnings []string) {
	warn := func(format string, args ...any) {
		if len(warnings) < maxMedia {
			warnings = append(warnings, printable(fmt.Sprintf(format, args...)))
		}
	}
	var sections []*section
	var s *section // nil: before the first m=
	for line := range strings.SplitSeq(body, "\n") {
		line = strings.Trim(line, "\x00\r\t ")
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "m":
			if len(sections) == maxMedia {
				if s.bad != overLimit {
					warn("more than %d media: the rest is left out", maxMedia)
				}
				s = &section{bad: overLimit} // takes the attributes of what is left out
				continue
			}
			s = parseMediaLine(value)
			sections = append(sections, s)
		case "c":
			switch group, ttl := parseConnection(value); {
			case !group.IsValid():
			case s == nil:
				d.group, d.ttl = group, ttl
			default:
				s.group, s.ttl = group, ttl
			}
		case "a":
			key, value, _ := strings.Cut(value, ":")
			key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
			switch {
			case s == nil && key == "control" && !hasControl(value):
				d.control = value
			case s == nil:
			case s.attributes == maxAttributes:
				s.attributes++
				warn("m=%s: more than %d attributes: the rest is left out", s.Type, maxAttributes)
			case s.attributes < maxAttributes:
				s.attributes++
				s.attribute(key, value)
			}
		}
	}
	allSendOnly := true
	for _, s := range sections {
		allSendOnly = allSendOnly && s.sendOnly
	}
	for _, s := range sections {
		s.finish()
		if s.bad != "" {
			warn("m=%s: section dropped: %s", s.Type, s.bad)
			continue
		}
		s.BackChannel = s.Type == "audio" && s.sendOnly && !allSendOnly
		if !s.group.IsValid() {
			s.group, s.ttl = d.group, d.ttl
		}
		d.medias = append(d.medias, s.Media)
	}
	return d, warnings
}

// parseConnection reads "IN IP4 239.1.2.3/127" (RFC 4566 §5.7). Only a multicast
// group says something: the address of a camera is the one that we dialled.
func parseConnection(value string) (group netip.Addr, ttl int) {
	fields := strings.Fields(value)
	if len(fields) < 3 {
		return netip.Addr{}, 0
	}
	parts := strings.Split(fields[2], "/")
	group, err := netip.ParseAddr(parts[0])
	if err != nil || !group.IsMulticast() {
		return netip.Addr{}, 0
	}
	if len(parts) > 1 && group.Is4() {
		if n, err := strconv.Atoi(parts[1]); err == nil && n > 0 && n < 256 {
			ttl = n
		}
	}
	return group, ttl
}

// parseMediaLine reads "video 0 RTP/AVP 98 96". The port matters for multicast
// only: some cameras write rubbish there, or forget it.
func parseMediaLine(value string) *section {
	fields := strings.Fields(value)
	s := new(section)
	if len(fields) == 0 {
		s.bad = "empty m= line"
		return s
	}
	s.Type = strings.ToLower(fields[0])
	switch s.Type {
	case "video", "audio", "application", "text":
	default:
		s.bad = "unknown kind of media"
		return s
	}
	if len(fields) > 1 {
		s.port = parsePorts(fields[1])[0]
	}
	for i, f := range fields[1:] {
		if !strings.Contains(strings.ToUpper(f), "RTP/AVP") {
			continue
		}
		for _, f := range fields[i+2:] {
			if pt, err := strconv.ParseUint(f, 10, 7); err == nil && len(s.payloads) < maxAttributes {
				s.addPayload(uint8(pt))
			}
		}
		return s
	}
	s.bad = "not RTP/AVP"
	return s
}

func (s *section) addPayload(pt uint8) {
	for _, p := range s.payloads {
		if p == pt {
			return
		}
	}
	s.payloads = append(s.payloads, pt)
}

func (s *section) attribute(key, value string) {
	switch key {
	case "control":
		s.Control = value
	case "sendonly":
		s.sendOnly = true
	case "framerate":
		if f, err := strconv.ParseFloat(value, 64); err == nil && f > 0 && f < 1000 {
			s.FrameRate = f
		}
	case "x-dimensions":
		s.dimensions = value
	case "framesize": // "26 1920-1080", 3GPP TS 26.234 §5.3.3.2
		_, s.dimensions, _ = strings.Cut(value, " ")
	case "rtpmap":
		s.rtpmap(value)
	case "fmtp":
		s.fmtp(value)
	}
}

// format returns the section's entry for a payload type, made when it is new.
func (s *section) format(pt string) *Format {
	n, err := strconv.ParseUint(pt, 10, 7)
	if err != nil {
		return nil
	}
	for i := range s.Formats {
		if s.Formats[i].PayloadType == uint8(n) {
			return &s.Formats[i]
		}
	}
	s.Formats = append(s.Formats, Format{PayloadType: uint8(n)})
	return &s.Formats[len(s.Formats)-1]
}

// rtpmap reads "96 MPEG4-GENERIC/16000/1". The first one of a payload type counts.
func (s *section) rtpmap(value string) {
	pt, coding, _ := strings.Cut(value, " ")
	f := s.format(pt)
	parts := strings.Split(coding, "/")
	name := strings.ToUpper(strings.TrimSpace(parts[0]))
	if f == nil || f.Encoding != "" || name == "" {
		return
	}
	f.Encoding = name
	if len(parts) > 1 {
		f.ClockRate = uint32(leadingNumber(parts[1]))
	}
	if len(parts) > 2 {
		f.Channels = int(min(leadingNumber(parts[2]), 255))
	}
	// A type that the m= line forgot is the one that is meant, before those that
	// it lists: "m=audio 0 RTP/AVP 0" with a=rtpmap:97 MPEG4-GENERIC.
	if !slices.Contains(s.payloads, f.PayloadType) {
		s.payloads = slices.Insert(s.payloads, s.forgotten, f.PayloadType)
		s.forgotten++
	}
}

// leadingNumber reads the digits that v begins with; 0 where there are none.
func leadingNumber(v string) uint64 {
	v = strings.TrimSpace(v)
	end := 0
	for end < len(v) && v[end] >= '0' && v[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(v[:end], 10, 31)
	if err != nil {
		return 0
	}
	return n
}

// fmtp reads "96 packetization-mode=1; sprop-parameter-sets=Z0I=,aM4=".
func (s *section) fmtp(value string) {
	pt, params, _ := strings.Cut(value, " ")
	f := s.format(pt)
	if f == nil {
		return
	}
	for p := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(p, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if key == "" || len(f.Params) == maxAttributes {
			continue
		}
		if f.Params == nil {
			f.Params = map[string]string{}
		}
		f.Params[key] = strings.TrimSpace(value)
	}
}

// finish puts the formats into the order of the m= line and leaves out those
// of which nobody knows what they are. a=rtpmap wins over the static table.
func (s *section) finish() {
	if s.bad == "" && hasControl(s.Control) {
		s.bad = "control characters in a=control"
	}
	if s.bad != "" {
		return
	}
	var known []Format
	for _, pt := range s.payloads {
		f := Format{PayloadType: pt}
		for _, g := range s.Formats {
			if g.PayloadType == pt {
				f = g
			}
		}
		if f.Encoding == "" {
			static, ok := staticFormats[pt]
			if !ok {
				continue
			}
			f.Encoding, f.ClockRate, f.Channels = static.Encoding, static.ClockRate, static.Channels
		}
		if f.ClockRate == 0 {
			f.ClockRate = 90000
			if s.Type == "audio" {
				f.ClockRate = 8000
			}
		}
		if s.dimensions != "" && f.Params["x-dimensions"] == "" {
			f.Params = maps.Clone(f.Params)
			if f.Params == nil {
				f.Params = map[string]string{}
			}
			f.Params["x-dimensions"] = s.dimensions
		}
		if s.Type == "audio" && f.Channels == 0 {
			f.Channels = 1
		}
		known = append(known, f)
	}
	s.Formats = known
	if len(known) == 0 {
		s.bad = "no payload type has a known coding"
	}
}
