package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/history"
	"alertd/runbooks"
	"alertd/tracectx"
)

// told is an evening with a past.
func told() shop {
	s := evening()
	for _, a := range s.alerts {
		chain := history.Chain{Fingerprint: a.Fingerprint, Alert: a.Name(), Rule: a.Rule, Severity: a.Severity(), Service: a.Service(), Summary: a.Summary(), Labels: a.Labels}
		at := a.FiredAt
		chain.Steps = []history.Step{
			{Time: at.Add(-time.Minute), Kind: history.KindTransition, From: "inactive", To: "pending", Reason: string(alertd.ReasonTrue), Detail: a.Rule},
			{Time: at, Kind: history.KindTransition, From: "pending", To: "firing", Reason: string(alertd.ReasonHeldFor), Detail: a.Rule, Value: &a.Value, TraceID: a.Trace.TraceID},
			{Time: at, Kind: history.KindJoined, Detail: "/critical", Receiver: "ops", Reason: "immediate", Group: `{}:{service="payment"}`},
			{Time: at, Kind: history.KindTold},
			{Time: at, Kind: history.KindPlanned, Receiver: "ops/slack/0", Reason: string(alertd.ReasonFirst)},
			{Time: at.Add(time.Second), Kind: history.KindAttempt, Receiver: "ops/slack/0", By: "attempt 1", To: string(alertd.Delivered)},
		}
		s.chains = append(s.chains, chain)
	}
	day := 24 * time.Hour
	for i, lasted := range []time.Duration{12 * time.Minute, 47 * time.Minute, 0} {
		f := history.Firing{Alert: "ApplicationDown", Service: "payment", FiredAt: now.Add(-time.Duration(i*9+3) * day)}
		if lasted > 0 {
			f.EndedAt = f.FiredAt.Add(lasted)
		}
		if i == 1 {
			f.AckedBy, f.Note = "ada", "the <b>pool</b> was full"
		}
		s.firings = append(s.firings, f)
	}
	return s
}

func alertPage(o Options) http.Handler {
	ix, err := runbooks.Load(runbooks.Shipped())
	if err != nil {
		panic(err)
	}
	o.Runbooks = func() *runbooks.Index { return ix }
	mux := http.NewServeMux()
	mux.Handle("GET /alerts/{fingerprint}", Alert(o))
	return mux
}

func TestAlertPage(t *testing.T) {
	s := told()
	s.alerts[0].Dashboards = []alertd.Link{{Title: "Requests", URL: "https://grafana.example/d/requests?var-service=payment"}, {Title: "run", URL: "javascript:alert(1)"}}
	h := alertPage(options(t, s))
	body, header := get(t, h, "/alerts/"+s.alerts[0].Fingerprint.String())
	for _, want := range []string{
		"<title>ApplicationDown · payment · alertd</title>", "firing for 4 min", "payment does not answer", "roll it back if it is younger than an hour",
		`href="http://127.0.0.1:9093/runbooks/ApplicationDown?alert=` + s.alerts[0].Fingerprint.String(), "Open the trace", "Last fired 3 d ago", "for 12 min", "3 times within 30 days", "taken by ada: the &lt;b&gt;pool&lt;/b&gt; was full",
		`<a class="go" href="https://grafana.example/d/requests?var-service=payment" rel="noopener">Requests</a>`,
		"Told: ops/slack/0 took it at Thu 15 Jan 19:38 CET.", "pending → firing: true for long enough",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, "javascript:") {
		t.Error("links what runs something")
	}
	if header.Get("Content-Security-Policy") != policy {
		t.Error(header)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "alert.html"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}

	unsampled, _ := get(t, h, "/alerts/"+s.alerts[2].Fingerprint.String())
	if strings.Contains(unsampled, "Open the trace") || !strings.Contains(unsampled, "was not sampled") {
		t.Error("links to a trace that nobody keeps")
	}
	evil, _ := get(t, h, "/alerts/"+s.alerts[3].Fingerprint.String())
	for _, tag := range []string{"<script", "<img", "onerror=alert(1)>", "<svg/onload", `href="javascript`, `href="data:text`} {
		if strings.Contains(evil, tag) {
			t.Errorf("%s is in the page as it is", tag)
		}
	}
}

