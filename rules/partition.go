package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Partition says by which labels the series that an expression reads fall apart into groups that do not influence
// each other: the result for one combination of values depends only on the series that have these values.
//
// A series without a label has the empty value, as everywhere in PromQL.
type Partition struct {
	Labels  []string // sorted
	Without bool     // partitioned by all labels except Labels, as `without` in PromQL; else by Labels
	Whole   string   // why there is no partition and the expression must be evaluated whole; empty if there is one
}

// IsWhole reports whether the expression must be evaluated over all its series at once.
func (p Partition) IsWhole() bool { return !p.Without && len(p.Labels) == 0 }

// String writes the partition as a PromQL grouping, or "whole".
func (p Partition) String() string {
	switch {
	case p.IsWhole():
		return "whole"
	case p.Without:
		return "without (" + strings.Join(p.Labels, ", ") + ")"
	default:
		return "by (" + strings.Join(p.Labels, ", ") + ")"
	}
}

// Scope is the canonical text of the values that ls has for the partition's labels, as in "service=api,zone=b".
// Values with commas, equals signs, quotes or controls are quoted, so that different values never give the same
// text. It is empty only if the expression is evaluated whole.
func (p Partition) Scope(ls labels.Labels) string {
	if p.IsWhole() {
		return ""
	}
	var b strings.Builder
	add := func(name, value string) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		writePlain(&b, name)
		b.WriteByte('=')
		writePlain(&b, value)
	}
	if !p.Without {
		for _, name := range p.Labels {
			add(name, ls.Get(name))
		}
		return b.String()
	}
	ls.Range(func(l labels.Label) {
		if l.Value != "" && !slices.Contains(p.Labels, l.Name) {
			add(l.Name, l.Value)
		}
	})
	if b.Len() == 0 {
		return "{}" // a series without any such label is a group of its own, not the whole rule
	}
	return b.String()
}

func writePlain(b *strings.Builder, s string) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || strings.ContainsRune(`,="\{}`, r) }) {
		s = strconv.Quote(s)
	}
	b.WriteString(s)
}

// without removes names from the labels that are kept.
func (p Partition) without(why string, names ...string) Partition {
	return p.meet(Partition{Without: true, Labels: sorted(names)}, why)
}

// meet keeps what both keep. If that is nothing, why says so unless one side had a reason already.
func (p Partition) meet(o Partition, why string) Partition {
	if p.IsWhole() {
		return p
	}
	if o.IsWhole() {
		return o
	}
	var out Partition
	switch {
	case p.Without && o.Without:
		out = Partition{Without: true, Labels: sorted(append(slices.Clone(p.Labels), o.Labels...))}
	case p.Without:
		return o.meet(p, why)
	default:
		for _, name := range p.Labels {
			if slices.Contains(o.Labels, name) != o.Without {
				out.Labels = append(out.Labels, name)
			}
		}
	}
	if out.IsWhole() {
		out.Whole = why
	}
	return out
}

func sorted(names []string) []string {
	out := slices.Clone(names)
	slices.Sort(out)
	return slices.Compact(out)
}

func whole(format string, args ...any) Partition {
	return Partition{Whole: fmt.Sprintf(format, args...)}
}

// every is the partition of what reads no series at all: it goes with any other.
func every() Partition { return Partition{Without: true} }

// PartitionOf finds the finest partition of an expression. For a partition P it holds that evaluating the expression
// over the series with P=v gives exactly those elements of the whole result that have P=v. Operator by operator:
//
//	selector, offset, range, subquery      all labels but __name__, __type__, __unit__, which functions drop
//	number, string, time(), pi()           every label: they read no series
//	sum, topk, quantile, … by (L)          of the operand's labels those in L
//	sum, topk, quantile, … without (L)     the operand's labels but L
//	sum(x), count(x), …                    none
//	count_values by (L)                    as by (L), but the label that it writes
//	a + b, a > b, a and b, a or b, …       labels that both keep; of these those in on (M), or not in ignoring (M);
//	                                       group_left and group_right lose the labels that they copy
//	vector and scalar                      labels that both keep
//	label_replace, label_join              the operand's labels but the one that is written
//	histogram_quantile, histogram_fraction the operand's labels but le
//	rate, abs, max_over_time, sort, …      what the arguments keep
//	absent, absent_over_time, scalar,      none: they look at all series at once, or make a series out of nothing
//	vector, hour() and so on without input
//
// A function that is not known here gives none, which is always right.
func PartitionOf(expr parser.Expr) Partition {
	switch e := expr.(type) {
	case *parser.NumberLiteral, *parser.StringLiteral:
		return every()
	case *parser.ParenExpr:
		return PartitionOf(e.Expr)
	case *parser.UnaryExpr:
		return PartitionOf(e.Expr)
	case *parser.StepInvariantExpr:
		return PartitionOf(e.Expr)
	case *parser.SubqueryExpr:
		return PartitionOf(e.Expr)
	case *parser.MatrixSelector:
		return PartitionOf(e.VectorSelector)
	case *parser.VectorSelector:
		return Partition{Without: true, Labels: []string{"__name__", "__type__", "__unit__"}}
	case *parser.AggregateExpr:
		return partitionOfAggregate(e)
	case *parser.BinaryExpr:
		return partitionOfBinary(e)
	case *parser.Call:
		return partitionOfCall(e)
	default:
		return whole("%T is not known to keep labels", expr)
	}
}

