package rules

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"pgregory.net/rapid"

	"alertd"
)

// grammar draws expressions. Metrics a and b, labels x, y and le, so that joins meet, miss and clash.
type grammar struct{ t *rapid.T }

func (g grammar) pick(of ...string) string { return rapid.SampledFrom(of).Draw(g.t, "pick") }

func (g grammar) n(below int) int { return rapid.IntRange(0, below-1).Draw(g.t, "n") }

// fixed is a time at which the series may begin, run or be over.
func (g grammar) fixed() int64 {
	return t0.Unix() + int64(rapid.SampledFrom([]int{-30, 0, 10, 45, 120, 300}).Draw(g.t, "fixed"))
}

func (g grammar) names() string {
	return g.pick("", "x", "y", "le", "x, y", "y, le", "x, y, le", "z")
}

func (g grammar) selector() string {
	s := g.pick("a", "b", "a", "b", `{__name__=~"a|b"}`) +
		g.pick("", "", "", `{x="1"}`, `{y!=""}`, `{x=~"1|2"}`)
	return strings.Replace(s, "}{", ", ", 1)
}

func (g grammar) scalar(depth int) string {
	switch g.n(8) {
	case 0:
		return g.pick("time()", "-(1 + 2 ^ 2)", "time() - 5")
	case 1:
		if depth > 0 {
			return "scalar(" + g.vector(depth-1) + ")"
		}
	}
	return g.pick("0", "1", "2.5", "-1", "0.1", "NaN", "Inf")
}

func (g grammar) vector(depth int) string {
	if depth == 0 {
		if g.n(2) == 0 { // as most rules have it
			return g.pick("a", "b") + g.pick("", "", `{x="1"}`)
		}
		return g.selector() + g.pick("", "", "", " offset 20s", fmt.Sprintf(" @ %d", g.fixed()))
	}
	in := func() string { return g.vector(depth - 1) }
	switch g.n(16) {
	case 0, 1, 2:
		fn := g.pick("rate", "increase", "irate", "delta", "idelta", "changes", "resets", "deriv", "avg_over_time", "min_over_time",
			"max_over_time", "sum_over_time", "count_over_time", "last_over_time", "first_over_time", "present_over_time", "stddev_over_time")
		return fn + "(" + g.selector() + g.pick("[30s]", "[1m]", "[2m]") + g.pick("", "", " offset 10s", fmt.Sprintf(" @ %d offset 10s", g.fixed())) + ")"
	case 3, 4, 5:
		op := g.pick("sum", "avg", "min", "max", "count", "group", "stddev", "sum", "max")
		return op + g.pick(" by (", " by (", " without (") + g.names() + ") (" + in() + ")"
	case 6:
		return g.pick("sum(", "count(", "max(") + in() + ")"
	case 7:
		// Of equals topk takes the first, and what is first below another operator Prometheus leaves to chance.
		return g.pick("topk", "bottomk") + g.pick(" by (", " without (") + g.names() + ") (1, " + g.selector() + ")"
	case 8, 9:
		op := g.pick("+", "-", "*", "/", "%", "^", ">", "<", ">=", "<=", "==", "!=", "> bool", "== bool")
		if g.n(2) == 0 {
			return "(" + in() + " " + op + " " + g.scalar(depth) + ")"
		}
		return "(" + g.scalar(depth) + " " + op + " " + in() + ")"
	case 10, 11:
		op := g.pick("+", "-", "/", ">", "<", ">=", "==", "!= bool", "and", "or", "unless", "and", "unless")
		match := ""
		if g.n(2) == 0 {
			match = g.pick(" on (", " ignoring (") + g.names() + ")"
			if !slices.Contains([]string{"and", "or", "unless"}, op) && g.n(3) == 0 {
				match += g.pick(" group_left", " group_right") + g.pick("", "(y)", "(le)")
			}
		}
		return "(" + in() + " " + op + match + " " + in() + ")"
	case 12:
		return g.pick("abs(", "-(", "ceil(", "sgn(", "timestamp(", "sort(", "hour(") + in() + ")"
	case 13:
		return g.pick("absent("+in()+")", "vector("+g.scalar(depth)+")", "absent_over_time("+g.selector()+"[1m])",
			"histogram_quantile(0.9, "+in()+")")
	case 14:
		return g.pick(`label_replace(`+in()+`, "x", "$1", "y", "(.*)")`, `label_join(`+in()+`, "z", "-", "x", "y")`,
			`count_values by (`+g.names()+`) ("y", `+in()+`)`)
	default:
		return g.pick("max_over_time", "avg_over_time", "count_over_time", "rate") + "((" + in() + ")[1m:15s]" + g.pick("", "", fmt.Sprintf(" @ %d", g.fixed())) + ")"
	}
}

// expression draws one that parses.
func expression(t *rapid.T) string {
	for {
		text := grammar{t}.vector(rapid.IntRange(1, 3).Draw(t, "depth"))
		if expr, err := promqlParser.ParseExpr(text); err == nil && expr.Type() == "vector" {
			return text
		}
	}
}

