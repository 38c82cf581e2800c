package testkit

import (
	"strings"
	"time"

	"nvr/internal/media"
)

const hour = 3600 * 90000 // ticks

// edit changes the answers to one method.
func edit(method string, f func(p *Peer, r *Request, a *Reply)) func(c *Camera) {
	return func(c *Camera) {
		before := c.Edit
		c.Edit = func(p *Peer, r *Request, a *Reply) {
			if before != nil {
				before(p, r, a)
			}
			if r.Method == method {
				f(p, r, a)
			}
		}
	}
}

// on answers one method by itself, where f says so.
func on(method string, f func(p *Peer, r *Request) bool) func(c *Camera) {
	return func(c *Camera) {
		c.On = func(p *Peer, r *Request) bool { return r.Method == method && f(p, r) }
	}
}

// status makes an answer an error without more.
func (a *Reply) status(code int, reason string) { a.Code, a.Reason, a.Body = code, reason, "" }

// redirect sends the n-th DESCRIBE and all after it elsewhere.
func redirect(to func(r *Request) string) func(c *Camera) {
	return edit("DESCRIBE", func(p *Peer, r *Request, a *Reply) {
		if l := to(r); l != "" {
			a.status(302, "Moved Temporarily")
			a.Set("Location", l)
		}
	})
}

// tracks gives the camera these tracks.
func tracks(f func() []*Track) func(c *Camera) { return func(c *Camera) { c.Tracks = f() } }

// both does one after the other.
func both(fs ...func(c *Camera)) func(c *Camera) {
	return func(c *Camera) {
		for _, f := range fs {
			f(c)
		}
	}
}

// h265 makes the camera's video H.265.
func h265(c *Camera) { c.Tracks[0] = H265() }

// video has the clip of that name.
func video(name string) func(c *Camera) {
	return func(c *Camera) {
		t := H264()
		if strings.HasSuffix(name, "h265") {
			t = H265()
		}
		t.Clip, t.Fmtp = clipNamed(name), ""
		c.Tracks[0] = t
	}
}

// unit changes each unit of a track.
func unit(track int, f func(u *Unit)) func(c *Camera) {
	return func(c *Camera) {
		c.Unit = func(_ *Peer, u *Unit) {
			if u.Index == track {
				f(u)
			}
		}
	}
}

// packets changes the packets of each unit of a track.
func packets(track int, f func(u *Unit, ks []*Packet) []*Packet) func(c *Camera) {
	return func(c *Camera) {
		c.Packets = func(_ *Peer, u *Unit, ks []*Packet) []*Packet {
			if u.Index == track {
				return f(u, ks)
			}
			return ks
		}
	}
}

// describe edits the session description.
func describe(pairs ...string) func(c *Camera) {
	return func(c *Camera) { c.SDP = strings.NewReplacer(pairs...).Replace }
}

// withAudio adds a sound track.
func withAudio(t *Track) func(c *Camera) {
	return func(c *Camera) { c.Tracks = append(c.Tracks, t) }
}

var cameraError = []media.Reason{media.ReasonCamera}

