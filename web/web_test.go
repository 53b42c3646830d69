package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/history"
	"alertd/runbooks"
)

var now = time.Date(2026, 1, 15, 18, 42, 10, 0, time.UTC)

// shop is a State and a History of fixed values: an evening in which much goes wrong.
type shop struct {
	alerts      []alertd.Alert
	held        []alertd.Held
	services    []alertd.Health
	drafts      []alertd.Draft
	groups      []alertd.GroupView
	messages    map[string]history.Message
	transitions []history.Transition
	chains      []history.Chain
	firings     []history.Firing
	err         error
}

func (s shop) Alerts(context.Context) ([]alertd.Alert, error)    { return s.alerts, s.err }
func (s shop) Held(context.Context) ([]alertd.Held, error)       { return s.held, s.err }
func (s shop) Services(context.Context) ([]alertd.Health, error) { return s.services, s.err }

func (s shop) Drafts(context.Context) ([]alertd.Draft, error) { return s.drafts, s.err }

func (s shop) Groups(context.Context) ([]alertd.GroupView, error) { return s.groups, s.err }

func (s shop) Message(_ context.Context, id string) (history.Message, error) {
	m, ok := s.messages[id]
	if !ok {
		return m, alertd.ErrNotFound
	}
	return m, s.err
}

func (s shop) Transitions(_ context.Context, f history.Filter) (history.Page, error) {
	var page history.Page
	for _, t := range s.transitions {
		if (f.Severity == "" || f.Severity == string(t.Severity)) && (f.State == "" || f.State == string(t.To)) && len(page.Transitions) < f.Limit {
			page.Transitions = append(page.Transitions, t)
		}
	}
	return page, s.err
}

func (s shop) Why(_ context.Context, q history.Question) ([]history.Chain, error) {
	for _, c := range s.chains {
		if c.Fingerprint.String() == q.Fingerprint {
			return []history.Chain{c}, s.err
		}
	}
	return nil, s.err
}

func (s shop) Firings(_ context.Context, f history.Filter) ([]history.Firing, int, error) {
	return s.firings[:min(len(s.firings), f.Limit)], len(s.firings), s.err
}

func alert(severity, name, service string, value float64, age time.Duration, summary, next string, more ...string) alertd.Alert {
	ls := labels.FromStrings(append([]string{"alertname", name, "service", service, "severity", severity}, more...)...)
	return alertd.Alert{
		Fingerprint: alertd.FingerprintOf(ls), Rule: "alertd.yaml:" + severity + ":" + name, Labels: ls, State: alertd.Firing, Value: alertd.Value(value),
		Annotations: labels.FromStrings("summary", summary, "next_step", next),
		ActiveAt:    now.Add(-age), FiredAt: now.Add(-age), At: now.Add(-age),
		RunbookURL: "http://127.0.0.1:9093/runbooks/" + name, TraceURL: "http://jaeger:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736",
		Trace: alertd.TraceRef{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"}, TraceNote: "took 5.2 s",
	}
}

func transition(a alertd.Alert, from, to alertd.State, age time.Duration, reason alertd.Reason) history.Transition {
	return history.Transition{
		Time: now.Add(-age), At: now.Add(-age), Alert: a.Name(), Rule: a.Rule, Severity: a.Severity(), Service: a.Service(), Labels: a.Labels,
		Annotations: a.Annotations, From: from, To: to, Value: a.Value, Summary: a.Summary(), RunbookURL: a.RunbookURL, TraceURL: a.TraceURL,
		TraceID: a.Trace.TraceID, Reason: reason, Fingerprint: a.Fingerprint,
	}
}

func berlin(t testing.TB) *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones here:", err)
	}
	return zone
}

