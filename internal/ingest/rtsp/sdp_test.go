package rtsp

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nvr/internal/testkit"
)

var sdpCases = []struct {
	name     string
	sdp      string
	want     []string // a line for each media
	control  string
	warnings int
}{
	{name: "a good camera", sdp: simpleSDP, want: []string{
		"video 96 H264/90000/0 map[packetization-mode:1] @trackID=0", "audio 8 PCMA/8000/1 map[] @trackID=1"}},
	{name: "only m= and a=, LF, NUL at the end", sdp: "a=control:*\nm=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=control:t0\n\x00", control: "*",
		want: []string{"video 96 H265/90000/0 map[] @t0"}},
	{name: "IPCAM/H264DVR: trailing blanks, framerate twice", sdp: "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000 \r\na=framerate:0S\r\na=framerate:25\r\na=control:t \r\n",
		want: []string{"video 96 H264/90000/0 map[] @t 25 fps"}},
	{name: "macro-video, Uniarch: broken o= and c=", sdp: "v=0\r\no=- 1001 1 IN\r\nc=IN\r\nm=video 0 RTP/AVP 26\r\n", want: []string{"video 26 JPEG/90000/0 map[] @"}},
	{name: "Symynelec: rubbish port", sdp: "m=video -1353744643 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", want: []string{"video 96 H264/90000/0 map[] @"}},
	{name: "no port", sdp: "m=audio RTP/AVP 0\r\na=rtpmap:97 mpeg4-generic/16000/1\r\n", want: []string{"audio 97 MPEG4-GENERIC/16000/1 map[], 0 PCMU/8000/1 map[] @"}},
	{name: "TP-Link, Mercury, BZBGEAR: unknown media", sdp: "m=application/TP-LINK 0 RTP/AVP smart/1/90000\r\na=rtpmap:95 TP-LINK/90000\r\nm=vana 0 RTP/AVP 96\r\nm=metadata 0 RTP/AVP 97\r\nm=\r\n" +
		"m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n", want: []string{"application 107 VND.ONVIF.METADATA/90000/0 map[] @"}, warnings: 4},
	{name: "Dahua: several payload types, one without rtpmap", sdp: "m=video 0 RTP/AVP 98 96\r\na=rtpmap:96 H264/90000\r\n", want: []string{"video 96 H264/90000/0 map[] @"}},
	{name: "no rtpmap at all", sdp: "m=video 0 RTP/AVP 96\r\nm=audio 0 RTP/AVP 0\r\n", want: []string{"audio 0 PCMU/8000/1 map[] @"}, warnings: 1},
	{name: "not RTP, encrypted RTP, no payload type", sdp: "m=video 0 udp 33\r\nm=video 0 RTP/SAVP 26\r\nm=video 0 RTP/AVP\r\nm=audio 0 RTP/AVP 300\r\n", warnings: 4},
	{name: "rtpmap wins over the static table", sdp: "m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMU/16000/2\r\n", want: []string{"audio 8 PCMU/16000/2 map[] @"}},
	{name: "no clock rate", sdp: "m=video 0 RTP/AVP 96\na=rtpmap:96 H264\nm=audio 0 RTP/AVP 97\na=rtpmap:97 PCMA/x\n",
		want: []string{"video 96 H264/90000/0 map[] @", "audio 97 PCMA/8000/1 map[] @"}},
	{name: "Ubiquiti: two audio media of one type, empty fmtp", sdp: "m=audio 0 RTP/AVP 96\na=rtpmap:96 MPEG4-GENERIC/16000/1\na=fmtp:96 streamtype=5; Config=1408;flag; sizeLength = 13;\n" +
		"m=audio 0 RTP/AVP 96\na=rtpmap:96 OPUS/48000/2\na=fmtp:96\na=fmtp:\na=fmtp:x y=z\n",
		want: []string{"audio 96 MPEG4-GENERIC/16000/1 map[config:1408 flag: sizelength:13 streamtype:5] @", "audio 96 OPUS/48000/2 map[] @"}},
	{name: "sizes of JPEG pictures over 2040 (Axis, GStreamer; 3GPP)", sdp: "m=video 0 RTP/AVP 26\na=x-dimensions:2592,1944\nm=video 0 RTP/AVP 26 96\na=rtpmap:96 JPEG/90000\na=fmtp:96 a=b;x-dimensions=1,2\na=framesize:26 4000-3000\n",
		want: []string{"video 26 JPEG/90000/0 map[x-dimensions:2592,1944] @", "video 26 JPEG/90000/0 map[x-dimensions:4000-3000], 96 JPEG/90000/0 map[a:b x-dimensions:1,2] @"}},
	{name: "values with equal signs", sdp: "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=4D0029;sprop-parameter-sets=Z00AKQ==,aO48gA==\n",
		want: []string{"video 96 H264/90000/0 map[profile-level-id:4D0029 sprop-parameter-sets:Z00AKQ==,aO48gA==] @"}},
	{name: "back channel", sdp: "m=video 0 RTP/AVP 26\nm=audio 0 RTP/AVP 0\na=recvonly\nm=audio 0 RTP/AVP 0 8\na=sendonly\n",
		want: []string{"video 26 JPEG/90000/0 map[] @", "audio 0 PCMU/8000/1 map[] @", "audio 0 PCMU/8000/1 map[], 8 PCMA/8000/1 map[] @ back"}},
	{name: "all of it sendonly", sdp: "m=video 0 RTP/AVP 26\na=sendonly\nm=audio 0 RTP/AVP 0\na=sendonly\n",
		want: []string{"video 26 JPEG/90000/0 map[] @", "audio 0 PCMU/8000/1 map[] @"}},
	{name: "a control that would break a request", sdp: "m=video 0 RTP/AVP 26\na=control:a\rb: c\n", warnings: 1},
	{name: "too many media", sdp: strings.Repeat("m=video 0 RTP/AVP 26\n", maxMedia+1) + "a=control:x\n",
		want: slices.Repeat([]string{"video 26 JPEG/90000/0 map[] @"}, maxMedia), warnings: 1},
	{name: "as many attributes as may be", sdp: "m=video 0 RTP/AVP 26\n" + strings.Repeat("a=x\n", maxAttributes-1) + "a=control:in\n", want: []string{"video 26 JPEG/90000/0 map[] @in"}},
	{name: "too many attributes", sdp: "m=video 0 RTP/AVP 26\n" + strings.Repeat("a=x\n", maxAttributes) + "a=control:out\n", want: []string{"video 26 JPEG/90000/0 map[] @"}, warnings: 1},
	{name: "empty"},
	{name: "not SDP", sdp: "<html>no</html>"},
}

