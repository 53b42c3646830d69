package rules

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"pgregory.net/rapid"

	"alertd"
)

// Late series: an instance that disappears while its siblings remain is missing, not no data. And while nothing at all
// arrives nobody is either.
func TestPresence(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1", "sum(m) > 100")), Options{}, t0)
	var seq uint64
	send := func(at time.Duration, metrics ...string) {
		for _, m := range metrics {
			seq++
			e.Append(t0.Add(at), seq, []alertd.Sample{sample(t, m, t0.Add(at), 9)})
		}
	}
	ask := func(at time.Duration, rule, scope string) alertd.Presence {
		t.Helper()
		e.Run(t0.Add(at))
		for _, r := range e.rules {
			if r.meta.Name == rule {
				return r.Presence(scope, t0.Add(at))
			}
		}
		t.Fatal("no rule", rule)
		return 0
	}
	check := func(what string, got, want alertd.Presence) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	check("before anything arrived", ask(0, "Aa", "a=x"), alertd.Silent)
	for at := time.Duration(0); at < 8*time.Minute; at += 15 * time.Second {
		send(at, `m{a="y"}`, "other")
		if at < time.Minute {
			send(at, `m{a="x"}`)
		}
	}
	at := 8 * time.Minute
	check("silent for seven minutes, its sibling is there", ask(at, "Aa", "a=x"), alertd.Missing)
	check("there", ask(at, "Aa", "a=y"), alertd.Present)
	check("never seen, others are", ask(at, "Aa", "a=z"), alertd.Missing)
	check("the whole rule sees one", ask(at, "Ab", ""), alertd.Present)
	for ; at < 16*time.Minute; at += 15 * time.Second {
		send(at, "other")
	}
	check("all of the rule are gone, others arrive", ask(at, "Aa", "a=y"), alertd.Absent)
	check("also of the whole rule", ask(at, "Ab", ""), alertd.Absent)
	at = 30 * time.Minute
	check("nothing arrives", ask(at, "Aa", "a=y"), alertd.Silent)
	send(at, "other")
	check("the first event after that", ask(at+time.Second, "Aa", "a=y"), alertd.Silent)
	send(at+4*time.Minute, "other")
	send(at+6*time.Minute, "other")
	check("everybody had a while to be heard", ask(at+6*time.Minute, "Aa", "a=y"), alertd.Absent)

	send(at+6*time.Minute, `m{a="y"}`)
	check("back", ask(at+6*time.Minute, "Aa", "a=y"), alertd.Present)
	seq++
	ended := sample(t, `m{a="y"}`, t0.Add(at+7*time.Minute), 0)
	ended.V = math.Float64frombits(value.StaleNaN)
	e.Append(t0.Add(at+7*time.Minute), seq, []alertd.Sample{ended})
	check("marked stale", ask(at+7*time.Minute, "Aa", "a=y"), alertd.Absent)
}

// After the engine has heard that a series is gone, "nothing true" says something new when it is back.
func TestFalseIsToldAgainAfterSeriesWereGone(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1")), Options{}, t0)
	send := func(at time.Duration, v float64) string {
		e.Append(t0.Add(at), 1, []alertd.Sample{sample(t, `m{a="x"}`, t0.Add(at), v)})
		return show(e.CatchUp(t0.Add(at)))
	}
	same(t, "first", send(time.Second, 0), "1s Aa[a=x]")
	same(t, "again", send(2*time.Second, 0), "")
	e.rules[0].Presence("a=x", t0.Add(2*time.Second))
	same(t, "while it was there", send(3*time.Second, 0), "")
	e.rules[0].Presence("a=x", t0.Add(20*time.Minute))
	same(t, "after it was gone", send(4*time.Second, 0), "4s Aa[a=x]")
}

