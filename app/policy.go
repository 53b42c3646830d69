package app

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"alertd"
	"alertd/amapi"
	"alertd/config"
	"alertd/engine"
	"alertd/notifier"
	"alertd/notifier/console"
	"alertd/notifier/slack"
	"alertd/notifier/webhook"
	"alertd/rules"
	"alertd/runbooks"
	"alertd/templates"
	"alertd/tracectx"
)

// policy is a configuration that was checked as a whole: it is adopted as a whole, or not at all.
type policy struct {
	rules    *rules.Set
	engine   *engine.Policy
	senders  map[string]notifier.Sender
	health   config.Health
	runbooks *runbooks.Index

	aboutHealth map[string]bool // the rules that read what services say about their health, by ID

	templates *templates.Set
	receivers []amapi.Receiver // sorted by name

	resolveTimeout time.Duration // of posted alerts that name no end
	routingYAML    string        // as people may see it
}

// ErrFiles says that the rule, routing or health files cannot be used. What is wrong with them comes with it.
var ErrFiles = errors.New("mistakes in the files")

// loadPolicy reads all files. The error joins everything that is wrong with them.
func (a *App) loadPolicy() (*policy, error) {
	loaded, err := config.Load(a.o.Rules, os.LookupEnv, os.ReadFile)
	if err != nil {
		return nil, fmt.Errorf("%w:\n%w", ErrFiles, err)
	}
	for _, w := range slices.Concat(loaded.Warnings, loaded.Routing.Stale(time.Now())) {
		a.log.Warn(w.String())
	}
	for _, f := range loaded.Rules.Fixed() {
		a.log.Warn(f.Limit(), "at", fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column))
	}
	books, err := runbooks.Beside(a.o.Rules)
	if err != nil {
		return nil, fmt.Errorf("%w:\n%w", ErrFiles, err)
	}
	link, err := tracectx.ParseLink(a.o.Config.Traces.URLTemplate)
	if err != nil && a.o.Config.Traces.URLTemplate != "" {
		return nil, fmt.Errorf("traces.url_template: %w", err)
	}
	p := &policy{
		rules: loaded.Rules, health: loaded.Health, runbooks: books, resolveTimeout: loaded.Routing.ResolveTimeout,
		routingYAML: loaded.Masked,
	}
	p.aboutHealth = aboutHealth(loaded.Rules)
	p.engine = loaded.Engine()
	p.engine.Enrich = func(al *alertd.Alert) { enrich(al, books, link, a.external) }
	p.templates = loaded.Routing.Templates
	for _, r := range loaded.Routing.Receivers {
		p.receivers = append(p.receivers, amapi.Receiver{Name: r.Name, Labels: r.Labels})
	}
	slices.SortFunc(p.receivers, func(a, b amapi.Receiver) int { return cmp.Compare(a.Name, b.Name) })
	return p, a.addSenders(p, loaded.Routing)
}

// enrich attaches what makes a page actionable: the runbook that the rule names, else the one that alertd has for
// the alert's name, the dashboards of both, and a link to the trace of the offending sample.
func enrich(al *alertd.Alert, books *runbooks.Index, link *tracectx.Link, external string) {
	al.RunbookURL = al.Annotations.Get(alertd.AnnotationRunbook)
	if al.RunbookURL == "" {
		al.RunbookURL = books.URL(external, al.Name())
	}
	rb, _ := books.Find(al.Name())
	al.Dashboards = rb.Links(al.Labels)
	if u := al.Annotations.Get(alertd.AnnotationDashboard); u != "" {
		al.Dashboards = append([]alertd.Link{{Title: runbooks.DashboardTitle, URL: u}}, al.Dashboards...)
	}
	if link != nil {
		al.TraceURL = link.URL(al.Trace, al.Service(), al.At)
	}
}

// addSenders builds a sender for every destination of every receiver.
func (a *App) addSenders(p *policy, routing *config.Routing) error {
	p.senders = map[string]notifier.Sender{}
	con := console.New(a.o.Console, console.Colors(a.o.Console), a.external)
	p.senders[engine.Fallback+"/console/0"] = con
	for _, r := range routing.Receivers {
		add := func(kind string, i int, s notifier.Sender) {
			if a.traces != nil {
				chat, _ := notifier.As[*slack.Sender](s)
				s = traced{s, a.traces, chat}
			}
			p.senders[r.Name+"/"+config.Integration(kind, i)] = s
		}
		for i, c := range r.Slack {
			s, err := slack.New(slack.Config{
				APIURL: c.APIURL.Reveal(), Token: c.BotToken.Reveal(), Channel: c.Channel,
				Username: c.Username, IconEmoji: c.IconEmoji, IconURL: c.IconURL, LinkNames: c.LinkNames,
				Templates: routing.Templates, Texts: c.Texts, ExternalURL: a.external,
				HTTPClient: withTimeout(client(c.HTTP), c.Timeout),
			})
			if err != nil {
				return fmt.Errorf("receiver %q, slack_configs[%d]: %w", r.Name, i, err)
			}
			add(config.KindSlack, i, notifier.Break(notifier.Limit(s, 1, 3)))
		}
		for i, c := range r.Webhook {
			s, err := a.webhook(c, routing.Templates)
			if err != nil {
				return fmt.Errorf("receiver %q, webhook_configs[%d]: %w", r.Name, i, err)
			}
			add(config.KindWebhook, i, s)
		}
		if r.Console {
			add(config.KindConsole, 0, con)
		}
	}
	return nil
}

func (a *App) webhook(c config.Webhook, set *templates.Set) (notifier.Sender, error) {
	wc := webhook.Config{
		URL: c.URL.Reveal(), MaxAlerts: c.MaxAlerts, ExternalURL: a.external, Payload: c.Payload, Templates: set,
		HTTPClient: withTimeout(client(c.HTTP), c.Timeout),
	}
	if c.Secret != "" {
		wc.Secrets = []string{c.Secret.Reveal()}
	}
	s, err := webhook.New(wc)
	if err != nil {
		return nil, err
	}
	return notifier.Break(s), nil
}
