package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"alertd/e2e"
)

// Twelve things that people lose with Alertmanager, and that docs/testing.md lists as G1 to G12. Those that are about hours stand in
// engine/testdata on a clock of their own; here are those that need a real daemon.

// post posts one alert as Prometheus does.
func (w *world) post(alert, service string, ends time.Time) {
	w.t.Helper()
	body := fmt.Sprintf(`[{"labels":{"alertname":%q,"service":%q,"severity":"critical"},"endsAt":%q}]`, alert, service, ends.UTC().Format(time.RFC3339Nano))
	w.eventually(func() error {
		res, err := http.Post(w.daemon.URL+"/api/v2/alerts", "application/json", strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if w.leaderless(res.StatusCode) {
			return fmt.Errorf("POST: %s", answer)
		}
		if res.StatusCode != http.StatusOK {
			w.t.Fatalf("POST: %d %s", res.StatusCode, answer)
		}
		return nil
	})
}

// The receiver is down for longer than group_interval: the page is tried again under its first identity.
func TestG5TriedAgainBeyondGroupInterval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain)
	var attempts atomic.Int64
	w.sink.AnswerWith(func(e2e.Page) int {
		if attempts.Add(1) <= 2 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	w.post("Down", "api", time.Now().Add(time.Hour))
	w.eventually(func() error {
		pages, _ := w.sink.Pages()
		if len(pages) < 3 {
			return fmt.Errorf("%d attempts", len(pages))
		}
		if pages[0].ID != pages[2].ID || pages[0].Body != pages[2].Body {
			return fmt.Errorf("the attempts differ: %+v", pages)
		}
		return nil
	})
}

// The daemon ends while an alert waits in its group: it is told after the restart, although nobody posts it again.
func TestG7PendingOverARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"routing.yaml": `
route: {receiver: hook, group_by: [service], group_wait: 15s, group_interval: 1s}
receivers: [{name: hook, webhook_configs: [{url: '{{sink}}'}]}]
`})
	w.post("Down", "api", time.Now().Add(time.Hour))
	w.stop()
	if pages, _ := w.sink.Pages(); len(pages) > 0 {
		t.Fatalf("told before the restart, so this test tests nothing: %+v", pages)
	}
	w.start()
	w.page("Down", "api", "firing")
}

// The power goes after a page: who posts the alert again causes no second page, and its end is told.
func TestG8PowerCutAfterAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain)
	w.post("Down", "api", time.Now().Add(time.Hour))
	first := w.page("Down", "api", "firing")
	w.kill()
	w.start()
	w.post("Down", "api", time.Now().Add(time.Hour))
	w.post("Down", "api", time.Now().Add(-time.Millisecond))
	w.page("Down", "api", "resolved")
	pages, _ := w.sink.Pages()
	for _, p := range pages { // the page may come again, under its own identity, if the power went before alertd knew that it had arrived
		if p.Tells("Down", "api", "firing") && p.ID != first.ID {
			t.Errorf("paged again after the power cut: %s", p.Body)
		}
	}
}

// A receiver that says 429 is asked again, and not before it wants to be.
func TestG10TooManyRequests(t *testing.T) {
	t.Parallel()
	const pause = 2
	var mu sync.Mutex
	var asked []time.Time
	done, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if asked = append(asked, time.Now()); len(asked) == 1 {
			rw.Header().Set("Retry-After", fmt.Sprint(pause))
			rw.WriteHeader(http.StatusTooManyRequests)
			return
		}
		cancel()
	}))
	t.Cleanup(hook.Close)
	w := newWorld(t, map[string]string{"routing.yaml": `
route: {receiver: hook, group_wait: 0s}
receivers: [{name: hook, webhook_configs: [{url: '` + hook.URL + `'}]}]
`})
	w.post("Down", "api", time.Now().Add(time.Hour))
	<-done.Done()
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 2 {
		t.Fatalf("asked %d times, want twice\n%s", len(asked), w.daemon.Log())
	}
	if waited := asked[1].Sub(asked[0]); waited < pause*time.Second {
		t.Errorf("asked again after %v, which is sooner than Retry-After", waited)
	}
}

// What was answered with 200 is there, however much it is: also more than one message of the journal could hold. What is not
// taken is not answered with 200.
func TestG11TakenOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain)
	for _, n := range []int{1, 64, 1000, 5000} {
		var alerts []string
		for i := range n {
			alerts = append(alerts, fmt.Sprintf(`{"labels":{"alertname":"Many","service":"s","severity":"none","n":"%d"},"annotations":{"summary":%q}}`, i, strings.Repeat("x", 200)))
		}
		w.eventually(func() error { // a busy machine may need more than the minute in which a server answers: no answer is posted again
			res, err := http.Post(w.daemon.URL+"/api/v2/alerts", "application/json", strings.NewReader("["+strings.Join(alerts, ",")+"]"))
			if err != nil {
				return err
			}
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Fatalf("%d alerts: %d %s\n%s", n, res.StatusCode, body, w.daemon.Log())
			}
			return nil
		})
		var shown []struct{ Fingerprint string }
		w.json("/api/v2/alerts", &shown)
		if len(shown) != n {
			t.Errorf("%d alerts posted, %d shown", n, len(shown))
		}
		if !slices.IsSortedFunc(shown, func(a, b struct{ Fingerprint string }) int { return strings.Compare(a.Fingerprint, b.Fingerprint) }) {
			t.Error("not in the order of fingerprints")
		}
	}

	res, err := http.Post(w.daemon.URL+"/api/v2/alerts", "application/json", strings.NewReader(`[
		{"labels":{"alertname":"Good"}},
		{"labels":{"alertname":"Bad","":"no name"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("one alert of two is bad: %d", res.StatusCode)
	}
	var shown []struct{ Labels map[string]string }
	w.json("/api/v2/alerts?filter=alertname%3D%22Good%22", &shown)
	if len(shown) != 1 {
		t.Errorf("the good one of the two: %v", shown)
	}
}

// What is over stays on record, over a restart, and is read page by page.
func TestG12HistoryStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain)
	for _, service := range []string{"api", "web", "db"} {
		w.post("Down", service, time.Now().Add(time.Hour))
		w.page("Down", service, "firing")
		w.post("Down", service, time.Now().Add(-time.Millisecond))
		w.page("Down", service, "resolved")
	}
	w.stop()
	w.start()
	want := []string{"api firing", "api resolved", "db firing", "db resolved", "web firing", "web resolved"}
	w.eventually(func() error {
		var got []string
		for cursor, pages := "", 0; ; pages++ {
			var page struct {
				Data struct {
					Transitions []transition `json:"transitions"`
					Next        string       `json:"next"`
				} `json:"data"`
			}
			if err := json.Unmarshal([]byte(w.get("/api/v1/history?limit=2&cursor="+url.QueryEscape(cursor))), &page); err != nil {
				return err
			}
			for _, tr := range page.Data.Transitions {
				got = append(got, tr.Service+" "+tr.To)
			}
			if cursor = page.Data.Next; cursor == "" || pages > 10 {
				break
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("history has %q, want %q", got, want)
		}
		return nil
	})
}