func TestNoDataAndErrorsAsAlerts(t *testing.T) {
	e := NewEvaluator(mustParse(t, `groups:
- name: g
  interval: 1m
  no_data: alert
  on_error: alert
  rules:
  - {alert: Hot, expr: 'm > 90', labels: {severity: warning, room: '{{ $labels.a }}'}, annotations: {summary: 'room {{ $labels.a }}'}}
  - {alert: Never, expr: 'nobody_publishes_this > 1'}
  - {alert: Fails, expr: 'm / ignoring (a) other > 0'}
  - {alert: Doubled, expr: 'left * on (a) right > 0'}
`), Options{}, t0)
	var seq uint64
	send := func(at time.Duration, metrics ...string) {
		for _, m := range metrics {
			seq++
			e.Append(t0.Add(at), seq, []alertd.Sample{sample(t, m, t0.Add(at), 9)})
		}
		e.CatchUp(t0.Add(at))
	}
	tickUntil := func(end time.Duration, metrics ...string) (out []alertd.Verdict) {
		for e.groups[0].next.Before(t0.Add(end)) {
			send(e.groups[0].next.Sub(t0), metrics...)
			out = e.Run(e.groups[0].next)
		}
		return out
	}
	unknown := func(vs []alertd.Verdict) string {
		var b strings.Builder
		for _, v := range vs {
			for _, f := range v.Unknown {
				fmt.Fprintf(&b, "%s %s [%s] %s %v\n", v.Rule.Name, f.Labels, f.Scope, f.Annotations.Labels().Get("summary"), v.Err != "")
			}
		}
		return b.String()
	}
	send(0, `m{a="x"}`, `m{a="y"}`, "other")
	same(t, "what fails", unknown(tickUntil(7*time.Minute, `m{a="y"}`, "other")), `
Hot {a="x", alertname="Hot", room="x", severity="warning"} [a=x] room x false
Never {alertname="Never"} []  false
Doubled {alertname="Doubled"} []  false`)
	send(7*time.Minute, `m{a="x"}`)
	same(t, "two series on one side", unknown(e.Run(e.groups[0].next)), `
Fails {alertname="Fails"} [{}]  true
Never {alertname="Never"} []  false
Fails {alertname="Fails"} [{}]  true
Doubled {alertname="Doubled"} []  false`)

	// A key that fails is one alert, of the key, though the rule fails as a whole because of it; until it does not.
	doubled := func(end time.Duration, metrics ...string) string {
		return unknown(slices.DeleteFunc(tickUntil(end, metrics...), func(v alertd.Verdict) bool { return v.Rule.Name != "Doubled" }))
	}
	same(t, "a key fails", doubled(10*time.Minute, `left{a="x"}`, `right{a="x", b="1"}`, `right{a="x", b="2"}`, `left{a="y"}`, `right{a="y"}`), `
Doubled {a="x", alertname="Doubled"} [a=x]  true`)
	same(t, "it is mended", doubled(20*time.Minute, `left{a="x"}`, `right{a="x", b="2"}`, `left{a="y"}`, `right{a="y"}`), "")
	same(t, "another fails", doubled(21*time.Minute, `left{a="x"}`, `right{a="x"}`, `left{a="y"}`, `right{a="y"}`, `right{a="y", b="2"}`), `
Doubled {a="x", alertname="Doubled"} [a=x]  true
Doubled {a="y", alertname="Doubled"} [a=y]  true`)

	// A tick may come before the key was looked at by itself, as after a restart, when the window is only filled.
	e = NewEvaluator(e.set, Options{}, t0)
	at := e.groups[0].next
	e.Warm([]alertd.Sample{sample(t, `left{a="x"}`, at, 9), sample(t, `left{a="y"}`, at, 9), sample(t, `right{a="y"}`, at, 9)})
	e.Append(at, 1, []alertd.Sample{sample(t, `right{a="x", b="1"}`, at, 9), sample(t, `right{a="x", b="2"}`, at, 9)})
	var doubledOnly []alertd.Verdict
	e.Tick(at, func(v alertd.Verdict) []alertd.Sample {
		if v.Rule.Name == "Doubled" {
			doubledOnly = append(doubledOnly, v)
		}
		return nil
	})
	same(t, "a tick is first", unknown(doubledOnly), `
Doubled {a="x", alertname="Doubled"} [a=x]  true`)
}

