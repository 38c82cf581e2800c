package e2e

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// python is Debian's, which has its packages; another one may stand before it
// in PATH.
const python = "/usr/bin/python3"

// gstreamer is GStreamer's RTSP server.
type gstreamer struct {
	url string // of its root

	mu       sync.Mutex
	pictures map[string]int // that went out, of mounts that have ended
}

// sent is how many pictures a mount sent, once there are no more; 0 before.
func (g *gstreamer) sent(mount string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pictures[mount]
}

// gstServer starts GStreamer's RTSP server.
func gstServer(t *testing.T, count int, flags ...string) *gstreamer {
	t.Helper()
	need(t, "ffprobe", "ffmpeg", python, "gst-inspect-1.0")
	if out, err := exec.Command(python, "-c", `import gi; gi.require_version("GstRtspServer", "1.0"); from gi.repository import GstRtspServer`).CombinedOutput(); err != nil {
		missing(t, "GStreamer's RTSP server is not installed ("+strings.TrimSpace(string(out))+")")
	}
	for _, element := range []string{"x264enc", "x265enc", "avenc_aac", "mulawenc", "alawenc", "jpegenc", "opusenc"} {
		if exec.Command("gst-inspect-1.0", "--exists", element).Run() != nil {
			missing(t, "GStreamer has no "+element)
		}
	}
	c := exec.Command(python, append([]string{filepath.Join("testdata", "gstserver.py"), strconv.Itoa(count)}, flags...)...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("GStreamer's RTSP server says nothing")
	}
	g := &gstreamer{url: "rtsp://127.0.0.1:" + lines.Text(), pictures: map[string]int{}}
	go func() { // until it is killed
		for lines.Scan() {
			if mount, n, ok := strings.Cut(lines.Text(), " "); ok {
				g.mu.Lock()
				g.pictures[mount], _ = strconv.Atoi(n)
				g.mu.Unlock()
			}
		}
	}()
	return g
}

// What a server by others sends is recorded to the sample, and ffprobe and
// ffmpeg read the export without a warning.
func TestGStreamer(t *testing.T) {
	const fps = 25
	length := pick(6, 60)
	w := newWire(t, gstServer(t, length*fps).url)
	tests := []struct {
		mount, video, audio string
	}{
		{"/h264aac", "h264", "aac"},
		{"/h265", "hevc", ""},
		{"/h264pcmu", "h264", "pcm_mulaw"}, // with B-frames
	}
	s := newSite(t, 3, pick(8, 32), w.url()+tests[0].mount, w.url()+tests[1].mount, w.url()+tests[2].mount)
	r := s.record(t)
	for _, test := range tests {
		waitFor(t, time.Duration(length+60)*time.Second, "end of "+test.mount, func() bool { return w.first(test.mount).pictures >= length*fps*9/10 })
	}
	// The server says BYE behind the last picture; the recorder calls again then.
	for i := range tests {
		waitFor(t, 30*time.Second, "gap behind the last sample", func() bool { return len(s.list(t, fmt.Sprintf("cam%d", i+1)).Gaps) > 0 })
	}
	r.stop(t)
	for i, test := range tests {
		t.Run(test.mount[1:], func(t *testing.T) {
			sent := w.first(test.mount)
			v := recorded{t: t, s: s, camera: fmt.Sprintf("cam%d", i+1), fps: fps, pictures: sent.pictures}
			file := v.firstRun()
			switch v.video(file, test.video); test.audio {
			case "aac":
				v.audio(file, test.audio, sent.aac, len(packets(t, file, "a:0")), 44100/1024.0)
			case "pcm_mulaw":
				v.audio(file, test.audio, sent.bytes, frames(t, file), 8000)
			}
		})
	}
}

