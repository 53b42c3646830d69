package healthpoll

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"alertd"
)

func target(t interface{ Fatal(...any) }, url string) Target {
	got := Target{Service: "api", URL: url}
	if err := got.Normalize(); err != nil {
		t.Fatal(err)
	}
	return got
}

func said(check string, status alertd.HealthStatus) answer {
	return answer{check: check, status: status}
}

func miss(check string) answer {
	return answer{check: check, missed: true, network: true, reason: "refused: nothing listens there"}
}

func TestFrozenBody(t *testing.T) {
	target := target(t, "http://api")
	start := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	answers := func(stamp time.Time) []answer {
		ready := said(checkReady, alertd.Healthy)
		ready.report.Timestamp = stamp
		return []answer{said(checkLive, alertd.Healthy), ready}
	}
	var m memory
	wrong := start.Add(-time.Hour)
	for i := range 7 { // a wrong clock alone is nothing
		if h, _ := m.judge(&target, answers(wrong), noDoubt, start.Add(time.Duration(i)*10*time.Second)); h.Status != alertd.Healthy {
			t.Fatalf("after %d intervals: %+v", i, h)
		}
	}
	h, _ := m.judge(&target, answers(wrong), noDoubt, start.Add(70*time.Second))
	if h.Status != alertd.Unhealthy || h.Checks["ready"].Error != "stale: the body's timestamp has not changed for 1m10s" || h.Checks["live"].Status != alertd.Healthy {
		t.Errorf("%+v", h)
	}
	for i, want := range []alertd.HealthStatus{alertd.Unhealthy, alertd.Healthy} {
		if h, _ = m.judge(&target, answers(start.Add(time.Duration(i))), noDoubt, start.Add(80*time.Second)); h.Status != want {
			t.Errorf("moves again, answer %d: %+v, want %s", i+1, h, want)
		}
	}
}

// Misses alone make a service unhealthy exactly from the one that reaches fall on; what it says itself counts at once;
// only rise good answers in a row end it; and before anything is known, misses say nothing.
func TestJudgeCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := target(t, "http://api")
		target.Fall, target.Rise = rapid.IntRange(1, 4).Draw(t, "fall"), rapid.IntRange(1, 3).Draw(t, "rise")
		var m memory
		misses, goods, down, known := 0, 0, false, false
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			live := rapid.SampledFrom([]answer{said(checkLive, alertd.Healthy), miss(checkLive), said(checkLive, alertd.Unhealthy)}).Draw(t, "live")
			ready := rapid.SampledFrom([]answer{said(checkReady, alertd.Healthy), said(checkReady, alertd.Degraded), miss(checkReady)}).Draw(t, "ready")
			h, tell := m.judge(&target, []answer{live, ready}, noDoubt, time.Unix(0, 0))

			missed := live.missed || ready.missed
			if missed {
				misses++
				goods = 0
			} else {
				misses = 0
			}
			switch {
			case live.status == alertd.Unhealthy || misses >= target.Fall:
				down, goods = true, 0
			case !missed && down:
				if goods++; goods >= target.Rise {
					down, goods = false, 0
				}
			}
			want := alertd.Healthy
			switch {
			case down:
				want = alertd.Unhealthy
			case missed || ready.status == alertd.Degraded:
				want = alertd.Degraded
			}
			wantTell := known || !missed || down
			known = known || wantTell
			if tell != wantTell || tell && h.Status != want {
				t.Fatalf("misses %d, goods %d, live %+v, ready %+v: %v %+v, want %v %s", misses, goods, live, ready, tell, h, wantTell, want)
			}
			if got, want := m.undecided(&target), 0 < misses && misses < target.Fall || down && goods > 0; got != want {
				t.Fatalf("misses %d, goods %d: undecided %v", misses, goods, got)
			}
			worst := alertd.Healthy
			for _, c := range h.Checks {
				worst = worst.Worse(c.Status)
			}
			if tell && worst != h.Status {
				t.Fatalf("no check says why it is %s: %+v", h.Status, h)
			}
		}
	})
}

