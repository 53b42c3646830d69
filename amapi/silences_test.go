package amapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"alertd"
)

var errDeadline = context.DeadlineExceeded

func recorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func sorted(words string) string {
	all := strings.Fields(words)
	slices.Sort(all)
	return strings.Join(all, " ")
}

// silence is one for a year, with a label's name as JSON.
func silence(name string) string {
	return `{"matchers":[{"name":` + name + `,"value":"b","isRegex":false}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2027-01-01T00:00:00Z","createdBy":"me","comment":"why"}`
}

func TestPostSilences(t *testing.T) {
	const times = `"startsAt":"2026-01-01T00:00:00Z","endsAt":"2027-01-01T00:00:00Z","createdBy":"","comment":""`
	for _, c := range []struct {
		body   string
		status int
		answer string // begins with
	}{
		{silence(`"a"`), 200, `{"silenceID":"00000000-0000-4000-8000-000000000001"}`},
		{`{"matchers":[{"name":"a","value":"b","isRegex":true,"isEqual":false},{"name":"c","value":"d","isRegex":false}],` + times + `}`, 200, `{"silenceID"`},
		{`{"id":"nope",` + silence(`"a"`)[1:], 404, `"silence \"nope\": not found"`},
		{``, 422, `{"code":602,"message":"silence in body is required"}`},
		{`{`, 400, `{"code":400,"message":"parsing the body failed at line 1, column 1`},
		{`[]`, 400, `{"code":400,"message":"parsing silence body failed: `},
		{`{}`, 422, `{"code":602,"message":"comment in body is required"}`},
		{`{"matchers":[],` + times + `}`, 422, `{"code":612,"message":"matchers in body should have at least 1 items"}`},
		{`{` + times + `}`, 422, `{"code":602,"message":"matchers in body is required"}`},
		{`{"matchers":[{"name":"a","value":"b"}],` + times + `}`, 422, `{"code":602,"message":"matchers.0.isRegex in body is required"}`},
		{`{"matchers":[{"name":"a","isRegex":false}],` + times + `}`, 422, `{"code":602,"message":"matchers.0.value in body is required"}`},
		{`{"matchers":[{"name":"a","value":"","isRegex":false}],` + times + `}`, 400, `"silence not valid: at least one matcher must not match the empty string`},
		{`{"matchers":[{"name":"a","value":"(","isRegex":true}],` + times + `}`, 400, `"silence not valid: matcher for \"a\": error parsing regexp`},
		{`{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"soon","endsAt":"","createdBy":"","comment":""}`, 400, `{"code":400,"message":"startsAt in body: \"soon\" is no time`},
		{`{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-01-01T00:00:00Z","createdBy":"","comment":""}`, 400, `"Failed to create silence: start time must be before end time"`},
		{`{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-01-02T00:00:00Z","createdBy":"","comment":""}`, 400, `"Failed to create silence: end time can't be in the past"`},
		{`{"comment":"` + strings.Repeat("x", 64<<10) + `"}`, 413, `{"code":413,"message":"the body is larger than 64 KiB; send less at once"}`},
	} {
		w := newWorld(t)
		if status, answer := w.ask("POST", "/api/v2/silences", c.body); status != c.status || !strings.HasPrefix(answer, c.answer) {
			t.Errorf("%.200s: %d %s\nwant %d %s", c.body, status, answer, c.status, c.answer)
		}
	}
}

func TestSilencesGolden(t *testing.T) {
	w := newWorld(t)
	body := `{"annotations":{"ticket":"T-1","a":"b"},` + silence(`"a"`)[1:]
	if status, answer := w.ask("POST", "/api/v2/silences", body); status != 200 {
		t.Fatal(status, answer)
	}
	const one = `{"id":"00000000-0000-4000-8000-000000000001","status":{"state":"active"},"updatedAt":"2026-03-04T05:06:07.890Z","annotations":{"a":"b","ticket":"T-1"},"comment":"why","createdBy":"me","endsAt":"2027-01-01T00:00:00.000Z","matchers":[{"isEqual":true,"isRegex":false,"name":"a","value":"b"}],"startsAt":"2026-03-04T05:06:07.890Z"}`
	if status, got := w.ask("GET", "/api/v2/silences", ""); status != 200 || got != "["+one+"]" {
		t.Errorf("%d\n%s\nwant\n[%s]", status, got, one)
	}
	if status, got := w.ask("GET", "/api/v2/silence/00000000-0000-4000-8000-000000000001", ""); status != 200 || got != one {
		t.Errorf("%d\n%s\nwant\n%s", status, got, one)
	}
	if status, got := w.ask("DELETE", "/api/v2/silence/00000000-0000-4000-8000-000000000001", ""); status != 200 || got != "" {
		t.Errorf("%d %s", status, got)
	}
	if status, got := w.ask("GET", "/api/v2/silences?expired=false", ""); status != 200 || got != "[]" {
		t.Errorf("%d %s", status, got)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if status, got := w.ask(method, "/api/v2/silence/00000000-0000-4000-8000-000000000009", ""); status != 404 || got != "" {
			t.Errorf("%s: %d %s", method, status, got)
		}
		if status, got := w.ask(method, "/api/v2/silence/xx", ""); status != 422 || got != `{"code":601,"message":"silenceID in path must be of type uuid: \"xx\""}` {
			t.Errorf("%s: %d %s", method, status, got)
		}
	}
}

