package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"alertd"
	"alertd/config"
	"alertd/engine"
	"alertd/router"
	"alertd/rules"
)

// Result is how one test ended.
type Result struct {
	Test     string    `json:"test"`
	Line     int       `json:"line"`
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is one expectation that was not met, or what kept the test from running.
type Failure struct {
	Line int    `json:"line"`
	What string `json:"what"`
	// Diff has a line for each line of what was expected or got: "- " was expected and is not there, "+ " is there and
	// was not expected, "  " is both.
	Diff []string `json:"diff,omitempty"`
}

// Run runs every test of the file. ruleFiles are those that the file names. routing is needed where
// [Tests.NeedsRouting] says so. The error says that the rules cannot be read.
func (t *Tests) Run(ruleFiles []rules.File, routing *config.Routing) ([]Result, error) {
	set, err := rules.Parse(ruleFiles)
	if err != nil {
		return nil, err
	}
	var out []Result
	for i := range t.file.Tests {
		c := &t.file.Tests[i]
		r := Result{Test: c.Name, Line: c.line}
		if r.Test == "" {
			r.Test = fmt.Sprintf("unnamed#%d", i)
		}
		run := newTestRun(t, c, set, routing)
		if err := run.load(); err == nil {
			run.run()
		}
		r.Failures = run.failures
		slices.SortStableFunc(r.Failures, func(a, b Failure) int { return cmp.Compare(a.Line, b.Line) })
		out = append(out, r)
	}
	return out, nil
}

// promqlParser reads what Prometheus reads without feature flags.
var promqlParser = parser.NewParser(parser.Options{})

// testRun is one test while it runs.
type testRun struct {
	*testCase
	file      *testFile
	start     time.Time
	every     time.Duration
	rank      map[string]int // of groups
	evaluator *rules.Evaluator
	store     *rules.Window     // everything, for promql_expr_test
	samples   []alertd.Sample   // of input_series, by time
	judges    map[string]*judge // of alerting rules, by ID
	order     []*judge
	desk      *desk // nil: nobody asks what people are told
	failures  []Failure
}

// judge follows one alerting rule by itself, as promtool does: it does not matter what other rules say.
type judge struct {
	rule   *alertd.Rule
	desk   *desk
	series engine.Series
}

// nowhere is a routing that tells nobody.
var nowhere = func() *router.Route {
	r := &router.Route{Receiver: engine.Fallback, Deliver: alertd.Dashboard}
	r.Identify()
	return r
}()

func newTestRun(t *Tests, c *testCase, set *rules.Set, routing *config.Routing) *testRun {
	r := &testRun{
		testCase: c, file: &t.file, start: c.Start.get(), every: time.Duration(t.file.EvaluationInterval),
		rank: map[string]int{}, store: rules.NewWindow(), judges: map[string]*judge{},
	}
	for i, g := range t.file.GroupEvalOrder {
		r.rank[g] = i
	}
	r.evaluator = rules.NewEvaluator(set, rules.Options{
		Interval: r.every, ExternalURL: c.ExternalURL, ExternalLabels: c.ExternalLabels.Labels, NoEvents: true,
	}, r.start)
	for _, rule := range set.Rules() {
		j := &judge{
			rule: rule,
			desk: newDesk(&engine.Policy{Version: "test", Route: nowhere, Rules: map[string]bool{rule.ID: true}}, r.start),
		}
		r.judges[rule.ID] = j
		r.order = append(r.order, j)
	}
	if c.Notifications != nil && routing != nil {
		policy := &config.Policy{Version: "test", Rules: set, Routing: routing}
		r.desk = newDesk(policy.Engine(), r.start)
	}
	return r
}

func (r *testRun) fail(line int, diff []string, format string, args ...any) {
	r.failures = append(r.failures, Failure{Line: line, What: fmt.Sprintf(format, args...), Diff: diff})
}

// load reads the input series.
func (r *testRun) load() error {
	interval := time.Duration(r.Interval)
	if interval == 0 {
		interval = r.every
	}
	var failed error
	byLabels := map[uint64]bool{}
	for _, in := range slices.Backward(r.InputSeries) { // where a series is there twice, the last counts
		ls, values, err := promqlParser.ParseSeriesDesc(in.Series + " " + in.Values)
		if err != nil {
			r.fail(in.line, nil, "input_series %s: %s", in.Series, seriesError(err))
			failed = err
			continue
		}
		if byLabels[ls.Hash()] {
			continue
		}
		byLabels[ls.Hash()] = true
		for i, v := range values {
			if !v.Omitted {
				at := r.start.Add(time.Duration(i) * interval).UnixMilli()
				r.samples = append(r.samples, alertd.Sample{Labels: ls, T: at, V: v.Value, H: v.Histogram})
			}
		}
	}
	slices.SortStableFunc(r.samples, func(a, b alertd.Sample) int {
		return cmp.Or(cmp.Compare(a.T, b.T), labels.Compare(a.Labels, b.Labels))
	})
	for _, a := range r.AlertRuleTests {
		if a.AlertName == "" {
			r.fail(a.line, nil, "alert_rule_test at %s has no alertname", a.EvalTime)
			failed = errors.New("no alertname")
		}
	}
	for i := range r.Silences {
		if err := r.silence(i); err != nil {
			r.fail(r.Silences[i].line, nil, "silence: %s", err)
			failed = err
		}
	}
	slices.SortStableFunc(r.Events, func(a, b inputEvent) int { return a.At.from(r.start).Compare(b.At.from(r.start)) })
	return failed
}

// silence sets one silence, as the API does it.
func (r *testRun) silence(i int) error {
	want, err := r.Silences[i].silence(r.start)
	if err != nil || r.desk == nil {
		return err
	}
	in, _, err := r.desk.machine.PlanSilence(r.start, want, fmt.Sprintf("silence-%d", i+1), alertd.Actor{})
	if err == nil {
		for i := range in.Silences { // a test is about what it hides, not about the word before its end
			in.Silences[i].NoticedAt = r.start
		}
		r.desk.step(in)
	}
	return err
}

func seriesError(err error) string {
	if list, ok := errors.AsType[parser.ParseErrors](err); ok && len(list) > 0 {
		return list[0].Err.Error()
	}
	return err.Error()
}

// run evaluates all rules at every evaluation_interval, and compares what is to be compared in between.
func (r *testRun) run() {
	tests := slices.Clone(r.AlertRuleTests)
	slices.SortStableFunc(tests, func(a, b alertTest) int { return cmp.Compare(a.EvalTime, b.EvalTime) })
	end := r.end()
	for at := r.start; !at.After(end); at = at.Add(r.every) {
		r.happen(at)
		r.appendUntil(at)
		if !r.evaluate(at) {
			return
		}
		for len(tests) > 0 && r.start.Add(time.Duration(tests[0].EvalTime)).Before(at.Add(r.every)) {
			r.compareAlerts(tests[0])
			tests = tests[1:]
		}
	}
	for _, x := range r.ExprTests {
		r.compareSamples(x)
	}
	if r.desk != nil {
		r.happen(end)
		r.desk.until(end)
		r.desk.turn(end, nil)
		r.compareTold()
	}
}

// end is the latest instant that anybody asks for. Who asks what people are told, asks at least until the input ends.
func (r *testRun) end() time.Time {
	end := r.start
	later := func(t time.Time) {
		if t.After(end) {
			end = t
		}
	}
	for _, a := range r.AlertRuleTests {
		later(r.start.Add(time.Duration(a.EvalTime)))
	}
	for _, x := range r.ExprTests {
		later(r.start.Add(time.Duration(x.EvalTime)))
	}
	if r.Notifications != nil {
		for _, n := range *r.Notifications {
			later(n.At.from(r.start))
		}
		for _, e := range r.Events {
			later(e.At.from(r.start))
		}
		if n := len(r.samples); n > 0 {
			later(r.samples[n-1].Time())
		}
	}
	return end
}

// happen lets the events come that are due until an instant, each at its own.
func (r *testRun) happen(until time.Time) {
	for len(r.Events) > 0 {
		e := r.Events[0]
		at := e.At.from(r.start)
		if at.After(until) {
			return
		}
		r.Events = r.Events[1:]
		b := labels.NewBuilder(labels.FromMap(e.Labels))
		if e.Service != "" {
			b.Set(alertd.LabelService, e.Service)
		}
		o := alertd.Occurrence{Type: e.Type, Labels: b.Labels(), Message: e.Message, Time: at}
		for _, v := range r.evaluator.Observe(at, 0, []alertd.Occurrence{o}) {
			r.judge(v, at, 0)
			if r.desk != nil {
				r.desk.until(at)
				r.desk.turn(at, []alertd.Verdict{v})
			}
		}
	}
}

func (r *testRun) appendUntil(at time.Time) {
	n := 0
	for n < len(r.samples) && r.samples[n].T <= at.UnixMilli() {
		n++
	}
	r.append(at, r.samples[:n])
	r.samples = r.samples[n:]
}

func (r *testRun) append(at time.Time, samples []alertd.Sample) {
	r.evaluator.Append(at, 0, samples)
	for _, s := range samples {
		_ = r.store.Append(s) // a second sample for one instant does not count, as in Prometheus
	}
}

// evaluate asks all rules. It reports false if one of them cannot be evaluated: then nothing after it means anything.
func (r *testRun) evaluate(at time.Time) bool {
	var verdicts []alertd.Verdict
	failures := len(r.failures)
	for a := range r.evaluator.All(at, func(group string) int { return r.rank[group] }) {
		if a.Err != "" {
			r.fail(r.line, nil, "rule %s cannot be evaluated at %s: %s", a.Name, at.Sub(r.start), a.Err)
			continue
		}
		for _, s := range a.Recorded {
			_ = r.store.Append(s)
		}
		if a.Verdict.Rule != nil {
			r.append(at, r.judge(a.Verdict, at, a.QueryOffset))
			verdicts = append(verdicts, a.Verdict)
		}
	}
	if len(r.failures) > failures {
		return false
	}
	if r.desk != nil {
		r.desk.until(at)
		r.desk.turn(at, verdicts)
	}
	return true
}

// judge lets the rule's own engine follow a verdict, and gives what rules about ALERTS read.
func (r *testRun) judge(v alertd.Verdict, at time.Time, offset time.Duration) []alertd.Sample {
	j := r.judges[v.Rule.ID]
	j.desk.until(at)
	j.desk.turn(at, []alertd.Verdict{v})
	return j.series.Of(j.desk.machine, v.Rule.ID, v.Scope, at.Add(-offset))
}

// query evaluates an expression of promql_expr_test over all that there is.
func (r *testRun) query(text string, at time.Time) (promql.Vector, error) {
	const timeout, samples = 100 * time.Second, 10_000_000
	e := promql.NewEngine(promql.EngineOpts{
		MaxSamples: samples, Timeout: timeout, EnableAtModifier: true, EnableNegativeOffset: true, Parser: promqlParser,
		NoStepSubqueryIntervalFn: func(int64) int64 { return r.every.Milliseconds() },
	})
	ctx := context.Background()
	q, err := e.NewInstantQuery(ctx, r.store, nil, text, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return v, nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	default:
		return nil, errors.New("the expression gives neither a vector nor a scalar")
	}
}
