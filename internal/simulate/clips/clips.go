// Package clips is the media that cameras which do not exist send, as gen.sh
// makes it.
package clips

import _ "embed"

// The clips: Annex B with access unit delimiters, OBUs, JPEGs, ADTS, and what
// gen.sh says of the rest.
var (
	//go:embed picture.h264
	H264 []byte
	//go:embed picture.h265
	H265 []byte
	//go:embed picture.obu
	AV1 []byte
	//go:embed picture.mjpeg
	MJPEG []byte
	//go:embed tone.aac
	AAC []byte
	//go:embed tone.opus
	Opus []byte
)
