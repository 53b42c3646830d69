package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"alertd/e2e"
)

// chaosRules and chaosRouting: what is broken pages at once, together with what else of its team is, and a second receiver where nobody has
// taken it after a second; what is slow is held, each service by itself, until the office opens, which it does every other minute, or
// somebody lets it go. The receiver is another one for each, with one webhook behind all.
const (
	chaosRules = `groups:
- name: chaos
  interval: 1s
  rules:
  - {alert: Broken, expr: 'broken == 1', labels: {severity: critical}, annotations: {summary: '{{ $labels.service }} is broken'}}
  - {alert: Slow, expr: 'slow == 1', labels: {severity: warning}, annotations: {summary: '{{ $labels.service }} is slow'}}
`
	chaosRouting = `calendars:
  office: {time_zone: UTC, hours: [%s]}
escalations:
  oncall: [{after: 1s, receiver: second}]
route:
  receiver: pager
  escalation: oncall
  group_by: [alertname, team]
  group_wait: 0s
  group_interval: %s
  repeat_interval: 4h
  deliver: immediate
  routes:
    - matchers: ['severity="warning"']
      receiver: office
      group_by: [alertname, service]
      deliver: business_hours
      calendar: office
receivers:
  - {name: pager, webhook_configs: [{url: '{{sink}}'}]}
  - {name: second, webhook_configs: [{url: '{{sink}}'}]}
  - {name: office, webhook_configs: [{url: '{{sink}}'}]}
`
)

// TestChaos breaks one daemon, with its own NATS server, in every way that a test can, while alerts of all kinds come and go.
func TestChaos(t *testing.T) {
	seed, length := chaosLength(t)
	w := newWorld(t, chaosFiles(), onFailure(t))
	c := newChaos(t, seed, w)
	c.breaks(length,
		fault{4, "kill", func(*rand.Rand) { w.kill(); w.start() }},
		fault{2, "stop", func(*rand.Rand) { w.stop(); w.start() }},
		fault{2, "reload", func(r *rand.Rand) {
			w.write("routing.yaml", fmt.Sprintf(chaosRouting, everyOtherMinute, []string{"200ms", "300ms", "1s"}[r.IntN(3)]))
			_ = w.daemon.Signal(syscall.SIGHUP)
		}},
	)
	c.settle()
	c.check()
	c.rebuild()
}

// TestChaosOfTwo breaks two daemons on one NATS server, mostly the one that leads, and the server.
func TestChaosOfTwo(t *testing.T) {
	seed, length := chaosLength(t)
	bus := &natsChild{dir: t.TempDir()}
	bus.start(t)
	t.Cleanup(bus.kill)
	w := newWorld(t, chaosFiles(), onFailure(t), func(o *e2e.Options) {
		o.NATS, o.Args = bus.url, []string{"--web.external-url=http://alertd.example"} // links lead to the same place, whoever tells
	})
	second := &world{t: t, opts: w.opts, sink: w.sink, nc: w.nc, js: w.js}
	second.opts.Data, second.opts.Listen = t.TempDir(), ""
	onFailure(t)(&second.opts)
	t.Cleanup(func() {
		if second.daemon != nil {
			second.daemon.Kill()
		}
	})
	second.start()
	c := newChaos(t, seed, w, second)
	leader := func(r *rand.Rand) *world {
		for _, d := range c.daemons {
			if body, err := c.call(http.MethodGet, d.daemon.URL+"/metrics", nil); err == nil && bytes.Contains(body, []byte("alertd_leading 1\n")) && r.IntN(4) > 0 {
				return d
			}
		}
		return c.daemons[r.IntN(2)]
	}
	c.breaks(length,
		fault{4, "kill", func(r *rand.Rand) {
			d := leader(r)
			d.kill()
			time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
			d.start()
		}},
		fault{1, "stop", func(r *rand.Rand) { d := leader(r); d.stop(); d.start() }},
		fault{1, "kill both", func(*rand.Rand) { w.kill(); second.kill(); second.start(); w.start() }},
		fault{2, "kill NATS", func(r *rand.Rand) {
			bus.kill()
			time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
			bus.start(t)
		}},
	)
	c.settle()
	c.check()
}

