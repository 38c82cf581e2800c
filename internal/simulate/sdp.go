package simulate

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"

	"nvr/internal/media"
)

// The tracks' control URLs, relative to the Content-Base.
const (
	videoControl = "trackID=0"
	audioControl = "trackID=1"
)

// describe writes the SDP of any camera: RFC 8866, RFC 2326 appendix C.
func describe(c *clip, s *sound, fps, bitrate int, at netip.Addr) string {
	family, anywhere := "IP4", "0.0.0.0"
	if at.Is6() {
		family, anywhere = "IP6", "::"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- 1 1 IN %s %s\r\ns=simulated camera\r\nc=IN %s %s\r\nt=0 0\r\na=control:*\r\na=range:npt=now-\r\n", family, at, family, anywhere)
	fmt.Fprintf(&b, "m=video 0 RTP/AVP %d\r\nb=AS:%d\r\n", videoPayloadType, (bitrate+999)/1000)
	c.describe(&b)
	fmt.Fprintf(&b, "a=framerate:%d\r\na=control:%s\r\n", fps, videoControl)
	if s != nil {
		fmt.Fprintf(&b, "%sa=control:%s\r\n", s.media, audioControl)
	}
	return b.String()
}

// describe says what the pictures are.
func (c *clip) describe(b *strings.Builder) {
	sets := make([]string, len(c.sets))
	for i, s := range c.sets {
		sets[i] = base64.StdEncoding.EncodeToString(s)
	}
	switch c.codec {
	case media.AV1: // RTP Payload Format for AV1 §7.1
		fmt.Fprintf(b, "a=rtpmap:%d AV1/%d\r\n", videoPayloadType, videoClock)
	case media.MJPEG: // RFC 2435 counts in 8 pixels; this says it exactly
		fmt.Fprintf(b, "a=rtpmap:%d JPEG/%d\r\na=x-dimensions:%d,%d\r\n", videoPayloadType, videoClock, c.jpeg.width, c.jpeg.height)
	case media.H265: // RFC 7798 §7.1
		fmt.Fprintf(b, "a=rtpmap:%d H265/%d\r\na=fmtp:%d sprop-vps=%s; sprop-sps=%s; sprop-pps=%s\r\n",
			videoPayloadType, videoClock, videoPayloadType, sets[0], sets[1], sets[2])
	default: // RFC 6184 §8.1
		fmt.Fprintf(b, "a=rtpmap:%d H264/%d\r\na=fmtp:%d packetization-mode=1; profile-level-id=%X; sprop-parameter-sets=%s,%s\r\n",
			videoPayloadType, videoClock, videoPayloadType, c.sets[0][1:4], sets[0], sets[1])
	}
}
