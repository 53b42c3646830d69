package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"alertd"
	"alertd/router"
)

type silenceCmd struct {
	Add     silenceAddCmd     `cmd:"" help:"Make a silence."`
	Preview silencePreviewCmd `cmd:"" help:"Show what a silence would hide now, and what it would have hidden in the last 7 days."`
	List    silenceListCmd    `cmd:"" help:"Show the silences, and which of them hide nothing."`
	Show    silenceShowCmd    `cmd:"" help:"Show all there is to know of a silence: what it hides, and what it hid."`
	Extend  silenceExtendCmd  `cmd:"" help:"Give a silence more time, counted from now."`
	Expire  silenceExpireCmd  `cmd:"" help:"End silences now. What they hid and still fires is told."`
}

// silenceFlags say what a silence hides, and when.
type silenceFlags struct {
	Matchers []string `arg:"" help:"What to hide: NAME=VALUE, also != =~ !~. All have to match. A bare word is an alertname." placeholder:"MATCHER"`
	Or       []string `sep:"none" placeholder:"MATCHERS" help:"A further set, matchers with commas between: to match one set is enough. May be repeated."`

	Duration      string `short:"d" placeholder:"DURATION" help:"For how long: 2h by default, 24h at most with --until-resolved. With --cron, how long each window is: 1h by default."`
	Start         string `placeholder:"TIME" help:"From then on: 2026-12-20T22:00:00Z. Default: now."`
	End           string `placeholder:"TIME" help:"Until then, in place of --duration. With --cron, when the last window may begin. Default there: in a year."`
	UntilResolved bool   `help:"End it when all alerts are over that it matches now."`
	Cron          string `placeholder:"EXPR" help:"Again and again: minute, hour, day, month, weekday, as in \"0 2 * * sat\"."`
	Zone          string `placeholder:"ZONE" help:"The zone of --cron: Europe/Berlin. Default: UTC."`
}

// silence is what the flags ask for.
func (f *silenceFlags) silence(now time.Time) (s alertd.Silence, err error) {
	text := make([]string, len(f.Matchers))
	for i, m := range f.Matchers {
		if !strings.ContainsAny(m, "=~!") { // as amtool
			m = "alertname=" + m
		}
		text[i] = m
	}
	if s.Matchers, err = readMatchers(text...); err != nil {
		return s, err
	}
	for _, set := range f.Or {
		or, err := readMatchers(set)
		if err != nil {
			return s, err
		}
		s.Or = append(s.Or, or)
	}
	s.StartsAt, s.UntilResolved = now, f.UntilResolved
	if f.Start != "" {
		if s.StartsAt, err = time.Parse(time.RFC3339, f.Start); err != nil {
			return s, notATime("--start", f.Start, now)
		}
	}
	usual := "2h"
	switch {
	case f.Cron != "":
		usual = "1h"
	case f.UntilResolved:
		usual = "24h"
	}
	d, err := model.ParseDuration(cmp.Or(f.Duration, usual))
	if err != nil || d <= 0 {
		return s, &usageError{msg: fmt.Sprintf("--duration %q is not a duration", f.Duration), hint: "--duration 90m"}
	}
	s.EndsAt = s.StartsAt.Add(time.Duration(d))
	if f.Cron != "" {
		s.Recurs = &alertd.Recurrence{Cron: f.Cron, Duration: d, Zone: cmp.Or(f.Zone, "UTC")}
		s.EndsAt = s.StartsAt.AddDate(1, 0, 0)
	} else if f.Zone != "" {
		return s, &usageError{msg: "--zone is the zone of --cron, which is not there", hint: "--cron \"0 2 * * *\" --duration 1h --zone " + f.Zone}
	}
	if f.End != "" {
		if f.Duration != "" && f.Cron == "" {
			return s, &usageError{msg: "--end and --duration say the same thing twice", hint: "leave one of them out"}
		}
		if s.EndsAt, err = time.Parse(time.RFC3339, f.End); err != nil {
			return s, notATime("--end", f.End, now)
		}
	}
	return s, nil
}

func notATime(flag, text string, now time.Time) error {
	return &usageError{msg: fmt.Sprintf("%s %q is not a time", flag, text), hint: flag + " " + now.Add(time.Hour).UTC().Format(time.RFC3339)}
}

func readMatchers(texts ...string) (out []alertd.Matcher, err error) {
	for _, text := range texts {
		ms, err := router.ParseMatchers(text)
		if err != nil {
			return nil, &usageError{msg: err.Error(), hint: `alertd silence preview service=api 'instance=~"web-.*"'`}
		}
		out = append(out, ms...)
	}
	return out, nil
}

