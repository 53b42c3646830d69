package lint

import (
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"alertd"
	"alertd/rules"
	"alertd/runbooks"
)

func severityMissing(r *run) {
	r.alerts(func(d *rules.Definition) {
		if t, ok := d.Label(alertd.LabelSeverity); !ok || t.Value == "" {
			r.at(d, "%s has no severity; add `labels: {severity: critical}`, or warning, or info", d.Name())
		}
	})
}

func severityUnknown(r *run) {
	r.alerts(func(d *rules.Definition) {
		if s := severityOf(d); s != "" && s.Rank() > alertd.Info.Rank() {
			t, _ := d.Label(alertd.LabelSeverity)
			r.text(d, t, "severity %q of %s is none of critical, warning, info", string(s), d.Name())
		}
	})
}

func oneSeverity(r *run) {
	const few = 3
	var first *rules.Definition
	n := 0
	same := true
	r.alerts(func(d *rules.Definition) {
		if first == nil {
			first = d
		}
		n++
		same = same && severityOf(d) == severityOf(first)
	})
	if r.Whole && same && n >= few && severityOf(first) != "" {
		r.at(first, "all %d alerting rules are %s; if everything is, nothing is: decide which need somebody now, which can wait for the morning, and which only go on record",
			n, severityOf(first))
	}
}

func summaryMissing(r *run) {
	r.alerts(func(d *rules.Definition) {
		for _, name := range []string{alertd.AnnotationSummary, alertd.AnnotationDescription} {
			if t, ok := d.Annotation(name); ok && strings.TrimSpace(t.Value) != "" {
				return
			}
		}
		r.at(d, "%s has no summary; add `annotations: {summary: …}` that says what is wrong, with {{ $labels.service }}", d.Name())
	})
}

func nextStep(r *run) {
	r.alerts(func(d *rules.Definition) {
		if s := severityOf(d); s != alertd.Critical && s != alertd.Warning {
			return
		}
		if t, ok := d.Annotation(alertd.AnnotationNextStep); !ok || strings.TrimSpace(t.Value) == "" {
			r.at(d, "%s does not say what to do first; add `annotations: {next_step: …}`", d.Name())
		}
	})
}

func criticalRunbook(r *run) {
	r.withoutRunbook(alertd.Critical, "%s pages people and has no runbook; add `annotations: {runbook_url: https://…}`")
}

func warningRunbook(r *run) {
	r.withoutRunbook(alertd.Warning, "%s has no runbook; add `annotations: {runbook_url: https://…}`")
}

// withoutRunbook reports the alerts of a severity for which neither they nor alertd have a runbook.
func (r *run) withoutRunbook(severity alertd.Severity, format string) {
	r.alerts(func(d *rules.Definition) {
		if severityOf(d) != severity || r.hasRunbook(d.Name()) {
			return
		}
		if t, ok := d.Annotation(alertd.AnnotationRunbook); !ok || t.Value == "" {
			r.at(d, format, d.Name())
		}
	})
}

func criticalOwner(r *run) {
	r.alerts(func(d *rules.Definition) {
		if severityOf(d) != alertd.Critical {
			return
		}
		for _, name := range []string{"owner", "team"} {
			for _, get := range []func(string) (rules.Text, bool){d.Label, d.Annotation} {
				if t, ok := get(name); ok && t.Value != "" {
					return
				}
			}
		}
		if r.Runbooks != nil {
			if book, ok := r.Runbooks.Find(d.Name()); ok && book.Owner != "" {
				return
			}
		}
		r.at(d, "%s pages people and nobody owns it; add `labels: {team: …}`", d.Name())
	})
}

var (
	action    = regexp.MustCompile(`\{\{-?\s*(.*?)\s*-?\}\}`)
	usesValue = regexp.MustCompile(`\$value\b|(?:^|[\s(|])\.Value\b`)
	condition = regexp.MustCompile(`^(?:else\s+)?if\b`)
)

