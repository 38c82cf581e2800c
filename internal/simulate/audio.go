package simulate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"nvr/internal/simulate/clips"
)

// sound is an audio track, packetized: one RTP packet per entry of packets,
// again and again.
type sound struct {
	rate      uint32 // Hz, and the RTP clock
	perPacket uint32 // samples in a packet
	packets   []soundPacket
	payload   int // bytes of media in all packets, without payload headers
	pt        byte
	media     string // its lines of the SDP
}

// soundPacket is an RTP packet in an interleaved frame.
type soundPacket struct {
	wire  []byte
	media int // bytes behind the payload header
}

func newSound(a Audio) (*sound, error) {
	switch a {
	case AudioAAC:
		return aacSound(clips.AAC)
	case AudioPCMU:
		return g711Sound(0, "PCMU", mulaw), nil
	case AudioPCMA:
		return g711Sound(8, "PCMA", alaw), nil
	case AudioL16:
		return l16Sound(), nil
	case AudioLATM:
		return latmSound(clips.AAC)
	case AudioOpus:
		return opusSound(clips.Opus)
	}
	return nil, nil
}

// g711Sound is G.711 in RTP: RFC 3551 §4.5.14, with its static payload types.
func g711Sound(pt byte, name string, compress func(int16) byte) *sound {
	return pcmSound(pt, name, 8000, 1, func(b []byte, v int16) []byte { return append(b, compress(v)) })
}

// l16Sound is linear PCM, big-endian: RFC 3551 §4.5.11.
func l16Sound() *sound {
	return pcmSound(97, "L16", 16000, 2, func(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) })
}

// pcmSound computes a second of sound, width bytes a sample: a quiet tone with a
// beep at its beginning.
func pcmSound(pt byte, name string, rate, width int, add func([]byte, int16) []byte) *sound {
	perPacket := rate * 40 / 1000
	s := &sound{rate: uint32(rate), perPacket: uint32(perPacket), pt: pt, payload: rate * width,
		media: fmt.Sprintf("m=audio 0 RTP/AVP %d\r\na=rtpmap:%d %s/%d\r\na=ptime:%d\r\n", pt, pt, name, rate, perPacket*1000/rate)}
	for at := 0; at < rate; at += perPacket {
		b := s.newPacket(perPacket * width)
		for i := at; i < at+perPacket; i++ {
			v := 1500 * math.Sin(2*math.Pi*440*float64(i)/float64(rate))
			if i < rate/10 {
				v += 6000 * math.Sin(2*math.Pi*1000*float64(i)/float64(rate))
			}
			b = add(b, int16(v))
		}
		s.packets = append(s.packets, soundPacket{b, perPacket * width})
	}
	return s
}

// newPacket begins a packet with n bytes of payload.
func (s *sound) newPacket(n int) []byte {
	b := make([]byte, 0, frameHeader+rtpHeader+n)
	return appendPacketHeader(b, rtpHeader+n, s.pt)
}

// aacSound is one access unit in each packet, AAC-hbr of RFC 3640 §3.3.6.
func aacSound(b []byte) (*sound, error) {
	const auHeader = 4 // AU-headers-length and one AU-header
	a, err := parseADTS(b, mtu-rtpHeader-auHeader)
	if err != nil {
		return nil, err
	}
	s := &sound{rate: a.rate, perPacket: 1024, pt: 97}
	s.media = fmt.Sprintf("m=audio 0 RTP/AVP %d\r\na=rtpmap:%d mpeg4-generic/%d/%d\r\n"+
		"a=fmtp:%d streamtype=5; profile-level-id=1; mode=AAC-hbr; sizelength=13; indexlength=3; indexdeltalength=3; config=%04X\r\n",
		s.pt, s.pt, a.rate, a.channels, s.pt, a.config)
	for _, au := range a.units {
		n := len(au)
		s.add(n, []byte{0, 16, byte(n >> 5), byte(n << 3)}, au)
	}
	return s, nil
}

