package web

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"alertd"
	"alertd/history"
)

// routed is an evening of which it is known who is told of what: all of it goes to ops, what is of the shop to team-shop, too.
func routed() shop {
	s := evening()
	group := func(key, receiver string, among func(*alertd.Alert) bool) {
		g := alertd.GroupView{Key: alertd.GroupKey(key), Receiver: receiver}
		for _, a := range s.alerts {
			if !a.State.Active() || !among(&a) {
				continue
			}
			st := alertd.Standing{Alert: a}
			if a.Name() == "DatabaseUnreachable" {
				st.SilencedBy = []string{"1"}
			}
			if a.Name() == "HighErrorRate" {
				st.InhibitedBy = []alertd.Fingerprint{s.alerts[0].Fingerprint}
			}
			g.Alerts = append(g.Alerts, st)
		}
		s.groups = append(s.groups, g)
	}
	group("{}:{all}", "ops", func(*alertd.Alert) bool { return true })
	group("{}:{shop}", "team-shop", func(a *alertd.Alert) bool { return a.Name() == "HighLatencyP99" || a.Name() == "DatabaseUnreachable" })
	s.messages = map[string]history.Message{
		"one":    {ID: "one", Receiver: "team-shop", Time: now, Groups: []alertd.GroupKey{"{}:{shop}"}},
		"digest": {ID: "digest", Receiver: "ops", Time: now.Add(-time.Hour), Digest: true, Alerts: []alertd.Fingerprint{s.alerts[0].Fingerprint}},
		"sum":    {ID: "sum", Receiver: "ops", Time: now, Summary: true, Groups: []alertd.GroupKey{"{}:{over}"}, Alerts: []alertd.Fingerprint{s.alerts[2].Fingerprint}},
	}
	return s
}

var cardNames = regexp.MustCompile(`<article class="card \w+">\s*<h3>.*?</svg> ([^<]*?)(?: <span class="n">\d+</span>)?</h3>`)

