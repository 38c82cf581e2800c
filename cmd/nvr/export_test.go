package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nvr/internal/media"
	"nvr/internal/play"
)

// hour is an archive with an hour of silence in one second pieces.
type hour struct {
	payload func(n int) error // what reading the n-th payload meets
	reads   int
}

func (a *hour) Entries(context.Context, media.StreamID, media.Span) iter.Seq2[*media.Entry, error] {
	track := &media.Track{Kind: media.Audio, Codec: media.PCMU, ClockRate: 8000, Channels: 1, SampleRate: 8000}
	return func(yield func(*media.Entry, error) bool) {
		for i := range 3600 {
			e := &media.Entry{Track: media.AudioTrack, Params: track, Run: 1, Start: media.Ticks(i * 8000), Wall: time.Unix(1771509600+int64(i), 0).UnixNano(), Duration: 8000,
				Samples: []media.Sample{{Size: 8000, Duration: 8000, Flags: media.SampleSync}}, Ref: media.Ref{Length: 8000}}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (a *hour) Payload(_ context.Context, ref media.Ref, dst []byte) ([]byte, error) {
	a.reads++
	if err := a.payload(a.reads); err != nil {
		return dst, err
	}
	return append(dst, make([]byte, ref.Length)...), nil
}

func TestExportLeavesNoHalfFile(t *testing.T) {
	broken := errors.New("the disk is gone")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range []struct {
		name    string
		payload func(n int) error
		want    error
		size    int64 // of a file that was there before
	}{
		{"an error", func(n int) error {
			if n == 1800 {
				return broken
			}
			return nil
		}, broken, 3},
		{"a signal", func(n int) error {
			if n == 3600 {
				cancel()
			}
			return nil
		}, context.Canceled, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "clip.mp4")
			if err := os.WriteFile(name, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			v := exportCmd{Camera: "cam1", Output: name}
			archive := &hour{payload: c.payload}
			_, _, err := v.write(&console{ctx: ctx, err: io.Discard}, play.ExportOptions{}, archive, func() (play.Archive, error) { return archive, nil })
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			files, err := os.ReadDir(dir)
			if err != nil || len(files) != 1 {
				t.Errorf("left behind: %v, %v", files, err)
			}
			if info, err := os.Stat(name); err != nil || info.Size() != c.size {
				t.Errorf("the file that was there: %v, %v", info, err)
			}
		})
	}
}

// TestExportIsOvertaken: what vanished meanwhile costs another attempt, not the file.
func TestExportIsOvertaken(t *testing.T) {
	t.Chdir(t.TempDir())
	v := exportCmd{Camera: "cam1"}
	looks := 0
	old := &hour{payload: func(int) error { return media.ErrOverwritten }}
	name, result, err := v.write(&console{ctx: t.Context(), err: io.Discard}, play.ExportOptions{}, old, func() (play.Archive, error) {
		looks++
		return &hour{payload: func(int) error { return nil }}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if looks != 1 {
		t.Errorf("the ring was looked at %d times again, want once", looks)
	}
	if name != "cam1_20260219T140000Z.mp4" || result.Duration != time.Hour {
		t.Errorf("%s with %v", name, result.Duration)
	}
	info, err := os.Stat(name)
	if err != nil || info.Size() != result.Bytes {
		t.Errorf("%v, %v, want %d bytes", info, err, result.Bytes)
	}
}
