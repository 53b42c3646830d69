package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/matcher/parse"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"alertd"
	"alertd/calendar"
	"alertd/router"
	"alertd/rules"
	"alertd/templates"
)

// Routing is what a routing file says: who is told, when, and together with what.
type Routing struct {
	Root        *router.Route // every node has its ID
	Inhibitions router.Inhibitions
	Depends     *router.Dependencies // nil: of no service it is said what it depends on
	Intervals   router.Intervals
	Calendars   map[string]*calendar.Calendar
	Escalations []*router.Escalation // in the order of the file; names are unique
	Receivers   []Receiver           // in the order of the file; names are unique
	Templates   *templates.Set

	// ResolveTimeout is how long an alert that is posted without an end counts as firing. Default 5 minutes.
	ResolveTimeout time.Duration

	lists []dateList   // of holidays that somebody has to keep up
	read  []rules.File // other files that it took in

	routeAt      map[*router.Route]Pos
	receiverAt   map[string]Pos
	inhibitionAt []Pos
}

// The defaults of the root route are Alertmanager's, as far as it has them.
const (
	defaultGroupWait      = 30 * time.Second
	defaultGroupInterval  = 5 * time.Minute
	defaultRepeatInterval = 4 * time.Hour
	defaultAckTimeout     = 24 * time.Hour
	defaultMaxHold        = 7 * 24 * time.Hour
	defaultResolveTimeout = 5 * time.Minute
)

// ParseRouting reads a routing file: Alertmanager's schema, and on top of it
//
//	route:     deliver: immediate | business_hours | dashboard, calendar: NAME, repage_interval, ack_timeout, max_hold, escalation: NAME (all inherited)
//	escalations: NAME: [{after: 5m, receiver: NAME}]
//	calendars: NAME: {time_zone: Europe/Berlin, hours: ['mon-fri 09:00-18:00'], holidays: ['2026-12-25'],
//	                  country: de-by, ics: closed.ics, special: {'2026-12-24': ['09:00-12:00']}}
//	receivers: console_configs: [{}]
//	depends_on: SERVICE: [SERVICE, …]
//
// The name is for positions. env looks up what ${NAME} stands for, and readFile reads the files that *_file keys
// name, as they are written there. The error joins an [*Error] for each mistake.
func ParseRouting(name string, data []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) (*Routing, []Warning, error) {
	return parseRouting([]rules.File{{Name: name, Data: data}}, env, readFile, onDisk{filepath.Dir(name), readFile})
}

// parseRouting reads a routing file and the teams' files that add to it. beside is what is in their folder.
func parseRouting(files []rules.File, env func(string) (string, bool), readFile func(string) ([]byte, error), beside siblings) (*Routing, []Warning, error) {
	p := &routingParser{
		reader: reader{env: env, readFile: readFile}, beside: beside,
		calendars: map[string]Pos{}, intervals: map[string]Pos{}, receivers: map[string]Pos{}, escalated: map[string]Pos{},
		routes: map[*router.Route]Pos{},
	}
	p.out.Calendars = make(map[string]*calendar.Calendar)
	p.out.Intervals = make(router.Intervals)
	for i, f := range files {
		p.name = f.Name
		if doc := p.parse(f.Data); doc != nil {
			p.parts = append(p.parts, p.sections(doc, i == 0))
		}
	}
	if len(p.parts) > 0 && p.parts[0].name == files[0].Name { // else the file is not YAML, and all others would seem wrong
		p.all()
	}
	warnings, err := p.done()
	if err != nil {
		return nil, warnings, err
	}
	p.out.Root.Identify()
	p.out.routeAt, p.out.receiverAt = p.routes, p.receivers
	return &p.out, warnings, nil
}

// routingParser reads the parts of all files in an order in which names are known before they are used.
type routingParser struct {
	reader
	out       Routing
	beside    siblings
	parts     []part
	global    globals
	calendars map[string]Pos // where names are defined; also those with mistakes, so that using them is not a second one
	intervals map[string]Pos
	receivers map[string]Pos
	escalated map[string]Pos // escalations
	routes    map[*router.Route]Pos
	tried     map[string]tried // texts that were tried, by what they say
	depth     int
}

// part is what one file has.
type part struct {
	name     string
	sections map[string]*yaml.Node
}

