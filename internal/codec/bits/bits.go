// Package bits reads the bit syntax of headers, most significant bit first, as
// MPEG-4 audio and AV1 write it. (NAL units have bytes in between that are not
// theirs: codec/nal has its own reader.)
package bits

// Reader reads from Data. Reading past the end gives zeros and sets Short. The
// zero value over Data reads from its start.
type Reader struct {
	Data  []byte
	Pos   int  // in bits
	Short bool // more was asked for than there is
}

// U reads n ≤ 32 bits.
func (r *Reader) U(n int) uint32 {
	if n > r.Left() {
		r.Short = true
		r.Pos = 8 * len(r.Data)
		return 0
	}
	var v uint32
	for n > 0 {
		free := 8 - r.Pos&7 // bits of the current byte not read yet
		take := min(n, free)
		v = v<<take | uint32(r.Data[r.Pos>>3]>>(free-take))&(1<<take-1)
		r.Pos += take
		n -= take
	}
	return v
}

// Flag reads one bit as a truth.
func (r *Reader) Flag() bool { return r.U(1) == 1 }

// Skip steps over n ≥ 0 bits.
func (r *Reader) Skip(n int) {
	if n > r.Left() {
		r.Short = true
		n = r.Left()
	}
	r.Pos += n
}

// Left is how many bits are not read yet.
func (r *Reader) Left() int { return 8*len(r.Data) - r.Pos }

// Append reads n bits and appends them to dst as bytes, the last one padded
// with zeros. Where there are fewer it appends nothing and sets Short.
func (r *Reader) Append(dst []byte, n int) []byte {
	if n > r.Left() {
		r.Short = true
		return dst
	}
	if r.Pos&7 == 0 {
		at := r.Pos >> 3
		dst = append(dst, r.Data[at:at+n>>3]...)
		r.Pos += n &^ 7
		n &= 7
	}
	for ; n >= 8; n -= 8 {
		at, shift := r.Pos>>3, r.Pos&7
		dst = append(dst, r.Data[at]<<shift|r.Data[at+1]>>(8-shift))
		r.Pos += 8
	}
	if n > 0 {
		dst = append(dst, byte(r.U(n)<<(8-n)))
	}
	return dst
}
