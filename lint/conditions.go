package lint

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"alertd/rules"
)

// duplicates calls f for every pair of rules with the same key, the first of them first.
func (r *run) duplicates(key func(*rules.Definition) string, f func(first, second *rules.Definition)) {
	seen := make(map[string]*rules.Definition)
	for _, d := range r.rules {
		k := key(d)
		if k == "" {
			continue
		}
		if first, ok := seen[k]; ok {
			f(first, d)
			continue
		}
		seen[k] = d
	}
}

// result is what the rules that have it give the same names and labels: a kind, a name, and the rule's labels.
func result(d *rules.Definition) string {
	kind := "record"
	if d.Rule != nil {
		kind = "alert"
	}
	return kind + "\x00" + d.Name() + "\x00" + d.LabelSet().String()
}

func duplicateRules(r *run) {
	r.duplicates(func(d *rules.Definition) string { return result(d) + "\x00" + d.Query }, func(first, second *rules.Definition) {
		r.at(second, "%s is the same rule as the one at %s; remove one of them", second.Name(), place(first))
	})
}

func sameAlert(r *run) {
	r.duplicates(result, func(first, second *rules.Definition) {
		switch {
		case first.Query == second.Query: // they are duplicates
		case first.Rule == nil:
			r.at(second, "%s writes the same series as the rule at %s; give one of them another name or another label", second.Name(), place(first))
		default:
			r.at(second, "%s raises the same alerts as the rule at %s, which resolves what this one fires; combine them with `or`, or give one another name or label",
				second.Name(), place(first))
		}
	})
}

func sameCondition(r *run) {
	r.duplicates(func(d *rules.Definition) string {
		if d.Rule == nil {
			return ""
		}
		return d.LabelSet().String() + "\x00" + d.Query
	}, func(first, second *rules.Definition) {
		if first.Name() != second.Name() {
			r.at(second, "%s has the expression and the labels of %s at %s, so people are told twice; remove one of them", second.Name(), first.Name(), place(first))
		}
	})
}

// eventSelector finds rules that were meant to be on events and lack the comment that says so. Somebody may have a metric
// called event, so only one that also chooses a type is asked about.
func eventSelector(r *run) {
	r.alerts(func(d *rules.Definition) {
		s, ok := d.Expr.(*parser.VectorSelector)
		if ok && s.Name == "event" && slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "type" }) {
			r.at(d, "%s is about series called event; if it is meant for events write `# alertd: on: event` above it", d.Name())
		}
	})
}

// fixedTime says which selectors a restart may leave without data.
func fixedTime(r *run) {
	for _, f := range r.Rules.Fixed() {
		r.report(f.File, f.Line, f.Column, "%s", f.Limit())
	}
}

// everyError looks at comparisons that alone make the alert fire.
func everyError(r *run) {
	r.alerts(func(d *rules.Definition) {
		if d.Expr == nil || d.Rule.For > 0 {
			return
		}
		for _, c := range alternatives(d.Expr) {
			counter, number, op := c.LHS, c.RHS, c.Op
			if literal(counter) != nil {
				counter, number, op = number, counter, swapped(op)
			}
			n := literal(number)
			name := rawCounter(counter)
			if n == nil || name == "" {
				continue
			}
			first := op == parser.GTR && *n >= 0 && *n < 1 || op == parser.NEQ && *n == 0 || op == parser.GTE && *n > 0 && *n <= 1
			if !first {
				continue
			}
			line, column := d.At(c)
			r.report(d.File, line, column, "%s fires on the first error and stays, since %s only grows; write rate(%s[5m]) above a limit that matters, with a `for`",
				d.Name(), name, name)
		}
	})
}

// alternatives are the comparisons of which one alone makes the whole expression true.
func alternatives(expr parser.Expr) []*parser.BinaryExpr {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return alternatives(e.Expr)
	case *parser.BinaryExpr:
		if e.Op == parser.LOR {
			return append(alternatives(e.LHS), alternatives(e.RHS)...)
		}
		if e.Op.IsComparisonOperator() {
			return []*parser.BinaryExpr{e}
		}
	}
	return nil
}

// rawCounter is the name of the counter whose value, or a sum of whose values, the expression is; "" if it is not one.
func rawCounter(expr parser.Expr) string {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return rawCounter(e.Expr)
	case *parser.AggregateExpr:
		if slices.Contains([]parser.ItemType{parser.SUM, parser.MAX, parser.MIN, parser.AVG}, e.Op) {
			return rawCounter(e.Expr)
		}
	case *parser.VectorSelector:
		for _, suffix := range []string{"_total", "_count", "_errors", "_failures"} {
			if strings.HasSuffix(e.Name, suffix) {
				return e.Name
			}
		}
	}
	return ""
}

