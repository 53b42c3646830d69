package app

import (
	"context"
	"net/http"

	"alertd"
	"alertd/api"
	"alertd/history"
	"alertd/web"
)

// handler is everything that is served over HTTP.
func (a *App) handler() http.Handler {
	return api.New(api.Options{
		State: a, History: a.history, Ready: a.readiness, Status: a.status, DeadLetters: a.deadLetters.List,
		Reload: a.Reload, Metrics: a.metrics.handler(), Dashboard: web.New(web.Options{Source: dashboard{a}, Log: a.log}),
		Runbooks: web.Runbooks(a), Log: a.log, ExternalURL: a.external, Version: a.o.Version,
	})
}

// status tells how far the daemon is.
func (a *App) status(ctx context.Context) api.Status {
	s := api.Status{ConfigVersion: a.current.Load().engine.Version, Node: a.node, StartedAt: a.startedAt}
	_ = a.ask(ctx, func(l *leader) { s.Checkpoint, s.JournalSeq = l.checkpoint, l.seq }) // while standing by: unknown
	return s
}

// dashboard is what the page at / shows.
type dashboard struct{ *App }

// Transitions returns the newest changes.
func (d dashboard) Transitions(ctx context.Context, f history.Filter) (history.Page, error) {
	return d.history.Transitions(ctx, f)
}

// Health is alertd's own.
func (d dashboard) Health(ctx context.Context) alertd.Health { return d.readiness(ctx) }
