package ingest

import (
	"fmt"
	"strings"
	"testing"

	"nvr/internal/ingest/rtsp"
)

func TestChoose(t *testing.T) {
	c := New(Options{Stream: testStream, Audio: true}, newShelf())
	f := func(pt uint8, e string, rate uint32, params ...string) rtsp.Format {
		m := map[string]string{}
		for i := 0; i+1 < len(params); i += 2 {
			m[params[i]] = params[i+1]
		}
		return rtsp.Format{PayloadType: pt, Encoding: e, ClockRate: rate, Params: m}
	}
	for _, x := range []struct {
		name   string
		medias []rtsp.Media
		want   string
	}{
		{"video and audio", []rtsp.Media{{Type: "video", Formats: []rtsp.Format{f(96, "H264", 90000)}}, {Type: "audio", Formats: []rtsp.Format{f(8, "PCMA", 8000)}}}, "0 h264 [96], 1 pcma 8000 Hz [8]"},
		{"back channel, metadata, second video", []rtsp.Media{
			{Type: "audio", BackChannel: true, Formats: []rtsp.Format{f(0, "PCMU", 8000)}},
			{Type: "application", Formats: []rtsp.Format{f(107, "VND.ONVIF.METADATA", 90000)}},
			{Type: "video", Formats: []rtsp.Format{f(97, "VP8", 90000), f(98, "H265", 90000), f(99, "H265", 90000)}},
			{Type: "video", Formats: []rtsp.Format{f(96, "H264", 90000)}}}, "2 h265 [98 99]"},
		{"AAC without config", []rtsp.Media{{Type: "audio", Formats: []rtsp.Format{f(97, "MPEG4-GENERIC", 16000)}}}, "0 aac 16000 Hz [97]"},
		{"AAC with rubbish for config", []rtsp.Media{{Type: "audio", Formats: []rtsp.Format{f(97, "MPEG4-GENERIC", 8000, "config", "08zz")}}}, "0 aac 8000 Hz [97]"},
		{"AAC of object type 1", []rtsp.Media{{Type: "audio", Formats: []rtsp.Format{f(97, "MPEG4-GENERIC", 8000, "config", "0c08")}}}, "0 aac 8000 Hz [97]"},
		{"G.726 is skipped, the second audio is taken", []rtsp.Media{
			{Type: "audio", Formats: []rtsp.Format{f(97, "G726-32", 8000)}},
			{Type: "audio", Formats: []rtsp.Format{f(0, "PCMU", 0)}}}, "1 pcmu 8000 Hz [0]"},
		{"AV1 and Opus", []rtsp.Media{{Type: "video", Formats: []rtsp.Format{f(96, "AV1", 90000)}}, {Type: "audio", Formats: []rtsp.Format{f(97, "OPUS", 48000)}}}, "0 av1 [96], 1 opus 48000 Hz [97]"},
		{"JPEG and L16", []rtsp.Media{{Type: "video", Formats: []rtsp.Format{f(26, "JPEG", 90000)}}, {Type: "audio", Formats: []rtsp.Format{f(11, "L16", 44100)}}}, "0 mjpeg [26], 1 l16 44100 Hz [11]"},
		{"LATM with its configuration in the SDP", []rtsp.Media{{Type: "audio", Formats: []rtsp.Format{f(97, "MP4A-LATM", 90000, "cpresent", "0", "config", "400028103fc0")}}}, "0 aac 16000 Hz [97]"},
		{"LATM with its configuration in band", []rtsp.Media{{Type: "audio", Formats: []rtsp.Format{f(97, "MP4A-LATM", 16000)}}}, "0 aac 16000 Hz [97]"},
		{"LATM without any is skipped", []rtsp.Media{
			{Type: "audio", Formats: []rtsp.Format{f(97, "MP4A-LATM", 16000, "cpresent", "0", "config", "")}},
			{Type: "audio", Formats: []rtsp.Format{f(98, "MP4A-LATM", 16000, "cpresent", "0", "config", "ffff")}},
			{Type: "audio", Formats: []rtsp.Format{f(99, "MP4A-LATM", 0)}},
			{Type: "audio", Formats: []rtsp.Format{f(0, "PCMU", 16000)}}}, "3 pcmu 16000 Hz [0]"},
		{"nothing that can be stored", []rtsp.Media{
			{Type: "video", Formats: []rtsp.Format{f(96, "VP9", 90000)}},
			{Type: "audio", Formats: []rtsp.Format{f(9, "G722", 8000), f(4, "G723", 8000), f(97, "G726-16", 8000), f(98, "AAL2-G726-32", 8000), f(99, "SPEEX", 16000)}}}, ""},
		{"nothing", nil, ""},
	} {
		var got []string
		for _, p := range c.pick(x.medias) {
			got = append(got, fmt.Sprintf("%d %s %v", p.media, p.name, p.types))
		}
		if s := strings.Join(got, ", "); s != x.want {
			t.Errorf("%s: %q, want %q", x.name, s, x.want)
		}
	}
}

func TestDimensions(t *testing.T) {
	for _, c := range []struct {
		key, value string
		w, h       int
	}{
		{"x-dimensions", "2592,1944", 2592, 1944},
		{"x-dimensions", " 2592, 1944 ", 2592, 1944},
		{"framesize", "2592-1944", 2592, 1944},
		{"x-dimensions", "2592", 0, 0},
		{"x-dimensions", "2592,-3", 0, 0},
		{"x-dimensions", "99999999999999999999,5", 0, 0},
		{"other", "1,2", 0, 0},
	} {
		if w, h := dimensions(&rtsp.Format{Params: map[string]string{c.key: c.value}}); w != c.w || h != c.h {
			t.Errorf("%s=%s: %dx%d", c.key, c.value, w, h)
		}
	}
}
