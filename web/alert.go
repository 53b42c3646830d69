package web

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/history"
	"alertd/runbooks"
	"alertd/tracectx"
	"alertd/waterfall"
)

// Bounds of an alert's page.
const (
	maxLedger = 60 // decisions shown, the newest
	maxNotes  = 8  // annotations shown besides those that have a place of their own
)

// Alert returns the page of one alert: what is wrong, what to do, its trace, when it fired before, and what was decided
// about it and why. The path value "fingerprint" says which, see [http.Request.PathValue].
func Alert(o Options) http.Handler {
	o.defaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fp, err := alertd.ParseFingerprint(r.PathValue("fingerprint"))
		if err != nil {
			o.nothing(w)
			return
		}
		v, ok := o.alert(r.Context(), fp)
		if !ok {
			o.nothing(w)
			return
		}
		render(w, o.Log, "alert.html", http.StatusOK, v)
	})
}

// nothing answers for an alert that nobody knows (any more).
func (o *Options) nothing(w http.ResponseWriter) {
	render(w, o.Log, "runbook.html", http.StatusNotFound, book{
		Style: template.CSS(style), Title: "There is no such alert", //nolint:gosec // our own file
		Lead: "It is over and the history does not reach back so far, or the address is not whole.",
	})
}

// alertView is an alert's page in words.
type alertView struct {
	Style   template.CSS
	Icon    template.URL
	Version string
	Now     moment
	Blind   []string

	Level, Severity, Name, Service string
	Over                           bool // it does not fire
	Status                         string
	Taken                          string // who has it
	Flaps                          string // that it comes and goes
	Ack                            string // the fingerprint, where somebody may take it
	Since, Fired                   moment
	Summary, Value, Rule           string
	Chips                          []chip
	Hidden                         int
	Notes                          []chip // further annotations
	Next, Runbook                  string
	Silence                        string   // the form for it
	Steps                          []string // the runbook's first steps
	Dashboards                     []alertd.Link
	Trace, Trail, TrailNote        string
	Waterfall                      *fall

	Conclusion string
	Ledger     []decision
	Past       *past
}

// fall is the trace, drawn and in words.
type fall struct {
	Title, Culprit string
	SVG            template.HTML
	Rows           []fallRow
	Notes          []string
}

type fallRow struct {
	Service, Name, Took, Error string
	Failed                     bool
}

// decision is one step of the ledger.
type decision struct {
	Time moment
	Text string
}

// past tells when alerts of a name fired before.
type past struct {
	Title string
	Rows  []firing
	Count string // how often in all
}

type firing struct {
	Fired           moment
	Service, Lasted string
	Taken           string // by whom, and what they wrote
}

// alert collects the page of one alert; false if nobody knows it.
func (o *Options) alert(ctx context.Context, fp alertd.Fingerprint) (alertView, bool) {
	s := seen{now: o.Now(), zone: o.Zone}
	note := func(what string, err error) {
		if err != nil {
			o.Log.Error("alert page: a source failed", "source", what, "err", err)
			s.blind = append(s.blind, what)
		}
	}
	all, err := o.State.Alerts(ctx)
	note("its present state", err)
	var chain *history.Chain
	if o.History == nil {
		s.blind = append(s.blind, "the history")
	} else {
		chains, err := o.History.Why(ctx, history.Question{Fingerprint: fp.String()})
		note("the history", err)
		if len(chains) > 0 {
			chain = &chains[0]
		}
	}
	var a alertd.Alert
	if i := slices.IndexFunc(all, func(a alertd.Alert) bool { return a.Fingerprint == fp }); i >= 0 {
		a = all[i]
	} else if chain != nil { // long over: what is remembered of it
		a = remembered(chain)
	} else if len(s.blind) == 0 {
		return alertView{}, false
	}
	v := s.alertView(&a)
	v.Version = o.Version
	if chain != nil {
		v.Conclusion, v.Ledger = s.ledger(chain)
	}
	if o.Runbooks != nil {
		if rb, ok := o.Runbooks().Find(a.Name()); ok {
			if strings.HasSuffix(v.Runbook, "/runbooks/"+url.PathEscape(a.Name())) { // our own page: it fills in this alert's labels
				v.Runbook += "?alert=" + fp.String()
			}
			v.Steps = steps(rb, v.Next, a.Labels)
			if len(a.Dashboards) == 0 { // it is long over
				v.Dashboards = dashboards(rb.Links(a.Labels))
			}
		}
	}
	v.Waterfall = o.waterfall(ctx, &a, &v)
	v.Past, err = o.past(ctx, &s, history.Filter{Fingerprint: fp.String(), Until: began(&a)})
	note("when it fired before", err)
	v.Blind = s.blind
	return v, true
}

