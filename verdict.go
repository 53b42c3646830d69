package alertd

import "time"

// Rule is what the engine knows of an alerting rule: its identity and its patience.
type Rule struct {
	ID            string // "file:group:alertname", with "#2" for the second of that name in the group
	Name          string // the alertname
	For           time.Duration
	KeepFiringFor time.Duration // for an occurrence rule: how long one occurrence stands
	Occurrence    bool          // `on: event`: each finding fires at once and stands until it expires

	NoData     Policy        // what becomes of alerts whose series are gone
	OnError    Policy        // what becomes of them when the rule cannot be evaluated: Keep or Alarm
	MissingFor time.Duration // how long an alert is kept whose series are gone while others of the rule are there; 0: as NoData says
	Recovers   bool          // what fires ends only when its recovery condition is true: see [Verdict.Recovered]
}

// Policy says what a rule that knows nothing means for its alerts.
type Policy string

// The policies. The word of the rule file is the value.
const (
	Resolve Policy = "resolve" // they end, as in Prometheus
	Keep    Policy = "keep"    // they stay as they are
	Alarm   Policy = "alert"   // they stay, and not to know is an alert itself
)

// Verdict is the answer of one rule, for one partition of its series, at one instant: the label sets for which
// its condition is true. For all others of the partition it is false.
type Verdict struct {
	Rule  *Rule
	Scope string // partition key, canonical; "" means that the whole rule was evaluated
	At    time.Time
	True  []Finding
	Err   string // the evaluation failed: nothing is known, state stays

	// Unknown are the label sets that are an alert because nothing is known of them: the rule says [Alarm], and their
	// series are gone or, with Err, it cannot be evaluated.
	Unknown []Finding
	// Recovered are the results of the recovery condition: it is true for each alert that has all labels of one.
	Recovered []Labels
	// Witness knows why a label set is not in True; nil: because the condition is false.
	Witness Witness
	// Late marks a slot that was evaluated again, because samples came late.
	Late bool
}

// Presence says whether the series that a scope of a rule reads are still there.
type Presence uint8

// The kinds of presence.
const (
	Present Presence = iota // at least one has a sample that is believed: the condition is false
	Missing                 // none has, while others of the rule have
	Absent                  // no series of the rule has
	Silent                  // none has, and nothing at all arrives
	Retired                 // none has, and who reported them said that this is the end: see [Withdrawn]
)

// Witness looks at the series that a rule reads. It is asked in the step that takes the verdict, not later.
type Witness interface {
	Presence(scope string, at time.Time) Presence
}

// Presence asks the witness about a scope of the rule.
func (v *Verdict) Presence(scope string) Presence {
	if v.Witness == nil {
		return Present
	}
	return v.Witness.Presence(scope, v.At)
}

// Annotations are texts about a finding. What their templates make is known when somebody asks for it, and not before:
// of the findings of a rule that is true for an hour, hardly one is ever read. Nil: there are none. Not safe for
// concurrent use.
type Annotations func() Labels

// Labels are the texts, templates expanded.
func (a Annotations) Labels() Labels {
	if a == nil {
		return Labels{}
	}
	return a()
}

// Texts are annotations that are known already.
func Texts(ls Labels) Annotations { return func() Labels { return ls } }

// Finding is one label set for which a rule's condition is true.
type Finding struct {
	Labels      Labels // final: alertname and the rule's own labels included
	Annotations Annotations
	Scope       string // the partition that this finding belongs to, also within a whole evaluation
	Value       Value
	Trace       TraceRef      // best exemplar of the offending samples
	TraceNote   string        // what it shows: "failed", "took 5.2 s"; "" where that is not known
	ValidFor    time.Duration // how long an occurrence stands; 0: as long as its rule says
}
