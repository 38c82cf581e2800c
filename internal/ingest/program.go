package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nvr/internal/codec/av1"
	"nvr/internal/codec/h264"
	"nvr/internal/codec/h265"
	"nvr/internal/codec/opus"
	"nvr/internal/ingest/exec"
	"nvr/internal/ingest/mpegts"
	"nvr/internal/ingest/rtp"
	"nvr/internal/ingest/rtsp"
	"nvr/internal/media"
)

// Program is a program whose standard output is the camera.
type Program struct {
	Command []string // the program and its arguments; no shell reads them
	Env     []string // NAME=value, beside the few variables that it gets of ours
	Secrets []string // masked in what it says
	Format  string   // FormatMPEGTS or FormatRTP
	// RTPMap says what the payload types of FormatRTP are, as a=rtpmap does (RFC 8866
	// §6.6): "96 H264/90000". Nil: the first packet's type is H.264.
	RTPMap []string
}

// The formats.
const (
	FormatMPEGTS = "mpegts" // ISO/IEC 13818-1
	FormatRTP    = "rtp"    // RTP packets behind their lengths, RFC 4571
)

const (
	programBuffer = 256 << 10              // of what was read and is not taken apart yet
	programBeat   = 100 * time.Millisecond // between two looks at the pipe
	programBatch  = 4 << 20                // bytes taken in one: 320 Mbit/s
	// beginPatience is how long a program may write nothing, or nothing of use: some
	// look for their camera for a while.
	beginPatience = 20 * time.Second
	// maxProgramJunk is what may be no packet, in a row: a word to the wrong place and
	// a recording cut in the middle, but not a film of another format.
	maxProgramJunk = 1 << 20

	// A program that reads a file may be faster than time. It is allowed a lead, and
	// after that waits in the pipe. What comes late may come all at once; and a
	// camera's clock that runs fast by less than paceSlack never has to wait.
	paceLead  = time.Second
	paceMost  = 10 * time.Second
	paceSlack = 500e-6
	// A step of media time that is longer is none.
	maxPaceStep = 10 * time.Second
)

// errNothing says that a program's stream does not begin.
var errNothing = fmt.Errorf("no packet for %v", beginPatience)

// paced holds back a stream that comes faster than it is to be shown.
type paced struct {
	begun  bool
	stamp  uint32
	at     time.Time
	credit time.Duration
}

// took counts a unit that is shown at stamp.
func (p *paced) took(stamp, rate uint32, now time.Time) {
	if !p.begun {
		p.begun, p.stamp, p.at, p.credit = true, stamp, now, paceLead
	}
	step := media.Ticks(int32(stamp - p.stamp)).Duration(rate)
	p.stamp = stamp
	if step.Abs() < maxPaceStep {
		p.credit -= step
	}
	p.accrue(now)
}

func (p *paced) accrue(now time.Time) {
	if d := now.Sub(p.at); p.begun && d > 0 {
		p.credit = min(paceMost, p.credit+d+time.Duration(float64(d)*paceSlack))
		p.at = now
	}
}

// full reports whether the lead is used up.
func (p *paced) full() bool { return p.begun && p.credit <= 0 }

// program is a session with a program. It is its streams' mpegts.Handler.
type program struct {
	c       *Camera
	process *exec.Process
	rec     *recording
	buf     []byte
	r, w    int // buf[r:w] is not taken apart yet
	now     time.Time
	pace    paced
	lead    int // the track that pace goes by
	err     error

	// Of FormatMPEGTS:
	ts      mpegts.Demuxer
	streams []mpegts.Stream
	tracks  []int // of the streams; -1: not recorded
	lost    uint64
	changed bool // the program map came, and was not looked at yet

	// Of FormatRTP:
	framed rtp.Framed
	types  [128]int8 // track of each payload type, -1: none
}

// openProgram starts the program and waits until its tracks are known.
func (c *Camera) openProgram(ctx context.Context, rec *recording) (session, error) {
	p := &program{c: c, rec: rec, buf: make([]byte, programBuffer)}
	if rtpmap := c.o.Program.RTPMap; c.o.Program.Format == FormatRTP && rtpmap != nil {
		if err := p.mapTypes(rtpmap); err != nil {
			return nil, err
		}
	}
	process, err := exec.Start(exec.Options{Command: c.o.Program.Command, Env: c.o.Program.Env, Secrets: c.o.Program.Secrets, Log: c.log})
	if err != nil {
		return nil, err
	}
	p.process = process
	begun := false
	defer func() {
		if !begun {
			p.Close()
		}
	}()
	c.status.opened(process.Name())
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	begun = true
	return p, nil
}

// Close ends the program.
func (p *program) Close() error {
	p.process.Close()
	return nil
}

