package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/history"
	"alertd/rules"
)

var epoch = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// state is a State of fixed values.
type state struct {
	alerts   []alertd.Alert
	held     []alertd.Held
	drafts   []alertd.Draft
	services []alertd.Health
	err      error
}

func (s state) Alerts(context.Context) ([]alertd.Alert, error)    { return s.alerts, s.err }
func (s state) Held(context.Context) ([]alertd.Held, error)       { return s.held, s.err }
func (s state) Drafts(context.Context) ([]alertd.Draft, error)    { return s.drafts, s.err }
func (s state) Services(context.Context) ([]alertd.Health, error) { return s.services, s.err }

func alert(name string, st alertd.State) alertd.Alert {
	ls := labels.FromStrings("alertname", name, "service", "checkout", "severity", "page")
	return alertd.Alert{
		Fingerprint: alertd.FingerprintOf(ls), Rule: "shop.yaml:shop:" + name, Labels: ls, State: st, Value: 0.25,
		Annotations: labels.FromStrings("summary", "</script><script>alert(1)</script>"),
		ActiveAt:    epoch.Add(-time.Minute), FiredAt: epoch, At: epoch, RunbookURL: "http://a/runbooks/X", TraceURL: "http://t/1",
	}
}

// store is a real history with n transitions and a delivered notification.
func store(t testing.TB, n int) *history.Store {
	t.Helper()
	s, err := history.Open(t.Context(), filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	a := alert("HighErrorRate", alertd.Firing)
	c := alertd.Commit{Time: epoch, Entries: []alertd.Entry{
		{Time: epoch, Planned: &alertd.Planned{Notification: alertd.Notification{ID: "n1", Receiver: "ops", Integration: "slack/0", Reason: alertd.ReasonFirst, Alerts: []alertd.Notified{{Alert: a}}}}},
		{Time: epoch, Attempted: &alertd.Attempted{Attempt: alertd.Attempt{Notification: "n1", N: 1, Outcome: alertd.Delivered}}},
		{Time: epoch, Planned: &alertd.Planned{Notification: alertd.Notification{ID: "n2", Receiver: "ops", Integration: "webhook/0", Reason: alertd.ReasonFirst, Alerts: []alertd.Notified{{Alert: a}}}}},
	}}
	for i := range n {
		c.Entries = append(c.Entries, alertd.Entry{Time: epoch.Add(time.Duration(i) * time.Second), Transition: &alertd.Transition{From: alertd.Pending, Reason: alertd.ReasonHeldFor, Alert: a}})
	}
	if err := s.Apply(t.Context(), []history.Record{{Seq: 7, Commit: c}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func options(t testing.TB) Options {
	page := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name+r.PathValue("name")) })
	}
	flaps := alert("Link", alertd.Firing)
	flaps.Changes = 6
	return Options{
		State: state{
			alerts: []alertd.Alert{alert("HighErrorRate", alertd.Firing), alert("Slow", alertd.Recovering), alert("Down", alertd.Pending), alert("Gone", alertd.Resolved), flaps},
			held:   []alertd.Held{{Alert: alert("DiskFull", alertd.Firing), Receiver: "ops", Reason: alertd.ReasonHeld, Calendar: "office", Since: epoch, Until: epoch.Add(time.Hour)}},
			drafts: drafts(),
		},
		Text:    func(n alertd.Notification) string { return fmt.Sprintf("%d alerts", len(n.Alerts)) },
		History: store(t, 5),
		Status: func(context.Context) Status {
			return Status{ConfigVersion: "c0ffee", Node: "a", Checkpoint: 41, JournalSeq: 8, StartedAt: epoch}
		},
		DeadLetters: func(_ context.Context, limit int) ([]alertd.DeadLetter, error) {
			return []alertd.DeadLetter{{Seq: 3, Subject: "alertd.metrics.x", Reason: "line 1, column 2: …"}}[:min(limit, 1)], nil
		},
		Rules:     func(context.Context) ([]rules.GroupStatus, error) { return nil, nil },
		Reload:    func(context.Context) error { return nil },
		Dashboard: page("dashboard"), Metrics: page("metrics"), Runbooks: page("runbook "),
		Version: "1.2.3", ExternalURL: "http://127.0.0.1:9093", Now: func() time.Time { return epoch.Add(time.Hour) },
	}
}

