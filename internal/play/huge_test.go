package play

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"runtime"
	"strings"
	"testing"

	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

// endless is an archive of any virtual length: n records of video and of audio.
type endless struct {
	records      int
	pictures     int // per record, of size bytes each
	size         uint32
	video, audio media.Track
	payload      []byte
	peak         func()
}

func (a *endless) Entries(_ context.Context, _ media.StreamID, _ media.Span) iter.Seq2[*media.Entry, error] {
	return func(yield func(*media.Entry, error) bool) {
		for i := range a.records {
			for _, params := range []*media.Track{&a.video, &a.audio} {
				e := &media.Entry{Stream: testStream, Track: media.VideoTrack, Params: params, Run: 1, Wall: noon + int64(i)*1e9}
				e.Start = media.Ticks(i) * media.Ticks(params.ClockRate)
				if params == &a.audio {
					e.Track = media.AudioTrack
					e.Samples = []media.Sample{{Size: params.ClockRate, Duration: params.ClockRate, Flags: media.SampleSync}}
				} else {
					for k := range a.pictures {
						s := media.Sample{Size: a.size + uint32(k%7), Duration: params.ClockRate / uint32(a.pictures)}
						if k == 0 {
							s.Flags = media.SampleSync
						}
						e.Samples = append(e.Samples, s)
					}
				}
				e.Duration = media.Ticks(params.ClockRate)
				if !yield(e, nil) {
					return
				}
			}
			if i%2000 == 0 && a.peak != nil {
				a.peak()
			}
		}
	}
}

func (a *endless) Payload(_ context.Context, _ media.Ref, dst []byte) ([]byte, error) {
	return append(dst, a.payload...), nil
}

// header keeps the beginning of what is written and counts the rest.
type header struct {
	counter
	head bytes.Buffer
}

func (h *header) Write(p []byte) (int, error) {
	if h.head.Len() < 1<<20 {
		h.head.Write(p)
	}
	return h.counter.Write(p)
}

// TestHuge: two million samples, 9 GB, with memory flat and offsets of 64 bits.
func TestHuge(t *testing.T) {
	a := &endless{
		records: 40_000, pictures: 50, size: 4300,
		video: loadClip(t, "h264").track, audio: g711(media.PCMA).track,
		payload: make([]byte, 50*4310),
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	a.peak = func() {
		runtime.GC()
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc)
	}
	out := &header{}
	result, err := Export(t.Context(), a, out, ExportOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	a.peak()
	if growth := int64(peak) - int64(before.HeapAlloc); growth > 8<<20 {
		t.Errorf("the heap grew by %d bytes", growth)
	}
	if out.n != result.Bytes || result.Bytes < 8<<30 || result.Video != 2_000_000 {
		t.Errorf("wrote %d bytes, promised %+v", out.n, result)
	}
	var text strings.Builder
	if err := mp4.Dump(&text, bytes.NewReader(out.head.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"mvhd 120: created 2026-05-01T12:00:00Z, duration 14400000000/360000 = 40000.000000 s",
		"elst 36: 1: 14400000000 from 0 at rate 1",
		"stts 24: 1: 2000000×1800",
		"stss 160016: 40000: 1, 51, 101,",
		"stsz 8000020: 2000000: 4300, 4301,",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

// TestHugeOffsets: the last chunk's offset and mdat's size are right.
func TestHugeOffsets(t *testing.T) {
	a := &endless{
		records: 4200, pictures: 1, size: 1 << 20,
		video: loadClip(t, "h264").track, audio: g711(media.PCMA).track, payload: make([]byte, 1<<20),
	}
	out := &header{}
	result, err := Export(t.Context(), a, out, ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	head := out.head.Bytes()
	mdat := bytes.Index(head, []byte("mdat"))
	payload := int64(4200 * (1<<20 + 8000))
	if size := binary.BigEndian.Uint64(head[mdat+4:]); int64(size) != payload+16 || result.Bytes != int64(mdat)-4+16+payload {
		t.Errorf("mdat of %d bytes in a file of %d, payload %d", size, result.Bytes, payload)
	}
	co64 := bytes.Index(head, []byte("co64"))
	last := binary.BigEndian.Uint64(head[co64+12+8*4199:])
	if want := result.Bytes - 1<<20 - 8000; int64(last) != want {
		t.Errorf("last video chunk at %d, want %d", last, want)
	}
	if out.n != result.Bytes {
		t.Errorf("wrote %d of %d bytes", out.n, result.Bytes)
	}
}
