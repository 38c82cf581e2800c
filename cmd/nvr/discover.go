package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"nvr/internal/onvif"
)

type discoverCmd struct {
	credentialFlags
	Address  []string      `arg:"" optional:"" help:"Ask only these (name or address, and port if it is not 3702) instead of the networks that this machine is in."`
	Timeout  time.Duration `default:"5s" placeholder:"T" help:"How long answers are waited for (default: 5s)."`
	Profiles bool          `help:"Also ask each camera that is found for its maker, model and profiles. --username implies it."`
	JSON     bool          `help:"Print JSON."`
}

// Help is shown below the usage line.
func (discoverCmd) Help() string {
	return `Finds ONVIF cameras by WS-Discovery: one question to the network, and what the answers say. With --profiles or --username each camera that answered is asked for its maker, model and profiles too, and where their streams are. URLs are printed without credentials.

Of the password only digests are sent, and only to cameras that ask. Anything in the network can answer as a camera, so where you do not trust it, name the ADDRESS of the camera that the password is for.

Examples:
    nvr discover
    nvr discover --username admin --password-file admin.password
    nvr discover 192.168.1.10 --profiles --json`
}

// foundCamera is what discover tells of a camera.
type foundCamera struct {
	onvif.Found
	Device   *onvif.Information `json:"device,omitempty"`
	Profiles []foundProfile     `json:"profiles,omitempty"`
	Error    string             `json:"error,omitempty"` // why there are no profiles
}

type foundProfile struct {
	onvif.Profile
	URL   string `json:"url,omitempty"` // without credentials
	Error string `json:"error,omitempty"`
}

const (
	maxAskedAtOnce   = 8
	maxDiscoverWait  = time.Minute
	discoverAskLimit = 30 * time.Second // one camera, with all its profiles
)

func (v discoverCmd) Run(c *console) error {
	if v.Timeout <= 0 || v.Timeout > maxDiscoverWait {
		return usagef("--timeout is more than 0 and at most %v", maxDiscoverWait)
	}
	password, err := v.password(c, v.Username)
	if err != nil {
		return err
	}
	o := onvif.DiscoverOptions{Wait: v.Timeout}
	for _, a := range v.Address {
		to, err := c.resolve(a)
		if err != nil {
			return err
		}
		o.To = append(o.To, to)
	}
	var cameras []foundCamera
	if err := onvif.Discover(c.ctx, o, func(f onvif.Found) { cameras = append(cameras, foundCamera{Found: f}) }); err != nil {
		return err
	}
	slices.SortFunc(cameras, func(a, b foundCamera) int { return cmp.Or(a.Addr.Compare(b.Addr), strings.Compare(a.URL, b.URL)) })
	if v.Profiles || v.Username != "" {
		v.ask(c, cameras, password)
	}
	if v.JSON {
		if cameras == nil {
			cameras = []foundCamera{}
		}
		if err := c.printJSON(map[string]any{"cameras": cameras}); err != nil {
			return err
		}
	} else if err := printFound(c.out, cameras); err != nil {
		return err
	}
	switch {
	case c.ctx.Err() != nil:
		return errors.New("discover: interrupted")
	case len(cameras) == 0:
		return &notFoundError{errors.New("no camera answered: is ONVIF switched on in it, and is it in a network of this machine? Another network is asked by address: nvr discover 192.168.1.10")}
	}
	return nil
}

// resolve turns name[:port] into an address; port 0 where none is given.
func (c *console) resolve(address string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		host, portText = strings.Trim(address, "[]"), "0"
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, usagef("%q: the port is not a number from 1 to 65535", address)
	}
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("discover: %w", err)
	}
	return netip.AddrPortFrom(found[0].Unmap(), uint16(port)), nil
}

// ask asks each camera for what it is and what it offers.
func (v discoverCmd) ask(c *console, cameras []foundCamera, password string) {
	turns := make(chan struct{}, maxAskedAtOnce)
	var all sync.WaitGroup
	for i := range cameras {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(c.ctx, discoverAskLimit)
			defer cancel()
			if err := cameras[i].ask(ctx, c, v.Username, password); err != nil {
				cameras[i].Error = c.mask.text(err.Error())
			}
		})
	}
	all.Wait()
}

func (f *foundCamera) ask(ctx context.Context, c *console, user, password string) (err error) {
	defer func() {
		if p := recover(); p != nil { // one camera's answer must not cost the others'
			err = fmt.Errorf("a mistake of ours: %v", p)
		}
	}()
	if f.URL == "" {
		return errors.New("it gives no address that can be asked")
	}
	d, err := onvif.Open(ctx, onvif.Options{URL: f.URL, Username: user, Password: password})
	if err != nil {
		return err
	}
	defer d.Close()
	if info, err := d.Information(ctx); err == nil {
		f.Device = &info
	}
	f.Profiles, _, err = c.profiles(ctx, d)
	for _, n := range d.Notes() {
		if !slices.Contains(f.Notes, n) {
			f.Notes = append(f.Notes, n)
		}
	}
	return err
}

// profiles asks for a camera's profiles and where their streams are. What it
// returns second is for connecting, not for showing.
func (c *console) profiles(ctx context.Context, d *onvif.Device) ([]foundProfile, []string, error) {
	all, err := d.Profiles(ctx)
	if err != nil {
		return nil, nil, err
	}
	var found []foundProfile
	var uris []string
	for _, p := range all {
		f := foundProfile{Profile: p}
		uri, err := d.StreamURI(ctx, p)
		if err != nil {
			f.Error = c.mask.text(err.Error())
		} else {
			f.URL = c.showURL(uri)
		}
		found = append(found, f)
		uris = append(uris, uri)
	}
	return found, uris, nil
}

func printFound(w io.Writer, cameras []foundCamera) error {
	for i, f := range cameras {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, cmp.Or(f.URL, f.Addr.String()))
		name := strings.Join(slices.DeleteFunc([]string{f.Maker, f.Name}, func(s string) bool { return s == "" }), " ")
		row := func(what, value string) {
			if value != "" {
				fmt.Fprintf(w, "    %-9s %s\n", what, value)
			}
		}
		row("name", name)
		row("hardware", f.Hardware)
		row("location", f.Location)
		row("endpoint", f.Endpoint)
		if f.Device != nil {
			row("device", describeDevice(*f.Device))
		}
		if err := printProfiles(w, f.Profiles, ""); err != nil {
			return err
		}
		row("error", f.Error)
		for _, n := range f.Notes {
			row("note", n)
		}
	}
	return nil
}

func describeDevice(d onvif.Information) string {
	s := strings.TrimSpace(d.Manufacturer + " " + d.Model)
	if d.Firmware != "" {
		s += ", firmware " + d.Firmware
	}
	if d.Serial != "" {
		s += ", serial number " + d.Serial
	}
	return s
}

func printProfiles(w io.Writer, profiles []foundProfile, chosen string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range profiles {
		picture := "no video"
		if p.Codec != "" {
			picture = fmt.Sprintf("%s %dx%d", p.Codec, p.Width, p.Height)
		}
		rate := ""
		if p.FPS > 0 {
			rate = strconv.FormatFloat(p.FPS, 'g', 4, 64) + "/s"
		}
		if p.Kbps > 0 {
			rate = strings.TrimSpace(rate + " " + strconv.Itoa(p.Kbps) + " kbit/s")
		}
		mark := " "
		if p.Token == chosen {
			mark = "*"
		}
		fmt.Fprintf(table, "   %s%s\t%s\t%s\t%s\n", mark, p.Name, picture, rate, cmp.Or(p.URL, p.Error))
	}
	return table.Flush()
}
