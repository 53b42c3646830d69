package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/rules"
)

// These measure the rules by themselves, in this process: what a sample costs by rules and number of series, how long
// it takes from a sample to the verdict that follows from it, and how long a large rule file takes to load.

// workload is a set of rules whose cost is measured, and what one service publishes for it at a time.
type workload struct {
	name   string
	files  func() ([]rules.File, error)
	series []metric // of one service
	wrong  float64  // value of the first series that makes a rule true
	goal   float64  // samples/s a core; 0: none was set
}

// metric is one series of a service, and how it goes on.
type metric struct {
	name  string
	pairs []string // labels besides the service
	value float64  // of the first sample
	grows float64  // from one sample to the next
}

var workloads = []workload{
	{name: "100 threshold rules", files: generated(thresholds), series: gauges(), wrong: 1e12, goal: 300_000},
	{name: "100 ratio rules", files: generated(ratios), series: counters(), wrong: 1e12, goal: 100_000},
	{name: "the shipped rules", files: shipped, series: shippedSeries(), wrong: 1},
}

// thresholds are a warning and a critical limit for each of 50 gauges.
func thresholds(b *strings.Builder, i int) {
	fmt.Fprintf(b, "  - {alert: A%d, expr: 'gauge%d > %d'}\n", i, i/2, 1_000_000_000*(1+i%2))
}

func gauges() (out []metric) {
	for i := range 50 {
		out = append(out, metric{name: fmt.Sprintf("gauge%d", i), pairs: []string{"zone", "eu-central-1"}})
	}
	return out
}

// ratios are two limits for the share of failures of each of 50 kinds of requests.
func ratios(b *strings.Builder, i int) {
	fmt.Fprintf(b, "  - {alert: A%d, expr: 'sum by (service) (rate(failed%d_total[5m])) / sum by (service) (rate(all%d_total[5m])) > %d'}\n",
		i, i/2, i/2, 10*(1+i%2))
}

func counters() (out []metric) {
	for i := range 50 {
		for _, name := range []string{"failed", "all"} {
			out = append(out, metric{name: fmt.Sprintf("%s%d_total", name, i), pairs: []string{"zone", "eu-central-1"}, grows: 1})
		}
	}
	return out
}

// generated is a file of one group with a hundred rules.
func generated(rule func(*strings.Builder, int)) func() ([]rules.File, error) {
	return func() ([]rules.File, error) {
		b := new(strings.Builder)
		b.WriteString("groups:\n- name: g\n  rules:\n")
		for i := range 100 {
			rule(b, i)
		}
		return []rules.File{{Name: "rules.yaml", Data: []byte(b.String())}}, nil
	}
}

func shipped() (files []rules.File, err error) {
	for _, name := range []string{"critical.yaml", "warning.yaml", "info.yaml", "self.yaml", "events.yaml"} {
		src, err := fs.ReadFile(rules.Shipped(), name)
		if err != nil {
			return nil, err
		}
		files = append(files, rules.File{Name: name, Data: src})
	}
	return files, nil
}

// shippedSeries are of a service that is well. The first is of what makes it unwell.
func shippedSeries() (out []metric) {
	add := func(value, grows float64, name string, pairs ...string) {
		out = append(out, metric{name, pairs, value, grows})
	}
	add(0, 0, "health_status", "status", "unhealthy")
	add(0, 0, "disk_usage_ratio", "device", "/dev/sda")
	for _, code := range []string{"200", "404"} {
		add(0, 1, "http_requests_total", "code", code)
	}
	add(0, 0, "http_requests_total", "code", "503")
	for _, le := range []string{"0.1", "0.5", "1", "5", "10", "+Inf"} {
		add(0, 1, "http_request_duration_seconds_bucket", "le", le)
	}
	for _, s := range []string{"healthy", "degraded"} {
		add(0, 0, "health_status", "status", s)
	}
	for _, s := range []string{"healthy", "degraded", "unhealthy"} {
		add(0, 0, "health_check_status", "check", "database", "status", s)
	}
	add(0, 0, "quota_used", "quota", "sends")
	add(100, 0, "quota_limit", "quota", "sends")
	add(4e9, 0, "certificate_expiry_timestamp_seconds")
	add(0, 0, "process_open_fds") // which no rule reads
	return out
}

