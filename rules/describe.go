package rules

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"alertd"
)

// Group is what a file says about a group of rules.
type Group struct {
	Name, File string
	Interval   time.Duration // 0: it does not say
	Limit      int           // findings of one evaluation; 0: any number
	Rules      []Definition  // in the order of the file
}

// Definition is what a file says about one rule. It is a copy: nothing that is done to it reaches the rule.
type Definition struct {
	Rule         *alertd.Rule // nil for a recording rule; shared, not to be changed
	Record       string       // metric that a recording rule writes; else empty
	File, Group  string
	Line, Column int // of the rule in its file, from 1

	Expr    parser.Expr // nil for an occurrence rule
	Query   string      // Expr in canonical form; for an occurrence rule the selector of its events: event{type="…"}
	Metrics []string    // metrics that the expression reads, as written; selectors without one in braces

	Labels, Annotations []Text // sorted by name; those of the group included

	locate func(off int) (line, column int)
}

// Text is a label or an annotation as written, templates not expanded.
type Text struct {
	Name, Value  string
	Line, Column int // of the value in its file, from 1
}

// Name is the alertname, or the metric that is recorded.
func (d *Definition) Name() string {
	if d.Rule != nil {
		return d.Rule.Name
	}
	return d.Record
}

// Label is the rule's own label of that name, as written.
func (d *Definition) Label(name string) (Text, bool) { return textOf(d.Labels, name) }

// Annotation is the annotation of that name, as written.
func (d *Definition) Annotation(name string) (Text, bool) { return textOf(d.Annotations, name) }

func textOf(list []Text, name string) (Text, bool) {
	for _, t := range list {
		if t.Name == name {
			return t, true
		}
	}
	return Text{}, false
}

// At is where a part of Expr stands in the file. The parts know their byte offset in the expression's own text.
func (d *Definition) At(n parser.Node) (line, column int) {
	if d.locate == nil {
		return d.Line, d.Column
	}
	return d.locate(int(n.PositionRange().Start))
}

// LabelSet are the labels that the rule gives to what it finds, templates not expanded, without the alertname.
func (d *Definition) LabelSet() labels.Labels { return labelSet(d.Labels) }

// AnnotationSet are the rule's annotations, templates not expanded.
func (d *Definition) AnnotationSet() labels.Labels { return labelSet(d.Annotations) }

func labelSet(list []Text) labels.Labels {
	b := labels.NewScratchBuilder(len(list))
	for _, t := range list {
		b.Add(t.Name, t.Value)
	}
	b.Sort()
	return b.Labels()
}

// Groups are all groups with all their rules, in file order.
func (s *Set) Groups() []Group {
	out := make([]Group, len(s.groups))
	for i, g := range s.groups {
		out[i] = g.describe()
		for _, r := range g.rules {
			out[i].Rules = append(out[i].Rules, r.describe())
		}
	}
	return out
}

func (g *group) describe() Group {
	return Group{Name: g.name, File: g.file, Interval: g.interval, Limit: g.limit}
}

func (r *rule) describe() Definition {
	d := Definition{
		Rule: r.meta, Record: r.record, File: r.group.file, Group: r.group.name, Line: r.line, Column: r.column,
		Query: r.text, Metrics: r.metrics,
		Labels: describeTexts(r.labels), Annotations: describeTexts(r.annotations), locate: r.locate,
	}
	if r.expr != nil {
		d.Expr = clone(r.expr)
	}
	return d
}

func describeTexts(list []pair) []Text {
	out := make([]Text, len(list))
	for i, p := range list {
		out[i] = Text{Name: p.name, Value: p.value}
		if p.node != nil {
			out[i].Line, out[i].Column = p.node.Line, p.node.Column
		}
	}
	return out
}
