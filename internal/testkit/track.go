package testkit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"time"

	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

// Track is an elementary stream of a camera.
type Track struct {
	Kind     media.Kind
	Encoding string // of a=rtpmap; "": no such line
	PT       uint8
	Clock    uint32
	Channels int
	Fmtp     string // "": no such line
	Control  string
	URL      string // where SETUP must go, if not to the base and Control
	SSRC     uint32
	Sequence uint16 // of the first packet
	First    uint32 // time stamp of unit 0
	InBand   bool   // parameter sets before each place to begin
	Marker   bool   // marks the last packet of a unit

	BackChannel bool
	Attributes  string // more a= lines, each with CRLF

	FPS   float64 // units a second
	Clip  *Clip
	Sound func(n, conn int) []byte // an audio unit, or a picture without a clip
	// Payload makes the packets of a unit, where the codec has its own way.
	Payload func(u *Unit) []*Packet
	// Joins says with which picture without a clip a stream can begin; nil: all.
	Joins func(n int) bool
	// Due is when unit n is taken, from unit 0 on; nil: evenly.
	Due func(n int) time.Duration
	// Stamp is the time stamp of unit n; nil: First and what Due says.
	Stamp func(n int) uint32
	// Show is the clip of which picture n is; nil: Clip.
	Show func(n int) *Clip
}

// H264 is the video of most cameras.
func H264() *Track {
	c := clipNamed("h264")
	return &Track{
		Kind: media.Video, Encoding: "H264", PT: 96, Clock: 90000, Control: "trackID=0", Clip: c, FPS: 15,
		Fmtp: "packetization-mode=1;profile-level-id=" + hex.EncodeToString(c.Sets[0][1:4]) + ";sprop-parameter-sets=" + base64Sets(c.Sets),
		SSRC: 0x11111111, Sequence: 65500, First: math.MaxUint32 - 3*90000, InBand: true, Marker: true,
	}
}

// H265 is the video of newer ones.
func H265() *Track {
	t := H264()
	t.Encoding, t.Clip = "H265", clipNamed("h265")
	t.Fmtp = fmt.Sprintf("sprop-vps=%s;sprop-sps=%s;sprop-pps=%s", base64Sets(t.Clip.Sets[:1]), base64Sets(t.Clip.Sets[1:2]), base64Sets(t.Clip.Sets[2:]))
	return t
}

func base64Sets(sets [][]byte) string {
	var l []string
	for _, s := range sets {
		l = append(l, base64.StdEncoding.EncodeToString(s))
	}
	return strings.Join(l, ",")
}

// G711 is A-law or µ-law, 20 ms a packet. Its type and encoding are PCMA's or PCMU's.
func G711(encoding string) *Track {
	t := &Track{
		Kind: media.Audio, Encoding: encoding, PT: 8, Clock: 8000, Control: "trackID=1", FPS: 50,
		SSRC: 0x22222222, Sequence: 30, First: 7_000_000, Marker: true,
	}
	if encoding == "PCMU" {
		t.PT = 0
	}
	t.Sound = func(n, conn int) []byte { return sound(n, conn, 160) }
	return t
}

// AAC is AAC-LC of 16 kHz in mode AAC-hbr, a unit a packet (RFC 3640).
func AAC() *Track {
	return &Track{
		Kind: media.Audio, Encoding: "MPEG4-GENERIC", PT: 97, Clock: 16000, Channels: 1, Control: "trackID=1", FPS: 16000. / 1024,
		Fmtp: "streamtype=5;profile-level-id=15;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408",
		SSRC: 0x22222222, Sequence: 30, First: 7_000_000, Marker: true,
		Sound: func(n, conn int) []byte { return sound(n, conn, 60+n%90) },
	}
}

// soundMark begins a sound of ours: 16 bytes with number, connection and
// checksum, then what fills it up.
const soundMark = "snd!"

func sound(n, conn, size int) []byte {
	b := append(make([]byte, 0, size), soundMark...)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = binary.BigEndian.AppendUint16(b, uint16(conn))
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = binary.BigEndian.AppendUint32(b, 0)
	for len(b) < size {
		b = append(b, byte(n+len(b))|1)
	}
	binary.BigEndian.PutUint32(b[12:], crc32.ChecksumIEEE(b[16:]))
	return b
}

