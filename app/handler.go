package app

import (
	"context"
	"net/http"
	"strings"
	"time"

	"alertd"
	"alertd/amapi"
	"alertd/api"
	"alertd/notifier/console"
	"alertd/runbooks"
	"alertd/web"
)

// front is what the HTTP server serves until ctx ends: below the prefix, if there is one, and by the node that leads, where only that
// one knows. Nobody waits for that one when ctx has ended: it may be this one, which leads no more.
func (a *App) front(ctx context.Context) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.leading.now() || aboutNode(r.URL.Path) {
			a.http.ServeHTTP(w, r)
		} else {
			waits, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			a.nodes.Forward(w, r.WithContext(waits))
		}
	})
	prefix := strings.TrimRight(a.o.RoutePrefix, "/")
	if prefix == "" {
		return h
	}
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", http.StripPrefix(prefix, h))
	mux.Handle("/{$}", http.RedirectHandler(prefix+"/", http.StatusFound))
	return mux
}

// aboutNode reports whether a path is about the node that is asked, or about what every node knows.
func aboutNode(path string) bool {
	for _, p := range []string{"/health/", "/-/", "/metrics", "/runbooks/", "/api/v1/history", "/api/v1/notifications", "/api/v1/why", "/api/v1/status", "/api/v2/status"} {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// handler is everything that is served over HTTP.
func (a *App) handler() http.Handler {
	pages := web.Options{
		State: a, History: a.history, Silences: a, Ready: a.readiness, Zone: a.zone,
		Runbooks: func() *runbooks.Index { return a.current.Load().runbooks }, RunbookProblems: a.review.problems, Version: a.o.Version, Log: a.log,
	}
	if a.traces != nil {
		pages.Trace = a.traces.trace
	}
	return a.abreast(api.New(api.Options{
		State: a, History: a.history, Ready: a.readiness, Status: a.status, DeadLetters: a.deadLetters.List,
		Rules: a.ruleStatus, Series: series{a}, Silences: a,
		Reload: a.Reload, Metrics: a.metrics.handler(), Log: a.log, ExternalURL: a.external, Version: a.o.Version,
		Dashboard: web.New(pages), Alert: web.Alert(pages), Runbooks: web.Runbooks(pages), SilencePages: web.SilencePages(pages),
		V2: amapi.New(amapi.Options{
			State: a, Version: a.o.Version, StartedAt: a.startedAt, Log: a.log,
			Invalid: func(n int) { a.metrics.alertmanager.invalid.WithLabelValues("v2").Add(float64(n)) },
		}),
		Text:    func(n alertd.Notification) string { return console.Text(&n, a.external) },
		Release: a.Release, Ack: a.Ack, AckPage: web.Ack(web.AckOptions{Select: a.Selected, Ack: a.Ack, Log: a.log}),
	}))
}

// status tells how far the daemon is.
func (a *App) status(ctx context.Context) api.Status {
	s := api.Status{ConfigVersion: a.current.Load().engine.Version, Node: a.node, StartedAt: a.startedAt}
	_ = a.ask(ctx, func(l *leader) { s.Checkpoint, s.JournalSeq = l.checkpoint, l.seq }) // while standing by: unknown
	return s
}

// zone is the one in which a calendar's times are told; nil if there is no such calendar.
func (a *App) zone(name string) *time.Location {
	if c := a.current.Load().engine.Calendars[name]; c != nil {
		return c.Location()
	}
	return nil
}
