package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever body is posted as a silence, it is taken, or refused as the sender's mistake: never as ours.
func FuzzSilence(f *testing.F) {
	const what = `{"matchers":[{"name":"a","value":"b"}],"endsAt":"2026-01-16T00:00:00Z","createdBy":"me","comment":"why"`
	for _, rest := range []string{
		`}`, `,"or":[[{"name":"c","value":"d.*","isRegex":true,"isEqual":false}]],"force":true}`,
		`,"recurs":{"cron":"0 2 * * *","duration":"1h","zone":"UTC"}}`, `,"startsAt":"0001-01-01T00:00:00Z"}`, `,"by":"ann","from":"cli"}`, `,"or":[null,[null]]}`,
	} {
		f.Add(what+rest, false)
		f.Add(what+rest, true)
	}
	s, o := &silencer{}, options(f)
	o.Silences = s
	api := New(o)
	f.Fuzz(func(t *testing.T, body string, preview bool) {
		s.asked = nil
		path := "/api/v1/silences"
		if preview {
			path += "/preview"
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
		switch {
		case w.Code == 200 && len(s.asked) == 1, w.Code == 400 && len(s.asked) == 0, w.Code == 413 && len(body) > 64<<10:
		default:
			t.Errorf("%q: %d %s, asked %q", body, w.Code, w.Body, s.asked)
		}
	})
}