// literal is the number that an expression writes out; nil if it does not.
func literal(expr parser.Expr) *float64 {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return literal(e.Expr)
	case *parser.NumberLiteral:
		return &e.Val
	case *parser.UnaryExpr:
		if n := literal(e.Expr); n != nil && e.Op == parser.SUB {
			return new(-*n)
		}
	}
	return nil
}

// swapped is the comparison with its sides exchanged.
func swapped(op parser.ItemType) parser.ItemType {
	switch op {
	case parser.GTR:
		return parser.LSS
	case parser.LSS:
		return parser.GTR
	case parser.GTE:
		return parser.LTE
	case parser.LTE:
		return parser.GTE
	}
	return op
}

func neverTrue(r *run) {
	r.impossible(false, func(d *rules.Definition, c *parser.BinaryExpr, line, column int) {
		fix := "correct the limit or the side"
		if a, ok := unwrapped(c.LHS).(*parser.AggregateExpr); ok && a.Op == parser.COUNT {
			fix = "count() of nothing is nothing and not 0: use absent(…)"
		}
		r.report(d.File, line, column, "%s: `%s` is never true; %s", d.Name(), c, fix)
	})
}

// ratioThreshold leaves alone what is never true whatever a name means.
func ratioThreshold(r *run) {
	r.impossible(true, func(d *rules.Definition, c *parser.BinaryExpr, line, column int) {
		if !never(c, false) {
			r.report(d.File, line, column, "%s: `%s` compares a ratio, which goes from 0 to 1, with a percentage; divide the limit by 100", d.Name(), c)
		}
	})
}

// impossible calls f for every comparison that is never true.
func (r *run) impossible(ratios bool, f func(d *rules.Definition, c *parser.BinaryExpr, line, column int)) {
	for _, d := range r.rules {
		if d.Expr == nil {
			continue
		}
		parser.Inspect(d.Expr, func(n parser.Node, _ []parser.Node) error {
			if c, ok := n.(*parser.BinaryExpr); ok && c.Op.IsComparisonOperator() && !c.ReturnBool && never(c, ratios) {
				line, column := d.At(c)
				f(d, c, line, column)
			}
			return nil
		})
	}
}

func never(c *parser.BinaryExpr, ratios bool) bool {
	left, right := between(c.LHS, ratios), between(c.RHS, ratios)
	switch c.Op {
	case parser.GTR:
		return left.high <= right.low
	case parser.GTE:
		return left.high < right.low
	case parser.LSS:
		return left.low >= right.high
	case parser.LTE:
		return left.low > right.high
	case parser.EQLC:
		return left.high < right.low || left.low > right.high
	case parser.NEQ:
		return left.low == left.high && left == right
	}
	return false
}

// bounds are the least and the greatest value that an expression can have, NaN aside.
type bounds struct{ low, high float64 }

var anything = bounds{math.Inf(-1), math.Inf(1)}

// between knows a little about expressions, and of what it does not know it says that anything is possible. With
// ratios it believes names that end in _ratio.
func between(expr parser.Expr, ratios bool) bounds {
	switch e := expr.(type) {
	case *parser.NumberLiteral:
		if !math.IsNaN(e.Val) {
			return bounds{e.Val, e.Val}
		}
	case *parser.ParenExpr:
		return between(e.Expr, ratios)
	case *parser.UnaryExpr:
		if b := between(e.Expr, ratios); e.Op == parser.SUB {
			return bounds{-b.high, -b.low}
		} else {
			return b
		}
	case *parser.VectorSelector:
		switch {
		case e.Name == "up", ratios && strings.HasSuffix(e.Name, "_ratio"):
			return bounds{0, 1}
		case strings.HasSuffix(e.Name, "_total"):
			return bounds{0, math.Inf(1)}
		}
	case *parser.MatrixSelector:
		return between(e.VectorSelector, ratios)
	case *parser.SubqueryExpr:
		return between(e.Expr, ratios)
	case *parser.Call:
		return ofCall(e, ratios)
	case *parser.AggregateExpr:
		return ofAggregate(e, ratios)
	case *parser.BinaryExpr:
		return ofBinary(e, ratios)
	}
	return anything
}