// chaosLength is the seed of a run and how long it breaks things: 20 s, or CHAOS_SECONDS, up to ten minutes. CHAOS_SEED repeats the faults
// of a run, though not the instants at which they meet the daemon.
func chaosLength(t *testing.T) (seed uint64, length time.Duration) {
	if testing.Short() {
		t.Skip("breaks a daemon for 20 s and waits until all is told: not in -short")
	}
	length = 20 * time.Second
	if n, err := strconv.Atoi(os.Getenv("CHAOS_SECONDS")); err == nil {
		length = min(time.Duration(n)*time.Second, 10*time.Minute)
	}
	seed, err := strconv.ParseUint(os.Getenv("CHAOS_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("CHAOS_SEED=%d CHAOS_SECONDS=%g", seed, length.Seconds())
	return seed, length
}

func chaosFiles() map[string]string {
	return map[string]string{"rules.yaml": chaosRules, "routing.yaml": fmt.Sprintf(chaosRouting, everyOtherMinute, "300ms")}
}

// everyOtherMinute is the hours of a calendar that opens and closes every other minute, for longer than any test runs.
var everyOtherMinute = func() string {
	const day, most = 24 * 60, 490 // a calendar takes 500
	now := time.Now().UTC()
	var hours []string
	for i := range most {
		if m := (now.Hour()*60 + now.Minute() + 1 + 2*i) % day; m < day-1 {
			hours = append(hours, fmt.Sprintf("'mon-sun %02d:%02d-%02d:%02d'", m/60, m%60, (m+1)/60, (m+1)%60))
		}
	}
	return strings.Join(hours, ", ")
}()

// onFailure keeps what a daemon says, and shows it where the test fails: else it is too much.
func onFailure(t *testing.T) func(*e2e.Options) {
	return func(o *e2e.Options) {
		var log bytes.Buffer // written by one life of the daemon after the other
		o.Log = &log
		t.Cleanup(func() {
			if t.Failed() {
				_, _ = t.Output().Write(log.Bytes())
			}
		})
	}
}

// chaos is one run.
type chaos struct {
	t       *testing.T
	seed    uint64
	daemons []*world
	client  http.Client
	urls    []string

	enough  atomic.Bool // no more of anything
	over    atomic.Bool // nobody waits for anything
	calm    atomic.Bool // the receiver takes everything
	outage  atomic.Bool // the receiver takes nothing
	drivers sync.WaitGroup

	mu         sync.Mutex
	deliveries []delivery
	refused    map[string]int // by id
	lives      []*life
	silences   map[string]bool // id → expired, of those that alertd said it has
	acked      map[string]bool // service, of the acknowledgements that alertd said it has
}

// delivery is what the receiver got, and what it answered.
type delivery struct {
	e2e.Page
	status int
}

// life is an alert that was there once.
type life struct {
	alert, service, team string
	began                time.Time
	notBefore            time.Time // it is silenced until then
}

func newChaos(t *testing.T, seed uint64, daemons ...*world) *chaos {
	c := &chaos{
		t: t, seed: seed, daemons: daemons, client: http.Client{Timeout: 2 * time.Second},
		refused: map[string]int{}, silences: map[string]bool{}, acked: map[string]bool{},
	}
	for _, d := range daemons {
		c.urls = append(c.urls, d.daemon.URL)
	}
	t.Cleanup(func() { // where the test gave up in the middle
		c.over.Store(true)
		c.enough.Store(true)
		c.drivers.Wait()
	})
	answers := c.rand(1)
	daemons[0].sink.AnswerWith(func(p e2e.Page) int { return c.answer(answers, p) })
	for i := range 6 {
		rng := c.rand(uint64(10 + i))
		c.drivers.Go(func() { c.publish(rng, i) })
	}
	for i := range 2 {
		rng := c.rand(uint64(20 + i))
		c.drivers.Go(func() { c.post(rng, i) })
	}
	for i, drive := range []func(*rand.Rand){c.outages, c.silence, c.hush, c.acknowledge, c.release} {
		rng := c.rand(uint64(30 + i))
		c.drivers.Go(func() { drive(rng) })
	}
	return c
}

func (c *chaos) rand(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, stream)) }