// measured is §0: where a recorder built on a popular library fails. What is
// one row there and several cameras is several entries here.
func measured() []Quirk {
	const s = "0"
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return []Quirk{
		{s, "good", "any", "nothing wrong, H.264", "records it", 0, nil, Want{}},
		{s, "good-h265-aac", "any", "nothing wrong, H.265 and AAC", "records both", 0,
			tracks(func() []*Track { return []*Track{H265(), AAC()} }), Want{Sound: "aac 16000 Hz"}},
		{s, "good-h264-pcma", "any", "nothing wrong, H.264 and A-law, for a minute", "records both", seconds(60),
			withAudio(G711("PCMA")), Want{Sound: "pcma 8000 Hz"}},
		{s, "redirect-loop", "a relay", "302 to itself", "takes it for an error at once, and waits", seconds(10),
			redirect(func(r *Request) string { return r.URI }),
			Want{Nothing: true, Gaps: cameraError, Requests: map[string][2]int{"DESCRIBE": {2, 7}}, Dials: [2]int{2, 7}, Error: "redirect to itself"}},
		{s, "redirect-ring", "a relay", "302 to a path that sends it back", "at most 3 hops", seconds(10),
			redirect(func(r *Request) string {
				if strings.HasSuffix(r.URI, "/a") {
					return "rtsp://192.0.2.1/b"
				}
				return "rtsp://192.0.2.1/a"
			}),
			Want{Nothing: true, Gaps: cameraError, Requests: map[string][2]int{"DESCRIBE": {8, 28}}, AnyDials: true, Error: "redirects"}},
		{s, "jump-10h", "several", "RTP time jumps by ten hours, for good", "joins the new time line to the old; no picture lost, no new run", 0,
			unit(0, func(u *Unit) {
				if u.N >= 40 {
					u.Time += uint32(10 * hour % (1 << 32))
				}
			}), Want{Off: 200 * time.Millisecond}},
		{s, "jump-back", "several", "RTP time steps back by 5 s, for good", "as above", 0,
			unit(0, func(u *Unit) {
				if u.N >= 40 {
					u.Time -= 5 * 90000
				}
			}), Want{Off: 200 * time.Millisecond}},
		{s, "jump-reset", "several", "RTP time begins at 0 again", "as above", 0,
			both(func(c *Camera) { c.Tracks[0].First = 123456789 }, unit(0, func(u *Unit) {
				if u.N >= 40 {
					u.Time = uint32(u.N-40) * 6000
				}
			})), Want{Off: 200 * time.Millisecond}},
		{s, "glitch-h265", "several", "every 2 s one stamp an hour off, H.265", "gives that picture the place between its neighbours", seconds(20),
			both(h265, unit(0, func(u *Unit) {
				if u.N%30 == 17 {
					u.Time += hour
				}
			})), Want{Off: 200 * time.Millisecond}},
		{s, "sei-alone-h265", "Tapo C260", "an SEI behind each picture as a unit with marker, H.265", "adds it to the next picture; every picture is recorded", 0,
			both(h265, packets(0, func(u *Unit, ks []*Packet) []*Packet {
				k := u.packet([]byte{39 << 1, 1, 5, 17, 't', 'a', 'p', 'o', 0x2d, 'c', '2', '6', '0', 1, 2, 3, 4, 5, 6, 7, 8, 0x80})
				k.Marker = true
				return append(ks, k)
			})), Want{}},
		{s, "marker-each-nal", "ustreamer, OBS plug-in, uvgRTP", "the marker on every NAL unit, three slices a picture", "cuts pictures at their first slice", 0,
			both(video("slices.h264"), packets(0, func(u *Unit, ks []*Packet) []*Packet {
				for _, k := range ks {
					if k.Payload[0]&0x1f != 28 || k.Payload[1]&0x40 != 0 {
						k.Marker = true
					}
				}
				return ks
			})), Want{}},
		{s, "options-405", "several", "OPTIONS is answered 405", "goes on to DESCRIBE", 0,
			edit("OPTIONS", func(_ *Peer, _ *Request, a *Reply) { a.status(405, "Method Not Allowed") }), Want{}},
		{s, "options-hangs-up", "several", "OPTIONS is answered by hanging up", "dials again, and asks no more", 0,
			on("OPTIONS", func(p *Peer, _ *Request) bool { p.HangUp(); return true }), Want{Dials: [2]int{2, 2}, Requests: map[string][2]int{"OPTIONS": {1, 1}}}},
		{s, "options-silent", "several", "OPTIONS is never answered", "waits 10 s, dials again, and asks no more", seconds(20),
			on("OPTIONS", func(*Peer, *Request) bool { return true }), Want{Dials: [2]int{2, 2}, Requests: map[string][2]int{"OPTIONS": {1, 1}}}},
		{s, "no-content-type", "several", "DESCRIBE is answered without Content-Type", "reads the SDP all the same", 0,
			edit("DESCRIBE", func(_ *Peer, _ *Request, a *Reply) { a.Set("Content-Type", "") }), Want{}},
		{s, "asc-object-type-1", "several", "AAC whose config says object type 1", "records the sound under what the config says; the video does not care", 0,
			both(withAudio(AAC()), describe("config=1408", "config=0C08")), Want{}},
		{s, "mixed-streams", "Reolink, live555 of 2013", "a stream of another SSRC is mixed into the connection", "keeps the one that SETUP announced", seconds(20),
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				var l []*Packet
				for i, k := range ks {
					sequence := uint16(u.N*50 + i)
					other := &Packet{Payload: append([]byte(nil), k.Payload...), PT: k.PT, Marker: k.Marker, Time: k.Time + 77777, SSRC: 0x99, Sequence: &sequence, Same: true}
					if len(other.Payload) > 30 {
						other.Payload = other.Payload[:30] // its bytes must not get into ours
					}
					l = append(l, k, other)
				}
				return l
			}), Want{Log: []string{"two streams are mixed"}, Maybe: span(0, 4)}},
		{s, "dollar-in-junk", "Canon and others", "junk with dollar signs between frames", "looks for the next frame from the next byte on", 0,
			func(c *Camera) {
				c.Frame = func(_ *Peer, k *Packet, f []byte) []byte {
					if k.Time%7 == 0 {
						f = append([]byte("$\x00\xff\xf0xy$$\x02$\x00\x12\x34garbage$"), f...)
					}
					return f
				}
			}, Want{}},
		{s, "transport-bare", "several", "the answer to SETUP names no channels", "takes those that it asked for", 0,
			edit("SETUP", func(_ *Peer, _ *Request, a *Reply) { a.Set("Transport", "RTP/AVP/TCP;unicast") }), Want{}},
		{s, "transport-missing", "several", "the answer to SETUP has no Transport", "as above", 0,
			edit("SETUP", func(_ *Peer, _ *Request, a *Reply) { a.Set("Transport", "") }), Want{}},
		{s, "aac-fragments", "several", "an AAC unit in several packets", "joins them", 0,
			both(withAudio(AAC()), func(c *Camera) {
				c.Packetize = func(u *Unit) []*Packet {
					if u.Index == 0 {
						return nil
					}
					half := len(u.Sound) / 2
					a, b := hbr(u.Sound[:half]), hbr(u.Sound[half:])
					a[2], a[3] = byte(len(u.Sound)>>5), byte(len(u.Sound)<<3)
					b[2], b[3] = a[2], a[3]
					return []*Packet{u.packet(a), u.packet(b)}
				}
			}), Want{}},
		{s, "stamps-of-25-at-15", "several", "stamps say 25 pictures a second, 15 come", "places by arrival after 10 s, and notes it; no picture is lost", seconds(40),
			func(c *Camera) {
				c.Tracks[0].Stamp = func(n int) uint32 { return uint32(n) * 3600 }
			}, Want{AnyTime: true, Notes: []string{"make no sense"}, AnyRuns: true}},
		{s, "audio-clock-half", "several", "the sound's clock runs at half its rate", "the sound is placed by arrival; the video does not care", seconds(40),
			both(withAudio(G711("PCMU")), func(c *Camera) {
				c.Tracks[1].Stamp = func(n int) uint32 { return uint32(n) * 80 }
			}), Want{AnyTime: true, Notes: []string{"make no sense"}, AnyRuns: true}},
	}
}
