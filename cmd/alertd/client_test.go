package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