// answer is the receiver. It refuses each notification twice at most, so that none waits long for its next attempt.
func (c *chaos) answer(rng *rand.Rand, p e2e.Page) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := http.StatusOK
	if !c.calm.Load() && c.refused[p.ID] < 2 && (c.outage.Load() || rng.IntN(6) == 0) {
		status = http.StatusServiceUnavailable
		c.refused[p.ID]++
	}
	c.deliveries = append(c.deliveries, delivery{p, status})
	return status
}

// fault is a way to break something, and how often compared to the others.
type fault struct {
	weight int
	name   string
	happen func(*rand.Rand)
}

// breaks lets faults happen for so long, and then the drivers come to an end.
func (c *chaos) breaks(length time.Duration, faults ...fault) {
	c.t.Helper()
	var all []fault
	for _, f := range faults {
		for range f.weight {
			all = append(all, f)
		}
	}
	rng := c.rand(0)
	counts := map[string]int{}
	for end := time.Now().Add(length); time.Now().Before(end); {
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		f := all[rng.IntN(len(all))]
		c.t.Logf("fault: %s", f.name)
		counts[f.name]++
		f.happen(rng)
	}
	c.enough.Store(true)
	c.calm.Store(true)
	c.drivers.Wait()
	c.t.Logf("faults: %v", counts)
}

// until repeats what alertd may refuse while it is broken.
func (c *chaos) until(done func() error) {
	deadline := time.Now().Add(3 * time.Minute)
	for {
		err := done()
		if err == nil || c.over.Load() {
			return
		}
		if time.Now().After(deadline) {
			c.t.Error(err)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *chaos) begin(l *life) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.began = time.Now()
	c.lives = append(c.lives, l)
}

// publish lets services break and recover, or become slow and quick again, by events. They do not recover before alertd has seen what
// was wrong: two events of one series that are read in one go are judged as what they come to.
func (c *chaos) publish(rng *rand.Rand, worker int) {
	for n := 0; !c.enough.Load(); n++ {
		metric, alert := "broken", "Broken"
		if worker%2 == 1 {
			metric, alert = "slow", "Slow"
		}
		service, team := fmt.Sprintf("s%d-%d", worker, n), fmt.Sprint("t", rng.IntN(4))
		c.begin(&life{alert: alert, service: service, team: team})
		for _, v := range []int{1, 0} {
			msg := nats.NewMsg("alertd.metrics." + service)
			msg.Data = fmt.Appendf(nil, `{"name":%q,"labels":{"service":%q,"team":%q},"value":%d,"time":%d}`, metric, service, team, v, instant())
			if err := publish(c.t.Context(), c.daemons[0].js, msg); err != nil {
				c.t.Error(err)
				return
			}
			if v == 1 {
				c.until(func() error { return c.seen(service) })
			}
			time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
		}
	}
}

// seen asks whether an alert of a service fires.
func (c *chaos) seen(service string) error {
	out, err := c.ask(http.MethodGet, "/api/v2/alerts?filter="+url.QueryEscape(fmt.Sprintf("service=%q", service)), nil)
	if err == nil && !bytes.Contains(out, []byte(service)) {
		err = fmt.Errorf("%s does not fire", service)
	}
	return err
}

// post lets somebody else's alerts come and go. What is not answered with 200 is posted again, as Prometheus does.
func (c *chaos) post(rng *rand.Rand, worker int) {
	for n := 0; !c.enough.Load(); n++ {
		service, team := fmt.Sprintf("p%d-%d", worker, n), fmt.Sprint("t", rng.IntN(4))
		c.begin(&life{alert: "Posted", service: service, team: team})
		for _, lasts := range []time.Duration{time.Hour, 0} {
			c.until(func() error { return c.posted(service, team, lasts) })
			time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
		}
	}
}

func (c *chaos) posted(service, team string, lasts time.Duration) error {
	_, err := c.ask(http.MethodPost, "/api/v2/alerts", []any{map[string]any{
		"labels": map[string]string{"alertname": "Posted", "service": service, "team": team, "severity": "critical"},
		"endsAt": time.Now().Add(lasts),
	}})
	return err
}

// hush silences an alert before it comes, mostly over an end of the daemon, and lets it last until it is told: when the silence has
// ended, and not before.
func (c *chaos) hush(rng *rand.Rand) {
	for n := 0; !c.enough.Load(); n++ {
		service, ends := fmt.Sprint("h", n), time.Time{}
		c.until(func() error {
			now := time.Now()
			until := now.Add(time.Duration(1500+rng.IntN(1500)) * time.Millisecond).Truncate(time.Millisecond)
			_, err := c.ask(http.MethodPost, "/api/v2/silences", map[string]any{
				"matchers": []any{map[string]any{"name": "service", "value": service, "isRegex": false, "isEqual": true}},
				"startsAt": now, "endsAt": until, "createdBy": "chaos", "comment": "hush",
			})
			if err == nil {
				ends = until
			}
			return err
		})
		c.begin(&life{alert: "Posted", service: service, team: "hushed", notBefore: ends})
		c.until(func() error { return c.posted(service, "hushed", time.Hour) })
		c.until(func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if slices.ContainsFunc(c.deliveries, func(d delivery) bool { return d.Tells("Posted", service, "firing") }) {
				return nil
			}
			return fmt.Errorf("%s was silenced until %s, and is not told", service, ends)
		})
		c.until(func() error { return c.posted(service, "hushed", 0) })
	}
}

