package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"alertd/e2e"
)

// backend takes traces over OTLP/HTTP.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*otlp.Span
	wrong []string
}

func newBackend(t *testing.T) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		var req collector.ExportTraceServiceRequest
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			b.wrong = append(b.wrong, fmt.Sprint(r.URL.Path, err))
		}
		for _, of := range req.ResourceSpans {
			if about := of.Resource.String(); !strings.Contains(about, "pager") || !strings.Contains(about, "service.version") {
				b.wrong = append(b.wrong, about)
			}
			for _, scope := range of.ScopeSpans {
				b.spans = append(b.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(b.Close)
	return b
}

// has fails until the backend has a span of each name, all of one trace.
func (b *backend) has(names ...string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.wrong) > 0 {
		return errors.New(strings.Join(b.wrong, "\n"))
	}
	traces := map[string]map[string]bool{}
	for _, s := range b.spans {
		id := fmt.Sprintf("%x", s.TraceId)
		if traces[id] == nil {
			traces[id] = map[string]bool{}
		}
		traces[id][s.Name] = true
		complete := true
		for _, name := range names {
			complete = complete && traces[id][name]
		}
		if complete {
			return nil
		}
	}
	return fmt.Errorf("no trace has all of %q: %v", names, traces)
}

// TestTracesAreExported gives a backend to the daemon by nothing but the standard environment.
func TestTracesAreExported(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	w := newWorld(t, plain, func(o *e2e.Options) {
		o.Env = append(o.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+b.URL, "OTEL_SERVICE_NAME=pager", "OTEL_BSP_SCHEDULE_DELAY=100")
	})
	resp, err := http.Post(w.daemon.URL+"/api/v2/alerts", "application/json",
		strings.NewReader(`[{"labels":{"alertname":"Disk","service":"api","severity":"critical"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	w.page("Disk", "api", "firing")
	w.eventually(func() error {
		return b.has("turn", "decide posted alerts", "flush hook", "append journal", "publish alertd.journal", "notify hook/webhook/0", "POST")
	})
	if log := w.daemon.Log(); !strings.Contains(log, "trace_id=") {
		t.Errorf("the log has no trace:\n%s", log)
	}
}