func evening() shop {
	var s shop
	down := alert("critical", "ApplicationDown", "payment", 0, 4*time.Minute, "payment does not answer: 3 of 3 probes failed (connection refused)",
		"Look at the last deployment of payment; roll it back if it is younger than an hour.", "instance", "10.20.4.17:8080", "env", "prod")
	rate := alert("page", "HighErrorRate", "checkout", 0.1374, 3*time.Minute, "13.7 % of checkout's requests fail (threshold 10 %)",
		"Open the trace: payment is called in most failing requests.", "env", "prod", "route", "POST /api/v2/carts/{cart_id}/checkout/confirm")
	db := alert("critical", "DatabaseUnreachable", "orders", 1, 95*time.Second, "orders cannot reach postgres-orders-primary", "Check the primary: psql -h pg-main -c 'select 1'", "check", "database")
	db.TraceURL, db.Trace.Unsampled = "http://jaeger:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736", true
	xss := alert("critical", `<script>alert("name")</script>`, `"><img src=x onerror=alert(1)>`, 1, 30*time.Second, `</p></article><script>alert('summary')</script>`, `<a href="javascript:alert(1)">click</a>`,
		"evil", `'"><svg/onload=alert(1)>`, "a_very_long_label_name_that_goes_on_and_on", strings.Repeat("no-spaces-in-this-value/", 12))
	xss.RunbookURL, xss.TraceURL, xss.Trace = "javascript:alert(document.domain)", "data:text/html,<script>alert(1)</script>", alertd.TraceRef{}
	s.alerts = append(s.alerts, down, rate, db, xss)
	recovering := alert("critical", "SecurityBreachDetected", "auth", 1, 42*time.Minute, "412 failed logins from one address within a minute", "Block 203.0.113.9 at the edge, then read the runbook.", "source", "203.0.113.9")
	recovering.State, recovering.GoneAt = alertd.Recovering, now.Add(-2*time.Minute)
	link := alert("critical", "LinkFlaps", "edge", 1, 3*time.Minute, "the uplink of edge comes and goes", "Look at the port's counters.")
	link.Changes = 6
	s.alerts = append(s.alerts, recovering, link)

	opens := time.Date(2026, 1, 16, 8, 0, 0, 0, time.UTC)
	hold := func(a alertd.Alert, receiver string) {
		s.held = append(s.held, alertd.Held{Alert: a, Receiver: receiver, Group: "{}", Reason: alertd.ReasonHeld, Calendar: "office", Since: a.ActiveAt, Until: opens})
	}
	for i, service := range []string{"search", "catalogue", "images", "recommendations", "newsletter"} {
		a := alert("warning", "HighLatencyP99", service, 5.2+float64(i)*0.731, time.Duration(20+i*55)*time.Minute,
			fmt.Sprintf("p99 of %s is %.1f s (threshold 5 s)", service, 5.2+float64(i)*0.731), "Open the trace and look at its slowest span.", "quantile", "0.99", "env", "prod")
		s.alerts = append(s.alerts, a)
		hold(a, "team-shop")
	}
	for i, host := range []string{"db-1", "db-2", "queue-1"} {
		a := alert("warning", "DiskUsageHigh", "storage", 81.3+float64(i)*4, time.Duration(5+i*9)*time.Hour, fmt.Sprintf("/var/lib/postgresql on %s is %.0f %% full", host, 81.3+float64(i)*4),
			"Delete old WAL archives, or grow the volume.", "instance", host+".shop.internal:9100", "device", "/dev/nvme0n1p1", "mountpoint", "/var/lib/postgresql/16/main", "fstype", "ext4")
		s.alerts = append(s.alerts, a)
		hold(a, "team-storage")
	}
	over := alert("warning", "ElevatedErrorRate", "catalogue", 0.004, 7*time.Hour, "1.4 % of catalogue's requests fail", "")
	over.State = alertd.Resolved
	s.alerts = append(s.alerts, over)
	hold(over, "team-shop")
	ended := alert("critical", "TunnelDown", "vpn", 1, 9*time.Minute, "the tunnel is down", "")
	ended.State, ended.Changes = alertd.Resolved, 8
	s.held = append(s.held, alertd.Held{Alert: ended, Receiver: "ops", Group: "{}", Told: true, Reason: alertd.ReasonFlapping, Until: now.Add(4 * time.Minute)})
	cert := alert("warning", "CertificateExpiringSoon", "edge", 5.6, 26*time.Hour, "the certificate of shop.example.com expires in 5 days and 14 hours", "Renew it: certbot renew --cert-name shop.example.com")
	cert.State = alertd.Pending
	s.alerts = append(s.alerts, cert)

	deploy := alert("info", "DeploymentCompleted", "payment", 1, 11*time.Minute, "payment v2.31.0 is live", "")
	quota := alert("info", "QuotaNearlyUsed", "images", 0.87, 3*time.Hour, "images has used 87 % of its storage quota", "Ask whether the old thumbnails may go.")
	odd := alert("debug", "CanaryIsChatty", "canary", 3, time.Hour, "", "")
	s.alerts = append(s.alerts, deploy, quota, odd)
	for i := range 3 {
		s.alerts = append(s.alerts, alert("info", "BackupSucceeded", fmt.Sprint("db-", i+1), 1, time.Duration(i+9)*time.Hour, fmt.Sprintf("nightly backup of db-%d finished in 14 min", i+1), ""))
	}

	health := func(name string, status alertd.HealthStatus, age time.Duration, checks map[string]alertd.HealthCheck) {
		s.services = append(s.services, alertd.Health{Service: name, Status: status, Checks: checks, Timestamp: now.Add(-age)})
	}
	ok := func(ms float64) alertd.HealthCheck {
		return alertd.HealthCheck{Status: alertd.Healthy, LatencyMS: ms}
	}
	health("checkout", alertd.Degraded, 4*time.Second, map[string]alertd.HealthCheck{"database": ok(5), "cache": ok(0.4), "external_api": {Status: alertd.Degraded, LatencyMS: 2314, Error: "slow response"}})
	health("orders", alertd.Unhealthy, 6*time.Second, map[string]alertd.HealthCheck{"database": {Status: alertd.Unhealthy, LatencyMS: 3000, Error: `dial tcp 10.20.1.5:5432: connect: connection refused <script>alert("health")</script>`}, "cache": ok(1.2)})
	health("search", alertd.Healthy, 2*time.Second, map[string]alertd.HealthCheck{"index": ok(12)})
	health("newsletter", alertd.Healthy, 47*time.Minute, map[string]alertd.HealthCheck{"smtp": ok(31)})
	health("auth", alertd.Healthy, 8*time.Second, nil)

	s.transitions = []history.Transition{
		transition(xss, alertd.Inactive, alertd.Firing, 30*time.Second, alertd.ReasonTrue),
		transition(db, alertd.Pending, alertd.Firing, 95*time.Second, alertd.ReasonHeldFor),
		transition(recovering, alertd.Firing, alertd.Recovering, 2*time.Minute, alertd.ReasonKept),
		transition(rate, alertd.Pending, alertd.Firing, 3*time.Minute, alertd.ReasonHeldFor),
		transition(down, alertd.Pending, alertd.Firing, 4*time.Minute, alertd.ReasonHeldFor),
		transition(deploy, alertd.Inactive, alertd.Firing, 11*time.Minute, alertd.ReasonTrue),
		transition(over, alertd.Firing, alertd.Resolved, 2*time.Hour, alertd.ReasonFalse),
		transition(quota, alertd.Pending, alertd.Firing, 3*time.Hour, alertd.ReasonHeldFor),
		transition(cert, alertd.Inactive, alertd.Pending, 26*time.Hour, alertd.ReasonTrue),
	}
	return s
}

