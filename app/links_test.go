package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDeadLinks(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/gone", r.URL.Path == "/no-head" && r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/login":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/here", http.StatusFound)
		}
	}))
	defer s.Close()
	const secret = "http://me:hunter2@127.0.0.1:1" // nobody listens there
	dead := DeadLinks(t.Context(), s.Client(), []string{s.URL + "/here", s.URL + "/gone", s.URL + "/no-head", s.URL + "/login", s.URL + "/moved", secret, "http://[::1"})
	for link, want := range map[string]string{s.URL + "/gone": "404 Not Found", secret: "refused", "http://[::1": "not well-formed"} {
		if !strings.Contains(dead[link], want) || strings.Contains(dead[link], "hunter2") {
			t.Errorf("%s: %q; want %q", link, dead[link], want)
		}
	}
	if len(dead) != 3 {
		t.Errorf("%v", dead)
	}
}
