package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nvr/internal/config"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nvr": main})
}

// TestScripts runs testdata/script: commands as people type them, and what they get.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "Europe/Berlin")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// eventually COMMAND [ARGS...] tries until it succeeds.
			"eventually": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) == 0 {
					ts.Fatalf("usage: eventually COMMAND [ARGS...]")
				}
				deadline := time.Now().Add(20 * time.Second)
				for err := ts.Exec(args[0], args[1:]...); err != nil; err = ts.Exec(args[0], args[1:]...) {
					if time.Now().After(deadline) {
						ts.Fatalf("still %v", err)
					}
					time.Sleep(100 * time.Millisecond)
				}
			},
			"cameras": cameras,
			// exits CODE COMMAND [ARGS...]
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: exits CODE COMMAND [ARGS...]")
				}
				err := ts.Exec(args[1], args[2:]...)
				code := 0
				var exit interface{ ExitCode() int }
				if errors.As(err, &exit) {
					code = exit.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if fmt.Sprint(code) != args[0] {
					ts.Fatalf("exit code %d, want %s", code, args[0])
				}
			},
		},
	})
}

func TestParseTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 2, 19, 14, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		in, want string
		local    bool
	}{
		{"2026-02-19T14:00:00Z", "2026-02-19T14:00:00Z", false},
		{"2026-02-19t14:00:00.25z", "2026-02-19T14:00:00.25Z", false},
		{"2026-02-19T14:00:00+01:00", "2026-02-19T13:00:00Z", false},
		{"2026-02-19T14:00:00", "2026-02-19T13:00:00Z", true},
		{"2026-07-19T14:00:00.5", "2026-07-19T12:00:00.5Z", true},
		{"2026-02-19 14:00", "2026-02-19T13:00:00Z", true},
		{"1771509600", "2026-02-19T14:00:00Z", false},
		{"1771509600.25", "2026-02-19T14:00:00.25Z", false},
		{"0", "1970-01-01T00:00:00Z", false},
		{"-10m", "2026-02-19T13:50:00Z", false},
		{"-1h30m", "2026-02-19T12:30:00Z", false},
		{"-2d", "2026-02-17T14:00:00Z", false},
		{"-1d12h", "2026-02-18T02:00:00Z", false},
		{"-0s", "2026-02-19T14:00:00Z", false},
	} {
		got, local, err := parseTime(c.in, now, berlin)
		if err != nil || got.UTC().Format(time.RFC3339Nano) != c.want || local != c.local {
			t.Errorf("%s: %v %v %v, want %s %v", c.in, got.UTC(), local, err, c.want, c.local)
		}
	}
	for in, want := range map[string]string{
		"":                    "is no time",
		"noon":                "is no time",
		"2026-02-30T14:00:00": "is no time",
		"1771509600000":       "milliseconds",
		"-10":                 "no time before now",
		"-ten":                "no time before now",
		"-5m-3s":              "no time before now",
		"--5m":                "no time before now",
		"2026-10-25T02:30:00": "comes twice",
		"2026-03-29T02:30:00": "does not come",
		"10m":                 "is no time",
	} {
		if got, _, err := parseTime(in, now, berlin); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", in, got, err, want)
		}
	}
}

