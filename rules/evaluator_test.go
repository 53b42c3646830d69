package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

const ratio = "sum by (service) (errors) / sum by (service) (requests) > 0.1"

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func TestOneSampleIsEvaluatedAtOnce(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("temperature > 90")), Options{}, t0)
	at := t0.Add(-2 * time.Second)
	e.Append(t0, 7, []alertd.Sample{sample(t, `temperature{room="a"}`, at, 91), sample(t, `temperature{room="b"}`, at, 20), sample(t, `unread`, at, 1)})
	if got := e.Evaluated(); got != 6 {
		t.Errorf("evaluated up to %d before Run, want 6", got)
	}
	if due, ok := e.Next(); !ok || due.After(t0) {
		t.Errorf("due %v %v, want now", due, ok)
	}
	same(t, "verdicts", show(e.Run(t0)), `
-2s Aa[room=a] {room="a"}=91
-2s Aa[room=b]`)
	if got := e.Evaluated(); got != 7 {
		t.Errorf("evaluated up to %d, want 7", got)
	}
	if st := e.Stats(); st.Series != 2 || st.Samples != 2 || st.Unread != 1 || st.Keyed != 2 || st.Dirty != 0 || st.Keys != 2 {
		t.Errorf("stats %+v", st)
	}
}

// A state that is over before it was looked at has come to nothing; what a window keeps, and what happened, is still true.
func TestInOneGo(t *testing.T) {
	e := NewEvaluator(mustParse(t, `groups:
- name: g
  rules:
  - {alert: State, expr: breach > 0}
  - {alert: Window, expr: 'max_over_time(breach[5m]) > 0'}
  # alertd: on: event
  - {alert: Event, expr: 'event{type="breach"}'}
`), Options{}, t0)
	later := t0.Add(5 * time.Second)
	e.Append(later, 1, []alertd.Sample{sample(t, `breach{service="a"}`, t0, 1)})
	e.Append(later, 2, []alertd.Sample{sample(t, `breach{service="a"}`, later, 0)})
	same(t, "verdicts", show(e.Run(later)), `
5s State[service=a]
5s Window[service=a] {service="a"}=1`)
	breach := func(at time.Time) alertd.Occurrence {
		return alertd.Occurrence{Type: "breach", Labels: labels.FromStrings("service", "a"), Time: at}
	}
	same(t, "occurrences", show(e.Observe(later, 3, []alertd.Occurrence{breach(t0), breach(later)})), `
0s Event[] {service="a"}=1
5s Event[] {service="a"}=1`)
}

func TestHalfAnUpdateWaits(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts(ratio)), Options{}, t0)
	e.Append(t0, 1, []alertd.Sample{sample(t, `errors{service="a",i="1"}`, t0, 5)})
	same(t, "first half", show(e.Run(t0)), "")
	if due, _ := e.Next(); !due.Equal(t0.Add(100 * time.Millisecond)) {
		t.Errorf("due %v", due)
	}
	now := t0.Add(30 * time.Millisecond)
	e.Append(now, 2, []alertd.Sample{sample(t, `requests{service="a"}`, t0, 10)})
	same(t, "second half", show(e.Run(now)), `0s Aa[service=a] {service="a"}=0.5`)

	// Within the settle delay both halves come again: coalesced.
	now = t0.Add(50 * time.Millisecond)
	next := t0.Add(40 * time.Millisecond)
	e.Append(now, 3, []alertd.Sample{sample(t, `errors{service="a",i="1"}`, next, 6), sample(t, `requests{service="a"}`, next, 10)})
	same(t, "too soon", show(e.Run(now)), "")
	if got := e.Evaluated(); got != 2 {
		t.Errorf("evaluated %d, want 2", got)
	}
	now = t0.Add(130 * time.Millisecond)
	if due, _ := e.Next(); !due.Equal(now) {
		t.Errorf("due %v, want %v", due, now)
	}
	same(t, "settled", show(e.Run(now)), `40ms Aa[service=a] {service="a"}=0.6`)

	// The other half never comes: evaluated with what is there when the delay is over.
	now = t0.Add(time.Second)
	e.Append(now, 4, []alertd.Sample{sample(t, `errors{service="a",i="1"}`, now, 7)})
	same(t, "waiting", show(e.Run(now.Add(99*time.Millisecond))), "")
	same(t, "given up", show(e.Run(now.Add(100*time.Millisecond))), `1s Aa[service=a] {service="a"}=0.7`)
	if got := e.Evaluated(); got != 4 {
		t.Errorf("evaluated %d, want 4", got)
	}
}

