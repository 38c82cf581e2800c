package testkit

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"nvr/internal/media"
	"nvr/internal/simulate/clips"
)

// withVideo makes the camera's video this track.
func withVideo(t func() *Track) func(c *Camera) { return func(c *Camera) { c.Tracks[0] = t() } }

// mjpeg is JPEG of 320 × 240 (RFC 2435). Its scan is not one, but nobody looks
// into it; q is Q, kind the type, tables what stands in the packets.
func mjpeg(kind, q byte, tables []byte, fragment int) func() *Track {
	return func() *Track {
		return &Track{
			Kind: media.Video, Encoding: "JPEG", PT: 26, Clock: 90000, Control: "trackID=0", FPS: 15,
			SSRC: 0x11111111, Sequence: 65500, First: 1_000_000, Marker: true,
			Sound: func(n, conn int) []byte { return sound(n, conn, 900+n%300) },
			Payload: func(u *Unit) []*Packet {
				var ks []*Packet
				for at := 0; at < len(u.Sound); at += fragment {
					b := []byte{0, byte(at >> 16), byte(at >> 8), byte(at), kind, q, 320 / 8, 240 / 8}
					if kind >= 64 {
						b = append(b, 0, 4, 0xff, 0xff) // an interval of 4, whole
					}
					if q >= 128 && at == 0 {
						b = append(b, 0, 0, byte(len(tables)>>8), byte(len(tables)))
						b = append(b, tables...)
					}
					ks = append(ks, u.packet(append(b, u.Sound[at:min(at+fragment, len(u.Sound))]...)))
				}
				return ks
			},
		}
	}
}

// av1 is the temporal units of package simulate's clip, each with a metadata OBU
// that has the number.
func av1(delimiters bool, size int) func() *Track {
	units := temporalUnits(clips.AV1)
	return func() *Track {
		return &Track{
			Kind: media.Video, Encoding: "AV1", PT: 98, Clock: 90000, Control: "trackID=0", FPS: 15,
			SSRC: 0x11111111, Sequence: 65500, First: 1_000_000, Marker: true,
			Sound: func(n, conn int) []byte { return sound(n, conn, 60) },
			Joins: func(n int) bool { return units[n%len(units)].sync },
			Payload: func(u *Unit) []*Packet {
				x := units[u.N%len(units)]
				obus := x.obus
				if delimiters {
					obus = append([][]byte{{2 << 3}}, obus...)
				}
				last := len(obus) - 1 // the number goes in front of the frame
				obus = append(append(append([][]byte(nil), obus[:last]...), append([]byte{5 << 3, 31}, u.Sound...)), obus[last])
				return aggregateOBUs(u, obus, size)
			},
		}
	}
}

type temporalUnit struct {
	obus [][]byte // without sizes and delimiter
	sync bool     // has a sequence header
}

// temporalUnits cuts a low-overhead stream (AV1 §5.2).
func temporalUnits(b []byte) (all []temporalUnit) {
	for len(b) > 0 {
		header, size, n := b[0], uint64(0), 0
		size, n = binary.Uvarint(b[1:]) // leb128 is the same
		body := b[1+n : 1+n+int(size)]
		b = b[1+n+int(size):]
		switch kind := header >> 3 & 0xf; {
		case kind == 2:
			all = append(all, temporalUnit{})
		default:
			u := &all[len(all)-1]
			u.obus = append(u.obus, append([]byte{header &^ 2}, body...))
			u.sync = u.sync || kind == 1
		}
	}
	return all
}

// aggregateOBUs makes packets of the AV1 payload format: an aggregation header,
// and elements behind their lengths (W = 0).
func aggregateOBUs(u *Unit, obus [][]byte, size int) (ks []*Packet) {
	b := []byte{0}
	flush := func(continues bool) {
		if continues {
			b[0] |= 0x40 // Y
		}
		ks = append(ks, u.packet(b))
		b = []byte{0}
		if continues {
			b[0] |= 0x80 // Z
		}
	}
	for _, o := range obus {
		for {
			room := size - len(b) - 2
			if room < 10 && len(b) > 1 {
				flush(false)
				continue
			}
			n := min(room, len(o))
			b = append(binary.AppendUvarint(b, uint64(n)), o[:n]...)
			if o = o[n:]; len(o) == 0 {
				break
			}
			flush(true)
		}
	}
	flush(false)
	if u.Sync {
		ks[0].Payload[0] |= 0x08 // N
	}
	return ks
}

