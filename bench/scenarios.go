package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// latencyIdle times pages on a daemon that does nothing else.
func latencyIdle(ctx context.Context, b *bench) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	const probes = 200
	took, err := b.probeMany(ctx, probes, 20*time.Millisecond)
	return percentiles("publish to webhook, idle", took, 2, 8, fmt.Sprintf("%d probes", len(took))), err
}

// latencyLoaded times pages while 20,000 samples/s come in.
func latencyLoaded(ctx context.Context, b *bench) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	const perSecond, pack = 20_000, 10
	l := newLoad(pack)
	if err := l.publish(ctx, b, 2*loadSeries); err != nil { // every series is there before the clock runs
		return nil, err
	}
	if _, err := b.probe(ctx); err != nil {
		return nil, err
	}
	flowing, stop := context.WithCancel(ctx)
	type flowed struct {
		sent int
		err  error
	}
	done := make(chan flowed, 1)
	began := time.Now()
	go func() {
		sent, err := l.flow(flowing, b, perSecond)
		done <- flowed{sent, err}
	}()
	const probes = 200
	took, err := b.probeMany(ctx, probes, 50*time.Millisecond)
	stop()
	f := <-done
	if err == nil {
		err = f.err
	}
	rate := float64(f.sent) / time.Since(began).Seconds()
	note := fmt.Sprintf("%d probes at %s samples/s (%d a message), %s series, 100 rules", len(took), short(rate), pack, short(loadSeries))
	return percentiles("publish to webhook, loaded", took, 0, 100, note), err
}

// throughput publishes as fast as it goes and stops the clock at the page of a probe that was published last: then
// everything before it has been read, decoded and evaluated.
func throughput(ctx context.Context, b *bench, pack int, goal float64) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	l := newLoad(pack)
	run := func(samples int) (rate float64, err error) {
		began := time.Now()
		if err := l.publish(ctx, b, samples); err != nil {
			return 0, err
		}
		if _, err := b.probe(ctx); err != nil {
			return 0, err
		}
		return float64(samples) / time.Since(began).Seconds(), nil
	}
	if _, err := run(loadSeries); err != nil { // every series is there
		return nil, err
	}
	rate, err := run(3 * loadSeries)
	if err != nil {
		return nil, err
	}
	const seconds = 8
	samples := max(int(rate*seconds)/loadSeries, 1) * loadSeries
	rate, err = run(samples)
	if err != nil {
		return nil, err
	}
	return []result{{
		Name: fmt.Sprintf("sustained, %d a message", pack), Value: rate, Unit: "samples/s", Goal: goal,
		Note: fmt.Sprintf("%s samples, %s series, 100 rules, evaluated", short(float64(samples)), short(loadSeries)),
	}}, nil
}

// memorySeries compares the daemon's memory before and after many series.
func memorySeries(ctx context.Context, b *bench) ([]result, error) {
	const series = 100_000
	bytes, err := b.growth(ctx, "many_series", 0, series)
	return []result{{Name: "memory of a series", Value: bytes, Unit: "bytes", Note: short(series) + " series of one rule, 3 samples each, resident set"}}, err
}

// memoryAlerts compares the daemon's memory before and after many alerts.
func memoryAlerts(ctx context.Context, b *bench) ([]result, error) {
	const alerts = 10_000
	bytes, err := b.growth(ctx, "many_alerts", 1, alerts)
	return []result{{Name: "memory of an active alert", Value: bytes, Unit: "bytes", Note: short(alerts) + " alerts, their series included, resident set"}}, err
}

// growth publishes n series of a metric and returns by how much the daemon grew for each. What it needs for that many
// messages whatever is in them, buffers and caches, it gets first, from a metric that no rule reads.
func (b *bench) growth(ctx context.Context, metric string, value, n int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := b.publishSeries(ctx, "unread", value, n); err != nil {
		return 0, err
	}
	before, err := b.resident(ctx)
	if err != nil {
		return 0, err
	}
	if err := b.publishSeries(ctx, metric, value, n); err != nil {
		return 0, err
	}
	after, err := b.resident(ctx)
	return (after - before) / float64(n), err
}

// publishSeries publishes n series three times, and waits until they are evaluated.
func (b *bench) publishSeries(ctx context.Context, metric string, value, n int) error {
	const pack, rounds = 100, 3
	for range rounds {
		for i := 0; i < n; i += pack {
			body := []byte{'['}
			for j := i; j < i+pack; j++ {
				if j > i {
					body = append(body, ',')
				}
				body = fmt.Appendf(body, `{"name":%q,"labels":{"service":"svc-%d"},"value":%d,"time":%d}`, metric, j, value, time.Now().UnixMilli())
			}
			if err := b.publish("alertd.metrics.many", append(body, ']')); err != nil {
				return err
			}
		}
		if err := b.settled(ctx); err != nil {
			return err
		}
		if _, err := b.probe(ctx); err != nil {
			return err
		}
	}
	return nil
}

// probeMany sends probes, with a pause between one page and the next probe.
func (b *bench) probeMany(ctx context.Context, n int, pause time.Duration) ([]time.Duration, error) {
	took := make([]time.Duration, 0, n)
	for range n {
		d, err := b.probe(ctx)
		if err != nil {
			return took, err
		}
		took = append(took, d)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return took, ctx.Err()
		}
	}
	return took, nil
}

func percentiles(name string, took []time.Duration, goal50, goal99 float64, note string) []result {
	if len(took) == 0 {
		return nil
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return took[min(int(q*float64(len(took))), len(took)-1)].Seconds() * 1000
	}
	return []result{
		{Name: name + ", p50", Value: at(0.5), Unit: "ms", Goal: goal50, Note: note},
		{Name: name + ", p99", Value: at(0.99), Unit: "ms", Goal: goal99, Note: note},
	}
}
