package simulate

import (
	"errors"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

// Types of OBU: AV1 §6.2.2.
const (
	obuSequenceHeader    = 1
	obuTemporalDelimiter = 2
	obuPadding           = 15

	obuExtension = 4 // obu_extension_flag
	obuHasSize   = 2 // obu_has_size_field
)

// parseOBUs cuts a stream in the low-overhead format (AV1 §5.2) into temporal
// units. They are closed GOPs of one length with one sequence header.
func parseOBUs(b []byte) (*clip, error) {
	c := &clip{codec: media.AV1}
	for len(b) > 0 {
		header := b[0]
		size, n := leb128(b[1:])
		if header&obuHasSize == 0 || header&obuExtension != 0 || n == 0 || size > len(b)-1-n {
			return nil, errors.New("clip: want OBUs with a size and without an extension")
		}
		unit := append([]byte{header &^ obuHasSize}, b[1+n:1+n+size]...)
		b = b[1+n+size:]
		if kind := header >> 3 & 0xf; kind == obuTemporalDelimiter {
			c.pictures = append(c.pictures, picture{})
			continue
		} else if len(c.pictures) == 0 {
			return nil, errors.New("clip: it does not begin with a temporal delimiter")
		} else if p := &c.pictures[len(c.pictures)-1]; kind == obuSequenceHeader {
			if err := c.addSet(unit); err != nil {
				return nil, err
			}
			p.sync = true // as this encoder has it: in front of key frames only
		} else if kind != obuPadding {
			p.slices = append(p.slices, unit)
		}
	}
	return c, c.check()
}

// leb128 reads a size of n bytes (AV1 §4.10.5); n is 0 where there is none.
func leb128(b []byte) (v, n int) {
	for i := 0; i < min(len(b), 4); i++ {
		v |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

func appendLEB128(b []byte, v int) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// Bits of an aggregation header: RTP Payload Format for AV1 §4.4.
const (
	av1GoesOn    = 0x80 // Z: the first element goes on from the packet before
	av1More      = 0x40 // Y: the last one goes on in the next packet
	av1One       = 0x10 // W: one element, without a length
	av1FirstOfCS = 0x08 // N: a coded video sequence begins
)

// templatesAV1 packetizes the clip: sequence header and mark with their lengths
// in a packet, then each OBU in as many as it needs.
func (c *clip) templatesAV1() ([]template, error) {
	all := make([]template, len(c.pictures))
	for i, p := range c.pictures {
		metadata, text, err := mark.New(c.codec, p.slices)
		if err != nil {
			return nil, err
		}
		t := &all[i]
		head := []byte{0}
		if p.sync {
			head[0] = av1FirstOfCS
			head = appendLEB128(head, len(c.sets[0]))
			head = append(head, c.sets[0]...)
			t.sample += recordedOBU(c.sets[0])
		}
		head = appendLEB128(head, len(metadata))
		t.text = frameHeader + rtpHeader + len(head) + text
		t.packet(head, metadata)
		t.sample += recordedOBU(metadata)
		for _, unit := range p.slices {
			t.obu(unit)
			t.sample += recordedOBU(unit)
		}
		t.wire[t.packets[len(t.packets)-1]+frameHeader+1] |= rtpMarker
	}
	return all, nil
}

// obu adds an OBU: whole where it fits into a packet, else in fragments.
func (t *template) obu(unit []byte) {
	const room = mtu - rtpHeader - 1
	header := byte(av1One)
	for len(unit) > room {
		t.packet([]byte{header | av1More}, unit[:room])
		header = av1One | av1GoesOn
		unit = unit[room:]
	}
	t.packet([]byte{header}, unit)
}

// recordedOBU is the size of an OBU in a recorded sample: with a size field, of
// four bytes for one that was sent in fragments and nobody knew it at first.
func recordedOBU(unit []byte) int {
	if len(unit) > mtu-rtpHeader-1 {
		return len(unit) + 4
	}
	return len(appendLEB128(nil, len(unit)-1)) + len(unit)
}
