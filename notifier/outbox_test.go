package notifier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"alertd"
	"alertd/notifier"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"
)

// sender is a closure as a Sender.
type sender func(ctx context.Context, n alertd.Notification) (string, error)

func (f sender) Send(ctx context.Context, n alertd.Notification) (string, error) { return f(ctx, n) }

// finder is a sender that also finds.
type finder struct {
	sender
	find func(n alertd.Notification) (string, bool, error)
}

func (f finder) Find(_ context.Context, n alertd.Notification) (string, bool, error) {
	return f.find(n)
}

// attempts collects what an outbox reports.
type attempts struct {
	mu  sync.Mutex
	all []alertd.Attempt
}

func (a *attempts) report(at alertd.Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, at)
}

func (a *attempts) get() []alertd.Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

func (a *attempts) lines() []string {
	var out []string
	for _, at := range a.get() {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s#%d %s %s", at.Notification, at.N, at.Outcome, at.Class)))
	}
	return out
}

func note(id, group string, severity alertd.Severity) alertd.Notification {
	ls := labels.FromStrings("alertname", "A", "severity", string(severity))
	return alertd.Notification{
		ID: id, Receiver: "ops", Integration: "slack/0", Group: alertd.GroupKey(group),
		Alerts: []alertd.Notified{{Alert: alertd.Alert{Labels: ls, State: alertd.Firing}}},
	}
}

func job(id, group string, severity alertd.Severity) notifier.Job {
	return notifier.Job{Notification: note(id, group, severity), N: 1}
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestCriticalFirstAndGroupsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got attempts
		o := notifier.NewOutbox(got.report, notifier.Options{Workers: 1})
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": sender(func(context.Context, alertd.Notification) (string, error) {
			time.Sleep(time.Second)
			return "", nil
		})})
		o.Offer(job("w1", "a", alertd.Warning), job("w2", "b", alertd.Warning), job("w3", "c", alertd.Warning))
		synctest.Wait()
		// c's page may not overtake c's warning, so the whole group goes before b.
		o.Offer(job("c1", "d", alertd.Critical), job("c2", "c", alertd.Critical))
		time.Sleep(time.Minute)
		equal(t, got.lines(), "w1#1 delivered", "w3#1 delivered", "c1#1 delivered", "c2#1 delivered", "w2#1 delivered")
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What is over has time: after a storm, its many ends do not delay the next page.
func TestAPageOvertakesWhatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got attempts
		o := notifier.NewOutbox(got.report, notifier.Options{Workers: 1})
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": sender(func(context.Context, alertd.Notification) (string, error) {
			time.Sleep(time.Second)
			return "", nil
		})})
		over := func(id string) notifier.Job {
			j := job(id, id, alertd.Critical)
			j.Notification.Alerts = slices.Clone(j.Notification.Alerts)
			j.Notification.Alerts[0].State = alertd.Resolved
			return j
		}
		o.Offer(over("r1"), over("r2"), over("r3"))
		synctest.Wait()
		o.Offer(job("c1", "d", alertd.Critical))
		time.Sleep(time.Minute)
		equal(t, got.lines(), "r1#1 delivered", "c1#1 delivered", "r2#1 delivered", "r3#1 delivered")
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Whatever is offered, and however long attempts take: each job is reported once, the jobs of a group never
// overlap and never change places.
func TestGroupsAreSequential(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(rt, "jobs")
		type plan struct {
			group  string
			sev    alertd.Severity
			takes  time.Duration
			before time.Duration
		}
		plans := make([]plan, n)
		for i := range plans {
			plans[i] = plan{
				group:  rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(rt, "group"),
				sev:    rapid.SampledFrom([]alertd.Severity{alertd.Critical, alertd.Warning}).Draw(rt, "severity"),
				takes:  time.Duration(rapid.IntRange(0, 5).Draw(rt, "takes")) * time.Second,
				before: time.Duration(rapid.IntRange(0, 3).Draw(rt, "before")) * time.Second,
			}
		}
		workers := rapid.IntRange(1, 4).Draw(rt, "workers")
		synctest.Test(t, func(t *testing.T) {
			var got attempts
			var mu sync.Mutex
			running := map[alertd.GroupKey]bool{}
			o := notifier.NewOutbox(got.report, notifier.Options{Workers: workers})
			o.SetSenders(map[string]notifier.Sender{"ops/slack/0": sender(func(_ context.Context, n alertd.Notification) (string, error) {
				mu.Lock()
				if running[n.Group] || len(running) >= workers {
					t.Errorf("%s: group runs: %v, %d at once", n.ID, running[n.Group], len(running)+1)
				}
				running[n.Group] = true
				mu.Unlock()
				time.Sleep(plans[n.Seq].takes)
				mu.Lock()
				delete(running, n.Group)
				mu.Unlock()
				return "", nil
			})})
			for i, p := range plans {
				time.Sleep(p.before)
				j := job(fmt.Sprint(i), p.group, p.sev)
				j.Notification.Seq = uint64(i)
				o.Offer(j)
			}
			time.Sleep(time.Hour)
			if len(got.get()) != n {
				t.Errorf("%d reports for %d jobs", len(got.get()), n)
			}
			last := map[string]int{}
			for _, a := range got.get() {
				var i int
				fmt.Sscan(a.Notification, &i)
				if prev, ok := last[plans[i].group]; ok && prev > i {
					t.Errorf("group %s: %d after %d", plans[i].group, i, prev)
				}
				last[plans[i].group] = i
			}
			if err := o.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestUnknownDestinationIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got attempts
		o := notifier.NewOutbox(got.report, notifier.Options{})
		o.SetSenders(nil)
		o.Offer(job("n1", "a", alertd.Critical))
		synctest.Wait()
		equal(t, got.lines(), "n1#1 failed config")
		if d := got.get()[0].Detail; !strings.Contains(d, "ops") || !strings.Contains(d, "slack/0") {
			t.Errorf("detail %q does not name the destination", d)
		}
		if h := o.Health(); h.Status != alertd.Healthy {
			t.Errorf("health %+v: a removed receiver is not unwell", h)
		}
		o.Close(t.Context())
	})
}

func TestReloadMovesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got attempts
		named := func(ref string) notifier.Sender {
			return sender(func(context.Context, alertd.Notification) (string, error) {
				time.Sleep(time.Second)
				return ref, nil
			})
		}
		o := notifier.NewOutbox(got.report, notifier.Options{})
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": named("old")})
		o.Offer(job("n1", "a", alertd.Warning), job("n2", "a", alertd.Warning))
		synctest.Wait()
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": named("new")})
		time.Sleep(time.Minute)
		equal(t, []string{got.get()[0].Ref, got.get()[1].Ref}, "old", "new")
		o.Close(t.Context())
	})
}

func TestUncertainJobsAreLookedFor(t *testing.T) {
	refused := &alertd.DeliveryError{Outcome: alertd.Failed, Class: alertd.FailureAuth, Err: errors.New("missing_scope")}
	busy := &alertd.DeliveryError{Outcome: alertd.Retry, Class: alertd.FailureRateLimited, RetryAfter: time.Second, Err: errors.New("busy")}
	for _, tc := range []struct {
		name string
		find func(alertd.Notification) (string, bool, error)
		want string
		sent int
	}{
		{"found", func(alertd.Notification) (string, bool, error) { return "C1:1", true, nil }, "n1#2 delivered", 0},
		{"not there", func(alertd.Notification) (string, bool, error) { return "", false, nil }, "n1#2 delivered", 1},
		{"cannot tell now", func(alertd.Notification) (string, bool, error) { return "", false, busy }, "n1#2 unknown rate_limited", 0},
		{"cannot tell ever", func(alertd.Notification) (string, bool, error) { return "", false, refused }, "n1#2 delivered", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got attempts
				sent := 0
				o := notifier.NewOutbox(got.report, notifier.Options{})
				s := finder{func(context.Context, alertd.Notification) (string, error) { sent++; return "", nil }, tc.find}
				o.SetSenders(map[string]notifier.Sender{"ops/slack/0": notifier.Limit(notifier.Break(s), 1, 1)})
				j := job("n1", "a", alertd.Critical)
				j.N, j.Uncertain = 2, true
				o.Offer(j)
				synctest.Wait()
				equal(t, got.lines(), tc.want)
				if sent != tc.sent {
					t.Errorf("sent %d times, want %d", sent, tc.sent)
				}
				o.Close(t.Context())
			})
		})
	}
}

func TestTimeoutPanicAndStrangeErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got attempts
		o := notifier.NewOutbox(got.report, notifier.Options{Timeout: 2 * time.Second})
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": sender(func(ctx context.Context, n alertd.Notification) (string, error) {
			switch n.ID {
			case "panic":
				panic("xoxb-secret")
			case "bug":
				var none []int
				_ = none[len(n.ID)]
			case "strange":
				return "", errors.New("strange")
			}
			<-ctx.Done()
			return "", &alertd.DeliveryError{Outcome: alertd.Unknown, Class: alertd.FailureTimeout, Err: ctx.Err()}
		})})
		start := time.Now()
		o.Offer(job("panic", "a", alertd.Critical), job("bug", "a", alertd.Critical), job("strange", "a", alertd.Critical), job("slow", "a", alertd.Critical))
		time.Sleep(3 * time.Second)
		equal(t, got.lines(), "panic#1 failed payload", "bug#1 failed payload", "strange#1 unknown server", "slow#1 unknown timeout")
		if strings.Contains(fmt.Sprint(got.get()), "xoxb") {
			t.Errorf("a panic shows a secret: %v", got.get())
		}
		if l := got.get()[3].Latency; l != 2*time.Second {
			t.Errorf("latency %s since %s", l, start)
		}
		o.Close(t.Context())
	})
}

func TestOfferedTwiceSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got attempts
		var o *notifier.Outbox
		o = notifier.NewOutbox(func(a alertd.Attempt) {
			got.report(a)
			if a.N == 1 { // the answer to an attempt may be the next one, from within the report
				j := job(a.Notification, "a", alertd.Critical)
				j.N = 2
				o.Offer(j)
			}
		}, notifier.Options{})
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": sender(func(context.Context, alertd.Notification) (string, error) {
			time.Sleep(time.Second)
			return "", nil
		})})
		o.Offer(job("n1", "a", alertd.Critical), job("n1", "a", alertd.Critical))
		time.Sleep(time.Minute)
		equal(t, got.lines(), "n1#1 delivered", "n1#2 delivered")
		o.Close(t.Context())
	})
}

func TestCloseWaitsThenBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got attempts
		o := notifier.NewOutbox(got.report, notifier.Options{Timeout: time.Hour})
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": sender(func(ctx context.Context, n alertd.Notification) (string, error) {
			if n.ID == "short" {
				time.Sleep(time.Second)
				return "", nil
			}
			<-ctx.Done()
			return "", &alertd.DeliveryError{Outcome: alertd.Unknown, Class: alertd.FailureTimeout, Err: ctx.Err()}
		})})
		o.Offer(job("short", "a", alertd.Warning), job("waits", "a", alertd.Warning), job("long", "b", alertd.Warning))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := o.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		o.Offer(job("late", "c", alertd.Warning))
		synctest.Wait()
		equal(t, got.lines(), "short#1 delivered", "long#1 unknown timeout") // "waits" is still in the journal
	}) // and synctest fails if a goroutine is left
}

func TestHealthNamesTheWorstDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got attempts
		var fail error
		o := notifier.NewOutbox(got.report, notifier.Options{})
		bad := sender(func(context.Context, alertd.Notification) (string, error) { return "", fail })
		slow := sender(func(ctx context.Context, n alertd.Notification) (string, error) {
			time.Sleep(2 * time.Minute)
			return "", nil
		})
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": bad, "ops/webhook/0": slow})
		if h := o.Health(); h.Status != alertd.Healthy || h.Error != "" {
			t.Errorf("new: %+v", h)
		}
		fail = &alertd.DeliveryError{Outcome: alertd.Failed, Class: alertd.FailurePayload, Err: errors.New("invalid_blocks")}
		o.Offer(job("n1", "a", alertd.Warning))
		synctest.Wait()
		if h := o.Health(); h.Status != alertd.Healthy {
			t.Errorf("one refused message is not an unwell destination: %+v", h)
		}
		fail = &alertd.DeliveryError{Outcome: alertd.Failed, Class: alertd.FailureAuth, Err: errors.New("token_revoked")}
		o.Offer(job("n2", "a", alertd.Warning))
		synctest.Wait()
		h := o.Health()
		if h.Status != alertd.Degraded || !strings.Contains(h.Error, "ops/slack/0: the last attempt failed: auth: token_revoked") {
			t.Errorf("revoked: %+v", h)
		}
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": bad})
		o.Offer(job("n3", "a", alertd.Warning))
		synctest.Wait()
		if h := o.Health(); h.Status != alertd.Unhealthy {
			t.Errorf("nothing gets through: %+v", h)
		}
		fail = nil
		o.Offer(job("n4", "a", alertd.Warning))
		synctest.Wait()
		if h := o.Health(); h.Status != alertd.Healthy {
			t.Errorf("well again: %+v", h)
		}
		o.SetSenders(map[string]notifier.Sender{"ops/slack/0": slow})
		o.Offer(job("n5", "a", alertd.Warning), job("n6", "a", alertd.Warning))
		o.Offer()
		time.Sleep(14 * time.Second)
		if h := o.Health(); h.Status != alertd.Healthy {
			t.Errorf("14 s in the queue is no matter: %+v", h)
		}
		time.Sleep(50 * time.Second)
		if h := o.Health(); h.Status != alertd.Degraded || !strings.Contains(h.Error, "waited for 1m 4s") {
			t.Errorf("waits: %+v", h)
		}
		time.Sleep(time.Hour)
		o.Close(t.Context())
	})
}

func TestLimitSpacesNotificationsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		s := notifier.Limit(sender(func(context.Context, alertd.Notification) (string, error) {
			at = append(at, time.Since(start))
			return "", nil
		}), 1, 3)
		for range 5 {
			if _, err := s.Send(t.Context(), note("n", "a", alertd.Critical)); err != nil {
				t.Fatal(err)
			}
		}
		if want := []time.Duration{0, 0, 0, time.Second, 2 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("sent at %v, want %v", at, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := s.Send(ctx, note("n", "a", alertd.Critical))
		de, ok := err.(*alertd.DeliveryError)
		if !ok || de.Outcome != alertd.Retry || de.Class != alertd.FailureRateLimited || de.RetryAfter != time.Second || len(at) != 5 {
			t.Errorf("got %v, want a retry after 1s with nothing sent", err)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		var answer error
		s := notifier.Break(sender(func(context.Context, alertd.Notification) (string, error) { calls++; return "", answer }))
		try := func(sev alertd.Severity) error { _, err := s.Send(t.Context(), note("n", "a", sev)); return err }

		answer = &alertd.DeliveryError{Outcome: alertd.Failed, Class: alertd.FailurePayload, Err: errors.New("no")}
		for range 50 {
			try(alertd.Warning)
		}
		if calls != 50 {
			t.Errorf("%d calls: refused messages opened the breaker", calls)
		}
		calls = 0
		answer = &alertd.DeliveryError{Outcome: alertd.Retry, Class: alertd.FailureNetwork, Err: errors.New("down")}
		for range 10 {
			try(alertd.Warning)
		}
		if calls != 5 {
			t.Errorf("%d calls, want 5 and then none", calls)
		}
		de, ok := try(alertd.Warning).(*alertd.DeliveryError)
		if !ok || de.Outcome != alertd.Retry || de.RetryAfter != 15*time.Second {
			t.Errorf("open: %v", de)
		}
		if try(alertd.Critical); calls != 6 {
			t.Error("a critical page was not tried")
		}
		answer = nil
		time.Sleep(16 * time.Second)
		if err := try(alertd.Warning); err != nil {
			t.Errorf("well again: %v", err)
		}
	})
}

// A notification that our own limit held back neither opens nor closes the breaker around it.
func TestBreakerAroundLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		s := notifier.Break(notifier.Limit(sender(func(context.Context, alertd.Notification) (string, error) {
			calls++
			return "", &alertd.DeliveryError{Outcome: alertd.Retry, Class: alertd.FailureNetwork, Err: errors.New("down")}
		}), 1, 1))
		for range 20 {
			s.Send(t.Context(), note("n", "a", alertd.Warning))
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			s.Send(ctx, note("n", "a", alertd.Warning))
			cancel()
		}
		if calls != 5 {
			t.Errorf("%d calls, want 5 and then none", calls)
		}
	})
}
