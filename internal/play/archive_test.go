package play

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"image"
	"image/jpeg"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nvr/internal/media"
)

// noon is the wall time at which test footage begins.
var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixNano()

var testStream = &media.Stream{Camera: media.Camera{UUID: media.CameraUUID("gate"), ID: "gate", Name: "Gate"}, Name: "main"}

// at is a span in seconds after noon.
func at(from, to float64) media.Span {
	return media.Span{From: noon + int64(math.Round(from*1e9)), To: noon + int64(math.Round(to*1e9))}
}

// testClip is a bit of a track that can be repeated for any length.
type testClip struct {
	track   media.Track
	samples []media.Sample
	data    []byte
}

// loadClip reads a clip of testdata (see gen.sh).
func loadClip(t testing.TB, name string) *testClip {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	c := &testClip{}
	if c.data, err = os.ReadFile(filepath.Join("testdata", name+".bin")); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var config string
	tr := &c.track
	if _, err := fmt.Sscan(lines[0], &tr.Codec, &tr.ClockRate, &tr.Width, &tr.Height, &tr.Channels, &tr.SampleRate, &config); err != nil {
		t.Fatal(err)
	}
	tr.Kind = media.Video
	if tr.Channels > 0 {
		tr.Kind = media.Audio
	}
	if tr.Config, err = hex.DecodeString(config); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		var decode, sync int64
		var s media.Sample
		if _, err := fmt.Sscan(line, &decode, &s.Composition, &s.Duration, &s.Size, &sync); err != nil {
			t.Fatal(err)
		}
		if sync == 1 {
			s.Flags = media.SampleSync
		}
		c.samples = append(c.samples, s)
	}
	return c
}

// pcm is a second of a PCM track: packets of 20 ms, a saw tooth.
func pcm(codec media.Codec, channels, width int) *testClip {
	c := &testClip{track: media.Track{Kind: media.Audio, Codec: codec, ClockRate: 8000, Channels: uint8(channels), SampleRate: 8000}}
	size := 160 * channels * width
	for range 50 {
		c.samples = append(c.samples, media.Sample{Size: uint32(size), Duration: 160, Flags: media.SampleSync})
		for i := range size {
			c.data = append(c.data, byte(0x90+i%32))
		}
	}
	return c
}

func g711(codec media.Codec) *testClip { return pcm(codec, 1, 1) }

// opus is a second of silence (RFC 6716 §3.1: TOC byte for CELT, 20 ms, mono).
func opus() *testClip {
	c := &testClip{track: media.Track{Kind: media.Audio, Codec: media.Opus, ClockRate: 48000, Channels: 1, SampleRate: 48000}}
	for range 50 {
		c.samples = append(c.samples, media.Sample{Size: 3, Duration: 960, Flags: media.SampleSync})
		c.data = append(c.data, 0xF8, 0xFF, 0xFE)
	}
	return c
}

// mjpeg is a second of patterns (plain grey from this encoder makes ffmpeg miss
// the end of the image).
func mjpeg(t testing.TB) *testClip {
	c := &testClip{track: media.Track{Kind: media.Video, Codec: media.MJPEG, ClockRate: 90000, Width: 64, Height: 48}}
	for i := range 25 {
		picture := image.NewYCbCr(image.Rect(0, 0, 64, 48), image.YCbCrSubsampleRatio420)
		for k := range picture.Y {
			picture.Y[k] = byte(10*i + k*k/7)
		}
		var data bytes.Buffer
		if err := jpeg.Encode(&data, picture, nil); err != nil {
			t.Fatal(err)
		}
		c.samples = append(c.samples, media.Sample{Size: uint32(data.Len()), Duration: 3600, Flags: media.SampleSync})
		c.data = append(c.data, data.Bytes()...)
	}
	return c
}

// archive is footage in memory.
type archive struct {
	entries  []*media.Entry
	payloads [][]byte
	fail     map[int]error // by record
	reads    []int
}

const recordLength = 800 * time.Millisecond

// record appends a run that begins begin seconds after noon and lasts length
// seconds, its tracks' records in the order of their ends.
func (a *archive) record(begin, length float64, clips ...*testClip) {
	type made struct {
		e    *media.Entry
		data []byte
	}
	var all []made
	run := media.RunID(len(a.entries) + 1)
	for _, c := range clips {
		params := c.track
		track := media.VideoTrack
		if params.Kind == media.Audio {
			track = media.AudioTrack
		}
		var e *media.Entry
		var data []byte
		var now media.Ticks
		flush := func() {
			if e != nil && len(e.Samples) > 0 {
				all = append(all, made{e, data})
			}
			e, data = nil, nil
		}
		for i, offset := 0, 0; now.Duration(params.ClockRate).Seconds() < length-1e-9; i++ {
			if i%len(c.samples) == 0 {
				offset = 0
			}
			s := c.samples[i%len(c.samples)]
			if e == nil {
				e = &media.Entry{
					Stream: testStream, Track: track, Params: &params, Run: run, Start: now,
					Wall: noon + int64(math.Round(begin*1e9)) + int64(now.Duration(params.ClockRate)),
				}
			}
			e.Samples = append(e.Samples, s)
			e.Duration += media.Ticks(s.Duration)
			data = append(data, c.data[offset:][:s.Size]...)
			offset += int(s.Size)
			now += media.Ticks(s.Duration)
			if e.Duration.Duration(params.ClockRate) >= recordLength {
				flush()
			}
		}
		flush()
	}
	slices.SortStableFunc(all, func(x, y made) int { return cmp.Compare(x.e.End(), y.e.End()) })
	for _, m := range all {
		a.add(m.e, m.data)
	}
}

func (a *archive) add(e *media.Entry, data []byte) {
	e.Ref = media.Ref{Group: int64(len(a.payloads)), Length: uint32(len(data))}
	a.payloads = append(a.payloads, data)
	a.entries = append(a.entries, e)
}

func (a *archive) Entries(_ context.Context, _ media.StreamID, span media.Span) iter.Seq2[*media.Entry, error] {
	return func(yield func(*media.Entry, error) bool) {
		overlaps := func(e *media.Entry) bool { return span.Overlaps(media.Span{From: e.Wall, To: e.End()}) }
		first := slices.IndexFunc(a.entries, overlaps)
		if first < 0 {
			return
		}
		lead := first
		for i := first; i >= 0 && a.entries[i].Run == a.entries[first].Run; i-- {
			if e := a.entries[i]; e.Track == media.VideoTrack && e.StartsSync() && e.Wall <= span.From {
				lead = i
				break
			}
		}
		for i, e := range a.entries[lead:] {
			if (lead+i < first || overlaps(e)) && !yield(e, nil) {
				return
			}
		}
	}
}

func (a *archive) Payload(_ context.Context, ref media.Ref, dst []byte) ([]byte, error) {
	i := int(ref.Group)
	a.reads = append(a.reads, i)
	if err := a.fail[i]; err != nil {
		return nil, err
	}
	return append(dst, a.payloads[i]...), nil
}