// In the night in which the clock is put back an hour comes twice. It is two hours of
// UTC: what is printed tells them apart, and what is read has to.
func TestNightOfTwoHours(t *testing.T) {
	for _, c := range []struct{ zone, local, first, second, before, after string }{
		{"Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T01:59:59", "2026-10-25T03:00:00"},
		{"America/New_York", "2026-11-01T01:00:00", "2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T00:59:59", "2026-11-01T02:00:00"},
		{"Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30", "2026-04-05T01:29:59", "2026-04-05T02:00:00"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		console := &console{err: &said, now: time.Now, zone: zone}
		if _, err := console.span(c.local, ""); err == nil || !strings.Contains(err.Error(), c.first) || !strings.Contains(err.Error(), c.second) {
			t.Errorf("%s in %s: %v, want both %s and %s", c.local, c.zone, err, c.first, c.second)
		}
		twice, err := console.span(c.first, c.second)
		if err != nil || twice.Duration() != time.Hour && twice.Duration() != 30*time.Minute {
			t.Errorf("%s: %v, %v between the two", c.zone, err, twice.Duration())
		}
		if a, b := timestamp(twice.From), timestamp(twice.To); a == b || !strings.HasSuffix(a, "Z") {
			t.Errorf("printed as %s and %s", a, b)
		}
		night, err := console.span(c.before, c.after)
		if err != nil || night.Duration() < 90*time.Minute-30*time.Minute {
			t.Errorf("%s: %v, the night lasts %v", c.zone, err, night.Duration())
		}
		if !strings.Contains(said.String(), "--from is local time: ") {
			t.Errorf("said %q", said.String())
		}
	}
}

func TestParseDay(t *testing.T) {
	for _, c := range []struct {
		zone, day, from, to string
		hours               float64
	}{
		{"Europe/Berlin", "2026-02-19", "2026-02-18T23:00:00Z", "2026-02-19T23:00:00Z", 24},
		{"Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23},
		{"Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25},
		{"Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z", 23}, // midnight does not come
		{"Asia/Beirut", "2026-10-24", "2026-10-23T21:00:00Z", "2026-10-24T22:00:00Z", 25}, // the hour before it comes twice
		{"Asia/Kathmandu", "yesterday", "2026-11-25T18:15:00Z", "2026-11-26T18:15:00Z", 24},
		{"Pacific/Kiritimati", "today", "2026-11-27T10:00:00Z", "2026-11-28T10:00:00Z", 24},
		{"America/Los_Angeles", "", "2026-11-27T08:00:00Z", "2026-11-28T08:00:00Z", 24},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC)
		got, err := parseDay(c.day, now, zone)
		from, to := time.Unix(0, got.From).UTC().Format(time.RFC3339), time.Unix(0, got.To).UTC().Format(time.RFC3339)
		if err != nil || from != c.from || to != c.to || got.Duration().Hours() != c.hours {
			t.Errorf("%s in %s: %s to %s, %v, %v; want %s to %s", c.day, c.zone, from, to, got.Duration(), err, c.from, c.to)
		}
	}
	for day, want := range map[string]string{"2026-02-30": "is no day", "monday": "is no day", "2026-11-28": "has not come", "1969-12-31": "1970"} {
		if got, err := parseDay(day, time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC), time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v, want %q", day, got, err, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-02-19T14:00:00Z", "-10m", "1771509600.25", "2026-02-19 14:00", "-99999999d"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { _, _, _ = parseTime(s, time.Unix(1771509600, 0), time.UTC) })
}

func TestMask(t *testing.T) {
	const user, password = "admin", "g€he im/#1\""
	var out bytes.Buffer
	m := &mask{}
	log := newLogger(&out, false, true, m)
	m.add(user, password)
	u := url.URL{Scheme: "rtsp", User: url.UserPassword(user, password), Host: "h", Path: "/1"}
	pair := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	log.Info("dial "+u.String(), "raw", password, "error", fmt.Errorf("auth %q failed", password), "header", "Basic "+pair,
		"any", []string{password}, "bytes", []byte(password), slog.Group("g", "inner", u.String()), "secret", config.NewSecret(password))
	log.With("url", &u).WithGroup("g").Warn(url.QueryEscape(password), "lower", strings.ToLower(url.QueryEscape(password)))
	log.Info("of another place: rtsp://someone:else@h/")
	for _, form := range []string{password, "else", "g€he", "g%E2", "g%e2", pair, "#1"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q is in the log:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "***@h/1") {
		t.Errorf("more than the secret is gone:\n%s", out.String())
	}
}

// TestStorageTable: the figures of the storage table, here and in the README.
func TestStorageTable(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"5.5 h", "22 h", "5.5 h", "1.5 h"} {
		row := storageTable[i]
		p := newPlan(row.cameras, 1e6, row.pools, row.poolMB)
		if got := p.depth(); got != want {
			t.Errorf("%d cameras, %d × %d MiB: %s, want %s", row.cameras, row.pools, row.poolMB, got, want)
		}
		line := fmt.Sprintf("| %d | 1 Mbit/s | %d × %d MiB | %d GiB | %s |", row.cameras, row.pools, row.poolMB, p.DiskBytes>>30, p.depth())
		if !strings.Contains(string(readme), line) {
			t.Errorf("the README's storage table has no line %s", line)
		}
	}
}

// TestReadmeConfiguration: the configuration that the README shows is valid.
func TestReadmeConfiguration(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```toml\n")
	shown, _, ok := strings.Cut(rest, "```")
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(shown), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, warnings, err := config.Load(path, os.LookupEnv); err != nil || len(warnings) > 0 || !ok {
		t.Errorf("%v %v", err, warnings)
	}
}
