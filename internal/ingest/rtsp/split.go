package rtsp

import (
	"bytes"
	"encoding/binary"
)

const (
	frameHeader = 4        // '$', channel, length (RFC 2326 §10.12)
	maxJunk     = 64 << 10 // bytes in a row that are no frame and no message (SEC-01)
)

type itemKind uint8

const (
	itemNone    itemKind = iota // more bytes are needed
	itemFrame                   // data of a channel that is set up
	itemMessage                 // an answer, or a request of the camera
)

// item is one thing that was found in the stream.
type item struct {
	kind    itemKind
	channel uint8
	data    []byte // of a frame; aliases the buffer
	message *message
}

type channelRole uint8

const (
	noRole channelRole = iota
	rtpRole
	rtcpRole
)

// splitter finds frames and messages in what a camera sends over TCP, where
// they lie: nothing is copied. Cameras put random bytes between frames (Canon
// VB-H47), cut frames short when they are overloaded, and send on channels
// that nobody set up. So a frame is believed at once only while the stream is
// in step; after junk it is believed when it is of the source that was heard
// before, or when another frame or a message follows it.
type splitter struct {
	roles   [256]channelRole
	sources [256]uint32 // SSRC of the last packet on an RTP channel,
	heard   [256]bool   // where there was one
	lost    bool        // out of step
	run     int         // bytes skipped in a row
	junk    uint64      // bytes skipped in all
}

// next returns the first item in b and how many bytes are done with. With
// itemNone the bytes that are not done with begin something whose rest is missing.
func (p *splitter) next(b []byte) (item, int, error) {
	done := 0
	for done < len(b) {
		var it item
		n, v, err := 1, no, error(nil)
		switch c := b[done]; {
		case c == '$':
			it, n, v = p.frame(b[done:])
		case c == '\r' || c == '\n': // between frames and before messages
			done++
			if p.run++; p.run > maxJunk {
				return item{}, done, &limitError{"bytes of junk in a row", maxJunk}
			}
			continue
		case c >= 'A' && c <= 'Z':
			it, n, v, err = p.message(b[done:])
			if err != nil {
				return item{}, done, err
			}
		}
		switch v {
		case maybe:
			return item{}, done, nil
		case yes:
			p.run, p.lost = 0, false
			done += n
			if it.kind != itemNone {
				return it, done, nil
			}
		case no:
			p.lost = true
			p.junk += uint64(n)
			done += n
			if p.run += n; p.run > maxJunk {
				return item{}, done, &limitError{"bytes of junk in a row", maxJunk}
			}
		}
	}
	return item{}, done, nil
}

// frame judges b, which begins with '$'. yes: a frame of n bytes, to be skipped
// when the item is none; no: n bytes of junk; maybe: too little is there.
func (p *splitter) frame(b []byte) (it item, n int, v verdict) {
	if len(b) < frameHeader+2 {
		return item{}, 0, maybe
	}
	end := frameHeader + int(b[2])<<8 + int(b[3])
	plausible := p.plausible(b)
	sure := plausible && (!p.lost || p.known(b))
	if len(b) < end {
		if !sure {
			if n := p.embedded(b, len(b)); n > 0 {
				return item{}, n, no
			}
		}
		return item{}, 0, maybe
	}
	follows := p.starts(b[end:])
	switch {
	case sure && follows == no:
		// Junk behind a good frame, or a frame that was cut short: then the next one begins inside of it.
		if n := p.embedded(b, end); n > 0 {
			return item{}, n, no
		}
	case sure:
	case follows == no:
		return item{}, 1, no
	case follows == maybe:
		return item{}, 0, maybe
	}
	if plausible {
		it = item{kind: itemFrame, channel: b[1], data: b[frameHeader:end:end]}
	}
	return it, end, yes
}

// plausible reports whether the first six bytes of b can begin a frame of a
// channel that is set up.
func (p *splitter) plausible(b []byte) bool {
	length := int(b[2])<<8 + int(b[3])
	if b[4]>>6 != 2 { // the version of RTP and RTCP
		return false
	}
	switch p.roles[b[1]] {
	case rtpRole:
		return length >= rtpHeaderBytes || length >= minRTCPBytes && isRTCP(b[5])
	case rtcpRole:
		return length >= minRTCPBytes
	}
	return false
}

// known reports whether b, which begins a plausible frame, is a packet of the
// source that its channel carries: junk does not hit 32 bits by chance.
func (p *splitter) known(b []byte) bool {
	return p.heard[b[1]] && len(b) >= frameHeader+rtpHeaderBytes &&
		binary.BigEndian.Uint32(b[frameHeader+8:]) == p.sources[b[1]]
}

// hear takes note of whose packets a channel carries.
func (p *splitter) hear(channel uint8, ssrc uint32) {
	p.sources[channel], p.heard[channel] = ssrc, true
}

// starts reports whether b begins like a frame or a message.
func (p *splitter) starts(b []byte) verdict {
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	switch {
	case len(b) == 0:
		return maybe
	case b[0] == '$' && len(b) <= frameHeader:
		return maybe
	case b[0] == '$' && b[frameHeader]>>6 == 2:
		return yes
	case b[0] == '$' && b[2] == 0 && b[3] == 0 && p.roles[b[1]] != noRole: // an empty frame
		return yes
	case b[0] == '$':
		return no
	}
	return messageStarts(b)
}

// embedded looks behind the first byte of b and before limit for a frame that
// is proven by its source or by what follows it, or for an answer. It returns
// its offset, or 0.
func (p *splitter) embedded(b []byte, limit int) int {
	answer := bytes.Index(b[1:limit], []byte(answerStart)) + 1
	if answer > 0 {
		limit = answer
	}
	for i := 1; i < limit; i++ {
		n := bytes.IndexByte(b[i:limit], '$')
		if n < 0 {
			break
		}
		i += n
		f := b[i:]
		if len(f) < frameHeader+2 {
			break
		}
		if !p.plausible(f) {
			continue
		}
		if end := frameHeader + int(f[2])<<8 + int(f[3]); p.known(f) || end < len(f) && p.starts(f[end:]) == yes {
			return i
		}
	}
	return answer
}

// message judges b, which begins with a capital letter.
func (p *splitter) message(b []byte) (it item, n int, v verdict, err error) {
	if v := messageStarts(b); v != yes {
		return item{}, 1, v, nil
	}
	m, n, err := parseMessage(b)
	switch {
	case err == errNotMessage:
		return item{}, 1, no, nil
	case err != nil:
		return item{}, 0, no, err
	case m == nil:
		return item{}, 0, maybe, nil
	}
	return item{kind: itemMessage, message: m}, n, yes, nil
}