// Active ones come first, the next to end at the top; then those to come; then those that are over, the last at the top.
func TestSilencesOrderAndFilters(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		id         string
		start, end time.Duration
	}{
		{"over long ago", -9, -5}, {"next", 2, 3}, {"later", 4, 5}, {"over", -3, -1}, {"ends last", -2, 9}, {"ends first", -1, 1},
	} {
		w.silences[c.id] = alertd.Silence{
			ID: c.id, StartsAt: now.Add(c.start * time.Hour), EndsAt: now.Add(c.end * time.Hour),
			Matchers: []alertd.Matcher{{Name: "n", Value: fmt.Sprint(i % 2), IsEqual: true, IsRegex: i > 2}},
		}
	}
	for query, want := range map[string]string{
		"":                              "ends first, ends last, next, later, over, over long ago",
		"active=false":                  "next, later, over, over long ago",
		"pending=false&expired=false":   "ends first, ends last",
		"filter=n%3D0":                  "later, over long ago",
		"filter=n%3D~1":                 "ends first, over",
		"filter=n!%3D1":                 "",
		"filter=n%3D0&filter=other%3D1": "",
	} {
		_, body := w.ask("GET", "/api/v2/silences?"+query, "")
		var list []struct{ ID string }
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range list {
			ids = append(ids, s.ID)
		}
		if got := strings.Join(ids, ", "); got != want {
			t.Errorf("%s: %s\nwant %s", query, got, want)
		}
	}
}

func TestStatusAndReceivers(t *testing.T) {
	w := newWorld(t)
	status, got := w.ask("GET", "/api/v2/status", "")
	const want = `{"cluster":{"name":"b","peers":[{"name":"a","address":"192.0.2.1:9093"},{"name":"b","address":"192.0.2.2:9093"}],"status":"ready"},` +
		`"config":{"original":"route:\n  receiver: team\n"},"uptime":"2026-03-04T04:06:07.890Z",` +
		`"versionInfo":{"branch":"","buildDate":"","buildUser":"","goVersion":"`
	if status != 200 || !strings.HasPrefix(got, want+runtime.Version()) || !strings.HasSuffix(got, `"version":"1.2.3"}}`) {
		t.Errorf("%d\n%s\nwant\n%s", status, got, want)
	}
	for query, want := range map[string]string{
		"":                                `[{"name":"team","labels":{"name":"team","owner":"x"}},{"name":"other","labels":{"name":"other"}}]`,
		"?receiver_matchers=owner%3Dx":    `[{"name":"team","labels":{"name":"team","owner":"x"}}]`,
		"?receiver_matchers=name%3Dother": `[{"name":"other","labels":{"name":"other"}}]`,
		"?receiver_matchers=owner%3Dy":    `[]`,
	} {
		if status, got := w.ask("GET", "/api/v2/receivers"+query, ""); status != 200 || got != want {
			t.Errorf("receivers%s: %d %s, want %s", query, status, got, want)
		}
	}
}

func TestWrongPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	for request, want := range map[string]string{
		"GET /api/v2/":             `404 {"code":404,"message":"path /api/v2/ was not found"}`,
		"GET /api/v2/nope":         `404 {"code":404,"message":"path /api/v2/nope was not found"}`,
		"PUT /api/v2/alerts":       `405 {"code":405,"message":"method PUT is not allowed, but [GET,POST] are"}`,
		"OPTIONS /api/v2/silences": `405 {"code":405,"message":"method OPTIONS is not allowed, but [GET,POST] are"}`,
		"POST /api/v2/status":      `405 {"code":405,"message":"method POST is not allowed, but [GET] are"}`,
		"GET /api/v2/status/":      `200 `,
	} {
		method, path, _ := strings.Cut(request, " ")
		status, body := w.ask(method, path, "")
		if got := fmt.Sprint(status, " ", body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s\nwant %s", request, got, want)
		}
	}
}
