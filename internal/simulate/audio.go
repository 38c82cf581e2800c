package simulate

import (
	"errors"
	"fmt"
	"math"
)

// sound is an audio track, packetized: one RTP packet per entry of packets,
// again and again.
type sound struct {
	rate       uint32 // Hz, and the RTP clock
	perPacket  uint32 // samples in a packet
	packets    [][]byte
	payload    int // bytes of media in all packets, without the payload header
	headerSize int // bytes of payload header in each packet
	pt         byte
	media      string // its lines of the SDP
}

func newSound(a Audio) (*sound, error) {
	switch a {
	case AudioAAC:
		return aacSound(clipAAC)
	case AudioPCMU:
		return g711Sound(0, "PCMU", mulaw), nil
	case AudioPCMA:
		return g711Sound(8, "PCMA", alaw), nil
	}
	return nil, nil
}

// g711Sound computes a second of sound: a quiet tone with a beep at its
// beginning. G.711 in RTP: RFC 3551 §4.5.14, with its static payload types.
func g711Sound(pt byte, name string, compress func(int16) byte) *sound {
	const rate, perPacket = 8000, 320 // 40 ms
	s := &sound{rate: rate, perPacket: perPacket, pt: pt, payload: rate,
		media: fmt.Sprintf("m=audio 0 RTP/AVP %d\r\na=rtpmap:%d %s/%d\r\na=ptime:%d\r\n", pt, pt, name, rate, perPacket*1000/rate)}
	for at := 0; at < rate; at += perPacket {
		b := s.newPacket(perPacket)
		for i := at; i < at+perPacket; i++ {
			v := 1500 * math.Sin(2*math.Pi*440*float64(i)/rate)
			if i < rate/10 {
				v += 6000 * math.Sin(2*math.Pi*1000*float64(i)/rate)
			}
			b = append(b, compress(int16(v)))
		}
		s.packets = append(s.packets, b)
	}
	return s
}

// newPacket begins a packet with n bytes of payload.
func (s *sound) newPacket(n int) []byte {
	b := make([]byte, 0, frameHeader+rtpHeader+n)
	return appendPacketHeader(b, rtpHeader+n, s.pt)
}

// aacSound cuts an ADTS stream (ISO/IEC 13818-7 §6.2.1) into its access units:
// one in each packet, AAC-hbr of RFC 3640 §3.3.6.
func aacSound(b []byte) (*sound, error) {
	const adtsHeader, auHeader = 7, 4 // no CRC; AU-headers-length and one AU-header
	rates := []uint32{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	s := &sound{perPacket: 1024, pt: 97, headerSize: auHeader}
	for len(b) > 0 {
		if len(b) < adtsHeader || b[0] != 0xff || b[1]&0xf7 != 0xf1 {
			return nil, errors.New("sound: want ADTS without CRC")
		}
		object, index, channels := uint(b[2]>>6)+1, uint(b[2]>>2&0x0f), uint(b[2]&1)<<2|uint(b[3]>>6)
		size := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5)
		if size <= adtsHeader || size > len(b) || index >= uint(len(rates)) || size > mtu-rtpHeader-auHeader {
			return nil, errors.New("sound: ADTS header out of range")
		}
		s.rate = rates[index]
		config := object<<11 | index<<7 | channels<<3 // AudioSpecificConfig, ISO/IEC 14496-3 §1.6.2.1
		s.media = fmt.Sprintf("m=audio 0 RTP/AVP %d\r\na=rtpmap:%d mpeg4-generic/%d/%d\r\n"+
			"a=fmtp:%d streamtype=5; profile-level-id=1; mode=AAC-hbr; sizelength=13; indexlength=3; indexdeltalength=3; config=%04X\r\n",
			s.pt, s.pt, s.rate, channels, s.pt, config)
		n := size - adtsHeader
		p := append(s.newPacket(auHeader+n), 0, 16, byte(n>>5), byte(n<<3))
		s.packets = append(s.packets, append(p, b[adtsHeader:size]...))
		s.payload += n
		b = b[size:]
	}
	if len(s.packets) == 0 {
		return nil, errors.New("sound: no access units")
	}
	for _, p := range s.packets {
		p[frameHeader+1] |= rtpMarker // each packet ends an access unit: RFC 3640 §3.1
	}
	return s, nil
}
