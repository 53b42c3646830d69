package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"alertd/app"
)

// A node that stands by while none leads, as for a moment after a restart, is an alertd, and what it says is told.
func TestNobodyLeads(t *testing.T) {
	const says = "this node stands by, and no other one leads now; try again in some seconds"
	for _, tt := range []struct{ body, want string }{
		{says, "the daemon says: " + says},
		{"no healthy upstream", "not as an alertd does"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, tt.body, http.StatusServiceUnavailable)
		}))
		defer s.Close()
		err := daemonFlags{URL: s.URL}.get(t.Context(), "/api/v1/alerts", nil, new(struct{}))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.body, err, tt.want)
		}
	}
}

// Who asks a history that lags is told so once, and gets what there is.
func TestHistoryLags(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(app.BehindHeader, "12")
		if !r.URL.Query().Has("cursor") {
			fmt.Fprint(w, `{"status":"success","data":{"transitions":[{}],"next":"2","alerts":[]}}`)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"transitions":[{}]}}`)
	}))
	defer s.Close()
	for _, args := range [][]string{{"history", "--all", "-o", "json"}, {"why", "Down"}} {
		var out, errs strings.Builder
		if code := run(t.Context(), append(args, "--url", s.URL), strings.NewReader(""), &out, &errs); code != 0 {
			t.Errorf("%q: exit code %d: %s", args, code, errs.String())
		}
		if n := strings.Count(errs.String(), "the history is 12 s behind"); n != 1 {
			t.Errorf("%q says %d times that the history lags: %s", args, n, errs.String())
		}
	}
}
