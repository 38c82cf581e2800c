package rtsp

import "time"

// maxTold bounds what is remembered of what was told.
const maxTold = 32

// Memory is what is learned of a camera and outlasts its sessions. The zero
// value knows nothing. No two sessions may use one at the same time.
type Memory struct {
	digest    bool // Digest was offered once: Basic is a downgrade (SEC-05)
	staleLies bool // it says stale=true when the password is wrong

	keepalive string // the method to use; "": what Public says

	told map[string]bool
}

// first reports true once for each text: what is odd about a camera is told
// when it is found, not with every session.
func (m *Memory) first(text string) bool {
	if m.told[text] || len(m.told) == maxTold {
		return false
	}
	if m.told == nil {
		m.told = map[string]bool{}
	}
	m.told[text] = true
	return true
}

// ended takes note of how a session ended that the camera closed: with method
// as its keepalive, so long after the last one and after PLAY. GW Security's
// GW4089IP hangs up at the GET_PARAMETER that it lists; with other cameras
// OPTIONS does not count, and the session lives as long as its time-out. Both
// get the other method next time. A session that ended at another moment ended
// for another reason.
func (m *Memory) ended(method string, since, lived, timeout time.Duration) {
	if timeout == 0 {
		timeout = defaultSessionTimeout
	}
	if since < disliked || lived > timeout*9/10 && lived < timeout*14/10 {
		m.keepalive = otherKeepalive(method)
	}
}

// disliked is how soon after a keepalive a camera hangs up that hates it.
const disliked = 2 * time.Second

// otherKeepalive is the method to try where one does not do.
func otherKeepalive(method string) string {
	if method == "GET_PARAMETER" {
		return "OPTIONS"
	}
	return "GET_PARAMETER"
}
