package play

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

// GapMode says what becomes of the time in which there is no footage.
type GapMode int

// Hold keeps wall time: the last picture is held, PCM audio is silent (at most
// maxHold a gap). Skip joins what is there.
const (
	Hold GapMode = iota
	Skip
)

// ExportOptions say what to export. A zero Span is everything.
type ExportOptions struct {
	Stream   media.StreamID
	Span     media.Span
	Gaps     GapMode
	TempDir  string                  // for long tables; "" is the system's
	Title    string                  // in the file, for players to show; "" for none
	Progress func(done, total int64) // bytes written; may be nil
}

// Result is what was really exported.
type Result struct {
	Span     media.Span    // wall time of the first and of the last instant shown
	Duration time.Duration // of the file
	Bytes    int64         // of the file
	Video    int64         // samples in the file, lead-in included
	Audio    int64         // samples, in PCM one per channel and tick
	Runs     int
	Gaps     []media.Span // the first maxGaps holes of the video (of the audio, if there is no video)
	MoreGaps int          // how many there are besides
	Damaged  int          // records replaced because their bytes were not the ones written
	Unfit    int          // records left out because MP4 cannot carry their codec
}

// Export writes the footage of o.Span as one progressive MP4 file: moov first,
// cut exactly by edit lists, in constant memory. A returned error means that
// what was written to w is of no use; media.ErrOverwritten that the oldest
// footage vanished meanwhile, so that trying again may do.
func Export(ctx context.Context, a Archive, w io.Writer, o ExportOptions) (Result, error) {
	c, err := Plan(ctx, a, o)
	if err != nil {
		return Result{}, err
	}
	defer c.Close()
	if err := c.WriteTo(ctx, w); err != nil {
		return c.Result(), err
	}
	return c.Result(), nil
}

// Plan makes a clip ready: it reads the index, not the footage.
func Plan(ctx context.Context, a Archive, o ExportOptions) (*Clip, error) {
	if o.Span == (media.Span{}) {
		o.Span = media.Always
	}
	if o.Span.Empty() {
		return nil, fmt.Errorf("from is not before to: %w", ErrNoFootage)
	}
	create := func() (mp4.TempFile, error) { return unlinkedTemp(o.TempDir) }
	c := &Clip{
		archive:  a,
		file:     mp4.NewBuilder(create),
		manifest: &manifest{mp4.NewSpool(create)},
		progress: o.Progress,
	}
	if err := plan(ctx, c, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func plan(ctx context.Context, c *Clip, o ExportOptions) error {
	cut, err := findCut(ctx, c.archive, o.Stream, o.Span)
	if err != nil {
		return fmt.Errorf("look up footage: %w", err)
	}
	p := &planner{o: o, cut: cut, file: c.file, manifest: c.manifest}
	for e, err := range c.archive.Entries(ctx, o.Stream, withLeadIn(o.Span)) {
		if err != nil {
			return fmt.Errorf("look up footage: %w", err)
		}
		if err := p.add(e); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if c.result, err = p.finish(); err != nil {
		return err
	}
	return c.manifest.spool.Err()
}

// unlinkedTemp makes a temporary file that nobody sees and that is gone when
// it is closed, or when the process dies.
func unlinkedTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "nvr-clip-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
