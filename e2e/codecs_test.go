package e2e

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
)

// show is what a camera sends in TestCodecs: a clip that ffmpeg encodes, and
// what ffprobe is to say of the export.
type show struct {
	name         string
	encode       string // ffmpeg's options
	publish      string // more of them, for sending
	video, audio string // the codecs; audio "": none is recorded
	rate         int    // of the sound, Hz

	refreshes bool // bit by bit: ffmpeg shows what it has when that has gone through
	// What ffmpeg says of each file that begins with such a stream's I picture,
	// whoever wrote it.
	complaint string
}

const codecFPS = 20

var shows = []show{
	{name: "bframes", video: "h264", audio: "opus", rate: 48000,
		encode: "-c:v libx264 -preset veryfast -bf 3 -g 20 -x264-params scenecut=0:b-pyramid=normal -c:a libopus -b:a 32k"},
	{name: "opengop", video: "h264", audio: "pcm_alaw", rate: 8000, complaint: "mmco: unref short failure",
		encode: "-c:v libx264 -preset veryfast -bf 3 -x264-params open-gop=1:keyint=20:min-keyint=20:scenecut=0 -c:a pcm_alaw"},
	{name: "refresh", video: "h264", refreshes: true,
		encode: "-c:v libx264 -preset veryfast -bf 0 -x264-params intra-refresh=1:keyint=20:scenecut=0 -an"},
	{name: "slices", video: "h264", audio: "pcm_s16be", rate: 44100,
		encode: "-c:v libx264 -preset ultrafast -tune zerolatency -g 20 -slices 4 -c:a pcm_s16be -ac 2"},
	{name: "hevc", video: "hevc", audio: "aac", rate: 48000, publish: "-rtpflags latm",
		encode: "-c:v libx265 -preset ultrafast -x265-params keyint=20:min-keyint=20:scenecut=0:bframes=4:b-pyramid=1:open-gop=1:log-level=error -c:a aac"},
	{name: "jpeg420", video: "mjpeg", audio: "pcm_mulaw", rate: 16000,
		encode: "-c:v mjpeg -huffman default -q:v 5 -pix_fmt yuvj420p -c:a pcm_mulaw"},
	{name: "g722", video: "mjpeg", rate: 16000, // G.722 cannot be stored
		encode: "-c:v mjpeg -huffman default -q:v 20 -pix_fmt yuvj420p -c:a g722"},
	{name: "g726", video: "h264", rate: 8000, // nor can G.726
		encode: "-c:v libx264 -preset ultrafast -tune zerolatency -g 20 -c:a g726 -b:a 32k"},
	{name: "libaom", video: "av1", encode: "-c:v libaom-av1 -usage realtime -cpu-used 8 -lag-in-frames 0 -g 20 -an"},
	{name: "svtav1", video: "av1", encode: "-c:v libsvtav1 -preset 12 -g 20 -an"}, // with frames that are not shown
}