// The other codecs, from GStreamer's payloaders.
func TestGStreamerCodecs(t *testing.T) {
	const fps = 25
	length := pick(6, 60)
	w := newWire(t, gstServer(t, length*fps).url)
	tests := []struct {
		mount, video, audio string
		fps                 int
		size                string
	}{
		{"/h264latm", "h264", "aac", fps, "320,240"},
		{"/jpegopus", "mjpeg", "opus", fps, "320,240"},
		{"/jpegl16", "mjpeg", "pcm_s16be", fps, "320,240"},
		{"/bigjpeg", "mjpeg", "pcm_alaw", fps / 5, "2560,1440"},
	}
	var urls []string
	for _, test := range tests {
		urls = append(urls, w.url()+test.mount)
	}
	s := newSite(t, 4, pick(16, 128), urls...)
	r := s.record(t)
	for _, test := range tests {
		waitFor(t, time.Duration(length+60)*time.Second, "end of "+test.mount, func() bool { return w.first(test.mount).pictures >= length*test.fps*9/10 })
	}
	for i := range tests {
		waitFor(t, 30*time.Second, "gap behind the last sample", func() bool { return len(s.list(t, fmt.Sprintf("cam%d", i+1)).Gaps) > 0 })
	}
	r.stop(t)
	for i, test := range tests {
		t.Run(test.mount[1:], func(t *testing.T) {
			sent := w.first(test.mount)
			v := recorded{t: t, s: s, camera: fmt.Sprintf("cam%d", i+1), fps: test.fps, pictures: sent.pictures}
			file := v.firstRun()
			v.video(file, test.video)
			if size := strings.TrimSpace(output(t, "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0", file)); size != test.size {
				t.Errorf("pictures of %s, want %s", size, test.size)
			}
			switch test.audio {
			case "aac":
				v.audio(file, test.audio, sent.sounds, len(packets(t, file, "a:0")), 44100/1024.0)
			case "opus":
				v.audio(file, test.audio, sent.sounds, len(packets(t, file, "a:0")), 50)
			case "pcm_s16be":
				v.audio(file, test.audio, sent.bytes, frames(t, file), 4*44100)
			case "pcm_alaw":
				v.audio(file, test.audio, sent.bytes, frames(t, file), 8000)
			}
		})
	}
}

// frames counts the bytes of a PCM track.
func frames(t *testing.T, file string) (n int) {
	t.Helper()
	for _, p := range packets(t, file, "a:0") {
		n += int(p.Size)
	}
	return n
}

// recorded compares the first run of a camera with what was sent to it.
type recorded struct {
	t        *testing.T
	s        *site
	camera   string
	fps      int
	pictures int // that were sent
}

// firstRun checks what is listed of the run, exports it and lets the judges
// read the file.
func (r recorded) firstRun() (file string) {
	t := r.t
	t.Helper()
	segments := r.s.list(t, r.camera).Segments
	first, end, samples := segments[0], segments[0].End, int64(0)
	for _, seg := range segments {
		if seg.Run == first.Run {
			samples += seg.Samples
			end = seg.End
		}
	}
	if samples != int64(r.pictures) {
		t.Errorf("%d samples recorded, %d sent", samples, r.pictures)
	}
	r.lasts("listed", end.Sub(first.Start).Seconds())
	file = filepath.Join(r.s.dir, r.camera+".mp4")
	// From a little before to a little after: what is there, whole.
	from, to := first.Start.Add(-time.Second/5), end.Add(time.Second/5)
	if _, code := r.s.run(t, "export", "--camera", r.camera, "--from", from.Format(time.RFC3339Nano), "--to", to.Format(time.RFC3339Nano), "-o", file); code != 0 {
		t.Fatalf("export: exit %d", code)
	}
	judge(t, file)
	return file
}

// lasts wants a duration right to one sample.
func (r recorded) lasts(what string, seconds float64) {
	r.t.Helper()
	if want := float64(r.pictures) / float64(r.fps); math.Abs(seconds-want) > 1/float64(r.fps)+1e-6 {
		r.t.Errorf("%s: %.3f s, sent %.3f s", what, seconds, want)
	}
}

func (r recorded) video(file, codec string) {
	t := r.t
	t.Helper()
	if got := len(packets(t, file, "v:0")); got != r.pictures {
		t.Errorf("%d samples exported, %d sent", got, r.pictures)
	}
	said := output(t, "ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames", "-show_entries", "stream=codec_name,duration,nb_read_frames", "-of", "csv=p=0", file)
	t.Logf("ffprobe: video %s", strings.TrimSpace(said))
	w := strings.Split(strings.TrimSpace(said), ",")
	if len(w) != 3 || w[0] != codec || w[2] != strconv.Itoa(r.pictures) {
		t.Fatalf("ffprobe decodes %q, want %s and %d pictures", w, codec, r.pictures)
	}
	d, _ := strconv.ParseFloat(w[1], 64)
	r.lasts("ffprobe", d)
}

// audio wants what was sent, as long as there are pictures: a server whose
// video encoder looks ahead sends more sound than pictures.
func (r recorded) audio(file, codec string, sent, got int, rate float64) {
	t := r.t
	t.Helper()
	said := output(t, "ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries", "stream=codec_name,duration", "-of", "csv=p=0", file)
	t.Logf("ffprobe: audio %s, %d of %d", strings.TrimSpace(said), got, sent)
	if !strings.HasPrefix(said, codec+",") {
		t.Errorf("ffprobe says %q, want %s", said, codec)
	}
	if least := float64(r.pictures) / float64(r.fps) * rate * 0.97; got > sent || float64(got) < least {
		t.Errorf("%d audio samples exported, %d sent", got, sent)
	}
}
