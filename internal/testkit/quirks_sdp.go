package testkit

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"nvr/internal/media"
)

// sdp is the first half of §1: what a description does to be misunderstood.
func sdp() []Quirk {
	const s = "1"
	drop := func(words ...string) func(c *Camera) { // takes lines away
		return func(c *Camera) {
			c.SDP = func(d string) string {
				var b strings.Builder
				for line := range strings.Lines(d) {
					keep := true
					for _, w := range words {
						keep = keep && !strings.HasPrefix(line, w)
					}
					if keep {
						b.WriteString(line)
					}
				}
				return b.String()
			}
		}
	}
	add := func(section string) func(c *Camera) { // a section behind the others
		return func(c *Camera) { c.SDP = func(d string) string { return d + section } }
	}
	before := func(section string) func(c *Camera) { // and before them
		return func(c *Camera) {
			c.SDP = func(d string) string { return strings.Replace(d, "m=video", section+"m=video", 1) }
		}
	}
	var tooMany strings.Builder
	for i := range 40 {
		fmt.Fprintf(&tooMany, "m=application 0 RTP/AVP %d\r\na=rtpmap:%d smart/1/90000\r\n", 97+i%20, 97+i%20)
	}
	return []Quirk{
		{s, "port-negative", "Symynelec C5 (Tuya)", "m=video -1353744643, and a c= line that is rubbish", "ignores the port, and all lines but m= and a=", 0,
			describe("m=video 0", "m=video -1353744643", "c=IN IP4 0.0.0.0", "c=IN IP4 \x80\xff"), Want{}},
		{s, "port-missing", "some", "no port in the m= line", "as above", 0, describe("m=video 0", "m=video"), Want{}},
		{s, "no-o-line", "macro-video", "no o= line", "as above", 0, drop("o="), Want{}},
		{s, "o-line-cut", "Uniarch", "o=- 1001 1 IN, and c=IN, cut short", "as above", 0,
			describe("o=- 1 1 IN IP4 192.0.2.1", "o=- 1001 1 IN", "c=IN IP4 0.0.0.0", "c=IN"), Want{}},
		{s, "only-m-and-a", "some", "an SDP of m= and a= lines with LF alone, and a NUL at its end", "as above", 0,
			func(c *Camera) {
				c.SDP = func(d string) string {
					return strings.ReplaceAll(d[strings.Index(d, "m="):], "\r\n", "\n") + "\x00"
				}
			}, Want{}},
		{s, "sdp-nul", "some", "a NUL after the SDP, counted by Content-Length", "trims it", 0, add("\x00\x00"), Want{}},
		{s, "rtpmap-blank", "IPCAM, H264DVR", "a=rtpmap:96 H264/90000 with a blank behind it, a=framerate:0S twice", "trims; ignores the frame rate", 0,
			describe("H264/90000\r\n", "H264/90000 \r\na=framerate:0S\r\na=framerate:0S\r\n"), Want{}},
		{s, "rtpmap-bare", "some", "a=rtpmap:96 H264 without a clock rate", "takes 90 kHz", 0, describe("H264/90000", "H264"), Want{}},
		{s, "rtpmap-lower", "some", "a=rtpmap:96 h264/90000", "does not care for the case", 0, describe("H264/90000", "h264/90000"), Want{}},
		{s, "section-tp-link", "TP-Link, Mercury, Vicon", "m=application/TP-LINK 0 RTP/AVP smart/1/90000", "drops that section with one warning", 0,
			add("m=application/TP-LINK 0 RTP/AVP smart/1/90000\r\na=rtpmap:95 TP-LINK/90000\r\na=control:track3\r\n"), Want{Log: []string{"section dropped"}}},
		{s, "section-vana", "Vicon", "m=vana", "drops that section", 0, add("m=vana 0 RTP/AVP 107\r\na=rtpmap:107 vnd.vana/90000\r\na=control:track3\r\n"), Want{Log: []string{"section dropped"}}},
		{s, "section-metadata", "UDP Technology", "m=metadata", "drops that section", 0, add("m=metadata 0 RTP/AVP 107\r\na=control:track3\r\n"), Want{Log: []string{"section dropped"}}},
		{s, "section-meta-first", "BZBGEAR", "m=meta before the video", "drops that section", 0, before("m=meta 0 RTP/AVP 107\r\na=control:track3\r\n"), Want{Log: []string{"section dropped"}}},
		{s, "section-vzinfo", "some", "m=vzinfo without payload types", "drops that section", 0, add("m=vzinfo 0 RTP/AVP\r\n"), Want{Log: []string{"section dropped"}}},
		{s, "section-empty", "some", "m= and nothing behind it", "drops that section", 0, add("m=\r\na=control:track3\r\n"), Want{Log: []string{"section dropped"}}},
		{s, "section-onvif", "Axis and many", "application/vnd.onvif.metadata beside the video", "leaves it alone: no SETUP", 0,
			add("m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:trackID=9\r\na=recvonly\r\n"), Want{Never: []string{"trackID=9"}}},
		{s, "sections-40", "none yet", "forty sections", "reads 32 of them", 0, add(tooMany.String()), Want{Log: []string{"more than 32 media"}}},
		{s, "types-several", "Dahua", "m=video 0 RTP/AVP 98 96, and one a=rtpmap", "takes the first type that has a coding", 0,
			describe("RTP/AVP 96", "RTP/AVP 98 96"), Want{}},
		{s, "types-two-h264", "Dahua", "two payload types of H.264, packets of the second", "takes either", 0,
			describe("RTP/AVP 96", "RTP/AVP 98 96", "a=rtpmap:96", "a=rtpmap:98 H264/90000\r\na=rtpmap:96"), Want{}},
		{s, "type-wrong", "some", "packets of a type that the SDP does not list", "believes the packets after a hundred of them", 20 * time.Second,
			describe("RTP/AVP 96", "RTP/AVP 35", "rtpmap:96", "rtpmap:35", "fmtp:96", "fmtp:35"), Want{Missing: span(0, 30), Maybe: span(30, 60)}},
		{s, "ubiquiti-audio", "Ubiquiti", "two sounds under the same payload type, an empty a=fmtp:96", "tells them by channel; takes the first that it can store", 0,
			func(c *Camera) {
				a, b := AAC(), AAC()
				a.PT, b.PT, b.Encoding, b.Clock, b.Fmtp, b.Control = 96, 96, "G726-32", 8000, " ", "trackID=2"
				c.Tracks = append(c.Tracks, b, a)
				a.Control, b.Control = "trackID=1", "trackID=2"
			}, Want{Sound: "aac 16000 Hz", Log: []string{"cannot be stored"}}},
		{s, "aac-no-config", "several", "AAC without config", "derives it from the rate; the video does not care", 0,
			both(withAudio(AAC()), describe("config=1408", "x=1")), Want{Sound: "aac 16000 Hz"}},
		{s, "aac-bad-config", "several", "AAC whose config is no hexadecimal", "as above", 0, both(withAudio(AAC()), describe("config=1408", "config=zz")), Want{Sound: "aac 16000 Hz"}},
		{s, "aac-pt0", "several", "m=audio RTP/AVP 0 and MPEG4-GENERIC mapped to it", "a=rtpmap counts", 0,
			both(withAudio(AAC()), func(c *Camera) { c.Tracks[1].PT = 0 }), Want{Sound: "aac 16000 Hz"}},
		{s, "back-channel-mpeg4", "several", "a back channel of MPEG4-GENERIC without a=fmtp", "leaves it alone; it costs nothing else", 0,
			func(c *Camera) {
				b := AAC()
				b.PT, b.Fmtp, b.Control, b.BackChannel, b.Attributes = 98, "", "trackID=5", true, "a=sendonly\r\n"
				c.Tracks = append(c.Tracks, AAC(), b)
			}, Want{Sound: "aac 16000 Hz"}},
		{s, "sdp-changes", "some", "after a reboot a video section without a=rtpmap, until the encoder is up", "asks again, with pauses", 20 * time.Second,
			func(c *Camera) {
				c.Edit = func(p *Peer, r *Request, a *Reply) {
					if r.Method == "DESCRIBE" && r.N <= 3 {
						a.Body = strings.Replace(a.Body, "a=rtpmap:96 H264/90000\r\n", "", 1)
					}
				}
			}, Want{Gaps: cameraError, Dials: [2]int{4, 4}}},
		{s, "sdp-empty", "some", "an empty SDP for a while", "asks again, with pauses", 20 * time.Second,
			edit("DESCRIBE", func(_ *Peer, r *Request, a *Reply) {
				if r.N <= 2 {
					a.Body = ""
				}
			}), Want{Gaps: cameraError, Dials: [2]int{3, 3}}},
	}
}