// Every codec from a sender written by others to a file that a reader written by
// others decodes, to the picture: what comes out is what the clip has, from the
// first place to begin with on, and to its end.
func TestCodecs(t *testing.T) {
	need(t, "ffmpeg", "ffprobe")
	seconds := pick(6, 30)
	relay, root := newRelay(t)
	dir := t.TempDir()
	for _, s := range shows {
		args := strings.Fields(fmt.Sprintf("-nostdin -v error -f lavfi -i testsrc2=size=320x240:rate=%d -f lavfi -i sine=frequency=440:sample_rate=%d -t %d -map 0:v -map 1:a -pix_fmt yuv420p",
			codecFPS, max(s.rate, 8000), seconds))
		output(t, "ffmpeg", append(append(args, strings.Fields(s.encode)...), s.clip(dir))...)
	}
	urls := make([]string, len(shows))
	var sent sync.WaitGroup
	defer sent.Wait()
	for i, s := range shows {
		urls[i] = root + "/" + s.name
		if s.video == "av1" { // ffmpeg 5.1 does not send it
			pictures := readIVF(t, s.clip(dir))
			sent.Go(func() { relay.sendAV1(t, "/"+s.name, pictures) })
			continue
		}
		args := append(strings.Fields("-nostdin -v error -re -i "+s.clip(dir)+" -c copy "+s.publish), "-f", "rtsp", "-rtsp_transport", "tcp", urls[i])
		sent.Go(func() {
			if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
				t.Errorf("%s: ffmpeg: %v\n%s", s.name, err, out)
			}
		})
	}
	site := newSite(t, 4, pick(16, 64), urls...)
	r := site.record(t)
	sent.Wait()
	for last, since := int64(-1), time.Now(); time.Since(since) < 2*time.Second; time.Sleep(100 * time.Millisecond) { // more than two beats
		if n := site.samples(t, ""); n != last {
			last, since = n, time.Now()
		}
	}
	r.stop(t)
	for i, s := range shows {
		t.Run(s.name, func(t *testing.T) { s.check(t, site, fmt.Sprintf("cam%d", i+1), s.clip(dir), seconds) })
	}
	for _, encoding := range []string{"G722", "AAL2-G726-32"} {
		if n := strings.Count(r.log.String(), encoding); n != 1 {
			t.Errorf("%d warnings about %s, want one", n, encoding)
		}
	}
}

func (s *show) clip(dir string) string {
	if s.video == "av1" {
		return filepath.Join(dir, s.name+".ivf")
	}
	return filepath.Join(dir, s.name+".mkv")
}

// check exports all there is of a camera, and a piece out of the middle, and
// compares them with the clip.
func (s *show) check(t *testing.T, site *site, camera, clip string, seconds int) {
	l := site.list(t, camera)
	if len(l.Segments) == 0 {
		t.Fatal("nothing was recorded")
	}
	run := l.Segments[0].Run
	for _, seg := range l.Segments {
		if seg.Run != run {
			t.Errorf("run %d, then run %d", run, seg.Run)
		}
	}
	begin, end := l.Segments[0].Start, l.Segments[len(l.Segments)-1].End
	want := pictures(t, clip)
	if len(want) != seconds*codecFPS {
		t.Fatalf("the clip has %d pictures", len(want))
	}
	s.whole(t, s.export(t, site, camera, begin.Add(-time.Second/5), end.Add(time.Second/5)), want)
	// Not from a place to begin with, and not to one: what lies before is decoded
	// and not shown.
	const pieceMillis = 1700
	from := begin.Add(end.Sub(begin)/2 - 570*time.Millisecond)
	s.piece(t, s.export(t, site, camera, from, from.Add(pieceMillis*time.Millisecond)), want, pieceMillis*codecFPS/1000)
}

// export makes a file and lets the judges read it.
func (s *show) export(t *testing.T, site *site, camera string, from, to time.Time) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), s.name+".mp4")
	if _, code := site.run(t, "export", "--camera", camera, "--from", from.Format(time.RFC3339Nano), "--to", to.Format(time.RFC3339Nano), "-o", file); code != 0 {
		t.Fatalf("export: exit %d", code)
	}
	if s.complaint == "" {
		judge(t, file)
		return file
	}
	for line := range strings.Lines(output(t, "ffmpeg", "-nostdin", "-v", "warning", "-i", file, "-f", "null", "-")) {
		if !strings.Contains(line, s.complaint) && !strings.Contains(line, "Last message repeated") {
			t.Errorf("ffmpeg %s: %s", filepath.Base(file), line)
		}
	}
	return file
}

// piece wants n pictures, or one more or less, that follow each other in the clip.
func (s *show) piece(t *testing.T, file string, want []string, n int) {
	t.Helper()
	got := pictures(t, file)
	if s.refreshes {
		n -= codecFPS // shown when the refresh has gone through
	}
	if len(got) < n-1 || len(got) > n+2 && !s.refreshes {
		t.Errorf("a piece of %d pictures, want %d", len(got), n)
	}
	for i := range want {
		if i+len(got) <= len(want) && slices.Equal(got, want[i:i+len(got)]) {
			return
		}
	}
	t.Errorf("a piece of %d pictures that are not the clip's", len(got))
}