type silenceAddCmd struct {
	daemonFlags
	outputFlags
	silenceFlags
	Comment string `short:"c" required:"" help:"Why: whoever finds the silence wants to know." placeholder:"TEXT"`
	Author  string `short:"a" help:"Who makes it. Default: who is logged in." placeholder:"NAME"`
	Force   bool   `help:"Make it even if it hides more than one problem is likely to be."`
}

// Run makes the silence and prints its ID; what it hides goes to standard error, for people.
func (c *silenceAddCmd) Run(ctx context.Context, std streams) error {
	s, err := c.silence(time.Now())
	if err != nil {
		return err
	}
	s.Comment, s.CreatedBy = c.Comment, cmp.Or(c.Author, os.Getenv("USER"), os.Getenv("LOGNAME"), whoami())
	if s.CreatedBy == "" {
		return &usageError{msg: "the silence has no author, and nobody knows who is logged in", hint: "--author NAME"}
	}
	id, err := c.set(ctx, s, changedBy{By: s.CreatedBy}, c.Force)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return c.printJSON(ctx, std.out, id)
	}
	fmt.Fprintln(std.out, id)
	var made alertd.SilenceView
	if err := c.get(ctx, silencePath(id), nil, &made); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "%s; %s\n", life(&made, localClock()), hidesNow(made.State, made.Hides))
	return nil
}

// printJSON prints a silence as the daemon tells it.
func (f daemonFlags) printJSON(ctx context.Context, out io.Writer, id string) error {
	var raw json.RawMessage
	if err := f.get(ctx, silencePath(id), nil, &raw); err != nil {
		return err
	}
	return writeJSON(out, raw)
}

func silencePath(id string) string { return "/api/v1/silences/" + url.PathEscape(id) }

// changedBy says who ends a silence or gives it more time, and why.
type changedBy struct {
	By  string `help:"Who. Default: the name that you are logged in with." placeholder:"NAME"`
	Why string `help:"Why, for whoever asks later." placeholder:"TEXT"`
}

func (c *changedBy) fill() { c.By = cmp.Or(c.By, whoami()) }

func (f daemonFlags) set(ctx context.Context, s alertd.Silence, by changedBy, force bool) (id string, err error) {
	var answer struct {
		ID string `json:"silenceID"`
	}
	err = f.ask(ctx, http.MethodPost, "/api/v1/silences", nil, struct {
		alertd.Silence
		Force bool             `json:"force,omitempty"`
		By    string           `json:"by,omitempty"`
		From  alertd.AckSource `json:"from"`
		Why   string           `json:"why,omitempty"`
	}{s, force, by.By, alertd.FromCLI, by.Why}, &answer)
	if usage, ok := err.(*usageError); ok && strings.Contains(usage.msg, "too broad") {
		usage.hint = "see what it hides with alertd silence preview, or say --force"
	}
	return answer.ID, err
}

type silenceExtendCmd struct {
	daemonFlags
	outputFlags
	changedBy
	ID       string `arg:"" help:"Which one: the beginning of its ID." placeholder:"ID"`
	Duration string `arg:"" help:"How long it goes on from now: 2h." placeholder:"DURATION"`
}

// Run moves the end.
func (c *silenceExtendCmd) Run(ctx context.Context, std streams) error {
	d, err := model.ParseDuration(c.Duration)
	if err != nil || d <= 0 {
		return &usageError{msg: fmt.Sprintf("%q is not a duration", c.Duration), hint: "alertd silence extend " + c.ID + " 2h"}
	}
	_, s, err := c.find(ctx, c.ID)
	if err != nil {
		return err
	}
	s.EndsAt = time.Now().Add(time.Duration(d))
	if s.State == alertd.SilenceExpired {
		s.StartsAt = time.Now()
	}
	c.fill()
	id, err := c.set(ctx, s.Silence, c.changedBy, true)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return c.printJSON(ctx, std.out, id)
	}
	fmt.Fprintln(std.out, id)
	fmt.Fprintf(std.err, "ends %s\n", localClock().show(s.EndsAt))
	return nil
}

type silenceExpireCmd struct {
	daemonFlags
	changedBy
	ID []string `arg:"" help:"Which ones: the beginnings of their IDs." placeholder:"ID"`
}

// Run ends them, and goes on with the next where one cannot be ended.
func (c *silenceExpireCmd) Run(ctx context.Context, std streams) error {
	c.fill()
	query := url.Values{"by": {c.By}, "from": {string(alertd.FromCLI)}}
	if c.Why != "" {
		query.Set("why", c.Why)
	}
	var failed []error
	for _, id := range c.ID {
		_, s, err := c.find(ctx, id)
		if err == nil {
			err = c.ask(ctx, http.MethodDelete, silencePath(s.ID), query, nil, new(struct{}))
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Fprintf(std.err, "%s is over\n", shortID(s.ID))
	}
	return errors.Join(failed...)
}
