package engine_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/engine"
	"alertd/router"
)

// What a flush costs that reminds of the causes of 10,000 hidden alerts and looks at each of those: one group holds all of them,
// as in an outage of what everything depends on.
func BenchmarkFlushOfHidden(b *testing.B) {
	for _, sources := range []int{10, 1_000} {
		b.Run(fmt.Sprint(sources, " sources"), func(b *testing.B) { flushOfHidden(b, 10_000, sources) })
	}
}

func flushOfHidden(b *testing.B, targets, sources int) {
	root := router.Route{
		Receiver: "ops", GroupWait: time.Second, GroupInterval: 5 * time.Minute, RepeatInterval: 5 * time.Minute, Deliver: alertd.Immediate,
	}
	root.Identify()
	m, now := engine.New(), time.Date(2026, 3, 27, 9, 0, 0, 0, time.UTC)
	m.Step(now, engine.PolicyChanged{Policy: &engine.Policy{
		Version: "v", Route: &root, Receivers: []engine.Receiver{{Name: "ops", Integrations: []engine.Integration{{Name: "webhook/0"}}}},
		Inhibitions: router.Inhibitions{{
			Source: []*amlabels.Matcher{matcher(b, `alertname="Down"`)}, Target: []*amlabels.Matcher{matcher(b, `alertname="Slow"`)},
			Equal: []string{"zone"},
		}},
	}})
	var posts []alertd.Posted
	post := func(ls ...string) { posts = append(posts, alertd.Posted{Labels: labels.FromStrings(ls...)}) }
	for i := range sources {
		post("alertname", "Down", "severity", "critical", "zone", strconv.Itoa(i))
	}
	for i := range targets {
		post("alertname", "Slow", "severity", "warning", "zone", strconv.Itoa(i%sources), "service", "s"+strconv.Itoa(i))
	}
	m.Step(now, engine.AlertsPosted{Alerts: posts, ResolveTimeout: 1e6 * time.Hour})
	flush := func() (planned, told int) {
		due, ok := m.Next()
		if !ok {
			b.Fatal("nothing is due")
		}
		for _, e := range m.Step(due, nil) {
			switch {
			case e.Planned != nil:
				planned++
			case e.Flushed != nil:
				told += len(e.Flushed.Told)
			}
		}
		return planned, told
	}
	if planned, told := flush(); planned == 0 || told != sources {
		b.Fatalf("%d notifications, %d alerts told, want the %d that hide the others", planned, told, sources)
	}
	for b.Loop() {
		if planned, _ := flush(); planned == 0 {
			b.Fatal("no reminder")
		}
	}
}
