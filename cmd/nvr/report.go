package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"nvr/internal/config"
	"nvr/internal/control"
	"nvr/internal/media"
	"nvr/internal/store"
)

type reportCmd struct {
	Day    string `placeholder:"D" help:"A day of this machine's zone: 2026-02-19, today or yesterday (default: today)."`
	From   string `placeholder:"T" help:"Instead of a day: from T on."`
	To     string `placeholder:"T" help:"Instead of a day: up to T (default: now)."`
	Camera string `placeholder:"ID" help:"Only this camera."`
	Stream string `placeholder:"NAME" help:"Only these streams: main or sub."`
	Gaps   bool   `help:"Show each gap too."`
	JSON   bool   `help:"Print JSON."`
}

// Help is shown below the usage line.
func (reportCmd) Help() string {
	return `Makes up the account of each stream: how much of the time is recorded, how much is missing, and why. What is recorded and what is missing is what was expected, to a sample; docs/ledger.md says what each reason means. Works while recording, up to the last commit, and offline, up to now. A day has 23 or 25 hours when the clocks change.

Examples:
    nvr report
    nvr report --day yesterday --camera cam1 --gaps
    nvr report --from 2026-02-19T08:00:00Z --to 2026-02-19T18:00:00Z --json

` + timeHelp
}

// reportDocument is what nvr report --json prints.
type reportDocument struct {
	From      string           `json:"from"`
	To        string           `json:"to"`
	Recording bool             `json:"recording"`
	Streams   []reportedStream `json:"streams"`
}

// completeness is an account in figures. Percent is of what was expected, cut, not
// rounded, to three decimals: 100 is everything. Null: nothing was expected.
type completeness struct {
	Percent  *float64 `json:"percent"`
	Expected float64  `json:"expected_secs"`
	Recorded float64  `json:"recorded_secs"`
	Missing  float64  `json:"missing_secs"`
	Gaps     int      `json:"gaps"`
}

type reportedStream struct {
	Camera string `json:"camera"`
	Name   string `json:"name"`
	Stream string `json:"stream"`
	From   string `json:"from,omitempty"` // the account begins here: nothing is known of the stream before
	To     string `json:"to,omitempty"`   // it ends here: what comes after is on its way to the disk, or has not happened
	completeness
	Reasons []reportedReason `json:"reasons"`
	List    []reportedGap    `json:"list"`      // of the gaps
	More    int              `json:"more_gaps"` // that are not in the list: it would be too long
}

// maxReportedGaps are listed of all streams together: what the recorder answers has
// a limit (package control), and nobody reads more. The sums are of all.
const maxReportedGaps = 8000

type reportedReason struct {
	Reason  media.Reason `json:"reason"`
	Missing float64      `json:"missing_secs"`
	Gaps    int          `json:"gaps"`
	*lossCounts
}

type reportedGap struct {
	From    string       `json:"from"`
	To      string       `json:"to"`
	Missing float64      `json:"missing_secs"`
	Reason  media.Reason `json:"reason"`
	Detail  string       `json:"detail,omitempty"`
	*lossCounts
}

// lossCounts are those of network_loss.
type lossCounts struct {
	Packets uint32 `json:"lost_packets"`
	Samples uint32 `json:"missing_samples"`
	Damaged uint32 `json:"damaged_samples"`
}

func newLoss(reason media.Reason, l media.Loss) *lossCounts {
	if reason != media.ReasonLoss {
		return nil
	}
	return &lossCounts{l.Packets, l.Missing, l.Damaged}
}

func (l *lossCounts) String() string {
	return fmt.Sprintf("%s lost, %s missing, %d damaged", count(int(l.Packets), "packet", "packets"), count(int(l.Samples), "sample", "samples"), l.Damaged)
}

// seconds are those of a duration, to the millisecond.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

