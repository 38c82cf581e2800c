package testkit

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

// kept is a recorded sample.
type kept struct {
	conn, n int
	at      int64 // when it is presented
	end     int64 // when it ends, by decode time
	dts     int64
	run     media.RunID
	sync    bool
	damaged bool
	params  *media.Track
}

// Verify says what is wrong with what became of a camera; nothing is wrong with
// an empty list.
func (q *Quirk) Verify(c *Camera, r *Result) []string {
	v := &verifier{q: q, w: &q.Want, c: c, r: r}
	c.mu.Lock()
	v.sent, v.requests, v.faults, v.wrong = slices.Clone(c.sent), slices.Clone(c.requests), slices.Clone(c.faults), slices.Clone(c.wrong)
	c.mu.Unlock()
	if r.Ran != nil {
		v.bad("Run: %v", r.Ran)
	}
	v.media(media.Video, media.VideoTrack)
	v.media(media.Audio, media.AudioTrack)
	v.gaps()
	v.dialogue()
	v.words()
	if v.w.Check != nil {
		if s := v.w.Check(c, r); s != "" {
			v.bad("%s", s)
		}
	}
	if len(v.problems) > 12 {
		v.problems = append(v.problems[:12], "…")
	}
	return v.problems
}

type verifier struct {
	q        *Quirk
	w        *Want
	c        *Camera
	r        *Result
	sent     []Sent
	requests []Request
	faults   []string
	wrong    []time.Time
	video    []kept
	problems []string
}

