package play

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"nvr/internal/mux/mp4"
)

// needFFmpeg skips a test whose judges are not there; in CI they have to be.
func needFFmpeg(t *testing.T) {
	t.Helper()
	for _, name := range []string{"ffprobe", "ffmpeg"} {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: apt-get install ffmpeg", name)
		}
		t.Skipf("%s is missing: apt-get install ffmpeg", name)
	}
}

// picture is a decoded picture as ffmpeg shows it.
type picture struct {
	pts           float64
	width, height int
}

// verdict is what ffmpeg says of a file.
type verdict struct {
	pictures []picture
	sums     []string // of checksums
	streams  []stream
	duration float64
	title    string
	created  string
}

type stream struct {
	CodecName string `json:"codec_name"`
	CodecType string `json:"codec_type"`
	StartTime string `json:"start_time"`
	Duration  string `json:"duration"`
	Packets   string `json:"nb_read_packets"`
}

// export exports to a file.
func export(t *testing.T, a Archive, o ExportOptions) (string, Result) {
	t.Helper()
	var out bytes.Buffer
	o.Stream = testStream.ID()
	result, err := Export(t.Context(), a, &out, o)
	if err != nil {
		t.Fatal(err)
	}
	if result.Bytes != int64(out.Len()) {
		t.Fatalf("promised %d bytes, wrote %d", result.Bytes, out.Len())
	}
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, result
}

// judge lets ffprobe and ffmpeg read a file, which they must do without a word.
func judge(t *testing.T, path string) verdict {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		if f, err := os.Open(path); err == nil {
			defer f.Close()
			var text strings.Builder
			mp4.Dump(&text, f)
			t.Log(text.String())
		}
	})
	call(t, "ffmpeg", "-v", "warning", "-i", path, "-f", "null", "-")
	probe := call(t, "ffprobe", "-v", "warning", "-count_packets", "-of", "json", "-show_format", "-show_streams",
		"-show_frames", "-show_entries", "frame=media_type,pts_time,width,height", path)
	var p struct {
		Frames []struct {
			MediaType     string `json:"media_type"`
			PTS           string `json:"pts_time"`
			Width, Height int
		}
		Streams []stream
		Format  struct {
			Duration string
			Tags     struct {
				Title   string
				Created string `json:"creation_time"`
			}
		}
	}
	if err := json.Unmarshal([]byte(probe), &p); err != nil {
		t.Fatal(err)
	}
	v := verdict{
		streams: p.Streams, duration: number(t, p.Format.Duration),
		title: p.Format.Tags.Title, created: p.Format.Tags.Created,
	}
	for _, f := range p.Frames {
		if f.MediaType == "video" {
			v.pictures = append(v.pictures, picture{number(t, f.PTS), f.Width, f.Height})
		}
	}
	return v
}

// checksums are the MD5s of the decoded pictures.
func checksums(t *testing.T, path string) (sums []string) {
	t.Helper()
	text := call(t, "ffmpeg", "-v", "warning", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-autoscale", "0", "-f", "framemd5", "-")
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			sums = append(sums, strings.TrimSpace(line[strings.LastIndex(line, ",")+1:]))
		}
	}
	return sums
}

// call runs a program that must have nothing to complain of.
func call(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, complaints.String())
	}
	return out.String()
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Errorf("not a number: %q", s)
	}
	return x
}

// near compares times; half a millisecond is less than anything cut here but PCM.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 0.0005 {
		t.Errorf("%s: got %.6f, want %.6f", what, got, want)
	}
}