// fleet is services that publish in turn, all their series in one message every 15 seconds, and the evaluator that
// hears them. The clock is the fleet's own, so that each sample is evaluated, however many series there are.
type fleet struct {
	workload
	evaluator *rules.Evaluator
	values    [][]float64 // by service
	step      time.Duration
	now       time.Time
	seq       uint64

	messages []message // made but not taken in yet
	spare    []message
}

// message is what one service publishes at a time. Its labels are written anew for each message, as a decoder does:
// what the evaluator keeps it has to find in memory of its own.
type message struct {
	at       time.Time
	samples  []alertd.Sample
	builders []labels.ScratchBuilder
}

// settle is how long the evaluator waits for the other half of an update.
const settle = 100 * time.Millisecond

// ahead is how many messages are made before they are taken in, so that making them is not in the measured time.
const ahead = 50

func newFleet(w workload, series int) (*fleet, error) {
	files, err := w.files()
	if err != nil {
		return nil, err
	}
	set, err := rules.Parse(files)
	if err != nil {
		return nil, err
	}
	start := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	f := &fleet{workload: w, evaluator: rules.NewEvaluator(set, rules.Options{Settle: settle}, start), now: start}
	f.values = make([][]float64, max(series/len(w.series), 1))
	for i := range f.values {
		for _, m := range w.series {
			f.values[i] = append(f.values[i], m.value)
		}
	}
	f.step = 15 * time.Second / time.Duration(len(f.values))
	for i := 0; i < 22*len(f.values); i += ahead { // more than the five minutes that rules look back
		f.publish(ahead, i <= len(f.values))
		f.take(i >= 20*len(f.values))
	}
	return f, nil
}

// publish makes the messages of the next n services. Fresh labels are never written again: the evaluator keeps those of the first
// message of a series.
func (f *fleet) publish(n int, fresh bool) {
	for range n {
		var m message
		if last := len(f.spare) - 1; last >= 0 && !fresh {
			m, f.spare = f.spare[last], f.spare[:last]
		} else {
			m.samples, m.builders = make([]alertd.Sample, len(f.series)), make([]labels.ScratchBuilder, len(f.series))
		}
		service := int(f.seq % uint64(len(f.values)))
		name, values := fmt.Sprintf("service-%06d", service), f.values[service]
		f.seq++
		f.now = f.now.Add(f.step)
		m.at = f.now
		for i, x := range f.series {
			b := &m.builders[i]
			b.Reset()
			b.Add(alertd.LabelMetric, x.name)
			b.Add(alertd.LabelService, name)
			for j := 0; j < len(x.pairs); j += 2 {
				b.Add(x.pairs[j], x.pairs[j+1])
			}
			b.Sort()
			values[i] += x.grows
			m.samples[i].T, m.samples[i].V = m.at.UnixMilli(), values[i]
			if fresh {
				m.samples[i].Labels = b.Labels()
			} else {
				b.Overwrite(&m.samples[i].Labels)
			}
		}
		f.messages = append(f.messages, m)
	}
}

// take gives the messages to the evaluator, and says how many samples those were.
func (f *fleet) take(run bool) (samples int) {
	for _, m := range f.messages {
		f.evaluator.Append(m.at, uint64(m.at.UnixNano()), m.samples)
		if run {
			f.evaluator.Run(m.at)
		}
		samples += len(m.samples)
	}
	f.spare, f.messages = append(f.spare, f.messages...), f.messages[:0]
	return samples
}

// cost is samples per second of one core, evaluations and ticks included.
func (f *fleet) cost(d time.Duration) (float64, error) {
	var used time.Duration
	samples, before := 0, f.evaluator.Stats()
	for used < d {
		f.publish(ahead, false)
		begun, err := coreTime()
		if err != nil {
			return 0, err
		}
		samples += f.take(true)
		ended, err := coreTime()
		if err != nil {
			return 0, err
		}
		used += ended - begun
	}
	if after := f.evaluator.Stats(); after.Keyed == before.Keyed || after.Errors > before.Errors {
		return 0, fmt.Errorf("%d keys evaluated, %d evaluations failed", after.Keyed-before.Keyed, after.Errors-before.Errors)
	}
	return float64(samples) / used.Seconds(), nil
}

