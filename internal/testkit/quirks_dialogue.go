package testkit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nvr/internal/media"
)

// junkPacket is an RTP packet that is no part of any stream.
func junkPacket(channel uint8) string {
	k := &Packet{PT: 96, Time: 5, SSRC: 0xdead, Payload: []byte{0x61, 0xe0, 1, 2, 3, 4}}
	return string(frame(channel, k.bytes(9)))
}

// dialogue is §2 without keepalive and authentication.
func dialogue() []Quirk {
	const s = "2"
	base := func(v string) func(c *Camera) { return func(c *Camera) { c.ContentBase = v } }
	control := func(aggregate, own, url string) func(c *Camera) {
		return func(c *Camera) { c.Aggregate, c.Tracks[0].Control, c.Tracks[0].URL = aggregate, own, url }
	}
	info := func(v string) func(c *Camera) {
		return edit("PLAY", func(_ *Peer, _ *Request, a *Reply) { a.Set("RTP-Info", v) })
	}
	transport := func(old, new string) func(c *Camera) {
		return edit("SETUP", func(_ *Peer, _ *Request, a *Reply) {
			a.Set("Transport", strings.Replace(a.Get("Transport"), old, new, 1))
		})
	}
	channels := func(first, second uint8) func(c *Camera) {
		return edit("SETUP", func(p *Peer, _ *Request, a *Reply) {
			p.channels[0] = [2]uint8{first, second}
			a.Set("Transport", fmt.Sprintf("RTP/AVP/TCP;unicast;interleaved=%d-%d", first, second))
		})
	}
	// oneSession refuses a second one while the camera believes in the first.
	oneSession := func(refuse func(p *Peer, a *Reply)) func(c *Camera) {
		return func(c *Camera) {
			var until time.Time
			c.Edit = func(p *Peer, r *Request, a *Reply) {
				if r.Method == "SETUP" && p.N > 1 && time.Now().Before(until) {
					refuse(p, a)
				}
			}
			c.Unit = func(p *Peer, u *Unit) {
				if p.N == 1 && u.N == 60 {
					until = time.Now().Add(20 * time.Second)
					p.Reset()
				}
			}
		}
	}
	backChannel := func(b *Track) func(c *Camera) {
		return func(c *Camera) {
			b.BackChannel, b.Control = true, "trackID=5"
			b.Attributes += "a=sendonly\r\n"
			c.Tracks = append(c.Tracks, b)
		}
	}
	var twenty strings.Builder
	for i := range 20 {
		fmt.Fprintf(&twenty, "a=rtpmap:%d PCMA/%d\r\n", 97+i, 8000*(1+i%6))
	}
	notReady := func(code int, reason string) func(c *Camera) {
		return edit("DESCRIBE", func(_ *Peer, r *Request, a *Reply) {
			if r.N <= 4 {
				a.status(code, reason)
			}
		})
	}
	return []Quirk{
		{s, "base-no-scheme", "Anjvision", "Content-Base: 192.168.1.10:554/stream0/", "falls back on the URL that it asked", 0, base("192.168.1.10:554/stream0/"), Want{}},
		{s, "base-twice", "Icamra", "Content-Base: rtsp://rtsp://host/", "as above", 0, base("rtsp://rtsp://192.0.2.1/live/"), Want{}},
		{s, "base-missing", "several", "no Content-Base", "as above", 0, base("-"), Want{}},
		{s, "base-inside", "cameras behind NAT", "Content-Base has the camera's inside address", "keeps the address that it dialled, takes the path", 0,
			base("rtsp://10.0.0.7:8554/live/"), Want{Never: []string{"10.0.0.7"}}},
		{s, "control-inside", "cameras behind NAT", "the controls have it, too", "as above", 0,
			control("rtsp://10.0.0.7:8554/live/", "rtsp://10.0.0.7:8554/live/trackID=0", "rtsp://192.0.2.1/live/trackID=0"), Want{Never: []string{"10.0.0.7"}}},
		{s, "base-elsewhere", "a camera taken over", "Content-Base and controls on another host", "asks nobody but the camera (SEC-04)", 0,
			both(base("rtsp://203.0.113.66/live/"), control("*", "rtsp://169.254.169.254/live/trackID=0", "rtsp://192.0.2.1/live/trackID=0")),
			Want{Never: []string{"203.0.113.66", "169.254"}}},
		{s, "base-query", "Dahua", "a base that ends in a query, and control trackID=0", "joins the two with a slash", 0,
			func(c *Camera) { c.Path = "/cam/realmonitor?channel=1&subtype=1" },
			Want{Asked: []string{"SETUP rtsp://192.0.2.1/cam/realmonitor?channel=1&subtype=1/trackID=0"}}},
		{s, "control-rfc", "some", "answers 404 to that: it resolves controls as RFC 3986 says", "tries that form then", 0,
			both(base("-"), control("*", "trackID=0", "rtsp://192.0.2.1/trackID=0")), Want{Requests: map[string][2]int{"SETUP": {2, 2}}}},
		{s, "control-none", "Vstarcam", "no control of the session", "PLAY on the base", 0, func(c *Camera) { c.Aggregate = "-" },
			Want{Asked: []string{"PLAY rtsp://192.0.2.1/live/"}}},
		{s, "control-missing", "some", "no control of the only track", "SETUP on the base", 0,
			both(func(c *Camera) { c.Tracks[0].URL = "rtsp://192.0.2.1/live/" }, func(c *Camera) {
				c.SDP = func(d string) string { return strings.Replace(d, "a=control:trackID=0\r\n", "", 1) }
			}), Want{}},
		{s, "control-absolute", "Hikvision", "absolute controls with a query", "takes them as they are", 0,
			control("rtsp://192.0.2.1:554/Streaming/Channels/101?transportmode=unicast&profile=Profile_1",
				"rtsp://192.0.2.1:554/Streaming/Channels/101/trackID=1?transportmode=unicast&profile=Profile_1",
				"rtsp://192.0.2.1/Streaming/Channels/101/trackID=1?transportmode=unicast&profile=Profile_1"),
			Want{Asked: []string{"PLAY rtsp://192.0.2.1/Streaming/Channels/101?transportmode=unicast&profile=Profile_1"}}},
		{s, "control-slash", "some", "a control that begins with a slash", "does not double it", 0, control("*", "/trackID=0", "rtsp://192.0.2.1/live/trackID=0"), Want{}},
		{s, "rtp-info-none", "Vstarcam", "PLAY without RTP-Info", "needs none", 0, info(""), Want{}},
		{s, "rtp-info-zero", "several", "RTP-Info with seq=0 and rtptime=0", "believes the packets", 0, info("url=rtsp://192.0.2.1/live/trackID=0;seq=0;rtptime=0"), Want{}},
		{s, "rtp-info-minus", "several", "rtptime=-1, and a semicolon at the end", "as above", 0, info("url=trackID=0;seq=1;rtptime=-1;"), Want{}},
		{s, "rtp-info-lies", "several", "RTP-Info that has nothing to do with the packets", "as above", 0, info("url=rtsp://10.0.0.7/x;seq=4711;rtptime=123"), Want{}},
		{s, "ssrc-blank", "Hikvision iDS-2CD9396", "ssrc= d6d6627 in Transport, with a blank", "trims", 0, transport("ssrc=", "ssrc= "), Want{}},
		{s, "ssrc-first", "Luckfox", "ssrc before interleaved", "reads parameters in any order", 0,
			transport("unicast;interleaved=0-1;ssrc=11111111", "unicast;ssrc=11111111;mode=play;interleaved=0-1"), Want{}},
		{s, "ssrc-other", "Tapo C320WS, Eufy", "announces one SSRC and uses another", "believes the packets", 0, transport("11111111", "7E57AB1E"), Want{}},
		{s, "ssrc-rubbish", "some", "an SSRC that is no number", "ignores it", 0, transport("11111111", "zzzz"), Want{}},
		{s, "session-changes", "broken cameras", "another Session with the second SETUP", "uses the last one", 0,
			both(withAudio(G711("PCMA")), edit("SETUP", func(p *Peer, r *Request, a *Reply) {
				if r.N == 2 {
					p.id = "another"
					a.Set("Session", p.id)
				}
			})), Want{Asked: []string{"PLAY rtsp://192.0.2.1/live/\nCSeq: 5\nUser-Agent: nvr\nSession: another"}}},
		{s, "session-blanks", "some", "Session: id; timeout = 60 with blanks", "trims", 0,
			edit("SETUP", func(p *Peer, _ *Request, a *Reply) { a.Set("Session", "  "+p.id+" ; timeout = 60 ") }), Want{}},
		{s, "session-case", "some", "SESSION: and CSEQ: in capitals", "does not care for the case", 0,
			func(c *Camera) {
				c.Edit = func(_ *Peer, _ *Request, a *Reply) {
					for i := range a.Headers {
						a.Headers[i][0] = strings.ToUpper(a.Headers[i][0])
					}
				}
			}, Want{}},
		{s, "early-media", "v4l2rtspserver, Reolink RLC-410", "packets before the answer to PLAY", "keeps them: the first picture is recorded", 0,
			func(c *Camera) { c.Early = 2 }, Want{Off: 200 * time.Millisecond}},
		{s, "media-before-auth", "v4l2rtspserver", "packets before anybody is let in", "drops them", 0,
			both(withAuth(Digest()), func(c *Camera) {
				c.Edit = func(_ *Peer, r *Request, a *Reply) {
					if r.Method == "DESCRIBE" {
						a.Before = junkPacket(0) + junkPacket(0)
					}
				}
			}), Want{}},
		{s, "crlf-before", "some", "empty lines before answers and between frames", "skips them", 0,
			func(c *Camera) {
				c.Edit = func(_ *Peer, _ *Request, a *Reply) { a.Before, a.After = "\r\n\r\n", "\r\n" }
				c.Frame = func(_ *Peer, _ *Packet, f []byte) []byte { return append(f, "\r\n"...) }
			}, Want{}},
		{s, "one-connection", "Hikvision", "wants DESCRIBE before SETUP on the same connection, and one SETUP at a time", "does so", 0,
			both(withAudio(G711("PCMU")), func(c *Camera) {
				described := map[int]bool{}
				c.Edit = func(p *Peer, r *Request, a *Reply) {
					switch r.Method {
					case "DESCRIBE":
						described[p.N] = true
					case "SETUP":
						if !described[p.N] {
							a.status(454, "Session Not Found")
						}
					}
				}
			}), Want{}},
		{s, "redirect-port", "Huawei", "302 on DESCRIBE to another port, where it wants a password", "follows, and signs anew", 0,
			both(withAuth(Digest()), func(c *Camera) {
				c.Also = []string{"192.0.2.1:10554"}
				c.Tracks[0].URL = "rtsp://192.0.2.1:10554/live/trackID=0"
			}, redirect(func(r *Request) string {
				if strings.Contains(r.URI, "10554") {
					return ""
				}
				return "rtsp://192.0.2.1:10554/live"
			})), Want{Dials: [2]int{2, 2}}},
		{s, "redirect-path", "relays", "301 to a path without a host", "follows on the same host", 0,
			both(redirect(func(r *Request) string {
				if strings.HasSuffix(r.URI, "/other") {
					return ""
				}
				return "/other"
			}), func(c *Camera) { c.Tracks[0].URL = "rtsp://192.0.2.1/other/trackID=0" }), Want{Dials: [2]int{2, 2}}},
		{s, "redirect-nowhere", "some", "302 without a Location", "takes it for an error", 10 * time.Second,
			edit("DESCRIBE", func(_ *Peer, _ *Request, a *Reply) { a.status(302, "Moved") }),
			Want{Nothing: true, Gaps: cameraError, AnyDials: true, Error: "redirect without a Location"}},
		{s, "cseq-restarts", "thingino", "CSeq begins again in mid-session", "takes answers in their order", 60 * time.Second,
			func(c *Camera) {
				c.Edit = func(_ *Peer, r *Request, a *Reply) { a.Set("CSeq", fmt.Sprint(r.N)) }
			}, Want{}},
		{s, "cseq-missing", "some", "answers without CSeq", "as above", 60 * time.Second,
			func(c *Camera) { c.Edit = func(_ *Peer, _ *Request, a *Reply) { a.Set("CSeq", "") } }, Want{}},
		{s, "header-blanks", "Longse", "header lines with trailing blanks", "trims", 0,
			func(c *Camera) {
				c.Edit = func(_ *Peer, _ *Request, a *Reply) {
					for i := range a.Headers {
						a.Headers[i][1] += "  \t"
					}
				}
			}, Want{}},
		{s, "header-folded", "old servers", "a header on two lines, a line without a colon", "joins the one, leaves out the other", 0,
			edit("SETUP", func(_ *Peer, _ *Request, a *Reply) {
				a.Set("Transport", strings.Replace(a.Get("Transport"), ";interleaved", ";\r\n interleaved", 1))
				a.Set("Server", "x\r\nthis is no header")
			}), Want{}},
		{s, "lf-only", "some", "answers whose lines end in LF alone", "reads them", 0,
			func(c *Camera) {
				c.On = func(p *Peer, r *Request) bool {
					if r.Method != "OPTIONS" {
						return false
					}
					return p.Write([]byte("RTSP/1.0 200 OK\nCSeq: " + r.Get("CSeq") + "\nPublic: DESCRIBE, SETUP, PLAY\n\n"))
				}
			}, Want{}},
		{s, "continue-100", "some", "100 Continue before the answer", "waits on", 0,
			edit("DESCRIBE", func(_ *Peer, r *Request, a *Reply) {
				a.Before = "RTSP/1.0 100 Continue\r\nCSeq: " + r.Get("CSeq") + "\r\n\r\n"
			}), Want{}},
		{s, "channels-8-9", "the camera of mediamtx#19", "answers interleaved=8-9", "uses the camera's numbers", 0, channels(8, 9), Want{}},
		{s, "channels-odd", "some", "answers interleaved=5-4", "as above", 0, channels(5, 4), Want{}},
		{s, "channel-single", "some", "answers interleaved=6", "takes the next one for RTCP", 0,
			both(channels(6, 7), transport("6-7", "6")), Want{}},
		{s, "back-channel", "ONVIF cameras", "a sendonly sound: the camera's loudspeaker", "no Require header, no SETUP", 0,
			both(withAudio(G711("PCMU")), backChannel(G711("PCMA"))), Want{Never: []string{"Require", "trackID=5"}}},
		{s, "back-channel-20", "Dahua", "a back channel of twenty payload types", "as above", 0,
			backChannel(func() *Track { t := G711("PCMA"); t.Attributes = twenty.String(); return t }()), Want{Never: []string{"trackID=5"}}},
		{s, "all-sendonly", "some", "every section is sendonly: it means the camera's side", "takes them for what they are", 0,
			func(c *Camera) {
				a := G711("PCMA")
				a.Attributes, c.Tracks[0].Attributes = "a=sendonly\r\n", "a=sendonly\r\n"
				c.Tracks = append(c.Tracks, a)
			}, Want{}},
		{s, "session-limit-453", "cheap cameras", "453 for a second session until the old one times out", "asks again with pauses, on one connection", 60 * time.Second,
			oneSession(func(_ *Peer, a *Reply) { a.status(453, "Not Enough Bandwidth") }),
			Want{Runs: 2, Gaps: []media.Reason{media.ReasonUnreachable, media.ReasonCamera}, Dials: [2]int{8, 16}}},
		{s, "session-limit-503", "cheap cameras", "503, the same", "as above", 60 * time.Second,
			oneSession(func(_ *Peer, a *Reply) { a.status(503, "Service Unavailable") }),
			Want{Runs: 2, Gaps: []media.Reason{media.ReasonUnreachable, media.ReasonCamera}, Dials: [2]int{8, 16}}},
		{s, "session-limit-closes", "cheap cameras", "hangs up, the same", "as above", 60 * time.Second,
			oneSession(func(_ *Peer, a *Reply) { a.Drop, a.HangUp = true, true }),
			Want{Runs: 2, Gaps: []media.Reason{media.ReasonUnreachable}, Dials: [2]int{8, 16}}},
		{s, "describe-404", "cameras that boot", "404 before the encoder is up", "asks again with pauses", 20 * time.Second, notReady(404, "Not Found"), Want{Gaps: cameraError, Dials: [2]int{5, 5}}},
		{s, "describe-500", "cameras that boot", "500, the same", "as above", 20 * time.Second, notReady(500, "Internal Server Error"), Want{Gaps: cameraError, Dials: [2]int{5, 5}}},
		{s, "audio-setup-refused", "some", "SETUP of the sound is answered 404", "records the video alone, says so", 0,
			both(withAudio(G711("PCMA")), edit("SETUP", func(p *Peer, r *Request, a *Reply) {
				if strings.HasSuffix(r.URI, "trackID=1") {
					a.status(404, "Not Found")
					p.setup = slices.DeleteFunc(p.setup, func(i int) bool { return i == 1 })
				}
			})), Want{NoAudio: true, Log: []string{"audio cannot be had"}}},
		{s, "refused-for-ever", "a camera without power", "connections are refused at once", "pauses: at most 2.5 s apart in the first minutes, then 30 s", 20 * time.Minute,
			func(c *Camera) { c.Dialled = func(int, time.Duration) Accept { return Refuse } },
			Want{Nothing: true, Gaps: []media.Reason{media.ReasonUnreachable}, Dials: [2]int{105, 220}, Lines: 21}},
		{s, "asks-us", "several", "the camera asks OPTIONS, GET_PARAMETER and ANNOUNCE of us", "answers the first two; media go on", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if u.N%40 == 20 {
					for i, m := range []string{"OPTIONS *", "GET_PARAMETER rtsp://x/", "ANNOUNCE rtsp://x/"} {
						ks = append(ks, &Packet{Raw: fmt.Appendf(nil, "%s RTSP/1.0\r\nCSeq: %d\r\n\r\n", m, u.N+i)})
					}
				}
				return ks
			}), Want{Requests: map[string][2]int{"ANSWER": {8, 16}}}},
	}
}

