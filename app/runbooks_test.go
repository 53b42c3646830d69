package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"alertd/engine"
	"alertd/rules"
	"alertd/runbooks"
)

// What is wrong with runbooks is on their page and a metric, and a password in a link is in neither.
func TestReviewRunbooks(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	secret := strings.Replace(s.URL, "http://", "http://me:hunter2@", 1) + "/gone"
	src := `groups: [{name: g, rules: [
		{alert: Bare, expr: up == 0}, {alert: Known, expr: up == 0}, {record: 'a:b', expr: up},
		{alert: Linked, expr: up == 0, annotations: {runbook_url: '` + secret + `'}},
		{alert: Templated, expr: up == 0, annotations: {runbook_url: 'https://x.example/{{ $labels.job }}'}},
	]}]`
	set, err := rules.Parse([]rules.File{{Name: "r.yaml", Data: []byte(src)}})
	if err != nil {
		t.Fatal(err)
	}
	head := func(alert string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("---\nalert: " + alert + "\nseverity: info\nnext_steps: [x]\n---\n")}
	}
	known := head("Known")
	known.Data = []byte(strings.Replace(string(known.Data), "\n---\n", "\ndashboards: ['"+s.URL+"/d/1?service={{ $labels.service }}']\n---\n", 1))
	books, err := runbooks.Beside(fstest.MapFS{"runbooks/Known.md": known, "runbooks/Old.md": head("Old")})
	if err != nil {
		t.Fatal(err)
	}
	a := &App{external: "http://alertd.example", log: slog.New(slog.DiscardHandler)}
	a.metrics = newMetrics(a)
	a.current.Store(&policy{rules: set, runbooks: books, engine: &engine.Policy{}})
	a.reviewRunbooks(t.Context(), s.Client())
	got := strings.Join(a.review.problems(), "\n")
	want := "Bare has no runbook\nrunbooks/Old.md is for Old, which no rule is called\n" +
		s.URL + "/d/1 leads nowhere: the server answers 404 Not Found\n" +
		strings.Replace(s.URL, "http://", "http://me:xxxxx@", 1) + "/gone leads nowhere: the server answers 404 Not Found"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	w := httptest.NewRecorder()
	a.metrics.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for kind, n := range map[string]string{"dangling": "1", "unused": "1", "dead": "2"} {
		if line := `alertd_runbook_problems{kind="` + kind + `"} ` + n; !strings.Contains(w.Body.String(), line) {
			t.Errorf("no %s in %d %s", line, w.Code, w.Body)
		}
	}
}
