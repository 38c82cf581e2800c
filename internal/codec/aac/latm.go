package aac

import (
	"bytes"
	"errors"
	"fmt"

	"nvr/internal/codec/bits"
)

// Mux is a StreamMuxConfig (ISO/IEC 14496-3 §1.7.3) of the only kind that is
// met in RTP: one program of one layer whose access units say how long they are.
type Mux struct {
	SubFrames int // access units in an AudioMuxElement

	asc  [MaxConfigBytes]byte
	size int // of asc
}

// Config is the AudioSpecificConfig. It aliases m.
func (m *Mux) Config() []byte { return m.asc[:m.size] }

// Equal reports whether both say the same.
func (m *Mux) Equal(o *Mux) bool {
	return m.SubFrames == o.SubFrames && bytes.Equal(m.Config(), o.Config())
}

// ReadMux reads a StreamMuxConfig and stops behind it. One that ends with its
// AudioSpecificConfig is taken as it is meant: GStreamer writes such into SDPs.
func ReadMux(r *bits.Reader) (m Mux, err error) {
	version := r.U(1)
	if version == 1 {
		if r.Flag() { // audioMuxVersionA
			return m, errors.New("aac: StreamMuxConfig of a version that nobody knows")
		}
		latmValue(r) // taraBufferFullness
	}
	same := r.Flag() // allStreamsSameTimeFraming
	m.SubFrames = int(r.U(6)) + 1
	if programs, layers := r.U(4)+1, r.U(3)+1; !same || programs > 1 || layers > 1 {
		return m, fmt.Errorf("aac: StreamMuxConfig with %d programs, %d layers", programs, layers)
	}
	begin, size := r.Pos, 0
	if version == 1 {
		size = int(latmValue(r))
		begin = r.Pos
	} else {
		if _, err := readConfig(r); err != nil {
			return m, fmt.Errorf("aac: AudioSpecificConfig in a StreamMuxConfig: %w", err)
		}
		skipHint(r)
		size = r.Pos - begin
	}
	if size > 8*MaxConfigBytes {
		return m, fmt.Errorf("aac: AudioSpecificConfig of %d bits", size)
	}
	if r.Short || size > r.Left()+r.Pos-begin {
		return m, errors.New("aac: StreamMuxConfig cut short")
	}
	r.Pos = begin
	m.size = len(r.Append(m.asc[:0], size))
	if kind := r.U(3); kind != 0 {
		return m, fmt.Errorf("aac: StreamMuxConfig with frameLengthType %d", kind)
	}
	r.Skip(8)     // latmBufferFullness
	if r.Flag() { // otherDataPresent: it stands behind the access units
		if version == 1 {
			latmValue(r)
		} else {
			for more := true; more && !r.Short; {
				more = r.Flag()
				r.Skip(8)
			}
		}
	}
	if r.Flag() {
		r.Skip(8) // crcCheckSum
	}
	return m, nil
}

// latmValue is LatmGetValue, §1.7.3.1.
func latmValue(r *bits.Reader) uint32 {
	n := 8 * (int(r.U(2)) + 1)
	return r.U(n)
}

// SlotLength reads how many bytes the next access unit has (PayloadLengthInfo,
// §1.7.3.1).
func SlotLength(r *bits.Reader) int {
	n := 0
	for {
		b := r.U(8)
		n += int(b)
		if b != 255 || r.Short {
			return n
		}
	}
}
