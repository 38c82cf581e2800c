package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const credentials = "username = \"user\"\npassword = \"pass word\""

// What GStreamer's server sends over UDP is recorded to the sample.
func TestGStreamerUDP(t *testing.T) {
	const fps = 25
	length := pick(6, 60)
	for _, test := range []struct{ mount, video, audio, auth string }{
		{"/h264aac", "h264", "aac", ""},
		{"/h265", "hevc", "", "basic"},
		{"/h264pcmu", "h264", "pcm_mulaw", "digest"}, // with B-frames
		{"/jpegopus", "mjpeg", "opus", ""},
	} {
		t.Run(test.mount[1:], func(t *testing.T) {
			var flags []string
			if test.auth != "" {
				flags = []string{"--auth", test.auth}
			}
			m := newMiddle(t, gstServer(t, length*fps, flags...).url)
			s := newSite(t, 3, pick(8, 32), m.url()+test.mount).with(t, "transport = \"udp\"\n"+credentials)
			r := s.record(t)
			waitFor(t, time.Duration(length+60)*time.Second, "end of the stream", func() bool { return m.first().pictures >= length*fps*9/10 })
			waitFor(t, 30*time.Second, "gap behind the last sample", func() bool { return len(s.list(t, "cam1").Gaps) > 0 })
			r.stop(t)
			m.judged(t, s, fps, test.video, test.audio)
		})
	}
}

// judged compares the first run with what was sent, and lets the judges read it.
func (m *middle) judged(t *testing.T, s *site, fps int, video, audio string) {
	t.Helper()
	sent := m.first()
	if video == "mjpeg" { // begins with any picture
		sent.lead = 0
	}
	v := recorded{t: t, s: s, camera: "cam1", fps: fps, pictures: sent.pictures - sent.lead}
	file := v.firstRun()
	switch v.video(file, video); audio {
	case "aac":
		v.audio(file, audio, sent.aac, len(packets(t, file, "a:0")), 44100/1024.0)
	case "opus":
		v.audio(file, audio, sent.sounds, len(packets(t, file, "a:0")), 50)
	case "pcm_mulaw":
		v.audio(file, audio, sent.bytes, frames(t, file), 8000)
	}
}

// transportOf is what nvr status says of the only camera.
func (s *site) transportOf(t *testing.T) (transport, tls string) {
	t.Helper()
	out, code := s.run(t, "status", "--json")
	if code != 0 {
		return "", ""
	}
	var d struct {
		Cameras []struct {
			Session struct{ Transport, TLS string }
		}
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || len(d.Cameras) != 1 {
		t.Fatalf("nvr status: %v in %s", err, out)
	}
	return d.Cameras[0].Session.Transport, d.Cameras[0].Session.TLS
}

// certificateFile makes a certificate with its key, as a camera has it.
func certificateFile(t *testing.T) (path, fingerprint string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "camera"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "camera.pem")
	b := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return path, hex.EncodeToString(sum[:])
}

// GStreamer's server with TLS: recorded by a pinned fingerprint, and only by the
// right one.
func TestGStreamerTLS(t *testing.T) {
	const fps = 25
	length := pick(5, 60)
	for _, auth := range []string{"basic", "digest"} {
		t.Run(auth, func(t *testing.T) {
			file, fingerprint := certificateFile(t)
			g := gstServer(t, length*fps, "--auth", auth, "--certificate", file)
			server := strings.Replace(g.url, "rtsp:", "rtsps:", 1)
			wrong := newSite(t, 2, 8, server+"/h264aac").with(t, credentials)
			r := wrong.record(t)
			var gaps []listedGap
			waitFor(t, 20*time.Second, "gap", func() bool { gaps = wrong.list(t, "cam1").Gaps; return len(gaps) > 0 })
			r.stop(t)
			if g := gaps[0]; !strings.Contains(g.Detail, fingerprint) || g.Reason != "camera_error" {
				t.Errorf("gap %+v, want the fingerprint %s in it", g, fingerprint)
			}
			s := newSite(t, 3, pick(8, 32), server+"/h264aac").with(t, credentials+"\ntls_fingerprint = \""+strings.ToUpper(fingerprint)+"\"")
			r = s.record(t)
			waitFor(t, 30*time.Second, "transport in the status", func() bool { transport, tls := s.transportOf(t); return transport == "tcp" && tls == "fingerprint" })
			waitFor(t, time.Duration(length+60)*time.Second, "gap behind the last sample", func() bool {
				l := s.list(t, "cam1")
				return len(l.Segments) > 0 && len(l.Gaps) > 0
			})
			r.stop(t)
			v := recorded{t: t, s: s, camera: "cam1", fps: fps, pictures: g.sent("/h264aac")}
			v.video(v.firstRun(), "h264")
		})
	}
}