// begin reads up to the program map of a transport stream, or to the first RTP packet,
// which all stay in the buffer.
func (p *program) begin(ctx context.Context) error {
	for until := time.Now().Add(beginPatience); ; {
		n, err := p.fill()
		now := time.Now()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case now.After(until):
			return p.nothing()
		}
		if n > 0 {
			if p.c.o.Program.Format == FormatRTP {
				pkt, used := p.framed.Next(p.buf[p.r:p.w])
				if rtp.IsControl(pkt) {
					p.r += used
					continue
				}
				if pkt != nil && p.c.o.Program.RTPMap == nil { // it has one track, as far as we know
					return p.mapTypes([]string{fmt.Sprintf("%d H264/90000", rtp.PayloadType(pkt))})
				}
				if pkt != nil {
					return nil
				}
				p.r += used
			} else {
				p.r += p.ts.Write(p.buf[p.r:p.w], (*programMap)(p))
				if p.changed {
					p.choose()
					return nil
				}
			}
			if err := p.sane(); err != nil {
				return err
			}
			continue
		}
		p.process.Tick(now)
		if !sleep(ctx, programBeat) {
			return ctx.Err()
		}
	}
}

// nothing says that a program gives nothing of use.
func (p *program) nothing() error {
	if p.c.o.Program.Format == FormatMPEGTS && p.ts.Stats().Packets > 0 {
		return fmt.Errorf("%s writes MPEG-TS without a program map: %w", p.process.Name(), errNoTracks)
	}
	return fmt.Errorf("%s: %w", p.process.Name(), errNothing)
}

// sane reports that what comes is not of the format.
func (p *program) sane() error {
	junk, what := p.ts.Stats().InARow, "MPEG-TS (ISO/IEC 13818-1)"
	if p.c.o.Program.Format == FormatRTP {
		junk, what = p.framed.InARow, "RTP packets behind their lengths (RFC 4571)"
	}
	if junk > maxProgramJunk {
		return fmt.Errorf("what %s writes is no %s", p.process.Name(), what)
	}
	return nil
}

// fill reads into the buffer, which has room for more than any packet that is not
// complete.
func (p *program) fill() (int, error) {
	if p.r > 0 {
		p.w = copy(p.buf, p.buf[p.r:p.w])
		p.r = 0
	}
	n, err := p.process.Read(p.buf[p.w:])
	p.w += n
	return n, err
}

// Receive hands everything that comes to the recording until the program ends. It
// returns nil only when ctx ended.
func (p *program) Receive(ctx context.Context) error {
	for {
		p.now = time.Now()
		p.pace.accrue(p.now)
		end := p.batch()
		p.process.Tick(p.now)
		switch {
		case ctx.Err() != nil:
			return nil
		case p.err != nil:
			return p.err
		case end != nil:
			return end
		}
		if err := p.rec.Tick(p.now); err != nil {
			return err
		}
		sleep(ctx, programBeat) // what came before the end of ctx is taken yet
	}
}

// batch takes what is there, as far as pace allows: the rest is left in the pipe.
func (p *program) batch() error {
	for total := 0; ; {
		p.take()
		if p.err != nil || p.Full() || total >= programBatch {
			return nil
		}
		if err := p.sane(); err != nil {
			return err
		}
		n, err := p.fill()
		if err != nil {
			if p.c.o.Program.Format == FormatMPEGTS {
				p.ts.Flush(p) // the last picture
			}
			return err
		}
		if n == 0 {
			return nil
		}
		total += n
	}
}

// take takes the buffer apart.
func (p *program) take() {
	if p.c.o.Program.Format == FormatMPEGTS {
		p.r += p.ts.Write(p.buf[p.r:p.w], p)
		if lost := p.ts.Stats().Lost; lost > p.lost {
			p.rec.receivers[p.lead].Missing(lost - p.lost)
			p.lost = lost
		}
		return
	}
	for !p.Full() {
		pkt, n := p.framed.Next(p.buf[p.r:p.w])
		p.r += n
		if pkt == nil {
			return
		}
		if rtp.IsControl(pkt) {
			continue
		}
		track := int(p.types[rtp.PayloadType(pkt)])
		if track < 0 {
			continue
		}
		p.rec.Packet(track, pkt, p.now)
		if track == p.lead {
			p.pace.took(rtp.Time(pkt), p.rec.kinds[track].ClockRate, p.now)
		}
	}
}

// Full holds the stream back.
func (p *program) Full() bool { return p.pace.full() || p.err != nil }

// PES takes a PES packet.
func (p *program) PES(u mpegts.PES) {
	track := p.tracks[u.Stream]
	if track < 0 {
		return
	}
	p.rec.unit(track, rtp.Packet{Payload: u.Data, Time: u.PTS, Arrival: p.now, Gap: u.Gap})
	if track == p.lead {
		p.pace.took(u.PTS, mpegts.ClockRate, p.now)
	}
}

// Program takes a new program map. Streams that moved to other numbers go on; what
// consists of something else is a new session.
func (p *program) Program(streams []mpegts.Stream) {
	var before, now []mpegts.Encoding
	tracks := make([]int, len(streams))
	for i, t := range p.tracks {
		if t >= 0 {
			before = append(before, p.streams[i].Encoding)
		}
	}
	for i := range streams {
		tracks[i] = -1
		if at := len(now); at < len(before) && streams[i].Encoding == before[at] {
			tracks[i] = at
			now = append(now, streams[i].Encoding)
		}
	}
	if len(now) < len(before) {
		p.err = errors.New("the program map names other streams: begin again")
		return
	}
	p.streams, p.tracks = streams, tracks
}