func TestFalseIsToldOnce(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1")), Options{}, t0)
	step := func(i int, v float64) string {
		now := t0.Add(time.Duration(i) * time.Second)
		e.Append(now, uint64(i), []alertd.Sample{sample(t, `m{a="x"}`, now, v)})
		return show(e.Run(now))
	}
	same(t, "first", step(1, 0), "1s Aa[a=x]")
	same(t, "again", step(2, 0), "")
	same(t, "true", step(3, 2), `3s Aa[a=x] {a="x"}=2`)
	same(t, "true again", step(4, 3), `4s Aa[a=x] {a="x"}=3`)
	same(t, "false", step(5, 0), "5s Aa[a=x]")
	same(t, "false again", step(6, 0), "")
	e.Retell()
	same(t, "retold", step(7, 0), "7s Aa[a=x]")
	if e.Evaluated() != 7 {
		t.Error(e.Evaluated())
	}
}

func TestTicksKeepSlots(t *testing.T) {
	set := mustParse(t, "groups:\n- {name: g, interval: 20s, rules: [{alert: Absent, expr: absent(m)}]}\n- {name: h, rules: [{alert: Old, expr: time() - m > 0}], query_offset: 5s}")
	e := NewEvaluator(set, Options{}, t0)
	first, ok := e.Next()
	if !ok || !first.After(t0) || first.Sub(t0) > 20*time.Second {
		t.Fatalf("first slot %v", first)
	}
	g := e.groups[0]
	same(t, "before", show(e.Run(first.Add(-time.Nanosecond))), "")
	got := e.Run(first.Add(3 * time.Second))
	if len(got) != 1 || !got[0].At.Equal(first) || len(got[0].True) != 1 {
		t.Fatalf("got %s", show(got))
	}
	if !g.next.Equal(first.Add(20 * time.Second)) {
		t.Errorf("next %v", g.next)
	}
	// Two slots are missed: counted, not made up.
	late := first.Add(65 * time.Second)
	var absent []alertd.Verdict
	for _, v := range e.Run(late) {
		if v.Rule.Name == "Absent" {
			absent = append(absent, v)
		}
	}
	if len(absent) != 1 || !absent[0].At.Equal(first.Add(60*time.Second)) {
		t.Fatalf("got %s", show(absent))
	}
	if st := e.Stats(); st.MissedSlots < 2 || st.MissedSlots > 3 {
		t.Errorf("missed %d", st.MissedSlots)
	}
	// The rule with an offset is told at the slot and sees what was there five seconds before.
	h := e.groups[1]
	e.Append(late, 1, []alertd.Sample{sample(t, "m", h.next.Add(-5*time.Second), 1), sample(t, "m", h.next.Add(-4*time.Second), 2)})
	for _, v := range e.Run(h.next) {
		if v.Rule.Name == "Old" {
			if len(v.True) != 1 || float64(v.True[0].Value) != float64(v.At.Add(-5*time.Second).UnixMilli())/1000-1 {
				t.Errorf("got %s", show([]alertd.Verdict{v}))
			}
		}
	}
}

// A tick looks at its slot, which is a little past; what is known of a later instant must not be taken back.
func TestTickDoesNotTakeBack(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1", "count(m > 1) > 0")), Options{}, t0)
	slot := e.groups[0].next
	e.Append(slot.Add(-30*time.Second), 1, []alertd.Sample{sample(t, `m{a="x"}`, slot.Add(-30*time.Second), 0), sample(t, `m{a="y"}`, slot.Add(-30*time.Second), 9)})
	e.Run(slot.Add(-30 * time.Second))
	// The producer's clock is two seconds ahead.
	e.Append(slot.Add(-time.Second), 2, []alertd.Sample{sample(t, `m{a="x"}`, slot.Add(time.Second), 5)})
	got := e.Run(slot.Add(-time.Second))
	if len(got) != 2 || len(got[0].True) != 1 || !got[0].At.Equal(slot.Add(time.Second)) || !got[1].At.Equal(slot.Add(-time.Second)) {
		t.Fatalf("got %s", show(got))
	}
	got = e.Run(slot)
	if len(got) != 2 || !got[0].At.Equal(slot) || len(got[0].True) != 2 || got[0].True[0].Scope != "a=x" {
		t.Errorf("got %s", show(got))
	}
	// A late sample of the past is seen at the slot that was evaluated already, not before.
	late := slot.Add(200 * time.Millisecond)
	e.Append(late, 3, []alertd.Sample{sample(t, `m{a="y"}`, slot.Add(-10*time.Second), 0)})
	got = e.Run(late)
	if len(got) != 2 || !got[0].At.Equal(slot) || len(got[0].True) != 0 {
		t.Errorf("got %s", show(got))
	}
}

