package config

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"alertd"
	"alertd/router"
)

func (p *routingParser) readRoot(n *yaml.Node) {
	if absent(target(n)) {
		p.fail(n, "there is no route; write for example route: {receiver: NAME}")
		return
	}
	p.out.Root = p.readRoute(n, nil)
	p.routes[p.out.Root] = p.pos(n)
}

// readRoute reads one node of the tree and all below it. parent is nil for the root.
func (p *routingParser) readRoute(n *yaml.Node, parent *router.Route) *router.Route {
	n = target(n)
	if p.depth >= maxDepth {
		p.fail(n, "routes are nested more than %d deep", maxDepth)
		return nil
	}
	p.depth++
	defer func() { p.depth-- }()

	r := &router.Route{GroupWait: defaultGroupWait, GroupInterval: defaultGroupInterval, RepeatInterval: defaultRepeatInterval, AckTimeout: defaultAckTimeout, MaxHold: defaultMaxHold, Deliver: alertd.Immediate}
	if parent != nil {
		*r = router.Route{
			Labels: parent.Labels, Receiver: parent.Receiver, GroupBy: parent.GroupBy, GroupByAll: parent.GroupByAll, Deliver: parent.Deliver, Calendar: parent.Calendar,
			GroupWait: parent.GroupWait, GroupInterval: parent.GroupInterval, RepeatInterval: parent.RepeatInterval,
			RepageInterval: parent.RepageInterval, AckTimeout: parent.AckTimeout, MaxHold: parent.MaxHold, Escalation: parent.Escalation,
		}
	}
	var children *yaml.Node
	deliver := n
	known := fields{
		"receiver":              p.receiverTo(&r.Receiver),
		"group_by":              func(n *yaml.Node) { p.readGroupBy(n, r) },
		"group_wait":            p.durationTo(&r.GroupWait, "group_wait", 0),
		"group_interval":        p.durationTo(&r.GroupInterval, "group_interval", 1),
		"repeat_interval":       p.durationTo(&r.RepeatInterval, "repeat_interval", 1),
		"repage_interval":       p.repageTo(&r.RepageInterval),
		"escalation":            p.escalationTo(&r.Escalation),
		"max_hold":              p.durationTo(&r.MaxHold, "max_hold", 0),
		"ack_timeout":           p.durationTo(&r.AckTimeout, "ack_timeout", 0),
		"match":                 p.matchTo(&r.Matchers, amlabels.MatchEqual),
		"match_re":              p.matchTo(&r.Matchers, amlabels.MatchRegexp),
		"matchers":              p.matchersTo(&r.Matchers),
		"continue":              p.boolTo(&r.Continue, "continue"),
		"mute_time_intervals":   p.intervalNamesTo(&r.MuteTimeIntervals),
		"active_time_intervals": p.intervalNamesTo(&r.ActiveTimeIntervals),
		"deliver": func(n *yaml.Node) {
			deliver = n
			p.readDeliver(n, r)
		},
		"calendar": p.calendarTo(&r.Calendar),
		"labels":   p.routeLabelsTo(&r.Labels),
		"routes":   func(n *yaml.Node) { children = n },
	}
	if parent == nil {
		for _, key := range []string{"match", "match_re", "matchers", "continue", "mute_time_intervals", "active_time_intervals"} {
			known[key] = func(n *yaml.Node) { p.failOnRoot(n, key) }
		}
	}
	ok := p.object(n, "route", known)
	sort.Sort(amlabels.Matchers(r.Matchers))

	if parent == nil && r.Receiver == "" && ok {
		p.fail(n, "the top route has no receiver; what no other route wants goes there")
	}
	p.chooseCalendar(deliver, r, parent)
	if children != nil {
		p.readChildren(children, r)
	}
	return r
}

func (p *routingParser) readChildren(n *yaml.Node, parent *router.Route) {
	for _, child := range p.list(n, "routes") {
		if r := p.readRoute(child, parent); r != nil {
			parent.Routes = append(parent.Routes, r)
			p.routes[r] = p.pos(child)
		}
	}
}

