package web

import (
	"cmp"
	"slices"

	"alertd"
	"alertd/history"
)

// row is a transition.
type row struct {
	Level, Name, Service string
	Time                 moment
	Ago                  string
	From, To             string
	Reason, Summary      string
	Runbook, Trace       string
	Page                 string // the alert's own
}

func (s *seen) rows(ts []history.Transition) []row {
	var out []row
	for i := range ts {
		t := &ts[i]
		r := row{
			Level: levelOf(t.Severity), Name: clip(t.Alert, maxChip), Service: clip(t.Service, maxChip),
			Time: s.moment(t.Time, ""), Ago: ago(s.now.Sub(t.Time)), From: clip(string(t.From), maxChip), To: clip(string(t.To), maxChip),
			Reason: clip(string(t.Reason), maxChip), Runbook: link(t.RunbookURL), Trace: link(t.TraceURL), Page: "./alerts/" + t.Fingerprint.String(),
		}
		if t.Summary != t.Alert {
			r.Summary = clip(t.Summary, maxProse)
		}
		out = append(out, r)
	}
	return out
}

// review lists info that fires, and what fired within the last day, newest first, each alert once.
func (s *seen) review() (out []row, more int) {
	all := slices.Clone(s.info)
	for i := range s.alerts {
		if a := &s.alerts[i]; levelOf(a.Severity()) == "info" && a.State.Active() {
			all = append(all, history.Transition{
				Time: cmp.Or(a.FiredAt, a.ActiveAt), Alert: a.Name(), Severity: a.Severity(), Service: a.Service(), From: alertd.Inactive, To: a.State,
				Summary: a.Summary(), RunbookURL: a.RunbookURL, TraceURL: a.TraceURL, Fingerprint: a.Fingerprint,
			})
		}
	}
	slices.SortStableFunc(all, func(a, b history.Transition) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	told := map[alertd.Fingerprint]bool{}
	all = slices.DeleteFunc(all, func(t history.Transition) bool {
		again := told[t.Fingerprint]
		told[t.Fingerprint] = true
		return again
	})
	if len(all) > maxReview {
		all, more = all[:maxReview], len(all)-maxReview
	}
	return s.rows(all), more
}
