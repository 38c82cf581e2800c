package simulate

import (
	"encoding/binary"
	"fmt"
	"testing"

	"nvr/internal/media"
)

// depacketizer puts NAL units together again, as RFC 6184 §7 and RFC 7798 §6
// say, and insists on every detail.
type depacketizer struct {
	codec media.Codec
	nals  [][]byte
	part  []byte // fragments so far
}

// push takes an RTP payload.
func (d *depacketizer) push(b []byte) error {
	if len(b) < 3 {
		return fmt.Errorf("payload of %d bytes", len(b))
	}
	if d.codec == media.H265 {
		return d.push265(b)
	}
	if b[0]&0x80 != 0 {
		return fmt.Errorf("forbidden bit")
	}
	switch t := b[0] & 0x1f; t {
	case 24: // STAP-A
		return d.aggregate(b[1:])
	case 28: // FU-A
		return d.fragment(b[1], []byte{b[0]&0xe0 | b[1]&0x1f}, b[2:])
	default:
		return d.single(t >= 1 && t <= 23, b)
	}
}

func (d *depacketizer) push265(b []byte) error {
	if b[0]&0x80 != 0 || b[0]&1 != 0 || b[1] != 1 {
		return fmt.Errorf("header %x", b[:2])
	}
	switch t := b[0] >> 1; t {
	case 48: // AP
		return d.aggregate(b[2:])
	case 49: // FU
		return d.fragment(b[2], []byte{b[0]&0x81 | b[2]&0x3f<<1, b[1]}, b[3:])
	default:
		return d.single(t <= 47, b)
	}
}

func (d *depacketizer) single(valid bool, b []byte) error {
	if !valid || d.part != nil {
		return fmt.Errorf("type %d, inside a fragment: %v", b[0], d.part != nil)
	}
	d.nals = append(d.nals, append([]byte(nil), b...))
	return nil
}

func (d *depacketizer) aggregate(b []byte) error {
	if d.part != nil {
		return fmt.Errorf("aggregation inside a fragment")
	}
	count := 0
	for ; len(b) > 0; count++ {
		if len(b) < 2 {
			return fmt.Errorf("aggregation cut off")
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n == 0 || n > len(b) {
			return fmt.Errorf("aggregated unit of %d bytes in %d", n, len(b))
		}
		d.nals = append(d.nals, append([]byte(nil), b[:n]...))
		b = b[n:]
	}
	if count < 2 {
		return fmt.Errorf("aggregation of %d units", count)
	}
	return nil
}

func (d *depacketizer) fragment(flags byte, header, b []byte) error {
	start, end := flags&0x80 != 0, flags&0x40 != 0
	if start == (d.part != nil) || start && end || len(b) == 0 {
		return fmt.Errorf("fragment: start %v end %v, open %v, %d bytes", start, end, d.part != nil, len(b))
	}
	if start {
		d.part = header
	}
	d.part = append(d.part, b...)
	if end {
		d.nals = append(d.nals, d.part)
		d.part = nil
	}
	return nil
}

// accessUnit is what was put together, as a recorder keeps it: behind lengths,
// without parameter sets.
func (d *depacketizer) accessUnit(t testing.TB) []byte {
	t.Helper()
	if d.part != nil {
		t.Error("the access unit ends inside a fragment")
	}
	var b []byte
	for _, n := range d.nals {
		if kindOf(d.codec, n) != parameterSetNAL {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
		}
	}
	d.nals = nil
	return b
}
