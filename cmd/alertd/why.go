package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"alertd"
	"alertd/history"
)

type whyCmd struct {
	daemonFlags
	outputFlags
	What    string `arg:"" optional:"" help:"An alert's name, its fingerprint, or the key of a group." placeholder:"ALERT"`
	Service string `help:"Only this service." placeholder:"NAME"`
	Since   string `default:"24h" help:"From when on: an age (90m, 24h, 7d) or a time (2026-01-15T10:30:00Z). Default: 24h." placeholder:"WHEN"`
	At      string `help:"What was decided around this time (RFC 3339), a quarter of an hour before and after." placeholder:"TIME"`
}

// Validate is called by kong after parsing.
func (c *whyCmd) Validate() error {
	if c.What == "" && c.At == "" {
		return fmt.Errorf("why what? name an alert, a fingerprint or a group, or a time with --at")
	}
	return nil
}

// Run tells, alert by alert, what was decided and why.
func (c *whyCmd) Run(ctx context.Context, std streams) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	var answer struct {
		Alerts []history.Chain `json:"alerts"`
	}
	if err := c.get(ctx, "/api/v1/why", query, &answer); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, nonNil(answer.Alerts))
	}
	if len(answer.Alerts) == 0 {
		fmt.Fprintln(std.err, "no such alert changed in that time; alertd history shows which did, --since 7d looks further back")
		return nil
	}
	for i := range answer.Alerts {
		if i > 0 {
			fmt.Fprintln(std.out)
		}
		tellWhy(std.out, &answer.Alerts[i], localClock())
	}
	return nil
}

func (c *whyCmd) query() (url.Values, error) {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("service", c.Service)
	switch _, err := alertd.ParseFingerprint(c.What); {
	case err == nil:
		set("fingerprint", c.What)
	case strings.HasPrefix(c.What, "{") || strings.ContainsAny(c.What, ":/"):
		set("group", c.What)
	default:
		set("alert", c.What)
	}
	if c.At == "" {
		set("since", c.Since)
		return q, nil
	}
	at, err := time.Parse(time.RFC3339, c.At)
	if err != nil {
		return nil, &usageError{msg: fmt.Sprintf("--at %q is not a time", c.At), hint: "--at " + time.Now().UTC().Format(time.RFC3339)}
	}
	const around = 15 * time.Minute
	set("since", at.Add(-around).Format(time.RFC3339))
	set("until", at.Add(around).Format(time.RFC3339))
	return q, nil
}

// tellWhy prints one chain: what it comes to, then every step.
func tellWhy(w io.Writer, c *history.Chain, local clock) {
	fmt.Fprintf(w, "%s %s (%s, %s)\n", printable(c.Alert), printable(c.Labels.String()), c.Severity, c.Fingerprint)
	fmt.Fprintf(w, "  %s\n", conclusion(c.Steps, local))
	config := ""
	for _, s := range c.Steps {
		if s.Config != config && s.Config != "" {
			fmt.Fprintf(w, "  %s  configuration %s decides\n", local.show(s.Time), s.Config)
			config = s.Config
		}
		fmt.Fprintf(w, "  %s  %s\n", local.show(s.Time), printable(sentence(&s, local)))
	}
}

// conclusion is the answer in one sentence: of the steps, the one that settles it.
func conclusion(steps []history.Step, local clock) string {
	for i := len(steps) - 1; i >= 0; i-- {
		switch s := &steps[i]; {
		case s.Kind == history.KindAttempt && s.To == string(alertd.Delivered):
			return "Told: " + s.Receiver + " took it at " + local.show(s.Time) + "."
		case s.Kind == history.KindAttempt:
			return "Not delivered yet: " + s.Receiver + " answered " + s.To + "."
		case s.Kind == history.KindWithheld:
			return "Not told: " + withheld(s, local) + "."
		case s.Kind == history.KindTransition && s.To == string(alertd.Pending):
			return "Not told: it is pending, its rule waits whether it lasts."
		}
	}
	return "Nothing was to be told."
}

// sentence is a step in words.
func sentence(s *history.Step, local clock) string {
	switch s.Kind {
	case history.KindTransition:
		text := fmt.Sprintf("%s → %s: %s", s.From, s.To, s.Reason)
		if s.Value != nil {
			text += ", value " + s.Value.String()
		}
		if !s.At.IsZero() && s.At.Sub(s.Time).Abs() > time.Second {
			text += ", event of " + local.show(s.At)
		}
		if s.TraceID != "" {
			text += ", trace " + s.TraceID
		}
		return text + ", rule " + s.Detail
	case history.KindJoined:
		text := fmt.Sprintf("route %s to %s, %s", s.Detail, s.Receiver, s.Reason)
		if s.By != "" {
			text += " by calendar " + s.By
		}
		return text + ", group " + string(s.Group)
	case history.KindWithheld:
		return "not told: " + withheld(s, local)
	case history.KindTold:
		return "told as firing"
	case history.KindClosed:
		return "told as resolved"
	case history.KindEnded:
		return "left its group without a word"
	case history.KindPlanned:
		return fmt.Sprintf("notification for %s: %s", s.Receiver, s.Reason)
	case history.KindAttempt:
		var text strings.Builder
		text.WriteString(fmt.Sprintf("%s: %s %s", s.Receiver, s.By, s.To))
		for _, more := range []string{s.Reason, s.Detail} {
			if more != "" {
				text.WriteString(", " + more)
			}
		}
		if !s.Until.IsZero() {
			text.WriteString(", again at " + local.show(s.Until))
		}
		return text.String()
	default:
		return string(s.Kind)
	}
}

func withheld(s *history.Step, local clock) string {
	text := s.Reason
	switch {
	case s.ByAlert != "":
		text += " by " + s.ByAlert + " (" + s.By + ")"
	case s.By != "":
		text += " by " + s.By
	}
	if !s.Until.IsZero() {
		text += " until " + local.show(s.Until)
	}
	if s.Receiver != "" {
		text += ", for " + s.Receiver
	}
	return text
}