// waterfall draws the alert's trace; nil where there is nothing to draw, which v then says why.
func (o *Options) waterfall(ctx context.Context, a *alertd.Alert, v *alertView) *fall {
	if o.Trace == nil || a.Trace.IsZero() || a.Trace.Unsampled {
		return nil
	}
	trace, err := o.Trace(ctx, a.Trace, a.At)
	switch {
	case errors.Is(err, tracectx.ErrNoTrace):
		v.Trace, v.TrailNote = "", "is not stored: it was sampled out, or never arrived"
		return nil
	case err != nil:
		o.Log.Warn("alert page: the tracing back-end did not answer", "trace", a.Trace.TraceID, "err", err)
		v.TrailNote = strings.TrimPrefix(v.TrailNote+"; the tracing back-end did not answer", "; ")
		return nil
	}
	w := tracectx.Draw(trace, a.Trace.SpanID, waterfall.MaxRows)
	f := &fall{Title: waterfall.Title(&w), Culprit: waterfall.Culprit(&w), SVG: waterfall.SVG(&w), Notes: waterfall.Notes(&w)}
	for _, r := range w.Rows {
		f.Rows = append(f.Rows, fallRow{clip(r.Service, maxChip), clip(r.Name, maxChip), waterfall.Span(r.Duration), clip(r.Error, maxChip), r.Failed})
	}
	return f
}

// began is when the present firing of an alert began; zero if it does not fire.
func began(a *alertd.Alert) time.Time {
	if !a.State.Active() {
		return time.Time{}
	}
	return cmp.Or(a.FiredAt, a.ActiveAt)
}

// remembered is an alert as its last transition left it.
func remembered(c *history.Chain) alertd.Alert {
	a := alertd.Alert{Fingerprint: c.Fingerprint, Rule: c.Rule, Labels: c.Labels, State: alertd.Resolved}
	a.Annotations = labels.FromStrings(alertd.AnnotationSummary, c.Summary)
	for _, st := range c.Steps {
		if st.Kind == history.KindTransition {
			a.State, a.At, a.Trace.TraceID = alertd.State(st.To), st.Time, cmp.Or(st.TraceID, a.Trace.TraceID)
			if st.Value != nil {
				a.Value = *st.Value
			}
		}
	}
	return a
}

