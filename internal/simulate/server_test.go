package simulate

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

// Everything that Run started has ended when it returns.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPlayOverTCP(t *testing.T) {
	for _, codec := range []media.Codec{media.H264, media.H265} {
		t.Run(string(codec), func(t *testing.T) {
			t.Parallel()
			s := serve(t, Options{Codec: codec, Cameras: 3, Bitrate: 8_000_000})
			c := dial(t, s.URL(2))
			if d := c.do("DESCRIBE", c.url); d.status != 200 || !strings.Contains(d.body, "m=video 0 RTP/AVP 96") || d.header["content-base"] != c.url+"/" {
				t.Fatalf("DESCRIBE: %+v", d)
			}
			info := c.play().header["rtp-info"]
			a := newAssembler(t, codec)
			all := c.pictures(a, 65)
			first := all[0]
			if want := fmt.Sprintf("url=%s/trackID=0;seq=%d;rtptime=%d", c.url, first.sequence, first.timestamp); info != want {
				t.Errorf("RTP-Info %s, want %s", info, want)
			}
			if first.mark.Sequence%30 != 0 {
				t.Errorf("the connection begins with sample %d, which is not a sync sample", first.mark.Sequence)
			}
			for i, au := range all {
				if au.mark.Camera != 2 || au.mark.Connection != 1 || au.mark.Sequence != first.mark.Sequence+uint64(i) {
					t.Fatalf("access unit %d: %+v", i, au.mark)
				}
				if ticks := au.timestamp - first.timestamp; ticks != uint32(i*90000/120) {
					t.Errorf("access unit %d: %d ticks", i, ticks)
				}
			}
			if all[0].reports != 0 || all[1].reports != 1 {
				t.Errorf("%d reports before and %d after the first access unit, want 0 and 1", all[0].reports, all[1].reports)
			}
			if end := c.do("TEARDOWN", c.url); end.status != 200 {
				t.Errorf("TEARDOWN: %d", end.status)
			}
			c.session = ""
			if again := c.play(); again.status != 200 { // the connection may begin another session
				t.Errorf("PLAY again: %d", again.status)
			}
			st := s.Stats()[1]
			if st.Connections != 2 || st.Playing != 1 || st.Samples < 60 || st.Dropped != 0 || len(st.Sent) == 0 || st.Sent[0].From != first.mark.Sequence {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// A report says which instant a timestamp is, and what was sent before it.
func TestSenderReport(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{RTPStart: &RTPStart{Sequence: 65530, Timestamp: 1<<32 - 100, SSRC: 0xcafe}})
	c := dial(t, s.URL(1))
	if info := c.play().header["rtp-info"]; !strings.HasSuffix(info, ";seq=65530;rtptime=4294967196") {
		t.Errorf("RTP-Info %s", info)
	}
	packets, octets := 0, 0
	for {
		channel, b, err := c.frame()
		if err != nil {
			t.Fatal(err)
		}
		if channel == 0 {
			packets++
			octets += len(b) - 12
			continue
		}
		be := binary.BigEndian
		if b[0] != 0x80 || b[1] != 200 || be.Uint16(b[2:]) != 6 || be.Uint32(b[4:]) != 0xcafe || be.Uint32(b[16:]) != 1<<32-100 {
			t.Errorf("sender report % x", b[:28])
		}
		wall := time.Unix(int64(be.Uint32(b[8:]))-2208988800, int64(uint64(be.Uint32(b[12:]))*1e9>>32))
		if ago := time.Since(wall); ago < 0 || ago > time.Second {
			t.Errorf("the report is of %v ago", ago)
		}
		if int(be.Uint32(b[20:])) != packets || int(be.Uint32(b[24:])) != octets {
			t.Errorf("%d packets of %d octets reported, %d of %d received", be.Uint32(b[20:]), be.Uint32(b[24:]), packets, octets)
		}
		if sdes := b[28:]; sdes[0] != 0x81 || sdes[1] != 202 || len(sdes) != 4*int(be.Uint16(sdes[2:])+1) || string(sdes[10:10+sdes[9]]) != cname {
			t.Errorf("source description % x", sdes)
		}
		return
	}
}

func TestPlayWithSound(t *testing.T) {
	for _, audio := range []Audio{AudioAAC, AudioPCMU, AudioPCMA} {
		t.Run(string(audio), func(t *testing.T) {
			t.Parallel()
			s := serve(t, Options{Audio: audio, RTPStart: &RTPStart{Timestamp: 5000}})
			c := dial(t, s.URL(1))
			if a := c.do("SETUP", c.url, "Transport: "+tcpVideo); a.status != 459 {
				t.Errorf("SETUP of both tracks at once: %d", a.status)
			}
			c.setup(tcpVideo, tcpSound)
			if a := c.do("PLAY", c.url+"/trackID=0"); a.status != 460 {
				t.Errorf("PLAY of one of two tracks: %d", a.status)
			}
			if a := c.do("PLAY", c.url+"/"); a.status != 200 || strings.Count(a.header["rtp-info"], "url=") != 2 {
				t.Errorf("PLAY: %+v", a)
			}
			rate := s.sound.rate
			var next uint32
			var sequence uint16
			for sounds := 0; sounds < 8; {
				channel, b, err := c.frame()
				if err != nil {
					t.Fatal(err)
				}
				if channel != 2 {
					continue
				}
				seq, ts := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
				switch {
				case sounds == 0 && (ts < 5000 || ts >= 5000+s.sound.perPacket):
					t.Errorf("the first packet is %d ticks behind the picture", ts-5000)
				case sounds > 0 && (ts != next || seq != sequence):
					t.Errorf("packet %d: timestamp %d, want %d", seq, ts, next)
				}
				next, sequence = ts+s.sound.perPacket, seq+1
				sounds++
			}
			if st := s.Stats()[0]; st.AudioSent < 7 || st.AudioLost != 0 || st.AudioBytes == 0 {
				t.Errorf("stats at %d Hz: %+v", rate, st)
			}
		})
	}
}

// listenPair binds two neighbouring ports, as clients do.
func listenPair(t *testing.T) (rtp, rtcp *net.UDPConn) {
	t.Helper()
	for range 50 {
		a, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		b, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: a.LocalAddr().(*net.UDPAddr).Port + 1})
		if err == nil {
			a.SetReadBuffer(4 << 20)
			t.Cleanup(func() { a.Close(); b.Close() })
			a.SetDeadline(time.Now().Add(patience))
			b.SetDeadline(time.Now().Add(patience))
			return a, b
		}
		a.Close()
	}
	t.Fatal("no pair of ports")
	return nil, nil
}

func TestPlayOverUDPAndReportsKeepItAlive(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{SessionTimeout: time.Second})
	c := dial(t, s.URL(1))
	rtp, rtcp := listenPair(t)
	port := rtp.LocalAddr().(*net.UDPAddr).Port
	tr := c.setup(fmt.Sprintf("RTP/AVP;unicast;client_port=%d-%d", port, port+1))[0].header["transport"]
	if !strings.Contains(tr, fmt.Sprintf("server_port=%d-%d", s.rtpPort(), s.rtpPort()+1)) {
		t.Errorf("Transport: %s", tr)
	}
	if a := c.do("PLAY", c.url); a.status != 200 {
		t.Fatalf("PLAY: %d", a.status)
	}
	a := newAssembler(t, media.H264)
	b := make([]byte, 2048)
	started := time.Now()
	reported := time.Time{}
	var marks []mark.Mark
	for time.Since(started) < 1200*time.Millisecond { // longer than the time-out
		if time.Since(reported) > 100*time.Millisecond {
			reported = time.Now()
			to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.rtpPort() + 1}
			if _, err := rtcp.WriteToUDP([]byte{0x80, 201, 0, 1, 0, 0, 0, 1}, to); err != nil {
				t.Fatal(err)
			}
		}
		n, from, err := rtp.ReadFromUDP(b)
		if err != nil {
			t.Fatal(err)
		}
		if from.Port != s.rtpPort() {
			t.Fatalf("a packet from port %d", from.Port)
		}
		if au, done := a.push(b[:n]); done {
			marks = append(marks, au.mark)
		}
	}
	if r := mark.Check(marks); len(r) != 1 || !r[0].Clean() || r[0].Count < 50 {
		t.Errorf("%v", r)
	}
	if n, err := rtcp.Read(b); err != nil || n != reportSize || b[1] != 200 {
		t.Errorf("%d bytes of RTCP, %v", n, err)
	}
	c.tcp.Close() // UDP ends with the connection that asked for it
	until(t, "the viewer has left", func() bool { return s.Stats()[0].Playing == 0 })
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Cameras: 2})
	c := dial(t, s.URL(1))
	steps := []struct {
		method, url, header string
		want                int
	}{
		{"OPTIONS", "*", "", 200},
		{"DESCRIBE", s.URL(1) + "0", "", 404},
		{"DESCRIBE", "rtsp://h/", "", 404},
		{"SETUP", s.URL(1) + "/trackID=1", "Transport: " + tcpVideo, 404}, // no sound
		{"SETUP", s.URL(1) + "/trackID=0", "Transport: RTP/SAVP;unicast;client_port=5000-5001", 461},
		{"SETUP", s.URL(1) + "/trackID=0", "", 461},
		{"PLAY", s.URL(1), "", 455},
		{"PLAY", s.URL(1), "Session: 1", 454},
		{"TEARDOWN", s.URL(1), "", 454},
		{"PAUSE", s.URL(1), "", 405},
		{"DANCE", s.URL(1), "", 501},
		{"DESCRIBE", s.URL(1), "Require: www.onvif.org/ver20/backchannel", 551},
		{"SETUP", s.URL(1) + "/trackID=0", "Transport: " + tcpVideo, 200},
		{"SETUP", s.URL(2) + "/trackID=0", "Transport: " + tcpVideo, 454}, // one session a connection
		{"PLAY", s.URL(1), "", 454},
		{"GET_PARAMETER", s.URL(1), "Session: 1", 454},
	}
	for _, step := range steps {
		var header []string
		if step.header != "" {
			header = []string{step.header}
		}
		if a := c.do(step.method, step.url, header...); a.status != step.want {
			t.Errorf("%s %s %s: %d, want %d", step.method, step.url, step.header, a.status, step.want)
		}
	}
	io.WriteString(c.tcp, "NONSENSE\r\n\r\n")
	if a, err := c.readAnswer(); err != nil || a.status != 400 {
		t.Errorf("nonsense: %d %v", a.status, err)
	}
	if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after nonsense: %v, want the end", err)
	}
}

