package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nvr/internal/ingest"
	"nvr/internal/media"
	"nvr/internal/simulate"
	"nvr/internal/simulate/mark"
)

// kept is a Recorder that keeps everything.
type kept struct {
	mu      sync.Mutex
	records []media.Record
	gaps    []media.Gap
}

func (k *kept) Offer(r media.Record) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records = append(k.records, r)
	return true
}

func (k *kept) OfferGap(g media.Gap) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gaps = append(k.gaps, g)
	return true
}

// onlyLosses wants no other gaps than holes that the network made.
func (k *kept) onlyLosses(t *testing.T) {
	t.Helper()
	for _, g := range k.gaps {
		if g.Reason != media.ReasonLoss && g.Reason != media.ReasonStopped {
			t.Errorf("gap %+v", g)
		}
	}
}

const (
	lossyFPS = 30
	lossyGOP = 30
)

func lossyCamera(t *testing.T) *simulate.Server {
	return cameras(t, simulate.Options{FPS: lossyFPS, Bitrate: 4_000_000, Audio: simulate.AudioPCMU})
}

// recordLossy records a camera for a while, over UDP, on a thread of the network
// namespace that enter enters. The camera falls silent before the end, so that
// what was under way arrives.
func recordLossy(t *testing.T, url string, server *simulate.Server, length time.Duration, enter func() error) (*kept, ingest.Status) {
	t.Helper()
	k := &kept{}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	stream := &media.Stream{Camera: media.Camera{UUID: media.CameraUUID("yard"), ID: "yard"}, Name: "main"}
	camera := ingest.New(ingest.Options{Stream: stream, URL: url, Transport: "udp", Audio: true, Log: log}, k)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		if enter != nil {
			runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
			if err := enter(); err != nil {
				ended <- err
				return
			}
		}
		ended <- camera.Run(ctx)
	}()
	waitFor(t, 30*time.Second, "recording", func() bool { return camera.Status().State == ingest.Recording })
	time.Sleep(length) // the length is the test's input
	server.Freeze(1)
	time.Sleep(1500 * time.Millisecond) // more than the reorder window, and a look at the counters
	st := camera.Status()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	t.Logf("notes: %q", st.Notes)
	return k, st
}

// numberedSample is a picture of a recording.
type numberedSample struct {
	number  uint64
	wall    time.Time
	sync    bool
	damaged bool
}

// picturesIn are those of a recording. The number follows from the media time and
// agrees with the mark, where that was not lost; a picture without what stands
// in front of its slices is a picture.
func picturesIn(t *testing.T, records []media.Record) (all []numberedSample) {
	t.Helper()
	const step = 90000 / lossyFPS
	var zero uint64 // the number at media time 0 of the run, once it is known
	var run media.RunID
	marked := 0
	for _, r := range records {
		if r.Track != media.VideoTrack {
			continue
		}
		if r.Run != run {
			if run != 0 {
				t.Fatal("a second run")
			}
			run = r.Run
		}
		at, ticks := 0, r.Start
		for _, s := range r.Buffer.Samples {
			n := uint64((ticks + step/2) / step)
			mark.Find(r.Buffer.Data[at:at+int(s.Size)], func(m mark.Mark) {
				if marked++; zero == 0 {
					zero = m.Sequence - n
				}
				if m.Sequence != zero+n {
					t.Errorf("picture %d has the time of picture %d", m.Sequence, zero+n)
				}
			})
			wall := time.Unix(0, r.Wall).Add((ticks - r.Start).Duration(r.Params.ClockRate))
			all = append(all, numberedSample{n, wall, s.Sync(), s.Flags&media.SampleDamaged != 0})
			at += int(s.Size)
			ticks += media.Ticks(s.Duration)
		}
	}
	if t.Logf("%d pictures of %d have their mark", marked, len(all)); marked < len(all)/4 {
		t.Error("too few to know which picture is which")
	}
	for i := range all {
		all[i].number += zero
	}
	return all
}

