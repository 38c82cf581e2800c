package play

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nvr/internal/media"
)

func TestExportReadsEverywhere(t *testing.T) {
	needFFmpeg(t)
	h264, h265, aac := loadClip(t, "h264"), loadClip(t, "h265"), loadClip(t, "aac")
	for _, tt := range []struct {
		name  string
		clips []*testClip
		want  []string
	}{
		{"H.264", []*testClip{h264}, []string{"h264"}},
		{"H.264 and AAC", []*testClip{h264, aac}, []string{"h264", "aac"}},
		{"B pictures and AAC", []*testClip{loadClip(t, "h264b"), aac}, []string{"h264", "aac"}},
		{"H.265", []*testClip{h265}, []string{"hevc"}},
		{"H.264 and PCMU", []*testClip{h264, g711(media.PCMU)}, []string{"h264", "pcm_mulaw"}},
		{"H.265 and PCMA", []*testClip{h265, g711(media.PCMA)}, []string{"hevc", "pcm_alaw"}},
		{"H.264 and L16 stereo", []*testClip{h264, pcm(media.L16, 2, 2)}, []string{"h264", "pcm_s16be"}},
		{"AV1 and Opus", []*testClip{loadClip(t, "av1"), opus()}, []string{"av1", "opus"}},
		{"JPEG and PCMA stereo", []*testClip{mjpeg(t), pcm(media.PCMA, 2, 1)}, []string{"mjpeg", "pcm_alaw"}},
		{"AAC", []*testClip{aac}, []string{"aac"}},
		{"PCMU", []*testClip{g711(media.PCMU)}, []string{"pcm_mulaw"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &archive{}
			a.record(0, 8, tt.clips...)
			path, result := export(t, a, ExportOptions{Title: "Gate"})
			v := judge(t, path)
			var codecs []string
			for _, s := range v.streams {
				codecs = append(codecs, s.CodecName)
				near(t, s.CodecName, number(t, s.Duration), 8)
			}
			slices.SortFunc(codecs, func(x, y string) int { return slices.Index(tt.want, x) - slices.Index(tt.want, y) })
			if diff := cmp.Diff(tt.want, codecs); diff != "" {
				t.Error(diff)
			}
			if result.Video != 0 && len(v.pictures) != 200 {
				t.Errorf("%d pictures, want 200", len(v.pictures))
			}
			if v.title != "Gate" || v.created != "2026-05-01T12:00:00.000000Z" {
				t.Errorf("title %q, created %q", v.title, v.created)
			}
			if len(result.Gaps) != 0 || result.Runs != 1 {
				t.Errorf("gaps %v, %d runs", result.Gaps, result.Runs)
			}
		})
	}
}

// TestCut cuts footage of 25 pictures a second: picture n is on the screen from
// 0.04 n (in the clip with B pictures 0.08 s later: it comes with a delay).
func TestCut(t *testing.T) {
	needFFmpeg(t)
	footage, whole := map[string]*archive{}, map[string]verdict{}
	for _, clip := range []string{"h264", "h264b", "h265"} {
		a := &archive{}
		a.record(0, 10, loadClip(t, clip), g711(media.PCMA))
		path, _ := export(t, a, ExportOptions{})
		v := judge(t, path)
		v.sums = checksums(t, path)
		footage[clip], whole[clip] = a, v
	}
	for _, tt := range []struct {
		name, clip  string
		from, to    float64
		first, last int     // pictures shown
		appears     float64 // when the first one does, in the file
		length      float64
	}{
		{"inside a GOP", "h264", 1.37, 7.91, 34, 197, 0, 6.54},
		{"on picture boundaries", "h264", 1.36, 7.92, 34, 197, 0, 6.56},
		{"on sync samples", "h264", 2, 6, 50, 149, 0, 4},
		{"within one picture", "h264", 3.41, 3.43, 85, 85, 0, 0.02},
		{"from before to behind", "h264", -5, 100, 0, 249, 0, 10},
		{"B pictures", "h264b", 1.37, 7.91, 32, 195, 0, 6.54},
		{"B pictures, GOP edge", "h264b", 2.02, 7.91, 48, 195, 0, 5.89},
		{"B pictures, from the beginning", "h264b", 0, 5, 0, 122, 0.08, 5},
		{"H.265", "h265", 1.37, 7.91, 34, 197, 0, 6.54},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all := whole[tt.clip]
			a := &archive{entries: footage[tt.clip].entries, payloads: footage[tt.clip].payloads}
			path, result := export(t, a, ExportOptions{Span: at(tt.from, tt.to)})
			v := judge(t, path)
			v.sums = checksums(t, path)

			n := tt.last - tt.first + 1
			if len(v.pictures) != n || len(v.sums) != n {
				t.Fatalf("%d pictures, want %d", len(v.pictures), n)
			}
			if diff := cmp.Diff(all.sums[tt.first:tt.last+1], v.sums); diff != "" {
				t.Errorf("other pictures: %s", diff)
			}
			sound := max(tt.from, 0) // it begins with the recording
			near(t, "begin of the picture", v.pictures[0].pts, tt.appears)
			near(t, "duration", v.duration, tt.length)
			near(t, "begin of the file", float64(result.Span.From-noon)/1e9, sound)
			near(t, "result", result.Duration.Seconds(), v.duration)
			if n > 1 {
				delay := all.pictures[0].pts
				near(t, "second picture", v.pictures[1].pts, 0.04*float64(tt.first+1)+delay-sound)
				near(t, "last picture", v.pictures[n-1].pts, 0.04*float64(tt.last)+delay-sound)
			}
			for _, s := range v.streams {
				if s.CodecType == "audio" && math.Abs(number(t, s.Duration)-v.duration) > 0.000126 {
					t.Errorf("audio of %s s, want %f", s.Duration, v.duration)
				}
			}
		})
	}
}

