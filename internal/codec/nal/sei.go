package nal

// The one message we look for (H.264 §D.1.8, H.265 §D.2.8): both standards
// gave it the same number.
const seiRecoveryPoint = 6

// A longer message is user data or filler, and nobody puts a recovery point
// behind that.
const maxSkippedSEI = 256

// RecoveryPoint looks for a recovery point in the payload of an SEI unit (what
// stands behind the unit's header). after is how many pictures it takes until
// the picture is whole (H.264: recovery_frame_cnt; H.265 says it signed, so
// that it is only known to be nought or not).
func RecoveryPoint(payload []byte, h265 bool) (after int, found bool) {
	r := Bits{Data: payload}
	for range 32 { // messages in a unit; nobody sends more
		kind, size := varLen(&r), varLen(&r)
		if r.Short || size > len(payload) {
			return 0, false
		}
		if kind != seiRecoveryPoint {
			if size > maxSkippedSEI {
				return 0, false
			}
			r.Skip(8 * size)
			continue
		}
		v := r.UE()
		if r.Short {
			return 0, false
		}
		if h265 { // recovery_poc_cnt is se(v): 1 → 1, 2 → -1, …
			v = (v + 1) / 2
		}
		return int(min(v, 1<<16)), true
	}
	return 0, false
}

// varLen reads a payload type or size: bytes of 255 and a last one (§7.3.2.3.1).
func varLen(r *Bits) int {
	n := 0
	for {
		b := r.U(8)
		n += int(b)
		if b != 255 || r.Short || n > MaxSetBytes {
			return n
		}
	}
}
