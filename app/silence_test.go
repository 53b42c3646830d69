package app_test

import (
	"io/fs"
	"maps"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/config"
	"alertd/engine"
	"alertd/rules"
)

// loop is the daemon's, on a clock of its own.
type loop struct {
	t      *testing.T
	policy *config.Policy
	now    time.Time
	seq    uint64
	last   time.Time
	heard  []alertd.Sample
	e      *rules.Evaluator
	m      *engine.Machine
	said   []string
}

func newLoop(t *testing.T, files fs.FS) *loop {
	t.Helper()
	p, err := config.Load(files, func(string) (string, bool) { return "", false }, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{t: t, policy: p, now: time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC), m: engine.New()}
	l.last = l.now
	l.e = rules.NewEvaluator(p.Rules, rules.Options{}, l.now)
	l.step(engine.PolicyChanged{Policy: p.Engine()})
	return l
}

func (l *loop) step(in engine.Input) {
	for _, e := range l.m.Step(l.now, in) {
		if tr := e.Transition; tr != nil {
			l.said = append(l.said, tr.Alert.Name()+" "+tr.Alert.Service()+" "+string(tr.Alert.State)+": "+string(tr.Reason))
		}
	}
}

// pass lets time pass; every 15 seconds come the samples, each "name service value".
func (l *loop) pass(d time.Duration, samples ...alertd.Sample) {
	for end := l.now.Add(d); l.now.Before(end); l.now = l.now.Add(15 * time.Second) {
		if len(samples) > 0 {
			l.last = l.now
			l.seq++
			for i := range samples {
				samples[i].T = l.now.UnixMilli()
			}
			l.e.Append(l.now, l.seq, samples)
			l.heard = append(l.heard, samples...)
		}
		l.e.Append(l.now, 0, rules.Self(l.now, l.last))
		for _, v := range l.e.Run(l.now) {
			if v.Err != "" {
				l.t.Error(v.Err)
			}
			l.step(engine.Judged{Verdict: v})
		}
	}
}

func (l *loop) check(what string, want ...string) {
	l.t.Helper()
	if !slices.Equal(l.said, want) {
		l.t.Errorf("%s:\n got %q\nwant %q", what, l.said, want)
	}
	l.said = nil
}

func series(name, service string, v float64, rest ...string) alertd.Sample {
	return alertd.Sample{Labels: labels.FromStrings(append([]string{"__name__", name, "service", service}, rest...)...), V: v}
}

// While the input as a whole is silent nothing resolves, whatever the policy; that it is silent is an alert; and when
// it is back, everybody is heard before anybody is missed.
func TestWhileTheInputIsSilentNothingResolves(t *testing.T) {
	shipped := fstest.MapFS{}
	for _, name := range []string{"critical.yaml", "self.yaml", "routing.yaml"} {
		b, err := fs.ReadFile(rules.Shipped(), name)
		if err != nil {
			t.Fatal(err)
		}
		shipped[name] = &fstest.MapFile{Data: b}
	}
	files := maps.Clone(shipped)
	files["own.yaml"] = &fstest.MapFile{Data: []byte(`groups:
- name: own
  interval: 15s
  rules:
  - {alert: Hot, expr: temperature > 90, labels: {severity: critical}}
`)}
	l := newLoop(t, files)
	hot := []alertd.Sample{
		series("temperature", "oven", 99), series("temperature", "stove", 99), series("health_status", "oven", 1, "status", "unhealthy"),
	}
	l.pass(2*time.Minute, hot...)
	slices.Sort(l.said)
	l.check("all is well reported", "ApplicationDown oven firing: condition true", "Hot oven firing: condition true", "Hot stove firing: condition true")

	l.pass(40 * time.Minute)
	slices.Sort(l.said)
	l.check("nothing is heard", "ApplicationDown oven no-data: input is silent", "Hot oven no-data: input is silent",
		"Hot stove no-data: input is silent", "NoEventsArriving alertd firing: condition true")

	l.pass(2*time.Minute, hot[:1]...)
	slices.Sort(l.said)
	l.check("the oven is heard again", "Hot oven firing: condition true again", "NoEventsArriving alertd resolved: condition ended")
	l.pass(10*time.Minute, hot[:1]...)
	l.check("the stove is not, and its rule keeps nothing", "Hot stove resolved: series gone")
	l.pass(2*time.Hour, hot[:1]...)
	l.check("the shipped rules keep what is the only one of its kind")
	l.pass(time.Minute, hot[0], series("health_status", "oven", 0, "status", "unhealthy"))
	l.check("healthy again", "ApplicationDown oven resolved: condition ended")
}

// Of services that others outlive, the shipped rules know no end either, for an hour.
func TestMissingServiceIsKeptForAnHour(t *testing.T) {
	l := newLoop(t, rules.Shipped())
	down := series("health_status", "shop", 1, "status", "unhealthy")
	other := series("health_status", "mail", 0, "status", "unhealthy")
	l.pass(time.Minute, down, other)
	l.check("down", "ApplicationDown shop firing: condition true")
	l.pass(16*time.Minute, other)
	l.check("silent", "ApplicationDown shop no-data: series missing")
	l.pass(58*time.Minute, other)
	l.check("for less than an hour")
	l.pass(3*time.Minute, other)
	l.check("switched off", "ApplicationDown shop resolved: series gone")
}

// A group's limit is an error of the rule, whichever key is evaluated, and an error clears nothing.
func TestLimitClearsNothing(t *testing.T) {
	files := fstest.MapFS{"own.yaml": &fstest.MapFile{Data: []byte(`groups:
- name: own
  interval: 15s
  limit: 1
  rules:
  - {alert: Hot, expr: sum by (service) (temperature) > 90, labels: {severity: critical}}
`)}}
	b, err := fs.ReadFile(rules.Shipped(), "routing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files["routing.yaml"] = &fstest.MapFile{Data: b}
	l := newLoop(t, files)
	l.pass(time.Minute, series("temperature", "oven", 99))
	l.check("one", "Hot oven firing: condition true")
	failed := 0
	stove := []alertd.Sample{series("temperature", "oven", 99), series("temperature", "stove", 99)}
	for range 8 {
		l.seq++
		for i := range stove {
			stove[i].T = l.now.UnixMilli()
		}
		l.e.Append(l.now, l.seq, stove)
		for _, v := range l.e.Run(l.now) {
			if v.Err != "" {
				failed++
			}
			l.step(engine.Judged{Verdict: v})
		}
		l.now = l.now.Add(15 * time.Second)
	}
	if failed < 7 {
		t.Errorf("the limit was exceeded %d times", failed)
	}
	l.check("two are over the limit") // no second one fires, and the first goes on
}
