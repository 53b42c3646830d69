package healthpoll

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"pgregory.net/rapid"

	"alertd"
)

// census story: who answers in each round, and what is said of the services.
func TestCensus(t *testing.T) {
	m := Micro{Environment: "prod"}
	if err := m.Normalize(); err != nil {
		t.Fatal(err)
	}
	var c census
	now := time.Date(2026, 1, 15, 10, 0, 0, 0, time.UTC)
	round := func(after time.Duration, answers string) string {
		now = now.Add(after)
		var pongs []pong
		for a := range strings.FieldsSeq(answers) {
			name, id, _ := strings.Cut(a, "/")
			pongs = append(pongs, pong{Name: name, ID: id, took: 2 * time.Millisecond})
		}
		reports, over := c.take(&m, pongs, map[string]string{"target": ""}, now)
		var out []string
		for _, h := range reports {
			if h.Withdrawn {
				out = append(out, h.Service+" withdrawn")
				continue
			}
			out = append(out, fmt.Sprintf("%s %s %s", h.Service, h.Status, h.Checks[kindNATS].Error))
			if h.Environment != "prod" || !h.Checks[kindNATS].Local || h.Checks[kindNATS].Status != h.Status {
				t.Errorf("%+v", h)
			}
		}
		if over != 0 {
			t.Errorf("%d over", over)
		}
		return strings.Join(out, "; ")
	}
	const s = time.Second
	for i, step := range []struct {
		after   time.Duration
		answers string
		want    string
		soon    bool
	}{
		{10 * s, "", "", false},
		{10 * s, "billing/a billing/b mail/x target/t bad.name/q", "billing healthy ; mail healthy ", false},
		{10 * s, "billing/a mail/x", "billing healthy ; mail healthy ", true},
		{2 * s, "billing/a", "billing healthy ", true},
		{2 * s, "billing/a", "billing degraded timeout: 1 of 2 instances answer; gone: b", true},
		{2 * s, "billing/a", "billing degraded timeout: 1 of 2 instances answer; gone: b; mail unhealthy refused: none of 1 instances answers on $SRV.PING.mail, for 6s", false},
		// A new process has taken the place of the one that is gone, as after a deployment.
		{10 * s, "billing/a billing/c", "billing healthy ; mail unhealthy refused: none of 1 instances answers on $SRV.PING.mail, for 16s", false},
		{10 * s, "billing/a billing/c mail/y", "billing healthy ; mail healthy ", false},
		// One fewer for good is no news for ever.
		{10 * s, "billing/a mail/y", "billing healthy ; mail healthy ", true},
		{2 * s, "billing/a mail/y", "billing healthy ; mail healthy ", true},
		{2 * s, "billing/a mail/y", "billing degraded timeout: 1 of 2 instances answer; gone: c; mail healthy ", false},
		{15 * time.Minute, "billing/a mail/y", "billing healthy ; mail healthy ", false},
		// A service that is gone is told for a day.
		{10 * s, "billing/a", "billing healthy ", true},
		{2 * s, "billing/a", "billing healthy ", true},
		{2 * s, "billing/a", "billing healthy ; mail unhealthy refused: none of 1 instances answers on $SRV.PING.mail, for 14s", false},
		{23 * time.Hour, "billing/a", "billing healthy ; mail unhealthy refused: none of 1 instances answers on $SRV.PING.mail, for 23h0m14s", false},
		{time.Hour, "billing/a", "billing healthy ; mail withdrawn", false},
		{10 * s, "billing/a", "billing healthy ", false},
	} {
		if got := round(step.after, step.answers); got != step.want {
			t.Errorf("round %d: %s\nwant %s", i, got, step.want)
		}
		if soon := c.undecided(&m); soon != step.soon {
			t.Errorf("round %d: asks again soon: %v", i, soon)
		}
	}
	if c.instances != 1 {
		t.Errorf("%d instances are known, want 1", c.instances)
	}
}