func TestAuthentication(t *testing.T) {
	for _, scheme := range []Auth{AuthBasic, AuthDigest, AuthDigestSHA256} {
		t.Run(string(scheme), func(t *testing.T) {
			t.Parallel()
			s := serve(t, Options{Auth: scheme, User: "u", Password: "p"})
			c := dial(t, s.URL(1))
			if a := c.do("OPTIONS", c.url); a.status != 200 {
				t.Errorf("OPTIONS: %d", a.status)
			}
			a := c.do("DESCRIBE", c.url)
			if a.status != 401 {
				t.Fatalf("DESCRIBE: %d", a.status)
			}
			challenge := a.header["www-authenticate"]
			authorize := func(method, url, password string, count int) string {
				if scheme == AuthBasic {
					return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+password))
				}
				p := digestParams(strings.TrimPrefix(challenge, "Digest "))
				p["uri"] = url
				line := fmt.Sprintf(`Authorization: Digest username="u", realm="%s", nonce="%s", uri="%s", `, p["realm"], p["nonce"], url)
				if scheme == AuthDigest {
					return line + `response="` + digest(md5.New, "u", password, method, p) + `"`
				}
				p["cnonce"], p["nc"] = "c", fmt.Sprintf("%08x", count)
				return line + fmt.Sprintf(`algorithm=SHA-256, qop=auth, nc=%s, cnonce="c", response="%s"`, p["nc"], digest(sha256.New, "u", password, method, p))
			}
			if a := c.do("DESCRIBE", c.url, authorize("DESCRIBE", c.url, "wrong", 1)); a.status != 401 {
				t.Errorf("a wrong password: %d", a.status)
			}
			if a := c.do("DESCRIBE", c.url, authorize("DESCRIBE", c.url, "p", 2)); a.status != 200 {
				t.Errorf("the right password: %d", a.status)
			}
			video := c.url + "/trackID=0"
			setup := c.do("SETUP", video, "Transport: "+tcpVideo, authorize("SETUP", video, "p", 3))
			c.session, _, _ = strings.Cut(setup.header["session"], ";")
			if a := c.do("PLAY", c.url); a.status != 401 {
				t.Errorf("PLAY without a password: %d", a.status)
			}
			if a := c.do("PLAY", c.url, authorize("PLAY", c.url, "p", 4)); a.status != 200 {
				t.Errorf("PLAY: %d", a.status)
			}
		})
	}
}