// latmSound is one AudioMuxElement of one access unit in each packet, its
// StreamMuxConfig in the SDP: RFC 6416 §5, ISO/IEC 14496-3 §1.7.3.
func latmSound(b []byte) (*sound, error) {
	a, err := parseADTS(b, mtu-rtpHeader-8)
	if err != nil {
		return nil, err
	}
	s := &sound{rate: a.rate, perPacket: 1024, pt: 97}
	// allStreamsSameTimeFraming, then 13 bits of nought: one of everything. The
	// AudioSpecificConfig, frameLengthType 0, latmBufferFullness 0xff, two flags.
	mux := 0x4000<<32 | uint64(a.config)<<17 | 0xff<<6
	s.media = fmt.Sprintf("m=audio 0 RTP/AVP %d\r\na=rtpmap:%d MP4A-LATM/%d/%d\r\na=fmtp:%d profile-level-id=1; object=2; cpresent=0; config=%012X\r\n",
		s.pt, s.pt, a.rate, a.channels, s.pt, mux)
	for _, au := range a.units {
		var size []byte // PayloadLengthInfo
		for n := len(au); ; n -= 255 {
			if n < 255 {
				size = append(size, byte(n))
				break
			}
			size = append(size, 255)
		}
		s.add(len(au), size, au)
	}
	return s, nil
}

// add adds a packet that ends an access unit, with n bytes of media in parts.
func (s *sound) add(n int, parts ...[]byte) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	b := s.newPacket(size)
	b[frameHeader+1] |= rtpMarker
	for _, p := range parts {
		b = append(b, p...)
	}
	s.packets = append(s.packets, soundPacket{b, n})
	s.payload += n
}

// adts is what an ADTS stream has.
type adts struct {
	rate     uint32
	channels uint
	config   uint // AudioSpecificConfig, ISO/IEC 14496-3 §1.6.2.1
	units    [][]byte
}

// parseADTS cuts an ADTS stream (ISO/IEC 13818-7 §6.2.1) into its access units
// of at most limit bytes.
func parseADTS(b []byte, limit int) (a adts, err error) {
	const header = 7 // no CRC
	rates := []uint32{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	for len(b) > 0 {
		if len(b) < header || b[0] != 0xff || b[1]&0xf7 != 0xf1 {
			return a, errors.New("sound: want ADTS without CRC")
		}
		object, index, channels := uint(b[2]>>6)+1, uint(b[2]>>2&0x0f), uint(b[2]&1)<<2|uint(b[3]>>6)
		size := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5)
		if size <= header || size > len(b) || index >= uint(len(rates)) || size-header > limit {
			return a, errors.New("sound: ADTS header out of range")
		}
		a.rate, a.channels, a.config = rates[index], channels, object<<11|index<<7|channels<<3
		a.units = append(a.units, b[header:size])
		b = b[size:]
	}
	if len(a.units) == 0 {
		return a, errors.New("sound: no access units")
	}
	return a, nil
}

// opusSound is one packet of 20 ms in each packet: RFC 7587.
func opusSound(b []byte) (*sound, error) {
	s := &sound{rate: 48000, perPacket: 960, pt: 97}
	s.media = fmt.Sprintf("m=audio 0 RTP/AVP %d\r\na=rtpmap:%d opus/48000/2\r\na=fmtp:%d sprop-stereo=0\r\n", s.pt, s.pt, s.pt)
	packets, err := parseOgg(b)
	if err != nil {
		return nil, err
	}
	if len(packets) < 3 { // an identification and a comment header: RFC 7845 §5
		return nil, errors.New("sound: no Opus packets")
	}
	for _, p := range packets[2:] {
		if len(p) == 0 || len(p) > mtu-rtpHeader {
			return nil, fmt.Errorf("sound: an Opus packet of %d bytes", len(p))
		}
		s.add(len(p), p)
	}
	return s, nil
}

// parseOgg cuts an Ogg stream into its packets: RFC 3533 §6.
func parseOgg(b []byte) (packets [][]byte, err error) {
	const header = 27 // up to the segment table
	var packet []byte
	for len(b) > 0 {
		if len(b) < header || string(b[:4]) != "OggS" || len(b) < header+int(b[26]) {
			return nil, errors.New("sound: want Ogg")
		}
		table := b[header : header+int(b[26])]
		b = b[header+len(table):]
		for _, n := range table {
			if int(n) > len(b) {
				return nil, errors.New("sound: Ogg cut short")
			}
			packet = append(packet, b[:n]...)
			if b = b[n:]; n < 255 {
				packets = append(packets, packet)
				packet = nil
			}
		}
	}
	return packets, nil
}
