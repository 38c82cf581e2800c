package mp4

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nvr/internal/media"
)

var update = flag.Bool("update", false, "rewrite testdata")

var (
	avc = &media.Track{Kind: media.Video, Codec: media.H264, ClockRate: 90000, Width: 1920, Height: 1080,
		Config: []byte{1, 0x64, 0, 10, 0xff, 0xe1, 0, 2, 0x67, 0x64, 1, 0, 1, 0x68}}
	avcSmall = &media.Track{Kind: media.Video, Codec: media.H264, ClockRate: 90000, Width: 640, Height: 2160, Config: avc.Config}
	aac      = &media.Track{Kind: media.Audio, Codec: media.AAC, ClockRate: 16000, Channels: 1, SampleRate: 16000, Config: []byte{0x14, 0x08}}
	pcma     = &media.Track{Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 1, SampleRate: 8000}
)

// TestFiles compares the text twins of small files.
func TestFiles(t *testing.T) {
	created := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		movie Movie
		build func(*testing.T, *Builder)
	}{
		{"video", Movie{Created: created}, func(t *testing.T, b *Builder) {
			v := addTrack(t, b, avc)
			beginChunk(t, v, avc)
			for i := range int64(10) {
				v.Add(Sample{Decode: i * 3600, Size: uint32(100 + i), Sync: i%5 == 0})
			}
			v.End(36000)
			v.SetEdit(Edit{Start: 4500, End: 34000})
		}},
		{"reordered", Movie{Created: created}, func(t *testing.T, b *Builder) {
			v := addTrack(t, b, avc)
			beginChunk(t, v, avc)
			for i, shift := range []int32{3600, 7200, -3600} {
				v.Add(Sample{Decode: int64(i) * 3600, Composition: shift, Size: 100, Sync: i == 0})
			}
			v.End(3 * 3600)
			v.SetEdit(Edit{Start: 3600, End: 4 * 3600})
		}},
		{"two entries and sound", Movie{Created: created, Title: "Gate é"}, func(t *testing.T, b *Builder) {
			v, a, p := addTrack(t, b, avc), addTrack(t, b, aac), addTrack(t, b, pcma)
			for i, params := range []*media.Track{avc, avc, avcSmall, avc} {
				beginChunk(t, v, params)
				v.Add(Sample{Decode: int64(i) * 90000, Size: 1000, Sync: true})
				beginChunk(t, a, aac)
				for k := range int64(3) {
					a.Add(Sample{Decode: int64(i)*16000 + 1024*k, Size: 60 + uint32(k), Sync: true})
				}
				beginChunk(t, p, pcma)
				p.AddFrames(8000, 1)
			}
			v.End(5 * 90000)
			a.End(5 * 16000)
			v.SetEdit(Edit{End: 5 * 90000})
			a.SetEdit(Edit{Delay: 250e6, End: 4.5 * 16000})
			p.SetEdit(Edit{Start: 80, End: 32000})
		}},
		{"days", Movie{Created: time.Date(2041, 1, 1, 0, 0, 0, 0, time.UTC)}, func(t *testing.T, b *Builder) {
			v := addTrack(t, b, avc)
			beginChunk(t, v, avc)
			for i := range int64(5) {
				v.Add(Sample{Decode: i * 6 * 3600 * 90000, Size: 3 << 30, Sync: true})
			}
			v.End(30 * 3600 * 90000)
			v.SetEdit(Edit{End: 30 * 3600 * 90000})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBuilder(nil)
			defer b.Close()
			tt.build(t, b)
			if err := b.Finish(tt.movie); err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := b.WriteHeader(&file); err != nil {
				t.Fatal(err)
			}
			if int64(file.Len()) != b.HeaderSize() || b.Size() != b.HeaderSize()+b.Payload() {
				t.Errorf("header of %d bytes, promised %d of %d with %d payload", file.Len(), b.HeaderSize(), b.Size(), b.Payload())
			}
			var text strings.Builder
			if err := Dump(&text, &file); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", strings.ReplaceAll(tt.name, " ", "-")+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSpilled: tables that went to a file are read back as they were in memory.
func TestSpilled(t *testing.T) {
	var headers [2]bytes.Buffer
	files := 0
	for i, create := range []CreateTemp{nil, func() (TempFile, error) {
		files++
		return os.CreateTemp(t.TempDir(), "")
	}} {
		b := NewBuilder(create)
		v := addTrack(t, b, avc)
		for k := range int64(300_000) {
			if k%20 == 0 {
				beginChunk(t, v, avc)
			}
			v.Add(Sample{Decode: k*3600 + k%2, Composition: int32(k % 3), Size: uint32(k), Sync: k%4 > 0})
		}
		v.End(300_000 * 3600)
		v.SetEdit(Edit{End: 300_000 * 3600})
		if err := b.Finish(Movie{}); err != nil {
			t.Fatal(err)
		}
		if err := b.WriteHeader(&headers[i]); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(headers[0].Bytes(), headers[1].Bytes()) || files < 4 {
		t.Errorf("headers of %d and %d bytes differ; %d temporary files", headers[0].Len(), headers[1].Len(), files)
	}
}

func TestSupports(t *testing.T) {
	with := func(t *media.Track, change func(*media.Track)) *media.Track {
		c := *t
		change(&c)
		return &c
	}
	for name, tt := range map[string]struct {
		track *media.Track
		ok    bool
	}{
		"H.264":              {avc, true},
		"AAC":                {aac, true},
		"PCMA":               {pcma, true},
		"no codec":           {&media.Track{ClockRate: 1}, false},
		"no clock":           {with(pcma, func(t *media.Track) { t.ClockRate = 0 }), false},
		"no channels":        {with(pcma, func(t *media.Track) { t.Channels = 0 }), false},
		"avcC empty":         {with(avc, func(t *media.Track) { t.Config = nil }), false},
		"avcC 2 byte length": {with(avc, func(t *media.Track) { t.Config = []byte{1, 0, 0, 0, 0xfd, 0xe1, 0} }), false},
		"avcC without SPS":   {with(avc, func(t *media.Track) { t.Config = []byte{1, 0, 0, 0, 0xff, 0xe0, 0} }), false},
		"hvcC short":         {with(avc, func(t *media.Track) { t.Codec = media.H265 }), false},
		"AV1 not av1C":       {with(avc, func(t *media.Track) { t.Codec = media.AV1 }), false},
		"ASC empty":          {with(aac, func(t *media.Track) { t.Config = nil }), false},
		"Opus 6 channels":    {&media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 6}, false},
		"Opus":               {&media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 2}, true},
	} {
		if err := Supports(tt.track); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func addTrack(t *testing.T, b *Builder, params *media.Track) *Track {
	t.Helper()
	track, err := b.AddTrack(params.Kind, params.ClockRate)
	if err != nil {
		t.Fatal(err)
	}
	return track
}

func beginChunk(t *testing.T, track *Track, params *media.Track) {
	t.Helper()
	if err := track.Chunk(params); err != nil {
		t.Fatal(err)
	}
}
