package healthpoll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"alertd"
)

// book takes what a poller publishes.
type book struct {
	mu      sync.Mutex
	health  []alertd.Health // of targets
	own     []alertd.Health // of the poller
	metrics []metric
	deny    int // last reports that are not taken
}

func (b *book) publish(t *testing.T) Publisher {
	return func(_ context.Context, subject string, payload []byte) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if subject == metricsSubject {
			var ms []metric
			if err := json.Unmarshal(payload, &ms); err != nil || len(ms) == 0 || len(ms) > maxMessage {
				t.Errorf("%s: %s: %v", subject, payload, err)
			}
			b.metrics = append(b.metrics, ms...)
			return nil
		}
		var h alertd.Health
		if err := json.Unmarshal(payload, &h); err != nil || subject != "alertd.health."+h.Service {
			t.Errorf("%s: %s: %v", subject, payload, err)
		}
		if h.Withdrawn && b.deny > 0 {
			b.deny--
			return errors.New("no NATS")
		}
		if h.Service == OwnService {
			b.own = append(b.own, h)
		} else {
			b.health = append(b.health, h)
		}
		return nil
	}
}

func (b *book) events() []alertd.Health {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.health)
}

func (b *book) story(service string) string {
	var words []string
	for _, h := range b.events() {
		if h.Service == service {
			words = append(words, string(h.Status))
		}
	}
	return strings.Join(words, " ")
}

func (b *book) values(name, service string) (vs []float64) {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.metrics {
		if m.Name == name && m.Labels["service"] == service {
			vs = append(vs, m.Value)
		}
	}
	return vs
}

// start runs a poller in a synctest bubble.
func start(t *testing.T, w *world, targets []Target) (p *Poller, b *book, stop func()) {
	w.asked, w.start = map[string][]time.Duration{}, time.Now()
	b = &book{}
	p = New(targets, b.publish(t), Options{Client: &http.Client{Transport: w}})
	time.Sleep(time.Minute) // a daemon may take its time before it runs the poller
	w.start = time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
	return p, b, stop
}

func fleet(n int) (targets []Target) {
	for i := range n {
		targets = append(targets, Target{Service: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("http://h%d", i)})
	}
	return targets
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func TestScheduleSpreadsAndKeepsItsSlots(t *testing.T) {
	var first map[string][]time.Duration
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			w := &world{}
			_, b, stop := start(t, w, fleet(100))
			time.Sleep(120*time.Second - 1)
			if n := len(b.events()); n != 1200 {
				t.Errorf("%d events of 100 targets in 12 intervals", n)
			}
			stop()
			early := 0
			for _, at := range w.asked {
				if at[0] < 5*time.Second {
					early++
				}
				for i, d := range at {
					if d != at[0]+time.Duration(i)*10*time.Second {
						t.Fatalf("left its slot: %v", at)
					}
				}
			}
			if len(w.asked) != 200 || early < 60 || early > 140 {
				t.Errorf("%d pages, %d of them in the first half of the interval", len(w.asked), early)
			}
			if first == nil {
				first = w.asked
			}
			for page, at := range w.asked {
				if first[page][0] != at[0] {
					t.Errorf("%s has another slot after a restart", page)
				}
			}
			for name, want := range map[string]float64{MetricConfigured: 10, MetricAchieved: 10, MetricLag: 0} {
				if got := b.values(name, "s7"); len(got) == 0 || got[len(got)-1] != want {
					t.Errorf("%s: %v, want %g", name, got, want)
				}
			}
			if got := b.values(MetricQuestions, "alertd"); got[len(got)-1] != 10 {
				t.Errorf("%s: %v", MetricQuestions, got)
			}
			if last := b.own[len(b.own)-1]; last.Status != alertd.Healthy || len(b.own) < 11 {
				t.Errorf("%d own events, %+v", len(b.own), last)
			}
		})
	}
}

func TestScheduleConfirmsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		_, b, stop := start(t, w, []Target{{Service: "s", URL: "http://h"}})
		time.Sleep(10 * time.Second)
		w.set(func() { w.down = map[string]bool{"h": true} })
		time.Sleep(20 * time.Second)
		if got := b.story("s"); got != "healthy degraded degraded unhealthy unhealthy" {
			t.Errorf("%s", got)
		}
		if e := b.events()[1].Checks["live"].Error; e != "network: down (1 of 3)" {
			t.Errorf("%q", e)
		}
		w.set(func() { w.down = nil })
		time.Sleep(10 * time.Second)
		if got := b.story("s"); !strings.HasSuffix(got, " unhealthy unhealthy unhealthy healthy") {
			t.Errorf("%s", got)
		}
		stop()
		var gaps []string
		at := w.asked["h/health/live"]
		for i := range at[1:] {
			gaps = append(gaps, (at[i+1] - at[i]).String())
		}
		// A slot of its own stays a slot: two seconds to confirm, then on to the next.
		if got := strings.Join(gaps, " "); got != "10s 2s 2s 6s 10s 2s" {
			t.Errorf("gaps: %s", got)
		}
	})
}

// A daemon that starts while a service is down does not say for a moment that it is better.
func TestStartsSilentlyUntilItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{down: map[string]bool{"h": true}}
		_, b, stop := start(t, w, []Target{{Service: "s", URL: "http://h"}})
		time.Sleep(30 * time.Second)
		if got := b.story("s"); !strings.HasPrefix(got, "unhealthy") || strings.Contains(got, "degraded") {
			t.Errorf("%s", got)
		}
		stop()
	})
}

func TestScheduleIsBoundedAndSaysThatItIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{slow: 4 * time.Second}
		targets := fleet(200)
		for i := range targets {
			targets[i].Timeout = 9 * time.Second
		}
		p, b, stop := start(t, w, nil)
		p.mu.Lock()
		p.limit = 64
		p.mu.Unlock()
		p.SetTargets(targets)
		time.Sleep(65 * time.Second)
		n := len(b.events())
		stop()
		if w.most > 64 || n < 200 {
			t.Errorf("%d requests at one time, %d events", w.most, n)
		}
		if last := b.own[len(b.own)-1]; last.Status != alertd.Degraded || !strings.HasPrefix(last.Checks[checkSchedule].Error, "late: ") {
			t.Errorf("%+v", last)
		}
		if got := b.values(MetricMaxLag, "alertd"); slices.Max(got) < 3 {
			t.Errorf("lag: %v", got)
		}
	})
}

// More than half of the targets vanish at once: one event about the poller, and none about them.
func TestBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		_, b, stop := start(t, w, fleet(50))
		time.Sleep(30 * time.Second)
		w.set(func() {
			w.down = map[string]bool{}
			for i := range 40 {
				w.down[fmt.Sprintf("h%d", i)] = true
			}
		})
		time.Sleep(60 * time.Second)
		for _, h := range b.events() {
			if h.Status == alertd.Unhealthy {
				t.Fatalf("%+v", h)
			}
		}
		last := b.own[len(b.own)-1]
		if last.Status != alertd.Unhealthy || !strings.Contains(last.Checks[checkReach].Error, "40 of 50 targets cannot be reached (network 40)") {
			t.Errorf("%+v", last)
		}
		if got := b.values(MetricBlind, "alertd"); got[0] != 0 || got[len(got)-1] != 1 {
			t.Errorf("%v", got)
		}
		if n := w.count("h1/health/live"); n < 8 || n > 12 {
			t.Errorf("a target was asked %d times in 9 intervals", n)
		}
		// The network is back, but for one.
		w.set(func() { w.down = map[string]bool{"h3": true} })
		time.Sleep(30 * time.Second)
		stop()
		if got := b.story("s3"); !strings.HasSuffix(got, "unhealthy unhealthy") {
			t.Errorf("s3: %s", got)
		}
		if got := b.story("s4"); !strings.HasSuffix(got, "healthy healthy") || strings.Contains(got, "unhealthy") {
			t.Errorf("s4: %s", got)
		}
		if last := b.own[len(b.own)-1]; last.Status != alertd.Healthy {
			t.Errorf("%+v", last)
		}
	})
}

