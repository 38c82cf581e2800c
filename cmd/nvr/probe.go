package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nvr/internal/config"
	"nvr/internal/onvif"
)

type probeCmd struct {
	credentialFlags
	Target  string        `arg:"" placeholder:"URL" help:"rtsp://[user@]host[:port]/path, onvif://[user@]host[:port], onvif://urn:uuid:…, or the id of a camera of the configuration."`
	Profile string        `placeholder:"NAME" help:"Which profile of an ONVIF camera is measured; without it, the best."`
	For     time.Duration `default:"10s" placeholder:"T" help:"How long the stream is measured (default: 10s); 0: not at all."`
	JSON    bool          `help:"Print JSON."`
}

// Help is shown below the usage line.
func (probeCmd) Help() string {
	return `Connects to a camera as nvr record does and tells what it offers: tracks, codecs, size, and, measured over some seconds, pictures a second, GOP length and bit rate; its clock, its server's name, and what is odd about it. An onvif:// camera is asked for its profiles first, and the stream of one of them is measured. Nothing is written.

A password does not belong into the URL: other users of this machine can read command lines.

Examples:
    nvr probe rtsp://admin@192.168.1.10/stream1 --password-file admin.password
    nvr probe onvif://admin@192.168.1.10 --profile subStream
    nvr probe cam1 --json`
}

// probed is what probe tells.
type probed struct {
	URL      string             `json:"url"`              // without credentials
	Source   string             `json:"source,omitempty"` // of a camera that is a program
	Device   *onvif.Information `json:"device,omitempty"`
	Endpoint string             `json:"endpoint,omitempty"`
	Clock    *float64           `json:"clock_seconds,omitempty"` // of the ONVIF service, ahead of ours
	Profiles []foundProfile     `json:"profiles,omitempty"`
	Chosen   string             `json:"profile,omitempty"` // token of the one that is measured
	Because  string             `json:"because,omitempty"`
	Stream   *measuredStream    `json:"stream,omitempty"`
	Quirks   []string           `json:"quirks"`
}

const (
	maxProbe      = time.Hour
	probeAskLimit = time.Minute
	findFor       = 5 * time.Second
)

func (v probeCmd) Run(c *console) error {
	if v.For < 0 || v.For > maxProbe {
		return usagef("--for is 0 to %v", maxProbe)
	}
	camera, err := v.camera(c)
	if err != nil {
		return err
	}
	p := probed{URL: c.showURL(camera.URL)}
	if program(camera) != nil {
		p.Source = camera.Source
	}
	q := &quirks{}
	if config.IsONVIF(camera.URL) {
		camera.URL, err = p.ask(c, camera, q)
	} else if camera.Profile != "" {
		return usagef("--profile belongs to onvif://")
	}
	if err == nil && v.For > 0 {
		var stream measuredStream
		stream, err = c.measure(camera, v.For, q)
		if err == nil || stream.Server != "" {
			p.Stream = &stream
		}
	}
	p.Quirks = append([]string{}, q.all...)
	if v.JSON && (err == nil || p.Profiles != nil || p.Stream != nil) {
		if err := c.printJSON(p); err != nil {
			return err
		}
	} else if !v.JSON {
		p.print(c)
	}
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// camera is whom the command line means and what opens it.
func (v probeCmd) camera(c *console) (config.Camera, error) {
	if !strings.Contains(v.Target, "://") {
		conf, err := c.loadConfig()
		if err != nil {
			return config.Camera{}, err
		}
		for _, camera := range conf.Cameras {
			if camera.ID == v.Target {
				camera.Profile, camera.MaxReconnectAttempts = cmp.Or(v.Profile, camera.Profile), 0
				return camera, nil
			}
		}
		return config.Camera{}, &notFoundError{fmt.Errorf("no camera %q in %s, and it is no URL", v.Target, c.configPath)}
	}
	camera, err := config.ParseURL(v.Target)
	if err != nil {
		return camera, &usageError{err}
	}
	if !camera.Password.IsZero() {
		c.mask.add(camera.Username, camera.Password.Reveal())
		return camera, usagef("a password on the command line is seen by every user of this machine: leave it out of the URL, and put it into a file for --password-file")
	}
	if v.Username != "" && camera.Username != "" && v.Username != camera.Username {
		return camera, usagef("--username is another user than the URL's")
	}
	camera.Audio, camera.Profile = true, v.Profile
	camera.Username = cmp.Or(camera.Username, v.Username)
	password, err := v.password(c, camera.Username)
	camera.Password = config.NewSecret(password)
	return camera, err
}

// ask asks an ONVIF camera what it is and where its stream is.
func (p *probed) ask(c *console, camera config.Camera, q *quirks) (url string, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, probeAskLimit)
	defer cancel()
	at := camera.URL
	if reference, ok := strings.CutPrefix(at, "onvif://urn:"); ok {
		if at, err = find(ctx, "urn:"+reference); err != nil {
			return "", err
		}
		p.URL = at
	}
	d, err := onvif.Open(ctx, onvif.Options{URL: at, Username: camera.Username, Password: camera.Password.Reveal()})
	if err != nil {
		return "", err
	}
	defer d.Close()
	defer func() {
		for _, n := range d.Notes() {
			q.add(n)
		}
	}()
	if ahead, known := d.Clock(); known {
		seconds := ahead.Seconds()
		p.Clock = &seconds
	}
	info, err := d.Information(ctx)
	if err != nil {
		return "", err
	}
	p.Device = &info
	p.Endpoint, _ = d.Endpoint(ctx)
	var uris []string
	if p.Profiles, uris, err = c.profiles(ctx, d); err != nil {
		return "", err
	}
	var all []onvif.Profile
	for _, f := range p.Profiles {
		all = append(all, f.Profile)
	}
	chosen, why, err := onvif.Choose(all, camera.Profile)
	if err != nil {
		return "", &notFoundError{err}
	}
	p.Chosen, p.Because = chosen.Token, why
	for i, f := range p.Profiles {
		if f.Token == chosen.Token {
			url = uris[i]
		}
	}
	if url == "" {
		return "", errors.New("the camera does not tell where this profile's stream is")
	}
	return url, nil
}

