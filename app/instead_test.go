package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestInsteadOfOtherReceivers: what docs/alertmanager.md says to write for receivers that alertd does not have works as it is
// written there, and posts what the services document.
func TestInsteadOfOtherReceivers(t *testing.T) {
	doc, err := os.ReadFile("../docs/alertmanager.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n(receivers:\n.*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatal("docs/alertmanager.md has no receivers")
	}
	type posted struct {
		path string // with query
		auth string
		body any
	}
	got := make(chan posted, 100)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p := posted{path: r.URL.RequestURI(), auth: r.Header.Get("Authorization")}
		text, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(text, &p.body); err != nil {
			t.Errorf("%s: %v\n%s", p.path, err, text)
		}
		got <- p
	}))
	t.Cleanup(s.Close)
	for _, name := range []string{"TEAMS_WORKFLOW_URL", "DISCORD_WEBHOOK_URL", "MATTERMOST_WEBHOOK_URL"} {
		t.Setenv(name, s.URL+"/"+strings.ToLower(name[:strings.Index(name, "_")]))
	}
	t.Setenv("TELEGRAM_TOKEN", "123:abc")
	t.Setenv("PAGERDUTY_ROUTING_KEY", "a key")
	t.Setenv("OPSGENIE_API_KEY", "another key")
	receivers := regexp.MustCompile(`https://(events\.pagerduty\.com|api\.opsgenie\.com|api\.telegram\.org)`).ReplaceAllString(string(m[1]), s.URL)
	var routes strings.Builder
	for _, name := range regexp.MustCompile(`(?m)^  - name: (\w+)`).FindAllStringSubmatch(receivers, -1) {
		fmt.Fprintf(&routes, "  - {receiver: %s, continue: true}\n", name[1])
	}
	a := quiet(t, fstest.MapFS{"routing.yaml": {Data: []byte("route:\n  receiver: discord\n  group_by: [alertname, service]\n  group_wait: 0s\n  group_interval: 100ms\n  routes:\n" + routes.String() + receivers)}})

	title := "[FIRING:1] Disk api (critical)"
	expect := func(want map[string]posted) {
		t.Helper()
		for len(want) > 0 {
			select {
			case p := <-got:
				w, ok := want[p.path]
				if is, should := fmt.Sprint(p.body), strings.ReplaceAll(fmt.Sprint(w.body), "ALERTD", "http://"+a.HTTP()); !ok || is != should || p.auth != w.auth {
					t.Errorf("%s %q\n%s\nwant %q\n%s", p.path, p.auth, is, w.auth, should)
				}
				delete(want, p.path)
			case <-time.After(time.Minute):
				t.Fatalf("these heard nothing: %v", want)
			}
		}
	}
	post := func(ends time.Time) {
		t.Helper()
		body := fmt.Sprintf(`[{"labels":{"alertname":"Disk","service":"api","severity":"critical"},"annotations":{"summary":"It is full."},"startsAt":%q,"endsAt":%q}]`,
			ends.Add(-2*time.Hour).Format(time.RFC3339), ends.Format(time.RFC3339))
		res, err := http.Post("http://"+a.HTTP()+"/api/v2/alerts", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
	}
	type object = map[string]any
	said := func(title, action, close string) map[string]posted {
		return map[string]posted{
			"/v2/enqueue": {body: object{
				"routing_key": "a key", "event_action": action, "dedup_key": "pagerduty Disk api", "client_url": "ALERTD",
				"payload": object{"summary": title, "source": "ALERTD", "severity": "critical"},
			}},
			"/v2/alerts" + close:      {auth: "GenieKey another key", body: object{"alias": "Disk-api", "message": title, "source": "alertd"}},
			"/bot123:abc/sendMessage": {body: object{"chat_id": -1001234567890.0, "text": title + map[string]string{"trigger": "\nIt is full."}[action]}},
			"/teams": {body: object{"type": "message", "attachments": []any{object{
				"contentType": "application/vnd.microsoft.card.adaptive",
				"content":     object{"type": "AdaptiveCard", "version": "1.4", "body": []any{object{"type": "TextBlock", "wrap": true, "text": title}}},
			}}}},
			"/discord":    {body: object{"content": title}},
			"/mattermost": {body: object{"text": title}},
		}
	}
	post(time.Now().Add(time.Hour))
	expect(said(title, "trigger", ""))
	post(time.Now().Add(-time.Second))
	expect(said("[RESOLVED] Disk api (critical)", "resolve", "/Disk-api/close?identifierType=alias"))
}