// keepalive is §2's keepalive and session time-out.
func keepalive() []Quirk {
	const s = "2"
	refuse := func(code int, reason string) func(c *Camera) {
		return both(counts("OPTIONS"), edit("GET_PARAMETER", func(_ *Peer, _ *Request, a *Reply) { a.status(code, reason) }))
	}
	public := func(methods string) func(c *Camera) { return func(c *Camera) { c.Public = methods } }
	timeout := func(d time.Duration) func(c *Camera) { return func(c *Camera) { c.Timeout = d } }
	const short = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
	return []Quirk{
		{s, "keepalive-get", "most", "GET_PARAMETER alone counts; time-out of 60 s", "GET_PARAMETER with Session every 25 s", 5 * time.Minute,
			both(counts("GET_PARAMETER"), timeout(time.Minute)), Want{Requests: map[string][2]int{"GET_PARAMETER": {11, 13}, "OPTIONS": {1, 1}, "SET_PARAMETER": {0, 0}}}},
		{s, "keepalive-options", "live555 and others", "does not list GET_PARAMETER; OPTIONS with Session counts", "OPTIONS with Session", 5 * time.Minute,
			both(public(short), func(c *Camera) {
				c.Counts = func(r *Request) bool { return r.Method != "OPTIONS" || r.Get("Session") != "" }
			}), Want{Requests: map[string][2]int{"GET_PARAMETER": {0, 0}, "OPTIONS": {11, 14}}}},
		{s, "keepalive-501", "Hipcam", "lists GET_PARAMETER and answers it 501", "OPTIONS from then on", 5 * time.Minute,
			refuse(501, "Not Implemented"), Want{Requests: map[string][2]int{"GET_PARAMETER": {1, 1}, "OPTIONS": {11, 14}}}},
		{s, "keepalive-405", "some", "answers it 405", "as above", 3 * time.Minute, refuse(405, "Method Not Allowed"), Want{Requests: map[string][2]int{"GET_PARAMETER": {1, 1}}}},
		{s, "keepalive-400", "some", "answers it 400", "as above", 3 * time.Minute, refuse(400, "Bad Request"), Want{Requests: map[string][2]int{"GET_PARAMETER": {1, 1}}}},
		{s, "keepalive-hangs-up", "GW Security GW4089IP", "hangs up at GET_PARAMETER, which it lists", "OPTIONS in all sessions after the first that ended so", 5 * time.Minute,
			both(counts("OPTIONS", "PLAY", "SETUP"), on("GET_PARAMETER", func(p *Peer, _ *Request) bool { p.HangUp(); return true })),
			Want{Runs: 2, Gaps: []media.Reason{media.ReasonUnreachable}, Dials: [2]int{2, 2}, Requests: map[string][2]int{"GET_PARAMETER": {1, 1}}}},
		{s, "keepalive-not-counted", "cameras of go2rtc PR#2409", "lists no GET_PARAMETER, and OPTIONS does not count", "learns from the time-out: GET_PARAMETER in the next session", 5 * time.Minute,
			both(public(short), func(c *Camera) {
				c.Counts = func(r *Request) bool { return r.Method == "GET_PARAMETER" || r.Method == "SETUP" || r.Method == "PLAY" }
			}, edit("GET_PARAMETER", func(p *Peer, _ *Request, a *Reply) { a.Code, a.Reason = 200, "OK" })),
			Want{Runs: 2, Gaps: []media.Reason{media.ReasonUnreachable}, Dials: [2]int{2, 2}, Check: timedOut(1)}},
		{s, "keepalive-set", "rtsp-simple-server", "SET_PARAMETER kills it", "never sends one", 3 * time.Minute,
			on("SET_PARAMETER", func(p *Peer, _ *Request) bool { p.HangUp(); return true }), Want{Requests: map[string][2]int{"SET_PARAMETER": {0, 0}}}},
		{s, "keepalive-reports", "Axis, Dahua IPC-T12D", "only receiver reports count; 10 s", "one every 5 s, over TCP, too", 3 * time.Minute,
			both(timeout(10*time.Second), func(c *Camera) {
				c.Counts, c.ReportsCount = func(r *Request) bool { return r.Method == "PLAY" }, true
			}), Want{}},
		{s, "keepalive-10s", "some", "a time-out of 10 s", "half of it", 3 * time.Minute, both(counts("GET_PARAMETER", "PLAY"), timeout(10*time.Second)), Want{Requests: map[string][2]int{"GET_PARAMETER": {34, 37}}}},
		{s, "keepalive-30s-unsaid", "some", "announces nothing and forgets a session after 30 s", "never waits more than 25 s", 3 * time.Minute,
			both(counts("GET_PARAMETER", "PLAY"), timeout(30*time.Second), edit("SETUP", func(p *Peer, _ *Request, a *Reply) { a.Set("Session", p.id) })), Want{}},
		{s, "keepalive-huge", "some", "announces a time-out of a day, and forgets after a minute", "as above", 5 * time.Minute,
			both(counts("GET_PARAMETER", "PLAY"), edit("SETUP", func(p *Peer, _ *Request, a *Reply) { a.Set("Session", p.id+";timeout=86400") })), Want{}},
		{s, "keepalive-unanswered", "several", "answers nothing after PLAY", "does not wait for answers", 5 * time.Minute,
			on("GET_PARAMETER", func(*Peer, *Request) bool { return true }), Want{Requests: map[string][2]int{"GET_PARAMETER": {11, 13}}}},
		{s, "keepalive-stale", "Hikvision", "the nonce expires after a minute: 401 with stale=true", "signs again; media go on", 10 * time.Minute,
			both(withAuth(Digest()), counts("GET_PARAMETER", "PLAY"), func(c *Camera) { c.Auth.Expires = time.Minute }), Want{}},
		{s, "keepalive-stale-unsaid", "some", "the same, without saying stale", "as above", 10 * time.Minute,
			both(withAuth(Digest()), func(c *Camera) { c.Auth.Expires, c.Auth.NoStale = time.Minute, true }), Want{}},
		{s, "keepalive-never-reads", "some", "reads nothing after PLAY", "drops its keepalives and goes on", 5 * time.Minute,
			func(c *Camera) {
				c.On = func(p *Peer, r *Request) bool {
					if r.Method == "GET_PARAMETER" {
						p.Wait(time.Hour)
					}
					return false
				}
				c.Timeout = 20 * time.Minute
			}, Want{Parted: true}},
	}
}