func newCompleteness(a *store.Account) completeness {
	c := completeness{Expected: seconds(a.Expected), Recorded: seconds(a.Recorded()), Missing: seconds(a.Missing), Gaps: len(a.Gaps)}
	if a.Expected > 0 {
		percent := math.Floor(float64(a.Recorded())/float64(a.Expected)*100_000) / 1000
		c.Percent = &percent
	}
	return c
}

func (c completeness) percent() string {
	if c.Percent == nil {
		return "-"
	}
	return strconv.FormatFloat(*c.Percent, 'f', 3, 64) + " %"
}

func newReport(q store.LedgerQuery, accounts []store.Account) reportDocument {
	d := reportDocument{From: timestamp(q.Span.From), To: timestamp(q.Span.To), Recording: q.Recording, Streams: []reportedStream{}}
	room := maxReportedGaps
	for i := range accounts {
		a := &accounts[i]
		s := reportedStream{Camera: a.Stream.Camera.ID, Name: a.Stream.Camera.Name, Stream: a.Stream.Name, completeness: newCompleteness(a),
			Reasons: []reportedReason{}, List: []reportedGap{}}
		if a.Expected > 0 {
			s.From, s.To = timestamp(a.Account.Span.From), timestamp(a.Account.Span.To)
		}
		type sum struct {
			reportedReason
			missing time.Duration
			loss    media.Loss
		}
		var sums []*sum
		for i := range a.Gaps {
			g := &a.Gaps[i]
			if room--; room >= 0 {
				s.List = append(s.List, reportedGap{timestamp(g.Span.From), timestamp(g.Span.To), seconds(g.Missing()), g.Reason, g.Detail, newLoss(g.Reason, g.Loss)})
			} else {
				s.More++
			}
			at := slices.IndexFunc(sums, func(x *sum) bool { return x.Reason == g.Reason })
			if at < 0 {
				at = len(sums)
				sums = append(sums, &sum{reportedReason: reportedReason{Reason: g.Reason}})
			}
			sums[at].Gaps++
			sums[at].missing += g.Missing()
			sums[at].loss = sums[at].loss.Plus(g.Loss)
		}
		slices.SortStableFunc(sums, func(a, b *sum) int { return cmp.Compare(b.missing, a.missing) })
		for _, x := range sums {
			x.Missing, x.lossCounts = seconds(x.missing), newLoss(x.Reason, x.loss)
			s.Reasons = append(s.Reasons, x.reportedReason)
		}
		d.Streams = append(d.Streams, s)
	}
	return d
}

// reportArgs are what the recorder is asked for.
type reportArgs struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Camera string `json:"camera,omitempty"`
	Stream string `json:"stream,omitempty"`
}

func (a reportArgs) query(now time.Time, recording bool) store.LedgerQuery {
	return store.LedgerQuery{Query: store.Query{Camera: a.Camera, Stream: a.Stream, Span: media.Span{From: a.From, To: a.To}}, Now: now.UnixNano(), Recording: recording}
}

func (v reportCmd) Run(c *console) error {
	span, err := v.span(c)
	if err != nil {
		return err
	}
	conf, err := c.loadConfig()
	if err != nil {
		return err
	}
	args := reportArgs{span.From, span.To, v.Camera, v.Stream}
	var d reportDocument
	answer, err := ask(c.ctx, conf, askReport, args, nil)
	switch {
	case errors.Is(err, control.ErrNotRunning):
		archive, err := c.openForReading(conf)
		if err != nil {
			return err
		}
		defer archive.Close()
		if v.Camera != "" && !hasCamera(conf, archive, v.Camera) {
			return unknownCamera(conf, archive, v.Camera)
		}
		q := args.query(c.now(), false)
		accounts, err := archive.Ledger(c.ctx, q)
		if err != nil {
			return err
		}
		d = newReport(q, accounts)
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(answer, &d); err != nil {
			return fmt.Errorf("the recorder is of another version: %w", err)
		}
	}
	if v.JSON {
		return c.printJSON(d)
	}
	return d.print(c, span, v.Gaps)
}

