package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/teststorage"
	"pgregory.net/rapid"

	"alertd"
	"alertd/engine"
	"alertd/router"
	"alertd/rules"
)

// prometheus is the rule group as Prometheus runs it, over its TSDB.
type prometheus struct {
	t       *rapid.T
	storage *teststorage.TestStorage
	query   promrules.QueryFunc
	group   *promrules.Group
}

var nowhere = &url.URL{}

func newPrometheus(t *rapid.T, engine *promql.Engine, file string) *prometheus {
	storage, err := teststorage.NewWithError(func(o *tsdb.Options) { o.OutOfOrderTimeWindow = time.Hour.Milliseconds() })
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{t: t, storage: storage, query: promrules.EngineQueryFunc(engine, storage)}
	manager := promrules.NewManager(&promrules.ManagerOptions{
		ExternalURL: nowhere, QueryFunc: p.query, Context: context.Background(), Appendable: storage, Queryable: storage,
		NotifyFunc: func(context.Context, string, ...*promrules.Alert) {}, Logger: slog.New(slog.DiscardHandler),
	})
	groups, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, file)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, g := range groups {
		p.group = g
	}
	for _, r := range p.group.AlertingRules() {
		r.SetRestored(true) // or it would not write ALERTS
	}
	return p
}

func (p *prometheus) append(samples []alertd.Sample) {
	app := p.storage.Appender(context.Background())
	for _, s := range samples {
		var err error
		if s.H != nil {
			_, err = app.AppendHistogram(0, s.Labels, s.T, nil, s.H.Copy())
		} else {
			_, err = app.Append(0, s.Labels, s.T, s.V)
		}
		if err != nil {
			p.t.Fatalf("%s: %v", s.Labels, err)
		}
	}
	if err := app.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

// finding is a line about an alert that people can compare.
func finding(ls labels.Labels, v float64, annotations labels.Labels) string {
	if math.IsNaN(v) {
		v = math.NaN()
	}
	return fmt.Sprintf("%s %.9g %s", ls, v, annotations)
}

// found is what one rule of the group finds at an instant, for label sets that are of interest.
func (p *prometheus) found(name string, at time.Time, of func(labels.Labels) bool) (string, error) {
	for _, r := range p.group.AlertingRules() {
		if r.Name() != name {
			continue
		}
		fresh := promrules.NewAlertingRule(r.Name(), r.Query(), 0, 0, r.Labels(), r.Annotations(), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
		if _, err := fresh.Eval(context.Background(), p.group.QueryOffset(), at, p.query, nowhere, p.group.Limit()); err != nil {
			return "", err
		}
		var lines []string
		for _, a := range fresh.ActiveAlerts() {
			if of(a.Labels) {
				lines = append(lines, finding(a.Labels, a.Value, a.Annotations))
			}
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n"), nil
	}
	p.t.Fatalf("no rule %s", name)
	return "", nil
}

// both is one generated case.
type both struct {
	t          *rapid.T
	src        string
	set        *rules.Set
	e          *rules.Evaluator
	p          *prometheus
	now        time.Time
	seq        uint64
	publishers []*publisher
}

func newBoth(t *rapid.T, engine *promql.Engine, o rules.Options) *both {
	b := &both{t: t, src: grammar{t: t, alerts: o.NoEvents}.file(), now: began, publishers: publishers(t)}
	file := rapid.SampledFrom([]string{"a.yaml", "b.yaml", "c.yaml"}).Draw(t, "file") // its name decides about the slots
	if err := os.WriteFile(file, []byte(b.src), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := rules.Parse([]rules.File{{Name: file, Data: []byte(b.src)}})
	if err != nil {
		t.Fatalf("%v\n%s", err, b.src)
	}
	b.set, b.e, b.p = set, rules.NewEvaluator(set, o, began), newPrometheus(t, engine, file)
	return b
}

// publish moves time on and lets everybody say something, or nothing.
func (b *both) publish() {
	if wait := rapid.IntRange(0, 17_000).Draw(b.t, "wait"); wait <= 15_000 {
		b.now = b.now.Add(time.Duration(wait) * time.Millisecond)
	} else {
		b.now = b.slot(b.now).Add(b.p.group.Interval()) // the very millisecond of a slot
	}
	var samples []alertd.Sample
	for _, p := range b.publishers {
		if s, ok := p.say(b.t, b.now); ok {
			samples = append(samples, s)
		}
	}
	b.seq++
	b.p.append(samples)
	b.e.Append(b.now, b.seq, samples)
}

// slot is the newest one at an instant. Prometheus's slots are not on whole milliseconds, its samples are.
func (b *both) slot(at time.Time) time.Time {
	return b.p.group.EvalTimestamp(at.Add(time.Millisecond - 1).UnixNano()).Truncate(time.Millisecond)
}

func (b *both) close() {
	if err := b.p.storage.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func newEngine(t *testing.T) *promql.Engine {
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 10_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() }, Parser: parser.NewParser(parser.Options{}),
	})
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine
}

// TestSlots: without events alertd's alerts are those of Prometheus, slot by slot: labels, state, value, annotations
// and since when.
func TestSlots(t *testing.T) {
	promEngine := newEngine(t)
	t.Chdir(t.TempDir()) // a name that is always the same makes a seed show the same again
	var alerts, kept, failed, slots int
	rapid.Check(t, func(t *rapid.T) {
		b := newBoth(t, promEngine, rules.Options{NoEvents: true})
		defer b.close()
		m := engine.New()
		root := router.Route{Receiver: "none", Deliver: alertd.Dashboard}
		root.Identify()
		policy := engine.Policy{Version: "1", Route: &root, Receivers: []engine.Receiver{{Name: "none"}}, Rules: map[string]bool{}}
		for _, r := range b.set.Rules() {
			policy.Rules[r.ID] = true
		}
		m.Step(began, engine.PolicyChanged{Policy: &policy})
		var series engine.Series

		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			b.publish()
			var verdicts []alertd.Verdict
			b.e.CatchUp(b.now)
			b.e.Tick(b.now, func(v alertd.Verdict) []alertd.Sample {
				verdicts = append(verdicts, v)
				m.Step(b.now, engine.Judged{Verdict: v})
				if v.Err != "" {
					return nil
				}
				return series.Of(m, v.Rule.ID, v.Scope, v.At)
			})
			if len(verdicts) == 0 {
				continue
			}
			slots++
			slot := verdicts[0].At
			b.p.group.Eval(context.Background(), slot)
			errs := map[string]string{}
			for _, v := range verdicts {
				if !v.At.Equal(slot) || v.Scope != "" {
					t.Fatalf("%s is judged at %s [%s], not at the slot %s", v.Rule.Name, v.At, v.Scope, slot)
				}
				errs[v.Rule.Name] = v.Err
			}

			var want, got []string
			for _, r := range b.p.group.AlertingRules() {
				if err := r.LastError(); (err != nil) != (errs[r.Name()] != "") {
					t.Fatalf("%s\n%s at %s: alertd says %q, Prometheus %v", b.src, r.Name(), slot, errs[r.Name()], err)
				} else if err != nil {
					failed++
				}
				for _, a := range r.ActiveAlerts() {
					want = append(want, fmt.Sprintf("%s %s since %s", finding(a.Labels, a.Value, a.Annotations), a.State, a.ActiveAt.Sub(began)))
				}
			}
			for _, a := range m.Alerts(b.now) {
				if a.State == alertd.Resolved {
					continue
				}
				state := "firing"
				switch a.State {
				case alertd.Pending:
					state = "pending"
				case alertd.Recovering:
					kept++
				}
				got = append(got, fmt.Sprintf("%s %s since %s", finding(a.Labels, float64(a.Value), a.Annotations), state, a.ActiveAt.Sub(began)))
			}
			slices.Sort(want)
			slices.Sort(got)
			alerts += len(want)
			if !slices.Equal(want, got) {
				t.Fatalf("%s\nat %s\n got:\n%s\nwant:\n%s", b.src, slot.Sub(began), strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	})
	t.Logf("%d slots, %d alerts (%d only kept), %d evaluations that failed", slots, alerts, kept, failed)
	if alerts == 0 || kept == 0 {
		t.Error("the test saw nothing")
	}
}

// TestKeys: with events, whatever alertd evaluates (one key of a rule at the instant of its newest sample, or a whole
// rule at a slot) finds what Prometheus's rule finds at that instant, as far as it belongs to the key.
func TestKeys(t *testing.T) {
	promEngine := newEngine(t)
	t.Chdir(t.TempDir()) // a name that is always the same makes a seed show the same again
	var keys, wholes, findings, over int
	rapid.Check(t, func(t *rapid.T) {
		b := newBoth(t, promEngine, rules.Options{})
		defer b.close()
		partition := map[*alertd.Rule]rules.Partition{}
		for _, x := range b.set.Explain() {
			if x.Rule != nil {
				partition[x.Rule] = x.Partition
			}
		}
		last := map[string]time.Time{} // when a key was evaluated, by rule and scope
		compare := func(v alertd.Verdict) {
			p := partition[v.Rule]
			id := func(scope string) string { return v.Rule.Name + "\x00" + scope }
			// A tick repeats what was found for keys at later instants.
			later := func(ls labels.Labels) bool {
				return v.Scope == "" && !p.IsWhole() && last[id(p.Scope(ls))].After(v.At)
			}
			want, err := b.p.found(v.Rule.Name, v.At, func(ls labels.Labels) bool {
				return (v.Scope == "" || p.Scope(ls) == v.Scope) && !later(ls)
			})
			var lines []string
			for _, f := range v.True {
				if f.Scope != p.Scope(f.Labels) {
					t.Fatalf("%s\n%s has the scope %q, not %q", b.src, f.Labels, f.Scope, p.Scope(f.Labels))
				}
				if !later(f.Labels) {
					lines = append(lines, finding(f.Labels, float64(f.Value), f.Annotations.Labels()))
				}
			}
			slices.Sort(lines)
			got := strings.Join(lines, "\n")
			findings += len(lines)
			if v.Scope != "" && v.Err == "" {
				last[id(v.Scope)] = v.At
			}
			switch {
			case err != nil && v.Scope != "" && strings.Contains(err.Error(), "exceeded limit"):
				if over++; v.Err == "" {
					t.Fatalf("%s\n%s [%s] at %s finds %v, Prometheus %v", b.src, v.Rule.Name, v.Scope, v.At.Sub(began), v.True, err)
				}
			case err != nil && v.Scope != "":
				// what is wrong may be in another key
			case (err != nil) != (v.Err != ""):
				t.Fatalf("%s\n%s [%s] at %s: alertd says %q, Prometheus %v", b.src, v.Rule.Name, v.Scope, v.At.Sub(began), v.Err, err)
			case err == nil && got != want:
				t.Fatalf("%s\n%s %s [%s] at %s\n got:\n%s\nwant:\n%s", b.src, v.Rule.Name, p, v.Scope, v.At.Sub(began), got, want)
			}
		}
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			b.publish()
			b.e.Retell()
			for _, v := range b.e.CatchUp(b.now) {
				keys++
				compare(v)
			}
			b.e.Retell()
			verdicts := b.e.Run(b.now)
			for i, v := range verdicts {
				if i == 0 { // the slot; a rule that was evaluated whole since then is judged at a later instant
					b.p.group.Eval(context.Background(), b.slot(b.now))
				}
				wholes++
				compare(v)
			}
		}
	})
	t.Logf("%d evaluations of keys, %d of them over a limit, %d of whole rules, %d findings", keys, over, wholes, findings)
	if keys == 0 || findings == 0 || over == 0 {
		t.Error("the test saw nothing")
	}
}