// find asks the network for the camera with an endpoint reference.
func find(ctx context.Context, reference string) (at string, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = onvif.Discover(ctx, onvif.DiscoverOptions{Wait: findFor}, func(f onvif.Found) {
		if strings.EqualFold(f.Endpoint, reference) && f.URL != "" {
			at = f.URL
			stop()
		}
	})
	if err == nil && at == "" {
		err = &notFoundError{fmt.Errorf("%s did not answer", reference)}
	}
	return at, err
}

func (p *probed) print(c *console) {
	row := func(what, value string) {
		if value != "" {
			fmt.Fprintf(c.out, "%-9s %s\n", what, value)
		}
	}
	if p.Device == nil && p.Stream == nil {
		return
	}
	row("camera", p.URL)
	row("source", p.Source)
	if p.Device != nil {
		row("device", describeDevice(*p.Device))
		row("endpoint", p.Endpoint)
		row("clock", clockText(p.Clock, time.Second, "ONVIF"))
		fmt.Fprintln(c.out, "profiles")
		printProfiles(c.out, p.Profiles, p.Chosen)
		row("chosen", p.Because)
	}
	if s := p.Stream; s != nil {
		row("stream", s.URL)
		row("server", s.Server)
		row("clock", clockText(s.Clock, time.Second/10, "RTCP"))
		for _, t := range s.Tracks {
			row(t.Kind, t.describe())
		}
		if s.Lost > 0 || s.Damaged > 0 {
			row("lost", fmt.Sprintf("%s, %s damaged", count(int(s.Lost), "packet", "packets"), count(int(s.Damaged), "access unit", "access units")))
		}
		row("measured", fmt.Sprintf("%.1f s", s.Seconds))
	}
	for _, quirk := range p.Quirks {
		row("quirk", quirk)
	}
	if len(p.Quirks) == 0 {
		row("quirks", "none met")
	}
}

// clockText says how far a clock of the camera is from ours. The camera tells it to
// the grain, so that less than that means nothing.
func clockText(ahead *float64, grain time.Duration, source string) string {
	if ahead == nil {
		return "not told (" + source + ")"
	}
	d := time.Duration(*ahead * float64(time.Second)).Round(grain)
	if d.Abs() <= grain {
		return fmt.Sprintf("as this machine's, within %v (%s)", grain, source)
	}
	if d < 0 {
		return fmt.Sprintf("%v behind this machine's (%s)", -d, source)
	}
	return fmt.Sprintf("%v ahead of this machine's (%s)", d, source)
}