// report is what the recorder answers.
func (r *recorder) report(ctx context.Context, q control.Request) (any, error) {
	var args reportArgs
	if err := json.Unmarshal(q.Args, &args); err != nil {
		return nil, &control.Error{Text: "report: " + err.Error(), Exit: exitUsage}
	}
	if args.Camera != "" && !hasCamera(r.conf, r.archive, args.Camera) {
		return nil, &control.Error{Text: unknownCamera(r.conf, r.archive, args.Camera).Error(), Exit: exitNotFound}
	}
	query := args.query(time.Now(), true)
	accounts, err := r.archive.Ledger(ctx, query)
	if err != nil {
		return nil, err
	}
	return newReport(query, accounts), nil
}

// span is what --day, or --from and --to, mean.
func (v reportCmd) span(c *console) (media.Span, error) {
	if v.From == "" && v.To == "" {
		day, err := parseDay(v.Day, c.now(), c.zone)
		if err != nil {
			return media.Span{}, usagef("--day: %w", err)
		}
		return day, nil
	}
	if v.Day != "" {
		return media.Span{}, usagef("--day is a whole day: use it, or --from and --to")
	}
	span, err := c.span(v.From, v.To)
	span.From = max(span.From, 0)
	if v.To == "" {
		span.To = c.now().UnixNano()
	}
	if err == nil && span.Empty() {
		err = usagef("--from %s has not come yet", v.From)
	}
	return span, err
}

func (d *reportDocument) print(c *console, span media.Span, gaps bool) error {
	local := func(t int64) string { return time.Unix(0, t).In(c.zone).Format("2006-01-02 15:04:05 -07:00") }
	fmt.Fprintf(c.out, "%s to %s (%s)\n", local(span.From), local(span.To), span.Duration().Round(time.Second))
	if len(d.Streams) == 0 {
		fmt.Fprintln(c.err, "no stream is known")
	}
	for i := range d.Streams {
		s := &d.Streams[i]
		if _, err := fmt.Fprintln(c.out, s); err != nil {
			return err
		}
		for _, g := range s.List {
			if !gaps {
				break
			}
			what := string(g.Reason)
			if g.lossCounts != nil {
				what += ": " + g.lossCounts.String()
			} else if g.Detail != "" {
				what += ": " + g.Detail
			}
			if _, err := fmt.Fprintf(c.out, "    %s to %s  %s  %s\n", g.From, g.To, shortSeconds(g.Missing), what); err != nil {
				return err
			}
		}
		if gaps && s.More > 0 {
			fmt.Fprintf(c.out, "    and %d more: take a shorter time, or one camera\n", s.More)
		}
	}
	return nil
}

// String is the stream in one line.
func (s *reportedStream) String() string {
	var b strings.Builder
	b.WriteString(s.Camera)
	if s.Stream != config.Main {
		b.WriteString(" " + s.Stream)
	}
	if s.Percent == nil {
		b.WriteString(": nothing was expected")
		return b.String()
	}
	fmt.Fprintf(&b, ": %s, %s", s.percent(), count(s.Gaps, "gap", "gaps"))
	if s.Gaps == 0 {
		return b.String()
	}
	b.WriteString(", " + shortSeconds(s.Missing))
	for i, r := range s.Reasons {
		sep := ", "
		if i == 0 {
			sep = "; "
		}
		fmt.Fprintf(&b, "%s%s %s", sep, r.Reason, shortSeconds(r.Missing))
		if r.lossCounts != nil {
			fmt.Fprintf(&b, " (%s)", r.lossCounts)
		}
	}
	return b.String()
}

// shortSeconds is a number of seconds for people: tenths below a minute.
func shortSeconds(s float64) string {
	switch {
	case s < 0.1:
		return strconv.FormatFloat(s, 'f', 3, 64) + " s"
	case s < 60:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	}
	return (time.Duration(s * float64(time.Second))).Round(time.Second).String()
}
