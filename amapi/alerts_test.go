package amapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

func newBuilder() *labels.ScratchBuilder {
	b := labels.NewScratchBuilder(8)
	return &b
}

// The status codes are Alertmanager's for the same body; [TestLikeAlertmanager] asks it.
func TestPostAlerts(t *testing.T) {
	long := `{"labels":{"a":"` + strings.Repeat("x", 65<<10) + `"}}`
	many := strings.TrimSuffix(strings.Repeat(`{"labels":{}},`, 30), ",")
	for _, c := range []struct {
		body   string
		status int
		answer string // begins with
		stored string
	}{
		{`[]`, 200, ``, ``},
		{`null`, 200, ``, ``},
		{` [ {"labels" : {"a":"b" , "c":"d"} , "other":[1,{"x":"]"}],"startsAt":null } ] `, 200, ``, `{a="b", c="d"}`},
		{`[{"labels":{"a":"b","empty":"","null":null}}]`, 200, ``, `{a="b"}`},
		{`[{"labels":{"z":"1","a":"1","a":"2"}}]`, 200, ``, `{a="2", z="1"}`},
		{`[{"labels":{"\u0061 \u00e9":"\"\n\ud83d\ude00"}}]`, 200, ``, `{"a é"="\"\n😀"}`},
		{"[{\"labels\":{\"a\":\"\xff\"}}]", 200, ``, `{a="` + "\ufffd" + `"}`},
		{`[{"labels":{"a":"b"},"generatorURL":""}]`, 200, ``, `{a="b"}`},
		{`[{"labels":{"a":"b"},"startsAt":"2026-01-01T00:00:00+02:00","endsAt":"2026-01-01T00:00:00Z"}]`, 200, ``, `{a="b"}`},

		// What one alert has wrong does not keep others out.
		{`[{"labels":{"a":"1"}},{"labels":{"":"x"}},{"labels":{"a":"2"}}]`, 400, `"1.labels: a name is empty"`, `{a="1"}{a="2"}`},
		{`[{"labels":{"a":"1"}},{"labels":{"x":""}}]`, 400, `"1.labels: at least one label pair required"`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},{"labels":{"a":"b"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]`, 400, `"1.startsAt: start time must be before end time"`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},{"annotations":{}}]`, 422, `{"code":602,"message":"1.labels in body is required"}`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},null]`, 422, `{"code":602,"message":"1.labels in body is required"}`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},{"labels":{"a":"b"},"generatorURL":"not a uri"}]`, 422, `{"code":601,"message":"1.generatorURL in body must be of type uri: \"not a uri\""}`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},{"labels":{"a":1}}]`, 400, `{"code":400,"message":"1.labels.a in body must be a string, not a number"}`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},{"labels":[]}]`, 400, `{"code":400,"message":"1.labels in body must be an object, not a list"}`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},7]`, 400, `{"code":400,"message":"1.alert is no object but a number"}`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},{"labels":{"a":"b"},"startsAt":"yesterday"}]`, 400, `{"code":400,"message":"1.startsAt in body: \"yesterday\" is no time such as`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},{"labels":{"a":"b"},"endsAt":5}]`, 400, `{"code":400,"message":"1.endsAt in body must be a time in a string, not a number"}`, `{a="1"}`},
		{`[{"labels":{"a":"1"}},{"labels":{"a":"b"},"endsAt":"9999-12-31T23:59:59-12:00"}]`, 400, `{"code":400,"message":"1.endsAt in body: `, `{a="1"}`},
		{`[` + long + `,{"labels":{"a":"1"}}]`, 400, `{"code":400,"message":"0.alert is larger than 64 KiB"}`, `{a="1"}`},
		{`[` + many + `]`, 400, `"0.labels: at least one label pair required\n1.labels`, ``},

		// What is no list keeps all out.
		{``, 422, `{"code":602,"message":"alerts in body is required"}`, ``},
		{`{}`, 400, `{"code":400,"message":"parsing alerts body failed: a list of alerts is needed, not an object"}`, ``},
		{"[\n{\"labels\":{\"a\":}}]", 400, `{"code":400,"message":"parsing the body failed at line 2, column 16: invalid character '}'`, ``},
		{`[{"labels":{"a":"b"}}] more`, 400, `{"code":400,"message":"parsing the body failed at line 1, column 24`, ``},
		{`[` + strings.Repeat(" ", 16<<20), 413, `{"code":413,"message":"the body is larger than 16384 KiB; send less at once"}`, ``},
	} {
		w := newWorld(t)
		status, answer := w.ask("POST", "/api/v2/alerts", c.body)
		if status != c.status || !strings.HasPrefix(answer, c.answer) || (c.answer == "") != (answer == "") {
			t.Errorf("%.200s: %d %s\nwant %d %s", c.body, status, answer, c.status, c.answer)
		}
		var stored strings.Builder
		for _, all := range w.posted {
			for _, p := range all {
				stored.WriteString(p.Labels.String())
			}
		}
		if stored.String() != c.stored {
			t.Errorf("%.200s: stored %s, want %s", c.body, stored.String(), c.stored)
		}
	}
}

