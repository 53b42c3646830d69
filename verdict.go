package alertd

import "time"

// Rule is what the engine knows of an alerting rule: its identity and its patience.
type Rule struct {
	ID            string // "file:group:alertname", with "#2" for the second of that name in the group
	Name          string // the alertname
	For           time.Duration
	KeepFiringFor time.Duration // for an occurrence rule: how long one occurrence stands
	Occurrence    bool          // `on: event`: each finding fires at once and stands until it expires
}

// Verdict is the answer of one rule, for one partition of its series, at one instant: the label sets for which
// its condition is true. For all others of the partition it is false.
type Verdict struct {
	Rule  *Rule
	Scope string // partition key, canonical; "" means that the whole rule was evaluated
	At    time.Time
	True  []Finding
	Err   string // the evaluation failed: nothing is known, state stays
}

// Finding is one label set for which a rule's condition is true.
type Finding struct {
	Labels      Labels // final: alertname and the rule's own labels included
	Annotations Labels // templates expanded
	Scope       string // the partition that this finding belongs to, also within a whole evaluation
	Value       Value
	Trace       TraceRef // best exemplar of the offending samples
}
