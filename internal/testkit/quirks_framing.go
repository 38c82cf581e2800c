package testkit

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"time"

	"nvr/internal/media"
)

// framing is §3: what lies between frames, and what is wrong with them.
func framing() []Quirk {
	const s = "3"
	// some changes the frames of some packets, a few in a hundred.
	some := func(f func(random *rand.Rand, k *Packet, b []byte) []byte) func(c *Camera) {
		return func(c *Camera) {
			random := rand.New(rand.NewPCG(1, 2))
			c.Frame = func(_ *Peer, k *Packet, b []byte) []byte {
				if random.IntN(20) == 0 {
					return f(random, k, b)
				}
				return b
			}
		}
	}
	junk := func(random *rand.Rand, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	// loses takes packets of some pictures away after they got their numbers.
	loses := func(pictures func(n int) bool, which func(i, of int) bool) func(c *Camera) {
		return packets(0, func(u *Unit, ks []*Packet) []*Packet {
			if pictures(u.N) {
				for i, k := range ks {
					k.Lost = which(i, len(ks))
				}
			}
			return ks
		})
	}
	extra := func(channel uint8, payload []byte) func(c *Camera) {
		return packets(0, func(u *Unit, ks []*Packet) []*Packet {
			return append(ks, &Packet{Raw: frame(channel, payload)})
		})
	}
	return []Quirk{
		{s, "junk-random", "Canon VB-H47", "random bytes between frames", "skips to the next frame that another one proves", 30 * time.Second,
			some(func(random *rand.Rand, _ *Packet, b []byte) []byte {
				return append(junk(random, 1+random.IntN(200)), b...)
			}),
			Want{}},
		{s, "junk-zeros", "some", "zeros between frames", "skips them; nothing is lost", 30 * time.Second,
			some(func(random *rand.Rand, _ *Packet, b []byte) []byte {
				return append(make([]byte, 1+random.IntN(900)), b...)
			}), Want{}},
		{s, "junk-text", "some", "lines of text between frames", "skips them; nothing is lost", 30 * time.Second,
			some(func(_ *rand.Rand, _ *Packet, b []byte) []byte {
				return append([]byte("warning: RTSP encoder PLAY late\n"), b...)
			}), Want{}},
		{s, "header-malformed", "curl PR#10808's", "a frame header with a channel that nobody has and a length that is no length", "looks from the next byte on", 30 * time.Second,
			some(func(_ *rand.Rand, _ *Packet, b []byte) []byte { return append([]byte("$\xe7\xff\xffABCD"), b...) }), Want{}},
		{s, "channel-foreign", "IPCAM", "frames on channels that nobody set up", "ignores them", 0, extra(40, []byte(junkPacket(0)[4:])), Want{}},
		{s, "channel-foreign-big", "some", "the same, of 64 KiB, not RTP", "ignores them", 0, extra(77, bytes.Repeat([]byte{0x41}, 65535)), Want{}},
		{s, "frame-empty", "some", "frames of no length", "ignores them", 0, extra(0, nil), Want{}},
		{s, "frame-short", "some", "frames too short for a packet", "ignores them", 0, extra(0, []byte{0x80, 96, 1}), Want{}},
		{s, "frame-version", "some", "a packet of RTP version 0", "ignores it", 0, extra(0, bytes.Repeat([]byte{0x01}, 40)), Want{}},
		{s, "bytewise", "slow modems", "each byte comes alone", "puts them together", 2 * time.Second,
			func(c *Camera) { c.Tracks[0].FPS, c.Piece = 5, 1 }, Want{Off: 300 * time.Millisecond}},
		{s, "frame-cut", "overloaded servers", "a frame is cut short: its length does not fit", "goes on at the next one; the picture that lost bytes is dropped", 30 * time.Second,
			packets(0, func(u *Unit, ks []*Packet) []*Packet {
				if u.N == 100 {
					ks[len(ks)-1].Cut = true
				}
				return ks
			}), Want{Gaps: networkLoss, Missing: among(100), Damaged: span(101, 120)}},
		{s, "reconnect-mixed", "Reolink, live555 of 2013", "the session before goes on in the new connection", "TEARDOWN always; keeps the stream that SETUP announced", 30 * time.Second,
			func(c *Camera) {
				c.Packets = func(p *Peer, u *Unit, ks []*Packet) []*Packet {
					if p.N == 1 {
						if u.N == 45 {
							p.Reset()
						}
						return ks
					}
					for _, k := range ks {
						k.SSRC = 0x22220000 + uint32(p.N)
					}
					if p.N == 2 && u.N < 200 {
						k := *ks[0]
						sequence := uint16(7000 + u.N)
						k.SSRC, k.Same, k.Sequence, k.Time = u.Track.SSRC, true, &sequence, k.Time+999
						return append(ks, &k)
					}
					return ks
				}
				edit("SETUP", func(p *Peer, _ *Request, a *Reply) {
					if p.N > 1 {
						a.Set("Transport", strings.Replace(a.Get("Transport"), "11111111", "22220002", 1))
					}
				})(c)
			}, Want{Runs: 2, Gaps: []media.Reason{media.ReasonUnreachable, media.ReasonLoss}, Dials: [2]int{2, 2}, Maybe: span(45, 90), Lines: 8}},
		{s, "lost-before-tcp", "Eufy E210, C22", "drops packets before they go into TCP", "drops the picture that lost one, goes on, flags what depends on it", 30 * time.Second,
			loses(among(40, 100, 101), func(i, of int) bool { return i == of-1 }),
			Want{Gaps: networkLoss, Missing: among(40, 100, 101), Damaged: restOf(30, 41, 102)}},
		{s, "lost-middle", "Eufy", "packets out of the middle of a key picture", "the whole GOP is flagged, nothing more", 30 * time.Second,
			loses(among(90), func(i, of int) bool { return i == of/2 }), Want{Gaps: networkLoss, Missing: among(90), Damaged: restOf(30, 91)}},
		{s, "lost-48", "Eufy", "48 packets at once: several pictures", "as above", 30 * time.Second,
			loses(span(94, 106), func(int, int) bool { return true }), Want{Missing: span(94, 106), Damaged: span(106, 120), Gaps: []media.Reason{media.ReasonLoss}}},
		{s, "hates-slow-readers", "most", "hangs up when the client does not read for a second", "reads whatever the disk does", 60 * time.Second,
			both(func(c *Camera) { c.Slow = time.Second }, unit(0, func(u *Unit) {
				u.NALs = append(u.NALs, append([]byte{12}, bytes.Repeat([]byte{0xff}, 60_000)...)) // 7 Mbit/s
			})), Want{}},
	}
}