func (v *verifier) bad(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

// media holds one track's samples against what was sent.
func (v *verifier) media(kind media.Kind, track uint8) {
	got := v.samples(kind, track)
	if kind == media.Video {
		v.video = got
	}
	if v.w.Nothing || kind == media.Audio && v.w.NoAudio {
		if len(got) > 0 {
			v.bad("%d samples of %v are recorded, and none is worth it", len(got), kind)
		}
		return
	}
	type key struct{ conn, n int }
	have := map[key]*kept{}
	for i := range got {
		k := &got[i]
		if have[key{k.conn, k.n}] != nil {
			v.bad("%v %d of connection %d is there twice", kind, k.n, k.conn)
		}
		have[key{k.conn, k.n}] = k
	}
	off := v.w.Off
	if off == 0 {
		off = 100 * time.Millisecond
	}
	missing, damaged := v.w.Missing, v.w.Damaged
	if kind == media.Audio {
		missing, damaged = v.w.Quiet, nil
	}
	last := map[int]int{}
	wanted := 0
	for _, s := range v.sent {
		if v.c.Tracks[s.Track].Kind == kind {
			last[s.Conn] = s.N
			wanted++
		}
	}
	if wanted == 0 && kind == media.Video && !slices.ContainsFunc(v.c.Tracks, func(t *Track) bool { return t.Kind == media.Audio }) {
		v.bad("the camera was never asked for pictures")
	}
	for _, s := range v.sent {
		if v.c.Tracks[s.Track].Kind != kind {
			continue
		}
		k := have[key{s.Conn, s.N}]
		gone := missing != nil && missing(s.N)
		maybe := kind == media.Video && v.w.Maybe != nil && v.w.Maybe(s.N)
		switch {
		case k == nil && !gone && !maybe && s.N <= last[s.Conn]-max(1, v.w.Tail) && !s.Wrote.After(v.r.Ended):
			v.bad("%v %d of connection %d is missing", kind, s.N, s.Conn)
		case k != nil && gone:
			v.bad("%v %d of connection %d is there, and cannot be", kind, s.N, s.Conn)
		}
		if k == nil {
			continue
		}
		delete(have, key{s.Conn, s.N})
		if want := damaged != nil && damaged(s.N); k.damaged != want && !maybe {
			v.bad("%v %d of connection %d: damaged %v", kind, s.N, s.Conn, k.damaged)
		}
		if d := time.Duration(k.at - s.At.UnixNano()); !v.w.AnyTime && d.Abs() > off {
			v.bad("%v %d of connection %d is dated %v off", kind, s.N, s.Conn, d)
		}
		if kind == media.Audio {
			if v.w.Sound != "" && k.params.String() != v.w.Sound {
				v.bad("the audio is %s", k.params)
			}
			continue
		}
		if s.Clip == nil {
			continue
		}
		if !v.w.AnySize && (k.params.Width != s.Clip.Width || k.params.Height != s.Clip.Height) || k.params.Codec != s.Clip.Codec {
			v.bad("picture %d is %s in a track of %s", s.N, s.Clip, k.params)
		}
		for _, set := range s.Clip.Sets {
			if !v.w.AnySets && !bytes.Contains(k.params.Config, set) {
				v.bad("picture %d: its track lacks the set % x", s.N, set)
			}
		}
		if p, _ := s.Clip.at(s.N); !v.w.AnySync && p.sync != k.sync {
			v.bad("picture %d: sync %v", s.N, k.sync)
		}
	}
	for k := range have {
		v.bad("%v %d of connection %d is recorded, and was not sent", kind, k.n, k.conn)
	}
	if kind != media.Video {
		return
	}
	runs := map[media.RunID]bool{}
	for _, k := range got {
		runs[k.run] = true
	}
	if want := max(1, v.w.Runs); len(runs) != want && !v.w.AnyRuns && wanted > 0 {
		v.bad("%d runs, want %d", len(runs), want)
	}
}

// samples takes the records of a track apart.
func (v *verifier) samples(kind media.Kind, track uint8) (all []kept) {
	ended := map[media.RunID]media.Ticks{}
	for i, r := range v.r.Records {
		if r.Track != track {
			continue
		}
		at, start := 0, r.Start
		last, known := ended[r.Run]
		if !known && kind == media.Video && !r.Buffer.Samples[0].Sync() {
			v.bad("record %d begins a run, and not with a sync sample", i)
		}
		if known && start <= last {
			v.bad("record %d of %v begins at %d, and the last sample before it at %d", i, kind, start, last)
		}
		for j, s := range r.Buffer.Samples {
			b := r.Buffer.Data[at : at+int(s.Size)]
			at += int(s.Size)
			if s.Duration == 0 {
				v.bad("record %d: sample %d has no length", i, j)
			}
			offset := (start - r.Start).Duration(r.Params.ClockRate)
			k := kept{run: r.Run, sync: s.Sync(), damaged: s.Flags&media.SampleDamaged != 0, params: r.Params}
			k.dts = r.Wall + int64(offset)
			k.at = k.dts + int64(media.Ticks(s.Composition).Duration(r.Params.ClockRate))
			k.end = k.dts + int64(media.Ticks(s.Duration).Duration(r.Params.ClockRate))
			ended[r.Run] = start
			start += media.Ticks(s.Duration)
			if kind == media.Video && (r.Params.Codec == media.H264 || r.Params.Codec == media.H265) {
				v.picture(&k, b, i, j)
			} else if n, conn, ok := readSound(b); ok {
				k.n, k.conn = n, conn
			} else {
				v.bad("record %d: sound %d is not one that was sent: % x", i, j, b[:min(len(b), 20)])
			}
			all = append(all, k)
		}
		if at != len(r.Buffer.Data) {
			v.bad("record %d: its samples are %d bytes of %d", i, at, len(r.Buffer.Data))
		}
	}
	return all
}

// picture finds out which picture a sample is.
func (v *verifier) picture(k *kept, b []byte, i, j int) {
	n := 0
	mark.Find(b, func(m mark.Mark) {
		if n++; m.Damaged {
			v.bad("record %d: sample %d, picture %d, lost bytes on the way", i, j, m.Sequence)
		}
		k.n, k.conn = int(m.Sequence), m.Connection
	})
	if n != 1 {
		v.bad("record %d: sample %d is %d pictures", i, j, n)
	}
}

// gaps holds what is missing against what is told of it.
func (v *verifier) gaps() {
	var reasons []media.Reason
	for _, g := range v.r.Gaps {
		if !slices.Contains(reasons, g.Reason) {
			reasons = append(reasons, g.Reason)
		}
		if g.Span.To != 0 && g.Span.To < g.Span.From {
			v.bad("a gap that ends before it begins: %+v", g)
		}
	}
	if !slices.Equal(reasons, v.w.Gaps) {
		v.bad("gaps %v, want %v (%s)", reasons, v.w.Gaps, v.r.Error)
	}
	if v.w.AnyTime {
		return
	}
	for i := 1; i < len(v.video); i++ { // no silent loss
		if i == 1 || v.video[i-1].run != v.video[i-2].run && v.video[i-1].run == v.video[i].run {
			continue // nobody knew how long a run's first sample is
		}
		from, to := v.video[i-1].end, v.video[i].dts
		if time.Duration(to-from) < 600*time.Millisecond {
			continue
		}
		if !slices.ContainsFunc(v.r.Gaps, func(g media.Gap) bool {
			return g.Span.From <= from+int64(time.Second) && g.Span.To >= to-int64(time.Second)
		}) && !v.covered(from, to) {
			v.bad("%v before picture %d are missing without a gap", time.Duration(to-from), v.video[i].n)
		}
	}
}

// covered reports whether several gaps together cover a span, to a second.
func (v *verifier) covered(from, to int64) bool {
	for again := true; again; {
		again = false
		for _, g := range v.r.Gaps {
			if g.Span.From <= from+int64(time.Second) && g.Span.To > from {
				from, again = g.Span.To, true
			}
		}
	}
	return from >= to-int64(time.Second)
}

// dialogue looks at what the camera was asked.
func (v *verifier) dialogue() {
	for _, f := range v.faults {
		v.bad("the camera says: %s", f)
	}
	count := map[string]int{}
	var texts []string
	for i := range v.requests {
		r := &v.requests[i]
		count[r.Method]++
		texts = append(texts, r.text())
	}
	if v.c.expired > 0 && v.w.Check == nil {
		v.bad("%d sessions timed out", v.c.expired)
	}
	for method, limits := range v.w.Requests {
		if n := count[method]; n < limits[0] || n > limits[1] {
			v.bad("%d × %s, want %d to %d", n, method, limits[0], limits[1])
		}
	}
	for _, s := range v.w.Asked {
		if !slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, s) }) {
			v.bad("no request has %q", s)
		}
	}
	for _, s := range append([]string{"backchannel"}, v.w.Never...) {
		for _, t := range texts {
			if strings.Contains(t, s) {
				v.bad("a request has %q: %s", s, t)
				break
			}
		}
	}
	low, high := v.w.Dials[0], v.w.Dials[1]
	if high == 0 {
		low, high = 1, 1
	}
	if n := len(v.r.Dials); (n < low || n > high) && !v.w.AnyDials {
		v.bad("%d connections, want %d to %d", n, low, high)
	}
	for _, d := range v.r.Dials {
		if d.Addr != v.c.Addr && !slices.Contains(v.c.Also, d.Addr) {
			v.bad("it dialled %s, which is not the camera", d.Addr)
		}
	}
	if most := max(1, v.w.Most); v.r.Most > most {
		v.bad("%d connections at a time", v.r.Most)
	}
	v.passwords()
	if !v.w.Parted && !v.w.Nothing && len(v.requests) > 0 && v.requests[len(v.requests)-1].Method != "TEARDOWN" {
		v.bad("it left without TEARDOWN")
	}
}