// latm is MP4A-LATM (RFC 6416) of AAC-LC, 16 kHz, one channel; its configuration
// in the SDP, or in each packet.
func latm(inBand bool, config func(string) string) *Track {
	mux := func(w *bitWriter) { // StreamMuxConfig, ISO/IEC 14496-3 §1.7.3
		w.u(1, 0)
		w.u(1, 1)
		w.u(6, 0)
		w.u(4, 0)
		w.u(3, 0)
		w.u(16, 0x1408)
		w.u(3, 0)
		w.u(8, 0xff)
		w.u(1, 0)
		w.u(1, 0)
	}
	var c bitWriter
	mux(&c)
	t := AAC()
	t.Encoding, t.Fmtp = "MP4A-LATM", "profile-level-id=15;object=2;cpresent=0;config="+config(hex.EncodeToString(c.b))
	if inBand {
		t.Fmtp = "profile-level-id=15;object=2;cpresent=1"
	}
	t.Payload = func(u *Unit) []*Packet {
		var w bitWriter
		if inBand {
			w.u(1, 0)
			mux(&w)
		}
		for n := len(u.Sound); ; n -= 255 {
			w.u(8, uint32(min(n, 255)))
			if n < 255 {
				break
			}
		}
		for _, b := range u.Sound {
			w.u(8, uint32(b))
		}
		return []*Packet{u.packet(w.b)}
	}
	return t
}

