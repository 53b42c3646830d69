package router

import (
	amlabels "github.com/prometheus/alertmanager/pkg/labels"

	"alertd"
)

// Outcome is what came of a node of the tree for one alert.
type Outcome string

// The outcomes of a node.
const (
	Missed   Outcome = "missed"    // a matcher does not match
	PassedOn Outcome = "passed on" // it matches, and a node below it takes the alert
	Taken    Outcome = "taken"     // it matches, and no node below it does
	NotTried Outcome = "not tried" // a node before it took the alert and does not say continue
)

// Step is what one node of the tree had to say to an alert.
type Step struct {
	Route    *Route
	Depth    int // below the root, which is 0
	Outcome  Outcome
	Mismatch *amlabels.Matcher // for Missed: the first matcher that does not match
	Value    string            // for Missed: what the alert has there; "" if it has no such label
	Decision *Decision         // for Taken
}

// Trace walks the tree as [Route.Decide] does and says of every node what came of it, in the order of the file.
// Below a node that missed or was not tried nothing is said. The decisions in it are those of Decide.
func (r *Route) Trace(ls alertd.Labels) []Step {
	steps, _ := r.trace(nil, ls, "", 0)
	return steps
}

// trace also reports whether the node or one below it took the alert.
func (r *Route) trace(steps []Step, ls alertd.Labels, parent string, depth int) ([]Step, bool) {
	self := len(steps)
	steps = append(steps, Step{Route: r, Depth: depth, Outcome: PassedOn})
	for _, m := range r.Matchers {
		if value := ls.Get(m.Name); !m.Matches(value) {
			steps[self].Outcome, steps[self].Mismatch, steps[self].Value = Missed, m, value
			return steps, false
		}
	}
	path := r.path(parent)
	below, done := false, false
	for _, child := range r.Routes {
		if done {
			steps = append(steps, Step{Route: child, Depth: depth + 1, Outcome: NotTried})
			continue
		}
		var took bool
		steps, took = child.trace(steps, ls, path, depth+1)
		below = below || took
		done = took && !child.Continue
	}
	if !below {
		d := r.decision(ls, path)
		steps[self].Outcome, steps[self].Decision = Taken, &d
	}
	return steps, true
}
