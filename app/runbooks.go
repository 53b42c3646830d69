package app

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"alertd"
)

// maxReviewed bounds what the review of runbooks lists.
const maxReviewed = 50

// review is what the last look at the runbooks found.
type review struct{ found atomic.Pointer[[]string] }

func (r *review) problems() []string {
	if p := r.found.Load(); p != nil {
		return *p
	}
	return nil
}

// reviewRunbooks looks for alerts without a runbook, runbooks without an alert, and links that lead nowhere. It is told on
// the page of runbooks, in the log and as a metric, and pages nobody.
func (a *App) reviewRunbooks(ctx context.Context, client *http.Client) {
	p := a.current.Load()
	var names, dangling, links []string
	for _, g := range p.rules.Groups() {
		for i := range g.Rules {
			d := &g.Rules[i]
			if d.Rule == nil {
				continue // it records
			}
			names = append(names, d.Name())
			link, _ := d.Annotation(alertd.AnnotationRunbook)
			switch u, err := url.Parse(link.Value); {
			case link.Value == "":
				dangling = append(dangling, d.Name())
			case err != nil || strings.Contains(link.Value, "{{") || u.Scheme != "http" && u.Scheme != "https":
			case !strings.HasPrefix(link.Value, a.external+"/runbooks/"):
				links = append(links, link.Value)
			}
		}
	}
	for _, rb := range p.runbooks.All() {
		for i := range rb.Dashboards {
			if page := rb.Dashboards[i].Probe(); page != "" {
				links = append(links, page)
			}
		}
	}
	slices.Sort(links)
	dead := DeadLinks(ctx, client, slices.Compact(links))
	if ctx.Err() != nil {
		return // what could not be tried is not dead
	}
	var found []string
	note := func(kind string, texts []string) {
		a.metrics.runbookProblems.WithLabelValues(kind).Set(float64(len(texts)))
		found = append(found, texts...)
	}
	var lines []string
	for _, name := range p.runbooks.Dangling(dangling) {
		lines = append(lines, name+" has no runbook")
	}
	note("dangling", lines)
	lines = nil
	for _, rb := range p.runbooks.Unused(names) {
		lines = append(lines, fmt.Sprintf("%s is for %s, which no rule is called", rb.File, rb.Alert))
	}
	note("unused", lines)
	lines = nil
	for link, why := range dead {
		u, err := url.Parse(link)
		if err != nil {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s leads nowhere: %s", u.Redacted(), why))
	}
	slices.Sort(lines)
	note("dead", lines)
	found = found[:min(len(found), maxReviewed)]
	a.review.found.Store(&found)
	for _, text := range found {
		a.log.Info("runbook to be mended", "problem", text)
	}
}
