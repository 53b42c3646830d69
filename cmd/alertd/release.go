package main

import (
	"context"
	"fmt"
	"net/http"

	"alertd"
)

// queueCmd is what waits, and what may leave now.
type queueCmd struct {
	Show    queueShowCmd    `cmd:"" default:"withargs" help:"Show the alerts that wait, why, until when, and the digests as they would be now."`
	Release queueReleaseCmd `cmd:"" help:"Let go what business hours or a time interval hold: it leaves now."`
}

type queueReleaseCmd struct {
	daemonFlags
	outputFlags
	What    string `arg:"" optional:"" help:"An alert's name, its fingerprint, or the key of a group." placeholder:"ALERT"`
	Service string `help:"Only this service." placeholder:"NAME"`
	All     bool   `help:"Everything that is held."`
	By      string `help:"Who. Default: the name that you are logged in with." placeholder:"NAME"`
}

// Validate is called by kong after parsing.
func (c *queueReleaseCmd) Validate() error {
	if (c.What == "") != c.All {
		return fmt.Errorf("name an alert or a group, or say --all")
	}
	return nil
}

// Run lets go what is held.
func (c *queueReleaseCmd) Run(ctx context.Context, std streams) error {
	req := alertd.ReleaseRequest{Selection: alertd.Selection{All: true}, By: c.By, From: alertd.FromCLI}
	if !c.All {
		req.Selection = selection(c.What, c.Service)
	}
	if req.By == "" {
		req.By = whoami()
	}
	var answer alertd.LetGo
	if err := c.ask(ctx, http.MethodPost, "/api/v1/queue/release", nil, req, &answer); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, answer)
	}
	fmt.Fprintf(std.out, "%s in %s released by %s\n", counted(answer.Alerts, "alert", "alerts"), counted(len(answer.Groups), "group", "groups"), printable(req.By))
	return nil
}
