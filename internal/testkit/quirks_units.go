package testkit

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"nvr/internal/media"
)

// units is the half of §4 that is about access units and packets.
func units() []Quirk {
	const s = "4"
	rewrite := func(f func(u *Unit) []*Packet) func(c *Camera) {
		return func(c *Camera) {
			c.Packetize = func(u *Unit) []*Packet {
				if u.Index == 0 {
					return f(u)
				}
				return nil
			}
		}
	}
	each := func(f func(u *Unit, k *Packet)) func(c *Camera) {
		return packets(0, func(u *Unit, ks []*Packet) []*Packet {
			for _, k := range ks {
				f(u, k)
			}
			return ks
		})
	}
	noMarker := func(c *Camera) { c.Tracks[0].Marker = false }
	// fragments cuts every NAL unit but the sets into FUs of 300 bytes.
	fragments := func(u *Unit, change func(ks []*Packet) []*Packet) []*Packet {
		var all []*Packet
		for _, n := range u.Sets {
			all = append(all, u.packet(n))
		}
		for _, n := range u.NALs {
			ks := u.Fragments(n, 300)
			if len(ks) > 1 {
				ks = change(ks)
			}
			all = append(all, ks...)
		}
		return all
	}
	annexB := func(units ...[]byte) []byte {
		var b []byte
		for _, n := range units {
			b = append(append(b, 0, 0, 0, 1), n...)
		}
		return b
	}
	sei := []byte{6, 5, 18, 'i', 'v', 'e', 'l', 0x2d, 'l', 'v', '-', 'i', 'p', '2', '2', 'i', 'r', '4', '0', 1, 2, 0x80}
	donl := func(u *Unit) []*Packet { // with DONL, RFC 7798 §4.4
		ks := u.packets()
		number := uint16(u.N)
		for _, k := range ks {
			p := k.Payload
			if p[0]>>1&0x3f == 49 {
				if p[2]&0x80 != 0 {
					k.Payload = append(binary.BigEndian.AppendUint16(bytes.Clone(p[:3]), number), p[3:]...)
				}
			} else {
				k.Payload = append(binary.BigEndian.AppendUint16(bytes.Clone(p[:2]), number), p[2:]...)
			}
		}
		return ks
	}
	return []Quirk{
		{s, "sets-at-the-time-before", "Reolink RLC-822A", "SPS with marker and the time stamp of the picture before, PPS the same, then the IDR", "sets belong to the next picture", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				for i := range u.Sets {
					ks[i].Marker, ks[i].Time = i == 0, u.Time-6000
				}
				return ks
			}), Want{}},
		{s, "marker-each-packet", "ustreamer", "the marker on each NAL unit, sets and SEI, too", "cuts by first slice and time stamp", 20 * time.Second,
			each(func(_ *Unit, k *Packet) { k.Marker = k.Payload[0]&0x1f != 28 || k.Payload[1]&0x40 != 0 }), Want{}},
		{s, "marker-each-packet-h265", "uvgRTP", "the same, H.265", "as above", 20 * time.Second,
			both(h265, each(func(_ *Unit, k *Packet) { k.Marker = k.Payload[0]>>1&0x3f != 49 || k.Payload[2]&0x40 != 0 })), Want{}},
		{s, "marker-never", "FLIR M400", "no marker at all", "the next time stamp ends a picture", 20 * time.Second, noMarker, Want{}},
		{s, "marker-never-h265", "FLIR", "the same, H.265", "as above", 20 * time.Second, both(h265, noMarker), Want{}},
		{s, "marker-each-slice-slow", "ustreamer", "the marker on each slice, and the slices come one by one over 30 ms", "a picture whose marker lied once is whole when the next one begins", 29400 * time.Millisecond,
			both(video("slices.h264"), each(func(_ *Unit, k *Packet) { k.Marker = true }), func(c *Camera) { c.Spread = 10 * time.Millisecond }), Want{}},
		{s, "fu-slow", "modems", "the fragments of a key picture come over 60 ms", "puts them together, whatever else is written meanwhile", 30 * time.Second,
			func(c *Camera) { c.Spread = 5 * time.Millisecond }, Want{}},
		{s, "marker-early", "some", "the marker one packet too early", "takes a picture as whole when the next one begins", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if n := len(ks); n > 1 {
					ks[n-1].Marker, ks[n-2].Marker = false, true
				}
				return ks
			}), Want{}},
		{s, "sei-alone", "Ivel LV-IP22IR40", "an SEI before each picture as a unit with marker, same time stamp", "adds it to the next picture", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				k := u.packet(sei)
				k.Marker = true
				return append([]*Packet{k}, ks...)
			}), Want{}},
		{s, "sei-alone-behind", "Tapo C260", "the same behind each picture", "as above", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				k := u.packet(sei)
				k.Marker = true
				return append(ks, k)
			}), Want{}},
		{s, "delimiters", "many", "access unit delimiters, end of sequence and filler data", "leaves them out", 0,
			rewrite(func(u *Unit) []*Packet {
				ks := append([]*Packet{u.packet([]byte{9, 0xf0})}, u.packets()...)
				return append(ks, u.packet([]byte{12, 0xff, 0xff, 0x80}), u.packet([]byte{10, 0x80}))
			}), Want{}},
		{s, "annex-b-single", "V380", "Annex B with start codes inside one packet", "splits at the start codes", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				all := append(append([][]byte(nil), u.Sets...), u.NALs...)
				if b := annexB(all...); len(b) < 9000 {
					return []*Packet{u.packet(b)}
				}
				return nil
			}), Want{}},
		{s, "annex-b-fragments", "V380", "Annex B inside FU-A", "as above", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				all := append(append([][]byte(nil), u.Sets...), u.NALs...)
				b := annexB(all...)[4:]
				return u.Fragments(b, 300)
			}), Want{}},
		{s, "fu-type-wrong", "Tiandy", "FU-A whose fragments after the first say another type", "the first one's type counts", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				return fragments(u, func(ks []*Packet) []*Packet {
					for _, k := range ks[1:] {
						k.Payload[1] = k.Payload[1]&0xc0 | 7
					}
					return ks
				})
			}), Want{}},
		{s, "fu-empty", "CostarHD", "FU-A without a payload among the others", "ignores them", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				return fragments(u, func(ks []*Packet) []*Packet {
					return append([]*Packet{ks[0], u.packet(bytes.Clone([]byte{ks[0].Payload[0], ks[0].Payload[1] & 0x1f}))}, ks[1:]...)
				})
			}), Want{}},
		{s, "fu-start-and-end", "some", "whole units as FU-A with S and E", "takes them", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				var ks []*Packet
				for _, n := range u.Sets {
					ks = append(ks, u.packet(n))
				}
				for _, n := range u.NALs {
					ks = append(ks, u.packet(append([]byte{n[0]&0xe0 | 28, 0xc0 | n[0]&0x1f}, n[1:]...)))
				}
				return ks
			}), Want{}},
		{s, "fu-reserved", "CostarHD", "FU-A with the reserved bit set", "ignores the bit", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				return fragments(u, func(ks []*Packet) []*Packet {
					for _, k := range ks {
						k.Payload[1] |= 0x20
					}
					return ks
				})
			}), Want{}},
		{s, "fu-never-ends", "some", "FU-A without E", "the next unit ends it", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				return fragments(u, func(ks []*Packet) []*Packet {
					ks[len(ks)-1].Payload[1] &^= 0x40
					return ks
				})
			}), Want{}},
		{s, "fu-small-room", "modems", "FU-A of 40 bytes", "puts them together", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				var ks []*Packet
				for _, n := range append(append([][]byte(nil), u.Sets...), u.NALs...) {
					ks = append(ks, u.Fragments(n, 40)...)
				}
				return ks
			}), Want{}},
		{s, "stap-a", "many", "sets, SEI and slices together in STAP-A", "takes it apart", 20 * time.Second,
			rewrite(func(u *Unit) []*Packet {
				if len(u.Slices()[0]) > 6000 {
					return nil
				}
				return []*Packet{u.Aggregate(append(append([][]byte(nil), u.Sets...), u.NALs...)...)}
			}), Want{}},
		{s, "type-50", "Geovision, Uniview", "packets of payload type 50 with the number of the next video packet", "drops them before losses are counted", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				return append([]*Packet{{PT: 50, Payload: []byte("geo"), Time: u.Time, SSRC: u.Track.SSRC, Same: true}}, ks...)
			}), Want{Check: func(_ *Camera, r *Result) string {
				if r.Lost > 0 {
					return "packets are said to be lost"
				}
				return ""
			}}},
		{s, "ssrc-each-gop", "Uniview", "another SSRC with each GOP", "accepts it; the recording does not care", 20 * time.Second,
			each(func(u *Unit, k *Packet) { k.SSRC += uint32(u.N / 30) }), Want{}},
		{s, "ssrc-each-gop-sequence", "Uniview", "the same, and the sequence begins anew", "as above", 20 * time.Second,
			func(c *Camera) {
				var next uint16
				last := -1
				c.Packets = func(_ *Peer, u *Unit, ks []*Packet) []*Packet {
					if g := u.N / 30; g != last {
						last, next = g, uint16(g*7919)
					}
					for _, k := range ks {
						n := next
						next++
						k.SSRC, k.Sequence = k.SSRC+uint32(u.N/30), &n
					}
					return ks
				}
			}, Want{}},
		{s, "sequence-zero", "some", "the sequence number is always 0", "does without", 20 * time.Second,
			each(func(_ *Unit, k *Packet) { k.Sequence = new(uint16) }), Want{Missing: span(0, 30)}},
		{s, "twice", "some", "each packet twice", "takes the first", 20 * time.Second,
			packets(0, func(_ *Unit, ks []*Packet) []*Packet {
				var l []*Packet
				for _, k := range ks {
					first := *k
					first.Same = true
					l = append(l, &first, k)
				}
				return l
			}), Want{}},
		{s, "onvif-extension", "ONVIF replay, NVRs", "header extension 0xABAC, and padding", "strips them", 20 * time.Second,
			each(func(u *Unit, k *Packet) { k.Extension, k.Padding = make([]byte, 12), 4+u.N%40 }), Want{}},
		{s, "padding-only", "some", "packets of nothing but padding", "ignores them", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				return append([]*Packet{{PT: 96, Time: u.Time, SSRC: u.Track.SSRC, Padding: 100}}, ks...)
			}), Want{}},
		{s, "h265-ap", "many", "VPS, SPS and PPS together in an AP, and small slices with their SEI", "takes it apart", 20 * time.Second,
			both(h265, rewrite(func(u *Unit) []*Packet {
				var ks []*Packet
				if len(u.Sets) > 0 {
					ks = append(ks, u.Aggregate(u.Sets...))
				}
				if len(u.Slices()[0]) > 1000 {
					for _, n := range u.NALs {
						ks = append(ks, u.Fragments(n, room)...)
					}
					return ks
				}
				return append(ks, u.Aggregate(u.NALs...))
			})), Want{}},
		{s, "h265-paci", "some", "each packet inside a PACI", "unwraps it", 20 * time.Second,
			both(h265, rewrite(func(u *Unit) []*Packet {
				ks := u.packets()
				for _, k := range ks {
					p := k.Payload
					fields := uint16(p[0]>>1&0x3f)<<9 | 3<<4 // three bytes of extension
					k.Payload = append(binary.BigEndian.AppendUint16([]byte{p[0]&0x81 | 50<<1, p[1]}, fields), 1, 2, 3)
					k.Payload = append(k.Payload, p[2:]...)
				}
				return ks
			})), Want{}},
		{s, "h265-donl", "some", "sprop-max-don-diff above 0: a number in front of each unit", "takes it out", 20 * time.Second,
			both(h265, func(c *Camera) { c.Tracks[0].Fmtp += ";sprop-max-don-diff=2" }, rewrite(donl)), Want{}},
		{s, "b-frames", "high-end encoders", "B pictures: RTP time is when a picture is shown", "decode times from the picture order", 20 * time.Second, video("bframes.h264"), Want{Off: 250 * time.Millisecond}},
		{s, "b-frames-h265", "high-end encoders", "the same, H.265", "as above", 20 * time.Second, video("bframes.h265"), Want{Off: 250 * time.Millisecond}},
		{s, "open-gop", "x264 encoders", "I pictures with a recovery point instead of IDRs, after the first", "a recording can begin there", 20 * time.Second, video("opengop.h264"), Want{Off: 250 * time.Millisecond}},
		{s, "open-gop-h265", "x265 encoders", "CRA pictures", "as above", 20 * time.Second, video("opengop.h265"), Want{Off: 250 * time.Millisecond}},
		{s, "intra-refresh", "low-latency encoders", "intra refresh: recovery points and no IDR but the first", "a recording can begin at a recovery point", 20 * time.Second,
			video("refresh.h264"), Want{AnySync: true}},
		{s, "intra-refresh-joined", "low-latency encoders", "the same, and we come in the middle", "as above", 20 * time.Second,
			both(video("refresh.h264"), unit(0, func(u *Unit) {
				if u.N < 10 {
					u.Skip = true
				}
				if u.N%30 == 0 { // the IDR is long ago
					u.NALs = u.NALs[:0]
					u.Skip = true
				}
			})), Want{AnySync: true, Maybe: span(0, 40), Damaged: nil}},
		{s, "poc-odd", "NVC4000, Tiandy", "picture order counts that make no sense, times that do", "decode time is presentation time; recording goes on", 20 * time.Second,
			both(video("bframes.h264"), func(c *Camera) {
				c.Tracks[0].Stamp = func(n int) uint32 { return uint32(n) * 6000 }
				c.Unit = func(_ *Peer, u *Unit) { u.Time = u.Track.stamp(u.N) } // in the order of decoding
			}), Want{Off: 300 * time.Millisecond}},
		{s, "b-frames-loss", "any over a bad network", "B pictures, and packets are lost", "decode times of the next IDR are right again", 30 * time.Second,
			both(video("bframes.h264"), packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if u.N%45 == 37 {
					for _, k := range ks {
						k.Lost = true
					}
				}
				return ks
			})), Want{Gaps: networkLoss, Off: 300 * time.Millisecond, Missing: func(n int) bool { return n%45 == 37 }, Damaged: func(n int) bool { return n%45 > 37 }}},
		{s, "gop-20s", "Hikvision, Dahua: H.264+ and H.265+", "a key picture every 20 s", "waits: no watchdog on key pictures", 90 * time.Second,
			unit(0, func(u *Unit) {
				if u.N%300 != 0 && u.Sync { // its slices stay, but nobody may begin there
					u.Sets = nil
					u.Skip = true
				}
			}), Want{}},
		{s, "sequence-jumps", "some", "the sequence number jumps by 30000", "a new count, not a loss", 20 * time.Second,
			each(func(u *Unit, k *Packet) {
				if u.N == 90 && k.Skip == 0 && len(u.Sets) > 0 && bytes.Equal(k.Payload, u.Sets[0]) {
					k.Skip = 30000
				}
			}), Want{}},
		{s, "interleaved-mode", "some", "MTAP beside good packets", "counts it, notes it, records the rest", 20 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if u.N%10 == 5 {
					ks = append(ks, u.packet([]byte{26, 0, 0, 0, 1, 9}))
				}
				return ks
			}), Want{Notes: []string{"not supported"}}},
	}
}

