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
	silenceFlags
	Comment string `short:"c" required:"" help:"Why: whoever finds the silence wants to know." placeholder:"TEXT"`
	Author  string `short:"a" help:"Who makes it. Default: who is logged in." placeholder:"NAME"`
	Force   bool   `help:"Make it even if it hides more than one problem is likely to be."`
}

// Run makes the silence and prints its ID; what it hides goes to standard error.
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
	fmt.Fprintln(std.out, id)
	var made alertd.SilenceView
	if err := c.get(ctx, "/api/v1/silences/"+url.PathEscape(id), nil, &made); err != nil {
		return err
	}
	local := localClock()
	fmt.Fprintf(std.err, "%s; %s\n", life(&made, local), hidesNow(made.State, made.Hides))
	return nil
}

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

type silencePreviewCmd struct {
	daemonFlags
	outputFlags
	silenceFlags
}

// Run shows what the silence would hide. Nothing is changed.
func (c *silencePreviewCmd) Run(ctx context.Context, std streams) error {
	s, err := c.silence(time.Now())
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.ask(ctx, http.MethodPost, "/api/v1/silences/preview", nil, s, &raw); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, raw)
	}
	var p alertd.SilencePreview
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	return tellPreview(std.out, &p, localClock())
}

func tellPreview(w io.Writer, p *alertd.SilencePreview, local clock) error {
	if p.Broad != "" {
		fmt.Fprintf(w, "Too broad? %s.\n\n", capital(printable(p.Broad)))
	}
	switch {
	case len(p.Hides) > 0:
		fmt.Fprintf(w, "Of %s that fire it would hide %d:\n", count(p.Firing, "alert"), len(p.Hides))
		if err := hiddenTable(p.Hides, local).write(w); err != nil {
			return err
		}
	case p.Firing == 0:
		fmt.Fprintln(w, "Nothing fires now.")
	default:
		fmt.Fprintf(w, "Of %s that fire it would hide none.\n", count(p.Firing, "alert"))
	}
	if p.Paged+p.Thin == 0 {
		fmt.Fprintf(w, "\nSince %s it would have hidden nothing that was told.\n", local.show(p.Since))
		return nil
	}
	fmt.Fprintf(w, "\nSince %s it would have hidden %s: %s not sent", local.show(p.Since), count(p.Alerts, "alert"), count(p.Paged, "notification"))
	if p.Thin > 0 {
		fmt.Fprintf(w, ", %s shorter", count(p.Thin, "other"))
	}
	fmt.Fprintln(w, ".")
	t := table{head: []string{local.head("TIME"), "RECEIVER", "HIDDEN", "ALERTS"}}
	for _, page := range p.Pages {
		hidden := "all"
		if !page.Whole {
			hidden = fmt.Sprintf("some of %d", page.Of)
		}
		var names []string
		for _, h := range page.Hides {
			names = append(names, strings.TrimSpace(h.Alert+" "+h.Service))
		}
		t.add(local.show(page.Time), page.Receiver, hidden, strings.Join(names, ", "))
	}
	return t.write(w)
}

func hiddenTable(list []alertd.Hidden, local clock) *table {
	t := &table{head: []string{local.head("SINCE"), "SEVERITY", "ALERT", "SERVICE", "FINGERPRINT"}}
	for _, h := range list {
		t.add(local.show(h.Since), string(h.Severity), h.Alert, h.Service, h.Fingerprint.String())
	}
	return t
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

type silenceListCmd struct {
	daemonFlags
	outputFlags
	Expired bool `help:"Also those that are over, for five days."`
}

// Run lists the silences: those in force first, the next to end at the top.
func (c *silenceListCmd) Run(ctx context.Context, std streams) error {
	query := url.Values{}
	if c.Expired {
		query.Set("expired", "true")
	}
	var data struct {
		Silences []json.RawMessage `json:"silences"`
	}
	if err := c.get(ctx, "/api/v1/silences", query, &data); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, nonNil(data.Silences))
	}
	items, err := decodeItems[alertd.SilenceView](data.Silences)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		fmt.Fprintln(std.err, "there is no silence")
		return nil
	}
	local := localClock()
	t := table{head: []string{"ID", local.head("ENDS"), "STATE", "HIDES", "HID", "BY", "MATCHERS", "COMMENT"}}
	for i := range items {
		s := &items[i]
		hides := fmt.Sprint(len(s.Hides))
		if s.Idle {
			hides = "nothing"
		}
		ends := s.EndsAt.In(local.zone).Format("2006-01-02 15:04")
		switch {
		case s.Recurs != nil:
			ends = "recurs: " + s.Recurs.Cron
		case s.UntilResolved && s.State == alertd.SilenceActive:
			ends = "when resolved"
		}
		t.add(shortID(s.ID), ends, string(s.State), hides, fmt.Sprint(len(s.Hid)+s.More), s.CreatedBy, matchersOf(&s.Silence), s.Comment)
	}
	if err := t.write(std.out); err != nil {
		return err
	}
	for i := range items {
		if s := &items[i]; s.Idle {
			fmt.Fprintf(std.err, "%s matches nothing: %s; end it with \"alertd silence expire %[1]s\"\n", shortID(s.ID), quietSince(s, local))
		}
	}
	return nil
}

