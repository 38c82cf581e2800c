package play

import (
	"io"
	"testing"

	"nvr/internal/media"
)

// TestSpans: a span is clipped to the footage that is there; the file begins
// with the last sync sample that helps, and has no more than it needs.
func TestSpans(t *testing.T) {
	h264, sound := loadClip(t, "h264"), g711(media.PCMU)
	a := &archive{} // sync samples every second
	a.record(0, 4.4, h264, sound)
	a.record(10, 4.4, h264, sound)
	b := &archive{}
	b.record(0, 10, loadClip(t, "h264b"))
	for _, tt := range []struct {
		name     string
		a        *archive
		from, to float64
		mode     GapMode

		begin, end float64
		duration   float64
		pictures   int64 // in the file, lead-in included
		frames     int64 // of sound
		runs, gaps int
	}{
		{"one run", a, 1.37, 3.91, Hold, 1.37, 3.91, 2.54, 73, 20320, 1, 0},
		{"a picture", a, 2, 2.04, Hold, 2, 2.04, 0.04, 1, 320, 1, 0},
		{"across the gap", a, 3.5, 11.5, Hold, 3.5, 11.5, 8, 35 + 38, 64000, 2, 1},
		{"across the gap, skipped", a, 3.5, 11.5, Skip, 3.5, 11.5, 2.4, 35 + 38, 19200, 2, 1},
		{"from in the gap", a, 7, 11.5, Hold, 10, 11.5, 1.5, 38, 12000, 1, 0},
		{"from in the gap, just before the run", a, 9.9, 11.5, Hold, 10, 11.5, 1.5, 38, 12000, 1, 0},
		{"from just behind the first run", a, 4.5, 11.5, Hold, 10, 11.5, 1.5, 38, 12000, 1, 0},
		{"to in the gap", a, 3.5, 7, Hold, 3.5, 4.4, 0.9, 35, 7200, 1, 0},
		{"to in the gap, skipped", a, 3.5, 7, Skip, 3.5, 4.4, 0.9, 35, 7200, 1, 0},
		{"everything", a, -1000, 1000, Hold, 0, 14.4, 14.4, 220, 115200, 2, 1},
		{"sync sample decoded but not shown", b, 2.02, 3.02, Hold, 2.02, 3.02, 1, 51, 0, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Export(t.Context(), tt.a, io.Discard, ExportOptions{Span: at(tt.from, tt.to), Gaps: tt.mode})
			if err != nil {
				t.Fatal(err)
			}
			near(t, "begin", float64(got.Span.From-noon)/1e9, tt.begin)
			near(t, "end", float64(got.Span.To-noon)/1e9, tt.end)
			near(t, "duration", got.Duration.Seconds(), tt.duration)
			if got.Video != tt.pictures || got.Audio != tt.frames || got.Runs != tt.runs || len(got.Gaps) != tt.gaps {
				t.Errorf("%+v", got)
			}
		})
	}
}