// programMap is a program before its map is known.
type programMap program

func (p *programMap) Program(streams []mpegts.Stream) { p.streams, p.changed = streams, true }
func (p *programMap) PES(mpegts.PES)                  {}
func (p *programMap) Full() bool                      { return p.changed }

// choose picks the first video and, if wanted, the first sound of the program.
func (p *program) choose() {
	p.tracks = make([]int, len(p.streams))
	have := map[media.Kind]bool{}
	var skipped []string
	for i, st := range p.streams {
		p.tracks[i] = -1
		choice, ok := chooseStream(st.Encoding)
		switch {
		case !ok:
			skipped = append(skipped, st.Name)
		case have[choice.kind], choice.kind == media.Audio && !p.c.o.Audio:
		default:
			have[choice.kind] = true
			p.tracks[i] = len(p.rec.tracks)
			if choice.kind == media.Video {
				p.lead = p.tracks[i]
			}
			p.rec.add(choice)
		}
	}
	if len(skipped) > 0 && p.c.status.firstSkip() {
		p.c.log.Warn("tracks that cannot be stored are left out", "tracks", skipped)
	}
}

// chooseStream says how a stream of a transport stream is received.
func chooseStream(e mpegts.Encoding) (choice, bool) {
	c := choice{kind: media.Audio, clockRate: mpegts.ClockRate}
	switch e {
	case mpegts.H264:
		c.kind, c.name = media.Video, "h264"
		c.depacketizer = func(s rtp.Sink) rtp.Depacketizer { return rtp.NewByteStream(rtp.NewH264(s, nil, 0)) }
	case mpegts.H265:
		c.kind, c.name = media.Video, "h265"
		c.depacketizer = func(s rtp.Sink) rtp.Depacketizer { return rtp.NewByteStream(rtp.NewH265(s, nil, false, 0)) }
	case mpegts.ADTS:
		c.name = "aac"
		c.depacketizer = func(s rtp.Sink) rtp.Depacketizer { return rtp.NewADTS(s) }
	case mpegts.LOAS:
		c.name = "aac"
		c.depacketizer = func(s rtp.Sink) rtp.Depacketizer { return rtp.NewLOAS(s) }
	case mpegts.Opus:
		c.name, c.clockRate = "opus", opus.Rate
		c.depacketizer = func(s rtp.Sink) rtp.Depacketizer { return rtp.NewOpusTS(s) }
	default:
		return choice{}, false
	}
	return c, true
}

// mapTypes makes the tracks of RTP by what the configuration says of them.
func (p *program) mapTypes(rtpmap []string) error {
	for i := range p.types {
		p.types[i] = -1
	}
	medias := make([]rtsp.Media, 0, len(rtpmap))
	for _, line := range rtpmap {
		f, err := parseRTPMap(line)
		if err != nil {
			return err
		}
		kind := "audio"
		if f.Encoding == "H264" || f.Encoding == "H265" || f.Encoding == "AV1" || f.Encoding == "JPEG" {
			kind = "video"
		}
		medias = append(medias, rtsp.Media{Type: kind, Formats: []rtsp.Format{f}})
	}
	for i, choice := range p.c.pick(medias) {
		if choice.kind == media.Video {
			p.lead = i
		}
		for _, pt := range choice.types {
			p.types[pt] = int8(i)
		}
		p.rec.add(choice)
	}
	return nil
}

// parseRTPMap reads a payload type as a=rtpmap writes it (RFC 8866 §6.6).
func parseRTPMap(line string) (rtsp.Format, error) {
	wrong := fmt.Errorf(`%q is no rtpmap: write "96 H264/90000"`, line)
	number, what, ok := strings.Cut(strings.TrimSpace(line), " ")
	pt, err := strconv.ParseUint(number, 10, 7)
	parts := strings.Split(strings.TrimSpace(what), "/")
	if !ok || err != nil || len(parts) > 3 || parts[0] == "" {
		return rtsp.Format{}, wrong
	}
	f := rtsp.Format{PayloadType: uint8(pt), Encoding: strings.ToUpper(parts[0])}
	switch f.Encoding {
	case "H264":
		f.ClockRate = h264.ClockRate
	case "H265":
		f.ClockRate = h265.ClockRate
	case "AV1":
		f.ClockRate = av1.ClockRate
	}
	if len(parts) > 1 {
		rate, err := strconv.ParseUint(parts[1], 10, 32)
		if err != nil || rate == 0 {
			return rtsp.Format{}, wrong
		}
		f.ClockRate = uint32(rate)
	}
	if len(parts) > 2 {
		if f.Channels, err = strconv.Atoi(parts[2]); err != nil || f.Channels < 1 || f.Channels > 255 {
			return rtsp.Format{}, wrong
		}
	}
	return f, nil
}