func (s *seen) alertView(a *alertd.Alert) alertView {
	level := levelOf(a.Severity())
	v := alertView{
		Style: template.CSS(style), Icon: icons["ok"], Now: s.moment(s.now, ""), //nolint:gosec // our own file
		Level: level, Severity: clip(string(a.Severity()), maxChip), Name: clip(a.Name(), maxChip), Service: clip(a.Service(), maxChip),
		Over: order(a.State) == over, Value: number(a.Measured()), Rule: clip(a.Rule, maxChip), Fired: s.moment(a.FiredAt, ""),
	}
	o := s.one(a, nil)
	v.Summary, v.Chips, v.Hidden, v.Trace, v.Ack, v.Taken, v.Flaps = o.Summary, o.Chips, o.Hidden, o.Trace, o.Ack, o.Taken, o.Flaps
	v.TrailNote = o.TraceNote
	v.Trail = clip(a.Trace.TraceID, 32)
	if o.Unsampled {
		v.TrailNote = "was not sampled: nobody keeps it"
	}
	switch {
	case v.Over:
		v.Status = "Over: " + string(a.State)
		v.Since = s.moment(cmp.Or(a.ResolvedAt, a.At), "")
	default:
		v.Icon = cmp.Or(icons[level], icons["ok"])
		v.Status = string(a.State) + " for " + o.For
		v.Since = o.Since
	}
	if !v.Over {
		v.Silence = "../" + alertd.SilencePath(a.Labels)
	}
	v.Next = clip(a.Annotations.Get(alertd.AnnotationNextStep), maxProse)
	v.Runbook = cmp.Or(link(a.RunbookURL), link(a.Annotations.Get(alertd.AnnotationRunbook)))
	v.Dashboards = dashboards(a.Dashboards)
	a.Annotations.Range(func(l labels.Label) {
		switch l.Name {
		case alertd.AnnotationSummary, alertd.AnnotationNextStep, alertd.AnnotationRunbook, alertd.AnnotationDashboard:
			return
		}
		if len(v.Notes) < maxNotes && l.Value != a.Summary() {
			v.Notes = append(v.Notes, chip{clip(l.Name, maxChip), clip(l.Value, maxProse)})
		}
	})
	return v
}

// dashboards are those that a page may link.
func dashboards(all []alertd.Link) (out []alertd.Link) {
	for _, d := range all {
		if u := link(d.URL); u != "" {
			out = append(out, alertd.Link{Title: clip(d.Title, maxChip), URL: u})
		}
	}
	return out
}

// ledger tells what was decided, the latest first.
func (s *seen) ledger(c *history.Chain) (conclusion string, out []decision) {
	show := func(t time.Time) string { return s.moment(t, "").Text }
	for _, st := range slices.Backward(c.Steps) {
		if len(out) == maxLedger {
			break
		}
		out = append(out, decision{s.moment(st.Time, ""), clip(st.Tell(show), maxProse)})
	}
	return clip(history.Conclusion(c.Steps, show), maxProse), out
}

// steps are the first steps of a runbook; none where the alert itself says the same as the only one.
func steps(rb runbooks.Runbook, next string, about alertd.Labels) (out []string) {
	for _, step := range rb.NextSteps {
		out = append(out, clip(runbooks.Fill(step, about), maxProse))
	}
	if len(out) == 1 && out[0] == next {
		return nil
	}
	return out
}

const (
	pastRows  = 5
	pastCount = 30 * 24 * time.Hour
)

// past looks up when alerts fired before; nil if that cannot be told.
func (o *Options) past(ctx context.Context, s *seen, f history.Filter) (*past, error) {
	if o.History == nil {
		return nil, nil
	}
	f.Limit = pastRows
	firings, _, err := o.History.Firings(ctx, f)
	if err != nil {
		return nil, err
	}
	f.Since, f.Limit = s.now.Add(-pastCount), 1
	_, recent, err := o.History.Firings(ctx, f)
	if err != nil {
		return nil, err
	}
	p := &past{Title: "Fired before"}
	if len(firings) == 0 {
		return p, nil
	}
	last := firings[0]
	p.Title = "Last fired " + ago(s.now.Sub(last.FiredAt))
	for _, f := range firings {
		row := firing{Fired: s.moment(f.FiredAt, ""), Service: clip(f.Service, maxChip), Lasted: "fires"}
		if !f.EndedAt.IsZero() {
			row.Lasted = "for " + span(f.EndedAt.Sub(f.FiredAt))
		}
		if f.AckedBy != "" {
			row.Taken = clip("taken by "+f.AckedBy, maxChip)
			if f.Note != "" {
				row.Taken += ": " + clip(f.Note, maxProse)
			}
		}
		p.Rows = append(p.Rows, row)
	}
	if recent > 0 {
		p.Count = plural(recent, "time", "times") + " within 30 days"
	}
	return p, nil
}
