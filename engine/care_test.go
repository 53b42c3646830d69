package engine_test

import (
	"errors"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"

	"alertd"
	"alertd/engine"
)

// care runs the story's commands about people who do something:
//
//	ack NAME [by=me] [for=2h] [service=api]     somebody takes all alerts of that name
//	unack NAME                                  and gives them back
//	release NAME|all                            what is held leaves now
func (s *story) care(d *datadriven.TestData, args []string) bool {
	switch d.Cmd {
	case "ack", "unack":
		p := pairs(args[1:])
		want := alertd.AckRequest{Selection: alertd.Selection{Alert: args[0], Service: p["service"]}, Undo: d.Cmd == "unack"}
		want.By, want.From, want.Why = "me", alertd.FromCLI, p["why"]
		if by := p["by"]; by != "" {
			want.By = by
		}
		if hold := p["for"]; hold != "" {
			d, err := time.ParseDuration(hold)
			s.check(err)
			want.Until = s.now.Add(d)
		}
		in, err := s.m.PlanAck(s.now, want)
		if err != nil {
			s.out.WriteString(err.Error() + "\n")
			return true
		}
		s.step(in)
		s.due(s.now)
	case "release":
		want := alertd.ReleaseRequest{By: "me", From: alertd.FromCLI, Selection: alertd.Selection{Alert: args[0]}}
		if args[0] == "all" {
			want.Selection = alertd.Selection{All: true}
		}
		in, err := s.m.PlanRelease(want)
		if err != nil {
			s.out.WriteString(err.Error() + "\n")
			return true
		}
		s.step(in)
		s.due(s.now)
	default:
		return false
	}
	return true
}

// added is what a notification adds to an alert.
func added(a *alertd.Notified) string {
	var parts []string
	if a.Ack != nil {
		parts = append(parts, "taken by "+a.Ack.By)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// care lets somebody take what fires, or give it back.
func (w *world) care() {
	if w.rng.IntN(4) == 0 {
		want := alertd.ReleaseRequest{By: "me", Selection: alertd.Selection{Alert: w.rules[w.rng.IntN(len(w.rules))].Name}}
		if w.rng.IntN(2) == 0 {
			want.Selection = alertd.Selection{All: true}
		}
		in, err := w.m.PlanRelease(want)
		if err == nil {
			w.step(in)
		} else if !errors.Is(err, alertd.ErrNotFound) {
			w.t.Fatal(err)
		}
		return
	}
	want := alertd.AckRequest{
		Selection: alertd.Selection{Alert: w.rules[w.rng.IntN(len(w.rules))].Name}, Undo: w.rng.IntN(4) == 0,
		Ack: alertd.Ack{By: "me", From: alertd.FromWeb},
	}
	if w.rng.IntN(2) == 0 {
		want.Service = "api"
	}
	if w.rng.IntN(3) == 0 {
		want.Until = w.now.Add(time.Duration(1+w.rng.IntN(90)) * time.Minute)
	}
	in, err := w.m.PlanAck(w.now, want)
	switch {
	case errors.Is(err, alertd.ErrNotFound):
	case err != nil:
		w.t.Fatal(err)
	default:
		w.step(engine.Input(in))
	}
}
