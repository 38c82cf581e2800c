package ingest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nvr/internal/codec/aac"
	"nvr/internal/codec/av1"
	"nvr/internal/codec/bits"
	"nvr/internal/codec/h264"
	"nvr/internal/codec/h265"
	"nvr/internal/codec/jpeg"
	"nvr/internal/codec/nal"
	"nvr/internal/codec/opus"
	"nvr/internal/ingest/rtp"
	"nvr/internal/ingest/rtsp"
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
		depth := 0
		if f.Params["packetization-mode"] == "2" {
			depth = number(f.Params["sprop-interleaving-depth"])
		}
		return videoChoice("h264", h264.ClockRate, func(s rtp.Sink) rtp.Depacketizer { return rtp.NewH264(s, sets, depth) })
	case "H265":
		sets := nal.Sets(f.Params["sprop-vps"])
		sets = append(sets, nal.Sets(f.Params["sprop-sps"])...)
		sets = append(sets, nal.Sets(f.Params["sprop-pps"])...)
		donl, depth := number(f.Params["sprop-max-don-diff"]) > 0, number(f.Params["sprop-depack-buf-nalus"])
		return videoChoice("h265", h265.ClockRate, func(s rtp.Sink) rtp.Depacketizer { return rtp.NewH265(s, sets, donl, depth) })
	case "AV1":
		return videoChoice("av1", av1.ClockRate, func(s rtp.Sink) rtp.Depacketizer { return rtp.NewAV1(s) })
	case "JPEG":
		width, height := dimensions(f)
		return videoChoice("mjpeg", jpeg.ClockRate, func(s rtp.Sink) rtp.Depacketizer { return rtp.NewMJPEG(s, width, height) })
	case "MPEG4-GENERIC":
		return chooseAAC(f)
	case "MP4A-LATM":
		return chooseLATM(f)
	case "OPUS", "X-GST-OPUS-DRAFT-SPITTKA-00": // the second is GStreamer's of before RFC 7587
		return audioChoice(opus.Track(), func(s rtp.Sink) rtp.Depacketizer { return rtp.NewOpus(s) })
	case "PCMA":
		return choosePCM(f, media.PCMA, 1)
	case "PCMU":
		return choosePCM(f, media.PCMU, 1)
	case "L16":
		return choosePCM(f, media.L16, 2)
	}
	return choice{}, fmt.Errorf("%q", f.Encoding)
}

func videoChoice(name string, clockRate uint32, d func(rtp.Sink) rtp.Depacketizer) (choice, error) {
	return choice{kind: media.Video, clockRate: clockRate, name: name, depacketizer: d}, nil
}

func audioChoice(t *media.Track, d func(rtp.Sink) rtp.Depacketizer) (choice, error) {
	return choice{kind: media.Audio, clockRate: t.ClockRate, name: t.String(), depacketizer: d}, nil
}

// choosePCM takes sound that is stored as it comes, width bytes a sample.
func choosePCM(f *rtsp.Format, codec media.Codec, width int) (choice, error) {
	t := &media.Track{Kind: media.Audio, Codec: codec, ClockRate: f.ClockRate, Channels: uint8(min(max(f.Channels, 1), 8))}
	if t.ClockRate == 0 {
		t.ClockRate = 8000
	}
	t.SampleRate = t.ClockRate
	return audioChoice(t, func(s rtp.Sink) rtp.Depacketizer { return rtp.NewPCM(s, t, width) })
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
	return audioChoice(t, func(s rtp.Sink) rtp.Depacketizer { return rtp.NewAAC(s, t, sizes) })
}

// chooseLATM: the configuration is in the SDP (cpresent=0) or in the stream
// (cpresent=1, and where nothing is said; RFC 6416 §7.3).
func chooseLATM(f *rtsp.Format) (choice, error) {
	if f.ClockRate == 0 {
		return choice{}, fmt.Errorf("%q without clock rate", f.Encoding)
	}
	name := fmt.Sprintf("aac %d Hz", f.ClockRate)
	if f.Params["cpresent"] != "0" {
		return choice{kind: media.Audio, clockRate: f.ClockRate, name: name,
			depacketizer: func(s rtp.Sink) rtp.Depacketizer { return rtp.NewLATM(s, f.ClockRate) }}, nil
	}
	config, err := hex.DecodeString(f.Params["config"])
	if err != nil || len(config) == 0 {
		return choice{}, fmt.Errorf("%q without config", f.Encoding)
	}
	mux, err := aac.ReadMux(&bits.Reader{Data: config})
	if err != nil {
		return choice{}, fmt.Errorf("%q: %w", f.Encoding, err)
	}
	t, err := aac.Track(mux.Config(), f.ClockRate)
	if err != nil {
		return choice{}, fmt.Errorf("%q: %w", f.Encoding, err)
	}
	return audioChoice(t, func(s rtp.Sink) rtp.Depacketizer { return rtp.NewLATMWith(s, t, mux) })
}

// dimensions are those that the SDP gives a JPEG stream: "x-dimensions" is
// "1920,1080" (GStreamer, Axis), "framesize" is "1920-1080" (3GPP TS 26.234).
// 0: not said.
func dimensions(f *rtsp.Format) (width, height int) {
	for _, key := range []string{"x-dimensions", "framesize"} {
		w, h, ok := strings.Cut(strings.NewReplacer("-", ",", " ", "").Replace(f.Params[key]), ",")
		if width, height = number(w), number(h); ok && width > 0 && height > 0 {
			return width, height
		}
	}
	return 0, 0
}

func number(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
