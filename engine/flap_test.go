package engine_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
	"alertd/engine"
	"alertd/router"
)

// coming is an alert that comes and goes, alone in its group, and what a receiver hears of it.
type coming struct {
	t      rapid.TB
	m      *engine.Machine
	policy *engine.Policy
	now    time.Time
	fires  bool
	said   string    // what the receiver was told last
	ended  time.Time // when it ended last
	waits  time.Time // the latest Until that a recovery was given
}

func newComing(t rapid.TB) *coming {
	root := router.Route{Receiver: "ops", GroupBy: []string{"alertname"}, RepeatInterval: 4 * time.Hour, Deliver: alertd.Immediate}
	root.Identify()
	c := &coming{t: t, m: engine.New(), now: time.Date(2026, 3, 27, 9, 0, 0, 0, time.UTC), said: "resolved"}
	c.policy = &engine.Policy{
		Version: "v1", Route: &root,
		Receivers: []engine.Receiver{{Name: "ops", Integrations: []engine.Integration{{Name: "webhook/0", SendResolved: true}}}},
	}
	c.step(engine.PolicyChanged{Policy: c.policy})
	return c
}

func (c *coming) step(in engine.Input) {
	for _, e := range c.m.Step(c.now, in) {
		if e.Planned != nil {
			c.said = e.Planned.Notification.Status()
		}
		if e.Withheld != nil && e.Withheld.Reason == alertd.ReasonFlapping {
			c.waits = e.Withheld.Until
		}
	}
}

func (c *coming) pass(d time.Duration) {
	for end := c.now.Add(d); ; c.step(nil) {
		due, ok := c.m.Next()
		if !ok || due.After(end) {
			c.now = end
			return
		}
		if due.After(c.now) {
			c.now = due
		}
	}
}

// turn lets it fire, or end.
func (c *coming) turn() {
	c.fires = !c.fires
	p := alertd.Posted{Labels: labels.FromStrings("alertname", "Link", "severity", "critical"), StartsAt: c.now}
	if !c.fires {
		p.EndsAt, c.ended = c.now, c.now
	}
	c.step(engine.AlertsPosted{Alerts: []alertd.Posted{p}, ResolveTimeout: 24 * time.Hour})
	c.pass(0)
}

// restart lets a new process go on with a snapshot.
func (c *coming) restart() {
	b, err := c.m.Snapshot()
	if err != nil {
		c.t.Fatal(err)
	}
	if c.m, err = engine.Restore(b); err != nil {
		c.t.Fatal(err)
	}
	if after, err := c.m.Snapshot(); err != nil || !bytes.Equal(after, b) {
		c.t.Fatalf("a snapshot of what was restored is another one (%v)", err)
	}
	c.step(engine.PolicyChanged{Policy: c.policy})
}

// However an alert comes and goes: while it fires the receiver knows, from the first instant on; once it has been over for
// half an hour the receiver knows that too; and a new process goes on as the old one would.
func TestFlapping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newComing(t)
		for range rapid.IntRange(1, 60).Draw(t, "turns") {
			c.turn()
			if c.fires && c.said != "firing" {
				t.Fatalf("%s: it fires, and the receiver was told %q last", c.now, c.said)
			}
			for _, part := range rapid.SliceOfN(rapid.IntRange(0, 1200), 1, 3).Draw(t, "seconds") {
				c.pass(time.Duration(part) * time.Second)
				if since := c.now.Sub(c.ended); !c.fires && since >= 30*time.Minute && c.said != "resolved" {
					t.Fatalf("%s: it has been over for %s, and the receiver was told %q last", c.now, since, c.said)
				}
			}
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				c.restart()
			}
		}
		if c.fires {
			c.turn()
		}
		c.pass(time.Hour)
		if c.said != "resolved" {
			t.Fatal("the end was never told")
		}
		c.turn() // what was an hour ago does not count
		var state struct{ Before []json.RawMessage }
		b, err := c.m.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &state); err != nil || len(state.Before) > 0 {
			t.Fatalf("what was before is remembered for ever: %s (%v)", state.Before, err)
		}
	})
}

// Each recovery waits twice as long as the one before, and none for more than half an hour.
func TestFlappingWaitsLongerEachTime(t *testing.T) {
	c := newComing(t)
	var waited []time.Duration
	for range 9 {
		c.turn()
		c.pass(30 * time.Second)
		c.turn()
		wait := time.Duration(0)
		if c.waits.After(c.now) {
			wait = c.waits.Sub(c.now)
		}
		waited = append(waited, wait)
		c.pass(30 * time.Second)
	}
	minutes := func(n time.Duration) time.Duration { return n * time.Minute }
	want := []time.Duration{0, minutes(2), minutes(4), minutes(8), minutes(16), minutes(30), minutes(30), minutes(30), minutes(30)}
	if !slices.Equal(waited, want) {
		t.Errorf("recoveries waited for %v, want %v", waited, want)
	}
}