func options(t testing.TB, s shop) Options {
	zone := berlin(t)
	return Options{
		State: s, History: s, Version: "0.1.0", Now: func() time.Time { return now },
		Zone: func(string) *time.Location { return zone },
		Ready: func(context.Context) alertd.Health {
			return alertd.Health{Status: alertd.Healthy, Timestamp: now, Checks: map[string]alertd.HealthCheck{
				"nats": {Status: alertd.Healthy, LatencyMS: 0.3}, "journal": {Status: alertd.Healthy, LatencyMS: 1.1}, "history": {Status: alertd.Healthy, LatencyMS: 0.2},
				"notifier": {Status: alertd.Healthy}, "rules": {Status: alertd.Healthy},
			}}
		},
	}
}

func get(t testing.TB, h http.Handler, target string) (string, http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	return w.Body.String(), w.Header()
}

func TestDashboard(t *testing.T) {
	body, header := get(t, New(options(t, evening())), "/")
	for _, want := range []string{
		"<title>6 critical alerts · alertd</title>", `content="15"`,
		"payment does not answer", "Look at the last deployment of payment",
		`href="http://127.0.0.1:9093/runbooks/ApplicationDown"`, `href="http://jaeger:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736"`,
		"Fri 16 Jan 09:00 CET", "in 13 h 17 min", "held by office", "team-storage", "is over",
		"slow response", "2314 ms", "last heard of 47 min ago", "payment v2.31.0 is live", "true for long enough", "Thu 15 Jan 19:42 CET",
		"CanaryIsChatty", "took 5.2 s", "<b>recovering</b>", "<b>pending</b>",
		"flapping: 6 changes in 30 min", "its end: flapping",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error(header)
	}
	dir := t.ArtifactDir() // kept with go test -artifacts, to be looked at
	for name, b := range map[string]string{"dashboard.html": body, "policy.txt": header.Get("Content-Security-Policy")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The script that the policy allows is the one in the page, byte for byte, else links to Alertmanager's pages lead nowhere.
func TestPolicyAllowsTheScript(t *testing.T) {
	body, header := get(t, New(options(t, evening())), "/")
	_, rest, _ := strings.Cut(body, "<script>")
	js, _, _ := strings.Cut(rest, "</script>")
	sum := sha256.Sum256([]byte(js))
	want := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	if js != fragment || strings.Count(body, "<script") != 1 || !strings.Contains(header.Get("Content-Security-Policy"), want) {
		t.Errorf("the page's script is not the one that the policy names: %s", header.Get("Content-Security-Policy"))
	}
}

// The style sheet that the policy allows is the one in the page, byte for byte, else the page is bare.
func TestPolicyAllowsTheStyle(t *testing.T) {
	body, _ := get(t, New(options(t, evening())), "/")
	_, rest, _ := strings.Cut(body, "<style>")
	css, _, _ := strings.Cut(rest, "</style>")
	if css != style || strings.Count(body, "<style") != 1 || strings.Contains(body, "style=") {
		t.Error("the page's style is not the one that the policy names")
	}
}

// Whatever alerts and services call themselves, no tag and no link is theirs.
func TestNothingFromOutsideIsMarkup(t *testing.T) {
	body, _ := get(t, New(options(t, evening())), "/")
	body = withoutOurScript(body)
	for _, tag := range []string{"<script", "<img", "onerror=alert(1)>", "<svg/onload"} {
		if strings.Contains(body, tag) {
			t.Errorf("%s is in the page as it is", tag)
		}
	}
	hrefs := regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(body, -1)
	if len(hrefs) < 20 {
		t.Fatalf("%d links", len(hrefs))
	}
	ours := regexp.MustCompile(`^(https?://[a-z0-9]|data:image/svg&#43;xml,%3Csvg|#i-|#main$|\./|\.\./|api/v1/|health/ready$|metrics$|runbooks/$|ack\?alert=[0-9a-f]{16}$)`)
	for _, m := range hrefs {
		if !ours.MatchString(m[1]) {
			t.Errorf("link %q", m[1])
		}
	}
	if strings.Contains(body, "ZgotmplZ") {
		t.Error("the template refused one of our own links")
	}
}

func FuzzNothingFromOutsideIsMarkup(f *testing.F) {
	f.Add("<script>", "javascript:alert(1)", "Fri\x00")
	f.Add("</style><script>", " https://x\"onclick=alert(1)", "\u202e")
	f.Add("{{.Style}}", "https://user:secret@host/", "`${1}`")
	f.Fuzz(func(t *testing.T, text, url, more string) {
		a := alert("critical", text, more, 1, time.Minute, text, more, "x", text)
		a.RunbookURL, a.TraceURL, a.Trace.TraceID = url, more, text
		s := shop{
			alerts:      []alertd.Alert{a},
			held:        []alertd.Held{{Alert: a, Receiver: text, Calendar: more, Reason: alertd.Reason(text), Until: now}},
			services:    []alertd.Health{{Service: text, Status: alertd.HealthStatus(more), Checks: map[string]alertd.HealthCheck{text: {Status: alertd.HealthStatus(text), Error: more}}}},
			transitions: []history.Transition{transition(a, alertd.State(text), alertd.State(more), 0, alertd.Reason(text))},
		}
		o := options(t, s)
		empty, _ := get(t, New(options(t, harmless(s))), "/")
		body, _ := get(t, New(o), "/")
		// The same tags as with a harmless text in every place, and no link that a harmless one had not.
		if got, want := tags(body), tags(empty); got != want {
			t.Fatalf("tags differ:\n%s\n%s", got, want)
		}
	})
}

// harmless is s with plain words where texts are empty or not, so that the page has the same parts.
func harmless(s shop) shop {
	word := func(v string) string {
		if v == "" {
			return ""
		}
		return "word"
	}
	a := s.alerts[0]
	ls := labels.NewBuilder(labels.EmptyLabels())
	a.Labels.Range(func(l labels.Label) {
		v := word(l.Value)
		if l.Name == "severity" {
			v = l.Value
		}
		ls.Set(l.Name, v)
	})
	an := labels.NewBuilder(labels.EmptyLabels())
	a.Annotations.Range(func(l labels.Label) { an.Set(l.Name, word(l.Value)) })
	plain := a
	plain.Labels, plain.Annotations = ls.Labels(), an.Labels()
	if a.Summary() != a.Name() {
		plain.Annotations = labels.FromStrings("summary", "other", "next_step", word(a.Annotations.Get("next_step")))
	}
	for _, u := range []*string{&plain.RunbookURL, &plain.TraceURL} {
		if link(*u) != "" {
			*u = "https://host/"
		} else {
			*u = ""
		}
	}
	plain.Trace.TraceID = word(a.Trace.TraceID)
	h := s.held[0]
	sv := s.services[0]
	checks := map[string]alertd.HealthCheck{}
	for name, c := range sv.Checks {
		checks[word(name)] = alertd.HealthCheck{Status: c.Status, Error: word(c.Error)}
	}
	t := s.transitions[0]
	tr := transition(plain, t.From, t.To, 0, alertd.Reason(word(string(t.Reason))))
	return shop{
		alerts:      []alertd.Alert{plain},
		held:        []alertd.Held{{Alert: plain, Receiver: word(h.Receiver), Calendar: word(h.Calendar), Reason: alertd.Reason(word(string(h.Reason))), Until: now}},
		services:    []alertd.Health{{Service: word(sv.Service), Status: sv.Status, Checks: checks}},
		transitions: []history.Transition{tr},
	}
}

// tags is the sequence of tags in a page, with the names of their attributes.
func tags(body string) string {
	var b strings.Builder
	for _, tag := range anyTag.FindAllString(body, -1) {
		b.WriteString(attributeValue.ReplaceAllString(tag, ""))
	}
	return b.String()
}

var anyTag, attributeValue = regexp.MustCompile(`<[^>]*>`), regexp.MustCompile(`="[^"]*"`)

func TestVerdicts(t *testing.T) {
	firing := func(severity string) []alertd.Alert {
		return []alertd.Alert{alert(severity, "X", "y", 1, time.Minute, "", "")}
	}
	ended := alert("critical", "X", "y", 1, time.Minute, "", "")
	ended.State = alertd.Resolved
	ill := func(context.Context) alertd.Health { return alertd.Health{Status: alertd.Degraded, Timestamp: now} }
	for name, tc := range map[string]struct {
		s     shop
		ready func(context.Context) alertd.Health
		says  []string
	}{
		"nothing":       {shop{}, nil, []string{"<title>Ready · alertd", "First steps", "alertd publish health", "Nothing waits", "No service has told"}},
		"quiet":         {shop{services: evening().services[2:3]}, nil, []string{"All quiet", "no warning is active."}},
		"critical":      {shop{alerts: firing("page")}, nil, []string{"1 critical alert"}},
		"warning":       {shop{alerts: firing("warning")}, nil, []string{"Nothing urgent", "<b>1</b> warning"}},
		"info":          {shop{alerts: firing("info")}, nil, []string{"All quiet"}},
		"over":          {shop{alerts: []alertd.Alert{ended}}, nil, []string{"All quiet", "no warning is active."}},
		"blind":         {shop{err: errors.New("no")}, nil, []string{"alertd cannot say what is firing", "the history could not be read"}},
		"quiet and ill": {shop{}, ill, []string{"Nothing is known to be wrong", "alertd itself is degraded"}},
	} {
		o := options(t, tc.s)
		o.Ready = tc.ready
		body, _ := get(t, New(o), "/")
		for _, want := range tc.says {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
		if strings.Contains(body, "All quiet") && name == "blind" {
			t.Error("blind, and says that all is quiet")
		}
	}
	o := options(t, shop{})
	o.History = nil
	if body, _ := get(t, New(o), "/"); !strings.Contains(body, "the history could not be read") {
		t.Error("a missing history is not said")
	}
	if body, _ := get(t, New(o), "/?refresh=off"); strings.Contains(body, "http-equiv") || !strings.Contains(body, "resume") {
		t.Error("a paused page asks again")
	}
}

// What waits for business hours shows the digest that would leave, once for the destinations that would get the same.
func TestNextDigest(t *testing.T) {
	s := evening()
	var fires, over alertd.Notified
	for i := range s.held {
		switch h := &s.held[i]; h.Alert.Name() {
		case "DiskUsageHigh":
			fires.Alert = h.Alert
		case "ElevatedErrorRate":
			over.Alert = h.Alert
			over.ResolvedAt = over.ActiveAt.Add(80 * time.Minute)
		}
	}
	n := alertd.Notification{Receiver: "team-shop", Digest: true, Reason: alertd.ReasonDigest, PlannedAt: now, Alerts: []alertd.Notified{fires, over}, Truncated: 3}
	draft := alertd.Draft{Receiver: "team-shop", Calendar: "office", Until: s.held[0].Until, Omitted: s.held[:1]}
	for _, to := range []string{"slack/0", "webhook/0"} {
		n.Integration = to
		draft.Messages = append(draft.Messages, n)
	}
	s.drafts = []alertd.Draft{draft, {Receiver: "team-storage", Calendar: "office", Until: s.held[0].Until}}
	body, _ := get(t, New(options(t, s)), "/")
	for _, want := range []string{
		`<details id="digest-1">`, "Business hours: 1 warning still firing, 1 resolved while held, 3 more", "slack/0, webhook/0",
		"<h4>Still firing</h4>", `<span class="sum">/var/lib/postgresql on queue-1 is 89 % full`, "<h4>Resolved while held</h4>", "lasted 1 h 20 min", "and 3 more",
		"Left out: HighLatencyP99 of search (held)", "Nothing would be sent.",
	} {
		if strings.Count(body, want) != 1 {
			t.Errorf("%d times %s", strings.Count(body, want), want)
		}
	}
	s.held = slices.Repeat(s.held, maxPreviewed)
	if body, _ := get(t, New(options(t, s)), "/"); strings.Contains(body, "As it would be sent now") {
		t.Error("a digest of thousands is made whenever somebody looks")
	}
}

func TestPageIsBounded(t *testing.T) {
	s, long := shop{}, strings.Repeat("long ", 10_000)
	for i := range 10_000 {
		a := alert("critical", "X", fmt.Sprint("s", i), 1, time.Minute, long, "")
		s.alerts = append(s.alerts, a)
		s.held = append(s.held, alertd.Held{Alert: a, Receiver: "ops", Until: now})
		s.services = append(s.services, alertd.Health{Service: fmt.Sprint("s", i), Status: alertd.Healthy, Timestamp: now})
	}
	body, _ := get(t, New(options(t, s)), "/")
	if len(body) > 500_000 || !strings.Contains(body, "and 9900 more") || !strings.Contains(body, "10000 critical alerts") {
		t.Errorf("%d bytes", len(body))
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 3 * time.Hour: "3 h", 3*time.Hour + 5*time.Minute: "3 h 5 min",
		49 * time.Hour: "2 d 1 h", 48 * time.Hour: "2 d",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for u, want := range map[string]string{
		"https://x/y?z=1#a": "https://x/y?z=1#a", "http://x": "http://x", "HTTPS://x": "https://x",
		"javascript:alert(1)": "", "//x/y": "", "/x": "", "data:text/html,x": "", "https:x": "", "https://": "", "": "", " https://x": "", "https://u:p@x": "", "ftp://x": "",
	} {
		if got := link(u); got != want {
			t.Errorf("%q: %q, want %q", u, got, want)
		}
	}
}

func TestRunbooks(t *testing.T) {
	ix, err := runbooks.Load(runbooks.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	h := Runbooks(Options{Runbooks: func() *runbooks.Index { return ix }})
	mux.Handle("GET /runbooks/{name}", h)
	mux.Handle("GET /runbooks/{$}", h)
	list, _ := get(t, mux, "/runbooks/")
	for _, rb := range ix.All() {
		if !strings.Contains(list, `href="./`+rb.Alert+`"`) {
			t.Errorf("%s is not listed", rb.Alert)
		}
		body, header := get(t, mux, "/runbooks/"+rb.Alert)
		if !strings.Contains(body, "<h1>") || header.Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %s", rb.Alert, body)
		}
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/runbooks/%3Cscript%3E", nil))
	if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "<script>") || !strings.Contains(w.Body.String(), "ApplicationDown") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func BenchmarkDashboard(b *testing.B) {
	h := New(options(b, evening()))
	for b.Loop() {
		get(b, h, "/")
	}
}
