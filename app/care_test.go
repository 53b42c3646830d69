package app_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"alertd/app"
)

// post sends a command, from the page of the origin that is given.
func post(t *testing.T, a *app.App, path, kind, origin, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.HTTP()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// An ack is shown everywhere and outlives the process; no other site's page can make one.
func TestAck(t *testing.T) {
	s, data := newSink(t), t.TempDir()
	a, stop := daemon(t, data, s)
	publish(t, a, "alertd.metrics.api", down)
	s.next(t)
	const js = "application/json"
	for _, tt := range []struct {
		body, kind, origin string
		code               int
		says               string
	}{
		{`{"alert":"Down","by":"eva"}`, js, "https://elsewhere.example", 403, "another site"},
		{`{"alert":"Down","by":"eva"}`, "text/plain", "", 415, "as JSON"},
		{`{"alert":"Down"}`, js, "", 400, "say who"},
		{`{"by":"eva"}`, js, "", 400, "name one of"},
		{`{"all":true,"by":"eva"}`, js, "", 400, "not everything"},
		{`{"alert":"Down","by":"eva","for":"long"}`, js, "", 400, "30m, 2h"},
		{`{"alert":"Down","by":"eva","until":"2020-01-01T00:00:00Z"}`, js, "", 400, "before it begins"},
		{`{"alert":"Down","by":"eva","whom":"me"}`, js, "", 400, "whom"},
		{`{"alert":"Up","by":"eva"}`, js, "", 404, "no alert that fires is Up"},
		{`{"alert":"Down","by":"eva","from":"cli","why":"rollback","for":"2h"}`, js, "", 200, `"alerts":["`},
	} {
		if code, body := post(t, a, "/api/v1/ack", tt.kind, tt.origin, tt.body); code != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("%s from %q: %d %s", tt.body, tt.origin, code, body)
		}
	}
	until(t, a, "/api/v1/why?alert=Down", `"kind":"acked","reason":"rollback","by":"eva"`)
	until(t, a, "/api/v1/why?alert=Down", `"detail":"cli (127.0.0.1)"`)
	stop()

	a, stop = daemon(t, data, s)
	until(t, a, "/api/v1/alerts", `"ack":{"by":"eva","from":"cli","why":"rollback"`)
	until(t, a, "/api/v1/alerts", `"client":"127.0.0.1"`)
	until(t, a, "/", "acknowledged by eva")
	if code, body := post(t, a, "/api/v1/unack", js, "", `{"alert":"Down","by":"tom"}`); code != 200 {
		t.Error(code, body)
	}
	if code, body := post(t, a, "/api/v1/unack", js, "", `{"alert":"Down","by":"tom"}`); code != 404 {
		t.Error(code, body)
	}
	if code, body := post(t, a, "/api/v1/queue/release", js, "", `{"all":true,"by":"tom"}`); code != 404 || !strings.Contains(body, "nothing is held") {
		t.Error(code, body)
	}
	s.none(t) // a program is not told who has what
	stop()
}

// What the button in a message leads to: looking changes nothing, the form does.
func TestAckPage(t *testing.T) {
	s := newSink(t)
	a, stop := daemon(t, t.TempDir(), s)
	defer stop()
	publish(t, a, "alertd.metrics.api", down)
	s.next(t)
	group := `{}:{service="api"}`
	link := "/ack?group=" + url.QueryEscape(group)
	until(t, a, link, "api is down")
	if _, body := get(t, a, "/api/v1/alerts"); strings.Contains(body, `"ack"`) {
		t.Error("looking at the page has acknowledged it")
	}
	const form = "application/x-www-form-urlencoded"
	fill := func(by string) string {
		return url.Values{"group": {group}, "by": {by}, "for": {"30m"}, "do": {"ack"}}.Encode()
	}
	if code, body := post(t, a, "/ack", form, "https://elsewhere.example", fill("eva")); code != 403 {
		t.Error(code, body)
	}
	if code, body := post(t, a, "/ack", form, "", fill("")); code != 400 || !strings.Contains(body, "say who") {
		t.Error(code, body)
	}
	if code, body := post(t, a, "/ack", form, "http://"+a.HTTP(), fill(`<b>eva</b>`)); code != 303 {
		t.Error(code, body)
	}
	until(t, a, link, "acknowledged by &lt;b&gt;eva&lt;/b&gt;")
	until(t, a, "/api/v1/why?alert=Down", `"detail":"web (127.0.0.1)"`)
	if code, body := get(t, a, "/ack?alert=0000000000000001"); code != 404 || !strings.Contains(body, "Nothing of this fires") || !strings.Contains(body, `href="./alerts/0000000000000001"`) {
		t.Error(code, body)
	}
	if code, _ := get(t, a, "/ack"); code != 400 {
		t.Error(code)
	}
}