func partitionOfAggregate(e *parser.AggregateExpr) Partition {
	p := PartitionOf(e.Expr)
	if e.Param != nil {
		p = p.meet(PartitionOf(e.Param), "")
	}
	switch {
	case e.Without:
		p = p.without(fmt.Sprintf("%s without (%s) keeps none of the labels below it", e.Op, strings.Join(e.Grouping, ", ")), e.Grouping...)
	case len(e.Grouping) == 0:
		return p.meet(whole("%s aggregates over all series", e.Op), "")
	default:
		p = p.meet(Partition{Labels: sorted(e.Grouping)},
			fmt.Sprintf("%s by (%s) keeps none of the labels below it", e.Op, strings.Join(e.Grouping, ", ")))
	}
	if e.Op == parser.COUNT_VALUES {
		if name, ok := e.Param.(*parser.StringLiteral); ok {
			p = p.without("count_values writes the only label that is kept", name.Val)
		}
	}
	return p
}

func partitionOfBinary(e *parser.BinaryExpr) Partition {
	p := PartitionOf(e.LHS).meet(PartitionOf(e.RHS), fmt.Sprintf("the two sides of %s keep no label in common", e.Op))
	m := e.VectorMatching
	if m == nil {
		return p
	}
	if m.FillValues.LHS != nil || m.FillValues.RHS != nil {
		return whole("fill makes a series where there is none")
	}
	switch {
	case m.On && len(m.MatchingLabels) == 0:
		p = p.meet(whole("%s on () matches all series with each other", e.Op), "")
	case m.On:
		p = p.meet(Partition{Labels: sorted(m.MatchingLabels)},
			fmt.Sprintf("%s on (%s) matches by no label that both sides keep", e.Op, strings.Join(m.MatchingLabels, ", ")))
	default:
		p = p.without(fmt.Sprintf("%s ignoring (%s) matches by no label that both sides keep", e.Op, strings.Join(m.MatchingLabels, ", ")), m.MatchingLabels...)
	}
	return p.without("group_left or group_right overwrites the only label that is kept", m.Include...)
}

// elementwise are the functions whose result for a series depends on that series alone and has its labels.
var elementwise = map[string]bool{
	"abs": true, "acos": true, "acosh": true, "asin": true, "asinh": true, "atan": true, "atanh": true,
	"avg_over_time": true, "ceil": true, "changes": true, "clamp": true, "clamp_max": true, "clamp_min": true, "cos": true,
	"cosh": true, "count_over_time": true, "days_in_month": true, "day_of_month": true, "day_of_week": true,
	"day_of_year": true, "deg": true, "delta": true, "deriv": true, "double_exponential_smoothing": true, "exp": true,
	"first_over_time": true, "floor": true, "histogram_avg": true, "histogram_count": true, "histogram_stddev": true,
	"histogram_stdvar": true, "histogram_sum": true, "hour": true, "idelta": true, "increase": true, "irate": true,
	"last_over_time": true, "ln": true, "log10": true, "log2": true, "mad_over_time": true, "max_over_time": true,
	"min_over_time": true, "minute": true, "month": true, "predict_linear": true, "present_over_time": true,
	"quantile_over_time": true, "rad": true, "rate": true, "resets": true, "round": true, "sgn": true, "sin": true,
	"sinh": true, "sort": true, "sort_by_label": true, "sort_by_label_desc": true, "sort_desc": true, "sqrt": true,
	"stddev_over_time": true, "stdvar_over_time": true, "sum_over_time": true, "tan": true, "tanh": true,
	"timestamp": true, "year": true,
}

func partitionOfCall(e *parser.Call) Partition {
	p := every()
	for _, arg := range e.Args {
		p = p.meet(PartitionOf(arg), fmt.Sprintf("the arguments of %s keep no label in common", e.Func.Name))
	}
	switch name := e.Func.Name; name {
	case "time", "pi":
		return p
	case "label_replace", "label_join":
		if dst, ok := e.Args[1].(*parser.StringLiteral); ok {
			return p.without(name+" writes the only label that is kept", dst.Val)
		}
	case "histogram_quantile", "histogram_fraction":
		return p.without(name+" drops the only label that is kept", "le")
	case "absent", "absent_over_time", "scalar":
		return whole("%s looks at all series at once", name)
	case "vector":
		return whole("vector makes a series out of nothing")
	default:
		if elementwise[name] && len(e.Args) > 0 {
			return p
		}
		if elementwise[name] {
			return whole("%s() makes a series out of nothing", name)
		}
	}
	return whole("%s is not known to keep labels", e.Func.Name)
}