func (r *Request) text() string {
	s := r.Method + " " + r.URI
	for _, h := range r.Headers {
		s += "\n" + h[0] + ": " + h[1]
	}
	return s
}

// passwords counts the wrong ones: an account is locked after a handful.
func (v *verifier) passwords() {
	for i, at := range v.wrong {
		n := 0
		for _, o := range v.wrong[i:] {
			if o.Sub(at) < 30*time.Second {
				n++
			}
		}
		if n > max(v.w.Tries, 0) {
			v.bad("%d wrong passwords within 30 s", n)
			return
		}
	}
}

// words looks at what people get to read.
func (v *verifier) words() {
	secrets := []string{v.c.Password, url.QueryEscape(v.c.Password), url.PathEscape(v.c.Password),
		base64.StdEncoding.EncodeToString([]byte(v.c.User + ":" + v.c.Password))}
	texts := slices.Concat(v.r.Log, v.r.Notes, v.r.Tracks, []string{v.r.Error})
	for _, g := range v.r.Gaps {
		texts = append(texts, g.Detail)
	}
	for _, t := range texts {
		for _, s := range secrets {
			if v.c.Password != "" && strings.Contains(t, s) {
				v.bad("a secret is told: %q", t)
			}
		}
		if !utf8.ValidString(t) || strings.ContainsFunc(t, func(r rune) bool { return !unicode.IsPrint(r) }) {
			v.bad("it is not fit to be read: %q", t)
		}
		if len(t) > 2000 {
			v.bad("a line of %d bytes: %.100q…", len(t), t)
		}
	}
	lines := v.w.Lines
	if lines == 0 {
		lines = 6
	}
	if n := len(v.r.Log); n > lines {
		v.bad("%d lines of log, such as %q", n, v.r.Log[n-1])
	}
	for _, s := range v.w.Log {
		n := 0
		for _, l := range v.r.Log {
			if strings.Contains(l, s) {
				n++
			}
		}
		if n != 1 {
			v.bad("%d lines of log have %q: %q", n, s, v.r.Log)
		}
	}
	for _, s := range v.w.Notes {
		if !slices.ContainsFunc(v.r.Notes, func(n string) bool { return strings.Contains(n, s) }) {
			v.bad("no note has %q: %q", s, v.r.Notes)
		}
	}
	if len(v.w.Notes) == 0 && len(v.r.Notes) > 0 {
		v.bad("notes: %q", v.r.Notes)
	}
	state := v.w.State
	if state == "" {
		state = "recording"
		if v.w.Nothing {
			state = "waiting"
		}
	}
	if v.r.State != state && state != "*" {
		v.bad("the camera is %s, want %s (%s)", v.r.State, state, v.r.Error)
	}
	if !strings.Contains(v.r.Error, v.w.Error) {
		v.bad("the error is %q, want %q", v.r.Error, v.w.Error)
	}
}
