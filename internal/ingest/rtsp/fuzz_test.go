package rtsp

import (
	"testing"
	"time"
)

func FuzzTransport(f *testing.F) {
	f.Add("RTP/AVP/TCP;unicast; ssrc= d6d6627 ;Interleaved= 8 - 9", "IN IP4 239.1.2.3/127", "40000")
	f.Add("RTP/AVP;unicast;client_port=1-2;server_port=3-4;ssrc=0xDEADBEEF", "IN IP4 0.0.0.0", "-1353744643")
	f.Add("RTP/AVP;multicast;destination=[ff15::1%lo];port=5000-;ttl=16", "IN IP6 ff15::1", "0/2")
	f.Fuzz(func(t *testing.T, transport, connection, port string) {
		a := parseTransport(transport)
		if a.interleaved && a.channels[0] == a.channels[1] || a.ttl < 0 || a.ttl > 255 {
			t.Fatalf("%q: %+v", transport, a)
		}
		d, _ := parseSDP("m=video " + port + " RTP/AVP 26\nc=" + connection)
		var m Media
		if len(d.medias) > 0 {
			m = d.medias[0]
		}
		group, ports, ttl, err := groupOf(a, m)
		if err == nil && (!group.IsMulticast() || group.IsLinkLocalMulticast() && group.Is4() || ports[0] < lowestGroupPort || ports[1] < lowestGroupPort || ttl < 1 || ttl > 255) {
			t.Fatalf("%q, %q: %v %v %d", transport, connection, group, ports, ttl)
		}
	})
}

// What comes in datagrams is handed on once each, in order, and never kept for
// long: whatever the numbers are.
func FuzzReorder(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 4, 0, 3, 0, 5})
	f.Add([]byte{255, 255, 0, 1, 0, 0, 128, 0, 128, 1, 128, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := playing(nil)
		s.tracks[0].ports = &ports{}
		var got []uint16
		h := &recorder{packet: func(pkt []byte) { got = append(got, uint16(pkt[2])<<8|uint16(pkt[3])) }}
		var n batch
		now := time.Unix(1, 0)
		for i := 0; i+1 < len(b); i += 2 {
			p := []byte(rtp(96, uint16(b[i])<<8|uint16(b[i+1]), 0, 7, "x"))
			s.rtp(s.tracks[0], 0, p, now, h, &n)
			if q := &s.tracks[0].order; q.held < 0 || q.held >= reorderWindow {
				t.Fatalf("%d held", q.held)
			}
		}
		q := &s.tracks[0].order
		s.deliverHeld(s.tracks[0], 0, h, &n)
		left := uint64(0)
		if q.farSet {
			left = 1
		}
		if sum := uint64(len(got)) + n.late + n.twice + n.ignored + left; sum != uint64(len(b)/2) {
			t.Fatalf("%d packets, %d accounted for: %v, %+v", len(b)/2, sum, got, n)
		}
		for i := 1; i < len(got); i++ { // a step back is a new count, which two in a row prove
			if step := got[i] - got[i-1]; step == 0 || step > 1<<15 && i+1 < len(got) && got[i+1] != got[i]+1 && step > 1<<16-maxBackward {
				t.Fatalf("%d after %d in %v", got[i], got[i-1], got)
			}
		}
	})
}

// recorder is a Handler of one function.
type recorder struct{ packet func([]byte) }

func (r *recorder) Packet(_ int, pkt []byte, _ time.Time)          { r.packet(pkt) }
func (r *recorder) SenderReport(int, time.Time, uint32, time.Time) {}
func (r *recorder) Tick(time.Time) error                           { return nil }
