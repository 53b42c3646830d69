package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/config"
	"alertd/rules"
	"alertd/runbooks"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // the check fails
	Warning Severity = "warning" // it is said, and the check passes
	Off     Severity = "off"     // it is not looked for
)

// ParseSeverity reads one of the three words.
func ParseSeverity(s string) (Severity, error) {
	switch v := Severity(s); v {
	case Error, Warning, Off:
		return v, nil
	}
	return "", fmt.Errorf("%q is none of error, warning, off", s)
}

// Lint is one thing that is looked for.
type Lint struct {
	Name     string
	Severity Severity // if nobody says otherwise
	About    string   // what it finds
}

// lints are all of them, by name.
var lints = []struct {
	Lint
	check func(*run)
}{
	{Lint{"critical-held", Error, "a critical alert that routing holds back or never pushes"}, criticalHeld},
	{Lint{"critical-owner", Warning, "a critical alert with nobody to ask: no label or annotation owner or team, no owner in its runbook"}, criticalOwner},
	{Lint{"critical-runbook", Warning, "a critical alert without runbook_url for which alertd has no runbook"}, criticalRunbook},
	{Lint{"dashboard-link", Error, "a dashboard_url, or a dashboard of a runbook, that leads nowhere; they are tried with --links"}, dashboardLink},
	{Lint{"duplicate-rules", Error, "two rules with one name, one expression and one set of labels"}, duplicateRules},
	{Lint{"event-selector", Warning, "an expr that selects events, event{type=…}, in a rule that is not on events"}, eventSelector},
	{Lint{"every-error", Warning, "an alert on every error: a counter compared with 0, without rate(), increase() or for"}, everyError},
	{Lint{"fixed-time", Warning, "a selector that @ fixes to a time, of which a restart knows what the events still hold"}, fixedTime},
	{Lint{"metric-missing", Warning, "a rule that reads a metric which never arrived (with --url)"}, metricMissing},
	{Lint{"never-true", Error, "a comparison that cannot be true, such as count(…) == 0"}, neverTrue},
	{Lint{"next-step", Warning, "a critical or warning alert without the annotation next_step"}, nextStep},
	{Lint{"one-severity", Warning, "three or more alerting rules, and all of one severity"}, oneSeverity},
	{Lint{"ratio-threshold", Warning, "a metric that ends in _ratio and so goes from 0 to 1, compared with more"}, ratioThreshold},
	{Lint{"runbook-link", Error, "a runbook_url that leads nowhere; those of other servers are tried with --links"}, runbookLink},
	{Lint{"same-alert", Warning, "two rules with different expressions that raise one alert: each resolves what the other fires"}, sameAlert},
	{Lint{"same-condition", Warning, "two alerts with the same expression and labels: people are told twice"}, sameCondition},
	{Lint{"severity-missing", Warning, "an alert without the label severity"}, severityMissing},
	{Lint{"severity-unknown", Warning, "a severity that is none of critical, warning, info and their synonyms"}, severityUnknown},
	{Lint{"summary-missing", Warning, "an alert without the annotation summary or description"}, summaryMissing},
	{Lint{"unknown-alertname", Warning, "a route or an inhibition for an alertname that no rule has"}, unknownAlertname},
	{Lint{"unreachable-route", Warning, "a route that can never match"}, unreachableRoute},
	{Lint{"unused-receiver", Warning, "a receiver that no route names"}, unusedReceiver},
	{Lint{"value-in-label", Error, "a label with $value in it: every new value is a new alert"}, valueInLabel},
	{Lint{"warning-runbook", Warning, "a warning without runbook_url for which alertd has no runbook"}, warningRunbook},
}

// All lists the lints by name.
func All() []Lint {
	out := make([]Lint, len(lints))
	for i, l := range lints {
		out[i] = l.Lint
	}
	return out
}

// every stands for all lints where a severity is set.
const every = "all"

// Severities are the severities of lints by name that differ from what they are by default; "all" is for those that
// are not named.
type Severities map[string]Severity

// Set changes one. The error says what there is if the name is not known.
func (s Severities) Set(name string, severity Severity) error {
	names := []string{every}
	for _, l := range lints {
		names = append(names, l.Name)
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("%q is no lint; there are %s", name, strings.Join(names, ", "))
	}
	s[name] = severity
	return nil
}

func (s Severities) of(l Lint) Severity { return cmp.Or(s[l.Name], s[every], l.Severity) }

// Finding is one thing that was found.
type Finding struct {
	Lint         string
	Severity     Severity
	File         string // as the rules or the routing call it
	Line, Column int    // from 1
	Message      string // what is wrong; what to write instead
}

// Input is what is looked at.
type Input struct {
	Rules    *rules.Set
	Routing  *config.Routing // nil: routing is not looked at
	Runbooks *runbooks.Index // those that alertd serves; may be nil
	Whole    bool            // Rules are all that a daemon would have
	External string          // where alertd itself is reached; links below it lead to Runbooks

	Arrived map[string]bool   // metrics that have arrived; nil: not known
	Dead    map[string]string // links that were tried in vain, and why; see [Links]
}

// Check looks for everything that is not off. Findings come in the order of files and lines.
func Check(in Input, severities Severities) []Finding {
	r := &run{Input: in}
	for _, g := range in.Rules.Groups() {
		for i := range g.Rules {
			r.rules = append(r.rules, &g.Rules[i])
		}
	}
	for _, l := range lints {
		if r.severity = severities.of(l.Lint); r.severity != Off {
			r.lint = l.Lint
			l.check(r)
		}
	}
	slices.SortStableFunc(r.found, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), strings.Compare(a.Lint, b.Lint))
	})
	return r.found
}

// run is one check.
type run struct {
	Input
	rules    []*rules.Definition
	lint     Lint
	severity Severity
	found    []Finding
}

func (r *run) report(file string, line, column int, format string, args ...any) {
	r.found = append(r.found, Finding{r.lint.Name, r.severity, file, max(line, 1), max(column, 1), fmt.Sprintf(format, args...)})
}

// at reports something about a rule as a whole.
func (r *run) at(d *rules.Definition, format string, args ...any) {
	r.report(d.File, d.Line, d.Column, format, args...)
}

// text reports something about a label or an annotation.
func (r *run) text(d *rules.Definition, t rules.Text, format string, args ...any) {
	r.report(d.File, t.Line, t.Column, format, args...)
}

// alerts calls f for every rule that alerts.
func (r *run) alerts(f func(*rules.Definition)) {
	for _, d := range r.rules {
		if d.Rule != nil {
			f(d)
		}
	}
}

// severityOf is the severity that a rule gives to its alerts; "" if it gives none, or if a template decides.
func severityOf(d *rules.Definition) alertd.Severity {
	t, _ := d.Label(alertd.LabelSeverity)
	if templated(t.Value) {
		return ""
	}
	return alertd.SeverityOf(labels.FromStrings(alertd.LabelSeverity, t.Value))
}

func templated(s string) bool { return strings.Contains(s, "{{") }

// place is a rule's position, for messages about another one.
func place(d *rules.Definition) string { return fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Column) }