// A service that answers once in between does not begin to flap.
func TestRise(t *testing.T) {
	target := target(t, "tcp://redis:6379")
	var m memory
	for i, c := range []struct {
		a     answer
		want  alertd.HealthStatus
		error string
	}{
		{said(kindTCP, alertd.Healthy), alertd.Healthy, ""},
		{miss(kindTCP), alertd.Degraded, "refused: nothing listens there (1 of 3)"},
		{miss(kindTCP), alertd.Degraded, "refused: nothing listens there (2 of 3)"},
		{miss(kindTCP), alertd.Unhealthy, "refused: nothing listens there (3 times in a row)"},
		{said(kindTCP, alertd.Healthy), alertd.Unhealthy, "answers again; unhealthy until 2 good answers in a row"},
		{miss(kindTCP), alertd.Unhealthy, "refused: nothing listens there"},
		{said(kindTCP, alertd.Healthy), alertd.Unhealthy, "answers again; unhealthy until 2 good answers in a row"},
		{said(kindTCP, alertd.Healthy), alertd.Healthy, ""},
		{miss(kindTCP), alertd.Degraded, "refused: nothing listens there (1 of 3)"},
	} {
		h, tell := m.judge(&target, []answer{c.a}, noDoubt, time.Unix(0, 0))
		if !tell || h.Status != c.want || h.Checks[kindTCP].Error != c.error {
			t.Errorf("answer %d: %v %+v, want %s, %q", i+1, tell, h, c.want, c.error)
		}
	}
}

// While the poller may be blind, a target that cannot be reached is neither told nor forgotten; one that was
// unhealthy stays so; what a service says itself counts always.
func TestJudgeDoubts(t *testing.T) {
	target := target(t, "tcp://redis:6379")
	d := sure
	guard := func(time.Time) doubt { return d }
	var m memory
	step := func(a answer) (alertd.HealthStatus, bool) {
		h, tell := m.judge(&target, []answer{a}, guard, time.Unix(0, 0))
		return h.Status, tell
	}
	step(said(kindTCP, alertd.Healthy))
	d = suspicious
	step(miss(kindTCP))
	step(miss(kindTCP))
	if s, tell := step(miss(kindTCP)); tell || !m.undecided(&target) {
		t.Errorf("suspicious: %s %v", s, tell)
	}
	d = blind
	for range 5 {
		if s, tell := step(miss(kindTCP)); tell || m.undecided(&target) {
			t.Errorf("blind: %s %v", s, tell)
		}
	}
	if s, tell := step(said(kindTCP, alertd.Unhealthy)); !tell || s != alertd.Unhealthy {
		t.Errorf("blind, and it says so itself: %s %v", s, tell)
	}
	if s, tell := step(miss(kindTCP)); !tell || s != alertd.Unhealthy {
		t.Errorf("blind, and it was unhealthy before: %s %v", s, tell)
	}
	d = sure
	step(said(kindTCP, alertd.Healthy))
	if s, tell := step(said(kindTCP, alertd.Healthy)); !tell || s != alertd.Healthy {
		t.Errorf("sees again: %s %v", s, tell)
	}
	for i, want := range []alertd.HealthStatus{alertd.Degraded, alertd.Degraded, alertd.Unhealthy} {
		if s, _ := step(miss(kindTCP)); s != want {
			t.Errorf("miss %d: %s, want %s", i+1, s, want)
		}
	}
}

func TestGuard(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	var g guard
	g.resize(10, nil)
	for range 6 { // others answer, perhaps before
		g.note("", "", false, at)
	}
	g.note("", "refused", false, at)
	if d := g.judge(at, at.Add(4*time.Second), 10*time.Second); d != suspicious {
		t.Errorf("what was asked in the same second: %v", d)
	}
	if d := g.judge(at.Add(-time.Second), at.Add(4*time.Second), 10*time.Second); d != sure {
		t.Errorf("one of seven: %v", d)
	}
	for range 4 {
		g.note("", "timeout", false, at.Add(time.Second))
	}
	if d := g.judge(at, at.Add(5*time.Second), 10*time.Second); d != suspicious {
		t.Errorf("all four since then: %v", d)
	}
	if d := g.judge(at, at.Add(19*time.Second), 10*time.Second); d != suspicious {
		t.Errorf("within two intervals: %v", d)
	}
	if d := g.judge(at, at.Add(20*time.Second), 10*time.Second); d != sure {
		t.Errorf("two intervals later: %v", d)
	}
	if g.reason() != "" {
		t.Errorf("five of ten: %s", g.reason())
	}
	if !g.note("", "refused", false, at) || g.judge(at, at, time.Second) != blind {
		t.Error("six of ten are not blind")
	}
	if got, want := g.reason(), "blind: 6 of 10 targets cannot be reached (timeout 4, refused 2); look at the network and DNS of alertd's own host first"; got != want {
		t.Errorf("%s\n%s", got, want)
	}
	if !g.note("refused", "", true, at) || g.reason() != "" {
		t.Error("still blind")
	}
	g.resize(4, []string{"timeout"})
	g.note("", "dns", false, at)
	if d := g.judge(at, at, time.Second); d != sure || g.failed != 5 {
		t.Errorf("too few targets: %v, %d", d, g.failed)
	}
}