// outages lets the receiver take nothing from time to time.
func (c *chaos) outages(rng *rand.Rand) {
	for !c.enough.Load() {
		time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
		c.outage.Store(true)
		time.Sleep(time.Duration(rng.IntN(2500)) * time.Millisecond)
		c.outage.Store(false)
	}
}

// silence makes silences of one team and ends half of them.
func (c *chaos) silence(rng *rand.Rand) {
	for !c.enough.Load() {
		now := time.Now()
		out, err := c.ask(http.MethodPost, "/api/v2/silences", map[string]any{
			"matchers": []any{
				map[string]any{"name": "team", "value": "t3", "isRegex": false, "isEqual": true},
				map[string]any{"name": "alertname", "value": "Broken", "isRegex": false, "isEqual": true},
			},
			"startsAt": now, "endsAt": now.Add(time.Duration(1000+rng.IntN(4000)) * time.Millisecond), "createdBy": "chaos", "comment": "chaos",
		})
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
		var made struct {
			ID string `json:"silenceID"`
		}
		if err != nil || json.Unmarshal(out, &made) != nil {
			continue
		}
		expired := false
		if rng.IntN(2) == 0 {
			_, err := c.ask(http.MethodDelete, "/api/v2/silence/"+made.ID, nil)
			expired = err == nil
		}
		c.mu.Lock()
		c.silences[made.ID] = expired
		c.mu.Unlock()
	}
}

// acknowledge takes alerts that fire.
func (c *chaos) acknowledge(rng *rand.Rand) {
	for !c.enough.Load() {
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
		c.mu.Lock()
		if len(c.lives) == 0 {
			c.mu.Unlock()
			continue
		}
		l := c.lives[max(0, len(c.lives)-1-rng.IntN(8))]
		c.mu.Unlock()
		if _, err := c.ask(http.MethodPost, "/api/v1/ack", map[string]any{"alert": l.alert, "service": l.service, "by": "chaos"}); err == nil {
			c.mu.Lock()
			c.acked[l.alert+" "+l.service] = true
			c.mu.Unlock()
		}
	}
}

// release lets go what is held.
func (c *chaos) release(rng *rand.Rand) {
	for !c.enough.Load() {
		time.Sleep(time.Duration(2000+rng.IntN(4000)) * time.Millisecond)
		_, _ = c.ask(http.MethodPost, "/api/v1/queue/release", map[string]any{"all": true, "by": "chaos"}) // nothing may be held
	}
}

// ask asks any daemon that answers.
func (c *chaos) ask(method, path string, body any) (out []byte, err error) {
	err = errors.New("no daemon")
	for _, u := range c.urls {
		if out, err = c.call(method, u+path, body); err == nil {
			return out, nil
		}
	}
	return nil, err
}

func (c *chaos) call(method, address string, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(c.t.Context()), method, address, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, address, resp.Status, out)
	}
	return out, err
}
