package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/history"
	"alertd/runbooks"
	"alertd/tracectx"
)

// house is every page that people open, with the addresses of one of each kind.
type house struct {
	http.Handler
	pages []string
}

// everyPage serves all pages over a shop in which every text is the given one, and of everything there are n.
func everyPage(t testing.TB, text string, n int) house {
	t.Helper()
	fired := now.Add(-time.Hour)
	var s shop
	var checks, extra []string
	for i := range n {
		extra = append(extra, fmt.Sprint("label_", i), text)
		checks = append(checks, fmt.Sprint(text, i))
	}
	var hit []alertd.Hidden
	var chains history.Chain
	for i := range n {
		severity := []string{"critical", "warning", "info", "odd"}[i%4]
		service := fmt.Sprint(text, i)
		var more []string
		if i == 0 {
			more = extra
		}
		a := alert(severity, "X", service, 1, time.Hour, text, text, more...)
		a.Dashboards = []alertd.Link{{Title: text, URL: "https://host/" + text}, {Title: text, URL: "javascript:" + text}}
		a.RunbookURL, a.TraceURL, a.TraceNote = "javascript:"+text, "https://host/"+text, text
		a.Ack = &alertd.Ack{By: text, Why: text, Until: now.Add(time.Hour)}
		if i == 0 {
			notes := a.Annotations.Map()
			for j := range n {
				notes[fmt.Sprint("note_", j)] = text
			}
			a.Annotations = labels.FromMap(notes)
			chains = history.Chain{Fingerprint: a.Fingerprint, Alert: a.Name(), Rule: a.Rule, Service: service, Summary: text, Labels: a.Labels}
		}
		s.alerts = append(s.alerts, a)
		s.held = append(s.held, alertd.Held{Alert: a, Receiver: text, Group: alertd.GroupKey(text), Calendar: text, Reason: alertd.Reason(text), Until: now.Add(time.Hour)})
		h := alertd.Health{Service: service, Status: alertd.Healthy, Timestamp: now}
		if i == 0 {
			h.Checks = map[string]alertd.HealthCheck{}
			for _, c := range checks {
				h.Checks[c] = alertd.HealthCheck{Status: alertd.HealthStatus(text), Error: text}
			}
		}
		s.services = append(s.services, h)
		s.transitions = append(s.transitions, transition(a, alertd.State(text), alertd.Firing, time.Minute, alertd.Reason(text)))
		s.firings = append(s.firings, history.Firing{Alert: "X", Service: text, FiredAt: fired, EndedAt: now, AckedBy: text, Note: text})
		chains.Steps = append(chains.Steps, history.Step{Time: fired, Kind: history.KindTransition, From: text, To: text, Reason: text, Detail: text, Receiver: text, Group: alertd.GroupKey(text), By: text})
		hit = append(hit, alertd.Hidden{Alert: text, Service: text, Severity: alertd.Critical, Since: fired})
	}
	s.chains = []history.Chain{chains}

	o := options(t, s)
	o.Trace = func(_ context.Context, ref alertd.TraceRef, at time.Time) (tracectx.Trace, error) {
		trace := tracectx.Trace{ID: ref.TraceID}
		for i := range min(n, 1000) {
			trace.Spans = append(trace.Spans, tracectx.Span{ID: fmt.Sprint(i + 1), Parent: "1", Service: text, Name: text, Start: at, Duration: time.Second, Failed: true, Error: text})
		}
		trace.Spans[0].Parent = ""
		return trace, nil
	}
	o.Silences = manySilences{drawer: &drawer{}, text: text, n: n, hit: hit}
	books := fstest.MapFS{}
	for i := range min(n, 9_000) {
		books[fmt.Sprintf("%d.md", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "---\nalert: X%d\ntitle: %q\nowner: %q\nseverity: info\nnext_steps: [x]\n---\n`{{ $labels.service }}` {{ $labels.summary }}\n", i, text, text)}
	}
	books["0.md"] = &fstest.MapFile{Data: []byte("---\nalert: X\nseverity: info\nnext_steps: ['x {{ $labels.service }}', 'a', 'b']\n---\n`{{ $labels.service }}` [x](https://h/{{ $labels.service }}) {{ $labels.service }}\n")}
	ix, err := runbooks.Load(books)
	if err != nil {
		t.Fatal(err)
	}
	o.Runbooks = func() *runbooks.Index { return ix }
	o.RunbookProblems = func() []string { return []string{text} }

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", New(o))
	mux.Handle("GET /alerts/{fingerprint}", Alert(o))
	mux.Handle("GET /runbooks/{name}", Runbooks(o))
	mux.Handle("GET /runbooks/{$}", Runbooks(o))
	mux.Handle("/silences/", SilencePages(o))
	mux.Handle("/ack", Ack(AckOptions{
		Select: func(context.Context, alertd.Selection) ([]alertd.Alert, error) { return s.alerts, nil },
		Ack:    func(context.Context, alertd.AckRequest) ([]alertd.Fingerprint, error) { return nil, errors.New(text) },
		Now:    func() time.Time { return now },
	}))
	fp := s.alerts[0].Fingerprint.String()
	filter := url.Values{"filter": {alertd.Matcher{Name: "service", Value: text, IsEqual: true}.String()}, "comment": {text}, "createdBy": {text}, "duration": {"2h"}}
	return house{mux, []string{
		"/", "/alerts/" + fp, "/runbooks/", "/runbooks/X", "/runbooks/X?alert=" + fp, "/silences/", "/silences/new?" + filter.Encode(),
		"/ack?alert=" + fp, "/ack?" + url.Values{"group": {text}}.Encode(),
	}}
}

// manySilences are n silences that hide n alerts each.
type manySilences struct {
	*drawer
	text string
	n    int
	hit  []alertd.Hidden
}

