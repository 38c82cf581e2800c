package testkit

import (
	"fmt"
	"strings"
	"time"

	"nvr/internal/media"
)

// adts puts an ADTS header of AAC-LC, 16 kHz, one channel, on a unit: ISO/IEC
// 13818-7 §6.2.
func adts(u []byte) []byte {
	n := len(u) + 7
	return append([]byte{0xff, 0xf1, 1<<6 | 8<<2, 1<<6 | byte(n>>11), byte(n >> 3), byte(n<<5) | 0x1f, 0xfc}, u...)
}

// sounds is §5: audio, and what is neither audio nor video.
func sounds() []Quirk {
	const s = "5"
	fmtp := func(old, new string) func(t *Track) func(c *Camera) {
		return func(t *Track) func(c *Camera) {
			t.Fmtp = strings.Replace(t.Fmtp, old, new, 1)
			return withAudio(t)
		}
	}
	skipped := func(encoding string, pt uint8, clock uint32) func(c *Camera) {
		t := G711("PCMU")
		t.Encoding, t.PT, t.Clock = encoding, pt, clock
		return withAudio(t)
	}
	notStored := Want{NoAudio: true, Never: []string{"trackID=1"}, Log: []string{"cannot be stored"}}
	g711 := func(encoding string, change func(t *Track)) func(c *Camera) {
		t := G711(encoding)
		change(t)
		return withAudio(t)
	}
	return []Quirk{
		{s, "aac-wrong-config", "several", "config says 48 kHz and two channels, the clock says 16 kHz", "records what comes; the video does not care", 0, fmtp("1408", "1190")(AAC()), Want{}},
		{s, "aac-adts", "several", "units with their ADTS headers", "strips them", 0,
			both(withAudio(AAC()), func(c *Camera) {
				c.Packetize = func(u *Unit) []*Packet {
					if u.Index == 0 {
						return nil
					}
					return []*Packet{u.packet(hbr(adts(u.Sound)))}
				}
			}), Want{Sound: "aac 16000 Hz"}},
		{s, "aac-adts-wins", "several", "the same, and a config of another rate", "believes the headers", 0,
			both(fmtp("1408", "1210")(AAC()), func(c *Camera) {
				c.Packetize = func(u *Unit) []*Packet {
					if u.Index == 0 {
						return nil
					}
					return []*Packet{u.packet(hbr(adts(u.Sound)))}
				}
			}), Want{Sound: "aac 16000 Hz"}},
		{s, "aac-four", "several", "four units in a packet", "splits them, 1024 samples apart", 20 * time.Second,
			func(c *Camera) {
				c.Tracks = append(c.Tracks, AAC())
				var held [][]byte
				var at uint32
				c.Packetize = func(u *Unit) []*Packet {
					if u.Index == 0 {
						return nil
					}
					if len(held) == 0 {
						at = u.Time
					}
					if held = append(held, u.Sound); len(held) < 4 {
						return []*Packet{}
					}
					k := u.packet(hbr(held...))
					k.Time, held = at, nil
					return []*Packet{k}
				}
			}, Want{Off: 300 * time.Millisecond, Tail: 4}},
		{s, "aac-sizes", "some", "sizelength=6 and indexlength=2: AAC-lbr", "reads the widths that the SDP says", 0,
			func(c *Camera) {
				t := AAC()
				t.Fmtp = strings.NewReplacer("AAC-hbr", "AAC-lbr", "sizelength=13", "sizelength=6", "indexlength=3", "indexlength=2", "indexdeltalength=3", "indexdeltalength=2").Replace(t.Fmtp)
				t.Sound = func(n, conn int) []byte { return sound(n, conn, 40+n%20) }
				c.Tracks = append(c.Tracks, t)
				c.Packetize = func(u *Unit) []*Packet {
					if u.Index == 0 {
						return nil
					}
					return []*Packet{u.packet(append([]byte{0, 8, byte(len(u.Sound) << 2)}, u.Sound...))}
				}
			}, Want{}},
		{s, "aac-rubbish", "some", "AU headers that claim more than there is", "drops the sound; the video does not care", 0,
			both(withAudio(AAC()), func(c *Camera) {
				c.Packetize = func(u *Unit) []*Packet {
					if u.Index == 0 {
						return nil
					}
					return []*Packet{u.packet([]byte{0xff, 0xff, 1, 2, 3})}
				}
			}), Want{Quiet: all}},
		{s, "pcma-no-rtpmap", "many", "payload type 8 without a=rtpmap", "the static table says what it is", 0, g711("PCMA", func(t *Track) { t.Encoding = "" }), Want{Sound: "pcma 8000 Hz"}},
		{s, "pcmu-no-rtpmap", "many", "payload type 0 without a=rtpmap", "as above", 0, g711("PCMU", func(t *Track) { t.Encoding = "" }), Want{Sound: "pcmu 8000 Hz"}},
		{s, "pcmu-on-8", "GW Security", "PCMU mapped to payload type 8", "a=rtpmap wins over the table", 0, g711("PCMU", func(t *Track) { t.PT = 8 }), Want{Sound: "pcmu 8000 Hz"}},
		{s, "pcma-16k", "some", "A-law of 16 kHz", "stores it as such", 0,
			g711("PCMA", func(t *Track) {
				t.PT, t.Clock = 98, 16000
				t.Sound = func(n, conn int) []byte { return sound(n, conn, 320) }
			}), Want{Sound: "pcma 16000 Hz"}},
		{s, "pcmu-no-clock", "some", "a=rtpmap:0 PCMU without a clock", "8 kHz", 0,
			both(withAudio(G711("PCMU")), describe("PCMU/8000", "PCMU")), Want{Sound: "pcmu 8000 Hz"}},
		{s, "g726-32", "some", "G.726", "leaves it out with one warning", 0, skipped("G726-32", 97, 8000), notStored},
		{s, "g726-aal2", "some", "AAL2-G726-32", "as above", 0, skipped("AAL2-G726-32", 97, 8000), notStored},
		{s, "g722", "some", "G.722 (whose clock is said to be 8 kHz)", "as above", 0, skipped("", 9, 8000), notStored},
		{s, "g723", "some", "G.723", "as above", 0, skipped("G723", 4, 8000), notStored},
		{s, "speex", "some", "a coding that nobody knows", "as above", 0, skipped("X-MYSOUND", 99, 8000), notStored},
		{s, "one-warning", "some", "the same, and the camera reboots every 10 s", "warns once, not with each session", time.Minute,
			both(skipped("G726-32", 97, 8000), func(c *Camera) {
				c.Unit = func(p *Peer, u *Unit) {
					if u.N%150 == 149 {
						p.Reset()
					}
				}
			}), Want{NoAudio: true, Log: []string{"cannot be stored"}, Lines: 8, Parted: true, State: "*", AnyRuns: true, AnyDials: true, Gaps: []media.Reason{media.ReasonUnreachable}}},
		{s, "audio-late", "many", "the sound begins 20 s after the video", "never waits for it", 40 * time.Second,
			both(withAudio(G711("PCMA")), unit(1, func(u *Unit) { u.Skip = u.N < 1000 })), Want{}},
		{s, "audio-stops", "many", "the sound stops after 10 s", "goes on with the video", 60 * time.Second,
			both(withAudio(G711("PCMA")), unit(1, func(u *Unit) { u.Skip = u.N > 500 })), Want{}},
		{s, "audio-comes-and-goes", "many", "the sound stops and begins again", "as above", 60 * time.Second,
			both(withAudio(G711("PCMA")), unit(1, func(u *Unit) { u.Skip = u.N%700 > 400 })), Want{}},
		{s, "audio-never", "many", "a sound is announced and never comes", "as above", 60 * time.Second,
			both(withAudio(G711("PCMA")), unit(1, func(u *Unit) { u.Skip = true })), Want{}},
		{s, "audio-only", "intercoms", "sound and no video", "records the sound", 20 * time.Second, tracks(func() []*Track { return []*Track{G711("PCMA")} }), Want{}},
		{s, "audio-lost", "any over a bad network", "every tenth packet of the sound is lost", "the sounds keep their places", 30 * time.Second,
			both(withAudio(G711("PCMA")), packets(1, func(u *Unit, ks []*Packet) []*Packet {
				ks[0].Lost = u.N%10 == 3
				return ks
			})), Want{Quiet: func(n int) bool { return n%10 == 3 }}},
		{s, "audio-sr-20s-off", "home-assistant PR#64295's", "sender reports put the sound 20 s away from the video", "does not believe them", 40 * time.Second,
			both(withAudio(G711("PCMA")), func(c *Camera) {
				c.Report = func(t *Track, r *Report) bool {
					if t.Kind == media.Audio {
						r.NTP += 20 << 32
					}
					return true
				}
			}), Want{Notes: []string{"clock is"}}},
		{s, "metadata", "ONVIF cameras", "XML metadata in a section of its own", "leaves it alone", 0,
			func(c *Camera) {
				c.SDP = func(d string) string {
					return d + "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:trackID=4\r\n"
				}
			}, Want{Never: []string{"trackID=4"}}},
		{s, "metadata-sent", "some", "the same, and sends it though nobody asked", "ignores it", 0,
			both(describe("s=Media Presentation", "s=x"), packets(0, func(u *Unit, ks []*Packet) []*Packet {
				k := &Packet{PT: 107, Time: u.Time, SSRC: 0x44, Payload: []byte("<tt:MetadataStream>" + strings.Repeat("x", 900)), Same: true}
				four := uint8(4)
				k.Channel = &four
				return append(ks, k)
			})), Want{}},
	}
}