// verdicts times, for n messages, the work from the message's arrival to the verdict that says that something is wrong.
func (f *fleet) verdicts(n int) ([]time.Duration, error) {
	var took []time.Duration
	for range n {
		f.publish(1, false)
		m := f.messages[0]
		m.samples[0].V = f.wrong
		begun, wrong := time.Now(), false
		f.evaluator.Append(m.at, uint64(m.at.UnixNano()), m.samples)
		// A rule that reads several metrics waits for the other half of an update. The clock is ours, so nobody else does.
		for waited := time.Duration(0); !wrong && waited <= settle; waited += settle {
			f.now = m.at.Add(waited)
			for _, v := range f.evaluator.Run(f.now) {
				wrong = wrong || v.Scope != "" && len(v.True) > 0
			}
		}
		took = append(took, time.Since(begun))
		f.spare, f.messages = append(f.spare, m), f.messages[:0]
		if !wrong {
			return nil, fmt.Errorf("no verdict about %s", m.samples[0].Labels)
		}
	}
	return took, nil
}

// coreTime is what this process has used of all cores, whoever else uses them.
func coreTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// maxRatio is how much cheaper a sample may be with 100 series than with 100,000.
const maxRatio = 1.2

// costs measures every workload with few and with many series.
func costs(ctx context.Context, _ *bench) (out []result, err error) {
	for _, w := range workloads {
		few := 0.0
		for _, n := range []int{100, 10_000, 100_000} {
			f, err := newFleet(w, n)
			if err != nil {
				return out, err
			}
			rate, err := f.cost(1500 * time.Millisecond)
			if err != nil {
				return out, err
			}
			name := fmt.Sprintf("%s, %s series", w.name, short(float64(n)))
			out = append(out, result{Name: name, Value: rate, Unit: "samples/s/core", Goal: w.goal, Note: "rules alone, in process"})
			switch n {
			case 100:
				few = rate
			case 100_000:
				out = append(out, result{Name: w.name + ", 100 series against 100,000", Value: few / rate, Unit: "times", Goal: maxRatio})
				took, err := f.verdicts(2000)
				if err != nil {
					return out, fmt.Errorf("%s: %w", w.name, err)
				}
				out = append(out, percentiles("event to verdict, "+w.name, took, 0, 0, name)...)
			}
			if ctx.Err() != nil {
				return out, errors.Join(err, ctx.Err())
			}
		}
	}
	return out, nil
}

// loading measures what it costs to load a file of a thousand alerts.
func loading(context.Context, *bench) ([]result, error) {
	src := new(strings.Builder)
	src.WriteString("groups:\n- name: g\n  rules:\n")
	for i := range 1000 {
		fmt.Fprintf(src, `  - alert: A%d
    expr: sum by (service) (rate(failed%d_total{code=~"5.."}[5m])) / sum by (service) (rate(all%d_total[5m])) > 0.05
    for: 5m
    labels: {severity: warning}
    annotations:
      summary: '{{ $labels.service }} fails {{ $value | humanizePercentage }} of its requests'
      description: '{{ with query "sum(all_total)" }}{{ . | first | value }}{{ end }} requests in all'
`, i, i, i)
	}
	begun, err := coreTime()
	if err != nil {
		return nil, err
	}
	set, err := rules.Parse([]rules.File{{Name: "rules.yaml", Data: []byte(src.String())}})
	if err != nil {
		return nil, err
	}
	rules.NewEvaluator(set, rules.Options{}, time.Now())
	ended, err := coreTime()
	took := (ended - begun).Seconds() * 1000
	return []result{{Name: "load 1,000 alerts", Value: took, Unit: "ms of a core", Goal: 1000, Note: "file to evaluator, in process"}}, err
}