// drafts are one with a message, and one of which nothing is left to be sent.
func drafts() []alertd.Draft {
	slow, gone := alert("Slow", alertd.Firing), alert("Gone", alertd.Resolved)
	gone.ResolvedAt = epoch
	flaps := alert("Link", alertd.Firing)
	flaps.Changes = 6
	n := alertd.Notification{Receiver: "ops", Integration: "slack/0", Digest: true, Alerts: []alertd.Notified{{Alert: slow, HeldSince: epoch}, {Alert: flaps}, {Alert: gone}}, Truncated: 2}
	hidden := alertd.Held{Alert: alert("DiskFull", alertd.Firing), Reason: alertd.ReasonSilenced, By: "s1"}
	return []alertd.Draft{
		{Receiver: "ops", Calendar: "office", Reason: alertd.ReasonDigest, Until: epoch.Add(time.Hour), Messages: []alertd.Notification{n}},
		{Receiver: "team", Calendar: "office", Reason: alertd.ReasonMaxHold, Until: epoch.Add(time.Hour), Omitted: []alertd.Held{hidden}},
	}
}

// The digests of the queue have the sections that their messages have, and say what they leave out.
func TestQueueDigests(t *testing.T) {
	var answer struct {
		Data struct{ Digests []Digest }
	}
	if err := json.Unmarshal(ask(New(options(t)), "GET", "/api/v1/queue").Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	all := answer.Data.Digests
	if len(all) != 2 {
		t.Fatalf("%d digests: %+v", len(all), all)
	}
	d := all[0]
	if len(d.Firing) != 1 || d.Firing[0].Severity != alertd.Critical || d.Firing[0].Count != 1 || !d.Firing[0].Oldest.Equal(epoch.Add(-time.Minute)) ||
		d.Firing[0].Alerts[0].Labels.Get("alertname") != "Slow" || !d.Firing[0].Alerts[0].HeldSince.Equal(epoch) {
		t.Errorf("firing: %+v", d.Firing)
	}
	if len(d.Resolved) != 1 || !d.Resolved[0].ResolvedAt.Equal(epoch) || len(d.Flapping) != 1 || d.Flapping[0].Changes != 6 || d.More != 2 || d.Text != "3 alerts" {
		t.Errorf("the rest: %+v", d)
	}
	if e := all[1]; e.Integration != "" || e.Text != "" || len(e.Omitted) != 1 || e.Omitted[0].Reason != alertd.ReasonSilenced || e.Omitted[0].By != "s1" {
		t.Errorf("nothing to be sent: %+v", e)
	}
}

func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	h := New(options(t))
	for _, tc := range []struct {
		method, target string
		status         int
		has            []string
	}{
		{"GET", "/", 200, []string{"dashboard"}},
		{"GET", "/nothing", 404, nil},
		{"GET", "/metrics", 200, []string{"metrics"}},
		{"GET", "/runbooks/ErrorRate", 200, []string{"runbook ErrorRate"}},
		{"GET", "/runbooks/", 200, []string{"runbook"}},
		{"GET", "/health/live", 200, []string{`{"status":"healthy","checks":{},"timestamp":"2026-01-15T11:30:00Z"}`}},
		{"GET", "/health/ready", 200, []string{`{"status":"healthy","checks":{},"timestamp":"2026-01-15T11:30:00Z"}`}},
		{"HEAD", "/health/ready", 200, nil},
		{"GET", "/-/healthy", 200, []string{"OK"}},
		{"GET", "/-/ready", 200, []string{"OK"}},
		{"POST", "/-/reload", 200, nil},
		{"GET", "/-/reload", 405, nil},

		{"GET", "/api/v1/alerts", 200, []string{`"alertname":"HighErrorRate"`, `"value":"2.5e-01"`, `"activeAt":"2026-01-15T10:29:00Z"`, `"runbookURL":"http://a/runbooks/X"`, `"severity":"critical"`, `"phase":"recovering"`, `"changes":6`}},
		{"GET", "/api/v1/alerts?state=firing", 400, []string{"takes none"}},
		{"GET", "/api/v1/queue", 200, []string{`"calendar":"office"`, `"until":"2026-01-15T11:30:00Z"`}},
		{"GET", "/api/v1/notifications", 200, []string{`"outcome":"delivered"`, `"n1"`, `"n2"`, `"next":""`}},
		{"GET", "/api/v1/notifications?state=pending", 200, []string{`"n2"`}},
		{"GET", "/api/v1/notifications?state=nonsense", 400, []string{"dead"}},
		{"GET", "/api/v1/deadletters?limit=1", 200, []string{`"reason":"line 1, column 2: …"`}},
		{"GET", "/api/v1/rules", 200, []string{`"groups":[]`}},
		{"GET", "/api/v1/status", 200, []string{`"version":"1.2.3"`, `"config_version":"c0ffee"`, `"history_seq":7`, `"checkpoint":41`}},
		{"GET", "/api/v1/nothing", 404, []string{`"errorType":"not_found"`, "/api/v1/history"}},
		{"POST", "/api/v1/history", 405, []string{"use GET"}},
		{"POST", "/api/v1/alerts", 410, []string{"/api/v2/alerts"}},
		{"POST", "/api/v1/nothing", 404, []string{"/api/v1/history"}},
		{"DELETE", "/api/v1/query", 405, []string{"use GET"}},
		{"GET", "/api/v1/targets", 404, []string{"scrapes nothing"}},
		{"GET", "/api/v1/targets/metadata?metric=up", 404, []string{"scrapes nothing"}},
		{"POST", "/api/v1/write", 404, []string{"--otlp-listen"}},
		{"GET", "/api/v1/status/flags", 404, []string{"/api/v1/status"}},
		{"GET", "/api/v1/writers", 404, []string{"no such path"}},

		{"GET", "/api/v1/history", 200, []string{`"next":""`, `"runbook_url":"http://a/runbooks/X"`, `"trace_url":"http://t/1"`, `"from":"pending"`, `"to":"firing"`, `"value":0.25`, `"rule":"shop.yaml:shop:HighErrorRate"`}},
		{"GET", "/api/v1/history?since=24h&severity=page&service=checkout&rule=HighErrorRate&alert=HighErrorRate&state=firing&q=checkout&limit=1000", 200, []string{`"id":"7.3"`}},
		{"GET", "/api/v1/history?since=2026-01-15T10:30:04Z&until=0s", 200, []string{`"id":"7.7"`}},
		{"GET", "/api/v1/history?since=1m", 200, []string{`"transitions":[]`}},
		{"GET", "/api/v1/history?severty=critical", 400, []string{`parameter \"severty\" is not known`, "severity"}},
		{"GET", "/api/v1/history?service=a&service=b", 400, []string{"give it once"}},
		{"GET", "/api/v1/history?since=yesterday", 400, []string{"24h"}},
		{"GET", "/api/v1/history?since=2026-01-15T10:30:00%2B01:00", 200, nil},
		{"GET", "/api/v1/history?since=1h&until=2h", 400, []string{"exchange"}},
		{"GET", "/api/v1/history?limit=0", 400, []string{"from 1 to 1000"}},
		{"GET", "/api/v1/history?limit=1001", 400, []string{"follow next"}},
		{"GET", "/api/v1/history?state=nonsense", 400, []string{"recovering"}},
		{"GET", "/api/v1/history?cursor=nonsense", 400, []string{"leave it out"}},
		{"GET", "/api/v1/history?fingerprint=1", 400, []string{"16 hexadecimal digits"}},
		{"GET", "/api/v1/history?q=" + strings.Repeat("x", 2000), 400, []string{"longer than 1024"}},
		{"GET", "/api/v1/history?q=%zz", 400, []string{"percent-encode"}},
	} {
		t.Run(tc.method+" "+clip(tc.target), func(t *testing.T) {
			w := ask(h, tc.method, tc.target)
			if w.Code != tc.status {
				t.Fatalf("%d, want %d: %s", w.Code, tc.status, w.Body)
			}
			for _, s := range tc.has {
				if !strings.Contains(w.Body.String(), s) {
					t.Errorf("no %s in %s", s, w.Body)
				}
			}
			if strings.HasPrefix(tc.target, "/api/") {
				envelope(t, w)
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %q", name, got)
				}
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("policy %q", csp)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Error("another site's page may read this")
			}
		})
	}
}

