// Command nvr records network cameras into a ring of pool files on disk, lists
// what is there and exports it as MP4.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"nvr/internal/config"
	"nvr/internal/control"
)

// cli is the command line. Each verb has a file of its own.
type cli struct {
	Config  string           `short:"c" default:"config.toml" placeholder:"FILE" help:"Configuration file."`
	Verbose bool             `short:"v" help:"Log more."`
	Version kong.VersionFlag `help:"Print the version and exit."`

	Record      recordCmd      `cmd:"" help:"Record the cameras of the configuration until SIGINT or SIGTERM."`
	Status      statusCmd      `cmd:"" help:"Show the ring, its cameras and how long it lasts."`
	List        listCmd        `cmd:"" help:"List the footage that is there, and the gaps with their reasons."`
	Report      reportCmd      `cmd:"" help:"Show how complete the footage of a day is, and why something is missing."`
	Export      exportCmd      `cmd:"" help:"Write footage of one camera as an MP4."`
	Verify      verifyCmd      `cmd:"" help:"Read everything and compare it with its checksums."`
	Dump        dumpCmd        `cmd:"" help:"Print what is in pool files."`
	Plan        planCmd        `cmd:"" help:"Work out how long a ring lasts."`
	Lock        lockCmd        `cmd:"" help:"Keep footage that must not be overwritten."`
	Volume      volumeCmd      `cmd:"" help:"Add, grow or retire a volume."`
	CheckConfig checkConfigCmd `cmd:"" help:"Check the configuration; start nothing."`
	Doctor      doctorCmd      `cmd:"" help:"Look at the machine and the disks before they disappoint."`
	Discover    discoverCmd    `cmd:"" help:"Find ONVIF cameras in the network."`
	Probe       probeCmd       `cmd:"" help:"Show what a camera offers, and measure it."`
	Simulate    simulateCmd    `cmd:"" help:"Serve synthetic RTSP cameras on this machine."`
	Demo        demoCmd        `cmd:"" hidden:"" help:"Record simulated cameras into a small ring and show it."`
	ShowVersion versionCmd     `cmd:"" name:"version" help:"Print the version."`
}

// console is what a command sees of the world.
type console struct {
	ctx           context.Context // ends at the first SIGINT or SIGTERM
	out, err      io.Writer
	outIsTerminal bool
	errIsTerminal bool
	now           func() time.Time
	zone          *time.Location
	env           config.LookupEnv
	configPath    string
	log           *slog.Logger
	mask          *mask
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var line cli
	parser := kong.Must(&line,
		kong.Name("nvr"),
		kong.Description("A network video recorder: all cameras, one ring of files, one sequential stream to the disk.\n\n"+
			"Exit codes: 0 ok, 1 failed, 2 bad usage or configuration, 3 not found."),
		kong.Vars{"version": versionText()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.WithHyphenPrefixedParameters(true), // --from -10m
	)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	c := newConsole()
	parsed, err := parser.Parse(args)
	if err != nil {
		return c.exit(&usageError{fmt.Errorf("%w (try nvr --help)", err)})
	}
	c.configPath = line.Config
	c.log = newLogger(os.Stderr, c.errIsTerminal, line.Verbose, c.mask)
	stop := c.untilSignal()
	defer stop()
	return c.exit(parsed.Run(c))
}

func newConsole() *console {
	return &console{
		ctx: context.Background(), out: os.Stdout, err: os.Stderr,
		outIsTerminal: term.IsTerminal(int(os.Stdout.Fd())), errIsTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		now: time.Now, zone: time.Local, env: os.LookupEnv, mask: &mask{},
	}
}

// sameSignal is how long a signal may take to arrive a second time because it
// was sent to the process and to its group (timeout(1) does both).
const sameSignal = 300 * time.Millisecond

// untilSignal ends c.ctx at the first SIGINT or SIGTERM, or when the terminal
// goes away. The second ends the process at once, as if nothing were caught.
func (c *console) untilSignal() (stop func()) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup(1)
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, cancel := signal.NotifyContext(c.ctx, signals...)
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, cancel) }) // gives the signals back
	c.ctx = ctx
	return cancel
}

// Exit codes, the same for every verb.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
)

// usageError is a mistake on the command line or in the configuration.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, a ...any) error { return &usageError{fmt.Errorf(format, a...)} }

// notFoundError says that what was asked for is not there.
type notFoundError struct{ error }

func (e *notFoundError) Unwrap() error { return e.error }

// exit tells the error, once, and chooses the exit code.
func (c *console) exit(err error) int {
	if err == nil {
		return exitOK
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(c.err, c.mask.text(problems.Error())) // each line begins with the file's name
	} else {
		fmt.Fprintln(c.err, "nvr:", c.mask.text(err.Error()))
	}
	return exitCode(err)
}

// exitCode chooses the exit code: for this command, or for one that asks us.
func exitCode(err error) int {
	var usage *usageError
	var notFound *notFoundError
	var refusal *control.Error
	switch {
	case errors.As(err, &refusal):
		return refusal.Exit
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &notFound):
		return exitNotFound
	}
	return exitFailed
}

// loadConfig reads the configuration and tells its warnings.
func (c *console) loadConfig() (*config.Config, error) {
	conf, warnings, err := config.Load(c.configPath, c.env)
	for _, w := range warnings {
		fmt.Fprintln(c.err, "warning:", w)
	}
	if err != nil {
		return nil, &usageError{err}
	}
	for _, camera := range conf.Cameras {
		for _, s := range camera.Secrets() {
			c.mask.add(camera.Username, s.Reveal())
		}
		for _, s := range camera.Streams() {
			if !s.Password.IsZero() {
				c.mask.add(s.Username, s.Password.Reveal())
			}
		}
	}
	return conf, nil
}
