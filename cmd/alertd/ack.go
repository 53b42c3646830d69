package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/user"
	"strings"
	"time"

	"alertd"
)

type ackCmd struct {
	ackFlags
	For   string `placeholder:"DURATION" help:"Until so much later: 2h. Default: the route's ack_timeout."`
	Until string `placeholder:"TIME" help:"Until then: 2026-01-15T10:30:00Z."`
}

type unackCmd struct{ ackFlags }

// ackFlags say which alerts, and who.
type ackFlags struct {
	daemonFlags
	outputFlags
	What    string `arg:"" help:"An alert's name, its fingerprint, or the key of a group." placeholder:"ALERT"`
	Service string `help:"Only this service." placeholder:"NAME"`
	By      string `help:"Who. Default: the name that you are logged in with." placeholder:"NAME"`
	Why     string `help:"What you are about to do, for others to read." placeholder:"TEXT"`
}

// ackBody is what the daemon reads.
type ackBody struct {
	alertd.Selection
	By    string           `json:"by"`
	From  alertd.AckSource `json:"from"`
	Why   string           `json:"why,omitempty"`
	Until time.Time        `json:"until,omitzero"`
	For   string           `json:"for,omitempty"`
}

// Run takes alerts.
func (c *ackCmd) Run(ctx context.Context, std streams) error {
	body := c.body()
	body.For = c.For
	if c.Until != "" {
		var err error
		if body.Until, err = showAt(c.Until); err != nil {
			return &usageError{msg: fmt.Sprintf("--until %q is not a time", c.Until), hint: "--until " + time.Now().UTC().Add(time.Hour).Format(time.RFC3339)}
		}
	}
	return c.send(ctx, std.out, "/api/v1/ack", body, func(n string) string {
		return fmt.Sprintf("%s acknowledged by %s; alertd unack %s gives back", n, printable(body.By), printable(c.What))
	})
}

// Run gives alerts back.
func (c *unackCmd) Run(ctx context.Context, std streams) error {
	return c.send(ctx, std.out, "/api/v1/unack", c.body(), func(n string) string { return n + " not acknowledged any more" })
}

func (f *ackFlags) body() ackBody {
	b := ackBody{Selection: selection(f.What, f.Service), By: f.By, From: alertd.FromCLI, Why: f.Why}
	if b.By == "" {
		b.By = whoami()
	}
	return b
}

// send asks the daemon, and prints which alerts that was about, or what tell says of so many: "2 alerts".
func (f *ackFlags) send(ctx context.Context, out io.Writer, path string, body ackBody, tell func(n string) string) error {
	var answer struct {
		Alerts []alertd.Fingerprint `json:"alerts"`
	}
	if err := f.ask(ctx, http.MethodPost, path, nil, body, &answer); err != nil {
		return err
	}
	if f.Output == "json" {
		return writeJSON(out, answer)
	}
	_, err := fmt.Fprintln(out, tell(counted(len(answer.Alerts), "alert", "alerts")))
	return err
}

// selection reads what people name alerts by.
func selection(what, service string) alertd.Selection {
	switch _, err := alertd.ParseFingerprint(what); {
	case err == nil:
		return alertd.Selection{Fingerprint: what}
	case isGroupKey(what):
		return alertd.Selection{Group: alertd.GroupKey(what)}
	default:
		return alertd.Selection{Alert: what, Service: service}
	}
}

// isGroupKey tells a group's key from an alert's name.
func isGroupKey(what string) bool {
	return strings.HasPrefix(what, "{") || strings.ContainsAny(what, ":/")
}

// whoami is the name that the caller is logged in with; "" where the system does not know.
func whoami() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