// clip makes a file for servers that send files, and a directory that everybody
// may look into.
func clip(t *testing.T, seconds int) (file string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nvr-clip-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "clip.mp4")
	length := fmt.Sprint(seconds)
	output(t, "ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration="+length, "-f", "lavfi", "-i", "sine=sample_rate=44100:duration="+length,
		"-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-c:a", "aac", file)
	return file
}

// freePort is one that nobody had a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func listens(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		c.Close()
	}
	return err == nil
}

// recordsUntilKilled records what a live server sends, ends the server in the
// middle of it, and judges.
func recordsUntilKilled(t *testing.T, m *middle, path string, server *process) {
	t.Helper()
	s := newSite(t, 3, 8, m.url()+path) // auto: both refuse TCP
	r := s.record(t)
	seconds := pick(6, 60)
	waitFor(t, time.Duration(seconds+60)*time.Second, "enough pictures", func() bool { return m.first().pictures >= seconds*25 })
	if transport, _ := s.transportOf(t); transport != "udp" {
		t.Errorf("transport %q", transport)
	}
	server.cmd.Process.Kill()
	waitFor(t, 40*time.Second, "gap behind the last sample", func() bool { return len(s.list(t, "cam1").Gaps) > 0 })
	r.stop(t)
	m.judged(t, s, 25, "h264", "aac")
}

// VLC serves UDP only, and answers 461 to anything else.
func TestVLC(t *testing.T) {
	need(t, "ffprobe", "ffmpeg", "cvlc", "setpriv")
	file, port := clip(t, pick(60, 180)), freePort(t)
	args := []string{"cvlc", "--no-interact", "--quiet", "--rtsp-host", "127.0.0.1", "--rtsp-port", fmt.Sprint(port), file, "--sout", fmt.Sprintf("#rtp{sdp=rtsp://127.0.0.1:%d/x}", port), "--sout-all"}
	if os.Getuid() == 0 { // VLC does not run as root
		args = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=" + filepath.Dir(file)}, args...)
	}
	vlc := start(t, args[0], args[1:]...)
	waitFor(t, 30*time.Second, "VLC", func() bool { return listens(port) })
	recordsUntilKilled(t, newMiddle(t, fmt.Sprintf("rtsp://127.0.0.1:%d", port)), "/x", vlc)
}

// Perl's RTSP::Server serves UDP only, and answers 400 to anything else.
func TestPerlServer(t *testing.T) {
	need(t, "ffprobe", "ffmpeg", "perl")
	if out, err := exec.Command("perl", "-MRTSP::Server", "-e", "1").CombinedOutput(); err != nil {
		missing(t, "Perl's RTSP::Server is not installed ("+strings.TrimSpace(string(out))+")")
	}
	file, clients, sources := clip(t, pick(60, 180)), freePort(t), freePort(t)
	start(t, "perl", filepath.Join("testdata", "perlserver.pl"), fmt.Sprint(clients), fmt.Sprint(sources))
	waitFor(t, 30*time.Second, "RTSP::Server", func() bool { return listens(clients) && listens(sources) })
	source := start(t, "ffmpeg", "-nostdin", "-v", "error", "-re", "-i", file, "-c", "copy", "-f", "rtsp", "-rtsp_transport", "udp", fmt.Sprintf("rtsp://127.0.0.1:%d/x", sources))
	m := newMiddle(t, fmt.Sprintf("rtsp://127.0.0.1:%d", clients))
	recordsUntilKilled(t, m, "/x", source)
}