// sets is the other half of §1: parameter sets.
func sets() []Quirk {
	const s = "1"
	sprop := func(f func(sps, pps []byte) string) func(c *Camera) {
		return func(c *Camera) {
			t := c.Tracks[0]
			t.Fmtp = "packetization-mode=1;sprop-parameter-sets=" + f(t.Clip.Sets[0], t.Clip.Sets[1])
		}
	}
	b64 := base64.StdEncoding.EncodeToString
	outOfBand := func(c *Camera) { c.Tracks[0].InBand = false }
	night := func(from, until int, name string) func(c *Camera) {
		return func(c *Camera) {
			t, day, other := c.Tracks[0], c.Tracks[0].Clip, clipNamed(name)
			t.Show = func(n int) *Clip {
				if n >= from && n < until {
					return other
				}
				return day
			}
		}
	}
	setBytes := func(f func(u *Unit, set []byte) []byte) func(c *Camera) { // changes the SPS in band
		return unit(0, func(u *Unit) {
			if len(u.Sets) == 0 {
				return
			}
			var l [][]byte
			for i, set := range u.Sets {
				if i == len(u.Sets)-2 {
					set = f(u, bytes.Clone(set))
				}
				l = append(l, set)
			}
			u.Sets = l
		})
	}
	return []Quirk{
		{s, "sprop-none", "Hikvision NVR, HIK Media Server V3.5", "no sprop-parameter-sets; the sets are in band", "records from the first picture that has them", 0,
			func(c *Camera) { c.Tracks[0].Fmtp = "packetization-mode=1" }, Want{}},
		{s, "sprop-none-h265", "Hikvision", "the same, H.265, without a=fmtp", "as above", 0, both(h265, func(c *Camera) { c.Tracks[0].Fmtp = "" }), Want{}},
		{s, "sprop-empty", "many", "sprop-parameter-sets= is empty", "ignores it", 0, sprop(func(_, _ []byte) string { return "" }), Want{}},
		{s, "sprop-sps-only", "many", "sprop-parameter-sets has an SPS, a comma, and no PPS", "ignores what is missing", 0,
			sprop(func(sps, _ []byte) string { return b64(sps) + "," }), Want{}},
		{s, "sprop-rubbish", "some", "sprop-parameter-sets is no base64", "ignores it", 0, sprop(func(_, _ []byte) string { return "%%%,???" }), Want{}},
		{s, "sprop-annex-b", "GW Security GW4089IP", "start codes before the sets, a start code behind the PPS, a wrong profile-level-id; nothing in band", "strips them", 0,
			both(outOfBand, sprop(func(sps, pps []byte) string {
				code := []byte{0, 0, 0, 1}
				return b64(append(bytes.Clone(code), sps...)) + "," + b64(append(append(bytes.Clone(code), pps...), code...)) + ";profile-level-id=ffffff"
			})), Want{}},
		{s, "sprop-not-sps", "YGTek", "what stands where the SPS should is none; the sets are in band", "ignores it", 0,
			sprop(func(_, pps []byte) string { return b64([]byte{0x27}) + "," + b64(pps) }), Want{}},
		{s, "sprop-other", "some", "the sets of the SDP are those of another resolution; in band are the right ones", "in band wins", 0,
			sprop(func(_, _ []byte) string { return base64Sets(clipNamed("slices.h264").Sets) }), Want{}},
		{s, "sets-in-sdp-only", "Axis, rpiCamera", "sets in the SDP and never in band", "takes those of the SDP", 0, outOfBand, Want{}},
		{s, "sets-in-sdp-only-h265", "Axis", "the same, H.265", "as above", 0, both(h265, outOfBand), Want{}},
		{s, "sets-never", "some", "no sets at all for 20 s", "says so, begins again, and records when they come", 60 * time.Second,
			both(func(c *Camera) { c.Tracks[0].Fmtp = "" }, unit(0, func(u *Unit) {
				if u.N < 300 {
					u.Sets = nil
				}
			})), Want{Missing: span(0, 300), Gaps: []media.Reason{media.ReasonNoMedia}, Dials: [2]int{2, 4}}},
		{s, "sps-tail", "Reolink Video Doorbell", "extra bytes behind the SPS", "reads what it needs", 0,
			both(func(c *Camera) { c.Tracks[0].Fmtp = "" }, setBytes(func(_ *Unit, set []byte) []byte { return append(set, 0, 0, 3, 0, 0, 3, 1) })), Want{AnySets: true}},
		{s, "sps-h265-lists", "Reolink", "H.265 with scaling lists and sub-layers", "reads the size, and no more than it needs", 0, video("lists.h265"), Want{}},
		{s, "sps-h265-rubbish", "Tenda CP3PRO, Yi Pro 2K", "H.265 whose SPS is unreadable behind the size", "as above", 0,
			both(h265, func(c *Camera) { c.Tracks[0].Fmtp = "" }, setBytes(func(_ *Unit, set []byte) []byte {
				for i := len(set) - 8; i < len(set); i++ {
					set[i] = 0xaa
				}
				return set
			})), Want{AnySets: true}},
		{s, "day-night", "any", "another resolution from an IDR on, and back again", "a new sample entry from that picture on, in the same run", 12 * time.Second,
			night(60, 120, "slices.h264"), Want{}},
		{s, "day-night-h265", "any", "the same, H.265", "as above", 12 * time.Second, both(h265, night(60, 120, "bframes.h265")), Want{Off: time.Second}},
		{s, "sps-flips", "some", "the SPS changes by harmless bytes with every GOP", "goes on: same run, no storm of sample entries", 20 * time.Second,
			setBytes(func(u *Unit, set []byte) []byte {
				if u.N/30%2 == 1 {
					set = append(set, 0x00, 0x00, 0x03)
				}
				return set
			}), Want{AnySets: true}},
	}
}