func TestRecoveryCondition(t *testing.T) {
	e := NewEvaluator(mustParse(t, `groups:
- name: g
  interval: 1m
  rules:
  - {alert: Hot, expr: 'temp > 90', recover_expr: 'temp < 80', labels: {severity: critical}}
`), Options{}, t0)
	step := func(at time.Duration, v float64) alertd.Verdict {
		t.Helper()
		e.Append(t0.Add(at), 1, []alertd.Sample{sample(t, `temp{room="a"}`, t0.Add(at), v)})
		out := e.CatchUp(t0.Add(at))
		if len(out) != 1 {
			t.Fatalf("%d verdicts", len(out))
		}
		return out[0]
	}
	for i, c := range []struct {
		v               float64
		true, recovered int
	}{{91, 1, 0}, {85, 0, 0}, {85, 0, 0}, {79, 0, 1}, {79, 0, 1}} {
		v := step(time.Duration(100+i)*time.Second, c.v)
		if len(v.True) != c.true || len(v.Recovered) != c.recovered {
			t.Errorf("%v: true %v, recovered %v", c.v, v.True, v.Recovered)
		}
		if c.recovered == 1 && v.Recovered[0].String() != `{room="a"}` {
			t.Error(v.Recovered)
		}
	}
	if e.counts.Cheap == 0 || e.rules[0].recovery == nil {
		t.Error("the recovery condition is not compiled")
	}
}

// Late samples re-evaluate the slots that they touch, as far back as the group allows.
func TestLateness(t *testing.T) {
	e := NewEvaluator(mustParse(t, `groups:
- name: g
  interval: 15s
  lateness: 1m
  rules:
  - {alert: Hot, expr: 'm > 1', for: 30s}
`), Options{}, t0)
	e.Append(t0, 1, []alertd.Sample{sample(t, `m{a="x"}`, t0, 0)})
	e.Run(t0)
	first := e.groups[0].next
	for range 4 {
		e.Run(e.groups[0].next)
	}
	now := e.groups[0].next.Add(-time.Second)
	late := first.Add(20 * time.Second) // after the second slot
	e.Append(now, 2, []alertd.Sample{sample(t, `m{a="x"}`, late, 5)})
	var got []string
	for _, v := range e.CatchUp(now) {
		got = append(got, fmt.Sprintf("%s %v %d", v.At.Sub(first), v.Late, len(v.True)))
	}
	same(t, "verdicts", strings.Join(got, "\n"), "30s true 1\n45s true 1\n45s false 1")
	if st := e.Stats(); st.Late != 1 || st.TooLate != 0 {
		t.Errorf("%+v", st)
	}
	e.Append(now, 3, []alertd.Sample{sample(t, `m{a="x"}`, now.Add(-time.Minute), 7)})
	if vs := e.CatchUp(now.Add(time.Second)); len(vs) != 1 || vs[0].Late {
		t.Errorf("got %s", show(vs))
	}
	if st := e.Stats(); st.Late != 1 || st.TooLate != 1 {
		t.Errorf("%+v", st)
	}
}

// A producer minutes ahead does not advance time for others.
func TestProducerAheadAdvancesNobodyElse(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1", "sum by (service) (n) > 1", "sum(m) > 1")), Options{}, t0)
	ahead := t0.Add(9 * time.Minute)
	e.Append(t0, 1, []alertd.Sample{sample(t, `m{a="ahead"}`, ahead, 5), sample(t, `n{service="ahead"}`, ahead, 5)})
	e.CatchUp(t0)
	now := t0.Add(time.Second)
	e.Append(now, 2, []alertd.Sample{sample(t, `m{a="right"}`, now, 5), sample(t, `n{service="right"}`, now, 5)})
	for _, v := range e.CatchUp(now) {
		if !v.At.Equal(now) {
			t.Errorf("%s is judged at %s", v.Rule.Name, v.At.Sub(t0))
		}
	}
	slot := e.groups[0].next
	for _, v := range e.Run(slot) {
		if !v.At.Equal(slot) {
			t.Errorf("%s: the tick is at %s", v.Rule.Name, v.At.Sub(t0))
		}
	}
}