func TestSamplesRefused(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1")), Options{}, t0)
	m := metric(t, `m{a="x"}`)
	for _, d := range []time.Duration{0, 11 * time.Minute, 0, -time.Minute, -30 * time.Minute} {
		e.Append(t0, 1, []alertd.Sample{{Labels: m, T: t0.Add(d).UnixMilli(), V: 2}})
	}
	if st := e.Stats(); st.TooNew != 1 || st.Duplicates != 1 || st.TooOld != 1 || st.Samples != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestClockThatRanAheadDoesNotBlind(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1")), Options{}, t0)
	e.Append(t0, 1, []alertd.Sample{sample(t, `m{a="x"}`, t0.Add(9*time.Minute), 0)})
	e.Run(t0)
	now := t0.Add(time.Second)
	e.Append(now, 2, []alertd.Sample{sample(t, `m{a="x"}`, now, 5)})
	same(t, "verdicts", show(e.Run(now)), `1s Aa[a=x] {a="x"}=5`)
}

func TestErrorsAreVerdicts(t *testing.T) {
	src := `groups:
- name: g
  rules:
  - {alert: Same, expr: 'm > 0', labels: {a: fixed}}
  - {alert: Many, expr: 'm / ignoring (a) n > 0'}
- name: l
  limit: 1
  rules: [{alert: Limit, expr: 'm > 0'}]`
	e := NewEvaluator(mustParse(t, src), Options{}, t0)
	e.Append(t0, 1, []alertd.Sample{sample(t, `m{a="x"}`, t0, 1), sample(t, `m{a="y"}`, t0, 2), sample(t, `n`, t0, 1)})
	for now := t0; now.Before(t0.Add(2 * time.Minute)); now = now.Add(time.Second) {
		for _, v := range e.Run(now) {
			switch {
			case v.Rule.Name == "Same" && v.Err != `two results have the same labels {a="fixed", alertname="Same"}: let the expression keep the label that tells them apart`,
				v.Rule.Name == "Many" && !strings.Contains(v.Err, "many-to-one matching must be explicit"),
				v.Rule.Name == "Limit" && !strings.Contains(v.Err, "2 results where the group allows 1"):
				t.Errorf("%s: %q", v.Rule.ID, v.Err)
			}
		}
	}
	if st := e.Stats(); st.Errors < 6 {
		t.Errorf("stats %+v", st)
	}
}

// What cannot be told apart on the right of a match makes a rule fail at a tick, as in Prometheus, also where nothing on the left
// would be matched with it.
func TestErrorsOfOtherKeys(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("g < on (x) d", "d > on (x) g", "g < bool on (x) d")), Options{NoEvents: true}, t0)
	said := []alertd.Sample{
		sample(t, `d{x="1", le="1"}`, t0, 1), sample(t, `d{x="1", le="5"}`, t0, 2),
		sample(t, `d{x="2"}`, t0, 3),
	}
	e.Append(t0, 1, said)
	tick := func(now time.Time, want ...string) {
		t.Helper()
		verdicts := e.Run(now)
		for i, v := range verdicts {
			if want[i] == "" != (v.Err == "") || !strings.Contains(v.Err, want[i]) {
				t.Errorf("%s at %s: %q, want %q", v.Rule.Name, now.Sub(t0), v.Err, want[i])
			}
		}
		if len(verdicts) != len(want) {
			t.Errorf("%d verdicts", len(verdicts))
		}
	}
	tick(t0.Add(time.Minute), "", "", "") // nothing on the left of any key, and nothing on the right of the second rule
	e.Append(t0.Add(time.Minute), 2, []alertd.Sample{sample(t, `g{x="2"}`, t0.Add(time.Minute), 1)})
	const refused = "found duplicate series for the match group"
	tick(t0.Add(2*time.Minute), refused, "", refused)
}