// counts says which methods keep a session alive once it plays.
func counts(methods ...string) func(c *Camera) {
	return func(c *Camera) {
		c.Counts = func(r *Request) bool { return slices.Contains(methods, r.Method) }
	}
}

// timedOut wants so many sessions to have timed out: it is how a recorder learns.
func timedOut(n int) func(c *Camera, r *Result) string {
	return func(c *Camera, r *Result) string {
		if c.expired != n {
			return fmt.Sprintf("%d sessions timed out, want %d", c.expired, n)
		}
		return ""
	}
}

// withAuth makes the camera ask for user and password.
func withAuth(schemes ...Scheme) func(c *Camera) {
	return func(c *Camera) {
		c.User, c.Password = "operator", "p@ss:w/rd #1?%+&"
		c.Auth = &Auth{User: c.User, Password: c.Password, Schemes: schemes}
	}
}

// authentication is §2's.
func authentication() []Quirk {
	const s = "2"
	digest := func(algorithm, qop string) Scheme {
		return Scheme{Realm: "IP Camera(12345)", Algorithm: algorithm, QOP: qop}
	}
	basic := Scheme{Basic: true, Realm: "IP Camera"}
	text := func(old, new string) Scheme {
		d := Digest()
		d.Opaque = "5ccc069c403ebaf9f0171e9517f40e41"
		d.Text = func(c string) string { return strings.ReplaceAll(c, old, new) }
		return d
	}
	wrong := func(c *Camera) { c.Password = "wrong-password-1" }
	auth := func(f func(a *Auth)) func(c *Camera) { return func(c *Camera) { f(c.Auth) } }
	failed := Want{Nothing: true, Gaps: []media.Reason{media.ReasonAuth}, State: "auth_failed", Tries: 1, AnyDials: true, Error: "wrong user or password", Lines: 20}
	return []Quirk{
		{s, "auth-digest", "most", "Digest, MD5, no qop", "signs", 0, withAuth(Digest()), Want{Never: []string{"Basic"}}},
		{s, "auth-basic", "old cameras", "Basic alone", "signs", 0, withAuth(basic), Want{Asked: []string{"Authorization: Basic "}}},
		{s, "auth-both", "Hikvision", "Digest and Basic, in two headers", "takes Digest", 0, withAuth(Digest(), basic), Want{Never: []string{"Basic"}}},
		{s, "auth-both-reversed", "Hikvision", "Basic and Digest", "takes Digest", 0, withAuth(basic, Digest()), Want{Never: []string{"Basic"}}},
		{s, "auth-qop", "Dahua, Shelly", `Digest with qop="auth", SHA-256`, "signs with cnonce and nc", 0, withAuth(digest("SHA-256", "auth")), Want{Asked: []string{"qop=auth", "algorithm=SHA-256"}}},
		{s, "auth-qop-md5", "Shelly", `Digest with qop="auth", MD5`, "as above", 0, withAuth(digest("MD5", "auth")), Want{Asked: []string{"qop=auth"}}},
		{s, "auth-qop-int", "some", `qop="auth,auth-int"`, "takes auth", 0, withAuth(digest("MD5", "auth,auth-int")), Want{}},
		{s, "auth-sha256", "Prama, Hikvision OEM", "SHA-256 alone, no qop", "signs", 0, withAuth(digest("SHA-256", "")), Want{}},
		{s, "auth-sha512", "some", "SHA-512-256 alone", "signs", 0, withAuth(digest("SHA-512-256", "auth")), Want{}},
		{s, "auth-md5-sess", "some", "MD5-sess", "signs", 0, withAuth(digest("MD5-sess", "auth")), Want{}},
		{s, "auth-strongest", "Hikvision", "MD5, SHA-256 and Basic", "takes SHA-256", 0, withAuth(digest("MD5", ""), digest("SHA-256", ""), basic), Want{Asked: []string{"algorithm=SHA-256"}}},
		{s, "auth-unknown", "some", "an algorithm that nobody knows, and MD5", "takes MD5", 0, withAuth(digest("FOO-512", ""), digest("MD5", "")), Want{}},
		{s, "auth-realm-quotes", "several", "a realm with escaped quotes", "unescapes and escapes", 0, withAuth(Scheme{Realm: `IP \"Cam\" \\ 1`}), Want{}},
		{s, "auth-commas", "several", "no blanks after the commas", "reads it", 0, withAuth(text(", ", ",")), Want{Asked: []string{"opaque="}}},
		{s, "auth-lower-case", "several", "digest in lower case", "reads it", 0, withAuth(text("Digest ", "digest ")), Want{}},
		{s, "auth-upper-case", "several", "DIGEST REALM= in capitals", "reads it", 0,
			withAuth(func() Scheme {
				d := Digest()
				d.Text = strings.NewReplacer("Digest realm", "DIGEST REALM", "nonce", "NONCE").Replace
				return d
			}()), Want{}},
		{s, "auth-uri", "Hikvision", "refuses a uri= that is not the request line's, byte for byte", "writes what it asks", 0,
			both(withAuth(Digest()), func(c *Camera) { c.Path = "/Streaming/Channels/101?transportmode=unicast&a=%20b" }), Want{}},
		{s, "auth-nonce-of-connection", "Raptor", "a nonce is good on its connection only", "asks for a new one after a reconnect", 30 * time.Second,
			both(withAuth(Digest()), func(c *Camera) {
				c.Unit = func(p *Peer, u *Unit) {
					if u.N == 50 {
						p.Reset()
					}
				}
			}), Want{Runs: 2, Gaps: []media.Reason{media.ReasonUnreachable}, Dials: [2]int{2, 2}}},
		{s, "auth-nonce-once", "some", "a nonce is good for one request", "signs each request anew", time.Minute,
			both(withAuth(Digest()), auth(func(a *Auth) { a.Once = true })), Want{}},
		{s, "auth-nonce-once-unsaid", "some", "the same, without saying stale", "as above", time.Minute,
			both(withAuth(Digest()), auth(func(a *Auth) { a.Once, a.NoStale = true, true })), Want{}},
		{s, "auth-hangs-up", "VStarcam", "closes the connection after a 401", "dials again with the challenge just got", 0,
			both(withAuth(Digest()), auth(func(a *Auth) { a.HangUp, a.Carry = true, true })), Want{Dials: [2]int{2, 3}}},
		{s, "auth-hangs-up-wrong", "VStarcam", "the same, and the password is wrong", "one try in 30 s", 3 * time.Minute,
			both(withAuth(Digest()), wrong, auth(func(a *Auth) { a.HangUp, a.Carry = true, true })), failed},
		{s, "auth-options-too", "some", "OPTIONS is locked, too", "signs, and asks again what it may", 0,
			func(c *Camera) {
				withAuth(Digest())(c)
				c.On = func(p *Peer, r *Request) bool {
					if r.Method != "OPTIONS" {
						return false
					}
					a := &Reply{Code: 200, Reason: "OK", Headers: [][2]string{{"CSeq", r.Get("CSeq")}}}
					if c.Auth.check(p, r, a) {
						return false
					}
					return p.Send(a)
				}
			}, Want{}},
		{s, "auth-every-401", "some", "answers 401 now and then though all is right", "signs again", time.Minute,
			both(withAuth(Digest()), func(c *Camera) {
				n := 0
				c.Edit = func(p *Peer, r *Request, a *Reply) {
					if n++; n%4 == 0 && a.Code == 200 && (r.Method == "DESCRIBE" || r.Method == "GET_PARAMETER") {
						a.status(401, "Unauthorized")
						a.Headers = append(a.Headers, [2]string{"WWW-Authenticate", c.Auth.Schemes[0].challenge(p.nonce, false)})
					}
				}
			}), Want{}},
		{s, "auth-user-utf8", "any", "user and password of other alphabets", "signs their UTF-8", 0,
			both(withAuth(digest("SHA-256", "auth")), func(c *Camera) {
				c.User, c.Password = "überwachung", "пароль\"\\"
				c.Auth.User, c.Auth.Password = c.User, c.Password
			}), Want{}},
		{s, "auth-wrong", "any", "the password is wrong", "one try in 30 s; says so", 5 * time.Minute, both(withAuth(Digest()), wrong), failed},
		{s, "auth-wrong-basic", "any", "the same, Basic", "as above", 5 * time.Minute, both(withAuth(basic), wrong), failed},
		{s, "auth-wrong-qop", "any", "the same, SHA-256 and qop", "as above", 5 * time.Minute, both(withAuth(digest("SHA-256", "auth")), wrong), failed},
		{s, "auth-wrong-stale", "some", "the same, and it says stale=true all the time", "believes that once", 5 * time.Minute,
			both(withAuth(Digest()), wrong, auth(func(a *Auth) { a.SayStale = true })), func() Want { w := failed; w.Tries = 2; return w }()},
		{s, "auth-wrong-both", "Hikvision", "the same, Digest and Basic: no second try with the other", "as above", 5 * time.Minute,
			both(withAuth(Digest(), basic), wrong), failed},
		{s, "url-hash", "any", "the path has a raw #, as passwords in URLs do", "says that it must be written %23; asks nobody", 10 * time.Second,
			func(c *Camera) { c.Path = "/live#1" }, Want{Nothing: true, Gaps: cameraError, AnyDials: true, Error: "%23", Requests: map[string][2]int{"OPTIONS": {0, 0}}}},
		{s, "auth-locks", "common vendor setting", "locks the account after five wrong passwords in ten minutes", "the account is never locked before the password is mended", 2 * time.Minute,
			both(withAuth(Digest()), func(c *Camera) { c.Auth.Locks = 5; c.Auth.User, c.Auth.Password = "x", "y" }), failed},
		{s, "auth-none-configured", "any", "asks for a password, and none is configured", "says so; one try in 30 s", 2 * time.Minute,
			both(withAuth(Digest()), func(c *Camera) { c.User, c.Password = "", "" }),
			Want{Nothing: true, Gaps: []media.Reason{media.ReasonAuth}, State: "auth_failed", AnyDials: true, Error: "none is configured", Requests: map[string][2]int{"DESCRIBE": {3, 5}}}},
		{s, "auth-silent", "some", "401 without saying what it wants", "says so; one try in 30 s", 2 * time.Minute,
			both(withAuth(Digest()), auth(func(a *Auth) { a.Silent = true })),
			Want{Nothing: true, Gaps: []media.Reason{media.ReasonAuth}, State: "auth_failed", AnyDials: true, Error: "no WWW-Authenticate", Requests: map[string][2]int{"DESCRIBE": {3, 5}}}},
		{s, "auth-403", "cameras with a locked account", "403 to a signed request", "takes it for a refused password: one try in 30 s", 2 * time.Minute,
			both(withAuth(Digest()), edit("DESCRIBE", func(_ *Peer, r *Request, a *Reply) {
				if r.Nonce != "" {
					a.status(403, "Forbidden")
				}
			})), Want{Nothing: true, Gaps: []media.Reason{media.ReasonAuth}, State: "auth_failed", AnyDials: true, Error: "403", Requests: map[string][2]int{"DESCRIBE": {6, 10}}}},
		{s, "auth-downgrade", "a spoofer", "offers Digest in one session and Basic in the next", "refuses Basic: the password is not sent in clear (SEC-05)", 2 * time.Minute,
			both(withAuth(Digest()), func(c *Camera) {
				c.Unit = func(p *Peer, u *Unit) {
					if u.N == 60 {
						c.mu.Lock()
						c.Auth.Schemes = []Scheme{basic}
						c.mu.Unlock()
						p.Reset()
					}
				}
			}), Want{Gaps: []media.Reason{media.ReasonUnreachable, media.ReasonAuth}, State: "auth_failed", AnyDials: true, Error: "downgrade", Never: []string{"Basic"}, Parted: true}},
	}
}