// stamps is the half of §4 that is about time.
func stamps() []Quirk {
	const s = "4"
	shift := func(f func(n int) int64) func(c *Camera) {
		return unit(0, func(u *Unit) { u.Time += uint32(f(u.N)) })
	}
	stamp := func(f func(n int) uint32) func(c *Camera) { return func(c *Camera) { c.Tracks[0].Stamp = f } }
	due := func(f func(n int) time.Duration) func(c *Camera) { return func(c *Camera) { c.Tracks[0].Due = f } }
	return []Quirk{
		{s, "stamps-twice", "Vstarcam", "two pictures with the same stamp", "strictly increasing times", 20 * time.Second, stamp(func(n int) uint32 { return uint32(n/2) * 12000 }), Want{}},
		{s, "stamps-zero", "Moonfire's users", "all stamps 0", "takes the time of arrival, notes it", 60 * time.Second, stamp(func(int) uint32 { return 0 }),
			Want{Off: 150 * time.Millisecond, Notes: []string{"make no sense"}}},
		{s, "glitch-2s", "Intelbras DVR", "every 2 s one stamp is hours off", "gives that picture the place between its neighbours", 60 * time.Second,
			shift(func(n int) int64 {
				if n%30 == 29 {
					return 5 * hour
				}
				return 0
			}), Want{}},
		{s, "glitch-at-idr", "Intelbras DVR", "the same at key pictures, backwards", "as above", 60 * time.Second,
			shift(func(n int) int64 {
				if n > 0 && n%30 == 0 {
					return -7 * hour
				}
				return 0
			}), Want{}},
		{s, "restart-at-0", "Tapo over ONVIF", "RTP time begins at 0 again, three times", "joins at the distance of the arrivals", 60 * time.Second,
			stamp(func(n int) uint32 {
				if n < 200 {
					return 1_000_000_000 + uint32(n)*6000
				}
				return uint32(n%200) * 6000
			}), Want{Off: 300 * time.Millisecond}},
		{s, "backwards-seconds", "Wyze (thingino, Raptor)", "two seconds backwards now and then", "as above", 60 * time.Second,
			shift(func(n int) int64 { return -int64(n/150) * 180000 }), Want{Off: 300 * time.Millisecond}},
		{s, "audio-far-off", "Wyze", "the sound's stamps begin 180,678 s away from the video's", "each track has its own anchor", 30 * time.Second,
			both(withAudio(G711("PCMA")), func(c *Camera) { c.Tracks[1].First = uint32(180_678 * 8000 % (1 << 32)) }), Want{}},
		{s, "stamps-25-at-21", "the .104 camera", "stamps say 25 pictures a second, 21 come", "trusts the arrivals after 10 s, notes it", 60 * time.Second,
			both(func(c *Camera) { c.Tracks[0].FPS = 21 }, stamp(func(n int) uint32 { return uint32(n) * 3600 })),
			Want{AnyTime: true, AnyRuns: true, Notes: []string{"make no sense"}}},
		{s, "low-light", "any", "15 pictures a second become 3, and 15 again", "every sample has the length it has", 60 * time.Second,
			due(func(n int) time.Duration {
				at := func(n, fps int) time.Duration { return time.Duration(n) * time.Second / time.Duration(fps) }
				switch {
				case n < 150:
					return at(n, 15)
				case n < 210:
					return at(150, 15) + at(n-150, 3)
				}
				return at(150, 15) + at(60, 3) + at(n-210, 15)
			}), Want{}},
		{s, "one-fps", "sub-streams", "one picture a second", "is not taken for dead", 90 * time.Second, func(c *Camera) { c.Tracks[0].FPS = 1 }, Want{}},
		{s, "one-in-5s", "power savers", "one picture in five seconds", "is not taken for dead", 3 * time.Minute,
			func(c *Camera) { c.Tracks[0].FPS = 0.2 }, Want{}},
		{s, "burst-at-start", "several", "begins with two seconds of pictures at once", "dates them to when they were taken", 30 * time.Second,
			func(c *Camera) {
				c.Past = 2 * time.Second
				c.Dialled = func(_ int, life time.Duration) Accept {
					if life < 5*time.Second {
						return Refuse
					}
					return Serve
				}
			}, Want{Gaps: unreachable, AnyDials: true}},
		{s, "stall-and-burst", "Wi-Fi cameras", "every 10 s nothing for 3 s, then all of it at once", "believes the stamps: no gap, no jerk", 60 * time.Second,
			unit(0, func(u *Unit) {
				if k := u.N % 150; k >= 100 && k < 145 {
					u.Delay = time.Duration(145-k) * time.Second / 15
				}
			}), Want{}},
		{s, "jitter", "Wi-Fi cameras", "pictures up to 150 ms late", "believes the stamps", 60 * time.Second,
			unit(0, func(u *Unit) { u.Delay = time.Duration(u.N*7919%150) * time.Millisecond }), Want{Off: 170 * time.Millisecond}},
		{s, "wrap", "any", "RTP time and sequence wrap round", "64 bits inside", 30 * time.Second,
			func(c *Camera) { c.Tracks[0].First, c.Tracks[0].Sequence = math.MaxUint32-90000*10, 65535-1000-200 }, Want{}},
		{s, "clock-44000", "cameras of smolrtsp#62", "a sound of 44.1 kHz stamped with a clock of 44 kHz", "the sound is slewed; no gap, no new run", 3 * time.Minute,
			func(c *Camera) {
				a := G711("PCMU")
				a.PT, a.Clock, a.FPS = 98, 44100, 50
				a.Stamp = func(n int) uint32 { return uint32(n) * 880 }
				a.Sound = func(n, conn int) []byte { return sound(n, conn, 880) }
				c.Tracks = append(c.Tracks, a)
			}, Want{Off: 400 * time.Millisecond, AnyRuns: true}},
	}
}

var (
	noMedia     = []media.Reason{media.ReasonNoMedia}
	networkLoss = []media.Reason{media.ReasonLoss}
)
