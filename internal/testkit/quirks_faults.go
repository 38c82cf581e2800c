package testkit

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"nvr/internal/media"
)

var unreachable = []media.Reason{media.ReasonUnreachable}

// faults is §6.
func faults() []Quirk {
	const s = "6"
	silent := func(from, until int) func(c *Camera) { // sends nothing for a while, on its first connection
		return func(c *Camera) {
			c.Unit = func(p *Peer, u *Unit) { u.Skip = p.N == 1 && u.N >= from && u.N < until }
		}
	}
	flap := func(every int, how func(p *Peer)) func(c *Camera) {
		return func(c *Camera) {
			c.Unit = func(p *Peer, u *Unit) {
				if u.N%every == every-1 {
					how(p)
				}
			}
		}
	}
	return []Quirk{
		{s, "hang", "many", "TCP stays up, nothing comes any more", "TEARDOWN and a new connection after 10 s without a picture", 60 * time.Second,
			silent(100, 1<<30), Want{Runs: 2, Gaps: noMedia, Dials: [2]int{2, 2}, Requests: map[string][2]int{"TEARDOWN": {2, 2}}}},
		{s, "hang-audio-goes-on", "reolinkproxy#24's", "the sound goes on, the video does not", "as above: it is the pictures that count", 60 * time.Second,
			both(withAudio(G711("PCMA")), func(c *Camera) {
				c.Unit = func(p *Peer, u *Unit) { u.Skip = p.N == 1 && u.Index == 0 && u.N >= 100 }
			}), Want{Runs: 2, Gaps: noMedia, Dials: [2]int{2, 2}}},
		{s, "hang-keepalive-answered", "many", "answers keepalives and sends reports, and no picture", "as above", 60 * time.Second,
			both(silent(100, 1<<30), func(c *Camera) { c.Timeout = 4 * time.Second }), Want{Runs: 2, Gaps: noMedia, Dials: [2]int{2, 2}}},
		{s, "hang-whole", "many", "stops reading, too", "as above; TEARDOWN is not waited for", 60 * time.Second,
			func(c *Camera) {
				c.Unit = func(p *Peer, u *Unit) {
					if p.N == 1 && u.N == 100 {
						p.Wait(40 * time.Second)
					}
				}
				c.On = func(p *Peer, r *Request) bool {
					return p.N == 1 && r.Method == "TEARDOWN"
				}
			}, Want{Runs: 2, Gaps: noMedia, Dials: [2]int{2, 2}}},
		{s, "pause-8s", "many", "nothing for 8 s, then on", "waits; tells of the gap", 60 * time.Second, silent(100, 220),
			Want{Gaps: noMedia, Runs: 2, Off: 200 * time.Millisecond}},
		{s, "nothing-after-play", "some", "PLAY is answered, and nothing comes", "a new connection after 10 s", 60 * time.Second, silent(0, 1<<30),
			Want{Gaps: noMedia, Dials: [2]int{2, 2}}},
		{s, "reboot", "any", "RST, refused for 60 s, RTP time from 0, a clock of 1970", "knocks at most 2.5 s apart; records within a GOP and 2.5 s of its return", 3 * time.Minute,
			func(c *Camera) {
				var back time.Time
				c.Tracks[0].First = 0
				c.Dialled = func(int, time.Duration) Accept {
					if time.Now().Before(back) {
						return Refuse
					}
					return Serve
				}
				c.Unit = func(p *Peer, u *Unit) {
					if p.N == 1 && u.N == 300 {
						c.mu.Lock()
						back = time.Now().Add(time.Minute)
						c.mu.Unlock()
						p.Reset()
					}
					if p.N > 1 {
						u.Time -= 12345678
					}
				}
				c.Report = func(_ *Track, r *Report) bool {
					if r.N < 5 {
						r.NTP = NTP(time.Unix(0, 0).Add(r.At))
					}
					return true
				}
			}, Want{Runs: 2, Gaps: unreachable, AnyDials: true, Check: returnsBy(c60)}},
		{s, "cable", "any", "the cable is pulled for 45 s: connections are swallowed", "as above", 3 * time.Minute,
			func(c *Camera) {
				var back time.Time
				c.Dialled = func(int, time.Duration) Accept {
					if time.Now().Before(back) {
						return Swallow
					}
					return Serve
				}
				c.Unit = func(p *Peer, u *Unit) {
					if p.N == 1 && u.N >= 300 {
						c.mu.Lock()
						if back.IsZero() {
							back = time.Now().Add(45 * time.Second)
						}
						c.mu.Unlock()
						u.Skip = true
					}
				}
			}, Want{Runs: 2, Gaps: []media.Reason{media.ReasonNoMedia, media.ReasonUnreachable}, AnyDials: true}},
		{s, "closes-politely", "any", "closes the connection in the middle of a picture", "keeps what is whole, connects again", 30 * time.Second,
			func(c *Camera) {
				c.Packets = func(p *Peer, u *Unit, ks []*Packet) []*Packet {
					if p.N == 1 && u.N == 90 {
						p.Write(frame(p.channels[0][0], ks[0].bytes(1))[:20])
						p.HangUp()
					}
					return ks
				}
			}, Want{Runs: 2, Gaps: unreachable, Dials: [2]int{2, 2}}},
		{s, "flapping-2s", "a loose plug", "the connection breaks every 2 s", "a run each time, with pauses; no storm", 5 * time.Minute,
			flap(30, func(p *Peer) { p.Reset() }), Want{AnyRuns: true, AnyDials: true, Gaps: unreachable, Lines: 20, Check: dialsAtMost(120), Parted: true, State: "*"}},
		{s, "flapping-before-picture", "a loose plug", "the connection breaks before the first picture is whole", "pauses", 5 * time.Minute,
			func(c *Camera) { c.Packets = func(p *Peer, _ *Unit, ks []*Packet) []*Packet { p.Reset(); return ks } },
			Want{Nothing: true, AnyDials: true, Gaps: unreachable, Lines: 20, Check: dialsAtMost(200), State: "*"}},
		{s, "flapping-at-describe", "some", "hangs up at DESCRIBE", "pauses", 5 * time.Minute,
			on("DESCRIBE", func(p *Peer, _ *Request) bool { p.HangUp(); return true }),
			Want{Nothing: true, AnyDials: true, Gaps: unreachable, Lines: 20, Check: dialsAtMost(620), State: "*"}},
		{s, "describe-silent", "some", "DESCRIBE is never answered", "10 s, then again", 60 * time.Second,
			func(c *Camera) {
				c.On = func(_ *Peer, r *Request) bool { return r.Method == "DESCRIBE" && r.N == 1 }
			}, Want{Gaps: unreachable, Dials: [2]int{2, 2}}},
		{s, "accepts-and-closes", "some", "accepts connections and closes them at once", "pauses", 60 * time.Second,
			func(c *Camera) {
				c.On = func(p *Peer, _ *Request) bool {
					if p.N <= 8 {
						p.Reset()
					}
					return p.N <= 8
				}
			}, Want{Gaps: unreachable, Dials: [2]int{9, 9}}},
		{s, "teardown-by-camera", "some", "the camera sends TEARDOWN and closes", "connects again", 30 * time.Second,
			func(c *Camera) {
				c.Unit = func(p *Peer, u *Unit) {
					if p.N == 1 && u.N == 90 {
						p.Write([]byte("TEARDOWN rtsp://192.0.2.1/live/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
						p.HangUp()
					}
				}
			}, Want{Runs: 2, Gaps: unreachable, Dials: [2]int{2, 2}}},
	}
}

const c60 = 60 * time.Second

// returnsBy wants the first picture of the second connection a little after the
// camera is back: a knock, and the rest of a GOP.
func returnsBy(away time.Duration) func(c *Camera, r *Result) string {
	return func(c *Camera, r *Result) string {
		var last, first time.Time
		for _, s := range c.sent {
			if s.Conn == 1 {
				last = s.Wrote
			} else if first.IsZero() {
				first = s.Wrote
			}
		}
		if d := first.Sub(last) - away; d > 5*time.Second {
			return fmt.Sprintf("it is recorded again %v after its return", d)
		}
		return ""
	}
}

// dialsAtMost bounds the connections.
func dialsAtMost(n int) func(c *Camera, r *Result) string {
	return func(_ *Camera, r *Result) string {
		if len(r.Dials) > n {
			return fmt.Sprintf("%d connections, want %d at most", len(r.Dials), n)
		}
		for i := 1; i < len(r.Dials); i++ { // never in a loop without a pause, but for the second within an attempt
			if i > 3 && r.Dials[i].At.Sub(r.Dials[i-3].At) < 500*time.Millisecond {
				return "connections without a pause between them"
			}
		}
		return ""
	}
}

// hostile is what a camera does that was taken over (security.md, SEC-01 to 10).
func hostile() []Quirk {
	const s = "security"
	endless := func(f func(i int) string) func(c *Camera) { // an answer to DESCRIBE that has no end
		return on("DESCRIBE", func(p *Peer, r *Request) bool {
			p.Write([]byte("RTSP/1.0 200 OK\r\nCSeq: " + r.Get("CSeq") + "\r\n"))
			for i := 0; p.Write([]byte(f(i))); i++ {
			}
			return true
		})
	}
	nothing := func(words string) Want {
		return Want{Nothing: true, Gaps: cameraError, AnyDials: true, Error: words, State: "*", Check: dialsAtMost(60)}
	}
	elsewhere := func(to string) func(c *Camera) {
		return redirect(func(*Request) string { return to })
	}
	escapes := "\x1b[31mred\x1b[0m \u202eevil\u202c \x07"
	big := func(n int) []byte { return append([]byte{0x41, 0x41}, bytes.Repeat([]byte{0x55}, n)...) }
	return []Quirk{
		{s, "header-endless", "a camera taken over", "a header line without an end", "4 KiB, then it is over", 20 * time.Second,
			endless(func(int) string { return strings.Repeat("x", 1000) }), nothing("header line")},
		{s, "headers-endless", "a camera taken over", "header lines without an end", "64 lines, 16 KiB", 20 * time.Second,
			endless(func(i int) string { return fmt.Sprintf("X-%d: y\r\n", i) }), nothing("header lines")},
		{s, "body-4gib", "a camera taken over", "Content-Length of 4 GiB", "256 KiB; no memory is taken for more", 20 * time.Second,
			edit("DESCRIBE", func(_ *Peer, _ *Request, a *Reply) { a.Set("Content-Length", "4294967295") }), nothing("message body")},
		{s, "body-negative", "a camera taken over", "Content-Length of -1", "takes it for none", 20 * time.Second,
			edit("DESCRIBE", func(_ *Peer, _ *Request, a *Reply) { a.Set("Content-Length", "-1") }), nothing("")},
		{s, "junk-endless", "a camera taken over", "junk without an end after PLAY", "64 KiB, then it is over", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if u.N == 30 {
					return []*Packet{{Raw: bytes.Repeat([]byte{'#'}, 100<<10)}}
				}
				return ks
			}), Want{Gaps: cameraError, Dials: [2]int{2, 2}, Runs: 2, Missing: among(30)}},
		{s, "sdp-huge", "a camera taken over", "100,000 attributes in one section", "reads 512 of them", 20 * time.Second,
			func(c *Camera) {
				c.SDP = func(d string) string { return d + strings.Repeat("a=x\r\n", 40_000) }
			}, Want{Log: []string{"attributes"}}},
		{s, "redirect-loopback", "a camera taken over", "302 to 127.0.0.1", "refuses (SEC-04)", 10 * time.Second, elsewhere("rtsp://127.0.0.1/live"), nothing("another host")},
		{s, "redirect-metadata", "a camera taken over", "302 to 169.254.169.254", "refuses", 10 * time.Second, elsewhere("rtsp://169.254.169.254/live"), nothing("another host")},
		{s, "redirect-host", "a camera taken over", "302 to another host, with user and password in the URL", "refuses, and shows neither", 10 * time.Second,
			both(withAuth(Digest()), elsewhere("rtsp://operator:p@ss@203.0.113.66/live")), nothing("another host")},
		{s, "redirect-scheme", "a camera taken over", "302 to file:///etc/passwd", "refuses", 10 * time.Second, elsewhere("file:///etc/passwd"), nothing("redirect")},
		{s, "redirect-crlf", "a camera taken over", "302 to a path with blanks", "refuses", 10 * time.Second, elsewhere("/a b RTSP/1.0"), nothing("blanks")},
		{s, "text-escapes", "a camera taken over", "escape and direction characters in reason, realm and Server", "makes them harmless before a log", 20 * time.Second,
			edit("DESCRIBE", func(_ *Peer, _ *Request, a *Reply) {
				a.status(500, escapes+strings.Repeat("long ", 300))
				a.Set("Server", escapes)
			}), nothing("500")},
		{s, "text-escapes-sdp", "a camera taken over", "the same in the SDP", "as above", 20 * time.Second,
			func(c *Camera) {
				c.SDP = func(d string) string { return d + "m=" + escapes + " 0 RTP/AVP 3\r\n" }
			}, Want{Log: []string{"section dropped"}}},
		{s, "session-crlf", "a camera taken over", "control characters in Session and control", "does not send them back", 20 * time.Second,
			func(c *Camera) {
				c.SDP = func(d string) string {
					return d + "m=audio 0 RTP/AVP 8\r\na=control:track\x01evil\r\n"
				}
			}, Want{Never: []string{"evil"}, NoAudio: true, Log: []string{"control characters"}}},
		{s, "fu-open-for-ever", "a camera taken over", "a fragmented unit that never ends", "drops it at 4 MiB; the next picture is recorded", 30 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if u.N == 90 {
					ks = nil
					for i := range 120 {
						b := append([]byte{0x7c, 0x05}, bytes.Repeat([]byte{0x77}, 60_000)...)
						if i == 0 {
							b[1] |= 0x80
						}
						ks = append(ks, u.packet(b))
					}
				}
				return ks
			}), Want{Gaps: networkLoss, Missing: span(90, 91), Damaged: restOf(30, 91), Maybe: span(89, 120)}},
		{s, "picture-huge", "a camera taken over", "a picture of 20 MiB", "drops it, counts it", 30 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if u.N == 90 {
					return append(ks, u.Fragments(big(20<<20), 60_000)...)
				}
				return ks
			}), Want{Gaps: networkLoss, Missing: among(90), Damaged: span(91, 120)}},
		{s, "nals-without-end", "a camera taken over", "2,000 NAL units in a picture", "drops it at 512", 30 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if u.N == 91 {
					for range 2000 {
						ks = append(ks, u.packet([]byte{0x41, 0x1a, 1, 2}))
					}
				}
				return ks
			}), Want{Gaps: networkLoss, Missing: among(91), Maybe: span(92, 120)}},
		{s, "ssrcs-a-million", "a camera taken over", "another SSRC with each packet", "remembers few; goes on", 30 * time.Second,
			func(c *Camera) {
				n := uint32(0)
				c.Packets = func(_ *Peer, _ *Unit, ks []*Packet) []*Packet {
					for _, k := range ks {
						n++
						k.SSRC = n * 2654435761
					}
					return ks
				}
			}, Want{}},
		{s, "sps-huge", "a camera taken over", "an SPS that says 65,535 pixels a side", "takes the size for unknown and records; nothing is allocated by it", 30 * time.Second,
			both(func(c *Camera) { c.Tracks[0].Fmtp, c.Tracks[0].InBand = "", false }, unit(0, func(u *Unit) {
				if u.Sync {
					u.Sets = [][]byte{hugeSPS(), u.Clip.Sets[1]}
				}
			})), Want{AnySets: true, AnySize: true, Check: func(_ *Camera, r *Result) string {
				for _, x := range r.Records {
					if x.Params.Width != 0 || x.Params.Height != 0 {
						return "the size is believed: " + x.Params.String()
					}
				}
				return ""
			}}},
		{s, "answers-without-end", "a camera taken over", "answers to nothing, thousands of them", "passes over them", 30 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				return append(ks, &Packet{Raw: bytes.Repeat([]byte("RTSP/1.0 200 OK\r\nCSeq: 99999\r\n\r\n"), 100)})
			}), Want{}},
		{s, "unauthorized-without-end", "a camera taken over", "401 after 401 while media flow", "does not answer each", 30 * time.Second,
			both(withAuth(Digest()), packets(0, func(u *Unit, ks []*Packet) []*Packet {
				return append(ks, &Packet{Raw: []byte("RTSP/1.0 401 No\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n\r\n")})
			})), Want{Requests: map[string][2]int{"GET_PARAMETER": {0, 6}, "OPTIONS": {0, 6}}, Tries: 3}},
		{s, "requests-without-end", "a camera taken over", "asks OPTIONS of us thousands of times and reads no answer", "goes on", 30 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				return append(ks, &Packet{Raw: bytes.Repeat([]byte("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"), 20)})
			}), Want{}},
	}
}

// hugeSPS is a High profile SPS (ITU-T H.264 §7.3.2.1.1) of 65,535 × 65,535.
func hugeSPS() []byte {
	var w bitWriter
	w.u(8, 0x67)
	w.u(8, 66)
	w.u(8, 0)
	w.u(8, 51)
	w.ue(0) // id
	w.ue(0) // log2_max_frame_num_minus4
	w.ue(2) // pic_order_cnt_type
	w.ue(1) // max_num_ref_frames
	w.u(1, 0)
	w.ue(4095) // pic_width_in_mbs_minus1
	w.ue(4095)
	w.u(1, 1)
	w.u(1, 1)
	w.u(1, 0)
	w.u(1, 0)
	w.u(1, 1)
	return w.b
}

type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) u(bits int, v uint32) {
	for i := bits - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

// ue is Exp-Golomb, §9.1.
func (w *bitWriter) ue(v uint32) {
	n := 0
	for x := v + 1; x > 1; x >>= 1 {
		n++
	}
	w.u(n, 0)
	w.u(n+1, v+1)
}
