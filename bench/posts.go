package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"alertd/e2e"
)

// perGroup is how many alerts a group has that nobody hears of.
const perGroup = 100

// poster posts alerts to /api/v2/alerts as a Prometheus does: eight labels and three annotations, about 650 bytes each.
type poster struct {
	url    string
	client *http.Client
	name   string // alertname
	kind   string // label kind: which route takes them
	groups int
}

func (b *bench) poster(name, kind string, groups int) *poster {
	return &poster{url: b.daemon.URL + "/api/v2/alerts", client: &http.Client{Timeout: 30 * time.Second}, name: name, kind: kind, groups: groups}
}

// post posts alerts from first on.
func (p *poster) post(ctx context.Context, first, n int) error {
	var body bytes.Buffer
	body.WriteByte('[')
	now := time.Now().UTC()
	for i := first; i < first+n; i++ {
		if i > first {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"labels":{"alertname":%q,"service":"svc-%d","severity":"critical","kind":%q,"instance":"10.0.%d.%d:9100","job":"node","cluster":"eu-central-1","pod":"svc-%d-7c9f6d5b8-x%d"},`+
			`"annotations":{"summary":"instance %d of svc-%d does not answer","description":"The error rate has been above five percent for ten minutes, the budget of the month is gone in an hour.","runbook_url":"https://runbooks.example.com/instance-down"},`+
			`"startsAt":%q,"endsAt":%q,"generatorURL":"http://prometheus.example.com:9090/graph?g0.expr=up+%%3D%%3D+0&g0.tab=1"}`,
			p.name, i%p.groups, p.kind, i>>8, i&255, i%p.groups, i, i, i%p.groups, now.Format(time.RFC3339Nano), now.Add(time.Hour).Format(time.RFC3339Nano))
	}
	body.WriteByte(']')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("POST /api/v2/alerts: %s: %s", resp.Status, text)
	}
	return nil
}

// all posts the alerts from 0 to n over two connections, each as fast as it is answered, and returns the alerts a second.
func (p *poster) all(ctx context.Context, n, batch int) (float64, error) {
	const connections = 2
	var mu sync.Mutex
	var failed error
	next, began := 0, time.Now()
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for {
				mu.Lock()
				first := next
				next += batch
				stop := failed != nil || first >= n
				mu.Unlock()
				if stop {
					return
				}
				if err := p.post(ctx, first, min(batch, n-first)); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(began).Seconds(), failed
}

// posting posts alerts for the first time and then again, as a Prometheus does every minute, and weighs the daemon.
func posting(ctx context.Context, b *bench, alerts, batch int) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, 150*time.Second)
	defer cancel()
	p := b.poster("Bulk", "bulk", max(alerts/perGroup, 1))
	began, err := b.coreTime(ctx)
	if err != nil {
		return nil, err
	}
	created, err := p.all(ctx, alerts, batch)
	if err != nil {
		return nil, err
	}
	ended, err := b.coreTime(ctx)
	if err != nil {
		return nil, err
	}
	again, err := p.all(ctx, alerts, batch)
	if err != nil {
		return nil, err
	}
	memory, err := b.resident(ctx)
	where := fmt.Sprintf("%s alerts in batches of %d, %d groups, 2 connections", short(float64(alerts)), batch, p.groups)
	goals := alertmanager[[2]int{alerts, batch}]
	name := fmt.Sprintf("/api/v2/alerts, %s of %s", strconv.Itoa(batch), short(float64(alerts)))
	return []result{
		{Name: name + ", new", Value: created, Unit: "alerts/s", Goal: goals[0], Note: where},
		{Name: name + ", new, core time", Value: float64((ended - began).Microseconds()) / float64(alerts), Unit: "µs/alert", Note: "of the daemon, which may still be writing history"},
		{Name: name + ", again", Value: again, Unit: "alerts/s", Goal: goals[1]},
		{Name: name + ", resident", Value: memory / (1 << 20), Unit: "MiB", Goal: goals[2]},
	}, err
}

// alertmanager is what Alertmanager 0.34 does on two cores, with the same alerts: new and again a second, MiB resident.
var alertmanager = map[[2]int][3]float64{
	{10_000, 64}: {21_400, 23_900, 76}, {10_000, 1000}: {22_300, 23_700, 80}, {100_000, 1000}: {16_700, 20_000, 405}, {500_000, 1000}: {19_300, 16_300, 2081},
}

// storm posts ten thousand alerts of twenty groups at once, and meanwhile makes other alerts fire.
func storm(ctx context.Context, b *bench) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if _, err := b.probe(ctx); err != nil { // everything is warm
		return nil, err
	}
	const alerts, groups = 10_000, 20
	before, err := b.resident(ctx)
	if err != nil {
		return nil, err
	}
	p := b.poster("Storm", "storm", groups)
	done := make(chan error, 1)
	began := time.Now()
	var posted time.Duration
	go func() {
		_, err := p.all(ctx, alerts, 1000)
		posted = time.Since(began)
		done <- err
	}()
	var took []time.Duration
	for storms := true; storms; {
		d, err := b.probe(ctx)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
		select {
		case err := <-done:
			if err != nil {
				return nil, err
			}
			storms = false
		default:
		}
	}
	first, err := b.sink.Wait(ctx, func(p e2e.Page) bool { return p.Tells("Storm", "svc-0", "firing") })
	if err != nil {
		return nil, err
	}
	// Every group says how many alerts it has, however few of them it lists. The last word of each is that it has all.
	pages := 0
	for complete := 0; complete < groups; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		all, _ := b.sink.Pages()
		pages, complete = 0, 0
		for _, page := range all {
			if len(page.Alerts) == 0 || page.Alerts[0].Labels["alertname"] != "Storm" {
				continue
			}
			pages++
			var more struct {
				Truncated int `json:"truncatedAlerts"`
			}
			if err := json.Unmarshal([]byte(page.Body), &more); err != nil {
				return nil, err
			}
			if len(page.Alerts)+more.Truncated == alerts/groups {
				complete++
			}
		}
	}
	after, err := b.resident(ctx)
	where := fmt.Sprintf("%s alerts of %d groups, posted in %s", short(alerts), groups, posted.Round(time.Millisecond))
	results := []result{
		{Name: "storm, first page of it", Value: first.At.Sub(began).Seconds() * 1000, Unit: "ms", Note: where},
		{Name: "storm, messages", Value: float64(pages), Unit: "messages", Note: "the first of a group at once, then one a second while it grows"},
		{Name: "storm, resident", Value: (after - before) / (1 << 20), Unit: "MiB more"},
	}
	return append(results, percentiles("publish to webhook, storm", took, 0, 100, fmt.Sprintf("%d probes of others", len(took)))...), err
}
