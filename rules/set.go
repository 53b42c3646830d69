package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"alertd"
)

// defaultLookbackDelta is how long Prometheus believes a sample when nobody says otherwise.
const defaultLookbackDelta = 5 * time.Minute

// Set is what one or more rule files say. It is immutable and safe to share between goroutines.
type Set struct{ groups []*group }

// group is a list of rules with one interval.
type group struct {
	file, name  string
	interval    time.Duration // 0: the evaluator's default
	queryOffset time.Duration
	limit       int // findings of one evaluation; 0: any number
	rules       []*rule

	lookback  time.Duration            // how long samples are believed; 0: the evaluator's default
	lookbacks map[string]time.Duration // the same by the beginning of a metric's name
	lateness  time.Duration            // how late samples may come and still change what was said about slots
	patience  patience
}

// key identifies a group over reloads. The bytes cannot be in a name that YAML gives.
func (g *group) key() string { return g.file + "\x00" + g.name }

// rule is an alerting rule, a recording rule or an occurrence rule.
type rule struct {
	meta         *alertd.Rule // nil for a recording rule
	record       string       // metric that a recording rule writes; else empty
	group        *group
	line, column int
	locate       func(off int) (line, column int) // where byte off of the expression stands in the file

	expr        parser.Expr // nil for an occurrence rule
	text        string      // expr as PromQL writes it; for an occurrence rule the selector of its events
	recover     parser.Expr // recover_expr; nil: what is no longer true is over
	recoverText string
	partition   Partition
	selectors   []use
	queries     []use    // selectors of what its templates ask
	metrics     []string // what wakes the rule: metric names, or the whole selector where it names none
	labels      []pair
	annotations []pair

	chosenBy []*labels.Matcher // what its events have; nil for other than occurrence rules
}

// use is one selector at its place in an expression.
type use struct {
	matchers []*labels.Matcher
	key      string        // matchers in canonical text
	name     string        // the metric, where the selector says which; else empty
	slot     int           // index in rule.metrics
	back     time.Duration // how far it looks back, without the lookback delta
	delta    time.Duration // how long its samples are believed; 0: the evaluator's default
	instant  bool          // the lookback delta comes on top of back
	counted  bool          // below rate() and its like: the single value says little
	fixed    bool          // @ fixes it to a time: back is counted from until
	until    int64         // newest instant that it reads then, milliseconds
	pos      int           // where it begins in the expression's text
}

// lookBack is how far before the evaluated instant, or before its fixed time, the selector reads.
func (u use) lookBack(delta time.Duration) time.Duration {
	if u.instant {
		return u.back + cmp.Or(u.delta, delta)
	}
	return u.back
}

// lookBack is the longest look-back of the rule's selectors, those in templates included, without a fixed time.
func (r *rule) lookBack(delta time.Duration) (d time.Duration) {
	for _, list := range [2][]use{r.selectors, r.queries} {
		for _, u := range list {
			if !u.fixed {
				d = max(d, u.lookBack(delta))
			}
		}
	}
	return d
}

// definition is all that the answers of the rule depend on.
func (r *rule) definition() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%s\x00%v\x00%t", r.text, r.record, r.group.queryOffset, r.chosenBy != nil)
	fmt.Fprintf(&b, "\x00%s\x00%v\x00%v", r.recoverText, r.group.lookback, r.group.lookbacks)
	for _, list := range [][]pair{r.labels, r.annotations} {
		for _, p := range list {
			fmt.Fprintf(&b, "\x00%s\x01%s", p.name, p.value)
		}
		b.WriteByte(2)
	}
	return b.String()
}

// all yields every rule in file order.
func (s *Set) all() (out []*rule) {
	for _, g := range s.groups {
		out = append(out, g.rules...)
	}
	return out
}

// Rules are the alerting and the occurrence rules, in file order.
func (s *Set) Rules() []*alertd.Rule {
	var out []*alertd.Rule
	for _, r := range s.all() {
		if r.meta != nil {
			out = append(out, r.meta)
		}
	}
	return out
}

// LookBack is the longest look-back of any selector: ranges, offsets and subqueries included, and five minutes
// for each selector without a range. It is what has to be read again after a restart, with what is fixed to a time:
// see [Set.ReadFrom].
func (s *Set) LookBack() (d time.Duration) {
	for _, r := range s.all() {
		d = max(d, r.lookBack(defaultLookbackDelta)+r.group.lateness)
		for _, u := range r.selectors {
			if u.instant && !u.fixed && (u.name == "" || strings.HasPrefix(u.name, "health_")) {
				d = max(d, u.back+alertd.HealthStands)
			}
		}
	}
	return d
}

// Explanation says how a rule is evaluated, for people who want to know why it is fast or slow.
type Explanation struct {
	Rule         *alertd.Rule // nil for a recording rule
	Record       string       // metric that a recording rule writes
	File         string
	Line, Column int // of the rule in its file, from 1
	Group        string
	Expr         string        // PromQL in canonical form; for an occurrence rule the selector of its events
	Partition    Partition     // how it is keyed, or why it is evaluated whole
	Keyed        bool          // evaluated key by key as samples arrive
	TicksOnly    bool          // evaluated at the group's interval only
	Compiled     bool          // answered by a compiled program, and by Prometheus's engine only where that cannot
	LookBack     time.Duration // longest of its selectors that are not fixed to a time
	Fixed        []Fixed       // the others
	Metrics      []string      // metrics whose samples wake it, sorted
}

// Explain describes every rule, recording rules too, in file order.
func (s *Set) Explain() []Explanation {
	var out []Explanation
	made := s.made()
	for _, r := range s.all() {
		metrics := slices.DeleteFunc(slices.Clone(r.metrics), aboutAlerts)
		slices.Sort(metrics)
		compiled := false
		if r.expr != nil {
			own, _ := uses(r.expr)
			compiled = compile(r.expr, own, 0, defaultLookbackDelta) != nil
		}
		out = append(out, Explanation{
			Rule: r.meta, Record: r.record, File: r.group.file, Line: r.line, Column: r.column, Group: r.group.name,
			Expr: r.text, Partition: r.partition, Metrics: metrics,
			Keyed: r.eventDriven() && !r.partition.IsWhole(), TicksOnly: r.expr != nil && !r.eventDriven(), Compiled: compiled,
			LookBack: r.lookBack(defaultLookbackDelta), Fixed: r.fixes(made),
		})
	}
	return out
}

// eventDriven reports whether samples wake the rule. Recording rules write series at the slots of their group, as
// Prometheus does, because other rules may count on the distance of their samples. Who sets a query offset asks
// for answers about the past, and an answer about the present beside it would make the alert flap. What reads only what
// is said about alerts has nothing that wakes it, see aboutAlerts.
func (r *rule) eventDriven() bool {
	wakes := slices.ContainsFunc(r.selectors, func(u use) bool { return !aboutAlerts(u.name) })
	return r.meta != nil && r.expr != nil && wakes && r.group.queryOffset == 0
}
