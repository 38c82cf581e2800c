package ingest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"nvr/internal/codec/aac"
	"nvr/internal/codec/h264"
	"nvr/internal/codec/h265"
	"nvr/internal/codec/nal"
	"nvr/internal/ingest/rtp"
	"nvr/internal/ingest/rtsp"
	"nvr/internal/ingest/timeline"
	"nvr/internal/media"
)

// choice is a media of the SDP that is to be recorded.
type choice struct {
	media     int // index in the SDP
	kind      media.Kind
	clockRate uint32
	types     []uint8 // payload types
	name      string  // for people

	depacketizer func(rtp.Sink) rtp.Depacketizer
}

// pick chooses the first video and, if wanted, the first audio that can be
// stored. What cannot is told of once and never costs the rest.
func (c *Camera) pick(medias []rtsp.Media) []choice {
	var picked []choice
	have := map[media.Kind]bool{}
	var skipped []string
	for i, m := range medias {
		if m.BackChannel || m.Type != "video" && m.Type != "audio" || m.Type == "audio" && !c.o.Audio {
			continue
		}
		for _, f := range m.Formats {
			p, err := choose(&f)
			if err != nil {
				skipped = append(skipped, err.Error())
				continue
			}
			if have[p.kind] {
				break
			}
			have[p.kind] = true
			p.media = i
			for _, o := range m.Formats {
				if o.Encoding == f.Encoding && o.ClockRate == f.ClockRate {
					p.types = append(p.types, o.PayloadType)
				}
			}
			picked = append(picked, p)
			break
		}
	}
	if len(skipped) > 0 && c.status.firstSkip() {
		c.log.Warn("tracks that cannot be stored are left out", "tracks", skipped)
	}
	return picked
}

// choose says how a format is received, or why it is not.
func choose(f *rtsp.Format) (choice, error) {
	switch f.Encoding {
	case "H264":
		sets := nal.Sets(f.Params["sprop-parameter-sets"])
		return choice{kind: media.Video, clockRate: h264.ClockRate, name: "h264",
			depacketizer: func(s rtp.Sink) rtp.Depacketizer { return rtp.NewH264(s, sets) }}, nil
	case "H265":
		sets := nal.Sets(f.Params["sprop-vps"])
		sets = append(sets, nal.Sets(f.Params["sprop-sps"])...)
		sets = append(sets, nal.Sets(f.Params["sprop-pps"])...)
		donl := number(f.Params["sprop-max-don-diff"]) > 0
		return choice{kind: media.Video, clockRate: h265.ClockRate, name: "h265",
			depacketizer: func(s rtp.Sink) rtp.Depacketizer { return rtp.NewH265(s, sets, donl) }}, nil
	case "MPEG4-GENERIC":
		return chooseAAC(f)
	case "PCMA", "PCMU":
		t := &media.Track{Kind: media.Audio, Codec: media.PCMA, ClockRate: f.ClockRate, Channels: uint8(min(max(f.Channels, 1), 8))}
		if f.Encoding == "PCMU" {
			t.Codec = media.PCMU
		}
		if t.ClockRate == 0 {
			t.ClockRate = 8000
		}
		t.SampleRate = t.ClockRate
		return choice{kind: media.Audio, clockRate: t.ClockRate, name: t.String(),
			depacketizer: func(s rtp.Sink) rtp.Depacketizer { return rtp.NewG711(s, t) }}, nil
	}
	return choice{}, fmt.Errorf("%q", f.Encoding)
}

func chooseAAC(f *rtsp.Format) (choice, error) {
	if f.ClockRate == 0 {
		return choice{}, fmt.Errorf("%q without clock rate", f.Encoding)
	}
	config, err := hex.DecodeString(f.Params["config"])
	if err == nil && len(config) == 0 {
		err = errors.New("no config")
	}
	var t *media.Track
	if err == nil {
		t, err = aac.Track(config, f.ClockRate)
	}
	if err != nil { // none, or one that does not parse
		if t, err = aac.Derive(f.ClockRate, f.Channels); err != nil {
			return choice{}, err
		}
	}
	sizes := rtp.HighBitRate
	if n := number(f.Params["sizelength"]); n > 0 {
		sizes = rtp.AACSizes{Size: n, Index: number(f.Params["indexlength"]), IndexDelta: number(f.Params["indexdeltalength"])}
	}
	return choice{kind: media.Audio, clockRate: t.ClockRate, name: t.String(),
		depacketizer: func(s rtp.Sink) rtp.Depacketizer { return rtp.NewAAC(s, t, sizes) }}, nil
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// decodeOrder finds decode times where pictures are not sent in the order in
// which they are shown.
type decodeOrder interface {
	DTS(au []byte, pts media.Ticks) media.Ticks
	Wait()
}

// orderOf is nil where decode time is presentation time. What a stream only
// does not deny is no reason to look into its slices: many cameras' picture
// order counts make no sense, and nobody needs them while time goes forward.
func orderOf(t *media.Track) (o decodeOrder, r timeline.Reorder) {
	var declared bool
	switch t.Codec {
	case media.H264:
		if x, d := h264.NewOrder(t); x != nil {
			o, declared = x, d
		}
	case media.H265:
		if x, d := h265.NewOrder(t); x != nil {
			o, declared = x, d
		}
	}
	switch {
	case o == nil:
		return nil, timeline.InOrder
	case declared:
		return o, timeline.OutOfOrder
	}
	return o, timeline.MaybeOutOfOrder
}
