package simulate

import (
	"context"
	"time"

	"nvr/internal/media"
)

// pace is the one sender: every tick it sends what has come due, camera by
// camera, and goes on with what clients had no room for.
func (s *Server) pace(ctx context.Context) {
	tick := time.NewTicker(paceTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := time.Now()
			for _, c := range s.cameras {
				s.sendDue(c, now)
			}
		}
	}
}

// sendDue sends a camera's pictures and sound up to now, in the order of time.
func (s *Server) sendDue(c *camera, now time.Time) {
	for {
		if s.sound != nil {
			until := now
			if picture := c.due(c.next); picture.Before(now) { // only the sender moves next: no lock to read it
				until = picture
			}
			s.sendSoundUntil(c, until)
		}
		if !s.sendPicture(c, now) {
			break
		}
	}
	viewers, _ := c.watchers()
	for _, v := range viewers {
		v.conn.flush()
	}
}

// sendPicture sends the camera's next sample to everybody; false: none is due.
func (s *Server) sendPicture(c *camera, now time.Time) bool {
	n, viewers, silent, ok := c.advance(now)
	if !ok || len(viewers) == 0 {
		return ok
	}
	due := c.due(n)
	if now.Sub(due) >= lateAfter {
		c.late.Add(1)
	}
	t := &s.templates[n%uint64(len(s.templates))]
	sent := false
	for _, v := range viewers {
		if v.sendPicture(n, t, n%c.gop == 0, silent, due) {
			sent = true
		}
	}
	if sent {
		c.wasSent(n)
	}
	return true
}

// sendSoundUntil sends the sound that is due by the given instant.
func (s *Server) sendSoundUntil(c *camera, until time.Time) {
	for {
		due := c.epoch.Add(media.Ticks(c.nextPacket * uint64(s.sound.perPacket)).Duration(s.sound.rate))
		if due.After(until) {
			return
		}
		frame := s.sound.packets[c.nextPacket%uint64(len(s.sound.packets))]
		viewers, silent := c.watchers()
		for _, v := range viewers {
			v.sendSound(c.nextPacket, s.sound, frame, silent, due)
		}
		c.nextPacket++
	}
}
