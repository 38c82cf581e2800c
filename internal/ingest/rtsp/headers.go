package rtsp

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	defaultSessionTimeout = 60 * time.Second // RFC 2326 §12.37
	longestKeepalive      = 25 * time.Second // some cameras count 30 s whatever they announce
	shortestKeepalive     = time.Second
)

// parseSession reads "id;timeout=60" (RFC 2326 §12.37), blanks anywhere.
func parseSession(v string) (id string, timeout time.Duration) {
	id, params, _ := strings.Cut(v, ";")
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "timeout") {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n > 0 && n < 1<<20 {
				timeout = time.Duration(n) * time.Second
			}
		}
	}
	return strings.TrimSpace(id), timeout
}

// keepalivePeriod is min(timeout/2, 25 s).
func keepalivePeriod(timeout time.Duration) time.Duration {
	if timeout == 0 {
		timeout = defaultSessionTimeout
	}
	return max(shortestKeepalive, min(timeout/2, longestKeepalive))
}

// parsePublic reads the methods a camera lists (RFC 2326 §12.28).
func parsePublic(values []string) map[string]bool {
	methods := map[string]bool{}
	for _, v := range values {
		for m := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			methods[strings.ToUpper(m)] = true
		}
	}
	return methods
}

// transportAnswer is what a camera made of our Transport header (RFC 2326 §12.39).
type transportAnswer struct {
	interleaved bool
	channels    [2]uint8 // RTP, RTCP
	datagrams   bool     // it wants to send UDP
	ssrc        uint32
	hasSSRC     bool

	serverPorts [2]uint16 // RTP, RTCP, of the camera; 0: not said

	multicast   bool
	destination netip.Addr // the group
	groupPorts  [2]uint16
	ttl         int
}

// parseTransport takes parameters in any order, with blanks around them
// (Hikvision: "ssrc= d6d6627").
func parseTransport(v string) transportAnswer {
	var t transportAnswer
	v, _, _ = strings.Cut(v, ",") // one of them is the answer; a list is a camera echoing its abilities
	for p := range strings.SplitSeq(v, ";") {
		name, value, _ := strings.Cut(p, "=")
		value = strings.TrimSpace(value)
		switch name := strings.ToLower(strings.TrimSpace(name)); name {
		case "interleaved":
			first, second, pair := strings.Cut(value, "-")
			a, err := strconv.ParseUint(strings.TrimSpace(first), 10, 8)
			if err != nil || a == 255 {
				continue
			}
			b, err := strconv.ParseUint(strings.TrimSpace(second), 10, 8)
			if !pair || err != nil || a == b {
				b = a + 1
			}
			t.interleaved, t.channels = true, [2]uint8{uint8(a), uint8(b)}
		case "client_port", "server_port", "port":
			t.datagrams = !strings.Contains(strings.ToUpper(v), "/TCP")
			switch ports := parsePorts(value); name {
			case "server_port":
				t.serverPorts = ports
			case "port":
				t.groupPorts = ports
			}
		case "multicast":
			t.multicast = true
		case "destination":
			if a, err := netip.ParseAddr(strings.Trim(value, `"[]`)); err == nil {
				t.destination = a.Unmap()
			}
		case "ttl":
			if n, err := strconv.Atoi(value); err == nil && n > 0 && n < 256 {
				t.ttl = n
			}
		case "ssrc":
			if n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(value), "0x"), 16, 32); err == nil {
				t.ssrc, t.hasSSRC = uint32(n), true
			}
		}
	}
	return t
}

// parsePorts reads "5000-5001", or "5000", which means the same.
func parsePorts(v string) (p [2]uint16) {
	first, second, _ := strings.Cut(v, "-")
	a, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	if err != nil || a == 0 {
		return p
	}
	b, err := strconv.ParseUint(strings.TrimSpace(second), 10, 16)
	if err != nil || b == 0 || a == b {
		b = a + 1 // 65536 is 0: not said
	}
	return [2]uint16{uint16(a), uint16(b)}
}

// RTPInfo is what the PLAY answer says about the first packet of a track
// (RFC 2326 §12.33). It is a hint: cameras write 0 or -1 when they don't know,
// and some write what is not so.
type RTPInfo struct {
	Valid   bool
	Seq     uint16
	RTPTime uint32
}

// parseRTPInfo sorts the entries to the tracks by the end of their URL, or by
// their order where the URLs tell nothing.
func parseRTPInfo(v string, tracks []string) []RTPInfo {
	infos := make([]RTPInfo, len(tracks))
	for i, entry := range splitQuoted(v, ',') {
		var info RTPInfo
		var url string
		var seqOK, timeOK bool
		for p := range strings.SplitSeq(entry, ";") {
			name, value, _ := strings.Cut(p, "=")
			value = strings.Trim(strings.TrimSpace(value), `"`)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "url":
				url = value
			case "seq":
				n, err := strconv.ParseUint(value, 10, 16)
				info.Seq, seqOK = uint16(n), err == nil && n != 0
			case "rtptime":
				n, err := strconv.ParseUint(value, 10, 32)
				info.RTPTime, timeOK = uint32(n), err == nil && n != 0
			}
		}
		if !seqOK || !timeOK {
			continue
		}
		info.Valid = true
		if t := trackOf(url, i, tracks); t < len(infos) {
			infos[t] = info
		}
	}
	return infos
}

func trackOf(url string, entry int, tracks []string) int {
	if url != "" {
		for t, u := range tracks {
			if u == url || strings.HasSuffix(u, "/"+url[strings.LastIndexByte(url, '/')+1:]) {
				return t
			}
		}
	}
	return entry
}

// splitQuoted splits at sep outside of double quotes.
func splitQuoted(s string, sep byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