func TestGaps(t *testing.T) {
	needFFmpeg(t)
	h264, aac := loadClip(t, "h264"), loadClip(t, "aac")
	for _, tt := range []struct {
		name     string
		mode     GapMode
		second   float64 // when the second run begins
		audio    *testClip
		duration float64
		resume   float64 // file time of the second run
		gaps     []media.Span
	}{
		{"hold", Hold, 14, g711(media.PCMU), 18, 14, []media.Span{at(4, 14)}},
		{"skip", Skip, 14, g711(media.PCMU), 8, 4, []media.Span{at(4, 14)}},
		{"hold AAC", Hold, 14, aac, 18.032, 14, []media.Span{at(4, 14)}},
		{"skip AAC", Skip, 14, aac, 8.064, 4.032, []media.Span{at(4, 14)}},
		{"clock went back", Hold, 2, g711(media.PCMU), 8, 4, nil},
		{"clock went back an hour", Hold, -3600, aac, 8.064, 4.032, nil},
		{"longer than can be held", Hold, 50000, aac, 6*3600 + 8.064, 6*3600 + 4.032, []media.Span{at(4, 50000)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &archive{}
			a.record(0, 4, h264, tt.audio)
			a.record(tt.second, 4, h264, tt.audio)
			path, result := export(t, a, ExportOptions{Gaps: tt.mode})
			v := judge(t, path)
			near(t, "duration", v.duration, tt.duration)
			near(t, "result", result.Duration.Seconds(), tt.duration)
			if len(v.pictures) != 200 {
				t.Fatalf("%d pictures, want 200", len(v.pictures))
			}
			near(t, "second run", v.pictures[100].pts, tt.resume)
			if diff := cmp.Diff(tt.gaps, result.Gaps); diff != "" && (len(tt.gaps) > 0 || len(result.Gaps) > 0) {
				t.Error(diff)
			}
			if result.Runs != 2 {
				t.Errorf("%d runs", result.Runs)
			}
		})
	}
}

// TestHoleInsideRun: records were lost inside a run, its ticks go on.
func TestHoleInsideRun(t *testing.T) {
	needFFmpeg(t)
	for _, tt := range []struct {
		name     string
		mode     GapMode
		from     float64
		duration float64
		pictures int
		begin    float64
		gaps     []media.Span
	}{
		{"held", Hold, 0, 10, 150, 0, []media.Span{at(3.2, 7.2)}},
		{"skipped", Skip, 0, 6, 150, 0, []media.Span{at(3.2, 7.2)}},
		{"span begins in the hole", Hold, 5, 2.8, 70, 7.2, nil},
		{"span begins in the hole, skipped", Skip, 5, 2.8, 70, 7.2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &archive{}
			a.record(0, 10, loadClip(t, "h264"), g711(media.PCMU))
			a.entries = slices.DeleteFunc(a.entries, func(e *media.Entry) bool {
				return e.Wall >= at(3.2, 0).From && e.Wall < at(7.2, 0).From
			})
			path, result := export(t, a, ExportOptions{Gaps: tt.mode, Span: at(tt.from, 20)})
			v := judge(t, path)
			near(t, "duration", v.duration, tt.duration)
			near(t, "begin", float64(result.Span.From-noon)/1e9, tt.begin)
			if len(v.pictures) != tt.pictures {
				t.Errorf("%d pictures, want %d", len(v.pictures), tt.pictures)
			}
			if diff := cmp.Diff(tt.gaps, result.Gaps); diff != "" && len(tt.gaps)+len(result.Gaps) > 0 {
				t.Error(diff)
			}
		})
	}
}

