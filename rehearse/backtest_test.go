package rehearse_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
	"alertd/config"
	"alertd/rehearse"
	"alertd/rules"
)

var monday = time.Date(2026, 1, 12, 8, 0, 0, 0, time.UTC)

func policy(t testing.TB, ruleText, routingText string) *config.Policy {
	t.Helper()
	p, err := config.Load(fstest.MapFS{
		"rules.yaml": {Data: []byte(ruleText)}, "routing.yaml": {Data: []byte(routingText)},
	}, noEnv, noFile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sample(at time.Time, v float64, name string, ls ...string) alertd.Sample {
	return alertd.Sample{Labels: labels.FromStrings(append(ls, "__name__", name)...), T: at.UnixMilli(), V: v}
}

// told writes each notification in a line: offset, receiver, status, alerts.
func told(r *rehearse.Report) (out []string) {
	for i := range r.Told {
		n := &r.Told[i]
		var names []string
		for j := range n.Alerts {
			names = append(names, n.Alerts[j].Name()+" "+n.Alerts[j].Service())
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", n.At.Sub(r.From), n.Receiver, n.Status, strings.Join(names, ", ")))
	}
	return out
}

// play takes a day of samples every 15 seconds: a outage of a, b slow from noon on, and a deployment.
func play(b *rehearse.Backtest) *rehearse.Report {
	var events alertd.Events
	for i := range 4 * 60 * 4 {
		at := monday.Add(time.Duration(i) * 15 * time.Second)
		up, slow := 1.0, 0.0
		if i >= 40 && i < 80 || i >= 90 && i < 100 {
			up = 0
		}
		if i >= 120 {
			slow = 1
		}
		events = alertd.Events{Samples: []alertd.Sample{sample(at, up, "up", "service", "a"), sample(at, slow, "slow", "service", "b")}}
		if i == 10 {
			events.Occurrences = []alertd.Occurrence{{Type: "deployment.completed", Labels: labels.FromStrings("service", "c"), Time: at}}
		}
		b.Take(at.Add(50*time.Millisecond), uint64(i+1), &events)
	}
	return b.End(monday.Add(4 * time.Hour))
}

func TestBacktest(t *testing.T) {
	r := play(rehearse.NewBacktest(policy(t, toldRules, toldRouting), monday))
	want := []string{
		"2m30.05s chat firing Deployed c",
		"7m30.05s chat resolved Deployed c",
		"10m0.05s pager firing Down a",
		"20m0.05s pager resolved Down a",
		"22m30.05s pager firing Down a",
		"27m0s pager resolved Down a",
		"30m0.05s chat firing Slow b",
	}
	if got := strings.Join(told(r), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if got := fmt.Sprint(r.Receivers); got != "[{pager 4 0 0 0 4} {chat 0 1 2 0 3}]" {
		t.Errorf("receivers: %s", got)
	}
	if got := fmt.Sprintf("%+v", r.Alerts[0]); got != "{Alert:Down Severity:critical Fired:2 Told:4 Brief:1 Flapped:1 FiringMS:750000}" {
		t.Errorf("noise: %s", got)
	}
	// The pager's webhook does not want to hear of ends, its console does.
	if got := fmt.Sprint(r.Told[2].Destinations, r.Told[3].Destinations); got != "[webhook/0 console/0] [console/0]" {
		t.Errorf("destinations: %s", got)
	}
}

func TestCompare(t *testing.T) {
	old := play(rehearse.NewBacktest(policy(t, toldRules, toldRouting), monday))
	patient := strings.Replace(toldRules, "expr: up == 0,", "expr: up == 0, for: 5m,", 1)
	fresh := play(rehearse.NewBacktest(policy(t, patient, toldRouting), monday))
	var got []string
	c := rehearse.Compare(old, fresh)
	for _, x := range c.Changes {
		from := ""
		if x.What == rehearse.Moved {
			from = " from " + x.From.Sub(old.From).String()
		}
		got = append(got, fmt.Sprintf("%s %s %s%s", x.At.Sub(old.From), x.What, x.Told.Status, from))
	}
	want := []string{
		"15m0.05s moved firing from 10m0.05s",
		"22m30.05s gone firing",
		"27m0s gone resolved",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || c.Same != 4 {
		t.Errorf("got %d the same and\n%s\nwant 4 and\n%s", c.Same, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if same := rehearse.Compare(old, old); len(same.Changes) != 0 || same.Same != len(old.Told) {
		t.Errorf("a report differs from itself: %+v", same)
	}
}

// The same events give the same bytes, and cutting messages differently changes nothing that is told but the
// instants within a burst.
func TestDeterminism(t *testing.T) {
	p := policy(t, toldRules, toldRouting)
	rapid.Check(t, func(t *rapid.T) {
		type message struct {
			at     time.Time
			events alertd.Events
		}
		var messages []message
		at := monday
		for range rapid.IntRange(1, 60).Draw(t, "messages") {
			at = at.Add(time.Duration(rapid.IntRange(0, 600_000).Draw(t, "gap")) * time.Millisecond)
			m := message{at: at}
			for range rapid.IntRange(0, 3).Draw(t, "samples") {
				name := rapid.SampledFrom([]string{"up", "slow"}).Draw(t, "name")
				service := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service")
				skew := time.Duration(rapid.IntRange(-60_000, 1000).Draw(t, "skew")) * time.Millisecond
				m.events.Samples = append(m.events.Samples, sample(at.Add(skew), float64(rapid.IntRange(0, 1).Draw(t, "v")), name, "service", service))
			}
			messages = append(messages, m)
		}
		run := func() string {
			b := rehearse.NewBacktest(p, monday)
			for i := range messages {
				b.Take(messages[i].at, uint64(i+1), &messages[i].events)
			}
			out, err := json.Marshal(b.End(at.Add(time.Hour)))
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		if first, second := run(), run(); first != second {
			t.Fatalf("two runs differ:\n%s\n%s", first, second)
		}
	})
}

// BenchmarkBacktest replays samples through the shipped rules: 100 services, every 15 seconds.
func BenchmarkBacktest(b *testing.B) {
	p, err := config.Load(rules.Shipped(), noEnv, noFile)
	if err != nil {
		b.Fatal(err)
	}
	const services = 100
	var series []alertd.Sample
	for i := range services {
		for _, code := range []string{"200", "500"} {
			series = append(series, sample(monday, 0, "http_requests_total", "service", fmt.Sprintf("s%d", i), "code", code))
		}
		series = append(series, sample(monday, 0.5, "disk_usage_ratio", "service", fmt.Sprintf("s%d", i), "device", "sda"))
	}
	test := rehearse.NewBacktest(p, monday)
	n := 0
	var events alertd.Events
	for b.Loop() {
		at := monday.Add(time.Duration(n/len(series))*15*time.Second + time.Duration(n%len(series))*time.Millisecond)
		s := series[n%len(series)]
		s.T = at.UnixMilli()
		if s.V != 0.5 && s.Labels.Get("code") == "200" {
			s.V = float64(n / len(series) * 10)
		}
		events.Samples = append(events.Samples[:0], s)
		n++
		test.Take(at, uint64(n), &events)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
