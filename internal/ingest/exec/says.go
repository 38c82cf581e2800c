package exec

import (
	"bytes"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxLine     = 4 << 10 // bytes of a line that are looked at
	maxShown    = 512     // and logged, once the passwords are out
	saysRate    = 4 << 10 // bytes a second that are logged (SEC-46)
	saysBurst   = 16 << 10
	saysPiece   = 16 << 10 // read at once
	saysAtATime = 1 << 20  // read each time, so that a flood does not keep us
	tellEvery   = time.Minute
)

// says logs what a program writes to standard error.
type says struct {
	fd      int
	log     *slog.Logger
	name    string
	secrets *strings.Replacer
	buf     []byte
	line    []byte
	long    bool // the rest of the line is left out

	budget  float64
	at      time.Time
	skipped int // lines
	told    time.Time
}

func newSays(fd int, name string, secrets []string, log *slog.Logger) says {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var pairs []string
	for _, s := range secrets {
		if s != "" {
			pairs = append(pairs, s, "***")
		}
	}
	return says{fd: fd, name: name, log: log, secrets: strings.NewReplacer(pairs...), budget: saysBurst, at: time.Now()}
}

// drain reads what is there.
func (s *says) drain(now time.Time) {
	if s.fd < 0 {
		return
	}
	if s.buf == nil {
		s.buf = make([]byte, saysPiece)
	}
	s.budget = min(saysBurst, s.budget+now.Sub(s.at).Seconds()*saysRate)
	s.at = now
	for total := 0; total < saysAtATime; {
		n, err := read(s.fd, s.buf)
		if n == 0 {
			if err != nil {
				s.end(err)
			}
			break
		}
		total += n
		s.take(s.buf[:n])
	}
	if s.skipped > 0 && now.Sub(s.told) >= tellEvery {
		s.tell(now)
	}
}

func (s *says) tell(now time.Time) {
	s.log.Warn("the program says too much, and lines are left out", "program", s.name, "lines", s.skipped)
	s.skipped, s.told = 0, now
}

// end ends the reading: all is said.
func (s *says) end(err error) {
	if err != io.EOF {
		s.log.Debug("standard error cannot be read", "program", s.name, "error", err)
	}
	unix.Close(s.fd)
	s.fd = -1
}

// close logs what is left.
func (s *says) close() {
	if s.fd >= 0 {
		s.end(io.EOF)
	}
	s.flush()
	if s.skipped > 0 {
		s.tell(time.Now())
	}
}

// take cuts lines; a carriage return ends one too (ffmpeg's progress).
func (s *says) take(b []byte) {
	for len(b) > 0 {
		at := bytes.IndexAny(b, "\r\n")
		piece := b
		if at >= 0 {
			piece = b[:at]
		}
		if room := maxLine - len(s.line); len(piece) > room {
			piece, s.long = piece[:room], true
		}
		s.line = append(s.line, piece...)
		if at < 0 {
			return
		}
		s.flush()
		b = b[at+1:]
	}
}

// flush logs the line.
func (s *says) flush() {
	text := s.redact(clean(s.line))
	if len(text) > maxShown || s.long {
		text = strings.ToValidUTF8(text[:min(len(text), maxShown)], "") + "…"
	}
	s.line, s.long = s.line[:0], false
	switch n := float64(len(text)); {
	case n == 0:
	case n > s.budget:
		s.skipped++
	default:
		s.budget -= n
		s.log.Info("the program says", "program", s.name, "text", text)
	}
}

var (
	userinfo = regexp.MustCompile(`://[^/\s@"']*@`)
	// What follows a word like password or token, up to the next space, quote or
	// separator.
	password = regexp.MustCompile(`(?i)\b((?:user-)?(?:password|passwd|passphrase|pass|pwd|pw|token|secret|streamid|api[-_]?key)["']?\s*[=:]\s*)("[^"]*"?|'[^']*'?|[^\s&;,"']+)`)
	basic    = regexp.MustCompile(`(?i)\b(authorization["']?\s*:\s*)\S.*`)
)

// redact takes what looks like a password out.
func (s *says) redact(text string) string {
	text = s.secrets.Replace(text)
	text = userinfo.ReplaceAllString(text, "://***@")
	text = basic.ReplaceAllString(text, "$1***")
	return password.ReplaceAllString(text, "$1***")
}