func TestFaultsAreNotToldWithoutEnd(t *testing.T) {
	w := newWorld(t)
	_, answer := w.ask("POST", "/api/v2/alerts", "["+strings.TrimSuffix(strings.Repeat(`{"labels":{}},`, 30), ",")+"]")
	if n := strings.Count(answer, `\n`); n != 20 || !strings.HasSuffix(answer, `and 10 more"`) {
		t.Errorf("%d lines: %s", n, answer)
	}
}

func TestPostedTimes(t *testing.T) {
	for _, c := range []struct{ starts, ends, wantStarts, wantEnds string }{
		{``, ``, `0001-01-01T00:00:00Z`, `0001-01-01T00:00:00Z`},
		{``, `2026-01-01T00:00:00Z`, `2026-01-01T00:00:00Z`, `2026-01-01T00:00:00Z`},
		{`2026-01-01T00:00:00.123456789+01:00`, ``, `2025-12-31T23:00:00.123456789Z`, `0001-01-01T00:00:00Z`},
		{`2026-01-01T00:00:00.5+0130`, `0001-01-01T00:00:00Z`, `2025-12-31T22:30:00.5Z`, `0001-01-01T00:00:00Z`},
		{`2026-01-01T00:00:00`, `2026-01-01 00:00:01`, `2026-01-01T00:00:00Z`, `2026-01-01T00:00:01Z`},
		{`2026-01-01T00:00`, `2026-01-01T00:01Z`, `2026-01-01T00:00:00Z`, `2026-01-01T00:01:00Z`},
		{`2026-01-01`, `2026-01-02`, `2026-01-01T00:00:00Z`, `2026-01-02T00:00:00Z`}, // since 0.34
	} {
		w := newWorld(t)
		if status, answer := w.ask("POST", "/api/v2/alerts", fmt.Sprintf(`[{"labels":{"a":"b"},"startsAt":%q,"endsAt":%q}]`, c.starts, c.ends)); status != 200 {
			t.Errorf("%+v: %s", c, answer)
			continue
		}
		p := w.posted[0][0]
		if s, e := p.StartsAt.Format(time.RFC3339Nano), p.EndsAt.Format(time.RFC3339Nano); s != c.wantStarts || e != c.wantEnds {
			t.Errorf("%+v: %s %s", c, s, e)
		}
	}
}

func TestPostNeedsJSON(t *testing.T) {
	w := newWorld(t)
	for media, want := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "text/plain": 415, "application/x-www-form-urlencoded": 415, "": 415,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "/api/v2/alerts", strings.NewReader(`[]`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", media)
		res := recorder()
		w.ServeHTTP(res, req)
		if res.Code != want {
			t.Errorf("%q: %d %s", media, res.Code, res.Body)
		}
	}
}

