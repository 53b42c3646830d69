package alertd

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"
)

// Value is a float64 that survives JSON: NaN and infinities are written as the strings "NaN", "+Inf", "-Inf".
type Value float64

// MarshalJSON writes a number, or a string where JSON has no number.
func (v Value) MarshalJSON() ([]byte, error) {
	f := float64(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.AppendQuote(nil, v.String()), nil
	}
	return json.Marshal(f)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Value) UnmarshalJSON(b []byte) error {
	var f float64
	if json.Unmarshal(b, &f) == nil {
		*v = Value(f)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("value %s is neither a number nor a string", b)
	}
	f, err := strconv.ParseFloat(s, 64)
	*v = Value(f)
	return err
}

// String writes the value as Prometheus does.
func (v Value) String() string { return strconv.FormatFloat(float64(v), 'g', -1, 64) }

// State is where an alert is in its life.
//
//	inactive ─► pending ─► firing ⇄ recovering ─► resolved
//	         (for)           ⇅   (keep_firing_for)
//	                  no-data, error
//
// Pending falls back to inactive. An alert is announced from firing until it is resolved.
type State string

// The states.
const (
	Inactive   State = "inactive"
	Pending    State = "pending"
	Firing     State = "firing"
	Recovering State = "recovering" // condition gone, keep_firing_for not over
	NoData     State = "no-data"    // its series are gone, and its rule says that this is not an end
	Failing    State = "error"      // its rule cannot be evaluated, and says that this is an alert
	Resolved   State = "resolved"   // was firing, is over
)

// Active reports whether the alert is to be told: firing, or held as firing though its condition is gone or not known.
func (s State) Active() bool {
	return s == Firing || s == Recovering || s == NoData || s == Failing
}

// RulePosted is the rule of alerts that somebody else has judged and posted.
const RulePosted = "alertd:posted"

// Alert is one instance of a rule: the rule and one label set.
type Alert struct {
	Fingerprint Fingerprint `json:"fingerprint"`
	Rule        string      `json:"rule"` // Rule.ID
	Labels      Labels      `json:"labels"`
	Annotations Labels      `json:"annotations"`
	State       State       `json:"state"`
	Value       Value       `json:"value"`

	// Instants of the event's own clock, except where said.
	ActiveAt   time.Time `json:"active_at"`             // condition became true
	FiredAt    time.Time `json:"fired_at,omitzero"`     // pending was over
	GoneAt     time.Time `json:"gone_at,omitzero"`      // condition ended, or was no longer known; zero for what is over since nobody posts it any more
	ResolvedAt time.Time `json:"resolved_at,omitzero"`  // after keep_firing_for
	At         time.Time `json:"at"`                    // of the last transition
	Expires    time.Time `json:"expires,omitzero"`      // an occurrence stands until then, daemon's clock
	Scope      string    `json:"scope,omitempty"`       // partition of the rule that yields it, see Verdict
	RunbookURL string    `json:"runbook_url,omitempty"` // resolved: annotation, or the shipped runbook
	Dashboards []Link    `json:"dashboards,omitempty"`  // resolved: annotation, and those of the shipped runbook
	TraceURL   string    `json:"trace_url,omitempty"`
	Trace      TraceRef  `json:"trace,omitzero"`       // the exemplar that TraceURL links to
	TraceNote  string    `json:"trace_note,omitempty"` // what it shows: "failed", "took 5.2 s"
	TraceLost  bool      `json:"trace_lost,omitempty"` // the back-end was asked and has no such trace: text, not a link

	GeneratorURL string `json:"generator_url,omitempty"` // where whoever posted it shows it; "" for our own rules

	// What views and notifications add. It is not part of the alert: a [Transition] never holds it.
	Ack     *Ack `json:"ack,omitempty"`     // who has taken it; nil: nobody
	Changes int  `json:"changes,omitempty"` // how often it fired or ended within FlapWindow; 0: it does not flap
}

// Link is an address, http or https, and what people call it.
type Link struct {
	Title string `json:"title"`
	URL   string `json:"url"`
}

// Name is the label alertname.
func (a *Alert) Name() string { return a.Labels.Get(LabelAlert) }

// Service is the label service, else job: what most rule files call it.
func (a *Alert) Service() string { return ServiceOf(a.Labels) }

// Severity is [SeverityOf] its labels.
func (a *Alert) Severity() Severity { return SeverityOf(a.Labels) }

// Summary is one line for people: the annotation summary, else description, else the alert's name.
func (a *Alert) Summary() string {
	for _, name := range []string{AnnotationSummary, AnnotationDescription} {
		if s := a.Annotations.Get(name); s != "" {
			return s
		}
	}
	return a.Name()
}

// Measured is the value that the alert's rule saw, or NaN where somebody else has judged: what is posted has none.
func (a *Alert) Measured() Value {
	if a.Rule == RulePosted {
		return Value(math.NaN())
	}
	return a.Value
}

// LogValue is bounded and holds no secret.
func (a *Alert) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", a.Name()), slog.String("service", a.Service()),
		slog.String("severity", string(a.Severity())), slog.String("fingerprint", a.Fingerprint.String()))
}

// ServiceOf is the label service, else job.
func ServiceOf(ls Labels) string {
	if s := ls.Get(LabelService); s != "" {
		return s
	}
	return ls.Get("job")
}
