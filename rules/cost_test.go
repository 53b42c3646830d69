//go:build unix

package rules

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// publication is what one service publishes at a time: a message.
type publication []alertd.Sample

// costs are the sets of rules whose cost is measured, and the series that one service has for them.
var costs = []struct {
	name  string
	rules func(testing.TB) *Set
	of    func(service string) publication
}{
	{"threshold", func(t testing.TB) *Set { // a warning and a critical limit for each of 50 gauges
		var b strings.Builder
		for i := range 100 {
			fmt.Fprintf(&b, "  - {alert: A%d, expr: 'gauge%d > %d'}\n", i, i/2, 1e9*(1+i%2))
		}
		return mustParse(t, "groups:\n- name: g\n  rules:\n"+b.String())
	}, func(service string) (p publication) {
		for i := range 50 {
			p = append(p, alertd.Sample{Labels: labels.FromStrings("__name__", fmt.Sprintf("gauge%d", i), "service", service, "zone", "eu-central-1")})
		}
		return p
	}},
	{"ratio", func(t testing.TB) *Set { // two limits for the share of failures of each of 50 kinds of requests
		var b strings.Builder
		for i := range 100 {
			fmt.Fprintf(&b, "  - {alert: A%d, expr: 'sum by (service) (rate(failed%d_total[5m])) / sum by (service) (rate(all%d_total[5m])) > %d'}\n", i, i/2, i/2, 10*(1+i%2))
		}
		return mustParse(t, "groups:\n- name: g\n  rules:\n"+b.String())
	}, func(service string) (p publication) {
		for i := range 50 {
			for _, name := range []string{"failed", "all"} {
				p = append(p, alertd.Sample{Labels: labels.FromStrings("__name__", fmt.Sprintf("%s%d_total", name, i), "service", service, "zone", "eu-central-1")})
			}
		}
		return p
	}},
	{"shipped", func(t testing.TB) *Set {
		var files []File
		for _, name := range []string{"critical.yaml", "warning.yaml", "info.yaml", "self.yaml", "events.yaml"} {
			src, err := fs.ReadFile(Shipped(), name)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, File{name, src})
		}
		set, err := Parse(files)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}, func(service string) (p publication) {
		add := func(name string, pairs ...string) {
			p = append(p, alertd.Sample{Labels: labels.FromStrings(append([]string{"__name__", name, "service", service}, pairs...)...)})
		}
		for _, code := range []string{"200", "404", "503"} {
			add("http_requests_total", "code", code)
		}
		for _, le := range []string{"0.1", "0.5", "1", "5", "10", "+Inf"} {
			add("http_request_duration_seconds_bucket", "le", le)
		}
		for _, s := range []string{"healthy", "degraded", "unhealthy"} {
			add("health_status", "status", s)
			add("health_check_status", "check", "database", "status", s)
		}
		add("disk_usage_ratio", "device", "/dev/sda")
		add("quota_used", "quota", "sends")
		add("quota_limit", "quota", "sends")
		p[len(p)-1].V = 100
		add("certificate_expiry_timestamp_seconds")
		p[len(p)-1].V = 4e9
		add("process_open_fds") // which no rule reads
		return p
	}},
}

// BenchmarkCost measures what a sample costs, evaluations and ticks included, on one core: services publish every
// 15 seconds, each all its series in one message, spread evenly; nothing is true. One iteration is one sample. The
// clock is the benchmark's, so that each sample is evaluated, however many series there are.
func BenchmarkCost(b *testing.B) {
	for _, c := range costs {
		for _, n := range []int{100, 10_000, 100_000} {
			var l *load
			b.Run(fmt.Sprintf("%s/series=%d", c.name, n), func(b *testing.B) {
				if l == nil {
					l = newLoad(c.rules(b), c.of, n)
				}
				before, used, samples := l.e.counts, coreTime(b), 0
				b.ResetTimer()
				for samples < b.N {
					samples += l.publish()
					l.e.Run(l.now)
				}
				b.StopTimer()
				after := l.e.counts
				b.ReportMetric(float64(samples)/(coreTime(b)-used).Seconds(), "samples/s/core")
				b.ReportMetric(float64(after.Keyed-before.Keyed)/float64(samples), "evaluations/sample")
				b.ReportMetric(float64(after.Cheap-before.Cheap)/float64(after.Keyed+after.Whole-before.Keyed-before.Whole), "compiled")
			})
		}
	}
}

// load is a fleet of services that publish in turn, and the evaluator that hears them.
type load struct {
	e      *Evaluator
	fleet  []publication
	growth []float64 // of each sample of a publication, from one to the next
	step   time.Duration
	now    time.Time
	seq    uint64
}

func newLoad(set *Set, of func(string) publication, series int) *load {
	l := &load{e: NewEvaluator(set, Options{}, t0), now: t0}
	for _, s := range of("") { // counters of what does not fail
		name, grows := s.Labels.Get("__name__"), 0.0
		if s.Labels.Get("code") != "503" && (strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_bucket")) {
			grows = 1
		}
		l.growth = append(l.growth, grows)
	}
	l.fleet = make([]publication, max(series/len(l.growth), 1))
	for i := range l.fleet {
		l.fleet[i] = of(fmt.Sprintf("service-%d", i))
	}
	l.step = 15 * time.Second / time.Duration(len(l.fleet))
	for i := range 22 * len(l.fleet) { // more than the five minutes that rules look back
		l.publish()
		if i >= 20*len(l.fleet) {
			l.e.Run(l.now)
		}
	}
	return l
}

// publish lets the next service publish, and says how many samples those are.
func (l *load) publish() int {
	p := l.fleet[l.seq%uint64(len(l.fleet))]
	l.seq++
	l.now = l.now.Add(l.step)
	for i := range p {
		p[i].T = l.now.UnixMilli()
		p[i].V += l.growth[i]
	}
	l.e.Append(l.now, l.seq, p)
	return len(p)
}

// coreTime is what this process has used of all cores, whoever else uses them.
func coreTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkParse is the time that a file of a thousand alerts takes to load.
func BenchmarkParse(b *testing.B) {
	var src strings.Builder
	src.WriteString("groups:\n- name: g\n  rules:\n")
	for i := range 1000 {
		fmt.Fprintf(&src, `  - alert: A%d
    expr: sum by (service) (rate(failed%d_total{code=~"5.."}[5m])) / sum by (service) (rate(all%d_total[5m])) > 0.05
    for: 5m
    labels: {severity: warning}
    annotations:
      summary: '{{ $labels.service }} fails {{ $value | humanizePercentage }} of its requests'
      description: '{{ with query "sum(all_total)" }}{{ . | first | value }}{{ end }} requests in all'
`, i, i, i)
	}
	files := []File{{"rules.yaml", []byte(src.String())}}
	for b.Loop() {
		set, err := Parse(files)
		if err != nil {
			b.Fatal(err)
		}
		NewEvaluator(set, Options{}, t0)
	}
}
