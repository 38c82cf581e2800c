package rtsp

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"nvr/internal/testkit"
)

// newSplitter has RTP on channels 0 and 2, RTCP on 1 and 3.
func newSplitter() *splitter {
	p := new(splitter)
	for c := range 4 {
		p.roles[c] = [2]channelRole{rtpRole, rtcpRole}[c%2]
	}
	return p
}

// splitAll feeds data in pieces of a size, as a connection would.
func splitAll(p *splitter, data string, size int) (items []string, rest int, err error) {
	var buf []byte
	for {
		n := min(size, len(data))
		buf = append(buf, data[:n]...)
		data = data[n:]
		for {
			it, n, err := p.next(buf)
			if err != nil {
				return items, len(buf), err
			}
			switch it.kind {
			case itemFrame:
				items = append(items, fmt.Sprintf("%d:%d", it.channel, len(it.data)))
			case itemMessage:
				items = append(items, it.message.text())
			}
			buf = buf[n:]
			if it.kind == itemNone {
				break
			}
		}
		if data == "" {
			return items, len(buf), nil
		}
	}
}

const answer = "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"

func v(n int) string { return frame(0, rtp(96, uint16(n), 0, 1, strings.Repeat("p", n))) }

var splitCases = []struct {
	name string
	data string
	want []string
	rest int // bytes that wait for more
	junk int
	lost bool

	heard bool // channel 0 carries packets of SSRC 1
}{
	{name: "frames and an answer", data: v(10) + answer + v(20), want: []string{"0:22", "200 OK [CSeq=1] ''", "0:32"}},
	{name: "half a frame", data: v(10) + v(20)[:9], want: []string{"0:22"}, rest: 9},
	{name: "half an answer", data: v(10) + answer[:9], want: []string{"0:22"}, rest: 9},
	{name: "the beginning of nothing", data: v(10) + "RTSQ" + v(20) + v(30), want: []string{"0:22", "0:32", "0:42"}, junk: 4},
	{name: "RTSP is a word", data: v(10) + "RTSP/1.0 is nice\n" + v(20) + v(30), want: []string{"0:22", "0:32", "0:42"}, junk: 16},
	{name: "after junk a frame waits for the next", data: v(10) + "junk" + v(20), want: []string{"0:22"}, rest: len(v(20)), junk: 4, lost: true},
	{name: "a bogus frame is not believed in junk", data: "#$\x00\x00\x05\x80`...$" + v(20) + v(30) + v(1), want: []string{"0:32", "0:42", "0:13"}, junk: 11},
	{name: "a bogus length does not take what follows along", data: "#$\x00\xff\xff\x80`" + v(20) + v(30) + v(1), want: []string{"0:32", "0:42", "0:13"}, junk: 7},
	{name: "an unknown channel is skipped", data: frame(9, "\x80`x") + v(1), want: []string{"0:13"}},
	{name: "an unknown channel and nothing behind", data: frame(9, "\x80`x"), rest: 7},
	{name: "an unknown channel with half a frame, then an answer", data: "$\x09\x10\x00\x80" + answer, want: []string{"200 OK [CSeq=1] ''"}, junk: 5},
	{name: "RTP of version 0", data: v(1) + frame(0, "\x00`rest of it....") + v(2), want: []string{"0:13", "0:14"}},
	{name: "RTP too short", data: v(1) + frame(0, "\x80`...") + v(2), want: []string{"0:13", "0:14"}},
	{name: "RTCP on the RTP channel is shorter", data: frame(0, "\x80\xc9\x00\x01abcd") + v(2), want: []string{"0:8", "0:14"}},
	{name: "a cut frame", data: v(9) + v(90)[:30] + v(1) + v(2) + v(50) + v(60), want: []string{"0:21", "0:13", "0:14", "0:62", "0:72"}, junk: 30},
	{name: "junk around frames of a source that is known (Canon VB-H47)", heard: true, data: "#$\x00\xff\xffx" + v(20) + "$$junk" + v(30) + "junk", want: []string{"0:32", "0:42"}, junk: 16, lost: true},
	{name: "junk behind a frame that has a $ in it", data: frame(0, rtp(96, 1, 0, 1, "$\x00\x00\x10$\x00")) + "##" + v(1) + v(2), want: []string{"0:18", "0:13", "0:14"}, junk: 2},
	{name: "RTCP that is all headers", data: frame(1, "\x80\xc8\x00\x00\x80\xcb\x00\x00") + v(2), want: []string{"1:8", "0:14"}},
	{name: "a request of the camera", data: v(1) + "SET_PARAMETER * RTSP/1.0\r\nContent-Length: 5\r\n\r\n$\x00\x00\x01\x80" + v(2), want: []string{"0:13", "SET_PARAMETER [Content-Length=5] '$\x00\x00\x01\x80'", "0:14"}},
	{name: "line ends", data: "\r\n\r\n" + answer + "\r\n\n" + v(1) + "\r\n", want: []string{"200 OK [CSeq=1] ''", "0:13"}},
}

func TestSplit(t *testing.T) {
	for _, tt := range splitCases {
		// Whatever the pieces, the same frames are found. (How much is junk may
		// depend on the pieces: a cut frame is seen when the next one is there.)
		p := newSplitter()
		p.heard[0], p.sources[0] = tt.heard, 1
		got, rest, err := splitAll(p, tt.data, len(tt.data))
		if err != nil || !slices.Equal(got, tt.want) || rest != tt.rest || p.junk != uint64(tt.junk) || p.lost != tt.lost {
			t.Errorf("%s: %q, rest %d, junk %d, lost %v, %v", tt.name, got, rest, p.junk, p.lost, err)
		}
		if tt.name == "a cut frame" {
			continue
		}
		p = newSplitter()
		p.heard[0], p.sources[0] = tt.heard, 1
		if got, rest, err := splitAll(p, tt.data, 1); err != nil || !slices.Equal(got, tt.want) || rest != tt.rest {
			t.Errorf("%s, byte by byte: %q, rest %d, %v", tt.name, got, rest, err)
		}
	}
}

