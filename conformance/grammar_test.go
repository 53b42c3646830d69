package conformance

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"pgregory.net/rapid"

	"alertd"
)

// grammar draws rule files. Its metrics are
//
//	g, k       gauges; k has one series a value of x, for joins of many to one
//	c_total    a counter
//	d_bucket   a classic histogram
//	n          a native histogram, of counters or of gauges
//	r:g, r:c   what recording rules of the same group write
//	ALERTS, ALERTS_FOR_STATE
type grammar struct {
	t        *rapid.T
	recorded []string // recording rules that stand above
	alerts   bool     // rules may read what fires, and there is no limit
}

func (g grammar) pick(of ...string) string { return rapid.SampledFrom(of).Draw(g.t, "pick") }

func (g grammar) n(below int) int { return rapid.IntRange(0, below-1).Draw(g.t, "n") }

func (g grammar) names() string { return g.pick("x", "y", "x, y", "x", "z", "") }

func (g grammar) metric() string {
	return g.pick(append(g.recorded, "g", "g", "k", "c_total", "d_bucket")...)
}

func (g grammar) selector(metric string) string {
	return metric + g.pick("", "", "", `{x="1"}`, `{y!=""}`, `{x=~"1|2"}`, `{y=""}`)
}

func (g grammar) moved() string {
	return g.pick("", "", "", "", " offset 20s", " offset -10s", " @ end()", " @ start() offset 15s", g.fixed(), g.fixed()+" offset 20s")
}

// fixed is a time in the past, in the present or in the future of what is published.
func (g grammar) fixed() string {
	at := began.Add(time.Duration(rapid.SampledFrom([]int{-60_000, -1, 0, 20_000, 45_500, 90_000, 200_000, 1e9}).Draw(g.t, "fixed")) * time.Millisecond)
	return fmt.Sprintf(" @ %.3f", float64(at.UnixMilli())/1000)
}

func (g grammar) ranged(metric string) string {
	return g.selector(metric) + g.pick("[30s]", "[1m]", "[1m]", "[2m]") + g.moved()
}

func (g grammar) scalar(depth int) string {
	switch g.n(9) {
	case 0:
		return g.pick("time() - 1e9", "-(1 + 2 ^ 2)")
	case 1:
		if depth > 0 {
			return "scalar(" + g.vector(depth-1) + ")"
		}
	}
	return g.pick("0", "1", "3", "5", "8", "-1", "0.5")
}