func TestAlertsGolden(t *testing.T) {
	w := newWorld(t)
	const post = `[{"labels":{"alertname":"A","x":""},"annotations":{"s":"<&>é\u2028","empty":""},"startsAt":"2026-01-01T10:00:00.123456+02:00","generatorURL":"http://p/g?a=1&b=2"},
		{"labels":{"alertname":"B"},"endsAt":"2027-01-01T00:00:00Z"},{"labels":{"alertname":"C"},"endsAt":"2026-01-01T00:00:00Z"}]`
	if status, answer := w.ask("POST", "/api/v2/alerts", post); status != 200 {
		t.Fatal(status, answer)
	}
	const b = `{"annotations":{},"endsAt":"2027-01-01T00:00:00.000Z","fingerprint":"d2c2efc389db2050","receivers":[{"name":"team"}],"startsAt":"2026-03-04T05:06:07.890Z","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"2026-03-04T05:06:07.890Z","labels":{"alertname":"B"}}`
	const a = `{"annotations":{"empty":"","s":"\u003c\u0026\u003eé\u2028"},"endsAt":"2026-03-04T05:11:07.890Z","fingerprint":"d2c6efc389df0927","receivers":[{"name":"team"}],"startsAt":"2026-01-01T08:00:00.123Z","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"2026-03-04T05:06:07.890Z","generatorURL":"http://p/g?a=1\u0026b=2","labels":{"alertname":"A"}}`
	check := func(path, want string) {
		t.Helper()
		if status, got := w.ask("GET", path, ""); status != 200 || got != want {
			t.Errorf("GET %s: %d\n%s\nwant\n%s", path, status, got, want)
		}
	}
	check("/api/v2/alerts", "["+b+","+a+"]")
	check("/api/v2/alerts/", "["+b+","+a+"]")
	check("/api/v2/alerts?filter=alertname%3DA", "["+a+"]")
	check("/api/v2/alerts?filter=alertname%3DZ", "[]")
	check("/api/v2/alerts/groups", `[{"alerts":[`+a+`],"labels":{"alertname":"A"},"receiver":{"name":"team"},"routeLabels":{}},`+
		`{"alerts":[`+b+`],"labels":{"alertname":"B"},"receiver":{"name":"team"},"routeLabels":{}}]`)

	w = newWorld(t)
	w.add(func(s *alertd.Standing) {
		s.Receivers, s.SilencedBy, s.InhibitedBy, s.MutedBy = []string{"other", "team"}, []string{"1", "2"}, []alertd.Fingerprint{10}, []string{"weekend"}
	}, "alertname", "D")
	_, got := w.ask("GET", "/api/v2/alerts", "")
	if want := `"receivers":[{"name":"other"},{"name":"team"}],"startsAt":"2026-03-04T05:05:07.890Z","status":{"inhibitedBy":["000000000000000a"],"mutedBy":["weekend"],"silencedBy":["1","2"],"state":"suppressed"}`; !strings.Contains(got, want) {
		t.Errorf("%s\nlacks\n%s", got, want)
	}
}

