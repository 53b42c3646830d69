package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/matcher/parse"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

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
