package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"alertd/e2e"
)

// Shape of the load: every metric is read by one rule, and one rule more reads the probes.
const (
	metrics         = 99
	servicesPer     = 10 // a metric
	instancesPer    = 10 // a service
	seriesPerMetric = servicesPer * instancesPer
	loadSeries      = 10_000
)

// publishWindow is how many publishes may wait for their acknowledgement, and publishPatience how long the next one
// then waits for its turn.
const (
	publishWindow   = 2048
	publishPatience = 20 * time.Second
)

// bench is a running daemon with a webhook and a publisher.
type bench struct {
	sink   *e2e.Sink
	daemon *e2e.Daemon
	js     jetstream.JetStream
	probes int
}

// withDaemon runs one scenario on a fresh daemon.
func withDaemon(ctx context.Context, binary, dir string, run func(context.Context, *bench) ([]result, error)) (_ []result, err error) {
	sink, err := e2e.NewSink()
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	data, err := os.MkdirTemp(dir, "run-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(data)
	rules := filepath.Join(data, "rules")
	if err := writeRules(rules, sink.URL); err != nil {
		return nil, err
	}
	d, err := e2e.Start(ctx, e2e.Options{Binary: binary, Data: filepath.Join(data, "data"), Rules: rules})
	if err != nil {
		return nil, err
	}
	defer d.Kill() // what it holds is thrown away
	nc, err := nats.Connect(d.NATS)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(publishWindow))
	if err != nil {
		return nil, err
	}
	return run(ctx, &bench{sink: sink, daemon: d, js: js})
}

// writeRules writes a hundred rules: thresholds, rates and ratios over the load, none of which is ever true, and one
// over the probes. Two more files are for the measurements of memory.
func writeRules(dir, hook string) error {
	var load strings.Builder
	load.WriteString("groups:\n  - name: load\n    interval: 15s\n    rules:\n")
	rule := func(name, expr, severity string) {
		fmt.Fprintf(&load, "      - alert: %s\n        expr: %s\n        labels: {severity: %s}\n", name, expr, severity)
	}
	for i := range metrics {
		m, next := metricName(i), metricName((i+1)%metrics)
		switch i % 5 {
		case 0, 1, 2:
			rule("Threshold"+strconv.Itoa(i), m+" > 1e12", "critical")
		case 3:
			rule("Rate"+strconv.Itoa(i), "sum by (service) (rate("+m+"[1m])) > 1e12", "critical")
		case 4:
			rule("Ratio"+strconv.Itoa(i), "sum by (service) ("+m+") / sum by (service) ("+next+") > 1e12", "critical")
		}
	}
	rule("Probe", "probe == 1", "critical")
	memory := `groups:
  - name: memory
    interval: 15s
    rules:
      - {alert: ManySeries, expr: many_series > 1e12, labels: {severity: info}}
      - {alert: ManyAlerts, expr: many_alerts == 1, labels: {severity: info}, annotations: {summary: '{{ $labels.service }} counts'}}
`
	routing := `route:
  receiver: hook
  group_by: [alertname, service]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 4h
  deliver: immediate
  routes:
    - matchers: ['severity="info"']
      deliver: dashboard
    - matchers: ['kind="bulk"']
      receiver: nobody
receivers:
  - name: nobody
  - name: hook
    webhook_configs:
      - url: '` + hook + `'
`
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{"load.yaml": load.String(), "memory.yaml": memory, "routing.yaml": routing} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func metricName(i int) string { return fmt.Sprintf("load_%02d", i) }

// probe publishes a sample that makes a new alert fire, and returns how long its page took.
func (b *bench) probe(ctx context.Context) (time.Duration, error) {
	b.probes++
	service := "probe-" + strconv.Itoa(b.probes)
	body := fmt.Appendf(nil, `{"name":"probe","labels":{"service":%q},"value":1,"time":%d}`, service, time.Now().UnixMilli())
	began := time.Now()
	if err := b.publish("alertd.metrics."+service, body); err != nil {
		return 0, err
	}
	page, err := b.sink.Wait(ctx, func(p e2e.Page) bool { return p.Tells("Probe", service, "firing") })
	return page.At.Sub(began), err
}

// publish sends a message without waiting for its acknowledgement. The body is kept until that has come.
func (b *bench) publish(subject string, body []byte) error {
	_, err := b.js.PublishAsync(subject, body, jetstream.WithStallWait(publishPatience))
	return err
}

// settled waits until every publish is acknowledged.
func (b *bench) settled(ctx context.Context) error {
	select {
	case <-b.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resident is the daemon's memory as its own metrics say, in bytes.
func (b *bench) resident(ctx context.Context) (float64, error) {
	return b.metric(ctx, "process_resident_memory_bytes")
}

// coreTime is what the daemon has used of all cores, whoever else uses them.
func (b *bench) coreTime(ctx context.Context) (time.Duration, error) {
	seconds, err := b.metric(ctx, "process_cpu_seconds_total")
	return time.Duration(seconds * float64(time.Second)), err
}

// metric is the value of one of the daemon's own metrics that has no labels.
func (b *bench) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.daemon.URL+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}