// whole wants the clip's pictures up to its end, and its sound.
func (s *show) whole(t *testing.T, file string, want []string) {
	t.Helper()
	got := pictures(t, file)
	if len(got) < len(want)/2 || len(got) > len(want) || !slices.Equal(got, want[len(want)-len(got):]) {
		t.Errorf("%d pictures come out, which are not the clip's last ones (of %d)", len(got), len(want))
	}
	said := output(t, "ffprobe", "-v", "error", "-show_entries", "stream=codec_name,duration", "-of", "csv=p=0", file)
	t.Logf("%d of %d pictures; %s", len(got), len(want), strings.ReplaceAll(strings.TrimSpace(said), "\n", "; "))
	var codecs []string
	var durations []float64
	for line := range strings.Lines(said) {
		name, duration, _ := strings.Cut(strings.TrimSpace(line), ",")
		d := 0.0
		fmt.Sscan(duration, &d)
		codecs, durations = append(codecs, name), append(durations, d)
	}
	slices.Sort(codecs)
	wanted := []string{s.video}
	if s.audio != "" {
		wanted = append(wanted, s.audio)
	}
	if slices.Sort(wanted); !slices.Equal(codecs, wanted) {
		t.Fatalf("ffprobe finds %v, want %v", codecs, wanted)
	}
	if len(durations) > 1 && math.Abs(durations[0]-durations[1]) > 1.5 {
		t.Errorf("%.3f s of pictures, %.3f s of sound", durations[0], durations[1])
	}
}

// pictures are the checksums of a file's decoded pictures, in the order in which
// they are shown. Those before the beginning of an edit list have negative times;
// ffmpeg's decoder of AV1 gives them out although they are not shown.
func pictures(t *testing.T, file string) (sums []string) {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", file, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && !strings.HasPrefix(strings.TrimSpace(fields[2]), "-") {
			sums = append(sums, strings.TrimSpace(fields[len(fields)-1]))
		}
	}
	return sums
}

// readIVF cuts a file of AV1 into temporal units, and those into OBUs.
func readIVF(t *testing.T, file string) (units [][][]byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || len(b) < 32 {
		t.Fatalf("%s: %d bytes, %v", file, len(b), err)
	}
	for b = b[32:]; len(b) >= 12; {
		size := int(binary.LittleEndian.Uint32(b))
		unit := b[12 : 12+size]
		b = b[12+size:]
		var obus [][]byte
		for len(unit) > 0 {
			header, size, at := unit[0], 0, 1
			for shift := 0; ; shift += 7 {
				size |= int(unit[at]&0x7f) << shift
				at++
				if unit[at-1] < 0x80 {
					break
				}
			}
			if header>>3&0xf != 2 { // temporal delimiters are not sent
				obus = append(obus, append([]byte{header &^ 2}, unit[at:at+size]...))
			}
			unit = unit[at+size:]
		}
		units = append(units, obus)
	}
	return units
}

// sendAV1 plays temporal units on a path, codecFPS a second.
func (r *relay) sendAV1(t *testing.T, path string, units [][][]byte) {
	track := &format.AV1{PayloadTyp: 96}
	desc := &description.Session{Medias: []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{track}}}}
	stream := &gortsplib.ServerStream{Server: r.server, Desc: desc}
	encoder, err := track.CreateEncoder()
	if err == nil {
		err = stream.Initialize()
	}
	if err != nil {
		t.Error(err)
		return
	}
	r.mu.Lock()
	r.streams[path] = stream
	r.mu.Unlock()
	begin := time.Now()
	for i, unit := range units {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / codecFPS)))
		packets, err := encoder.Encode(unit)
		if err != nil {
			t.Error(err)
			return
		}
		for _, p := range packets {
			p.Timestamp += uint32(i * 90000 / codecFPS)
			if err := stream.WritePacketRTP(desc.Medias[0], p); err != nil {
				t.Error(err)
				return
			}
		}
	}
}
