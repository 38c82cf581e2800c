package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
)

// relay is a server on gortsplib's parts: what a publisher sends to a path,
// every reader of the path gets.
type relay struct {
	server *gortsplib.Server

	mu      sync.Mutex
	streams map[string]*gortsplib.ServerStream
}

func newRelay(t *testing.T) (*relay, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	r := &relay{streams: map[string]*gortsplib.ServerStream{}}
	r.server = &gortsplib.Server{Handler: r, RTSPAddress: address}
	if err := r.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.server.Close)
	return r, "rtsp://" + address
}

func (r *relay) stream(path string) *gortsplib.ServerStream {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streams[path]
}

func answer(s *gortsplib.ServerStream) (*base.Response, *gortsplib.ServerStream, error) {
	if s == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, s, nil
}

func (r *relay) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return answer(r.stream(ctx.Path))
}

func (r *relay) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if ctx.Session.State() == gortsplib.ServerSessionStatePreRecord {
		return &base.Response{StatusCode: base.StatusOK}, nil, nil
	}
	return answer(r.stream(ctx.Path))
}

func (r *relay) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (r *relay) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
	s := &gortsplib.ServerStream{Server: r.server, Desc: ctx.Description}
	if err := s.Initialize(); err != nil {
		return &base.Response{StatusCode: base.StatusInternalServerError}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.streams[ctx.Path] = s
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (r *relay) OnRecord(ctx *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	s := r.stream(ctx.Path)
	ctx.Session.OnPacketRTPAny(func(m *description.Media, _ format.Format, p *rtp.Packet) { s.WritePacketRTP(m, p) })
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// ffmpeg publishes to another server, and what that sends on is recorded: from
// the first sync sample after PLAY on, to the sample.
func TestFFmpeg(t *testing.T) {
	need(t, "ffmpeg", "ffprobe")
	const fps = 20
	_, root := newRelay(t)
	w := newWire(t, root)
	seconds := pick(10, 60)
	tests := []struct {
		path, video, audio string
		encode             []string
	}{
		{"/h264", "h264", "aac", strings.Fields("-c:v libx264 -preset ultrafast -tune zerolatency -g 20 -c:a aac")},
		{"/h265", "hevc", "pcm_alaw", strings.Fields("-c:v libx265 -preset ultrafast -tune zerolatency -x265-params keyint=20:log-level=error -c:a pcm_alaw")},
	}
	var published sync.WaitGroup
	defer published.Wait()
	for _, test := range tests {
		args := strings.Fields(fmt.Sprintf("-nostdin -v error -re -f lavfi -i testsrc2=size=320x240:rate=%d -re -f lavfi -i sine=frequency=440:sample_rate=8000 -t %d -map 0:v -map 1:a", fps, seconds))
		args = append(append(args, test.encode...), "-f", "rtsp", "-rtsp_transport", "tcp", root+test.path)
		published.Go(func() {
			if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
				t.Logf("ffmpeg: %v\n%s", err, out)
			}
		})
	}
	s := newSite(t, 3, pick(8, 32), w.url()+tests[0].path, w.url()+tests[1].path)
	r := s.record(t)
	published.Wait()
	for i, test := range tests {
		if w.first(test.path).pictures < fps*seconds/2 {
			t.Fatalf("%s: %d pictures came through in %d s", test.path, w.first(test.path).pictures, seconds)
		}
		waitFor(t, 10*time.Second, "last sample of "+test.path, func() bool {
			sent := w.first(test.path)
			return s.samples(t, fmt.Sprintf("cam%d", i+1)) >= int64(sent.pictures-sent.lead)
		})
	}
	r.stop(t) // the relay holds its readers although nothing comes any more
	for i, test := range tests {
		t.Run(test.path[1:], func(t *testing.T) {
			sent := w.first(test.path)
			v := recorded{t: t, s: s, camera: fmt.Sprintf("cam%d", i+1), fps: fps, pictures: sent.pictures - sent.lead}
			file := v.firstRun()
			v.video(file, test.video)
			switch test.audio {
			case "aac":
				v.audio(file, test.audio, sent.aac, len(packets(t, file, "a:0")), 8000/1024.0)
			default:
				v.audio(file, test.audio, sent.bytes, frames(t, file), 8000)
			}
			t.Logf("%s: %d pictures before the first sync sample, %d from it on", filepath.Base(file), sent.lead, v.pictures)
		})
	}
}