// The more waits to be read, the less often a key is evaluated, down to once a tick. Nothing is dropped.
func TestSettleGrowsUnderOverload(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1")), Options{}, t0)
	count := func(behind time.Duration) (n int) {
		e.Behind(behind)
		start := time.UnixMilli(e.now).Add(2 * time.Minute)
		for i := range 600 { // a minute
			now := start.Add(time.Duration(i) * 100 * time.Millisecond)
			e.Append(now, 1, []alertd.Sample{sample(t, `m{a="x"}`, now, float64(i))})
			n += len(e.CatchUp(now))
		}
		e.CatchUp(start.Add(3 * time.Minute))
		if e.counts.Dirty != 0 {
			t.Errorf("%v behind: %d keys are never evaluated", behind, e.counts.Dirty)
		}
		return n
	}
	if n := count(0); n < 590 {
		t.Errorf("on time: %d evaluations", n)
	}
	if n := count(10 * time.Second); n < 5 || n > 8 {
		t.Errorf("ten seconds behind: %d evaluations", n)
	}
	if d, behind := e.Settle(); d != 10*time.Second || !behind {
		t.Error(d, behind)
	}
	if n := count(time.Hour); n < 1 || n > 2 {
		t.Errorf("an hour behind: %d evaluations", n)
	}
	if d, _ := e.Settle(); d != time.Minute {
		t.Error(d, "is longer than the interval")
	}
	if count(0); e.behind != 0 {
		t.Error("does not shrink again")
	}
}

// How long samples are believed: by the group, by the metric's prefix, by the sample itself; whether a program answers
// or the engine.
func TestHowLongSamplesAreBelieved(t *testing.T) {
	e := NewEvaluator(mustParse(t, `
lookbacks: {slow_: 20m}
groups:
- name: g
  rules:
  - {alert: Plain, expr: 'm > 0'}
  - {alert: Prefix, expr: 'slow_m > 0'}
  - {alert: Both, expr: 'm + ignoring (x) slow_m > 0'}
  - {alert: Engine, expr: 'abs(m) > 0 or abs(slow_m) > 0'}
- name: h
  lookback: 1h
  rules:
  - {alert: Group, expr: 'm > 0'}
  - {alert: Range, expr: 'abs(last_over_time(m[10m])) > 0'}
`), Options{NoEvents: true}, t0)
	samples := []alertd.Sample{sample(t, "m", t0, 1), sample(t, "slow_m", t0, 1), sample(t, `m{x="short"}`, t0, 1), sample(t, `m{x="long"}`, t0, 1)}
	samples[2].ValidFor, samples[3].ValidFor = time.Minute, 30*time.Minute
	e.Append(t0, 1, samples)
	holds := func(name string, ago time.Duration) string {
		t.Helper()
		for _, r := range e.rules {
			if r.meta.Name != name {
				continue
			}
			var out [2]string
			for i := range out {
				if i == 1 {
					r.program = nil
				}
				v, err := e.query(view{window: e.window, rule: r}, r.text, t0.Add(ago).UnixMilli())
				if err != nil {
					t.Fatal(err)
				}
				var found []string // a program gives them in another order
				for _, el := range v {
					found = append(found, "+"+el.Metric.Get("x")+el.Metric.Get("__name__"))
				}
				out[i] = strings.Join(slices.Sorted(slices.Values(found)), "")
			}
			if out[0] != out[1] {
				t.Errorf("%s after %v: program %s, engine %s", name, ago, out[0], out[1])
			}
			return out[1]
		}
		return "no such rule"
	}
	for _, c := range []struct {
		rule string
		ago  time.Duration
		want string
	}{
		{"Plain", 59999 * time.Millisecond, "+longm+m+shortm"},
		{"Plain", time.Minute, "+longm+m"},
		{"Plain", 5 * time.Minute, "+longm"},
		{"Plain", 30 * time.Minute, ""},
		{"Prefix", 19 * time.Minute, "+slow_m"},
		{"Prefix", 20 * time.Minute, ""},
		{"Both", 29 * time.Minute, ""},
		{"Engine", 4 * time.Minute, "++long"},
		{"Engine", 19 * time.Minute, "++long"},
		{"Engine", 29 * time.Minute, "+long"},
		{"Group", 59 * time.Minute, "+m"},
		{"Group", 60 * time.Minute, ""},
		{"Range", 9 * time.Minute, "++long+short"},
		{"Range", 10 * time.Minute, ""},
	} {
		if got := holds(c.rule, c.ago); got != c.want {
			t.Errorf("%s after %v: %s, want %s", c.rule, c.ago, got, c.want)
		}
	}
}