// While a service is not yet believed to be well again, it is so because of what made it unwell, and not without a cause: else
// its recovery would be another alert.
func TestRecoveryKeepsItsCause(t *testing.T) {
	target := target(t, "http://shop:8080")
	var m memory
	report := func(status alertd.HealthStatus) []answer {
		ready := said(checkReady, status)
		ready.report.Checks = map[string]alertd.HealthCheck{"database": {Status: status}, "cache": {Status: alertd.Healthy}}
		return []answer{said(checkLive, alertd.Healthy), ready}
	}
	for i, c := range []struct {
		says, want alertd.HealthStatus
		error      string
	}{
		{alertd.Healthy, alertd.Healthy, ""},
		{alertd.Unhealthy, alertd.Unhealthy, ""},
		{alertd.Healthy, alertd.Unhealthy, "well again; unhealthy until 2 good answers in a row"},
		{alertd.Unhealthy, alertd.Unhealthy, ""},
		{alertd.Healthy, alertd.Unhealthy, "well again; unhealthy until 2 good answers in a row"},
		{alertd.Healthy, alertd.Healthy, ""},
	} {
		h, tell := m.judge(&target, report(c.says), noDoubt, time.Unix(0, 0))
		database := h.Checks["database"]
		if !tell || h.Status != c.want || database.Status != c.want || database.Error != c.error || h.Checks["cache"].Status != alertd.Healthy {
			t.Errorf("answer %d: %v %+v, want %s, %q", i+1, tell, h, c.want, c.error)
		}
	}
}

// A restart while misses are counted begins to count anew: nothing is said of the target until it is certain, which it then is
// within fall questions at the fast interval. So a restart makes no page of a blip, and a page not much later.
func TestRestartWhileCounting(t *testing.T) {
	target := target(t, "http://api")
	now := time.Unix(0, 0)
	var before memory
	for range target.Fall - 1 {
		before.judge(&target, []answer{miss(checkLive)}, noDoubt, now)
	}
	var m memory
	for i := 1; i <= target.Fall; i++ {
		h, tell := m.judge(&target, []answer{miss(checkLive)}, noDoubt, now)
		if last := i == target.Fall; tell != last || last && h.Status != alertd.Unhealthy || m.undecided(&target) == last {
			t.Errorf("miss %d after the restart: told %v, %s, asked again soon %v", i, tell, h.Status, m.undecided(&target))
		}
	}
	m = memory{}
	m.judge(&target, []answer{miss(checkLive)}, noDoubt, now)
	if h, tell := m.judge(&target, []answer{said(checkLive, alertd.Healthy)}, noDoubt, now); !tell || h.Status != alertd.Healthy {
		t.Errorf("a blip over a restart: told %v, %s", tell, h.Status)
	}
}

// A service that was unhealthy when alertd was stopped does not become healthy by its first good answer, and what is said of
// it is what was said before.
func TestRiseOverARestart(t *testing.T) {
	report := func(status alertd.HealthStatus) []answer {
		ready := said(checkReady, status)
		ready.report.Environment = "prod"
		ready.report.Checks = map[string]alertd.HealthCheck{"database": {Status: status}, "cache": {Status: alertd.Healthy}}
		return []answer{said(checkLive, alertd.Healthy), ready}
	}
	for _, c := range []struct {
		url  string
		last []answer
		want string // of the good answers after the restart
	}{
		{"http://shop:8080", report(alertd.Unhealthy), "unhealthy healthy healthy"},
		{"http://shop:8080", report(alertd.Degraded), "healthy healthy healthy"},
		{"grpcs://shop:8080", []answer{said(kindGRPC, alertd.Unhealthy)}, "unhealthy healthy healthy"},
		{"tcp://shop:8080", []answer{said(kindTCP, alertd.Healthy)}, "healthy healthy healthy"},
	} {
		target := target(t, c.url)
		var before, unbroken, m memory
		h, _ := before.judge(&target, slices.Clone(c.last), noDoubt, time.Unix(0, 0))
		unbroken = before
		m.resume(&target, &h)
		var got []string
		for range 3 {
			good := []answer{said(c.last[0].check, alertd.Healthy)}
			if len(c.last) == 2 {
				good = report(alertd.Healthy)
			}
			h, _ := m.judge(&target, slices.Clone(good), noDoubt, time.Unix(0, 0))
			want, _ := unbroken.judge(&target, slices.Clone(good), noDoubt, time.Unix(0, 0))
			if !reflect.DeepEqual(h, want) {
				t.Errorf("%s: after a restart\n%+v, without it\n%+v", c.url, h, want)
			}
			got = append(got, string(h.Status))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s after %s: %s, want %s", c.url, h.Status, got, c.want)
		}
	}
	var m memory
	target := target(t, "http://shop:8080")
	m.resume(&target, &alertd.Health{Service: "shop", Status: alertd.Unhealthy, Checks: map[string]alertd.HealthCheck{"live": {Status: alertd.Unhealthy}}})
	if m.decided {
		t.Error("what the service has published by itself was taken for ours")
	}
}
