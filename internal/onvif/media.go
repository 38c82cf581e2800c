package onvif

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Profile is a stream that a camera offers (ONVIF Media §5.1). Sizes and rates are
// what the encoder is set to, not what it sends. 0 and "": not said.
type Profile struct {
	Token  string  `json:"token"` // as the camera wrote it
	Name   string  `json:"name"`  // printable
	Source string  `json:"-"`     // token of the video source
	Codec  string  `json:"codec"` // "h264", "h265", "jpeg", … lower case; "" without video
	Width  int     `json:"width"`
	Height int     `json:"height"`
	FPS    float64 `json:"fps"`
	Kbps   int     `json:"kbps"`
	GOP    int     `json:"gop"` // pictures from one that can be decoded alone to the next
	Audio  string  `json:"audio,omitempty"`
	Media2 bool    `json:"media2"` // it comes from the Media2 service, and belongs to it
}

// String is short, for lists and logs.
func (p Profile) String() string {
	if p.Codec == "" {
		return fmt.Sprintf("%q without video", p.Name)
	}
	s := fmt.Sprintf("%q %s %dx%d", p.Name, p.Codec, p.Width, p.Height)
	if p.FPS > 0 {
		s += fmt.Sprintf(" %g/s", p.FPS)
	}
	return s
}

// Profiles asks for all profiles: of Media2, which knows H.265, or of Media where
// there is no other or it has nothing to say.
func (d *Device) Profiles(ctx context.Context) ([]Profile, error) {
	var failed error
	if service := d.services[nsMedia2]; service != nil {
		c, err := d.x.call(ctx, service, nsMedia2+"/GetProfiles", `<GetProfiles xmlns="`+nsMedia2+`"><Type>All</Type></GetProfiles>`)
		if err == nil {
			if all := profiles(c, profile2); len(all) > 0 {
				return all, nil
			}
			err = errors.New("no profiles")
		}
		if ctx.Err() != nil || errors.Is(err, ErrUnauthorized) || d.services[nsMedia] == nil {
			return nil, d.errorf("media2: %w", err)
		}
		failed = err
		d.note("its Media2 service is of no use (%v): Media was asked", err)
	}
	service := d.services[nsMedia]
	if service == nil {
		return nil, d.errorf("GetProfiles: it has no media service")
	}
	c, err := d.x.call(ctx, service, nsMedia+"/GetProfiles", `<GetProfiles xmlns="`+nsMedia+`"/>`)
	if err != nil {
		return nil, d.errorf("media: %w", errors.Join(err, failed))
	}
	all := profiles(c, profile1)
	if len(all) == 0 {
		return nil, d.errorf("GetProfiles: it has no profiles")
	}
	return all, nil
}

func profiles(c *element, read func(*element) Profile) []Profile {
	elements := c.all("Profiles")
	var all []Profile
	for _, e := range elements[:min(len(elements), maxProfiles)] {
		p := read(e)
		p.Token, p.Name = e.attr("token"), printable(e.string("Name"))
		if p.Token == "" || len(p.Token) > maxTokenText {
			continue
		}
		if p.Name == "" {
			p.Name = printable(p.Token)
		}
		all = append(all, p)
	}
	return all
}

// profile1 reads a profile of Media (ver10/schema, Profile).
func profile1(e *element) Profile {
	video := e.child("VideoEncoderConfiguration")
	p := encoder(video)
	for _, codec := range []string{"H264", "MPEG4"} {
		if c := video.child(codec); c != nil {
			p.GOP = int(c.number("GovLength"))
		}
	}
	p.Source = e.string("VideoSourceConfiguration", "SourceToken")
	p.Audio = codec(e.string("AudioEncoderConfiguration", "Encoding"))
	return p
}

// profile2 reads a profile of Media2 (ver20/media/wsdl, MediaProfile).
func profile2(e *element) Profile {
	c := e.child("Configurations")
	video := c.child("VideoEncoder")
	p := encoder(video)
	p.GOP = int(number(video.attr("GovLength")))
	p.Source = c.string("VideoSource", "SourceToken")
	p.Audio = codec(c.string("AudioEncoder", "Encoding"))
	p.Media2 = true
	return p
}

// encoder reads what both have in common.
func encoder(video *element) Profile {
	return Profile{
		Codec:  codec(video.string("Encoding")),
		Width:  int(video.number("Resolution", "Width")),
		Height: int(video.number("Resolution", "Height")),
		FPS:    video.number("RateControl", "FrameRateLimit"),
		Kbps:   int(video.number("RateControl", "BitrateLimit")),
	}
}

// codec is an encoding by the name that we have for it.
func codec(encoding string) string {
	switch s := strings.ToLower(printable(encoding)); s {
	case "mp4a-latm", "mpeg4-generic":
		return "aac"
	default:
		return s
	}
}

// Choose picks the profile that want names by token or name or, where want is
// empty, the best one: of the first video source, H.264 or H.265 before what is
// not recorded, then the largest picture, the highest rate of pictures and of
// bits. why is for people.
func Choose(all []Profile, want string) (p Profile, why string, err error) {
	if want != "" {
		for _, same := range []func(Profile) bool{
			func(p Profile) bool { return p.Token == want },
			func(p Profile) bool { return strings.EqualFold(p.Name, want) },
		} {
			for _, p := range all {
				if same(p) {
					return p, "it is the one named", nil
				}
			}
		}
		return Profile{}, "", fmt.Errorf("there is no profile %q; there are: %s", printable(want), names(all))
	}
	var best *Profile
	var source string
	for i := range all {
		switch p := &all[i]; {
		case p.Codec == "":
		case best == nil:
			best, source = p, p.Source
		case p.Source == source && p.better(best):
			best = p
		}
	}
	switch {
	case best == nil:
		return Profile{}, "", fmt.Errorf("no profile has video; there are: %s", names(all))
	case len(all) == 1:
		return *best, "it is the only one", nil
	}
	return *best, fmt.Sprintf("the best of %d", len(all)), nil
}

