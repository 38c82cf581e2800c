package testkit

import (
	"net"
	"sync"
	"time"
)

// Seed is what a camera of the table says: where fuzzing begins.
type Seed struct {
	Key        string
	SDP        string
	Challenges []string
	Stream     []byte   // the interleaved frames of the first units, channels 0 to 3
	Packets    [][]byte // the RTP packets among them of the first track
}

// seedUnits is how many units a seed has: two GOPs would be better, and ten
// times as long to fuzz.
const seedUnits = 8

// Seeds are the table's cameras as bytes, made once. Those whose bytes would be
// too many have no stream.
var Seeds = sync.OnceValue(func() []Seed {
	var all []Seed
	for _, q := range Quirks() {
		c := q.New()
		s := Seed{Key: q.Key, SDP: c.Description()}
		if c.SDP != nil {
			s.SDP = c.SDP(s.SDP)
		}
		if c.Auth != nil {
			for i := range c.Auth.Schemes {
				s.Challenges = append(s.Challenges, c.Auth.Schemes[i].challenge("0123456789abcdef", i%2 == 1))
			}
		}
		w := &capture{}
		p := &Peer{C: c, Conn: w, N: 1, gone: make(chan struct{}), channels: map[int][2]uint8{}}
		close(p.gone) // nobody waits
		p.once.Do(func() {})
		for i, t := range c.Tracks {
			if !t.BackChannel {
				p.setup = append(p.setup, i)
				p.channels[i] = [2]uint8{uint8(2 * i), uint8(2*i + 1)}
			}
		}
		if len(c.Tracks) > 0 {
			x := newPlayer(p)
			for range seedUnits {
				if !x.send(x.first()) {
					break
				}
			}
		}
		if len(w.b) < 100<<10 {
			s.Stream = w.b
			s.Packets = framesOf(w.b, 0)
		}
		all = append(all, s)
	}
	return all
})

// framesOf finds the frames of a channel where nothing is wrong with them.
func framesOf(b []byte, channel uint8) (all [][]byte) {
	for len(b) > 4 && b[0] == '$' {
		n := int(b[2])<<8 | int(b[3])
		if len(b) < 4+n {
			break
		}
		if b[1] == channel && n >= 12 {
			all = append(all, b[4:4+n])
		}
		b = b[4+n:]
	}
	return all
}

// capture is a connection that keeps what is written.
type capture struct{ b []byte }

func (c *capture) Write(b []byte) (int, error)      { c.b = append(c.b, b...); return len(b), nil }
func (c *capture) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (c *capture) Close() error                     { return nil }
func (c *capture) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *capture) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *capture) SetDeadline(time.Time) error      { return nil }
func (c *capture) SetReadDeadline(time.Time) error  { return nil }
func (c *capture) SetWriteDeadline(time.Time) error { return nil }
