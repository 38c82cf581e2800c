package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nvr/internal/ingest/exec"
	"nvr/internal/media"
	"nvr/internal/simulate"
)

// needs makes sure that programs and GStreamer's elements are there: where CI is
// set, a test fails for the lack of one.
func needs(t *testing.T, programs, elements []string) {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("CI") != "" {
			t.Fatal(what + " is not installed: .ci/run installs what the tests need")
		}
		t.Skip(what + " is not installed")
	}
	for _, p := range programs {
		if _, err := osexec.LookPath(p); err != nil {
			missing(p)
		}
	}
	for _, e := range elements {
		if osexec.Command("gst-inspect-1.0", "--exists", e).Run() != nil {
			missing("GStreamer's " + e)
		}
	}
}

// logBook is a log that may be read while it is written.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// gst is the command of a pipeline, as the configuration makes it.
func gst(pipeline string) []string {
	return append([]string{"gst-launch-1.0", "-q"}, strings.Fields(pipeline+" ! fdsink fd=1")...)
}

func ffmpeg(args string) []string {
	return append([]string{"ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin"}, strings.Fields(args)...)
}

const (
	gstPicture = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! "
	gstX264    = gstPicture + "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! "
	lavfi      = "-f lavfi -i testsrc=size=320x240:rate=25 "
	x264       = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 "
	sine       = "-f lavfi -i sine=sample_rate=48000 "
)

