// Package nal has what H.264 and H.265 share: NAL units in a byte stream
// (Annex B of both), NAL units behind their length (ISO/IEC 14496-15 §4.3),
// the bit syntax of their headers and the recovery point message.
package nal

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// The limits for parameter sets (SEC-01).
const (
	MaxSets     = 16      // per track
	MaxSetBytes = 4 << 10 // each
)

// LengthSize is how many bytes of length stand before each NAL unit of a
// sample. Cameras' pictures would fit into three, but no player expects that.
const LengthSize = 4

// Next cuts the first NAL unit off an access unit whose units stand behind
// their lengths. ok is false at the end, and where a length does not fit.
func Next(au []byte) (unit, rest []byte, ok bool) {
	if len(au) < LengthSize {
		return nil, nil, false
	}
	n := int64(binary.BigEndian.Uint32(au))
	if n > int64(len(au)-LengthSize) {
		return nil, nil, false
	}
	return au[LengthSize : LengthSize+n], au[LengthSize+n:], true
}

// StartCode finds the first start code in b (00 00 01, Annex B): it begins at
// at, zeros before it included, and the NAL unit after it begins at next.
// Without one at is -1.
func StartCode(b []byte) (at, next int) {
	for i := 2; i < len(b); {
		switch {
		case b[i] > 1:
			i += 3
		case b[i] == 1 && b[i-1] == 0 && b[i-2] == 0:
			at = i - 2
			for at > 0 && b[at-1] == 0 {
				at--
			}
			return at, i + 1
		default:
			i++
		}
	}
	return -1, 0
}

// TrimSet strips what cameras leave around a parameter set: a start code
// before it (GW Security GW4089IP, in its SDP) and zeros or a start code
// behind it. What remains may be empty.
func TrimSet(b []byte) []byte {
	for {
		at, next := StartCode(b)
		if at < 0 {
			break
		}
		if at > 0 {
			b = b[:at]
			break
		}
		b = b[next:]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// Sets decodes the comma-separated Base64 of an SDP's sprop-parameter-sets,
// sprop-vps and so on (RFC 6184 §8.1, RFC 7798 §7.1). Entries that do not
// decode, are empty or too long are left out: many cameras send "SPS," or
// rubbish, and the sets come in band anyway.
func Sets(sprop string) [][]byte {
	var sets [][]byte
	for s := range strings.SplitSeq(sprop, ",") {
		if len(sets) == MaxSets {
			break
		}
		s = strings.TrimRight(strings.TrimSpace(s), "=")
		b, err := base64.RawStdEncoding.DecodeString(s)
		if err != nil {
			continue
		}
		if b = TrimSet(b); len(b) > 0 && len(b) <= MaxSetBytes {
			sets = append(sets, b)
		}
	}
	return sets
}