// readSound finds out which sound it is.
func readSound(b []byte) (n, conn int, ok bool) {
	if i := bytes.Index(b, []byte(soundMark)); i > 0 { // behind Opus' first byte, in a JPEG, in a metadata OBU
		if b = b[i:]; len(b) >= 16 {
			b = b[:min(len(b), int(binary.BigEndian.Uint16(b[10:])))]
		}
	}
	if len(b) < 16 || string(b[:4]) != soundMark || len(b) != int(binary.BigEndian.Uint16(b[10:])) ||
		binary.BigEndian.Uint32(b[12:]) != crc32.ChecksumIEEE(b[16:]) {
		return 0, 0, false
	}
	return int(binary.BigEndian.Uint32(b[4:])), int(binary.BigEndian.Uint16(b[8:])), true
}

// section is the track's part of the SDP.
func (t *Track) section() string {
	var b strings.Builder
	fmt.Fprintf(&b, "m=%s 0 RTP/AVP %d\r\n", kindName(t.Kind), t.PT)
	if t.Encoding != "" {
		fmt.Fprintf(&b, "a=rtpmap:%d %s/%d", t.PT, t.Encoding, t.Clock)
		if t.Channels > 0 {
			fmt.Fprintf(&b, "/%d", t.Channels)
		}
		b.WriteString("\r\n")
	}
	if t.Fmtp != "" {
		fmt.Fprintf(&b, "a=fmtp:%d %s\r\n", t.PT, t.Fmtp)
	}
	b.WriteString(t.Attributes)
	fmt.Fprintf(&b, "a=control:%s\r\n", t.Control)
	return b.String()
}

func (t *Track) due(n int) time.Duration {
	if t.Due != nil {
		return t.Due(n)
	}
	return time.Duration(float64(n) / t.FPS * float64(time.Second))
}

func (t *Track) stamp(n int) uint32 {
	if t.Stamp != nil {
		return t.Stamp(n)
	}
	return t.First + ticks(t.due(n), t.Clock)
}

// ticks is a length of time in units of a clock, modulo 2³².
func ticks(d time.Duration, clock uint32) uint32 {
	return uint32(int64(math.Round(d.Seconds() * float64(clock))))
}

// clip is what picture n shows.
func (t *Track) clip(n int) *Clip {
	if t.Show != nil {
		return t.Show(n)
	}
	return t.Clip
}

// joins reports whether a stream can begin with unit n.
func (t *Track) joins(n int) bool {
	if t.Clip == nil {
		return t.Joins == nil || t.Joins(n)
	}
	p, _ := t.clip(n).at(n)
	return p.sync
}

// Unit is a picture or a sound on its way out.
type Unit struct {
	Index int // of its track
	Track *Track
	N     int    // its number in the camera's life
	Time  uint32 // time stamp
	Sync  bool
	Sets  [][]byte // of a picture that begins: sent before it
	NALs  [][]byte // of a picture: the mark and its slices
	Sound []byte
	Delay time.Duration // it is sent so much later than it is taken
	Skip  bool          // it is not sent, and not counted as sent
	Conn  int
	Clip  *Clip
}

// unit makes unit n as connection conn sends it.
func (t *Track) unit(index, n, conn int) *Unit {
	u := &Unit{Index: index, Track: t, N: n, Time: t.stamp(n), Sync: true, Conn: conn}
	if t.Clip == nil {
		u.Sound, u.Sync = t.Sound(n, conn), t.joins(n)
		return u
	}
	u.Clip = t.clip(n)
	p, place := u.Clip.at(n)
	if place != n {
		u.Time = t.stamp(place)
	}
	u.Sync = p.sync
	if p.sync && t.InBand {
		u.Sets = u.Clip.Sets
	}
	nal, text, err := mark.New(u.Clip.Codec, p.slices)
	if err != nil {
		panic(err)
	}
	mark.Set(nal[text:], 1, conn, uint64(n))
	u.NALs = append(append(append(u.NALs, p.side...), nal), p.slices...)
	return u
}

// Slices are the NAL units of the picture itself.
func (u *Unit) Slices() [][]byte {
	for i, n := range u.NALs {
		if k := kindOf(u.Clip.Codec, n); k == 'v' || k == 'i' {
			return u.NALs[i:]
		}
	}
	return nil
}

// Before are the NAL units in front of them.
func (u *Unit) Before() [][]byte { return u.NALs[:len(u.NALs)-len(u.Slices())] }