func TestTemplates(t *testing.T) {
	src := `groups:
- name: g
  labels: {team: '{{ $labels.service | toUpper }}', tier: group}
  rules:
  - alert: Hot
    expr: m > 1
    labels: {tier: rule, service: '{{ $labels.service }}', empty: ''}
    annotations:
      summary: '{{ $labels.service }} at {{ $value | humanize }} {{ $externalURL }} {{ externalURL }}'
      other: '{{ with query "n" }}{{ . | first | value }}{{ end }}'
      broken: '{{ query "n(" }}'
      plain: 'no template $value'
  - {alert: Reads, expr: n > 5}`
	e := NewEvaluator(mustParse(t, src), Options{ExternalURL: "http://alertd.example"}, t0)
	e.Append(t0, 1, []alertd.Sample{sample(t, `n`, t0, 3), sample(t, `m{service="api",empty="x"}`, t0, 1500)})
	var f alertd.Finding
	for _, v := range e.Run(t0) {
		if v.Rule.Name == "Hot" {
			f = v.True[0]
			if v.Scope != "service=api" || v.Rule.ID != "test.yaml:g:Hot" {
				t.Errorf("scope %q, id %q", v.Scope, v.Rule.ID)
			}
		}
	}
	if got := f.Labels.String(); got != `{alertname="Hot", service="api", team="API", tier="rule"}` {
		t.Error(got)
	}
	want := map[string]string{
		"summary": "api at 1.5k http://alertd.example http://alertd.example", "other": "3", "plain": "no template $value",
	}
	for name, text := range want {
		if got := f.Annotations.Labels().Get(name); got != text {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := f.Annotations.Labels().Get("broken"); !strings.HasPrefix(got, "<error expanding template:") || e.Stats().TemplateErrors != 1 {
		t.Error(got)
	}
}

// Annotations that were expanded once are not those of another series, nor of another kind of value, although the alert
// has the same labels and number.
func TestAnnotationsAreOfWhatIsFound(t *testing.T) {
	src := `groups:
- name: g
  rules:
  - {alert: Kind, expr: n, annotations: {summary: '{{ $value | humanize }}'}}
  - {alert: Top, expr: 'topk by (y) (1, m)', labels: {x: ''}, annotations: {summary: 'it is {{ $labels.x }}'}}`
	e := NewEvaluator(mustParse(t, src), Options{}, t0)
	said := func(at time.Time, samples ...alertd.Sample) string {
		e.Append(at, 1, samples)
		var lines []string
		for _, v := range e.CatchUp(at) {
			for _, f := range v.True {
				lines = append(lines, f.Labels.String()+" "+f.Annotations.Labels().Get("summary"))
			}
		}
		return strings.Join(lines, "\n")
	}
	h := &histogram.FloatHistogram{Count: 1, ZeroCount: 1}
	first := said(t0, alertd.Sample{Labels: metric(t, `n`), T: t0.UnixMilli(), H: h}, sample(t, `m{x="1",y="a"}`, t0, 3))
	if !strings.Contains(first, `{alertname="Kind"} <error expanding template`) || !strings.Contains(first, `{alertname="Top", y="a"} it is 1`) {
		t.Error(first)
	}
	t1 := t0.Add(time.Second)
	same(t, "verdicts", said(t1, sample(t, `n`, t1, 0), sample(t, `m{x="1",y="a"}`, t1, 2), sample(t, `m{x="2",y="a"}`, t1, 3)), `
{alertname="Kind"} 0
{alertname="Top", y="a"} it is 2`)
}

func TestOccurrences(t *testing.T) {
	src := `groups:
- name: g
  rules:
  - alert: Deployed
    on: event
    type: deployment.*
    match: ['service=~"a|b"']
    labels: {severity: info, kind: '{{ $labels.type }}'}
    annotations: {summary: '{{ $labels.service }}: {{ $message }} ({{ $labels.message }})'}
  - {alert: Exact, on: event, type: deployment.completed, keep_firing_for: 5m}
  # alertd: on: event
  - {alert: Selected, expr: 'event{type=~"deployment[.].+", service!="a", message=~".*live"}'}`
	set := mustParse(t, src)
	if r := set.Rules()[0]; !r.Occurrence || r.KeepFiringFor != time.Hour {
		t.Errorf("%+v", r)
	}
	e := NewEvaluator(set, Options{}, t0)
	occ := func(typ, service string) alertd.Occurrence {
		return alertd.Occurrence{Type: typ, Labels: labels.FromStrings("service", service), Message: "v2 is live", Time: t0, Trace: alertd.TraceRef{TraceID: "t"}}
	}
	got := e.Observe(t0, 9, []alertd.Occurrence{occ("deployment.started", "a"), occ("deployment.completed", "c"), occ("deployments", "a")})
	same(t, "verdicts", show(got), `
0s Deployed[] {kind="deployment.started", service="a", severity="info"}=1
0s Exact[] {service="c"}=1
0s Selected[] {service="c"}=1`)
	if s := got[0].True[0].Annotations.Labels().Get("summary"); s != "a: v2 is live (v2 is live)" || got[0].True[0].Trace.TraceID != "t" {
		t.Error(s)
	}
	if e.Evaluated() != 9 {
		t.Error(e.Evaluated())
	}
	future := occ("deployment.completed", "c")
	future.Time = t0.Add(time.Hour)
	if got := e.Observe(t0, 10, []alertd.Occurrence{future}); !got[0].At.Equal(t0) {
		t.Error(got[0].At)
	}
}

func TestRecordingRules(t *testing.T) {
	src := `groups:
- name: g
  interval: 30s
  rules:
  - {record: 'service:m:sum', expr: sum by (service) (m), labels: {from: rule}}
  - {alert: High, expr: 'service:m:sum > 10'}`
	e := NewEvaluator(mustParse(t, src), Options{}, t0)
	e.Append(t0, 1, []alertd.Sample{sample(t, `m{service="a",i="1"}`, t0, 6), sample(t, `m{service="a",i="2"}`, t0, 6)})
	e.Run(t0)
	slot := e.groups[0].next
	at := slot.Sub(t0).String()
	same(t, "first slot", show(e.Run(slot)), at+` High[] {from="rule", service="a"}=12(from=rule,service=a)`)
	same(t, "woken", show(e.Run(slot)), at+` High[from=rule,service=a] {from="rule", service="a"}=12`)
	// Once the source is stale, so is what was recorded.
	now := t0.Add(5*time.Minute + 30*time.Second)
	for due := e.groups[0].next; due.Before(now); due = e.groups[0].next {
		e.Run(due)
		e.Run(due)
	}
	for _, v := range e.Run(now) {
		if len(v.True) > 0 {
			t.Errorf("got %s", show([]alertd.Verdict{v}))
		}
	}
}

func TestTraces(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1", "m < 100", ratio)), Options{}, t0)
	with := func(text string, v float64, trace string, unsampled bool, ago time.Duration) alertd.Sample {
		s := sample(t, text, t0.Add(-ago), v)
		s.Trace = alertd.TraceRef{TraceID: trace, Unsampled: unsampled}
		return s
	}
	e.Append(t0, 1, []alertd.Sample{
		with(`m{a="x"}`, 50, "old", false, 6*time.Minute),
		with(`m{a="x"}`, 9, "high", false, 40*time.Second),
		with(`m{a="x"}`, 99, "unsampled", true, 30*time.Second),
		with(`m{a="x"}`, 2, "low", false, 20*time.Second),
		with(`m{a="x"}`, 5, "newest", false, 10*time.Second),
		with(`requests{service="s"}`, 10, "total", false, 0),
		with(`errors{service="s"}`, 5, "error", false, 0),
	})
	got := map[string]string{}
	for _, v := range e.Run(t0) {
		for _, f := range v.True {
			got[v.Rule.Name] = f.Trace.TraceID
		}
	}
	if got["Aa"] != "high" || got["Ab"] != "low" || got["Ac"] != "error" {
		t.Error(got)
	}
}

func TestReload(t *testing.T) {
	file := func(rules string) *Set { return mustParse(t, "groups:\n- name: g\n  rules:\n"+rules) }
	rate := "  - {alert: Rate, expr: 'rate(m[10m]) > 0.1'}\n"
	e := NewEvaluator(file(rate+"  - {alert: Gone, expr: 'n > 0'}\n  - {alert: Pair, expr: 'm / k > 0'}\n"), Options{}, t0)
	var seq uint64
	for i := range 60 {
		now := t0.Add(time.Duration(i) * 5 * time.Second)
		seq++
		e.Append(now, seq, []alertd.Sample{sample(t, `m{a="x"}`, now, float64(i)), sample(t, `n`, now, 1)})
		e.Run(now)
	}
	now := t0.Add(5 * time.Minute)
	seq++
	e.Append(now, seq, []alertd.Sample{sample(t, `m{a="x"}`, now, 100)})
	e.Run(now.Add(time.Millisecond)) // Rate is evaluated, Pair waits for k
	slot := e.groups[0].next
	if st := e.Stats(); st.Series != 2 || st.Dirty != 1 || e.Evaluated() != seq-1 {
		t.Fatalf("%+v %d", st, e.Evaluated())
	}
	e.SetRules(file("  - {alert: New, expr: 'rate(m[1m]) > 0.1'}\n  - {alert: Pair, expr: 'm / k > 0'}\n"+rate), now)
	if st := e.Stats(); st.Series != 1 || st.Samples < 60 || st.Dirty != 1 || e.Evaluated() != seq-1 {
		t.Errorf("%+v %d", st, e.Evaluated())
	}
	if !e.groups[0].next.Equal(slot) {
		t.Errorf("slot moved from %v to %v", slot, e.groups[0].next)
	}
	now = now.Add(time.Second)
	if e.Run(now); e.Evaluated() != seq || e.counts.Dirty != 0 {
		t.Errorf("evaluated %d, want %d", e.Evaluated(), seq)
	}
	now = now.Add(5 * time.Second)
	e.Append(now, seq+1, []alertd.Sample{sample(t, `m{a="x"}`, now, 101)})
	got := show(e.Run(now))
	if !strings.Contains(got, "New[a=x] {") || !strings.Contains(got, "Rate[a=x] {") {
		t.Errorf("got %s", got)
	}
}

func TestSilentSeriesAreForgotten(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1", "sum(m) > 5")), Options{}, t0)
	for i := range 20 {
		e.Append(t0, 1, []alertd.Sample{sample(t, `m{a="`+string(rune('a'+i))+`"}`, t0, 1)})
	}
	e.Run(t0)
	if st := e.Stats(); st.Series != 20 || st.Keys != 21 {
		t.Fatalf("%+v", st)
	}
	later := t0.Add(4 * time.Minute)
	e.Append(later, 2, []alertd.Sample{sample(t, `m{a="a"}`, later, 1)})
	e.Run(later)
	e.Run(t0.Add(8 * time.Minute))
	if st := e.Stats(); st.Series != 1 || st.Keys != 2 {
		t.Errorf("%+v", st)
	}
}

func TestTicksOnly(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 1", ratio)), Options{NoEvents: true}, t0)
	e.Append(t0, 5, []alertd.Sample{sample(t, `m{a="x"}`, t0, 9)})
	same(t, "verdicts", show(e.Run(t0)), "")
	if e.Evaluated() != 5 {
		t.Error(e.Evaluated())
	}
	slot := e.groups[0].next
	if due, ok := e.Next(); !ok || !due.Equal(slot) {
		t.Error(due, ok)
	}
	if got := e.Run(slot); len(got) != 2 || len(got[0].True) != 1 || got[0].Scope != "" || got[0].True[0].Scope != "a=x" {
		t.Error(show(got))
	}
	if _, ok := NewEvaluator(&Set{}, Options{}, t0).Next(); ok {
		t.Error("nothing to do, but due")
	}
}

// While the checkpoint is held back by a key, events that need nothing do not pass it.
func TestEvaluatedHoldsBack(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts(ratio)), Options{}, t0)
	e.Append(t0, 10, []alertd.Sample{sample(t, `errors{service="a"}`, t0, 5)})
	e.Append(t0, 11, []alertd.Sample{sample(t, `unread`, t0, 5)})
	now := t0.Add(50 * time.Millisecond)
	e.Append(now, 12, []alertd.Sample{sample(t, `errors{service="b"}`, now, 5)})
	e.Append(now, 13, []alertd.Sample{sample(t, `errors{service="a"}`, now, 5)})
	for _, step := range []struct {
		after time.Duration
		want  uint64
	}{{50, 9}, {99, 9}, {100, 11}, {149, 11}, {150, 13}} {
		e.Run(t0.Add(step.after * time.Millisecond))
		if got := e.Evaluated(); got != step.want {
			t.Errorf("after %d ms evaluated %d, want %d", step.after, got, step.want)
		}
	}
}

// A rule that needs all series is woken by samples, too, but the more series it reads the less often.
func TestWholeRulesAreCoalesced(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("sum(m) > 1e18")), Options{}, t0)
	all := fleet("m", 5000)
	for i := range all {
		all[i].T = t0.UnixMilli()
	}
	e.Append(t0, 1, all)
	if got := e.Run(t0); len(got) != 1 || got[0].Scope != "" {
		t.Fatal(show(got))
	}
	now := t0.Add(time.Millisecond)
	all[0].T = now.UnixMilli()
	e.Append(now, 2, all[:1])
	if due, _ := e.Next(); !due.Equal(t0.Add(time.Second)) {
		t.Errorf("due after %v", due.Sub(t0))
	}
}
