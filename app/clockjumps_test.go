package app_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"alertd/app"
)

// The clock of the machine is set back and forth again, by an hour and by a day. Pages come at once all the same, each once, and nobody is told
// of something that only the clock has done.
func TestClockJumps(t *testing.T) {
	var skew atomic.Int64
	now := func() time.Time { return time.Now().Round(0).UTC().Add(time.Duration(skew.Load())) }
	t.Cleanup(app.SetClock(now))
	s := newSink(t)
	a, stop := daemon(t, t.TempDir(), s)
	t.Cleanup(stop) // before the clock is as it was
	say := func(service string, v int) {
		publish(t, a, "alertd.metrics.x", fmt.Sprintf(`{"name":"up","labels":{"service":%q},"value":%d,"timestamp":%q}`, service, v, now().Format(time.RFC3339Nano)))
	}
	expect := func(service, status string) {
		t.Helper()
		p := s.next(t)
		for p.Reason == "repeat interval elapsed" { // a day is more than that
			p = s.next(t)
		}
		if p.Status != status || len(p.Alerts) != 1 || p.Alerts[0].Labels["service"] != service {
			t.Fatalf("paged %+v, want %s %s", p, service, status)
		}
	}
	say("steady", 0)
	expect("steady", "firing")
	for i, jump := range []time.Duration{-time.Hour, time.Hour, -24 * time.Hour, 24 * time.Hour} {
		t.Logf("the clock jumps by %s", jump)
		skew.Add(int64(jump))
		service := fmt.Sprint("service-", i)
		say(service, 0)
		expect(service, "firing")
		say(service, 1)
		expect(service, "resolved")
	}
	until(t, a, "/health/ready", `"status":"healthy"`)
	say("steady", 1)
	expect("steady", "resolved")
	s.none(t)
}
