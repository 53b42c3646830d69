package engine_test

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/engine"
)

// BenchmarkFreeze is for how long whoever decides stands still so that a state can be saved, and how long saving it then takes beside: by
// the number of alerts that fire, a hundred in a group. Others use the machine too, so the time of the core is told beside that of the wall.
func BenchmarkFreeze(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 500_000} {
		m := crowd(b, n)
		measure := func(what string, f func()) {
			b.Run(fmt.Sprint(what, "/", n), func(b *testing.B) {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				began := threadTime(b)
				for b.Loop() {
					f()
				}
				b.ReportMetric(float64((threadTime(b)-began).Microseconds())/1000/float64(b.N), "core-ms")
			})
		}
		measure("freeze", func() { m.Freeze() })
		measure("write", func() {
			if err := m.Freeze().Write(io.Discard); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// threadTime is what this thread has used of a core.
func threadTime(b *testing.B) time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// crowd is a machine in which n alerts fire that were posted, and told.
func crowd(b *testing.B, n int) *engine.Machine {
	m, now := engine.New(), time.Date(2026, 3, 27, 6, 0, 0, 0, time.UTC)
	m.Step(now, engine.PolicyChanged{Policy: policy(b, nil, 0)})
	posts := make([]alertd.Posted, n)
	for i := range posts {
		service := "svc-" + strconv.Itoa(i/100)
		posts[i] = alertd.Posted{
			Labels: labels.FromStrings("alertname", "Bulk", "cluster", "eu-central-1", "instance", fmt.Sprintf("10.0.%d.%d:9100", i>>8, i&255),
				"job", "node", "service", service, "severity", "critical"),
			Annotations:  labels.FromStrings("summary", fmt.Sprintf("instance %d of %s does not answer", i, service)),
			GeneratorURL: "http://prometheus.example.com:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
		}
	}
	m.Step(now, engine.AlertsPosted{Alerts: posts, ResolveTimeout: time.Hour})
	for {
		due, ok := m.Next()
		if !ok || due.After(now.Add(time.Minute)) {
			return m
		}
		m.Step(due, nil)
	}
}