func (g grammar) vector(depth int) string {
	if depth == 0 {
		return g.selector(g.metric()) + g.moved()
	}
	in := func() string { return g.vector(depth - 1) }
	if g.alerts && g.n(8) == 0 {
		// Not label by label: where a rule's label comes out empty, Prometheus writes its template into ALERTS.
		return g.pick("count by (alertname, alertstate, x) (ALERTS)", `count by (alertname) (ALERTS{alertstate="firing"})`,
			`max by (alertname) (ALERTS_FOR_STATE) - 1e9`, `absent(ALERTS{alertname="A0"})`, `count by (alertname, x) (count_over_time(ALERTS[1m]))`,
			`(`+in()+` unless on (x) ALERTS{alertstate="pending"})`)
	}
	switch g.n(22) {
	case 0, 1:
		return g.pick("rate", "increase", "irate", "changes", "resets") + "(" + g.ranged("c_total") + ")"
	case 2:
		return g.pick("delta", "idelta", "deriv", "avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time",
			"last_over_time", "present_over_time", "stddev_over_time", "changes") + "(" + g.ranged(g.metric()) + ")"
	case 3:
		return g.pick("quantile_over_time(0.9, "+g.ranged(g.metric())+")", "predict_linear("+g.ranged("g")+", 60)")
	case 4, 5, 6:
		op := g.pick("sum", "avg", "min", "max", "count", "group", "stddev", "sum", "max")
		return op + g.pick(" by (", " by (", " without (") + g.names() + ") (" + in() + ")"
	case 7:
		return g.pick("sum(", "count(", "max(") + in() + ")"
	case 8:
		// Of equals topk takes the first, and what is first Prometheus leaves to chance; values of g never are equal.
		return g.pick("topk", "bottomk") + g.pick(" by (", " without (", " by (") + g.pick("x", "y") + ") (" + g.pick("1", "2") + ", " + g.selector("g") + ")"
	case 9:
		return g.pick("quantile by (x) (0.5, "+in()+")", `count_values by (x) ("z", `+in()+`)`)
	case 10, 11:
		op := g.pick("+", "-", "*", "/", "%", ">", "<", ">=", "<=", "==", "!=", "> bool", "== bool")
		if g.n(3) > 0 {
			return "(" + in() + " " + op + " " + g.scalar(depth) + ")"
		}
		return "(" + g.scalar(depth) + " " + op + " " + in() + ")"
	case 12, 13:
		op := g.pick("+", "-", "/", ">", "<", ">=", "and", "or", "unless", "and", "unless")
		match := ""
		if g.n(2) == 0 {
			match = g.pick(" on (", " ignoring (") + g.names() + ")"
			if !slices.Contains([]string{"and", "or", "unless"}, op) && g.n(2) == 0 {
				match += g.pick(" group_left", " group_right") + g.pick("", " (y)")
			}
		}
		return "(" + in() + " " + op + match + " " + in() + ")"
	case 14:
		return "(" + g.selector("g") + " " + g.pick("*", ">", "/", "-") + g.pick(" on (x)", " ignoring (y)") + " group_left" + g.pick("", " (z)") + " k)"
	case 15:
		return g.pick("abs(", "-(", "ceil(", "timestamp(", "clamp_max(3, ", "hour(") + in() + ")"
	case 16:
		return g.pick("absent("+g.selector("g")+")", "absent("+in()+")", "vector("+g.scalar(depth)+")", "absent_over_time("+g.ranged(g.metric())+")")
	case 17:
		return g.pick("histogram_quantile(0.9, sum by (x, le) (rate("+g.ranged("d_bucket")+")))", "histogram_quantile(0.5, "+g.selector("d_bucket")+")",
			"histogram_quantile(0.9, "+in()+")")
	case 18, 19:
		h := g.pick(g.selector("n")+g.moved(), "rate("+g.ranged("n")+")", "increase("+g.ranged("n")+")", "sum by (x) (rate("+g.ranged("n")+"))",
			"sum by ("+g.names()+") ("+g.selector("n")+")", "last_over_time("+g.ranged("n")+")", "avg_over_time("+g.ranged("n")+")", "irate("+g.ranged("n")+")",
			"delta("+g.ranged("n")+")", "sum_over_time("+g.ranged("n")+")")
		return g.pick("histogram_quantile(0.9, ", "histogram_count(", "histogram_sum(", "histogram_avg(", "histogram_fraction(0, 2, ", "(", "(", "resets(("+g.selector("n")+")[1m:10s]) or (", "absent(") + h + ")"
	case 20:
		return g.pick(`label_replace(`+in()+`, "z", "$1", "y", "(.*)")`, `label_replace(`+in()+`, "x", "v$1", "x", "(.*)")`, `label_join(`+in()+`, "z", "-", "x", "y")`)
	default:
		return g.pick("max_over_time", "avg_over_time", "count_over_time", "rate") + "((" + in() + ")[1m:15s]" + g.moved() + ")"
	}
}

// expression draws one that parses.
func (g grammar) expression(depth int) string {
	p := parser.NewParser(parser.Options{})
	for {
		text := g.vector(depth)
		if expr, err := p.ParseExpr(text); err == nil && expr.Type() == parser.ValueTypeVector {
			return text
		}
	}
}

// condition draws an expression, mostly one that compares.
func (g grammar) condition() string {
	x := g.expression(rapid.IntRange(0, 3).Draw(g.t, "depth"))
	if g.n(3) == 0 {
		return x
	}
	return x + g.pick(" > ", " < ", " >= ", " != ") + g.scalar(0)
}

// file draws a rule file of one group: recording rules, then alerting rules.
func (g grammar) file() string {
	var b strings.Builder
	fmt.Fprintf(&b, "groups:\n- name: g\n  interval: %s\n", g.pick("15s", "10s", "30s"))
	if g.n(5) == 0 {
		b.WriteString("  query_offset: " + g.pick("5s", "20s") + "\n")
	}
	// Over the limit Prometheus forgets what fires, and alertd does not: they agree on what is found, not on what follows.
	if !g.alerts && g.n(4) == 0 {
		b.WriteString("  limit: " + g.pick("1", "2", "3") + "\n")
	}
	if g.n(6) == 0 {
		b.WriteString("  labels: {team: infra, severity: info}\n")
	}
	b.WriteString("  rules:\n")
	for _, name := range []string{"r:g", "r:c"} {
		if g.n(3) == 0 {
			fmt.Fprintf(&b, "  - record: %s\n    expr: %s\n", name, g.expression(g.n(3)))
			if g.n(3) == 0 {
				b.WriteString("    labels: {z: rec}\n")
			}
			g.recorded = append(g.recorded, name)
		}
	}
	for i := range 1 + g.n(3) {
		fmt.Fprintf(&b, "  - alert: A%d\n    expr: %s\n", i, g.condition())
		if s := g.pick("", "", "15s", "35s", "1m"); s != "" {
			b.WriteString("    for: " + s + "\n")
		}
		if s := g.pick("", "", "20s", "1m"); s != "" {
			b.WriteString("    keep_firing_for: " + s + "\n")
		}
		b.WriteString(g.pick("", "", "    labels: {severity: critical}\n", "    labels: {y: '{{ $labels.y }}', z: fixed}\n",
			"    labels: {big: '{{ if gt $value 4.0 }}yes{{ else }}no{{ end }}'}\n", "    labels: {x: ''}\n"))
		b.WriteString(g.pick("", "    annotations: {summary: '{{ $labels.x }} has {{ $value | humanize }}'}\n",
			"    annotations: {summary: '{{ with query \"sum(g)\" }}{{ . | first | value }}{{ end }}'}\n",
			"    annotations: {summary: '{{ $labels.nothing }} {{ query \"nothing\" | first | value }}'}\n"))
	}
	return b.String()
}