// Fewer than half: each of them is told, and as soon as it would be alone.
func TestNotBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		_, b, stop := start(t, w, fleet(50))
		time.Sleep(30 * time.Second)
		w.set(func() {
			w.down = map[string]bool{}
			for i := range 20 {
				w.down[fmt.Sprintf("h%d", i)] = true
			}
		})
		time.Sleep(30 * time.Second)
		stop()
		for i := range 20 {
			if got := b.story(fmt.Sprintf("s%d", i)); !strings.HasSuffix(got, "unhealthy") {
				t.Errorf("s%d: %s", i, got)
			}
		}
		for _, h := range b.own {
			if h.Status != alertd.Healthy {
				t.Errorf("%+v", h)
			}
		}
	})
}

func TestSetTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{down: map[string]bool{"a": true}}
		a, b, c := Target{Service: "a", URL: "http://a"}, Target{Service: "b", URL: "http://b"}, Target{Service: "c", URL: "http://c"}
		p, book, stop := start(t, w, []Target{a, b, b, {Service: "bad"}})
		time.Sleep(25 * time.Second)
		asked := w.count("b/health/live")
		p.SetTargets([]Target{a, c})
		time.Sleep(25 * time.Second)
		if n := w.count("b/health/live"); n != asked || asked < 2 {
			t.Errorf("b was asked %d times, then %d", asked, n)
		}
		if n := w.count("c/health/live"); n < 2 {
			t.Errorf("c was asked %d times", n)
		}
		if got := book.story("a"); strings.Contains(got, "degraded") || !strings.Contains(got, "unhealthy") {
			t.Errorf("a was forgotten by the change: %s", got)
		}
		p.SetTargets(nil)
		synctest.Wait()
		n := w.count("a/health/live")
		time.Sleep(time.Minute)
		if got := w.count("a/health/live"); got != n {
			t.Errorf("a was asked %d times after it went", got-n)
		}
		stop()
	})
}

// What is not asked for any more is withdrawn, once, and after all else that was said about it: also where it was being asked
// just then, and where publishing fails at first. What is asked in another way is not.
func TestWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{slow: 100 * time.Millisecond, down: map[string]bool{"slow": true}}
		fast := Target{Service: "fast", URL: "http://fast", Environment: "prod"}
		slow := Target{Service: "slow", URL: "http://slow"}
		other := Target{Service: "other", URL: "http://other"}
		p, b, stop := start(t, w, []Target{fast, slow, other})
		defer stop()
		time.Sleep(2 * time.Minute)
		w.set(func() { w.slow = 2 * time.Second })
		for n := w.count("slow/health/live"); w.count("slow/health/live") == n; {
			time.Sleep(10 * time.Millisecond)
		}
		other.URL = "http://elsewhere"
		b.mu.Lock()
		b.deny = 3
		b.mu.Unlock()
		p.SetTargets([]Target{other})
		time.Sleep(time.Minute)
		last := map[string]alertd.Health{}
		n := 0
		for _, h := range b.events() {
			if last[h.Service] = h; h.Withdrawn {
				n++
			}
		}
		for service, environment := range map[string]string{"fast": "prod", "slow": ""} {
			if h := last[service]; !h.Withdrawn || h.Environment != environment || !slices.Contains(h.Metrics, MetricCertificate) {
				t.Errorf("%s: %+v", service, h)
			}
		}
		if n != 2 || b.deny != 0 || last["other"].Withdrawn {
			t.Errorf("%d withdrawn, %d failures left, %+v", n, b.deny, last["other"])
		}

		other.Environment = "test" // from none
		p.SetTargets([]Target{other})
		time.Sleep(time.Minute)
		var ended []alertd.Health
		for _, h := range b.events() {
			if h.Withdrawn && h.Service == "other" {
				ended = append(ended, h)
			}
		}
		if len(ended) != 1 || ended[0].Environment != "" || ended[0].Metrics != nil {
			t.Errorf("another environment: %+v", ended)
		}
	})
}

func TestPublishFailureIsNotFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := 0
		w := &world{asked: map[string][]time.Duration{}, start: time.Now()}
		p := New([]Target{{Service: "a", URL: "http://a"}}, func(context.Context, string, []byte) error {
			mu.Lock()
			defer mu.Unlock()
			calls++
			return errors.New("no NATS")
		}, Options{Client: &http.Client{Transport: w}})
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		if err := p.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || calls < 4 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}
