package simulate

import (
	"encoding/binary"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

const (
	frameHeader = 4  // '$', channel, length: RFC 2326 §10.12
	rtpHeader   = 12 // RFC 3550 §5.1, no CSRC
	rtpVersion  = 2 << 6
	rtpMarker   = 0x80

	videoPayloadType = 96
	videoClock       = 90000
)

// template is an access unit as it goes over the wire: RTP packets, each in an
// interleaved frame. The sender patches the numbers in before each write.
type template struct {
	wire    []byte
	packets []int // where each packet's frame begins
	text    int   // where the mark's text begins
	octets  int   // RTP payload, RFC 3550 §6.4.1
	sample  int   // bytes of the access unit as it is recorded
}

// templates packetizes a clip with marks and the filler that brings it to
// bitrate. Parameter sets go in front of sync samples where inBand is set.
func (c *clip) templates(fps, bitrate int, inBand bool) ([]template, error) {
	switch c.codec {
	case media.AV1:
		return c.templatesAV1()
	case media.MJPEG:
		return c.templatesMJPEG()
	}
	n := len(c.pictures)
	marked := c.naturalBytes() + n*(nalLengthSize+markBytes(c.codec))
	fillers := fillerSizes(c.codec, n, bitrate*n/8/fps-marked)
	all := make([]template, n)
	for i, p := range c.pictures {
		units := p.slices
		if fillers[i] > 0 {
			units = append([][]byte{mark.Filler(c.codec, fillers[i], uint64(i))}, p.slices...)
		}
		nal, text, err := mark.New(c.codec, units)
		if err != nil {
			return nil, err
		}
		t := &all[i]
		if inBand && p.sync {
			t.packet(aggregate(c.codec, c.sets))
		}
		t.text = len(t.wire) + frameHeader + rtpHeader + text
		for _, u := range append([][]byte{nal}, units...) {
			t.nal(c.codec, u)
			t.sample += nalLengthSize + len(u)
		}
		t.wire[t.packets[len(t.packets)-1]+frameHeader+1] |= rtpMarker // the access unit's last packet
	}
	return all, nil
}

// markBytes is the size of a mark's NAL unit.
func markBytes(codec media.Codec) int {
	nal, _, err := mark.New(codec, [][]byte{{0}})
	if err != nil {
		panic(err) // one unit can always be marked
	}
	return len(nal)
}

// nal adds a NAL unit: whole where it fits into a packet, else in fragments.
func (t *template) nal(codec media.Codec, nal []byte) {
	const room = mtu - rtpHeader
	if len(nal) <= room {
		t.packet(nal) // single NAL unit packet: RFC 6184 §5.6, RFC 7798 §4.4.1
		return
	}
	var header []byte // its last byte is the FU header
	var body []byte
	if codec == media.H265 { // FU, RFC 7798 §4.4.3
		header = []byte{nal[0]&0x81 | 49<<1, nal[1], nal[0] >> 1 & 0x3f}
		body = nal[2:]
	} else { // FU-A, RFC 6184 §5.8
		header = []byte{nal[0]&0xe0 | 28, nal[0] & 0x1f}
		body = nal[1:]
	}
	const start, end = 0x80, 0x40
	flags := &header[len(header)-1]
	*flags |= start
	for len(body) > 0 {
		n := min(len(body), room-len(header))
		if n == len(body) {
			*flags |= end
		}
		t.packet(header, body[:n])
		*flags &^= start
		body = body[n:]
	}
}

// aggregate puts small NAL units into one packet: STAP-A, RFC 6184 §5.7.1, or
// AP, RFC 7798 §4.4.2. NRI is the highest of the units'; layer and temporal id
// are the lowest, which in our clips are 0 and 1.
func aggregate(codec media.Codec, nals [][]byte) []byte {
	var b []byte
	if codec == media.H265 {
		b = []byte{48 << 1, 1}
	} else {
		nri := byte(0)
		for _, n := range nals {
			nri = max(nri, n[0]&0x60)
		}
		b = []byte{nri | 24}
	}
	for _, n := range nals {
		b = binary.BigEndian.AppendUint16(b, uint16(len(n)))
		b = append(b, n...)
	}
	return b
}

// packet adds an RTP packet with everything that does not change.
func (t *template) packet(parts ...[]byte) {
	size := rtpHeader
	for _, p := range parts {
		size += len(p)
	}
	t.packets = append(t.packets, len(t.wire))
	t.wire = appendPacketHeader(t.wire, size, videoPayloadType)
	for _, p := range parts {
		t.wire = append(t.wire, p...)
	}
	t.octets += size - rtpHeader
}

// appendPacketHeader is the frame and RTP header of a packet of size bytes,
// without the numbers that patchPacket fills in.
func appendPacketHeader(b []byte, size int, payloadType byte) []byte {
	b = append(b, '$', 0, byte(size>>8), byte(size))
	return append(b, rtpVersion, payloadType, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// patchPacket fills in what differs from connection to connection.
func patchPacket(frame []byte, channel byte, sequence uint16, timestamp, ssrc uint32) {
	frame[1] = channel
	binary.BigEndian.PutUint16(frame[frameHeader+2:], sequence)
	binary.BigEndian.PutUint32(frame[frameHeader+4:], timestamp)
	binary.BigEndian.PutUint32(frame[frameHeader+8:], ssrc)
}

// patch makes the template one camera's access unit on one connection. The
// packets are numbered from sequence on.
func (t *template) patch(channel byte, sequence uint16, timestamp, ssrc uint32) {
	for i, at := range t.packets {
		patchPacket(t.wire[at:], channel, sequence+uint16(i), timestamp, ssrc)
	}
}

// rtp is the i-th packet without its frame.
func (t *template) rtp(i int) []byte {
	end := len(t.wire)
	if i+1 < len(t.packets) {
		end = t.packets[i+1]
	}
	return t.wire[t.packets[i]+frameHeader : end]
}