var (
	drawSeries = rapid.Custom(func(t *rapid.T) labels.Labels {
		draw := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "label") }
		return labels.New(
			labels.Label{Name: "__name__", Value: draw("a", "b")}, labels.Label{Name: "x", Value: draw("", "1", "2")},
			labels.Label{Name: "y", Value: draw("", "1", "2,=")}, labels.Label{Name: "le", Value: draw("", "1", "+Inf")},
		).WithoutEmpty()
	})
	drawValue = rapid.Custom(func(t *rapid.T) float64 {
		return rapid.SampledFrom([]float64{0, 1, 2, 3, 0.1, 0.2, 5, 1e300, math.NaN(), math.Inf(1), math.Float64frombits(value.StaleNaN)}).Draw(t, "value")
	})
)

// findings are what an expression's result becomes, as text: labels, scope and the value's bits.
func expected(p Partition, rough bool, vector promql.Vector, scope func(string) bool) string {
	var lines []string
	for _, el := range vector {
		if s := p.Scope(el.Metric); scope(s) {
			ls := labels.NewBuilder(el.Metric).Del("__name__").Set("alertname", "Aa").Labels()
			lines = append(lines, line(ls, s, el.F, rough))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func line(ls labels.Labels, scope string, v float64, rough bool) string {
	switch {
	case math.IsNaN(v):
		return fmt.Sprintf("%s [%s] NaN", ls, scope)
	case rough:
		return fmt.Sprintf("%s [%s] %.9g", ls, scope, v)
	}
	return fmt.Sprintf("%s [%s] %v %x", ls, scope, v, math.Float64bits(v))
}

func got(v alertd.Verdict, rough bool) string {
	var lines []string
	for _, f := range v.True {
		lines = append(lines, line(f.Labels, f.Scope, float64(f.Value), rough))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func hasDuplicates(text string) bool {
	var last string
	for l := range strings.Lines(text) {
		ls, _, _ := strings.Cut(l, " [")
		if ls == last {
			return true
		}
		last = ls
	}
	return false
}

// TestEvaluationEqualsPrometheus: whatever the expression and whatever the order in which samples arrive, each
// verdict is what Prometheus's engine finds in all samples at the same instant; that of a key is the part of it
// that belongs to the key. Run it with -rapid.checks=100000 after a change to partitions or programs.
func TestEvaluationEqualsPrometheus(t *testing.T) {
	var keyed, cheap, findings, failed uint64
	check := func(t *rapid.T) {
		text := expression(t)
		set, err := Parse([]File{{"test.yaml", []byte(alerts(text))}})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		// In a subquery Prometheus leaves the order in which it adds up to chance.
		rough := strings.Contains(text, "[1m:15s]")
		partition := set.groups[0].rules[0].partition
		e := NewEvaluator(set, Options{NoEvents: rapid.IntRange(0, 5).Draw(t, "noevents") == 0}, t0)
		o := newOracle()
		now := t0
		list := rapid.SliceOfN(drawSeries, 1, 12).Draw(t, "series")
		for step := range rapid.IntRange(1, 25).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "wait")) * time.Millisecond)
			var samples []alertd.Sample
			for range rapid.IntRange(0, 6).Draw(t, "samples") {
				at := now.Add(-time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 500, 7000, 40_000}).Draw(t, "late")) * time.Millisecond)
				samples = append(samples, alertd.Sample{
					Labels: rapid.SampledFrom(list).Draw(t, "of"), T: at.UnixMilli(), V: drawValue.Draw(t, "v"),
				})
			}
			o.add(samples...)
			if rapid.IntRange(0, 9).Draw(t, "warm") == 0 {
				e.Warm(samples)
			} else {
				e.Append(now, uint64(step+1), samples)
			}
			e.Retell()
			for _, v := range e.Run(now) {
				all, oracleErr := o.ask(t, text, v.At)
				want := expected(partition, rough, all, func(s string) bool { return v.Scope == "" || s == v.Scope })
				switch {
				case v.Scope == "" && e.rules[0].latest > v.At.UnixMilli():
					// A tick that repeats what later evaluations found; TestTickDoesNotTakeBack looks at that.
				case v.Err != "":
					failed++
					if oracleErr == nil && !hasDuplicates(want) {
						t.Fatalf("%s\n%s [%s] failed: %s\nwant:\n%s", text, partition, v.Scope, v.Err, want)
					}
				case oracleErr != nil && v.Scope != "":
					// The clash is in another key.
				case oracleErr != nil || hasDuplicates(want):
					t.Fatalf("%s\n%s [%s] at %s gives\n%s\nbut Prometheus fails: %v", text, partition, v.Scope, v.At, got(v, rough), oracleErr)
				case got(v, rough) != want:
					t.Fatalf("%s\n%s [%s] at %s\n got:\n%s\nwant:\n%s", text, partition, v.Scope, v.At, got(v, rough), want)
				}
				findings += uint64(len(v.True))
			}
		}
		st := e.Stats()
		keyed, cheap = keyed+st.Keyed, cheap+st.Cheap
		if !e.opts.NoEvents {
			e.Run(now.Add(time.Minute))
			if e.counts.Dirty != 0 {
				t.Fatalf("%s: %d keys were never evaluated", text, e.counts.Dirty)
			}
		}
	}
	for range 10 { // a hundred expressions are few for such a grammar
		rapid.Check(t, check)
	}
	t.Logf("%d evaluations of keys, %d cheap ones, %d findings, %d errors", keyed, cheap, findings, failed)
	if keyed == 0 || findings == 0 || cheap == 0 {
		t.Error("the test saw nothing")
	}
}