// began is a slot of nothing by accident.
var began = time.Date(2026, 1, 15, 10, 30, 0, 123e6, time.UTC)

// publisher is one series and what it says next.
type publisher struct {
	labels  labels.Labels
	metric  string
	index   int
	silent  int // steps
	count   float64
	buckets [4]float64
	schema  int32
	gauge   bool
	seen    map[int64]bool
}

func publishers(t *rapid.T) (out []*publisher) {
	add := func(metric string, pairs ...string) {
		if rapid.IntRange(0, 9).Draw(t, "there") < 8 {
			ls := labels.FromStrings(append([]string{"__name__", metric}, pairs...)...).WithoutEmpty()
			out = append(out, &publisher{labels: ls, metric: metric, index: len(out), gauge: rapid.IntRange(0, 5).Draw(t, "gauge") == 0, seen: map[int64]bool{}})
		}
	}
	for _, x := range []string{"1", "2", ""} {
		add("k", "x", x, "z", "of "+x)
		add("n", "x", x)
		for _, y := range []string{"a,=", ""} {
			add("g", "x", x, "y", y)
			add("c_total", "x", x, "y", y)
		}
		for _, le := range []string{"1", "5", "+Inf"} {
			add("d_bucket", "x", x, "le", le)
		}
	}
	return out
}

// say draws what the publisher publishes at about now; false if nothing.
func (p *publisher) say(t *rapid.T, now time.Time) (alertd.Sample, bool) {
	roll := rapid.IntRange(0, 99).Draw(t, "say")
	if p.silent > 0 {
		p.silent--
		return alertd.Sample{}, false
	}
	s := alertd.Sample{Labels: p.labels}
	stale := false
	switch {
	case roll < 3:
		p.silent = rapid.IntRange(1, 30).Draw(t, "silent")
		return s, false
	case roll < 6:
		p.silent, stale = rapid.IntRange(0, 5).Draw(t, "silent"), true
	case roll < 9:
		p.count, p.buckets = 0, [4]float64{} // restarted
	case roll < 11:
		p.schema ^= 1
	case roll < 30:
		return s, false
	}
	// Whole numbers, and a fraction that tells series apart and that sums keep exactly.
	grow := float64(rapid.IntRange(0, 6).Draw(t, "grow"))
	switch p.metric {
	case "g", "k":
		s.V = grow + float64(p.index)/64
	case "n":
		p.buckets[rapid.IntRange(0, 3).Draw(t, "bucket")] += grow
		s.H = p.histogram()
	default:
		p.count += grow
		s.V = p.count
	}
	switch {
	case stale && s.H != nil && roll < 5:
		s.H = &histogram.FloatHistogram{Sum: math.Float64frombits(value.StaleNaN)}
	case stale:
		s.V, s.H = math.Float64frombits(value.StaleNaN), nil
	}
	late := rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, 500, 7000, 40_000, -1000, 100_000}).Draw(t, "late")
	s.T = now.UnixMilli() - int64(late)
	if p.seen[s.T] {
		return s, false
	}
	p.seen[s.T] = true
	return s, true
}

func (p *publisher) histogram() *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{
		Schema: p.schema, ZeroThreshold: 0.001, ZeroCount: p.buckets[3],
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 1}}, PositiveBuckets: slices.Clone(p.buckets[:3]),
	}
	for i, n := range p.buckets {
		h.Count += n
		h.Sum += n * float64(i)
	}
	if p.gauge {
		h.CounterResetHint = histogram.GaugeType
	}
	return h
}