func TestTwoViewersSeeTheSameNumbers(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	one, two := dial(t, s.URL(1)), dial(t, s.URL(1))
	one.play()
	two.play()
	a := one.pictures(newAssembler(t, media.H264), 40)
	b := two.pictures(newAssembler(t, media.H264), 40)
	if a[0].mark.Connection == b[0].mark.Connection || a[0].ssrc == b[0].ssrc {
		t.Errorf("connections %d and %d, SSRC %x and %x", a[0].mark.Connection, b[0].mark.Connection, a[0].ssrc, b[0].ssrc)
	}
	for i, j := 0, int(a[0].mark.Sequence)-int(b[0].mark.Sequence); i < 40; i++ {
		if k := i + j; k >= 0 && k < 40 && a[i].bytes != b[k].bytes {
			t.Errorf("sample %d has %d and %d bytes", a[i].mark.Sequence, a[i].bytes, b[k].bytes)
		}
	}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here")
	} else {
		l.Close()
	}
	s := serve(t, Options{Addr: "[::1]:0"})
	c := dial(t, s.URL(1))
	if d := c.do("DESCRIBE", c.url); !strings.Contains(d.body, "o=- 1 1 IN IP6 ::1") {
		t.Errorf("SDP: %s", d.body)
	}
	c.play()
	c.pictures(newAssembler(t, media.H264), 1)
}

