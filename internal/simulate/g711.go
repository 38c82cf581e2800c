package simulate

// mulaw compresses a 16-bit sample: ITU-T G.711 §3.2, µ-law.
func mulaw(s int16) byte {
	const bias, clip = 132, 32635
	x, sign := int(s), byte(0)
	if x < 0 {
		x, sign = -x, 0x80
	}
	x = min(x, clip) + bias
	exponent := 7
	for bit := 0x4000; x&bit == 0 && exponent > 0; bit >>= 1 {
		exponent--
	}
	return ^(sign | byte(exponent)<<4 | byte(x>>(exponent+3))&0x0f)
}

// alaw compresses a 16-bit sample: ITU-T G.711 §3.1, A-law, even bits inverted.
func alaw(s int16) byte {
	const invert = 0x55
	x, sign := int(s)>>3, byte(0x80) // 13 bits
	if x < 0 {
		x, sign = -x-1, 0
	}
	code := byte(x >> 1)
	if x >= 32 {
		exponent := 1
		for x>>exponent >= 32 {
			exponent++
		}
		code = byte(exponent)<<4 | byte(x>>exponent)&0x0f
	}
	return (sign | code) ^ invert
}