func TestSplitLimits(t *testing.T) {
	var limit *limitError
	if _, _, err := splitAll(newSplitter(), strings.Repeat("#", maxJunk), 1000); err != nil {
		t.Errorf("as much junk as may be: %v", err)
	}
	if _, _, err := splitAll(newSplitter(), strings.Repeat("#", maxJunk+1), 1000); !errors.As(err, &limit) {
		t.Errorf("too much junk: %v", err)
	}
	// Whatever fills the receive buffer, something comes of it.
	for _, fill := range []string{"$", "$\x00", "$\x00\xff\xff\x80`", "$\x09\xff\xff\x80`", "R", "RTSP/1.", "RTSP/1.0 200 OK\r\n", "\r\n", answer, "$\x09\x00\x02\x80`"} {
		data := []byte(strings.Repeat(fill, receiveBytes/len(fill)+1)[:receiveBytes])
		it, n, err := newSplitter().next(data)
		if it.kind == itemNone && n == 0 && err == nil {
			t.Errorf("%q: stuck", fill)
		}
	}
	// The largest message does fit.
	big := "RTSP/1.0 200 OK\r\nContent-Length: 262144\r\n" + strings.Repeat(long("A: ", 4000)+"\r\n", 4) + "\r\n"
	big += strings.Repeat("x", maxBodyBytes)
	if it, n, err := newSplitter().next([]byte(big)); err != nil || it.kind != itemMessage || n != len(big) || n > receiveBytes {
		t.Errorf("the largest message: %d bytes, %v", n, err)
	}
}

func FuzzSplit(f *testing.F) {
	for _, tt := range splitCases {
		f.Add([]byte(tt.data), uint16(len(tt.data)))
		f.Add([]byte(tt.data), uint16(1))
	}
	for _, tt := range messageCases {
		f.Add([]byte(tt.raw), uint16(1000))
	}
	for _, s := range testkit.Seeds() {
		f.Add(s.Stream, uint16(1400))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		p := newSplitter()
		buf := make([]byte, 0, len(data))
		for used := 0; used < len(data); {
			n := min(int(size)+1, len(data)-used)
			buf = append(buf, data[used:used+n]...)
			used += n
			for {
				run := p.run
				it, n, err := p.next(buf)
				switch {
				case n < 0 || n > len(buf):
					t.Fatalf("%d of %d bytes", n, len(buf))
				case err != nil:
					return
				case it.kind != itemNone && n == 0:
					t.Fatal("no progress")
				case it.kind == itemNone && n == 0 && len(buf) >= receiveBytes:
					t.Fatal("stuck")
				case p.run > maxJunk, run > maxJunk:
					t.Fatalf("%d bytes of junk", p.run)
				case it.kind == itemFrame && (len(it.data) < minRTCPBytes || it.data[0]>>6 != 2 || p.roles[it.channel] == noRole || cap(it.data) != len(it.data)):
					t.Fatalf("frame %d % x", it.channel, it.data)
				}
				buf = buf[n:]
				if it.kind == itemNone {
					break
				}
			}
		}
	})
}

// pieces is a connection that gives data in pieces, then ends.
type pieces struct {
	fakeConn
	left string
	size int
}

func (c *pieces) Read(b []byte) (int, error) {
	if c.left == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.size)], c.left)
	c.left = c.left[n:]
	return n, nil
}

// checker is a Handler that holds Receive to what Handler promises.
type checker struct{ t *testing.T }

func (c checker) Packet(track int, pkt []byte, _ time.Time) {
	if track != 0 || len(pkt) < rtpHeaderBytes || pkt[0]>>6 != 2 || isRTCP(pkt[1]) {
		c.t.Fatalf("track %d, packet % x", track, pkt)
	}
}
func (c checker) SenderReport(int, time.Time, uint32, time.Time) {}
func (c checker) Tick(time.Time) error                           { return nil }

// FuzzReceive is all that a camera can do to a session that plays.
func FuzzReceive(f *testing.F) {
	for _, tt := range splitCases {
		f.Add(tt.data, uint16(100))
	}
	for _, s := range testkit.Seeds() {
		f.Add(string(s.Stream), uint16(1400))
	}
	f.Add(frame(1, senderReport(1, 1<<63, 9))+frame(1, "\x80\xc8\x00\x00\x80\xcb\x00\x00")+v(1)+"RTSP/1.0 401 No\r\nWWW-Authenticate: Digest nonce=1\r\n\r\n"+v(2), uint16(7))
	f.Fuzz(func(t *testing.T, data string, size uint16) {
		s := playing(&pieces{left: data, size: int(size) + 1})
		s.auth.username = "u"
		if err := s.Receive(t.Context(), checker{t}); err == nil {
			t.Fatal("ended without a reason")
		}
		if st := s.Stats(); st.Packets*rtpHeaderBytes+st.Junk > uint64(len(data)) {
			t.Fatalf("%+v of %d bytes", st, len(data))
		}
		s.upkeepDue()
		if err := s.upkeep(time.Now()); err != nil && err != errBye {
			t.Fatal(err)
		}
	})
}

// upkeepDue makes everything due.
func (s *Session) upkeepDue() { s.reportDue, s.keepalive.due = time.Time{}, time.Time{} }
