package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// fleet makes n series of one metric over services and instances.
func fleet(name string, n int) []alertd.Sample {
	out := make([]alertd.Sample, n)
	for i := range out {
		out[i] = alertd.Sample{V: 1, Labels: labels.FromStrings("__name__", name, "service", fmt.Sprintf("service-%d", i%max(n/10, 1)),
			"instance", fmt.Sprintf("10.0.%d.%d:9090", i/250, i%250), "zone", "eu-central-1")}
	}
	return out
}

// evaluatorAt has one rule and series with a sample every five seconds for five minutes.
func evaluatorAt(b *testing.B, expr string, series int, metrics ...string) (*Evaluator, []alertd.Sample, time.Time) {
	e := NewEvaluator(mustParse(b, alerts(expr)), Options{Settle: time.Nanosecond}, t0)
	var all []alertd.Sample
	for _, m := range metrics {
		all = append(all, fleet(m, series)...)
	}
	now := t0
	for range 60 {
		now = now.Add(5 * time.Second)
		for i := range all {
			all[i].T = now.UnixMilli()
			all[i].V++
		}
		e.clock(now)
		e.Warm(all)
	}
	return e, all, now
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			e, all, now := evaluatorAt(b, "m > 1e18", n, "m")
			i := 0
			for b.Loop() {
				if i == len(all) {
					i, now = 0, now.Add(time.Second)
					b.StopTimer()
					e.Run(now)
					b.StartTimer()
				}
				all[i].T = now.UnixMilli()
				e.Append(now, 1, all[i:i+1])
				i++
			}
		})
	}
}

func BenchmarkKey(b *testing.B) {
	for _, shape := range []struct{ name, expr string }{
		{"compare", "m > 1e18"},
		{"rate", "rate(m[5m]) > 1e18"},
		{"ratio", "sum by (service) (rate(m[5m])) / sum by (service) (rate(n[5m])) > 1e18"},
		{"quantile", "quantile by (service) (0.9, m) > 1e18"},
	} {
		for _, n := range []int{100, 10_000} {
			for _, how := range []string{"compiled", "engine"} {
				b.Run(fmt.Sprintf("%s/series=%d/%s", shape.name, n, how), func(b *testing.B) {
					metrics := []string{"m", "n"}
					if !strings.Contains(shape.expr, "n[") {
						metrics = metrics[:1]
					}
					e, all, now := evaluatorAt(b, shape.expr, n, metrics...)
					if how == "engine" {
						e.rules[0].program = nil
					} else if e.rules[0].program == nil {
						b.Skip("not of a shape that is compiled")
					}
					e.groups[0].next, e.nextTick = now.Add(100*time.Hour), now.Add(100*time.Hour)
					i := 0
					for b.Loop() {
						now = now.Add(time.Millisecond)
						all[i%len(all)].T = now.UnixMilli()
						e.Append(now, 1, all[i%len(all):i%len(all)+1])
						e.Run(now.Add(time.Microsecond))
						i++
					}
					if st := e.Stats(); st.Keyed < uint64(b.N) {
						b.Fatalf("%d evaluations in %d rounds", st.Keyed, b.N)
					}
				})
			}
		}
	}
}

func BenchmarkTick(b *testing.B) {
	for _, expr := range []string{"m > 1e18", "sum by (service) (rate(m[5m])) > 1e18", "quantile by (service) (0.9, m) > 1e18"} {
		b.Run(expr[:4], func(b *testing.B) {
			e, _, now := evaluatorAt(b, expr, 10_000, "m")
			for b.Loop() {
				e.tickRule(e.rules[0], now.UnixMilli())
			}
		})
	}
}

// BenchmarkLoad is the load that alertd is built for: a hundred rules, ten thousand series, one sample a message.
func BenchmarkLoad(b *testing.B) {
	var exprs strings.Builder
	for i := range 100 {
		name := fmt.Sprintf("m%d", i%10)
		x := name + " > 1e18"
		switch i / 10 {
		case 7:
			x = "rate(" + name + "[5m]) > 1e18"
		case 8:
			x = "sum by (service) (rate(" + name + "[1m])) > 1e18"
		case 9:
			x = "avg_over_time(" + name + "[2m]) > 1e18"
		}
		fmt.Fprintf(&exprs, "  - {alert: A%d, expr: '%s'}\n", i, x)
	}
	set := mustParse(b, "groups:\n- name: g\n  rules:\n"+exprs.String())
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			var all []alertd.Sample
			for i := range 10 {
				all = append(all, fleet(fmt.Sprintf("m%d", i), 1000)...)
			}
			e := NewEvaluator(set, Options{}, t0)
			now, i, seq := t0, 0, uint64(0)
			for range 3 { // every series is known and every key was told to be false
				now = now.Add(time.Second)
				for j := range all {
					all[j].T = now.UnixMilli()
				}
				e.Append(now, 0, all)
				e.Run(now)
			}
			before := e.Stats()
			// 60,000 samples a second, evaluated every millisecond as a loop under load would.
			for b.Loop() {
				for j := range batch {
					all[i+j].T = now.UnixMilli()
					all[i+j].V++
				}
				seq++
				e.Append(now, seq, all[i:i+batch])
				i = (i + batch) % len(all)
				next := now.Add(time.Duration(batch) * time.Second / 60_000)
				if next.UnixMilli() != now.UnixMilli() {
					e.Run(next)
				}
				now = next
			}
			st := e.Stats()
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "samples/s")
			b.ReportMetric(float64(st.Keyed-before.Keyed)/float64(b.N*batch), "evaluations/sample")
			b.ReportMetric(float64(st.Bytes)/float64(st.Series), "B/series")
		})
	}
}

// BenchmarkAnnotations is what an event costs about a service for which a rule is true and goes on being true, with
// texts of the common kinds.
func BenchmarkAnnotations(b *testing.B) {
	for _, c := range []struct{ name, texts string }{
		{"none", "{}"},
		{"static", "{summary: Disk is full, next_step: Look at it}"},
		{"templates", "{summary: '{{ $labels.service }} is {{ $value | humanizePercentage }} full', next_step: 'Look at {{ $labels.instance }}.'}"},
	} {
		b.Run(c.name, func(b *testing.B) {
			set := mustParse(b, alerts("m > 0.5")+"    annotations: "+c.texts+"\n")
			e, all, now := NewEvaluator(set, Options{Settle: time.Nanosecond}, t0), fleet("m", 100), t0
			found, i := 0, 0
			for b.Loop() {
				now = now.Add(time.Millisecond)
				s := &all[i%len(all)]
				s.T, s.V = now.UnixMilli(), 0.6+float64(i%7)/100
				e.Append(now, 1, all[i%len(all):i%len(all)+1])
				for _, v := range e.Run(now.Add(time.Microsecond)) {
					found += len(v.True)
				}
				i++
			}
			if found < b.N {
				b.Fatalf("%d findings of %d events", found, b.N)
			}
		})
	}
}
