package rules

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"alertd"
)

// t0 is not on a slot of anything by accident.
var t0 = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

func mustParse(t testing.TB, src string) *Set {
	t.Helper()
	set, err := Parse([]File{{"test.yaml", []byte(src)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// alerts makes a file of one group with one rule an expression.
func alerts(exprs ...string) string {
	var b strings.Builder
	b.WriteString("groups:\n- name: g\n  interval: 1m\n  rules:\n")
	for i, x := range exprs {
		b.WriteString("  - alert: A" + string(rune('a'+i)) + "\n    expr: |\n      " + strings.ReplaceAll(x, "\n", "\n      ") + "\n")
	}
	return b.String()
}

func metric(t testing.TB, text string) labels.Labels {
	t.Helper()
	ls, err := promqlParser.ParseMetric(text)
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

func sample(t testing.TB, text string, at time.Time, v float64) alertd.Sample {
	t.Helper()
	return alertd.Sample{Labels: metric(t, text), T: at.UnixMilli(), V: v}
}

// oracle holds every sample it was ever given, of one instant the last, and searches all of it: the simplest storage that is
// right.
type oracle struct {
	series map[string]*oracleSeries
}

type oracleSeries struct {
	ls labels.Labels
	ts []int64
	vs []float64
}

func newOracle() *oracle { return &oracle{series: make(map[string]*oracleSeries)} }

func (o *oracle) add(samples ...alertd.Sample) {
	for _, s := range samples {
		x := o.series[s.Labels.String()]
		if x == nil {
			x = &oracleSeries{ls: s.Labels}
			o.series[s.Labels.String()] = x
		}
		i, there := slices.BinarySearch(x.ts, s.T)
		if there {
			x.vs[i] = s.V
			continue
		}
		x.ts, x.vs = slices.Insert(x.ts, i, s.T), slices.Insert(x.vs, i, s.V)
	}
}

func (o *oracle) Querier(_, _ int64) (storage.Querier, error) { return o, nil }

func (o *oracle) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	var found []*oracleSeries
	for _, s := range o.series {
		if matches(ms, s.ls) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *oracleSeries) int { return labels.Compare(a.ls, b.ls) })
	return &oracleSet{found, -1}
}

func (*oracle) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (*oracle) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}
func (*oracle) Close() error { return nil }

type oracleSet struct {
	list []*oracleSeries
	i    int
}

func (s *oracleSet) Next() bool                      { s.i++; return s.i < len(s.list) }
func (s *oracleSet) At() storage.Series              { return s.list[s.i] }
func (*oracleSet) Err() error                        { return nil }
func (*oracleSet) Warnings() annotations.Annotations { return nil }

func (s *oracleSeries) Labels() labels.Labels { return s.ls }

func (s *oracleSeries) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	return &oracleIterator{chunkenc.NewNopIterator(), s, -1}
}

type oracleIterator struct {
	chunkenc.Iterator
	s *oracleSeries
	i int
}

func (it *oracleIterator) Next() chunkenc.ValueType {
	if it.i++; it.i < len(it.s.ts) {
		return chunkenc.ValFloat
	}
	return chunkenc.ValNone
}

func (it *oracleIterator) Seek(t millis) chunkenc.ValueType {
	for it.i < 0 || it.i < len(it.s.ts) && it.s.ts[it.i] < t {
		it.i++
	}
	it.i--
	return it.Next()
}

func (it *oracleIterator) At() (int64, float64) { return it.s.ts[it.i], it.s.vs[it.i] }
func (it *oracleIterator) AtT() int64           { return it.s.ts[it.i] }
func (it *oracleIterator) AtST() int64          { return 0 }

var plainEngine = promql.NewEngine(promql.EngineOpts{
	MaxSamples: querySamples, Timeout: queryTimeout, LookbackDelta: defaultLookbackDelta,
	NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	EnableAtModifier:         true, EnableNegativeOffset: true, Parser: promqlParser,
})

// ask evaluates an expression as Prometheus does.
func (o *oracle) ask(t interface{ Fatal(...any) }, expr string, at time.Time) (promql.Vector, error) {
	q, err := plainEngine.NewInstantQuery(context.Background(), o, nil, expr, at)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	switch res := q.Exec(context.Background()); v := res.Value.(type) {
	case promql.Vector:
		v = slices.Clone(v)
		return v, res.Err
	case promql.Scalar:
		return promql.Vector{{F: v.V}}, res.Err
	default:
		return nil, res.Err
	}
}

// show writes verdicts as lines that a person can compare.
func show(vs []alertd.Verdict) string {
	var b strings.Builder
	for _, v := range vs {
		b.WriteString(v.At.Sub(t0).String() + " " + v.Rule.Name + "[" + v.Scope + "]")
		if v.Err != "" {
			b.WriteString(" ERR " + v.Err)
		}
		for _, f := range v.True {
			ls := labels.NewBuilder(f.Labels).Del("alertname").Labels()
			b.WriteString(" " + ls.String() + "=" + f.Value.String())
			if f.Scope != v.Scope {
				b.WriteString("(" + f.Scope + ")")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