// damageIsMarked wants the mark on what depends on something that is missing,
// and on nothing else: lost tells of which pictures packets were lost, without it
// that is seen by the pictures that are not there.
func damageIsMarked(t *testing.T, all []numberedSample, lost func(number uint64) bool) {
	t.Helper()
	broken, wrong, damaged := false, 0, 0
	for i, p := range all {
		if i > 0 {
			broken = broken || p.number != all[i-1].number+1
			for n := all[i-1].number + 1; n <= p.number; n++ {
				broken = broken || lost != nil && lost(n)
			}
		}
		if p.sync {
			broken = false
		}
		if p.damaged != broken && (lost != nil || broken) {
			wrong++
		}
		if p.damaged {
			damaged++
		}
	}
	t.Logf("%d pictures, %d of them marked as damaged", len(all), damaged)
	if wrong > 0 || damaged == 0 {
		t.Errorf("%d pictures are marked wrongly, %d are marked", wrong, damaged)
	}
}

// tooLate is how many packets came later than the reorder window waits. On a busy
// machine whoever sends is held up, and what it sends late with it: that is lost
// for the recorder, and said.
func tooLate(st ingest.Status) (n int) {
	for _, note := range st.Notes {
		if strings.HasSuffix(note, "came so late that they count as lost") {
			fmt.Sscan(note, &n)
		}
	}
	return n
}

// within wants a count to be right to 1 %, or to two where that is less.
func within(t *testing.T, what string, got, want float64) {
	t.Helper()
	t.Logf("%s: %.0f, in truth %.0f (%+.2f %%)", what, got, want, 100*(got-want)/want)
	if math.Abs(got-want) > max(2, want/100) {
		t.Errorf("%s: %.0f, in truth %.0f", what, got, want)
	}
}

// inSync compares the wall times of pictures and sounds with when they passed
// the middle: both must be off by the same. first is which of the pictures that
// were sent is the first one recorded; -1: whichever fits, as with the sounds.
func inSync(t *testing.T, video, audio *trackSent, records []media.Record, all []numberedSample, first int) {
	t.Helper()
	if first < 0 {
		first = 0
		apart := func(n int) time.Duration { return all[0].wall.Sub(video.when[video.order[n]]).Abs() }
		for n := 0; n < len(video.order); n += lossyGOP {
			if apart(n) < apart(first) {
				first = n
			}
		}
	}
	var offsets [2][]float64
	for _, p := range all {
		at := video.first + uint32(p.number-all[0].number+uint64(first))*90000/lossyFPS
		if sent, ok := video.when[at]; ok {
			offsets[0] = append(offsets[0], p.wall.Sub(sent).Seconds())
		}
	}
	for _, r := range records {
		if r.Track != media.AudioTrack {
			continue
		}
		wall, best := time.Unix(0, r.Wall), math.Inf(1)
		for _, sent := range audio.sounds[string(r.Buffer.Data[:r.Buffer.Samples[0].Size])] { // the sound repeats each second
			if d := wall.Sub(sent).Seconds(); math.Abs(d) < math.Abs(best) {
				best = d
			}
		}
		offsets[1] = append(offsets[1], best)
	}
	if len(offsets[0]) == 0 || len(offsets[1]) == 0 {
		t.Fatal("nothing to compare")
	}
	var middle [2]float64
	for i := range offsets {
		slices.Sort(offsets[i])
		middle[i] = offsets[i][len(offsets[i])/2]
	}
	t.Logf("video is %.1f ms after the wire, audio %.1f ms", 1000*middle[0], 1000*middle[1])
	if d := math.Abs(middle[0] - middle[1]); d > 0.080 { // ITU-R BT.1359: detectable from 45 ms, acceptable to 90 ms
		t.Errorf("audio and video are %.0f ms apart", 1000*d)
	}
}

// tracks are the video and the audio of the first session.
func (r *middle) tracks() (video, audio *trackSent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.sessions[0].tracks {
		if t.audio {
			audio = t
		} else {
			video = t
		}
	}
	return video, audio
}