// What the routing file knows, and what a team's file may add to it.
var (
	routingSections = []string{"global", "calendars", "time_intervals", "mute_time_intervals", "templates", "receivers", "escalations", "route", "inhibit_rules", "depends_on"}
	teamSections    = []string{"calendars", "time_intervals", "receivers", "escalations", "routes", "inhibit_rules", "depends_on"}
)

// sections finds them in a file.
func (p *routingParser) sections(doc *yaml.Node, main bool) part {
	found := part{p.name, make(map[string]*yaml.Node)}
	what, keys, known := "the routing file", routingSections, fields{}
	if main {
		for _, key := range []string{"tracing", "event_recorder"} {
			known[key] = p.unused(key)
		}
	} else {
		what, keys = "a team's routing file", teamSections
		for _, key := range []string{"global", "route", "templates"} {
			known[key] = func(n *yaml.Node) {
				p.fail(n, "%s belongs into routing.yaml; a team's file has %s", key, strings.Join(teamSections, ", "))
			}
		}
	}
	for _, key := range keys {
		known[key] = func(n *yaml.Node) { found.sections[key] = n }
	}
	p.object(doc, what, known)
	return found
}

// all reads every section of every file.
func (p *routingParser) all() {
	p.name = p.parts[0].name
	p.readGlobal(p.parts[0].section("global"))
	p.each("calendars", p.readCalendars)
	p.each("time_intervals", func(n *yaml.Node) { p.readIntervals(n, "time_intervals") })
	p.each("mute_time_intervals", func(n *yaml.Node) { p.readIntervals(n, "mute_time_intervals") })
	p.readTemplates(p.parts[0].section("templates"))
	p.each("receivers", p.readReceivers)
	p.each("escalations", p.readEscalations)
	p.name = p.parts[0].name
	p.readRoot(p.parts[0].section("route"))
	p.each("routes", func(n *yaml.Node) {
		if p.out.Root != nil {
			p.readChildren(n, p.out.Root)
		}
	})
	p.warnUnreachable(p.out.Root)
	p.each("inhibit_rules", p.readInhibitions)
	p.readDependencies()
}

// section is the value of a key, or what stands for its absence.
func (t part) section(key string) *yaml.Node {
	if n, ok := t.sections[key]; ok {
		return n
	}
	return &yaml.Node{Line: 1, Column: 1}
}

// each reads one section of every file that has it.
func (p *routingParser) each(key string, read func(*yaml.Node)) {
	for _, t := range p.parts {
		if n, ok := t.sections[key]; ok {
			p.name = t.name
			read(n)
		}
	}
}

// define notes where a name is defined, and refuses a second place.
func (p *routingParser) define(names map[string]Pos, n *yaml.Node, name, what string) bool {
	first, again := names[name]
	if again {
		p.fail(n, "%s %s is defined twice; it is at %s already", what, quote(n.Value), first)
		return false
	}
	names[name] = p.pos(n)
	return true
}

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

func (p *routingParser) receiverTo(to *string) func(*yaml.Node) {
	return p.nameTo(to, "receiver", "receivers", func() map[string]Pos { return p.receivers })
}

func (p *routingParser) calendarTo(to *string) func(*yaml.Node) {
	return p.nameTo(to, "calendar", "calendars", func() map[string]Pos { return p.calendars })
}

// nameTo reads a name that another section must define.
func (p *routingParser) nameTo(to *string, what, section string, defined func() map[string]Pos) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := p.text(n, what); ok && s != "" && p.isDefined(n, s, what, section, defined()) {
			*to = s
		}
	}
}

func (p *routingParser) isDefined(n *yaml.Node, name, what, section string, defined map[string]Pos) bool {
	if _, ok := defined[name]; ok {
		return true
	}
	p.fail(target(n), "%s %s is not defined under %s%s", what, quote(target(n).Value), section,
		didYouMean(name, slices.Collect(maps.Keys(defined))))
	return false
}

func (p *routingParser) intervalNamesTo(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		for _, item := range p.list(n, "a list of time intervals") {
			if s, ok := p.text(item, "time interval"); ok && p.isDefined(item, s, "time interval", "time_intervals", p.intervals) {
				*to = append(*to, s)
			}
		}
	}
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