// withChild writes where the program's number stands, so that a test can kill it.
func withChild(t *testing.T, command []string) (wrapped []string, pid func() int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pid")
	wrapped = append([]string{"sh", "-c", `echo $$ > "$0"; exec "$@"`, file}, command...)
	return wrapped, func() int {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// Programs by others are recorded, killed, and come back.
func TestPrograms(t *testing.T) {
	needs(t, []string{"gst-launch-1.0", "ffmpeg"}, []string{"x264enc", "x265enc", "mpegtsmux", "rtpstreampay", "rtspsrc", "avenc_aac", "opusenc", "h264parse", "h265parse"})
	camera := simulated(t, simulate.Options{FPS: 25})
	// The pipe holds a second or two of it: what is in it is recorded before the end is seen.
	film := filepath.Join(t.TempDir(), "film.ts")
	if out, err := osexec.Command("ffmpeg", ffmpeg(lavfi + sine + "-t 10 -vf noise=alls=40:allf=t -c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 6M -bf 2 -g 25 -c:a aac -f mpegts " + film)[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	length := time.Duration(2) * time.Second
	if os.Getenv("NVR_E2E") == "long" {
		length = 30 * time.Second
	}
	for _, c := range []struct {
		name    string
		command []string
		format  string
		rtpmap  []string
		video   media.Codec
		audio   media.Codec
	}{
		{"gstreamer, MPEG-TS", gst(gstX264 + "mpegtsmux"), FormatMPEGTS, nil, media.H264, ""},
		{"gstreamer, RTSP", gst("rtspsrc location=" + camera.URL(1) + " protocols=tcp latency=1000 ! rtph264depay ! h264parse ! mpegtsmux"), FormatMPEGTS, nil, media.H264, ""},
		{"gstreamer, H.265 and Opus", append(gst("mpegtsmux name=m"), strings.Fields(gstPicture+"x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h265parse ! m. audiotestsrc is-live=true ! opusenc ! m.")...), FormatMPEGTS, nil, media.H265, media.Opus},
		{"gstreamer, RTP", gst(gstX264 + "rtph264pay config-interval=-1 ! rtpstreampay"), FormatRTP, nil, media.H264, ""},
		{"gstreamer, RTP of two types", append(gst("funnel name=f"), strings.Fields(gstX264+"rtph264pay config-interval=-1 pt=98 ! rtpstreampay ! f. audiotestsrc is-live=true ! opusenc ! rtpopuspay pt=99 ! rtpstreampay ! f.")...), FormatRTP, []string{"98 H264/90000", "99 OPUS/48000/2"}, media.H264, media.Opus},
		{"ffmpeg, B pictures and AAC", ffmpeg("-re " + lavfi + "-re " + sine + "-c:v libx264 -pix_fmt yuv420p -preset ultrafast -bf 2 -g 25 -c:a aac -f mpegts -"), FormatMPEGTS, nil, media.H264, media.AAC},
		{"ffmpeg, LATM", ffmpeg("-re " + lavfi + "-re " + sine + x264 + "-c:a aac -mpegts_flags latm -f mpegts -"), FormatMPEGTS, nil, media.H264, media.AAC},
		{"ffmpeg, MPEG audio is left out", ffmpeg("-re " + lavfi + "-re " + sine + x264 + "-c:a mp2 -f mpegts -"), FormatMPEGTS, nil, media.H264, ""},
		{"ffmpeg, a file over and over, as fast as it can", ffmpeg("-stream_loop -1 -i " + film + " -c copy -f mpegts -"), FormatMPEGTS, nil, media.H264, media.AAC},
	} {
		t.Run(c.name, func(t *testing.T) {
			command, pid := withChild(t, c.command)
			log := &logBook{}
			s := newShelf()
			cam, stop := record(t, Options{Audio: true, Program: &Program{Command: command, Format: c.format, RTPMap: c.rtpmap},
				Log: slog.New(slog.NewTextHandler(log, nil))}, s)
			lasts := func(run int) func([]media.Record, []media.Gap) bool {
				return func(records []media.Record, _ []media.Gap) bool {
					n, last, span := 0, media.RunID(0), time.Duration(0)
					for _, r := range video(records) {
						if r.Run != last {
							n, last, span = n+1, r.Run, 0
						}
						span += r.Duration().Duration(r.Params.ClockRate)
					}
					return n >= run && span >= length
				}
			}
			func() {
				defer func() {
					if t.Failed() {
						t.Logf("%+v\n%s", cam.Status(), log)
					}
				}()
				s.untilIn(t, length+time.Minute, "the stream", lasts(1))
				if err := syscall.Kill(pid(), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				runs := 0
				s.untilIn(t, length+time.Minute, "its return", func(r []media.Record, g []media.Gap) bool {
					if runs == 0 {
						runs = len(runsOf(r)) + 1
					}
					return len(g) > 0 && lasts(runs)(r, g)
				})
			}()
			stop()
			check(t, s.records)
			if v := video(s.records)[0]; v.Params.Codec != c.video || v.Params.Width != 320 {
				t.Errorf("video is %v", v.Params)
			}
			var audio media.Codec
			for _, r := range s.records {
				if r.Track == media.AudioTrack {
					audio = r.Params.Codec
				}
			}
			if audio != c.audio {
				t.Errorf("audio is %q, want %q", audio, c.audio)
			}
			st := cam.Status()
			if st.LostPackets != 0 || st.DamagedUnits > 1 || len(st.Notes) > 0 {
				t.Errorf("status: %+v", st)
			}
			if left := strings.Count(log.String(), "MPEG audio"); (left == 1) != strings.Contains(c.name, "MPEG audio") {
				t.Errorf("MPEG audio is told of %d times", left)
			}
			if g := s.gaps[0]; g.Reason != media.ReasonCamera || !strings.Contains(g.Detail, "signal: killed") {
				t.Errorf("gap: %+v", g)
			}
			if err := syscall.Kill(pid(), 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("the program is left: %v", err)
			}
		})
	}
}

func runsOf(records []media.Record) map[media.RunID]bool {
	runs := map[media.RunID]bool{}
	for _, r := range records {
		runs[r.Run] = true
	}
	return runs
}

// A file is not recorded faster than it plays: the program waits in the pipe.
func TestProgramTooFast(t *testing.T) {
	needs(t, []string{"ffmpeg"}, nil)
	s := newShelf()
	began := time.Now()
	_, stop := record(t, Options{Program: &Program{Command: ffmpeg(lavfi + x264 + "-f mpegts -"), Format: FormatMPEGTS}}, s)
	s.until(t, "four seconds", func(r []media.Record, _ []media.Gap) bool { return samples(r) >= 100 })
	stop()
	check(t, s.records)
	media := time.Duration(samples(s.records)) * 40 * time.Millisecond
	if took := time.Since(began); media > took+paceLead+2*programBeat {
		t.Errorf("%v of pictures in %v", media, took)
	}
}

// What is no stream is told of, costs little, and is tried again.
func TestProgramsThatGiveNothing(t *testing.T) {
	for _, c := range []struct {
		name, script, format string
		want                 string
	}{
		{"garbage", "cat /dev/urandom", FormatMPEGTS, "what sh writes is no MPEG-TS (ISO/IEC 13818-1)"},
		{"garbage of the other format", "tr '\\0' '\\377' < /dev/zero", FormatRTP, "what sh writes is no RTP packets behind their lengths (RFC 4571)"},
		{"exits at once", "echo rtsp://u:geheim@h >&2; exit 7", FormatMPEGTS, "the program has ended: sh, exit status 7"},
		{"closes its output", "exec >&-; sleep 100", FormatRTP, "the program has ended: sh closed its standard output"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := &logBook{}
			s := newShelf()
			cam, stop := record(t, Options{Program: &Program{Command: []string{"sh", "-c", c.script, "argument-geheim"}, Format: c.format},
				Log: slog.New(slog.NewTextHandler(log, nil))}, s)
			s.until(t, "a gap", func(_ []media.Record, g []media.Gap) bool { return len(g) > 0 })
			for give := time.Now().Add(30 * time.Second); cam.Status().Attempts < 3; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(give) {
					t.Fatal("it is not tried again")
				}
			}
			stop()
			if len(s.records) > 0 {
				t.Errorf("%d records", len(s.records))
			}
			if g := s.gaps[0]; g.Reason != media.ReasonCamera || g.Detail != c.want {
				t.Errorf("gap: %+v", g)
			}
			if text := fmt.Sprintf("%s%+v%+v", log, cam.Status(), s.gaps); strings.Contains(text, "geheim") {
				t.Errorf("a secret got out: %s", text)
			}
		})
	}
}

// A program that writes nothing is ended with the context, not after its patience.
func TestProgramSilent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := New(Options{Stream: testStream, Program: &Program{Command: []string{"sh", "-c", "sleep 100"}, Format: FormatMPEGTS}}, newShelf())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for c.Status().Server == "" {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := (&program{c: c, process: &exec.Process{}}).nothing(); reasonOf(err) != media.ReasonNoMedia {
		t.Error(err)
	}
}

func TestPaced(t *testing.T) {
	var p paced
	now := time.Now()
	took := func(seconds float64) bool {
		p.took(uint32(int64(seconds*90000)), 90000, now)
		return p.full()
	}
	for _, c := range []struct {
		after float64 // seconds
		shown float64
		full  bool
	}{
		{0, 0, false}, {0, 0.9, false}, {0, 1.1, true}, {0.2, 1.15, false}, {0, 1.3, true},
		{30, 1.4, false}, {0, 10, false}, {0, 11.5, true}, // after a silence more may come
		{10, 90000, false}, {0, 90000.5, false}, {0, 0, false}, // jumps are no time
	} {
		now = now.Add(time.Duration(c.after * float64(time.Second)))
		if full := took(c.shown); full != c.full {
			t.Errorf("after %vs, shown at %v: full %t, credit %v", c.after, c.shown, full, p.credit)
		}
	}
	p = paced{}
	for i := range 24 * 3600 { // a clock that is 300 ppm fast, for a day
		now = now.Add(time.Second)
		if took(float64(i) * (1 + 300e-6)) {
			t.Fatalf("held back after %d s", i)
		}
	}
}

func TestParseRTPMap(t *testing.T) {
	for _, line := range []string{"", "96", "x H264/90000", "128 H264/90000", "96 /1", "96 H264/x", "96 OPUS/48000/0", "96 OPUS/48000/2/3", "96 OPUS/48000/256"} {
		if f, err := parseRTPMap(line); err == nil {
			t.Errorf("%q: %+v", line, f)
		}
	}
	f, err := parseRTPMap("97 opus/48000/2")
	if err != nil || f.PayloadType != 97 || f.Encoding != "OPUS" || f.ClockRate != 48000 || f.Channels != 2 {
		t.Errorf("%+v, %v", f, err)
	}
}