// ChooseSub picks the profile of a camera's second stream: the one that want names
// or, where that is empty, the best of the same source below the one that Choose
// picks with main.
func ChooseSub(all []Profile, want, main string) (p Profile, why string, err error) {
	if want != "" {
		return Choose(all, want)
	}
	above, _, err := Choose(all, main)
	if err != nil {
		return Profile{}, "", err
	}
	var best *Profile
	for i := range all {
		p := &all[i]
		if p.Codec == "" || p.Source != above.Source || p.Token == above.Token || !above.better(p) {
			continue
		}
		if best == nil || p.better(best) {
			best = p
		}
	}
	if best == nil {
		return Profile{}, "", fmt.Errorf("there is no profile below %s; there are: %s", above.Name, names(all))
	}
	return *best, "the best below " + above.Name, nil
}

func (p *Profile) better(o *Profile) bool {
	recorded := func(p *Profile) bool { return p.Codec == "h264" || p.Codec == "h265" }
	switch pixels, others := p.Width*p.Height, o.Width*o.Height; {
	case recorded(p) != recorded(o):
		return recorded(p)
	case pixels != others:
		return pixels > others
	case p.FPS != o.FPS:
		return p.FPS > o.FPS
	}
	return p.Kbps > o.Kbps
}

func names(all []Profile) string {
	if len(all) == 0 {
		return "none"
	}
	const most = 16
	var s []string
	for _, p := range all[:min(len(all), most)] {
		s = append(s, fmt.Sprintf("%q (%s)", p.Name, printable(p.Token)))
	}
	if len(all) > most {
		s = append(s, "…")
	}
	return strings.Join(s, ", ")
}

// StreamURI asks where the profile's stream is: an rtsp:// or rtsps:// URL at the
// host that was asked, without user info. Its path and query are the camera's,
// and with some vendors they hold a password: it is not to be shown as it is.
func (d *Device) StreamURI(ctx context.Context, p Profile) (string, error) {
	token := escape(p.Token)
	var raw string
	if p.Media2 {
		ask := func(protocol string) (*element, error) {
			return d.x.call(ctx, d.services[nsMedia2], nsMedia2+"/GetStreamUri",
				`<GetStreamUri xmlns="`+nsMedia2+`"><Protocol>`+protocol+`</Protocol><ProfileToken>`+token+`</ProfileToken></GetStreamUri>`)
		}
		c, err := ask("RTSP") // RTP inside the connection
		if fault := (*Fault)(nil); errors.As(err, &fault) && !fault.refused() {
			c, err = ask("RtspUnicast")
		}
		if err != nil {
			return "", d.errorf("media2: profile %q: %w", p.Name, err)
		}
		raw = c.string("Uri")
	} else {
		service := d.services[nsMedia]
		if service == nil {
			return "", d.errorf("GetStreamUri: it has no media service")
		}
		c, err := d.x.call(ctx, service, nsMedia+"/GetStreamUri", `<GetStreamUri xmlns="`+nsMedia+`"><StreamSetup>`+
			`<Stream xmlns="`+nsSchema+`">RTP-Unicast</Stream><Transport xmlns="`+nsSchema+`"><Protocol>RTSP</Protocol></Transport>`+
			`</StreamSetup><ProfileToken>`+token+`</ProfileToken></GetStreamUri>`)
		if err != nil {
			return "", d.errorf("media: profile %q: %w", p.Name, err)
		}
		raw = c.string("MediaUri", "Uri")
	}
	uri, err := d.streamURL(raw)
	if err != nil {
		return "", d.errorf("GetStreamUri: profile %q: %w", p.Name, err)
	}
	return uri, nil
}

// streamURL puts the host that was asked into a URL that the camera wrote. The
// rest stays byte by byte: cameras have their own idea of what a URL is.
func (d *Device) streamURL(raw string) (string, error) {
	raw = strings.TrimSpace(raw)
	scheme, rest, ok := strings.Cut(raw, "://")
	if len(raw) > 2048 || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", errors.New("the stream's URL is too long, or has blanks or control characters")
	}
	if !ok || !strings.EqualFold(scheme, "rtsp") && !strings.EqualFold(scheme, "rtsps") {
		return "", errors.New("the stream's URL is not rtsp://…")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
		d.note("writes user and password into the stream's URL: left out")
	}
	u, err := url.Parse("rtsp://" + authority)
	if err != nil || u.Hostname() == "" {
		return "", errors.New("the stream's URL has no host that is understood")
	}
	if !d.x.isHere(u.Hostname()) {
		d.note("names another address for its streams (%s): asked where it was found", printable(u.Host))
	}
	path = strings.ReplaceAll(path, "#", "%23")
	if strings.HasPrefix(path, "%") {
		path = "/" + path
	}
	return strings.ToLower(scheme) + "://" + withPort(d.x.base.Hostname(), u.Port()) + path, nil
}