// envelope checks that the body is what clients unwrap, and returns its data.
func envelope(t testing.TB, w *httptest.ResponseRecorder) json.RawMessage {
	t.Helper()
	var answer struct {
		Status    string          `json:"status"`
		Data      json.RawMessage `json:"data"`
		ErrorType string          `json:"errorType"`
		Error     string          `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s %s", err, w.Header().Get("Content-Type"), w.Body)
	}
	if ok := w.Code == http.StatusOK; ok != (answer.Status == "success") || ok == (answer.Error != "" && answer.ErrorType != "") || ok != (answer.Data != nil) {
		t.Fatalf("%d with %s", w.Code, w.Body)
	}
	if strings.ContainsAny(w.Body.String(), "<>") {
		t.Errorf("markup as it is in %s", w.Body)
	}
	return answer.Data
}

func TestAlertsAsInPrometheus(t *testing.T) {
	var data struct {
		Alerts []struct {
			Labels          map[string]string
			State, Value    string
			KeepFiringSince time.Time
		}
	}
	if err := json.Unmarshal(envelope(t, ask(New(options(t)), "GET", "/api/v1/alerts")), &data); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range data.Alerts {
		got = append(got, a.Labels["alertname"]+" "+a.State)
	}
	if diff := cmp.Diff([]string{"HighErrorRate firing", "Slow firing", "Down pending", "Link firing"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReadyBody(t *testing.T) {
	for _, tc := range []struct {
		status alertd.HealthStatus
		code   int
	}{{alertd.Healthy, 200}, {alertd.Degraded, 200}, {alertd.Unhealthy, 503}} {
		o := options(t)
		o.Ready = func(context.Context) alertd.Health {
			return alertd.Health{
				Service: "must not show", Status: tc.status, Timestamp: epoch.Add(123 * time.Millisecond).In(time.FixedZone("", 3600)),
				Checks: map[string]alertd.HealthCheck{"nats": {Status: alertd.Healthy, LatencyMS: 1}, "history": {Status: tc.status, Error: "disk <full>"}},
			}
		}
		h := New(o)
		w := ask(h, "GET", "/health/ready")
		want := fmt.Sprintf(`{"status":%[1]q,"checks":{"history":{"status":%[1]q,"latency_ms":0,"error":"disk \u003cfull\u003e"},"nats":{"status":"healthy","latency_ms":1}},"timestamp":"2026-01-15T10:30:00Z"}`+"\n", tc.status)
		if w.Code != tc.code || w.Body.String() != want {
			t.Errorf("%d\n got %s\nwant %s", w.Code, w.Body, want)
		}
		if w := ask(h, "GET", "/-/ready"); w.Code != tc.code {
			t.Errorf("/-/ready: %d", w.Code)
		}
		if w := ask(h, "GET", "/health/live"); w.Code != 200 {
			t.Errorf("alive: %d, whatever NATS does", w.Code)
		}
	}
}

func TestPages(t *testing.T) {
	for path, list := range map[string]string{"/api/v1/history": "transitions", "/api/v1/notifications": "notifications"} {
		h := New(options(t))
		seen, cursor := map[string]bool{}, ""
		for range 10 {
			data := envelope(t, ask(h, "GET", path+"?limit=2&cursor="+url.QueryEscape(cursor)))
			var page map[string]json.RawMessage
			var rows []struct{ ID string }
			if json.Unmarshal(data, &page) != nil || json.Unmarshal(page[list], &rows) != nil || json.Unmarshal(page["next"], &cursor) != nil {
				t.Fatalf("%s", data)
			}
			for _, r := range rows {
				if seen[r.ID] {
					t.Errorf("%s came twice", r.ID)
				}
				seen[r.ID] = true
			}
			if cursor == "" {
				break
			}
		}
		if want := map[string]int{"transitions": 5, "notifications": 2}[list]; len(seen) != want {
			t.Errorf("%s: %d rows, want %d", path, len(seen), want)
		}
	}
}

func TestCrossSitePost(t *testing.T) {
	o, reloads := options(t), 0
	o.Reload = func(context.Context) error { reloads++; return nil }
	h := New(o)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if w := ask(h, "POST", "/-/reload", header...); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "another site") {
			t.Errorf("%v: %d %s", header, w.Code, w.Body)
		}
	}
	if reloads != 0 {
		t.Errorf("%d reloads", reloads)
	}
	if w := ask(h, "POST", "/-/reload"); w.Code != 200 || w.Body.Len() > 0 || reloads != 1 { // no JSON: as Alertmanager's and Prometheus's
		t.Errorf("without a browser: %d %s, %d reloads", w.Code, w.Body, reloads)
	}
}

func TestErrors(t *testing.T) {
	var log strings.Builder
	o := options(t)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	o.State = state{err: errors.New("the token is xoxb-secret")}
	o.Reload = func(context.Context) error { return errors.New("routing.yaml:3:5: no such receiver") }
	o.History, o.DeadLetters, o.Rules, o.Metrics = nil, nil, nil, nil
	h := New(o)
	for _, tc := range []struct {
		method, target string
		status         int
		has            string
	}{
		{"GET", "/api/v1/alerts", 500, "its log has the reason"},
		{"GET", "/api/v1/queue", 500, "its log has the reason"},
		{"GET", "/api/v1/history", 503, "log says why"},
		{"GET", "/api/v1/notifications", 503, "log says why"},
		{"GET", "/api/v1/deadletters", 503, "log"},
		{"GET", "/api/v1/rules", 503, "--rules"},
		{"GET", "/api/v1/status", 200, "1.2.3"},
		{"GET", "/metrics", 404, ""},
		{"POST", "/-/reload", 500, "failed to reload config: nothing was changed: routing.yaml:3:5: no such receiver\n"},
	} {
		w := ask(h, tc.method, tc.target)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.has) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", tc.target, w.Code, w.Body)
		}
	}
	if !strings.Contains(log.String(), "request failed") {
		t.Errorf("log: %s", log.String())
	}

	closed := options(t)
	closed.History.(*history.Store).Close()
	if w := ask(New(closed), "GET", "/api/v1/history"); w.Code != 500 || strings.Contains(w.Body.String(), "sql") {
		t.Errorf("closed history: %d %s", w.Code, w.Body)
	}
}

// What nobody would type must not do what nobody wants: every query is answered well-formed, none with 500.
func FuzzQuery(f *testing.F) {
	o := options(f)
	a := alert("NaN", alertd.Firing)
	a.Value = alertd.Value(math.NaN())
	o.State = state{alerts: []alertd.Alert{a}}
	h := New(o)
	for _, seed := range []string{
		"since=24h&until=1h&limit=10", "q=%27%20OR%201%3D1", "cursor=9.z", "since=-1h", "since=9999999y", "limit=1e3", "state=firing&severity=%00",
		"until=0001-01-01T00:00:00Z", "since=292277026596-01-01T00:00:00Z", "q=%ff%fe&service=%F0%9F%94%A5", "a=b;c=d", "=&=", "cursor=-1y2p0ij32e8e8.1y2p0ij32e8e7",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/api/v1/history", "/api/v1/notifications", "/api/v1/deadletters", "/api/v1/alerts"} {
			r := httptest.NewRequest("GET", path, nil)
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 400 {
				t.Fatalf("%s?%s: %d %s", path, query, w.Code, w.Body)
			}
			envelope(t, w)
		}
	})
}