// reports is §5's RTCP and camera clocks.
func reports() []Quirk {
	const s = "5"
	report := func(f func(t *Track, r *Report)) func(c *Camera) {
		return both(withAudio(G711("PCMU")), func(c *Camera) {
			c.Report = func(t *Track, r *Report) bool { f(t, r); return true }
		})
	}
	clock := func(ahead time.Duration) func(c *Camera, r *Result) string {
		return func(_ *Camera, r *Result) string {
			if d := r.Clock - ahead; d.Abs() > time.Second {
				return fmt.Sprintf("the camera's clock is said to be %v ahead, and is %v", r.Clock, ahead)
			}
			return ""
		}
	}
	ahead := func(d time.Duration) func(t *Track, r *Report) {
		return func(_ *Track, r *Report) { r.NTP += uint64(int64(d/time.Second) << 32) }
	}
	rtcp := func(on int, b []byte) func(c *Camera) {
		return packets(0, func(u *Unit, ks []*Packet) []*Packet {
			if u.N%20 == 10 {
				ks = append(ks, &Packet{Raw: frame(uint8(on), b)})
			}
			return ks
		})
	}
	bye := []byte{0x81, 203, 0, 1, 0x11, 0x11, 0x11, 0x11}
	return []Quirk{
		{s, "sr-none", "Hikvision firmwares, go2rtc", "no sender report at all", "never waits for one", 60 * time.Second, both(withAudio(G711("PCMU")), func(c *Camera) { c.NoReports = true }), Want{Check: clock(0)}},
		{s, "sr-after-30s", "many", "the first sender report after 30 s", "as above; nothing moves then", 90 * time.Second,
			both(withAudio(G711("PCMU")), func(c *Camera) { c.ReportAfter = 30 * time.Second }), Want{Check: clock(0)}},
		{s, "sr-zero", "many", "NTP time 0", "ignores it", 60 * time.Second, report(func(_ *Track, r *Report) { r.NTP = 0 }), Want{Check: clock(0)}},
		{s, "sr-1970", "cameras without NTP", "a clock of 1970", "tells how wrong it is; dates nothing by it", 60 * time.Second,
			report(func(_ *Track, r *Report) { r.NTP = NTP(time.Unix(0, 0).Add(r.At)) }), Want{Notes: []string{"clock is", "behind"}, Check: func(_ *Camera, r *Result) string {
				if r.Clock > -29*365*24*time.Hour {
					return fmt.Sprintf("the camera's clock is said to be %v ahead", r.Clock)
				}
				return ""
			}}},
		{s, "sr-local-time", "many", "local time instead of UTC", "as above", 60 * time.Second, report(ahead(5 * time.Hour)), Want{Notes: []string{"5h0m0s ahead"}, Check: clock(5 * time.Hour)}},
		{s, "sr-dst", "many", "the clock steps by an hour in the night of the change", "as above", 60 * time.Second,
			report(func(_ *Track, r *Report) {
				if r.N > 6 {
					r.NTP -= 3600 << 32
				}
			}), Want{Notes: []string{"1h0m0s behind"}, Check: clock(-time.Hour)}},
		{s, "sr-steps", "many", "the clock is stepped at each NTP sync", "as above", 60 * time.Second,
			report(func(_ *Track, r *Report) { r.NTP += uint64(r.N%3) << 32 }), Want{Check: func(*Camera, *Result) string { return "" }}},
		{s, "sr-unrelated", "uvgRTP, werift", "RTP time in reports that has nothing to do with the packets", "does not believe it", 60 * time.Second,
			report(func(_ *Track, r *Report) { r.Time = uint32(r.N) * 0x12345678 }), Want{}},
		{s, "rtcp-on-rtp-channel", "some", "RTCP on the channel of the packets", "knows it by its type", 60 * time.Second, report(func(_ *Track, r *Report) { r.On = 1 }), Want{}},
		{s, "rtcp-foreign", "some", "reports of an SSRC that nobody has", "ignores them", 60 * time.Second,
			report(func(_ *Track, r *Report) { r.SSRC, r.NTP = 0x777, 1<<63 }), Want{Check: clock(0)}},
		{s, "rtcp-rubbish", "some", "RTCP with lengths that lie", "reads what is there", 60 * time.Second, rtcp(1, []byte{0x80, 200, 0xff, 0xff, 0x11, 0x11, 0x11, 0x11, 1, 2}), Want{}},
		{s, "bye-foreign", "some", "BYE of an SSRC that nobody has", "ignores it", 60 * time.Second, rtcp(1, []byte{0x81, 203, 0, 1, 9, 9, 9, 9}), Want{}},
		{s, "bye-and-goes-on", "some", "BYE, and media go on", "believes the media", 60 * time.Second, rtcp(1, bye), Want{}},
		{s, "bye-and-silence", "several", "BYE, and the connection stays open", "connects again after 3 s", 30 * time.Second,
			func(c *Camera) {
				c.Unit = func(p *Peer, u *Unit) {
					if p.N == 1 && u.N >= 60 {
						if u.N == 60 {
							p.Write(frame(1, bye))
						}
						u.Skip = true
					}
				}
			}, Want{Runs: 2, Gaps: []media.Reason{media.ReasonUnreachable}, Dials: [2]int{2, 2}}},
		{s, "audio-clock-slow", "budget H.265 and G.711", "the sound's clock is 0.3 % slower than the video's", "slews each track to the wall clock; neither waits", 20 * time.Minute,
			func(c *Camera) {
				a := G711("PCMA")
				a.Stamp = func(n int) uint32 { return uint32(float64(n) * 160 * 0.997) }
				c.Tracks = []*Track{H265(), a}
				c.Tracks[0].FPS = 5
			}, Want{}},
		{s, "clock-drift", "any", "the camera's clock is 100 ppm fast", "slews; one run", time.Hour / 2,
			func(c *Camera) {
				c.Tracks[0].FPS = 5
				c.Tracks[0].Stamp = func(n int) uint32 { return uint32(float64(n) * 18000 * 1.0001) }
			}, Want{Off: 150 * time.Millisecond}},
		{s, "fd-left-open", "a camera with a limit of two connections", "counts connections that were not closed", "closes each before it dials again", 3 * time.Minute,
			func(c *Camera) {
				c.Unit = func(p *Peer, u *Unit) {
					if u.N%100 == 99 {
						p.Reset()
					}
				}
			}, Want{AnyRuns: true, AnyDials: true, Most: 1, Parted: true, State: "*", Gaps: []media.Reason{media.ReasonUnreachable}, Lines: 12}},
	}
}