func ofCall(e *parser.Call, ratios bool) bounds {
	switch e.Func.Name {
	case "absent", "absent_over_time", "present_over_time":
		return bounds{1, 1}
	case "rate", "increase", "irate":
		if between(e.Args[0], ratios).low >= 0 { // of what falls below 0 the rate does, too
			return bounds{0, math.Inf(1)}
		}
	case "resets", "changes", "abs", "stddev_over_time", "stdvar_over_time":
		return bounds{0, math.Inf(1)}
	case "count_over_time":
		return bounds{1, math.Inf(1)}
	case "avg_over_time", "min_over_time", "max_over_time", "last_over_time", "first_over_time", "vector":
		if len(e.Args) == 1 {
			return between(e.Args[0], ratios)
		}
	case "sgn":
		return bounds{-1, 1}
	case "minute":
		return bounds{0, 59}
	case "hour":
		return bounds{0, 23}
	case "day_of_week":
		return bounds{0, 6}
	case "day_of_month":
		return bounds{1, 31}
	case "month":
		return bounds{1, 12}
	}
	return anything
}

func ofAggregate(e *parser.AggregateExpr, ratios bool) bounds {
	switch e.Op {
	case parser.COUNT, parser.COUNT_VALUES:
		return bounds{1, math.Inf(1)}
	case parser.GROUP:
		return bounds{1, 1}
	case parser.STDDEV, parser.STDVAR:
		return bounds{0, math.Inf(1)}
	case parser.SUM:
		if b := between(e.Expr, ratios); b.low >= 0 {
			return bounds{b.low, math.Inf(1)}
		}
	case parser.MIN, parser.MAX, parser.AVG, parser.TOPK, parser.BOTTOMK:
		return between(e.Expr, ratios)
	}
	return anything
}

func ofBinary(e *parser.BinaryExpr, ratios bool) bounds {
	left, right := between(e.LHS, ratios), between(e.RHS, ratios)
	switch {
	case e.Op.IsComparisonOperator() && e.ReturnBool:
		return bounds{0, 1}
	case e.VectorMatching != nil && (e.VectorMatching.FillValues.LHS != nil || e.VectorMatching.FillValues.RHS != nil):
		return anything
	case e.Op == parser.LAND, e.Op == parser.LUNLESS:
		return left
	case e.Op.IsComparisonOperator():
		if e.LHS.Type() == parser.ValueTypeScalar {
			return right
		}
		return left
	case e.Op == parser.LOR:
		return bounds{min(left.low, right.low), max(left.high, right.high)}
	case e.Op == parser.ADD:
		return known(left.low+right.low, left.high+right.high)
	case e.Op == parser.SUB:
		return known(left.low-right.high, left.high-right.low)
	case e.Op == parser.MUL && right.low == right.high && right.low > 0:
		return known(left.low*right.low, left.high*right.low)
	case e.Op == parser.MUL && left.low == left.high && left.low > 0:
		return known(right.low*left.low, right.high*left.low)
	case e.Op == parser.MUL && left.low >= 0 && right.low >= 0:
		return bounds{0, math.Inf(1)}
	case e.Op == parser.DIV && right.low == right.high && right.low > 0:
		return known(left.low/right.low, left.high/right.low)
	case e.Op == parser.DIV && left.low >= 0 && right.low >= 0:
		return bounds{0, math.Inf(1)}
	}
	return anything
}

// known makes anything of what infinities leave undefined.
func known(low, high float64) bounds {
	if math.IsNaN(low) || math.IsNaN(high) {
		return anything
	}
	return bounds{low, high}
}

func unwrapped(expr parser.Expr) parser.Expr {
	if p, ok := expr.(*parser.ParenExpr); ok {
		return unwrapped(p.Expr)
	}
	return expr
}

// metricMissing trusts recording rules to write what they say.
func metricMissing(r *run) {
	if r.Arrived == nil {
		return
	}
	recorded := make(map[string]bool)
	for _, d := range r.rules {
		if d.Record != "" {
			recorded[d.Record] = true
		}
	}
	for _, d := range r.rules {
		for _, metric := range d.Metrics {
			if !strings.HasPrefix(metric, "{") && !r.Arrived[metric] && !recorded[metric] {
				r.at(d, "%s reads %s, which has not arrived since the daemon started; is it called so, and does anybody publish it?", d.Name(), metric)
			}
		}
	}
}