// warnUnreachable finds routes behind a sibling that takes every alert.
func (p *routingParser) warnUnreachable(root *router.Route) {
	if len(p.problems) > 0 {
		return // a matcher that cannot be read would look like none
	}
	root.Walk(func(r *router.Route) {
		var taker *router.Route
		for _, child := range r.Routes {
			if taker != nil {
				p.warnings = append(p.warnings, Warning{p.routes[child], fmt.Sprintf(
					"no alert comes to this route: the one at %s takes every alert; put it last, or give it continue: true", p.routes[taker])})
			} else if len(child.Matchers) == 0 && !child.Continue {
				taker = child
			}
		}
	})
}

// failOnRoot refuses what would make the top route miss alerts. Empty values are harmless.
func (p *routingParser) failOnRoot(n *yaml.Node, key string) {
	n = target(n)
	if absent(n) || len(n.Content) == 0 && n.Kind != yaml.ScalarNode || n.Value == "false" {
		return
	}
	p.fail(n, "the top route takes every alert and cannot have %s; put it on a route below", key)
}

func (p *routingParser) readGroupBy(n *yaml.Node, r *router.Route) {
	if absent(target(n)) {
		return
	}
	r.GroupBy, r.GroupByAll = nil, false
	for _, item := range p.list(n, "group_by") {
		name, ok := p.text(item, "a label in group_by")
		switch {
		case !ok:
		case name == "...":
			r.GroupByAll = true
		case !isLabelName(name):
			p.fail(item, "%s in group_by is not the name of a label", quote(item.Value))
		case slices.Contains(r.GroupBy, name):
			p.fail(item, "%s comes twice in group_by", quote(item.Value))
		default:
			r.GroupBy = append(r.GroupBy, name)
		}
	}
	if r.GroupByAll && len(r.GroupBy) > 0 {
		p.fail(target(n), "group_by has '...', which means all labels, and others beside it; keep one of the two")
	}
}

func (p *routingParser) readDeliver(n *yaml.Node, r *router.Route) {
	words := []string{string(alertd.Immediate), string(alertd.BusinessHours), string(alertd.Dashboard)}
	s, ok := p.text(n, "deliver")
	switch {
	case !ok || absent(target(n)):
	case slices.Contains(words, s):
		r.Deliver = alertd.Delivery(s)
	default:
		p.fail(target(n), "deliver: %s is none of %s%s", quote(target(n).Value), strings.Join(words, ", "), didYouMean(s, words))
	}
}

// routeLabelsTo reads templates by their names. What the parent has stays, unless it is said anew.
func (p *routingParser) routeLabelsTo(to *alertd.Labels) func(*yaml.Node) {
	return func(n *yaml.Node) {
		b := labels.NewBuilder(*to)
		for _, e := range p.entries(n, "labels of a route") {
			var text string
			p.templateTo(&text, "label "+e.key.Value+" of the route")(e.value)
			if !isLabelName(e.key.Value) {
				p.fail(e.key, "%s is not the name of a label", quote(e.key.Value))
				continue
			}
			b.Set(e.key.Value, text)
		}
		*to = b.Labels()
	}
}

// chooseCalendar finds the business hours of a route that waits for them and names none: the only calendar, or the
// one that is called default.
func (p *routingParser) chooseCalendar(n *yaml.Node, r, parent *router.Route) {
	_, hasDefault := p.calendars["default"]
	inherited := parent != nil && parent.Deliver == alertd.BusinessHours && n.Kind == yaml.MappingNode
	switch {
	case r.Deliver != alertd.BusinessHours || r.Calendar != "":
	case len(p.calendars) == 1:
		for name := range p.calendars {
			r.Calendar = name
		}
	case hasDefault:
		r.Calendar = "default"
	case inherited: // said already, on the parent
	case len(p.calendars) == 0:
		p.fail(target(n), "deliver: business_hours needs a calendar, and the file has none; write calendars: "+
			"{default: {time_zone: Europe/Berlin, hours: ['mon-fri 09:00-18:00']}}")
	default:
		p.fail(target(n), "deliver: business_hours does not say which of the calendars %s; add calendar: NAME, or call one of them default",
			strings.Join(slices.Sorted(maps.Keys(p.calendars)), ", "))
	}
}
