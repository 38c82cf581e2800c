package nal

// Bits reads the bit syntax of a NAL unit's payload and steps over emulation
// prevention bytes (H.264 §7.4.1, H.265 §7.4.2) on the way. Reading past the
// end gives zeros and sets Short. The zero value over Data reads from its start.
type Bits struct {
	Data  []byte
	Short bool // more was asked for than there is

	pos   int // bit position in Data
	zeros int // zero bytes in a row before the current byte
}

// Bit reads one bit.
func (r *Bits) Bit() uint32 {
	i := r.pos >> 3
	if r.pos&7 == 0 {
		if r.zeros >= 2 && i < len(r.Data) && r.Data[i] == 3 {
			r.pos += 8
			i++
			r.zeros = 0
		}
		if i < len(r.Data) && r.Data[i] == 0 {
			r.zeros++
		} else {
			r.zeros = 0
		}
	}
	if i >= len(r.Data) {
		r.Short = true
		return 0
	}
	bit := r.Data[i] >> (7 - r.pos&7) & 1
	r.pos++
	return uint32(bit)
}

// Flag reads one bit as a truth.
func (r *Bits) Flag() bool { return r.Bit() == 1 }

// U reads n ≤ 32 bits, u(n).
func (r *Bits) U(n int) uint32 {
	var v uint32
	for range n {
		v = v<<1 | r.Bit()
	}
	return v
}

// Skip steps over n bits.
func (r *Bits) Skip(n int) {
	for range n {
		r.Bit()
	}
}

// UE reads an Exp-Golomb value of at most 32 bits, ue(v) (H.264 §9.1).
func (r *Bits) UE() uint32 {
	n := 0
	for r.Bit() == 0 {
		if n++; n > 31 || r.Short {
			r.Short = true
			return 0
		}
	}
	return 1<<n - 1 + r.U(n)
}
