package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
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
	if err := c.recall(ctx, std, "/api/v1/why", query, &answer); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, nonNil(answer.Alerts))
	}
	if len(answer.Alerts) == 0 {
		fmt.Fprintln(std.err, "no such alert changed in that time"+c.meant(ctx)+"; alertd history shows which did, --since 7d looks further back")
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

// meant names the active alert whose name is most like the one that was asked for, ", did you mean DiskFull?"; "" where none is.
func (c *whyCmd) meant(ctx context.Context) string {
	var answer struct {
		Alerts []struct {
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if c.What == "" || c.get(ctx, "/api/v1/alerts", nil, &answer) != nil {
		return ""
	}
	names := make([]string, 0, len(answer.Alerts))
	for _, a := range answer.Alerts {
		names = append(names, a.Labels[alertd.LabelAlert])
	}
	best := alertd.Nearest(c.What, names)
	if best == "" || best == c.What {
		return ""
	}
	return ", did you mean " + printable(best) + "?"
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
	case isGroupKey(c.What):
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
	fmt.Fprintf(w, "  %s\n", printable(history.Conclusion(c.Steps, local.show)))
	config := ""
	for _, s := range c.Steps {
		if s.Config != config && s.Config != "" {
			fmt.Fprintf(w, "  %s  configuration %s decides\n", local.show(s.Time), s.Config)
			config = s.Config
		}
		fmt.Fprintf(w, "  %s  %s\n", local.show(s.Time), printable(s.Tell(local.show)))
	}
}
