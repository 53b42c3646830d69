package healthpoll

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const ownAnswer = `{"status":"healthy","checks":{"database":{"status":"healthy","latency_ms":5},"queue":{"status":"healthy","latency_ms":2}}}`

// BenchmarkEndpoints asks http targets, each over a connection of its own that is kept, on loopback. The processor time
// is that of the poller and of the server that answers it together.
func BenchmarkEndpoints(b *testing.B) {
	p, targets := endpoints(b, 1000)
	watches := make([]*watch, len(targets))
	for i, t := range targets {
		if err := t.Normalize(); err != nil {
			b.Fatal(err)
		}
		watches[i] = &watch{Target: t}
		p.probe(b.Context(), watches[i])
	}
	before := processor(b)
	i := 0
	for b.Loop() {
		w := watches[i%len(watches)]
		r := p.probe(b.Context(), w)
		if h, tell := w.judge(&w.Target, r.answers, noDoubt, time.Now()); tell {
			p.send(b.Context(), h)
		}
		i++
	}
	used := processor(b) - before
	b.ReportMetric(float64(b.N)/used.Seconds(), "endpoints/core-s")
}

// BenchmarkSchedule runs the whole poller over 9,000 targets at 10 s, each with its own connection, for as long as it
// takes to see two intervals, and says how much of a core that takes, how late it is, and what memory it needs.
func BenchmarkSchedule(b *testing.B) {
	const n, span = 9000, 30 * time.Second
	for b.Loop() {
		p, targets := endpoints(b, n)
		var events atomic.Int64
		p.publish = func(context.Context, string, []byte) error { events.Add(1); return nil }
		p.SetTargets(targets)
		ctx, cancel := context.WithTimeout(b.Context(), span)
		before, started := processor(b), time.Now()
		var lag time.Duration
		go func() {
			for ctx.Err() == nil {
				time.Sleep(100 * time.Millisecond)
				p.mu.Lock()
				lag = max(lag, p.stats.lag)
				p.mu.Unlock()
			}
		}()
		_ = p.Run(ctx)
		cancel()
		took := time.Since(started)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(events.Load())/took.Seconds(), "events/s")
		b.ReportMetric(100*(processor(b)-before).Seconds()/took.Seconds(), "%core")
		p.mu.Lock()
		b.ReportMetric(float64(lag.Microseconds())/1000, "ms-lag")
		p.mu.Unlock()
		b.ReportMetric(float64(m.Sys)/1e6, "MB")
	}
}

// endpoints makes a poller and as many targets, each a host of its own.
func endpoints(b *testing.B, n int) (*Poller, []Target) {
	b.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(ownAnswer))
	}))
	b.Cleanup(s.Close)
	p := New(nil, func(context.Context, string, []byte) error { return nil }, Options{})
	b.Cleanup(p.client.CloseIdleConnections)
	p.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	targets := make([]Target, n)
	for i := range targets {
		targets[i] = Target{Service: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("http://h%d", i)}
	}
	return p, targets
}

// processor is the processor time that this process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkParseBody reads alertd's own form.
func BenchmarkParseBody(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseBody(200, []byte(ownAnswer)); err != nil {
			b.Fatal(err)
		}
	}
}
