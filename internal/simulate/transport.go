package simulate

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// transport is where a track goes: interleaved channels, or the client's UDP
// ports. RTCP has the number behind RTP's unless the client says otherwise.
type transport struct {
	udp       bool
	multicast bool
	group     netip.Addr // of multicast
	rtp, rtcp uint16     // channels or ports
}

// parseTransport takes the first alternative of a Transport header that can be
// had: RFC 2326 §12.39. A client that leaves the channels to us gets free.
func parseTransport(header string, free uint16, had func(transport) bool) (transport, bool) {
	for spec := range strings.SplitSeq(header, ",") {
		if t, ok := parseTransportSpec(spec, free); ok && had(t) {
			return t, true
		}
	}
	return transport{}, false
}

func parseTransportSpec(spec string, free uint16) (t transport, ok bool) {
	params := strings.Split(strings.TrimSpace(spec), ";")
	switch strings.ToUpper(params[0]) {
	case "RTP/AVP/TCP":
		t = transport{rtp: free, rtcp: free + 1}
	case "RTP/AVP", "RTP/AVP/UDP":
		t.udp = true
	default:
		return t, false
	}
	for _, p := range params[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		switch strings.ToLower(name) {
		case "multicast":
			if t.multicast = t.udp; !t.udp {
				return t, false
			}
		case "mode":
			if !strings.EqualFold(strings.Trim(value, `"`), "play") {
				return t, false
			}
		case "interleaved":
			if t.udp {
				return t, false
			}
			if t.rtp, t.rtcp, ok = parsePair(value, 255); !ok {
				return t, false
			}
		case "client_port":
			if !t.udp {
				return t, false
			}
			if t.rtp, t.rtcp, ok = parsePair(value, 65535); !ok {
				return t, false
			}
		}
	}
	if t.multicast { // whose ports are not the client's to choose
		t.rtp, t.rtcp = 0, 0
		return t, true
	}
	if t.udp && t.rtp == 0 {
		return t, false
	}
	return t, true
}

// parsePair reads "4-5", or "4", which means the same.
func parsePair(s string, limit uint64) (a, b uint16, ok bool) {
	first, second, both := strings.Cut(s, "-")
	x, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	y := x + 1
	if both && err == nil {
		y, err = strconv.ParseUint(strings.TrimSpace(second), 10, 16)
	}
	return uint16(x), uint16(y), err == nil && x <= limit && y <= limit && x != y
}

// header is the Transport line of the answer.
func (t transport) header(serverPort int, ssrc uint32) string {
	if t.multicast {
		return fmt.Sprintf("RTP/AVP;multicast;destination=%s;port=%d-%d;ttl=1", t.group, t.rtp, t.rtcp)
	}
	if t.udp {
		return fmt.Sprintf("RTP/AVP;unicast;client_port=%d-%d;server_port=%d-%d;ssrc=%08X", t.rtp, t.rtcp, serverPort, serverPort+1, ssrc)
	}
	return fmt.Sprintf("RTP/AVP/TCP;unicast;interleaved=%d-%d;ssrc=%08X", t.rtp, t.rtcp, ssrc)
}

// clashes reports whether two tracks would be mixed up, or go two ways.
func (t transport) clashes(o transport) bool {
	if t.multicast || o.multicast {
		return t.multicast != o.multicast
	}
	return t.udp == o.udp && (t.rtp == o.rtp || t.rtp == o.rtcp || t.rtcp == o.rtp || t.rtcp == o.rtcp)
}
