package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nvr/internal/media"
)

// timeHelp is part of the help of every command that takes times.
const timeHelp = `Times (T) are written in one of these ways:

    2026-02-19T14:00:00Z         RFC 3339, with Z or an offset such as +01:00
    2026-02-19T14:00:00          local time of this machine; the zone is said on stderr
    1771509600, 1771509600.250   seconds since 1970
    -10m, -1h30m, -2d            before now`

// localLayouts are the ways to write a local time.
var localLayouts = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}

var (
	unixSeconds = regexp.MustCompile(`^(\d{1,11})(?:\.(\d{1,9}))?$`)
	unixMillis  = regexp.MustCompile(`^\d{12,}$`)
	days        = regexp.MustCompile(`^(\d+)d`)
)

// parseTime reads a time as people write it. local reports that the zone of
// this machine was assumed.
func parseTime(s string, now time.Time, zone *time.Location) (t time.Time, local bool, err error) {
	if t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s)); err == nil {
		return t, false, nil
	}
	for _, layout := range localLayouts {
		t, err := time.ParseInLocation(layout, s, zone)
		if err != nil {
			continue
		}
		if err := onlyOnce(t, s); err != nil {
			return time.Time{}, false, err
		}
		return t, true, nil
	}
	if m := unixSeconds.FindStringSubmatch(s); m != nil {
		seconds, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return time.Time{}, false, err
		}
		nanos, err := strconv.ParseInt((m[2] + "000000000")[:9], 10, 64)
		return time.Unix(seconds, nanos), false, err
	}
	if unixMillis.MatchString(s) {
		return time.Time{}, false, fmt.Errorf("%q has too many digits for seconds since 1970: are these milliseconds? Put a point before the last three", s)
	}
	if ago, ok := strings.CutPrefix(s, "-"); ok {
		d, err := parseDuration(ago)
		if err != nil {
			return time.Time{}, false, fmt.Errorf("%q is no time before now: write -10m, -1h30m or -2d", s)
		}
		return now.Add(-d), false, nil
	}
	return time.Time{}, false, fmt.Errorf("%q is no time: write 2026-02-19T14:00:00Z, 2026-02-19T14:00:00 (local), seconds since 1970, or -10m", s)
}

// onlyOnce refuses local times that the clock shows twice or never because it
// is put back or forward: the range would be an hour off without a word.
func onlyOnce(t time.Time, s string) error {
	const wall = "2006-01-02T15:04:05"
	for _, shift := range []time.Duration{-time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour} {
		other := t.Add(shift)
		if other.Format(wall) == t.Format(wall) {
			return fmt.Errorf("%s comes twice in %s, when the clock is put back: add the offset, e.g. %s or %s",
				s, t.Location(), t.Format(time.RFC3339), other.Format(time.RFC3339))
		}
	}
	const toTheMinute = len("2006-01-02T15:04")
	if shown := strings.Replace(s, " ", "T", 1); shown[:toTheMinute] != t.Format(wall)[:toTheMinute] {
		return fmt.Errorf("%s does not come in %s, when the clock is put forward: add the offset, e.g. %s", s, t.Location(), t.Format(time.RFC3339))
	}
	return nil
}

// parseDuration is time.ParseDuration with days.
func parseDuration(s string) (time.Duration, error) {
	var d time.Duration
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 32)
		if err != nil || n > 100_000 {
			return 0, fmt.Errorf("%q is too long", s)
		}
		d = time.Duration(n) * 24 * time.Hour
		if s = s[len(m[0]):]; s == "" {
			return d, nil
		}
	}
	rest, err := time.ParseDuration(s)
	if err == nil && rest < 0 {
		err = fmt.Errorf("%q is negative", s)
	}
	return d + rest, err
}

// span turns --from and --to into a span; empty texts mean from the beginning
// and to the end.
func (c *console) span(from, to string) (media.Span, error) { return c.spanBy(from, to, nil) }

// spanAhead is span, but both ends may be after now, as +10m.
func (c *console) spanAhead(from, to string) (media.Span, error) {
	return c.spanBy(from, to, c.timeAhead)
}

// spanBy is span with another way to read times; nil: parseTime's.
func (c *console) spanBy(from, to string, read func(flag, text string, now time.Time) (time.Time, error)) (media.Span, error) {
	if read == nil {
		read = c.timeOf
	}
	now := c.now()
	span := media.Always
	for _, bound := range []struct {
		flag, text string
		at         *int64
	}{{"--from", from, &span.From}, {"--to", to, &span.To}} {
		if bound.text == "" {
			continue
		}
		t, err := read(bound.flag, bound.text, now)
		if err != nil {
			return span, err
		}
		if year := t.UTC().Year(); year < 1970 || year > 2200 {
			return span, usagef("%s: %s is not within the years 1970 to 2200", bound.flag, bound.text)
		}
		*bound.at = t.UnixNano()
	}
	if span.Empty() {
		return span, usagef("--from %s is not before --to %s: nothing lies between them", from, to)
	}
	return span, nil
}

// timeOf reads the time of a flag, and says what zone was assumed.
func (c *console) timeOf(flag, text string, now time.Time) (time.Time, error) {
	t, local, err := parseTime(text, now, c.zone)
	if err != nil {
		return t, usagef("%s: %w", flag, err)
	}
	if local {
		fmt.Fprintf(c.err, "%s is local time: %s (%s)\n", flag, t.Format(time.RFC3339), t.Format("MST"))
	}
	return t, nil
}

// timeAhead is timeOf with times after now.
func (c *console) timeAhead(flag, text string, now time.Time) (time.Time, error) {
	ahead, ok := strings.CutPrefix(text, "+")
	if !ok {
		return c.timeOf(flag, text, now)
	}
	d, err := parseDuration(ahead)
	if err != nil {
		return now, usagef("%s: %q is no time after now: write +10m, +1h30m or +30d", flag, text)
	}
	return now.Add(d), nil
}

// parseDay is a day of the zone, from midnight to midnight: 23 or 25 hours where
// the clocks change.
func parseDay(s string, now time.Time, zone *time.Location) (media.Span, error) {
	day := now.In(zone)
	switch s {
	case "", "today":
	case "yesterday":
		day = day.AddDate(0, 0, -1)
	default:
		d, err := time.ParseInLocation(time.DateOnly, s, time.UTC)
		if err != nil {
			return media.Span{}, fmt.Errorf("%q is no day: write 2026-02-19, today or yesterday", s)
		}
		day = d
	}
	year, month, number := day.Date()
	if year < 1970 || year > 2200 {
		return media.Span{}, fmt.Errorf("%s is not within the years 1970 to 2200", s)
	}
	span := media.Span{From: midnight(year, month, number, zone).UnixNano(), To: midnight(year, month, number+1, zone).UnixNano()}
	if span.From > now.UnixNano() {
		return span, fmt.Errorf("%s has not come yet", s)
	}
	return span, nil
}

// midnight is when a day begins, at 1 o'clock where the clocks are put forward at
// midnight.
func midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	for t.Hour() > 12 { // Date chose the other side of the change
		t = t.Add(30 * time.Minute)
	}
	return t
}

// timestamp is how times are printed: RFC 3339, UTC, milliseconds.
func timestamp(wallUnixNano int64) string {
	return time.Unix(0, wallUnixNano).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