func TestParameterSetsChange(t *testing.T) {
	needFFmpeg(t)
	a := &archive{}
	a.record(0, 4, loadClip(t, "h264"), g711(media.PCMU))
	a.record(4, 4, loadClip(t, "h264wide"), g711(media.PCMU))
	a.record(8, 2, loadClip(t, "h264"), g711(media.PCMU))
	path, _ := export(t, a, ExportOptions{})
	v := judge(t, path)
	var sizes []picture
	for _, p := range v.pictures {
		if len(sizes) == 0 || sizes[len(sizes)-1].width != p.width {
			sizes = append(sizes, p)
		}
	}
	want := []picture{{0, 64, 48}, {4, 96, 64}, {8, 64, 48}}
	if diff := cmp.Diff(want, sizes, cmp.AllowUnexported(picture{})); diff != "" || len(v.pictures) != 250 {
		t.Errorf("%d pictures, %s", len(v.pictures), diff)
	}
}

// TestCodecChange: another codec is another track, which begins later.
func TestCodecChange(t *testing.T) {
	needFFmpeg(t)
	a := &archive{}
	a.record(0, 4, loadClip(t, "h264"), g711(media.PCMU))
	a.record(4, 4, loadClip(t, "h265"), loadClip(t, "aac"))
	path, _ := export(t, a, ExportOptions{})
	v := judge(t, path)
	got := map[string]float64{}
	for _, s := range v.streams {
		got[s.CodecName] = number(t, s.StartTime)
	}
	want := map[string]float64{"h264": 0, "pcm_mulaw": 0, "hevc": 4, "aac": 4}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestNoLeadingSync: the oldest footage begins in the middle of a GOP. Its
// sound is kept, the picture begins with the next sync sample.
func TestNoLeadingSync(t *testing.T) {
	needFFmpeg(t)
	a := &archive{}
	a.record(0, 6, loadClip(t, "h264"), g711(media.PCMU))
	a.entries = slices.DeleteFunc(a.entries, func(e *media.Entry) bool { return e.Wall < at(1.6, 0).From })
	path, result := export(t, a, ExportOptions{})
	v := judge(t, path)
	near(t, "begin", float64(result.Span.From-noon)/1e9, 1.6)
	near(t, "picture", v.pictures[0].pts, 0.4)
	near(t, "duration", v.duration, 4.4)
	if len(v.pictures) != 100 {
		t.Errorf("%d pictures", len(v.pictures))
	}
}

// TestDrift: sound and picture of a long run have clocks of their own; both
// follow wall time. Here the sound's clock is 600 ppm off, either way:
// 72 ms, several times what is let be.
func TestDrift(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for _, ppm := range []float64{600, -600} {
		for _, audio := range []*testClip{g711(media.PCMU), loadClip(t, "aac")} {
			a := &archive{}
			a.record(0, 120, loadClip(t, "h264"), audio)
			end := map[string]float64{}
			for _, e := range a.entries {
				if e.Track == media.AudioTrack {
					e.Wall = noon + int64(float64(e.Wall-noon)*(1+ppm/1e6))
				}
				end[e.Params.Kind.String()] = float64(e.End()-noon) / 1e9
			}
			path, result := export(t, a, ExportOptions{})
			v := judge(t, path)
			for _, s := range v.streams {
				want := end[s.CodecType]
				if got := number(t, s.Duration); math.Abs(got-want) > 1.001*maxDrift.Seconds() {
					t.Errorf("%s at %g ppm: %f s, want about %f", s.CodecName, ppm, got, want)
				}
			}
			if len(result.Gaps) != 0 {
				t.Errorf("gaps %v", result.Gaps)
			}
			if d := result.Duration - 120*time.Second; d < 0 || d > time.Second {
				t.Errorf("duration %v", result.Duration)
			}
		}
	}
}

// The second run begins before the first one ends: the camera's clock is fast. A
// span that begins where both are has all of the second run.
func TestRunsThatOverlap(t *testing.T) {
	needFFmpeg(t)
	for _, clips := range [][]*testClip{{loadClip(t, "h264")}, {loadClip(t, "h264"), g711(media.PCMU)}} {
		a := &archive{}
		a.record(0, 4, clips...)
		a.record(3.6, 4, clips...)
		path, result := export(t, a, ExportOptions{Span: at(3.8, 10)})
		v := judge(t, path)
		if len(v.pictures) != 5+100 || result.Runs != 2 || len(result.Gaps) > 0 {
			t.Errorf("%d tracks: %d pictures in %d runs, want 5 and 100 in two; gaps %v", len(clips), len(v.pictures), result.Runs, result.Gaps)
		}
		near(t, "duration", v.duration, 0.2+4)
	}
}