// codecs is what §5 says of the younger and the rarer ones.
func codecs() []Quirk {
	const s = "5"
	tables := func(n int) []byte {
		b := make([]byte, 64*n)
		for i := range b {
			b[i] = byte(1 + i%63)
		}
		return b
	}
	is := func(codec media.Codec, width, height uint16) func(*Camera, *Result) string {
		return func(_ *Camera, r *Result) string {
			for _, x := range r.Records {
				if x.Track == media.VideoTrack && (x.Params.Codec != codec || x.Params.Width != width || x.Params.Height != height) {
					return fmt.Sprintf("the video is %s", x.Params)
				}
			}
			return ""
		}
	}
	small := is(media.MJPEG, 320, 240)
	same := func(s string) string { return s }
	l16 := func(clock uint32, pt uint8) *Track {
		t := G711("PCMU")
		t.Encoding, t.PT, t.Clock = "L16", pt, clock
		t.Sound = func(n, conn int) []byte { return sound(n, conn, int(clock)/25) }
		return t
	}
	opus := func() *Track {
		t := G711("PCMU")
		t.Encoding, t.PT, t.Clock, t.Channels = "opus", 111, 48000, 2
		t.Sound = func(n, conn int) []byte { return append([]byte{15 << 3}, sound(n, conn, 90+n%40)...) } // one of 20 ms
		return t
	}
	return []Quirk{
		{s, "mjpeg", "many", "JPEG, Q 80, type 1", "makes the tables of Q", 20 * time.Second, withVideo(mjpeg(1, 80, nil, room)), Want{Check: small}},
		{s, "mjpeg-type-0", "some", "JPEG, Q 50, type 0", "as above", 20 * time.Second, withVideo(mjpeg(0, 50, nil, room)), Want{Check: small}},
		{s, "mjpeg-q255", "Axis and many", "Q 255: two tables in each picture", "takes the tables of the packets", 20 * time.Second, withVideo(mjpeg(1, 255, tables(2), room)), Want{Check: small}},
		{s, "mjpeg-q200", "some", "Q 200: tables in each picture", "as above", 20 * time.Second, withVideo(mjpeg(1, 200, tables(2), room)), Want{Check: small}},
		{s, "mjpeg-three-tables", "cameras of gortsplib#1097", "three tables, 192 bytes", "as above", 20 * time.Second, withVideo(mjpeg(1, 255, tables(3), room)), Want{Check: small}},
		{s, "mjpeg-restart", "some", "restart intervals: type 65", "says them in the picture", 20 * time.Second, withVideo(mjpeg(65, 255, tables(2), room)), Want{Check: small}},
		{s, "mjpeg-fragments", "all", "a picture in many packets", "puts it together", 20 * time.Second, withVideo(mjpeg(1, 90, nil, 100)), Want{Check: small}},
		{s, "mjpeg-lost", "any over a bad network", "a packet is lost now and then", "the picture is missing, and no other is flagged", 20 * time.Second,
			both(withVideo(mjpeg(1, 90, nil, 100)), packets(0, func(u *Unit, ks []*Packet) []*Packet {
				ks[4].Lost = u.N%20 == 7
				return ks
			})), Want{Gaps: networkLoss, Missing: func(n int) bool { return n%20 == 7 }}},
		{s, "mjpeg-large", "cameras of more than 2040 pixels", "a width of 0 in the packets, and a=x-dimensions:2592,1944", "takes what the SDP says", 20 * time.Second,
			both(withVideo(func() *Track {
				t := mjpeg(1, 255, tables(2), room)()
				t.Attributes = "a=x-dimensions:2592,1944\r\n"
				return t
			}), packets(0, func(_ *Unit, ks []*Packet) []*Packet {
				for _, k := range ks {
					k.Payload[6], k.Payload[7] = 0, 1944/8
				}
				return ks
			})), Want{Check: is(media.MJPEG, 2592, 1944)}},
		{s, "mjpeg-type-unknown", "some", "type 7", "records nothing, says why", 25 * time.Second, withVideo(mjpeg(7, 80, nil, room)),
			Want{Nothing: true, Gaps: noMedia, AnyDials: true, State: "*", Log: []string{"not supported"}, Notes: []string{"not supported"}}},
		{s, "av1", "Axis", "AV1, temporal units in one packet or several", "records temporal units", 20 * time.Second, withVideo(av1(false, room)), Want{Check: is(media.AV1, 320, 180), AnySync: true}},
		{s, "av1-delimiters", "some", "temporal delimiters in the packets", "drops them", 20 * time.Second, withVideo(av1(true, room)), Want{Check: is(media.AV1, 320, 180), AnySync: true}},
		{s, "av1-fragments", "some", "OBUs in many small packets", "puts them together", 20 * time.Second, withVideo(av1(false, 120)), Want{Check: is(media.AV1, 320, 180), AnySync: true}},
		{s, "latm", "several", "MP4A-LATM, its configuration in the SDP", "stores raw units", 20 * time.Second, withAudio(latm(false, same)), Want{Sound: "aac 16000 Hz"}},
		{s, "latm-in-band", "several", "cpresent=1: the configuration in each packet, the units not on a byte", "as above", 20 * time.Second, withAudio(latm(true, same)), Want{Sound: "aac 16000 Hz"}},
		{s, "latm-empty-config", "cameras of mediamtx#3590", "cpresent=0 and an empty config", "drops the track; the video does not care", 20 * time.Second,
			withAudio(latm(false, func(string) string { return "" })), Want{NoAudio: true, Log: []string{"cannot be stored"}, Never: []string{"trackID=1"}}},
		{s, "opus", "Ubiquiti, WebRTC bridges", "Opus", "stores its packets", 20 * time.Second, withAudio(opus()), Want{Sound: "opus 48000 Hz"}},
		{s, "opus-mono", "some", "opus/48000 without channels, as it must not be", "as above", 20 * time.Second,
			both(withAudio(opus()), describe("opus/48000/2", "opus/48000")), Want{Sound: "opus 48000 Hz"}},
		{s, "l16", "some", "L16 of 16 kHz", "stores it as it is", 20 * time.Second, withAudio(l16(16000, 98)), Want{Sound: "l16 16000 Hz"}},
		{s, "l16-static", "some", "payload type 11 without a=rtpmap: L16 of 44.1 kHz", "the static table says what it is", 20 * time.Second,
			func(c *Camera) {
				t := l16(44100, 11)
				t.Encoding = ""
				c.Tracks = append(c.Tracks, t)
			}, Want{Sound: "l16 44100 Hz"}},
		{s, "codec-unknown-video", "none", "VP8 beside A-law", "records the sound, says why not the video", 20 * time.Second,
			both(withAudio(G711("PCMA")), func(c *Camera) {
				c.SDP = func(d string) string { return strings.Replace(d, "H264/90000", "VP8/90000", 1) }
				c.Tracks[0].BackChannel = true
			}), Want{Log: []string{"cannot be stored"}, Never: []string{"trackID=0"}}},
	}
}