func (m manySilences) Silences(context.Context) (all []alertd.SilenceView, err error) {
	for range m.n {
		all = append(all, alertd.SilenceView{
			State: alertd.SilenceActive, Until: now.Add(time.Hour), Hides: m.hit, Hid: m.hit, Broad: m.text,
			Silence: alertd.Silence{
				ID: "1", Comment: m.text, CreatedBy: m.text, StartsAt: now, EndsAt: now.Add(time.Hour),
				Matchers: []alertd.Matcher{{Name: "service", Value: m.text, IsEqual: true}},
			},
		})
	}
	return all, nil
}

func (m manySilences) PreviewSilence(context.Context, alertd.Silence) (alertd.SilencePreview, error) {
	pages := []alertd.HiddenPage{{Time: now, Receiver: m.text, Hides: m.hit, Of: len(m.hit)}}
	return alertd.SilencePreview{Hides: m.hit, Firing: m.n, Broad: m.text, Since: now, Paged: 1, Pages: pages}, nil
}

// Whatever alerts, services, traces, silences and people's notes say: on no page is there a kind of tag, or a link, that a
// harmless text does not bring, too.
func TestNoPageIsWrittenFromOutside(t *testing.T) {
	kinds := func(h house) map[string]map[string]bool {
		found := map[string]map[string]bool{}
		for _, target := range h.pages {
			body, header := get(t, h, target)
			if header.Get("Content-Security-Policy") != policy {
				t.Errorf("%s is without the policy that forbids scripts", target)
			}
			path, _, _ := strings.Cut(target, "?")
			if strings.HasPrefix(path, "/alerts/") {
				path = "/alerts/"
			}
			if found[path] == nil {
				found[path] = map[string]bool{}
			}
			for tag := range strings.SplitSeq(tags(body), ">") {
				found[path][tag] = true
			}
			for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
				if scheme, _, ok := strings.Cut(m[1], ":"); ok && !slices.Contains([]string{"https", "data", "http"}, scheme) && !strings.ContainsAny(scheme, "/?#") || strings.HasPrefix(m[1], "//") {
					t.Errorf("%s links to %s", target, m[1])
				}
			}
		}
		return found
	}
	plain := kinds(everyPage(t, "word", 12))
	if len(plain["/alerts/"]) < 30 || !plain["/alerts/"][`<svg class viewBox role aria-labelledby`] && !strings.Contains(fmt.Sprint(plain["/alerts/"]), "<rect") {
		t.Errorf("the page of an alert lacks its trace: %v", plain["/alerts/"])
	}
	for _, text := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'"><svg/onload=alert(1)>`, `</style><style>*{display:none}</style>`, `</title><base href=//evil.example>`,
		`</textarea><iframe srcdoc=x>`, `javascript:alert(1)`, `{{.Style}}`, `</svg></text><a href="https://evil.example">`, "` onmouseover=alert(1) x=`", `]]><!--`, "\u202e<b>", "[x](javascript:alert(1))",
	} {
		for path, found := range kinds(everyPage(t, text, 12)) {
			for tag := range found {
				if !plain[path][tag] {
					t.Errorf("%q brings %s> into %s", text, tag, path)
				}
			}
		}
	}
}

// Twice as much of everything, with long texts, makes no page longer, and none too long for a telephone.
func TestEveryPageIsBounded(t *testing.T) {
	text := strings.Repeat("long", 250)
	many, more := everyPage(t, text, maxBooks+100), everyPage(t, text, 2*(maxBooks+100))
	for i, target := range many.pages {
		before, _ := get(t, many, target)
		after, _ := get(t, more, more.pages[i])
		if len(after) > len(before)+len(before)/100 || len(after) > 3<<19 {
			t.Errorf("%.40s has %d bytes, and then %d", target, len(before), len(after))
		}
	}
}

// Browsers keep six connections to a server, over all tabs; a page that holds one, for server-sent events say, makes the
// seventh tab hang. alertd's pages are answered whole and ask again by themselves, so any number of tabs share a few.
func TestManyTabs(t *testing.T) {
	h := everyPage(t, "word", 12)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	browser := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 6}, Timeout: 30 * time.Second}
	t.Cleanup(browser.CloseIdleConnections)
	for range 7 {
		for _, target := range h.pages {
			resp, err := browser.Get(srv.URL + target)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || resp.ContentLength != int64(len(body)) {
				t.Errorf("%s: %s, %d bytes of %d, %v", target, resp.Status, len(body), resp.ContentLength, err)
			}
			if strings.Contains(withoutOurScript(string(body)), "<script") {
				t.Errorf("%s has another script, which may hold a connection", target)
			}
		}
	}
}

// The page with 10,000 alerts should take far less than 100 ms.
func BenchmarkDashboardOf10000(b *testing.B) {
	var s shop
	for i := range 10_000 {
		service := fmt.Sprint("service-", i%500)
		a := alert([]string{"critical", "warning", "info"}[i%3], fmt.Sprint("Alert", i%50), service, 1, time.Minute, "is broken", "mend it", "instance", fmt.Sprint("host-", i))
		s.alerts = append(s.alerts, a)
		s.held = append(s.held, alertd.Held{Alert: a, Receiver: "ops", Reason: alertd.ReasonHeld, Until: now})
		s.services = append(s.services, alertd.Health{Service: service, Status: alertd.Healthy, Timestamp: now})
	}
	h := New(options(b, s))
	for b.Loop() {
		get(b, h, "/")
	}
}

// withoutOurScript is a page without the only script that may run in it.
func withoutOurScript(body string) string {
	return strings.Replace(body, "<script>"+fragment+"</script>", "", 1)
}
