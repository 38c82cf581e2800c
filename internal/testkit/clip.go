package testkit

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"nvr/internal/media"
	"nvr/internal/simulate/clips"
)

//go:embed clips/*.h264 clips/*.h265 clips/*.order
var embedded embed.FS

// Clip is a piece of video that a track shows again and again.
type Clip struct {
	Codec         media.Codec
	Sets          [][]byte // VPS, SPS, PPS, without start codes
	Width, Height uint16
	GOP           int // pictures from one place to begin to the next
	pictures      []clipPicture
}

type clipPicture struct {
	side   [][]byte // SEI that belong to it
	slices [][]byte
	sync   bool // a decoder can begin with it
	place  int  // at which it is shown
}

var clipCache sync.Map // name → *Clip

// clipNamed loads a clip: "h264" and "h265" are the ones of package simulate,
// of 320 × 180; others, like "slices.h264", are 160 × 96.
func clipNamed(name string) *Clip {
	if c, ok := clipCache.Load(name); ok {
		return c.(*Clip)
	}
	c := &Clip{Codec: media.Codec(name[strings.LastIndexByte(name, '.')+1:]), Width: 160, Height: 96}
	var b []byte
	var order []string
	switch name {
	case "h264", "h265":
		b, c.Width, c.Height = clips.H264, 320, 180
		if name == "h265" {
			b = clips.H265
		}
	default:
		b = must(embedded.ReadFile("clips/" + name))
		order = strings.Fields(string(must(embedded.ReadFile("clips/" + name + ".order"))))
	}
	c.load(b)
	for i := range c.pictures {
		c.pictures[i].place = i
		if order != nil {
			c.pictures[i].place = must(strconv.Atoi(order[i]))
		}
	}
	c.GOP = len(c.pictures)
	for i, p := range c.pictures[1:] {
		if p.sync {
			c.GOP = i + 1
			break
		}
	}
	clipCache.Store(name, c)
	return c
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// load cuts an Annex B stream at its delimiters.
func (c *Clip) load(b []byte) {
	var side [][]byte
	begins := false
	for _, u := range splitAnnexB(b) {
		switch kind := kindOf(c.Codec, u); kind {
		case 'd':
			begins = true
		case 'p':
			if !slices.ContainsFunc(c.Sets, func(s []byte) bool { return bytes.Equal(s, u) }) {
				c.Sets = append(c.Sets, u)
			}
		case 's':
			if c.Codec == media.H264 && u[1] == 6 { // a recovery point; the encoder's card is not wanted
				side = append(side, u)
			}
		case 'v', 'i':
			if begins {
				c.pictures = append(c.pictures, clipPicture{})
				begins = false
			}
			p := &c.pictures[len(c.pictures)-1]
			if len(side) > 0 {
				p.side, p.sync, side = side, true, nil
			}
			p.slices = append(p.slices, u)
			p.sync = p.sync || kind == 'i'
		}
	}
}

// kindOf is d for a delimiter, p a parameter set, s an SEI, v a slice, i one of a
// picture that depends on no other, and 0 for the rest: ITU-T H.264 table 7-1,
// H.265 table 7-1.
func kindOf(codec media.Codec, u []byte) byte {
	if codec == media.H265 {
		switch t := u[0] >> 1 & 0x3f; {
		case t >= 16 && t <= 21:
			return 'i'
		case t < 32:
			return 'v'
		case t <= 34:
			return 'p'
		case t == 35:
			return 'd'
		case t == 39:
			return 's'
		}
		return 0
	}
	return map[byte]byte{1: 'v', 5: 'i', 6: 's', 7: 'p', 8: 'p', 9: 'd'}[u[0]&0x1f]
}

// splitAnnexB cuts at start codes (ITU-T H.264 Annex B).
func splitAnnexB(b []byte) (units [][]byte) {
	code := []byte{0, 0, 1}
	i := bytes.Index(b, code)
	for i >= 0 {
		b = b[i+len(code):]
		u := b
		if i = bytes.Index(b, code); i >= 0 {
			u = b[:i]
		}
		if u = bytes.TrimRight(u, "\x00"); len(u) > 1 {
			units = append(units, u)
		}
	}
	return units
}

// at is picture n of a clip that goes on for ever.
func (c *Clip) at(n int) (p *clipPicture, place int) {
	p = &c.pictures[n%len(c.pictures)]
	return p, n/len(c.pictures)*len(c.pictures) + p.place
}

// String is for messages.
func (c *Clip) String() string { return fmt.Sprintf("%s %dx%d", c.Codec, c.Width, c.Height) }
