package mp4

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// layout is a tree of boxes under construction (ISO/IEC 14496-12 §4.2): their
// fields in memory, their long tables spliced in from the spools when the tree
// is written. Sizes are final as soon as the outermost box is closed.
type layout struct {
	buf     []byte
	open    []mark
	splices []splice
	spliced int64 // bytes of all splices
}

// mark is where an open box begins.
type mark struct {
	at      int
	spliced int64
}

// splice is a table that belongs in front of buf[at].
type splice struct {
	at    int
	size  int64
	write func(io.Writer) error
}

func (l *layout) u8(v uint8)     { l.buf = append(l.buf, v) }
func (l *layout) u16(v uint16)   { l.buf = binary.BigEndian.AppendUint16(l.buf, v) }
func (l *layout) u32(v uint32)   { l.buf = binary.BigEndian.AppendUint32(l.buf, v) }
func (l *layout) u64(v uint64)   { l.buf = binary.BigEndian.AppendUint64(l.buf, v) }
func (l *layout) bytes(b []byte) { l.buf = append(l.buf, b...) }
func (l *layout) str(s string)   { l.buf = append(l.buf, s...) }
func (l *layout) zeros(n int)    { l.buf = append(l.buf, make([]byte, n)...) }
func (l *layout) size() int64    { return int64(len(l.buf)) + l.spliced }
func (l *layout) word(v int64, wide bool) {
	if wide {
		l.u64(uint64(v))
	} else {
		l.u32(uint32(v))
	}
}

// box begins a box; it ends with end.
func (l *layout) box(typ string) {
	l.open = append(l.open, mark{len(l.buf), l.spliced})
	l.u32(0)
	l.str(typ)
}

// fullBox begins a box with version and flags (§4.2.2).
func (l *layout) fullBox(typ string, version uint8, flags uint32) {
	l.box(typ)
	l.u32(uint32(version)<<24 | flags)
}

// end closes the innermost open box. No box of ours but mdat may reach 4 GiB.
func (l *layout) end() error {
	m := l.open[len(l.open)-1]
	l.open = l.open[:len(l.open)-1]
	size := int64(len(l.buf)-m.at) + l.spliced - m.spliced
	if size > math.MaxUint32 {
		return fmt.Errorf("box %s of %d bytes: %w", l.buf[m.at+4:m.at+8], size, ErrTooLong)
	}
	binary.BigEndian.PutUint32(l.buf[m.at:], uint32(size))
	return nil
}

// table splices in size bytes that write will produce.
func (l *layout) table(size int64, write func(io.Writer) error) {
	l.splices = append(l.splices, splice{len(l.buf), size, write})
	l.spliced += size
}

// spool splices in a whole spool as it is.
func (l *layout) spool(s *Spool) {
	l.table(s.Size(), func(w io.Writer) error {
		_, err := io.Copy(w, s.Reader())
		return err
	})
}

// writeTo writes the tree.
func (l *layout) writeTo(w io.Writer) error {
	at := 0
	for _, s := range l.splices {
		if _, err := w.Write(l.buf[at:s.at]); err != nil {
			return err
		}
		at = s.at
		if err := s.write(w); err != nil {
			return err
		}
	}
	_, err := w.Write(l.buf[at:])
	return err
}