// shortID is enough to name a silence by.
func shortID(id string) string { return id[:min(len(id), 8)] }

// find asks for the silence whose ID begins so.
func (f daemonFlags) find(ctx context.Context, id string) (raw json.RawMessage, s alertd.SilenceView, err error) {
	var data struct {
		Silences []json.RawMessage `json:"silences"`
	}
	if err := f.get(ctx, "/api/v1/silences", url.Values{"expired": {"true"}}, &data); err != nil {
		return nil, s, err
	}
	items, err := decodeItems[alertd.SilenceView](data.Silences)
	if err != nil {
		return nil, s, err
	}
	found := 0
	for i := range items {
		if items[i].ID == id {
			return data.Silences[i], items[i], nil
		}
		if id != "" && strings.HasPrefix(items[i].ID, id) {
			found++
			raw, s = data.Silences[i], items[i]
		}
	}
	switch found {
	case 1:
		return raw, s, nil
	case 0:
		return nil, s, &failure{err: fmt.Errorf("there is no silence %q", id), hint: "alertd silence list --expired"}
	default:
		return nil, s, &usageError{msg: fmt.Sprintf("%d silences begin with %q", found, id), hint: "give more of the ID; alertd silence list -o json has it whole"}
	}
}

// quietSince says since when a silence that is in force has hidden nothing.
func quietSince(s *alertd.SilenceView, local clock) string {
	if s.Last.IsZero() {
		return "in force since " + local.show(s.StartsAt) + ", it has hidden nothing"
	}
	return "it has hidden nothing since " + local.show(s.Last)
}

func matchersOf(s *alertd.Silence) string {
	sets := make([]string, 0, 1+len(s.Or))
	for _, set := range append([][]alertd.Matcher{s.Matchers}, s.Or...) {
		text := make([]string, len(set))
		for i, m := range set {
			text[i] = m.String()
		}
		sets = append(sets, strings.Join(text, ","))
	}
	return strings.Join(sets, " or ")
}

// life says when a silence is in force.
func life(s *alertd.SilenceView, local clock) string {
	var text string
	switch {
	case s.State == alertd.SilenceExpired:
		return "over since " + local.show(s.EndsAt)
	case s.State == alertd.SilencePending:
		text = "begins " + local.show(s.Until)
	default:
		text = "in force until " + local.show(s.Until)
	}
	switch {
	case s.Recurs != nil:
		text += "; recurs: " + s.Recurs.String() + ", the last time before " + local.show(s.EndsAt)
	case s.UntilResolved:
		text += fmt.Sprintf(" at the latest, over before that when what fired at its beginning is: %s", count(len(s.Awaits), "alert"))
	case s.State == alertd.SilencePending:
		text += ", ends " + local.show(s.EndsAt)
	}
	return text
}

func hidesNow(state alertd.SilenceState, hides []alertd.Hidden) string {
	switch {
	case state == alertd.SilencePending:
		return "it hides nothing yet"
	case len(hides) == 0:
		return "it matches nothing that fires now"
	case len(hides) == 1:
		return "it hides " + printable(strings.TrimSpace(hides[0].Alert+" "+hides[0].Service))
	default:
		return fmt.Sprintf("it hides %d alerts", len(hides))
	}
}

type silenceShowCmd struct {
	daemonFlags
	outputFlags
	ID string `arg:"" help:"Which one: the beginning of its ID." placeholder:"ID"`
}

// Run shows one silence.
func (c *silenceShowCmd) Run(ctx context.Context, std streams) error {
	raw, s, err := c.find(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, raw)
	}
	local := localClock()
	fmt.Fprintf(std.out, "%s  %s\n", s.ID, printable(matchersOf(&s.Silence)))
	fmt.Fprintf(std.out, "  %s\n", capital(life(&s, local)))
	fmt.Fprintf(std.out, "  %s, by %s, changed %s\n", printable(s.Comment), printable(s.CreatedBy), local.show(s.UpdatedAt))
	for i := range s.Changes {
		fmt.Fprintf(std.out, "  %s  %s\n", local.show(s.Changes[i].At), printable(s.Changes[i].Tell(local.show)))
	}
	if s.Broad != "" {
		fmt.Fprintf(std.out, "  Broad: %s.\n", printable(s.Broad))
	}
	if s.Idle {
		fmt.Fprintf(std.out, "  Matches nothing: %s.\n", quietSince(&s, local))
	}
	for _, list := range []struct {
		title string
		items []alertd.Hidden
	}{{"Hides now", s.Hides}, {"Kept from being told", s.Hid}} {
		if len(list.items) == 0 {
			continue
		}
		fmt.Fprintf(std.out, "\n%s:\n", list.title)
		if err := hiddenTable(list.items, local).write(std.out); err != nil {
			return err
		}
	}
	if s.More > 0 {
		fmt.Fprintf(std.out, "and %d more\n", s.More)
	}
	return nil
}

type silenceExtendCmd struct {
	daemonFlags
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
			err = c.ask(ctx, http.MethodDelete, "/api/v1/silences/"+url.PathEscape(s.ID), query, nil, new(struct{}))
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Fprintf(std.err, "%s is over\n", shortID(s.ID))
	}
	return errors.Join(failed...)
}