// The trace is drawn where the back-end has it; where it has not, the link is gone; where it is down, that is said.
func TestAlertPageDrawsTheTrace(t *testing.T) {
	s := told()
	o := options(t, s)
	for name, tt := range map[string]struct {
		alert int
		err   error
		has   []string
		lacks []string
	}{
		"found":     {0, nil, []string{"Open the trace", "3 spans of 3 services, 5.24 s", "4.8 s of it in orders: SELECT &lt;script&gt;", "As a list"}, []string{"<script"}},
		"lost":      {0, tracectx.ErrNoTrace, []string{"is not stored"}, []string{"Open the trace", "<svg class=\"waterfall"}},
		"down":      {0, errors.New("down"), []string{"Open the trace", "the tracing back-end did not answer"}, []string{"<svg class=\"waterfall"}},
		"unsampled": {2, errors.New("must not be asked"), []string{"was not sampled"}, []string{"did not answer", "Open the trace"}},
	} {
		o.Trace = func(_ context.Context, ref alertd.TraceRef, at time.Time) (tracectx.Trace, error) {
			ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
			return tracectx.Trace{ID: ref.TraceID, Spans: []tracectx.Span{
				{ID: "1", Service: "frontend", Name: "GET /checkout", Start: at, Duration: ms(5240), Failed: true},
				{ID: "2", Parent: "1", Service: "cart", Name: "GetCart", Start: at.Add(ms(20)), Duration: ms(130)},
				{ID: "3", Parent: "1", Service: "orders", Name: "SELECT <script>", Start: at.Add(ms(260)), Duration: ms(4800), Failed: true, Error: "lock time-out"},
			}}, tt.err
		}
		body, _ := get(t, alertPage(o), "/alerts/"+s.alerts[tt.alert].Fingerprint.String())
		for _, want := range tt.has {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s", name, want)
			}
		}
		for _, bad := range append(tt.lacks, "style=\"", "<script") {
			if strings.Contains(body, bad) {
				t.Errorf("%s: has %s", name, bad)
			}
		}
		if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name+".html"), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// An alert that is long over is still shown, from what the history keeps; one that nobody knows is not found.
func TestAlertPageOfThePast(t *testing.T) {
	s := told()
	fp := s.alerts[0].Fingerprint
	s.alerts, s.firings = nil, nil
	s.chains[0].Steps = append(s.chains[0].Steps, history.Step{Time: now.Add(-time.Minute), Kind: history.KindTransition, From: "firing", To: "resolved", Reason: "condition ended"})
	h := alertPage(options(t, s))
	body, _ := get(t, h, "/alerts/"+fp.String())
	for _, want := range []string{"Over: resolved", "payment does not answer", "It has never fired before", "firing → resolved"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, name := range []string{"0000000000000001", "x", "%3Cscript%3E"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/alerts/"+name, nil))
		if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "<script") {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// A runbook speaks of the alert that its reader came from, else of what all that fire share.
func TestRunbookOfAnAlert(t *testing.T) {
	s := told()
	o := options(t, s)
	ix, err := runbooks.Load(runbooks.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	o.Runbooks = func() *runbooks.Index { return ix }
	o.RunbookProblems = func() []string { return []string{"NoSuchThing has <b>no</b> runbook"} }
	mux := http.NewServeMux()
	mux.Handle("GET /runbooks/{name}", Runbooks(o))
	mux.Handle("GET /runbooks/{$}", Runbooks(o))
	for target, want := range map[string]string{
		"/runbooks/ApplicationDown":                                         "http://payment/health/ready",
		"/runbooks/HighErrorRate?alert=" + s.alerts[1].Fingerprint.String(): "--service checkout",
		"/runbooks/ElevatedErrorRate":                                       "--service SERVICE",
		"/runbooks/":                                                        "NoSuchThing has &lt;b&gt;no&lt;/b&gt; runbook",
	} {
		body, _ := get(t, mux, target)
		if !strings.Contains(body, want) || strings.Contains(body, "{{") {
			t.Errorf("%s: no %s", target, want)
		}
	}
	body, _ := get(t, mux, "/runbooks/ApplicationDown")
	if !strings.Contains(body, `href="../alerts/`+s.alerts[0].Fingerprint.String()) || !strings.Contains(body, "Last fired 3 d ago") {
		t.Error("does not say what fires, or what fired")
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "runbook.html"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
}
