package simulate

import (
	"io"
	"net"
	"testing"
	"time"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

func TestSilentClientsAreDisconnected(t *testing.T) {
	t.Parallel()
	const timeout = 1500 * time.Millisecond
	s := serve(t, Options{SessionTimeout: timeout})
	connect := func() *client {
		c := dial(t, s.URL(1))
		c.play()
		return c
	}
	silent, asking, reporting, trickling := connect(), connect(), connect(), dial(t, s.URL(1))
	began := time.Now()
	ends := make(chan string)
	watch := func(name string, c *client) {
		io.Copy(io.Discard, c.r)
		ends <- name
	}
	go watch("silent", silent)
	go watch("trickling", trickling)
	for i := range 12 {
		asking.send("GET_PARAMETER", asking.url)
		reporting.tcp.Write([]byte{'$', 1, 0, 8, 0x81, 201, 0, 1, 0, 0, 0, 9})
		trickling.tcp.Write([]byte{"OPTIONS rtsp"[i]}) // a request that never ends is no sign of life
		time.Sleep(150 * time.Millisecond)
	}
	for range 2 {
		<-ends
	}
	if lived := time.Since(began); lived < timeout-100*time.Millisecond {
		t.Errorf("the silent ones were disconnected after %v", lived)
	}
	if st := s.Stats()[0]; st.Playing != 2 {
		t.Errorf("%d play, want the two that gave signs of life", st.Playing)
	}
}

func TestStopStartFreeze(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Cameras: 2})
	a, b := dial(t, s.URL(1)), dial(t, s.URL(2))
	a.play()
	b.play()
	before := a.pictures(newAssembler(t, media.H264), 3)
	other := newAssembler(t, media.H264)
	neighbours := b.pictures(other, 3)

	s.StopCamera(1, StopNotFound)
	if _, err := io.Copy(io.Discard, a.r); err != nil {
		t.Errorf("stopped: %v, want the end", err)
	}
	if c := dial(t, s.URL(1)); c.do("DESCRIBE", c.url).status != 404 {
		t.Error("a stopped camera is still described")
	}
	s.StopCamera(1, StopHangUp)
	c := dial(t, s.URL(1))
	if _, err := c.try("DESCRIBE", c.url); err == nil {
		t.Error("a camera that hangs up answered DESCRIBE")
	}
	c = dial(t, s.URL(1))
	if _, err := c.try("SETUP", c.url, "Transport: "+tcpVideo); err == nil {
		t.Error("a camera that hangs up answered SETUP")
	}

	s.StartCamera(1)
	c = dial(t, s.URL(1))
	c.play()
	mine := newAssembler(t, media.H264)
	after := c.pictures(mine, 3)
	if m := after[0].mark; m.Connection != 2 || m.Sequence <= before[2].mark.Sequence {
		t.Errorf("after the stop: %+v", m)
	}
	s.Freeze(1)
	if r := c.do("GET_PARAMETER", c.url); r.status != 200 {
		t.Errorf("a frozen camera answers %d", r.status)
	}
	time.Sleep(50 * time.Millisecond) // what was on its way
	sent := s.Stats()[0].Samples
	time.Sleep(100 * time.Millisecond)
	if now := s.Stats()[0]; now.Samples != sent || now.Playing != 1 {
		t.Errorf("a frozen camera sent %d samples, %d play", now.Samples-sent, now.Playing)
	}
	s.StartCamera(1)
	var last mark.Mark
	until(t, "it goes on", func() bool { last = c.nextMark(); return last.Sequence > after[2].mark.Sequence+10 })
	if last.Connection != 2 {
		t.Errorf("after the freeze: %+v", last)
	}
	more := b.pictures(other, 60) // the neighbour noticed nothing
	if more[59].mark.Sequence != neighbours[0].mark.Sequence+62 {
		t.Errorf("the neighbour jumps from %d to %d", neighbours[0].mark.Sequence, more[59].mark.Sequence)
	}
}

// nextMark reads until a mark has come.
func (c *client) nextMark() (m mark.Mark) {
	c.t.Helper()
	for {
		channel, b, err := c.frame()
		if err != nil {
			c.t.Fatal(err)
		}
		found := false
		mark.Find(b, func(x mark.Mark) { m, found = x, true })
		if channel == 0 && found {
			return m
		}
	}
}

// A client that does not read loses whole GOPs' ends, and goes on at a sync sample.
func TestSlowClientLosesWholeAccessUnits(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Bitrate: 50_000_000, Backlog: 256 << 10})
	slow, quick := dial(t, s.URL(1)), dial(t, s.URL(1))
	slow.tcp.(*net.TCPConn).SetReadBuffer(64 << 10)
	slow.play()
	quick.play()
	go io.Copy(io.Discard, quick.r)
	until(t, "samples are dropped", func() bool { return s.Stats()[0].Dropped >= 20 })

	var marks []mark.Mark
	for _, au := range slow.pictures(newAssembler(t, media.H264), 150) { // whole: the assembler insists
		if n := len(marks); n > 0 && au.mark.Sequence != marks[n-1].Sequence+1 && au.mark.Sequence%30 != 0 {
			t.Errorf("after a loss it goes on with sample %d", au.mark.Sequence)
		}
		marks = append(marks, au.mark)
	}
	r := mark.Check(marks)[0]
	if len(r.Missing) == 0 || r.Damaged+r.Duplicates+r.OutOfOrder != 0 {
		t.Errorf("%v", r)
	}
}
