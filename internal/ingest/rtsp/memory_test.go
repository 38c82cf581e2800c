package rtsp

import (
	"fmt"
	"testing"
	"time"
)

func TestMemoryOfKeepalives(t *testing.T) {
	for _, tt := range []struct {
		what                  string
		method                string
		since, lived, timeout time.Duration
		next                  string
	}{
		{"hung up at it (GW4089IP)", "GET_PARAMETER", 100 * time.Millisecond, 25 * time.Second, time.Minute, "OPTIONS"},
		{"it did not count", "OPTIONS", 11 * time.Second, 61 * time.Second, 0, "GET_PARAMETER"},
		{"it did not count, 30 s", "OPTIONS", 5 * time.Second, 31 * time.Second, 30 * time.Second, "GET_PARAMETER"},
		{"the network broke soon", "GET_PARAMETER", 5 * time.Second, 30 * time.Second, time.Minute, ""},
		{"the camera was switched off after an hour", "GET_PARAMETER", 5 * time.Second, time.Hour, time.Minute, ""},
	} {
		var m Memory
		if m.ended(tt.method, tt.since, tt.lived, tt.timeout); m.keepalive != tt.next {
			t.Errorf("%s: %q, want %q", tt.what, m.keepalive, tt.next)
		}
	}
}

func TestMemoryOfWhatWasTold(t *testing.T) {
	var m Memory
	if !m.first("x") || m.first("x") {
		t.Error("told twice, or never")
	}
	n := 0
	for i := range 1000 {
		if m.first(fmt.Sprint(i)) {
			n++
		}
	}
	if n != maxTold-1 || len(m.told) != maxTold {
		t.Errorf("%d texts are told, %d remembered", n, len(m.told))
	}
}