// matchTo reads the older form, a mapping of labels to values or regular expressions.
func (p *routingParser) matchTo(to *[]*amlabels.Matcher, op amlabels.MatchType) func(*yaml.Node) {
	return func(n *yaml.Node) {
		for _, e := range p.entries(n, "a match") {
			value, ok := p.text(e.value, "the value for "+quote(e.key.Value))
			if !ok {
				continue
			}
			if !model.LegacyValidation.IsValidLabelName(e.key.Value) {
				p.fail(e.key, "%s is not the name of a label", quote(e.key.Value))
				continue
			}
			if op == amlabels.MatchRegexp && absent(target(e.value)) {
				p.fail(e.key, "the regular expression for %s is missing", quote(e.key.Value))
				continue
			}
			m, err := amlabels.NewMatcher(op, e.key.Value, value)
			if err != nil {
				p.fail(target(e.value), "%s is not a regular expression: %v", quote(target(e.value).Value), cause(e.value, err))
				continue
			}
			*to = append(*to, m)
		}
	}
}

// matchersTo reads a list of matchers, each of which may be several in one text.
func (p *routingParser) matchersTo(to *[]*amlabels.Matcher) func(*yaml.Node) {
	return func(n *yaml.Node) {
		for _, item := range p.list(n, "matchers") {
			s, ok := p.text(item, "a matcher")
			if !ok {
				continue
			}
			*to = append(*to, p.readMatchers(item, s)...)
		}
	}
}

// readMatchers understands the present syntax and, where a text is valid in that alone or means something else
// there, the classic one, as Alertmanager does.
func (p *routingParser) readMatchers(n *yaml.Node, s string) []*amlabels.Matcher {
	present, err := parse.Matchers(s)
	classic, classicErr := amlabels.ParseMatchers(s)
	switch {
	case err != nil && classicErr != nil:
		p.fail(n, "%s is not a matcher: %v; write it like severity=\"critical\", with = != =~ or !~", quote(n.Value), cause(n, classicErr))
		return nil
	case err != nil && usesEnv(n):
		p.warn(n, "%s is in the classic syntax, which Alertmanager is about to drop; put quotes around the value", quote(n.Value))
		return classic
	case err != nil:
		p.warn(n, "%s is in the classic syntax, which Alertmanager is about to drop; write %s", quote(n.Value), amlabels.Matchers(classic))
		return classic
	case classicErr == nil && amlabels.Matchers(classic).String() != present.String():
		p.warn(n, "%s means something else in the classic syntax of matchers, which applies, than in the present one; put quotes around the value", quote(n.Value))
		return classic
	default:
		return present
	}
}

func (p *routingParser) readInhibitions(n *yaml.Node) {
	for _, item := range p.list(n, "inhibit_rules") {
		var r router.InhibitRule
		p.object(item, "an inhibition rule", fields{
			"name":            p.textTo(&r.Name, "name"),
			"source_match":    p.matchTo(&r.Source, amlabels.MatchEqual),
			"source_match_re": p.matchTo(&r.Source, amlabels.MatchRegexp),
			"source_matchers": p.matchersTo(&r.Source),
			"target_match":    p.matchTo(&r.Target, amlabels.MatchEqual),
			"target_match_re": p.matchTo(&r.Target, amlabels.MatchRegexp),
			"target_matchers": p.matchersTo(&r.Target),
			"equal": func(n *yaml.Node) {
				for _, item := range p.list(n, "equal") {
					name, ok := p.text(item, "a label in equal")
					if ok && !isLabelName(name) {
						p.fail(item, "%s in equal is not the name of a label", quote(item.Value))
						continue
					}
					r.Equal = append(r.Equal, name)
				}
			},
		})
		if len(r.Source) == 0 || len(r.Target) == 0 {
			p.warn(item, "this inhibition rule lacks source_matchers or target_matchers, so that side matches every alert")
		}
		p.out.Inhibitions = append(p.out.Inhibitions, r)
		p.out.inhibitionAt = append(p.out.inhibitionAt, p.pos(item))
	}
}

func isLabelName(s string) bool { return s != "" && utf8.ValidString(s) }

func indexed(what string, i int) string { return what + "[" + strconv.Itoa(i) + "]" }
