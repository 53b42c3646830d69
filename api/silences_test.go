package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"alertd"
)

// silencer remembers what it was asked for.
type silencer struct {
	asked []string
	err   error
}

func (s *silencer) Silences(context.Context) ([]alertd.SilenceView, error) {
	return []alertd.SilenceView{
		{Silence: alertd.Silence{ID: "over"}, State: alertd.SilenceExpired},
		{Silence: alertd.Silence{ID: "to-come"}, State: alertd.SilencePending},
		{Silence: alertd.Silence{ID: "now"}, State: alertd.SilenceActive},
	}, s.err
}

func (s *silencer) MakeSilence(_ context.Context, want alertd.Silence, by alertd.Actor, force bool) (string, error) {
	s.asked = append(s.asked, fmt.Sprint("make ", want.Matchers, " ", want.Or, " ", !want.StartsAt.IsZero(), " ", force, " ", by))
	return "new", s.err
}

func (s *silencer) PreviewSilence(_ context.Context, want alertd.Silence) (alertd.SilencePreview, error) {
	s.asked = append(s.asked, fmt.Sprint("preview ", want.Matchers, " ", want.Recurs))
	return alertd.SilencePreview{Firing: 3}, s.err
}

func (s *silencer) ExpireSilence(_ context.Context, id string, by alertd.Actor) error {
	s.asked = append(s.asked, "expire "+id+" "+by.String())
	return s.err
}

func TestSilences(t *testing.T) {
	const what = `"matchers":[{"name":"a","value":"b"}],"endsAt":"2026-01-16T00:00:00Z","createdBy":"me","comment":"why"`
	invalid := fmt.Errorf("%w: too broad", alertd.ErrInvalid)
	o := options(t)
	for _, c := range []struct {
		request, body string
		err           error
		status        int
		answer, asked string
	}{
		{"GET /api/v1/silences", "", nil, 200, `"silences":[{"id":"now"`, ""},
		{"GET /api/v1/silences?expired=true", "", nil, 200, `{"id":"over"`, ""},
		{"GET /api/v1/silences?all=1", "", nil, 400, `there are expired`, ""},
		{"GET /api/v1/silences/to-come", "", nil, 200, `"data":{"id":"to-come"`, ""},
		{"GET /api/v1/silences/nope", "", nil, 404, `there is no such silence`, ""},
		{"GET /api/v1/silences", "", alertd.ErrStandby, 503, `another node leads`, ""},
		{"POST /api/v1/silences", "{" + what + `,"or":[[{"name":"c","value":"d","isRegex":true,"isEqual":false}]],"force":true}`, nil, 200, `"silenceID":"new"`, `make [a="b"] [[c!~"d"]] true true from api (192.0.2.1, no User-Agent), which named nobody`},
		{"POST /api/v1/silences", "{" + what + `,"by":"ann","from":"cli","why":"longer"}`, invalid, 400, `not valid: too broad`, `make [a="b"] [] true false by ann, from cli (192.0.2.1): longer`},
		{"POST /api/v1/silences", "{" + what + `,"from":"the moon"}`, nil, 400, `from \"the moon\" is not known`, ""},
		{"POST /api/v1/silences", "{" + what + `,"by":"` + strings.Repeat("x", 101) + `"}`, nil, 400, `by may be 100 bytes long`, ""},
		{"POST /api/v1/silences", strings.Replace("{"+what+"}", "why", " ", 1), nil, 400, `has no comment; say why`, ""},
		{"POST /api/v1/silences", strings.Replace("{"+what+"}", `"me"`, `""`, 1), nil, 400, `has no createdBy`, ""},
		{"POST /api/v1/silences", "{" + what + `,"forever":true}`, nil, 400, `unknown field`, ""},
		{"POST /api/v1/silences", `{"matchers":1}`, nil, 400, `the body is not a silence`, ""},
		{"POST /api/v1/silences", strings.Repeat(" ", 64<<10) + "{}", nil, 413, `larger than 64 KiB`, ""},
		{"POST /api/v1/silences/preview", "{" + what + `,"recurs":{"cron":"0 2 * * *","duration":"1h","zone":"UTC"}}`, nil, 200, `"firing":3`, `preview [a="b"] 0 2 * * * for 1h, UTC`},
		{"DELETE /api/v1/silences/now", "", nil, 200, `"status":"success"`, "expire now from api (192.0.2.1, no User-Agent), which named nobody"},
		{"DELETE /api/v1/silences/now?by=ann&from=cli&why=disks+are+in", "", nil, 200, `"status":"success"`, "expire now by ann, from cli (192.0.2.1): disks are in"},
		{"DELETE /api/v1/silences/now?from=x", "", nil, 400, `is not known`, ""},
		{"DELETE /api/v1/silences/nope", "", alertd.ErrNotFound, 404, `not found; GET /api/v1/silences lists them`, "expire nope from api (192.0.2.1, no User-Agent), which named nobody"},
	} {
		s := &silencer{err: c.err}
		o.Silences = s
		method, path, _ := strings.Cut(c.request, " ")
		w := httptest.NewRecorder()
		New(o).ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) || strings.Join(s.asked, "; ") != c.asked {
			t.Errorf("%s %.100s: %d %s, asked %q\nwant %d %s, asked %q", c.request, c.body, w.Code, w.Body, s.asked, c.status, c.answer, c.asked)
		}
	}
	o.Silences = &silencer{}
	r := httptest.NewRequest("POST", "/api/v1/silences", strings.NewReader("{"+what+"}"))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	if New(o).ServeHTTP(w, r); w.Code != 403 {
		t.Errorf("another site's page: %d %s", w.Code, w.Body)
	}
}

// Who lets go what is held is on record with where that came from, which they do not say themselves.
func TestRelease(t *testing.T) {
	for _, c := range []struct {
		body   string
		status int
		want   alertd.ReleaseRequest
	}{
		{`{"all":true,"by":" eva ","from":"cli"}`, 200, alertd.ReleaseRequest{Selection: alertd.Selection{All: true}, By: "eva", From: alertd.FromCLI, Client: "192.0.2.1"}},
		{`{"all":true,"by":"eva"}`, 200, alertd.ReleaseRequest{Selection: alertd.Selection{All: true}, By: "eva", From: alertd.FromAPI, Client: "192.0.2.1, no User-Agent"}},
		{`{"all":true,"by":"eva","client":"elsewhere"}`, 400, alertd.ReleaseRequest{}},
		{`{"all":true,"by":"eva","from":"the moon"}`, 400, alertd.ReleaseRequest{}},
	} {
		o, asked := options(t), alertd.ReleaseRequest{}
		o.Release = func(_ context.Context, req alertd.ReleaseRequest) (alertd.LetGo, error) {
			asked = req
			return alertd.LetGo{}, nil
		}
		r := httptest.NewRequest("POST", "/api/v1/queue/release", strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		New(o).ServeHTTP(w, r)
		if w.Code != c.status || asked != c.want {
			t.Errorf("%s: %d %s, asked for %+v, want %d, %+v", c.body, w.Code, w.Body, asked, c.status, c.want)
		}
	}
}