// TestCensusIsBounded keeps no more than it may, and counts right whatever comes.
func TestCensusIsBounded(t *testing.T) {
	m := Micro{}
	if err := m.Normalize(); err != nil {
		t.Fatal(err)
	}
	var full census
	pongs := make([]pong, maxInstances+7)
	for i := range pongs {
		pongs[i] = pong{Name: fmt.Sprint("s", i%100), ID: fmt.Sprint(i)}
	}
	if _, over := full.take(&m, pongs, nil, time.Unix(0, 0)); over != 7 || full.instances != maxInstances {
		t.Errorf("%d over, %d known", over, full.instances)
	}
	rapid.Check(t, func(t *rapid.T) {
		var c census
		now := time.Unix(1e9, 0)
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			var pongs []pong
			for range rapid.IntRange(0, 6).Draw(t, "answers") {
				pongs = append(pongs, pong{
					Name: rapid.SampledFrom([]string{"a", "b", "c", "x.y", ""}).Draw(t, "name"),
					ID:   rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "id"),
				})
			}
			now = now.Add(time.Duration(rapid.SampledFrom([]int{2, 10, 1000, 100_000}).Draw(t, "after")) * time.Second)
			reports, _ := c.take(&m, pongs, map[string]string{"c": ""}, now)
			answered, n := map[string]bool{}, 0
			for _, a := range pongs {
				answered[a.Name] = true
			}
			reports = slices.DeleteFunc(reports, func(h alertd.Health) bool { return h.Withdrawn && c.services[h.Service] == nil })
			for _, s := range c.services {
				n += len(s.byID)
			}
			if n != c.instances {
				t.Fatalf("%d instances are kept, %d counted", n, c.instances)
			}
			for _, h := range reports {
				if h.Service == "c" || h.Service == "x.y" || answered[h.Service] == (h.Status == alertd.Unhealthy) {
					t.Fatalf("answered %v, reported %+v", answered, h)
				}
			}
		}
	})
}

// TestMicro finds real micro services on a real server, misses one that stops, and ends with the configuration.
func TestMicro(t *testing.T) {
	nc := broker(t)
	var mu sync.Mutex
	newest := map[string]alertd.Health{}
	answered := map[string]bool{} // by instance
	spy, err := nc.Subscribe("_INBOX.>", func(m *nats.Msg) {
		var a pong
		if json.Unmarshal(m.Data, &a) == nil {
			mu.Lock()
			defer mu.Unlock()
			answered[a.ID] = true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = spy.Unsubscribe() }()
	p := New(nil, func(_ context.Context, subject string, payload []byte) error {
		var h alertd.Health
		if !strings.HasPrefix(subject, subjectPrefix) {
			return nil
		}
		if err := json.Unmarshal(payload, &h); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		newest[h.Service] = h
		return nil
	}, Options{NATS: nc})
	p.SetMicro(&Micro{Interval: time.Second, Timeout: 200 * time.Millisecond, FastInterval: 300 * time.Millisecond, Environment: "test"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer func() { cancel(); <-done }()

	eventually := func(service string, want alertd.HealthStatus, text string) {
		t.Helper()
		var h alertd.Health
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			mu.Lock()
			h = newest[service]
			mu.Unlock()
			if h.Status == want && strings.Contains(h.Checks[kindNATS].Error, text) {
				return
			}
		}
		t.Fatalf("%s is %+v, want %s %s", service, h, want, text)
	}
	add := func(name string, metadata map[string]string) micro.Service {
		t.Helper()
		s, err := micro.AddService(nc, micro.Config{Name: name, Version: "1.0.0", Metadata: metadata})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	stop := func(s micro.Service) {
		t.Helper()
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	one, two := add("billing", nil), add("billing", nil)
	mail := add("mail", map[string]string{"environment": "staging"})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) { // one that was never there is not missed
		mu.Lock()
		both := answered[one.Info().ID] && answered[two.Info().ID]
		mu.Unlock()
		if both {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not both instances were asked")
		}
	}
	eventually("billing", alertd.Healthy, "")
	eventually("mail", alertd.Healthy, "")
	mu.Lock()
	if newest["billing"].Environment != "test" || newest["mail"].Environment != "staging" {
		t.Errorf("%+v", newest)
	}
	mu.Unlock()
	stop(two)
	eventually("billing", alertd.Degraded, "1 of 2 instances answer; gone: "+two.Info().ID)
	three := add("billing", nil)
	eventually("billing", alertd.Healthy, "")
	stop(mail)
	eventually("mail", alertd.Unhealthy, "none of 1 instances answers on $SRV.PING.mail")
	stop(one)
	stop(three)
	eventually("billing", alertd.Unhealthy, "none of 2") // nobody answers at all

	p.SetMicro(nil)
	eventually("billing", "", "")
	mu.Lock()
	if h := newest["billing"]; !h.Withdrawn || h.Environment != "test" {
		t.Errorf("not withdrawn: %+v", h)
	}
	clear(newest)
	mu.Unlock()
	again := add("mail", nil)
	defer stop(again)
	p.SetMicro(&Micro{Interval: time.Second})
	eventually("mail", alertd.Healthy, "")
	mu.Lock()
	defer mu.Unlock()
	if h, ok := newest["billing"]; ok {
		t.Errorf("remembered over an end: %+v", h)
	}
}