// A network that loses 5 %, sends 5 % later and 1 % twice: what is recorded is
// whole, what is missing is counted and marked.
func TestLossyUDP(t *testing.T) {
	server := lossyCamera(t)
	m := newMiddle(t, server.URL(1))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd, lock := rand.New(rand.NewPCG(seed, 1)), sync.Mutex{}
	m.fate = func(audio bool) (drop bool, late, again int) {
		lock.Lock()
		defer lock.Unlock()
		most := 20 // packets, 50 ms of video
		if audio {
			most = 2 // 80 ms
		}
		switch p := rnd.Float64(); {
		case p < 0.05:
			drop = true
		case p < 0.10:
			late = 1 + rnd.IntN(most)
		case p < 0.11:
			again = 1 + rnd.IntN(most)
		}
		return drop, late, again
	}
	k, st := recordLossy(t, m.url()+"/cam1", server, pick(8*time.Second, 60*time.Second), nil)
	video, audio := m.tracks()
	all := picturesIn(t, k.records)
	late := tooLate(st)
	within(t, "packets lost", float64(st.LostPackets)-float64(late), float64(video.droppedBefore+audio.droppedBefore))
	first, whole := -1, 0 // the first sync picture that came whole; how many came whole from it on
	for i, at := range video.order {
		if first < 0 && i%lossyGOP == 0 && !video.hit[at] {
			first = i
		}
		if first >= 0 && !video.hit[at] {
			whole++
		}
	}
	within(t, "pictures recorded", float64(len(all)), float64(whole))
	lost := func(number uint64) bool {
		_, lost := video.hit[video.order[int(number-all[0].number)+first]]
		return lost
	}
	if late > 0 {
		lost = nil
	}
	damageIsMarked(t, all, lost)
	inSync(t, video, audio, k.records, all, first)
	k.onlyLosses(t)
}

// The same through two network namespaces and the wire of rigs/faults between
// them, which loses and reorders what it likes. By hand, as root:
//
//	go -C rigs/faults build -o /tmp/faults ./faults
//	NVR_FAULTS=/tmp/faults go test -count=1 -v -run TestLossyWire ./e2e
func TestLossyWire(t *testing.T) {
	faults := os.Getenv("NVR_FAULTS")
	if faults == "" {
		t.Skip("by hand: NVR_FAULTS names the program of rigs/faults")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("rigs/faults is for amd64")
	}
	a, b := fmt.Sprintf("nvrA%d", os.Getpid()), fmt.Sprintf("nvrB%d", os.Getpid())
	control := filepath.Join(t.TempDir(), "control")
	wire := exec.Command(faults, "net", "-a", a, "-b", b, "-ctl", control, "-c", "delay=5ms jitter=1ms")
	out, err := wire.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	wire.Stderr = os.Stderr
	if err := wire.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		wire.Process.Signal(syscall.SIGTERM)
		wire.Wait()
	})
	if line := make([]byte, 16); true {
		if n, err := out.Read(line); err != nil || !strings.HasPrefix(string(line[:n]), "ready") {
			t.Fatalf("faults net: %q, %v", line, err)
		}
	}
	enter := func(namespace string) func() error {
		return func() error {
			f, err := os.Open("/var/run/netns/" + namespace)
			if err != nil {
				return err
			}
			defer f.Close()
			const sysSetns = 308 // amd64
			if _, _, errno := syscall.RawSyscall(sysSetns, f.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
				return errno
			}
			return nil
		}
	}
	// The camera's side: the simulated camera is where this process is, and the
	// middle is its host in the other namespace.
	inside := func(f func() error) error {
		failed := make(chan error)
		go func() {
			runtime.LockOSThread()
			err := enter(b)()
			if err == nil {
				err = f()
			}
			failed <- err
		}()
		return <-failed
	}
	host := net.IPv4(10, 99, 0, 2)
	var l net.Listener
	if err := inside(func() (err error) { l, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: host}); return err }); err != nil {
		t.Fatal(err)
	}
	server := lossyCamera(t)
	m := startMiddle(t, server.URL(1), l, func() (u *net.UDPConn, err error) {
		err = inside(func() (err error) { u, err = net.ListenUDP("udp4", &net.UDPAddr{IP: host}); return err })
		return u, err
	})
	go func() { // when the stream is there, the wire gets worse
		for m.first().pictures == 0 && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		exec.Command(faults, "ctl", control, "delay=5ms jitter=1ms loss=0.05 reorder=0.05 dir=ba").Run()
	}()
	k, st := recordLossy(t, m.url()+"/cam1", server, 60*time.Second, enter(a))
	stats := output(t, faults, "ctl", control, "stats")
	var got, sent, dropped float64
	if _, after, ok := strings.Cut(stats, "b->a got "); ok {
		fmt.Sscanf(after, "%f sent %f dropped %f", &got, &sent, &dropped)
	}
	t.Log(strings.TrimSpace(stats))
	all := picturesIn(t, k.records)
	damageIsMarked(t, all, nil)
	late := tooLate(st)
	within(t, "packets lost", float64(st.LostPackets)-float64(late), dropped)
	video, audio := m.tracks()
	inSync(t, video, audio, k.records, all, -1)
	k.onlyLosses(t)
}