// valueInLabel lets conditions pass: {{ if gt $value 0.9 }}critical{{ end }} has few outcomes.
func valueInLabel(r *run) {
	r.alerts(func(d *rules.Definition) {
		for _, t := range d.Labels {
			for _, m := range action.FindAllStringSubmatch(t.Value, -1) {
				if usesValue.MatchString(m[1]) && !condition.MatchString(m[1]) {
					r.text(d, t, "label %s of %s holds the value, so with every new value one alert ends and another begins; move it to an annotation", t.Name, d.Name())
					break
				}
			}
		}
	})
}

// Links are the http and https links to runbooks on other servers and to dashboards, sorted, each once.
// Those with templates are left out, since nobody knows where they lead; of a dashboard, the page that its labels are put to.
// Books may be nil.
func Links(set *rules.Set, books *runbooks.Index, external string) []string {
	found := make(map[string]bool)
	if books != nil {
		for _, rb := range books.All() {
			for i := range rb.Dashboards {
				if page := rb.Dashboards[i].Probe(); page != "" {
					found[page] = true
				}
			}
		}
	}
	for _, g := range set.Groups() {
		for i := range g.Rules {
			for _, name := range []string{alertd.AnnotationRunbook, alertd.AnnotationDashboard} {
				t, _ := g.Rules[i].Annotation(name)
				if link, err := url.Parse(t.Value); err == nil && !templated(t.Value) && link.Host != "" && !own(link, external) {
					found[t.Value] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// own reports whether a link leads to alertd's own runbooks.
func own(link *url.URL, external string) bool {
	base, err := url.Parse(external)
	return err == nil && external != "" && link.Host == base.Host && strings.HasPrefix(link.Path, path.Join("/", base.Path, "runbooks")+"/")
}

func runbookLink(r *run) {
	r.alerts(func(d *rules.Definition) {
		t, ok := d.Annotation(alertd.AnnotationRunbook)
		if !ok || t.Value == "" || templated(t.Value) {
			return
		}
		link, err := url.Parse(strings.TrimSpace(t.Value))
		switch {
		case err != nil || link.Scheme != "" && link.Scheme != "http" && link.Scheme != "https":
			r.text(d, t, "runbook_url %q is no link that a browser opens; write https://…", t.Value)
		case link.Host == "":
			fix := "write https://…"
			if r.hasRunbook(d.Name()) {
				fix = "remove it: alertd has a runbook for " + d.Name() + " and links it by itself"
			}
			r.text(d, t, "runbook_url %q leads nowhere from a page, which has no folder that it could be relative to; %s", t.Value, fix)
		case own(link, r.External):
			if name := path.Base(link.Path); !r.hasRunbook(name) {
				r.text(d, t, "runbook_url leads to alertd's own runbooks, of which none is called %s", name)
			}
		case r.Dead[t.Value] != "":
			r.text(d, t, "runbook_url leads nowhere: %s", r.Dead[t.Value])
		}
	})
}

func dashboardLink(r *run) {
	r.alerts(func(d *rules.Definition) {
		t, ok := d.Annotation(alertd.AnnotationDashboard)
		link, err := url.Parse(strings.TrimSpace(t.Value))
		switch {
		case !ok || t.Value == "" || templated(t.Value):
		case err != nil || link.Scheme != "http" && link.Scheme != "https" || link.Host == "":
			r.text(d, t, "dashboard_url %q is no link that a browser opens; write https://…", t.Value)
		case r.Dead[t.Value] != "":
			r.text(d, t, "dashboard_url leads nowhere: %s", r.Dead[t.Value])
		}
	})
	if r.Runbooks == nil {
		return
	}
	for _, rb := range r.Runbooks.All() {
		for i := range rb.Dashboards {
			d := &rb.Dashboards[i]
			if why := r.Dead[d.Probe()]; why != "" {
				r.report(rb.File, d.Line, d.Column, "dashboard %q leads nowhere: %s", d.Title, why)
			}
		}
	}
}

func (r *run) hasRunbook(name string) bool {
	if r.Runbooks == nil {
		return false
	}
	_, ok := r.Runbooks.Find(name)
	return ok
}