func describeMedia(m Media) string {
	var formats []string
	for _, f := range m.Formats {
		formats = append(formats, fmt.Sprintf("%d %s/%d/%d %v", f.PayloadType, f.Encoding, f.ClockRate, f.Channels, f.Params))
	}
	s := m.Type + " " + strings.Join(formats, ", ") + " @" + m.Control
	if m.FrameRate != 0 {
		s += fmt.Sprintf(" %g fps", m.FrameRate)
	}
	if m.BackChannel {
		s += " back"
	}
	return s
}

func TestParseSDP(t *testing.T) {
	for _, tt := range sdpCases {
		d, warnings := parseSDP(tt.sdp)
		var got []string
		for _, m := range d.medias {
			got = append(got, describeMedia(m))
		}
		if !reflect.DeepEqual(got, tt.want) || d.control != tt.control || len(warnings) != tt.warnings {
			t.Errorf("%s:\n%s\ncontrol %q, warnings %q", tt.name, strings.Join(got, "\n"), d.control, warnings)
		}
	}
}

func FuzzParseSDP(f *testing.F) {
	for _, tt := range sdpCases {
		f.Add(tt.sdp)
	}
	for _, s := range testkit.Seeds() {
		f.Add(s.SDP)
	}
	f.Fuzz(func(t *testing.T, sdp string) {
		d, warnings := parseSDP(sdp)
		if len(d.medias) > maxMedia || len(warnings) > maxMedia || hasControl(d.control) {
			t.Fatalf("%d media, %d warnings, control %q", len(d.medias), len(warnings), d.control)
		}
		for _, m := range d.medias {
			if len(m.Formats) == 0 || hasControl(m.Control) {
				t.Fatalf("unusable: %+v", m)
			}
			for _, f := range m.Formats {
				if f.PayloadType > 127 || f.Encoding == "" || f.ClockRate == 0 || len(f.Params) > maxAttributes {
					t.Fatalf("unusable: %+v", f)
				}
			}
		}
	})
}