// A series that ends early has, at every instant, what a storage would have in which that was so.
func TestEndingSeries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		believed := int64(rapid.IntRange(1, 60).Draw(t, "believed")) * 1000
		s := newSeries(alertd.Sample{}.Labels, 0)
		var ts []int64
		at := int64(0)
		for range rapid.IntRange(0, 400).Draw(t, "samples") {
			at += int64(rapid.IntRange(1, 90_000).Draw(t, "gap"))
			s.append(at, float64(at), nil, never)
			ts = append(ts, at)
		}
		for range 20 {
			when := rapid.Int64Range(0, at+100_000).Draw(t, "when")
			it := lasting(s, believed, time.Hour.Milliseconds()).Iterator(nil)
			// As the engine looks for the newest sample: from the beginning of what it believes.
			got := int64(-1)
			for kind := it.Seek(when - time.Hour.Milliseconds()); kind != 0 && it.AtT() <= when; kind = it.Next() {
				got = it.AtT()
				if _, v := it.At(); v != v {
					got = -1
				}
			}
			want := int64(-1)
			for _, x := range ts {
				if x <= when && x > when-believed {
					want = x
				}
			}
			if got != want {
				t.Fatalf("at %d believed for %d: sample of %d, want %d", when, believed, got, want)
			}
		}
	})
}

// When nobody asks for a service any more, its alert has no reason to stay; nor do alerts about not hearing from it. The
// other services of the rule stay.
func TestRetired(t *testing.T) {
	e := NewEvaluator(mustParse(t, `groups:
- name: g
  interval: 1m
  no_data: alert
  missing_after: 60
  rules:
  - {alert: Down, expr: 'max by (service, environment) (up == 0)'}
  - {alert: Slow, expr: 'max by (service) (latency > 5)'}
`), Options{}, t0)
	var seq uint64
	send := func(at time.Duration, samples ...alertd.Sample) []alertd.Verdict {
		seq++
		e.Append(t0.Add(at), seq, samples)
		return e.CatchUp(t0.Add(at + time.Second)) // past the settle delay
	}
	over := func(at time.Duration, metric string) alertd.Sample {
		s := sample(t, metric, t0.Add(at), 0)
		s.ValidFor = alertd.Withdrawn
		return s
	}
	presence := func(rule int, scope string, at time.Duration) alertd.Presence {
		return e.rules[rule].Presence(scope, t0.Add(at))
	}
	at := 10 * time.Second
	for ; at < 7*time.Minute; at += 30 * time.Second { // longer than what begins again is waited for
		for _, service := range []string{"api", "web"} {
			for _, env := range []string{"", "prod"} {
				for _, i := range []string{"1", "2"} {
					m := fmt.Sprintf(`{service=%q,environment=%q,i=%q}`, service, env, i)
					send(at, sample(t, "up"+m, t0.Add(at), 0), sample(t, "latency"+m, t0.Add(at), 9))
				}
			}
		}
	}
	at -= 30 * time.Second
	e.Run(t0.Add(at))
	vs := send(at, over(at, `up{service="api",environment="prod"}`), over(at, `up{service="unknown"}`)) // in the millisecond of the last sample
	same(t, "the end", show(vs), "6m40.001s Down[environment=prod,service=api]")
	for scope, want := range map[string]alertd.Presence{
		"environment=prod,service=api": alertd.Retired, "environment=,service=api": alertd.Present, "environment=prod,service=web": alertd.Present,
	} {
		if got := presence(0, scope, at); got != want {
			t.Errorf("%s: %d, want %d", scope, got, want)
		}
	}
	if got := presence(1, "service=api", at); got != alertd.Present {
		t.Errorf("another metric: %d", got)
	}
	send(at, over(at, `up{service="api",environment="prod"}`)) // delivered again
	for _, v := range e.Run(t0.Add(at + time.Minute)) {
		for _, f := range v.Unknown {
			t.Errorf("missed though it was withdrawn: %s", f.Labels)
		}
	}
	at += 2 * time.Minute
	send(at, sample(t, `up{service="api",environment="prod",i="1"}`, t0.Add(at), 0))
	send(at, over(at-time.Second, `up{service="api",environment="prod"}`)) // late
	if got := presence(0, "environment=prod,service=api", at); got != alertd.Present {
		t.Errorf("it is asked for again: %d", got)
	}
}