func TestFilters(t *testing.T) {
	w := newWorld(t)
	team := func(names ...string) func(*alertd.Standing) {
		return func(s *alertd.Standing) { s.Receivers = names }
	}
	w.add(team("web"), "alertname", "Active", "instance", "1", "severity", "page")
	w.add(team("web", "db"), "alertname", "Two", "severity", "page")
	w.add(func(s *alertd.Standing) { s.SilencedBy = []string{"x"} }, "alertname", "Silenced")
	w.add(func(s *alertd.Standing) { s.InhibitedBy = []alertd.Fingerprint{1} }, "alertname", "Inhibited")
	w.add(func(s *alertd.Standing) { s.MutedBy = []string{"night"} }, "alertname", "Muted")
	w.add(func(s *alertd.Standing) { s.State = alertd.Resolved }, "alertname", "Over")
	w.add(func(s *alertd.Standing) { s.State = alertd.Pending }, "alertname", "Pending")
	w.add(func(s *alertd.Standing) { s.State = alertd.Recovering }, "alertname", "Recovering", "ünï code", "yes")

	const all = "Active Inhibited Muted Recovering Silenced Two"
	for query, want := range map[string]string{
		"":                                     all,
		"active=true&silenced=1&inhibited=yes": all,
		"active=":                              all,
		"unprocessed=false":                    all,
		"silenced=false&inhibited=false":       "Active Muted Recovering Two",
		"active=false":                         "Inhibited Silenced",
		"active=false&inhibited=false":         "Silenced",
		"active=nonsense":                      "Inhibited Silenced",
		"filter=severity=page":                 "Active Two",
		`filter=severity="page"&filter=instance=""`: "Two",
		`filter=severity!="page"`:                   "Inhibited Muted Recovering Silenced",
		`filter=alertname=~"Sil.*|Mut"`:             "Silenced",
		`filter=alertname!~".*ed"`:                  "Active Recovering Two",
		`filter="ünï code"=yes`:                     "Recovering",
		`filter=severity!=""`:                       "Active Two",
		"receiver=web":                              "Active Two",
		"receiver=d.":                               "Two",
		"receiver=we":                               "",
		"receiver=":                                 "Active Inhibited Muted Recovering Silenced Two",
		"receiver=db&receiver=web":                  "Active Two",
		`receiver_matchers=owner="x"`:               "Inhibited Muted Recovering Silenced",
		`receiver_matchers=owner!="x"`:              "Active Two",
		`receiver_matchers=name="team"`:             "Inhibited Muted Recovering Silenced",
		`receiver_matchers=owner="y"`:               "",
	} {
		q, err := url.ParseQuery(strings.ReplaceAll(query, `=""`, `%3D""`))
		if err != nil {
			t.Fatal(err)
		}
		status, body := w.ask("GET", "/api/v2/alerts?"+q.Encode(), "")
		if got := sorted(names(t, body)); status != 200 || got != want {
			t.Errorf("%s: %d %s, want %s", query, status, got, want)
		}
	}
	for query, want := range map[string]string{
		"":               "Active1 Inhibited Muted Recovering Silenced Two Two",
		"muted=false":    "Active1 Inhibited Recovering Silenced Two Two",
		"receiver=db":    "Two",
		"silenced=false": "Active1 Inhibited Muted Recovering Two Two",
	} {
		if status, body := w.ask("GET", "/api/v2/alerts/groups?"+query, ""); status != 200 || names(t, body) != want {
			t.Errorf("groups?%s: %d %s, want %s", query, status, names(t, body), want)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	w := newWorld(t)
	for query, want := range map[string]string{
		"filter=x":                              `"bad matcher format: x"`,
		"filter={a=b}":                          `"unexpected open or close brace: {a=b}"`,
		"filter=a=~(":                           `"error parsing regexp: missing closing )`,
		"receiver=(":                            `"failed to parse receiver param: error parsing regexp: missing closing )`,
		"receiver_matchers=x":                   `"failed to parse receiver_matchers param: bad matcher format: x"`,
		strings.Repeat("filter=a&", 101):        `"more than 100 values of filter"`,
		"receiver=" + strings.Repeat("x", 5000): `"receiver is longer than 4096 bytes"`,
		"filter=a=" + strings.Repeat("x", 5000): `"filter is longer than 4096 bytes"`,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences", "/api/v2/receivers"} {
			if strings.HasSuffix(path, "silences") && !q.Has("filter") || strings.HasSuffix(path, "receivers") && !q.Has("receiver_matchers") {
				continue
			}
			if status, got := w.ask("GET", path+"?"+q.Encode(), ""); status != 400 || !strings.HasPrefix(got, want) {
				t.Errorf("%s?%.40s: %d %s, want %s", path, query, status, got, want)
			}
		}
	}
}

// A group is shown by job and instance, those without last.
func TestOrderInGroups(t *testing.T) {
	w := newWorld(t)
	for _, pairs := range [][]string{{"instance", "b"}, {"instance", "a"}, {}, {"job", "z", "instance", "c"}, {"job", "y", "instance", "d"}} {
		w.add(nil, append(pairs, "alertname", "A")...)
	}
	w.add(nil, "alertname", "B")
	_, body := w.ask("GET", "/api/v2/alerts/groups", "")
	if got, want := names(t, body), "Ad Ac Aa Ab A B"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What fails inside is not told, only what the client can do something about.
func TestStateErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{errors.New("the password is hunter2"), 500, `"it failed inside alertd; its log has the reason"`},
		{fmt.Errorf("x: %w", alertd.ErrInvalid), 400, `"x: not valid"`},
		{alertd.ErrStandby, 503, `"standing by: another node leads"`},
		{fmt.Errorf("x: %w", errDeadline), 503, `"no answer in time; try again later"`},
	} {
		w := newWorld(t)
		w.err = c.err
		const id = "00000000-0000-4000-8000-000000000001"
		for _, r := range []string{"GET /api/v2/alerts", "GET /api/v2/alerts/groups", "GET /api/v2/silences", "GET /api/v2/silence/" + id, "DELETE /api/v2/silence/" + id, "POST /api/v2/alerts", "POST /api/v2/silences"} {
			method, path, _ := strings.Cut(r, " ")
			body := ""
			switch r {
			case "POST /api/v2/alerts":
				body = `[{"labels":{"a":"b"}}]`
			case "POST /api/v2/silences":
				body = silence(`"a"`)
			}
			if status, got := w.ask(method, path, body); status != c.status || got != c.text {
				t.Errorf("%s: %d %s, want %d %s", r, status, got, c.status, c.text)
			}
		}
	}
}
