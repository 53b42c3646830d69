package app_test

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"alertd"
	"alertd/app"
	"alertd/rules"
)

// A target that is taken out of health.yaml while it is unhealthy ends its alert then and there, and the history says why. One
// that stays goes on.
func TestTargetRemoved(t *testing.T) {
	s := newSink(t)
	set := files(s.URL)
	critical, err := fs.ReadFile(rules.Shipped(), "critical.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set["critical.yaml"] = &fstest.MapFile{Data: critical}
	targets := func(names ...string) *fstest.MapFile {
		var body strings.Builder
		body.WriteString("targets:\n")
		for _, name := range names {
			body.WriteString(fmt.Sprintf("- {service: %s, url: 'tcp://127.0.0.1:1', interval: 1s, fall: 1}\n", name))
		}
		return &fstest.MapFile{Data: []byte(body.String())}
	}
	set["health.yaml"] = targets("old", "staying")
	a, err := app.New(t.Context(), app.Options{
		Rules: set, Data: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, a)()
	paged := map[string]bool{}
	for len(paged) < 2 {
		for _, al := range s.next(t).Alerts {
			paged[al.Labels["alertname"]+" "+al.Labels["service"]] = true
		}
	}
	if !maps.Equal(paged, map[string]bool{"ApplicationDown old": true, "ApplicationDown staying": true}) {
		t.Errorf("paged %v", paged)
	}

	set["health.yaml"] = targets("staying")
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := s.next(t); p.Status != "resolved" || p.Alerts[0].Labels["service"] != "old" {
		t.Errorf("told %+v", p)
	}
	until(t, a, "/api/v1/history", `"no longer polled"`)
	until(t, a, "/api/v1/why?alert=ApplicationDown&service=old", "no longer polled")
	services, err := a.Services(t.Context())
	if err != nil || slices.ContainsFunc(services, func(h alertd.Health) bool { return h.Service == "old" }) {
		t.Errorf("services: %+v, %v", services, err)
	}
}