func TestNewRefuses(t *testing.T) {
	cases := []Options{
		{Addr: "0.0.0.0:0"}, {Addr: ":8554"}, {Addr: "192.0.2.1:554"}, {Addr: "example.org:554"}, {Addr: "127.0.0.1"}, {Addr: "127.0.0.1:70000"},
		{Cameras: -1}, {Cameras: maxCameras + 1}, {FPS: 1000}, {Bitrate: -1}, {Bitrate: maxBitrate + 1}, {Codec: "vp8"}, {Audio: "mp3"},
		{Auth: "ntlm"}, {Auth: AuthDigest}, {Auth: AuthBasic, User: "a:b"}, {SessionTimeout: time.Millisecond}, {Backlog: -1},
	}
	for _, o := range cases {
		if s, err := New(o); err == nil {
			s.close()
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestParseBitrate(t *testing.T) {
	cases := map[string]int{"4M": 4_000_000, "512k": 512_000, "1.5m": 1_500_000, "800000": 800_000,
		"": 0, "M": 0, "-1M": 0, "0": 0, "1G": 0, "NaN": 0, "201M": 0}
	for s, want := range cases {
		if got, err := ParseBitrate(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
}

// A bit rate below the clip's own is not reached, and Bitrate says what is.
func TestBitrate(t *testing.T) {
	for _, asked := range []int{0, 10_000, 2_000_000} {
		s, err := New(Options{Bitrate: asked})
		if err != nil {
			t.Fatal(err)
		}
		s.close()
		if got := s.Bitrate(); asked == 2_000_000 && got != asked || asked < 100_000 && (got < 200_000 || got > 500_000) {
			t.Errorf("asked for %d bit/s, got %d", asked, got)
		}
	}
}

// The sender does not allocate for an access unit.
func TestSendingDoesNotAllocate(t *testing.T) {
	s, err := New(Options{Audio: AudioPCMU})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	tcp, err := net.DialTCP("tcp", nil, s.listener.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	accepted, err := s.listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	k, err := newConn(accepted, defaultBacklog, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	go io.Copy(io.Discard, tcp)
	now := time.Now()
	c := s.cameras[0]
	c.start(now, s.sound)
	v := &viewer{camera: c, conn: k, server: s, video: &flow{}, audio: &flow{transport: transport{rtp: 2, rtcp: 3}}}
	c.join(v, func() {})
	step := time.Second / defaultFPS
	for range 60 {
		now = now.Add(step)
		s.sendDue(c, now)
	}
	if n := testing.AllocsPerRun(200, func() { now = now.Add(step); s.sendDue(c, now) }); n > 0 {
		t.Errorf("%v allocations for each access unit", n)
	}
	if c.samples.Load() < 200 || c.audioSent.Load() < 200 {
		t.Errorf("%d samples and %d packets of sound were sent", c.samples.Load(), c.audioSent.Load())
	}
}

// A foreign client as the judge: ffmpeg reads and decodes what comes.
func TestFFmpegDecodes(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ffmpeg is missing: .ci/run installs it")
		}
		t.Skip("ffmpeg is missing: apt-get install ffmpeg")
	}
	for codec, transport := range map[media.Codec]string{media.H264: "tcp", media.H265: "udp"} {
		t.Run(string(codec)+" "+transport, func(t *testing.T) {
			t.Parallel()
			s := serve(t, Options{Codec: codec, Audio: AudioAAC, FPS: 60, Auth: AuthDigest, User: "u", Password: "p", Bitrate: 3_000_000})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			url := strings.Replace(s.URL(1), "rtsp://", "rtsp://u:p@", 1)
			out, err := exec.CommandContext(ctx, "ffmpeg", "-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-probesize", "100k",
				"-rtsp_transport", transport, "-i", url, "-t", "1", "-map", "0:v", "-map", "0:a", "-f", "null", "-").CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