// TestRestart: an evaluator that was warmed with the same samples, in any order, answers the same.
func TestRestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := expression(t)
		set, err := Parse([]File{{"test.yaml", []byte(alerts(text))}})
		if err != nil {
			t.Fatal(err)
		}
		list := rapid.SliceOfN(drawSeries, 1, 8).Draw(t, "series")
		var samples []alertd.Sample
		seen := make(map[string]bool)
		for i := range rapid.IntRange(1, 60).Draw(t, "samples") {
			s := alertd.Sample{Labels: rapid.SampledFrom(list).Draw(t, "of"), T: t0.Add(time.Duration(i) * time.Second).UnixMilli(), V: drawValue.Draw(t, "v")}
			if id := fmt.Sprint(s.Labels, s.T); !seen[id] {
				seen[id] = true
				samples = append(samples, s)
			}
		}
		now := t0.Add(time.Minute)
		first := NewEvaluator(set, Options{}, t0)
		first.Append(now, 1, samples)
		second := NewEvaluator(set, Options{}, now)
		second.Warm(rapid.Permutation(samples).Draw(t, "order"))
		first.Run(now)
		first.Run(now.Add(10 * time.Second)) // keys that waited for another metric
		later := now.Add(time.Duration(rapid.IntRange(20, 600).Draw(t, "later")) * time.Second)
		last := alertd.Sample{Labels: list[0], T: later.UnixMilli(), V: 2}
		for _, e := range []*Evaluator{first, second} {
			e.Retell()
			e.Append(later, 2, []alertd.Sample{last})
		}
		a, b := first.Run(later.Add(time.Second)), second.Run(later.Add(time.Second))
		if show(a) != show(b) {
			t.Fatalf("%s\nbefore the restart:\n%s\nafter it:\n%s", text, show(a), show(b))
		}
	})
}

// TestProgramsAtTheEdges compares programs with the engine at the instants where a sample enters or leaves.
func TestProgramsAtTheEdges(t *testing.T) {
	for _, text := range []string{
		"a > 0", "a offset 1m > 0", "rate(a[1m])", "sum_over_time(a[1m] offset 30s)", "last_over_time(a[1m])", "a - ignoring (y) b",
		"time() - a > 5", "sum without (y) (a) > bool 1", "avg by (x) (a)", "max(a) / on () sum(b)", "a unless b", "a or b",
	} {
		e := NewEvaluator(mustParse(t, alerts(text)), Options{}, t0)
		r := e.rules[0]
		if r.program == nil {
			t.Errorf("%s is not compiled", text)
			continue
		}
		for i := range 4 {
			at := t0.Add(time.Duration(i) * 20 * time.Second)
			e.Warm([]alertd.Sample{sample(t, `a{x="1"}`, at, float64(i*i)), sample(t, `b{x="1",y="2"}`, at.Add(time.Second), 3)})
		}
		program, seen := r.program, 0
		for _, d := range []time.Duration{0, 20 * time.Second, 30 * time.Second, time.Minute, 80 * time.Second, 2 * time.Minute, 5 * time.Minute, 6 * time.Minute, 7 * time.Minute} {
			for _, off := range []time.Duration{-time.Millisecond, 0, time.Millisecond} {
				at := t0.Add(d + off).UnixMilli()
				r.program = program
				fast, err := e.query(view{window: e.window, rule: r}, text, at)
				if err != nil {
					t.Fatal(err)
				}
				fast = slices.Clone(fast)
				r.program = nil
				slow, err := e.query(view{window: e.window, rule: r}, r.text, at)
				if err != nil {
					t.Fatal(err)
				}
				seen += len(slow)
				byMetric := func(a, b promql.Sample) int { return labels.Compare(a.Metric, b.Metric) }
				slices.SortFunc(fast, byMetric) // it stands in the order of the keys
				slices.SortFunc(slow, byMetric)
				if a, b := fmt.Sprint(fast), fmt.Sprint(slow); a != b {
					t.Errorf("%s at %s%+d ms: %s, engine %s", text, d, off.Milliseconds(), a, b)
				}
			}
		}
		if seen == 0 {
			t.Errorf("%s: nothing was ever found", text)
		}
	}
}
