package lint

import (
	"slices"
	"strings"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/router"
	"alertd/rules"
)

// criticalHeld asks routing about every critical rule, with the labels that the rule itself gives.
func criticalHeld(r *run) {
	if r.Routing == nil {
		return
	}
	held := false
	r.alerts(func(d *rules.Definition) {
		if severityOf(d) != alertd.Critical {
			return
		}
		b := labels.NewBuilder(labels.EmptyLabels())
		d.LabelSet().Range(func(l labels.Label) {
			if !templated(l.Value) {
				b.Set(l.Name, l.Value)
			}
		})
		b.Set(alertd.LabelAlert, d.Name())
		if late := r.late(b.Labels()); late != nil {
			held = true
			at := r.Routing.RouteAt(late)
			r.at(d, "%s is critical, and the route at %s %s; give it a route with `deliver: immediate`, or another severity", d.Name(), at, fate(late))
		}
	})
	if late := r.late(labels.FromStrings(alertd.LabelSeverity, string(alertd.Critical))); late != nil && !held {
		at := r.Routing.RouteAt(late)
		r.report(at.File, at.Line, at.Column, "critical alerts come to this route, which %s; give them a route of their own with `deliver: immediate`", fate(late))
	}
}

// late is the first route that the alert goes to, if none of them tells at once.
func (r *run) late(ls labels.Labels) *router.Route {
	var first *router.Route
	for _, decision := range r.Routing.Root.Decide(ls) {
		if decision.Deliver == alertd.Immediate {
			return nil
		}
		r.Routing.Root.Walk(func(node *router.Route) {
			if first == nil && node.Deliver == decision.Deliver && strings.HasPrefix(string(decision.GroupKey), node.ID+":") {
				first = node
			}
		})
	}
	return first
}

func fate(route *router.Route) string {
	if route.Deliver == alertd.BusinessHours {
		return "holds it until business hours"
	}
	return "never pushes it"
}

func unusedReceiver(r *run) {
	if r.Routing == nil {
		return
	}
	used := make(map[string]bool)
	r.Routing.Root.Walk(func(route *router.Route) { used[route.Receiver] = true })
	for _, e := range r.Routing.Escalations {
		for _, step := range e.Steps {
			used[step.Receiver] = true
		}
	}
	for _, receiver := range r.Routing.Receivers {
		if !used[receiver.Name] {
			at := r.Routing.ReceiverAt(receiver.Name)
			r.report(at.File, at.Line, at.Column, "no route names the receiver %s; remove it, or send something there", receiver.Name)
		}
	}
}

// unreachableRoute leaves to the reading of the file what comes after a route that takes everything.
func unreachableRoute(r *run) {
	if r.Routing != nil {
		r.unreachable(r.Routing.Root, nil)
	}
}

func (r *run) unreachable(route *router.Route, above []*amlabels.Matcher) {
	taken := make(map[string]*router.Route)
	for _, child := range route.Routes {
		at := r.Routing.RouteAt(child)
		matchers := slices.Concat(above, child.Matchers)
		key := amlabels.Matchers(child.Matchers).String()
		if a, b := contradiction(matchers); a != nil {
			r.report(at.File, at.Line, at.Column, "this route can never match: no alert has both %s and %s", a, b)
			continue
		}
		if earlier := taken[key]; earlier != nil && len(child.Matchers) > 0 {
			r.report(at.File, at.Line, at.Column, "no alert comes to this route: the one at %s has the same matchers; give that one `continue: true`, or combine them",
				r.Routing.RouteAt(earlier))
			continue
		}
		if !child.Continue {
			taken[key] = child
		}
		r.unreachable(child, matchers)
	}
}

// contradiction finds two matchers that nothing satisfies at once, one of which asks for an exact value.
func contradiction(ms []*amlabels.Matcher) (a, b *amlabels.Matcher) {
	for _, exact := range ms {
		if exact.Type != amlabels.MatchEqual {
			continue
		}
		for _, other := range ms {
			if other.Name == exact.Name && !other.Matches(exact.Value) {
				return exact, other
			}
		}
	}
	return nil, nil
}

func unknownAlertname(r *run) {
	if r.Routing == nil || !r.Whole {
		return
	}
	var names []string
	r.alerts(func(d *rules.Definition) { names = append(names, d.Name()) })
	missing := func(ms []*amlabels.Matcher) *amlabels.Matcher {
		for _, m := range ms {
			if m.Name == alertd.LabelAlert && !m.Matches("") && !slices.ContainsFunc(names, m.Matches) {
				return m
			}
		}
		return nil
	}
	const fine = "correct the name; if others post that alert, switch this lint off"
	r.Routing.Root.Walk(func(route *router.Route) {
		if m := missing(route.Matchers); m != nil {
			at := r.Routing.RouteAt(route)
			r.report(at.File, at.Line, at.Column, "no rule has a name that matches %s; %s", m, fine)
		}
	})
	for i, rule := range r.Routing.Inhibitions {
		for _, side := range [][]*amlabels.Matcher{rule.Source, rule.Target} {
			if m := missing(side); m != nil {
				at := r.Routing.InhibitionAt(i)
				r.report(at.File, at.Line, at.Column, "no rule has a name that matches %s; %s", m, fine)
			}
		}
	}
}
