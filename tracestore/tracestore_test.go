package tracestore_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"alertd"
	"alertd/tracectx"
	"alertd/tracestore"
)

const id = "4bf92f3577b34da6a3ce929d0e0e4736"

var (
	at  = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	ref = alertd.TraceRef{TraceID: id}
)

// answers are what back-ends say, by path.
var answers = map[string]string{
	"/tempo/api/v2/traces/" + id: `{"trace":{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}}]},
		"scopeSpans":[{"spans":[{"traceId":"S/kvNXezTaajzpKdDg5HNg==","spanId":"APBnqgupArc=","name":"SELECT","startTimeUnixNano":"1768478400000000000","endTimeUnixNano":"1768478404800000000","status":{"code":"STATUS_CODE_ERROR"}}]}]}]},"status":"PARTIAL"}`,
	"/old/api/traces/" + id:      `{"batches":[{"scopeSpans":[{"spans":[{"spanId":"APBnqgupArc=","name":"x","startTimeUnixNano":"1768478400000000000","endTimeUnixNano":"1768478400000000001"}]}]}]}`,
	"/v3/api/v3/traces/" + id:    `{"result":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"` + id + `","spanId":"00f067aa0ba902b7","name":"x","startTimeUnixNano":"1768478400000000000","endTimeUnixNano":"1768478400000000001","status":{"code":2}}]}]}]}}`,
	"/legacy/api/traces/" + id:   `{"data":[{"traceID":"` + id + `","spans":[{"traceID":"` + id + `","spanID":"f067aa0ba902b7","operationName":"x","startTime":1768478400000000,"duration":5,"processID":"p1"}],"processes":{"p1":{"serviceName":"orders"}}}]}`,
	"/echo/api/v3/traces/" + id:  `{"result":{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"alertd/app"},"spans":[{"traceId":"` + id + `","spanId":"00f067aa0ba902b8","parentSpanId":"00f067aa0ba902b7","name":"process","startTimeUnixNano":"1768478400000000000","endTimeUnixNano":"1768478400000000001"}]}]}]}}`,
	"/empty/api/v2/traces/" + id: `{"trace":{}}`,
	"/junk/api/v2/traces/" + id:  `<html>please log in</html>`,
}

func TestTrace(t *testing.T) {
	var asked atomic.Pointer[http.Request] // the last one; of a question that was given up, it may come later
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r)
		switch body, ok := answers[r.URL.Path]; {
		case ok:
			_, _ = w.Write([]byte(body))
		case strings.HasPrefix(r.URL.Path, "/huge"):
			_, _ = w.Write([]byte(`{"x":"` + strings.Repeat("x", 9<<20)))
		case strings.HasPrefix(r.URL.Path, "/broken"):
			w.WriteHeader(http.StatusInternalServerError)
		case strings.HasPrefix(r.URL.Path, "/away"):
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/hangs"):
			select {
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	client := s.Client()
	tooLate := context.DeadlineExceeded.Error()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, tt := range []struct{ kind, path, span, want string }{
		{tracestore.Tempo, "/tempo/", "00f067aa0ba902b7", ""},
		{tracestore.Tempo, "/old", "00f067aa0ba902b7", ""},
		{tracestore.Jaeger, "/v3", "00f067aa0ba902b7", ""},
		{tracestore.Jaeger, "/legacy", "00f067aa0ba902b7", ""},
		{tracestore.Tempo, "/empty", "", tracectx.ErrNoTrace.Error()},
		{tracestore.Jaeger, "/echo", "", tracectx.ErrNoTrace.Error()},
		{tracestore.Jaeger, "/nothing", "", tracectx.ErrNoTrace.Error()},
		{tracestore.Tempo, "/junk", "", "tempo: not OTLP"},
		{tracestore.Tempo, "/broken", "", "tempo: it answers 500"},
		{tracestore.Tempo, "/huge", "", "larger than 8 MiB"},
		{tracestore.Tempo, "/away", "", "it answers 302"},
		{tracestore.Jaeger, "/hangs", "", tooLate},
	} {
		store, err := tracestore.New(tracestore.Config{Kind: tt.kind, URL: s.URL + tt.path, OrgID: "shop", Client: client})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got, err := store.Trace(t.Context(), ref, at)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: took %s", tt.path, took)
		}
		// On a busy machine an answer may not come in two seconds.
		for end := began.Add(30 * time.Second); tt.want != tooLate && err != nil && strings.Contains(err.Error(), tooLate) && time.Now().Before(end); {
			got, err = store.Trace(t.Context(), ref, at)
		}
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), s.URL) {
				t.Errorf("%s: %v, want it to say %q", tt.path, err, tt.want)
			}
			continue
		}
		if err != nil || got.ID != id || len(got.Spans) != 1 || got.Spans[0].ID != tt.span {
			t.Errorf("%s: %+v, %v", tt.path, got, err)
		}
		if got := asked.Load().Header; got.Get("X-Scope-OrgID") != "shop" {
			t.Errorf("%s: sent %v", tt.path, got)
		}
		if query := asked.Load().URL.RawQuery; tt.path == "/tempo/" && (query != "start=1768474800&end=1768482000" || !got.Partial || !got.Spans[0].Failed || got.Spans[0].Duration != 4800*time.Millisecond) {
			t.Errorf("%s: asked for %s, got %+v", tt.path, query, got)
		}
	}

	store, err := tracestore.New(tracestore.Config{Kind: tracestore.Tempo, URL: s.URL + "/tempo", Client: client})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "../../admin", id + "?", strings.Repeat("0", 32)} {
		if _, err := store.Trace(t.Context(), alertd.TraceRef{TraceID: bad}, at); !errors.Is(err, tracectx.ErrNoTrace) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Trace(gone, ref, at); err == nil || errors.Is(err, tracectx.ErrNoTrace) {
		t.Errorf("who went away is told %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []tracestore.Config{
		{Kind: "zipkin", URL: "http://x"},
		{Kind: tracestore.Tempo},
		{Kind: tracestore.Tempo, URL: "ftp://x"},
		{Kind: tracestore.Tempo, URL: "http://me:pw@x"},
		{Kind: tracestore.Jaeger, URL: "http://x/search?q=1"},
	} {
		if _, err := tracestore.New(c); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
