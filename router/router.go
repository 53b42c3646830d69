// Package router decides where an alert goes, how urgently and together with what: the routing tree, inhibition
// and time intervals, with Alertmanager's semantics.
//
// Everything here is a pure function of its arguments. A tree, rules and intervals are built once (by package
// config) and must not change afterwards; then all methods are safe for concurrent use. The exception is [Inhibitor], which
// knows what fires.
package router

import (
	"slices"
	"sort"
	"strconv"
	"time"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// Route is one node of the routing tree, validated, with inherited values filled in.
type Route struct {
	// ID identifies the node: the matchers from the root, and "#2" where a second node has the same ones. Group
	// keys begin with it. Where it is empty, the matchers alone stand for it; see [Route.Identify].
	ID       string
	Matchers []*amlabels.Matcher // all must match; a label that is missing matches as ""
	Continue bool                // after a match, look at the following siblings too

	Receiver   string
	GroupBy    []string // names of the labels that a group shares
	GroupByAll bool     // every label set is its own group; GroupBy does not count then
	Deliver    alertd.Delivery
	Calendar   string // which business hours, for Deliver business_hours
	GroupWait  time.Duration
	GroupInterval,
	RepeatInterval time.Duration
	RepageInterval time.Duration // a critical alert that nobody took is told again so often; 0: it is not
	Escalation     *Escalation   // where it goes besides; nil: nowhere
	MaxHold        time.Duration // business hours hold nothing for longer; 0: for ever
	AckTimeout     time.Duration // how long an ack holds that names no end; 0: as long as the alert
	Labels         alertd.Labels // templates, for the texts of notifications; they do not take part in grouping
	MuteTimeIntervals,
	ActiveTimeIntervals []string // names; not inherited, as in Alertmanager

	Routes []*Route

	whole string // its path, once it is identified: an alert asks for several, and to write one costs as much as to walk the tree
}

// Decision is where one alert goes along one branch of the tree.
type Decision struct {
	Path           string // matchers from the root, for people: `{}/{severity="critical"}`
	Receiver       string
	GroupKey       alertd.GroupKey
	GroupLabels    alertd.Labels
	RouteLabels    alertd.Labels // the route's own, as the file has them
	GroupWait      time.Duration
	GroupInterval  time.Duration
	RepeatInterval time.Duration
	RepageInterval time.Duration
	AckTimeout     time.Duration
	MaxHold        time.Duration
	Escalation     *Escalation // shared with the tree, not to be changed
	Deliver        alertd.Delivery
	Calendar       string
	Mute, Active   []string // names of time intervals; shared with the tree, not to be changed
}

// Decide walks the tree depth first and returns a decision for each node that wants the alert, in the order of
// the file. A node wants it if its matchers match and no child of it does; the first matching child ends the
// search among its siblings unless it says continue. The result is empty only if r itself does not match.
func (r *Route) Decide(ls alertd.Labels) []Decision {
	return r.decide(nil, ls, "")
}

func (r *Route) decide(found []Decision, ls alertd.Labels, parent string) []Decision {
	if !matches(r.Matchers, ls) {
		return found
	}
	path := r.whole
	if path == "" {
		path = r.path(parent)
	}
	before := len(found)
	for _, child := range r.Routes {
		already := len(found)
		found = child.decide(found, ls, path)
		if len(found) > already && !child.Continue {
			break
		}
	}
	if len(found) > before {
		return found
	}
	return append(found, r.decision(ls, path))
}

// decision is what the node itself wants with an alert.
func (r *Route) decision(ls alertd.Labels, path string) Decision {
	group := r.groupLabels(ls)
	id := r.ID
	if id == "" {
		id = path
	}
	return Decision{
		Path:           path,
		Receiver:       r.Receiver,
		GroupKey:       alertd.GroupKey(id + ":" + group.String()),
		GroupLabels:    group,
		RouteLabels:    r.Labels,
		GroupWait:      r.GroupWait,
		GroupInterval:  r.GroupInterval,
		RepeatInterval: r.RepeatInterval,
		RepageInterval: r.RepageInterval,
		AckTimeout:     r.AckTimeout,
		Escalation:     r.Escalation,
		MaxHold:        r.MaxHold,
		Deliver:        r.Deliver,
		Calendar:       r.Calendar,
		Mute:           r.MuteTimeIntervals,
		Active:         r.ActiveTimeIntervals,
	}
}

// Identify gives every node of the tree its ID. Alertmanager's route key, the matchers from the root, is the same
// for siblings with equal matchers (one per receiver, chained by continue), whose groups must not be mixed up:
// the second such node gets "#2" and so on, in the order of the file.
func (r *Route) Identify() {
	r.identify("", make(map[string]int))
}

func (r *Route) identify(parent string, seen map[string]int) {
	path := r.path(parent)
	seen[path]++
	r.ID, r.whole = path, path
	if n := seen[path]; n > 1 {
		r.ID += "#" + strconv.Itoa(n)
	}
	for _, child := range r.Routes {
		child.identify(path, seen)
	}
}

// Walk calls visit for the node and all below it, depth first, in the order of the file.
func (r *Route) Walk(visit func(*Route)) {
	visit(r)
	for _, child := range r.Routes {
		child.Walk(visit)
	}
}

// path is the parent's path and r's matchers, in an order that does not depend on how they were written.
func (r *Route) path(parent string) string {
	ms := amlabels.Matchers(r.Matchers)
	if !sort.IsSorted(ms) {
		ms = slices.Clone(ms)
		sort.Sort(ms)
	}
	if parent == "" {
		return ms.String()
	}
	return parent + "/" + ms.String()
}

// groupLabels are those of the alert's labels that its group shares. A label that the alert does not have is left out.
func (r *Route) groupLabels(ls alertd.Labels) alertd.Labels {
	switch {
	case r.GroupByAll:
		return ls
	case len(r.GroupBy) == 0:
		return labels.EmptyLabels()
	default:
		return labels.NewBuilder(ls).Keep(r.GroupBy...).Labels()
	}
}

// matches reports whether all of the matchers match. A missing label is the same as an empty one.
func matches(ms []*amlabels.Matcher, ls alertd.Labels) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}
