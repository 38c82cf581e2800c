package simulate

import (
	"context"
	"time"
)

// pace is the one sender: it sleeps until something is due, at least paceTick,
// and then sends what has come due, camera by camera. It wakes after a paceTick
// where clients had no room for everything.
func (s *Server) pace(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		next := now.Add(time.Second)
		for _, c := range s.cameras {
			if due := s.sendDue(c, now); due.Before(next) {
				next = due
			}
		}
		timer.Reset(max(paceTick, time.Until(next)))
	}
}

// sendDue sends a camera's pictures and sound up to now, in the order of time,
// and returns when it is to be called again.
func (s *Server) sendDue(c *camera, now time.Time) (again time.Time) {
	for {
		until := now
		if picture := c.due(c.next); picture.Before(now) { // only the sender moves next: no lock to read it
			until = picture
		}
		if s.sound != nil {
			s.sendSoundUntil(c, until)
		}
		if !s.sendPicture(c, now) {
			break
		}
	}
	again = c.due(c.next)
	if s.sound != nil {
		if due := c.soundDue(s.sound); due.Before(again) {
			again = due
		}
	}
	viewers, _ := c.watchers()
	for _, v := range viewers {
		if v.conn != nil && !v.conn.flush() {
			again = now
		}
	}
	return again
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
		due := c.soundDue(s.sound)
		if due.After(until) {
			return
		}
		p := &s.sound.packets[c.nextPacket%uint64(len(s.sound.packets))]
		viewers, silent := c.watchers()
		for _, v := range viewers {
			v.sendSound(c.nextPacket, s.sound, p, silent, due)
		}
		c.nextPacket++
	}
}