func cardsOf(body string) (names []string) {
	for _, m := range cardNames.FindAllStringSubmatch(body, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestFilter(t *testing.T) {
	h := New(options(t, routed()))
	for _, tt := range []struct {
		query string
		cards []string
		says  []string
	}{
		{`filter={service="payment"}`, []string{"ApplicationDown", "DeploymentCompleted"}, []string{"2 of 21 alerts shown, 19 hidden.", "6</b> critical"}},
		{`filter=service="payment"&filter=severity="info"`, []string{"DeploymentCompleted"}, []string{`value="service=&#34;payment&#34;, severity=&#34;info&#34;"`}},
		{`filter=alertname=~"Disk.*|Link.*"`, []string{"LinkFlaps", "DiskUsageHigh"}, []string{"4 of 21 alerts"}},
		{`filter=env="",severity="critical",alertname!~".*<.*"`, []string{"LinkFlaps", "DatabaseUnreachable", "SecurityBreachDetected"}, nil},
		{`filter=service="nobody"`, nil, []string{"0 of 21 alerts shown", "None that the filter lets through", "Nothing that the filter lets through waits"}},
		{`receiver=team-shop`, []string{"DatabaseUnreachable", "HighLatencyP99"}, []string{"to team-shop (<a href=\"./\">any</a>)", "for team-shop"}},
		{`receiver=team-shop&silenced=false`, []string{"HighLatencyP99"}, []string{"not the silenced ones", `href="./?silenced=false"`, `href="./?receiver=team-shop"`}},
		{`active=false&filter=severity="critical"`, []string{"DatabaseUnreachable"}, nil},
		{`active=false&inhibited=false`, []string{"DatabaseUnreachable"}, nil},
		{`notification=one`, []string{"HighLatencyP99"}, []string{"told in the message to team-shop at Thu 15 Jan 19:42 CET"}},
		{`notification=digest`, []string{"ApplicationDown"}, []string{"told in the digest to ops at Thu 15 Jan 18:42 CET: 1 alert"}},
		{`notification=sum`, []string{"DatabaseUnreachable"}, []string{"told in the summary to ops at Thu 15 Jan 19:42 CET: 1 group, 1 alert"}},
	} {
		key := strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22", "~", "%7E", "|", "%7C", "<", "%3C", "!", "%21").Replace(tt.query)
		body, _ := get(t, h, "/?"+key)
		if got := cardsOf(body); !slices.Equal(got, tt.cards) {
			t.Errorf("%s: shows %q, want %q", tt.query, got, tt.cards)
		}
		for _, want := range append(tt.says, "Show all") {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s", tt.query, want)
			}
		}
	}
	body, _ := get(t, h, `/?notification=sum&filter=env%3D%22%22`)
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "filtered.html"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A filter that cannot be applied hides nothing, and says so.
func TestFilterThatCannotBeApplied(t *testing.T) {
	o := options(t, routed())
	all, _ := get(t, New(o), "/")
	if strings.Contains(all, "Show all") || !strings.Contains(all, "Last transitions") {
		t.Error("nothing was filtered")
	}
	for query, want := range map[string]string{
		`filter=service="a`:   "is not a matcher",
		`filter=service=~"("`: "missing closing )",
		`receiver=(`:          "is not a regular expression",
		`notification=gone`:   "the history knows no such message",
		`filter=a="` + strings.Repeat("x", 9000) + `"`: "at most 8192 are read",
	} {
		name, value, _ := strings.Cut(query, "=")
		w := httptest.NewRecorder()
		New(o).ServeHTTP(w, httptest.NewRequest("GET", "/?"+url.Values{name: {value}}.Encode(), nil))
		body := w.Body.String()
		if !strings.Contains(body, "Not filtered: ") || !strings.Contains(body, want) || !slices.Equal(cardsOf(body), cardsOf(all)) {
			t.Errorf("%s (%d): %q", query, w.Code, cardsOf(body))
		}
	}
	o.History = nil
	if body, _ := get(t, New(o), "/?notification=one"); !strings.Contains(body, "there is no history, which knows what the message was about; all alerts are shown") {
		t.Error("does not say that it cannot know")
	}
}

// Whatever the address says, the page comes, shows each alert or hides it, and its links lead to the same filter.
func TestAnyFilter(t *testing.T) {
	h := New(options(t, routed()))
	rapid.Check(t, func(t *rapid.T) {
		q := url.Values{}
		value := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`service="payment"`, `{severity=~"crit.*"}`, "one", "sum", "false", "off", "ops", ".*"}))
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"filter", "receiver", "silenced", "inhibited", "active", "notification", "refresh", "group"}), 0, 4).Draw(t, "names") {
			q.Add(name, value.Draw(t, name))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/?"+q.Encode(), nil))
		if w.Code != 200 && (w.Code != 400 || !strings.Contains(w.Body.String(), "Not filtered")) {
			t.Fatalf("%v: %d", q, w.Code)
		}
		f := readFilter(q)
		again, err := url.Parse(f.Resume)
		if err != nil {
			t.Fatal(err)
		}
		g := readFilter(again.Query())
		if f.Problem == "" && (g.Paused == f.Paused || g.Text != f.Text || g.On != f.On || g.id != f.id) {
			t.Fatalf("%+v leads to %+v", f, g)
		}
	})
}

// What there is much of does not push what there is little of off the page.
func TestManyOfOneKindLeaveRoomForOthers(t *testing.T) {
	var s shop
	for i := range 350 {
		s.alerts = append(s.alerts, alert("critical", "HighErrorRate", fmt.Sprint("shop-", i), 1, time.Hour, "", fmt.Sprint("Look at shop-", i)))
	}
	for i := range 3 {
		s.alerts = append(s.alerts, alert("critical", "ApplicationDown", fmt.Sprint("db-", i), 1, time.Minute, "", "Restart it."))
	}
	body, _ := get(t, New(options(t, s)), "/")
	if got := cardsOf(body); !slices.Equal(got, []string{"HighErrorRate", "ApplicationDown"}) {
		t.Errorf("shows %q", got)
	}
	if n := strings.Count(body, `class="who"`); n != maxAlerts {
		t.Errorf("shows %d alerts", n)
	}
	for _, want := range []string{
		`HighErrorRate <span class="n">350</span>`, `<a href="./?filter=alertname%3D%22HighErrorRate%22">253 more</a>`,
		`<p class="next"><b>Next</b> Look at shop-`, `<div class="do"><p class="next"><b>Next</b> Restart it.</p>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}
